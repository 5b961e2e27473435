"""From run folders to tables: every number carries its runs, its n and its spread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy import stats

from ..config import RunConfig
from ..draw import title
from ..experiments.records import find
from ..metrics import aualc, fraction_to_reach, imbalance
from ..storage import atomic
from ..storage.paths import figures_root
from ..storage.provenance import versions

NETWORK = ("dataset", "model")  # columns of a frame: runs that share both share their full supervision


def load(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> pd.DataFrame:
    """One row per finished run and step: the fields of StepResult, and run_id, column, labeling ("dominant" or "weak",
    and ", stage 2"), seed, device, imbalance, and classes and labels of done.json (see `label_cost`).

    Runs that are not finished have no rows; compare with `configs` to see which. FileNotFoundError if none is.
    """
    rows = []
    for config in configs:
        folder = find(config, runs_dir)
        if folder is None:
            continue
        same = {
            "run_id": config.run_id,
            "dataset": config.dataset,
            "model": config.model,
            "column": config.column,
            "strategy": config.strategy if config.supervision == "active" else config.supervision,
            "aggregate": config.aggregate,
            "labeling": config.labeling + ", stage 2" * (config.stage == 2),
            "setting": setting_line(config),
            "data_options": json.dumps(config.data_options, sort_keys=True),
            "seed": config.seed,
            "device": folder.done["device"] + (", bfloat16" if folder.done.get("precision") == "bfloat16" else ""),
            "commit": folder.done["commit"],
            "classes": folder.done.get("classes"),
            "labels": folder.done.get("labels"),
        }
        for step in folder.steps():
            rows.append(same | asdict(step) | {"imbalance": imbalance(np.array(step.class_counts))})
    if not rows:
        raise FileNotFoundError(f"none of the {len(configs)} runs is finished; start them with `python -m oreal_lib run <grid>`")
    return pd.DataFrame(rows)


def setting_line(config: RunConfig) -> str:
    """What a reader must know of a run before comparing its numbers with others."""
    start = {"none": "from scratch", "imagenet": "ImageNet weights"}.get(config.weights, "weights of a file")
    size = f"{config.width} x {config.height}, " if config.width else ""
    native = ", tested at native size" if config.evaluate_at == "native" else ""
    model = f"{config.model} with cosine classifier" if config.classifier == "cosine" else config.model
    return f"{config.dataset}, {size}{model} {start}, at most {config.max_epochs} epochs per step{native}"


def networks(frame: pd.DataFrame) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of each (dataset, model), in the order of `frame`: what has full supervision of its own and a table of its own."""
    return dict(iter(frame.groupby([key for key in NETWORK if key in frame], sort=False)))


def _by_network(one: Callable[[pd.DataFrame], pd.DataFrame], runs: pd.DataFrame, row: str) -> pd.DataFrame:
    """The result of `one` for the runs of one network; for several, theirs with dataset and model before the index `row`."""
    parts = {where: one(mine) for where, mine in networks(runs).items()}
    return pd.concat(parts, names=[*NETWORK, row]) if len(parts) > 1 else next(iter(parts.values()))


def full_score(frame: pd.DataFrame, which: str = "full_dominant", value: str = "miou") -> float:
    """Mean over seeds of a full-supervision reference; NaN if it was not run. B ("full_dominant") is 100 % of AuALC.

    Raises ValueError for references of several data sets or models: a mean over these is the reference of none.
    """
    full = frame[frame["column"] == which]
    if len(found := networks(full)) > 1:
        names = "; ".join(", ".join(where) for where in found)
        raise ValueError(f"{which!r} was run for {names}, but a reference is of one of these; take one of results.networks(frame)")
    return float(full[value].mean())


