"""Runs with a pretrained, frozen encoder: features once, then the loop as ever."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_resume import assert_same, start, stop_at_every_point

from oreal_lib.config import RunConfig
from oreal_lib.data import features, open_store
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.explore.question import open_run, question
from oreal_lib.explore.view import probabilities
from oreal_lib.loop import view_of_pool
from oreal_lib.reports.selections import compare, pseudo_labeled
from oreal_lib.setting import open_setting
from oreal_lib.storage.yaml_file import ConfigError
from oreal_lib.train import fit as train_fit
from oreal_lib.types import IGNORE

FROZEN = {
    "model": "linear_tf_efficientnet_lite0",
    "weights": "imagenet",
    "encoder": "frozen",
    "learning_rate": 0.01,
    "epoch_batches": 3,
    "warm_start": False,
    "steps": 2,
}


@pytest.fixture(scope="module")
def frozen(tiny_config):
    """A function: the tiny config with a frozen encoder and some values changed."""
    return lambda **changes: tiny_config(**FROZEN | changes)


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    """Where features are kept, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OREAL_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def go(tiny, frozen, tmp_path):
    """Run the frozen config with some values changed to its end: its steps, its folder."""

    def go(runs_dir=tmp_path, **changes):
        config = frozen(**changes)
        return list(run(config, runs_dir, tiny)), RunFolder(runs_dir / config.run_id)

    return go


def test_a_frozen_run_learns_and_keeps_only_what_it_trains(go, tiny, frozen):
    steps, folder = go(supervision="full_masks", full_max_epochs=40, patience=40, epoch_batches=20)
    assert steps[0].miou > 0.15 and steps[0].epochs == 40  # the most frequent class alone: 0.07
    weights = folder.weights(1)
    assert {name.split(".")[0] for name in weights} == {"head"} and sum(w.numel() for w in weights.values()) < 500 * 10
    setting = open_setting(frozen(), tiny)
    assert setting.features[setting.pool[:1]].images[0].shape == (32, 32, 3) and setting.inputs[0].shape == (4, 4, 496)
    pairs = setting.pairs(setting.val)
    assert pairs.images[0].dtype == np.float16 and np.array_equal(pairs.target[0], tiny.native_truth[setting.val[0]])


def test_killed_at_every_point_it_ends_as_if_undisturbed(frozen, tiny_store, tmp_path):
    values = frozen(model="mlp_tf_efficientnet_lite0").values()
    points = stop_at_every_point(values, tmp_path / "a", tiny_store)
    start(values, tmp_path / "b", tiny_store)
    name = RunConfig.make(values).run_id
    assert_same(RunFolder(tmp_path / "a" / name), RunFolder(tmp_path / "b" / name))
    assert any("written checkpoint.pt" in point for point in points)


def test_kept_or_not_the_results_are_the_same(go, tmp_path, monkeypatch):
    kept, _ = go()
    monkeypatch.setenv("OREAL_HOME", str(tmp_path / "empty"))
    computed, _ = go(tmp_path / "other", keep_features=False)
    assert [replace(s, seconds={}, speed={}) for s in kept] == [replace(s, seconds={}, speed={}) for s in computed]
    assert not [*tmp_path.glob("empty/**/*.npy")]


@pytest.mark.parametrize("mirrored", [0.0, 0.5])
def test_each_labeled_position_is_learned_from_and_mirror_images_count_twice(tiny, frozen, mirrored):
    setting = open_setting(frozen(augment_hflip=mirrored), tiny)
    labels = setting.oracle.answer(setting.no_labels, np.array([0, 5, 40]), 1)
    pairs, painted = setting.bought(labels), setting.oracle.paint(labels, setting.superpixels)
    small = np.stack([p[4::8, 4::8] for p in painted])
    found = [
        tuple(x[at]) for x, y in zip(pairs.images, pairs.target, strict=True) for at in zip(*np.nonzero(y != IGNORE), strict=True)
    ]
    seen = setting.features[setting.pool]
    wanted = [tuple(seen[i][row, column]) for i, row, column in zip(*np.nonzero(small != IGNORE), strict=True)]
    assert wanted and {*wanted} <= {*found} and len(found) == len(wanted) * (1 + (mirrored > 0))


def test_labels_that_the_first_training_contradicts_are_left_out(go, monkeypatch):
    """With positions that mean nothing side by side, what is believed is decided on the pictures themselves."""
    learned = []

    def fit(model, train, *others):
        learned.append(sum(np.count_nonzero(np.asarray(y) != IGNORE) for y in train.target))
        return train_fit(model, train, *others)

    monkeypatch.setattr("oreal_lib.loop.fit", fit)
    steps, _ = go(drop_contradicted=0.9, augment_hflip=0.5, learning_rate=1e-5)  # too little to fit its labels
    assert len(steps) == 2 and 0 < learned[1] < learned[0] and 0 < learned[3] < learned[2]


