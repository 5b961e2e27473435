"""Why max should beat mean, measured: what was asked (borders, owed classes, large superpixels) and where it helped.

The first half reads step records only; `correlations` needs the stored networks of step 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..aggregate import Regions
from ..balance import class_debt
from ..config import RunConfig
from ..draw import title
from ..experiments.run_folder import RunFolder
from ..metrics import query_deviation
from ..predict import choose_device, predict
from ..scores import bvsb, entropy, ovr_entropy
from ..setting import network, open_setting
from ..storage.paths import runs_root
from ..storage.progress import told
from ..types import some
from .frames import cell, interval, paired
from .frames import networks as separate
from .frames import per_run as of_results

AGGREGATIONS = ("mean", "top_0.5", "top_0.25", "top_0.1", "quantile_0.9", "power_4", "power_16", "max")
SCORES = {"bvsb": bvsb, "entropy": entropy, "ovr_entropy": ovr_entropy}
SCORE_NAMES = {"bvsb": "BvSB", "entropy": "entropy", "ovr_entropy": "one-vs-rest entropy"}
NO_NETWORK = (
    "The correlation with superpixel size was not computed: none of these runs has its network of step 1 here; "
    "run the grid here with keep_weights: all."
)
MEASURES = {  # of per_run -> heading, digits
    "border_share": ("asked on a border (%)", 1),
    "deviation": ("distance from the debts (0 to 1)", 2),
    "unpayable": ("of it: not to be had in the pool", 2),
    "imbalance": ("imbalance at the end (0 to 1)", 2),
    "size": ("size of the asked (pool = 1)", 2),
    "near": ("mIoU near borders", 1),
    "inside": ("mIoU inside", 1),
}
GAINS = {"near": "near borders", "inside": "inside", "near_minus_inside": "near borders minus inside"}


def by_network(frame: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """The frame of `results.load`, taken apart by data set and network: figures' name -> frame. Where there is only one, it has
    the plain name; those without an active run are left out."""
    parts = {"_".join([name, *where]): part for where, part in separate(frame).items()}
    parts = {name: frame} if len(parts) == 1 else parts
    return {name: part for name, part in parts.items() if len(_active(part))}


def debts(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per active run, step after the random first, and class: how many labels the class was owed (OREAL Eq. 3 from what
    the run had bought before, for the clicks it then spent), how many came, and how many the pool still had to give.

    frame: of `results.load`.  Columns: run_id, column, seed, step, class, owed, came (int), left (float; NaN unless the seed's
    full supervision B, which bought everything, was run). A strategy that pays no debts has them, too: they say what would
    have balanced its labels.
    """
    parts, everything = [], _in_the_pool(frame)
    for run_id, run in _active(frame).sort_values("step").groupby("run_id", sort=False):
        steps = list(run.itertuples())
        for before, now in pairwise(steps):
            counts = np.array(before.class_counts)
            names = now.classes if isinstance(now.classes, list | tuple) else [f"class {c}" for c in range(len(counts))]
            owed = class_debt(counts, now.clicks - before.clicks)
            same = {"run_id": run_id, "column": now.column, "seed": now.seed, "step": now.step}
            came = np.array(now.class_counts) - counts
            left = everything.get((now.labeling, now.seed), np.full(len(counts), np.nan)) - counts
            parts.append(pd.DataFrame({"class": names, "owed": owed, "came": came, "left": left}).assign(**same))
    return (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run_id", "step", "class", "owed", "came", "left"])
    )


