"""Pictures of runs. `draw_*(..., ax) -> ax`: never opens a figure, never saves, never styles globally."""

from collections.abc import Iterable, Iterator
from textwrap import fill, shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..draw import ASKED, STRATEGY_COLORS, as_written, class_palette, color_mask, draw_image, title
from ..types import IGNORE
from ..weak.pseudo import quality
from .frames import active, full, in_order
from .table_4 import QUALITY

FULL = {  # full supervision -> line, name
    "full_dominant": (":", "all dominant labels (B)"),
    "full_masks": ((0, (3, 1, 1, 1)), "true masks (A)"),
}

LABELINGS = {  # of a frame -> look of its curve
    f"{labeling}{stage}": {"color": color, "ls": ls, "label": f"{labeling} labels{stage}"}
    for labeling, color in (("dominant", "#777777"), ("weak", "#0077bb"))
    for stage, ls in (("", "--"), (", stage 2", "-"))
}


def draw_curves(frame: pd.DataFrame, ax: Axes, x: str = "clicks", y: str = "miou") -> Axes:
    """Learning curves, mean over seeds with one standard deviation; max solid, mean dashed (OREAL Figure 4).

    frame: of `frames.load`.  x: clicks, labeled_fraction or labeled_pixels.  y: miou or boundary_miou.
    Full supervision is a horizontal line: B (dominant labels) dotted, A (true masks) dash-dotted.
    """
    return _draw_all(by_column(active(frame)), frame, ax, x, y)


def by_column(runs: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """The rows of each column in the order of the figures, and its color, line and label: max solid, mean dashed."""
    for column in in_order(runs, ("max", "mean")):
        mine = runs[runs["column"] == column]
        yield mine, _look(*mine[["strategy", "aggregate"]].iloc[0])


def strategies(frame: pd.DataFrame) -> list[str]:
    """The strategies of a frame in the order of the figures, without random and full supervision, which every panel shows."""
    found = set(frame["strategy"]) - {"random"}
    return [s for s in STRATEGY_COLORS if s in found]


def draw_strategies(frame: pd.DataFrame, axes: np.ndarray, x: str = "clicks", y: str = "miou") -> np.ndarray:
    """One panel for each of `strategies(frame)`: it by max and by mean against random; curves and arguments of `draw_curves`.

    axes: (n,) Axes, returned.
    """
    for i, (strategy, ax) in enumerate(zip(strategies(frame), axes, strict=True)):
        draw_curves(frame[frame["strategy"].isin([strategy, "random", *FULL])], ax, x, y)
        ax.set_title(title(strategy), fontsize="medium", color=STRATEGY_COLORS[strategy])
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))  # a narrow panel has room for few numbers
        if i:
            ax.set_ylabel("")
    return axes


def line_legend(frame: pd.DataFrame) -> list[Line2D]:
    """Handles for a figure of `draw_strategies`: the aggregations in black, since each panel has its own color, then random and
    full supervision."""
    hows = {how: None for runs, _ in by_column(active(frame)) for how in runs["aggregate"] if runs["strategy"].iloc[0] != "random"}
    looks = [_look("oreal", how) | {"color": "black", "label": how or "no aggregation"} for how in hows]
    looks += [_look("random", "")] * ("random" in set(frame["strategy"]))
    full = [{"color": "black", "ls": ls, "label": text} for which, (ls, text) in FULL.items() if which in set(frame["strategy"])]
    note = [Line2D([], [], ls="", label="*: not in the paper")] * any("*" in title(s) for s in strategies(frame))
    return [Line2D([], [], marker="o", ms=3, **look) for look in looks] + [Line2D([], [], lw=1, **look) for look in full] + note


def _look(strategy: str, how: str) -> dict[str, str]:
    style = {"max": "-", "mean": "--", "": "-."}.get(how, ":")
    return {"color": STRATEGY_COLORS[strategy], "ls": style, "label": title(f"{strategy} {how}".strip())}


def draw_band(at: pd.Series, mean: pd.Series, sd: pd.Series, ax: Axes, alpha: float = 0.1, **look: object) -> Axes:
    """A line through `mean` over `at`, (n,) each, with dots and a band of one standard deviation `sd` in its color.

    alpha: of the band, 0..1.  look: color, ls, label and so on, of the line.
    """
    ax.plot(at, mean, marker="o", ms=3, **look)
    ax.fill_between(at, mean - sd.fillna(0), mean + sd.fillna(0), color=look["color"], alpha=alpha, lw=0)
    return ax


