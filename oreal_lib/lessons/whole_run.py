"""Lesson 05, a whole run: mIoU, AuALC and the spread over seeds by hand, and the pictures of the last two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from ..draw import title
from ..metrics import aualc, miou
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
    ax.set_ylim(0, 1.15 * max(full, *score))
    ax.set_xlabel("clicks")
    ax.set_ylabel("mIoU")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def draw_seeds(wide: pd.DataFrame, pairs: Sequence[tuple[str, str]], ax: Axes) -> Axes:
    """Two columns of each pair side by side, a line for each seed: what is compared when runs are paired.

    wide: one row per seed, one column per name; AuALC in percent.  pairs: (a, b), drawn b first, for a - b.
    """
    ticks, names = [], []
    for i, (a, b) in enumerate(pairs):
        for seed, row in wide.iterrows():
            ax.plot(
                [3 * i, 3 * i + 1.7],
                [row[b], row[a]],
                "o-",
                color=f"C{seed}",
                ms=4,
                lw=1.2,
                label=f"seed {seed}" if not i else None,
            )
        ticks += [3 * i, 3 * i + 1.7]
        names += [title(b).replace(" ", "\n"), title(a).replace(" ", "\n")]
    ax.set_xticks(ticks, names, fontsize="small")
    ax.set_ylabel("AuALC (% of B)")
    ax.legend(fontsize="x-small", frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


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
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def paired_interval(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(2,) float64 lower and upper end of the 95 % t-interval of a - b, paired by place; a, b: (n,) one value per seed, n of 2 or more."""
    about = interval(pd.Series(np.asarray(a, float) - np.asarray(b, float)))
    return np.array([about["low"], about["high"]])


def _mean(iou: np.ndarray) -> float:
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), otherwise), where=np.asarray(below) > 0)


def _iou(m: np.ndarray, absent: float = np.nan) -> np.ndarray:
    return _ratio(np.diag(m).astype(float), m.sum(0) + m.sum(1) - np.diag(m), absent)


def _curve(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.trapezoid(y, x))


def _around(mean: float, half: float) -> np.ndarray:
    return np.array([mean - half, mean + half])


def _unpaired(a: np.ndarray, b: np.ndarray, pooled: bool) -> np.ndarray:
    return np.array(stats.ttest_ind(a, b, equal_var=pooled).confidence_interval(0.95))


