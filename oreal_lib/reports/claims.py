"""The paper's claims, and two of our own, as a table of hypotheses: which difference paired by seed speaks for each."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..draw import title
from ..storage.yaml_file import read_yaml
from .frames import active, full, networks, one_run_each, per_run
from .mechanism import by_step

ASKING = ("bvsb", "revisiting_sp", "pixelbal", "cbal", "oreal")  # the paper's strategies that have something to aggregate
COLUMNS = ("random", *(f"{s} {how}" for s in ASKING for how in ("mean", "max")))  # the eleven of Table 1
GROUPS = {"all": COLUMNS, **{how: tuple(f"{s} {how}" for s in ASKING) for how in ("mean", "max")}}  # of pairs in claims.yaml
UNITS = {  # of `evidence`
    "aualc": "points of AuALC",
    "aualc_per_pixel": "points of AuALC per pixel",
    "border_share": "% of the queries",
    "imbalance": "points of imbalance, 0 to 100",
    "miou": "points of mIoU",
    "near_minus_inside": "points of mIoU",
    "saved": "% of the pool",
    "growth": "% of what could be bought",
    "later_growth": "% of what could be bought",
    "deviation": "% of the query",
}
NEED_B = ("aualc", "aualc_per_pixel", "saved", "growth", "later_growth")  # values that full supervision B is needed for


@dataclass(frozen=True)
class Claim:
    """One sentence that runs can support or contradict.

    sentence: the paper's words in quotation marks and where they stand, or ours.  how: what is subtracted from what, of `value` in
    `evidence`.  pairs: columns (a, b); a - b (a alone where b is "nothing") + plus is above 0 for the claim: the average of the
    pairs, or the hardest.  paper: what it prints itself.  central: judged first; the others are parts.  ours: not the paper's.
    """

    name: str
    sentence: str
    value: str
    how: str
    pairs: tuple[tuple[str, str], ...]
    paper: str = "argued, not measured"
    hardest: bool = False
    plus: float = 0
    central: bool = True
    ours: bool = False

    @property
    def columns(self) -> list[str]:
        """The runs it needs."""
        both = [column for pair in self.pairs for column in pair if column != "nothing"]
        return list(dict.fromkeys(both + ["full_dominant"] * (self.value in NEED_B)))

    def by_pair(self, seen: pd.DataFrame) -> pd.DataFrame:
        """The differences of a table of `evidence`: one row per seed, one column per pair."""
        of = seen[self.value].assign(nothing=0.0)
        d = pd.DataFrame({(a, b): of[a] - of[b] for a, b in self.pairs})
        if self.value == "saved":  # where neither run got there, nothing is known
            d = d.mask(pd.DataFrame({(a, b): (of[a] == 0) & (of[b] == 0) for a, b in self.pairs}))
        return d

    def differences(self, seen: pd.DataFrame) -> pd.Series:
        """One difference per seed, above 0 for the claim, NaN without information."""
        d = self.by_pair(seen)
        return d.dropna()[hardest(d)] if self.hardest else d.mean(axis=1, skipna=self.value == "saved") + self.plus

    def measured(self, seen: pd.DataFrame | None) -> str:
        """What is measured, in words; with a table of `evidence`, where it has the runs, also what only these tell of it."""
        d = pd.DataFrame(columns=self.pairs, dtype=float) if seen is None else self.by_pair(seen)
        if self.hardest:
            here = "" if seen is None else f"; here {' - '.join(map(title, hardest(d)))}"
            return f"{self.how}: of all pairs the one lowest for its standard error, so that every interval must be above 0{here}"
        here = f"; here {d.count().sum()} pairs of {d.notna().any().sum()} strategies" if self.value == "saved" else ""
        return self.how + f"; average of the five strategies, see the rows by strategy{here}" * (len(self.pairs) > 1)


def hardest(d: pd.DataFrame) -> tuple[str, str]:
    """The pair of columns whose difference is lowest in units of its standard error. d: of `Claim.by_pair`.

    So the verdict on this pair is that of an intersection-union test on all: its 95 % interval is above 0 only if that of every
    pair is, its p-value is then the largest of all, and it is below 0 if that of any pair is. Chosen on the same seeds, which
    costs the claim and never helps it (a contradiction by one of many pairs is not corrected for their number). Seeds count
    that have all pairs, so that the intervals have the same n.
    """
    mean, sd = d.dropna().mean(), d.dropna().std(ddof=1)
    rank = (mean / sd).where(sd > 0, np.sign(mean) * 1e9)
    return min(d, key=lambda pair: (rank[pair], mean[pair]))


def rarest_share(frame: pd.DataFrame) -> pd.Series:
    """For each active row of a frame of `frames.load` the labels so far of the class that lacks most, in percent of what could be
    bought of it: an equal share of all labels, or all that the pool holds where that is less. NaN before any label, and where
    full supervision B of the same seed, which bought the pool, was not run."""
    pool, rows = full(frame).set_index("seed")["class_counts"], active(frame)
    shares = [_share(np.array(got), pool.get(seed)) for got, seed in zip(rows["class_counts"], rows["seed"], strict=True)]
    return pd.Series(shares, rows.index, dtype=float)


def _share(got: np.ndarray, pool: tuple[int, ...] | None) -> float:
    if pool is None or not got.sum():
        return np.nan
    there = np.array(pool) > 0
    return 100 * (got[there] / np.minimum(got.sum() / len(got), np.array(pool)[there])).min()


def evidence(frame: pd.DataFrame) -> pd.DataFrame:
    """Everything claims are judged on: one row per seed, columns (value, column of a frame), percent, NaN where not run.

    Values: those of UNITS. Of `frames.per_run`: aualc, aualc_per_pixel, border_share, imbalance.  miou, near_minus_inside: of the
    last step.  saved: superpixels left of all that a run asked when it reached 95 % of B, 0 if it never did (as in a restricted
    mean survival time).  growth, later_growth: of `rarest_share` from the first, or the middle, to the last step.  deviation: mean of
    `mechanism.by_step`. Raises ValueError for a frame of several data sets or networks, or with two runs of one column and seed.
    """
    if len(found := networks(frame)) > 1:
        names = "; ".join(", ".join(where) for where in found)
        raise ValueError(f"the runs are of {names}, but claims are judged for one of these; take one of frames.networks(frame)")
    key = ["column", "seed"]
    one_run_each(frame, key)
    last = frame.sort_values("step").groupby("run_id").tail(1).set_index(key)
    near = last["boundary_miou"] - last["inside_miou"]
    values = 100 * pd.DataFrame({"miou": last["miou"], "near_minus_inside": near}).reindex(columns=list(UNITS))
    asking = active(frame).sort_values("step")
    if len(asking):
        runs = per_run(frame).set_index(key)
        rarest = asking.assign(share=rarest_share(frame)).groupby(key)["share"]
        values = values.assign(
            **runs[["aualc", "aualc_per_pixel", "border_share"]],
            imbalance=100 * runs["imbalance"],
            saved=(100 * last["labeled_fraction"].loc[runs.index] - runs["to_95"]).fillna(0),
            growth=rarest.last() - rarest.first(),
            later_growth=rarest.apply(lambda run: run.iloc[-1] - run.iloc[(len(run) - 1) // 2]),
            deviation=100 * by_step(asking).groupby(key)["deviation"].mean(),
        )
    return values.unstack("column")


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """ "max - mean" -> (("bvsb max", "bvsb mean"), ...): see claims.yaml. A column is not compared with itself."""
    found = []
    for one in text.split(", "):
        a, b = (GROUPS.get(side, (side,)) for side in one.split(" - "))
        n = max(len(a), len(b))
        found += [pair for pair in zip(a * (n // len(a)), b * (n // len(b)), strict=True) if len({*pair}) == 2]
    return tuple(found)


@lru_cache
def claims() -> tuple[Claim, ...]:
    """The claims of claims.yaml, the central ones first. A part that is a central claim itself stands there only."""
    central, parts = {}, {}
    for name, row in read_yaml(Path(__file__).with_name("claims.yaml")).items():
        pairs = _pairs(row["pairs"])
        named = row.pop("parts", {f"{name}: {{s}}": row["pairs"]} if len(pairs) > 1 else {})
        claim = Claim(name, **{"how": row["pairs"]} | row | {"pairs": pairs})
        (central if claim.central else parts)[name] = claim
        for form, texts in named.items():
            for a, b in _pairs(texts):
                part = form.format(a=title(a), b=title(b), s=title(a.partition(" ")[0]))
                parts[part] = replace(claim, name=part, pairs=((a, b),), central=False, hardest=False)
    return (*central.values(), *(part for name, part in parts.items() if name not in central))
