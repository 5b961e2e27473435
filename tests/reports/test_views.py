from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from oreal_lib import draw
from oreal_lib.config import RunConfig
from oreal_lib.experiments import run as running
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports import figures
from oreal_lib.reports.selections import _half, _objects, _richest, context, mean_and_max, pseudo_labeled, rivals, selections
from oreal_lib.setting import open_setting
from oreal_lib.types import IGNORE, Query
from oreal_lib.weak.labels import classes_present


def test_the_pair_differs_only_in_mean_and_max():
    configs = [
        RunConfig.from_yaml("toy", strategy=strategy, aggregate=how, seed=seed)
        for strategy, how, seed in [
            ("random", "mean", 0),
            ("cbal", "mean", 0),
            ("cbal", "max", 1),
            ("oreal", "max", 1),
            ("oreal", "mean", 1),
        ]
    ]
    a, b = mean_and_max(configs)
    assert (a.column, b.column, a.seed) == ("oreal mean", "oreal max", 1)
    with pytest.raises(ValueError, match="no two runs of cbal that differ only in mean and max"):
        mean_and_max(configs, "cbal")


def test_a_view_shows_what_the_two_runs_asked(tiny, tiny_config, tmp_path, monkeypatch):
    pair = [tiny_config(strategy="bvsb", aggregate=how, keep_weights="all", steps=2) for how in ("mean", "max")]
    for config in pair:
        list(running.run(config, tmp_path, tiny))
    monkeypatch.setattr("oreal_lib.setting.load_dataset", lambda *a, **k: tiny)
    setting = open_setting(pair[0], tiny)
    views = selections(*pair, step=2, n_images=len(setting.pool), runs_dir=tmp_path)
    for k in range(2):
        assert sum(v["asked"][k].sum() for v in views) == setting.query_size  # every asked superpixel is in one picture
    for v in views:
        assert v["image"].shape == (*v["ids"].shape, 3) and v["uncertainty"].shape == v["truth"].shape == v["ids"].shape
        assert len(v["asked"][0]) == v["ids"].max() + 1 and (v["uncertainty"] > 0).all() and (v["uncertainty"] <= 1).all()
    smaller = [min(a.sum() for a in v["asked"]) for v in views]
    assert smaller == sorted(smaller, reverse=True)
    assert any((np.asarray(v["asked"][0]) != v["asked"][1]).any() for v in views)


