"""Every strategy against a slow, obvious numpy version written only here, and one contract for all of them."""

import random
from functools import partial

import numpy as np
import pytest
import torch

from oreal_lib.aggregate import Regions
from oreal_lib.balance import class_debt
from oreal_lib.config import RunConfig
from oreal_lib.lessons.contract import CLAUSES, IMAGES, C, K, bought, judge, pool
from oreal_lib.scores import bvsb, ovr_doubt, ovr_entropy, probability
from oreal_lib.select import check_budget, top, top_per_class
from oreal_lib.strategies import STRATEGIES, check
from oreal_lib.types import Labels, Query, Superpixels

DRAWN_BY_LOT = ("random", "stratified_random", "power_bvsb", "clasp_pe")
BY_IMAGE, BY_CLASS = "the order of the images changes nothing", "the numbering of the classes changes nothing"


# --- the slow, obvious versions: (N,) or (N, C) scores from plain loops -------------------------------------------------


def each_superpixel(p, maps):
    for image, ids in zip(p.numpy().astype(float), maps, strict=True):
        for k in range(K):
            yield image[:, ids == k]  # (C, pixels)


def agg(values, how):
    return values.max(axis=-1) if how == "max" else values.mean(axis=-1)


def ratio(q):
    best = np.sort(q, axis=0)
    return best[-2] / best[-1]


def slow_scores(name, p, maps, labels, budget, how):
    parts = list(each_superpixel(p, maps))
    counts = np.array([sum(labels.present[:, c]) for c in range(C)])
    if name == "bvsb":
        return np.array([agg(ratio(q), how) for q in parts])
    if name == "revisiting_sp":
        voted = [np.bincount(q.argmax(axis=0), minlength=C).argmax() for q in parts]
        return np.array([np.exp(-voted.count(d) / len(parts)) * agg(ratio(q), how) for d, q in zip(voted, parts, strict=True)])
    if name == "pixelbal":
        weight = (12 * p.numpy().astype(float).mean(axis=(0, 2, 3)) + 1) ** -2
        return np.array([agg(weight[q.argmax(axis=0)] * ratio(q), how) for q in parts])
    if name == "cbal":  # the direct formula: entropy minus the L1 distance to the vector of required counts
        omega = np.maximum(0, (counts.sum() + budget) // C - counts)
        return np.array([agg(-(q * np.log(q)).sum(axis=0), how) - np.abs(q.mean(axis=1) - omega).sum() for q in parts])
    if name == "oreal":
        return np.array([agg(-q * np.log(q) - (1 - q) * np.log(1 - q), how) for q in parts])
    raise KeyError(name)


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["bvsb", "revisiting_sp", "pixelbal", "cbal"])
def test_strategy_takes_the_top_of_the_obvious_score(name, how, seed):
    p, maps, regions = pool(seed)
    labels = bought(seed)
    slow = slow_scores(name, p, maps, labels, 9, how)
    ids = STRATEGIES[name](regions, labels, 9, how, np.random.default_rng(0)).ids
    candidates = [i for i in range(IMAGES * K) if labels.asked_in[i] == 0]
    expected = sorted(candidates, key=lambda i: -slow[i])[:9]
    assert slow[ids] == pytest.approx(slow[expected], abs=1e-5)  # the same scores in the same order, ties aside


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("seed", range(4))
def test_oreal_is_algorithm_1_step_by_step(how, seed):
    p, maps, regions = pool(seed)
    labels = bought(seed)
    slow = slow_scores("oreal", p, maps, labels, 9, how)
    counts, debt = labels.class_counts().copy(), np.zeros(C, int)
    for _ in range(9):  # Eq. 3, one click at a time to the poorest
        c = int(np.lexsort((np.arange(C), labels.class_counts(), counts + debt))[0])
        debt[c] += 1
    expected, classes = [], []
    for c in range(C):
        for _ in range(debt[c]):
            left = [i for i in range(IMAGES * K) if labels.asked_in[i] == 0 and i not in expected]
            expected.append(max(left, key=lambda i: slow[i, c]))
            classes.append(c)
    query = STRATEGIES["oreal"](regions, labels, 9, how, np.random.default_rng(0))
    assert query.for_class.tolist() == classes
    assert slow[query.ids, classes] == pytest.approx(slow[expected, classes], abs=1e-5)


# --- the contract --------------------------------------------------------------------------------------------------------


