"""Cut one superpixel where one label for all of it would be wrong."""

from __future__ import annotations

import numpy as np
from skimage.measure import label
from skimage.segmentation import slic

from ..superpixels import dense
from ..types import IGNORE

PIECES = 4  # our choice: one click more or two put most borders right


def split(image: np.ndarray, ids: np.ndarray, superpixel: int, pieces: int = PIECES) -> tuple[int, int, np.ndarray]:
    """Row and column of the superpixel's box, and (h, w) uint8 piece numbers in it: 0.. from large to small, IGNORE outside.

    image: (H, W, 3) uint8.  ids: (H, W) integers.  Pieces are connected and follow color (masked SLIC), about as many as asked;
    where color says nothing, halves across the longer side.  ValueError if it is a single pixel.
    """
    rows, columns = np.nonzero(ids == superpixel)
    if len(rows) < 2:
        raise ValueError(
            f"superpixel {superpixel} has {len(rows)} pixel and cannot be split; zoom in and label its neighbors instead"
        )
    y, x = int(rows.min()), int(columns.min())
    box = np.s_[y : rows.max() + 1, x : columns.max() + 1]
    inside = ids[box] == superpixel
    cut = slic(np.asarray(image[box]), pieces, compactness=5.0, mask=inside, start_label=1, channel_axis=-1)
    cut = np.where(inside, cut, 0)
    if len(np.unique(cut[inside])) < 2:
        across = (rows - y) if np.ptp(rows) >= np.ptp(columns) else (columns - x)
        cut[rows - y, columns - x] = 1 + (across >= np.median(across)) * (across > across.min())
    found = label(np.where(inside, cut + 1, 0), connectivity=1, background=0).astype(np.int64) - 1  # -1 outside
    size = np.bincount(found[inside])
    if len(size) > 200:  # of a scattered superpixel: the smallest stay with the first
        found[np.isin(found, np.argsort(-size, kind="stable")[200:]) & inside] = int(size.argmax())
        found[inside] = dense(found[inside][None])[0]
        size = np.bincount(found[inside])
    rank = np.empty(len(size), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return y, x, np.where(inside, rank[np.maximum(found, 0)], IGNORE).astype(np.uint8)
