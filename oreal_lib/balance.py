"""How many superpixels each class is owed."""

import numpy as np


def class_debt(counts: np.ndarray, budget: int, max_share: float | None = None) -> np.ndarray:
    """Superpixels to ask for per class so that the smallest count becomes as large as possible (OREAL Eq. 3).

    counts: (C,) int >= 0, labeled so far.  budget: int >= 0.  Returns (C,) int64 >= 0 that sums to budget.
    Fills the rarest classes first, like water in a vase; leftover clicks go to the rarest, then the lowest id.
    max_share in [1/C, 1] (not in the paper): no class gets more than this share of the budget, rounded up; the rest goes to the
    others. It keeps a class that does not exist from taking every budget. ValueError for a value out of range.
    """
    counts, max_share = _checked(counts, budget), 1 if max_share is None else max_share
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

    counts: (C,) int >= 0, labeled so far.  budget: int >= 0.  ValueError for other numbers.
    """
    counts = _checked(counts, budget)
    return np.maximum(0, (int(counts.sum()) + budget) // len(counts) - counts)


def _checked(counts: np.ndarray, budget: int) -> np.ndarray:
    """(C,) int64."""
    counts = np.asarray(counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or not len(counts) or counts.min() < 0:
        raise ValueError(f"class counts are {counts.tolist()}, but must be C whole numbers >= 0; count labels by class_counts()")
    if not isinstance(budget, int | np.integer) or budget < 0:
        raise ValueError(f"budget is {budget}, but must be a whole number >= 0; change query_size")
    return counts.astype(np.int64)
