"""The annotator: a superpixel's answer is its most frequent class (dominant label), and is painted on all of it."""

import numpy as np
import pytest

from oreal_lib.oracle import Oracle, class_votes, dominant_label, impurity
from oreal_lib.types import IGNORE, Labels, Superpixels

V = IGNORE
IDS = np.array([[0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize(
    "truth, void, expected",
    [
        ([0, 0, 1, 2, 2, 2], "vote", [0, 2]),
        ([1, 2, 2, 1, 0, 2], "vote", [2, 0]),  # a tie: the smallest class id
        ([V, V, 1, V, 1, 1], "vote", [None, 1]),  # void wins: nothing learned
        ([V, V, 1, V, V, V], "exclude", [1, None]),
    ],
)
def test_dominant_label_by_hand(truth, void, expected):
    answers = dominant_label(class_votes(np.array([truth], np.uint8), IDS, 2, 3), void)
    assert [int(a.argmax()) if a.any() else None for a in answers] == expected


def test_a_class_wins_a_tie_with_void():
    assert dominant_label(np.array([[0, 0, 1, 1]]))[0].tolist() == [False, False, True]


def test_dominant_label_agrees_with_counting_one_by_one():
    rng = np.random.default_rng(0)
    truth, ids = rng.choice([0, 1, 2, V], (30, 30)).astype(np.uint8), rng.integers(0, 40, (30, 30))
    answers = dominant_label(class_votes(truth, ids, 41, 3))  # id 40 does not occur: no answer
    for k in range(41):
        values, counts = np.unique(truth[ids == k], return_counts=True)
        best = values[counts.argmax()] if len(values) else V
        assert answers[k].tolist() == [best == c for c in range(3)]


@pytest.fixture
def two_images():
    truth = np.array([[[0, 0, V, 2, 2, 2]], [[1, 1, 1, V, V, V]]], np.uint8)
    superpixels = Superpixels.from_maps(np.stack([IDS, IDS]).astype(np.uint16))
    return truth, superpixels, np.concatenate([class_votes(t, IDS, 2, 3) for t in truth])


def test_only_bought_superpixels_are_painted_and_whole(two_images):
    truth, superpixels, votes = two_images
    oracle = Oracle.dominant(votes, truth)
    labels = Labels.none(4, 3).reveal([0, 3], oracle.answers[[0, 3]], step=1)
    assert oracle.paint(labels, superpixels).tolist() == [[[0, 0, 0, V, V, V]], [[V] * 6]]
    assert labels.clicks == 2 and labels.class_counts().tolist() == [1, 0, 0]  # void cost a click, and is not a class


def test_exclude_leaves_void_pixels_void(two_images):
    truth, superpixels, votes = two_images
    oracle = Oracle.dominant(votes, truth, "exclude")
    labels = Labels.none(4, 3).reveal(np.arange(4), oracle.answers, step=1)
    assert oracle.paint(labels, superpixels).tolist() == [[[0, 0, V, 2, 2, 2]], [[1, 1, 1, V, V, V]]]


def test_a_class_or_a_superpixel_that_is_not_there_is_not_counted_for_the_next_one():
    mask, ids = np.array([[0, 1, 3, 0]], np.uint8), np.array([[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="a pixel is of class 3, but there are 0 to 1; give the map and the mask"):
        class_votes(mask, ids, 2, 2)
    with pytest.raises(ValueError, match="a pixel is of superpixel 1, but there are 0 to 0"):
        class_votes(mask % 2, ids, 1, 2)


def test_the_exact_oracle_paints_what_was_bought_as_the_mask_is_and_counts_it_as_the_dominant_class(two_images):
    truth, superpixels, votes = two_images
    dominant, exact = Oracle.dominant(votes, truth), Oracle.dominant(votes, truth, exact=True)
    truth[0, 0, 1] = 1  # a pixel of another class in superpixel 0, and void in it
    labels = exact.answer(Labels.none(4, 3), np.array([0, 3]), 1)
    assert exact.paint(labels, superpixels).tolist() == [[[0, 1, V, V, V, V]], [[V] * 6]]
    same = dominant.answer(Labels.none(4, 3), np.array([0, 3]), 1)
    assert labels.clicks == same.clicks == 2 and labels.present.tolist() == same.present.tolist()


def test_impurity_is_the_share_of_class_pixels_that_one_label_gets_wrong():
    votes = np.array([[3, 1, 0, 9], [0, 4, 0, 0], [0, 0, 0, 5]])  # void, last, is no class
    assert impurity(votes) == pytest.approx(1 / 8)
    assert impurity(votes[1:]) == 0 and np.isnan(impurity(votes[2:]))
