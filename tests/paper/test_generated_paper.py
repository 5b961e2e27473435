"""What tables do not say: any prediction, any table of scores, any pool, any picture. Each test is a claim about all of them."""

import itertools
import math

import numpy as np
import pytest
import torch
from generated import FLOATS, HOWS, SEEDS, VALUES, every, label_maps, pools, probabilities, refusal
from hypothesis import strategies as st
from skimage.measure import label

from oreal_lib import scores
from oreal_lib.aggregate import Regions, by_superpixel, parse_how
from oreal_lib.balance import class_debt
from oreal_lib.storage.ragged import Ragged
from oreal_lib.strategies import STRATEGIES, check
from oreal_lib.superpixels import SuperpixelRecipe, dense, superpixels
from oreal_lib.superpixels.pieces import keep_largest_pieces
from oreal_lib.types import Labels, Superpixels

RANGES = {  # score -> its largest value for C classes
    scores.entropy: math.log,
    scores.bvsb: lambda c: 1,
    scores.bvsb_margin: lambda c: 1,
    scores.ovr_entropy: lambda c: math.log(2),
    scores.ovr_doubt: lambda c: 0.5,
}
SCORES, REAL_HOWS = st.sampled_from(list(RANGES)), st.sampled_from(HOWS)


# ---- pixels and superpixels


@every(data=st.data(), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), c=st.integers(2, 6), score=SCORES)
def test_a_score_stays_in_its_range_and_does_not_depend_on_the_numbers_of_the_classes(data, shape, c, score):
    p = data.draw(probabilities(shape, c))
    s = score(p[None])[0]
    assert s.shape in ((1, *shape), (c, *shape)) and s.dtype == torch.float32
    assert s.min() >= -1e-6 and s.max() <= RANGES[score](c) * (1 + 1e-5)
    order = torch.from_numpy(np.random.default_rng(data.draw(SEEDS)).permutation(c))
    torch.testing.assert_close(score(p[order][None])[0], s[order] if len(s) == c else s, rtol=1e-5, atol=1e-6)


def brute(values, how):
    """An aggregation of the scores (P,) of one superpixel, in words."""
    kind, value = parse_how(how)
    v = np.sort(values.astype(float))
    if kind == "top":
        return v[-max(1, math.ceil(round(value * len(v), 6))) :].mean()
    if kind == "quantile":
        return v[math.floor((len(v) - 1) * value + 1e-9)]
    if kind == "power":
        return v[-1] * ((v / (v[-1] or 1)) ** value).mean() ** (1 / value)
    return v.max() if kind == "max" else v.mean()


@every(data=st.data(), ids=label_maps(), how=REAL_HOWS, k=st.integers(1, 3), scale=st.sampled_from([1.0, 1e-7, 5.5, 1e-40, 1e30]))
def test_an_aggregation_is_what_a_loop_finds_whatever_the_numbers_and_the_order(data, ids, how, k, scale):
    rng, n = np.random.default_rng(data.draw(SEEDS)), int(ids.max()) + 1
    score = (rng.random((k, *ids.shape)) * rng.choice([0, 1], (k, *ids.shape), p=[0.2, 0.8]) * scale).astype(np.float32)
    found = by_superpixel(torch.from_numpy(score), torch.from_numpy(ids), n, how)
    slow = [[brute(channel[ids == i], how) for channel in score] for i in range(n)]
    np.testing.assert_allclose(found.numpy(), slow, rtol=1e-5, atol=1e-44)
    renamed, moved = rng.permutation(n), rng.permutation(ids.size)
    pixels, names = score.reshape(k, -1)[:, moved], renamed[ids.ravel()][moved]
    other = by_superpixel(torch.from_numpy(pixels), torch.from_numpy(names), n, how)
    torch.testing.assert_close(other[renamed], found, rtol=1e-6, atol=1e-44)


