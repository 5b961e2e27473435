"""The house rules for notebooks, read from the files without running them; tests of the lessons and of whole grids run them."""

import ast
import re

import nbformat
import pytest

from oreal_lib.storage.paths import home

NOTEBOOKS = sorted((home() / "notebooks").glob("*.ipynb"))
LESSONS = [p for p in NOTEBOOKS if p.name.startswith("0")]
OTHERS = [p for p in NOTEBOOKS if p not in LESSONS]


def cells(path):
    return nbformat.read(path, as_version=4).cells


def code_of(path):
    return [c for c in cells(path) if c.cell_type == "code"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def path(request):
    return request.param


def test_the_first_cell_is_a_question_or_a_claim_with_its_minutes(path):
    first = cells(path)[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert re.search(r"\d+ (s|min)|minute|[Ss]econds", first.source), "say how long it takes"


def test_the_second_cell_is_tagged_parameters_and_holds_only_commented_literals(path):
    second = cells(path)[1]
    assert second.metadata.get("tags") == ["parameters"]
    for line, node in zip(second.source.splitlines(), ast.parse(second.source).body, strict=True):
        assert isinstance(node, ast.Assign), line
        ast.literal_eval(node.value)
        assert "  # " in line and "=" not in line.split("  # ", 1)[1], f"{line}: papermill cannot read a comment with ="


def test_text_stands_before_code_and_code_is_short(path):
    all_cells = cells(path)
    for i, cell in enumerate(all_cells):
        if cell.cell_type != "code":
            continue
        assert len(cell.source.splitlines()) <= 16, cell.source
        run_on = all_cells[i - 1].cell_type == "code" and all_cells[i - 2].cell_type == "code"
        assert not run_on, "three code cells in a row"


def test_no_definitions_installs_or_relative_paths(path):
    """Definitions are for exercises."""
    for cell in code_of(path):
        assert not re.search(r"^\s*[!%]", cell.source, re.M)
        assert not re.search(r"[\"']\.\.?/", cell.source)
        for node in ast.walk(ast.parse(cell.source)):
            defines = isinstance(node, ast.FunctionDef | ast.ClassDef)
            assert not defines or "exercise" in cell.metadata.get("tags", []), cell.source


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.stem)
def test_runs_and_reports_are_stored_without_outputs(path):
    for cell in code_of(path):
        assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_lessons_are_stored_executed_in_order_and_small(path):
    assert [c.execution_count for c in code_of(path)] == list(range(1, len(code_of(path)) + 1))
    assert path.stat().st_size <= 300_000
    assert "widgets" not in nbformat.read(path, as_version=4).metadata
    assert not any(o.output_type == "error" for c in code_of(path) for o in c.outputs)
