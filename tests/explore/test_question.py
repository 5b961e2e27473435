import os

import numpy as np
import pytest
import torch

from oreal_lib import scores
from oreal_lib.aggregate import Regions
from oreal_lib.experiments import run as loop
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.explore.question import LADDERS, find_run, ladder, open_run, question
from oreal_lib.explore.view import beside, curves, differing, probabilities, view

WEAK = {"labeling": "weak", "undefined": "keep", "label_trim": 1, "query_size": 12}


@pytest.fixture(autouse=True)
def data(tiny, monkeypatch):
    monkeypatch.setattr("oreal_lib.setting.dataset_of", lambda *a, **k: tiny)


@pytest.fixture
def oreal(tiny_grid):
    """The finished run of OREAL by max, which kept all its networks."""
    return open_run(next(c for c in tiny_grid.configs if c.column == "oreal max"), tiny_grid.runs_dir)


@pytest.mark.parametrize(
    "strategy, how, options, labels",
    [
        ("oreal", "max", {"class_order": "rarest_first"}, {}),
        ("pixelbal", "mean", {"nu": 6.0}, {}),
        ("cbal", "top_0.3", {}, {}),
        ("revisiting_sp", "power_8", {}, {}),
        ("power_bvsb", "max", {"temperature": 0.5}, {}),
        ("stratified_random", "mean", {}, {}),
        ("bvsb", "quantile_0.9", {"form": "margin"}, {}),
        ("oreal", "mean", {}, WEAK),
    ],
)
def test_what_a_run_would_ask_is_what_it_asked_to_the_last_bit(strategy, how, options, labels, tiny, tiny_config, tmp_path):
    changes = {"strategy": strategy, "aggregate": how, "strategy_options": options, "keep_weights": "all"} | labels
    config = tiny_config(**changes)
    steps = list(loop.run(config, tmp_path, tiny))
    recorded, run = RunFolder(tmp_path / config.run_id).queries(), open_run(tmp_path / config.run_id)
    for step in (2, 3):
        asked = question(run, step, ("mean", *{how} - {"mean"}))
        mine = asked.listed[strategy, config.aggregate]
        assert mine.ids.tolist() == recorded[step].ids.tolist() == asked.asked.tolist()
        if mine.for_class is not None:
            assert mine.for_class.tolist() == recorded[step].for_class.tolist()
        assert mine.border_share == steps[step - 1].border_share
        assert (~asked.labels.unlabeled).sum() == sum(len(recorded[t].ids) for t in range(1, step))


def test_a_query_holds_the_highest_and_names_nothing_twice(oreal):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    asked = question(oreal, 2, ("mean", "max"))
    assert torch.get_num_threads() == 2  # as before
    torch.set_num_threads(threads)
    q, free = oreal.setting.query_size, asked.labels.unlabeled
    for listed in asked.listed.values():
        assert len(listed.ids) == len(set(listed.ids)) == q and free[listed.ids].all()
    exact = Regions(lambda: (probabilities(oreal, asked, i) for i in range(6)), oreal.setting.superpixels, 8)(scores.bvsb, "max")
    ranked = exact[asked.listed["bvsb", "max"].ids, 0]
    assert (np.diff(ranked) <= 1e-6).all() and ranked[-1] >= np.sort(exact[free, 0])[-q] - 1e-6
    assert np.abs(asked.scores["bvsb", "max"] - exact).max() < 1e-3


def test_two_questions_differ_in_what_only_one_of_them_asks(oreal):
    asked = question(oreal, 3, ("mean", "max"))
    a, b = ("bvsb", "mean"), ("bvsb", "max")
    mine, other = set(asked.listed[a].ids.tolist()), set(asked.listed[b].ids.tolist())
    assert set(differing(asked, a, b).tolist()) == mine ^ other and mine != other
    assert view(oreal, asked, 0, a, b)["differ"] == len(mine - other)


def test_only_networks_that_were_kept_can_be_asked_and_the_rest_is_said(tiny, tiny_config, tmp_path):
    config = tiny_config(strategy="bvsb", aggregate="max")
    list(loop.run(config, tmp_path, tiny))
    run = open_run(config, tmp_path)
    assert list(run.networks()) == [2, 4]  # that of step 1 lies in the run all begin with, that of step 3 is the last
    assert run.missing().startswith("Step 3 cannot be shown") and "keep_weights: all" in run.missing()
    with pytest.raises(ValueError, match=r"step is 3, but the steps that can be shown are: 2, 4\. Step 3 cannot"):
        question(run, 3)
    after = question(run, 4, ("max",))  # the run is over, but it can be asked once more
    assert after.asked is None and after.listed["bvsb", "max"].ids.size == run.setting.query_size


