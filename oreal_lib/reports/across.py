"""When does max help? Max minus mean in every study: one data set, network, budget, size of superpixels and kind of answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, stats

from ..config import RunConfig
from ..draw import title
from ..experiments.run_folder import find
from . import table
from .claims import ASKING, COLUMNS, claims
from .frames import INTERVAL, interval, load, per_run
from .verdicts import holm, judge, t_p, verdict

AVERAGE, PAIR = "average", "pair"  # of the paper's five strategies, and of the two that H4 is about, in place of a strategy
VALUES = ("aualc", "aualc_per_pixel", "border_share", "impurity")  # of each run; percent
# H1 to H3 of docs/plan.md
PLANNED = ("max beats mean per click", "OREAL max is the best of all eleven", "max asks more at true borders")
EXACT = "exact answers lift max - mean"  # H4
BESIDE = ("max beats mean per labeled pixel", "OREAL mean is the best of all eleven")  # planned, too, and not corrected for
DATA = {  # what data sets are called where people read
    "camvid": "CamVid",
    "labelmefacade": "LabelMeFacade",
    "toy (large_tools)": "drawn scenes",
    "toy (small_tools)": "drawn scenes, first version",
}


@dataclass(frozen=True, order=True)
class Study:
    """What the runs of one comparison share. count: superpixels per picture, as asked for.  budget: percent of the pool per step.
    dropped: whether labels that a first training contradicts were left out.  resized: whether count is not that of most runs on data."""

    data: str
    model: str
    count: int
    budget: float
    labeling: str
    dropped: bool = False
    resized: bool = False

    def __str__(self) -> str:
        more = f", {self.count} superpixels" * self.resized + f", {self.labeling} answers" * (self.labeling != "dominant")
        more += ", contradicted labels left out" * self.dropped
        return f"{DATA.get(self.data, self.data)}, {self.budget:.2g} % a step{more}"

    @property
    def plain(self) -> bool:
        """Whether labels are those of the paper, and all are learned from."""
        return self.labeling == "dominant" and not self.dropped

    @property
    def photographs(self) -> bool:
        """Whether its pictures are photographs, not drawn scenes."""
        return not self.data.startswith("toy")


def studies(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> dict[Study, pd.DataFrame]:
    """Study -> the rows of `frames.load` of its finished active runs and of full supervision B; those without B are left out.

    FileNotFoundError if none is left.
    """
    counts = pd.Series([c.superpixel_count for c in configs]).groupby([_data(c) for c in configs])
    usual = {data: count.mode().tolist()[0] for data, count in counts}
    asked: dict[Study, list[RunConfig]] = {}
    for c in configs:
        if c.supervision == "active" and c.stage == 1 and (folder := find(c, runs_dir)):
            pool = folder.done["pool"]
            budget = round(100 * pool["query_size"] / pool["superpixels"], 2)
            resized = c.superpixel_count != usual[_data(c)]
            study = Study(_data(c), c.model, c.superpixel_count, budget, c.labeling, c.drop_contradicted > 0, resized)
            asked.setdefault(study, []).append(c)
    found, references = {}, [c for c in configs if c.supervision == "full_dominant" and find(c, runs_dir)]
    for study in sorted(asked):
        same = [c for c in references if (_data(c), c.model, c.superpixel_count) == (study.data, study.model, study.count)]
        if same:
            found[study] = load([*same, *asked[study]], runs_dir)
    if not found:
        raise FileNotFoundError("no study has both finished runs and full supervision B; start them by `python -m oreal_lib run`")
    return found


def runs_of(frames: dict[Study, pd.DataFrame]) -> pd.DataFrame:
    """One row per active run of `studies`: the columns of `frames.per_run`, study, and impurity, percent of the pixels asked after the
    random step 1."""
    rows = []
    for study, frame in frames.items():
        later = frame[frame["step"] > 1].groupby("run_id")["impurity"].mean()
        runs = per_run(frame).assign(study=study)
        rows.append(runs.assign(impurity=100 * runs["run_id"].map(later)))
    return pd.concat(rows, ignore_index=True)


def _data(config: RunConfig) -> str:
    """The data set as the page calls it; of drawn scenes with their kind."""
    scene = config.data_options.get("scene")
    return f"{config.dataset} ({scene})" if scene else config.dataset


def gains(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per study and strategy, and AVERAGE where all five of the paper were run: max - mean of AuALC, paired by seed.

    runs: of `runs_of`.  Columns: those of `frames.interval` (points of AuALC); t_p, and holm, adjusted for all single strategies on
    photographs with the paper's labels (NaN for others); pixel_mean, pixel_low, pixel_high per labeled pixel; impurity_max,
    impurity_gain, border_share_gain (percent, max - mean), budget.
    """
    rows, each = {}, _differences(runs)
    for study in each.index.unique("study"):
        for key, part in _parts(each.loc[study], {AVERAGE: ASKING}):
            pixel = interval(part["aualc_per_pixel"].dropna())
            more = {f"pixel_{k}": pixel[k] for k in ("mean", "low", "high")}
            more |= {"impurity_max": part["impurity_max"].mean(), "budget": study.budget, "t_p": t_p(part["aualc"])}
            rows[study, key] = interval(part["aualc"]) | more | {f"{v}_gain": part[v].mean() for v in ("impurity", "border_share")}
    found = pd.DataFrame.from_dict(rows, orient="index")
    family = [study.plain and study.photographs and strategy != AVERAGE for study, strategy in found.index]
    return found.assign(holm=holm(found["t_p"].where(family))).rename_axis(["study", "strategy"])


