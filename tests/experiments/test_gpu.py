"""Runs share a machine's GPUs by file locks. The locks need no GPU; on a GPU nothing of this has run yet."""

import multiprocessing
import time

import pytest
import torch

from oreal_lib.experiments.gpu import device_of_run, free_slot

SPAWN = multiprocessing.get_context("spawn")


def hold(folder, got, share, release):
    with free_slot(["a", "b"], share, folder, lambda text: got.put(text), pause=0.01) as number:
        got.put(number)
        release.wait()


@pytest.fixture
def holder(tmp_path):
    """A function: start a process that takes a GPU; what it says, and how to kill it."""
    started = []

    def holder(share=1):
        got, release = SPAWN.Queue(), SPAWN.Event()
        process = SPAWN.Process(target=hold, args=(tmp_path, got, share, release), daemon=True)
        process.start()
        started.append((process, release))
        return got, process

    yield holder
    for process, _ in started:
        process.kill()
        process.join()


def test_each_process_gets_a_gpu_of_its_own_and_the_next_waits_until_one_dies(holder):
    first, one = holder()
    second, _ = holder()
    assert {first.get(timeout=60), second.get(timeout=60)} == {0, 1}
    third, _ = holder()
    assert "all 2 GPUs are taken (1 runs each); waiting for one" in third.get(timeout=60)
    time.sleep(0.1)
    assert third.empty()
    one.kill()  # the system frees its lock
    assert third.get(timeout=60) in (0, 1)


def test_several_may_share_and_fill_the_empty_ones_first(holder, tmp_path):
    taken = []
    with free_slot(["a", "b"], 2, tmp_path, taken.append) as x, free_slot(["a", "b"], 2, tmp_path, taken.append) as y:
        assert (x, y) == (0, 1)
        with free_slot(["a", "b"], 2, tmp_path, taken.append) as z:
            assert z == 0
    with free_slot(["a", "b"], 2, tmp_path, taken.append) as x:
        assert x == 0 and not taken


def test_without_a_gpu_and_where_one_is_named_no_lock_is_asked(monkeypatch):
    monkeypatch.setattr("oreal_lib.experiments.gpu.free_slot", lambda *a: pytest.fail("asked"))
    with device_of_run("cpu", 1) as device:
        assert device == torch.device("cpu")
    if not torch.cuda.is_available():
        with device_of_run("auto", 1) as device:
            assert device == torch.device("cpu")


def test_the_free_gpu_is_the_device_of_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr("oreal_lib.experiments.gpu.choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr("oreal_lib.experiments.gpu.tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: type("Properties", (), {"uuid": f"serial-{i}"}))
    with device_of_run("auto", 1) as a, device_of_run("auto", 1) as b:
        assert [a, b] == [torch.device("cuda", 0), torch.device("cuda", 1)]
        assert {f.name for f in next(tmp_path.iterdir()).iterdir()} == {"serial-0.0.lock", "serial-1.0.lock"}
