import subprocess
import sys

import pytest
import yaml

from oreal_lib.batch import combinations, last_words, main, notebook, parse_changes, read_grid
from oreal_lib.config import ConfigError
from oreal_lib.paths import params_root

GRIDS = sorted(p.stem for p in params_root().glob("*.yaml") if "runs" in yaml.safe_load(p.read_text(encoding="utf-8")))


def grid_file(tmp_path, **changes):
    text = {
        "base": "toy",
        "grid": {"seed": [0, 1]},
        "runs": [{"strategy": "random"}, {"strategy": "oreal", "aggregate": ["mean", "max"]}],
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(text | changes))
    return path


def test_lists_are_several_values_and_everything_is_combined():
    assert combinations({"a": [1, 2], "b": "x"}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert combinations({}) == [{}]


def test_a_grid_becomes_runs_seed_by_seed(tmp_path):
    grid = read_grid(grid_file(tmp_path))
    assert [(c.seed, c.column) for c in grid.configs] == [(s, c) for s in (0, 1) for c in ("random", "oreal mean", "oreal max")]
    assert grid.columns == ["random", "oreal mean", "oreal max"] and grid.name == "mine"


def test_the_same_run_is_not_made_twice(tmp_path):
    grid = read_grid(grid_file(tmp_path, runs=[{"strategy": "random", "aggregate": ["mean", "max"]}]))
    assert len(grid.configs) == 2  # one per seed


def test_set_changes_every_run_and_the_command_line_wins(tmp_path):
    path = grid_file(tmp_path, set={"steps": 4, "batch_size": 2})
    assert {(c.steps, c.batch_size) for c in read_grid(path, steps=5).configs} == {(5, 2)}
    assert parse_changes(["steps=5", "learning_rate=1.0e-3", "data_root=/x y"]) == {
        "steps": 5,
        "learning_rate": 1e-3,
        "data_root": "/x y",
    }


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"run": []}, "unknown key 'run'"),
        ({"runs": [{"strateggy": "oreal"}]}, "did you mean 'strategy'"),
        ({"runs": None}, "no grid file"),
        ({"base": "nope"}, "no parameter file"),
    ],
)
def test_a_wrong_grid_stops_before_anything_starts(tmp_path, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_grid(grid_file(tmp_path, **change))


@pytest.mark.parametrize("name", GRIDS)
def test_our_own_grids_expand_and_their_reports_exist(name):
    grid = read_grid(name)
    assert grid.configs and all(notebook(r).is_file() for r in grid.reports)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["list", "nope"], "no parameter file"),
        (["run", "demo", "--set", "seed"], "write KEY=VALUE"),
        (["run", "demo", "--only", "x"], "has no run 'x'"),
    ],
)
def test_a_wrong_command_exits_with_2_and_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_the_list_tells_what_is_to_do(tmp_path, capsys):
    assert main(["list", str(grid_file(tmp_path)), "--runs-dir", str(tmp_path)]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.endswith("to do")]) == 6


def test_the_last_words_of_a_failed_run_are_its_error(tmp_path):
    log = tmp_path / "run.log"
    subprocess.run([sys.executable, "-c", "raise ValueError('the remedy')"], stderr=log.open("wb"), check=False)
    assert last_words(log) == "ValueError: the remedy"
