import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from trees import folder_tree

from oreal_lib import loop
from oreal_lib.config import RunConfig
from oreal_lib.experiments import run as running
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.metrics import miou
from oreal_lib.oracle import Oracle, class_votes
from oreal_lib.predict import evaluate
from oreal_lib.setting import network, open_setting
from oreal_lib.storage import provenance
from oreal_lib.storage.progress import lines_to
from oreal_lib.strategies import STRATEGIES
from oreal_lib.types import IGNORE, Labels


@pytest.fixture
def go(tiny, tiny_config, tmp_path):
    """Run the tiny config with changes to its end: its steps and its folder."""

    def go(dataset=tiny, runs_dir=tmp_path, **changes):
        config = tiny_config(**{"max_epochs": 1, "checkpoint_seconds": 60.0, **changes})
        steps = list(run(config, runs_dir, dataset))
        return steps, RunFolder(runs_dir / config.run_id)

    return go


def counted(truth, superpixels):
    """The votes of superpixels, counted anew."""
    sizes = np.diff(superpixels.offset)
    return np.concatenate([class_votes(t, ids, n, 8) for t, ids, n in zip(truth, superpixels.maps, sizes, strict=True)])


def with_truth(dataset, truth):
    """The same images with other masks."""
    votes = counted(truth[dataset.split["train"]], dataset.superpixels)
    return replace(dataset, truth=truth, native_truth=truth, votes=votes)


def asked(folder):
    return [q.ids.tolist() for _, q in sorted(folder.queries().items())]


def same(a, b):
    """Two runs, all but how fast they were."""
    return [replace(s, seconds={}, speed={}) for s in a[0]] == [replace(s, seconds={}, speed={}) for s in b[0]] and asked(
        a[1]
    ) == asked(b[1])


# what a run asks


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_asks_q_new_superpixels_of_the_pool_per_step(go, tiny, tiny_config, strategy):
    steps, folder = go(strategy=strategy, steps=2)
    queries = asked(folder)
    assert [len(q) for q in queries] == [8, 8] and len(set(queries[0] + queries[1])) == 16
    assert min(queries[0] + queries[1]) >= 0 and max(queries[0] + queries[1]) < 96
    assert [(s.step, s.clicks, s.epochs) for s in steps] == [(1, 8, 1), (2, 16, 1)]
    answers = open_setting(tiny_config(), tiny).oracle.answers
    for s, so_far in zip(steps, (queries[0], queries[0] + queries[1]), strict=True):
        assert s.class_counts == tuple(answers[so_far].sum(0)) and sum(s.class_counts) <= s.clicks
        assert s.labeled_fraction == s.clicks / 96 == s.labeled_pixels  # squares of one size
        assert 0 <= s.border_share <= 1 and 0 <= s.miou <= 1 and 0 <= s.boundary_miou <= 1 and 0 <= s.val_miou <= 1
        assert np.nanmean(np.array(s.class_iou, float)) == pytest.approx(s.miou, abs=1e-6)
        assert set(s.seconds) == {"query", "train", "test"} and (min(s.seconds.values()) > 0) == (s.step == 2)
        assert s.from_run.startswith("toy-small_unet-random-dominant-s0-") == (s.step == 1)