def meant_for(name, clause):
    """What is drawn by lot may depend on the order of images and classes, as ties do, and OREAL by number on that of classes."""
    return not (clause == BY_IMAGE and name in DRAWN_BY_LOT) and not (
        clause == BY_CLASS and name in ("stratified_random", "clasp_pe", "pure_oreal")
    )


@pytest.mark.parametrize("how", ["mean", "max", "top_0.3", "quantile_0.9", "power_4"])
@pytest.mark.parametrize("name, clause", [(n, c) for n in STRATEGIES for c in CLAUSES if meant_for(n, c)])
def test_every_strategy_keeps_the_contract(name, clause, how):
    """OREAL by rarest_first: by number it depends on the numbering, as the paper says it."""
    strategy = partial(STRATEGIES[name], class_order="rarest_first") if name == "oreal" else STRATEGIES[name]
    assert judge(strategy, how, [clause]) == []


def broken(regions, labels, budget, how, rng, fault):
    """BvSB with one fault."""
    score = regions(bvsb, how)[:, 0].copy()
    if fault == "labeled":
        return top(score, budget, np.ones(len(score), bool), rng)
    if fault == "short":
        return top(score, min(budget, 5), labels.unlabeled, rng)
    if fault == "silent":
        return top(score, min(budget, labels.unlabeled.sum()), labels.unlabeled, rng)
    if fault == "own chance":
        return top(np.random.default_rng().random(len(score)), budget, labels.unlabeled, rng)
    if fault == "pythons chance":
        return top(np.array([random.random() for _ in score]), budget, labels.unlabeled, rng)
    if fault == "first of equals":
        ids = np.flatnonzero(labels.unlabeled)
        check_budget(budget, labels.unlabeled)
        best = ids[np.argsort(-score[ids], kind="stable")[:budget]]
        return Query(best, score[best])
    if fault == "double":
        return top(score, budget, labels.unlabeled, rng)._replace(score=np.ones(budget))
    if fault == "global chance":
        np.random.seed(0)  # noqa: NPY002
        return top(np.random.random(len(score)), budget, labels.unlabeled, rng)  # noqa: NPY002
    if fault == "writes":
        labels.asked_in[0] += 1
    if fault == "by file":
        score += np.arange(len(score))
    if fault == "by class":
        score = regions(probability, how)[:, 0]
    if fault == "ids":
        return top(score, budget, labels.unlabeled, rng).ids
    return top(score, budget, labels.unlabeled, rng)


@pytest.mark.parametrize(
    "fault, sentence",
    [
        ("labeled", "it names superpixels that are labeled already"),
        ("short", "asked for 9 superpixels, it names 5"),
        ("silent", "41 superpixels were wanted where 40 are unlabeled, and it says nothing"),
        ("own chance", "it names other superpixels; take all chance from rng"),
        ("global chance", "it draws from a global generator"),
        ("pythons chance", "it draws from a global generator"),
        ("first of equals", "where all superpixels are alike it always asks the same ones"),
        ("double", "the scores must be finite float32 numbers"),
        ("writes", "it changes what it was given"),
        ("by file", f"{BY_IMAGE}: with the images in another order it asks others"),
        ("by class", f"{BY_CLASS}: with the classes numbered in another way it asks others"),
        ("ids", "TypeError: it returns ndarray, but a strategy returns a Query"),
    ],
)
def test_the_judge_says_what_a_strategy_breaks(fault, sentence):
    assert any(sentence in said for said in judge(partial(broken, fault=fault)))
    assert judge(partial(broken, fault="none")) == []


def test_oreal_by_number_depends_on_the_numbering_as_the_paper_says_it():
    assert any(BY_CLASS in said for said in judge(STRATEGIES["oreal"]))


def test_stratified_random_asks_as_many_of_each_predicted_class_as_there_are():
    p, maps, regions = pool(4)
    labels = bought(4)
    voted = np.array([np.bincount(q.argmax(axis=0), minlength=C).argmax() for q in each_superpixel(p, maps)])
    left = np.bincount(voted[labels.unlabeled], minlength=C)
    drawn = [STRATEGIES["stratified_random"](regions, labels, 34, "mean", np.random.default_rng(s)).ids for s in range(30)]
    for ids in drawn:
        came = np.bincount(voted[ids], minlength=C)
        full = came == left  # of a class that is used up
        assert came.sum() == 34 and (came[~full].max(initial=0) - came[~full].min(initial=34) <= 1)
        assert full.all() or came[full].max(initial=0) <= came[~full].max()
    assert len(np.unique(np.concatenate(drawn))) == 40  # every unlabeled one has its chance


