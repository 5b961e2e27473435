"""What is asked before there is a network."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2
from skimage.color import rgb2lab

from ..aggregate import Regions
from ..storage.progress import told
from ..strategies import STRATEGIES
from ..types import Query
from .board import Board

FIRST = ("random", "kmeans")


def first_query(board: Board, how: str, budget: int, rng: np.random.Generator) -> Query:
    """What is asked before there is a network: "random" (our choice, as in the baselines' code), or "kmeans": the superpixels
    nearest to the centers of `budget` clusters of mean color and place, so that nothing common is missed (not in the paper).

    ValueError for another `how`.
    """
    if how not in FIRST:
        raise ValueError(f"first is {how!r}, but must be one of {', '.join(FIRST)}; choose one of them")
    labels = board.as_labels()
    budget = min(budget, int(labels.unlabeled.sum()))
    if budget == 0:
        return Query(np.zeros(0, np.int64), np.zeros(0, np.float32))
    pool = board.superpixels()
    if how == "random" or budget == 1:
        return STRATEGIES["random"](Regions(lambda: iter(()), pool, len(board.classes)), labels, budget, "mean", rng)
    pictures = told(board.pictures, "looking for what is common: {done} of {total} pictures")
    looks = np.concatenate([_look(p.image(), board.ids(i)) for i, p in enumerate(pictures)])
    looks = (looks - looks.mean(axis=0)) / np.maximum(looks.std(axis=0), 1e-6)
    free = np.flatnonzero(labels.unlabeled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty clusters: where superpixels look the same, each is as good as another
        centers, _ = kmeans2(looks[free], budget, minit="++", rng=rng)
    taken = np.zeros(len(free), bool)
    ids, distance = [], []
    for center in centers:
        far = np.nan_to_num(((looks[free] - center) ** 2).sum(axis=1), nan=1e9)  # NaN: an empty cluster
        best = int(np.where(taken, np.inf, far).argmin())
        taken[best] = True
        ids.append(free[best])
        distance.append(far[best])
    return Query(np.array(ids, np.int64), -np.array(distance, np.float32))


def _look(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(k, 5): mean Lab color and place (0..1 from top and left) of each superpixel."""
    height, width = ids.shape
    rows, columns = np.indices(ids.shape)
    parts = [*np.moveaxis(rgb2lab(image), -1, 0), rows / height, columns / width]
    count = np.bincount(ids.ravel())
    return np.stack([np.bincount(ids.ravel(), part.ravel()) / count for part in parts], axis=1)
