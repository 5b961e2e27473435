"""The paper's claims as hypotheses: what is measured, on which differences paired by seed each is judged, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .mechanism import by_step
from .names import title
from .results import networks, per_run

ASKING = ("bvsb", "revisiting_sp", "pixelbal", "cbal", "oreal")  # the paper's strategies that have something to aggregate
COLUMNS = ("random", *(f"{s} {how}" for s in ASKING for how in ("mean", "max")))  # the eleven of Table 1
AREAS = ["aualc", "aualc_per_pixel", "border_share", "to_95", "imbalance"]  # taken from `per_run`
SMALL = 2.5  # points of mIoU, our choice: the paper's largest gap of Table 2 without Cityscapes is 2.3


@dataclass(frozen=True)
class Claim:
    """One sentence that runs can support or contradict.

    sentence, place: the paper's words and where they stand.  paper: what it prints itself.  measured: what is subtracted from
    what, in `unit`.  columns: the runs it needs.  differences: table of `evidence` -> one difference per seed, above 0 for the
    claim, NaN without information.  central: judged first; the others are its parts, strategy by strategy.
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


def rarest_share(frame: pd.DataFrame) -> pd.Series:
    """For each row of a frame of `results.load` the labels of the rarest class so far, in percent of what it would have if all
    classes had equally many: 0 is none, 100 is balance. NaN before any label."""
    shares = [100 * min(counts) * len(counts) / sum(counts) if sum(counts) else np.nan for counts in frame["class_counts"]]
    return pd.Series(shares, frame.index, dtype=float)