@every(data=st.data(), ids=label_maps())
def test_the_spectrum_is_in_order_from_the_minimum_over_the_mean_to_the_maximum(data, ids):
    score = torch.from_numpy(np.random.default_rng(data.draw(SEEDS)).random((1, *ids.shape), np.float32))
    ids, n = torch.from_numpy(ids), int(ids.max()) + 1
    for ladder in (("quantile_0", "mean", "power_2", "power_256", "max"), ("mean", "top_0.5", "top_0.1", "quantile_1")):
        rows = [by_superpixel(score, ids, n, how) for how in ladder]
        assert all((low <= high * (1 + 1e-6)).all() for low, high in itertools.pairwise(rows))


@every(pool=pools(classes=(1, 4)), score=SCORES, how=REAL_HOWS, factor=st.sampled_from([1.0, -1.0, 0.0, 3.0, 1e-44, 1e30]))
def test_no_prediction_of_any_kind_gives_a_score_that_is_nan(pool, score, how, factor):
    """Predictions that are not a softmax, too: below 0, above 1, all 0."""
    maps, predictions = pool
    cut = Superpixels.from_maps(Ragged(tuple(m.astype(np.uint16) for m in maps)))
    found, regions = [], Regions(lambda: iter([p * factor for p in predictions]), cut, len(predictions[0]))
    if said := refusal(lambda: found.append(regions(score, how))):
        assert "BvSB compares two classes, but there is 1" in said or ("pool image" in said and score.__name__ in said)
    else:
        assert not np.isnan(found[0]).any() and len(found[0]) == len(cut)


# ---- debts


@every(counts=st.lists(st.integers(0, 60) | st.just(10**6), min_size=1, max_size=12), budget=st.integers(0, 150), data=st.data())
def test_debts_are_the_budget_spent_click_by_click_on_the_rarest_class_and_a_cap_loses_nothing(counts, budget, data):
    debt, level = class_debt(np.array(counts), budget), list(counts)
    for _ in range(budget):
        level[min(range(len(level)), key=lambda c: (level[c], counts[c], c))] += 1
    assert debt.tolist() == [after - before for after, before in zip(level, counts, strict=True)] and debt.dtype == np.int64
    share = data.draw(st.floats(1 / len(counts), 1))
    capped, cap = class_debt(np.array(counts), budget, share), math.ceil(share * budget)
    assert capped.sum() == budget and (capped >= 0).all() and capped.max() <= cap
    after = (np.array(counts) + capped)[(capped < cap) & (capped > 0)]  # those that could take more end level
    assert not len(after) or after.max() - after.min() <= 1


# ---- strategies


@every(pool=pools(), data=st.data(), name=st.sampled_from(list(STRATEGIES)), how=REAL_HOWS)
def test_every_strategy_asks_so_many_distinct_unlabeled_superpixels_of_any_pool(pool, data, name, how):
    maps, predictions = pool
    cut = Superpixels.from_maps(Ragged(tuple(m.astype(np.uint16) for m in maps)))
    c, n, rng = len(predictions[0]), len(cut), np.random.default_rng(data.draw(SEEDS))
    regions, seed = Regions(lambda: iter(predictions), cut, c), data.draw(SEEDS)
    bought = rng.permutation(n)[: data.draw(st.integers(0, n - 1))]
    answers = rng.random((len(bought), c)) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    void = data.draw(st.booleans())  # the last output, where it is an answer, too
    labels = Labels.none(n, c - void, void).reveal(bought, answers, 1)
    budget = data.draw(st.integers(1, n - len(bought)))
    query = STRATEGIES[name](regions, labels, budget, how, np.random.default_rng(seed))
    assert query.ids.dtype == np.int64 and len(set(query.ids.tolist())) == budget == len(query.ids)
    assert labels.unlabeled[query.ids].all()
    assert query.score.dtype == np.float32 and query.score.shape == (budget,) and np.isfinite(query.score).all()
    if query.for_class is not None:
        owed = np.append(class_debt(labels.class_counts(), budget), [0] * void)
        assert np.bincount(query.for_class, minlength=c).tolist() == owed.tolist()
    else:
        assert (np.diff(query.score) <= 0).all()
    with pytest.raises(ValueError, match=f"asked for {n - len(bought) + 1} superpixels, but only {n - len(bought)}"):
        STRATEGIES[name](regions, labels, n - len(bought) + 1, how, np.random.default_rng(seed))