def per_run(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per active run, with its dataset and model; in percent where not said otherwise:

    aualc: area under the mIoU curve over clicks, of the full supervision B of the same dataset and model, its mean over the
    seeds; where seeds have data of their own (data_options), of that data's. aualc_per_pixel:
    over labeled pixels, on the range that all runs of the seed cover. miou, boundary_miou, inside_miou (NaN in old records),
    labeled_pixels: of the last step. to_95: labeled fraction that reaches 95 % of B, NaN if none does. border_share: of the
    superpixels asked after the random step 1, those on a true class border. imbalance (0..1) and epochs (number) of the whole run.
    ValueError if only full supervision is finished, or two runs would pass for one.
    """
    runs = pd.DataFrame(
        [row for network in networks(frame).values() for mine in of_one_data(network) for row in _rows_of_one(mine)]
    )
    if runs.empty:
        raise ValueError("only full supervision is finished, and a table is about the other runs; finish one of them")
    twice = runs[runs.duplicated([key for key in (*NETWORK, "column", "seed") if key in runs], keep=False)]
    if len(twice):
        raise ValueError(
            f"two runs are both {twice['column'].iloc[0]!r}, seed {twice['seed'].iloc[0]} ({', '.join(twice['run_id'])}); a table "
            "tells runs apart by data set, model, strategy, aggregation and seed only: make one grid for each setting"
        )
    return runs


def of_one_data(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each `data_options`: runs whose mIoU is measured on the same pictures."""
    return [part for _, part in frame.groupby("data_options", sort=False)] if "data_options" in frame else [frame]


def _rows_of_one(frame: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The rows of `per_run` for the runs of one network on the same data."""
    full = full_score(frame)
    where = {key: frame[key].iloc[0] for key in NETWORK if key in frame}
    active = frame[~frame["column"].str.startswith("full_")].sort_values("step")
    for seed, same_seed in active.groupby("seed"):
        pixels = same_seed.groupby("run_id")["labeled_pixels"]
        common = np.linspace(pixels.min().max(), pixels.max().min(), 101)
        for (column, run_id), run in same_seed.groupby(["column", "run_id"]):
            last, has_area = run.iloc[-1], full > 0 and len(run) > 1
            at_common = np.interp(common, run["labeled_pixels"], run["miou"])
            yield where | {
                "column": column,
                "seed": seed,
                "run_id": run_id,
                "aualc": aualc(run["clicks"], run["miou"], full) if has_area else np.nan,
                "aualc_per_pixel": aualc(common, at_common, full) if has_area and common[0] < common[-1] else np.nan,
                "miou": 100 * last["miou"],
                "boundary_miou": 100 * last["boundary_miou"],
                "inside_miou": 100 * last.get("inside_miou", np.nan),
                "to_95": 100 * fraction_to_reach(run["labeled_fraction"], run["miou"], 0.95 * full) if full > 0 else np.nan,
                "labeled_pixels": 100 * last["labeled_pixels"],
                "border_share": 100 * run.loc[run["step"] > 1, "border_share"].astype(float).mean(),
                "imbalance": last["imbalance"],
                "epochs": int(run["epochs"].sum()),
            }


def total_seconds(frame: pd.DataFrame) -> dict[str, float]:
    """Phase ("query", "train", "test") -> seconds of all runs and steps, each counted once.

    A step that was taken from another run (from_run) counts 0: its time is that run's, so load `Grid.all_runs` for a whole grid.
    """
    steps = frame.drop_duplicates(["run_id", "step"])
    if "from_run" in steps:
        steps = steps[steps["from_run"].fillna("") == ""]
    return {phase: float(s) for phase, s in pd.DataFrame(steps["seconds"].tolist(), dtype=float).sum().items()}


def table(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds of each value of `per_run`, one row per column, in the order given.

    Columns of the result: n, then <value>_mean and <value>_sd (NaN for n = 1), and to_95_reached, the number of runs that
    reached 95 %: to_95 has a mean only if all did. A column without runs has n = 0. Of several networks each has all these
    rows, and dataset and model stand before column in the index.
    """
    return _by_network(partial(_table_of_one, columns=columns), runs, "column")


def _table_of_one(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    values = [v for v in runs.columns if v not in (*NETWORK, "column", "seed", "run_id")]
    rows = []
    for column in columns:
        mine = runs[runs["column"] == column]
        row = {"column": column, "n": len(mine), "to_95_reached": int(mine["to_95"].notna().sum())}
        for v in values:
            row |= {f"{v}_mean": mine[v].mean(skipna=False), f"{v}_sd": mine[v].std(ddof=1, skipna=False)}
        rows.append(row)
    return pd.DataFrame(rows).set_index("column")


def paired(runs: pd.DataFrame, value: str = "aualc", a: str = "max", b: str = "mean") -> pd.DataFrame:
    """Differences a - b of each strategy, paired by seed: n, mean, sd, 95 % t-interval, and how many seeds favor a.

    Of several networks each has these rows, and dataset and model stand before the strategy in the index.
    """
    return _by_network(partial(_paired_of_one, value=value, a=a, b=b), runs, "strategy")


def _paired_of_one(runs: pd.DataFrame, value: str, a: str, b: str) -> pd.DataFrame:
    parts = runs["column"].str.rsplit(" ", n=1, expand=True)
    wide = runs.assign(strategy=parts[0], how=parts[1] if parts.shape[1] > 1 else None)
    wide = wide.pivot_table(index=["strategy", "seed"], columns="how", values=value)
    if a not in wide or b not in wide:
        return pd.DataFrame(columns=["n", "mean", "sd", "low", "high", "favor"])
    difference = (wide[a] - wide[b]).dropna()
    rows = {strategy: interval(d) for strategy, d in difference.groupby(level="strategy")}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "mean", "sd", "low", "high", "favor"])


def interval(d: pd.Series) -> dict[str, float]:
    """n, mean, sd, 95 % t-interval (NaN for n = 1) of paired differences, and how many of them are above 0."""
    n, mean, sd = len(d), d.mean(), d.std(ddof=1)
    half = stats.t.ppf(0.975, n - 1) * sd / n**0.5 if n > 1 else np.nan
    return {"n": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half, "favor": int((d > 0).sum())}


def cell(mean: float, sd: float, digits: int = 1) -> str:
    """ "63.2 ± 0.4", "63.2" where there is no spread, "-" where there is no value."""
    if np.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if np.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def markdown(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The table as readers see it, with full supervision beneath; percent, mean ± sample sd over seeds. One for each network."""
    if summary.index.nlevels == 1:
        return _markdown_of_one(summary, frame)
    parts, sections = networks(frame), []
    for where, mine in summary.groupby(level=list(NETWORK), sort=False):
        sections.append(f"**{', '.join(where)}**\n\n{_markdown_of_one(mine.droplevel(list(NETWORK)), parts[where])}")
    return "\n".join(sections)


def _markdown_of_one(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    shown = {
        "aualc": "AuALC",
        "aualc_per_pixel": "AuALC per pixel",
        "miou": "last mIoU",
        "boundary_miou": "last boundary mIoU",
        "border_share": "asked on a border",
        "labeled_pixels": "labeled pixels",
    }
    lines = ["| strategy | " + " | ".join(shown.values()) + " | n |", "|---" + "|---:" * (len(shown) + 1) + "|"]
    for column, row in summary.iterrows():
        cells = [cell(row[f"{v}_mean"], row[f"{v}_sd"]) for v in shown] if row["n"] else ["not run"] * len(shown)
        lines.append(f"| {title(column)} | " + " | ".join(cells) + f" | {int(row['n'])} |")
    for which in ("full_dominant", "full_masks"):
        full = frame[frame["column"] == which]
        if len(full):
            cells = ["100 (by definition)" if which == "full_dominant" else "-", "-"]
            cells += [cell(100 * full[v].mean(), 100 * full[v].std(ddof=1)) for v in ("miou", "boundary_miou")]
            lines.append(f"| {title(which)} | " + " | ".join(cells) + f" | - | 100 | {len(full)} |")
    return "\n".join([f"*{source_line(frame)}*", "", *lines, *cautions(summary["n"], frame)]) + "\n"


def cautions(n: Iterable[int], frame: pd.DataFrame, so: str = "AuALC is too high") -> list[str]:
    """What a reader of one network's table must be warned of: sentences, each after an empty line. n: seeds of each row.

    so: what follows where full supervision B trained fewer epochs than a run.
    """
    lines = []
    if len(set(n)) > 1:
        lines += ["", "The rows have different numbers of seeds, so their means are not comparable; finish the runs."]
    trained = frame.groupby("run_id")["epochs"].sum()
    reference, longest = frame[frame["column"] == "full_dominant"]["epochs"].min(), trained.max()
    if reference < longest:
        lines += [
            "",
            f"Full supervision B trained {reference} epochs, the longest run {longest}: {so}; raise full_min_epochs.",
        ]
    return lines


def paired_text(differences: pd.DataFrame, what: str = "AuALC") -> str:
    """The result of `paired` as one sentence per strategy."""
    lines = ["", f"Max minus mean, {what}, paired by seed:", ""]
    for where, d in differences.iterrows():
        name = ", ".join([*where[:-1], title(where[-1])]) if isinstance(where, tuple) else title(where)
        spread = f", 95 % interval {d['low']:+.1f} to {d['high']:+.1f}" if d["n"] > 1 else ", one seed: no spread, no evidence"
        lines.append(f"- {name}: {d['mean']:+.1f} (n = {int(d['n'])}, max better in {int(d['favor'])}{spread})")
    return "\n".join(lines) + "\n" if len(differences) else ""


def source_line(frame: pd.DataFrame) -> str:
    """Data set, model, training, seeds and device of the runs in one line, for under or over a picture."""
    seeds = frame["seed"].nunique()
    own = ", each with pictures of its own" if len(of_one_data(frame)) == seeds > 1 else ""
    return f"{'; '.join(frame['setting'].unique())}; {seeds} seed{'s' * (seeds > 1)}{own}; {', '.join(frame['device'].unique())}"


def save(name: str, content: str, frame: pd.DataFrame) -> Path:
    """Write the text `figures/<name>` and the .json beside it that names its runs; its path."""
    path = picture(name, frame)
    atomic.write_bytes(path, content.encode())
    return path


def picture(name: str, frame: pd.DataFrame) -> Path:
    """The path `figures/<name>` for a picture, after writing the .json beside it: run ids, commits, devices, versions."""
    path = figures_root() / name
    source = {"made_from": sorted(frame["run_id"].unique()), **{k: sorted(frame[k].unique()) for k in ("commit", "device")}}
    atomic.write_json(path.with_suffix(".json"), source | {"drawn_with": versions()})
    return path


def save_figure(fig: Figure, name: str, frame: pd.DataFrame, dpi: float = 130) -> list[Path]:
    """Write `figures/<name>.png` and `.svg`, and one .json beside them that names their runs; the two paths.

    The same figure gives the same bytes: no date, and ids in the SVG that come from the name.
    """
    paths = []
    with rc_context({"svg.hashsalt": name}):
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            drawn = BytesIO()
            fig.savefig(drawn, format=kind, dpi=dpi, metadata=metadata)
            paths.append(picture(f"{name}.{kind}", frame))
            atomic.write_bytes(paths[-1], drawn.getvalue())
    return paths
