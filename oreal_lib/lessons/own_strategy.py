"""Lesson 07: a strategy of one's own is a function; the contract judges it, a race shows what it is worth."""

from __future__ import annotations

import numpy as np

from ..aggregate import Regions
from ..scores import bvsb, entropy, ovr_entropy
from ..select import top
from ..types import Labels, Query
from .contract import bought, pool
from .exercise import Exercise


def entropy_top(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """The superpixels of highest entropy: the plainest of all strategies; not in the paper."""
    return top(regions(entropy, how)[:, 0], budget, labels.unlabeled, rng)


def _case(seed: int, budget: int, how: str) -> tuple:
    return pool(seed)[2], bought(seed), budget, how, np.random.default_rng(seed)


def _cases() -> tuple[tuple, ...]:
    return _case(0, 9, "max"), _case(1, 5, "mean"), _case(2, 40, "max")


def _labeled_too(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    return top(regions(entropy, how)[:, 0], budget, np.ones(len(labels.asked_in), bool), rng)


def _always_max(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    return entropy_top(regions, labels, budget, "max", rng)


def _always_mean(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    return entropy_top(regions, labels, budget, "mean", rng)


def _by_bvsb(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    return top(regions(bvsb, how)[:, 0], budget, labels.unlabeled, rng)


def _by_class_0(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    return top(regions(ovr_entropy, how)[:, 0], budget, labels.unlabeled, rng)


def _surest(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    return top(-regions(entropy, how)[:, 0], budget, labels.unlabeled, rng)


EXERCISES: dict[str, Exercise] = {
    "entropy_top": Exercise(
        key=entropy_top,
        cases=_cases,
        mistakes={
            "it asks superpixels that are labeled already; choose among labels.unlabeled": _labeled_too,
            "it aggregates by max whatever `how` says; hand `how` on to regions": _always_max,
            "it aggregates by mean whatever `how` says; hand `how` on to regions": _always_mean,
            "that is BvSB, which looks at the best two classes only; the entropy of all is wanted (scores.entropy)": _by_bvsb,
            "that is the one-vs-rest entropy of class 0; the entropy of all classes is wanted (scores.entropy)": _by_class_0,
            "it asks the surest superpixels; higher means 'ask me'": _surest,
        },
        see="one line: select.top of regions(entropy, how)",
    ),
}
