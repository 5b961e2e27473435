"""From run folders to tables: every number carries its runs, its n and its spread."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy import stats

from ..config import WITHOUT_SCORES, RunConfig
from ..draw import STRATEGY_COLORS, title
from ..experiments.run_folder import find
from ..metrics import aualc, fraction_to_reach, imbalance
from ..storage import atomic
from ..storage.paths import figures_root
from ..storage.provenance import versions
from . import table

NETWORK = ("dataset", "model")  # columns of a frame: runs that share both share their full supervision
KEY = ("column", "strategy", "aggregate", "seed", "run_id")  # columns of `per_run` that are not values
INTERVAL = ("n", "mean", "sd", "low", "high", "favor")  # of `interval`
BAND = "Boundary mIoU is the mIoU of the pixels in a band around true class borders, not boundary IoU (Cheng et al., CVPR 2021)."


def named(config: RunConfig) -> dict[str, str]:
    """The columns of a frame that say what a run is: column ("oreal max", as `Grid.columns` has it), supervision, strategy (of full
    supervision its name), and aggregate ("" where there is nothing to aggregate)."""
    active = config.supervision == "active"
    scored = active and config.strategy not in WITHOUT_SCORES
    return {
        "dataset": config.dataset,
        "model": config.model,
        "column": config.column,
        "supervision": config.supervision,
        "strategy": config.strategy if active else config.supervision,
        "aggregate": config.aggregate if scored else "",
        "labeling": config.labeling + ", stage 2" * (config.stage == 2),
        "run_id": config.run_id,
        "seed": config.seed,
    }


def load(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> pd.DataFrame:
    """One row per finished run and step: the fields of StepResult, and run_id, those of `named` (labeling is "dominant" or "weak",
    and ", stage 2"), seed, device, imbalance, and classes and labels of done.json (see `label_cost`).

    Runs that are not finished have no rows; compare with `configs` to see which. FileNotFoundError if none is.
    """
    rows = []
    for config in configs:
        folder = find(config, runs_dir)
        if folder is None:
            continue
        same = named(config) | {
            "setting": setting_line(config),
            "data_options": json.dumps(config.data_options, sort_keys=True),
            "warm_start": config.warm_start,
            "device": folder.done["device"] + ", bfloat16" * (folder.done["precision"] == "bfloat16"),
        }
        same |= {key: folder.done[key] for key in ("commit", "classes", "labels")}
        for step in folder.steps():
            rows.append(same | asdict(step) | {"imbalance": imbalance(np.array(step.class_counts))})
    if not rows:
        raise FileNotFoundError(f"none of the {len(configs)} runs is finished; start them with `python -m oreal_lib run <grid>`")
    return pd.DataFrame(rows)


def setting_line(config: RunConfig) -> str:
    """What a reader must know of a run before comparing its numbers with others."""
    start = {"none": "from scratch", "imagenet": "ImageNet weights"}.get(config.weights, "weights of a file")
    start = f"on a frozen encoder with {start}" if config.encoder == "frozen" else start
    size = f"{config.width} x {config.height}, " if config.width else ""
    native = ", tested at native size" if config.evaluate_at == "native" else ""
    model = f"{config.model} with cosine classifier" if config.classifier == "cosine" else config.model
    return f"{config.dataset}, {size}{model} {start}, at most {config.max_epochs} epochs per step{native}"


def active(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that ask, without those of full supervision."""
    return frame[frame["supervision"] == "active"]


def full(frame: pd.DataFrame, which: str = "full_dominant") -> pd.DataFrame:
    """The rows of a full supervision: B ("full_dominant"), or A ("full_masks")."""
    return frame[frame["supervision"] == which]


def in_order(frame: pd.DataFrame, hows: Sequence[str] = ("mean", "max")) -> list[str]:
    """The distinct columns of a frame, strategy by strategy, aggregations as in `hows`, others after them by name."""
    keys = {"strategy": [*STRATEGY_COLORS], "aggregate": ["", *hows]}
    rows = frame[[*keys, "column"]].drop_duplicates()
    places = {k: pd.Categorical(rows[k], list(dict.fromkeys([*first, *sorted(rows[k])]))) for k, first in keys.items()}
    return rows.assign(**places).sort_values([*keys])["column"].tolist()


