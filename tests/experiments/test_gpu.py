"""Runs share a machine's GPUs by file locks; two GPUs are made up, since the locks need none."""

import queue
import threading
from types import SimpleNamespace

import pytest
import torch

from oreal_lib.experiments import gpu
from oreal_lib.experiments.gpu import device_of_run
from oreal_lib.storage.progress import lines_to


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """Two GPUs whose locks lie in a folder of their own, which is returned."""
    monkeypatch.setattr(gpu, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(gpu.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"serial-{i}"))
    return tmp_path


def test_each_run_gets_a_gpu_of_its_own_and_the_next_one_the_first_that_is_free(two_gpus):
    with device_of_run("auto", 1) as a:
        with device_of_run("auto", 1) as b:
            assert [a, b] == [torch.device("cuda", 0), torch.device("cuda", 1)]
        with device_of_run("auto", 1) as c:
            assert c == torch.device("cuda", 1)
    (folder,) = two_gpus.iterdir()
    assert {file.name for file in folder.iterdir()} <= {"serial-0.0.lock", "serial-1.0.lock"}


def test_several_may_share_and_fill_the_empty_ones_first(two_gpus):
    with device_of_run("auto", 2) as a, device_of_run("auto", 2) as b, device_of_run("auto", 2) as c:
        assert [device.index for device in (a, b, c)] == [0, 1, 0]


def test_a_run_waits_until_a_gpu_is_free(two_gpus):
    said = queue.Queue()

    def third():
        with lines_to(said.put), device_of_run("auto", 1, pause=0.01) as device:
            said.put(device.index)

    thread = threading.Thread(target=third)
    with device_of_run("auto", 1):
        with device_of_run("auto", 1):
            thread.start()
            assert "all 2 GPUs are taken (1 runs each); waiting for one" in said.get(timeout=30)
            with pytest.raises(queue.Empty):
                said.get(timeout=0.1)
        assert said.get(timeout=30) == 1
    thread.join()


def test_without_a_gpu_and_where_one_is_named_no_lock_is_asked(monkeypatch):
    monkeypatch.setattr(gpu, "_taken", lambda lock: pytest.fail("asked"))
    with device_of_run("cpu", 1) as device:
        assert device == torch.device("cpu")
    if not torch.cuda.is_available():
        with device_of_run("auto", 1) as device:
            assert device == torch.device("cpu")
