"""Gentle answer checks for the lessons: what is right, and what is wrong with what is not."""

from __future__ import annotations

import difflib
from typing import Any

from .contract import CLAUSES, judge
from .lessons import clicks, debts, mean_or_max, oracle, own_strategy, start, uncertainty, whole_run
from .lessons.exercise import Exercise, unanswered, verdict

LESSONS = (start, clicks, uncertainty, mean_or_max, debts, whole_run, oracle, own_strategy)


def exercises() -> dict[str, Exercise]:
    """Name -> exercise, of all lessons in their order."""
    return {name: exercise for lesson in LESSONS for name, exercise in lesson.EXERCISES.items()}


def answer(name: str, mine: Any, *given: Any) -> None:
    """Print whether an answer is right, and what is wrong with it; "your turn" while it is None, `...`, or a function of such.

    name: of the exercise.  mine: a function or a value.  given: what a value was made from, in the order the lesson names.
    ValueError for a name that no exercise has.
    """
    known = exercises()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise ValueError(
            f"no exercise is named {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}")
        )
    print(f"{name}: {verdict(known[name], mine, *given)[1]}")


def strategy(name: str, mine: Any, how: str = "max") -> None:
    """Print whether a strategy of yours keeps the contract of all strategies (`contract.CLAUSES`), and what it breaks.

    name: what it is called.  mine: a function `(regions, labels, budget, how, rng) -> Query`.
    """
    broken = judge(mine, how)
    if any("it returns ellipsis" in said or "it returns NoneType" in said for said in broken):
        print(f"{name}: your turn: the function does not return anything yet")
    elif broken:
        print(f"{name} breaks the contract:", *broken, sep="\n  - ")
    else:
        print(f"{name}: right, it keeps all {len(CLAUSES)} clauses of the contract")


def prediction(mine: Any, measured: Any) -> None:
    """Print what was predicted beside what was measured; before a prediction nothing but the request for one."""
    if unanswered(mine):
        print("first write your prediction into the cell above and run it, then this one again")
    elif mine == measured:
        print(f"you said {mine}, and so it is")
    else:
        print(f"you said {mine}, but it is {measured}: what did you not think of?")
