"""From scores to a query. Ties fall in the order of the run's generator, never in the order of files.

What is wanted is a few of millions, so nothing is sorted but what may be chosen, and a table of scores, which may be a memory map,
is read in its own order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .types import Query

ROWS = 1 << 16  # of a table read at a time: 19 columns of them are 5 MB


def check_budget(k: int, among: np.ndarray) -> None:
    """ValueError if the mask `among` (N,) bool holds fewer than k superpixels, or k is no whole number >= 1 (our choice)."""
    left = int(np.count_nonzero(among))
    if not isinstance(k, int | np.integer) or isinstance(k, bool):
        raise ValueError(f"asked for {k!r} superpixels, but a query has a whole number of them; mend query_size")
    if not 1 <= k <= left:
        raise ValueError(f"asked for {k} superpixels, but only {left} are unlabeled; lower query_size or steps")


def top(score: np.ndarray, k: int, among: np.ndarray, rng: np.random.Generator) -> Query:
    """The k highest of score (N,) inside the mask among (N,) bool, best first (OREAL Sec. 3.2); ties at random (our choice).

    ValueError if fewer than k are there, FloatingPointError if a score is NaN.
    """
    check_budget(k, among)
    best = leaders(score[:, None], [k], among, draw_lots(among, rng))[0]
    return Query(best, score[best].astype(np.float32))


def top_per_class(
    score: np.ndarray,
    debt: np.ndarray,
    among: np.ndarray,
    rng: np.random.Generator,
    class_order: np.ndarray | None = None,
) -> Query:
    """For each class c in turn the debt[c] highest of score[:, c] not yet taken (OREAL Algorithm 1, rebuilt from Sec. 3.5).

    score: (N, C), or with more columns, such as void's, which are not asked.  debt: (C,) int64.  among: (N,) bool.
    class_order: (C,) order of the classes, default 0..C-1.
    A superpixel that is best for two classes is taken by the earlier one; the later one moves on to its next best,
    so every quota is met and the query has exactly debt.sum() distinct ids.
    ValueError if fewer are there, or if debt or class_order do not fit the score; FloatingPointError if a score is NaN.
    """
    debt = np.asarray(debt)
    if score.ndim != 2 or debt.ndim != 1 or len(debt) > score.shape[1] or debt.dtype.kind not in "iu" or (debt < 0).any():
        raise ValueError(
            f"debt is {debt.tolist()} and the scores are {score.shape}, but a class needs a whole number >= 0 and a column of scores; "
            "mend debt"
        )
    check_budget(int(debt.sum()), among)
    order = np.arange(len(debt)) if class_order is None else np.asarray(class_order)
    if not np.array_equal(np.sort(order), np.arange(len(debt))):
        raise ValueError(f"class_order is {order.tolist()}, but must name each of the {len(debt)} classes once; mend it")
    reach = np.zeros(len(debt), np.int64)  # however many the classes before it take, a class goes no further down its list
    reach[order] = np.cumsum(debt[order])
    lists = leaders(score, np.where(debt > 0, reach, 0), among, draw_lots(among, rng))
    taken = np.zeros(len(among), bool)
    parts: list[np.ndarray] = []
    for c in order:
        best = lists[c][~taken[lists[c]]][: debt[c]]
        taken[best] = True
        parts.append(best)
    chosen = np.concatenate(parts)
    for_class = np.repeat(order, debt[order]).astype(np.int16)
    return Query(chosen, score[chosen, for_class].astype(np.float32), for_class)


def draw_lots(among: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) int32: the place of each superpixel of the mask among (N,) bool in an order drawn by lot, which decides ties; 0 for the
    others (our choice)."""
    ids = rng.permutation(np.flatnonzero(among))
    lot = np.zeros(len(among), np.int32)
    lot[ids] = np.arange(len(ids), dtype=np.int32)
    return lot


def leaders(score: np.ndarray, k: Sequence[int], among: np.ndarray, lot: np.ndarray) -> list[np.ndarray]:
    """Of each column c of score (N, C) the ids, int64, of its k[c] highest inside the mask among (N,), best first; fewer only where
    there are fewer. Of equal scores the lower lot (N,) comes first (our choice).

    FloatingPointError if a score inside the mask is NaN, ValueError if there are more or fewer scores than superpixels.
    """
    if len(score) != len(among):
        raise ValueError(f"there are {len(score)} scores, but {len(among)} superpixels; give each of them one")
    if score.dtype.kind != "f":  # of whole numbers without a sign the negative is no smaller
        score = score.astype(np.float64)
    wanted = np.flatnonzero(np.asarray(k) > 0)
    kept: list[list[np.ndarray]] = [[] for _ in wanted]  # ids that may still lead
    least = np.full(len(wanted), -np.inf, score.dtype)  # what a score must reach to be kept
    held = np.zeros(len(wanted), np.int64)
    for start in range(0, len(score), ROWS):
        rows = np.flatnonzero(among[start : start + ROWS])
        block = np.ascontiguousarray(score[start : start + ROWS][:, wanted].T)
        block = block if len(rows) == block.shape[1] else block[:, rows]
        for i, column in enumerate(block):
            good = np.flatnonzero(column >= least[i])
            if len(good) < len(column) and (unknown := np.isnan(column)).any():
                bad = start + int(rows[np.flatnonzero(unknown)[0]])
                raise FloatingPointError(
                    f"the score of superpixel {bad}, column {wanted[i]}, is NaN, so it has no rank; "
                    "mend the pixel score, or the training that made its probabilities"
                )
            kept[i].append(rows[good] + start)
            held[i] += len(good)
            if held[i] > 2 * k[wanted[i]] + ROWS:  # so rarely that every id is moved about once
                best = _best(score[:, wanted[i]], np.concatenate(kept[i]), int(k[wanted[i]]), lot)
                kept[i], held[i], least[i] = [best], len(best), score[best, wanted[i]].min()
    found = [np.zeros(0, np.int64) for _ in range(score.shape[1])]
    for i, c in enumerate(wanted):
        ids = _best(score[:, c], np.concatenate(kept[i]), int(k[c]), lot)
        found[c] = ids[np.lexsort((lot[ids], -score[ids, c]))]
    return found


def _best(score: np.ndarray, ids: np.ndarray, k: int, lot: np.ndarray) -> np.ndarray:
    """The k of ids (M,) with the highest score (N,), of equal ones those with the lowest lot, in any order; all if k >= M."""
    if k >= len(ids):
        return ids
    mine = score[ids]
    edge = np.partition(mine, len(mine) - k)[len(mine) - k]
    sure, tied = ids[mine > edge], ids[mine == edge]
    room = k - len(sure)
    return np.concatenate([sure, tied[np.argpartition(lot[tied], room - 1)[:room]]])