def test_a_running_run_offers_what_it_has_and_later_more(tiny, tiny_config, tmp_path):
    config = tiny_config(strategy="bvsb", aggregate="max", keep_weights="all", seed=3)
    with pytest.raises(FileNotFoundError, match=r"holds no run that has begun \(no config.json\); start it first"):
        open_run(config, tmp_path)
    going = loop.run(config, tmp_path, tiny)
    next(going)
    run = open_run(config.run_id, tmp_path)
    assert list(run.networks()) == [2] and run.missing() == "" and question(run, 2, ("max",)).asked is None
    assert curves([config], tmp_path)["step"].tolist() == [1]
    assert len(list(going)) == 2 and list(run.networks()) == [2, 3, 4]
    assert question(run, 2, ("max",)).asked is not None
    frame = curves([config, tiny_config(seed=4)], tmp_path)
    assert frame["step"].tolist() == [1, 2, 3] and set(frame["labeling"]) == {"dominant"}
    with pytest.raises(FileNotFoundError, match="none of the 1 runs has finished a step"):
        curves([tiny_config(seed=4)], tmp_path)


def test_any_run_is_found_by_its_folder_its_id_a_grid_or_as_the_newest(tiny, tiny_grid, tiny_config, tmp_path):
    configs, root = tiny_grid.configs, tiny_grid.runs_dir
    wanted = next(c.run_id for c in configs if c.column == "bvsb mean")
    assert find_run(configs, None, root) == find_run((), wanted, root) == find_run((), root / wanted) == root / wanted
    assert find_run(configs, None, tmp_path) == tmp_path / configs[0].run_id  # of which `open_run` says that it has not begun
    mine = [tiny_config(strategy="oreal", seed=9, steps=2), tiny_config(strategy="bvsb", seed=8, steps=2, max_epochs=1)]
    for i, config in enumerate([*mine, tiny_config(strategy="random", seed=9, steps=2)]):
        list(loop.run(config, tmp_path, tiny))
        os.utime(tmp_path / config.run_id / "config.json", (i, i))
    assert find_run(configs, None, tmp_path) == tmp_path / mine[1].run_id
    alike = {c.column for c in beside(open_run(mine[0], tmp_path))}
    assert alike == {"oreal max", "random"}  # not that of fewer epochs, and not the step that all begin with


@pytest.mark.parametrize(
    "changes, text", [({"supervision": "full_masks"}, "asks nothing"), ({"labeling": "weak", "stage": 2}, "of stage 2")]
)
def test_a_run_without_questions_is_refused(changes, text, tiny_config, tmp_path):
    config = tiny_config(**changes)
    RunFolder(tmp_path / config.run_id).save_json("config.json", config.values())
    with pytest.raises(ValueError, match=text):
        open_run(config, tmp_path)


def test_a_ladder_leads_from_mean_to_max_and_has_a_place_for_any_rung():
    assert ladder("max") == ladder("top_0.1") == LADDERS["top"]
    assert ladder("top_0.3")[1:4] == ("top_0.5", "top_0.3", "top_0.2")
    assert ladder("power_3") == ("mean", "power_2", "power_3", "power_4", "power_8", "power_16", "power_64", "max")
    assert ladder("power_3", "quantile") == LADDERS["quantile"]
    with pytest.raises(ValueError, match="kind is 'median'; choose one of top, power, quantile"):
        ladder("max", "median")


def test_a_view_is_of_one_image_and_says_what_the_run_asked_there(oreal):
    asked = question(oreal, 3, ("mean", "max"))
    offset, total = oreal.setting.superpixels.offset, 0
    for i in range(len(oreal.setting.pool)):
        v = view(oreal, asked, i, ("oreal", "max"), ("random", "mean"), "ovr_entropy", 2)
        p = probabilities(oreal, asked, i)
        assert np.allclose(v["uncertainty"], scores.ovr_entropy(p[None])[0, 2])
        assert (v["prediction"] == p.argmax(0).numpy()).all() and v["truth"].shape == v["ids"].shape == v["image"].shape[:2]
        a, b = v["sides"]
        assert (a["asked"] == v["run_asked"]).all() and v["run_differ"] == 0 and (a["title"], b["title"]) == ("OREAL max", "random")
        ids = asked.listed["oreal", "max"].ids
        assert [ids[r - 1] for r in a["rank"][a["rank"] > 0]] == (offset[i] + np.flatnonzero(a["rank"])).tolist()
        assert (v["asked_in"][v["run_asked"]] == 3).all() and set(v["asked_in"]) <= {0, 1, 2, 3}
        assert (a["for_class"] >= 0).tolist() == a["asked"].tolist() and b["for_class"] is None
        total += a["asked"].sum()
    assert total == oreal.setting.query_size
    for wrong, text in (({"image": 6}, "the pool has the images 0 to 5"), ({"of_class": 8}, "the classes are 0 to 7")):
        with pytest.raises(ValueError, match=text):
            view(oreal, asked, **({"image": 0} | wrong), a=("oreal", "max"), b=("oreal", "mean"))
