"""Table 2: what is lost when every superpixel gets one label. Full supervision A (true masks) against B (dominant labels),
and the labels themselves against the truth. Everything comes from run records."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..storage.yaml_file import read_yaml
from .frames import cell, interval, source_line

DATA_SETS = {"voc": "Pascal VOC", "cityscapes": "Cityscapes", "endovis": "EndoVis", "monarch": "MONARCH"}
PRIVATE = ("monarch",)  # its row says why it is empty
BACKBONES = {"resnet50": "ResNet-50", "resnet101": "ResNet-101", "vit": "ViT"}


def backbone(model: str) -> str | None:
    """The column of the paper's table that a model belongs to: resnet50, resnet101, vit, or None."""
    if model.startswith("segmenter"):
        return "vit"
    network = model.partition(".")[0]  # without the name of the checkpoint
    return next((name for name in ("resnet50", "resnet101") if network == f"deeplabv3plus_{name}"), None)


def table2(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per (data set, model) with full-supervision runs: mIoU of A and B in percent and of A - B, paired by seed.

    Columns: A and B as <which>_mean, <which>_sd, <which>_n, over the seeds that both have (where there is none, over each's
    own); the difference as n, mean, sd, low, high (95 % t-interval), favor. Raises ValueError where runs of different
    settings would pass for seeds.
    """
    rows = {}
    full = frame[frame["column"].str.startswith("full_")]
    for where, runs in full.groupby(["dataset", "model"], sort=False):
        _one_setting(runs)
        a, b = (100 * runs[runs["column"] == column].set_index("seed")["miou"] for column in ("full_masks", "full_dominant"))
        both = a.index.intersection(b.index)
        a, b = (a[both], b[both]) if len(both) else (a, b)
        values = {f"{which}_{k}": v for which, s in (("A", a), ("B", b)) for k, v in _spread(s).items()}
        rows[where] = values | interval((a - b).dropna())
    return pd.DataFrame.from_dict(rows, orient="index")


def _one_setting(runs: pd.DataFrame) -> None:
    twice = runs[runs.duplicated(["column", "seed"], keep=False)]
    if len(twice):
        raise ValueError(
            f"two runs are both {twice['column'].iloc[0]!r}, seed {twice['seed'].iloc[0]} ({', '.join(twice['run_id'])}); a table "
            "tells runs apart by data set, model and seed only: make one grid for each setting"
        )


def table2_markdown(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Ours beside what the paper prints; a row of the paper that we have no run of says so."""
    paper = {(d, k): pair for k, row in read_yaml("paper")["table2"].items() for d, pair in row.items()}
    lines = [
        "| data set | network | A: true masks | B: dominant labels | A - B (95 % interval) | n | paper A | paper B |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (dataset, model), row in summary.iterrows():
        gap = f"{row['mean']:+.1f}" if row["n"] else "-"
        gap += f" ({row['low']:+.1f} to {row['high']:+.1f})" if row["n"] > 1 else ""
        n = str(int(row["n"])) if row["n"] else f"{int(row['A_n'])} A, {int(row['B_n'])} B"
        ours = [cell(row["A_mean"], row["A_sd"]), cell(row["B_mean"], row["B_sd"]), gap, n]
        lines.append(_row([DATA_SETS.get(dataset, dataset), model, *ours, *_printed(paper.get((dataset, backbone(model))))]))
    if set(frame["dataset"]) == {"folder"}:
        paper = {}  # somebody's own data are no row of the paper's table
    for dataset, name in sorted(set(paper) - {(d, backbone(m)) for d, m in summary.index}, key=list(paper).index):
        why = "not public" if dataset in PRIVATE else "not run"
        lines.append(_row([DATA_SETS[dataset], BACKBONES[name], why, why, "-", "0", *_printed(paper[dataset, name])]))
    return "\n".join([f"*{source_line(frame[frame['column'].str.startswith('full_')])}*", "", *lines]) + "\n"


def by_class(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per class of one data set and model, most frequent first, in percent, mean and sample sd over seeds.

    share: of the pool's pixels that have a class.  right: of the class's pixels, those whose superpixel gets it as label.
    label_iou: of painted against true pixels.  leak: undersegmentation error.  A, B: test IoU of the two networks.
    Each as <name>_mean and <name>_sd; NaN where the class has no pixel, or where runs have no record of their labels.
    ValueError if no run of B has such a record, or if there are several data sets or models.
    """
    b = frame[frame["column"] == "full_dominant"]
    b = b[b["labels"].notna()]
    if b.empty:
        raise ValueError("no finished run of full supervision B has a record of its labels; run it again with this version")
    if len(frame.groupby(["dataset", "model"])) > 1:
        raise ValueError("classes can be compared for one data set and model at a time; make one grid for each")
    _one_setting(frame[frame["column"].str.startswith("full_")])
    classes = b["classes"].iloc[0]
    pixels = np.array([labels["pixels"] for labels in b["labels"]], float)
    values = {"share": pixels / pixels.sum(axis=1, keepdims=True)}
    values |= {to: np.array([labels[key] for labels in b["labels"]], float) for to, key in COST.items()}
    for which, column in (("A", "full_masks"), ("B", "full_dominant")):
        iou = [row for row in frame.loc[frame["column"] == column, "class_iou"]]
        values[which] = np.array(iou, float).reshape(-1, len(classes))
    columns = {}
    for name, table in values.items():
        spread = [_spread(pd.Series(column).dropna()) for column in 100 * table.T]
        columns |= {f"{name}_mean": [s["mean"] for s in spread], f"{name}_sd": [s["sd"] for s in spread]}
    return pd.DataFrame(columns, index=classes).sort_values("share_mean", ascending=False)


COST = {"right": "right", "label_iou": "iou", "leak": "leak"}  # ours -> name in the record


def overall(frame: pd.DataFrame) -> dict[str, float]:
    """Of all pixels with a class, percent: right, and leak (undersegmentation error); mean and sd over seeds, and n."""
    labels = [labels for labels in frame.loc[frame["column"] == "full_dominant", "labels"] if labels]
    pixels = [np.array(one["pixels"], float) for one in labels]
    result: dict[str, float] = {}
    for name in ("right", "leak"):
        shares = [np.nansum(np.array(one[name], float) * p) / p.sum() for one, p in zip(labels, pixels, strict=True)]
        result |= {f"{name}_{k}": v for k, v in _spread(100 * pd.Series(shares, dtype=float)).items()}
    return result


def by_class_markdown(table: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The table of `by_class` as readers see it, and the totals in one sentence."""
    shown = {
        "share": "pixels",
        "right": "labeled right",
        "label_iou": "IoU of the labels",
        "leak": "undersegmentation error",
        "A": "IoU of A",
        "B": "IoU of B",
    }
    lines = ["| class | " + " | ".join(shown.values()) + " |", "|---" + "|---:" * len(shown) + "|"]
    for name, row in table.iterrows():
        lines.append(_row([name, *(cell(row[f"{k}_mean"], row[f"{k}_sd"]) for k in shown)]))
    total = overall(frame)
    text = (
        f"Dominant labels are right for {cell(total['right_mean'], total['right_sd'])} % of the pool's pixels; undersegmentation "
        f"error {cell(total['leak_mean'], total['leak_sd'])} %; n = {total['right_n']}. All in percent, mean ± sample standard "
        "deviation over seeds; void left out."
    )
    return "\n".join([*lines, "", text]) + "\n"


def _spread(values: pd.Series) -> dict[str, float]:
    return {"mean": values.mean(), "sd": values.std(ddof=1), "n": len(values)}


def _printed(pair: list[float] | None) -> list[str]:
    return ["-", "-"] if pair is None else [f"{value:.1f}" for value in pair]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
