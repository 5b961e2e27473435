import numpy as np

from oreal_lib.data.label_cost import label_cost, painted_confusion
from oreal_lib.oracle import class_votes, dominant_label
from oreal_lib.types import IGNORE as V


def test_what_dominant_labels_paint_is_the_confusion_of_a_painted_picture():
    rng = np.random.default_rng(1)
    truth, ids = rng.choice([0, 1, 2, V], (20, 20), p=[0.5, 0.2, 0.1, 0.2]).astype(np.uint8), rng.integers(0, 30, (20, 20))
    votes = class_votes(truth, ids, 30, 3)
    for void in ("vote", "exclude"):
        painted = np.array([*np.where(dominant_label(votes, void).any(1), dominant_label(votes, void).argmax(1), V)])[ids]
        expected = [[((truth == c) & (painted == d)).sum() for d in range(3)] for c in range(3)]
        assert painted_confusion(votes, void).tolist() == expected


def test_what_dominant_labels_cost_is_measured_by_class():
    votes = np.array([[3, 1, 0, 0], [0, 4, 0, 2], [2, 2, 0, 5]])  # the last is answered void, its pixels are missed
    cost = label_cost(votes, "vote")
    assert cost["pixels"] == [5, 7, 0] and cost["right"] == [0.6, round(4 / 7, 6), None]
    assert cost["iou"] == [0.5, round(4 / 7, 6), None] and cost["leak"] == [round(3 / 5, 6), round(3 / 7, 6), None]
    leaks = label_cost(np.array([[4, 0, 0, 9], [3, 1, 0, 0], [0, 6, 0, 0]]), "vote")["leak"]
    assert leaks == [round(1 / 7, 6), round(1 / 7, 6), None]  # each class leaks over one of its seven pixels


def test_looked_at_in_blocks_the_cost_is_the_same(monkeypatch):
    votes = np.random.default_rng(0).integers(0, 9, (23, 5))
    whole = label_cost(votes, "vote")
    monkeypatch.setattr("oreal_lib.data.label_cost.BLOCK", 4)
    assert label_cost(votes, "vote") == whole
