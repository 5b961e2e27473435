"""OREAL Eq. 3: the class debts that leave the rarest class as frequent as the budget allows, by hand and by brute force."""

import itertools

import numpy as np
import pytest

from oreal_lib.balance import class_debt, shortfall


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


def test_max_share_caps_a_class_that_does_not_exist():
    assert class_debt(np.array([0, 50, 50]), 30).tolist() == [30, 0, 0]
    assert class_debt(np.array([0, 50, 50]), 30, max_share=0.5).tolist() == [15, 8, 7]


@pytest.mark.parametrize(
    "bad",
    [
        dict(counts=[-1, 2], budget=3),
        dict(counts=[], budget=1),
        dict(counts=[1.5, 2], budget=3),
        dict(counts=[1, 2], budget=-1),
        dict(counts=[1, 2], budget=2.5),
        dict(counts=[1, 2], budget=3, max_share=0.1),
    ],
)
def test_impossible_debts_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        class_debt(**bad)


def test_shortfall_is_what_lacks_to_an_equal_share():
    assert shortfall(np.array([0, 5, 10]), 6).tolist() == [7, 2, 0]
