"""Lesson 00: the loop on one page; what is asked, and what it costs."""

import numpy as np

from ..select import top
from .exercise import Exercise


def ask_top(score: np.ndarray, unlabeled: np.ndarray, k: int) -> np.ndarray:
    """(k,) int64: the unlabeled superpixels of the highest score (N,), best first; without ties no generator is needed."""
    return top(score, k, unlabeled, np.random.default_rng(0)).ids


def labeled_percent(clicks: int, n: int) -> float:
    """Percent of n superpixels that were labeled by one click each."""
    return 100 * clicks / n


_SCORE = np.array([0.3, 0.9, 0.1, 0.8, 0.5])

EXERCISES: dict[str, Exercise] = {
    "ask_top": Exercise(
        key=ask_top,
        cases=(
            (_SCORE, np.array([True, True, True, True, True]), 2),
            (_SCORE, np.array([True, False, True, True, True]), 2),
            (_SCORE, np.array([True, False, True, False, True]), 3),
            (_SCORE - 2, np.array([True, True, False, True, True]), 2),  # below 0, such as logarithms of probabilities
        ),
        mistakes={
            "a superpixel that was labeled before must not be asked again": lambda s, u, k: np.argsort(-s)[:k],
            "these are the lowest scores; higher means 'ask me'": lambda s, u, k: np.argsort(np.where(u, s, np.inf))[:k],
            "these are scores; ids are wanted: argsort instead of sort": lambda s, u, k: np.sort(s[u])[::-1][:k],
            "you give a labeled superpixel the score 0, but other scores can be lower than 0; leave it out instead": (
                lambda s, u, k: np.argsort(-np.where(u, s, 0))[:k]
            ),
            "these are the right ones, but the best comes last; the best comes first": lambda s, u, k: ask_top(s, u, k)[::-1],
            "these are the right ones, but sorted by id; the best comes first": lambda s, u, k: np.sort(ask_top(s, u, k)),
            "these are places among the unlabeled ones, but ids count all superpixels": lambda s, u, k: np.argsort(-s[u])[:k],
        },
        see="oreal_lib/select.py",
    ),
    "labeled_percent": Exercise(
        key=labeled_percent,
        mistakes={"this is what is still unlabeled": lambda clicks, n: 100 - 100 * clicks / n},
        see="labels.clicks, len(pool)",
    ),
}