def evidence(frame: pd.DataFrame) -> pd.DataFrame:
    """Everything claims are judged on: one row per seed, columns (value, column of a table), percent, NaN where not run.

    Values: those of `per_run`; of the last step miou, boundary_miou, inside_miou and budget (superpixels asked); of
    `rarest_share` the growth from the first to the last step and the later_growth from the middle one; the mean deviation of
    `mechanism.by_step` from the class debts. Raises ValueError for a frame of several data sets or networks, or with two runs of
    one column and seed.
    """
    if len(found := networks(frame)) > 1:
        names = "; ".join(", ".join(where) for where in found)
        raise ValueError(f"the runs are of {names}, but claims are judged for one of these; take one of results.networks(frame)")
    key = ["column", "seed"]
    last = frame.sort_values("step").groupby("run_id").tail(1).rename(columns={"labeled_fraction": "budget"})
    if len(twice := last[last.duplicated(key, keep=False)]):
        raise ValueError(
            f"two runs are both {twice['column'].iloc[0]!r}, seed {twice['seed'].iloc[0]} ({', '.join(twice['run_id'])}); claims "
            "tell runs apart by column and seed only: make one grid for each setting"
        )
    values = last.set_index(key)[["miou", "boundary_miou", "inside_miou", "budget"]] * 100
    values = values.assign(**dict.fromkeys((*AREAS, "growth", "later_growth", "deviation"), np.nan))
    active = frame[~frame["column"].str.startswith("full_")].sort_values("step")
    if len(active):
        values.update(per_run(frame).set_index(key)[AREAS] * [100 if value == "imbalance" else 1 for value in AREAS])
        rarest = active.assign(share=rarest_share(active)).groupby(key)["share"]
        values["growth"] = rarest.last() - rarest.first()
        values["later_growth"] = rarest.apply(lambda run: run.iloc[-1] - run.iloc[(len(run) - 1) // 2])
        values["deviation"] = 100 * by_step(active).groupby(key)["deviation"].mean()
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


def chosen_elsewhere(table: pd.DataFrame, best: bool = True) -> pd.Series:
    """For each seed (row) the value of the column that is best (or weakest) on the average of the OTHER seeds.

    A rival chosen on the same seeds would look better than it is. Empty with fewer than two complete seeds.
    """
    table = table.dropna()
    if len(table) < 2:
        return pd.Series(dtype=float)
    others = (table.sum() - table) / (len(table) - 1)
    chosen = others.idxmax(axis=1) if best else others.idxmin(axis=1)
    return pd.Series({seed: table.at[seed, column] for seed, column in chosen.items()})


def ahead_of_all(seen: pd.DataFrame) -> pd.Series:
    """OREAL max minus the best other column, which the other seeds chose."""
    table = seen["aualc"][list(COLUMNS)].dropna()
    return table["oreal max"] - chosen_elsewhere(table.drop(columns="oreal max"))


def weakest_over_random(seen: pd.DataFrame) -> pd.Series:
    """The weakest active column, which the other seeds chose, minus random: every one is better only if this is."""
    table = seen["aualc"][list(COLUMNS)].dropna()
    return chosen_elsewhere(table.drop(columns="random"), best=False) - table["random"]


def _by_strategy(
    claim: Claim, of: Callable[[pd.DataFrame, str], pd.Series], also: tuple[str, ...] = (), skip: bool = False
) -> Iterator[Claim]:
    """A claim about max and mean, without columns and differences yet: averaged over the paper's five strategies, then for each.

    of: the differences of one strategy.  also: columns that it needs beside its own.  skip: average what there is.
    """

    def average(seen: pd.DataFrame) -> pd.Series:
        return pd.DataFrame({s: of(seen, s) for s in ASKING}).mean(axis=1, skipna=skip)

    measured = f"{claim.measured}; average of the five strategies"
    yield replace(claim, measured=measured, columns=COLUMNS[1:] + also, differences=average, central=True)
    for s in ASKING:
        columns, one = (f"{s} mean", f"{s} max", *also), lambda seen, s=s: of(seen, s)
        yield replace(claim, name=f"{claim.name}: {title(s)}", paper="", columns=columns, differences=one)


def _max_minus_mean(value: str) -> Callable[[pd.DataFrame, str], pd.Series]:
    return lambda seen, s: minus(value, f"{s} max", f"{s} mean")(seen)


FASTER = "the latter [max] clearly outperforms the former [mean]"
BALANCE = "one-vs-rest entropy, that leverages class-wise uncertainties to implicitly incorporate class-balancing"
DEBT = "any deviation from [the class debt] is compensated for in subsequent iterations"
BEST = "OREAL, which achieves the top AuALC on the RN101 and ViT backbones"
SPARE = "training the best possible machine learning model using the least amount of annotations"
AVERAGES = "+1.2 on average over all data sets and networks"
NOT_MEASURED = "argued, not measured"
B = ("full_dominant",)


def _list() -> Iterator[Claim]:
    area, points = "points of AuALC", "points of mIoU"
    pair = Claim("max beats mean per click", FASTER, "Sec. 4.3, Table 1", AVERAGES, "max - mean", area, (), pd.Series)
    yield from _by_strategy(pair, _max_minus_mean("aualc"), B)
    same = replace(pair, name="max beats mean per labeled pixel", paper="counts clicks only", unit=f"{area} per pixel")
    yield from _by_strategy(same, _max_minus_mean("aualc_per_pixel"), B)
    words = "when using the max aggregation, all sampling methods tend to select more regions around the boundary of objects"
    border = Claim("max asks more at true borders", words, "Fig. 5", NOT_MEASURED, "max - mean", "% of the queries", (), pd.Series)
    yield from _by_strategy(border, _max_minus_mean("border_share"))
    words = "the most difficult pixels to classify are located at the boundaries between objects"
    what = "(max - mean near borders) - (max - mean inside), last step"
    near = Claim("max gains more near borders than inside", words, "Sec. 6, 4.3, 3.2", NOT_MEASURED, what, points, (), pd.Series)
    yield from _by_strategy(near, nearer_border)
    words = "max usually achieves this accuracy [95 % of full supervision] much faster than mean"
    saved = "5.0 % of the pool less on average (Pascal VOC)"
    what = "mean - max; a run that never gets there counts with all it asked, pairs where neither does are left out"
    soon = Claim("max reaches 95 % of B sooner", words, "Sec. 5, Table 3", saved, what, "% of the pool", (), pd.Series)
    yield from _by_strategy(soon, sooner, B, skip=True)

    what = "OREAL max - the best other column, chosen on the other seeds"
    yield Claim(
        "OREAL max is the best of all eleven",
        BEST,
        "Sec. 4.3, Table 1",
        "best on average with RN101",
        what,
        area,
        COLUMNS + B,
        ahead_of_all,
        True,
    )
    for s in ASKING[:-1]:
        name, two = f"OREAL max beats {title(s)} max", ("oreal max", f"{s} max")
        yield Claim(name, BEST, "Sec. 4.3, Table 1", "", "the first - the second", area, two + B, minus("aualc", *two))
    what = "the weakest active column, chosen on the other seeds, - random"
    average = "true on average over the data sets, with each network"
    yield Claim(
        "every strategy beats random", SPARE, "Sec. 1, Table 1", average, what, area, COLUMNS + B, weakest_over_random, True
    )
    for column in COLUMNS[1:]:
        name, two = f"{title(column)} beats random", (column, "random")
        yield Claim(name, SPARE, "Sec. 1, Table 1", "", "the first - random", area, two + B, minus("aualc", *two))

    for other, how, central in (("random", "max", True), ("bvsb", "max", True), ("random", "mean", False), ("bvsb", "mean", False)):
        column = other if other == "random" else f"{other} {how}"
        name, what = f"OREAL {how} buys more balanced labels than {title(column)}", f"imbalance of {title(column)} - of OREAL {how}"
        two = (column, f"oreal {how}")
        yield Claim(
            name,
            BALANCE,
            "Sec. 1, 3.4",
            NOT_MEASURED,
            what,
            "points of imbalance, 0 to 100",
            two,
            minus("imbalance", *two),
            central,
        )
    what, unit = "rarest class, OREAL max: last step - first step", "% of an equal share"
    name, column = "later steps make up for what the class debts missed", "oreal max"
    yield Claim(name, DEBT, "Sec. 3.5", "in its appendix", what, unit, (column,), lambda seen: seen["growth", column], True)
    name, two = "the rarest class grows more with OREAL max than with random", (column, "random")
    yield Claim(name, DEBT, "Sec. 3.5", "", "growth of the rarest class, OREAL max - random", unit, two, minus("growth", *two))
    what = "rarest class, OREAL max: last step - middle step (it may have run out in the pool)"
    name = "the rarest class still grows in the later half of the steps"
    yield Claim(name, DEBT, "Sec. 3.5", "", what, unit, (column,), lambda seen: seen["later_growth", column])
    name, two = "what OREAL max gets is nearer to the class debts than random's", ("random", column)
    what = "mean deviation after step 1, random - OREAL max"
    yield Claim(name, DEBT, "Sec. 3.5", "", what, "% of the query", two, minus("deviation", *two))

    name, words = "one label per superpixel costs little", "the performance gap between both models is rather small"
    gap, two = (
        f"A - B is -0.6 to 2.3, on Cityscapes 4.4 to 7.9; small is below {SMALL}, our choice",
        ("full_masks", "full_dominant"),
    )
    yield Claim(
        name, words, "Sec. 5, Table 2", gap, f"{SMALL} - (A - B)", points, two, lambda seen: SMALL - minus("miou", *two)(seen), True
    )


CLAIMS = tuple(_list())
