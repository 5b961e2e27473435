"""Pseudo labels of stage two: which pixel of a superpixel has which of its classes, and which nearby pixels resemble them.

After MulActSeg `eval_save_cosplbl_prop_includeonehot.py`. Works through one superpixel and its neighbors at a time.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import value_indices
from scipy.special import softmax

from ..types import IGNORE


def pseudo_labels(
    features: torch.Tensor,
    logits: torch.Tensor,
    ids: np.ndarray,
    present: np.ndarray,
    asked: np.ndarray,
    covered: tuple[int, int] | None = None,
) -> np.ndarray:
    """(H, W) uint8 class of each pixel of one image, or IGNORE.

    In every superpixel with an answer, the pixel most sure of a class is that class's prototype, and each pixel takes the
    class of the prototype most like it (inner product). So does a pixel of a neighbor without an answer, if it is more like
    any one prototype than the median of the pixels that this prototype won inside. Of several superpixels that reach the
    same pixel, the one with the highest id prevails. An empty answer (void) counts as none.

    features: (D, h, w) of length 1 over D; upsampled bilinearly to the image, without being normalized again.
    logits: (C', H, W), C' the classes or one more for "undefined" (which is then the pseudo label C' - 1).
    ids: (H, W) integers 0..S-1.  present: (S, C') bool, the classes named.  asked: (S,) bool.
    covered: (height, width) of the picture that `features` cover, where the network padded the image at the bottom and
    right; the image itself if None.
    FloatingPointError if features or logits are NaN or infinite.
    """
    present, asked, ids = np.asarray(present, bool), np.asarray(asked, bool), np.asarray(ids)
    answered = np.flatnonzero(asked & present.any(axis=1) & (np.bincount(ids.ravel(), minlength=len(asked)) > 0))
    features, logits = (t.detach().float().cpu().numpy() for t in (features, logits))
    for name, values in (("features", features), ("logits", logits)):
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():  # the sum is fast, and finite only if all are
            raise FloatingPointError(
                f"the model's {name} hold NaN or infinity, so pixels cannot be compared: the training has diverged; "
                "lower learning_rate and run again"
            )
    upsampled = _Upsampled(features, ids.shape, covered or ids.shape)
    logits, neighbors = logits.reshape(len(logits), -1), neighbors_of(ids, len(asked))
    pixels = {k: flat for k, (flat,) in value_indices(ids.ravel()).items()}  # of each superpixel, ascending
    free = np.ones(len(asked), bool)
    free[answered] = False
    pseudo = np.full(ids.size, IGNORE, np.uint8)
    inside = pseudo.copy()
    for k in answered:  # ascending: later ones overwrite earlier ones
        classes, own = np.flatnonzero(present[k]), pixels[k]
        best = prototypes(logits[:, own], own, classes)
        # Two classes may share a prototype: computed once, their similarities are equal and the lower class wins.
        place, which = np.unique(best, return_inverse=True)
        # What has an answer keeps its own labels in the end: only the others need to be reached.
        around = np.concatenate([own, *(pixels[j] for j in neighbors(k) if free[j])])
        likeness = upsampled.likeness(place, around)[which]  # (prototypes, pixels)
        nearest = likeness.argmax(axis=0)
        bar = np.array([_lower_median(likeness[p, : len(own)][nearest[: len(own)] == p]) for p in range(len(classes))])
        inside[own] = classes[nearest[: len(own)]]
        # Any prototype's bar, not only that of the nearest: as in MulActSeg.
        near = (likeness[:, len(own) :] > bar[:, None]).any(axis=0)
        pseudo[around[len(own) :][near]] = classes[nearest[len(own) :][near]]
    return np.where(inside != IGNORE, inside, pseudo).reshape(ids.shape)


def prototypes(logits: np.ndarray, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(k,) the one of `pixels` that is most sure of each of the `classes` (k,); the first of those equally sure.

    logits: (C', P) float32 at the flat positions `pixels` (P,) of one superpixel.
    """
    # Not the temperature of training but 1, as in MulActSeg; the most certain pixel can be another one.
    return pixels[softmax(logits, axis=0)[classes].argmax(axis=1)]


def quality(pseudo: np.ndarray, truth: np.ndarray, ids: np.ndarray, named: np.ndarray) -> dict[str, float]:
    """How right the pseudo labels of one image are; put the images of a run together with `pooled`.

    Right shares, among pixels whose truth is a class, NaN if there are none: "inside_accuracy", of the pseudo labels in
    superpixels with an answer; "several_accuracy", of those where several classes were named (one class leaves nothing to
    decide), beside "several_dominant", the share that one label per superpixel could have right there;
    "expansion_accuracy", of the pseudo labels elsewhere.  "expansion_share": pseudo labels elsewhere, of all pixels.
    The counts these come from: "pixels", "expansion", and <part>_judged, <part>_right, "several_most".

    pseudo: (H, W) uint8 of `pseudo_labels`.  truth: (H, W) uint8.  ids: (H, W).  named: (S,) int, how many classes were
    named in each superpixel, 0 without an answer or with void.
    """
    several, inside, labeled, judged = (np.asarray(named) > 1)[ids], (np.asarray(named) > 0)[ids], pseudo != IGNORE, truth != IGNORE
    right = pseudo == truth
    counts = {"pixels": pseudo.size, "expansion": int((labeled & ~inside).sum())}
    for name, where in (("inside", inside), ("several", several), ("expansion", ~inside)):
        where = where & labeled & judged
        counts |= {f"{name}_judged": int(where.sum()), f"{name}_right": int((right & where).sum())}
    superpixel, pixels = np.unique(ids[several & judged].astype(np.int64) * 256 + truth[several & judged], return_counts=True)
    most = np.zeros(len(named), np.int64)
    np.maximum.at(most, superpixel // 256, pixels)
    return _with_rates(counts | {"several_most": int(most.sum())})


def pooled(images: list[dict[str, float]]) -> dict[str, float]:
    """The `quality` of several images as if they were one: shares 0..1 and counts of pixels."""
    return _with_rates(
        {name: sum(q[name] for q in images) for name in images[0] if not name.endswith(("accuracy", "share", "dominant"))}
    )


def _with_rates(counts: dict[str, int]) -> dict[str, float]:
    def rate(part: str, whole: str) -> float:
        return counts[part] / counts[whole] if counts[whole] else float("nan")

    return {
        **counts,
        "inside_accuracy": rate("inside_right", "inside_judged"),
        "several_accuracy": rate("several_right", "several_judged"),
        "several_dominant": rate("several_most", "several_judged"),
        "expansion_accuracy": rate("expansion_right", "expansion_judged"),
        "expansion_share": rate("expansion", "pixels"),
    }


class _Upsampled:
    """Features (D, h, w) as seen through their bilinear upsampling to an image, which is never made.

    Upsampling is a weighted sum, and so is the inner product: the products of a prototype are taken at low resolution and
    then upsampled, one number per pixel in place of D.
    """

    def __init__(self, features: np.ndarray, shape: tuple[int, int], covered: tuple[int, int]):
        self.features, self.width = features, shape[1]
        self.rows, self.columns = (_taps(n, covered[i], shape[i]) for i, n in enumerate(features.shape[1:]))

    def corners(self, pixels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The four places (y, x) that each pixel (P,) is mixed of, and their weights (P,) float32."""
        y, x = np.divmod(pixels, self.width)
        (y0, y1, v), (x0, x1, u) = ([t[i] for t in taps] for taps, i in ((self.rows, y), (self.columns, x)))
        one = np.float32(1)
        return [(y0, x0, (one - v) * (one - u)), (y0, x1, (one - v) * u), (y1, x0, v * (one - u)), (y1, x1, v * u)]

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """(D, P) float32 features at flat pixel positions (P,)."""
        return sum(weight * self.features[:, y, x] for y, x, weight in self.corners(pixels))

    def likeness(self, prototypes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """(K, P) float32 inner products of the features at K pixel positions with those at P others."""
        corners = self.corners(pixels)
        top, left = (min(c[i].min() for c in corners) for i in (0, 1))
        bottom, right = (max(c[i].max() for c in corners) + 1 for i in (0, 1))
        box = self.features[:, top:bottom, left:right].reshape(len(self.features), -1)
        low = (self.at(prototypes).T @ box).reshape(len(prototypes), bottom - top, right - left)
        return sum(weight * low[:, y - top, x - left] for y, x, weight in corners)


def _taps(n: int, covered: int, shown: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For the first `shown` of `covered` positions, the two of n that bilinear upsampling mixes, and the share of the second.

    As torch's F.interpolate with align_corners=False computes it, in float32.
    """
    source = np.float32(n / covered) * (np.arange(shown, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    source = np.maximum(source, np.float32(0))
    first = np.minimum(source.astype(np.int64), n - 1)
    second = np.minimum(first + 1, n - 1)
    return first, second, np.where(second > first, source - first.astype(np.float32), np.float32(0))


def _lower_median(values: np.ndarray) -> float:
    """The lower of the two middle values; infinity without any: nothing is nearer (MulActSeg's 1.0, safe from rounding)."""
    middle = (len(values) - 1) // 2
    return np.partition(values, middle)[middle] if len(values) else np.float32(np.inf)


def neighbors_of(ids: np.ndarray, n: int) -> Callable[[int], np.ndarray]:
    """A function from an id to the ids (k,) int64 that touch it, at a corner too, ascending. ids: (H, W) integers 0..n-1."""
    around = np.pad(ids.astype(np.int64), 1, mode="edge")
    here, pairs = around[1:-1, 1:-1], []
    for near in (around[1:-1, 2:], around[2:, 1:-1], around[2:, 2:], around[2:, :-2]):  # half of them, each told to both
        one, other = here[here != near], near[here != near]
        pairs += [one * n + other, other * n + one]
    pairs = np.unique(np.concatenate(pairs))
    start = np.searchsorted(pairs, np.arange(n + 1) * n)
    return lambda k: pairs[start[k] : start[k + 1]] % n
