"""An exercise and its verdict: the answer key is the library, and a wrong answer is told what is wrong with it."""

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..types import Query


@dataclass(frozen=True)
class Exercise:
    """One thing to make: without `cases` a value, equal to `key(*given)`; with cases a function that does what `key` does.

    key: the library's own function.  cases: tuples of arguments on which the two functions are compared, or a function that
    makes them.  mistakes: sentence -> the function that makes this mistake; whoever answers as it does is told the sentence.
    see: where the key stands, such as "oreal_lib/scores.py".
    """

    key: Callable[..., Any]
    cases: Sequence[tuple] | Callable[[], Sequence[tuple]] = ()
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    see: str = ""

    def make(self) -> Sequence[tuple]:
        """The cases anew, so that nothing an answer does to its arguments reaches the key."""
        return self.cases() if callable(self.cases) else copy.deepcopy(self.cases)


def verdict(exercise: Exercise, answer: Any, *given: Any) -> tuple[bool | None, str]:
    """(True, sentence) for a right answer, (False, what is wrong) for another, (None, "your turn ...") for none.

    given: what a value was made from in the notebook, the arguments of the key.  Never raises, whatever an answer does.
    """
    if unanswered(answer):
        return None, "your turn: replace the ... or None above, and run the cell again"
    try:
        if exercise.cases:
            return _of_function(exercise, answer)
        wrong = _compare(exercise, answer, lambda: copy.deepcopy(given))
        return wrong is None, wrong or _right(exercise, "")
    except Exception as error:
        return False, f"this cannot be compared: {type(error).__name__}: {error}"


def _of_function(exercise: Exercise, answer: Any) -> tuple[bool | None, str]:
    if not callable(answer):
        return False, f"a function is wanted, but this is {_kind(answer)}"
    cases = exercise.make()
    for i, mine in enumerate(exercise.make()):
        where, shown = f"case {i + 1} of {len(cases)}: ", _shown(cases[i])
        try:
            result = answer(*mine)
        except Exception as error:
            return False, f"{where}{_stop(error, answer)}{shown}"
        if unanswered(result):
            if i == 0:
                return None, "your turn: the function does not return anything yet"
            return False, f"{where}the function does not return anything here{shown}"
        given = [pair for pair in zip(mine, cases[i], strict=True) if isinstance(pair[0], np.ndarray | torch.Tensor | list)]
        if not all(np.array_equal(_array(now), _array(before)) for now, before in given):
            return False, "your function changes its arguments; whoever called it still needs them, so work on a copy"
        if wrong := _compare(exercise, result, lambda i=i: exercise.make()[i]):
            return False, f"{where}{wrong}{shown}"
    return True, _right(exercise, f" in {len(cases)} cases")


def unanswered(answer: Any) -> bool:
    """Whether an answer is still what stood there: None or an ellipsis."""
    return answer is None or answer is ...


def difference(mine: Any, key: Any) -> str | None:
    """What is wrong with a value, in a sentence; None where it is the key.

    Recognized: another kind or shape, rows for columns, NaN; of real numbers the wrong sign, another unit or base of the
    logarithm, a constant too much; of whole numbers another order; else the first place that differs.
    """
    if isinstance(key, Query):
        if not isinstance(mine, Query):
            return f"a Query is wanted, such as select.top makes, but this is {_kind(mine)}"
        if not np.isfinite(np.asarray(mine.score, float)).all() or len(mine.score) != len(mine.ids):
            return "each superpixel of a query needs a finite score"
        mine, key = mine.ids, key.ids
    b = _array(key)
    try:
        a = _array(mine)
    except (TypeError, ValueError):
        a = np.array(None)
    if a.dtype.kind not in "biuf":
        if isinstance(mine, list | tuple):
            return f"your {type(mine).__name__} holds something that is not a number, or rows of different length"
        return f"your answer is {_kind(mine)}, but {_kind(key)} is wanted"
    if b.ndim and b.dtype.kind == "b" != a.dtype.kind:
        return "True or False is wanted for each place, but these are numbers"
    if b.ndim and b.dtype.kind in "iu" and a.dtype.kind not in "iu":
        return f"whole numbers are wanted, but these are {a.dtype}"
    whole = b.dtype.kind != "f"
    a, b = a.astype(np.float64), b.astype(np.float64)
    if a.shape == b.shape and _near(a, b):
        return None
    if a.ndim > 1 and a.T.shape == b.shape and _near(a.T, b):
        return f"the numbers are right, but rows and columns are exchanged: shape {a.shape}, wanted {b.shape}"
    if a.shape == b.shape:
        return _of_numbers(a, b, whole)
    if a.size == b.size and _near(a.reshape(b.shape), b):
        return f"the numbers are right, but the shape is {a.shape}, and {b.shape} is wanted"
    return f"the shape is {a.shape}, but {b.shape} is wanted"


