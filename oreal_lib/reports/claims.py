"""The paper's claims as hypotheses: what is measured, on which differences paired by seed each is judged, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..draw import title
from .frames import active, networks, one_run_each, per_run
from .mechanism import by_step

ASKING = ("bvsb", "revisiting_sp", "pixelbal", "cbal", "oreal")  # the paper's strategies that have something to aggregate
COLUMNS = ("random", *(f"{s} {how}" for s in ASKING for how in ("mean", "max")))  # the eleven of Table 1
AREAS = ["aualc", "aualc_per_pixel", "border_share", "to_95", "imbalance"]  # taken from `per_run`
SMALL = 2.5  # points of mIoU, our choice: the paper's largest gap of Table 2 without Cityscapes is 2.3


@dataclass(frozen=True)
class Claim:
    """One sentence that runs can support or contradict.

    sentence, place: the paper's words in quotation marks, or ours without, and where they stand.  paper: what it prints itself.
    measured: what is subtracted from what, in `unit`.  columns: the runs it needs.  differences: table of `evidence` -> one
    difference per seed, above 0 for the claim, NaN without information.  central: judged first; the others are its parts,
    strategy by strategy.  found: table of `evidence` -> what only the runs tell of the measure, such as which rival it is.
    """

    name: str
    sentence: str
    place: str
    paper: str
    measured: str
    unit: str
    columns: tuple[str, ...]
    differences: Callable[[pd.DataFrame], pd.Series]
    central: bool = False
    found: Callable[[pd.DataFrame], str] | None = None


def rarest_share(frame: pd.DataFrame) -> pd.Series:
    """For each row of a frame of `frames.load` the labels of the rarest class so far, in percent of what it would have if all
    classes had equally many: 0 is none, 100 is balance. NaN before any label."""
    shares = [100 * min(counts) * len(counts) / sum(counts) if sum(counts) else np.nan for counts in frame["class_counts"]]
    return pd.Series(shares, frame.index, dtype=float)


def evidence(frame: pd.DataFrame) -> pd.DataFrame:
    """Everything claims are judged on: one row per seed, columns (value, column of a frame), percent, NaN where not run.

    Values: those of `frames.per_run`; of the last step miou, boundary_miou, inside_miou and budget (superpixels asked); of
    `rarest_share` the growth from the first to the last step and the later_growth from the middle one; the mean deviation of
    `mechanism.by_step` from the class debts. Raises ValueError for a frame of several data sets or networks, or with two runs of
    one column and seed.
    """
    if len(found := networks(frame)) > 1:
        names = "; ".join(", ".join(where) for where in found)
        raise ValueError(f"the runs are of {names}, but claims are judged for one of these; take one of frames.networks(frame)")
    key = ["column", "seed"]
    one_run_each(frame, key)
    last = frame.sort_values("step").groupby("run_id").tail(1).rename(columns={"labeled_fraction": "budget"})
    values = last.set_index(key)[["miou", "boundary_miou", "inside_miou", "budget"]] * 100
    values = values.assign(**dict.fromkeys((*AREAS, "growth", "later_growth", "deviation"), np.nan))
    asking = active(frame).sort_values("step")
    if len(asking):
        values.update(per_run(frame).set_index(key)[AREAS] * [100 if value == "imbalance" else 1 for value in AREAS])
        rarest = asking.assign(share=rarest_share(asking)).groupby(key)["share"]
        values["growth"] = rarest.last() - rarest.first()
        values["later_growth"] = rarest.apply(lambda run: run.iloc[-1] - run.iloc[(len(run) - 1) // 2])
        values["deviation"] = 100 * by_step(asking).groupby(key)["deviation"].mean()
    return values.unstack("column")


def gain(value: str) -> Callable[[pd.DataFrame, str], pd.Series]:
    """What max gains over mean in one value, of the evidence and a strategy."""
    return lambda seen, strategy: seen[value, f"{strategy} max"] - seen[value, f"{strategy} mean"]


def nearer_border(seen: pd.DataFrame, strategy: str) -> pd.Series:
    """What max gains over mean in mIoU near borders, minus what it gains inside."""
    return gain("boundary_miou")(seen, strategy) - gain("inside_miou")(seen, strategy)


def sooner(seen: pd.DataFrame, strategy: str) -> pd.Series:
    """Superpixels to 95 % of B by mean, minus by max. A run that never got there counts with all it asked (as in a restricted
    mean survival time), so that reached beats not reached; NaN where neither got there."""
    by = {how: seen["to_95", f"{strategy} {how}"] for how in ("mean", "max")}
    spent = {how: reached.fillna(seen["budget", f"{strategy} {how}"]) for how, reached in by.items()}
    return (spent["mean"] - spent["max"]).mask(by["mean"].isna() & by["max"].isna())


def hardest(seen: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The pair (a, b) of columns whose difference in AuALC, a - b, is lowest in units of its standard error.

    So the verdict on this pair is that of an intersection-union test on all: its 95 % interval is above 0 only if that of every
    pair is, its p-value is then the largest of all, and it is below 0 if that of any pair is. Chosen on the same seeds, which
    costs the claim and never helps it (a contradiction by one of many pairs is not corrected for their number). Seeds count
    that have all eleven columns, so that the intervals have the same n.
    """

    def rank(pair: tuple[str, str]) -> tuple[float, float]:
        d = _difference(seen, *pair)
        mean, spread = d.mean(), d.std(ddof=1)
        return (mean / spread if spread > 0 else np.copysign(np.inf, mean) if mean else 0.0), mean

    return min(pairs, key=rank)


