"""Tables 1 and 3 with the paper's number beside ours in every cell. Everything comes from run records."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ..draw import STRATEGY_COLORS, title
from ..storage.yaml_file import read_yaml
from . import table as text
from .frames import cautions, full, interval, networks, per_run, source_line
from .table_2 import BACKBONES, DATA_SETS, backbone

Which = Literal["table1", "table3"]
STRATEGIES = ("random", "bvsb", "revisiting_sp", "pixelbal", "cbal", "oreal")  # the paper's rows, in its order
AVERAGED = STRATEGIES[1:]  # random has nothing to aggregate
AVERAGE = "average"
GAIN = "max - mean"
NONE = "none"  # aggregation, where there is nothing to aggregate
VALUE = {"table1": "aualc", "table3": "to_95"}  # of frames.per_run
MORE_IS_BETTER = {"table1": 1, "table3": -1}
BESIDE = {"table1": "paper, average of 4 data sets, ResNet-50", "table3": "paper, Pascal VOC, ResNet-50"}  # beside other data
BESIDE_FROM = {"table1": (AVERAGE, "resnet50"), "table3": ("voc", "resnet50")}  # BESIDE as a data set and a network of the paper


def printed(which: Which, dataset: str, network: str | None) -> dict[tuple[str, str], float]:
    """(strategy, aggregation) -> what the paper prints in percent for a data set and a key of BACKBONES; {} where it has none.

    dataset: also "average", the paper's column over its four data sets.  aggregation: "mean", "max", of random "none"; and
    "max - mean". The strategy "average" is not printed: it is the mean of the five cells above it.
    """
    paper = read_yaml("paper")[which]
    if which == "table3":
        found = {strategy: row.get(network) for strategy, row in paper.items() if dataset == "voc"}
    else:
        found = {strategy: row.get(dataset) for strategy, row in paper.get(network, {}).items()}
    if None in found.values() or not found:
        return {}
    numbers = {("random", NONE): found["random"]}
    pairs = {strategy: found[strategy] for strategy in AVERAGED}
    pairs[AVERAGE] = np.mean([found[strategy] for strategy in AVERAGED], axis=0).round(6).tolist()
    for strategy, (mean, most) in pairs.items():
        numbers |= {(strategy, "mean"): mean, (strategy, "max"): most, (strategy, GAIN): round(most - mean, 6)}
    return numbers


def cells(
    frame: pd.DataFrame, columns: Sequence[str], which: Which = "table1", where: Iterable[tuple[str, str]] | None = None
) -> pd.DataFrame:
    """One row per (dataset, model, strategy, aggregation): Table 1 (AuALC) or Table 3 (percent of the pool that reaches 95 %
    of B), in percent.

    Strategies: the paper's, whether run or not; those of `columns` ("power_bvsb max") that are not in the paper; and "average",
    over the paper's five without random, of the seeds that have all of them. aggregation: mean, max, "none" where there is
    nothing to aggregate, and "max - mean", paired by seed, over the seeds that have both.
    value, sd: mean and sample sd over seeds; NaN if a run has none: a mean over the seeds that reached 95 % would be too low.
    n: seeds.  reached: those with a value; NaN without full supervision B.  low, high, favor: of "max - mean", its 95 %
    t-interval and the seeds in which max is better (Table 3: reaches it with less).  paper, difference: what the paper prints
    for this data set and network, and value - paper; NaN where it has none, and then the numbers of BESIDE stand in
    paper_beside.  run_ids: joined by spaces.
    where: the (dataset, model) to show, also those without a run; None: those that have runs.
    """
    runs = per_run(frame)
    found = networks(runs)
    with_b = networks(full(frame))
    rows = []
    for dataset, model in dict.fromkeys(where or found):
        mine = found.get((dataset, model), runs.iloc[:0])
        paper = printed(which, dataset, backbone(model))
        beside = {} if paper else printed(which, *BESIDE_FROM[which])
        for (strategy, how), row in _rows(mine, columns, VALUE[which], MORE_IS_BETTER[which]).items():
            known = {"paper": paper.get((strategy, how), np.nan), "paper_beside": beside.get((strategy, how), np.nan)}
            row = row if (dataset, model) in with_b else row | {"reached": np.nan}
            place = {"dataset": dataset, "model": model, "strategy": strategy, "aggregation": how}
            rows.append(place | row | known | {"difference": row["value"] - known["paper"]})
    order = "dataset model strategy aggregation value sd n reached low high favor paper difference paper_beside run_ids"
    return pd.DataFrame(rows)[order.split()]


def _rows(runs: pd.DataFrame, columns: Sequence[str], value: str, better: int) -> dict[tuple[str, str], dict[str, object]]:
    """(strategy, aggregation) -> the values of one network's row that come from runs."""
    pairs = [("random", NONE), *((s, how) for s in AVERAGED for how in ("mean", "max"))]
    extra = ((s, how) for s in STRATEGY_COLORS if s not in STRATEGIES for how in (NONE, "mean", "max"))
    pairs += [pair for pair in extra if " ".join(pair).removesuffix(f" {NONE}") in columns]
    found = dict(iter(runs.groupby(["strategy", runs["aggregate"].replace("", NONE)])))
    mine = {pair: found.get(pair, runs.iloc[:0]) for pair in pairs}
    values = {pair: part.set_index("seed")[value].sort_index() for pair, part in mine.items()}
    ids = {pair: " ".join(part["run_id"]) for pair, part in mine.items()}
    for how in ("mean", "max"):
        five = pd.concat([values[s, how] for s in AVERAGED], axis=1, join="inner")
        values[AVERAGE, how] = five.mean(axis=1, skipna=False)
        used = runs[runs["strategy"].isin(AVERAGED) & (runs["aggregate"] == how) & runs["seed"].isin(five.index)]
        ids[AVERAGE, how] = " ".join(used["run_id"])
    rows: dict[tuple[str, str], dict[str, object]] = {}
    none = {"low": np.nan, "high": np.nan, "favor": np.nan}
    for (strategy, how), v in values.items():
        spread = {"value": v.mean(skipna=False), "sd": v.std(ddof=1, skipna=False), "n": len(v), "reached": v.notna().sum()}
        rows[strategy, how] = spread | none | {"run_ids": ids[strategy, how]}
        if how == "max" and (strategy, "mean") in values:
            by_mean = values[strategy, "mean"]
            d = (v - by_mean)[v.index.intersection(by_mean.index)]
            d = d.iloc[:0] if d.isna().any() else d  # a seed that has no number is not left out: it may be the worst
            gain = interval(d)
            gain |= {"value": gain.pop("mean"), "reached": gain["n"], "favor": int((better * d > 0).sum())}
            rows[strategy, GAIN] = gain | {"run_ids": f"{ids[strategy, 'mean']} {ids[strategy, how]}".strip()}
    return rows


