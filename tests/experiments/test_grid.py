import pytest
import yaml

from oreal_lib.experiments.batch import notebook
from oreal_lib.experiments.grid import combinations, read_grid
from oreal_lib.storage.paths import params_root
from oreal_lib.storage.yaml_file import ConfigError
from oreal_lib.strategies import STRATEGIES


@pytest.fixture
def grid_file(tmp_path):
    """A function: the path of the grid of two seeds and three columns, with some of its keys changed."""
    runs = [{"strategy": "random"}, {"strategy": "oreal", "aggregate": ["mean", "max"]}]

    def written(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"base": "toy", "grid": {"seed": [0, 1]}, "runs": runs} | changes))
        return path

    return written


def test_lists_are_several_values_and_everything_is_combined():
    assert combinations({"a": [1, 2], "b": "x"}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert combinations({}) == [{}]


def test_a_grid_becomes_distinct_runs_seed_by_seed(grid_file):
    grid = read_grid(grid_file())
    assert [(c.seed, c.column) for c in grid.configs] == [(s, c) for s in (0, 1) for c in ("random", "oreal mean", "oreal max")]
    assert grid.columns == ["random", "oreal mean", "oreal max"] and grid.name == "mine"
    assert len(read_grid(grid_file(runs=[{"strategy": "random", "aggregate": ["mean", "max"]}])).configs) == 2  # one per seed
    assert len(read_grid(grid_file(set=None, grid=None, reports=None)).configs) == 3  # a key without a value is empty


def test_set_changes_every_run_and_the_command_line_wins(grid_file):
    assert {(c.steps, c.batch_size) for c in read_grid(grid_file(set={"steps": 4, "batch_size": 2}), steps=5).configs} == {(5, 2)}


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"run": []}, "unknown parameter 'run' = \\[\\]; did you mean 'runs'"),
        ({"runs": [{"strateggy": "oreal"}]}, "did you mean 'strategy'"),
        ({"set": {3: 4}}, "unknown parameter 3; remove it"),
        ({"runs": None}, "not a grid file"),
        ({"base": "nope"}, "no parameter file"),
        ({"base": "demo"}, "'demo' is a grid file itself"),
        ({"base": ["toy"]}, r"base is \['toy'\] \(list\), but: input should be a valid string"),
        ({"grid": 1}, r"grid is 1 \(int\), but: input should be a valid dictionary"),
        ({"grid": [{"seed": 0}, 2]}, r"grid is 2 \(int\), but: input should be a valid dictionary"),
        ({"only": {"sead": 0}}, "`only` names 'sead', which is not a parameter"),
        ({"only": {"seed": 77}}, "no run has seed 77, so `only` leaves nothing"),
        ({"options": {"pixlbal": {"nu": 6}}}, "options are for 'pixlbal', which is not a strategy"),
        ({"data": {"toy": 3}}, r"data is 3 \(int\), but: input should be a valid dictionary"),
        ({"data": {"toy": {}}}, "for several data sets, and none is named; write one of mine.yaml@toy"),
        ({"grid": {"seed": []}}, "describes no run"),
        ({"runs": [{"strategy": {"oreal": 1}}]}, "strategy is {'oreal': 1}"),
        ({"runs": ["random"]}, r"runs is 'random' \(str\), but: input should be a valid dictionary"),
        ({"reports": "20_table1_aualc"}, "reports is '20_table1_aualc' .*write \\['20_table1_aualc'\\]"),
    ],
)
def test_a_wrong_grid_stops_before_anything_starts(grid_file, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_grid(grid_file(**change))


def test_a_data_set_says_what_is_particular_to_it_and_the_file_the_rest(grid_file):
    there = {"base": "camvid", "grid": [{"seed": 3}, {"seed": [4, 5], "steps": 2}], "set": {"patience": 1}}
    there |= {"options": {"pixelbal": {"nu": 6}}, "only": {"seed": [3, 5]}}
    runs = [{"strategy": "random"}, {"strategy": "pixelbal", "aggregate": "max"}]
    path = grid_file(base=None, grid=None, set={"max_epochs": 7}, runs=runs, data={"mine": there, "toy": {}})
    grid = read_grid(f"{path}@mine", max_epochs=8)
    assert grid.name == "mine_mine" and {c.dataset for c in grid.configs} == {"camvid"}
    assert [(c.strategy, c.seed, c.steps, c.strategy_options) for c in grid.configs] == [
        ("random", 3, 6, {}),
        ("pixelbal", 3, 6, {"nu": 6}),
        ("random", 5, 2, {}),
        ("pixelbal", 5, 2, {"nu": 6}),
    ]
    assert {(c.max_epochs, c.patience) for c in grid.configs} == {(8, 1)}
    assert {c.dataset for c in read_grid(f"{path}@toy").configs} == {"toy"}
    with pytest.raises(ConfigError, match=r"'voc' is not among them; write one of mine.yaml@mine, mine.yaml@toy"):
        read_grid(f"{path}@voc")
    with pytest.raises(ConfigError, match="has no `data` to choose from; leave out @voc"):
        read_grid("demo@voc")


def test_a_strategy_of_ones_own_can_have_options(grid_file, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "mine", STRATEGIES["bvsb"])
    grid = read_grid(grid_file(runs=[{"strategy": "mine", "aggregate": "max"}], options={"mine": {"nu": 6}}))
    assert [c.strategy_options for c in grid.configs] == [{"nu": 6}] * 2


def test_before_the_runs_of_a_grid_come_those_they_begin_with(grid_file):
    weak = {"labeling": "weak", "strategy": ["bvsb", "oreal"], "aggregate": "max", "stage": 2}
    grid = read_grid(grid_file(runs=[{"supervision": "full_masks"}, weak]))
    ids = [c.run_id for c in grid.all_runs]
    assert len(grid.configs) == 6 and len(ids) == len(set(ids)) == 6 + 4 + 2 + 2  # + stages one + first steps of both stages
    for config in grid.all_runs:
        assert all(ids.index(c.run_id) < ids.index(config.run_id) for c in config.needs)


def test_a_stage_one_that_stage_two_continues_keeps_its_networks(grid_file):
    weak = {"labeling": "weak", "strategy": "random", "keep_weights": "last"}
    one, other, two = read_grid(grid_file(grid=None, runs=[weak, weak | {"seed": 1}, weak | {"stage": 2}])).configs
    assert [c.keep_weights for c in (one, other, two)] == ["all", "last", "last"] and two.stage_one == one


def test_the_reports_of_our_own_grids_exist():
    """That the grids expand: test_run_ids.py."""
    grids = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in params_root().glob("*.yaml")]
    reports = {report for grid in grids for report in grid.get("reports") or []}
    assert len(reports) > 5 and all(notebook(report).is_file() for report in reports)