def by_step(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per active run and step: run_id, column, strategy, seed, step and

    border_share (%): of the superpixels asked in this step, those on a true class border.  deviation (0..1): how far the labels
    that came are from the class debts, see `metrics.query_deviation`; NaN in the random step 1.  unpayable (0..1): share of the
    debts that nobody could pay, since the pool had too few left: below it no deviation can fall.  imbalance (0..1) of all labels
    so far.  size: of the superpixels asked in this step on average, the pool's average being 1.  near, inside (%): mIoU in the
    band around true class borders, and outside of it (NaN in records older than that field).
    """
    runs = _active(frame).sort_values(["run_id", "step"])
    first = runs["step"] == 1
    gained = {v: runs.groupby("run_id")[v].diff().where(~first, runs[v]) for v in ("labeled_pixels", "labeled_fraction")}
    deviation, unpayable = {}, {}
    for key, d in debts(frame).groupby(["run_id", "step"]):
        deviation[key] = query_deviation(d["came"], d["owed"])
        unpayable[key] = (d["owed"] - d["left"]).clip(lower=0).sum(skipna=False) / d["owed"].sum()
    keys = list(zip(runs["run_id"], runs["step"], strict=True))
    return runs[["run_id", "column", "strategy", "seed", "step", "imbalance"]].assign(
        border_share=100 * runs["border_share"].astype(float),
        deviation=[deviation.get(key, np.nan) for key in keys],
        unpayable=[unpayable.get(key, np.nan) for key in keys],
        size=gained["labeled_pixels"] / gained["labeled_fraction"],
        near=100 * runs["boundary_miou"],
        inside=100 * runs["inside_miou"],
    )


def per_run(frame: pd.DataFrame) -> pd.DataFrame:
    """`results.per_run` and, as means over the steps after the first (which all strategies of a seed share): deviation,
    unpayable, size, near, inside, as in `by_step`, and near_minus_inside (points)."""
    later = by_step(frame).query("step > 1")
    means = later.groupby("run_id")[["deviation", "unpayable", "size", "near", "inside"]].mean().reset_index()
    means["near_minus_inside"] = means["near"] - means["inside"]
    return of_results(frame).merge(means, on="run_id", how="left")


def gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Max minus mean in points of mIoU, paired by seed, where the pixels are near borders, inside, and the first minus the
    second: n, mean, sd, low, high (95 % t-interval), favor. One row per (strategy, where). runs: of `per_run`."""
    known = {where: paired(runs, where) for where in GAINS if runs[where].notna().any()}
    known = {where: table for where, table in known.items() if len(table)}
    if not known:
        return pd.DataFrame(columns=["n", "mean", "sd", "low", "high", "favor"])
    return pd.concat(known, names=["where", "strategy"]).swaplevel().sort_index(level=0, sort_remaining=False)


def markdown(runs: pd.DataFrame, columns: Sequence[str]) -> str:
    """What was asked and where it helped, one row per column in the order given (mean ± sample sd over seeds), and beneath it the
    gains of max over mean. runs: of `per_run`."""
    shown = {v: about for v, about in MEASURES.items() if runs[v].notna().any()}
    lines = ["| strategy | " + " | ".join(name for name, _ in shown.values()) + " | n |", "|---" + "|---:" * (len(shown) + 1) + "|"]
    for column in columns:
        mine = runs[runs["column"] == column]
        cells = [cell(mine[v].mean(skipna=False), mine[v].std(ddof=1, skipna=False), digits) for v, (_, digits) in shown.items()]
        lines.append(f"| {title(column)} | " + " | ".join(cells if len(mine) else ["not run"] * len(shown)) + f" | {len(mine)} |")
    lines += ["", "Means over the steps after the random first one, imbalance after the last; mean ± sd over seeds."]
    if not runs["inside"].notna().any():
        lines += ["", "These records are older than the mIoU inside objects, so nothing is said about it."]
    for where, name in GAINS.items():
        table = gains(runs)
        if where in table.index.get_level_values("where"):
            lines += ["", f"Max minus mean, points of mIoU {name}, paired by seed:", ""]
            lines += [f"- {title(strategy)}: {difference(d)}" for strategy, d in table.xs(where, level="where").iterrows()]
    return "\n".join(lines) + "\n"


def difference(d: pd.Series, digits: int = 1) -> str:
    """A row of `interval` in words: "+1.2 (n = 5, above 0 in 4, 95 % interval -0.3 to +2.7)"."""
    spread = f", 95 % interval {d['low']:+.{digits}f} to {d['high']:+.{digits}f}" if d["n"] > 1 else ", no spread, no evidence"
    return f"{d['mean']:+.{digits}f} (n = {int(d['n'])}, above 0 in {int(d['favor'])}{spread})"


def networks(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> dict[RunFolder, RunConfig]:
    """Folders with a stored network of step 1, one for each data set, model and seed (there all strategies share it), and
    the finished runs of `configs` they belong to. Empty where no network was kept."""
    root, found = Path(runs_dir or runs_root()), {}
    for config in configs:
        key = config.dataset, config.model, config.seed
        if key in found or config.supervision != "active" or config.stage != 1 or RunFolder(root / config.run_id).done is None:
            continue
        for one in (config, config.step_one):  # with keep_weights: last only the run that is step 1 alone has it
            folder = RunFolder(root / one.run_id) if one else None
            if folder and (folder.path / "weights_step1.safetensors").is_file():
                found[key] = folder, config
                break
    return dict(found.values())


def correlations(stored: dict[RunFolder, RunConfig], hows: Sequence[str] = AGGREGATIONS, n_images: int = 80) -> pd.DataFrame:
    """Spearman's rank correlations over the superpixels of an image of the acquisition, as network of step 1 gives it, with their
    size, and with the acquisition by max.

    stored: of `networks`.  hows: aggregations, "max" among them.  n_images: of each pool, at equal distances.
    Columns: run_id, seed, image (position in the pool), score, aggregate, with_size, with_max (-1..1; NaN where all values are
    equal). For the one-vs-rest entropy, which OREAL ranks class by class, means over the classes.
    """
    parts = []
    for folder, config in stored.items():
        setting = open_setting(config)
        places = np.unique(np.linspace(0, len(setting.pool) - 1, min(n_images, len(setting.pool))).round().astype(int))
        model = network(config, len(setting.dataset.classes))
        model.load_state_dict(folder.weights(1))
        model.to(choose_device(config.device))
        images, superpixels = some(setting.dataset.images, setting.pool[places]), setting.superpixels.subset(places)
        seen = told(
            predict(model, images, config.eval_batch_size), f"{folder.path.name}: {{done}} of {{total}} images", len(images)
        )
        regions = Regions(lambda seen=seen: seen, superpixels, len(setting.dataset.classes))  # one pass: all is asked together
        questions = [(score, how) for score in SCORES for how in hows]
        answers = dict(zip(questions, regions.together(*((SCORES[score], how) for score, how in questions)), strict=True))
        for i, place in enumerate(told(places, f"{folder.path.name}: ranks of {{done}} of {{total}} images")):
            mine = slice(superpixels.offset[i], superpixels.offset[i + 1])
            table = of_image({question: answer[mine] for question, answer in answers.items()}, superpixels.size[mine])
            parts.append(table.assign(run_id=config.run_id, seed=config.seed, image=place))
    return pd.concat(parts, ignore_index=True)


def of_image(answers: dict[tuple[str, str], np.ndarray], size: np.ndarray) -> pd.DataFrame:
    """score, aggregate, with_size, with_max of one image. answers: (score, aggregation) -> acquisitions (n, K).  size: (n,)."""
    size_rank = pd.Series(size).rank()
    ranks = {question: pd.DataFrame(answer).rank() for question, answer in answers.items()}
    rows = []
    with np.errstate(invalid="ignore", divide="ignore"):  # where all values are equal there is no correlation
        for (score, how), rank in ranks.items():
            same = {"score": score, "aggregate": how}
            largest = ranks[score, "max"]
            rows.append(same | {"with_size": rank.corrwith(size_rank).mean(), "with_max": rank.corrwith(largest).mean()})
    return pd.DataFrame(rows)


def correlation_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Of `correlations`, by score and aggregation in their order there: median over images and seeds, the lowest and the highest
    of the seeds' own medians (<value>_median, <value>_low, <value>_high), n_seeds, n_images."""
    values, keys = ["with_size", "with_max"], ["score", "aggregate"]
    whole = table.groupby(keys, sort=False)[values].median().add_suffix("_median")
    seeds = table.groupby([*keys, "seed"], sort=False)[values].median().groupby(keys, sort=False)
    count = table.groupby(keys, sort=False).agg(n_seeds=("seed", "nunique"), n_images=("image", "size"))
    return pd.concat([whole, seeds.min().add_suffix("_low"), seeds.max().add_suffix("_high"), count], axis=1).reset_index()


def correlation_text(table: pd.DataFrame) -> str:
    """Of `correlations`: by how much max ranks by size more than mean does, the seeds' medians paired; a line per score."""
    medians = table.groupby(["score", "seed", "aggregate"], sort=False)["with_size"].median().unstack("aggregate")
    gains = {score: pd.Series(interval(d["max"] - d["mean"])) for score, d in medians.groupby(level="score", sort=False)}
    lines = ["Rank correlation of acquisition and superpixel size, max minus mean, paired by seed (n):", ""]
    return "\n".join(lines + [f"- {SCORE_NAMES[score]}: {difference(d, 2)}" for score, d in gains.items()]) + "\n"


def _in_the_pool(frame: pd.DataFrame) -> dict[tuple[str, int], np.ndarray]:
    """(labeling, seed) -> superpixels (C,) of each class in the pool, where the run that buys all of them is known."""
    bought = frame[frame["column"] == "full_dominant"]
    return {(run.labeling, run.seed): np.array(run.class_counts) for run in bought.itertuples()}


def _active(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["column"].str.startswith("full_")]
