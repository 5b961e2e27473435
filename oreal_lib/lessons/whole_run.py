"""Lesson 05, a whole run: mIoU, AuALC and the spread over seeds by hand, and the pictures of the last two."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from ..draw import title
from ..metrics import aualc, class_iou, miou
from ..reports.figures import without_box
from ..reports.frames import interval
from .exercise import Exercise


def draw_area(clicks: Sequence[float], score: Sequence[float], full: float, ax: Axes) -> Axes:
    """A learning curve with the area under it, and the frame of a method that is at `full` in every step: AuALC is their ratio.

    clicks: (T,) increasing.  score: (T,) mIoU in [0, 1].  full: mIoU of full supervision B.
    """
    ax.fill_between(clicks, 0, score, color="#cc3311", alpha=0.25, lw=0)
    ax.vlines(clicks, 0, score, color="#cc3311", lw=0.8, ls=":")
    ax.plot(clicks, score, "o-", color="#cc3311", ms=4)
    ax.plot([clicks[0], clicks[0], clicks[-1], clicks[-1]], [0, full, full, 0], color="black", lw=1)
    ax.annotate("full supervision B", (clicks[0], full), (0, 3), textcoords="offset points", fontsize="small")
    for i in range(len(clicks) - 1):
        middle = ((clicks[i] + clicks[i + 1]) / 2, (score[i] + score[i + 1]) / 4)
        ax.annotate(f"{(clicks[i + 1] - clicks[i]) * (score[i] + score[i + 1]) / 2:.0f}", middle, ha="center", va="center")
    ax.set(ylim=(0, 1.15 * max(full, *score)), xlabel="clicks", ylabel="mIoU")
    return without_box(ax, visible=False)  # no grid, too


def draw_seeds(wide: pd.DataFrame, pairs: Sequence[tuple[str, str]], ax: Axes) -> Axes:
    """Two columns of each pair side by side, a line for each seed: what is compared when runs are paired.

    wide: one row per seed, one column per name; AuALC in percent.  pairs: (a, b), drawn b first, for a - b.
    """
    ticks, names = [], []
    for i, (a, b) in enumerate(pairs):
        for seed, row in wide.iterrows():
            label = None if i else f"seed {seed}"
            ax.plot([3 * i, 3 * i + 1.7], [row[b], row[a]], "o-", color=f"C{seed}", ms=4, lw=1.2, label=label)
        ticks += [3 * i, 3 * i + 1.7]
        names += [title(b).replace(" ", "\n"), title(a).replace(" ", "\n")]
    ax.set_xticks(ticks, names, fontsize="small")
    ax.set_ylabel("AuALC (% of B)")
    ax.legend(fontsize="x-small", frameon=False, loc="lower right")
    return without_box(ax, visible=False)  # no grid, too


def draw_differences(differences: Mapping[str, pd.Series], ax: Axes) -> Axes:
    """Paired differences, a row for each name: a dot per seed, beneath them the mean and its 95 % t-interval; 0 is a line."""
    for y, d in enumerate(differences.values()):
        ax.plot(d, np.full(len(d), y - 0.14), "o", color="#777777", ms=5, alpha=0.7, mew=0)
        about = interval(d)
        ax.plot([about["low"], about["high"]], [y + 0.14] * 2, color="black", lw=1.5)
        ax.plot(about["mean"], y + 0.14, "D", color="black", ms=5)
    ax.axvline(0, color="#cc3311", lw=1)
    ax.set_yticks(range(len(differences)), list(differences))
    ax.set_ylim(len(differences) - 0.5, -0.5)
    ax.set_xlabel("points of AuALC: seeds (gray), mean with 95 % interval (black)")
    return without_box(ax, "x")


def paired_interval(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(2,) float64 lower and upper end of the 95 % t-interval of a - b, paired by place; a, b: (n,) one value per seed, n of 2 or more."""
    about = interval(pd.Series(np.asarray(a, float) - np.asarray(b, float)))
    return np.array([about["low"], about["high"]])


def _mean(m: np.ndarray, below: np.ndarray) -> float:
    """Mean over the classes of their right pixels over what is below, without 0 / 0."""
    return np.mean(np.diag(m)[below > 0] / below[below > 0])


def _area(x: Sequence[float], y: Sequence[float], width: float | None = None) -> float:
    """Area in percent of a frame 1 high, as wide as the curve or `width`."""
    return 100 * float(np.trapezoid(y, x)) / (width or x[-1] - x[0])


def _t_interval(d: np.ndarray, t: float | None = None, ddof: int = 1, root: float = 0.5) -> np.ndarray:
    t = stats.t.ppf(0.975, len(d) - 1) if t is None else t
    return np.mean(d) + np.array([-1, 1]) * t * np.std(d, ddof=ddof) / len(d) ** root


