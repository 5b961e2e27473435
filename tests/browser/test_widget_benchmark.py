"""The benchmark of the annotation widget, on a tiny picture: that it runs and notes what it says, not how fast it is."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.browser
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def program():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import widget

        yield widget


@pytest.fixture(scope="module")
def results(program, chromium, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    with ThreadPoolExecutor(1) as thread:  # of its own: playwright runs in this one already, for the other tests
        return thread.submit(program.main, ["--tiny", "--out", str(out)]).result(), out


def test_the_payload_is_that_of_a_picture_with_all_its_layers(results):
    payload, layers = results[0]["payload"], results[0]["payload"]["layers"]
    assert list(layers) == ["image", "ids", "labels", "prediction", "uncertainty", "predicted"]
    assert layers["labels"] == layers["predicted"] == results[0]["picture"]["superpixels"] > 1
    assert payload["bytes"] == layers["image"] + layers["ids"] + layers["labels"] < payload["with_all_layers"] < payload["plain"]


def test_all_that_was_done_was_measured_but_for_the_first_two(results, program):
    times = results[0]["times"]
    plan = program.TINY
    numbers = {name: times[name]["n"] for name in ("setup", "hover", "paint", "paint_plain", "disk", "answer")}
    assert numbers == {
        "setup": plan.setups - 2,
        "hover": plan.moves - 2,
        "paint": plan.clicks - 2,
        "paint_plain": plan.clicks - 2,
        "disk": plan.clicks - 2,
        "answer": plan.clicks - 2,
    }
    for name in numbers:
        assert 0 <= times[name]["p50"] <= times[name]["p95"] < np.inf
    assert times["setup"]["p50"] > 0 and times["disk"]["p50"] > 0


def test_a_tiny_picture_is_held_to_no_goal(results):
    assert "goals" not in results[0]
    assert json.loads((results[1] / "widget_cpu.json").read_text(encoding="utf-8")) == results[0]


def test_a_goal_is_met_up_to_its_very_value(program):
    times = {name: {"p50": 1.0, "p95": 10.0} for name in ("setup", "hover", "paint", "disk", "answer", "paint_plain")} | {
        "paint_ratio": 1.0
    }
    rows = program.judged({"payload": {"bytes": 500_000, "plain": 700_000, "ratio": 2.0}, "times": times})
    assert {row["what"]: row["goal_met"] for row in rows} == {
        "payload": True,
        "setup": True,
        "hover": False,
        "paint": True,
        "disk": True,
        "answer": None,
    }


def test_tiny_numbers_do_not_go_where_the_results_lie(program, capsys):
    with pytest.raises(SystemExit):
        program.main(["--tiny"])
    assert "--out" in capsys.readouterr().err
