"""Pictures of runs. `draw_*(..., ax) -> ax`: never opens a figure, never saves, never styles globally."""

from __future__ import annotations

from textwrap import fill, shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..draw import ASKED, STRATEGY_COLORS, class_palette, color_mask, draw_image, title
from ..types import IGNORE
from ..weak.pseudo import quality

FULL = {  # full supervision -> line, name
    "full_dominant": (":", "all dominant labels (B)"),
    "full_masks": ((0, (3, 1, 1, 1)), "true masks (A)"),
}

LABELINGS = {  # of a frame -> color, line, name
    "dominant": ("#777777", "--", "dominant labels"),
    "dominant, stage 2": ("#777777", "-", "dominant labels, stage 2"),
    "weak": ("#0077bb", "--", "weak labels"),
    "weak, stage 2": ("#0077bb", "-", "weak labels, stage 2"),
}


def draw_curves(frame: pd.DataFrame, ax: Axes, x: str = "clicks", y: str = "miou") -> Axes:
    """Learning curves, mean over seeds with one standard deviation; max solid, mean dashed (OREAL Figure 4).

    frame: of `results.load`.  x: clicks, labeled_fraction or labeled_pixels.  y: miou or boundary_miou.
    Full supervision is a horizontal line: B (dominant labels) dotted, A (true masks) dash-dotted.
    """
    active = frame[~frame["column"].str.startswith("full_")]
    for column in _in_order(active["column"]):
        _draw_curve(active[active["column"] == column], ax, x, y, **_look(column))
    return _finish_curves(frame, ax, x, y)


def strategies(frame: pd.DataFrame) -> list[str]:
    """The strategies of a frame in the order of the figures, without random and full supervision, which every panel shows."""
    active = _in_order(frame.loc[~frame["column"].str.startswith("full_"), "column"])
    return list(dict.fromkeys(c.split()[0] for c in active if c != "random"))


def draw_strategies(frame: pd.DataFrame, axes: np.ndarray, x: str = "clicks", y: str = "miou") -> np.ndarray:
    """One panel for each of `strategies(frame)`: it by max and by mean against random; curves and arguments of `draw_curves`.

    axes: (n,) Axes, returned.
    """
    always = frame["column"].str.startswith("full_") | (frame["column"] == "random")
    for i, (strategy, ax) in enumerate(zip(strategies(frame), axes, strict=True)):
        draw_curves(frame[always | (frame["column"].str.split().str[0] == strategy)], ax, x, y)
        ax.set_title(title(strategy), fontsize="medium", color=STRATEGY_COLORS[strategy])
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))  # a narrow panel has room for few numbers
        if i:
            ax.set_ylabel("")
    return axes


def line_legend(frame: pd.DataFrame) -> list[Line2D]:
    """Handles for a figure of `draw_strategies`: the aggregations in black, since each panel has its own color, then random and
    full supervision."""
    active = _in_order(frame.loc[~frame["column"].str.startswith("full_"), "column"])
    hows = dict.fromkeys(c.partition(" ")[2] for c in active if c != "random")
    looks = [_look(f"oreal {how}".strip()) | {"color": "black", "label": how or "no aggregation"} for how in hows]
    looks += [_look("random")] * ("random" in active)
    full = [{"color": "black", "ls": ls, "label": text} for which, (ls, text) in FULL.items() if which in set(frame["column"])]
    note = [Line2D([], [], ls="", label="*: not in the paper")] * any("*" in title(c) for c in active)
    return [Line2D([], [], marker="o", ms=3, **look) for look in looks] + [Line2D([], [], lw=1, **look) for look in full] + note


def _in_order(columns: pd.Series) -> list[str]:
    return sorted(columns.unique(), key=lambda c: (list(STRATEGY_COLORS).index(c.split()[0]), c))


def _look(column: str) -> dict[str, str]:
    strategy, _, how = column.partition(" ")
    style = {"max": "-", "mean": "--", "": "-."}.get(how, ":")
    return {"color": STRATEGY_COLORS[strategy], "ls": style, "label": title(column)}


