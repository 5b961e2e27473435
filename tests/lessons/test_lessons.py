"""The lessons: each mistake has its sentence, each solution is right, and each lesson runs to its end with its solutions filled in."""

import ast
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_output

from oreal_lib.lessons import check
from oreal_lib.lessons.exercise import verdict
from oreal_lib.storage.paths import home

LESSONS = sorted((home() / "notebooks").glob("0*.ipynb"))
EXERCISES = check.exercises()


@pytest.mark.parametrize("name", [name for name, e in EXERCISES.items() if e.cases])
def test_the_librarys_own_function_is_right_and_each_mistake_is_named(name):
    exercise = EXERCISES[name]
    assert verdict(exercise, exercise.key)[0] and exercise.mistakes
    for sentence, mistake in exercise.mistakes.items():
        right, said = verdict(exercise, mistake)
        assert right is False and sentence in said, sentence


def exercises(notebook):
    """(place, cell, solution) of each exercise; the solution is folded away in the cell below it."""
    for i, cell in enumerate(notebook.cells):
        if "exercise" in cell.metadata.get("tags", []):
            folded = r"<details><summary>Solution</summary>\n\n.*?```python\n(.*?)```\n\n</details>"
            (code,) = re.findall(folded, notebook.cells[i + 1].source, re.S)
            yield i, cell, code.rstrip()


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def lesson(path):
    return nbformat.read(path, as_version=4)


def test_a_lesson_has_a_prediction_exercises_questions_and_references(lesson):
    text = "\n".join(c.source for c in lesson.cells)
    assert "**Investigate:**" in text and "**References:**" in text and re.search("[Pp]redict", text)
    assert len(re.findall(r"^\d\. ", text[text.index("## Questions") :], re.M)) >= 3
    assert 2 <= len([*exercises(lesson)]) <= 4
    for _, cell, solution in exercises(lesson):
        asks = cell.source.splitlines()[-1]
        assert re.match(r"check\.(answer|strategy)\(", asks) and solution.endswith(asks)
        assert "your turn" in cell.outputs[-1].text


def test_every_exercise_is_asked_in_a_lesson():
    text = "\n".join(c.source for path in LESSONS for c in nbformat.read(path, as_version=4).cells)
    assert set(re.findall(r'^check\.answer\("(\w+)"', text, re.M)) == set(EXERCISES)


def test_every_solution_is_right(lesson, capsys):
    """With what the cells above it import; the two that it takes from a training are given."""
    for place, _, solution in exercises(lesson):
        code = "\n".join(c.source for c in lesson.cells[:place] if c.cell_type == "code")
        imports = [node for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {"labels": SimpleNamespace(clicks=462), "pool": range(7680)}
        exec(compile(ast.Module(imports, []), "imports", "exec"), names)
        exec(solution, names)
        assert re.match(r"\w+: right", capsys.readouterr().out), solution


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home that the lessons share: the data is drawn once, and a later lesson finds the runs of an earlier one."""
    place = tmp_path_factory.mktemp("home")
    for name in ("params", "figures"):
        shutil.copytree(home() / name, place / name)
    return place


@pytest.mark.slow
def test_a_lesson_runs_with_its_solutions_and_says_what_it_said(path, lesson, place):
    """One execution, by nbval: it compares the cells marked NBVAL_CHECK_OUTPUT, and here the verdicts on the solutions too."""
    for _, cell, solution in exercises(lesson):
        name = re.findall(r'check\.\w+\("(\w+)"', solution)[-1]
        if name in EXERCISES:
            cases = f" in {len(EXERCISES[name].make())} cases" if EXERCISES[name].cases else ""
            said = f"{name}: right: the same as the library{cases} ({EXERCISES[name].see})\n"
        else:
            said = f"{name}: right, it keeps all 7 clauses of the contract; whether it is any good, the race says\n"
        cell.source, cell.outputs = f"# NBVAL_CHECK_OUTPUT\n{solution}", [new_output("stream", name="stdout", text=said)]
    nbformat.write(lesson, place / path.name)
    done = subprocess.run(
        [*f"{sys.executable} -m pytest -q -p no:xdist -p no:cacheprovider --nbval-lax --nbval-cell-timeout=600".split(), path.name],
        cwd=place,
        env=os.environ | {"OREAL_HOME": str(place), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(home())},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-5000:]