@pytest.mark.parametrize("first", ["random", "features"])
def test_weak_labels_and_stage_two_work_on_features(go, tiny, frozen, first):
    weak = {"labeling": "weak", "classifier": "cosine", "label_trim": 3, "max_epochs": 1, "first": first, "augment_hflip": 0.5}
    steps, folder = go(**weak, stage=2, strategy="bvsb", aggregate="max")
    assert len(steps) == 2 and steps[1].pseudo["inside_accuracy"] > 0.3
    assert folder.pseudo(2)[0].shape == (32, 32)
    setting = open_setting(frozen(**weak), tiny)
    pairs = setting.bought(setting.oracle.answer(setting.no_labels, np.array([3, 17]), 1))
    assert pairs.ids.shape == (12, 4, 4) and pairs.answers[0, 3].any() and np.array_equal(pairs.ids[6], pairs.ids[0][:, ::-1])


def test_a_first_step_can_be_spread_over_the_features(go, tiny, frozen):
    random, spread = go()[1].queries()[1].ids, go(first="features")[1].queries()[1].ids
    assert len({*spread}) == len(spread) == 8 and {*spread} != {*random}
    config = frozen(first="features")
    assert config.step_one.first == "features" and config.step_one.run_id != frozen().step_one.run_id
    again = go(first="features", strategy="bvsb", aggregate="mean")[1].queries()[1].ids
    assert np.array_equal(again, spread)  # shared by all strategies of a seed


def test_the_view_of_the_pool_has_the_size_of_the_pictures(tiny, frozen):
    setting = open_setting(frozen(), tiny)
    p = next(view_of_pool(setting, setting.network(frozen()), frozen()).predict())
    assert p.shape == (8, 32, 32) and torch.allclose(p.sum(dim=0), torch.ones(32, 32))


def test_explorers_and_pictures_read_a_frozen_run(go, frozen, tmp_path, tiny, monkeypatch):
    changes = {"keep_weights": "all", "strategy": "bvsb"}
    configs = [frozen(**changes, aggregate=how) for how in ("mean", "max")]
    for how in ("mean", "max"):
        go(**changes, aggregate=how)
    monkeypatch.setattr("oreal_lib.setting.dataset_of", lambda config: tiny)
    opened = open_run(configs[0], tmp_path)
    assert probabilities(opened, question(opened, 2), 0).shape == (8, 32, 32)
    seen = compare(*configs, step=2, n_images=1, runs_dir=tmp_path)[0]
    assert seen["image"].shape == (32, 32, 3) and seen["uncertainty"].shape == (32, 32)
    weak = frozen(**changes, aggregate="max", labeling="weak", classifier="cosine", stage=2)
    go(**changes, aggregate="max", labeling="weak", classifier="cosine", stage=2)
    assert pseudo_labeled(weak, 2, 1, tmp_path)[0]["pseudo"].ndim == 2


def test_equal_frozen_runs_have_equal_ids(frozen):
    assert frozen(augment_gain=0.3, head_factor=10.0).run_id == frozen().run_id != frozen(augment_hflip=0.0).run_id
    assert frozen(keep_features=False).run_id == frozen().run_id


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {"model": "small_unet"},
            "'frozen': model is small_unet, but must be linear_<backbone> or mlp_<backbone>; change that, or",
        ),
        ({"weights": "none"}, "weights is none, but must be imagenet or a file; change that, or write encoder: trained"),
        (
            {"resize": "crop", "epoch_batches": None},
            "resize is crop, but must be square; epoch_batches is None, but must be a number",
        ),
        ({"pseudo_flip": True}, "pseudo_flip: false"),
        ({"encoder": "trained", "first": "features"}, "only a frozen encoder has them; write encoder: frozen or first: random"),
    ],
)
def test_what_a_frozen_encoder_cannot_do_is_refused(frozen, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        frozen(**change)


def test_pictures_of_several_sizes_are_refused(tiny, frozen, tiny_store):
    from oreal_lib.storage.ragged import Ragged

    images = [np.asarray(image) for image in open_store(tiny_store).images]
    images[3] = images[3][:16]
    with pytest.raises(ValueError, match="needs images of one size, but these are of several; give a height and width"):
        features.features_of(frozen(), Ragged(tuple(images)), np.arange(3), np.arange(3))
