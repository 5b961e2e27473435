"""Table 4: weak labels (every class in a superpixel named, a click each) in two stages; and dominant labels at as many clicks,
which the paper does not show. Everything comes from run records."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..draw import STRATEGY_COLORS, title
from ..storage.yaml_file import read_yaml
from . import table
from .frames import INTERVAL, active, full, in_order, interval, one_run_each, per_run, source_line, spread

STAGES = {1: "weak", 2: "weak, stage 2"}  # stage -> labeling
STRATEGIES = ("random", "bvsb", "revisiting_sp", "pixelbal", "oreal")  # the paper's rows, in its order
PAPER = ("voc", "cityscapes")  # data sets of the paper's table
AVERAGE = ("average", "1, 2")  # the paper's last row
DIFFERENCES = {  # the labelings of each side, added up
    "weak - dominant": (["weak"], ["dominant"]),
    "stage 2 - stage 1": (["weak, stage 2"], ["weak"]),
    "stage 2 - dominant": (["weak, stage 2"], ["dominant"]),
    "stage 2 of dominant - dominant": (["dominant, stage 2"], ["dominant"]),
    "stage 2 - stage 2 of dominant": (["weak, stage 2"], ["dominant, stage 2"]),
    "gain by stage 2, weak - dominant": (["weak, stage 2", "dominant"], ["weak", "dominant, stage 2"]),
}
GAINS = {"aualc": "AuALC", "miou": "last mIoU"}  # of frames.per_run
QUALITY = {  # of stage_two.quality_of
    "inside_accuracy": "right inside asked superpixels",
    "several_accuracy": "right where several classes were named",
    "several_dominant": "one label per superpixel would be right there",
    "several_gain": "difference (points)",
    "expansion_accuracy": "right in the expansion",
    "expansion_share": "size of the expansion",
}


def scores(frame: pd.DataFrame) -> pd.DataFrame:
    """`frames.per_run` of the runs of each labeling, and the column "labeling".

    Raises ValueError where no run has weak labels, or where runs of different settings would pass for one.
    """
    _check(frame)
    reference = frame["supervision"] != "active"
    labelings = frame.loc[~reference, "labeling"].unique()
    parts = [per_run(frame[reference | (frame["labeling"] == one)]).assign(labeling=one) for one in labelings]
    return pd.concat(parts, ignore_index=True)


def _check(frame: pd.DataFrame) -> None:
    one_run_each(frame, ("column", "labeling", "seed"))
    if not frame["labeling"].isin(STAGES.values()).any():
        raise ValueError(
            f"none of the {frame['run_id'].nunique()} finished runs has weak labels, which this table is about; write "
            "`labeling: weak` in the grid, as params/table4.yaml does"
        )


def table4(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per (strategy, stage), those of the paper and any other that was run, and the average: AuALC with weak labels.

    Columns: by_mean and by_max, of the two aggregations, each with _sd (sample, over seeds) and _n; max - mean, paired by
    seed, as n, mean, sd, low, high (95 % t-interval), favor. Random's one value is by_mean. The average is over the paper's
    strategies without random and both stages, of the seeds that have all of these. Other aggregations are not in this table.
    """
    runs = scores(frame)
    values = {}
    for stage, labeling in STAGES.items():
        for s in (s for s in STRATEGY_COLORS if s in {*STRATEGIES, *runs["strategy"]}):
            columns = {"by_mean": s if s == "random" else f"{s} mean", "by_max": f"{s} max"}
            values[s, stage] = {how: _by_seed(runs, labeling, column) for how, column in columns.items()}
    averaged = [pair for (strategy, _), pair in values.items() if strategy in STRATEGIES[1:]]
    values[AVERAGE] = {
        how: pd.concat([pair[how] for pair in averaged], axis=1).mean(axis=1, skipna=False).dropna()
        for how in ("by_mean", "by_max")
    }
    rows = {}
    for key, pair in values.items():
        row = {k: v for how, s in pair.items() for k, v in ((how, s.mean()), (f"{how}_sd", s.std(ddof=1)), (f"{how}_n", len(s)))}
        rows[key] = row | interval((pair["by_max"] - pair["by_mean"]).dropna())
    return pd.DataFrame.from_dict(rows, orient="index")


def _by_seed(runs: pd.DataFrame, labeling: str, column: str, value: str = "aualc") -> pd.Series:
    return runs[(runs["labeling"] == labeling) & (runs["column"] == column)].set_index("seed")[value].sort_index()


