"""What one label per superpixel gets wrong before any network learns from it (OREAL Sec. 5, Table 2)."""

from __future__ import annotations

import numpy as np

from ..oracle import dominant_label
from ..storage.progress import told

BLOCK = 1 << 16  # superpixels looked at together: what is made of them stays small


def painted_confusion(votes: np.ndarray, void: str = "vote") -> np.ndarray:
    """(C, C) int64 pixels, row = true class, column = class that the dominant label paints: what the scheme itself gets wrong.

    votes: (N, C + 1).  Void pixels are left out, and so are superpixels whose answer is void: nothing is painted there.
    """
    paints = dominant_label(votes, void)
    return np.stack([votes[painted, :-1].sum(axis=0, dtype=np.int64) for painted in paints.T], axis=1)


def undersegmentation_error(votes: np.ndarray) -> np.ndarray:
    """(C,) float64 in [0, 1]: how far superpixels leak over the borders of each class, in parts of the class; NaN without one.

    Sum over superpixels of min(pixels of the class inside, other pixels inside) / pixels of the class (the corrected error
    of Neubert and Protzel 2012, the segments being the classes of an image). votes: (N, C + 1); void pixels do not count.
    """
    return _share(*_leaked(votes))


def _leaked(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each class (C,) int64: pixels that leak, and all pixels."""
    inside = np.asarray(votes, dtype=np.int64)[:, :-1]
    leak = np.minimum(inside, inside.sum(axis=1, keepdims=True) - inside).sum(axis=0)
    return leak, inside.sum(axis=0)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, float64; NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def label_cost(votes: np.ndarray, void: str) -> dict[str, list]:
    """What dominant labels would be worth if every superpixel of the pool were bought, by class; None where there is no pixel.

    pixels: of the class.  right: share of them painted in it.  iou: of painted against true, pixels of superpixels that are
    answered void being missed.  leak: undersegmentation error.  Superpixels that have vanished at working size are not in it.
    votes: (N, C + 1) of `oracle.class_votes`.  void: as in `oracle.dominant_label`.  Shares are 0..1.
    """
    blocks = range(0, max(1, len(votes)), BLOCK)
    matrix, leak, pixels = 0, 0, 0
    for start in told(blocks, "what labels cost: {done} of {total} blocks of superpixels"):
        block = votes[start : start + BLOCK]
        leaks, there = _leaked(block)
        matrix, leak, pixels = matrix + painted_confusion(block, void), leak + leaks, pixels + there
    hit = np.diag(matrix)
    union = pixels + matrix.sum(axis=0) - hit
    shares = {"right": _share(hit, pixels), "iou": _share(hit, union), "leak": _share(leak, pixels)}
    listed = {name: [None if np.isnan(v) else round(float(v), 6) for v in values] for name, values in shares.items()}
    return {"pixels": pixels.tolist(), **listed}