def networks(frame: pd.DataFrame) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of each (dataset, model), in the order of `frame`: each has a full supervision and a table of its own."""
    return dict(iter(frame.groupby(list(NETWORK), sort=False)))


def one_run_each(frame: pd.DataFrame, keys: Sequence[str]) -> None:
    """ValueError if two runs of a frame share all of `keys`, so that a table would take them for one."""
    runs = frame.drop_duplicates("run_id")
    twice = runs[runs.duplicated(list(keys), keep=False)]
    if len(twice):
        _, same = next(iter(twice.groupby(list(keys), sort=False)))
        what = ", ".join(f"{key} {same[key].iloc[0]}" for key in keys)
        raise ValueError(
            f"{len(same)} runs have {what} ({', '.join(same['run_id'])}), and a table tells runs apart by {', '.join(keys)} only; "
            "make one grid for each setting"
        )


def full_score(frame: pd.DataFrame) -> float:
    """Mean mIoU (0..1) over the seeds of full supervision B, which is 100 % of AuALC, of one network; NaN if it was not run."""
    return float(full(frame)["miou"].mean())


def per_run(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per active run, with its dataset and model; in percent where not said otherwise:

    aualc: area under the mIoU curve over clicks, of the full supervision B of the same dataset and model, its mean over the
    seeds; where seeds have data of their own (data_options), of that data's. aualc_per_pixel:
    over labeled pixels, on the range that all runs of the seed cover. miou, boundary_miou, inside_miou,
    labeled_pixels: of the last step. to_95: labeled fraction that reaches 95 % of B, NaN if none does. border_share: of the
    superpixels asked after the random step 1, those on a true class border. imbalance (0..1) and epochs (number) of the whole run.
    ValueError if only full supervision is finished, or if a table would take two runs for one.
    """
    one_run_each(active(frame), (*NETWORK, "column", "seed"))
    same_data = frame.groupby([*NETWORK, "data_options"], sort=False)  # whose mIoU is measured on the same pictures
    runs = pd.DataFrame([row for _, mine in same_data for row in _rows_of_one(mine)])
    if runs.empty:
        raise ValueError("only full supervision is finished, and a table is about the other runs; finish one of them")
    return runs


