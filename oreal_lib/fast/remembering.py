"""Answers that are kept: a strategy that asks several times, or several strategies, look at the pool once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np


class Remembering:
    """Regions that answer a question they were asked before without another look at the pool. Plain twin: `aggregate.Regions`.

    regions: those that are asked.  hows: aggregations; the first question about a pixel score with one of them is answered for all
    of them in the same pass.
    """

    def __init__(self, regions: Any, hows: tuple[str, ...] = ()) -> None:
        self.superpixels, self.n_classes = regions.superpixels, regions.n_classes
        self._regions, self._hows = regions, hows
        self._known: dict[tuple, np.ndarray] = {}

    def __call__(self, pixel_score: Callable, how: str) -> np.ndarray:
        """(N, K) float32 (int64 for "vote"), as of `Regions`."""
        return self.together((pixel_score, how))[0]

    def together(self, *questions: tuple[Callable, str]) -> list[np.ndarray]:
        """One array each, (N, K) float32, int64 for "vote", as of `Regions`; only what was never asked costs a pass."""
        wanted = {}
        for score, how in questions:
            if (how, _key(score)) not in self._known:
                hows = self._hows if how in self._hows and len(questions) == 1 else (how,)
                wanted |= {(h, _key(score)): (score, h) for h in hows}
        if wanted:
            self._known.update(zip(wanted, self._regions.together(*wanted.values()), strict=True))
        return [self._known[how, _key(score)] for score, how in questions]


def _key(score: Callable) -> object:
    """Equal for pixel scores that are the same function of a pixel, also where a strategy made one of numbers."""
    if isinstance(score, partial):
        return score.func, score.args, tuple((k, np.asarray(v).tobytes()) for k, v in sorted(score.keywords.items()))
    return score
