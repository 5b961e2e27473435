"""Lesson 04: what each class is owed, and who pays it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ..balance import class_debt, shortfall
from ..draw import CLASS_COLORS, as_written
from ..select import top_per_class
from .exercise import Exercise

HAVE, BUDGET = (2, 9, 4, 0, 30), 12


def class_by_class(score: np.ndarray, debt: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """(Q,) int64 ids in the order asked: of scores (N, C) the debt (C,) of each class in turn, no superpixel twice.

    order: (C,) in which the classes choose; None: by number.
    """
    return top_per_class(score, debt, np.ones(len(score), bool), np.random.default_rng(0), order).ids


def water_level(counts: Sequence[int] = HAVE, budget: int = BUDGET) -> int:
    """What the poorest class has after the debts (OREAL Eq. 3) of these counts (C,) and this budget were paid."""
    return int((np.asarray(counts) + class_debt(counts, budget)).min())


def _inverse(counts: np.ndarray, budget: int) -> np.ndarray:
    weight = 1 / (np.asarray(counts) + 1)
    debt = np.floor(budget * weight / weight.sum()).astype(int)
    debt[np.argsort(counts, kind="stable")[: budget - debt.sum()]] += 1
    return debt


def _by_id_alone(counts: np.ndarray, budget: int) -> np.ndarray:
    have = np.array(counts)
    for _ in range(budget):
        have[have.argmin()] += 1
    return have - counts


def _in_turns(score: np.ndarray, debt: np.ndarray) -> np.ndarray:
    """One superpixel for each class that is still owed, then again."""
    asked: list[int] = []
    for lap in range(max(debt)):
        for c in np.flatnonzero(np.asarray(debt) > lap):
            asked.append(next(i for i in np.argsort(-score[:, c], kind="stable").tolist() if i not in asked))
    return np.array(asked)


def _twice(score: np.ndarray, debt: np.ndarray) -> np.ndarray:
    return np.concatenate([np.argsort(-score[:, c], kind="stable")[:n] for c, n in enumerate(debt)]).astype(int)


_TABLE = np.array(
    [[0.61, 0.69, 0.10], [0.62, 0.68, 0.20], [0.30, 0.40, 0.65], [0.20, 0.50, 0.60], [0.10, 0.05, 0.66], [0.45, 0.15, 0.25]]
)

EXERCISES: dict[str, Exercise] = {
    "class_debt": Exercise(
        key=class_debt,
        cases=(
            (np.array([0, 5, 5, 100]), 12),
            (np.array([10, 0, 4]), 3),
            (np.array([4, 1, 1, 9]), 5),  # two equally poor classes, one click left over
            (np.array([3, 3, 3]), 2),
            (np.array([2, 7, 1]), 0),
            (np.array([0, 0, 0, 0, 0]), 10),
            (np.array([6]), 4),
            (np.array([99, 24, 19, 1, 9, 1, 0, 1]), 154),  # the lessons' run after its random step
        ),
        mistakes={
            "these are the labels afterwards; the debt is what was added": lambda have, budget: have + class_debt(have, budget),
            "that divides the budget equally, whatever the classes have already": lambda have, n: np.bincount(
                np.arange(n) % len(have), minlength=len(have)
            ),
            "that divides the budget in proportion to 1 / (count + 1); Eq. 3 fills the poorest up to one level, and classes above "
            "that level get nothing": _inverse,
            "of equally poor classes the lowest id comes first, not the highest": lambda have, n: class_debt(have[::-1], n)[::-1],
            "as good for Eq. 3, but another rule for ties: of classes that stand level, the one that had least at the beginning "
            "comes first, and only then the lower id": _by_id_alone,
            "all of it goes to one class; look again after each click": lambda have, n: (
                n * (np.arange(len(have)) == np.argmin(have))
            ),
            "the clicks that are left over below the next level are lost; the debts add up to the budget": lambda have, n: (
                np.maximum(0, water_level(have, n) - have)
            ),
            "that is CBAL's shortfall, what a class lacks to an equal share; it need not add up to the budget": shortfall,
        },
        see="oreal_lib/balance.py",
    ),
    "class_by_class": Exercise(
        key=class_by_class,
        cases=tuple((_TABLE, np.array(debt)) for debt in ([1, 2, 1], [2, 2, 0], [0, 1, 3], [2, 2, 2])),  # the last: the whole pool
        mistakes={
            "a superpixel is asked twice: it was best for two classes. Leave out what an earlier class has taken": _twice,
            "a superpixel that two classes want is taken once, but then the later class gets fewer than its debt; let it move on to "
            "its next best": lambda score, debt: np.array(list(dict.fromkeys(_twice(score, debt).tolist()))),
            "the last class comes first; Algorithm 1 begins with class 0": lambda s, debt: class_by_class(s, debt, [2, 1, 0]),
            "the classes take turns here; in Algorithm 1 class 0 takes all it is owed before class 1 begins": _in_turns,
            "that is one list for all classes, by the highest of a superpixel's scores; each class has a list of its own": (
                lambda score, debt: np.argsort(-score.max(axis=1), kind="stable")[: debt.sum()]
            ),
            "these are the surest of each class; a high entropy means 'ask me'": lambda score, debt: class_by_class(-score, debt),
        },
        see="oreal_lib/select.py",
    ),
    "water_level": Exercise(
        key=water_level,
        mistakes={
            "that is an equal share; but no water flows out of the rich classes": lambda: (sum(HAVE) + BUDGET) // len(HAVE),
            "that pours all of it on the poorest class alone": lambda: min(HAVE) + BUDGET,
            "that leaves out only the class with 30; the class with 9 stands above the water, too": (
                lambda: (sum(HAVE) - max(HAVE) + BUDGET) / (len(HAVE) - 1)
            ),
        },
        see="oreal_lib/balance.py",
    ),
}


def came_as(for_class: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(C, C + 1) int: row = the class a superpixel was asked for, column = the answer, void last.

    for_class: (Q,) int class ids.  answers: (Q, C) bool, at most one True a row, none for void.
    """
    wanted, void = np.eye(answers.shape[1], dtype=np.int64)[for_class], ~answers.any(axis=1)
    return wanted.T @ np.column_stack([answers, void])


