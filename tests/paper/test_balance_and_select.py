import itertools

import numpy as np
import pytest

from oreal_lib import select
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
        dict(counts=[1.5, 2], budget=3),  # was taken for 1
        dict(counts=[1, 2], budget=2.5),  # was spent as 2
        dict(counts=[1, 2], budget=float("nan")),
        dict(counts=[1, 2], budget=2**63),
        dict(counts=[1, 10**30], budget=3),
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


def sorted_whole(score, debt, among, rng, order):
    """Algorithm 1 with a full sort of every column: what `top_per_class` must equal, ties and all."""
    ids, taken, parts = rng.permutation(np.flatnonzero(among)), np.zeros(len(among), bool), []
    for c in order:
        ids = ids[~taken[ids]]
        parts.append(ids[np.argsort(-score[ids, c], kind="stable")[: debt[c]]])
        taken[parts[-1]] = True
    return np.concatenate(parts)


@pytest.mark.parametrize("rows", [1, 7, 1 << 16])  # of the table read at a time
def test_reading_the_table_in_blocks_gives_what_sorting_it_whole_gives(rows, monkeypatch):
    monkeypatch.setattr(select, "ROWS", rows)
    rng = np.random.default_rng(rows)
    for _ in range(300):
        n, c = int(rng.integers(1, 60)), int(rng.integers(1, 6))
        score = rng.integers(0, rng.integers(1, 30), (n, c)).astype(np.float32)  # with ties, of which many
        score[rng.random((n, c)) < 0.2] = -np.inf
        among = rng.random(n) < rng.random()
        if not among.any():
            continue
        k, order, seed = int(rng.integers(1, among.sum() + 1)), rng.permutation(c), int(rng.integers(2**31))
        debt = rng.multinomial(k, rng.dirichlet(np.ones(c) / 2))
        query = top_per_class(score, debt, among, np.random.default_rng(seed), order)
        assert query.ids.tolist() == sorted_whole(score, debt, among, np.random.default_rng(seed), order).tolist()
        assert query.ids.dtype == np.int64 and (query.score == score[query.ids, query.for_class]).all()
        query = top(score[:, 0], k, among, np.random.default_rng(seed))
        assert query.ids.tolist() == sorted_whole(score, [k], among, np.random.default_rng(seed), [0]).tolist()


def test_a_table_of_scores_may_be_a_memory_map(tmp_path):
    score = np.random.default_rng(0).random((500, 3), np.float32)
    np.save(tmp_path / "scores.npy", score)
    table, among, debt = np.load(tmp_path / "scores.npy", mmap_mode="r"), np.ones(500, bool), np.array([5, 0, 7])
    found, expected = (top_per_class(s, debt, among, np.random.default_rng(0)) for s in (table, score))
    assert found.ids.tolist() == expected.ids.tolist()


def test_a_score_that_is_nan_is_named_not_ranked():
    score = np.zeros((4, 2), np.float32)
    score[2, 1] = np.nan
    with pytest.raises(FloatingPointError, match="superpixel 2, column 1, is NaN"):
        top_per_class(score, np.array([1, 1]), np.ones(4, bool), np.random.default_rng(0))
    labeled = np.array([True, True, False, True])  # what may not be asked need not have a score
    assert len(top_per_class(score, np.array([1, 1]), labeled, np.random.default_rng(0)).ids) == 2


@pytest.mark.parametrize(
    "score", [[False, True, True, False], [np.uint8(3), np.uint8(9), np.uint8(200), np.uint8(0)], [3, 9, 10, 0]]
)
def test_whole_numbers_and_answers_of_yes_and_no_are_scores_too(score):
    """Of two answers "yes" one was not asked; the negative of a number without a sign is no smaller than it."""
    query = top(np.array(score), 3, np.ones(4, bool), np.random.default_rng(0))
    assert set(query.ids[:2]) == {1, 2} and (np.diff(query.score) <= 0).all()


@pytest.mark.parametrize("k", [2.5, None, True, float("nan"), "2"])
def test_a_query_has_a_whole_number_of_superpixels(k):
    with pytest.raises(ValueError, match=r"asked for .* superpixels, but a query has a whole number of them"):
        top(np.zeros(3), k, np.ones(3, bool), np.random.default_rng(0))


def test_a_table_and_what_is_asked_of_it_must_fit():
    score, all_, rng = np.zeros((3, 2)), np.ones(3, bool), np.random.default_rng(0)
    for debt in (1, [1, -1], [0.5, 1], [1, 1, 1]):
        with pytest.raises(ValueError, match="a class needs a whole number >= 0 and a column"):
            top_per_class(score, np.array(debt), all_, rng)
    with pytest.raises(ValueError, match=r"class_order is \[0, 0\], but must name each of the 2 classes once"):
        top_per_class(score, np.array([1, 1]), all_, rng, [0, 0])
    assert top_per_class(score, np.array([2]), all_, rng).for_class.tolist() == [0, 0]  # the second column may be void's
    with pytest.raises(ValueError, match="there are 3 scores, but 4 superpixels"):
        top(score[:, 0], 1, np.ones(4, bool), rng)