def _difference(seen: pd.DataFrame, a: str, b: str) -> pd.Series:
    """The differences a - b in AuALC, of the seeds that have all eleven columns."""
    whole = seen["aualc"][list(COLUMNS)].dropna()
    return whole[a] - whole[b]


FASTER = '"the latter [max] clearly outperforms the former [mean]"'
SOONER = '"max usually achieves this accuracy [95 % of full supervision] much faster than mean"'
BALANCE = '"one-vs-rest entropy, that leverages class-wise uncertainties to implicitly incorporate class-balancing"'
DEBT = '"any deviation from [the class debt] is compensated for in subsequent iterations"'
BEST = '"OREAL, which achieves the top AuALC on the RN101 and ViT backbones"'
SPARE = "what active learning is for"  # the paper takes it for granted and claims it nowhere
GAP = '"Surprisingly, except for Cityscapes, the performance gap between both models is rather small"'
BORDERS = (
    '"On average, we observe that when using the max aggregation, all sampling methods tend to select more regions around the '
    'boundary of objects"'
)
CONTEXT = (
    '"selecting those pixels [close to the boundary] for annotation greatly improves the prediction accuracy of both classes" '
    'and "creating context around an object for segmentation tasks improves segmentation accuracy"'
)
NOT_MEASURED = "argued, not measured"
TABLE_1, FIRST = "Sec. 4.3, Table 1", "Sec. 1, Table 1"
B = ("full_dominant",)
AREA, POINTS = "points of AuALC", "points of mIoU"


def _above(a: str, b: str, value: str, *said: str, also: tuple[str, ...] = (), central: bool = False) -> Claim:
    """The claim that column a has more of `value` than column b. said: name, sentence, place, paper, measured, unit."""
    return Claim(*said, (a, b, *also), lambda seen: seen[value, a] - seen[value, b], central)


def _above_all(pairs: Sequence[tuple[str, str]], *said: str) -> Claim:
    """The claim that every pair (a, b) has a above b, judged on the hardest. said: name, sentence, place, paper, measured."""

    def found(seen: pd.DataFrame) -> str:
        return " - ".join(map(title, hardest(seen, pairs)))

    return Claim(*said, AREA, COLUMNS + B, lambda seen: _difference(seen, *hardest(seen, pairs)), True, found)


def _by_strategy(
    of: Callable, also: tuple[str, ...], name: str, sentence: str, place: str, paper: str, measured: str, unit: str
) -> Iterator[Claim]:
    """A claim about max and mean: averaged over the paper's five strategies, then for each.

    of: (evidence, strategy) -> its differences.  also: columns that it needs beside its own.
    """

    def average(seen: pd.DataFrame) -> pd.Series:
        return pd.DataFrame({s: of(seen, s) for s in ASKING}).mean(axis=1, skipna=of is sooner)

    whole = f"{measured}; average of the five strategies; see the rows by strategy"
    yield Claim(name, sentence, place, paper, whole, unit, COLUMNS[1:] + also, average, True)
    for s in ASKING:
        columns, one = (f"{s} mean", f"{s} max", *also), lambda seen, s=s: of(seen, s)
        yield Claim(f"{name}: {title(s)}", sentence, place, "", measured, unit, columns, one)