def _differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Max - mean of the VALUES, and impurity_max: one row per study, strategy and seed that has both."""
    wide = runs.pivot(index=["study", "strategy", "seed"], columns="aggregate", values=list(VALUES))
    found = {v: wide[v, "max"] - wide[v, "mean"] for v in VALUES} | {"impurity_max": wide["impurity", "max"]}
    return pd.DataFrame(found).dropna(subset="aualc")


def _parts(there: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each group, and each strategy of the paper, with its mean by seed, of the seeds that have all of it. there: by strategy and seed."""
    for key, members in {**groups, **{s: (s,) for s in ASKING}}.items():
        of_seed = there[there.index.isin(members, level="strategy")].groupby("seed")
        if len(part := of_seed.mean()[of_seed.size() == len(members)]):
            yield key, part


def pooled(mean: Sequence[float], sd: Sequence[float], n: Sequence[int]) -> dict[str, float]:
    """A random-effects summary of k studies: k, mean, low, high (95 %), tau (between studies, same unit), predicted_low and _high.

    mean, sd, n: of each study, sd > 0, n > 1.  Between-study variance by Paule and Mandel (1982), interval by Hartung and Knapp
    (2001); predicted_*: where a new study would lie (Higgins et al., 2009). NaN where k < 2 (predicted: k < 3).
    """
    y, v, k = np.asarray(mean, float), np.asarray(sd, float) ** 2 / np.asarray(n), len(mean)
    if k < 2:
        unknown = dict.fromkeys(("low", "high", "tau", "predicted_low", "predicted_high"), np.nan)
        return {"k": k, "mean": float(y.mean()) if k else np.nan} | unknown

    def weighted(tau2: float) -> tuple[np.ndarray, float, float]:
        w = 1 / (v + tau2)
        center = float((w * y).sum() / w.sum())
        return w, center, float((w * (y - center) ** 2).sum()) - (k - 1)

    most = 10 * (np.var(y, ddof=1) + v.max())
    tau2 = optimize.brentq(lambda tau2: weighted(tau2)[2], 0, most) if weighted(0)[2] > 0 else 0.0
    w, center, excess = weighted(tau2)
    error = np.sqrt((1 + excess / (k - 1)) / w.sum())
    half = stats.t.ppf(0.975, k - 1) * error
    ahead = stats.t.ppf(0.975, k - 2) * np.sqrt(tau2 + error**2) if k > 2 else np.nan
    ends = {"low": center - half, "high": center + half, "predicted_low": center - ahead, "predicted_high": center + ahead}
    return {"k": k, "mean": center, "tau": float(np.sqrt(tau2))} | ends


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """`pooled` over the studies of photographs with dominant answers and the usual superpixels, one row per strategy and AVERAGE.
    found: of `gains`."""
    kept = [s.plain and s.photographs and not s.resized for s in found.index.get_level_values("study")]
    several = found[np.array(kept, bool) & (found["n"] > 1)].groupby(level="strategy", sort=False)
    return pd.DataFrame({strategy: pooled(d["mean"], d["sd"], d["n"]) for strategy, d in several}).T.rename_axis("strategy")


