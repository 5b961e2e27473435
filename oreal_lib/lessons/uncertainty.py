"""Lesson 02: how unsure a pixel is, and why there is more than one answer."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from ..draw import draw_image, draw_truth, draw_uncertainty
from ..reports.figures import without_box
from ..scores import bvsb, bvsb_margin, entropy, ovr_entropy
from .exercise import Exercise

LOOKS = {  # of a score -> color and line
    "entropy": ("#0077bb", "-"),
    "BvSB, ratio": ("#cc3311", "-"),
    "BvSB, margin": ("#cc3311", ":"),
    "one-vs-rest entropy of class 0": ("#228833", "--"),
}

SHADES = 20  # of a map: as many as the eye tells apart, and a notebook of half the size


def as_batch(p: Sequence[Sequence[float]]) -> torch.Tensor:
    """(1, C, 1, n) float32: n pixels in a row, given as n distributions over C classes, in the shape that scores want."""
    return torch.tensor(p, dtype=torch.float32).T[None, :, None, :]


def all_scores(p: torch.Tensor) -> dict[str, np.ndarray]:
    """Score -> (n,) float32 of n pixels (1, C, 1, n), by the names in LOOKS."""
    values = (entropy(p)[:, 0], bvsb(p)[:, 0], bvsb_margin(p)[:, 0], ovr_entropy(p)[:, 0])
    return {name: value.flatten().numpy() for name, value in zip(LOOKS, values, strict=True)}


def who_is_asked(p: torch.Tensor, c: int, sign: int = 1) -> np.ndarray:
    """(3,) int64: which of n pixels (1, C, 1, n) entropy, BvSB and the one-vs-rest entropy of class c ask first; last: sign -1."""
    return np.array([int((sign * score).flatten().argmax()) for score in (entropy(p), bvsb(p), ovr_entropy(p)[:, c])])


def wrong_by_tenth(score: torch.Tensor, wrong: torch.Tensor) -> np.ndarray:
    """(10,) float64 in [0, 1]: share of wrong pixels in each tenth of all pixels, the surest tenth first.

    score: any shape, higher is more unsure.  wrong: bool of the same shape.
    """
    order = score.flatten().argsort(stable=True).numpy()
    return np.array([part.mean() for part in np.array_split(wrong.flatten().numpy()[order], 10)])


def share_found(score: torch.Tensor, truth: np.ndarray, c: int, part: float) -> float:
    """Share of class c, in [0, 1], among the most unsure `part` of the pixels (at least one). score and truth: of one shape."""
    k = max(1, round(part * score.numel()))
    return float((truth.ravel()[score.flatten().topk(k).indices.numpy()] == c).mean())


def draw_scores(axes: np.ndarray) -> np.ndarray:
    """The scores of all distributions of two classes, and of a path of three on which they disagree, in (2,) Axes."""
    x = np.linspace(0, 1, 201)
    t = np.linspace(0, 0.25, 101)
    for ax, at, p in ((axes[0], x, np.stack([x, 1 - x])), (axes[1], t, np.stack([0 * t + 0.5, 0.5 - t, t]))):
        for name, values in all_scores(as_batch(p.T)).items():
            ax.plot(at, values, color=LOOKS[name][0], ls=LOOKS[name][1], label=name, lw=2 if LOOKS[name][1] == "--" else 1.5)
        ax.set_ylim(0, 1.15)
        without_box(ax)
    axes[0].set(xlabel="P[0], and P[1] is the rest", ylabel="score")
    axes[0].set_title("two classes", fontsize="medium")
    axes[1].set_xlabel("P[2], taken from P[1]; P[0] stays 0.5")
    axes[1].set_title("three classes: half sure, the rest spreads", fontsize="medium")
    axes[1].legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def draw_maps(
    image: np.ndarray, truth: np.ndarray, maps: Mapping[str, torch.Tensor], classes: tuple[str, ...], axes: np.ndarray
) -> np.ndarray:
    """Image, a picture of each score (H, W) of `maps`, light where unsure, and at last the truth, in (len(maps) + 2,) Axes."""
    first, *others, last = np.ravel(axes)
    draw_image(image, first, "image")
    for ax, (name, score) in zip(others, maps.items(), strict=True):
        low, high = float(score.min()), float(score.max())
        shades = ((score.numpy() - low) * (SHADES / max(high - low, 1e-12))).round()
        draw_uncertainty(shades, ax, f"{name}\ndark {low:.2f}, light {high:.2f}")
    draw_truth(truth, classes, last, "truth")
    return axes


def draw_wrong(tenths: Mapping[str, np.ndarray], ax: Axes) -> Axes:
    """The share of wrong pixels in each tenth of the pixels, a line for each score. tenths: score -> (10,) of `wrong_by_tenth`."""
    for (name, shares), color in zip(tenths.items(), ("#0077bb", "#cc3311", "#228833"), strict=False):
        ax.plot(np.arange(1, 11), 100 * shares, "o-", ms=4, color=color, label=name)
    ax.set(xticks=np.arange(1, 11), xlabel="tenth of the pixels, from the surest to the most unsure")
    ax.set(ylim=(0, 100), ylabel="predicted wrongly (%)")
    ax.legend(fontsize="small", frameon=False)
    return without_box(ax)


_SURE = as_batch([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
_SPREAD = as_batch([[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.5, 0.2, 0.2, 0.1]])
_TWO_BY_TWO = torch.tensor([[[[0.9, 0.2], [0.4, 0.0]], [[0.1, 0.8], [0.6, 1.0]]]])

EXERCISES: dict[str, Exercise] = {
    "ovr_entropy": Exercise(
        key=ovr_entropy,
        cases=((_SPREAD,), (_TWO_BY_TWO,), (_SURE,)),
        mistakes={
            'the half of "not this class" is missing: add -(1 - P) ln(1 - P) (Eq. 1)': lambda p: -torch.xlogy(p, p),
            "this is the entropy of all classes together, one number a pixel; Eq. 1 has one for each class": entropy,
            "you summed over the classes; Eq. 1 has no sum": lambda p: ovr_entropy(p).sum(dim=1, keepdim=True),
            "the second half is P ln(1 - P); its factor is 1 - P, too": lambda p: -torch.xlogy(p, p) - torch.special.xlog1py(p, -p),
        },
        see="oreal_lib/scores.py",
    ),
    "bvsb": Exercise(
        key=bvsb,
        cases=((_SPREAD,), (_TWO_BY_TWO,), (_SURE,)),
        mistakes={
            "this is p1 - p2, which is high where the network is sure; p2 / p1 is wanted": lambda p: 1 - bvsb_margin(p),
            "this is 1 - (p1 - p2), BvSB as a margin; the ratio p2 / p1 is wanted": bvsb_margin,
            "this is p1 / p2, upside down: it is high where the network is sure, and divides by 0": lambda p: 1 / bvsb(p),
            "you took the classes 0 and 1; the best two differ from pixel to pixel (topk)": lambda p: p[:, 1:2] / p[:, :1],
            "this is the worst class over the best; the second best is wanted": lambda p: p.amin(1, True) / p.amax(1, True),
        },
        see="oreal_lib/scores.py",
    ),
    "who_is_asked": Exercise(
        key=who_is_asked,
        mistakes={
            "for class c you took the pixel with the highest P; but the network is sure there, it is unsure where P is near 0.5": (
                lambda p, c: np.array([*who_is_asked(p, c)[:2], int(p[0, c].argmax())])
            ),
            'these are the surest pixels; higher always means "ask me"': lambda p, c: who_is_asked(p, c, sign=-1),
            "pixels are counted from 0": lambda p, c: who_is_asked(p, c) + 1,
            "entropy looks at all classes of a pixel, BvSB at the best two": lambda p, c: who_is_asked(p, c)[[1, 0, 2]],
        },
        see="oreal_lib/scores.py",
    ),
}