def table4_markdown(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Ours beside what the paper prints; what was not run says so."""
    paper = {(s, stage): row for stage in STAGES for s, row in read_yaml("paper")["table4"][f"stage{stage}"].items()}
    paper[AVERAGE] = read_yaml("paper")["table4_average"]
    rows, counts = [], set()
    for key, row in summary.iterrows():
        missing = "-" if key == AVERAGE else table.NOT_RUN
        n = {how: int(row[f"{how}_n"]) for how in ("by_mean", "by_max")}
        ours = [table.with_sd(row[how], row[f"{how}_sd"]) if n[how] else missing for how in n] + [table.with_interval(row)]
        counts |= set() if key == AVERAGE else set(n.values())
        if key[0] == "random":  # it asks without scores, so there is nothing to aggregate
            ours, n = [ours[0], "", ""], {"by_mean": n["by_mean"]}
        printed = [" - ".join(f"{v:.1f}" for v in np.ravel(paper.get(key, {}).get(name) or [])) or "-" for name in PAPER]
        rows.append([title(key[0]), str(key[1]), *ours, ", ".join(map(str, dict.fromkeys(n.values()))), *printed])
    heads = ["strategy", "stage", "mean", "max", "max - mean (95 % interval)", "n"]
    heads += ["paper, VOC: mean - max", "paper, Cityscapes: mean - max"]
    strange = [name for name in frame["dataset"].unique() if name not in PAPER]
    other = f"Ours is another data set ({', '.join(strange)}) than the paper's: compare signs and orders, not numbers."
    return table.paragraphs(
        f"*{source_line(frame)}*",
        table.markdown(heads, rows),
        "AuALC in percent of full supervision B, mean ± sample standard deviation over seeds (n). "
        "Random has nothing to aggregate, so it has one value. The average is over both stages without random.",
        other * bool(strange),
        table.NO_REFERENCE * full(frame).empty,
        table.SEEDS_DIFFER * (len(counts - {0}) > 1),
    )


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per (value, column, difference), paired by seed, in points: n, mean, sd, low, high (95 % t-interval), favor (how
    many seeds are above 0), and values, the differences themselves as {seed: points}.

    value: aualc, or miou of the last step.  difference: a key of DIFFERENCES. What lacks a side has no row.
    """
    runs = scores(frame)
    rows = {}
    for value in GAINS:
        for column in in_order(runs):
            for name, sides in DIFFERENCES.items():
                one, other = (sum(_by_seed(runs, labeling, column, value) for labeling in side) for side in sides)
                d = (one - other).dropna()
                if len(d):
                    rows[value, column, name] = interval(d) | {"values": {int(seed): float(v) for seed, v in d.items()}}
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*INTERVAL, "values"])


