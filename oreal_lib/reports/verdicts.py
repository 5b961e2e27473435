"""Whether runs support, contradict or cannot decide the paper's claims, and what so few seeds cannot show."""

from collections.abc import Sequence
from math import ceil, log2

import numpy as np
import pandas as pd
from scipy import stats

from ..draw import title
from . import table
from .claims import UNITS, Claim, evidence
from .claims import claims as of_paper
from .frames import interval, source_line

OURS = " (ours)"  # behind the name of a claim that is not the paper's


def sign_flip_p(differences: Sequence[float], rng: np.random.Generator) -> float:
    """Two-sided p-value of a mean of 0, if the sign of each difference were as likely to be the other; NaN for n < 2.

    Exact up to 16 differences (all 2^n signs, the generator is not used), above that by 100 000 draws.
    """
    d = np.asarray(differences, float)
    if len(d) < 2:
        return float("nan")
    draws = np.inf if len(d) <= 16 else 100_000
    mean = {"statistic": np.mean, "permutation_type": "samples", "vectorized": True}
    return float(stats.permutation_test((d,), **mean, n_resamples=draws, rng=rng).pvalue)


def t_p(d: pd.Series) -> float:
    """Two-sided p-value of Student's t-test of a mean of 0: below 0.05 where the 95 % interval leaves 0 out. NaN for n < 2."""
    if len(d) < 2:
        return float("nan")
    mean, error = abs(d.mean()), d.std(ddof=1) / len(d) ** 0.5
    return float(2 * stats.t.sf(mean / error, len(d) - 1)) if error else float(mean == 0)


def holm(p: Sequence[float]) -> np.ndarray:
    """(n,) float64 p-values adjusted by Holm, so that all together err with at most 5 % where each is below 0.05.

    NaN stays and is not counted.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN is sorted last
    adjusted = np.full(len(p), np.nan)
    factor = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factor))
    return adjusted


def verdict(low: float, high: float) -> str:
    """Of a 95 % interval of differences: "supports", "contradicts" or "cannot decide" (also NaN: fewer than two seeds)."""
    return "supports" if low > 0 else "contradicts" if high < 0 else "cannot decide"


def judge(frame: pd.DataFrame, rng: np.random.Generator, claims: Sequence[Claim] | None = None) -> pd.DataFrame:
    """One row per claim (None: those of claims.yaml), in their order: verdict, n, favor, mean, low, high, half, t_p, t_holm, flip_p, flip_holm, missing, ...

    frame: of `frames.load`, of one data set and network.  rng: used with more than 16 seeds only.
    verdict: "supports", "contradicts", "cannot decide", by the 95 % t-interval low..high of the differences paired by seed, or
    "not run" where columns are `missing`.  favor: seeds for the claim.  half: half the interval, the smallest mean that these n
    seeds with their spread could have shown.  *_holm: adjusted for all central claims, or for all their parts.
    """
    seen, rows = evidence(frame), []
    there = set(seen.columns.get_level_values("column"))
    for claim in of_paper() if claims is None else claims:
        missing = [c for c in claim.columns if c not in there]
        d = pd.Series(dtype=float) if missing else claim.differences(seen).dropna()
        row = {"name": claim.name, "central": claim.central, "ours": claim.ours, "unit": UNITS[claim.value]}
        row |= {"measured": claim.measured(seen if len(d) else None), "sentence": claim.sentence, "paper": claim.paper}
        row |= interval(d)
        row |= {"half": (row["high"] - row["low"]) / 2, "t_p": t_p(d), "flip_p": sign_flip_p(d, rng)}
        said = table.NOT_RUN if missing else verdict(row["low"], row["high"])
        rows.append(row | {"verdict": said, "missing": ", ".join(map(title, missing))})
    judged = pd.DataFrame(rows)
    for p in ("t", "flip"):
        judged[f"{p}_holm"] = judged.groupby("central")[f"{p}_p"].transform(holm)
    return judged.set_index("name")


def markdown(judged: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The verdicts as readers see them: central claims with the paper's words, what n cannot show, then the parts."""
    central, parts = judged[judged["central"]], judged[~judged["central"]]
    said = [
        f"- **{name}**{OURS * c['ours']}: {c['sentence']}. Measured: {c['measured']}. The paper: {c['paper']}."
        for name, c in central.iterrows()
    ]
    absent = parts.index[parts["verdict"] == table.NOT_RUN]
    return table.paragraphs(
        f"*{source_line(frame)}*",
        tally(central),
        _table(central),
        limits(central),
        "\n".join(said),
        "The same claims by strategy, and their parts:",
        _table(parts.drop(absent)),
        f"Not run: {'; '.join(absent)}." if len(absent) else "",
    )


