"""Lesson 06: a person is the oracle; how right was she, and what do two of them agree on?"""

from __future__ import annotations

import numpy as np

from ..annotate.board import UNLABELED
from ..annotate.several.merge import agreed
from ..types import IGNORE
from .against import right_share
from .exercise import Exercise

ANSWERS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)  # the fourth is void


def _void_is_class_0(codes: np.ndarray, answers: np.ndarray) -> float:
    said = codes != UNLABELED
    return float((codes == answers.argmax(axis=1))[said].mean())


def _of_all(codes: np.ndarray, answers: np.ndarray) -> float:
    return float((codes == np.where(answers.any(axis=1), answers.argmax(axis=1), IGNORE)).mean())


def _without_void(codes: np.ndarray, answers: np.ndarray) -> float:
    said = (codes != UNLABELED) & (codes != IGNORE)
    return float((codes == answers.argmax(axis=1))[said].mean())


def _first_wins(codes: np.ndarray) -> np.ndarray:
    return np.where(codes[0] != UNLABELED, codes[0], codes[1])


def _both_needed(codes: np.ndarray) -> np.ndarray:
    return np.where((codes == codes[0]).all(axis=0), codes[0], UNLABELED)


def _void_is_nothing(codes: np.ndarray) -> np.ndarray:
    return agreed(np.where(codes == IGNORE, UNLABELED, codes))


EXERCISES: dict[str, Exercise] = {
    "right_share": Exercise(
        key=right_share,
        cases=(
            (np.array([0, 1, 0, IGNORE, UNLABELED], np.uint8), ANSWERS),
            (np.array([0, IGNORE, UNLABELED, 0, 1], np.uint8), ANSWERS),
            (np.array([2, UNLABELED, UNLABELED, IGNORE, 0], np.uint8), ANSWERS),
        ),
        mistakes={
            "argmax of a row without any True is 0, so a void answer passes for the first class": _void_is_class_0,
            "superpixels that nobody labeled are no mistakes; leave them out": _of_all,
            "void is an answer, too: whoever says void where the oracle does is right": _without_void,
        },
        see="oreal_lib/lessons/against.py",
    ),
    "agreed": Exercise(
        key=agreed,
        cases=(
            (np.array([[0, 1, 2, UNLABELED, UNLABELED], [0, 2, UNLABELED, 1, UNLABELED]], np.uint8),),
            (np.array([[IGNORE, IGNORE, 0, IGNORE], [IGNORE, 1, IGNORE, UNLABELED]], np.uint8),),
        ),
        mistakes={
            "where two people differ nobody is right until somebody says who; leave it unlabeled": _first_wins,
            "what only one of them labeled is no conflict; keep her label": _both_needed,
            "void is a label like any other, and can contradict one": _void_is_nothing,
        },
        see="oreal_lib/annotate/several/merge.py",
    ),
}
