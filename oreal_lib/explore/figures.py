"""The static twins of the explorers, rules and colors of `reports.figures`: what a widget begins with, drawn on a page.

`draw_*(..., ax) -> ax` for one picture, `draw_*(..., axes) -> axes` for several.
"""

from collections.abc import Sequence
from textwrap import shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..balance import class_debt
from ..draw import CLASS_COLORS, as_written, color_mask, draw_image, draw_selection, draw_uncertainty
from ..reports.figures import by_column, draw_curves, without_box
from ..reports.frames import active, full

WATER = "#88c5ee"


def draw_selection_browser(view: dict, axes: np.ndarray) -> np.ndarray:
    """What A and B ask in one image, the pixels' uncertainty, what the network takes them for, the truth; at last the numbers and the
    classes as a legend.

    view: of `view.view`.  axes: Axes, (6,) or (2, 3).
    """
    *pictures, words = np.ravel(axes)
    truth, prediction, n_classes = view["truth"], view["prediction"], len(view["classes"])
    for letter, side, ax in zip("AB", view["sides"], pictures, strict=False):
        text = f"{letter}: {side['title']}, {side['asked'].sum()} asked here\n{100 * side['border_share']:.0f} % of its query on true borders"
        draw_selection(view["image"], view["ids"], side["asked"], ax, text)
    low, high = view["uncertainty"].min(), view["uncertainty"].max()
    text = f"{shorten(view['score_name'], 40)} of each pixel\ndark {low:.2f}, light {high:.2f}"
    draw_uncertainty(view["uncertainty"], pictures[2], text)
    right = (prediction == truth)[truth < n_classes]
    accuracy = f"{100 * right.mean():.0f} % of the pixels right" if len(right) else "no pixel has a true class"
    draw_image(color_mask(prediction, n_classes), pictures[3], f"prediction before step {view['step']}\n{accuracy}")
    draw_image(color_mask(truth, n_classes), pictures[4], f"truth\n{shorten(view['name'], 40, placeholder='...')}")
    words.set_axis_off()
    as_written(words.text(0, 1, sentences(view), va="top", fontsize="small", transform=words.transAxes))
    present = [c for c in np.unique([truth, prediction]) if c < n_classes]
    handles = [Patch(color=CLASS_COLORS[c % len(CLASS_COLORS)], label=view["classes"][c]) for c in present]
    look = {"fontsize": "x-small", "frameon": False, "ncols": 2 + len(present) // 15, "borderpad": 0, "handlelength": 1}
    as_written(words.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 0), **look))
    return axes


def sentences(view: dict) -> str:
    """What the pictures of a view cannot count, in lines of text: how much of two queries differs, and where they ask."""
    (a, b), n = view["sides"], view["sides"][0]["n"]
    of = f"{view['differ']} of {n}"
    lines = [
        f"Step {view['step']}: {view['labeled']} of {view['pool']} superpixels labeled before.",
        f"A and B differ in {of} superpixels of the query." if view["differ"] else "A and B ask the same superpixels.",
        f"On true class borders: A {100 * a['border_share']:.0f} %, B {100 * b['border_share']:.0f} % of the query.",
    ]
    if view["run_asked"] is None:
        lines.append("The run itself did not ask in this step.")
    else:
        same = "exactly what A asks" if not view["run_differ"] else f"{view['run_differ']} superpixels that A does not"
        lines.append(f"The run really asked {same};\nhere {view['run_asked'].sum()} superpixels.")
    for letter, side in zip("AB", view["sides"], strict=True):
        if side["for_class"] is not None and side["asked"].any():
            owed = np.bincount(side["for_class"][side["asked"]], minlength=len(view["classes"]))
            named = ", ".join(f"{owed[c]} {view['classes'][c]}" for c in np.argsort(-owed, kind="stable") if owed[c])
            lines.append(f"{letter} asks here for the sake of\n{shorten(named, 60, placeholder=' ...')}.")
    return "\n".join(lines)


