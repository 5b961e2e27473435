"""Lesson 01: what a click buys, and the price of the dominant label."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..data.label_cost import painted_confusion
from ..draw import color_mask, draw_image, draw_truth
from ..metrics import miou
from ..oracle import class_votes, dominant_label
from ..reports.figures import without_box
from ..superpixels import SuperpixelRecipe, superpixels
from ..superpixels.seeds import predicted_count
from ..types import IGNORE
from .exercise import Exercise

WRONG = (255, 0, 200)  # no class has this color


def share_right(votes: np.ndarray) -> float:
    """Share of the pixels with a class, in [0, 1], that are painted in it if every superpixel is bought (void rule "vote").

    votes: (N, C + 1) of `oracle.class_votes`.  NaN where no pixel has a class.
    """
    pixels = int(votes[:, :-1].sum())
    return float(np.trace(painted_confusion(votes)) / pixels) if pixels else float("nan")


def images_within_budget(budget: int, width: int, height: int, asked: int, levels: int) -> int:
    """How many images of width x height pixels `budget` clicks label completely, a click for each superpixel that SEEDS makes when
    asked for `asked`. ValueError as of `predicted_count`."""
    return budget // predicted_count(width, height, asked, levels)


def cut_cost(
    images: np.ndarray, truth: np.ndarray, recipe: SuperpixelRecipe, counts: Sequence[int], n_classes: int
) -> pd.DataFrame:
    """What dominant labels are worth by the number of superpixels asked for; one row for each of `counts`.

    images: (n, H, W, 3) uint8.  truth: (n, H, W) uint8.  Columns: method, asked, clicks (superpixels an image, mean), right and
    miou (of all images together, in [0, 1]).
    """
    rows = []
    for count in counts:
        votes = []
        for image, mask in zip(images, truth, strict=True):
            ids = superpixels(image, replace(recipe, count=count))
            votes.append(class_votes(mask, ids, int(ids.max()) + 1, n_classes))
        together = np.concatenate(votes)
        quality = {"right": share_right(together), "miou": miou(painted_confusion(together))}
        rows.append({"method": recipe.method, "asked": count, "clicks": len(together) / len(votes), **quality})
    return pd.DataFrame(rows)


def draw_cut_cost(table: pd.DataFrame, ax: Axes) -> Axes:
    """Pixels that one label per superpixel gets wrong, over clicks per image; a line for each method. table: of `cut_cost`."""
    looks = {"grid": ("#777777", "s", "--"), "slic": ("#0077bb", "^", "-."), "seeds": ("#cc3311", "o", "-")}
    for method, (color, marker, line) in looks.items():
        mine = table[table["method"] == method]
        if len(mine):
            ax.plot(mine["clicks"], 100 * (1 - mine["right"]), color=color, marker=marker, ls=line, label=method)
    ax.set(xlabel="superpixels an image (clicks to label all of it)", ylabel="pixels with the wrong label (%)")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="small", frameon=False)
    return without_box(ax)


def draw_lost(image: np.ndarray, ids: np.ndarray, truth: np.ndarray, classes: tuple[str, ...], axes: np.ndarray) -> np.ndarray:
    """In a row of 4 axes: the image; every superpixel in its dominant label; what that gets wrong, in pink; the truth.

    image: (H, W, 3) uint8.  ids: (H, W) of its superpixels.  truth: (H, W) uint8.
    """
    n = int(ids.max()) + 1
    answers = dominant_label(class_votes(truth, ids, n, len(classes)))
    painted = np.where(answers.any(axis=1), answers.argmax(axis=1), IGNORE)[ids].astype(np.uint8)
    wrong = (painted != truth) & (truth != IGNORE)
    marked = color_mask(painted, len(classes)) // 4 + 190
    marked[wrong] = WRONG
    draw_image(image, axes[0], "image")
    draw_image(color_mask(painted, len(classes)), axes[1], f"{n} dominant labels: {n} clicks")
    draw_image(marked, axes[2], f"wrong: {wrong.sum()} of {wrong.size} pixels")
    draw_truth(truth, classes, axes[3], "truth")
    return axes


def _half_a_vote_more(votes: np.ndarray, void: str, column: int) -> np.ndarray:
    """The dominant label where one column wins each tie, and where nothing voted."""
    return dominant_label(votes + 0.5 * np.eye(votes.shape[1])[column], void)


def _every_winner(votes: np.ndarray, void: str) -> np.ndarray:
    best = (votes if void == "vote" else votes[:, :-1]).max(axis=1, keepdims=True)
    return (votes[:, :-1] == best) & (best > 0)


EXERCISES: dict[str, Exercise] = {
    "dominant_label_of_votes": Exercise(
        key=dominant_label,
        cases=(
            (np.array([[3, 1, 0], [0, 9, 2]]), "vote"),
            *((np.array([[1, 0, 3], [0, 0, 4], [2, 3, 2]]), void) for void in ("vote", "exclude")),  # much void
            *((np.array([[2, 2, 0, 0], [0, 3, 3, 0], [1, 1, 0, 2], [2, 0, 0, 2]]), void) for void in ("vote", "exclude")),  # ties
        ),
        mistakes={
            'void wins although the rule is "exclude": leave the last column out there': lambda v, void: dominant_label(v, "vote"),
            'void never wins, but by the rule "vote" it is a candidate like any class': lambda v, void: dominant_label(
                v, "exclude"
            ),
            "on a tie the last one wins; the rule is the lowest id, and argmax takes the first": (
                lambda v, void: dominant_label(v * (1 + 0.001 * np.arange(v.shape[1])), void)
            ),
            "void wins a tie here; between a class and void the class wins": lambda v, void: _half_a_vote_more(v, void, -1),
            "a superpixel of nothing but void became class 0: argmax of zeros is 0, so ask whether any pixel voted": (
                lambda v, void: _half_a_vote_more(v, void, 0)
            ),
            "a tie gave two classes; one click names one class, the one with the lowest id": _every_winner,
        },
        see="oreal_lib/oracle.py",
    ),
    "share_right": Exercise(
        key=share_right,
        cases=(
            (np.array([[3, 1, 0], [0, 3, 1], [2, 2, 0], [0, 1, 3]]),),
            (np.array([[90, 10, 0], [0, 1, 0]]),),
            (np.array([[4, 0, 0], [0, 0, 4]]),),
        ),
        mistakes={
            "this is the mean over superpixels; count pixels": lambda v: np.mean(v[:, :-1].max(axis=1) / v.sum(axis=1)),
            "you divide by all pixels; divide by those with a class": lambda v: np.trace(painted_confusion(v)) / v.sum(),
            "void counts as right here; a pixel is right if its own class was painted": lambda v: v.max(axis=1).sum() / v.sum(),
            'a superpixel whose answer is void paints no class, so its pixels are lost (rule "vote")': (
                lambda v: v[:, :-1].max(axis=1).sum() / v[:, :-1].sum()
            ),
        },
        see="oreal_lib/data/label_cost.py, painted_confusion",
    ),
    "images_within_budget": Exercise(
        key=images_within_budget,
        mistakes={
            "you pay for what SEEDS makes (predicted_count), not for what you ask for": lambda budget, *recipe: budget // recipe[2],
            "only whole images count: round down": lambda budget, *recipe: budget / predicted_count(*recipe),
            "so many superpixels are in an image; how many images do the clicks pay for?": lambda _, *recipe: predicted_count(
                *recipe
            ),
        },
        see="oreal_lib/superpixels/seeds.py, predicted_count",
    ),
}