def answers(runs: pd.DataFrame) -> pd.DataFrame:
    """What exact answers change: one row per study with dominant answers that has a twin with exact ones, and PAIR, AVERAGE and strategy:
    dominant, exact (max - mean of AuALC) and their difference, each as of `frames.interval`, paired by seed, with t_p."""
    rows = {}
    gain = _differences(runs)["aualc"]
    for study in gain.index.unique("study"):
        twin = replace(study, labeling="exact")
        if not study.plain or twin not in gain.index.unique("study"):
            continue
        both = pd.DataFrame({"dominant": gain[study], "exact": gain[twin]}).dropna()
        both["difference"] = both["exact"] - both["dominant"]
        for key, part in _parts(both, {AVERAGE: ASKING, PAIR: ("bvsb", "oreal")}):
            rows[study, key] = {c: interval(part[c]) | {"t_p": t_p(part[c])} for c in both}
    index = pd.MultiIndex.from_tuples(list(rows), names=["study", "strategy"])
    return pd.DataFrame(list(rows.values()), index, columns=["dominant", "exact", "difference"])


def against_best(runs: pd.DataFrame, tuned_on: str = "camvid") -> tuple[str, pd.DataFrame]:
    """H6: the best of the paper's eleven columns on the data set where strategies are chosen, at 0.5 % a step; and one row per study and
    column that is not the paper's, or was trained without contradicted labels. "", and no row, where the eleven were not run.

    Each row: aualc, its mean and standard deviation, and three differences of AuALC, each as of `frames.interval` and paired by seed, with
    NaN where there is nothing to compare with: to that best column (chosen), to the best of the paper's in the same study (here), and to the
    same column trained with all labels (all_labels).
    """
    tuned = runs["study"].map(lambda s: s.plain and (s.data, s.budget) == (tuned_on, 0.5)).astype(bool)
    chosen = runs[tuned & runs["column"].isin(COLUMNS)]
    if set(chosen["column"]) != set(COLUMNS):
        return "", pd.DataFrame()
    best, rows = _best(chosen), {}
    for (study, column), mine in runs.groupby(["study", "column"]):
        if study.labeling != "dominant" or (column in COLUMNS and not study.dropped):
            continue
        own, there = mine.set_index("seed")["aualc"], runs[runs["study"] == replace(study, dropped=False)]
        here = _best(there[there["column"].isin(COLUMNS)])
        others = {"chosen": best, "here": here, "all_labels": column if study.dropped else ""}
        gain = {k: (own - there[there["column"] == c].set_index("seed")["aualc"]).dropna() for k, c in others.items()}
        rows[study, column] = {"aualc": {"mean": own.mean(), "sd": own.std()}} | {k: interval(d) for k, d in gain.items()}
    index = pd.MultiIndex.from_tuples(list(rows), names=["study", "column"])
    return best, pd.DataFrame(list(rows.values()), index, columns=["aualc", "chosen", "here", "all_labels"])


def _best(runs: pd.DataFrame) -> str:
    """The column with the highest mean AuALC; "" of none."""
    return str(runs.groupby("column")["aualc"].mean().idxmax()) if len(runs) else ""


def planned(frame: pd.DataFrame, answered: pd.Series) -> pd.DataFrame:
    """The four hypotheses of docs/plan.md on one study, and two beside them: those of `frames.interval`, p of the t-test, p after Holm
    for the four (NaN for the two), verdict.

    frame: of `studies`.  answered: its row of `answers`, of PAIR.
    """
    best = next(claim for claim in claims() if claim.name == PLANNED[1])
    by_mean = replace(best, name=BESIDE[1], pairs=tuple(("oreal mean", b) for b in COLUMNS if b != "oreal mean"))
    three = [*(claim for claim in claims() if claim.name in (*PLANNED, *BESIDE)), by_mean]
    judged = judge(frame, np.random.default_rng(0), three)[[*INTERVAL, "t_p"]]
    judged.loc[EXACT] = answered["difference"]
    judged = judged.loc[[*PLANNED, EXACT, *BESIDE]]
    judged["holm"] = holm(judged["t_p"].where(~judged.index.isin(BESIDE)))
    judged["verdict"] = list(map(verdict, judged["low"], judged["high"]))
    return judged.rename_axis("name")


def name(strategy: str) -> str:
    """A strategy, or the average, as readers know it."""
    return {AVERAGE: "average of the five", PAIR: "average of BvSB and OREAL"}.get(strategy) or title(strategy)


