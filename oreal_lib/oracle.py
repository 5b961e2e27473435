"""The simulated annotator (OREAL Sec. 3.1): ground truth in, answers out. A person is the other oracle."""

from dataclasses import dataclass

import numpy as np

from .storage.progress import told
from .storage.ragged import Pictures, blank
from .types import IGNORE, Labels, Superpixels

VOID_RULES = ("vote", "exclude")


def class_votes(truth: np.ndarray, ids: np.ndarray, n: int, n_classes: int) -> np.ndarray:
    """(n, C + 1) int64: the pixels of each class, and last of void, in each superpixel.

    truth: (H, W) uint8 class ids or IGNORE.  ids: (H, W) integers 0..n-1.  ValueError where one is out of its range.
    """
    column = np.where(truth == IGNORE, n_classes, truth).astype(np.int64)
    for name, found, limit in (("class", column, n_classes + 1), ("superpixel", ids, n)):
        if found.size and not (0 <= found.min() and found.max() < limit):  # would be counted as another superpixel's
            value, last = int(found.max() if found.max() >= limit else found.min()), limit - 1 - (name == "class")
            raise ValueError(f"a pixel is of {name} {value}, but there are 0 to {last}; give the map and the mask of one data set")
    count = np.bincount(ids.ravel().astype(np.int64) * (n_classes + 1) + column.ravel(), minlength=n * (n_classes + 1))
    return count.reshape(n, n_classes + 1)


def dominant_label(votes: np.ndarray, void: str = "vote") -> np.ndarray:
    """(n, C) bool: the most frequent class of each superpixel, lowest id on a tie; no class where the answer is void.

    votes: (n, C + 1) of `class_votes`.
    void "vote" (Cai et al.): void is a candidate like any class; if it has the most pixels, the answer is void.
    void "exclude": only pixels with a class vote; the answer is void where there are none.
    ValueError for another rule.
    """
    if void not in VOID_RULES:
        raise ValueError(f"void rule is {void!r}; choose one of {', '.join(VOID_RULES)}")
    n_classes = votes.shape[1] - 1
    count = votes if void == "vote" else votes[:, :-1]
    winner = count.argmax(axis=1)  # argmax takes the first: a class wins a tie with void, which comes last
    winner[count.max(axis=1) == 0] = n_classes
    return winner[:, None] == np.arange(n_classes)


def impurity(votes: np.ndarray) -> float:
    """Share, 0..1, of the pixels with a class that one label per superpixel gets wrong; NaN where there are none. votes: (n, C + 1)."""
    count = votes[:, :-1]
    return 1 - float(count.max(axis=1).sum() / count.sum()) if count.any() else np.nan


@dataclass(frozen=True)
class Oracle:
    """What the annotator would answer: the only way from ground truth to bought labels.

    answers: (N, C) bool, or (N, C + 1) where void is an answer, too (weak labels).
    void: (n_images, H, W) bool pixels that stay void even inside a bought superpixel (rule "exclude"), or None where a
    superpixel is painted whole (rule "vote").  cost: (N,) int64 clicks of each answer, or None where each costs one.
    truth: (n_images, H, W) uint8 if a bought superpixel is painted as its mask is, pixel by pixel ("exact": no person answers
    like that with one click; it measures what wrong labels cost), else None.
    """

    answers: np.ndarray
    void: Pictures | None = None
    cost: np.ndarray | None = None
    truth: Pictures | None = None

    @classmethod
    def dominant(cls, votes: np.ndarray, truth: Pictures, void: str = "vote", exact: bool = False) -> "Oracle":
        """The dominant-label oracle (OREAL Sec. 3.1) of the pool's votes (N, C + 1) and truth (n_images, H, W).

        exact: superpixels count for their dominant class, but are painted as their mask is.
        """
        answers = dominant_label(np.asarray(votes), void)
        if exact:
            return cls(answers, truth=truth)
        if void == "vote":
            return cls(answers)
        hidden = blank(truth, bool)
        for i, mask in enumerate(told(truth, "looking for void: {done} of {total} images")):
            hidden[i][...] = mask == IGNORE
        return cls(answers, hidden)

    def answer(self, labels: Labels, ids: np.ndarray, step: int) -> Labels:
        """The labels, with what the annotator says about the superpixels `ids` (k,) int64 in `step` and what it costs in clicks."""
        clicks = len(ids) if self.cost is None else int(self.cost[ids].sum())
        return labels.reveal(ids, self.answers[ids], step, clicks)

    def paint(self, labels: Labels, superpixels: Superpixels) -> Pictures:
        """(n_images, H, W) uint8 training targets: each bought superpixel in its one class, or as its mask is; IGNORE elsewhere.

        ValueError if a superpixel has several classes (weak labels).
        """
        named = labels.present.sum(axis=1)
        if (named > 1).any():
            raise ValueError("a superpixel with several classes cannot be painted in one; use the weak-label losses")
        color = np.where(named == 1, labels.present.argmax(axis=1), IGNORE).astype(np.uint8)
        target = blank(superpixels.maps, np.uint8)
        for i, ids in enumerate(told(superpixels.maps, "painting the labels: {done} of {total} images")):
            if self.truth is not None:
                target[i][...] = np.where(labels.unlabeled[superpixels.offset[i] :][ids], IGNORE, self.truth[i])
                continue
            target[i][...] = color[superpixels.offset[i] :][ids]
            if self.void is not None:
                target[i][self.void[i]] = IGNORE
        return target
