"""Weak labels: the annotator names every class in a superpixel, and overlooks slivers along its border."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .oracle import class_votes

TRIM = 5  # MulActSeg's `trim_kernel_size`: with the border itself, 3 pixels on each side of it
UNDEFINED_RULES = ("drop", "keep")


def near_border(ids: np.ndarray) -> np.ndarray:
    """(H, W) bool: the 3 pixels on each side of every border between superpixels (H, W). The edge of the image is none.

    The "thick" boundary of skimage's find_boundaries, widened by a 5 x 5 box.
    """
    border = np.zeros(ids.shape, np.uint8)
    for a, b in [(np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])]:
        differ = ids[a] != ids[b]
        border[a] |= differ
        border[b] |= differ
    return ndimage.maximum_filter(border, TRIM, mode="constant") > 0


def classes_present(truth: np.ndarray, ids: np.ndarray, n: int, n_classes: int) -> np.ndarray:
    """(n, C + 1) bool: the classes with a pixel in each superpixel, and last whether a void one is ("undefined").

    truth: (H, W) uint8 class ids or IGNORE.  ids: (H, W) integers 0..n-1.  Pixels `near_border` are not looked at, unless
    the superpixel has no others (MulActSeg `region_{cityscapes,voc}_tensor.py`). An id without a pixel names nothing.
    """
    looked_at = class_votes(truth, np.where(near_border(ids), n, ids), n + 1, n_classes)[:n]
    whole = class_votes(truth, ids, n, n_classes)
    return np.where(looked_at.any(axis=1, keepdims=True), looked_at, whole) > 0


def click_cost(present: np.ndarray, undefined: str = "drop") -> np.ndarray:
    """(n,) int64: clicks that naming the classes of each superpixel costs, one for each (MulActSeg's fair counting).

    present: (n, C + 1) bool of `classes_present`.
    undefined "drop" (as for VOC): it is no answer and costs nothing; a superpixel that is void all over is free.
    undefined "keep" (as for Cityscapes): it is an answer like a class, and a click.
    """
    if undefined not in UNDEFINED_RULES:
        raise ValueError(f"undefined is {undefined!r}; choose one of {', '.join(UNDEFINED_RULES)}")
    return (present if undefined == "keep" else present[:, :-1]).sum(axis=1, dtype=np.int64)
