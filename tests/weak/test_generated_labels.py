"""What is bought, painted, learned from and measured, for any mask and any partition: the counts, the contract, what is refused."""

import numpy as np
import torch
from generated import FLOATS, SEEDS, every, label_maps, masks, refusal, some_of
from hypothesis import strategies as st

from oreal_lib import metrics
from oreal_lib.data.label_cost import label_cost, painted_confusion, undersegmentation_error
from oreal_lib.oracle import Oracle, class_votes, dominant_label
from oreal_lib.select import top
from oreal_lib.train import cross_entropy
from oreal_lib.types import IGNORE, Labels, Query, Ragged, Superpixels
from oreal_lib.weak import losses
from oreal_lib.weak.labels import affordable, buy, classes_present, click_cost, near_border, weak_oracle
from oreal_lib.weak.pseudo import pseudo_labels, quality

CLASSES = st.integers(1, 6)
VOID_RULES = st.sampled_from(["vote", "exclude"])


# ---- what an annotator says


@every(ids=label_maps(), c=CLASSES, data=st.data(), rule=VOID_RULES)
def test_the_dominant_label_is_that_of_counting_one_by_one(ids, c, data, rule):
    truth, n = data.draw(masks(ids.shape, c)), int(ids.max()) + 1
    votes = class_votes(truth, ids, n, c)
    answers = dominant_label(votes, rule)
    for i in range(n):
        mine = truth[ids == i]
        count = [int((mine == k).sum()) for k in range(c)] + [int((mine == IGNORE).sum())]
        assert votes[i].tolist() == count
        best = max(count if rule == "vote" else count[:-1])
        winner = count.index(best) if best else c
        assert answers[i].tolist() == [k == winner for k in range(c)]
    assert votes.sum() == ids.size and np.array_equal(class_votes(truth, ids.astype(np.uint16), n, c), votes)


@every(ids=label_maps(), c=CLASSES, data=st.data())
def test_a_mask_or_a_map_out_of_range_is_never_counted_as_another_superpixels(ids, c, data):
    truth, n = data.draw(masks(ids.shape, c)), int(ids.max()) + 1
    place = tuple(data.draw(st.integers(0, side - 1)) for side in ids.shape)
    what = data.draw(st.sampled_from(["class", "superpixel", "below"]))
    if what == "class":
        truth[place] = wrong = data.draw(st.integers(c + 1, 254))
    else:
        ids[place] = wrong = data.draw(st.integers(n, n + 500)) if what == "superpixel" else -1
    for count in (class_votes, classes_present):
        said = refusal(lambda count=count: count(truth, ids, n, c))
        assert said and f"of {'class' if what == 'class' else 'superpixel'} {wrong}, but there are 0 to" in said