def _draw_curve(runs: pd.DataFrame, ax: Axes, x: str, y: str, color: str, ls: str, label: str) -> None:
    steps = runs.groupby("step")
    at = steps[x].mean() * (1 if x == "clicks" else 100)
    _draw_band(at, 100 * steps[y].mean(), 100 * steps[y].std(ddof=1), ax, color, ls, label)


def _draw_band(at: pd.Series, mean: pd.Series, sd: pd.Series, ax: Axes, color: str, ls: str, label: str) -> None:
    ax.plot(at, mean, ls=ls, marker="o", ms=3, color=color, label=label)
    ax.fill_between(at, mean - sd.fillna(0), mean + sd.fillna(0), color=color, alpha=0.1, lw=0)


def _finish_curves(frame: pd.DataFrame, ax: Axes, x: str, y: str) -> Axes:
    for which, (style, short) in FULL.items():
        value = frame.loc[frame["column"] == which, y].mean()
        if not np.isnan(value):
            ax.axhline(100 * value, ls=style, color="black", lw=1, label=short)
    names = {"clicks": "clicks", "labeled_fraction": "labeled superpixels (%)", "labeled_pixels": "labeled pixels (%)"}
    ax.set_xlabel(names[x])
    ax.set_ylabel({"miou": "mIoU on the test images (%)", "boundary_miou": "mIoU near class borders (%)"}[y])
    ax.set_ylim(bottom=max(0, ax.get_ylim()[0]))
    ax.grid(alpha=0.3)
    return ax