def draw_class_debt(counts: Sequence[int], budget: int, names: Sequence[str], ax: Axes) -> Axes:
    """OREAL Eq. 3 as water filling: what each class has, and the budget poured on the classes that have least, up to one level.

    counts: (C,) labeled superpixels.  budget: superpixels to ask.  names: C class names.  ValueError as of `class_debt`.
    """
    debt, counts = class_debt(counts, budget), np.asarray(counts)
    if len(names) != len(counts):
        raise ValueError(f"there are {len(names)} names for {len(counts)} classes; give one for each")
    at, top = np.arange(len(counts)), counts + debt
    highest, tilted = max(top.max(), 1), len(at) > 5
    ax.bar(at, counts, color=[CLASS_COLORS[c % len(CLASS_COLORS)] for c in at], width=0.8)
    ax.bar(at, debt, bottom=counts, color=WATER, width=0.8, edgecolor="white", hatch="//", lw=0)
    for x, owed, y in zip(at, debt, top + 0.015 * highest, strict=True):
        look = {"weight": "bold" if owed else None, "ha": "center", "va": "bottom"}
        ax.text(x, y, f"+{owed}" if owed else "0", fontsize="small", **look)
    handles = [Patch(color="#999999", label="labeled so far"), Patch(fc=WATER, ec="white", hatch="//", label="class debt")]
    if budget:
        level = top[debt > 0].min()
        ax.axhline(level, color="#0b5d94", ls="--", lw=1, zorder=0)
        handles.append(Line2D([], [], color="#0b5d94", ls="--", lw=1, label=f"water level {level}"))
    short = [shorten(str(n), 24, placeholder="...") for n in names]
    ax.set_xticks(at, short, rotation=30 if tilted else 0, ha="right" if tilted else "center")
    as_written(ax.xaxis)
    ax.set(ylim=(0, 1.1 * highest), ylabel="superpixels")
    ax.set_title(f"{budget} clicks for {np.count_nonzero(debt)} of {len(at)} classes", fontsize="medium", pad=26)
    ax.legend(handles=handles, fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderpad=0)
    return without_box(ax, visible=False)  # no grid, too


def class_names(frame: pd.DataFrame) -> list[str]:
    """The names of the classes of a frame of `frames.load`, or numbers where no finished run tells them."""
    told = [list(names) for names in frame.get("classes", []) if isinstance(names, list | tuple)]
    return told[0] if told else [f"class {c}" for c in range(len(frame["class_iou"].iloc[0]))]


def draw_curve_explorer(frame: pd.DataFrame, axes: np.ndarray, step: int) -> np.ndarray:
    """Learning curves, and beside them the IoU of every class in one step, in a pair (2,) of Axes. frame: of `frames.load` or
    `view.curves`."""
    ax, asking = draw_curves(frame, axes[0]), active(frame)
    if len(now := asking.loc[asking["step"] == step, "clicks"]):
        ax.axvline(now.mean(), color="#999999", lw=5, alpha=0.3, zorder=0)
    place = {"loc": "lower right"}
    if len(ax.get_legend_handles_labels()[1]) > 8:  # they would hide the curves
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 4, "frameon": False}
    ax.legend(fontsize="x-small", **place)
    draw_class_iou(frame, step, axes[1])
    return axes


def draw_class_iou(frame: pd.DataFrame, step: int, ax: Axes) -> Axes:
    """IoU of every class after a step, a bar for each column, mean over seeds; lines are one standard deviation. Mean is striped, max
    is plain. Full supervision B, where it was run, is a black mark.

    frame: of `frames.load` or `view.curves`.  ValueError if no run has finished the step.
    """
    names, asking = class_names(frame), active(frame)
    columns = list(by_column(asking[asking["step"] == step]))
    if not columns:
        raise ValueError(f"step is {step}, but no run shown has finished it; choose an earlier step")
    height, at = 0.8 / len(columns), np.arange(len(names))
    bars = {"lw": 0, "edgecolor": "white", "error_kw": {"elinewidth": 0.8, "ecolor": "#333333"}}
    for i, (runs, look) in enumerate(columns):
        iou = pd.DataFrame(100 * np.array(runs["class_iou"].tolist(), float))
        hatch = {"mean": "////", "max": "", "": ""}.get(runs["aggregate"].iloc[0], "....")
        color = {"color": look["color"], "label": look["label"], "hatch": hatch, "xerr": np.nan_to_num(iou.std(ddof=1))}
        ax.barh(at - 0.4 + height * (i + 0.5), iou.mean().to_numpy(), height, **bars, **color)
    if len(reference := full(frame)["class_iou"]):
        best = pd.DataFrame(100 * np.array(reference.tolist(), float)).mean()
        ax.plot(best, at, "|", color="black", ms=16, mew=1.5, label="all dominant labels (B)")
    ax.set_yticks(at, names)
    as_written(ax.yaxis)
    ax.invert_yaxis()
    ax.set(xlim=(0, 102), xlabel=f"IoU after step {step} (%)", axisbelow=True)
    return without_box(ax, "x", color="0.9")