def _of_numbers(a: np.ndarray, b: np.ndarray, whole: bool) -> str:
    bad = ~np.isfinite(a) & ~np.isclose(a, b, equal_nan=True)
    if bad.any():
        place, at = _first(bad)
        return f"{a[place]}{at}: a logarithm of 0, or a division by 0? There it is {b[place]:.6g}"
    if whole and a.ndim == 1 and _near(np.sort(a), np.sort(b)):
        return "these are the right ones in another order"
    if not whole:
        if _near(-a, b):
            return "the sign is wrong; higher always means 'ask me'"
        if factor := _factor(a, b):
            return factor
        with np.errstate(invalid="ignore"):  # infinities on both sides
            shift = (a - b).ravel()
        if a.size > 1 and np.ptp(shift) <= 1e-5:
            return f"each value is {abs(shift[0]):.6g} too {'high' if shift[0] > 0 else 'low'}"
    place, at = _first(~np.isclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True))
    return f"you have {a[place]:.6g}, but it is {b[place]:.6g}{at}"


def _factor(a: np.ndarray, b: np.ndarray) -> str | None:
    held = np.abs(b) > 1e-5
    if not held.any() or not np.isfinite(a).all():
        return None
    ratio = float(np.median(a[held] / b[held]))
    if ratio == 0 or not _near(a / ratio, b):
        return None
    known = {
        100: "percent, where a fraction is wanted",
        0.01: "a fraction, where percent is wanted",
        1 / np.log(2): "a logarithm to base 2, where the natural one is wanted",
        1 / np.log(10): "a logarithm to base 10, where the natural one is wanted",
    }
    for value, said in known.items():
        if abs(ratio / value - 1) < 1e-3:
            return f"this is {said}: {value:.4g} times the right answer"
    return f"each value is {ratio:.4g} times the right answer" if a.size > 1 else None


def _compare(exercise: Exercise, mine: Any, fresh: Callable[[], tuple]) -> str | None:
    wrong = difference(mine, exercise.key(*fresh()))
    if wrong:
        for sentence, mistake in exercise.mistakes.items():
            if difference(mine, mistake(*fresh())) is None:
                return sentence
    return wrong


def _stop(error: Exception, answer: Callable) -> str:
    """Where and why an answer stopped."""
    name = getattr(answer, "__name__", None)
    line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.name == name), None)
    return f"{'it' if line is None else f'line {line}'} stops with {type(error).__name__}: {error}"


def _array(value: Any) -> np.ndarray:
    if isinstance(value, list | tuple):
        value = [v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for v in value]
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True)


def _first(where: np.ndarray) -> tuple[tuple[int, ...], str]:
    """Index of the first True, and how it is written in a sentence."""
    place = tuple(np.argwhere(where)[0].tolist()) if where.ndim else ()
    return place, f" at [{', '.join(map(str, place))}]" if place else ""


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, int | float | np.number):
        return "a number"
    return "a function" if callable(value) else f"of type {type(value).__name__}"


def _shown(case: tuple) -> str:
    """The arguments of a case, where they are small enough to be read."""
    text = ", ".join(repr(_plain(a)) for a in case if not callable(a))
    return f"\n    with {text}" if len(text) <= 240 else ""


def _plain(value: Any) -> Any:
    """An array as the list that it was made from: a float32 0.9 is not 0.8999999761581421."""
    if not isinstance(value, np.ndarray | torch.Tensor):
        return value
    array = _array(value)
    return (array.astype(np.float64).round(6) if array.dtype.kind == "f" else array).tolist()


def _right(exercise: Exercise, where: str) -> str:
    return f"right: the same as the library{where} ({exercise.see})"
