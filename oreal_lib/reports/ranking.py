"""Which strategy comes first, and how sure that is: mean ranks over seeds with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from ..draw import STRATEGY_COLORS, title
from . import table


@dataclass(frozen=True, eq=False)
class Ranking:
    """Columns by their mean rank, best first.

    table: one row per column: rank (1 is best, ties share the mean of their ranks), low and high (95 % bootstrap interval over
    seeds), first (share of draws, 0..1, in which the column has the lowest mean rank; ties share), mean AuALC, strategy and
    aggregate. low, high and first are NaN for one seed.  left_out: columns that miss a seed.  friedman_p: of no difference between
    columns (NaN for fewer than 3 columns or 2 seeds).  agreement: Kendall's W, 0 (seeds disagree) to 1 (all have the same order).
    """

    table: pd.DataFrame
    left_out: tuple[str, ...]
    seeds: tuple[int, ...]
    friedman_p: float
    agreement: float


def rank_columns(runs: pd.DataFrame, columns: Sequence[str], rng: np.random.Generator, draws: int = 10_000) -> Ranking:
    """Rank the columns by AuALC within each seed; a column that misses a seed is left out.

    runs: of `frames.per_run`, of one data set and network.  rng: draws seeds with replacement, `draws` times. Where no column has
    an AuALC (it needs full supervision B) all are left out and the table is empty.
    """
    runs = runs[runs["column"].isin(columns)]
    wide = runs.pivot(index="seed", columns="column", values="aualc").dropna(how="all")
    whole = [c for c in columns if c in wide and wide[c].notna().all() and len(wide)]
    left_out = tuple(c for c in columns if c not in whole)
    if not whole:
        nothing = pd.DataFrame(columns=["rank", "low", "high", "first", "mean", "strategy", "aggregate"])
        return Ranking(nothing, left_out, tuple(wide.index), np.nan, np.nan)
    wide = wide[whole]
    ranks = wide.rank(axis=1, ascending=False)
    n, k = ranks.shape
    drawn = ranks.to_numpy()[rng.integers(n, size=(draws, n))].mean(axis=1)  # (draws, k) mean ranks
    best = np.isclose(drawn, drawn.min(axis=1, keepdims=True))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0) if n > 1 else np.full((2, k), np.nan)
    first = (best / best.sum(axis=1, keepdims=True)).mean(axis=0) if n > 1 else np.nan
    found = pd.DataFrame({"rank": ranks.mean(), "low": low, "high": high, "first": first, "mean": wide.mean()}, index=whole)
    found = found.join(runs.drop_duplicates("column").set_index("column")[["strategy", "aggregate"]])
    differ = n > 1 and k > 2 and not wide.nunique(axis=1).eq(1).all()
    chi2, p = stats.friedmanchisquare(*wide.to_numpy().T) if differ else (np.nan, np.nan)
    by_rank = found.sort_values(["rank", "mean"], ascending=[True, False])
    return Ranking(by_rank, left_out, tuple(wide.index), float(p), float(chi2 / (n * (k - 1))))


def markdown(ranking: Ranking) -> str:
    """The ranking as readers see it, best first, and what it leaves out."""
    n, left_out = len(ranking.seeds), f"Left out, because a seed is missing: {', '.join(map(title, ranking.left_out))}."
    if ranking.table.empty:
        return f"Nothing to rank. {left_out}\n"
    rows = []
    for column, c in ranking.table.iterrows():
        sure = [f"{c['low']:.1f} to {c['high']:.1f}", f"{100 * c['first']:.0f} %"] if n > 1 else ["-", "-"]
        rows.append([title(column), f"{c['rank']:.1f}", *sure, f"{c['mean']:.1f}"])
    said = "One seed: an order, but no evidence for it."
    if n > 1:
        few = ", too narrow for so few" * (n < 10)
        said = f"n = {n} seeds; interval and *first in* by drawing seeds with replacement{few}."
    if not np.isnan(ranking.friedman_p):
        said += (
            f" Friedman test of no difference between columns: p = {ranking.friedman_p:.2g} (chi-square approximation); "
            f"agreement of the seeds (Kendall's W) {ranking.agreement:.2f}."
        )
    ranks = table.markdown(["strategy", "mean rank", "95 % interval", "first in", "mean"], rows)
    return table.paragraphs(ranks, said, left_out * bool(ranking.left_out))


def draw_ranking(ranking: Ranking, ax: Axes) -> Axes:
    """Mean ranks as dots with their intervals, best on top; a hollow dot is mean aggregation."""
    ranks = ranking.table
    for y, c in enumerate(ranks.itertuples()):
        color = STRATEGY_COLORS[c.strategy]
        ax.plot([c.low, c.high], [y, y], color=color, lw=2)
        ax.plot(c.rank, y, "o", color=color, mfc="white" if c.aggregate == "mean" else color, ms=7)
    ax.set_yticks(range(len(ranks)), [title(column) for column in ranks.index])
    n = max(len(ranks), 1)
    ax.set(ylim=(n - 0.5, -0.5), xlim=(0.5, n + 0.5), xlabel="mean rank, 1 is best")
    ax.grid(axis="x", alpha=0.3)
    return ax