EXERCISES: dict[str, Exercise] = {
    "mean_iou": Exercise(
        key=miou,
        cases=(
            (np.array([[50, 3, 2], [4, 20, 6], [1, 5, 9]]),),
            (np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]),),  # class 2 is nowhere
            (np.array([[6, 2, 0], [1, 3, 4], [0, 0, 0]]),),  # class 2 is predicted, but never true
            (np.array([[6, 2, 0], [1, 3, 0], [4, 1, 0]]),),  # class 2 is true, but never predicted
            (np.array([[7, 0], [0, 2]]),),
        ),
        mistakes={
            "this is the pixel accuracy, which the most frequent class decides": lambda m: np.trace(m) / m.sum(),
            "this is the mean recall, TP / (TP + FN); the FP (rest of the column) belong below, too": lambda m: _mean(m, m.sum(1)),
            "this is the mean precision, TP / (TP + FP); the FN (rest of the row) belong below, too": lambda m: _mean(m, m.sum(0)),
            "these are the IoUs of the classes; their mean is wanted": class_iou,
            "a class that does not occur has 0 / 0, which is NaN; leave it out of the mean": lambda m: np.mean(class_iou(m)),
            "row + column counts the right pixels twice; take the diagonal away once": lambda m: _mean(m, m.sum(0) + m.sum(1)),
            "this is Dice (F1), 2 TP / (2 TP + FP + FN), not IoU": lambda m: 2 * _mean(m, m.sum(0) + m.sum(1)),
            "TP, FP and FN were summed over the classes; divide class by class": lambda m: (
                np.trace(m) / (2 * m.sum() - np.trace(m))
            ),
            "a class in neither truth nor prediction counts as 0 here; leave it out of the mean": (
                lambda m: np.nansum(class_iou(m)) / len(m)
            ),
            "a class in neither truth nor prediction counts as 1 here; leave it out of the mean": (
                lambda m: np.nan_to_num(class_iou(m), nan=1).mean()
            ),
            "a class that is predicted but never true has IoU 0; keep it in": lambda m: class_iou(m)[m.sum(1) > 0].mean(),
            "a class that is true but never predicted has IoU 0; keep it in": lambda m: class_iou(m)[m.sum(0) > 0].mean(),
        },
        see="oreal_lib/metrics.py",
    ),
    "area_under_the_curve": Exercise(
        key=aualc,
        cases=(
            ([100, 200, 300, 500], [0.2, 0.5, 0.6, 0.7], 0.75),
            ([10, 20], [0.3, 0.5], 0.8),
            ([154, 308, 462, 616, 770, 924], [0.25, 0.4, 0.45, 0.5, 0.55, 0.6], 0.65),
            ([50, 100, 300], [0.5, 0.7, 0.8], 0.7),  # beats B: more than 100
        ),
        mistakes={
            "this is the mean of score / full; but the clicks are uneven": lambda x, y, full: 100 * np.mean(y) / full,
            "all steps are equally wide here; take the clicks between them": lambda x, y, full: _area(range(len(y)), y) / full,
            "heights and widths are exchanged: np.trapezoid(score, clicks) takes the heights first": (
                lambda x, y, full: _area(y, x, width=x[-1] - x[0]) / full
            ),
            "the area begins at x_1, so the frame is x_T - x_1 wide, not x_T": lambda x, y, full: _area(x, y, width=x[-1]) / full,
            "full is missing: a network at B would not get 100": lambda x, y, full: _area(x, y),
            "the frame is as high as full; yours is as high as the run's own last score": lambda x, y, full: _area(x, y) / y[-1],
            "these are rectangles with the height of one end; a trapezoid has the mean of both ends": (
                lambda x, y, full: 100 * np.dot(np.diff(x), y[:-1]) / ((x[-1] - x[0]) * full)
            ),
            "the width of the frame is missing: divide by (x_T - x_1) * full": lambda x, y, full: _area(x, y, width=1) / full,
        },
        see="oreal_lib/metrics.py",
    ),
    "paired_interval": Exercise(
        key=paired_interval,
        cases=(
            (np.array([84.0, 86.0, 83.0, 88.0, 85.0]), np.array([72.0, 75.0, 74.0, 75.0, 76.0])),
            (np.array([60.0, 62.0, 70.0]), np.array([61.0, 61.5, 67.5])),
            (np.array([50.0, 70.0]), np.array([49.0, 67.0])),
        ),
        mistakes={
            "this interval is of b - a": lambda a, b: paired_interval(b, a),
            "these are unpaired samples (Welch's test), in which the spread over seeds stays; take a - b first, seed by seed": (
                lambda a, b: np.array(stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95))
            ),
            "these are mean and half width; the ends are wanted: mean - half, mean + half": (
                lambda a, b: np.array([np.mean(a - b), np.ptp(paired_interval(a, b)) / 2])
            ),
            "the lower end comes first": lambda a, b: paired_interval(a, b)[::-1],
            "1.96 is for many seeds; take t of n - 1 degrees of freedom, 2.78 for five": lambda a, b: _t_interval(a - b, t=1.96),
            "numpy's standard deviation divides by n, but that of a sample by n - 1: ddof=1": lambda a, b: _t_interval(
                a - b, ddof=0
            ),
            "a single difference may lie here; the mean of n is surer by the square root of n": lambda a, b: _t_interval(
                a - b, root=0
            ),
            "this is an interval of 90 %; take t at 0.975": lambda a, b: _t_interval(a - b, t=stats.t.ppf(0.95, len(a) - 1)),
        },
        see="oreal_lib/reports/frames.py",
    ),
}
