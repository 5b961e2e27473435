"""The lessons as a course: book/course/source for the teacher, book/course/release for students.  python docs/course.py

Both have the metadata of nbgrader (schema 3): its names for the two copies, a cell to answer in for each exercise, and below it a locked
cell of one point that the checks of the library grade. The teacher's has the solutions, between the marks that nbgrader removes.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from oreal_lib.storage.paths import home

FOLDED = re.compile(r"<details><summary>Solution</summary>\n\n.*?```python\n(.*?)```\n\n</details>\s*", re.S)
ASKED = re.compile(r'^check\.(answer|strategy)\("(\w+)", (.*)\)$', re.M)


def graded(kind: str, name: str, given: str) -> str:
    """The code of a cell that fails, with what is wrong, unless the answer to an exercise is right."""
    if kind == "strategy":
        mine = given.partition(",")[0]
        judged = f'broken = judge({mine}, "mean") + judge({mine}, "max")\nassert not broken, broken'
        return f"from oreal_lib.lessons.contract import judge\n\n{judged}"
    words = "from oreal_lib.lessons.check import exercises\nfrom oreal_lib.lessons.exercise import verdict\n\n"
    return f'{words}right, said = verdict(exercises()["{name}"], {given})\nassert right, said'


def course(lesson: NotebookNode, teacher: bool) -> NotebookNode:
    """A lesson with cells that nbgrader knows; for students without solutions, and without outputs that would show them.

    ValueError for an exercise whose solution is not in the cell below it.
    """
    cells = []
    for place, cell in enumerate(lesson.cells):
        cell = NotebookNode(cell)
        cell.metadata = NotebookNode(cell.metadata)
        cells.append(cell)
        if "exercise" in cell.metadata.get("tags", []):
            kind, name, given = ASKED.findall(cell.source)[-1]
            found = FOLDED.search(lesson.cells[place + 1].source)
            if not found:
                raise ValueError(f"exercise {name} has no solution in the cell below it; fold one away there")
            if teacher:
                cell.source = f"### BEGIN SOLUTION\n{found[1].rstrip()}\n### END SOLUTION"
            about = {"schema_version": 3, "task": False, "cell_type": "code"}
            cell.metadata.nbgrader = about | {"grade_id": name, "grade": False, "solution": True, "locked": False}
            locked = {"grade_id": f"{name}_graded", "grade": True, "solution": False, "locked": True, "points": 1}
            cells.append(new_code_cell(graded(kind, name, given), metadata={"nbgrader": about | locked}))
        elif cell.cell_type == "markdown":
            cell.source = FOLDED.sub("", cell.source)
            if not cell.source.strip():
                cells.pop()
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return NotebookNode(lesson | {"cells": cells})


def main(out: Path) -> None:
    """Write both copies of every lesson into `out`, one folder for each lesson, as nbgrader expects it."""
    for path in sorted((home() / "notebooks").glob("0*.ipynb")):
        for name in ("source", "release"):
            to = out / name / path.stem / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(course(nbformat.read(path, as_version=4), name == "source"), to)
    print(f"{out}/source: with solutions, for the teacher\n{out}/release: for students")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
