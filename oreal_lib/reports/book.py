"""Lessons and reports as a book: every notebook executed, timed, and made into HTML that needs nothing from elsewhere.

python -m oreal_lib book            # book/index.html, and docs/notebooks.json with the seconds each notebook took
python -m oreal_lib book html       # only the pages, from the notebooks executed before
python -m oreal_lib book tables     # only the tables in README.md, notebooks/README.md and the first lesson
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import dropwhile, takewhile
from pathlib import Path

import nbformat
import yaml

from ..experiments.batch import notebook, papermill, stop, waited
from ..experiments.logs import last_words
from ..storage import atomic, provenance
from ..storage.devices import choose_device
from ..storage.paths import home
from .pages import write_pages
from .table import markdown


def plan() -> list[dict]:
    """What docs/book.yaml lists: {"notebook": name, "parameters": {...}} or {"grid": name}, in order."""
    return yaml.safe_load((home() / "docs" / "book.yaml").read_text(encoding="utf-8"))


def build(out: Path, jobs: int) -> list[str]:
    """Execute everything of `plan` in a home of its own, `out/.home`, so that no figure of the project is touched.

    Returns what failed, a sentence each. What was computed before in that home is found again; notebooks are always executed.
    However it ends, no process that it started is left.
    """
    place = out / ".home"
    shutil.rmtree(place / "executed", ignore_errors=True)  # the pages are made from notebooks of one build
    for name in ("notebooks", "params", "docs", "figures"):
        shutil.rmtree(place / name, ignore_errors=True)
        shutil.copytree(home() / name, place / name)
    failed, together, began = [], [], time.monotonic()
    for item in [*plan(), {"grid": None}]:
        if "notebook" in item:
            together.append(item)
            continue
        failed += _execute(together, place, jobs, began)
        together = []
        if item["grid"] and _run(item["grid"], place, jobs):
            failed.append(f"the runs of {item['grid']} failed; see above")
    return failed


def _run(grid: str, place: Path, jobs: int) -> int:
    """Compute the runs of a grid; the exit code."""
    command = [sys.executable, "-m", "oreal_lib", "run", grid, "--jobs", str(jobs)]
    environment = os.environ | {"OREAL_HOME": str(place), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return waited(subprocess.Popen(command, env=environment, start_new_session=os.name == "posix"))  # as `stop` needs it


def _execute(items: Sequence[Mapping], place: Path, jobs: int, began: float) -> list[str]:
    """Execute notebooks, `jobs` at a time; what failed. Only one that reached its end gets its name: executed/NAME.ipynb."""
    folder, queue, failed = place / "executed", list(items), []
    folder.mkdir(parents=True, exist_ok=True)
    processes: dict[str, subprocess.Popen] = {}
    try:
        while queue or processes:
            while queue and len(processes) < jobs:
                item = queue.pop(0)
                name, given = item["notebook"], item.get("parameters", {})
                target, log = folder / f"{name}.unfinished.ipynb", folder / f"{name}.log"
                processes[name] = papermill(notebook(name), target, given, 1, log, {"OREAL_HOME": str(place)})
            time.sleep(0.2)
            for name, process in list(processes.items()):
                code = process.poll()
                if code is None:
                    continue
                del processes[name]
                print(f"[{time.monotonic() - began:5.0f} s] {name} {'FAILED' if code else 'done'}", flush=True)
                if code:
                    log = folder / f"{name}.log"
                    failed.append(f"{name}: {last_words(log)} (all of it: {log})")
                else:
                    os.replace(folder / f"{name}.unfinished.ipynb", folder / f"{name}.ipynb")
    finally:
        stop(list(processes.values()))
    return failed


def measured(executed: Path, names: Sequence[str]) -> dict:
    """Seconds of each notebook from papermill's metadata, with the parameters it was given, and the machine and versions."""
    found = {}
    for name in names:
        about = nbformat.read(executed / f"{name}.ipynb", as_version=4).metadata["papermill"]
        found[name] = {"seconds": round(about["duration"], 1), "parameters": about["parameters"]}
    device = provenance.device_name(choose_device("cpu"))
    return {"device": device, "commit": provenance.commit(), "versions": provenance.versions(), "notebooks": found}


