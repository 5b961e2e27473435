"""Weak labels in the loop, and stage two: what is asked, paid, learned from, stored, and found again after a kill."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_resume import assert_same, start, stop_at_every_point
from torch import nn

from oreal_lib import loop
from oreal_lib.experiments.batch import refuse
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.experiments.stage_two import look, pseudo_labels_of, quality_of
from oreal_lib.models import NormalizeAndPad, build_model
from oreal_lib.predict import evaluate
from oreal_lib.setting import open_setting
from oreal_lib.storage.yaml_file import ConfigError
from oreal_lib.strategies import STRATEGIES
from oreal_lib.types import IGNORE
from oreal_lib.weak.labels import classes_present, void_last

WEAK = {"labeling": "weak", "classifier": "cosine", "label_trim": 3, "max_epochs": 1, "checkpoint_seconds": 60.0}


@pytest.fixture
def go(tiny, tiny_config, tmp_path):
    """Run the tiny config with weak labels and changes to its end: its steps, its folder, its config."""

    def go(dataset=tiny, runs_dir=tmp_path, **changes):
        config = tiny_config(**WEAK | changes)
        steps = list(run(config, runs_dir, dataset))
        return steps, RunFolder(runs_dir / config.run_id), config

    return go


def with_void(dataset):
    """The same images with a void band in every mask, so that "undefined" is an answer."""
    truth, train = np.array(dataset.truth), dataset.split["train"]
    truth[:, 12:] = IGNORE
    truth[:, :, 20:] = dataset.truth[:, :, 20:]
    sizes = np.diff(dataset.superpixels.offset)
    seen = [classes_present(truth[i], ids, n, 8) for i, ids, n in zip(train, dataset.superpixels.maps, sizes, strict=True)]
    return replace(dataset, truth=truth, native_truth=truth, present=np.concatenate(seen))


# stage one


@pytest.mark.parametrize("strategy, undefined", list(zip(STRATEGIES, ["drop", "keep"] * len(STRATEGIES), strict=False)))
def test_every_strategy_spends_its_clicks_and_the_true_cost_is_recorded(go, tiny, tiny_config, strategy, undefined):
    dataset = with_void(tiny)
    steps, folder, config = go(dataset, strategy=strategy, undefined=undefined, steps=2)
    setting, ids, spent = open_setting(config, dataset), [], 0
    for s, query in zip(steps, folder.queries().values(), strict=True):
        cost = setting.oracle.cost[query.ids]
        assert 8 <= cost.sum() < 8 + cost.max() and not set(query.ids) & set(ids)
        ids, spent = ids + query.ids.tolist(), spent + int(cost.sum())
        assert s.clicks == spent and s.labeled_fraction == len(ids) / 96
        assert s.class_counts == tuple(setting.oracle.answers[ids, :8].sum(0)) and len(s.class_iou) == 8
    outputs = folder.weights(2)["net.classifier.weight"].shape[0]
    assert outputs == setting.oracle.answers.shape[1] == 8 + (undefined == "keep")


def test_training_sees_the_answers_that_were_bought_and_no_others(go, tiny, monkeypatch):
    seen, fit = [], loop.fit
    monkeypatch.setattr(loop, "fit", lambda model, train, *a, **k: seen.append(train) or fit(model, train, *a, **k))
    _, folder, config = go()
    setting, bought = open_setting(config, tiny), np.zeros(96, bool)
    for train, query in zip(seen, folder.queries().values(), strict=True):
        bought[query.ids] = True
        answers = np.where(bought[:, None], setting.oracle.answers, False).reshape(6, 16, 8)  # 16 squares an image
        assert train.target is None and np.array_equal(train.answers, answers)
        assert train.trainable().tolist() == np.flatnonzero(answers.any(axis=(1, 2))).tolist()


def test_what_the_network_takes_for_void_is_asked_last(go, tiny, tiny_config):
    setting = open_setting(tiny_config(**WEAK, undefined="keep"), with_void(tiny))
    voids = np.arange(96) % 3 == 0
    left = void_last(setting.no_labels, voids, 8)
    assert np.array_equal(left.unlabeled, ~voids) and left.clicks == 0 and not left.class_counts().any()
    assert void_last(setting.no_labels, voids, 65).unlabeled.all()  # too few others: it is asked after all


def test_the_undefined_output_is_no_prediction(tiny, tiny_config):
    setting = open_setting(tiny_config(), tiny)
    model = build_model("small_unet", 9).eval()
    with torch.no_grad():
        model.net.classifier.bias[8] = 99.0
    pairs = setting.pairs(setting.val)
    assert evaluate(model, pairs)[0][:, 8].sum() == evaluate(model, pairs)[0].sum() > 0
    confusion = evaluate(model, pairs, undefined=True)[0]
    assert confusion.shape == (8, 8) and confusion.sum() == sum((np.asarray(t) != IGNORE).sum() for t in pairs.target)


def test_a_budget_that_the_pool_cannot_cost_is_refused(tiny, tiny_config):
    present = np.zeros_like(tiny.present)
    present[np.arange(len(present)) % 16 < 4, 0] = True  # 4 of the 16 superpixels of each of the pool's 6 images cost a click
    open_setting(tiny_config(**WEAK), replace(tiny, present=present))
    with pytest.raises(ValueError, match="27 clicks are asked for, but naming every class in the whole pool takes 24; lower"):
        open_setting(tiny_config(**WEAK, query_size=9), replace(tiny, present=present))


# stage two


def test_stage_two_learns_from_pseudo_labels_of_the_same_query(go, tiny, monkeypatch):
    seen, fit = [], loop.fit
    monkeypatch.setattr(loop, "fit", lambda *args: seen.append((args[3], args[1])) or fit(*args))
    steps, second, config = go(stage=2, stage_two_learning_rate=0.002, keep_weights="all")
    first = RunFolder(second.path.parent / config.stage_one.run_id)
    assert first.done and [s.clicks for s in first.steps()] == [s.clicks for s in steps] and len(seen) == 6
    assert all(np.array_equal(first.queries()[t].ids, second.queries()[t].ids) for t in (1, 2, 3))
    assert [c.learning_rate for c, _ in seen] == [0.004] * 3 + [0.002] * 3
    setting, labels = open_setting(config, tiny), open_setting(config, tiny).no_labels
    for t, (_, train) in enumerate(seen[3:], start=1):
        labels = setting.oracle.answer(labels, second.queries()[t].ids, t)
        model = build_model("small_unet", 8, classifier="cosine").to(memory_format=torch.channels_last)
        model.load_state_dict(first.weights(t))
        expected = list(pseudo_labels_of(model, setting, labels, config))
        assert all(np.array_equal(a, b) for a, b in zip(expected, train.target, strict=True)) and train.answers is None
        assert all(np.array_equal(a, b) for a, b in zip(expected, second.pseudo(t), strict=True))
        assert quality_of(expected, setting, labels) == steps[t - 1].pseudo
        for i, maps in enumerate(expected):  # every pixel of an answered superpixel has one of its classes
            answer = labels.present[16 * i : 16 * i + 16][setting.superpixels.maps[i]]
            assert (maps[~answer.any(-1)] != IGNORE).mean() < 1 and (maps[answer.any(-1)] != IGNORE).all()
            assert np.take_along_axis(answer, maps.astype(int)[..., None] % 8, -1)[answer.any(-1)].all()


def test_stage_two_of_dominant_labels_keeps_them_and_labels_neighbors(go, tiny):
    steps, second, config = go(labeling="dominant", stage=2, steps=1, keep_weights="all")
    setting = open_setting(config, tiny)
    labels = setting.oracle.answer(setting.no_labels, second.queries()[1].ids, 1)
    painted, pseudo = np.asarray(setting.oracle.paint(labels, setting.superpixels)), np.stack(list(second.pseudo(1)))
    bought = painted != IGNORE
    assert np.array_equal(pseudo[bought], painted[bought]) and 0 < (pseudo[~bought] != IGNORE).mean() < 1
    assert steps[0].clicks == 8 and steps[0].pseudo["several_accuracy"] is None
    assert "-dominant2-" in second.path.name and "-dominant-s0-" in config.stage_one.run_id


def test_stage_two_without_the_networks_of_stage_one_says_what_to_do_and_trains_nothing(go, tiny_config, tmp_path, monkeypatch):
    go(keep_weights="last")
    monkeypatch.setattr(loop, "fit", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(
        FileNotFoundError, match=r"weights_step1.*move the folder .*: stage one is then trained anew and keeps them"
    ):
        go(stage=2)
    with pytest.raises(ConfigError, match=r"nothing was started, because run .*weak2.* cannot work: stage two needs the network"):
        refuse((tiny_config(**WEAK, stage=2),), tmp_path)


def test_a_stage_one_of_other_data_is_refused(go):
    _, first, _ = go(keep_weights="all")
    first.save_json("config.json", first.config | {"inputs": {"votes": "content:others"}})
    with pytest.raises(ValueError, match="was made from other votes than those given now"):
        go(stage=2)


def test_a_stage_one_computed_anew_is_told_from_the_one_that_was_continued(go):
    _, first, _ = go(keep_weights="all")
    _, second, _ = go(stage=2, keep_weights="all")
    (second.path / "done.json").unlink()
    second.save_steps(second.steps()[:2])
    queries = first.queries()
    first.save_queries(queries | {3: queries[3]._replace(ids=queries[3].ids[::-1].copy())})
    with pytest.raises(ValueError, match=r"asked something else in step 3 .*: move the folder of stage two away"):
        go(stage=2, keep_weights="all")


@pytest.mark.slow
def test_stage_two_waits_while_another_process_computes_its_stage_one(tiny_config, tiny_store, tmp_path):
    config = tiny_config(**WEAK, stage=2, steps=1)
    attempts = []
    for flip in (False, True):
        given = config.values() | {"pseudo_flip": flip}, str(tmp_path), str(tiny_store)
        attempts.append(multiprocessing.get_context("spawn").Process(target=start, args=given))
        attempts[-1].start()
    for attempt in attempts:
        attempt.join()
    assert [attempt.exitcode for attempt in attempts] == [0, 0]
    assert len(list(tmp_path.glob("*/done.json"))) == 6  # stage one, two stages two, and the first step of each


def test_stage_two_killed_at_every_point_ends_as_if_undisturbed(tiny_config, tiny_store, tmp_path):
    config = tiny_config(**WEAK | {"stage": 2, "steps": 2, "checkpoint_seconds": 0.0})
    start(config.values(), tmp_path / "twin", tiny_store)
    first = config.stage_one  # its own kills: test_resume.py
    start(first.values(), tmp_path / "killed", tiny_store)
    points = stop_at_every_point(config.values(), tmp_path / "killed", tiny_store)
    for one in (config.stage_one, config):
        killed, undisturbed = (RunFolder(tmp_path / name / one.run_id) for name in ("killed", "twin"))
        assert_same(killed, undisturbed)
        for t in (1, 2):
            a, b = killed.pseudo(t), undisturbed.pseudo(t)
            assert a is b is None or all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    own, shared = config.run_id, config.step_one.run_id
    wanted = {f"{run} step 1: {kind} pseudo_step1.npz" for run in (own, shared) for kind in ("half written", "written")}
    wanted |= {f"{own} step 2: {kind} pseudo_step2.npz" for kind in ("half written", "written")}
    assert set(points) >= wanted | {f"{own} step 3: deleted pseudo_step1.npz", f"{own} step 3: half written done.json"}


# what the network shows of an image


class Pointwise(nn.Module):
    """Features of a pixel that depend on its color alone, at full size: scale and mirror change nothing but interpolation."""

    mean, std, multiple = (0.5,) * 3, (0.25,) * 3, 8

    def __init__(self):
        super().__init__()
        self.color, self.classifier = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 4, 1)

    def features_and_logits(self, x):
        features = self.color(x)
        return features, self.classifier(features)


def blocks(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (3, 5, 3)).repeat(10, 0).repeat(8, 1).astype(np.uint8)


def test_mirror_images_and_scales_are_put_back_in_place(tiny_config):
    torch.manual_seed(0)
    model, image = NormalizeAndPad(Pointwise()), blocks()
    plain, logits, covered = look(model, image, tiny_config(**WEAK))
    assert covered == (32, 40) and plain.shape == (5, 32, 40) and logits.shape == (4, 30, 40)
    both, mean, size = look(model, image, tiny_config(**WEAK, stage=2, pseudo_flip=True))
    assert size == (30, 40) and torch.allclose(both, plain[:, :30], atol=1e-5) and torch.allclose(mean, logits, atol=1e-5)
    many, mean, _ = look(model, image, tiny_config(**WEAK, stage=2, pseudo_flip=True, pseudo_scales=[0.5, 1.0, 1.5]))
    inner = np.s_[:, 4::10, 4::8]  # the middle of each block, where interpolation mixes nothing
    assert torch.allclose(many[inner], plain[:, :30][inner], atol=1e-4) and torch.allclose(mean[inner], logits[inner], atol=1e-4)
    assert torch.allclose(many.norm(dim=0), torch.ones(30, 40), atol=1e-5)


def test_cosines_lose_their_temperature(tiny_config):
    model, image = build_model("small_unet", 8, classifier="cosine", temperature=0.1), blocks()
    _, logits, _ = look(model, image, tiny_config(**WEAK))
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    assert torch.allclose(logits * 10, model(x)[0], atol=1e-4) and logits.abs().max() <= 1 + 1e-5