def bought(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per (column, labeling) with dominant labels or weak ones of stage 1: what the clicks of all steps bought.

    Columns: n; clicks_mean; per_superpixel and asked as of `spread`: clicks per asked superpixel, and superpixels asked in percent
    of the pool. The pool is counted by the dominant labels of the same seed, full supervision B among them, which
    cost one click each; without these, per_superpixel is NaN.
    """
    _check(frame)
    one_each = frame[(frame["labeling"] == "dominant") & (frame["clicks"] > 0)]
    pool = (one_each["clicks"] / one_each["labeled_fraction"]).groupby(one_each["seed"]).first()
    last = active(frame).sort_values("step").groupby("run_id").tail(1)
    last = last.assign(per_superpixel=last["clicks"] / (last["labeled_fraction"] * last["seed"].map(pool)))
    rows = {}
    for key, mine in last[last["labeling"].isin(("dominant", "weak"))].groupby(["column", "labeling"]):
        rows[key] = {"n": len(mine), "clicks_mean": mine["clicks"].mean()}
        rows[key] |= spread("per_superpixel", mine["per_superpixel"]) | spread("asked", 100 * mine["labeled_fraction"])
    return pd.DataFrame.from_dict(rows, orient="index")


def gains_markdown(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The differences of `gains`, one table for each value, and what the clicks `bought`."""
    columns, found, parts = in_order(active(frame)), summary.to_dict("index"), []
    for value, name in GAINS.items():
        rows = []
        for column in columns:
            known = [found.get((value, column, difference)) for difference in DIFFERENCES]
            cells = ["-" if d is None else f"{table.with_interval(d, sd=True)}, {d['favor']} of {d['n']}" for d in known]
            rows.append([title(column), *cells])
        parts.append(table.markdown([name, *DIFFERENCES], rows))
    parts += [
        "Points, paired by seed: mean ± sample standard deviation (95 % t-interval), and in how many seeds it is above 0; - where "
        "no seed has both sides (or, for AuALC, full supervision B was not run).",
        "What the clicks of all steps bought; a dominant label costs one click, naming every class costs one for each:",
    ]
    found, rows = bought(frame).to_dict("index"), []
    for column in columns:
        sides = [found.get((column, labeling)) for labeling in ("dominant", "weak")]
        clicks = [table.NOT_RUN if side is None else f"{side['clicks_mean']:.0f}" for side in sides]
        asked = [table.NOT_RUN if side is None else table.spread(side, "asked") for side in sides]
        weak = sides[1]
        each = table.NOT_RUN if weak is None else table.spread(weak, "per_superpixel", 2)
        n = ", ".join(dict.fromkeys(f"{side['n']:.0f}" for side in sides if side is not None))
        rows.append([title(column), *clicks, each, *asked, n])
    heads = ["strategy", "clicks: dominant", "clicks: weak", "clicks per superpixel: weak"]
    heads += ["superpixels asked: dominant (%)", "superpixels asked: weak (%)", "n"]
    return table.paragraphs(*parts, table.markdown(heads, rows))


def pseudo_quality(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per column and step of stage 2, in percent: the values of QUALITY (several_gain in points: accuracy - dominant) as
    <value>_mean, <value>_sd (sample) and <value>_n, over the seeds in which it is defined (nothing can be right in an expansion of
    no pixel); and n, all seeds; strategy and aggregate of the column.

    The accuracies are of the pseudo labels where the truth is a class; the size is of the pool's pixels.
    """
    _check(frame)
    rows, keys = [], ["column", "strategy", "aggregate", "step", "n"]
    two = frame[frame["labeling"] == STAGES[2]]
    for column in in_order(two):
        for step, mine in two[two["column"] == column].groupby("step"):
            row = {key: mine[key].iloc[0] for key in keys[:3]} | {"step": step, "n": len(mine)}
            known_of = pd.DataFrame(list(mine["pseudo"]), columns=[v for v in QUALITY if v != "several_gain"], dtype=float)
            known_of["several_gain"] = known_of["several_accuracy"] - known_of["several_dominant"]
            for value in QUALITY:
                row |= spread(value, 100 * known_of[value])
            rows.append(row)
    return pd.DataFrame(rows, columns=[*keys, *(f"{v}_{k}" for v in QUALITY for k in ("mean", "sd", "n"))])


def pseudo_markdown(quality: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The pseudo labels of each column's last step as a table, and the range over all steps in one sentence."""
    if quality.empty:
        return "Stage 2 was not run, so there are no pseudo labels.\n"
    rows, ranges = [], []
    for _, row in quality.groupby("column", sort=False).tail(1).iterrows():
        cells = []
        for value in QUALITY:
            some = f" (n = {int(row[f'{value}_n'])})" if 0 < row[f"{value}_n"] < row["n"] else ""
            cells.append(table.spread(row, value) + some)
        rows.append([title(row["column"]), *cells, str(row["n"])])
    for value in ("several_gain", "expansion_accuracy", "expansion_share"):
        known = quality[f"{value}_mean"].dropna()
        signed = "+" if value == "several_gain" else ""
        shown = f"{known.min():{signed}.1f} to {known.max():{signed}.1f}" if len(known) else "unknown"
        ranges.append(f"{QUALITY[value]} {shown}")
    return table.paragraphs(
        f"*{source_line(frame[frame['labeling'] == STAGES[2]])}*",
        table.markdown(["pseudo labels of the last step", *QUALITY.values(), "n"], rows),
        f"Over all {quality['step'].nunique()} steps and strategies: {', '.join(ranges)}. Percent of the pseudo labels there whose "
        "truth is a class; the size in percent of the pool's pixels.",
    )


def to_draw(frame: pd.DataFrame, wanted: Sequence[str] = ("random", "bvsb max", "oreal max")) -> list[str]:
    """At most three columns to draw: those wanted, if run with dominant labels and with weak ones in both stages; else the
    first that were; else the first with weak labels."""
    _check(frame)
    labelings = active(frame).groupby("column")["labeling"].agg(set)
    weak = in_order(frame[frame["labeling"] != "dominant"])
    whole = [c for c in weak if {"dominant", *STAGES.values()} <= labelings[c]]
    return [c for c in wanted if c in whole] or whole[:3] or weak[:3]
