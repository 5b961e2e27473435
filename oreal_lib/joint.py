"""CBAL's choice made jointly: a query whose predicted classes add up to what is wanted (Bengar et al. 2021)."""

from __future__ import annotations

import numpy as np

from .select import ROWS, check_budget, draw_lots, leaders
from .types import Query

PASSES = 200  # over the table at most; on a small pool few are needed
OTHERS = 20_000  # superpixels beyond the query that may be exchanged into it, by each of two lists
WORK = 5_000_000  # numbers an exchange may look at, more only where many are to be looked at anyway
CLOSE = 1e-4  # relative distance between what is found and what is possible at which the search ends


def joint_top(
    uncertainty: np.ndarray,
    p: np.ndarray,
    wanted: np.ndarray,
    k: int,
    among: np.ndarray,
    rng: np.random.Generator,
    lam: float = 1.0,
) -> Query:
    """k superpixels, most unsure first, that minimize -sum of uncertainty + lam * || sum of p - wanted ||_1 (Bengar et al. 2021).

    uncertainty: (N,) float32.  p: (N, C) float32, mean probabilities; may be a memory map.  wanted: (C,) numbers >= 0, what each
    class is short of.  among: (N,) bool.  lam >= 0.
    Their mixed-integer program is replaced by its Lagrangian dual, our choice: for prices y in [-lam, lam]^C the best query is the k
    highest of uncertainty - p y, and the prices follow the classes of which too much is asked (Polyak's steps). The best query met,
    or the one of mode "independent" (`strategies.cbal`) if it is better, is then improved by exchanging superpixels. Half of our
    trials ended within 1 % of the optimum, the worst, small pools of sure predictions, within 10 %. ValueError if fewer than k are
    there.
    """
    check_budget(k, among)
    lot = draw_lots(among, rng)

    def leading(score: np.ndarray, n: int = k) -> np.ndarray:
        return leaders(score[:, None], [n], among, lot)[0]

    def cost_of(ids: np.ndarray) -> float:
        return float(lam * np.abs(p[ids].sum(axis=0, dtype=np.float64) - wanted).sum() - uncertainty[ids].sum(dtype=np.float64))

    alone = _plus(uncertainty, p, 2 * lam * (wanted >= 1))
    best = leading(alone)
    least, bound, price, kept = cost_of(best), -np.inf, np.zeros(p.shape[1]), np.zeros(p.shape[1])
    for _ in range(PASSES):
        worth = _plus(uncertainty, p, -price)
        ids = leading(worth)
        surplus = p[ids].sum(axis=0, dtype=np.float64) - wanted
        if (cost := cost_of(ids)) < least:
            least, best, kept = cost, ids, price
        dual = -worth[ids].sum(dtype=np.float64) - price @ wanted  # no query can cost less
        bound = max(bound, dual)
        slope = surplus @ surplus
        if least - bound <= CLOSE * max(abs(least), 1.0) or slope == 0:
            break
        price = np.clip(price + (least - dual) / slope * surplus, -lam, lam)
    more = k + min(3 * k, OTHERS)
    near = np.union1d(leading(_plus(uncertainty, p, -kept), more), leading(alone, more))
    best = _exchanged(best, np.setdiff1d(near, best), uncertainty, p, wanted, lam)
    best = best[np.lexsort((lot[best], -uncertainty[best]))]
    return Query(best, uncertainty[best].astype(np.float32))


def _exchanged(
    ids: np.ndarray, others: np.ndarray, uncertainty: np.ndarray, p: np.ndarray, wanted: np.ndarray, lam: float
) -> np.ndarray:
    """ids (k,), with one after another given for one of the others (M,) as long as that lowers the cost, at most PASSES times."""
    ids, others = ids.copy(), others.copy()
    u, v = uncertainty[ids].astype(np.float64), uncertainty[others].astype(np.float64)
    mine, theirs = p[ids].astype(np.float64), p[others].astype(np.float64)
    surplus = mine.sum(axis=0) - wanted
    few = max(8, WORK // max(1, theirs.size))  # are tried for leaving: those whose leaving costs least
    for _ in range(PASSES if len(others) else 0):
        now = lam * np.abs(surplus).sum()
        leaves = u + lam * np.abs(surplus - mine).sum(axis=1)  # cost of all, if this one is gone
        found = None
        for i in np.argsort(leaves)[:few]:
            comes = lam * np.abs(surplus - mine[i] + theirs).sum(axis=1) - v
            j = int(comes.argmin())
            gain = now - (u[i] + comes[j])
            if gain > 1e-9 and (found is None or gain > found[0]):
                found = gain, i, j
        if found is None:
            break
        _, i, j = found
        surplus = surplus - mine[i] + theirs[j]
        ids[i], others[j], u[i], v[j] = others[j], ids[i], v[j], u[i]
        mine[i], theirs[j] = theirs[j].copy(), mine[i].copy()
    return ids


def _plus(uncertainty: np.ndarray, p: np.ndarray, price: np.ndarray) -> np.ndarray:
    """(N,) float32: uncertainty + p @ price, read in blocks: a table of N rows may be a memory map."""
    worth, price = np.empty(len(uncertainty), np.float32), price.astype(np.float32)
    for start in range(0, len(worth), ROWS):
        rows = slice(start, start + ROWS)
        worth[rows] = uncertainty[rows] + p[rows] @ price
    return worth
