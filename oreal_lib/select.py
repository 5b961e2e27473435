"""From scores to a query. Ties fall in the order of the run's generator, never in the order of files."""

import numpy as np

from .types import Query


def check_budget(k: int, among: np.ndarray) -> None:
    """ValueError if the mask `among` (N,) bool holds fewer than k >= 1 superpixels (our choice)."""
    left = int(np.count_nonzero(among))
    if not 1 <= k <= left:
        raise ValueError(f"asked for {k} superpixels, but only {left} are unlabeled; lower query_size or steps")


def top(score: np.ndarray, k: int, among: np.ndarray, rng: np.random.Generator) -> Query:
    """The k highest of score (N,) inside the mask among (N,) bool, best first (OREAL Sec. 3.2); ties at random (our choice).

    ValueError if fewer than k are there or the scores are a table, FloatingPointError if a score is NaN.
    """
    check_budget(k, among)
    if score.ndim != 1:
        raise ValueError(f"the scores are {score.shape}, but top ranks one number per superpixel, (N,); take one column, [:, 0]")
    ids = _best(score, k, rng.permutation(np.flatnonzero(among)))
    return Query(ids, score[ids].astype(np.float32))


def top_per_class(
    score: np.ndarray, debt: np.ndarray, among: np.ndarray, rng: np.random.Generator, class_order: np.ndarray | None = None
) -> Query:
    """For each class c in turn the debt[c] highest of score[:, c] not yet taken (OREAL Algorithm 1, rebuilt from Sec. 3.5).

    score: (N, C), or with more columns, such as void's, which are not asked.  debt: (C,) int64 >= 0.  among: (N,) bool.
    class_order: (C,) order of the classes, default 0..C-1.
    A superpixel that is best for two classes is taken by the earlier one; the later one moves on to its next best,
    so every debt is paid and the query has exactly debt.sum() distinct ids.
    ValueError if fewer are there, FloatingPointError if a score is NaN.
    """
    debt = np.asarray(debt)
    check_budget(int(debt.sum()), among)
    ids, taken, parts = rng.permutation(np.flatnonzero(among)), np.zeros(len(among), bool), []
    order = np.arange(len(debt)) if class_order is None else np.asarray(class_order)
    for c in order[debt[order] > 0]:
        parts.append(_best(score[:, c], debt[c], ids[~taken[ids]]))
        taken[parts[-1]] = True
    chosen, for_class = np.concatenate(parts), np.repeat(order, debt[order]).astype(np.int16)
    return Query(chosen, score[chosen, for_class].astype(np.float32), for_class)


def _best(score: np.ndarray, k: int, ids: np.ndarray) -> np.ndarray:
    """The k of ids (M,) with the highest score (N,), best first; of equals those that stand first in ids."""
    worse = -score[ids].astype(score.dtype if score.dtype.kind == "f" else np.float64)
    if (unknown := np.isnan(worse)).any():
        raise FloatingPointError(f"the score of superpixel {ids[unknown].min()} is NaN, so it has no rank; correct the pixel score")
    near = np.flatnonzero(worse <= np.partition(worse, k - 1)[k - 1])  # the k best, and all that tie with the last of them
    return ids[near[np.argsort(worse[near], kind="stable")[:k]]]
