"""From scores to a query. Ties fall in the order of the run's generator, never in the order of files."""

from __future__ import annotations

import numpy as np

from .types import Query


def check_budget(k: int, among: np.ndarray) -> None:
    """ValueError if the mask `among` (N,) bool holds fewer than k superpixels, or k < 1 (our choice)."""
    left = int(np.count_nonzero(among))
    if not 1 <= k <= left:
        raise ValueError(f"asked for {k} superpixels, but only {left} are unlabeled; lower query_size or steps")


def top(score: np.ndarray, k: int, among: np.ndarray, rng: np.random.Generator) -> Query:
    """The k highest of score (N,) inside the mask among (N,) bool, best first (OREAL Sec. 3.2); ties at random (our choice)."""
    check_budget(k, among)
    ids = rng.permutation(np.flatnonzero(among))
    best = ids[np.argsort(-score[ids], kind="stable")[:k]]
    return Query(best.astype(np.int64), score[best].astype(np.float32))


def top_per_class(
    score: np.ndarray,
    debt: np.ndarray,
    among: np.ndarray,
    rng: np.random.Generator,
    class_order: np.ndarray | None = None,
) -> Query:
    """For each class c in turn the debt[c] highest of score[:, c] not yet taken (OREAL Algorithm 1, rebuilt from Sec. 3.5).

    score: (N, C).  debt: (C,) int64.  among: (N,) bool.  class_order: (C,) order of the classes, default 0..C-1.
    A superpixel that is best for two classes is taken by the earlier one; the later one moves on to its next best,
    so every quota is met and the query has exactly debt.sum() distinct ids.
    """
    check_budget(int(debt.sum()), among)
    ids = rng.permutation(np.flatnonzero(among))
    taken = np.zeros(len(among), bool)
    parts: list[np.ndarray] = []
    order = np.arange(len(debt)) if class_order is None else class_order
    for c in order:
        ids = ids[~taken[ids]]
        best = ids[np.argsort(-score[ids, c], kind="stable")[: debt[c]]]
        taken[best] = True
        parts.append(best)
    chosen = np.concatenate(parts).astype(np.int64)
    for_class = np.repeat(order, debt[order]).astype(np.int16)
    return Query(chosen, score[chosen, for_class].astype(np.float32), for_class)