def _t(n: int) -> float:
    return float(stats.t.ppf(0.975, n - 1))


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
            "this is the pixel accuracy: the share of right pixels, which the most frequent class decides; IoU counts by class": (
                lambda m: float(np.diag(m).sum() / m.sum())
            ),
            "this is the mean recall, TP / (TP + FN): divide by the row and the column, for a class that is predicted "
            "everywhere has a recall of 1": lambda m: _mean(_ratio(np.diag(m).astype(float), m.sum(1))),
            "this is the mean precision, TP / (TP + FP): the pixels of the class that were missed (its row) belong below, too": (
                lambda m: _mean(_ratio(np.diag(m).astype(float), m.sum(0)))
            ),
            "these are the IoUs of the classes; their mean is wanted": _iou,
            "a class that does not occur has 0 / 0, which is NaN; leave it out of the mean": lambda m: float(np.mean(_iou(m))),
            "row + column counts the right pixels twice; take the diagonal away once": (
                lambda m: _mean(_ratio(np.diag(m).astype(float), m.sum(0) + m.sum(1)))
            ),
            "this is Dice (F1), 2 TP / (2 TP + FP + FN), not IoU": (lambda m: _mean(_ratio(2.0 * np.diag(m), m.sum(0) + m.sum(1)))),
            "all classes in one: TP, FP and FN were summed before dividing; divide class by class, then take the mean": (
                lambda m: float(np.diag(m).sum() / (2 * m.sum() - np.diag(m).sum()))
            ),
            "a class in neither truth nor prediction counts as 0 here: nobody made a mistake with it, so leave it out": (
                lambda m: float(np.mean(_iou(m, 0.0)))
            ),
            "a class in neither truth nor prediction counts as 1 here, a gift of 1/C that grows with the number of absent "
            "classes: leave it out": lambda m: float(np.mean(_iou(m, 1.0))),
            "a class that is predicted but never true was left out: its pixels are mistakes, so its IoU is 0 and counts": (
                lambda m: float(np.mean(_iou(m, 0.0)[m.sum(1) > 0]))
            ),
            "a class that is true but never predicted was left out: all of it was missed, so its IoU is 0 and counts": (
                lambda m: float(np.mean(_iou(m, 0.0)[m.sum(0) > 0]))
            ),
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
            "this is the mean of the ratios score / full: with uneven clicks a point counts for the clicks around it, and the two "
            "ends for half": lambda x, y, full: 100 * float(np.mean(y)) / full,
            "you took every step as equally wide; each trapezoid is as wide as the clicks between its two ends (np.diff)": (
                lambda x, y, full: 100 * _curve(range(len(y)), y) / ((len(y) - 1) * full)
            ),
            "your trapezoids are all 1 wide, but the frame is x_T - x_1 wide; a trapezoid is as wide as the clicks between its ends": (
                lambda x, y, full: 100 * _curve(range(len(y)), y) / ((x[-1] - x[0]) * full)
            ),
            "heights and widths are exchanged: np.trapezoid(score, clicks) takes the heights first": (
                lambda x, y, full: 100 * _curve(y, x) / ((x[-1] - x[0]) * full)
            ),
            "you divide by all clicks, x_T: the area begins at x_1, so the frame is x_T - x_1 wide": (
                lambda x, y, full: 100 * _curve(x, y) / (x[-1] * full)
            ),
            "full is missing: this is the mean height in percent of 1, and a network at B would not get 100": (
                lambda x, y, full: 100 * _curve(x, y) / (x[-1] - x[0])
            ),
            "you divide by the last score of the run itself: then a strategy that ends badly looks good; the frame is as high as "
            "full": lambda x, y, full: 100 * _curve(x, y) / ((x[-1] - x[0]) * y[-1]),
            "you sum rectangles with the height of their left end; a trapezoid has the mean of both ends": (
                lambda x, y, full: 100 * float(np.dot(np.diff(x), y[:-1])) / ((x[-1] - x[0]) * full)
            ),
            "you sum rectangles with the height of their right end; a trapezoid has the mean of both ends": (
                lambda x, y, full: 100 * float(np.dot(np.diff(x), y[1:])) / ((x[-1] - x[0]) * full)
            ),
            "the width of the frame is missing: divide by (x_T - x_1) * full": lambda x, y, full: 100 * _curve(x, y) / full,
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
            "this is the interval of two unpaired samples: what a seed does to both runs stays in it; take a - b first, seed by "
            "seed": lambda a, b: _around(
                np.mean(a) - np.mean(b), _t(len(a)) * np.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / len(a))
            ),
            "this is the interval of two heaps (Welch's); a and b are paired, so take a - b first, seed by seed: what a seed does to both "
            "runs goes away": lambda a, b: _unpaired(a, b, False),
            "this is the interval of two heaps with one variance for both (Student's); a and b are paired, so take a - b first, seed "
            "by seed: what a seed does to both runs goes away": lambda a, b: _unpaired(a, b, True),
            "these are the mean and the half width; the two ends are wanted, mean - half and mean + half": (
                lambda a, b: np.array([np.mean(a - b), np.ptp(paired_interval(a, b)) / 2])
            ),
            "the lower end comes first": lambda a, b: paired_interval(a, b)[::-1],
            "1.96 is for many seeds: with n differences take t of n - 1 degrees of freedom, 2.78 for five": (
                lambda a, b: _around(np.mean(a - b), 1.96 * np.std(a - b, ddof=1) / np.sqrt(len(a)))
            ),
            "the standard deviation divides by n here (numpy's own rule); a sample of n needs n - 1: ddof=1": (
                lambda a, b: _around(np.mean(a - b), _t(len(a)) * np.std(a - b) / np.sqrt(len(a)))
            ),
            "this is where a single difference may lie; the mean of n is surer by the square root of n": (
                lambda a, b: _around(np.mean(a - b), _t(len(a)) * np.std(a - b, ddof=1))
            ),
            "n degrees of freedom were taken; one is spent on the mean: n - 1": (
                lambda a, b: _around(np.mean(a - b), stats.t.ppf(0.975, len(a)) * np.std(a - b, ddof=1) / np.sqrt(len(a)))
            ),
            "0.95 leaves 5 % above and another 5 % below, an interval of 90 %; take t at 0.975": (
                lambda a, b: _around(np.mean(a - b), stats.t.ppf(0.95, len(a) - 1) * np.std(a - b, ddof=1) / np.sqrt(len(a)))
            ),
        },
        see="oreal_lib/reports/frames.py",
    ),
}
