import shutil
from dataclasses import replace

import numpy as np
import pytest

from oreal_lib.config import RunConfig
from oreal_lib.experiments import run as running
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports.selections import _half, _objects, _richest, compare, context, mean_and_max, pseudo_labeled, rivals
from oreal_lib.setting import open_setting
from oreal_lib.types import IGNORE, Query
from oreal_lib.weak.labels import classes_present


def toys(*runs):
    return [RunConfig.from_yaml("toy", strategy=strategy, aggregate=how, seed=seed) for strategy, how, seed in runs]


def test_the_pair_differs_only_in_mean_and_max():
    configs = toys(("random", "mean", 0), ("cbal", "mean", 0), ("cbal", "max", 1), ("oreal", "max", 1), ("oreal", "mean", 1))
    a, b = mean_and_max(configs)
    assert (a.column, b.column, a.seed) == ("oreal mean", "oreal max", 1)
    with pytest.raises(ValueError, match="no two runs of cbal that differ only in mean and max"):
        mean_and_max(configs, "cbal")


def test_rivals_began_with_the_same_network():
    configs = toys(("random", "mean", 0), ("bvsb", "mean", 0), ("oreal", "max", 0), ("oreal", "max", 1), ("oreal", "top_0.5", 0))
    assert rivals(configs) == {"small_unet": [configs[1], configs[2]]}


@pytest.fixture
def bvsb(tiny_grid, monkeypatch):
    """BvSB by mean and by max."""
    monkeypatch.setenv("OREAL_HOME", str(tiny_grid.home))
    return [c for c in tiny_grid.configs if c.strategy == "bvsb"]


@pytest.fixture
def copied(bvsb, tiny_grid, tmp_path):
    """Their folders in tmp_path, without the weights of step 1 that they began with; those are in the run all begin with."""
    for config in [*bvsb, bvsb[0].step_one]:
        shutil.copytree(tiny_grid.runs_dir / config.run_id, tmp_path / config.run_id)
    for config in bvsb:
        (tmp_path / config.run_id / "weights_step1.safetensors").unlink()
    return tmp_path


def test_a_view_shows_what_the_two_runs_asked(bvsb, tiny_grid):
    setting = open_setting(bvsb[0])
    views = compare(*bvsb, n_images=len(setting.pool), runs_dir=tiny_grid.runs_dir)
    for k in range(2):
        assert sum(v["asked"][k].sum() for v in views) == setting.query_size  # every asked superpixel is in one picture
    for v in views:
        assert v["image"].shape == (*v["ids"].shape, 3) and v["uncertainty"].shape == v["truth"].shape == v["ids"].shape
        assert len(v["asked"][0]) == v["ids"].max() + 1 and (v["uncertainty"] > 0).all() and (v["uncertainty"] <= 1).all()
        assert v["one_vs_rest"].shape == v["ids"].shape and 0 <= v["one_vs_rest"].min() and v["one_vs_rest"].max() <= np.log(2)
    smaller = [min(a.sum() for a in v["asked"]) for v in views]
    assert smaller == sorted(smaller, reverse=True)
    assert any((np.asarray(v["asked"][0]) != v["asked"][1]).any() for v in views)