@every(ids=label_maps(), c=CLASSES, data=st.data(), trim=st.integers(0, 5) | st.sampled_from([24, 10**9, 2**63]))
def test_the_classes_present_are_those_of_looking_one_by_one(ids, c, data, trim):
    truth, n, (h, w) = data.draw(masks(ids.shape, c)), int(ids.max()) + 1, ids.shape
    near = near_border(ids, trim)
    reach = min(trim, 24) - 1
    sides = np.zeros(ids.shape, bool)
    sides[1:] |= ids[1:] != ids[:-1]
    sides[:-1] |= ids[1:] != ids[:-1]
    sides[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    sides[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    for y, x in zip(*(rng.ravel() for rng in np.indices((h, w))), strict=True):
        box = sides[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        assert near[y, x] == (trim > 0 and box.any())
    found = classes_present(truth, ids, n, c, trim)
    for i in range(n):
        mine = truth[(ids == i) & ~near] if ((ids == i) & ~near).any() else truth[ids == i]
        assert found[i].tolist() == [k in mine for k in [*range(c), IGNORE]]
    assert click_cost(found).tolist() == found[:, :-1].sum(axis=1).tolist()
    assert "trim is -1" in refusal(lambda: near_border(ids, -1))


@every(data=st.data(), n=st.integers(1, 30), c=st.integers(1, 4), cut=st.sampled_from(["class", "order"]))
def test_clicks_are_spent_and_overdrawn_by_less_than_the_last_answer_costs(data, n, c, cut):
    rng = np.random.default_rng(data.draw(SEEDS))
    present = rng.random((n, c + 1)) < data.draw(st.sampled_from([0.1, 0.5, 1.0]))
    oracle = weak_oracle(present, data.draw(st.sampled_from(["drop", "keep"])))
    labels = Labels.none(n, c, undefined=oracle.answers.shape[1] > c)
    asked = data.draw(st.integers(1, 60))
    by_class = rng.integers(0, c, n).astype(np.int16)

    def ask(labels, k):
        query = top(rng.random(n), k, labels.unlabeled, rng)
        order = np.argsort(by_class[query.ids], kind="stable")
        return Query(query.ids[order], query.score[order], by_class[query.ids[order]])

    query = buy(ask, oracle, labels, asked, 1, cut)
    cost = oracle.cost[query.ids]
    assert len(set(query.ids.tolist())) == len(query.ids) == len(query.for_class)
    assert cost.sum() < asked + max(1, oracle.cost.max()) and (cost.sum() >= asked or len(query.ids) == n)
    after = oracle.answer(labels, query.ids, 1)
    assert after.clicks == cost.sum() and (~after.unlabeled).sum() == len(query.ids)


@every(data=st.data(), cost=st.lists(st.integers(0, 5), min_size=1, max_size=20), budget=st.integers(1, 40))
def test_in_order_exactly_those_are_asked_that_begin_before_the_budget_is_spent(data, cost, budget):
    query = Query(np.arange(len(cost)), np.zeros(len(cost), np.float32))
    asked = affordable(query, np.array(cost), budget, data.draw(st.sampled_from(["class", "order"])))
    assert asked.tolist() == [sum(cost[:i]) < budget for i in range(len(cost))]


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


# ---- what one label costs, and pseudo labels


@every(ids=label_maps(), c=CLASSES, data=st.data(), rule=VOID_RULES)
def test_what_one_label_gets_wrong_is_what_painting_it_shows(ids, c, data, rule):
    truth, n = data.draw(masks(ids.shape, c)), int(ids.max()) + 1
    votes = class_votes(truth, ids, n, c)
    color = np.where(dominant_label(votes, rule).any(axis=1), dominant_label(votes, rule).argmax(axis=1), IGNORE)[ids]
    matrix = painted_confusion(votes, rule)
    for a in range(c):
        assert matrix[a].tolist() == [int(((truth == a) & (color == b)).sum()) for b in range(c)]
    leak = undersegmentation_error(votes)
    assert ((leak >= 0) & (leak <= 1) | np.isnan(leak)).all()
    shares = [v for name in ("right", "iou", "leak") for v in label_cost(votes, rule)[name]]
    assert all(v is None or 0 <= v <= 1 for v in shares)


@every(ids=label_maps(6, 9), c=st.integers(1, 4), data=st.data(), low=st.booleans())
def test_pseudo_labels_are_of_the_classes_that_were_named(ids, c, data, low):
    rng, n = np.random.default_rng(data.draw(SEEDS)), int(ids.max()) + 1
    shape = tuple(max(1, side // 2) for side in ids.shape) if low else ids.shape
    features = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(3, *shape))), dim=0).float()
    logits = torch.from_numpy(rng.normal(size=(c, *ids.shape)).astype(np.float32))
    present, asked = rng.random((n, c)) < 0.4, some_of(data.draw, n)
    pseudo = pseudo_labels(features, logits, ids, present, asked)
    answered = asked & present.any(axis=1)
    for k in range(n):
        mine = pseudo[ids == k]
        if answered[k]:
            assert set(mine.tolist()) <= set(np.flatnonzero(present[k]).tolist())
    outside = pseudo[~answered[ids]]
    assert set(outside.tolist()) <= {IGNORE, *np.flatnonzero(present[answered].any(axis=0)).tolist()}
    truth = data.draw(masks(ids.shape, c))
    found = quality(pseudo, truth, ids, present.sum(axis=1) * answered)
    assert all(np.isnan(v) or 0 <= v <= 1 for k, v in found.items() if k.endswith(("accuracy", "share", "dominant")))
    broken = logits if data.draw(st.booleans()) else features
    broken[tuple(int(rng.integers(s)) for s in broken.shape)] = data.draw(st.sampled_from([torch.nan, torch.inf, -torch.inf]))
    name = "logits" if broken is logits else "features"
    assert f"the model's {name} hold NaN or infinity" in refusal(lambda: pseudo_labels(features, logits, ids, present, asked))


# ---- losses


@every(data=st.data(), shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)), c=CLASSES)
def test_cross_entropy_is_the_mean_surprise_of_the_labeled_pixels(data, shape, c):
    rng = np.random.default_rng(data.draw(SEEDS))
    scale = data.draw(st.sampled_from([0.0, 1.0, 1e4]))
    logits = torch.from_numpy(rng.normal(size=(shape[0], c, *shape[1:])) * scale).requires_grad_()
    target = np.stack([data.draw(masks(shape[1:], c)) for _ in range(shape[0])])
    loss = cross_entropy(logits, torch.from_numpy(target))
    p = logits.detach().log_softmax(dim=1).numpy()
    b, y, x = np.nonzero(target != IGNORE)
    slow = -p[b, target[b, y, x], y, x].mean() if len(b) else 0.0
    np.testing.assert_allclose(loss.item(), slow, rtol=1e-6, atol=1e-9)
    loss.backward()
    assert (
        torch.isfinite(logits.grad).all()
        and (logits.grad.numpy()[:, :][np.broadcast_to((target == IGNORE)[:, None], logits.shape)] == 0).all()
    )


@every(data=st.data(), b=st.integers(1, 3), ids=label_maps(5, 6), c=CLASSES, scale=st.sampled_from([0.0, 1.0, 100.0]))
def test_weak_losses_are_finite_nonnegative_and_zero_without_an_answer(data, b, ids, c, scale):
    rng, n = np.random.default_rng(data.draw(SEEDS)), int(ids.max()) + 1
    logits = torch.from_numpy((rng.normal(size=(b, c, *ids.shape)) * scale).astype(np.float32)).requires_grad_()
    maps = torch.from_numpy(np.stack([np.where(rng.random(ids.shape) < 0.2, -1, ids) for _ in range(b)]))
    present = torch.from_numpy(rng.random((b, n, c)) < data.draw(st.sampled_from([0.0, 0.3, 1.0])))
    parts = [losses.merged_positive(logits, maps, present), losses.prototypical_pixel(logits, maps, present)]
    whole = losses.weak_loss(logits, maps, present)
    assert all(torch.isfinite(part) and part >= -1e-6 for part in (*parts, whole))
    whole.backward()
    assert torch.isfinite(logits.grad).all()
    if not present.any():
        assert whole == 0 and (logits.grad == 0).all()
    only = losses.weak_loss(logits, maps, present, (0.0, 8.0, 1.0))
    torch.testing.assert_close(only, 8 * parts[0] + parts[1], rtol=1e-5, atol=1e-6)
    assert "they must be" in refusal(lambda: losses.weak_loss(logits, maps, present[..., :0]))


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
