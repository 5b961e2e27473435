import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def program():
    """The benchmark's module, found as it is when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import superpixels

        yield superpixels


@pytest.fixture(scope="module")
def results(program, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    return program.main(["--tiny", "--out", str(out)]), out


def test_every_phase_is_timed_and_the_shares_agree(results):
    (row,) = results[0]["rows"]
    names = ["decode", "equalize", "color", "SEEDS", "dense", "votes", "weak labels", "found again"]
    assert list(row["seconds"]) == names and all(0 < s["least"] <= s["most"] for s in row["seconds"].values())
    assert 0 < row["seeds_share"]["median"] < 1 and row["equalize_to_equalize_hist"]["median"] > 0
    ratio = row["equalize_and_color_to_seeds"]
    assert row["goal_met"]["equalize_and_color_to_seeds"] == (ratio["median"] <= 1)


def test_one_and_two_processes_are_compared(results):
    (row,) = results[0]["rows"]
    assert list(row["processes"]) == ["1", "2"]
    one, two = row["processes"]["1"], row["processes"]["2"]
    assert one["speed_up"] == one["efficiency"] == {"median": 1.0, "least": 1.0, "most": 1.0}
    assert two["efficiency"]["median"] == pytest.approx(two["speed_up"]["median"] / 2, rel=1e-3)
    assert two["total_seconds"] == pytest.approx(10 / two["images_per_s"]["median"], rel=1e-2)  # the tiny data set has 10


def test_the_file_holds_what_was_returned(results):
    assert json.loads((results[1] / "superpixels_cpu.json").read_text(encoding="utf-8")) == results[0]


@pytest.mark.parametrize("cores, processes", [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_processes_double_up_to_the_cores(program, cores, processes):
    assert program.up_to(cores) == processes


@pytest.mark.parametrize("wrong", [["--tiny"], ["--images", "0"], ["--repeats", "-1"]])
def test_a_wrong_command_is_refused_before_it_measures(program, wrong, capsys):
    with pytest.raises(SystemExit):
        program.main(wrong)
    assert wrong[0] in capsys.readouterr().err
