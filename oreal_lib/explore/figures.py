"""The static twins of the explorers, rules and colors of `reports.figures`: whatever a widget shows can be drawn on a page.

`draw_*(..., ax) -> ax` for one picture, `draw_*(..., axes) -> axes` for several.
"""

from collections.abc import Sequence
from textwrap import shorten

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import ndimage

from ..balance import class_debt
from ..draw import ASKED, CLASS_COLORS, as_written, color_mask, draw_image, draw_selection, draw_uncertainty
from ..reports.figures import by_column, draw_curves, without_box
from ..reports.frames import active, full
from ..strategies import choice

BASES = {  # what lies under the asked superpixels -> how it reads
    "image": "image",
    "score": "score of each superpixel",
    "rank": "rank: what is asked first, and what would come next",
    "asked_in": "what was asked when",
}
ABSCISSAS = {"clicks": "clicks", "labeled_pixels": "labeled pixels", "labeled_fraction": "labeled superpixels"}
WATER = "#88c5ee"
THIN = "#ffffff90"  # borders of superpixels that are not asked
MOST_NUMBERS = 40  # more than these hide the picture


def draw_selection_browser(view: dict, axes: np.ndarray, base: str = "image", borders: bool = False) -> np.ndarray:
    """What A and B ask in one image, the pixels' uncertainty, what the network takes them for, the truth; at last the numbers and the
    classes as a legend.

    view: of `view.view`.  axes: Axes, (6,) or (2, 3).  base: a key of BASES, beneath the superpixels A and B ask.
    borders: of all superpixels, in every picture.
    """
    *pictures, words = np.ravel(axes)
    ids, truth, prediction, n_classes = view["ids"], view["truth"], view["prediction"], len(view["classes"])
    for letter, side, ax in zip("AB", view["sides"], pictures, strict=False):
        draw_asked(view, side, ax, f"{letter}: {side['title']}, {side['asked'].sum()} asked here\n{_about_base(side, base)}", base)
    text = f"{shorten(view['score_name'], 40)} of each pixel\n{_range(view['uncertainty'])}"
    draw_uncertainty(view["uncertainty"], pictures[2], text)
    right = (prediction == truth)[truth < n_classes]
    accuracy = f"{100 * right.mean():.0f} % of the pixels right" if len(right) else "no pixel has a true class"
    draw_image(color_mask(prediction, n_classes), pictures[3], f"prediction before step {view['step']}\n{accuracy}")
    draw_image(color_mask(truth, n_classes), pictures[4], f"truth\n{shorten(view['name'], 40, placeholder='...')}")
    nobody = np.zeros(ids.max() + 1, bool)
    for i, ax in enumerate(pictures if borders else ()):
        _draw_over(_outlines(ids, ~(view["sides"][i]["asked"] if i < 2 else nobody), THIN), ax)
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


def draw_asked(view: dict, side: dict, ax: Axes, text: str = "", base: str = "image") -> Axes:
    """One image with yellow borders around what a strategy asks, on the image itself, each superpixel's score, its rank, or the step
    in which it was asked. view and side: of `view.view`.  base: a key of BASES, else ValueError."""
    ids, asked = view["ids"], side["asked"]
    choice("base", base, BASES)
    if base == "image":
        return draw_selection(view["image"], ids, asked, ax, text, scale=_scale(ids))
    if base == "score":
        draw_uncertainty(np.where(np.isfinite(side["score"]), side["score"], np.nan)[ids], ax, text)
    elif base == "rank":
        depth = max(side["rank"].max(), 1)
        _draw_shades(view, side["rank"], "Blues_r", 0, 1.15 * max(depth, 2 * side["n"]), ax, text)
        _draw_numbers(ids, np.where(asked, side["rank"], 0), ax)
    else:
        _draw_shades(view, view["asked_in"], "Purples", 1 - view["step"], view["step"], ax, text)
        _draw_numbers(ids, view["asked_in"], ax)
    _draw_over(_outlines(ids, asked, ASKED, strong=True), ax)
    return ax


def _about_base(side: dict, base: str) -> str:
    return {
        "score": f"superpixels' score, {_range(side['score'])}",
        "rank": f"first asked dark, 1 to {side['n']}; then what would follow",
        "asked_in": "number and color: the step it was asked in",
    }.get(base, f"{100 * side['border_share']:.0f} % of its query on true borders")