def test_the_same_config_twice_is_the_same_run_and_another_seed_is_another(go, tmp_path):
    a, b, c = (go(runs_dir=tmp_path / name, seed=seed, steps=2) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert same(a, b) and not same(a, c)


@pytest.mark.parametrize("strategy", ["oreal", "cbal", "pixelbal"])
def test_a_label_that_was_not_bought_is_never_seen(go, tiny, tiny_config, tmp_path, strategy):
    """Everything the oracle was not asked is replaced by nonsense: the run does not notice."""
    before = go(runs_dir=tmp_path / "a", strategy=strategy)
    setting, rng = open_setting(tiny_config(), tiny), np.random.default_rng(0)
    bought = np.concatenate(asked(before[1]))
    truth = np.array(tiny.truth)
    for position, image in enumerate(setting.pool):
        for local, ids in enumerate(range(*setting.superpixels.offset[position : position + 2])):
            inside = setting.superpixels.maps[position] == local
            if ids not in bought:
                truth[image][inside] = rng.choice([*range(8), IGNORE], inside.sum())
            elif setting.oracle.answers[ids].any():
                truth[image][inside] = setting.oracle.answers[ids].argmax()  # only the answer itself was told
    unused = np.setdiff1d(tiny.split["train"], np.concatenate([setting.pool, setting.val]))
    truth[unused] = rng.integers(0, 8, truth[unused].shape)
    assert len(unused) == 3 and (truth != tiny.truth).mean() > 0.2
    after = go(dataset=with_truth(tiny, truth), runs_dir=tmp_path / "b", strategy=strategy)
    assert asked(before[1]) == asked(after[1])
    seen = [[(s.val_miou, s.miou, s.class_iou, s.class_counts) for s in steps] for steps in (before[0], after[0])]
    assert seen[0] == seen[1]


def test_training_sees_only_what_was_painted_and_all_of_it(go, tiny, tiny_config, monkeypatch):
    targets, fit = [], loop.fit
    monkeypatch.setattr(loop, "fit", lambda model, train, *a, **k: targets.append(train.target) or fit(model, train, *a, **k))
    _, folder = go()
    setting = open_setting(tiny_config(), tiny)
    bought = np.zeros(96, bool)
    for target, query in zip(targets, asked(folder), strict=True):
        bought[query] = True
        inside = bought[setting.superpixels.maps + setting.superpixels.offset[:-1, None, None]]
        target = np.asarray(target)
        assert (target[~inside] == IGNORE).all() and (target[inside] != IGNORE).mean() > 0.9


def test_a_run_whose_answers_are_all_void_goes_on(go, tiny, tiny_config):
    truth = np.array(tiny.truth)
    truth[open_setting(tiny_config(), tiny).pool] = IGNORE
    steps, folder = go(dataset=with_truth(tiny, truth), steps=2, keep_weights="all")
    assert [(s.clicks, s.epochs, sum(s.class_counts)) for s in steps] == [(8, 0, 0), (16, 0, 0)]
    one, two = folder.weights(1), folder.weights(2)
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


# full supervision


def test_full_supervision_is_one_step(go, monkeypatch, tiny, tiny_config):
    targets, fit = {}, loop.fit
    monkeypatch.setattr(loop, "fit", lambda model, train, *a, **k: targets.update(k=train.target) or fit(model, train, *a, **k))
    setting = open_setting(tiny_config(), tiny)
    (masks,), folder = go(supervision="full_masks")
    assert (targets["k"] == tiny.truth[setting.pool]).all() and not (folder.path / "queries.npz").exists()
    assert (masks.clicks, masks.labeled_fraction, masks.border_share, masks.epochs) == (0, 0.0, None, 2)  # no superpixel is bought
    (dominant,), _ = go(supervision="full_dominant")
    assert (dominant.clicks, dominant.labeled_fraction, dominant.labeled_pixels, dominant.border_share) == (96, 1.0, 1.0, None)
    assert dominant.class_counts == tuple(setting.oracle.answers.sum(0))
    right = targets["k"] == tiny.truth[setting.pool]
    assert 0.6 < right.mean() < 1  # the price of the dominant label
    (longer,), _ = go(supervision="full_masks", patience=1, full_min_epochs=4, full_max_epochs=4)
    assert longer.epochs == 4


# what is refused, and when


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"query_size": 33}, r"3 steps of 33 superpixels ask for 99, but the pool has 96; lower steps or query_size"),
        ({"query_size": None, "query_share": 0.34}, r"3 steps of 33 .* has 96"),
        ({"query_size": None, "query_share": 0.001}, r"query_share 0\.001 of the pool's 96 superpixels is less than one; raise it"),
        ({"strategy": "pixelbal", "strategy_options": {"mu": 6}}, r"strategy pixelbal has no option 'mu'; it knows: nu"),
        ({"train_images": 10}, r"train_images is 10, but the pool has 9"),
        ({"val_images": 12}, r"12 of 12 training images were asked for validation"),
        ({"device": "gpu"}, r"device is 'gpu'"),
    ],
)
def test_what_cannot_work_is_refused_before_training(go, monkeypatch, changes, sentence):
    monkeypatch.setattr(loop, "fit", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match=sentence):
        go(**changes)


