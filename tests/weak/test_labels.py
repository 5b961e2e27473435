import numpy as np
import pytest
from generated import SEEDS, every, label_maps, masks
from hypothesis import strategies as st

from oreal_lib.select import top
from oreal_lib.types import IGNORE, Labels, Query
from oreal_lib.weak.labels import affordable, buy, classes_present, near_border, weak_oracle

V = IGNORE


def test_three_pixels_on_each_side_are_not_looked_at_and_the_image_edge_is_no_border():
    ids = np.repeat([[0] * 6 + [1] * 6], 8, axis=0)
    assert (near_border(ids) == ([False] * 3 + [True] * 6 + [False] * 3)).all()


def test_a_sliver_along_the_border_is_overlooked_and_one_pixel_inside_is_named():
    ids = np.repeat([[0] * 6 + [1] * 6], 8, axis=0)
    truth = np.where(ids == 0, 2, 1).astype(np.uint8)
    truth[:, 4:6] = 0  # on the left side of the border, up to 2 pixels deep
    truth[7, 11] = V  # in the corner of the image
    assert classes_present(truth, ids, 2, 3).tolist() == [[False, False, True, False], [False, True, False, True]]
    truth[3, 2] = 0  # one pixel, 4 deep
    assert classes_present(truth, ids, 2, 3)[0].tolist() == [True, False, True, False]


def test_a_superpixel_too_thin_to_trim_is_looked_at_whole():
    ids = np.repeat([[0] * 5 + [1] * 2 + [2] * 5], 4, axis=0)
    truth = np.repeat([[0] * 5 + [1, V] + [2] * 5], 4, axis=0).astype(np.uint8)
    assert classes_present(truth, ids, 3, 3).tolist() == [
        [True, False, False, False],
        [False, True, False, True],
        [False, False, True, False],
    ]


def test_the_weak_oracle_names_the_classes_and_asks_a_click_for_each():
    present = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], bool)  # the last column is void's
    drop, keep = weak_oracle(present), weak_oracle(present, "keep")
    assert drop.answers.tolist() == present[:, :3].tolist() and drop.cost.tolist() == [2, 0, 1, 0]
    assert keep.answers.tolist() == present.tolist() and keep.cost.tolist() == [3, 1, 1, 0]
    labels = keep.answer(Labels.none(4, 3, undefined=True), np.array([0, 1]), 1)
    assert labels.clicks == 4 and labels.class_counts().tolist() == [1, 1, 0]  # void is an answer, but no class
    assert drop.answer(Labels.none(4, 3), np.array([0, 1]), 1).clicks == 2


def query_of(ids, for_class=None):
    ids = np.array(ids)
    return Query(ids, np.zeros(len(ids), np.float32), None if for_class is None else np.array(for_class, np.int16))


def test_cut_in_order_the_last_classes_get_nothing_cut_by_class_each_pays_its_own():
    query, cost = query_of(range(6), [0, 0, 2, 2, 1, 1]), np.array([2, 1, 2, 2, 2, 1])
    assert affordable(query, cost, 6, "order").tolist() == [True, True, True, True, False, False]  # 2 + 1 + 2, and 2 overdrawn
    # class 0 spends 2 of 2, class 2 spends 2 of 2, class 1 spends 2 of 2
    assert affordable(query, cost, 6, "class").tolist() == [True, False, True, False, True, False]
    # class 0 overdraws its 2 by 1, so class 2 has 1 left and overdraws by 1, so class 1 has 1 left
    assert affordable(query, np.array([3, 1, 2, 1, 1, 1]), 6).tolist() == [True, False, True, False, True, False]
    # class 0 overdraws by all that class 2 had, which is not asked
    assert affordable(query, np.array([4, 1, 1, 1, 1, 1]), 6).tolist() == [True, False, False, False, True, True]


def by_number(labels, k):
    return query_of(np.flatnonzero(labels.unlabeled)[:k])


def test_free_answers_leave_clicks_for_another_round():
    present = np.array([[0, 0, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], bool)
    oracle, rounds = weak_oracle(present), []

    def ask(labels, k):
        rounds.append((k, labels.class_counts().tolist()))
        return by_number(labels, k)

    query = buy(ask, oracle, Labels.none(6, 2), 4, step=2)
    assert query.ids.tolist() == [0, 1, 2, 3, 4] and query.for_class is None  # two clicks, one, one: two answers were void
    assert rounds == [(4, [0, 0]), (1, [2, 1])]  # the second round knows what the first was told


def test_what_is_left_is_asked_and_nothing_left_is_told():
    oracle = weak_oracle(np.array([[1, 0], [0, 1]], bool))
    assert buy(by_number, oracle, Labels.none(2, 1), 5, step=1).ids.tolist() == [0, 1]
    labels = oracle.answer(Labels.none(2, 1), np.array([0, 1]), 1)
    with pytest.raises(ValueError, match="nothing is left to ask in step 2; lower steps"):
        buy(by_number, oracle, labels, 5, step=2)


def test_each_part_of_a_query_keeps_its_class():
    oracle = weak_oracle(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], bool))
    query = buy(lambda labels, k: query_of([3, 0, 1, 2], [1, 1, 0, 0]), oracle, Labels.none(4, 2), 4, step=1)
    assert query.ids.tolist() == [3, 0, 1] and query.for_class.tolist() == [1, 1, 0]


@every(ids=label_maps(), c=st.integers(1, 6), data=st.data(), trim=st.integers(0, 5) | st.sampled_from([24, 10**9, 2**63]))
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
    assert weak_oracle(found).cost.tolist() == found[:, :-1].sum(axis=1).tolist()


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
