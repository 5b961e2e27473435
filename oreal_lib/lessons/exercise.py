"""An exercise and its verdict: the answer key is the library, and a wrong answer is told what is wrong with it."""

from __future__ import annotations

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
    """One thing to make. Without `cases` the answer is a value, equal to `key(*given)`; with cases it is a function like `key`.

    key: the library's own function.  cases: tuples of arguments on which the two functions are compared, or the function that
    makes them.
    mistakes: sentence -> the function that makes this mistake; an answer equal to its results is told the sentence.
    see: where the key stands, such as "oreal_lib/scores.py".  tolerance: largest difference that is no error.
    """

    key: Callable[..., Any]
    cases: Sequence[tuple] | Callable[[], Sequence[tuple]] = ()
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    see: str = ""
    tolerance: float = 1e-5


def verdict(exercise: Exercise, answer: Any, *given: Any) -> tuple[bool | None, str]:
    """(True, sentence) for a right answer, (False, what is wrong) for another, (None, "your turn ...") for none.

    given: what the notebook worked with, the arguments of the key of a value.  Never raises for what an answer does.
    """
    if unanswered(answer):
        return None, "your turn: replace the ... or None above, and run the cell again"
    try:
        if not exercise.cases:
            return _of_value(exercise, answer, given)
        if not callable(answer):
            return False, f"a function is wanted, but this is {_kind(answer)}"
        return _of_function(exercise, answer)
    except Exception as error:  # an answer can be anything; whatever it does is a finding, not a crash
        return False, f"this cannot be compared: {type(error).__name__}: {_text(error)}"


def _of_value(exercise: Exercise, answer: Any, given: tuple) -> tuple[bool, str]:
    wrong = _compare(exercise, answer, lambda: copy.deepcopy(given))
    return wrong is None, _right(exercise, "") if wrong is None else wrong


def _of_function(exercise: Exercise, answer: Callable) -> tuple[bool | None, str]:
    cases = exercise.cases() if callable(exercise.cases) else exercise.cases
    for i in range(len(cases)):

        def fresh(i: int = i) -> tuple:
            """The case anew: what an answer did to its arguments must not reach the key."""
            return exercise.cases()[i] if callable(exercise.cases) else copy.deepcopy(exercise.cases[i])

        mine, where = fresh(), f"case {i + 1} of {len(cases)}: "
        try:
            result = answer(*mine)
        except Exception as error:
            return False, f"{where}{_stop(error, answer)}{_shown(cases[i])}"
        if unanswered(result):
            if i == 0:
                return None, "your turn: the function does not return anything yet"
            return False, f"{where}the function does not return anything here{_shown(cases[i])}"
        if any(not _same(a, b) for a, b in zip(mine, fresh(), strict=True) if isinstance(a, np.ndarray | torch.Tensor | list)):
            return False, "your function changes its arguments; whoever called it still needs them, so work on a copy"
        if wrong := _compare(exercise, result, fresh):
            return False, f"{where}{wrong}{_shown(cases[i])}"
    return True, _right(exercise, f" in {len(cases)} cases")


def unanswered(answer: Any) -> bool:
    """Whether an answer is still what stood there: None or an ellipsis."""
    return answer is None or answer is ...


def difference(mine: Any, key: Any, tolerance: float = 1e-5) -> str | None:
    """What is wrong with a value, in a sentence; None where it is the key.

    Known in general: another kind or shape, rows for columns, NaN, and of real numbers the other sign, another unit or base of
    the logarithm, a constant too much; of whole numbers another order; else the first place that differs.
    """
    if isinstance(key, str | bool | np.bool_ | dict | set):
        mine = bool(mine) if isinstance(mine, np.bool_) else mine
        return None if isinstance(mine, type(key)) and mine == key else f"you have {mine!r}, and that is not it"
    if isinstance(key, Query):
        if not isinstance(mine, Query):
            return f"a Query is wanted, such as select.top makes, but this is {_kind(mine)}"
        if not np.isfinite(np.asarray(mine.score, float)).all() or len(mine.score) != len(mine.ids):
            return "each superpixel of a query needs a finite score"
        mine, key = mine.ids, key.ids
    try:
        a, b = _array(mine), _array(key)
    except (TypeError, ValueError):
        a = np.array(None)
    if a.dtype.kind not in "biuf":
        inside = (
            isinstance(mine, list | tuple)
            and f"your {type(mine).__name__} holds something that is not a number, or rows of different length"
        )
        return inside or f"your answer is {_kind(mine)}, but {_kind(key)} is wanted"
    if b.ndim and b.dtype.kind == "b" != a.dtype.kind:
        return "True or False is wanted for each place, but these are numbers"
    if b.ndim and b.dtype.kind in "iu" and a.dtype.kind not in "iu":
        return f"whole numbers are wanted, but these are {a.dtype}"
    whole = b.dtype.kind != "f"
    a, b = a.astype(np.float64), b.astype(np.float64)
    if a.shape == b.shape and _near(a, b, tolerance):
        return None
    if a.ndim == b.ndim > 1 and a.T.shape == b.shape and _near(a.T, b, tolerance):
        return f"the numbers are right, but rows and columns are exchanged: shape {a.shape}, wanted {b.shape}"
    if a.shape != b.shape:
        if a.size == b.size and _near(a.reshape(b.shape), b, tolerance):
            return f"the numbers are right, but the shape is {a.shape}, and {b.shape} is wanted"
        return f"the shape is {a.shape}, but {b.shape} is wanted"
    bad = ~np.isfinite(a) & ~np.isclose(a, b, equal_nan=True)
    if bad.any():
        place = _place(bad)
        return f"{a[place]}{_at(place)}: a logarithm of 0, or a division by 0? There it is {b[place]:.6g}"
    if not whole:
        if said := _of_real_numbers(a, b, tolerance):
            return said
    elif a.ndim == 1 and _near(np.sort(a), np.sort(b), tolerance):
        return "these are the right ones in another order"
    place = _place(~np.isclose(a, b, rtol=1e-5, atol=tolerance, equal_nan=True))
    return f"you have {a[place]:.6g}, but it is {b[place]:.6g}{_at(place)}"


