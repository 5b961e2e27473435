"""What lies between mean and max: one point per aggregation, from run records."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..aggregate import parse_how
from ..draw import title
from .frames import cell, interval

KINDS = ("mean", "top", "power", "quantile", "max")  # the order of rows
SHOWN = {  # of results.per_run -> heading
    "border_share": "asked on a border (%)",
    "aualc": "AuALC",
    "aualc_per_pixel": "AuALC per pixel",
    "labeled_pixels": "labeled pixels (%)",
}


def in_order(hows: Sequence[str]) -> list[str]:
    """Aggregations from mean to max, distinct: by kind, and inside a kind the nearer to max the later."""

    def place(how: str) -> tuple[int, float]:
        kind, value = parse_how(how)
        return KINDS.index(kind), (-value if kind == "top" else value or 0.0)

    return sorted(set(hows), key=place)


def points(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per (strategy, aggregation) of the strategies that were run by mean and by something else, from mean to max.

    runs: of `results.per_run`.  Columns: n; <value>_mean and <value>_sd of the values SHOWN over the seeds; and the gain of AuALC
    over mean, paired by seed: gain_n, gain_mean, gain_sd, gain_low, gain_high (95 % t-interval), gain_favor (mean itself: 0).
    ValueError if no strategy was run by mean and by something else.
    """
    parts = runs["column"].str.partition(" ")
    runs = runs.assign(strategy=parts[0], how=parts[2])
    rows = {}
    for strategy, mine in runs.groupby("strategy", sort=False):
        hows = in_order(mine["how"]) if (mine["how"] != "").all() else []
        if "mean" not in hows or len(hows) < 2:
            continue
        by_seed = mine.pivot(index="seed", columns="how", values="aualc")
        for how in hows:
            own = mine[mine["how"] == how]
            row = {"n": len(own)}
            for value in SHOWN:
                row |= {f"{value}_mean": own[value].mean(), f"{value}_sd": own[value].std(ddof=1)}
            gain = interval((by_seed[how] - by_seed["mean"]).dropna())
            rows[strategy, how] = row | {f"gain_{k}": v for k, v in gain.items()}
    if not rows:
        raise ValueError(
            "no strategy was run by mean and by another aggregation; add `aggregate: [mean, top_0.1, max]` to the grid"
        )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["strategy", "aggregate"])


def agreement(runs: pd.DataFrame) -> pd.DataFrame:
    """(strategy, seed) -> rank correlation (Spearman, -1..1) over the aggregations, three or more, of border share and AuALC: did
    those win that asked more on borders? runs: of `results.per_run`.  Columns: correlation, n (aggregations)."""
    aggregated = runs[runs["column"].str.contains(" ")]
    rows = {
        key: {"correlation": mine["border_share"].corr(mine["aualc"], method="spearman"), "n": len(mine)}
        for key, mine in aggregated.groupby([aggregated["column"].str.partition(" ")[0], "seed"], sort=False)
        if len(mine) > 2
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["correlation", "n"])


def agreement_text(table: pd.DataFrame) -> str:
    """The result of `agreement` as one sentence per strategy."""
    lines = ["", "Did the aggregations win that asked more on borders? Rank correlation of the two, by seed:", ""]
    for strategy, mine in table.groupby(level=0, sort=False):
        values = ", ".join(f"{v:+.2f}" for v in mine["correlation"])
        lines.append(f"- {title(strategy)}: {values} ({int(mine['n'].max())} aggregations)")
    return "\n".join(lines) + "\n" if len(table) else ""


def markdown(table: pd.DataFrame) -> str:
    """The table of `points` as readers see it."""
    heads = [*SHOWN.values(), "AuALC above mean's (95 % interval)", "n"]
    lines = ["| asked by | " + " | ".join(heads) + " |", "|---" + "|---:" * len(heads) + "|"]
    for (strategy, how), row in table.iterrows():
        cells = [cell(row[f"{v}_mean"], row[f"{v}_sd"]) for v in SHOWN]
        gain = "-" if how == "mean" or not row["gain_n"] else f"{row['gain_mean']:+.1f}"
        if gain != "-" and row["gain_n"] > 1:
            gain += f" ({row['gain_low']:+.1f} to {row['gain_high']:+.1f})"
        lines.append(f"| {title(f'{strategy} {how}')} | " + " | ".join([*cells, gain, str(int(row["n"]))]) + " |")
    return "\n".join(lines) + "\n"
