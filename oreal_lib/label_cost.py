"""What one label per superpixel gets wrong before any network learns from it (OREAL Sec. 5, Table 2)."""

from __future__ import annotations

import numpy as np

from .oracle import dominant_label


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
    inside = np.asarray(votes, dtype=np.int64)[:, :-1]
    leak = np.minimum(inside, inside.sum(axis=1, keepdims=True) - inside).sum(axis=0)
    pixels = inside.sum(axis=0)
    return np.divide(leak, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)


def label_cost(votes: np.ndarray, void: str) -> dict[str, list]:
    """What dominant labels would be worth if every superpixel of the pool were bought, by class; None where there is no pixel.

    pixels: of the class.  right: share of them painted in it.  iou: of painted against true, pixels of superpixels that are
    answered void being missed.  leak: undersegmentation error.  Superpixels that have vanished at working size are not in it.
    votes: (N, C + 1) of `oracle.class_votes`.  void: as in `oracle.dominant_label`.  Shares are 0..1.
    """
    matrix, pixels = painted_confusion(votes, void), votes[:, :-1].sum(axis=0, dtype=np.int64)
    hit = np.diag(matrix)
    union = pixels + matrix.sum(axis=0) - hit
    right, iou = (np.divide(hit, n, out=np.full(len(n), np.nan), where=n > 0) for n in (pixels, union))
    shares = {"right": right, "iou": iou, "leak": undersegmentation_error(votes)}
    listed = {name: [None if np.isnan(v) else round(float(v), 6) for v in values] for name, values in shares.items()}
    return {"pixels": pixels.tolist(), **listed}
