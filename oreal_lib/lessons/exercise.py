"""An exercise and its verdict: the answer key is the library, and a wrong answer is told what is wrong with it."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from oreal_lib.types import Query


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
    if not exercise.cases:
        wrong = _compare(exercise, answer, given, exercise.key(*given))
        return wrong is None, _right(exercise, "") if wrong is None else wrong
    cases = exercise.cases() if callable(exercise.cases) else exercise.cases
    if not callable(answer):
        return False, f"a function is wanted, but this is {_kind(answer)}"
    for i, case in enumerate(cases, 1):
        mine = copy.deepcopy(case)
        try:
            result = answer(*mine)
        except Exception as error:  # whatever a student's function raises is a finding, not a crash
            line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.name == answer.__name__), "?")
            return False, f"case {i} of {len(cases)}: line {line} stops with {type(error).__name__}: {error}{_shown(case)}"
        if unanswered(result):
            return None, "your turn: the function does not return anything yet"
        if any(not _same(a, b, 0) for a, b in zip(mine, case, strict=True) if isinstance(a, np.ndarray | torch.Tensor | list)):
            return False, "your function changes its arguments; whoever called it still needs them, so work on a copy"
        if wrong := _compare(exercise, result, case, exercise.key(*copy.deepcopy(case))):
            return False, f"case {i} of {len(cases)}: {wrong}{_shown(case)}"
    return True, _right(exercise, f" in {len(cases)} cases")


def unanswered(answer: Any) -> bool:
    """Whether an answer is still what stood there: None or an ellipsis."""
    return answer is None or answer is ...


def difference(mine: Any, key: Any, tolerance: float = 1e-5) -> str | None:
    """What is wrong with a value, in a sentence; None where it is the key.

    Known in general: another kind or shape, rows for columns, NaN, the other sign, another unit or base of the logarithm,
    a constant too much, another order; else the first place that differs.
    """
    if isinstance(key, str | bool | dict | set):
        return None if type(mine) is type(key) and mine == key else f"you have {mine!r}, and that is not it"
    try:
        a, b = _array(mine), _array(key)
    except (TypeError, ValueError):
        return f"your answer is {_kind(mine)}, but {_kind(key)} is wanted"
    if a.dtype.kind not in "biuf":
        return f"your answer is {_kind(mine)}, but {_kind(key)} is wanted"
    if a.shape == b.shape and _near(a, b, tolerance):
        return None
    if a.ndim == b.ndim > 1 and a.T.shape == b.shape and _near(a.T, b, tolerance):
        return f"the numbers are right, but rows and columns are exchanged: shape {a.shape}, wanted {b.shape}"
    if a.shape != b.shape:
        if a.size == b.size and _near(a.reshape(b.shape), b, tolerance):
            return f"the numbers are right, but the shape is {a.shape}, and {b.shape} is wanted"
        return f"the shape is {a.shape}, but {b.shape} is wanted"
    bad = ~np.isfinite(a) & np.isfinite(b)
    if bad.any():
        place = _place(bad)
        return f"{a[place]}{_at(place)}: a logarithm of 0, or a division by 0? There it is {b[place]:.6g}"
    if _near(-a, b, tolerance):
        return "the sign is the wrong way round; higher always means 'ask me'"
    if factor := _factor(a, b, tolerance):
        return factor
    with np.errstate(invalid="ignore"):  # infinities on both sides
        shift = (a - b).ravel()
    if a.size > 1 and np.ptp(shift) <= tolerance:
        return f"each value is {abs(shift[0]):.6g} too {'high' if shift[0] > 0 else 'low'}"
    if a.ndim == 1 and _near(np.sort(a), np.sort(b), tolerance):
        return "these are the right ones in another order"
    place = _place(~np.isclose(a, b, rtol=1e-5, atol=tolerance, equal_nan=True))
    return f"you have {a[place]:.6g}, but it is {b[place]:.6g}{_at(place)}"


def _compare(exercise: Exercise, mine: Any, given: tuple, key: Any) -> str | None:
    wrong = difference(mine, key, exercise.tolerance)
    if wrong is None:
        return None
    for sentence, mistake in exercise.mistakes.items():
        if difference(mine, mistake(*copy.deepcopy(given)), exercise.tolerance) is None:
            return sentence
    return wrong


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
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, Query):
        value = value.ids
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind in "biuf" else array


def _near(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return bool(np.allclose(a, b, rtol=1e-5, atol=tolerance, equal_nan=True))


def _same(a: Any, b: Any, tolerance: float) -> bool:
    a, b = _array(a), _array(b)
    return a.shape == b.shape and _near(a, b, tolerance)


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
    text = ", ".join(repr(_array(a).tolist() if isinstance(a, np.ndarray | torch.Tensor) else a) for a in case if not callable(a))
    return f"\n    with {text}" if len(text) <= 240 else ""


def _right(exercise: Exercise, where: str) -> str:
    return f"right: the same as the library{where}" + (f" ({exercise.see})" if exercise.see else "")