def _draw_all(curves: Iterable[tuple], frame: pd.DataFrame, ax: Axes, x: str = "clicks", y: str = "miou") -> Axes:
    """A curve for each (runs, color, line and label), and the full supervision of the frame."""
    for runs, look in curves:
        steps = runs.groupby("step")
        at = steps[x].mean() * (1 if x == "clicks" else 100)
        draw_band(at, 100 * steps[y].mean(), 100 * steps[y].std(ddof=1), ax, **look)
    for which, (style, short) in FULL.items():
        value = full(frame, which)[y].mean()
        if not np.isnan(value):
            ax.axhline(100 * value, ls=style, color="black", lw=1, label=short)
    names = {"clicks": "clicks", "labeled_fraction": "labeled superpixels (%)", "labeled_pixels": "labeled pixels (%)"}
    names |= {"miou": "mIoU on the test images (%)", "boundary_miou": "mIoU near class borders (%)"}
    ax.set(xlabel=names[x], ylabel=names[y], ylim=(max(0, ax.get_ylim()[0]), None))
    ax.grid(alpha=0.3)
    return ax


def without_box(ax: Axes, grid: str = "both", **look: object) -> Axes:
    """The axes without their upper and right line, and with a pale grid. grid: "x", "y" or "both".  look: of the grid's lines."""
    ax.grid(axis=grid, **(look or {"alpha": 0.3}))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def draw_label_cost(table: pd.DataFrame, ax: Axes) -> Axes:
    """Per class, most frequent on top: IoU of the dominant labels themselves, of network A and of network B, with one
    standard deviation over seeds (OREAL Table 2). table: of `table_2.by_class`."""
    y = np.arange(len(table))
    for name, marker, color, shift, label in (
        ("label_iou", "|", "black", 0.0, "the dominant labels themselves"),
        ("A", "o", "#0077bb", -0.12, "network A, trained on true masks"),
        ("B", "s", "#cc3311", 0.12, "network B, trained on dominant labels"),
    ):
        sd = table[f"{name}_sd"].fillna(0)
        error = [np.minimum(sd, table[f"{name}_mean"]), sd]  # no IoU is below 0
        size = 14 if marker == "|" else 5
        look = {"fmt": marker, "ms": size, "color": color, "lw": 1, "label": label, "clip_on": False}
        ax.errorbar(table[f"{name}_mean"], y + shift, xerr=error, **look)
    ax.set_yticks(y, [f"{name} ({share:.1f} % of pixels)" for name, share in table["share_mean"].items()])
    as_written(ax.yaxis)
    ax.invert_yaxis()
    ax.set(xlim=(-2, 102), xlabel="IoU (%); bars: one standard deviation over seeds", axisbelow=True)
    return without_box(ax, "x", color="0.9")