def test_images_without_labels_to_validate_or_test_on_are_refused(go, tiny, tiny_config):
    test, val = np.array(tiny.truth), np.array(tiny.truth)
    test[tiny.split["test"]] = val[open_setting(tiny_config(), tiny).val] = IGNORE
    for broken, sentence in [
        (replace(tiny, truth=val), "none of the 3 validation images has a labeled pixel"),
        (replace(tiny, truth=test), "none of the 4 test images has a labeled pixel"),
        (replace(tiny, split=tiny.split | {"test": np.array([], int)}), "there is no test split, so there is no mIoU"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            go(dataset=broken)


def test_a_run_on_binary_masks_whose_255_is_void_stops_instead_of_reaching_100_percent(go, tiny, tiny_config):
    truth, votes = np.array(tiny.truth), np.zeros_like(tiny.votes)
    truth[truth > 0] = IGNORE
    votes[:, 0], votes[:, -1] = tiny.votes[:, 0], tiny.votes[:, 1:].sum(axis=1)
    with pytest.raises(
        ValueError, match=r"nothing to learn: the masks hold only tissue and void, organ and 6 other.*save it as 1 or"
    ):
        go(dataset=replace(tiny, truth=truth, votes=votes))
    truth[tiny.split["test"][0], 0, 0] = 1  # a class that occurs elsewhere: the masks are what they say
    open_setting(tiny_config(), replace(tiny, truth=truth, votes=votes))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_class_is_refused_by_every_strategy_in_one_sentence(go, tiny, monkeypatch, strategy):
    monkeypatch.setattr(loop, "fit", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"^'tool' is the only class, so there is nothing to tell apart; add one, such as"):
        go(dataset=replace(tiny, classes=("tool",)), strategy=strategy)


def test_the_whole_pool_can_be_asked(go):
    steps, folder = go(query_size=32)
    assert steps[-1].labeled_fraction == 1 and sorted(np.concatenate(asked(folder))) == list(range(96))


def test_a_run_that_is_being_computed_is_not_computed_twice(go, tiny, tiny_config, tmp_path):
    config = tiny_config(max_epochs=1)
    first = run(config, tmp_path, tiny)
    next(first)
    with pytest.raises(RuntimeError, match=rf"run {config.run_id} is being computed in this process already; finish"):
        go()
    first.close()  # a consumer that stops early gives the run free, after any step
    assert len(go()[0]) == 3


# options of a run


def test_a_cold_start_trains_from_the_same_weights_in_each_step(go, monkeypatch, tmp_path):
    starts, fit = [], loop.fit

    def spy(model, *args, **kwargs):
        starts.append({k: v.clone() for k, v in model.state_dict().items()})
        return fit(model, *args, **kwargs)

    def equal(a, b):
        return all(torch.equal(a[k], b[k]) for k in a)

    monkeypatch.setattr(loop, "fit", spy)
    cold, warm = go(warm_start=False, keep_weights="all"), go(keep_weights="all")
    assert equal(starts[0], starts[1]) and equal(starts[0], starts[2]) and equal(starts[0], starts[3])
    assert equal(starts[4], warm[1].weights(1)) and equal(starts[5], warm[1].weights(2))
    assert asked(cold[1])[1] == asked(warm[1])[1] and len(cold[0]) == 3  # step 2 is asked by the same model, trained in step 1


@pytest.mark.parametrize("keep, left", [("last", [3]), ("all", [1, 2, 3])])
def test_weights_are_kept_as_asked_and_give_the_numbers_of_their_step(go, tiny, tiny_config, keep, left):
    steps, folder = go(keep_weights=keep)
    assert sorted(folder.path.glob("weights_*")) == [folder.path / f"weights_step{t}.safetensors" for t in left]
    names = {p.name for p in folder.path.iterdir() if not p.name.startswith("weights_")}
    assert names - {"run.lock"} == {"config.json", "steps.jsonl", "queries.npz", "done.json"}
    assert folder.done["steps"] == 3
    setting, model = open_setting(tiny_config(), tiny), network(tiny_config(), 8).to(memory_format=torch.channels_last)
    for t in left:
        model.load_state_dict(folder.weights(t))
        for which, value in ((tiny.split["test"], steps[t - 1].miou), (setting.val, steps[t - 1].val_miou)):
            assert miou(evaluate(model, setting.pairs(which), 25)[0]) == value


# what stays on disk


def test_done_says_where_the_numbers_come_from(go, tiny_config):
    steps, folder = go()
    done, config = folder.done, folder.config
    assert set(done["versions"]) >= {"python", "torch", "numpy"} and done["versions"]["torch"] == torch.__version__.split("+")[0]
    assert "1 thread" in done["device"] and done["commit"] == provenance.commit() and done["finished"].endswith("Z")
    assert done["pool"] == {"images": 6, "superpixels": 96, "vanished": 0, "query_size": 8} and done["run_id"] == folder.path.name
    assert all(done["seconds"][k] == pytest.approx(sum(s.seconds[k] for s in steps), abs=1e-3) for k in done["seconds"])
    assert len(done["classes"]) == 8 and done["precision"] == "float32" and set(steps[0].speed) >= {"images_per_s", "waiting"}
    values = {k: v for k, v in config.items() if k not in ("protocol", "run_id", "inputs")}
    assert tiny_config(max_epochs=1, checkpoint_seconds=60.0) == RunConfig.make(values) and folder.steps() == steps


def test_a_finished_run_is_read_not_computed(go, monkeypatch):
    """Nor locked: its folder may be one that nobody can write in."""
    first = go()
    before = {p.name: p.read_bytes() for p in first[1].path.iterdir()}
    for name in ("open_setting", "check_model", "Lock"):
        monkeypatch.setattr(running, name, lambda *a, **k: pytest.fail("computed"))
    again = go(dataset=None)
    assert again[0] == first[0] and {p.name: p.read_bytes() for p in first[1].path.iterdir()} == before


def test_outside_of_its_own_repository_the_commit_is_unknown(monkeypatch, tmp_path):
    """An installed copy inside somebody else's repository does not name their commit."""
    assert provenance.commit() == "unknown" or len(provenance.commit().removesuffix("+changes")) == 40
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "oreal_lib" / "storage" / "provenance.py"))
    assert provenance.commit() == "unknown"


