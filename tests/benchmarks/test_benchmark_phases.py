import json
import shutil
from pathlib import Path

import pytest
import torch

from oreal_lib import loop, predict, train
from oreal_lib.models import NormalizeAndPad
from oreal_lib.storage import atomic

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def phases():
    """The benchmark's module, found as it is when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import phases

        yield phases


@pytest.fixture(scope="module")
def found(phases, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to; its prepared data lie in a home of their own."""
    home, out = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("results")
    shutil.copytree(FOLDER.parent / "params", home / "params")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OREAL_HOME", str(home))
        yield phases.main(["--tiny", "--out", str(out)]), out


def test_the_clock_gives_a_second_to_the_innermost_measurement(phases, monkeypatch):
    now = iter([0, 1, 3, 6, 10, 15, 21])  # each look at the clock
    monkeypatch.setattr(phases.time, "perf_counter", lambda: next(now))
    clock = phases.Clock()
    clock.wrap(lambda: clock.wrap(lambda: None, None, "network")(), "training", "rest")()
    with clock.measure("test", "rest"):
        pass
    assert clock.seconds == {
        ("around the steps", "rest"): 1 + 5,
        ("training", "rest"): 2 + 4,
        ("training", "network"): 3,
        ("test", "rest"): 6,
    }


def test_only_the_making_of_items_is_measured(phases, monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(phases.time, "perf_counter", lambda: next(now))
    clock = phases.Clock()
    for _ in clock.each(lambda n: iter(range(n)), "batches")(3):
        next(now), next(now)  # what is done with an item
    assert clock.seconds == {("around the steps", "batches"): 4, ("around the steps", "rest"): 1 + 3 * 3}


def test_the_tiny_benchmark_finds_every_phase(found):
    for row in found[0]["rows"]:
        active = row["run"] == "toy, OREAL max"
        assert row["steps"] == (2 if active else 1)
        assert row["phases"]["asking"]
        for phase in ("training", "validation", "test"):
            assert row["phases"][phase]["network"] > 0
            assert ("confusion matrices" in row["phases"][phase]) == (phase != "training")
        assert {"optimizer", "batches", "average of the weights", "copies of the best weights"} <= set(row["phases"]["training"])
        assert row["phases"]["imports"]["rest"] > 0 and row["phases"]["around the steps"]["files"] > 0
    assert [row["run"] for row in found[0]["rows"]] == ["toy, OREAL max", "toy, true masks"]  # CamVid is not there


def test_the_phases_add_up_to_the_whole_run(found):
    for row in found[0]["rows"]:
        parts = sum(seconds for phase in row["phases"].values() for seconds in phase.values())
        assert parts == pytest.approx(row["seconds"], rel=0.02)
        assert 0 < row["training_network"] < row["network"] < row["network_without_imports"] < 1
        network = sum(parts.get("network", 0) for parts in row["phases"].values())
        assert network == pytest.approx(row["network"] * row["seconds"], rel=0.05, abs=0.01)


def test_the_file_holds_what_was_returned(found):
    assert json.loads((found[1] / "phases_cpu.json").read_text(encoding="utf-8")) == found[0]


def test_the_library_is_as_before_afterwards(phases):
    def now():
        names = [getattr(where, name) for where, name, _, _ in phases.WRAPPED]
        return [*names, train.equip, train.batches, torch.Tensor.backward, atomic.write_bytes, loop.fit, predict.confusion]

    before = now()
    with phases.watched(phases.Clock()):
        assert all(a is not b for a, b in zip(before, now(), strict=True))
    assert now() == before and "__call__" not in vars(NormalizeAndPad)


@pytest.mark.parametrize("wrong", [["--tiny"], ["--only", "no such run"]])
def test_a_wrong_command_is_refused_before_it_measures(phases, wrong, capsys):
    with pytest.raises(SystemExit):
        phases.main(wrong)
    assert wrong[0] in capsys.readouterr().err
