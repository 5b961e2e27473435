"""What is measured: everything per class comes from one confusion matrix, everything about cost from the learning curve."""

import numpy as np
import torch
from scipy import ndimage

from .types import IGNORE


def confusion(predicted: torch.Tensor, truth: torch.Tensor, n_classes: int) -> torch.Tensor:
    """(C, C) int64 pixel counts, row = truth, column = prediction; pixels whose truth is IGNORE are left out.

    predicted, truth: integer class ids of one shape. The sum of many images' matrices is that of the whole data set, as Pascal VOC
    counts: over all images at once and without void.
    ValueError for a truth that is neither one of the C classes nor IGNORE, a prediction that is not a class, or other shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"the prediction is {tuple(predicted.shape)} and the mask {tuple(truth.shape)}, but both need one shape")
    if predicted.numel():
        low, high = map(int, torch.aminmax(predicted))
        if not 0 <= low <= high < n_classes:
            wrong = low if low < 0 else high
            raise ValueError(f"class {wrong} is predicted, but there are 0 to {n_classes - 1}; take the model of this data set")
        if truth.dtype != torch.uint8 and not 0 <= (low := int(truth.min())) <= (high := int(truth.max())) <= IGNORE:
            raise ValueError(f"a mask holds {low} to {high}, but must be classes or {IGNORE} for void; correct the mask")
    index = (truth.int() * n_classes).add_(predicted)  # void is counted, too, then dropped: faster than leaving it out
    count = torch.bincount(index.flatten(), minlength=(IGNORE + 1) * n_classes).view(-1, n_classes)
    if count[n_classes:IGNORE].any():
        wrong = n_classes + int(count[n_classes:IGNORE].any(dim=1).nonzero()[0])
        raise ValueError(
            f"a mask holds class {wrong}, but there are {n_classes} classes, 0 to {n_classes - 1}, and {IGNORE} for void"
        )
    return count[:n_classes]


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """(C,) float64 in [0, 1], TP / (TP + FP + FN) from a confusion matrix (C, C): intersection over union, Pascal VOC's measure.

    NaN for a class in neither truth nor prediction.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    hit = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(matrix), np.nan), where=union > 0)


def miou(matrix: np.ndarray) -> float:
    """Mean IoU in [0, 1] of a confusion matrix (C, C), over the classes in truth or prediction (OREAL Sec. 4.3); NaN if none is."""
    there = (iou := class_iou(matrix))[~np.isnan(iou)]
    return float(there.mean()) if len(there) else float("nan")


def class_border(truth: np.ndarray, width: int = 1, gap: int = 0) -> np.ndarray:
    """(H, W) bool: pixels at most `width` steps from a border between two classes. Void is not a class and draws no border.

    Our choice.  truth: (H, W) uint8, class id or IGNORE.
    gap: void up to about this many pixels wide between two classes does not hide their border: the pixels that face each
    other across it count as if they touched (Pascal VOC draws such a ring around every object). 0: void always hides it.
    """
    near, place = truth, None
    if gap and (truth == IGNORE).any() and (truth != IGNORE).any():
        far, place = ndimage.distance_transform_edt(truth == IGNORE, return_indices=True)
        near = np.where(far <= gap / 2 + 0.5, truth[tuple(place)], IGNORE)  # each side reaches to the middle
    border = np.zeros(truth.shape, bool)
    for a, b in [(np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])]:
        differ = (near[a] != near[b]) & (near[a] != IGNORE) & (near[b] != IGNORE)
        border[a] |= differ
        border[b] |= differ
    if place is not None:
        facing = border.copy()
        border[:] = False
        border[tuple(axis[facing] for axis in place)] = True
    reach = min(width - 1, sum(truth.shape))  # from one pixel that is everywhere
    return ndimage.binary_dilation(border, iterations=reach) if reach > 0 else border


def border_superpixels(truth: np.ndarray, ids: np.ndarray, n: int, gap: int = 0) -> np.ndarray:
    """(n,) bool: superpixels with a pixel at a true class border, whether it runs inside them or along their edge.

    truth: (H, W) uint8.  ids: (H, W) integers 0..n-1.  gap: as in `class_border`.
    The mechanism OREAL claims (Sec. 3.2): max asks these.
    """
    touched = np.zeros(n, bool)
    touched[ids[class_border(truth, gap=gap)]] = True
    return touched


def aualc(clicks: np.ndarray, score: np.ndarray, full: float, rule: str = "trapezoid") -> float:
    """Area under the learning curve in percent of a method that is at `full` in every step (OREAL Sec. 4.3).

    clicks: (T,) increasing cost.  score: (T,) mIoU.  full: mIoU > 0 with all dominant labels (model B).
    rule: "trapezoid" over clicks (our choice, as the paper has no formula), or "mean" of the T ratios.
    Exceeds 100 where steps beat `full`. ValueError for another `full` or rule, clicks that do not increase, or a score too many or
    too few.
    """
    clicks, score = np.asarray(clicks, float), np.asarray(score, float)
    if clicks.shape != score.shape or clicks.ndim != 1 or not len(clicks):
        raise ValueError(f"clicks are {clicks.shape} and scores {score.shape}, but each of T >= 1 steps needs both")
    if not 1e-9 < full < 1e9:
        raise ValueError(f"the full-supervision mIoU is {full}, but an area can only be taken relative to a finite value > 0")
    if rule == "mean":
        return float(100 * score.mean() / full)
    if rule != "trapezoid":
        raise ValueError(f"rule is {rule!r}; choose trapezoid or mean")
    if len(clicks) < 2 or not (np.diff(clicks) > 0).all():
        raise ValueError(f"the clicks are {clicks.tolist()}, but an area needs two or more steps of increasing cost")
    return float(100 * np.trapezoid(score, clicks) / ((clicks[-1] - clicks[0]) * full))


def fraction_to_reach(fraction: np.ndarray, score: np.ndarray, target: float) -> float:
    """Labeled fraction at which the curve first reaches `target`, linear between steps; NaN if it never does (OREAL Table 3).

    fraction: (T,) 0..1, increasing.  score: (T,) mIoU.
    """
    fraction, score = np.asarray(fraction, float), np.asarray(score, float)
    reached = np.flatnonzero(score >= target)
    if not len(reached):
        return float("nan")
    if (t := int(reached[0])) == 0:
        return float(fraction[0])
    part = (target - score[t - 1]) / (score[t] - score[t - 1])
    return float(fraction[t - 1] + part * (fraction[t] - fraction[t - 1]))


def imbalance(counts: np.ndarray) -> float:
    """Distance of class counts (C,) from an equal share, 0 = balanced, 1 = one class only (CBAL's normalized L1); NaN if empty."""
    counts = np.asarray(counts, float)
    total, c = counts.sum(), len(counts)
    return float(np.abs(counts - total / c).sum() * c / (2 * total * (c - 1))) if total and c > 1 else float("nan")