def test_a_run_that_is_not_there_is_named(tiny_config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no query of step 2 .*; run it first"):
        selections(tiny_config(), tiny_config(), runs_dir=tmp_path)


def test_rivals_began_with_the_same_network():
    runs = [("random", "mean", 0), ("bvsb", "mean", 0), ("oreal", "max", 0), ("oreal", "max", 1), ("oreal", "top_0.5", 0)]
    configs = [RunConfig.from_yaml("toy", strategy=strategy, aggregate=how, seed=seed) for strategy, how, seed in runs]
    assert rivals(configs) == {"small_unet": [configs[1], configs[2]]}


@pytest.fixture
def bvsb(tiny, tiny_config, tmp_path, monkeypatch):
    """BvSB by mean and by max, two steps, carried out in tmp_path without the weights of step 1 that they began with."""
    pair = [tiny_config(strategy="bvsb", aggregate=how, steps=2) for how in ("mean", "max")]
    for config in pair:
        list(running.run(config, tmp_path, tiny))
        assert not (tmp_path / config.run_id / "weights_step1.safetensors").exists()
    monkeypatch.setattr("oreal_lib.setting.load_dataset", lambda *a, **k: tiny)
    return pair


def test_the_network_of_step_one_is_found_where_all_runs_have_it_from(bvsb, tmp_path):
    (view,) = selections(*bvsb, bvsb[0], n_images=1, runs_dir=tmp_path)
    assert view["columns"] == ["bvsb mean", "bvsb max", "bvsb mean"] and (view["asked"][0] == view["asked"][2]).all()
    steps = [RunFolder(tmp_path / c.run_id).steps()[1] for c in bvsb]
    assert view["border_share"][:2] == [s.border_share for s in steps]
    assert (
        view["one_vs_rest"].shape == view["ids"].shape and 0 <= view["one_vs_rest"].min() and view["one_vs_rest"].max() <= np.log(2)
    )
    (tmp_path / bvsb[0].step_one.run_id / "weights_step1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="keep_weights: all"):
        selections(*bvsb, runs_dir=tmp_path)


def test_runs_that_began_differently_are_not_compared(bvsb, tmp_path):
    other = bvsb[0].model_copy(update={"seed": 1})
    RunFolder(tmp_path / other.run_id).path.mkdir()
    RunFolder(tmp_path / other.run_id).save_queries(RunFolder(tmp_path / bvsb[0].run_id).queries())
    with pytest.raises(ValueError, match="begin with different step 1; compare runs of one seed"):
        selections(bvsb[0], other, runs_dir=tmp_path)


def test_the_context_of_an_object_is_background_that_touches_it(bvsb, tmp_path):
    setting, mean, best = open_setting(bvsb[0]), RunFolder(tmp_path / bvsb[0].run_id), RunFolder(tmp_path / bvsb[1].run_id)
    offset, found = setting.superpixels.offset, 0
    common = setting.votes[:, :-1].sum(axis=0) > setting.votes[:, :-1].sum() / len(setting.dataset.classes)
    for i in range(len(setting.pool)):  # max asks one whole image, mean another
        for folder, j in ((mean, (i + 1) % len(setting.pool)), (best, i)):
            ids = np.arange(offset[j], offset[j + 1])
            folder.save_queries({2: Query(ids, np.zeros(len(ids), np.float32))})
        try:
            view = context(*bvsb, runs_dir=tmp_path)
        except ValueError as error:
            assert "asked no more background around any object" in str(error)
            continue
        found += 1
        at = view["ids"][tuple(view["dots"].T)]
        assert view["name"] == setting.dataset.names[setting.pool[i]] and at.tolist() == np.flatnonzero(view["context"]).tolist()
        assert common[setting.votes[offset[i] + at, :-1].argmax(axis=1)].all() and view["image"][view["window"]].shape == (
            16,
            16,
            3,
        )
        for k, dot in zip(at, view["dots"], strict=True):
            assert view["uncertainty"][tuple(dot)] == view["uncertainty"][view["ids"] == k].max()
    assert found


def test_objects_are_connected_pixels_of_rare_classes_and_what_is_next_to_them():
    truth = np.array([[1, 0, 0, 2, 0, IGNORE], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.uint8)
    first, second = _objects(truth, np.array([True, False, False]))
    assert np.argwhere(first).tolist() == [[0, 0], [0, 1], [1, 0]]
    assert np.argwhere(second).tolist() == [[0, 2], [0, 3], [0, 4], [1, 3]]
    assert not list(_objects(np.ones((2, 2), np.uint8), np.array([True, False])))  # more than a quarter of the image


@pytest.mark.parametrize("middle, start", [(0, 0), (4, 2), (7, 4)])
def test_a_window_is_half_the_image_and_inside_it(middle, start):
    assert _half(8, middle) == slice(start, start + 4)


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
    monkeypatch.setattr("oreal_lib.setting.load_dataset", lambda *a, **k: data)
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


def test_pseudo_labels_are_strong_inside_pale_around_and_nowhere_else():
    truth = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, IGNORE]], np.uint8)
    view = {
        "image": np.full((2, 5, 3), 100, np.uint8),
        "truth": truth,
        "ids": np.array([[4, 0, 0, 1, 2], [4, 0, 0, 1, 2]]),
        "superpixel": 0,
        "named": np.array([0, 1]),
        "prototypes": np.array([[0, 1], [1, 2]]),
        "pseudo": np.array([[IGNORE, 0, 1, 1, IGNORE], [IGNORE, 0, 0, 0, IGNORE]], np.uint8),
        "classes": ("sky", "road", "car"),
        "name": "hand made",
    }
    fig, axes = plt.subplots(1, 4)
    figures.draw_pseudo_labels(view, axes)
    answer, pseudo = (np.asarray(ax.images[0].get_array()) for ax in axes[1:3])
    scale = answer.shape[0] // 2
    sky, road, _ = (tuple(color) for color in draw.class_palette(3))
    assert {tuple(c) for c in answer[:, scale : 3 * scale].reshape(-1, 3)} == {sky, road}  # somewhere in it, not where
    middle = pseudo[scale // 2 :: scale, scale // 2 :: scale].astype(int)  # each pixel once
    assert tuple(middle[0, 1]) == sky and tuple(middle[0, 2]) == road
    gray = middle[0, 0]
    assert len(set(gray)) == 1 and (middle[:, 4] == gray).all()
    assert np.allclose(middle[0, 3], 0.6 * np.array(road) + 0.4 * gray, atol=1)
    assert "75 % right inside, 50 % around" in axes[2].get_title() and "sky, road" in axes[1].get_title()
    marked = [(line.get_xdata()[0] // scale, line.get_ydata()[0] // scale) for line in axes[0].lines if len(line.get_xdata())]
    assert marked == [(1, 0), (2, 1)]
    assert [t.get_text() for t in axes[3].get_legend().get_texts()] == ["sky", "road", "void"]
    plt.close(fig)