def _rows_of_one(frame: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The rows of `per_run` for the runs of one network on the same data."""
    best = full_score(frame)
    for _, same_seed in active(frame).sort_values("step").groupby("seed"):
        pixels = same_seed.groupby("run_id")["labeled_pixels"]
        common = np.linspace(pixels.min().max(), pixels.max().min(), 101)
        for _, run in same_seed.groupby(["column", "run_id"]):
            last, has_area = run.iloc[-1], best > 0 and len(run) > 1
            at_common = np.interp(common, run["labeled_pixels"], run["miou"])
            yield {key: last[key] for key in (*NETWORK, *KEY)} | {
                "aualc": aualc(run["clicks"], run["miou"], best) if has_area else np.nan,
                "aualc_per_pixel": aualc(common, at_common, best) if has_area and common[0] < common[-1] else np.nan,
                **{v: 100 * last[v] for v in ("miou", "boundary_miou", "inside_miou")},
                "to_95": 100 * fraction_to_reach(run["labeled_fraction"], run["miou"], 0.95 * best) if best > 0 else np.nan,
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
    steps = steps[steps["from_run"].fillna("") == ""]
    return {phase: float(s) for phase, s in pd.DataFrame(steps["seconds"].tolist(), dtype=float).sum().items()}


def over_seeds(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds of each value of `per_run`, one row per column, in the order given.

    Columns of the result: n, then <value>_mean and <value>_sd (NaN for n = 1), and to_95_reached, the number of runs that
    reached 95 %: to_95 has a mean only if all did. A column without runs has n = 0. Of several networks each has all these
    rows, and dataset and model stand before column in the index.
    """
    rows = {}
    for where, network in networks(runs).items():
        for column in columns:
            mine = network[network["column"] == column]
            row = {"n": len(mine), "to_95_reached": int(mine["to_95"].notna().sum())}
            for v in network.columns.difference([*NETWORK, *KEY], sort=False):
                row |= {f"{v}_mean": mine[v].mean(skipna=False), f"{v}_sd": mine[v].std(ddof=1, skipna=False)}
            rows[(*where, column)] = row
    return _by_network(rows, "column", runs)


def paired(runs: pd.DataFrame, value: str = "aualc") -> pd.DataFrame:
    """Max minus mean of each strategy, paired by seed: n, mean, sd, 95 % t-interval, and how many seeds favor max.

    Of several networks each has these rows, and dataset and model stand before the strategy in the index.
    """
    rows = {}
    for where, network in networks(runs).items():
        wide = network.pivot_table(index=["strategy", "seed"], columns="aggregate", values=value)
        if {"mean", "max"} <= set(wide):
            d = (wide["max"] - wide["mean"]).dropna()
            rows |= {(*where, strategy): interval(mine) for strategy, mine in d.groupby(level="strategy")}
    return _by_network(rows, "strategy", runs)


def _by_network(rows: dict[tuple, dict], row: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The rows under (dataset, model, row); where the runs are of one network, under the row alone."""
    index = pd.MultiIndex.from_tuples(list(rows), names=[*NETWORK, row])
    frame = pd.DataFrame(list(rows.values()), index, columns=None if rows else INTERVAL)
    return frame if len(networks(runs)) > 1 else frame.droplevel(list(NETWORK))


def spread(name: str, values: pd.Series) -> dict[str, float]:
    """<name>_mean, <name>_sd (sample) and <name>_n of the values that are known; percent, points or clicks, as these are."""
    return {f"{name}_mean": values.mean(), f"{name}_sd": values.std(ddof=1), f"{name}_n": values.count()}


def interval(d: pd.Series) -> dict[str, float]:
    """n, mean, sd, 95 % t-interval (NaN for n = 1) of paired differences, and how many of them are above 0."""
    n, mean, sd = len(d), d.mean(), d.std(ddof=1)
    half = stats.t.ppf(0.975, n - 1) * sd / n**0.5 if n > 1 else np.nan
    return dict(zip(INTERVAL, (n, mean, sd, mean - half, mean + half, int((d > 0).sum())), strict=True))


def markdown(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The table as readers see it, with full supervision beneath; percent, mean ± sample sd over seeds. One for each network."""
    if summary.index.nlevels > 1:
        parts, each = networks(frame), summary.groupby(level=list(NETWORK), sort=False)
        sections = {where: markdown(mine.droplevel(list(NETWORK)), parts[where]) for where, mine in each}
        return "\n".join(f"**{', '.join(where)}**\n\n{text}" for where, text in sections.items())
    shown = {
        "aualc": "AuALC",
        "aualc_per_pixel": "AuALC per pixel",
        "miou": "last mIoU",
        "boundary_miou": "last boundary mIoU",
        "border_share": "asked on a border",
        "labeled_pixels": "labeled pixels",
    }
    rows = []
    for column, row in summary.iterrows():
        cells = [table.spread(row, v) for v in shown]
        rows.append([title(column), *(cells if row["n"] else [table.NOT_RUN] * len(shown)), f"{row['n']:.0f}"])
    for which in ("full_dominant", "full_masks"):
        if n := len(mine := full(frame, which)):
            area = "100 (by definition)" if which == "full_dominant" else "-"
            ends = [table.with_sd(100 * mine[v].mean(), 100 * mine[v].std(ddof=1)) for v in ("miou", "boundary_miou")]
            rows.append([title(which), area, "-", *ends, "-", "100", str(n)])
    text = table.markdown(["strategy", *shown.values(), "n"], rows)
    return table.paragraphs(f"*{source_line(frame)}*", text, BAND, *cautions(summary["n"], frame))


def cautions(n: Iterable[int], frame: pd.DataFrame, so: str = "AuALC is too high") -> list[str]:
    """What a reader of one network's table must be warned of, in sentences. n: seeds of each row, 0 where it was not run.

    so: what follows where full supervision B trained fewer epochs than a run.
    """
    lines = [table.SEEDS_DIFFER] if len({*n} - {0}) > 1 else []
    reference, runs = full(frame)["epochs"].min(), active(frame).groupby("run_id")["epochs"]
    longest, of = (runs.sum().max(), "run") if frame["warm_start"].all() else (runs.max().max(), "step from scratch")
    if reference < longest:
        lines.append(f"Full supervision B trained {reference} epochs, the longest {of} {longest}: {so}; raise full_min_epochs.")
    return lines


def paired_text(differences: pd.DataFrame, what: str = "AuALC") -> str:
    """The result of `paired` as one sentence per strategy."""
    lines = ["", f"Max minus mean, {what}, paired by seed:", ""]
    for where, d in differences.iterrows():
        name = ", ".join([*where[:-1], title(where[-1])]) if isinstance(where, tuple) else title(where)
        lines.append(f"- {name}: {table.in_words(d, 'max better')}")
    return "\n".join(lines) + "\n" if len(differences) else ""


def source_line(frame: pd.DataFrame) -> str:
    """Data set, model, training, seeds and device of the runs in one line, for under or over a picture."""
    seeds = frame["seed"].nunique()
    own = ", each with pictures of its own" if frame["data_options"].nunique() == seeds > 1 else ""
    return f"{'; '.join(frame['setting'].unique())}; {seeds} seed{'s' * (seeds > 1)}{own}; {', '.join(frame['device'].unique())}"


def save(name: str, content: str | bytes, frame: pd.DataFrame) -> Path:
    """Write `figures/<name>`, and beside it the .json that names its runs, their commits and devices, and our versions; its path."""
    path = figures_root() / name
    source = {"made_from": sorted(frame["run_id"].unique()), **{k: sorted(frame[k].unique()) for k in ("commit", "device")}}
    atomic.write_json(path.with_suffix(".json"), source | {"drawn_with": versions()})
    atomic.write_bytes(path, content.encode() if isinstance(content, str) else content)
    return path


def save_figure(fig: Figure, name: str, frame: pd.DataFrame, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write `figures/<name>.png` and `.svg`, and one .json beside them as of `save`; their paths.

    The same figure gives the same bytes: no date, and ids in the SVG that come from the name.
    """
    paths = []
    with rc_context({"svg.hashsalt": name}):
        for kind in kinds:
            drawn = BytesIO()
            fig.savefig(drawn, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else {})
            paths.append(save(f"{name}.{kind}", drawn.getvalue(), frame))
    return paths
