"""Lesson 06: a person is the oracle; how right is she, and what do two people agree on?"""

import numpy as np

from ..annotate.board import UNLABELED
from ..annotate.several.merge import agreed
from ..types import IGNORE
from .against import right_share
from .exercise import Exercise

_ANSWERS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)  # the fourth is void

EXERCISES: dict[str, Exercise] = {
    "right_share": Exercise(
        key=right_share,
        cases=(
            (np.array([0, 1, 0, IGNORE, UNLABELED], np.uint8), _ANSWERS),
            (np.array([0, IGNORE, UNLABELED, 0, 1], np.uint8), _ANSWERS),
            (np.array([2, UNLABELED, UNLABELED, IGNORE, 0], np.uint8), _ANSWERS),
        ),
        mistakes={
            "argmax of a row without any True is 0, so a void answer passes for the first class": (
                lambda codes, answers: right_share(codes, np.eye(answers.shape[1], dtype=bool)[answers.argmax(axis=1)])
            ),
            "unlabeled superpixels are not mistakes; leave them out": (
                lambda codes, answers: right_share(codes, answers) * np.mean(codes != UNLABELED)
            ),
            "void is an answer, too: whoever says void where the oracle does is right": (
                lambda codes, answers: right_share(np.where(codes == IGNORE, UNLABELED, codes), answers)
            ),
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
            "where two people differ nobody is right until somebody decides; leave it unlabeled": (
                lambda codes: np.where(codes[0] != UNLABELED, codes[0], codes[1])
            ),
            "what only one of them labeled is not a conflict; keep her label": (
                lambda codes: np.where((codes == codes[0]).all(axis=0), codes[0], UNLABELED)
            ),
            "void is a label, and can contradict another": lambda codes: agreed(np.where(codes == IGNORE, UNLABELED, codes)),
        },
        see="oreal_lib/annotate/several/merge.py",
    ),
}