def planned_text(judged: pd.DataFrame) -> str:
    """The table of `planned` as readers see it."""
    heads = ["hypothesis", "verdict", "difference (95 %)", "n", "p", "p after Holm"]
    rows = []
    for number, (n, d) in zip(("H1", "H2", "H3", "H4", "H1b", "H2b"), judged.iterrows(), strict=True):
        corrected = "-" if np.isnan(d["holm"]) else f"{d['holm']:.3g}"
        rows.append([f"{number} {n}", d["verdict"], table.with_interval(d), str(int(d["n"])), f"{d['t_p']:.2g}", corrected])
    return table.paragraphs(table.markdown(heads, rows, left=(0, 1)))


def markdown(found: pd.DataFrame, answered: pd.DataFrame) -> str:
    """The tables of `gains`, `summary` and `answers` as readers see them."""
    rows = [
        {
            "study": str(study),
            "strategy": name(s),
            "max - mean, AuALC (95 %)": table.with_interval(d),
            "after Holm": "-" if np.isnan(d["holm"]) else f"{d['holm']:.2g}",
            "per labeled pixel": table.with_interval({"n": d["n"], **{k: d[f"pixel_{k}"] for k in ("mean", "low", "high")}}),
            "more on borders": table.number(d["border_share_gain"], "+"),
            "impurity of max's": table.number(d["impurity_max"]),
            "more than mean's": table.number(d["impurity_gain"], "+"),
            "n": str(int(d["n"])),
        }
        for (study, s), d in found.iterrows()
    ]
    parts = [
        _overview(found),
        f"Max - mean of AuALC in points (95 % interval), paired by seed. Bold: decided after Holm's correction for the {found['holm'].notna().sum()} differences of "
        "single strategies on photographs.",
        "By study; borders and impurity in percent, of what was asked after step 1. *After Holm*: the p of that correction. *Impurity*: pixels that one "
        "label per superpixel gets wrong in what max asks, and how many more than in what mean asks.",
        table.markdown(list(rows[0]), map(dict.values, rows), left=(0, 1)),
    ]
    lines = []
    for s, d in summary(found).iterrows():
        ahead = f"{d['predicted_low']:+.1f} to {d['predicted_high']:+.1f}" if d["k"] > 2 else "-"
        lines.append([name(s), str(int(d["k"])), table.with_interval({"n": d["k"], **d}), table.number(d["tau"]), ahead])
    parts.append("**Over photographs**, random effects; budgets of one data set share pictures and are not independent:")
    parts.append(table.markdown(["strategy", "studies", "max - mean (95 %)", "tau", "a new study (95 %)"], lines))
    if len(answered):
        lines = [[str(st), name(s), *map(table.with_interval, d), str(d["difference"]["n"])] for (st, s), d in answered.iterrows()]
        heads = ["study", "strategy", "max - mean: dominant answers", "exact answers", "exact - dominant", "n"]
        parts.append("**Answered by the mask itself** (no person does that with one click):")
        parts.append(table.markdown(heads, lines, left=(0, 1)))
    return table.paragraphs(*parts)


def _overview(found: pd.DataFrame) -> str:
    """The gains of `gains`, a row per study with the paper's labels and a column per strategy."""
    keys, cells = (AVERAGE, *ASKING), {}
    for (study, s), d in found.iterrows():
        if study.plain:
            text = table.with_interval(d).replace(" ", "<br>", 1)  # two lines: seven columns are wide
            cells.setdefault(study, dict.fromkeys(keys, ""))[s] = f"**{text}**" if d["holm"] < 0.05 else text
    rows = [[str(study), *of.values()] for study, of in cells.items()]
    return table.markdown(["study", *map(name, keys)], rows)


def against_best_text(best: str, found: pd.DataFrame) -> str:
    """The table of `against_best` as readers see it."""
    minus = [f"minus {title(best)} (95 %)", "minus the paper's best there", "minus itself with all labels"]
    rows = []
    for (study, column), d in found.iterrows():
        gains = (table.with_interval(d[k]) if d[k]["n"] else "-" for k in ("chosen", "here", "all_labels"))
        spread = f"{table.number(d['aualc']['mean'])} ± {table.number(d['aualc']['sd'])}"
        rows.append([str(study), title(column), spread, *gains, str(d["here"]["n"])])
    return table.paragraphs(table.markdown(["study", "column", "AuALC", *minus, "n"], rows, left=(0, 1)))


def to_csv(found: pd.DataFrame) -> str:
    """The table of `gains` with the parts of each study as columns."""
    flat = found.reset_index()
    parts = pd.DataFrame([vars(s) for s in flat.pop("study")])
    return pd.concat([parts.drop(columns="budget"), flat], axis=1).round(4).to_csv(index=False)
