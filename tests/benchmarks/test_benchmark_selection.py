import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def programs():
    """The benchmark's modules, found as they are when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import choosing
        import selection

        yield selection, choosing


@pytest.fixture(scope="module")
def results(programs, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    return programs[0].main(["--tiny", "--out", str(out)]), out


@pytest.fixture(scope="module")
def scores(programs, tmp_path_factory):
    """The folder of a tiny pool's scores, and its plan."""
    folder = tmp_path_factory.mktemp("scores")
    (folder / "ids").mkdir()
    programs[1].write_scores(folder, programs[0].TINY, np.random.default_rng(3), block=1000)
    return folder, programs[0].TINY


def test_the_tiny_benchmark_measures_every_way_and_the_lists_ask_the_same(programs, results):
    rows = {row["way"]: row for row in results[0]["rows"]}
    assert list(rows) == list(programs[1].OURS) and {"top", "oreal", "cbal"} <= set(rows)
    for name in ("top", "oreal", "cbal"):
        assert rows[name]["asked_alike"] == 1 and rows[name]["list"]["scaled_from"] is None
        assert 0 < rows[name]["seconds"]["median"] and 0 < rows[name]["list_over_ours"]
    assert {"seconds at most 3", "20 x the list"} <= set(rows["oreal"]["goals_met"])
    assert json.loads((results[1] / "selection_cpu.json").read_text(encoding="utf-8")) == results[0]


def test_the_scores_are_those_of_superpixels_that_are_sure_or_not(scores):
    folder, plan = scores
    p, close, unsure = (np.load(folder / f"{name}.npy") for name in ("p", "close", "unsure"))
    assert p.shape == close.shape == (plan.n, plan.classes) and p.dtype == close.dtype == unsure.dtype == np.float32
    assert np.allclose(p.sum(axis=1), 1, atol=1e-5) and -0.5 <= close.min() and close.max() <= 0
    assert 0 <= unsure.min() < 0.1 and 1 < unsure.max() <= np.log(plan.classes) + 1e-5
    asked_in, present = np.load(folder / "asked_in.npy"), np.load(folder / "present.npy")
    assert np.bincount(asked_in).tolist() == [plan.n - 3 * plan.query, *[plan.query] * 3]
    assert present.sum(axis=1).tolist() == (asked_in > 0).tolist()


def test_a_process_of_its_own_chooses_the_same_and_tells_its_memory(programs, scores):
    folder, plan = scores
    here = programs[0].choose("ours", "oreal", folder, plan)
    apart = programs[0].choose("ours", "oreal", folder, replace(plan, apart=True))
    assert np.array_equal(here["ids"], apart["ids"]) and len(set(here["ids"].tolist())) == plan.query
    if sys.platform != "win32":  # where nobody counts
        assert 20 < apart["memory_at_start_mib"] <= apart["memory_mib"]


def test_a_list_that_takes_too_long_is_measured_in_part_and_scaled(programs, scores, monkeypatch):
    monkeypatch.setattr(programs[0], "PATIENCE", 0)
    row = programs[0].measure("top", *scores)
    assert row["list"]["scaled_from"] == 4096 // 16
    assert "scaled from N = 256" in programs[0].table([row])


def test_goals_are_judged_as_they_are_written(programs):
    row = {"way": "oreal", "seconds": {"median": 3.1}, "memory_mib": 1536, "list_over_ours": 20}
    expected = {"seconds at most 3": False, "memory_mib at most 1536": True, "20 x the list": True}
    assert programs[0].judged(row) == expected


@pytest.mark.parametrize("wrong", [["--tiny"], ["--repeats", "0"], ["--superpixels", "100"]])
def test_a_wrong_command_is_refused_before_it_measures(programs, wrong, capsys):
    with pytest.raises(SystemExit):
        programs[0].main(wrong)
    assert wrong[0] in capsys.readouterr().err