def tally(judged: pd.DataFrame) -> str:
    """How many claims have which verdict, the paper's and ours apart, each for itself and after Holm's correction for all that were
    tested; and which the correction leaves open."""
    paper = judged[~judged["ours"]]
    said = [f"Of {len(paper)} central claims of the paper our runs {_count(paper['verdict'])}."]
    if len(ours := judged[judged["ours"]]):
        said.append(f"Of {len(ours)} of our own they {_count(ours['verdict'])}.")
    if tested := int(judged["t_p"].notna().sum()):
        corrected, n = _corrected(judged, "t"), int(judged["n"].max())
        left = judged.index[corrected != judged["verdict"]]
        said.append(f"After Holm's correction for {tested} test{'s' * (tested > 1)} (t-test) they {_count(corrected[paper.index])}")
        said[-1] += f" of the paper's; it leaves open: {'; '.join(left)}." if len(left) else " of the paper's."
        flips = f"Sign flips, so corrected, {_count(_corrected(judged, 'flip')[paper.index])}."
        said.append(flips if 2 ** (1 - n) <= 0.05 else f"Sign flips can decide nothing with n = {n}.")
    return " ".join(said)


def _corrected(judged: pd.DataFrame, p: str) -> pd.Series:
    """The verdicts, but undecided where the corrected p-value is not below 0.05."""
    return judged["verdict"].mask((judged["verdict"] != table.NOT_RUN) & ~(judged[f"{p}_holm"] < 0.05), "cannot decide")


def _count(said: pd.Series) -> str:
    yes, no, open_, missing = (int((said == v).sum()) for v in ("supports", "contradicts", "cannot decide", table.NOT_RUN))
    text = f"support {yes}, contradict {no} and cannot decide {open_}"
    return text + f" ({missing} {'was' if missing == 1 else 'were'} not run)" * (missing > 0)


def limits(judged: pd.DataFrame) -> str:
    """What the number of seeds cannot show, in plain words; judged: the claims that are corrected for together."""
    tested = judged[judged["n"] > 1]
    if tested.empty:
        return "No claim has two seeds: there is no spread, and so nothing is decided."
    n, m = int(tested["n"].max()), len(tested)
    return (
        f"The verdict is by the 95 % t-interval of each claim alone: with no difference behind any of the {m} tested, {0.05 * m:.2g} "
        f"would be decided by chance. Holm's p-values correct for that. The t-interval takes differences for normally distributed, which {n} of them "
        f"cannot show; flipping signs does not, but with n = {n} its smallest two-sided p is {2 ** (1 - n):.4g}"
        + (", so it can decide nothing at 5 %" if 2 ** (1 - n) > 0.05 else "")
        + f" (that takes 6 seeds; after Holm for {m} claim{'s' * (m > 1)}, {ceil(1 + log2(m / 0.05))}). "
        "*Could show*: half the interval, the smallest difference that so many seeds with this spread would have decided; "
        "cannot decide does not mean no difference, only none larger than the interval's ends."
    )


def _table(judged: pd.DataFrame) -> str:
    heads = ["claim", "verdict", "difference", "95 % interval", "unit", "n", "for it"]
    heads += ["t-test p (Holm)", "sign-flip p (Holm)", "could show"]
    rows = []
    for name, c in judged.iterrows():
        several, n, missing = c["n"] > 1, int(c["n"]), c["missing"].split(", ")
        said = f"**{c['verdict']}**" + ("" if n else ": nothing to compare")
        if c["missing"]:
            said = f"not run: {c['missing'] if len(missing) < 3 else f'{len(missing)} columns, such as {missing[0]}'}"
        cells = [f"{c['mean']:+.1f}" if n else "-", f"{c['low']:+.1f} to {c['high']:+.1f}" if several else "-", c["unit"], str(n)]
        cells += [f"{int(c['favor'])}" if n else "-", *(_p(c[f"{p}_p"], c[f"{p}_holm"]) for p in ("t", "flip"))]
        rows.append([name + OURS * c["ours"], said, *cells, f"± {c['half']:.1f}" if several else "-"])
    return table.markdown(heads, rows, left=(0, 1, 4))


def _p(p: float, adjusted: float) -> str:
    texts = ["<0.001" if x < 0.001 else f"{x:.3g}" for x in (p, adjusted)]
    return "-" if np.isnan(p) else f"{texts[0]} ({texts[1]})"
