"""Which superpixels are asked, given their scores: the best, or for each class as many as it is owed (Algorithm 1)."""

import numpy as np
import pytest

from oreal_lib.select import top, top_per_class


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


def test_a_column_more_than_there_are_debts_is_not_asked():
    score = np.array([[0.1, 0.9], [0.2, 0.8]])  # the second column may be void's
    assert top_per_class(score, np.array([1]), np.ones(2, bool), np.random.default_rng(0)).ids.tolist() == [1]


def sorted_whole(score, debt, among, rng, order):
    """Algorithm 1 with a full sort of every column: what `top_per_class` must equal, ties and all."""
    ids, taken, parts = rng.permutation(np.flatnonzero(among)), np.zeros(len(among), bool), []
    for c in order:
        ids = ids[~taken[ids]]
        parts.append(ids[np.argsort(-score[ids, c], kind="stable")[: debt[c]]])
        taken[parts[-1]] = True
    return np.concatenate(parts)


@pytest.mark.parametrize("seed", range(3))
def test_a_query_is_what_sorting_every_column_gives(seed):
    rng = np.random.default_rng(seed)
    for _ in range(300):
        n, c = int(rng.integers(1, 60)), int(rng.integers(1, 6))
        score = rng.integers(0, rng.integers(1, 30), (n, c)).astype(np.float32)  # with ties, of which many
        score[rng.random((n, c)) < 0.2] = -np.inf
        among = rng.random(n) < rng.random()
        among[rng.integers(n)] = True
        k, order, seed = int(rng.integers(1, among.sum() + 1)), rng.permutation(c), int(rng.integers(2**31))
        debt = rng.multinomial(k, rng.dirichlet(np.ones(c) / 2))
        query = top_per_class(score, debt, among, np.random.default_rng(seed), order)
        assert query.ids.tolist() == sorted_whole(score, debt, among, np.random.default_rng(seed), order).tolist()
        assert query.ids.dtype == np.int64 and (query.score == score[query.ids, query.for_class]).all()
        assert np.bincount(query.for_class, minlength=c).tolist() == debt.tolist()
        query = top(score[:, 0], k, among, np.random.default_rng(seed))
        assert query.ids.tolist() == sorted_whole(score, [k], among, np.random.default_rng(seed), [0]).tolist()


@pytest.mark.parametrize("k", [0, 4])
def test_a_query_larger_than_what_is_left_is_refused(k):
    with pytest.raises(ValueError, match="only 3 are unlabeled; lower query_size"):
        top(np.zeros(3), k, np.ones(3, bool), np.random.default_rng(0))


def test_a_table_of_scores_is_not_one_score():
    with pytest.raises(ValueError, match=r"the scores are \(3, 1\), but top ranks one number .* take one column, \[:, 0\]"):
        top(np.zeros((3, 1)), 1, np.ones(3, bool), np.random.default_rng(0))


def test_a_score_that_is_nan_has_no_rank_but_what_may_not_be_asked_needs_none():
    score = np.random.default_rng(0).random((4, 2))
    score[2, 1] = np.nan
    with pytest.raises(FloatingPointError, match="superpixel 2 is NaN"):
        top_per_class(score, np.array([0, 1]), np.ones(4, bool), np.random.default_rng(0))
    labeled = np.array([True, True, False, True])
    assert len(top_per_class(score, np.array([0, 2]), labeled, np.random.default_rng(0)).ids) == 2


@pytest.mark.parametrize("score", [[False, True, True, False], np.array([3, 9, 200, 0], np.uint8), [3, 9, 10, 0]])
def test_whole_numbers_and_answers_of_yes_and_no_are_scores_too(score):
    """The negative of a number without a sign is not smaller than it."""
    query = top(np.array(score), 3, np.ones(4, bool), np.random.default_rng(0))
    assert set(query.ids[:2]) == {1, 2} and (np.diff(query.score) <= 0).all()
