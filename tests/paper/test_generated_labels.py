"""What is bought, painted and measured, for any mask and any partition: the counts, the contract, what is refused."""

import numpy as np
import torch
from generated import FLOATS, SEEDS, every, label_maps, masks, refusal, some_of
from hypothesis import strategies as st

from oreal_lib import metrics
from oreal_lib.oracle import Oracle, class_votes
from oreal_lib.storage.ragged import Ragged
from oreal_lib.types import IGNORE, Labels, Superpixels

CLASSES = st.integers(1, 6)
VOID_RULES = st.sampled_from(["vote", "exclude"])


# ---- what was bought


@every(data=st.data(), n=st.integers(1, 20), c=st.integers(1, 4))
def test_answers_are_revealed_where_they_were_asked_and_nowhere_else(data, n, c):
    rng, labels, names = np.random.default_rng(data.draw(SEEDS)), Labels.none(n, c), set()
    answers = rng.random((n, c)) < 0.4
    for step in range(1, data.draw(st.integers(1, 4)) + 1):
        ids = np.array(data.draw(st.lists(st.integers(-2, n + 1), max_size=5)), np.int64)
        fits = len(set(ids.tolist())) == len(ids) and all(0 <= i < n for i in ids) and not names & set(ids.tolist())
        before, found = labels.present.copy(), []
        said = refusal(lambda: found.append(labels.reveal(ids, answers[np.clip(ids, 0, n - 1)], step)))  # noqa: B023
        assert (said is None) == fits and np.array_equal(labels.present, before)
        if found:
            names |= set(ids.tolist())
            labels = found[0]
    assert set(np.flatnonzero(~labels.unlabeled).tolist()) == names and labels.clicks == len(names)
    assert np.array_equal(labels.present, answers * ~labels.unlabeled[:, None])
    assert labels.class_counts().tolist() == answers[sorted(names)].sum(axis=0).tolist()
    free = np.flatnonzero(labels.unlabeled)[:1]
    for step in (0, -1, 40_000):
        assert f"step is {step}" in refusal(lambda step=step: labels.reveal(free, answers[free], step))


@every(maps=st.lists(label_maps(6, 10), min_size=1, max_size=3), c=st.integers(1, 4), data=st.data(), rule=VOID_RULES)
def test_painted_is_every_bought_superpixel_in_its_class_and_no_other_pixel(maps, c, data, rule):
    superpixels = Superpixels.from_maps(Ragged(tuple(maps)))
    truth = Ragged(tuple(data.draw(masks(m.shape, c)) for m in maps))
    votes = np.concatenate([class_votes(t, m, int(m.max()) + 1, c) for t, m in zip(truth, maps, strict=True)])
    oracle = Oracle.dominant(votes, truth, rule)
    bought = np.flatnonzero(some_of(data.draw, len(superpixels)))
    labels = oracle.answer(Labels.none(len(superpixels), c), bought, 1)
    for i, target in enumerate(oracle.paint(labels, superpixels)):
        for pixel in np.ndindex(target.shape):
            k = superpixels.offset[i] + maps[i][pixel]
            void = k not in bought or not oracle.answers[k].any() or (rule == "exclude" and truth[i][pixel] == IGNORE)
            assert target[pixel] == (IGNORE if void else oracle.answers[k].argmax())


# ---- what is measured


@every(data=st.data(), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), c=CLASSES)
def test_the_confusion_matrix_is_that_of_counting_pixels_and_refuses_any_other_value(data, shape, c):
    truth, predicted = data.draw(masks(shape, c)), data.draw(masks(shape, c, void=False))
    matrix = metrics.confusion(torch.from_numpy(predicted), torch.from_numpy(truth), c).numpy()
    assert matrix.tolist() == [[int(((truth == a) & (predicted == b)).sum()) for b in range(c)] for a in range(c)]
    iou = metrics.class_iou(matrix)
    assert ((iou >= 0) & (iou <= 1) | np.isnan(iou)).all()
    assert np.isnan(metrics.miou(matrix)) == (truth == IGNORE).all()
    place = tuple(data.draw(st.integers(0, side - 1)) for side in shape)
    bent = [predicted.astype(np.int64), truth.astype(np.int64)]
    which = data.draw(st.integers(0, 1))
    bent[which][place] = wrong = data.draw(st.sampled_from([-1, c, c + 1, 254, 256, 10**6]).filter(lambda v: v >= c or v < 0))
    said = refusal(lambda: metrics.confusion(*map(torch.from_numpy, bent), c))
    assert said and str(wrong) in said


@every(data=st.data(), shape=st.tuples(st.integers(1, 12), st.integers(1, 12)), c=CLASSES, width=st.sampled_from([1, 2, 5, 2**31]))
def test_a_border_is_within_so_many_steps_of_two_classes_that_touch(data, shape, c, width):
    truth = data.draw(masks(shape, c))
    found = metrics.class_border(truth, width)
    touching = []
    for y, x in np.ndindex(shape):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < shape[0] and u < shape[1] and truth[y, x] != truth[v, u] and IGNORE not in (truth[y, x], truth[v, u]):
                touching += [(y, x), (v, u)]
    for y, x in np.ndindex(shape):
        near = min((abs(y - v) + abs(x - u) for v, u in touching), default=10**9)
        assert found[y, x] == (near < width and near < 10**9)
    wide = metrics.class_border(truth, width, gap=data.draw(st.integers(0, 6)))
    assert (wide.shape == shape and not wide[truth == IGNORE].any()) or width > 1


@every(data=st.data(), steps=st.integers(1, 8), rule=st.sampled_from(["trapezoid", "mean", "median"]), full=FLOATS)
def test_an_area_is_a_mean_of_ratios_or_refused(data, steps, rule, full):
    rng = np.random.default_rng(data.draw(SEEDS))
    clicks, score = np.cumsum(rng.integers(0, 4, steps)), rng.random(steps)
    found = []
    said = refusal(lambda: found.append(metrics.aualc(clicks, score, full, rule)))
    grows = steps > 1 and (np.diff(clicks) > 0).all()
    assert (said is None) == (1e-9 < full < 1e9 and (rule == "mean" or (rule == "trapezoid" and grows)))
    if found:
        assert 100 * score.min() / full * (1 - 1e-9) <= found[0] <= 100 * score.max() / full * (1 + 1e-9)
    assert "needs both" in refusal(lambda: metrics.aualc(clicks, score[1:], 0.5, rule))
    target = data.draw(st.sampled_from([0.0, 0.3, 0.9, 2.0]))
    reached = metrics.fraction_to_reach(np.linspace(0.1, 0.5, steps), score, target)
    assert np.isnan(reached) if score.max() < target else 0.1 - 1e-9 <= reached <= 0.5 + 1e-9


@every(counts=st.lists(st.integers(0, 99), min_size=1, max_size=8), data=st.data())
def test_imbalance_and_deviation_are_shares(counts, data):
    found = metrics.imbalance(np.array(counts))
    assert np.isnan(found) == (sum(counts) == 0 or len(counts) == 1)
    assert np.isnan(found) or -1e-9 <= found <= 1 + 1e-9
    order = data.draw(st.permutations(counts))
    np.testing.assert_allclose(metrics.imbalance(np.array(order)), found)
