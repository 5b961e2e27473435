import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import find_boundaries

from oreal_lib.types import IGNORE, Labels, Query
from oreal_lib.weak.labels import affordable, buy, classes_present, click_cost, near_border, weak_oracle

V = IGNORE


def test_three_pixels_on_each_side_are_not_looked_at_and_the_image_edge_is_no_border():
    ids = np.repeat([[0] * 6 + [1] * 6], 8, axis=0)
    assert (near_border(ids) == ([False] * 3 + [True] * 6 + [False] * 3)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_border_is_the_thick_one_of_skimage_widened_by_a_box(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 5, (5, 6)).repeat(9, axis=0).repeat(8, axis=1)
    expected = ndimage.binary_dilation(find_boundaries(ids, mode="thick"), np.ones((5, 5)))
    assert 0.3 < expected.mean() < 1 and np.array_equal(near_border(ids), expected)
    assert np.array_equal(near_border(ids.astype(np.uint16)), expected)


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


def test_one_superpixel_for_all_has_no_border_and_an_id_without_pixels_names_nothing():
    truth = np.array([[0, 1], [V, 1]], np.uint8)
    assert classes_present(truth, np.zeros((2, 2), np.uint8), 2, 2).tolist() == [[True, True, True], [False, False, False]]


@pytest.mark.parametrize("seed", range(3))
def test_classes_present_agrees_with_looking_one_by_one(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 12, (6, 6)).repeat(7, axis=0).repeat(5, axis=1)
    truth = rng.choice([0, 1, 2, 3, V], (10, 10)).repeat(5, axis=0)[: ids.shape[0]].repeat(3, axis=1).astype(np.uint8)
    ids = ids[: truth.shape[0], : truth.shape[1]]
    trimmed = ndimage.binary_dilation(find_boundaries(ids, mode="thick"), np.ones((5, 5)))
    found = classes_present(truth, ids, 12, 4)
    for k in range(12):
        looked_at = truth[(ids == k) & ~trimmed]
        values = set((looked_at if len(looked_at) else truth[ids == k]).tolist())
        assert found[k].tolist() == [c in values for c in (0, 1, 2, 3, V)]


def test_undefined_is_a_click_only_where_it_is_kept():
    present = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
    assert click_cost(present).tolist() == [2, 0, 1, 0]  # all void: free, and no answer
    assert click_cost(present, "keep").tolist() == [3, 1, 1, 0]
    with pytest.raises(ValueError, match="choose one of drop, keep"):
        click_cost(present, "void")


def test_the_weak_oracle_names_the_classes_and_asks_a_click_for_each():
    present = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0]], bool)
    drop, keep = weak_oracle(present), weak_oracle(present, "keep")
    assert drop.answers.tolist() == present[:, :3].tolist() and drop.cost.tolist() == [2, 0, 1]
    assert keep.answers.tolist() == present.tolist() and keep.cost.tolist() == [3, 1, 1]
    labels = keep.answer(Labels.none(3, 3, undefined=True), np.array([0, 1]), 1)
    assert labels.clicks == 4 and labels.class_counts().tolist() == [1, 1, 0]  # void is an answer, but no class
    assert drop.answer(Labels.none(3, 3), np.array([0, 1]), 1).clicks == 2


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
    with pytest.raises(ValueError, match="click_cut is 'row'; choose one of class, order"):
        affordable(query, cost, 6, "row")


@pytest.mark.parametrize("cut", ["class", "order"])
@pytest.mark.parametrize("seed", range(20))
def test_the_budget_is_spent_and_overdrawn_by_less_than_the_last_answer(seed, cut):
    rng = np.random.default_rng(seed)
    for_class = np.sort(rng.integers(0, 4, 30)) if seed % 2 else None
    cost = rng.integers(1, 5, 30)
    spent = cost[affordable(query_of(range(30), for_class), cost, 30, cut)].sum()
    assert 30 <= spent < 30 + cost.max()


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


@pytest.mark.parametrize("trim", [0, 1, 2, 4])
def test_the_annotator_overlooks_as_many_pixels_as_told(trim):
    ids = np.repeat([[0] * 6 + [1] * 6], 4, axis=0)
    assert near_border(ids, trim)[0].tolist() == [False] * (6 - trim) + [True] * 2 * trim + [False] * (6 - trim)
    truth = np.zeros((4, 12), np.uint8)
    truth[:, 6] = 1  # one pixel into the right superpixel
    assert classes_present(truth, ids, 2, 2, trim).tolist() == [[True, False, False], [True, trim == 0, False]]
