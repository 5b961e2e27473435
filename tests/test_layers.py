"""One-way dependencies: a module imports only from rows above its own. Change the rows here and in the README together."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import oreal_lib

ROWS = [
    "types balance storage models superpixels",
    "oracle metrics scores select",
    "fast weak",
    "aggregate",
    "strategies",
    "config draw",
    "data",
    "batches",
    "predict setting",
    "train",
    "loop",
    "experiments annotate",
    "reports",
    "explore",
    "lessons",
]
PACKAGE = Path(oreal_lib.__file__).parent
RANK = {name: row for row, names in enumerate(ROWS) for name in names.split()}
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def imported(path):
    """Names of the modules of ours that a file imports, resolved to their first part below the package."""
    here = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [*here[: len(here) - node.level + 1], *(node.module or "").split(".")]
            parts = [p for p in parts if p]
            yield from [parts[0]] if parts else [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("oreal_lib"):
            yield from node.module.split(".")[1:2] or [a.name for a in node.names]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_rows_above(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert name in RANK, f"{name} has no row: place it in ROWS"
    for other in imported(path):
        assert other == name or RANK[other] < RANK[name], f"{name} imports {other}, which is not above it"


def test_importing_the_library_loads_nothing_heavy():
    assert not [n for n in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text())) if isinstance(n, ast.Import | ast.ImportFrom)]


def test_only_the_batch_knows_papermill():
    for path in FILES:
        if path.stem != "batch":
            assert "import papermill" not in path.read_text(encoding="utf-8"), path


def test_a_machine_that_only_trains_on_prepared_data_needs_no_opencv():
    code = "import sys; sys.modules['cv2'] = None; import oreal_lib.experiments.run, oreal_lib.reports.frames; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=120)
    assert done.stdout == "fine\n", done.stderr


def test_only_the_widgets_know_jupyter():
    def packages(path):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            yield from (name.split(".")[0] for name in names if isinstance(node, ast.Import | ast.ImportFrom))

    jupyter = {"ipywidgets", "anywidget", "traitlets", "IPython"}
    assert {p.stem for p in FILES if jupyter & set(packages(p))} == {"browser", "widgets", "widget"}
