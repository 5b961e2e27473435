"""Which strategy comes first, and how sure that is: mean ranks over seeds with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from ..draw import STRATEGY_COLORS, title


@dataclass(frozen=True, eq=False)
class Ranking:
    """Columns by their mean rank, best first.

    table: one row per column: rank (1 is best, ties share the mean of their ranks), low and high (95 % bootstrap interval over
    seeds), first (share of draws, 0..1, in which the column has the lowest mean rank; ties share), mean of the value. low, high
    and first are NaN for one seed.  left_out: columns that miss a seed.  value: what was ranked, higher is better.
    friedman_p: of no difference between columns (NaN for fewer than 3 columns or 2 seeds).  agreement: Kendall's W, 0 (seeds
    disagree) to 1 (every seed has the same order).
    """

    table: pd.DataFrame
    left_out: tuple[str, ...]
    seeds: tuple[int, ...]
    value: str
    friedman_p: float
    agreement: float


def rank_columns(
    runs: pd.DataFrame, columns: Sequence[str], rng: np.random.Generator, value: str = "aualc", draws: int = 10_000
) -> Ranking:
    """Rank the columns by a value of `results.per_run` within each seed; a column that misses a seed is left out.

    runs: of one data set and network.  rng: draws seeds with replacement, `draws` times. Where no column has the value (AuALC
    needs full supervision B) all are left out and the table is empty.
    """
    wide = runs[runs["column"].isin(columns)].pivot(index="seed", columns="column", values=value).dropna(how="all")
    whole = [c for c in columns if c in wide and wide[c].notna().all()]
    left_out = tuple(c for c in columns if c not in whole)
    if not whole or wide.empty:
        nothing = pd.DataFrame(columns=["rank", "low", "high", "first", "mean"], dtype=float)
        return Ranking(nothing, tuple(columns), tuple(wide.index), value, np.nan, np.nan)
    wide = wide[whole]
    ranks = wide.rank(axis=1, ascending=False)
    n, k = ranks.shape
    drawn = ranks.to_numpy()[rng.integers(n, size=(draws, n))].mean(axis=1)  # (draws, k) mean ranks
    best = np.isclose(drawn, drawn.min(axis=1, keepdims=True))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0) if n > 1 else np.full((2, k), np.nan)
    first = (best / best.sum(axis=1, keepdims=True)).mean(axis=0) if n > 1 else np.nan
    table = pd.DataFrame({"rank": ranks.mean(), "low": low, "high": high, "first": first, "mean": wide.mean()}, index=whole)
    differ = n > 1 and k > 2 and not wide.nunique(axis=1).eq(1).all()
    chi2, p = stats.friedmanchisquare(*wide.to_numpy().T) if differ else (np.nan, np.nan)
    by_rank = table.sort_values(["rank", "mean"], ascending=[True, False])
    return Ranking(by_rank, left_out, tuple(wide.index), value, float(p), float(chi2 / (n * (k - 1))))


def markdown(ranking: Ranking) -> str:
    """The ranking as readers see it, best first, and what it leaves out."""
    n, missing = len(ranking.seeds), f"Left out, because a seed is missing: {', '.join(map(title, ranking.left_out))}."
    if ranking.table.empty:
        return f"Nothing to rank. {missing}\n"
    lines = ["| strategy | mean rank | 95 % interval | first in | mean |", "|---|---:|---:|---:|---:|"]
    for column, c in ranking.table.iterrows():
        sure = [f"{c['low']:.1f} to {c['high']:.1f}", f"{100 * c['first']:.0f} %"] if n > 1 else ["-", "-"]
        lines.append(f"| {title(column)} | {c['rank']:.1f} | {' | '.join(sure)} | {c['mean']:.1f} |")
    if n > 1:
        few = ", too narrow for so few" * (n < 10)
        lines += ["", f"n = {n} seeds; interval and *first in* by drawing seeds with replacement{few}."]
    else:
        lines += ["", "One seed: an order, but no evidence for it."]
    if not np.isnan(ranking.friedman_p):
        lines[-1] += (
            f" Friedman test of no difference between columns: p = {ranking.friedman_p:.2g} (chi-square approximation); "
            f"agreement of the seeds (Kendall's W) {ranking.agreement:.2f}."
        )
    if ranking.left_out:
        lines += ["", missing]
    return "\n".join(lines) + "\n"


def draw_ranking(ranking: Ranking, ax: Axes) -> Axes:
    """Mean ranks as dots with their intervals, best on top; a hollow dot is mean aggregation."""
    table = ranking.table
    for y, (column, c) in enumerate(table.iterrows()):
        strategy, _, how = column.partition(" ")
        color = STRATEGY_COLORS[strategy]
        ax.plot([c["low"], c["high"]], [y, y], color=color, lw=2)
        ax.plot(c["rank"], y, "o", color=color, mfc="white" if how == "mean" else color, ms=7)
    ax.set_yticks(range(len(table)), [title(column) for column in table.index])
    ax.set_ylim(max(len(table), 1) - 0.5, -0.5)
    ax.set_xlim(0.5, max(len(table), 1) + 0.5)
    ax.set_xlabel("mean rank, 1 is best")
    ax.grid(axis="x", alpha=0.3)
    return ax
