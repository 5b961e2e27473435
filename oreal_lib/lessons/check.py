"""The checks that the lessons call: is an answer right, and if not, what is wrong with it?"""

from collections.abc import Sequence
from typing import Any

from . import clicks, debts, mean_or_max, oracle, own_strategy, start, uncertainty, whole_run
from .contract import CLAUSES, NOT_BY_LOT, judge
from .exercise import Exercise, unanswered, verdict

LESSONS = (start, clicks, uncertainty, mean_or_max, debts, whole_run, oracle, own_strategy)


def exercises() -> dict[str, Exercise]:
    """Name -> exercise, of all lessons in their order."""
    return {name: exercise for lesson in LESSONS for name, exercise in lesson.EXERCISES.items()}


def answer(name: str, mine: Any, *given: Any) -> None:
    """Print whether an answer is right, or what is wrong with it; "your turn" while it is None, `...`, or a function of such.

    name: of the exercise.  mine: a function or a value.  given: what a value was made from, in the order the lesson names.
    """
    print(f"{name}: {verdict(exercises()[name], mine, *given)[1]}")


def strategy(name: str, mine: Any, by_lot: bool = False) -> None:
    """Print whether a strategy of yours keeps the contract of all strategies (`contract.CLAUSES`), by mean and by max, or which
    clauses it breaks.

    name: what it is called.  mine: a function `(regions, labels, budget, how, rng) -> Query`.  by_lot: it draws by lot, so it
    need not ask the same when images or classes come in another order.
    """
    clauses = [clause for clause in CLAUSES if not (by_lot and clause in NOT_BY_LOT)]
    broken = list(dict.fromkeys(judge(mine, "mean", clauses) + judge(mine, "max", clauses)))
    reasons = {said.partition(": ")[2] for said in broken}
    if len(reasons) == 1 and len(broken) == len(clauses):  # one typo breaks everything
        broken = [f"all of it: {min(reasons)}"]
    if any(f"it returns {nothing}," in broken[0] for nothing in ("ellipsis", "NoneType") if broken):
        print(f"{name}: your turn: the function does not return anything yet")
    elif broken:
        print(f"{name} breaks the contract:", *broken, sep="\n  - ")
    else:
        print(f"{name}: right, it keeps all {len(clauses)} clauses of the contract; whether it is any good, the race says")


def prediction(mine: Any, measured: Any, choices: Sequence[Any] | None = None) -> None:
    """Print what was predicted beside what was measured; before a prediction nothing but the request for one.

    choices: all that can be predicted, so that a typo is not taken for a prediction; upper and lower case are the same.
    """
    if unanswered(mine):
        print("first write your prediction into the cell above and run it, then this one again")
    elif choices is not None and _plain(mine) not in map(_plain, choices):
        print(f"you said {mine!r}; write one of {', '.join(map(repr, choices))}")
    elif _plain(mine) == _plain(measured):
        print(f"you said {mine}, and so it is")
    else:
        print(f"you said {mine}, but it is {measured}: what did you not think of?")


def _plain(value: Any) -> str:
    return str(value).strip().casefold()
