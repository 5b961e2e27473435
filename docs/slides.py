"""A talk of an hour made of cells of the lessons: one page without a network.  python docs/slides.py book/course/slides.html

A cell whose `slideshow` metadata (JupyterLab: property inspector, "Slide Type") says slide begins one, fragment appears on it at the
next key, and - stands on it at once; cells without it are left out. Of code only what it prints and draws is shown.
"""

import re
import sys
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from oreal_lib.storage import atomic
from oreal_lib.storage.paths import home

TEMPLATE = Path(__file__).with_name("slides.html.j2")


def chosen(lesson: NotebookNode) -> list[NotebookNode]:
    """The cells of a lesson that are shown. A slide without a heading gets the last one above it; of the lesson's first cell stay heading
    and first paragraph; of what is printed neither messages about progress nor that a prediction is missing."""
    headings, cells = [], []
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            headings += re.findall(r"^#+ .*", cell.source, re.M)
        if "slideshow" not in cell.metadata:
            continue
        cell = deepcopy(cell)
        cell.source = cell.source.replace("Predict before you run", "Predict")  # nobody runs a slide
        del cell["id"]  # lessons count theirs from the same one
        if cell.source.startswith("# "):
            cell.source = "\n\n".join(cell.source.split("\n\n")[:2])
        elif cell.metadata.slideshow.slide_type == "slide" and not cell.source.startswith("#"):
            cell.source = f"{headings[-1]}\n\n{cell.source}"
        for output in cell.get("outputs", []):
            if "data" in output:
                output.setdefault("metadata", NotebookNode())["alt"] = headings[-1].lstrip("# ")
            else:
                output.text = re.sub(r"^(\[|first write).*\n", "", output.text, flags=re.M)
        cells.append(cell)
    return cells


def slides(lessons: Iterable[NotebookNode]) -> str:
    """The page of all their chosen cells, in order."""
    export = HTMLExporter(template_name="classic", template_file=str(TEMPLATE), exclude_input=True, exclude_output_prompt=True)
    cells = [cell for lesson in lessons for cell in chosen(lesson)]
    page, _ = export.from_notebook_node(NotebookNode(cells=cells, metadata=NotebookNode(), nbformat=4, nbformat_minor=4))
    return page


if __name__ == "__main__":
    paths = sorted((home() / "notebooks").glob("0*.ipynb"))
    atomic.write_bytes(Path(sys.argv[1]), slides(nbformat.read(path, as_version=4) for path in paths).encode())
    print(f"{sys.argv[1]}: the slides; arrow keys turn them, printing makes a PDF")