def _of_real_numbers(a: np.ndarray, b: np.ndarray, tolerance: float) -> str | None:
    if _near(-a, b, tolerance):
        return "the sign is the wrong way round; higher always means 'ask me'"
    if factor := _factor(a, b, tolerance):
        return factor
    with np.errstate(invalid="ignore"):  # infinities on both sides
        shift = (a - b).ravel()
    if a.size > 1 and np.ptp(shift) <= tolerance:
        return f"each value is {abs(shift[0]):.6g} too {'high' if shift[0] > 0 else 'low'}"
    return None


def _compare(exercise: Exercise, mine: Any, fresh: Callable[[], tuple]) -> str | None:
    wrong = difference(mine, exercise.key(*fresh()), exercise.tolerance)
    if wrong is None:
        return None
    for sentence, mistake in exercise.mistakes.items():
        if difference(mine, mistake(*fresh()), exercise.tolerance) is None:
            return sentence
    return wrong


def _stop(error: Exception, answer: Callable) -> str:
    """Where and why an answer stopped."""
    name = getattr(answer, "__name__", None)
    line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.name == name), None)
    return f"{'it' if line is None else f'line {line}'} stops with {type(error).__name__}: {_text(error)}"


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # a message that cannot be made is no message
        return "?"


def _factor(a: np.ndarray, b: np.ndarray, tolerance: float) -> str | None:
    held = np.abs(b) > tolerance
    if not held.any() or not np.isfinite(a).all():
        return None
    ratio = float(np.median(a[held] / b[held]))
    if ratio == 0 or not _near(a / ratio, b, tolerance):
        return None
    known = {100: "percent, where a fraction is wanted", 0.01: "a fraction, where percent is wanted"}
    known |= {
        1 / np.log(2): "a logarithm to base 2; natural logarithms here",
        1 / np.log(10): "a logarithm to base 10; natural ones here",
    }
    for value, said in known.items():
        if abs(ratio / value - 1) < 1e-3:
            return f"{said} (all of it is {value:.4g} times the key)"
    return f"all of it is {ratio:.4g} times the key" if a.size > 1 else None


def _array(value: Any) -> np.ndarray:
    if isinstance(value, list | tuple):
        value = [v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for v in value]
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _near(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return bool(np.allclose(a, b, rtol=1e-5, atol=tolerance, equal_nan=True))


def _same(a: Any, b: Any) -> bool:
    try:
        return np.array_equal(_array(a), _array(b), equal_nan=_array(b).dtype.kind == "f")
    except ValueError:  # a list that has become ragged
        return False


def _place(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0]) if where.ndim else ()


def _at(place: tuple[int, ...]) -> str:
    return f" at [{', '.join(map(str, place))}]" if place else ""


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, bool | int | float | np.number):
        return "a number"
    return "a function" if callable(value) else f"of type {type(value).__name__}"


def _shown(case: tuple) -> str:
    """The arguments of a case, where they are small enough to be read."""
    text = ", ".join(repr(_rounded(a) if isinstance(a, np.ndarray | torch.Tensor) else a) for a in case if not callable(a))
    return f"\n    with {text}" if len(text) <= 240 else ""


def _rounded(a: np.ndarray | torch.Tensor) -> list:
    """As it was written: a float32 0.9 is not 0.8999999761581421."""
    array = _array(a)
    return (np.round(array.astype(np.float64), 6) if array.dtype.kind == "f" else array).tolist()


def _right(exercise: Exercise, where: str) -> str:
    return f"right: the same as the library{where}" + (f" ({exercise.see})" if exercise.see else "")
