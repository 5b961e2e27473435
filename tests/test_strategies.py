"""Every strategy against a slow, obvious numpy version written only here, and one contract for all of them."""

import numpy as np
import pytest
import torch

from oreal_lib.aggregate import Regions
from oreal_lib.config import RunConfig
from oreal_lib.strategies import STRATEGIES, check
from oreal_lib.types import Labels, Superpixels

C, IMAGES, H, W, K = 4, 5, 12, 10, 11
DRAWN_BY_LOT = ("random", "stratified_random", "power_bvsb")


def pool(seed, classes=None, images=None):
    """Random smooth-ish predictions over random partitions; optionally with classes or images in another order."""
    rng = np.random.default_rng(seed)
    maps = np.stack([rng.permutation(np.arange(H * W) % K).reshape(H, W) for _ in range(IMAGES)]).astype(np.uint16)
    logits = rng.normal(size=(IMAGES, C, H, W)) + np.arange(C)[:, None, None] * 0.3
    for image, ids in zip(logits, maps, strict=True):  # each superpixel leans to a class, so that votes have no ties
        image += 3 * rng.permutation(np.eye(C)[np.arange(K) % C])[ids].transpose(2, 0, 1)
    p = torch.from_numpy(logits).softmax(dim=1).float()
    classes, images = np.arange(C) if classes is None else classes, np.arange(IMAGES) if images is None else images
    p, maps = p[images][:, classes], maps[images]
    return p, maps, Regions(lambda: iter(p), Superpixels.from_maps(maps), C)


def bought(n, seed, classes=None):
    """Some labels, unevenly spread over the classes; one answer is void. Indexed by superpixel in the unshuffled order."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(n)[:15]
    answers = np.eye(C, dtype=bool)[rng.choice(C, 15, p=[0.7, 0.15, 0.1, 0.05])]
    answers[0] = False
    return Labels.none(n, C).reveal(ids, answers[:, np.arange(C) if classes is None else classes], step=1)


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
    labels = bought(IMAGES * K, seed)
    slow = slow_scores(name, p, maps, labels, 9, how)
    ids = STRATEGIES[name](regions, labels, 9, how, np.random.default_rng(0)).ids
    candidates = [i for i in range(IMAGES * K) if labels.asked_in[i] == 0]
    expected = sorted(candidates, key=lambda i: -slow[i])[:9]
    assert slow[ids] == pytest.approx(slow[expected], abs=1e-5)  # the same scores in the same order, ties aside


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("seed", range(4))
def test_oreal_is_algorithm_1_step_by_step(how, seed):
    p, maps, regions = pool(seed)
    labels = bought(IMAGES * K, seed)
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


@pytest.fixture(params=[(n, h) for n in STRATEGIES for h in ("mean", "max", "top_0.3", "quantile_0.9", "power_4")], ids="-".join)
def ask(request):
    name, how = request.param
    options = {"class_order": "rarest_first"} if name == "oreal" else {}

    def call(regions, labels, budget=9, seed=0):
        return STRATEGIES[name](regions, labels, budget, how, np.random.default_rng(seed), **options)

    call.name = name
    return call


def test_exactly_q_distinct_unlabeled_ids(ask):
    _, _, regions = pool(0)
    labels = bought(IMAGES * K, 0)
    for budget in (1, 9, 40):  # 40 is everything that is left
        query = ask(regions, labels, budget)
        assert query.ids.dtype == np.int64 and len(set(query.ids.tolist())) == budget
        assert labels.unlabeled[query.ids].all() and query.score.shape == (budget,) and np.isfinite(query.score).all()


def test_more_than_is_left_is_refused(ask):
    _, _, regions = pool(0)
    with pytest.raises(ValueError, match="asked for 41 superpixels, but only 40 are unlabeled"):
        ask(regions, bought(IMAGES * K, 0), 41)


def test_same_seed_same_ids_and_inputs_unchanged(ask):
    p, maps, regions = pool(1)
    labels = bought(IMAGES * K, 1)
    before = (p.clone(), maps.copy(), labels.present.copy(), labels.asked_in.copy())
    first, second = ask(regions, labels, seed=3), ask(regions, labels, seed=3)
    assert (first.ids == second.ids).all() and (first.score == second.score).all()
    after = (p, maps, labels.present, labels.asked_in)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_shuffled_images_change_nothing_but_ties(ask):
    if ask.name in DRAWN_BY_LOT:
        return  # nothing but ties, or noise
    order = np.array([3, 0, 4, 1, 2])
    moved = (order[:, None] * K + np.arange(K)).ravel()  # new position -> old global id
    labels = bought(IMAGES * K, 2)
    shuffled = Labels(labels.present[moved], labels.asked_in[moved], labels.clicks)
    plain = ask(pool(2)[2], labels)
    again = ask(pool(2, images=order)[2], shuffled)
    assert sorted(moved[again.ids]) == sorted(plain.ids)


def test_permuted_class_numbers_change_nothing(ask):
    """OREAL by rarest_first; the counts differ, so that even its order of classes has no ties."""
    if ask.name == "stratified_random":
        return  # the lots are the same, but its last places go to one class or another
    order = np.array([2, 0, 3, 1])
    labels = bought(IMAGES * K, 3)
    assert len(set(labels.class_counts())) == C
    plain = ask(pool(3)[2], labels)
    again = ask(pool(3, classes=order)[2], bought(IMAGES * K, 3, classes=order))
    assert sorted(again.ids) == sorted(plain.ids)


def test_stratified_random_asks_as_many_of_each_predicted_class_as_there_are():
    p, maps, regions = pool(4)
    labels = bought(IMAGES * K, 4)
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


def test_the_config_knows_exactly_these_strategies():
    assert set(RunConfig.model_fields["strategy"].annotation.__args__) == set(STRATEGIES)


def test_bvsb_by_margin_is_an_option():
    p, maps, regions = pool(0)
    margin = [1 - (np.sort(q, axis=0)[-1] - np.sort(q, axis=0)[-2]).mean() for q in each_superpixel(p, maps)]
    query = STRATEGIES["bvsb"](regions, Labels.none(IMAGES * K, C), 5, "mean", np.random.default_rng(0), form="margin")
    assert query.score == pytest.approx(np.sort(margin)[::-1][:5], abs=1e-5)


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("pixelbal", {"mu": 6}, "no option 'mu'; it knows: nu"),
        ("pixelbal", {"nu": "abc"}, "nu is 'abc', but must be a number >= 0"),
        ("pixelbal", {"nu": -3}, "nu is -3"),
        ("cbal", {"lam": None}, "lam is None"),
        ("oreal", {"max_share": "half"}, "max_share is 'half'"),
        ("oreal", {"max_share": 0.1}, "max_share is 0.1, but with 2 classes"),
        ("oreal", {"class_order": "foo"}, "class_order is 'foo'; choose one of index, rarest_first"),
        ("bvsb", {"form": "xx"}, "form is 'xx'; choose one of ratio, margin"),
        ("random", {"nu": 1}, "it knows: none"),
    ],
)
def test_an_option_that_cannot_work_is_refused_before_any_step(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(name, "max", options, n_classes=2)


def test_options_that_work_pass():
    for name, options in [("oreal", {"max_share": 0.1, "class_order": "rarest_first"}), ("pixelbal", {"nu": 6}), ("bvsb", {})]:
        check(name, "mean", options)
