"""Other superpixels where the picture asks for them: pieces of some, or pixels that a brush has crossed."""

import base64
import zlib
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_fill_holes
from skimage.measure import label as connected
from skimage.segmentation import slic

from ..types import IGNORE

PIECES = 4  # of a split; our choice: one click or two more put most borders right
MOST_PIECES = 200  # a map of pieces has bytes


def split(
    image: np.ndarray, ids: np.ndarray, superpixels: int | Sequence[int], factor: float = PIECES
) -> tuple[int, int, np.ndarray]:
    """Row and column of the superpixels' box, and (h, w) uint8 piece numbers in it: 0.. from large to small, IGNORE outside.

    image: (H, W, 3) uint8.  ids: (H, W) integers.  Pieces are connected and follow color (masked SLIC), about `factor` times as
    many as superpixels; where color says nothing, halves across the longer side.  ValueError if it is a single pixel, or if they
    are too many.
    """
    some = np.atleast_1d(superpixels)
    whole = np.isin(ids, some)
    rows, columns = np.nonzero(whole)
    if len(rows) < 2:
        raise ValueError(f"superpixel {some[0]} has {len(rows)} pixel and cannot be split; zoom in and label its neighbors instead")
    if (wanted := max(1, round(factor * len(some)))) > MOST_PIECES:
        raise ValueError(
            f"{len(some)} superpixels would become {wanted}, but {MOST_PIECES} are the most at once; drag a smaller region"
        )
    y, x = int(rows.min()), int(columns.min())
    box = np.s_[y : rows.max() + 1, x : columns.max() + 1]
    inside = whole[box]
    cut = (
        slic(np.asarray(image[box]), wanted, compactness=5.0, mask=inside, start_label=1, channel_axis=-1) if wanted > 1 else inside
    )
    cut = np.where(inside, cut, 0).astype(np.int64)
    if factor >= 1 and len(np.unique(cut[inside])) < 2:
        across = (rows - y) if np.ptp(rows) >= np.ptp(columns) else (columns - x)
        cut[rows - y, columns - x] = 1 + (across >= np.median(across)) * (across > across.min())
    found = connected(np.where(inside, cut + 1, 0), connectivity=1, background=0)
    return y, x, numbered(inside, found)[2]


def numbered(inside: np.ndarray, parts: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Row and column of the box of the pixels `inside` (H, W) bool, and (h, w) uint8 in it: numbers of the `parts` (H, W) that they
    lie in, from large to small, then from the top; beyond MOST_PIECES they join the largest. IGNORE outside."""
    _, first, part, size = np.unique(parts[inside], return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    pieces = np.full(inside.shape, IGNORE, np.uint8)
    pieces[inside] = np.where(rank < MOST_PIECES, rank, 0)[part]
    rows, columns = np.nonzero(inside)
    y, x = int(rows.min()), int(columns.min())
    return y, x, pieces[y : rows.max() + 1, x : columns.max() + 1]


def brushed(points: Sequence[Sequence[float]], radius: float, size: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """Row and column of a box, and (h, w) uint8 in it: 0 for pixels whose middle is at most `radius` from the way through the
    points (x, y), IGNORE for others. size: (height, width) of the picture. ValueError if no pixel of it is."""
    way = np.asarray(points, np.float64).reshape(-1, 2) - 0.5
    low = np.maximum(np.floor(way.min(axis=0) - radius), 0).astype(int)
    high = np.minimum(np.ceil(way.max(axis=0) + radius) + 1, [size[1], size[0]]).astype(int)
    x, y = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)))
    near = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(way, np.concatenate([way[1:], way[-1:]]), strict=True):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1) if length else 0
        near |= (x - ax - t * (bx - ax)) ** 2 + (y - ay - t * (by - ay)) ** 2 <= radius**2
    if not near.any():
        raise ValueError("the brush crossed no pixel of the picture; paint on it")
    return int(low[1]), int(low[0]), np.where(near, 0, IGNORE).astype(np.uint8)


def enclosed(painted: np.ndarray, ids: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The superpixels all of whose pixels lie in holes of `painted` (H, W) bool, and that are `free` (k,) bool."""
    holes = binary_fill_holes(painted) & ~painted
    return np.flatnonzero(free & (np.bincount(ids[~holes], minlength=len(free)) == 0))


def pack(y: int, x: int, pieces: np.ndarray) -> str:
    """The pieces of a superpixel as text for the log: (h, w) uint8 piece numbers 0.., IGNORE outside, at row y and column x."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(pieces, np.uint8).tobytes())).decode()
    return f"{y},{x},{pieces.shape[0]},{pieces.shape[1]},{data}"


def unpack(text: str) -> tuple[int, int, np.ndarray]:
    """y, x and pieces (h, w) uint8, as `pack` was given them."""
    *numbers, data = text.split(",", 4)
    y, x, h, w = map(int, numbers)
    return y, x, np.frombuffer(zlib.decompress(base64.b64decode(data)), np.uint8).reshape(h, w)
