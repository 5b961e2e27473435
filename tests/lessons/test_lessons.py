"""The lessons' exercises: what is right is called right, what is wrong is told why, and every solution passes its check."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial

import nbformat
import numpy as np
import pytest
import torch

from oreal_lib.lessons import check
from oreal_lib.lessons.exercise import Exercise, difference, verdict
from oreal_lib.select import top
from oreal_lib.storage.paths import home
from oreal_lib.strategies import STRATEGIES

# Lesson 06 writes a session, which only one process may hold; as stored, nbval holds that of seed 0 at the same time.
GIVEN = {"06_be_the_oracle": ["-p", "seed", "1", "-y", "clicks: [20, 40]"]}
LESSONS = sorted((home() / "notebooks").glob("0*.ipynb"))
EXERCISES = check.exercises()


# --- the engine: what it says of an answer --------------------------------------------------------------------------------


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
        ("border", "border", None),
        ("inside", "border", "'inside', and that is not it"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "the shape is (3,), but (2,) is wanted"),
        ([[1.0, 2.0]], [1.0, 2.0], "the numbers are right, but the shape is (1, 2), and (2,) is wanted"),
        ([[1, 2], [3, 4]], [[1, 3], [2, 4]], "rows and columns are exchanged"),
        ([0.5, float("nan")], [0.5, 0.0], "nan at [1]: a logarithm of 0, or a division by 0? There it is 0"),
        ([-1.0, -2.0], [1.0, 2.0], "the sign is the wrong way round"),
        (np.array([0.2, 0.7]) / np.log(2), [0.2, 0.7], "a logarithm to base 2"),
        ([20.0, 70.0], [0.2, 0.7], "percent, where a fraction is wanted"),
        (0.7, 70.0, "a fraction, where percent is wanted"),
        ([2.4, 3.0], [0.8, 1.0], "all of it is 3 times the key"),
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


def writes(x):
    x *= 2
    return x


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
        (stops, False, "stops with RuntimeError: no idea"),
        (lambda: 1, False, "stops with TypeError"),
        (writes, False, "changes its arguments"),
        (7, False, "a function is wanted, but this is a number"),
    ],
)
def test_a_function_is_compared_with_the_librarys_case_by_case(mine, right, sentence):
    found, said = verdict(double, mine)
    assert found is right and sentence in said


class Odd:
    """A callable without a name, which stops with an error that cannot be printed."""

    def __call__(self, x):
        raise type("Mute", (Exception,), {"__str__": lambda self: 1 / 0})()


@pytest.mark.parametrize(
    "mine", [Odd(), partial(stops), lambda x: [torch.ones(1, requires_grad=True)], lambda x: {"a": 1}, lambda x: len]
)
def test_whatever_an_answer_does_is_a_finding_and_no_crash(mine):
    right, said = verdict(double, mine)
    assert right is False and said


def test_a_function_that_returns_only_sometimes_is_told_where_it_does_not():
    assert "case 2 of 2: the function does not return anything here" in verdict(double, lambda x: 2 * x if x.size > 1 else None)[1]


def test_what_an_answer_does_to_its_arguments_does_not_reach_the_key():
    right, said = verdict(replace(double, cases=lambda: [(np.array([1.0]),)]), lambda x: x.__imul__(2))
    assert right is False and "changes its arguments" in said


def test_a_value_is_compared_with_what_the_library_makes_of_the_same_things():
    area = Exercise(key=lambda a, b: a * b, mistakes={"that is the way around it": lambda a, b: 2 * (a + b)})
    assert verdict(area, 12, 3, 4)[0] and not verdict(area, 14, 3, 4)[0]
    assert "that is the way around it" in verdict(area, 14, 3, 4)[1] and "you have 13" in verdict(area, 13, 3, 4)[1]


def test_a_typo_is_no_prediction(capsys):
    check.prediction("Max", "max", ["mean", "max"])
    check.prediction("the max", "max", ["mean", "max"])
    check.prediction("4", 4)
    said = capsys.readouterr().out.splitlines()
    assert said == ["you said Max, and so it is", "you said 'the max'; write one of 'mean', 'max'", "you said 4, and so it is"]


def test_a_strategy_is_judged_by_mean_and_by_max_and_by_lot_if_it_says_so(capsys):
    only_max = lambda regions, labels, k, how, rng: STRATEGIES["bvsb"](regions if how == "max" else None, labels, k, how, rng)  # noqa: E731
    for name, mine, by_lot, sentence in [
        ("a", STRATEGIES["bvsb"], False, "a: right, it keeps all 7 clauses"),
        ("b", only_max, False, "b breaks the contract:\n  - all of it: it stops with TypeError"),
        ("c", STRATEGIES["random"], False, "c breaks the contract:\n  - the order of the images"),
        ("d", STRATEGIES["random"], True, "d: right, it keeps all 5 clauses"),
        ("e", lambda *a: None, False, "e: your turn"),
    ]:
        check.strategy(name, mine, by_lot)
        assert sentence in capsys.readouterr().out


def test_a_prediction_is_compared_only_when_there_is_one(capsys):
    check.prediction(None, "border")
    assert "border" not in capsys.readouterr().out
    check.prediction("inside", "border")
    assert "you said inside, but it is border" in capsys.readouterr().out
    check.prediction("border", "border")
    assert "so it is" in capsys.readouterr().out


def test_an_exercise_that_does_not_exist_is_told_its_neighbor():
    with pytest.raises(ValueError, match="did you mean"):
        check.answer(next(iter(EXERCISES))[:-1], None)


# --- the exercises --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, e in EXERCISES.items() if e.cases])
def test_the_librarys_own_function_is_right_and_each_mistake_is_named(name):
    exercise = EXERCISES[name]
    assert verdict(exercise, exercise.key)[0]
    assert exercise.mistakes
    for sentence, mistake in exercise.mistakes.items():
        right, said = verdict(exercise, mistake)
        assert right is False and sentence in said, sentence


# --- the lessons ----------------------------------------------------------------------------------------------------------


def cells(path):
    return nbformat.read(path, as_version=4).cells


def solution(cell):
    """The code folded away in the cell after an exercise."""
    (code,) = re.findall(r"<details><summary>Solution</summary>\n\n.*?```python\n(.*?)```\n\n</details>", cell.source, re.S)
    return code.rstrip()


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_has_a_prediction_exercises_with_solutions_questions_and_references(path):
    everything = cells(path)
    text = "\n".join(c.source for c in everything)
    assert "## Questions" in text and "**Investigate:**" in text and "**References:**" in text
    assert len(re.findall(r"^\d\. ", text[text.index("## Questions") :], re.M)) >= 3
    assert "Predict" in text or "predict" in text
    places = [i for i, c in enumerate(everything) if "exercise" in c.metadata.get("tags", [])]
    assert 2 <= len(places) <= 4
    for i in places:
        asks = everything[i].source.splitlines()[-1]  # the check; the solution ends with the same
        assert re.match(r"check\.(answer|strategy)\(", asks) and solution(everything[i + 1]).endswith(asks)
        assert "your turn" in everything[i].outputs[-1].text


def test_every_exercise_is_asked_in_a_lesson():
    asked = {name for path in LESSONS for c in cells(path) for name in re.findall(r'^check\.answer\("(\w+)"', c.source, re.M)}
    assert asked == set(EXERCISES)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_runs_with_every_solution_filled_in_and_each_is_right(path, tmp_path):
    """As stored, unanswered, nbval runs them."""
    notebook = nbformat.read(path, as_version=4)
    names = []
    for cell, after in zip(notebook.cells, notebook.cells[1:], strict=False):
        if "exercise" in cell.metadata.get("tags", []):
            cell.source = solution(after)
            names += re.findall(r'check\.\w+\("(\w+)"', cell.source)
    nbformat.write(notebook, tmp_path / path.name)
    command = [sys.executable, "-m", "papermill", str(tmp_path / path.name), str(tmp_path / "done.ipynb"), "-k", "python3"]
    done = subprocess.run(
        [*command, "--no-progress-bar", *GIVEN.get(path.stem, [])],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = "".join(o.text for c in cells(tmp_path / "done.ipynb") for o in c.get("outputs", []) if o.output_type == "stream")
    for name in names:
        assert f"{name}: right" in said, said[said.find(name) :][:300]
    assert "your turn: replace" not in said
