"""From tables of scores to a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from oreal_lib.balance import class_debt
from oreal_lib.select import top, top_per_class

from .acquisition import some_labels
from .bench import SEED, alike, bench
from .published import Scored, walked

PER_IMAGE = 2048


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for one number per superpixel, and one for a number per class."""
    n, query, n_classes = (4096, 60, 5) if tiny else (1_000_000, 100_000, 19)
    rng = np.random.default_rng(SEED)
    score = rng.random((n, n_classes), dtype=np.float32)
    labels = some_labels(n, n_classes, query, rng)
    debt = class_debt(labels.class_counts(), query)
    paths = [f"images/{i:06d}.png" for i in range(-(-n // PER_IMAGE))]
    place = {path: i * PER_IMAGE for i, path in enumerate(paths)}
    bought = {(paths[i // PER_IMAGE], i % PER_IMAGE) for i in np.flatnonzero(~labels.unlabeled).tolist()}

    def listed(columns: list[tuple[np.ndarray, int]]) -> np.ndarray:
        """(Q,) int64: from each score (N,) so many that were not asked before."""
        asked, query = set(bought), []
        for values, wanted in columns:
            scored: Scored = [(s, paths[i // PER_IMAGE], i % PER_IMAGE) for i, s in enumerate(values.tolist())]
            taken = walked(scored, asked, wanted)
            asked.update(taken)
            query += taken
        return np.array([place[path] + k for path, k in query], np.int64)

    turns = 1 if tiny else 3
    columns = [(score[:, c], int(d)) for c, d in enumerate(debt) if d]
    yield bench(
        "one score",
        "sorted list",
        lambda: top(score[:, 0], query, labels.unlabeled, np.random.default_rng(SEED)).ids,
        lambda: listed([(score[:, 0], query)]),
        turns,
        alike,
    )
    yield bench(
        "a score per class (OREAL)",
        "sorted list per class",
        lambda: top_per_class(score, debt, labels.unlabeled, np.random.default_rng(SEED)).ids,
        lambda: listed(columns),
        1,
        alike,
    )