def draw_pseudo_labels(view: dict, axes: np.ndarray) -> np.ndarray:
    """How an answer becomes labels of pixels, in a row (4,) of Axes: the image with the prototype of each class named; the answer,
    which says what but not where (stripes); the pseudo labels, paler where they spread to neighbors; the truth. Void is white.

    view: an item of `selections.pseudo_labeled`.
    """
    ids, k, named, n_classes = view["ids"], view["superpixel"], view["named"], len(view["classes"])
    words, palette = [*view["classes"], "void"], np.vstack([class_palette(n_classes), np.full(3, 255, np.uint8)])
    rates = quality(view["pseudo"], view["truth"], ids, len(named) * (np.arange(ids.max() + 1) == k))
    right = ["none" if np.isnan(rates[r]) else f"{100 * rates[r]:.0f} %" for r in ("inside_accuracy", "expansion_accuracy")]
    said = fill(shorten(", ".join(words[c] for c in named), 66, placeholder=" ..."), 34)  # at most two lines
    texts = [f"{view['name']}\nthe prototype of each class", f"answer\n{said}"]
    texts += [f"pseudo labels\n{right[0]} right inside, {right[1]} around", "truth"]
    scale = -(-400 // max(ids.shape))  # so fine that stripes and borders look the same in every cutout
    inside, pictures = _pseudo_pictures(view, palette, scale)
    for picture, text, ax in zip(pictures, texts, axes, strict=True):
        draw_image(picture.astype(np.uint8), ax, text)
        for color, width in (("black", 2), (ASKED, 1)):
            ax.contour(inside, [0.5], colors=color, linewidths=width)
    for i, (c, (y, x)) in enumerate(zip(named, view["prototypes"], strict=True)):
        size = 6 + 5 * (view["prototypes"][i + 1 :] == (y, x)).all(axis=1).sum()  # classes that share one: ring around ring
        axes[0].plot(scale * (x + 0.5) - 0.5, scale * (y + 0.5) - 0.5, "o", ms=size, color=palette[c] / 255, mec="white")
    present = np.unique(np.minimum(np.concatenate([named, view["truth"].ravel()]), n_classes))
    handles = [axes[0].plot([], [], "s", color=palette[c] / 255, mec="gray", label=words[c])[0] for c in present]
    where = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False, "ncols": 1 + len(present) // 13}
    as_written(axes[-1].legend(handles=handles, fontsize="x-small", labelspacing=0.2, **where))  # no higher than the picture
    return axes


def _pseudo_pictures(view: dict, palette: np.ndarray, scale: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The mask of the superpixel and the four pictures of `draw_pseudo_labels`, `scale` times as fine as the image."""
    fine = {name: view[name].repeat(scale, axis=0).repeat(scale, axis=1) for name in ("image", "truth", "ids", "pseudo")}
    inside, n_classes = fine["ids"] == view["superpixel"], len(view["classes"])
    pale = np.repeat(170 + 0.3 * fine["image"].mean(axis=-1, keepdims=True), 3, axis=-1)
    stripe = np.add.outer(*(np.arange(n) for n in inside.shape)) // (max(inside.shape) // 30) % len(view["named"])
    strength = np.where(inside, 1.0, np.where(fine["pseudo"] != IGNORE, 0.6, 0.0))[..., None]
    answer = np.where(inside[..., None], palette[view["named"]][stripe], pale)
    pseudo = strength * color_mask(fine["pseudo"], n_classes) + (1 - strength) * pale
    return inside, [fine["image"], answer, pseudo, color_mask(fine["truth"], n_classes)]


def draw_labelings(frame: pd.DataFrame, ax: Axes, column: str) -> Axes:
    """Learning curves over clicks of one column, such as "oreal max": dominant labels, weak labels and their stage two, those
    that were run; mean over seeds with one standard deviation, full supervision as in `draw_curves`.

    frame: of `frames.load`.  ValueError if nothing of the column was run.
    """
    mine = frame[frame["column"] == column]
    if mine.empty:
        raise ValueError(f"no run is {column!r}; choose one of {', '.join(frame['column'].unique())}")
    curves = {labeling: runs for labeling, runs in mine.groupby("labeling")}
    ax.set_title(title(column), fontsize="medium")
    return _draw_all(((curves[name], look) for name, look in LABELINGS.items() if name in curves), frame, ax)


def draw_pseudo_quality(quality: pd.DataFrame, ax: Axes, value: str) -> Axes:
    """One value of the pseudo labels over the steps, mean over seeds with one standard deviation; colors and lines as in
    `draw_curves`.

    quality: of `table_4.pseudo_quality`.  value: a key of `table_4.QUALITY`.
    """
    for mine, look in by_column(quality):
        draw_band(mine["step"], mine[f"{value}_mean"], mine[f"{value}_sd"], ax, **look)
    above = "where several classes were named:\nright, above what one label could be"
    ax.set_title(above if value == "several_gain" else QUALITY[value], fontsize="medium")
    units = {"expansion_share": "% of the pool's pixels", "several_gain": "points"}
    if value in units:
        ax.axhline(0, color="black", lw=1)
    low, high = ax.get_ylim()
    ax.set(xlabel="step", ylabel=units.get(value, "% of the pseudo labels there"), xticks=sorted(quality["step"].unique()))
    ax.set_ylim(low if value == "several_gain" else max(0, low), min(100, high))
    ax.grid(alpha=0.3)
    return ax