def shown(table: pd.DataFrame, which: Which = "table1") -> pd.DataFrame:
    """The rows of `cells` of one network as readers see them: text only, one row per strategy, the average last."""
    lines, same = [], table["paper"].notna().any()  # same: whether the paper has this data set and network
    for strategy, mine in table.groupby("strategy", sort=False):
        of = dict(mine.set_index("aggregation").iterrows())
        pair, gain = {"mean": of.get(NONE, of.get("mean")), "max": of.get("max")}, of.get(GAIN)
        blank = "" if NONE in of else "-"  # where there is nothing to aggregate there is no max
        line = {"strategy": "average of the paper's five" if strategy == AVERAGE else title(strategy)}
        for how, r in pair.items():
            line[f"{how}, ours" if same else how] = blank if r is None else _ours(r, which)
            if same:
                line[f"{how}, paper"] = blank if r is None else text.number(r["paper"])
                line[f"{how}, difference"] = blank if r is None else text.number(r["difference"], "+")
        line[f"{GAIN} (95 % interval)"] = "" if gain is None else text.with_interval(gain.rename({"value": "mean"}))
        line["max better in"] = f"{int(gain['favor'])} of {int(gain['n'])}" if gain is not None and gain["n"] else ""
        there = [r for r in pair.values() if r is not None]
        n = ", ".join(dict.fromkeys(str(int(r["n"])) for r in there))
        beside = [text.number(r["paper_beside"]) for r in there]
        if same:
            line |= {f"{GAIN}, paper": "" if gain is None else text.number(gain["paper"], "+"), "n": n}
        else:
            line |= {"n": n, f"{BESIDE[which]}: mean / max": "-" if "-" in beside else " / ".join(beside)}
        lines.append(line)
    return pd.DataFrame(lines)


