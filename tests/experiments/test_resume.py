"""A run may be killed at any instant: started again, it ends with the queries and numbers of a run that was left in peace.

At every point at which a run changes its folder the same process stops (`Killed`: nothing after it touches the disk). Processes that
are really killed, at random moments: tests/torture.
"""

import builtins
import errno
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from oreal_lib import loop, train
from oreal_lib.config import RunConfig
from oreal_lib.data import open_store
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage import atomic, checked
from oreal_lib.storage.progress import lines_to

PER_STEP = ("queries.npz", "checkpoint.pt", "weights_step{}.safetensors", "steps.jsonl")


def start(values, runs_dir, store):
    """A run to its end."""
    list(run(RunConfig.make(values), runs_dir, open_store(store)))


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


@contextmanager
def watched(runs_dir, reached):
    """Inside, `reached(kind, path)` is called when a write of a run's file is half done or done, or it is about to be deleted or is."""
    replace_, unlink_, open_ = os.replace, os.unlink, builtins.open

    def write(path, target):
        replace_(path, target)
        reached("written", Path(target))

    def delete(path, **kwargs):
        ours = Path(path).is_relative_to(runs_dir) and Path(path).exists() and ".lock" not in Path(path).name
        if ours:
            reached("not yet deleted", Path(path))
        unlink_(path, **kwargs)
        if ours:
            reached("deleted", Path(path))

    class HalfWritten:
        def __init__(self, path, mode):
            self.path, self.file = Path(path), open_(path, mode)

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            reached("half written", self.path.with_name(self.path.name.split(f".{os.getpid()}")[0].removeprefix(".")))
            self.file.write(data[len(data) // 2 :])

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", write)
        patch.setattr(os, "unlink", delete)
        patch.setattr(atomic, "open", HalfWritten, raising=False)
        yield


def stop_at_every_point(values, runs_dir, store):
    """Runs to the end, stopped at every point and started again; the points, such as "<run id> step 2: written steps.jsonl"."""
    points = []

    def reached(kind, path):
        steps = path.parent / "steps.jsonl"
        done = len(steps.read_text().splitlines()) if steps.exists() else 0
        point = f"{path.parent.name} step {1 + done}: {kind} {path.name}"
        if dead:  # nothing is cleaned up any more
            raise Killed
        if point not in points and path.suffix != ".tmp":
            points.append(point)
            dead.append(True)
            raise Killed

    for _ in range(150):
        dead = []
        try:
            with watched(runs_dir, reached):
                start(values, runs_dir, store)
        except Killed:
            continue
        return points


@pytest.fixture(scope="module")
def twin(tiny_config, tiny_store, tmp_path_factory):
    """A function: the folder of an undisturbed run of the tiny config with some values changed."""

    @cache
    def twin(**changes):
        config, runs_dir = tiny_config(**changes), tmp_path_factory.mktemp("twin")
        start(config.values(), runs_dir, tiny_store)
        return RunFolder(runs_dir / config.run_id)

    return twin


def assert_same(folder, expected):
    """Everything but how fast it was, bit by bit; and nothing else lies about."""
    a, b = ([replace(s, seconds={}, speed={}) for s in one.steps()] for one in (folder, expected))
    assert a == b
    got, queries = folder.queries(), expected.queries()
    assert got.keys() == queries.keys()
    for t, query in queries.items():
        for x, y in zip(got[t], query, strict=True):
            assert x is y is None or (x.dtype == y.dtype and np.array_equal(x, y))
    weights, wanted = folder.weights(len(b)), expected.weights(len(b))
    assert weights.keys() == wanted.keys() and all(torch.equal(weights[k], wanted[k]) for k in weights)
    assert {p.name for p in folder.path.iterdir()} == {p.name for p in expected.path.iterdir()}
    assert folder.done.keys() == expected.done.keys() and folder.done["pool"] == expected.done["pool"]


# killed


def test_killed_at_every_point_it_ends_as_if_undisturbed(twin, tiny_config, tiny_store, tmp_path):
    config = tiny_config(steps=2)
    points = stop_at_every_point(config.values(), tmp_path, tiny_store)
    assert_same(RunFolder(tmp_path / config.run_id), twin(steps=2))
    own, shared = config.run_id, config.step_one.run_id
    assert_same(RunFolder(tmp_path / shared), RunFolder(twin(steps=2).path.parent / shared))
    expected = {f"{run} step 1: {kind} config.json" for run in (own, shared) for kind in ("half written", "written")}
    expected |= {f"{own} step 3: half written done.json", f"{shared} step 2: half written done.json"}
    for run_id, t in ((shared, 1), (own, 1), (own, 2)):
        for name in PER_STEP:
            if name != "checkpoint.pt" or (run_id, t) != (own, 1):  # step 1 is copied, not trained
                expected |= {f"{run_id} step {t}: half written {name.format(t)}"}
                expected |= {f"{run_id} step {t + (name == 'steps.jsonl')}: written {name.format(t)}"}
    for name in ("checkpoint.pt", "weights_step1.safetensors"):
        expected |= {f"{own} step 3: {kind} {name}" for kind in ("not yet deleted", "deleted")}
    assert set(points) >= expected


# stopped by Ctrl-C


STOPPED = "stopped: {} of 3 steps are finished and kept; run the same again and it goes on from there{}"


@pytest.mark.parametrize("t, epoch, kept", [(1, 1, 0), (2, 3, 2)])
def test_stopped_it_says_what_is_kept_and_goes_on_after_the_last_finished_epoch(
    twin, tiny_config, tiny_store, tmp_path, monkeypatch, t, epoch, kept
):
    changes = {"max_epochs": 4, "patience": 4, "checkpoint_seconds": 1e9}  # no checkpoint is due
    config, said, one_epoch = tiny_config(**changes), [], train._train_epoch

    def stop(now, *args):
        if (now.key[1], now.epoch) == (t, epoch):
            raise KeyboardInterrupt
        return one_epoch(now, *args)

    with monkeypatch.context() as patch, lines_to(said.append), pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "_train_epoch", stop)
        start(config.values(), tmp_path, tiny_store)
    inside = "; inside the next, from its last finished epoch" if kept else ""
    assert said[-1] == f"[{config.run_id}] {STOPPED.format(t - 1, inside)}"
    said.clear()
    with lines_to(said.append):
        start(config.values(), tmp_path, tiny_store)
    assert [text.split(": ")[1] for text in said if "continuing" in text] == [f"continuing after epoch {kept}"] * bool(kept)
    assert_same(RunFolder(tmp_path / config.run_id), twin(**changes))


# no room on the disk


def test_a_full_disk_at_any_write_is_told_and_costs_nothing(monkeypatch, twin, tiny_config, tiny_store, tmp_path):
    config, real, refused, writing = tiny_config(steps=2), os.fsync, [], []
    folder = RunFolder(tmp_path / config.run_id)

    def write(path, data, write=atomic.write_bytes):
        writing.append(f"{len(folder.steps())} {path.parent.name}/{path.name}")
        write(path, data)

    def full(*args):
        if writing[-1] not in refused:
            refused.append(writing[-1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(atomic, "write_bytes", write)
    monkeypatch.setattr(atomic.os, "fsync", full)
    for _ in range(30):
        before = folder.steps()
        try:
            start(config.values(), tmp_path, tiny_store)
        except OSError as error:
            assert "disk is full" in str(error) and "start the same command again; what is finished" in str(error)
            assert str(tmp_path / refused[-1].split()[1]) in str(error)
            assert not list(folder.path.glob(".*")) and folder.steps()[: len(before)] == before
        else:
            break
    own = {n.format(t) for n in (*PER_STEP, "config.json", "done.json") for t in (1, 2)}
    shared = {n.format(1) for n in (*PER_STEP, "config.json", "done.json")}
    assert {w.split()[1] for w in refused} == {
        f"{r}/{n}" for r, names in ((config.run_id, own), (config.step_one.run_id, shared)) for n in names
    }
    assert len(refused) == 11 + 6  # config.json when the run is started again after a step, too; step 1 is copied, not trained
    monkeypatch.undo()
    assert_same(folder, twin(steps=2))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_nothing(monkeypatch, tmp_path, error):
    def stop(*_):
        raise error

    atomic.write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(atomic.os, "fsync", stop)
    with pytest.raises(error):
        atomic.write_bytes(tmp_path / "a", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_a_file_is_replaced_whole_and_json_has_no_nan(tmp_path):
    atomic.write_bytes(tmp_path / "new" / "a", b"one")
    atomic.write_bytes(tmp_path / "new" / "a", b"two")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "new").iterdir()] == [("a", b"two")]
    with pytest.raises(ValueError):
        atomic.write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


# damaged files


@pytest.fixture(scope="module")
def stopped_once(tiny_config, tiny_store, tmp_path_factory):
    """A function: where a run of three steps lies that was stopped in the second epoch of step `t`."""

    @cache
    def stopped_once(t):
        epoch, runs_dir = train._train_epoch, tmp_path_factory.mktemp("stopped")

        def stop(*args):
            if (args[0].key[1], args[0].epoch) == (t, 2):
                raise Killed
            return epoch(*args)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(train, "_train_epoch", stop)
            start(tiny_config().values(), runs_dir, tiny_store)
        return runs_dir

    return stopped_once


@pytest.fixture
def stopped(stopped_once, tiny_config, tiny_store, tmp_path):
    """A function: the folder of a copy of that run, and how to go on with it."""

    def stopped(t):
        shutil.copytree(stopped_once(t), tmp_path, dirs_exist_ok=True)
        config = tiny_config()
        return RunFolder(tmp_path / config.run_id), lambda: start(config.values(), tmp_path, tiny_store)

    return stopped


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 5])  # not half: of two lines, that may be the first