def draw_label_cost(table: pd.DataFrame, ax: Axes) -> Axes:
    """Per class, most frequent on top: IoU of the dominant labels themselves, of network A and of network B, with one
    standard deviation over seeds (OREAL Table 2). table: of `dominant_labels.by_class`."""
    y = np.arange(len(table))
    for name, marker, color, shift, label in (
        ("label_iou", "|", "black", 0.0, "the dominant labels themselves"),
        ("A", "o", "#0077bb", -0.12, "network A, trained on true masks"),
        ("B", "s", "#cc3311", 0.12, "network B, trained on dominant labels"),
    ):
        sd = table[f"{name}_sd"].fillna(0)
        error = [np.minimum(sd, table[f"{name}_mean"]), sd]  # no IoU is below 0
        size = 14 if marker == "|" else 5
        ax.errorbar(
            table[f"{name}_mean"], y + shift, xerr=error, fmt=marker, ms=size, color=color, lw=1, label=label, clip_on=False
        )
    ax.set_yticks(y, [f"{name} ({share:.1f} % of pixels)" for name, share in table["share_mean"].items()])
    ax.invert_yaxis()
    ax.set_xlim(-2, 102)
    ax.set_xlabel("IoU (%); bars: one standard deviation over seeds")
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def draw_pseudo_labels(view: dict, axes: np.ndarray) -> np.ndarray:
    """How an answer becomes labels of pixels, in a row (4,) of Axes: the image with the prototype of each class named; the answer,
    which says what but not where (stripes); the pseudo labels, paler where they spread to neighbors; the truth. Void is white.

    view: an item of `views.pseudo_labeled`.
    """
    ids, k, named, n_classes = view["ids"], view["superpixel"], view["named"], len(view["classes"])
    words, palette = [*view["classes"], "void"], np.vstack([class_palette(n_classes), np.full(3, 255, np.uint8)])
    rates = quality(view["pseudo"], view["truth"], ids, len(named) * (np.arange(ids.max() + 1) == k))
    right = ["none" if np.isnan(rates[r]) else f"{100 * rates[r]:.0f} %" for r in ("inside_accuracy", "expansion_accuracy")]
    scale = -(-400 // max(ids.shape))  # so fine that stripes and borders look the same in every cutout

    def fine(picture: np.ndarray) -> np.ndarray:
        return picture.repeat(scale, axis=0).repeat(scale, axis=1)

    inside, pseudo = fine(ids == k), fine(view["pseudo"])
    pale = fine(np.repeat(170 + 0.3 * view["image"].mean(axis=-1, keepdims=True), 3, axis=-1))
    stripe = np.add.outer(*(np.arange(n) for n in inside.shape)) // (max(inside.shape) // 30) % len(named)
    strength = np.where(inside, 1.0, np.where(pseudo != IGNORE, 0.6, 0.0))[..., None]
    said = fill(shorten(", ".join(words[c] for c in named), 66, placeholder=" ..."), 34)  # at most two lines
    pictures = (
        (fine(view["image"]), f"{view['name']}\nthe prototype of each class"),
        (np.where(inside[..., None], palette[named][stripe], pale), f"answer\n{said}"),
        (
            strength * color_mask(pseudo, n_classes) + (1 - strength) * pale,
            f"pseudo labels\n{right[0]} right inside, {right[1]} around",
        ),
        (color_mask(fine(view["truth"]), n_classes), "truth"),
    )
    for (picture, text), ax in zip(pictures, axes, strict=True):
        draw_image(picture.astype(np.uint8), ax, text)
        for color, width in (("black", 2), (ASKED, 1)):
            ax.contour(inside, [0.5], colors=color, linewidths=width)
    for i, (c, (y, x)) in enumerate(zip(named, view["prototypes"], strict=True)):
        size = 6 + 5 * (view["prototypes"][i + 1 :] == (y, x)).all(axis=1).sum()  # classes that share one: ring around ring
        axes[0].plot(scale * (x + 0.5) - 0.5, scale * (y + 0.5) - 0.5, "o", ms=size, color=palette[c] / 255, mec="white")
    present = np.unique(np.minimum(np.concatenate([named, view["truth"].ravel()]), n_classes))
    handles = [axes[0].plot([], [], "s", color=palette[c] / 255, mec="gray", label=words[c])[0] for c in present]
    where = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False, "ncols": 1 + len(present) // 13}
    axes[-1].legend(handles=handles, fontsize="x-small", labelspacing=0.2, **where)  # no higher than the picture, or it shrinks
    return axes


def draw_labelings(frame: pd.DataFrame, ax: Axes, column: str) -> Axes:
    """Learning curves over clicks of one column, such as "oreal max": dominant labels, weak labels and their stage two, those
    that were run; mean over seeds with one standard deviation, full supervision as in `draw_curves`.

    frame: of `results.load`.  ValueError if nothing of the column was run.
    """
    mine = frame[frame["column"] == column]
    if mine.empty:
        raise ValueError(f"no run is {column!r}; choose one of {', '.join(frame['column'].unique())}")
    for labeling, (color, ls, label) in LABELINGS.items():
        if len(runs := mine[mine["labeling"] == labeling]):
            _draw_curve(runs, ax, "clicks", "miou", color, ls, label)
    ax.set_title(title(column), fontsize="medium")
    return _finish_curves(frame, ax, "clicks", "miou")


def draw_pseudo_quality(quality: pd.DataFrame, ax: Axes, value: str) -> Axes:
    """One value of the pseudo labels over the steps, mean over seeds with one standard deviation; colors and lines as in
    `draw_curves`.

    quality: of `weak_table.pseudo_quality`.  value: a key of `weak_table.QUALITY`.
    """
    for column in _in_order(quality["column"]):
        mine = quality[quality["column"] == column]
        _draw_band(mine["step"], mine[f"{value}_mean"], mine[f"{value}_sd"], ax, **_look(column))
    ax.set_title(
        {
            "inside_accuracy": "right inside asked superpixels",
            "several_accuracy": "right where several classes were named",
            "several_dominant": "one label per superpixel would be right there",
            "several_gain": "where several classes were named:\nright, above what one label could be",
            "expansion_accuracy": "right in the expansion",
            "expansion_share": "size of the expansion",
        }[value],
        fontsize="medium",
    )
    units = {"expansion_share": "% of the pool's pixels", "several_gain": "points"}
    ax.set_ylabel(units.get(value, "% of the pseudo labels there"))
    if value in units:
        ax.axhline(0, color="black", lw=1)
    ax.set_xlabel("step")
    ax.set_xticks(sorted(quality["step"].unique()))
    low, high = ax.get_ylim()
    ax.set_ylim(low if value == "several_gain" else max(0, low), min(100, high))
    ax.grid(alpha=0.3)
    return ax
