"""Lesson 07: a strategy of one's own is a function; the contract judges it, a race shows what it is worth."""

from collections.abc import Callable

import numpy as np
import torch

from ..aggregate import Regions
from ..scores import bvsb, entropy, ovr_entropy
from ..select import top
from ..types import Labels, Query
from .contract import bought, pool
from .exercise import Exercise


def entropy_top(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """The superpixels of highest entropy: the plainest of all strategies; not in the paper."""
    return top(regions(entropy, how)[:, 0], budget, labels.unlabeled, rng)


def _by(score: Callable[[torch.Tensor], torch.Tensor], sign: int = 1, how: str = "", labeled: bool = False) -> Callable[..., Query]:
    """As `entropy_top`, by another score, from the other end, by an aggregation of its own, or among the labeled, too."""
    return lambda regions, labels, budget, given, rng: top(
        sign * regions(score, how or given)[:, 0], budget, labels.unlabeled | labeled, rng
    )


def _case(seed: int, budget: int, how: str) -> tuple:
    return pool(seed)[2], bought(seed), budget, how, np.random.default_rng(seed)


EXERCISES: dict[str, Exercise] = {
    "entropy_top": Exercise(
        key=entropy_top,
        cases=lambda: (_case(0, 9, "max"), _case(1, 5, "mean"), _case(2, 40, "max")),
        mistakes={
            "it asks superpixels that are labeled already; choose among labels.unlabeled": _by(entropy, labeled=True),
            "it aggregates by max whatever `how` says; hand `how` on to regions": _by(entropy, how="max"),
            "it aggregates by mean whatever `how` says; hand `how` on to regions": _by(entropy, how="mean"),
            "that is BvSB, which looks at the best two classes only; the entropy of all is wanted (scores.entropy)": _by(bvsb),
            "that is the one-vs-rest entropy of class 0; the entropy of all classes is wanted (scores.entropy)": _by(ovr_entropy),
            "it asks the surest superpixels; higher means 'ask me'": _by(entropy, sign=-1),
        },
        see="one line: select.top of regions(entropy, how)",
    ),
}
