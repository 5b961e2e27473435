"""The simulated annotator: ground truth in, answers out. A person is the other oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .types import IGNORE, Labels, Superpixels

VOID_RULES = ("vote", "exclude")


def dominant_label(truth: np.ndarray, ids: np.ndarray, n: int, n_classes: int, void: str = "vote") -> np.ndarray:
    """(n, C) bool: the most frequent class of each superpixel, lowest id on a tie; no class where the answer is void.

    truth: (H, W) uint8 class ids or IGNORE.  ids: (H, W) integers 0..n-1.
    void "vote" (Cai et al.): IGNORE is a candidate like any class; if it has the most pixels, the answer is void.
    void "exclude": only pixels with a class vote; the answer is void where there are none.
    """
    if void not in VOID_RULES:
        raise ValueError(f"void rule is {void!r}; choose one of {', '.join(VOID_RULES)}")
    column = np.where(truth == IGNORE, n_classes, truth).astype(np.int64)
    count = np.bincount(ids.ravel().astype(np.int64) * (n_classes + 1) + column.ravel(), minlength=n * (n_classes + 1))
    count = count.reshape(n, n_classes + 1)
    if void == "exclude":
        count[:, n_classes] = 0
    winner = count.argmax(axis=1)  # argmax takes the first: a class wins a tie with void, which comes last
    winner[count.max(axis=1) == 0] = n_classes
    return winner[:, None] == np.arange(n_classes)


@dataclass(frozen=True)
class Oracle:
    """What the annotator would answer, and the only road from ground truth to bought labels.

    answers: (N, C) bool.  void: (n_images, H, W) bool pixels that stay void even inside a bought superpixel
    (rule "exclude"), or None where a superpixel is painted whole (rule "vote").
    """

    answers: np.ndarray
    void: np.ndarray | None = None

    @classmethod
    def dominant(cls, truth: np.ndarray, superpixels: Superpixels, n_classes: int, void: str = "vote") -> Oracle:
        """The dominant-label oracle of truth (n_images, H, W) over the pool's superpixels (OREAL Sec. 3.1)."""
        count = np.diff(superpixels.offset)
        answers = [dominant_label(t, m, int(k), n_classes, void) for t, m, k in zip(truth, superpixels.maps, count, strict=True)]
        return cls(np.concatenate(answers), np.asarray(truth) == IGNORE if void == "exclude" else None)

    def paint(self, labels: Labels, superpixels: Superpixels) -> np.ndarray:
        """(n_images, H, W) uint8 training targets: each bought superpixel in its one class, IGNORE elsewhere."""
        named = labels.present.sum(axis=1)
        if (named > 1).any():
            raise ValueError("a superpixel with several classes has no single color to paint; use the weak-label losses")
        color = np.where(named == 1, labels.present.argmax(axis=1), IGNORE).astype(np.uint8)
        target = np.empty(superpixels.maps.shape, np.uint8)
        for i, ids in enumerate(superpixels.maps):
            target[i] = color[superpixels.offset[i] :][ids]
        if self.void is not None:
            target[self.void] = IGNORE
        return target