def draw_came_as(table: np.ndarray, names: Sequence[str], ax: Axes, text: str = "") -> Axes:
    """The counts of `came_as` (C, C + 1) as a table of shades: what was asked for a class, and what came. Framed: debts paid."""
    ax.imshow(np.sqrt(table), cmap="Blues", vmax=1.6 * np.sqrt(max(table.max(), 1)))
    for (y, x), n in np.ndenumerate(table):
        if n or x == y:
            weight = {"weight": "bold", "bbox": {"fill": False, "ec": "#cc6677", "lw": 1.2, "pad": 2}} if x == y else {}
            ax.text(x, y, str(n), ha="center", va="center", fontsize="small", **weight)
    columns = [*names, "void"] if table[:, -1].any() else [*names]
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="what it is (the oracle's answer)", ylabel="asked for")
    ax.set_title(text, fontsize="medium")
    return as_written(ax)


def draw_counts(counts: Sequence[Sequence[int]], labels: Sequence[str], names: Sequence[str], axes: np.ndarray) -> np.ndarray:
    """Labeled superpixels of each class (C,), in axes (n,), one of the Axes for each of n runs, on a logarithmic scale."""
    most = max(map(max, counts))
    for ax, have, label in zip(axes, counts, labels, strict=True):
        at = np.arange(len(have))
        ax.bar(at, have, color=[CLASS_COLORS[c % len(CLASS_COLORS)] for c in at])
        for x, n in zip(at, have, strict=True):
            ax.text(x, max(n, 0.7), str(n), ha="center", va="bottom", fontsize="small")
        ax.set_yscale("log")
        ax.set_ylim(0.7, 2.5 * most)
        ax.yaxis.set_major_formatter("{x:g}")  # without mathematical fonts
        ax.minorticks_off()
        ax.set_xticks(at, names, rotation=30, ha="right")
        as_written(ax.xaxis)
        ax.set_title(label, fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("labeled superpixels (log)")
    return axes
