"""Table 2: what is lost when every superpixel gets one label. Full supervision A (true masks) against B (dominant labels),
and the labels themselves against the truth. Everything comes from run records."""

import numpy as np
import pandas as pd

from ..storage.yaml_file import read_yaml
from . import table
from .frames import full, interval, networks, one_run_each, source_line, spread

DATA_SETS = {"voc": "Pascal VOC", "cityscapes": "Cityscapes", "endovis": "EndoVis", "monarch": "MONARCH"}
PRIVATE = ("monarch",)  # its row says why it is empty
BACKBONES = {"resnet50": "ResNet-50", "resnet101": "ResNet-101", "vit": "ViT"}
OF_CLASS = {  # of by_class -> heading
    "share": "pixels",
    "right": "labeled right",
    "label_iou": "IoU of the labels",
    "leak": "undersegmentation error",
    "A": "IoU of A",
    "B": "IoU of B",
}


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
    for where, runs in networks(frame[frame["supervision"] != "active"]).items():
        one_run_each(runs, ("supervision", "seed"))
        a, b = (100 * full(runs, which).set_index("seed")["miou"] for which in ("full_masks", "full_dominant"))
        both = a.index.intersection(b.index)
        a, b = (a[both], b[both]) if len(both) else (a, b)
        rows[where] = spread("A", a) | spread("B", b) | interval((a - b).dropna())
    return pd.DataFrame.from_dict(rows, orient="index")


def table2_markdown(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Ours beside what the paper prints; a row of the paper that we have no run of says so."""
    paper = {(d, k): pair for k, row in read_yaml("paper")["table2"].items() for d, pair in row.items()}
    rows = []
    for (dataset, model), row in summary.iterrows():
        n = str(int(row["n"])) if row["n"] else f"{int(row['A_n'])} A, {int(row['B_n'])} B"
        ours = [*(table.spread(row, k) for k in "AB"), table.with_interval(row), n]
        theirs = map(table.number, paper.get((dataset, backbone(model)), (np.nan, np.nan)))
        rows.append([DATA_SETS.get(dataset, dataset), model, *ours, *theirs])
    if set(frame["dataset"]) == {"folder"}:
        paper = {}  # somebody's own data are no row of the paper's table
    known = {(d, backbone(m)) for d, m in summary.index}
    for (dataset, name), pair in ((place, pair) for place, pair in paper.items() if place not in known):
        why = "not public" if dataset in PRIVATE else table.NOT_RUN
        rows.append([DATA_SETS[dataset], BACKBONES[name], why, why, "-", "0", *map(table.number, pair)])
    heads = ["data set", "network", "A: true masks", "B: dominant labels", "A - B (95 % interval)", "n", "paper A", "paper B"]
    source = source_line(frame[frame["supervision"] != "active"])
    return table.paragraphs(f"*{source}*", table.markdown(heads, rows, left=(0, 1)))


def by_class(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per class of one data set and model, most frequent first, in percent, mean and sample sd over seeds.

    share: of the pool's pixels that have a class.  right: of the class's pixels, those whose superpixel gets it as label.
    label_iou: of painted against true pixels.  leak: undersegmentation error.  A, B: test IoU of the two networks.
    Each as <name>_mean and <name>_sd; NaN where the class has no pixel.
    ValueError if no run of B is finished, or if there are several data sets or models.
    """
    b = full(frame)
    if b.empty:
        raise ValueError("no run of full supervision B is finished, whose labels this is about; run it first")
    if len(networks(frame)) > 1:
        raise ValueError("classes can be compared for one data set and model at a time; make one grid for each")
    one_run_each(frame[frame["supervision"] != "active"], ("supervision", "seed"))
    classes = b["classes"].iloc[0]
    labels = pd.DataFrame(b["labels"].tolist())
    pixels = np.array(labels["pixels"].tolist(), float)
    seeds = {"right": labels["right"], "label_iou": labels["iou"], "leak": labels["leak"]}
    seeds |= {"A": full(frame, "full_masks")["class_iou"], "B": full(frame)["class_iou"]}
    values = {"share": pixels / pixels.sum(axis=1, keepdims=True)}  # (seeds, C) each
    values |= {name: np.array(of.tolist(), float).reshape(-1, len(classes)) for name, of in seeds.items()}
    rows = [{} for _ in classes]
    for name, of_seeds in values.items():
        for row, of_class in zip(rows, 100 * of_seeds.T, strict=True):
            row |= spread(name, pd.Series(of_class))
    return pd.DataFrame(rows, classes).filter(regex="_(mean|sd)$").sort_values("share_mean", ascending=False)


def overall(frame: pd.DataFrame) -> dict[str, float]:
    """Of all pixels with a class, percent: right, and leak (undersegmentation error); mean and sd over seeds, and n."""
    labels, result = pd.DataFrame(full(frame)["labels"].tolist()), {}
    pixels = np.array(labels["pixels"].tolist(), float)
    for name in ("right", "leak"):
        shares = np.nansum(np.array(labels[name].tolist(), float) * pixels, axis=1) / pixels.sum(axis=1)
        result |= spread(name, pd.Series(100 * shares))
    return result


def by_class_markdown(classes: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The table of `by_class` as readers see it, and the totals in one sentence."""
    rows = [[table.literal(name), *(table.spread(row, k) for k in OF_CLASS)] for name, row in classes.iterrows()]
    total = overall(frame)
    text = (
        f"Dominant labels are right for {table.spread(total, 'right')} % of the pool's pixels; "
        f"undersegmentation error {table.spread(total, 'leak')} %; n = {total['right_n']}. All in percent, "
        "mean ± sample standard deviation over seeds; void left out."
    )
    return table.paragraphs(table.markdown(["class", *OF_CLASS.values()], rows), text)
