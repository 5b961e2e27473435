"""Label maps: dense ids, and superpixels in one piece."""

import numpy as np
from skimage.measure import label

MOST_SUPERPIXELS = 65_535  # of one image: ids are stored as uint16


def dense(ids: np.ndarray) -> np.ndarray:
    """The same partition with ids 0..k-1 and no gaps, (H, W) uint16, in the order of the given ids (our choice).

    ids: (H, W) integers >= 0, any label map: this is where superpixels made elsewhere come in.
    ValueError for another shape or dtype, a negative id, or more superpixels than uint16 can count.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.size == 0:
        raise ValueError(f"the label map has shape {ids.shape}, but a partition is a non-empty (H, W) array")
    if not np.issubdtype(ids.dtype, np.integer):  # to numpy, bool is not an integer
        raise ValueError(f"the label map is {ids.dtype}, but a partition holds integer ids; convert it with .astype(int)")
    if ids.min() < 0:
        raise ValueError(
            f"the label map holds the negative id {ids.min()}, but every pixel needs a superpixel id >= 0; "
            "give pixels left out an id of their own"
        )
    values = np.unique(ids)
    if len(values) > MOST_SUPERPIXELS:
        raise ValueError(
            f"the label map has {len(values):,} superpixels, but one image can have {MOST_SUPERPIXELS:,}; ask for fewer"
        )
    return np.searchsorted(values, ids).astype(np.uint16)  # a third of the time of np.unique's return_inverse


def keep_largest_pieces(ids: np.ndarray) -> np.ndarray:
    """The map (H, W) uint16 with 4-connected superpixels: the largest piece of each stays (the first of equals); our choice.

    The other pieces go, smallest first, to the neighbor they share the longest border with.
    """
    value = dense(ids)
    pieces = label(value.astype(np.int32) + 1, connectivity=1) - 1  # 0.. in raster order; + 1 as label skips zeros
    size = np.bincount(pieces.ravel())
    superpixel = np.empty(len(size), dtype=value.dtype)  # of each piece
    superpixel[pieces] = value
    order = np.argsort(-size, kind="stable")  # largest first
    keeps = np.zeros(len(size), dtype=bool)
    keeps[order[np.unique(superpixel[order], return_index=True)[1]]] = True
    border, moves = _borders(pieces), []
    for piece in order[::-1][~keeps[order[::-1]]]:
        shared = border.pop(piece)
        home = max(shared, key=lambda other: (shared[other], -other))
        moves.append((piece, home))
        for other, length in shared.items():  # what piece touched, home touches from now on
            del border[other][piece]
            if other != home:
                border[home][other] = border[other][home] = border[home].get(other, 0) + length
    for piece, home in reversed(moves):  # a home may have moved on later, so it is settled first
        superpixel[piece] = superpixel[home]
    return superpixel[pieces]


def _borders(pieces: np.ndarray) -> dict[int, dict[int, int]]:
    """border[a][b]: pixel sides that the pieces a and b share, both ways."""
    sides = [np.stack([pieces[:, :-1], pieces[:, 1:]], -1), np.stack([pieces[:-1], pieces[1:]], -1)]
    pairs = np.sort(np.concatenate([side.reshape(-1, 2) for side in sides]), axis=1)
    pairs, lengths = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    border: dict[int, dict[int, int]] = {}
    for (a, b), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        border.setdefault(a, {})[b] = length
        border.setdefault(b, {})[a] = length
    return border