def first_line_only(file):
    file.write_text(file.read_text().splitlines()[1] + "\n")


@pytest.mark.parametrize(
    "name, damage, cause",
    [
        ("queries.npz", cut, ""),
        ("queries.npz", Path.unlink, ""),
        ("queries.npz", lambda file: np.savez(file, ids_1=np.arange(8), score_1=np.arange(8)), "the query of step 2 is not in it"),
        ("queries.npz", lambda file: np.savez(file, ids_1=np.arange(8), ids_2=np.arange(8)), "score_1"),
        ("weights_step2.safetensors", lambda file: file.write_bytes(b""), ""),
        ("steps.jsonl", cut, ""),
        ("steps.jsonl", lambda file: file.write_text("[1, 2]\n"), "'[1, 2]', not a record"),
        ("steps.jsonl", lambda file: file.write_text('{"step": 1}\n'), "no checksum"),
        ("steps.jsonl", lambda file: file.write_text(checked.dumps({"step": 1}) + "\n"), "missing"),
        ("steps.jsonl", lambda file: file.write_text(file.read_text().replace('"clicks":8,', '"clicks":9,')), "checksum is wrong"),
        ("steps.jsonl", first_line_only, "its lines are of the steps [2]"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy_and_nothing_is_trained(stopped, monkeypatch, name, damage, cause):
    folder, go_on = stopped(3)
    damage(folder.path / name)
    monkeypatch.setattr(loop, "fit", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError) as error:
        go_on()
    assert str(error.value).startswith(f"{folder.path / name} is damaged (") and cause in str(error.value)
    assert str(error.value).endswith(f"; move the folder {folder.path.name} away and start the run again")


def test_missing_weights_are_named_with_the_remedy(stopped):
    folder, go_on = stopped(2)
    (folder.path / "weights_step1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights_step1\.safetensors is not there; .*keep_weights: all.* move the folder"):
        go_on()


def test_a_damaged_done_file_is_deleted_without_repeating_a_step(stopped, monkeypatch, twin):
    (folder, go_on), undisturbed = stopped(1), twin()
    go_on()
    (folder.path / "done.json").write_text("{")
    with pytest.raises(ValueError, match=r"done\.json is damaged .*delete it and start the run again: no step is repeated"):
        go_on()
    (folder.path / "done.json").unlink()
    monkeypatch.setattr(loop, "fit", lambda *a, **k: pytest.fail("trained"))
    go_on()
    assert_same(folder, undisturbed)


def test_the_time_of_killed_attempts_is_counted(stopped):
    folder, go_on = stopped(2)
    spent = torch.load(folder.path / "checkpoint.pt", weights_only=True)["seconds"]
    go_on()
    assert folder.steps()[1].seconds["train"] > spent > 0
