"""IoU = TP / (TP + FP + FN), its mean over classes, borders, and the area under the curve of mIoU over clicks, by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from oreal_lib.metrics import (
    aualc,
    border_superpixels,
    class_border,
    class_iou,
    confusion,
    fraction_to_reach,
    imbalance,
    miou,
)
from oreal_lib.reports.mechanism import query_deviation
from oreal_lib.types import IGNORE

V = IGNORE


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_confusion_takes_any_integers_changes_none_and_refuses_a_class_that_is_not_there(dtype):
    truth, predicted = torch.tensor([[2, V], [0, 2]]).to(dtype), torch.tensor([[2, 1], [1, 0]]).to(dtype)
    before = truth.clone(), predicted.clone()
    assert confusion(predicted, truth, 3).tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert torch.equal(truth, before[0]) and torch.equal(predicted, before[1])
    with pytest.raises(ValueError, match="a mask holds class 2, but there are 2 classes, 0 to 1, and 255"):
        confusion(torch.zeros_like(truth), truth, 2)


def test_miou_agrees_with_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    truth, predicted = torch.randint(0, 5, (4, 20, 20), generator=generator), torch.randint(0, 5, (4, 20, 20), generator=generator)
    truth[0] = V
    matrix = sum(confusion(p, t, 5) for p, t in zip(predicted, truth, strict=True)).numpy()
    theirs = MulticlassJaccardIndex(5, average="none", ignore_index=V)(predicted, truth)
    assert class_iou(matrix) == pytest.approx(theirs.numpy(), abs=1e-6)
    assert miou(matrix) == pytest.approx(theirs.mean().item(), abs=1e-6)


def test_a_class_that_nobody_has_seen_is_not_counted():
    matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert class_iou(matrix)[:2].tolist() == [0.75, 0.8] and np.isnan(class_iou(matrix)[2])
    assert miou(matrix) == pytest.approx(0.775)


PICTURE = np.array(
    [
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [V, 0, 1, 1],
    ],
    np.uint8,
)


def test_the_border_is_where_two_classes_meet_and_void_is_no_class():
    assert class_border(PICTURE).astype(int).tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0]]
    assert class_border(PICTURE, width=2).astype(int).tolist() == [[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]


def test_a_superpixel_touches_the_border_from_inside_or_along_its_edge():
    ids = np.array([[0, 0, 1, 1], [0, 0, 1, 2], [3, 4, 2, 2]])
    assert border_superpixels(PICTURE, ids, 5).tolist() == [False, True, True, False, True]


@pytest.mark.parametrize(
    "score, expected",
    [([0.5, 0.5, 0.5], 100.0), ([0.0, 0.25, 0.5], 50.0), ([0.0, 0.5, 0.5], 75.0), ([0.6, 0.6, 0.6], 120.0)],
)
def test_aualc_is_the_share_of_a_method_that_is_perfect_at_once(score, expected):
    assert aualc([10, 20, 30], score, full=0.5) == pytest.approx(expected)


def test_aualc_of_equal_steps_is_the_closed_form():
    m = np.array([0.3, 0.4, 0.45, 0.5, 0.52, 0.53])
    closed = 100 / (0.6 * 5) * (m[0] / 2 + m[1:-1].sum() + m[-1] / 2)
    assert aualc(np.arange(1, 7) * 100, m, 0.6) == pytest.approx(closed)
    assert aualc(np.arange(1, 7) * 100, m, 0.6, rule="mean") == pytest.approx(100 * m.mean() / 0.6)


@pytest.mark.parametrize("target, expected", [(0.2, 0.1), (0.35, 0.15), (0.5, 0.3), (0.6, np.nan)])
def test_the_fraction_to_reach_a_target_is_linear_between_steps(target, expected):
    assert fraction_to_reach([0.1, 0.2, 0.3], [0.3, 0.4, 0.5], target) == pytest.approx(expected, nan_ok=True)


def test_imbalance_runs_from_equal_to_one_class_only():
    assert imbalance([5, 5, 5]) == 0 and imbalance([9, 0, 0]) == pytest.approx(1) and np.isnan(imbalance([0, 0]))


def test_query_deviation_runs_from_as_owed_to_all_elsewhere():
    assert query_deviation([2, 3], [2, 3]) == 0 and query_deviation([5, 0], [0, 5]) == 1


RING = np.array([[0, 0, 0, V, V, V, 1, 1, 1]], np.uint8)


def test_thin_void_between_two_classes_hides_no_border_if_so_wanted():
    assert not class_border(RING).any()  # void is not a class and draws no border
    assert np.flatnonzero(class_border(RING, gap=3)).tolist() == [2, 6]  # the pixels that face each other
    assert np.flatnonzero(class_border(RING, width=2, gap=3)).tolist() == [1, 2, 3, 5, 6, 7]
    assert not class_border(RING, gap=1).any()  # too wide to look across
    assert not class_border(np.where(RING == 1, 0, RING), gap=3).any()  # the same class on both sides
    assert np.array_equal(class_border(PICTURE, gap=9), class_border(PICTURE))  # nothing void, nothing new


def test_a_ring_of_void_as_pascal_voc_draws_it_has_the_border_of_its_object():
    truth = np.zeros((60, 60), np.uint8)
    truth[12:48, 12:48] = V
    truth[17:43, 17:43] = 5
    border = class_border(truth, gap=8)
    assert border[17, 20:40].all() and border[11, 20:40].all() and not border[truth == V].any()
    ids = np.arange(60)[:, None] // 10 * 6 + np.arange(60) // 10
    assert border_superpixels(truth, ids, 36, gap=8).sum() == 12 and not border_superpixels(truth, ids, 36).any()


@pytest.mark.parametrize(
    "wrong, said", [([[0, 3]], "class 3 is predicted, but there are 0 to 2"), ([[0, -1]], "class -1 is predicted")]
)
def test_a_prediction_that_is_no_class_is_not_counted_in_the_next_row(wrong, said):
    with pytest.raises(ValueError, match=said):
        confusion(torch.tensor(wrong), torch.zeros(1, 2, dtype=torch.uint8), 3)
    with pytest.raises(ValueError, match=r"the prediction is \(1, 2\) and the mask \(2, 1\), but both need one shape"):
        confusion(torch.zeros(1, 2, dtype=torch.uint8), torch.zeros(2, 1, dtype=torch.uint8), 3)
    with pytest.raises(ValueError, match="a mask holds -1 to 0, but must be classes or 255"):
        confusion(torch.zeros(1, 2, dtype=torch.uint8), torch.tensor([[0, -1]]), 3)