def table_of_notebooks(times: Mapping) -> str:
    """The table of all notebooks in markdown: name, question, and how long it took, by `measured`. Links are from beside them."""
    rows = []
    for path in sorted((home() / "notebooks").glob("*.ipynb")):
        question = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
        seconds = times["notebooks"].get(path.stem, {}).get("seconds")
        took = "-" if seconds is None else f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
        rows.append([f"[`{path.stem}`]({path.name})", question, took])
    return markdown(["notebook", "question", f"measured on {times['device']}"], rows, left=(0, 1))


def write_tables(times: Mapping) -> None:
    """Put the table of notebooks into notebooks/README.md and the first lesson, and those of figures/ into docs/results.md and README.md.

    Each stands between two comments, such as <!-- notebooks --> and <!-- /notebooks -->; ValueError where one is gone.
    """
    for page, name, content in tables(times):
        text = between((home() / page).read_text(encoding="utf-8"), name, content)
        atomic.write_bytes(home() / page, text.encode())
    first = home() / "notebooks" / "00_start_here.ipynb"
    lesson = nbformat.read(first, as_version=4)
    for cell in lesson.cells:
        if "<!-- notebooks -->" in cell.source:
            cell.source = between(cell.source, "notebooks", table_of_notebooks(times))
    atomic.write_bytes(first, (nbformat.writes(lesson) + "\n").encode())


def tables(times: Mapping) -> list[tuple[str, str, str]]:
    """(page, name of the table on it, the table): the first table of files in figures/, or some of its rows, without their notes."""

    def rows(file: str, *starts: str) -> str:
        lines = (home() / "figures" / file).read_text(encoding="utf-8").splitlines()
        setting = [line for line in lines if re.match(r"\*[^*]", line)][:1]
        first = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines)))
        kept = [row for row in first[2:] if not starts or any(start in row for start in starts)]
        return "\n".join([*setting, *[""] * len(setting), *first[:2], *kept])

    return [
        ("README.md", "headline", rows("across_gains.md", "| average of the five |")),
        ("docs/results.md", "across", rows("across_gains.md", "| average of the five |", "| BvSB |", "| OREAL |")),
        ("docs/results.md", "planned", rows("across_planned.md")),
        ("docs/results.md", "table1", rows("table1_toy_table1.md")),
        ("docs/results.md", "small_tools", rows("table1_toy_small_tools_table1.md", "| random |", "| BvSB |", "| OREAL |")),
        ("notebooks/README.md", "notebooks", table_of_notebooks(times)),
    ]


def between(text: str, name: str, content: str) -> str:
    """The text with `content` between its comments <!-- name --> and <!-- /name -->; ValueError if they are not there."""
    before, begin, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not end:
        raise ValueError(f"the page has no <!-- {name} --> ... <!-- /{name} -->, between which a table stands; put it back")
    return f"{before}{begin}\n{content}\n{end}{after}"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `python -m oreal_lib book`."""
    parser.add_argument("what", nargs="?", default="all", choices=["all", "html", "tables"])
    parser.add_argument("--out", type=Path, default=None, help="folder of the book (default: book/ of this project)")
    kept = "start the same command again: it finds the runs that are finished and executes every notebook"
    parser.set_defaults(command=_book, kept=kept)


def _book(options: argparse.Namespace) -> int:
    """All of the book, or the part of it that was asked for; 1 with every fault there is."""
    what, out = options.what, (options.out or home() / "book").resolve()
    times, executed = home() / "docs" / "notebooks.json", out / ".home" / "executed"
    try:
        names = [item["notebook"] for item in plan() if "notebook" in item]
        if what == "all":
            out.mkdir(parents=True, exist_ok=True)
            if failed := build(out, options.jobs or os.cpu_count() or 1):
                raise ValueError("\n  ".join(["these notebooks could not be executed:", *failed]))
            atomic.write_json(times, measured(executed, names))
        if what in ("all", "tables"):
            if not times.is_file():
                raise ValueError(f"{times} is not there, but the tables say what it measured; run python -m oreal_lib book first")
            write_tables(json.loads(times.read_text(encoding="utf-8")))
        if what in ("all", "html"):
            if missing := [name for name in names if not (executed / f"{name}.ipynb").is_file()]:
                raise ValueError(f"{missing[0]} was not executed to its end yet; run python -m oreal_lib book without html first")
            if problems := write_pages({f"notebooks/{name}.ipynb": executed / f"{name}.ipynb" for name in names}, out):
                raise ValueError("\n  ".join(["the pages have faults:", *problems]))
            print(
                f"{out / 'index.html'}: {len(list(out.rglob('*.html')))} pages; open it in a browser, or copy the folder anywhere"
            )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