def _ours(row: pd.Series, which: Which) -> str:
    if not row["n"]:
        return "-" if row["strategy"] == AVERAGE else text.NOT_RUN
    value = text.with_sd(row["value"], row["sd"])
    if which == "table1" or np.isnan(row["reached"]):
        return value
    reached = f"{int(row['reached'])} of {int(row['n'])} reached"
    return reached if value == "-" else f"{value} ({reached})"


def notes(table: pd.DataFrame, which: Which = "table1") -> str:
    """What the numbers of `cells` are, in sentences for under the whole table."""
    what = {
        "table1": "AuALC in percent of full supervision B on the same pictures",
        "table3": "Superpixels asked until the test mIoU first reaches 95 % of full supervision B, in percent of the pool (less is "
        "better), with a mean only where every run reached it",
    }
    said = (
        f"{what[which]}; mean ± sample standard deviation over seeds (n). Max - mean is paired by seed, with Student's t-interval. "
        "Random has nothing to aggregate, so it has one value. The average is over BvSB, Revisiting SP, PixelBal, CBAL and OREAL, "
        "of the seeds that have them all; the paper's is the mean of its five cells."
    )
    return said + " *: not in the paper." * any(title(s).endswith("*") for s in table["strategy"])


def warnings(table: pd.DataFrame, frame: pd.DataFrame, which: Which = "table1") -> list[str]:
    """What the numbers of one network are not, in sentences for under its rows of `cells`. frame: its runs, or empty."""
    lines = []
    if table["paper"].isna().all():
        lines.append("This is another data set or network than the paper's: only signs and orders compare, not numbers.")
    if len(frame) and full(frame).empty:
        lines.append(text.NO_REFERENCE)
    n = table.loc[(table["strategy"] != AVERAGE) & (table["aggregation"] != GAIN), "n"]
    so = {"table1": "AuALC is too high", "table3": "95 % of it is reached too early"}
    return lines + cautions(n, frame, so[which])


def markdown(table: pd.DataFrame, frame: pd.DataFrame, which: Which = "table1") -> str:
    """`cells` of the runs `frame` for readers: a table for each network with its `warnings`, and the `notes` beneath."""
    parts = []
    for name, source, rows, under in _sections(table, frame, which):
        parts += [f"**{name}**", f"*{source}*", text.markdown(list(rows), rows.to_numpy()), *under]
    return text.paragraphs(*parts, notes(table, which))


def latex(table: pd.DataFrame, frame: pd.DataFrame, which: Which = "table1") -> str:
    r"""The same as LaTeX, a tabular for each network, to be read with \input; needs booktabs. The sentences are comments."""
    parts = []
    for name, source, rows, under in _sections(table, frame, which):
        tabular = rows.to_latex(index=False, escape=True, column_format="l" + "r" * (rows.shape[1] - 1))
        tabular = tabular.replace("±", r"$\pm$").replace(GAIN, "max $-$ mean")
        parts += [*(f"% {line}\n" for line in (name, source, *under)), re.sub(r"(?<![\w.])-(?=\d)", "$-$", tabular)]
    return "".join([*parts, f"% {notes(table, which)}\n"])


def _sections(table: pd.DataFrame, frame: pd.DataFrame, which: Which) -> Iterator[tuple[str, str, pd.DataFrame, list[str]]]:
    """Of each network its name, where its numbers come from, its table as text, and the sentences under it."""
    found = networks(frame)
    for (dataset, model), mine in networks(table).items():
        runs = found.get((dataset, model), frame.iloc[:0])
        name = f"{DATA_SETS.get(dataset, dataset)}, {BACKBONES.get(backbone(model) or '', model)}"
        yield name, source_line(runs) if len(runs) else text.NOT_RUN, shown(mine, which), warnings(mine, runs, which)
