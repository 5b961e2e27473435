"""Lesson 03: from pixels to superpixels by mean, by max, and by what lies between."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes

from ..aggregate import by_superpixel
from ..draw import ASKED
from ..reports.figures import without_box
from .exercise import Exercise

PIXELS = ((0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.8, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.5,) * 8)
HOWS = ("mean", "max", "top_0.25")


def aggregated(score: torch.Tensor, ids: torch.Tensor, n: int, how: str) -> torch.Tensor:
    """(n,) float32: pixel scores (H, W) of one image, aggregated over the superpixels ids (H, W) int64 in 0..n-1."""
    return by_superpixel(score[None], ids, n, how)[:, 0]


def of_one(score: np.ndarray, how: str) -> float:
    """The aggregate of the pixel scores (m,) of a single superpixel."""
    return float(aggregated(torch.tensor(score, dtype=torch.float32)[None], torch.zeros(1, len(score), dtype=torch.int64), 1, how))


def mean_of_top(score: np.ndarray, share: float) -> float:
    """The mean of the most unsure share in (0, 1] of the pixel scores (m,) of one superpixel, rounded up to whole pixels."""
    return of_one(score, f"top_{share}")


def winners() -> list[int]:
    """Which of the three superpixels PIXELS has the highest score by each of HOWS."""
    return [int(np.argmax([of_one(np.array(score), how) for score in PIXELS])) for how in HOWS]


def _of_highest(score: np.ndarray, take: float) -> float:
    """The mean of the highest `take`, at least one."""
    return float(np.mean(np.sort(score)[::-1][: max(1, int(take))]))


_IDS = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1]])
_UNSURE = torch.tensor([[0, 0, 0.9, 0.5], [0, 0, 0.0, 0.5]])
_EIGHT = np.array([0.1, 0.9, 0.3, 0.5, 0.2, 0.4, 0.8, 0.0])

EXERCISES: dict[str, Exercise] = {
    "superpixel_max": Exercise(
        key=lambda score, ids, n: aggregated(score, ids, n, "max"),
        cases=(
            (_UNSURE, _IDS, 2),
            (_UNSURE, torch.tensor([[0, 0, 2, 3], [0, 0, 2, 3]]), 4),  # nobody has id 1
            (torch.tensor([[-3.0, -1.0], [-2.0, -4.0]]), torch.tensor([[0, 0], [1, 1]]), 2),  # logarithms are scores, too
            (torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.int64), 1),
        ),
        mistakes={
            "that is the mean, which dilutes one unsure pixel among many": lambda s, i, n: aggregated(s, i, n, "mean"),
            "that is the sum: size alone would win": lambda s, i, n: torch.zeros(n).index_add(0, i.flatten(), s.flatten()),
            "your maxima begin at 0, so an id without a pixel, or with scores below 0, gets 0; begin at -inf": (
                lambda s, i, n: torch.zeros(n).scatter_reduce(0, i.flatten(), s.flatten(), "amax")
            ),
            "that is the surest pixel; higher means 'ask me', so take the highest": lambda s, i, n: -aggregated(-s, i, n, "max"),
        },
        see="oreal_lib/aggregate.py",
    ),
    "mean_of_top": Exercise(
        key=mean_of_top,
        cases=(
            (_EIGHT, 0.25),
            (_EIGHT[:6], 0.25),  # 1.5 pixels: two
            (_EIGHT, 0.3),  # 2.4 pixels: three
            (np.array([0.6, 0.1, 0.9, 0.6]), 0.5),  # two, though the second and the third are equal
            (_EIGHT[:4], 0.3),  # 1.2 pixels: two
            (np.array([0.2, 0.9, 0.7]), 0.1),  # 0.3 pixels: one, the maximum
            (np.array([0.2, 0.9, 0.7]), 1.0),  # all: the mean
            (np.array([0.6, 0.6, 0.6, 0.6, 0.0]), 0.5),
        ),
        mistakes={
            "you round to the nearest; round up (np.ceil): 2.4 pixels are three": lambda s, p: _of_highest(s, round(len(s) * p)),
            "you round down; round up (np.ceil), so that one pixel is left": lambda s, p: _of_highest(s, len(s) * p),
            "you take the pixels from a quantile on, with all that equal it; count pixels": lambda s, p: s[
                s >= np.quantile(s, 1 - p)
            ].mean(),
            "one pixel too many where nothing is to be rounded (np.ceil)": lambda s, p: _of_highest(s, int(len(s) * p) + 1),
            "that is a quantile, one value; take the mean of the pixels at the top": lambda s, p: np.quantile(s, 1 - p),
            "that is the lowest of those you took; take their mean": lambda s, p: np.sort(s)[-int(np.ceil(len(s) * p))],
            "these are the surest pixels: sort the highest scores to the front": lambda s, p: -mean_of_top(-s, p),
        },
        see="oreal_lib/aggregate.py",
    ),
    "winners": Exercise(
        key=winners,
        mistakes={
            "mean and max are exchanged": lambda: [winners()[i] for i in (1, 0, 2)],
            "superpixels are counted from 0": lambda: [w + 1 for w in winners()],
            "top_0.25 looks at two of eight pixels; superpixel 1 has two unsure ones": lambda: [winners()[i] for i in (0, 1, 1)],
        },
        see="oreal_lib/aggregate.py",
    ),
}


def draw_by_hand(score: np.ndarray, ids: np.ndarray, ax: Axes, text: str = "") -> Axes:
    """Pixel scores (H, W) in [0, 1] as numbers on their color, dark = sure; a line between superpixels of the ids (H, W)."""
    ax.imshow(score, cmap="magma", vmin=0, vmax=1)
    for (y, x), value in np.ndenumerate(score):
        ax.text(x, y, f"{value:g}", ha="center", va="center", color="black" if value > 0.6 else "white")
    for y, x in np.argwhere(ids[:, 1:] != ids[:, :-1]):
        ax.plot([x + 0.5, x + 0.5], [y - 0.5, y + 0.5], color=ASKED, lw=3)
    for y, x in np.argwhere(ids[1:] != ids[:-1]):
        ax.plot([x - 0.5, x + 0.5], [y + 0.5, y + 0.5], color=ASKED, lw=3)
    ax.set_title(text, fontsize="medium")
    ax.set_axis_off()
    return ax


def draw_ladder(shares: Mapping[str, float], by_lot: float, ax: Axes, text: str = "") -> Axes:
    """A bar per aggregation, from mean to max: the share in [0, 1] of its query on true class borders; dashed: by lot."""
    at = np.arange(len(shares))
    ax.bar(at, [100 * v for v in shares.values()], color="#4477aa", width=0.7)
    for x, v in zip(at, shares.values(), strict=True):
        ax.text(x, 1, f"{100 * v:.0f}", ha="center", color="white", fontsize="small")
    ax.axhline(100 * by_lot, color="black", ls="--", lw=1, label=f"by lot: {100 * by_lot:.0f} %")
    ax.set_xticks(at, shares, rotation=30, ha="right")
    ax.set(ylim=(0, 115 * max(*shares.values(), by_lot)), ylabel="of the query on borders (%)")
    ax.set_title(text, fontsize="medium")
    ax.legend(frameon=False, loc="upper left", fontsize="small")
    return without_box(ax, visible=False)  # no grid, too


def draw_by_size(size: np.ndarray, by: Mapping[str, np.ndarray], ax: Axes, text: str = "") -> Axes:
    """A dot per superpixel and aggregation: its score over its size (n,) in pixels."""
    for (how, score), color in zip(by.items(), ("#888888", "#cc6677", "#4477aa"), strict=False):
        ax.plot(size, score, ".", ms=3, color=color, label=how)
    ax.set(xlabel="pixels of the superpixel", ylabel="score")
    ax.set_title(text, fontsize="medium")
    ax.legend(frameon=False, fontsize="small", markerscale=3)
    return without_box(ax, visible=False)  # no grid, too
