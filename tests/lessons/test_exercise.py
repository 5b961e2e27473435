"""What an answer is told: right, wrong and why, or "your turn"; never a traceback."""

from functools import partial

import numpy as np
import pytest
import torch

from oreal_lib.lessons import check
from oreal_lib.lessons.exercise import Exercise, difference, verdict
from oreal_lib.select import top
from oreal_lib.strategies import STRATEGIES


@pytest.mark.parametrize(
    "mine, key, sentence",
    [
        ([1.0, 2.0], np.array([1.0, 2.0]), None),
        (torch.tensor([1.0, 2.0]), [1.0, 2.0], None),
        ([1, 2], np.array([1, 2]), None),
        (np.array([1.0, 2.0]), np.array([1, 2]), "whole numbers are wanted, but these are float64"),
        (np.array([1, 0]), np.array([True, False]), "True or False is wanted for each place"),
        (np.True_, True, None),
        ([2, 0, None], [2, 0, 1], "your list holds something that is not a number"),
        ([np.nan, 1.0], [-np.inf, 1.0], "nan at [0]"),
        ([-np.inf, np.inf], [-np.inf, 1.0], "inf at [1]"),
        ([-1, -2], np.array([1, 2]), "you have -1, but it is 1 at [0]"),
        (top(np.ones(3), 2, np.ones(3, bool), np.random.default_rng(0)), [0, 1], "your Query holds something"),
        (np.float32(0.5), 0.5, None),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "the shape is (3,), but (2,) is wanted"),
        ([[1.0, 2.0]], [1.0, 2.0], "the numbers are right, but the shape is (1, 2), and (2,) is wanted"),
        ([[1, 2], [3, 4]], [[1, 3], [2, 4]], "rows and columns are exchanged"),
        ([0.5, float("nan")], [0.5, 0.0], "nan at [1]: a logarithm of 0, or a division by 0? There it is 0"),
        ([-1.0, -2.0], [1.0, 2.0], "the sign is wrong"),
        (np.array([0.2, 0.7]) / np.log(2), [0.2, 0.7], "a logarithm to base 2"),
        ([20.0, 70.0], [0.2, 0.7], "percent, where a fraction is wanted"),
        (0.7, 70.0, "a fraction, where percent is wanted"),
        ([2.4, 3.0], [0.8, 1.0], "3 times the right answer"),
        ([1.5, 2.5], [1.0, 2.0], "each value is 0.5 too high"),
        ([3, 1, 2], [1, 2, 3], "these are the right ones in another order"),
        ([1, 2, 7], [1, 2, 3], "you have 7, but it is 3 at [2]"),
        (5, 4, "you have 5, but it is 4"),
        ("four", 4, "your answer is of type str, but a number is wanted"),
        (len, [1, 2], "your answer is a function, but of type list is wanted"),
        ([[1, 2], [3]], [1, 2], "rows of different length"),
    ],
)
def test_a_wrong_value_is_told_what_is_wrong_with_it(mine, key, sentence):
    said = difference(mine, key)
    assert said is None if sentence is None else sentence in said


double = Exercise(
    key=lambda x: 2 * np.asarray(x),
    cases=((np.array([1.0, 4.0]),), (np.array([0.0]),)),
    mistakes={"you square it": lambda x: np.asarray(x) ** 2},
    see="a file",
)


def stops(x):
    raise RuntimeError("no idea")


@pytest.mark.parametrize(
    "mine, right, sentence",
    [
        (None, None, "your turn"),
        (..., None, "your turn"),
        (lambda x: None, None, "does not return anything yet"),
        (lambda x: ..., None, "does not return anything yet"),
        (lambda x: x + x, True, "right: the same as the library in 2 cases (a file)"),
        (lambda x: x**2, False, "case 1 of 2: you square it\n    with [1.0, 4.0]"),
        (lambda x: x + 1, False, "case 1 of 2: you have 5, but it is 8 at [1]"),
        (lambda x: 2 * x if x.size > 1 else None, False, "case 2 of 2: the function does not return anything here"),
        (stops, False, "stops with RuntimeError: no idea"),
        (lambda: 1, False, "stops with TypeError"),
        (lambda x: x.__imul__(2), False, "changes its arguments"),
        (7, False, "a function is wanted, but this is a number"),
    ],
)
def test_a_function_is_compared_with_the_librarys_case_by_case(mine, right, sentence):
    found, said = verdict(double, mine)
    assert found is right and sentence in said


@pytest.mark.parametrize("mine", [partial(stops), lambda x: [torch.ones(1, requires_grad=True)], lambda x: {"a": 1}, lambda x: len])
def test_whatever_an_answer_does_is_a_finding_and_no_crash(mine):
    right, said = verdict(double, mine)
    assert right is False and said


def test_a_value_is_compared_with_what_the_library_makes_of_the_same_arguments():
    area = Exercise(key=lambda a, b: a * b, mistakes={"that is the way around it": lambda a, b: 2 * (a + b)})
    assert verdict(area, 12, 3, 4)[0] and "you have 13" in verdict(area, 13, 3, 4)[1]
    right, said = verdict(area, 14, 3, 4)
    assert right is False and said == "that is the way around it"


@pytest.mark.parametrize(
    "mine, choices, said",
    [
        ("Max", ["mean", "max"], "you said Max, and so it is"),
        ("the max", ["mean", "max"], "you said 'the max'; write one of 'mean', 'max'"),
        ("mean", None, "you said mean, but it is max: what did you not think of?"),
        (None, ["mean", "max"], "first write your prediction into the cell above and run it, then this one again"),
    ],
)
def test_a_prediction_is_compared_once_there_is_one(mine, choices, said, capsys):
    check.prediction(mine, "max", choices)
    assert capsys.readouterr().out == said + "\n"


only_max = lambda regions, labels, k, how, rng: STRATEGIES["bvsb"](regions if how == "max" else None, labels, k, how, rng)  # noqa: E731


@pytest.mark.parametrize(
    "mine, by_lot, said",
    [
        (STRATEGIES["bvsb"], False, "mine: right, it keeps all 7 clauses"),
        (only_max, False, "mine breaks the contract:\n  - all of it: it stops with TypeError"),
        (STRATEGIES["random"], False, "mine breaks the contract:\n  - the order of the images"),
        (STRATEGIES["random"], True, "mine: right, it keeps all 5 clauses"),
        (lambda *a: None, False, "mine: your turn"),
    ],
)
def test_a_strategy_is_judged_by_mean_and_by_max(mine, by_lot, said, capsys):
    check.strategy("mine", mine, by_lot)
    assert capsys.readouterr().out.startswith(said)