def test_noise_is_gumbel_added_to_the_logarithm_and_falls_with_the_steps():
    p, maps, regions = pool(0)
    score = np.log(slow_scores("bvsb", p, maps, Labels.none(IMAGES * K, C), 5, "max"))
    for last in (1, 2, 5):
        labels = Labels(np.zeros((IMAGES * K, C), bool), np.where(np.arange(IMAGES * K) == 3, last, 0).astype(np.int16))
        query = STRATEGIES["power_bvsb"](regions, labels, 5, "max", np.random.default_rng(7), temperature=0.5)
        noisy = score + np.random.default_rng(7).gumbel(size=IMAGES * K) * 0.5 / last
        noisy[3] = -np.inf
        assert query.ids.tolist() == np.argsort(-noisy)[:5].tolist() and query.score == pytest.approx(noisy[query.ids], abs=1e-5)
    still = STRATEGIES["power_bvsb"](regions, labels, 5, "max", np.random.default_rng(7), temperature=0)
    assert score[still.ids] == pytest.approx(np.sort(score[np.arange(IMAGES * K) != 3])[::-1][:5], abs=1e-5)


@pytest.mark.parametrize("last, noise", [(1, 1), (3, 0.1), (5, 0.01), (9, 0.01)])
def test_clasp_pe_divides_two_thirds_of_the_budget_equally_and_its_noise_falls_a_hundredfold(last, noise):
    p, maps, regions = pool(0)
    labels = Labels(np.zeros((IMAGES * K, C), bool), np.where(np.arange(IMAGES * K) == 3, last, 0).astype(np.int16))
    parts = [-(q * np.log(q)) for q in each_superpixel(p, maps)]
    score = np.log([[*q.mean(axis=1), q.sum(axis=0).mean()] for q in parts])
    rng = np.random.default_rng(7)
    part = [2, 2, 2, 2, 5]  # int(0.66 * 14) = 9: two for each class, one more by lot; the rest by the whole entropy
    part[rng.permutation(C)[0]] += 1
    noisy, expected = score + rng.gumbel(size=score.shape) * noise, [3]
    for c, k in enumerate(part):
        for _ in range(k):
            expected.append(max((i for i in range(IMAGES * K) if i not in expected), key=lambda i: noisy[i, c]))
    query = STRATEGIES["clasp_pe"](regions, labels, 14, "mean", np.random.default_rng(7))
    assert query.ids.tolist() == expected[1:] and query.for_class is None


def test_expected_wrong_sums_pixels_and_weights_rare_predictions():
    p, maps, regions = pool(0)
    labels = bought(0)
    parts = list(each_superpixel(p, maps))
    voted = np.array([np.bincount(q.argmax(axis=0), minlength=C).argmax() for q in parts])
    n = np.array([sum(q.shape[1] for i, q in enumerate(parts) if voted[i] == c and not labels.asked_in[i]) for c in range(C)])
    skew = sum(x * np.log(x * C) for x in n / n.sum())
    slow = np.array([(n.min() / n[voted[i]]) ** skew**3 * (1 - q.max(axis=0)).sum() for i, q in enumerate(parts)])
    query = STRATEGIES["expected_wrong"](regions, labels, 9, "sum", np.random.default_rng(0))
    left = np.flatnonzero(labels.unlabeled)
    assert query.ids.tolist() == left[np.argsort(-slow[left])[:9]].tolist() and query.score == pytest.approx(
        slow[query.ids], rel=1e-5
    )


@pytest.mark.parametrize("gamma", [0, 0.5, 1])
def test_apart_lowers_what_touches_a_taken_one_again_and_again(gamma):
    rng = np.random.default_rng(0)
    maps = np.arange(30).reshape(1, 5, 6).repeat(2, axis=0).astype(np.uint16)  # each pixel is a superpixel, of two pictures
    p = torch.from_numpy(rng.dirichlet(np.ones(C), (2, 5, 6))).float().permute(0, 3, 1, 2)
    regions = Regions(lambda: iter(p), Superpixels.from_maps(maps), C)
    now, expected = regions(bvsb, "max")[:, 0].astype(float), []
    for _ in range(12):
        best = max((i for i in range(60) if i not in expected), key=lambda i: now[i])
        expected.append(best)
        picture, row, column = best // 30, best % 30 // 6, best % 6
        for i in range(60):
            if i // 30 == picture and abs(i % 30 // 6 - row) + abs(i % 6 - column) == 1:
                now[i] *= gamma
    query = STRATEGIES["apart"](regions, Labels.none(60, C), 12, "max", np.random.default_rng(1), gamma=gamma)
    assert query.ids.tolist() == expected
    if gamma == 1:
        assert query.ids.tolist() == STRATEGIES["bvsb"](regions, Labels.none(60, C), 12, "max", rng).ids.tolist()


