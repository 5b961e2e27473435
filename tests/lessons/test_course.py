"""The lessons as a course: what the teacher has passes every grade, what students get passes none and shows no solution."""

import ast
from types import SimpleNamespace

import course
import nbformat
import pytest

from oreal_lib.storage.paths import home

LESSONS = sorted((home() / "notebooks").glob("0*.ipynb"))


def graded(copy, lesson):
    """(name of an exercise, whether its grade was given) after its cell and the locked one below it; imports of the lesson are there."""
    code = "\n".join(c.source for c in lesson.cells if c.cell_type == "code" and "exercise" not in c.metadata.get("tags", []))
    imports = [node for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {"labels": SimpleNamespace(clicks=462), "pool": range(7680)}
    exec(compile(ast.Module(imports, []), "imports", "exec"), names)
    for cell in copy.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            exec(cell.source, names)
        elif about.get("grade"):
            try:
                exec(cell.source, names)
                yield about["grade_id"], True
            except AssertionError:
                yield about["grade_id"], False


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_solutions_are_graded_right_and_an_empty_answer_is_not(path):
    lesson = nbformat.read(path, as_version=4)
    exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in lesson.cells)
    teacher, student = (course.course(nbformat.read(path, as_version=4), teacher) for teacher in (True, False))
    rights, wrongs = dict(graded(teacher, lesson)), dict(graded(student, lesson))
    assert len(rights) == len(wrongs) == exercises >= 2 and all(rights.values()) and not any(wrongs.values())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_students_get_all_but_solutions_and_outputs(path):
    lesson, student = nbformat.read(path, as_version=4), course.course(nbformat.read(path, as_version=4), teacher=False)
    nbformat.validate(student)
    text = "\n".join(cell.source for cell in student.cells)
    assert "Solution</summary>" not in text and "BEGIN SOLUTION" not in text
    assert not any(cell.get("outputs") for cell in student.cells)
    assert [c.source for c in lesson.cells if c.cell_type == "code"] == [
        c.source for c in student.cells if c.cell_type == "code" and not c.metadata.get("nbgrader", {}).get("grade")
    ]


def test_an_exercise_without_a_solution_is_told():
    lesson = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell('a = None\ncheck.answer("a", a)', metadata={"tags": ["exercise"]}),
            nbformat.v4.new_markdown_cell("text"),
        ]
    )
    with pytest.raises(ValueError, match="exercise a has no solution in the cell below it"):
        course.course(lesson, teacher=False)
