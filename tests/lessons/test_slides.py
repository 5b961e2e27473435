"""The slides: cells of the lessons that are marked, on one page that needs nothing else."""

import re

import nbformat
import slides
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from oreal_lib.storage.paths import home

LESSONS = [nbformat.read(path, as_version=4) for path in sorted((home() / "notebooks").glob("0*.ipynb"))]
PAGE = slides.slides(LESSONS)


def marked(kind):
    return {"slideshow": {"slide_type": kind}}


def test_an_hour_of_slides_lies_on_one_page_without_an_address_of_another_machine():
    assert 30 <= PAGE.count("<section>") == PAGE.count("</section>") <= 40
    assert PAGE.count("data:image/") >= 15 and not re.search(
        r"https?:|\b(src|href)=.(?!data:|#|\.\./|\w+\.ipynb)|@import|url\(", PAGE
    )


def test_marked_cells_are_shown_by_what_they_print_and_draw_and_no_others():
    lesson = new_notebook(
        cells=[
            new_markdown_cell("# A question?\n\nFirst paragraph.\n\nTwo minutes.", metadata=marked("slide")),
            new_markdown_cell("## A part\n\nNot shown."),
            new_markdown_cell("Shown.", metadata=marked("slide")),
            new_code_cell(
                "secret()",
                metadata=marked("fragment"),
                outputs=[new_output("stream", text="[run] 3 s\nanswer 42\nfirst write your prediction\n")],
            ),
        ]
    )
    page = slides.slides([lesson])
    assert page.count("<section>") == 2 and page.count('class="fragment"') == 1
    assert all(text in page for text in ("First paragraph.", "A part", "Shown.", "answer 42"))
    assert not any(text in page for text in ("Two minutes", "Not shown", "secret", "[run]", "first write"))
