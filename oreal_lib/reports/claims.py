"""The paper's claims as hypotheses: what is measured, on which differences paired by seed each is judged, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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


def minus(value: str, a: str, b: str) -> Callable[[pd.DataFrame], pd.Series]:
    """The differences a - b of one value."""
    return lambda seen: seen[value, a] - seen[value, b]


def nearer_border(seen: pd.DataFrame, strategy: str) -> pd.Series:
    """What max gains over mean in mIoU near borders, minus what it gains inside."""
    near, inside = (minus(v, f"{strategy} max", f"{strategy} mean")(seen) for v in ("boundary_miou", "inside_miou"))
    return near - inside


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
    table = _complete(seen)

    def rank(pair: tuple[str, str]) -> tuple[float, float]:
        d = table[pair[0]] - table[pair[1]]
        mean, spread = d.mean(), d.std(ddof=1)
        return (mean / spread if spread > 0 else np.copysign(np.inf, mean) if mean else 0.0), mean

    return min(pairs, key=rank)


def _complete(seen: pd.DataFrame) -> pd.DataFrame:
    """AuALC of the eleven columns, of the seeds that have all."""
    return seen["aualc"][list(COLUMNS)].dropna()


def _against_all(claim: Claim, pairs: Sequence[tuple[str, str]]) -> Claim:
    """The claim that every pair (a, b) has a above b, judged on the hardest."""

    def differences(seen: pd.DataFrame) -> pd.Series:
        a, b = hardest(seen, pairs)
        return _complete(seen)[a] - _complete(seen)[b]

    return replace(claim, differences=differences, found=lambda seen: " - ".join(map(title, hardest(seen, pairs))))


def _by_strategy(
    claim: Claim, of: Callable[[pd.DataFrame, str], pd.Series] | str, also: tuple[str, ...] = (), skip: bool = False
) -> Iterator[Claim]:
    """A claim about max and mean, without columns and differences yet: averaged over the paper's five strategies, then for each.

    of: the differences of one strategy, or the value of `evidence` of which they are max - mean.  also: columns that it needs
    beside its own.  skip: average what there is.
    """
    if isinstance(of, str):
        value, of = of, lambda seen, s: minus(value, f"{s} max", f"{s} mean")(seen)

    def average(seen: pd.DataFrame) -> pd.Series:
        return pd.DataFrame({s: of(seen, s) for s in ASKING}).mean(axis=1, skipna=skip)

    measured = f"{claim.measured}; average of the five strategies; see the rows by strategy"
    yield replace(claim, measured=measured, columns=COLUMNS[1:] + also, differences=average, central=True)
    for s in ASKING:
        columns, one = (f"{s} mean", f"{s} max", *also), lambda seen, s=s: of(seen, s)
        yield replace(claim, name=f"{claim.name}: {title(s)}", paper="", columns=columns, differences=one)


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
AVERAGES = "+1.2 on average over all data sets and networks"
NOT_MEASURED = "argued, not measured"
B = ("full_dominant",)
AREA, POINTS = "points of AuALC", "points of mIoU"


def _of_max_and_mean() -> Iterator[Claim]:
    def claim(name: str, sentence: str, place: str, paper: str, measured: str, unit: str) -> Claim:
        return Claim(name, sentence, place, paper, measured, unit, (), pd.Series)

    pair = claim("max beats mean per click", FASTER, "Sec. 4.3, Table 1", AVERAGES, "max - mean", AREA)
    yield from _by_strategy(pair, "aualc", B)
    pixels = replace(pair, name="max beats mean per labeled pixel", paper="counts clicks only", unit=f"{AREA} per pixel")
    yield from _by_strategy(pixels, "aualc_per_pixel", B)
    unit = "% of the queries"
    border = claim("max asks more at true borders", BORDERS, "Fig. 5, caption", NOT_MEASURED, "max - mean", unit)
    yield from _by_strategy(border, "border_share")
    what = "mIoU of the last step, (max - mean near borders) - (max - mean inside)"
    near = claim("max gains more near borders than inside", CONTEXT, "Sec. 4.3, 3.2", NOT_MEASURED, what, POINTS)
    yield from _by_strategy(near, nearer_border)
    saved = "5.0 % of the pool less on average (Pascal VOC)"
    what = "mean - max; a run that never gets there counts with all it asked, pairs where neither does are left out"
    soon = claim("max reaches 95 % of B sooner", SOONER, "Sec. 5, Table 3", saved, what, "% of the pool")
    yield from _by_strategy(soon, sooner, B, skip=True)


def _of_the_order() -> Iterator[Claim]:
    hard = "of all pairs the one whose difference is lowest for its standard error, so that every interval must be above 0"
    name, paper = "OREAL max is the best of all eleven", "best on average with RN101"
    what = f"OREAL max - the hardest rival, {hard}"
    best = Claim(name, BEST, "Sec. 4.3, Table 1", paper, what, AREA, COLUMNS + B, pd.Series, True)
    yield _against_all(best, [("oreal max", rival) for rival in COLUMNS[:-1]])
    for s in ASKING[:-1]:
        name, two = f"OREAL max beats {title(s)} max", ("oreal max", f"{s} max")
        yield Claim(name, BEST, "Sec. 4.3, Table 1", "", "the first - the second", AREA, two + B, minus("aualc", *two))
    paper, what = "true on average over the data sets, with each network", f"the weakest active column - random, {hard}"
    useful = Claim("every strategy beats random", SPARE, "Sec. 1, Table 1", paper, what, AREA, COLUMNS + B, pd.Series, True)
    yield _against_all(useful, [(column, "random") for column in COLUMNS[1:]])
    for column in COLUMNS[1:]:
        name, two = f"{title(column)} beats random", (column, "random")
        yield Claim(name, SPARE, "Sec. 1, Table 1", "", "the first - random", AREA, two + B, minus("aualc", *two))


def _of_balance() -> Iterator[Claim]:
    unit = "points of imbalance, 0 to 100"
    for how, other in ((how, other) for how in ("max", "mean") for other in ("random", *ASKING[:-1])):
        column = other if other == "random" else f"{other} {how}"
        name, what = f"OREAL {how} buys more balanced labels than {title(column)}", f"imbalance of {title(column)} - of OREAL {how}"
        two, central = (column, f"oreal {how}"), how == "max" and other in ("random", "bvsb")
        what += "; for the other strategies see the parts" * central
        yield Claim(name, BALANCE, "Sec. 1, 3.4", NOT_MEASURED, what, unit, two, minus("imbalance", *two), central)


def _of_debts() -> Iterator[Claim]:
    unit, column = "% of an equal share", "oreal max"
    what = (
        "share of the rarest class, OREAL max: last step - middle step; where the pool runs out of the rarest class a debt "
        "cannot be paid (see the mechanism figures)"
    )
    name, later = "later steps make up for what the class debts missed", lambda seen: seen["later_growth", column]
    yield Claim(name, DEBT, "Sec. 3.5", "in its appendix", what, unit, (column,), later, True)
    name, what = "the rarest class gains from the first step to the last", "OREAL max: last - first (random) step; needs no debts"
    yield Claim(name, DEBT, "Sec. 3.5", "", what, unit, (column,), lambda seen: seen["growth", column])
    name, two = "the rarest class grows more with OREAL max than with random", (column, "random")
    yield Claim(name, DEBT, "Sec. 3.5", "", "growth of the rarest class, OREAL max - random", unit, two, minus("growth", *two))
    name, two = "what OREAL max gets is nearer to the class debts than random's", ("random", column)
    what = "mean deviation after step 1, random - OREAL max"
    yield Claim(name, DEBT, "Sec. 3.5", "", what, "% of the query", two, minus("deviation", *two))


def _of_dominant_labels() -> Iterator[Claim]:
    name, two = f"one label per superpixel costs less than {SMALL} points", ("full_masks", "full_dominant")
    gap, what = f"A - B is -0.6 to 2.3, on Cityscapes 4.4 to 7.9; {SMALL} is our choice", f"{SMALL} - (A - B)"
    yield Claim(name, GAP, "Sec. 5, Table 2", gap, what, POINTS, two, lambda seen: SMALL - minus("miou", *two)(seen), True)


CLAIMS = (*_of_max_and_mean(), *_of_the_order(), *_of_balance(), *_of_debts(), *_of_dominant_labels())
