"""What lies between mean and max: one point per aggregation, from run records."""

from collections.abc import Sequence

import pandas as pd

from ..aggregate import parse_how
from ..draw import title
from . import table
from .frames import interval

KINDS = ("mean", "top", "power", "quantile", "max")  # the order of rows
SHOWN = {  # of frames.per_run -> heading
    "border_share": "asked on a border (%)",
    "aualc": "AuALC",
    "aualc_per_pixel": "AuALC per pixel",
    "labeled_pixels": "labeled pixels (%)",
}


def from_mean_to_max(hows: Sequence[str]) -> list[str]:
    """Aggregations from mean to max, distinct: by kind, and inside a kind the nearer to max the later."""

    def place(how: str) -> tuple[int, float]:
        kind, value = parse_how(how)
        return KINDS.index(kind), (-value if kind == "top" else value or 0.0)

    return sorted(set(hows), key=place)


def points(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per (strategy, aggregation) of the strategies that were run by mean and by something else, from mean to max.

    runs: of `frames.per_run`.  Columns: n; <value>_mean and <value>_sd of the values SHOWN over the seeds; and the gain of AuALC
    over mean, paired by seed: gain_n, gain_mean, gain_sd, gain_low, gain_high (95 % t-interval), gain_favor (mean itself: 0).
    ValueError if no strategy was run by mean and by something else.
    """
    rows = {}
    for strategy, mine in runs.groupby("strategy", sort=False):
        if len(hows := set(mine["aggregate"])) < 2 or "mean" not in hows:
            continue
        by_seed = mine.pivot(index="seed", columns="aggregate", values="aualc")
        for how in from_mean_to_max(hows):
            own = mine[mine["aggregate"] == how]
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
    """(strategy, seed) -> rank correlation (Spearman, -1..1) of border share and AuALC over three or more aggregations: did those
    win that asked more on borders? runs: of `frames.per_run`.  Columns: correlation, n (aggregations)."""
    rows = {
        key: {"correlation": mine["border_share"].corr(mine["aualc"], method="spearman"), "n": len(mine)}
        for key, mine in runs.groupby(["strategy", "seed"], sort=False)
        if len(mine) > 2
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["correlation", "n"])


def agreement_text(agreed: pd.DataFrame) -> str:
    """The result of `agreement` as one sentence per strategy."""
    lines = ["", "Did the aggregations win that asked more on borders? Rank correlation of the two, by seed:", ""]
    for strategy, mine in agreed.groupby(level=0, sort=False):
        values = ", ".join(f"{v:+.2f}" for v in mine["correlation"])
        lines.append(f"- {title(strategy)}: {values} ({int(mine['n'].max())} aggregations)")
    return "\n".join(lines) + "\n" if len(agreed) else ""


def markdown(points: pd.DataFrame) -> str:
    """The table of `points` as readers see it."""
    rows = []
    for (strategy, how), row in points.iterrows():
        cells = [table.spread(row, v) for v in SHOWN]
        gain = row.filter(like="gain_").rename(lambda name: name.removeprefix("gain_"))
        gained = "-" if how == "mean" else table.with_interval(gain)
        rows.append([title(f"{strategy} {how}"), *cells, gained, f"{row['n']:.0f}"])
    return table.paragraphs(table.markdown(["asked by", *SHOWN.values(), "AuALC above mean's (95 % interval)", "n"], rows))