def _range(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"dark {finite.min():.2f}, light {finite.max():.2f}" if len(finite) else "no value"


def _scale(ids: np.ndarray) -> int:
    """How much finer than pixels borders are drawn: 1 where an image has pixels enough."""
    return max(1, round(400 / max(ids.shape)))


def _outlines(ids: np.ndarray, shown: np.ndarray, color: str, strong: bool = False) -> np.ndarray:
    """(H, W, 4) uint8: a fine line inside each superpixel `shown` (k,) bool, else nothing; strong: a wider one, with black inside
    it, to be seen on any color. Finer than `ids` by `_scale`."""
    fine = np.where(shown[ids], ids.astype(np.int32) + 1, 0).repeat(_scale(ids), axis=0).repeat(_scale(ids), axis=1)
    line = np.zeros(fine.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):  # a tenth of find_boundaries' time
        differ = fine[here] != fine[there]
        line[here] |= differ
        line[there] |= differ
    line &= fine > 0
    picture = np.zeros((*fine.shape, 4), np.uint8)
    if strong:
        wide = ndimage.binary_dilation(line) & (fine > 0)
        picture[ndimage.binary_dilation(wide) & (fine > 0)] = (0, 0, 0, 255)
        line = wide
    picture[line] = np.round(255 * np.array(mpl.colors.to_rgba(color)))
    return picture


def _draw_over(picture: np.ndarray, ax: Axes) -> None:
    ax.imshow(picture, extent=ax.images[0].get_extent(), interpolation="nearest")


def _draw_shades(view: dict, number: np.ndarray, cmap: str, low: float, high: float, ax: Axes, text: str) -> None:
    """Superpixels of a number (k,) > 0 in a shade of `cmap`, the rest of the image in pale gray."""
    gray = np.repeat(150 + 0.4 * view["image"].mean(axis=-1, keepdims=True), 3, axis=-1)
    shade = 255 * mpl.colormaps[cmap]((number - low) / (high - low))[:, :3]
    draw_image(np.where((number > 0)[view["ids"]][..., None], shade[view["ids"]], gray).astype(np.uint8), ax, text)


def _draw_numbers(ids: np.ndarray, number: np.ndarray, ax: Axes) -> None:
    """Each number > 0 in the middle of its superpixel, unless there are too many to read."""
    which = np.flatnonzero(number > 0)
    if len(which) <= MOST_NUMBERS:
        look = {"fontsize": 7, "ha": "center", "va": "center", "clip_on": True}
        back = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.3}  # a number may be wider than its superpixel
        for k, (y, x) in zip(which, ndimage.center_of_mass(ids >= 0, ids, which), strict=True):
            ax.text(x, y, str(number[k]), bbox=back, **look)


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
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def class_names(frame: pd.DataFrame) -> list[str]:
    """The names of the classes of a frame of `frames.load`, or numbers where no finished run tells them."""
    told = [list(names) for names in frame.get("classes", []) if isinstance(names, list | tuple)]
    return told[0] if told else [f"class {c}" for c in range(len(frame["class_iou"].iloc[0]))]


def draw_curve_explorer(
    frame: pd.DataFrame, axes: np.ndarray, step: int, x: str = "clicks", of_class: int | None = None
) -> np.ndarray:
    """Learning curves, and beside them the IoU of every class in one step, in a pair (2,) of Axes.

    frame: of `frames.load` or `view.curves`.  x: a key of ABSCISSAS.  of_class: the curves' class, or None for the mIoU.
    ValueError for another x or class.
    """
    names, curves = class_names(frame), frame
    choice("x", x, ABSCISSAS)
    if of_class is not None:
        if not 0 <= of_class < len(names):
            raise ValueError(f"of_class is {of_class}, but the classes are 0 to {len(names) - 1}; choose one of these")
        iou = [np.nan if row[of_class] is None else row[of_class] for row in frame["class_iou"]]
        curves = frame.assign(miou=np.array(iou, float))
    ax = draw_curves(curves, axes[0], x)
    if of_class is not None:
        as_written(ax.set_ylabel(f"IoU of {names[of_class]} on the test images (%)"))
    asking = active(frame)
    if len(now := asking.loc[asking["step"] == step, x]):
        ax.axvline(now.mean() * (1 if x == "clicks" else 100), color="#999999", lw=5, alpha=0.3, zorder=0)
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
