import itertools

import numpy as np
import pytest

from oreal_lib.balance import class_debt, shortfall
from oreal_lib.select import top, top_per_class


@pytest.mark.parametrize(
    "counts, budget, debt",
    [
        ([0, 5, 5, 100], 12, [8, 2, 2, 0]),
        ([3, 3, 3], 2, [1, 1, 0]),
        ([10, 0, 4], 3, [0, 3, 0]),
        ([7], 4, [4]),
        ([0, 0], 0, [0, 0]),
        ([100, 90, 0], 5, [0, 0, 5]),
    ],
)
def test_debts_fill_the_rarest_class_first(counts, budget, debt):
    assert class_debt(np.array(counts), budget).tolist() == debt


def test_debt_is_the_optimum_of_eq_3_by_brute_force():
    """No split of the budget leaves a higher minimum; among those, ours also has the highest second-lowest, and so on."""
    for counts in itertools.product(range(4), repeat=3):
        for budget in range(6):
            ours = sorted(np.array(counts) + class_debt(np.array(counts), budget))
            splits = [d for d in itertools.product(range(budget + 1), repeat=3) if sum(d) == budget]
            assert ours == max(sorted(np.array(counts) + d) for d in splits)


def test_debt_is_one_click_at_a_time_to_the_poorest():
    rng = np.random.default_rng(0)
    for _ in range(300):
        counts, budget = rng.integers(0, 40, rng.integers(1, 9)), int(rng.integers(0, 120))
        level = counts.copy()
        for _ in range(budget):
            level[np.lexsort((np.arange(len(counts)), counts, level))[0]] += 1
        assert class_debt(counts, budget).tolist() == (level - counts).tolist()


def test_max_share_caps_a_class_that_does_not_exist():
    assert class_debt(np.array([0, 50, 50]), 30).tolist() == [30, 0, 0]
    assert class_debt(np.array([0, 50, 50]), 30, max_share=0.5).tolist() == [15, 8, 7]


@pytest.mark.parametrize(
    "bad",
    [
        dict(counts=[-1, 2], budget=3),
        dict(counts=[1, 2], budget=-1),
        dict(counts=[], budget=1),
        dict(counts=[1, 2], budget=3, max_share=0.1),
    ],
)
def test_impossible_debts_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        class_debt(**bad)


def test_shortfall_is_what_lacks_to_an_equal_share():
    assert shortfall(np.array([0, 5, 10]), 6).tolist() == [7, 2, 0]


def test_top_takes_the_best_first_and_leaves_the_labeled():
    query = top(np.array([0.1, 0.9, 0.5, 0.7]), 2, np.array([True, False, True, True]), np.random.default_rng(0))
    assert query.ids.tolist() == [3, 2] and query.score.tolist() == pytest.approx([0.7, 0.5])


def test_ties_fall_by_the_generator_not_by_file_order():
    among = np.ones(1000, bool)
    first, same, other = (top(np.zeros(1000), 10, among, np.random.default_rng(s)).ids for s in (0, 0, 1))
    assert (first == same).all() and (first != other).any() and first.max() > 100


def test_per_class_moves_on_to_the_next_best():
    score = np.array([[0.9, 0.8], [0.5, 0.7], [0.1, 0.6]])  # superpixel 0 is the best of both classes
    everything, rng = np.ones(3, bool), np.random.default_rng(0)
    query = top_per_class(score, np.array([1, 1]), everything, rng)
    assert query.ids.tolist() == [0, 1] and query.for_class.tolist() == [0, 1]
    reverse = top_per_class(score, np.array([1, 1]), everything, rng, class_order=np.array([1, 0]))
    assert reverse.ids.tolist() == [0, 1] and reverse.for_class.tolist() == [1, 0]
    assert reverse.score.tolist() == pytest.approx([0.8, 0.5])


@pytest.mark.parametrize("k", [0, 4])
def test_a_query_larger_than_what_is_left_is_refused(k):
    with pytest.raises(ValueError, match="only 3 are unlabeled; lower query_size"):
        top(np.zeros(3), k, np.ones(3, bool), np.random.default_rng(0))
