"""How many superpixels each class is owed."""

from __future__ import annotations

import numpy as np

MOST = 2**48  # superpixels; of so many the sums below are still exact


def class_debt(counts: np.ndarray, budget: int, max_share: float | None = None) -> np.ndarray:
    """Superpixels to ask for per class so that the rarest class grows most (OREAL Eq. 3).

    counts: (C,) int, labeled so far.  Returns (C,) int64 >= 0 that sums to budget.
    Fills the rarest classes first, like water in a vase; leftover clicks go to the rarest, then the lowest id.
    max_share in [1/C, 1]: no class gets more than this share of the budget (rounded up); what it may not take
    flows on to the others. Off in the paper; it keeps a class that does not exist from taking every budget.
    ValueError for counts or a budget that are no whole numbers >= 0, or a max_share out of range.
    """
    counts, budget = _checked(counts, budget)
    if max_share is None:
        return _fill(counts, budget)
    if not 1 / len(counts) <= max_share <= 1:
        raise ValueError(f"max_share is {max_share}, but with {len(counts)} classes it must be in [1/{len(counts)}, 1]")
    cap = int(np.ceil(max_share * budget))
    debt, open_ = np.zeros_like(counts), np.ones(len(counts), bool)
    while True:  # each round closes at least one class, so at most C rounds
        debt[open_] = _fill(counts[open_], budget - int(debt[~open_].sum()))
        over = open_ & (debt > cap)
        if not over.any():
            return debt
        debt[over], open_ = cap, open_ & ~over


def _fill(counts: np.ndarray, budget: int) -> np.ndarray:
    order = np.argsort(counts, kind="stable")
    for k in range(len(order), 0, -1):  # try: the k rarest classes end level
        level, left = divmod(budget + int(counts[order[:k]].sum()), k)
        if level >= counts[order[k - 1]]:
            break
    debt = np.zeros_like(counts)
    debt[order[:k]] = level - counts[order[:k]]
    debt[order[:left]] += 1
    return debt


def shortfall(counts: np.ndarray, budget: int) -> np.ndarray:
    """(C,) int64 >= 0: what each class lacks to an equal share of all labels after this step (CBAL's Omega).

    counts: (C,) int, labeled so far. ValueError as of `class_debt`.
    """
    counts, budget = _checked(counts, budget)
    return np.maximum(0, (int(counts.sum()) + budget) // len(counts) - counts)


def _checked(counts: np.ndarray, budget: int) -> tuple[np.ndarray, int]:
    given = np.asarray(counts)
    fits = given.ndim == 1 and len(given) and given.dtype.kind in "iu" and 0 <= int(given.min()) and int(given.max()) <= MOST
    if not fits:
        raise ValueError(f"class counts must be C numbers >= 0, got {given.tolist()!r:.80}; they are whole and at most {MOST:,}")
    if not isinstance(budget, int | np.integer) or isinstance(budget, bool) or not 0 <= budget <= MOST:
        raise ValueError(f"budget is {budget!r:.80}, but it must be >= 0, whole and at most {MOST:,}; mend query_size")
    return given.astype(np.int64), int(budget)
