"""Weak labels: the annotator names every class in a superpixel, at a click each, and overlooks slivers along its border.

After MulActSeg (Hwang et al. 2023), as OREAL Sec. 5 uses it.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from ..oracle import Oracle, class_votes
from ..storage.progress import log
from ..types import Labels, Query, Superpixels

TRIM = 3  # pixels on each side of a border: MulActSeg's border of two pixels, widened by its `trim_kernel_size` of 5


def near_border(ids: np.ndarray, trim: int = TRIM) -> np.ndarray:
    """(H, W) bool: the `trim` pixels on each side of every border between superpixels (H, W). The edge of the image is not a border.

    The "thick" boundary of skimage's find_boundaries, for 3 widened by a 5 x 5 box.
    """
    trim = min(trim, max(ids.shape))  # from one border that reaches everywhere
    if not trim:
        return np.zeros(ids.shape, bool)
    return ndimage.maximum_filter(find_boundaries(ids), 2 * trim - 1, mode="constant")


def classes_present(truth: np.ndarray, ids: np.ndarray, n: int, n_classes: int, trim: int = TRIM) -> np.ndarray:
    """(n, C + 1) bool: the classes with a pixel in each superpixel, and last whether a void one is ("undefined").

    truth: (H, W) uint8 class ids or IGNORE.  ids: (H, W) integers 0..n-1.  Pixels `near_border` are overlooked, unless
    the superpixel has no others (MulActSeg `region_{cityscapes,voc}_tensor.py`). An id without a pixel has no classes.
    """
    looked_at = class_votes(truth, np.where(near_border(ids, trim), n, ids), n + 1, n_classes)[:n]
    whole = class_votes(truth, ids, n, n_classes)
    return np.where(looked_at.any(axis=1, keepdims=True), looked_at, whole) > 0


def weak_oracle(present: np.ndarray, undefined: str = "drop", clicks: int = 0) -> Oracle:
    """The annotator who names classes, of what can be seen (N, C + 1) bool, see `classes_present`; a click for each class that
    is named (MulActSeg's fair counting).

    undefined "drop" (as for VOC): void is not an answer and costs nothing; a superpixel of void alone is free.
    undefined "keep" (as for Cityscapes): void is an answer like a class, and costs a click.
    clicks: the whole budget of a run; ValueError if all answers together cost less.
    """
    answers = np.asarray(present) if undefined == "keep" else np.asarray(present)[:, :-1]
    cost = answers.sum(axis=1, dtype=np.int64)
    if cost.sum() < clicks:
        raise ValueError(
            f"{clicks} clicks are asked for, but naming every class in the whole pool takes {cost.sum()}; lower steps or query_size "
            "(query_share), or use more images"
        )
    return Oracle(answers, cost=cost)


def affordable(query: Query, cost: np.ndarray, budget: int, cut: str = "class") -> np.ndarray:
    """(Q,) bool: which of a query's superpixels are asked when an answer costs `cost` (Q,) clicks, known only afterwards.

    cut "order": in the order of the query, until the budget is spent.
    cut "class": each class has its own part of the budget, as many clicks as superpixels were chosen on its behalf; what
    one class overdraws is taken from the next. (Cut in order, OREAL's last classes would get nothing.) The same as "order"
    where a query is not made class by class.
    Either way the last answer may overdraw the budget by less than its cost (MulActSeg); less is spent only where answers
    are free.
    """
    if cut == "order" or query.for_class is None:
        return np.cumsum(cost) - cost < budget
    asked, spent, quota = np.zeros(len(cost), bool), 0, 0
    for c in dict.fromkeys(query.for_class.tolist()):  # in the order the classes come
        mine = np.flatnonzero(query.for_class == c)
        quota += len(mine)
        asked[mine] = np.cumsum(cost[mine]) - cost[mine] < quota - spent
        spent += int(cost[mine][asked[mine]].sum())
    return asked


def buy(ask: Callable[[Labels, int], Query], oracle: Oracle, labels: Labels, budget: int, step: int, cut: str = "class") -> Query:
    """What is asked in `step` until `budget` clicks are spent or nothing is left: `ask(labels, k)` chooses k superpixels, of
    which the `affordable` ones are asked; while free answers leave clicks over, it chooses again, knowing the answers.

    ValueError if nothing is left to ask.
    """
    parts, left = [], budget
    while left > 0 and labels.unlabeled.any():
        query = ask(labels, min(left, int(labels.unlabeled.sum())))
        asked = affordable(query, oracle.cost[query.ids], left, cut)
        query = Query(*(None if values is None else values[asked] for values in query))
        labels = oracle.answer(labels, query.ids, step)
        left -= int(oracle.cost[query.ids].sum())
        parts.append(query)
    if not parts:
        raise ValueError(f"nothing is left to ask in step {step}; lower steps or query_size (query_share)")
    if left > 0:
        log.info(f"only {budget - left} of {budget} clicks could be spent: nothing is left to ask")
    return Query(*(None if values[0] is None else np.concatenate(values) for values in zip(*parts, strict=True)))


def void_last(labels: Labels, void: np.ndarray, budget: int) -> Labels:
    """The labels, as if the superpixels that the network takes for void, (N,) bool, had been asked already, where at least `budget`
    others are left (MulActSeg's "banignore")."""
    if (labels.unlabeled & ~void).sum() < budget:
        return labels
    return replace(labels, asked_in=np.where(labels.unlabeled & void, -1, labels.asked_in).astype(np.int16))


def answers_by_image(labels: Labels, superpixels: Superpixels) -> np.ndarray:
    """(n_images, S, C') bool: the classes named in each superpixel of each image; images with fewer than S superpixels are padded."""
    offset, image = superpixels.offset, superpixels.image
    answers = np.zeros((len(offset) - 1, int(np.diff(offset).max()), labels.present.shape[1]), bool)
    answers[image, np.arange(len(superpixels)) - offset[image]] = labels.present
    return answers
