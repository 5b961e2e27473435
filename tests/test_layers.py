"""Three rules of the house. Change the rows here and the map in oreal_lib/__init__.py together."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import oreal_lib

PACKAGE = Path(oreal_lib.__file__).parent
PAPER = (
    "types superpixels oracle scores aggregate balance select strategies metrics config batches predict train setting loop".split()
)
ROWS = [
    "storage",
    "types balance models superpixels",
    "oracle metrics scores select",
    "fast weak",
    "aggregate",
    "beyond",
    "strategies",
    "config draw",
    "data batches",
    "predict setting",
    "train",
    "loop annotate",
    "experiments",
    "reports",
    "explore lessons",
    "__main__",
]
RANK = {name: row for row, names in enumerate(ROWS) for name in names.split()}
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]
PAPER_FILES = [p for name in PAPER for p in ((PACKAGE / f"{name}.py"), PACKAGE / name / "__init__.py") if p.exists()]


def name_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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
    name = name_of(path)
    assert name in RANK, f"{name} has no row: place it in ROWS"
    for other in imported(path):
        assert other == name or RANK[other] < RANK[name], f"{name} imports {other}, which is not above it"


def test_the_papers_files_need_each_other_and_six_wings():
    assert {name for path in PAPER_FILES for name in imported(path)} <= {
        *PAPER,
        "models",
        "fast",
        "weak",
        "data",
        "storage",
        "beyond",
    }
    assert len(PAPER_FILES) == 15 and {p.stem for p in PACKAGE.glob("*.py")} - set(PAPER) == {"__init__", "__main__", "draw"}


def test_only_the_widgets_know_jupyter_and_only_the_batch_knows_papermill():
    def packages(path):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            yield from (name.split(".")[0] for name in names if isinstance(node, ast.Import | ast.ImportFrom))

    jupyter = {"ipywidgets", "anywidget", "traitlets", "IPython"}
    allowed = {PACKAGE / name / "widget.py" for name in ("explore", "annotate")}
    assert {p for p in FILES if jupyter & set(packages(p))} <= allowed
    assert {p for p in FILES if '"-m", "papermill"' in p.read_text(encoding="utf-8")} == {PACKAGE / "experiments" / "batch.py"}


@pytest.mark.parametrize("path", PAPER_FILES, ids=name_of)
def test_what_a_student_reads_has_short_functions_with_few_parameters(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, (
                f"{node.name} has {node.end_lineno - node.lineno + 1} lines, but at most 60 fit"
            )
            given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg != "self"]
            assert len(given) <= 7, f"{node.name} has {len(given)} parameters, but at most 7 can be kept in mind"


def test_a_machine_that_only_trains_on_prepared_data_needs_no_opencv():
    code = "import sys; sys.modules['cv2'] = None; import oreal_lib.experiments.run, oreal_lib.reports.frames; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=120)
    assert done.stdout == "fine\n", done.stderr
