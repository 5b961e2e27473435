"""Why max should beat mean, measured: what was asked (borders, owed classes, large superpixels) and where it helped.

The first half reads step records only; `correlations` needs the stored networks of step 1.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..balance import class_debt
from ..config import RunConfig
from ..draw import title
from ..experiments.run_folder import RunFolder
from ..loop import view_of_pool
from ..scores import bvsb, entropy, ovr_entropy
from ..setting import open_setting
from ..storage.devices import choose_device
from ..storage.paths import runs_root
from ..storage.progress import lines_begin, told
from . import frames, table
from .frames import INTERVAL, active, full, interval

AGGREGATIONS = ("mean", "top_0.5", "top_0.25", "top_0.1", "quantile_0.9", "power_4", "power_16", "max")
SCORES = {"bvsb": bvsb, "entropy": entropy, "ovr_entropy": ovr_entropy}
SCORE_NAMES = {"bvsb": "BvSB", "entropy": "entropy", "ovr_entropy": "one-vs-rest entropy"}
NO_NETWORK = (
    "The correlation with superpixel size was not computed: none of these runs has its network of step 1 here; "
    "run the grid here with keep_weights: all."
)
MEASURES = {  # of measures -> heading, digits
    "border_share": ("asked on a border (%)", 1),
    "deviation": ("distance from the debts (0 to 1)", 2),
    "unpayable": ("of it: not to be had in the pool", 2),
    "imbalance": ("imbalance at the end (0 to 1)", 2),
    "size": ("size of the asked (pool = 1)", 2),
    "near": ("mIoU near borders", 1),
    "inside": ("mIoU inside", 1),
}
GAINS = {"near": "near borders", "inside": "inside", "near_minus_inside": "near borders minus inside"}


def query_deviation(gained: np.ndarray, debt: np.ndarray) -> float:
    """How far the labels gained (C,) are from what each class was owed (C,), 0 = exactly, 1 = all elsewhere; our measure."""
    gained, debt = np.asarray(gained, float), np.asarray(debt, float)
    return float(np.abs(gained - debt).sum() / (2 * debt.sum()))


def by_network(frame: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """The frame of `frames.load` by data set and network: figures' name -> frame. Where there is only one, it has the plain name;
    those without an active run are left out."""
    parts = frames.networks(frame)
    return {"_".join([name, *where * (len(parts) > 1)]): part for where, part in parts.items() if len(active(part))}


def debts(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per active run, step after the random first, and class: how many labels the class was owed (OREAL Eq. 3 from what
    the run had bought before, for the clicks it then spent), how many came, and how many the pool still had to give.

    frame: of `frames.load`.  Columns: run_id, column, seed, step, class, owed, came (int), left (float; NaN unless the seed's
    full supervision B, which bought everything, was run). A strategy that pays no debts has them, too: they say what would
    have balanced its labels.
    """
    everything = {(run.labeling, run.seed): np.array(run.class_counts) for run in full(frame).itertuples()}  # of the pool
    rows = []
    for _, run in active(frame).sort_values("step").groupby("run_id", sort=False):
        for before, now in pairwise(run.itertuples()):
            counts = np.array(before.class_counts)
            owed = class_debt(counts, now.clicks - before.clicks)
            came = np.array(now.class_counts) - counts
            left = everything.get((now.labeling, now.seed), np.full(len(counts), np.nan)) - counts
            of_class = zip(now.classes, owed, came, left, strict=True)
            rows += [(now.run_id, now.column, now.seed, now.step, *of) for of in of_class]
    return pd.DataFrame(rows, columns=["run_id", "column", "seed", "step", "class", "owed", "came", "left"])