def _of_max_and_mean() -> Iterator[Claim]:
    said = "max beats mean per click", FASTER, TABLE_1, "+1.2 on average over all data sets and networks", "max - mean", AREA
    yield from _by_strategy(gain("aualc"), B, *said)
    said = "max beats mean per labeled pixel", FASTER, TABLE_1, "counts clicks only", "max - mean", f"{AREA} per pixel"
    yield from _by_strategy(gain("aualc_per_pixel"), B, *said)
    said = "max asks more at true borders", BORDERS, "Fig. 5, caption", NOT_MEASURED, "max - mean", "% of the queries"
    yield from _by_strategy(gain("border_share"), (), *said)
    what = "mIoU of the last step, (max - mean near borders) - (max - mean inside)"
    said = "max gains more near borders than inside", CONTEXT, "Sec. 4.3, 3.2", NOT_MEASURED, what, POINTS
    yield from _by_strategy(nearer_border, (), *said)
    what = "mean - max; a run that never gets there counts with all it asked, pairs where neither does are left out"
    saved = "5.0 % of the pool less on average (Pascal VOC)"
    said = "max reaches 95 % of B sooner", SOONER, "Sec. 5, Table 3", saved, what, "% of the pool"
    yield from _by_strategy(sooner, B, *said)


def _of_the_order() -> Iterator[Claim]:
    hard = "of all pairs the one whose difference is lowest for its standard error, so that every interval must be above 0"
    said = "best on average with RN101", f"OREAL max - the hardest rival, {hard}"
    pairs = [("oreal max", rival) for rival in COLUMNS[:-1]]
    yield _above_all(pairs, "OREAL max is the best of all eleven", BEST, TABLE_1, *said)
    for s in ASKING[:-1]:
        said = f"OREAL max beats {title(s)} max", BEST, TABLE_1, "", "the first - the second", AREA
        yield _above("oreal max", f"{s} max", "aualc", *said, also=B)
    said = "true on average over the data sets, with each network", f"the weakest active column - random, {hard}"
    pairs = [(column, "random") for column in COLUMNS[1:]]
    yield _above_all(pairs, "every strategy beats random", SPARE, FIRST, *said)
    for column in COLUMNS[1:]:
        said = f"{title(column)} beats random", SPARE, FIRST, "", "the first - random", AREA
        yield _above(column, "random", "aualc", *said, also=B)


def _of_balance() -> Iterator[Claim]:
    for how in ("max", "mean"):
        for other in ("random", *ASKING[:-1]):
            central = how == "max" and other in ("random", "bvsb")
            column = "random" if other == "random" else f"{other} {how}"
            what = f"imbalance of {title(column)} - of OREAL {how}" + "; for the other strategies see the parts" * central
            name = f"OREAL {how} buys more balanced labels than {title(column)}"
            said = name, BALANCE, "Sec. 1, 3.4", NOT_MEASURED, what, "points of imbalance, 0 to 100"
            yield _above(column, f"oreal {how}", "imbalance", *said, central=central)


def _of_debts() -> Iterator[Claim]:
    debt, unit, best = (DEBT, "Sec. 3.5"), "% of an equal share", "oreal max"
    what = (
        "share of the rarest class, OREAL max: last step - middle step; where the pool runs out of the rarest class a debt "
        "cannot be paid (see the mechanism figures)"
    )
    said = "later steps make up for what the class debts missed", *debt, "in its appendix", what, unit
    yield Claim(*said, (best,), lambda seen: seen["later_growth", best], True)
    what = "OREAL max: last - first (random) step; needs no debts"
    said = "the rarest class gains from the first step to the last", *debt, "", what, unit
    yield Claim(*said, (best,), lambda seen: seen["growth", best])
    what = "growth of the rarest class, OREAL max - random"
    yield _above(best, "random", "growth", "the rarest class grows more with OREAL max than with random", *debt, "", what, unit)
    said = (
        "what OREAL max gets is nearer to the class debts than random's",
        *debt,
        "",
        "mean deviation after step 1, random - OREAL max",
    )
    yield _above("random", best, "deviation", *said, "% of the query")


def _of_dominant_labels() -> Iterator[Claim]:
    gap, what = f"A - B is -0.6 to 2.3, on Cityscapes 4.4 to 7.9; {SMALL} is our choice", f"{SMALL} - (A - B)"
    said = f"one label per superpixel costs less than {SMALL} points", GAP, "Sec. 5, Table 2", gap, what, POINTS
    a, b = both = "full_masks", "full_dominant"
    yield Claim(*said, both, lambda seen: SMALL - (seen["miou", a] - seen["miou", b]), True)


CLAIMS = (*_of_max_and_mean(), *_of_the_order(), *_of_balance(), *_of_debts(), *_of_dominant_labels())