OPTIONS = st.sampled_from(["nu", "lam", "form", "max_share", "class_order", "temperature", "x"])
GOOD = st.sampled_from(["index", "rarest_first", "ratio", "margin", None])


@every(
    name=st.sampled_from(list(STRATEGIES)),
    how=st.sampled_from([*HOWS, "median", "power_0"]),
    options=st.dictionaries(OPTIONS, GOOD | FLOATS | VALUES, max_size=1),
    c=st.sampled_from([1, 2, 3, 256]),
)
def test_options_are_refused_before_the_first_step_or_work_in_every_later_one(name, how, options, c):
    if refusal(lambda: check(name, how, options, c)) is None:
        rng = np.random.default_rng(0)
        cut = Superpixels.from_maps(np.arange(12, dtype=np.uint16).reshape(1, 3, 4))
        p = torch.from_numpy(rng.dirichlet(np.ones(c) / 9, 12).T.astype(np.float32).reshape(c, 3, 4).copy())
        labels = Labels.none(12, c).reveal(np.array([3]), np.eye(c, dtype=bool)[:1], 1)
        query = STRATEGIES[name](Regions(lambda: iter([p]), cut, c), labels, 5, how, rng, **options)
        assert len(set(query.ids.tolist())) == 5 and np.isfinite(query.score).all()


# ---- pictures

RECIPES = st.builds(
    SuperpixelRecipe,
    method=st.sampled_from(["seeds", "slic", "grid"]),
    count=st.integers(1, 12) | st.integers(1, 400),
    levels=st.sampled_from(["auto", 2, 3, 5, 12]),
    prior=st.integers(0, 5),
    bins=st.sampled_from([1, 10]),
    double_step=st.booleans(),
    iterations=st.integers(1, 3),
    equalize=st.sampled_from(["joint", "value", "none"]),
    hue=st.sampled_from(["official", "scaled"]),
    connectivity=st.sampled_from(["official", "largest"]),
    compactness=st.sampled_from([1e-6, 10.0, 1e6]),
)


def is_dense(ids):
    return ids.dtype == np.uint16 and np.array_equal(np.unique(ids), np.arange(int(ids.max()) + 1))


@every(seed=SEEDS, height=st.integers(1, 40), width=st.integers(1, 40), colors=st.sampled_from([1, 2, 256]), recipe=RECIPES)
def test_a_picture_is_cut_into_a_dense_partition_the_same_each_time_or_refused(seed, height, width, colors, recipe):
    image = np.random.default_rng(seed).integers(0, colors, (height, width, 3), np.uint8) * (255 // colors)
    found, before = [], image.copy()
    if said := refusal(lambda: found.append(superpixels(image, recipe))):
        assert str(recipe.count) in said and f"{width}x{height}" in said
        assert recipe.method == "seeds" or recipe.count > height * width
        return
    (ids,) = found
    assert ids.shape == (height, width) and is_dense(ids) and np.array_equal(image, before)
    assert np.array_equal(superpixels(image, recipe), ids)
    if recipe.connectivity == "largest":
        assert label(ids.astype(int) + 1, connectivity=1).max() == ids.max() + 1


@every(ids=label_maps(), scattered=st.booleans(), seed=SEEDS)
def test_of_each_superpixel_the_largest_piece_stays_and_the_others_join_a_neighbor(ids, scattered, seed):
    if scattered:
        ids = dense(np.random.default_rng(seed).integers(0, 3, ids.shape)).astype(np.int64)
    found = keep_largest_pieces(ids)
    assert is_dense(found) and found.max() == ids.max()
    pieces = label(ids + 1, connectivity=1)
    for i in range(int(ids.max()) + 1):
        assert label(found == i, connectivity=1).max() == 1
        mine = np.bincount(pieces[ids == i])
        assert (found[pieces == mine.argmax()] == i).all()