def by_step(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per active run and step: run_id, column, strategy, aggregate, seed, step and

    border_share (%): of the superpixels asked in this step, those on a true class border.  deviation (0..1): how far the labels
    that came are from the class debts, see `query_deviation`; NaN in the random step 1.  unpayable (0..1): share of the
    debts that nobody could pay, since the pool had too few left: below it no deviation can fall.  imbalance (0..1) of all labels
    so far.  size: of the superpixels asked in this step on average, the pool's average being 1.  near, inside (%): mIoU in the
    band around true class borders, and outside of it (NaN in records older than that field).
    """
    runs = active(frame).sort_values(["run_id", "step"])
    first = runs["step"] == 1
    gained = {v: runs.groupby("run_id")[v].diff().where(~first, runs[v]) for v in ("labeled_pixels", "labeled_fraction")}
    deviation, unpayable = {}, {}
    for key, d in debts(frame).groupby(["run_id", "step"]):
        deviation[key] = query_deviation(d["came"], d["owed"])
        unpayable[key] = (d["owed"] - d["left"]).clip(lower=0).sum(skipna=False) / d["owed"].sum()
    keys = list(zip(runs["run_id"], runs["step"], strict=True))
    return runs[["run_id", "column", "strategy", "aggregate", "seed", "step", "imbalance"]].assign(
        border_share=100 * runs["border_share"].astype(float),
        deviation=[deviation.get(key, np.nan) for key in keys],
        unpayable=[unpayable.get(key, np.nan) for key in keys],
        size=gained["labeled_pixels"] / gained["labeled_fraction"],
        near=100 * runs["boundary_miou"],
        inside=100 * runs["inside_miou"],
    )


def measures(frame: pd.DataFrame) -> pd.DataFrame:
    """`frames.per_run` and, as means over the steps after the first (which all strategies of a seed share): deviation,
    unpayable, size, near, inside, as in `by_step`, and near_minus_inside (points)."""
    later = by_step(frame).query("step > 1")
    means = later.groupby("run_id")[["deviation", "unpayable", "size", "near", "inside"]].mean().reset_index()
    means["near_minus_inside"] = means["near"] - means["inside"]
    return frames.per_run(frame).merge(means, on="run_id", how="left")


def gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Max minus mean in points of mIoU, paired by seed, where the pixels are near borders, inside, and the first minus the
    second: n, mean, sd, low, high (95 % t-interval), favor. One row per (strategy, where). runs: of `measures`."""
    known = {where: found for where in GAINS if runs[where].notna().any() and len(found := frames.paired(runs, where))}
    if not known:
        return pd.DataFrame(columns=INTERVAL)
    return pd.concat(known, names=["where", "strategy"]).swaplevel().sort_index(level=0, sort_remaining=False)


def markdown(runs: pd.DataFrame, columns: Sequence[str]) -> str:
    """What was asked and where it helped, one row per column in the order given (mean ± sample sd over seeds), and beneath it the
    gains of max over mean. runs: of `measures`."""
    shown, rows, gained = {v: about for v, about in MEASURES.items() if runs[v].notna().any()}, [], gains(runs)
    for column in columns:
        mine = runs[runs["column"] == column]
        cells = [table.with_sd(mine[v].mean(skipna=False), mine[v].std(ddof=1, skipna=False), n) for v, (_, n) in shown.items()]
        rows.append([title(column), *(cells if len(mine) else [table.NOT_RUN] * len(shown)), str(len(mine))])
    parts = [table.markdown(["strategy", *(name for name, _ in shown.values()), "n"], rows)]
    parts.append("Means over the steps after the random first one, imbalance after the last; mean ± sd over seeds.")
    if "inside" not in shown:
        parts.append("These records are older than the mIoU inside objects, so nothing is said about it.")
    for where, name in GAINS.items():
        if where in gained.index.get_level_values("where"):
            parts.append(f"Max minus mean, points of mIoU {name}, paired by seed:")
            of = gained.xs(where, level="where")
            parts.append("\n".join(f"- {title(strategy)}: {table.in_words(d)}" for strategy, d in of.iterrows()))
    return table.paragraphs(*parts)


def kept_networks(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> dict[RunFolder, RunConfig]:
    """Folders with a stored network of step 1, one for each data set, model and seed (there all strategies share it), and
    the finished runs of `configs` they belong to. Empty where no network was kept."""
    root, found = Path(runs_dir or runs_root()), {}
    for config in configs:
        key, folder = (config.dataset, config.model, config.seed), RunFolder(root / config.run_id)
        asks = config.supervision == "active" and config.stage == 1
        if key not in found and asks and folder.done is not None and (kept := folder.network_before(2)):
            found[key] = kept, config
    return dict(found.values())


def correlations(stored: dict[RunFolder, RunConfig], hows: Sequence[str] = AGGREGATIONS, n_images: int = 80) -> pd.DataFrame:
    """Spearman's rank correlations over the superpixels of an image of the acquisition, as network of step 1 gives it, with their
    size, and with the acquisition by max.

    stored: of `kept_networks`.  hows: aggregations, "max" among them.  n_images: of each pool, at equal distances.
    Columns: run_id, seed, image (position in the pool), score, aggregate, with_size, with_max (-1..1; NaN where all values are
    equal). For the one-vs-rest entropy, which OREAL ranks class by class, means over the classes.
    """
    parts = []
    for folder, config in stored.items():
        setting = open_setting(config)
        places = np.unique(np.linspace(0, len(setting.pool) - 1, min(n_images, len(setting.pool))).round().astype(int))
        model = setting.network(config)
        model.load_state_dict(folder.weights(1))
        model.to(choose_device(config.device))
        questions = [(score, how) for score in SCORES for how in hows]
        with lines_begin(f"{folder.path.name}: "):
            regions = view_of_pool(setting, model, config, places)
            answers = dict(zip(questions, regions.together(*((SCORES[score], how) for score, how in questions)), strict=True))
            offset, size = regions.superpixels.offset, regions.superpixels.size
            for i, place in enumerate(told(places, "ranks of {done} of {total} images")):
                mine = slice(offset[i], offset[i + 1])
                ranked = of_image({question: answer[mine] for question, answer in answers.items()}, size[mine])
                parts.append(ranked.assign(run_id=config.run_id, seed=config.seed, image=place))
    return pd.concat(parts, ignore_index=True)


def of_image(answers: dict[tuple[str, str], np.ndarray], size: np.ndarray) -> pd.DataFrame:
    """score, aggregate, with_size, with_max of one image. answers: (score, aggregation) -> acquisitions (n, K).  size: (n,)."""
    size_rank = pd.Series(size).rank()
    ranks = {question: pd.DataFrame(answer).rank() for question, answer in answers.items()}
    with np.errstate(invalid="ignore", divide="ignore"):  # where all values are equal there is no correlation
        with_size = [rank.corrwith(size_rank).mean() for rank in ranks.values()]
        with_max = [rank.corrwith(ranks[score, "max"]).mean() for (score, _), rank in ranks.items()]
    found = pd.DataFrame(list(answers), columns=["score", "aggregate"])
    return found.assign(with_size=with_size, with_max=with_max)


def correlation_summary(found: pd.DataFrame) -> pd.DataFrame:
    """Of `correlations`, by score and aggregation in their order there: median over images and seeds, the lowest and the highest
    of the seeds' own medians (<value>_median, <value>_low, <value>_high), n_seeds, n_images."""
    values, keys = ["with_size", "with_max"], ["score", "aggregate"]
    whole = found.groupby(keys, sort=False)[values].median().add_suffix("_median")
    seeds = found.groupby([*keys, "seed"], sort=False)[values].median().groupby(keys, sort=False)
    count = found.groupby(keys, sort=False).agg(n_seeds=("seed", "nunique"), n_images=("image", "size"))
    return pd.concat([whole, seeds.min().add_suffix("_low"), seeds.max().add_suffix("_high"), count], axis=1).reset_index()


def correlation_text(found: pd.DataFrame) -> str:
    """Of `correlations`: by how much max ranks by size more than mean does, the seeds' medians paired; a line per score."""
    medians = found.groupby(["score", "seed", "aggregate"], sort=False)["with_size"].median().unstack("aggregate")
    differences = (medians["max"] - medians["mean"]).groupby(level="score", sort=False)
    lines = [f"- {SCORE_NAMES[score]}: {table.in_words(interval(d), digits=2)}" for score, d in differences]
    heading = "Rank correlation of acquisition and superpixel size, max minus mean, paired by seed (n):"
    return table.paragraphs(heading, "\n".join(lines))
