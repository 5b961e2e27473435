"""What one label per superpixel gets wrong before any network learns from it (OREAL Sec. 5, Table 2)."""

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


def label_cost(votes: np.ndarray, void: str) -> dict[str, list]:
    """What dominant labels would be worth if every superpixel of the pool were bought, by class; None where there is no pixel.

    pixels: of the class.  right: share of them painted in it.  iou: of painted against true, where pixels of superpixels that
    are answered void are missed.  leak: how far superpixels leak over the borders of the class, the undersegmentation error:
    sum over superpixels of min(pixels of the class inside, other pixels inside) / pixels of the class (Neubert and Protzel
    2012, corrected; the segments are the classes of an image). Superpixels that vanished at working size are not counted.
    votes: (N, C + 1) of `oracle.class_votes`.  void: as in `oracle.dominant_label`.  Shares are 0..1.
    """
    matrix, leak, pixels = 0, 0, 0
    for start in told(range(0, max(1, len(votes)), BLOCK), "what labels cost: {done} of {total} blocks of superpixels"):
        block = votes[start : start + BLOCK]
        inside = np.asarray(block, dtype=np.int64)[:, :-1]
        matrix, pixels = matrix + painted_confusion(block, void), pixels + inside.sum(axis=0)
        leak = leak + np.minimum(inside, inside.sum(axis=1, keepdims=True) - inside).sum(axis=0)
    hit = np.diag(matrix)
    shares = {"right": (hit, pixels), "iou": (hit, pixels + matrix.sum(axis=0) - hit), "leak": (leak, pixels)}
    listed = {k: [round(float(a / b), 6) if b else None for a, b in zip(*pair, strict=True)] for k, pair in shares.items()}
    return {"pixels": pixels.tolist(), **listed}
