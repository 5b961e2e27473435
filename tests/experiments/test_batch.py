import os
import re
import subprocess
import sys

import pytest
import yaml

from oreal_lib.config import RunConfig
from oreal_lib.experiments import batch
from oreal_lib.experiments.batch import last_words, main, next_run, notebook
from oreal_lib.experiments.grid import combinations, read_grid
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage.lock import Lock
from oreal_lib.storage.paths import params_root
from oreal_lib.storage.yaml_file import ConfigError, parse_changes

FILES = {p.stem: yaml.safe_load(p.read_text(encoding="utf-8")) for p in sorted(params_root().glob("*.yaml"))}
GRIDS = [
    f"{name}@{data}" if data else name
    for name, grid in FILES.items()
    if "base" in grid or "data" in grid
    for data in ([""] if "data" not in grid else FILES["data_sets"] if grid["data"] == "data_sets" else grid["data"])
]


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
        ({"base": "demo"}, "'demo' is a grid file itself"),
        ({"base": ["toy"]}, r"base is \['toy'\], but must look like `base: toy`"),
        ({"grid": 1}, "grid is 1, but must look like `grid: {seed"),
        ({"grid": [{"seed": 0}, 2]}, "2 in grid is no case, but one must look like {seed: 0}"),
        ({"only": {"sead": 0}}, "`only` names 'sead', which is no parameter"),
        ({"options": {"pixlbal": {"nu": 6}}}, "options are for 'pixlbal', which is no strategy"),
        ({"only": {"seed": 77}}, "no run has seed 77, so `only` leaves nothing"),
        ({"data": {"toy": 3}}, "for several data sets, and none is named; write one of mine.yaml@toy"),
        ({"grid": {"seed": []}}, "describes no run"),
        ({"grid": {k: list(range(100)) for k in ("seed", "steps", "patience")}}, r"describes [\d,]+ runs, but .* at most 10,000"),
        ({"runs": [{"strategy": {"oreal": 1}}]}, "strategy is {'oreal': 1}"),
        ({"set": 3}, "set is 3, but must look like"),
        ({"set": {3: 4}}, "the key 3 is int"),
        ({"runs": {}}, "runs is {}, but must look like"),
        ({"runs": []}, "describes no run"),
        ({"runs": ["random"]}, "'random' in runs is no run"),
        ({"reports": "20_table1_aualc"}, "reports is '20_table1_aualc', but must look like"),
    ],
)
def test_a_wrong_grid_stops_before_anything_starts(tmp_path, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_grid(grid_file(tmp_path, **change))


def test_a_grid_whose_name_has_a_line_break_is_not_there():
    with pytest.raises(ConfigError, match=r"no parameter file .*a\\nb"):
        read_grid("a\nb")


def test_a_data_set_says_what_is_particular_to_it_and_the_file_the_rest(tmp_path):
    there = {"base": "camvid", "grid": [{"seed": 3}, {"seed": [4, 5], "steps": 2}], "set": {"patience": 1}}
    there |= {"options": {"pixelbal": {"nu": 6}}, "only": {"seed": [3, 5]}}
    runs = [{"strategy": "random"}, {"strategy": "pixelbal", "aggregate": "max"}]
    path = grid_file(tmp_path, base=None, grid=None, set={"max_epochs": 7}, runs=runs, data={"mine": there, "toy": {}})
    grid = read_grid(f"{path}@mine", max_epochs=8)
    assert grid.name == "mine_mine" and {c.dataset for c in grid.configs} == {"camvid"}
    assert [(c.strategy, c.seed, c.steps, c.strategy_options) for c in grid.configs] == [
        ("random", 3, 3, {}),
        ("pixelbal", 3, 3, {"nu": 6}),
        ("random", 5, 2, {}),
        ("pixelbal", 5, 2, {"nu": 6}),
    ]
    assert {(c.max_epochs, c.patience) for c in grid.configs} == {(8, 1)}
    assert {c.dataset for c in read_grid(f"{path}@toy").configs} == {"toy"}
    with pytest.raises(
        ConfigError, match=r"for several data sets, 'voc' is not among them; write one of mine.yaml@mine, mine.yaml@toy"
    ):
        read_grid(f"{path}@voc")
    with pytest.raises(ConfigError, match="has no `data` to choose from; leave out @voc"):
        read_grid("demo@voc")


def test_before_the_runs_of_a_grid_come_those_they_begin_with(tmp_path):
    weak = {"labeling": "weak", "strategy": ["bvsb", "oreal"], "aggregate": "max", "stage": 2}
    grid = read_grid(grid_file(tmp_path, grid={"seed": [0, 1]}, runs=[{"supervision": "full_masks"}, weak]))
    ids = [c.run_id for c in grid.all_runs]
    assert len(grid.configs) == 6 and len(ids) == len(set(ids)) == 6 + 4 + 2 + 2  # + stages one + first steps of both stages
    for config in grid.all_runs:
        assert all(ids.index(c.run_id) < ids.index(config.run_id) for c in config.needs)


def test_keys_of_a_grid_without_a_value_are_empty(tmp_path):
    assert len(read_grid(grid_file(tmp_path, set=None, grid=None, reports=None)).configs) == 3


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
        (["run", "demo", "--set", "seed=[0"], "'seed=[0' is not valid YAML"),
        (["run", "demo", "--set", "seed=1", "--set", "seed=2"], "seed twice"),
        (["run", "demo", "--jobs", "0"], "--jobs is 0"),
        (["report", "demo", "--only-report", "x"], "no report 'x'; it has: 20_table1_aualc"),
        (["run", "table1@camvid", "--set", "data_root=/no/such"], "nothing was started, .* folder /no/such does not exist"),
        (["run", "demo", "--set", "dataset=citiscapes"], "no data set 'citiscapes'; choose one of"),
        (["run", "demo", "--set", "data_options={scene: x}"], "scene is 'x'"),
        (["run", "demo", "--set", "device=gpu"], "device is 'gpu'; write auto"),
    ],
)
def test_a_wrong_command_exits_with_2_and_one_sentence(arguments, sentence, capsys, tmp_path):
    assert main([*arguments, "--runs-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert re.search(sentence.replace("[", r"\["), error) and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_report_that_does_not_exist_is_told_before_the_runs(tmp_path, capsys):
    assert main(["run", str(grid_file(tmp_path, reports=["20_nope"])), "--runs-dir", str(tmp_path / "runs")]) == 2
    assert "no notebook '20_nope'; there are: 00_start_here" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_fails_each_run_with_the_remedy(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["run", str(grid_file(tmp_path)), "--runs-dir", str(tmp_path / "file")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        sum(line.startswith("FAILED toy-") and line.endswith("choose another --runs-dir") for line in lines) == 8
    )  # 6, and step 1 of 2 seeds


def test_the_list_tells_what_is_to_do(tmp_path, capsys):
    assert main(["list", str(grid_file(tmp_path, grid={"seed": [90, 91]})), "--runs-dir", str(tmp_path)]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.endswith("to do")]) == 8  # 6, and step 1 of 2 seeds


def test_a_stage_one_that_stage_two_continues_keeps_its_networks(tmp_path):
    weak = {"labeling": "weak", "strategy": "random", "keep_weights": "last"}
    one, other, two = read_grid(grid_file(tmp_path, grid=None, runs=[weak, weak | {"seed": 1}, weak | {"stage": 2}])).configs
    assert [c.keep_weights for c in (one, other, two)] == ["all", "last", "last"] and two.stage_one == one


def test_stage_two_waits_for_its_stage_one_and_for_no_other():
    runs = [RunConfig.from_yaml("toy", labeling="weak", seed=s, stage=t) for s in (0, 1) for t in (2, 1)]
    by_id = {c.run_id: c for c in runs}
    (two, one, other_two, other_one), running = list(by_id), []
    queue = [two, one, other_two, other_one]
    for expected in (one, other_one, None):  # both stages two wait
        assert next_run(queue, by_id, running) == expected
        if expected:
            queue.remove(expected)
            running.append(expected)
    assert next_run(queue, by_id, [one]) == other_two  # the other stage one is finished
    assert next_run([two], {two: by_id[two]}, []) == two  # not in this batch: it carries out stage one itself


def test_the_last_words_of_a_failed_run_are_its_error(tmp_path):
    log = tmp_path / "run.log"
    subprocess.run([sys.executable, "-c", "raise ValueError('the remedy')"], stderr=log.open("wb"), check=False)
    assert last_words(log) == "ValueError: the remedy"
    log.unlink()
    assert "its log is gone" in last_words(log)


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_another_batch_computes_is_waited_for_and_begun_when_that_has_died(tmp_path, monkeypatch, capsys, finished):
    configs = [RunConfig.from_yaml("toy", supervision="full_masks", seed=s, device="cpu") for s in (0, 1)]
    other, started = Lock(tmp_path / configs[0].run_id / "run.lock").acquire(), []

    def start_run(config, runs_dir):
        started.append(config.seed)
        RunFolder(runs_dir / config.run_id).save_json("done.json", {"steps": 0})
        return subprocess.Popen([sys.executable, "-c", ""])

    def pause(seconds):
        if started == [1]:  # the other goes on, then ends
            if finished:
                RunFolder(tmp_path / configs[0].run_id).save_json("done.json", {"steps": 0})
            other.release()

    monkeypatch.setattr(batch, "start_run", start_run)
    monkeypatch.setattr(batch.time, "sleep", pause)
    assert batch.run_batch(tuple(configs), 2, tmp_path) == 0
    said = capsys.readouterr().out
    assert f"is being computed by process {os.getpid()} on " in said and "; waiting for it" in said
    assert started == ([1] if finished else [1, 0]) and ("was finished there" in said) == finished