@pytest.mark.parametrize("how", ["mean", "max"])
def test_pure_strategies_discount_by_the_share_of_the_most_predicted_class(how):
    p, maps, regions = pool(1)
    labels = bought(1)
    purity = np.array([np.bincount(q.argmax(axis=0)).max() / q.shape[1] for q in each_superpixel(p, maps)])
    slow, left = slow_scores("bvsb", p, maps, labels, 9, how) * purity, np.flatnonzero(labels.unlabeled)
    query = STRATEGIES["pure_bvsb"](regions, labels, 9, how, np.random.default_rng(0))
    assert query.ids.tolist() == left[np.argsort(-slow[left])[:9]].tolist()
    score = regions(ovr_doubt if how == "max" else ovr_entropy, how) * purity[:, None].astype(np.float32)
    expected = top_per_class(score, class_debt(labels.class_counts(), 9), labels.unlabeled, np.random.default_rng(0))
    assert STRATEGIES["pure_oreal"](regions, labels, 9, how, np.random.default_rng(0)).ids.tolist() == expected.ids.tolist()


def test_a_config_takes_a_strategy_of_ones_own_once_it_is_among_them(monkeypatch):
    with pytest.raises(ValueError, match=f"strategy is 'mine', but must be one of {', '.join(STRATEGIES)}"):
        RunConfig.from_yaml("toy", strategy="mine")
    monkeypatch.setitem(STRATEGIES, "mine", STRATEGIES["bvsb"])
    assert RunConfig.from_yaml("toy", strategy="mine").column == "mine max"


def test_bvsb_by_margin_is_an_option():
    p, maps, regions = pool(0)
    margin = [1 - (np.sort(q, axis=0)[-1] - np.sort(q, axis=0)[-2]).mean() for q in each_superpixel(p, maps)]
    query = STRATEGIES["bvsb"](regions, Labels.none(IMAGES * K, C), 5, "mean", np.random.default_rng(0), form="margin")
    assert query.score == pytest.approx(np.sort(margin)[::-1][:5], abs=1e-5)


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("pixelbal", {"mu": 6}, "no option 'mu'; it knows: nu"),
        ("pixelbal", {"nu": "abc"}, "nu is 'abc', but must be a number from 0 to 1,000,000"),
        ("cbal", {"lam": 1e308}, "lam is 1e\\+308"),
        ("oreal", {"max_share": "half"}, "refuses its options {'max_share': 'half'}"),
        ("oreal", {"max_share": 0.1}, "max_share is 0.1, but with 2 classes"),
        ("oreal", {"class_order": "foo"}, "class_order is 'foo'; choose one of index, rarest_first"),
        ("bvsb", {"form": "xx"}, "form is 'xx'; choose one of ratio, margin"),
        ("random", {"nu": 1}, "it knows: none"),
    ],
)
def test_an_option_that_cannot_work_is_refused_before_any_step(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(name, "max", options, n_classes=2)


@pytest.mark.parametrize("name", ["bvsb", "pixelbal"])
def test_best_versus_second_best_of_one_class_is_refused_before_any_step(name):
    with pytest.raises(ValueError, match=f"strategy {name} refuses .* BvSB compares two classes, but there is 1"):
        check(name, "max", {}, n_classes=1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_looks_at_the_pool_once_but_pixelbal_twice(name):
    """PixelBal's weights must be known before pixels are aggregated."""
    p, _, regions = pool(4)
    passes = []

    def predict():
        passes.append(1)
        return iter(p)

    STRATEGIES[name](Regions(predict, regions.superpixels, C), bought(4), 9, "max", np.random.default_rng(0))
    assert len(passes) == {"random": 0, "pixelbal": 2}.get(name, 1)


@pytest.mark.parametrize("how", ["max", "quantile_0.9"])
def test_the_score_of_oreal_is_the_entropy_whatever_it_ranks_by(how):
    _, _, regions = pool(2)
    query = STRATEGIES["oreal"](regions, bought(2), 9, how, np.random.default_rng(0))
    np.testing.assert_allclose(query.score, regions(ovr_entropy, how)[query.ids, query.for_class], rtol=1e-6)