def test_the_network_of_step_one_is_found_where_all_runs_have_it_from(bvsb, copied):
    (view,) = compare(*bvsb, bvsb[0], n_images=1, runs_dir=copied)
    assert view["titles"] == ["BvSB mean", "BvSB max", "BvSB mean"] and (view["asked"][0] == view["asked"][2]).all()
    assert view["asked_by"][:2] == [("bvsb", "mean"), ("bvsb", "max")]
    assert view["border_share"][:2] == [RunFolder(copied / c.run_id).steps()[1].border_share for c in bvsb]
    (copied / bvsb[0].step_one.run_id / "weights_step1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="keep_weights: all"):
        compare(*bvsb, runs_dir=copied)


def test_runs_that_are_not_there_or_began_differently_are_not_compared(bvsb, copied):
    other = bvsb[0].model_copy(update={"seed": 1})
    with pytest.raises(FileNotFoundError, match=r"has no query of step 2 .*; run it first"):
        compare(bvsb[0], other, runs_dir=copied)
    (copied / bvsb[1].run_id).rename(copied / other.run_id)
    with pytest.raises(ValueError, match="begin with different step 1; compare runs of one seed"):
        compare(bvsb[0], other, runs_dir=copied)


def test_the_context_of_an_object_is_background_that_touches_it(bvsb, copied):
    setting, (mean, best) = open_setting(bvsb[0]), (RunFolder(copied / c.run_id) for c in bvsb)
    offset, found = setting.superpixels.offset, 0
    common = setting.votes[:, :-1].sum(axis=0) > setting.votes[:, :-1].sum() / len(setting.dataset.classes)
    for i in range(len(setting.pool)):  # max asks one whole image, mean another
        for folder, j in ((mean, (i + 1) % len(setting.pool)), (best, i)):
            ids = np.arange(offset[j], offset[j + 1])
            folder.save_queries({2: Query(ids, np.zeros(len(ids), np.float32))})
        try:
            view = context(*bvsb, runs_dir=copied)
        except ValueError as error:
            assert "asked no more background around any object" in str(error)
            continue
        found += 1
        at = view["ids"][tuple(view["dots"].T)]
        assert view["name"] == setting.dataset.names[setting.pool[i]] and at.tolist() == np.flatnonzero(view["context"]).tolist()
        assert common[setting.votes[offset[i] + at, :-1].argmax(axis=1)].all()
        assert view["image"][view["window"]].shape == (16, 16, 3)
        for k, dot in zip(at, view["dots"], strict=True):
            assert view["uncertainty"][tuple(dot)] == view["uncertainty"][view["ids"] == k].max()
    assert found


def test_objects_are_connected_pixels_of_rare_classes_and_what_is_next_to_them():
    truth = np.array([[1, 0, 0, 2, 0, IGNORE], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.uint8)
    first, second = _objects(truth, np.array([True, False, False]))
    assert np.argwhere(first).tolist() == [[0, 0], [0, 1], [1, 0]]
    assert np.argwhere(second).tolist() == [[0, 2], [0, 3], [0, 4], [1, 3]]
    assert not list(_objects(np.ones((2, 2), np.uint8), np.array([True, False])))  # more than a quarter of the image


def test_a_window_is_half_the_image_and_inside_it():
    assert [_half(8, middle).start for middle in (0, 4, 7)] == [0, 2, 4] and _half(8, 7).stop == 8


def test_the_richest_answers_come_first_and_no_image_twice_while_there_are_others():
    count, size, image = np.array([1, 3, 2, 3, 0, 2]), np.array([9, 4, 5, 6, 9, 7]), np.array([0, 0, 0, 0, 1, 1])
    assert _richest(count, size, image).tolist() == [3, 5, 1, 2, 0]


def with_a_band_of_void(dataset):
    truth, maps = np.array(dataset.truth), dataset.superpixels.maps
    truth[:, 12:20] = IGNORE
    train, n, n_classes = dataset.split["train"], np.diff(dataset.superpixels.offset), len(dataset.classes)
    present = [classes_present(truth[i], ids, k, n_classes, trim=1) for i, ids, k in zip(train, maps, n, strict=True)]
    return replace(dataset, truth=truth, present=np.concatenate(present))


@pytest.mark.parametrize("undefined", ["drop", "keep"])
def test_a_view_shows_what_stage_two_made_of_an_answer(undefined, tiny, tiny_config, tmp_path, monkeypatch):
    data, weak = with_a_band_of_void(tiny), {"labeling": "weak", "classifier": "cosine", "undefined": undefined, "label_trim": 1}
    config = tiny_config(**weak, stage=2, steps=2, query_size=24, max_epochs=3)
    list(running.run(config, tmp_path, data))
    monkeypatch.setattr("oreal_lib.setting.dataset_of", lambda *a, **k: data)
    setting, folder = open_setting(config), RunFolder(tmp_path / config.run_id)
    offset, answers = setting.superpixels.offset, setting.oracle.answers
    asked = np.concatenate([q.ids for q in folder.queries().values()])
    asked = asked[answers[asked].any(axis=1)]
    views = pseudo_labeled(config, 2, 99, tmp_path)
    assert len(views) == len(asked) and any(len(data.classes) in v["named"] for v in views) == (undefined == "keep")
    reached = 0
    for v in views:
        i, k = setting.pool.tolist().index(data.names.index(v["name"])), v["superpixel"]
        own, stored = v["ids"] == k, folder.pseudo(2)[i]
        assert v["image"].shape == (*own.shape, 3) and v["truth"].shape == v["pseudo"].shape == own.shape
        assert v["named"].tolist() == np.flatnonzero(answers[offset[i] + k]).tolist()
        assert own[tuple(v["prototypes"].T)].all()
        assert v["pseudo"][own].tolist() == stored[setting.superpixels.maps[i] == k].tolist()
        around = (v["pseudo"] != IGNORE) & ~own
        assert set(v["pseudo"][around]) <= set(v["named"]) and not np.isin(offset[i] + v["ids"][around], asked).any()
        reached += around.sum()
    assert reached > 0
    with pytest.raises(FileNotFoundError, match=r"has no pseudo labels of step 1 .*keep_weights: all"):
        pseudo_labeled(config, 1, runs_dir=tmp_path)


def test_only_stage_two_has_pseudo_labels(tiny_config, tmp_path):
    with pytest.raises(ValueError, match="stage is 1, but only a run of stage two has pseudo labels"):
        pseudo_labeled(tiny_config(labeling="weak"), 1, runs_dir=tmp_path)