def test_the_oracle_is_the_only_road_from_truth_to_labels(tiny, tiny_config):
    setting = open_setting(tiny_config(), tiny)
    again = Oracle.dominant(counted(tiny.truth[setting.pool], setting.superpixels), tiny.truth[setting.pool])
    assert (setting.oracle.answers == again.answers).all() and not set(setting.pool) & set(setting.val)
    assert not (set(setting.pool) | set(setting.val)) & set(tiny.split["test"])


def test_native_masks_judge_and_working_masks_teach(tiny, tiny_config):
    native = np.array(tiny.truth).repeat(2, 1).repeat(2, 2)
    dataset = replace(tiny, native_truth=native)
    setting = open_setting(tiny_config(evaluate_at="native"), dataset)
    assert np.array_equal(setting.pairs(setting.val).target, native[setting.val])
    assert np.shape(setting.oracle.paint(Labels.none(96, 8), setting.superpixels)) == (6, 32, 32)
    setting = open_setting(tiny_config(), dataset)
    assert np.array_equal(setting.pairs(setting.val).target, tiny.truth[setting.val])


def test_a_model_that_cannot_be_had_is_told_before_the_data_are_prepared(go, monkeypatch):
    monkeypatch.setattr("oreal_lib.setting.dataset_of", lambda *a, **k: pytest.fail("prepared"))
    with pytest.raises(ValueError, match=r"unknown model 'small_unit'.*did you mean small_unet"):
        go(dataset=None, model="small_unit")


# what it was made from


@pytest.fixture
def on_disk(tiny_config, tmp_path, monkeypatch):
    """A function: run the tiny config on a folder of pictures; masks of a second folder differ in one pixel."""
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    for name in ("a", "b"):
        folder_tree(tmp_path / name, {"": 8})
    mask = next((tmp_path / "b" / "masks").rglob("*.png"))
    with Image.open(mask) as picture:
        changed = picture.copy()
    changed.putpixel((0, 0), (changed.getpixel((0, 0)) + 1) % 2)
    changed.save(mask)

    def on_disk(name, say=lambda text: None, **changes):
        changes = {"dataset": "folder", "data_options": {}, "train_images": None, "val_images": 2, "max_epochs": 1} | changes
        config = tiny_config(**changes, data_root=str(tmp_path / name))
        with lines_to(say):
            return list(run(config, tmp_path / "runs")), RunFolder(tmp_path / "runs" / config.run_id)

    return on_disk


def test_a_run_is_not_taken_for_one_on_other_data(on_disk, tmp_path):
    steps, folder = on_disk("a")
    assert on_disk("a")[0] == steps and folder.config["inputs"]["data"].startswith("content:")
    with pytest.raises(
        ValueError, match=r"was made from other data than those given now.*move its folder .* away.*-p runs_dir DIR.*--runs-dir DIR"
    ):
        on_disk("b")
    (folder.path / "done.json").unlink()  # an unfinished one is not continued, either
    with pytest.raises(ValueError, match="was made from other data"):
        on_disk("b")
    assert on_disk("a")[0] == steps
    (tmp_path / "a").rename(tmp_path / "elsewhere")  # a finished run is read without its data
    assert on_disk("a")[0] == steps == on_disk("elsewhere")[0]


def test_a_large_data_set_that_was_copied_is_only_remarked(on_disk, monkeypatch, tmp_path):
    monkeypatch.setattr("oreal_lib.data.folders.CONTENT_LIMIT", 0)
    monkeypatch.setattr("oreal_lib.data.folders.fingerprint.__defaults__", (0,))
    steps, _ = on_disk("a")
    said = []
    os.utime(next((tmp_path / "a" / "masks").rglob("*.png")), (1, 1))
    assert on_disk("a", said.append)[0] == steps
    assert len(said) == 1 and "the files of the data were changed or copied since run" in said[0]
