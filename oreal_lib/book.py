"""Lessons and reports as a book: every notebook executed, timed, and made into HTML that needs nothing from elsewhere.

python -m oreal_lib.book            # book/index.html, and docs/notebooks.json with the seconds each notebook took
python -m oreal_lib.book html       # only the pages, from the notebooks executed before
python -m oreal_lib.book tables     # only the tables in README.md and the first lesson
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import yaml

from . import atomic, provenance
from .batch import last_words, notebook, papermill, stop
from .pages import write_pages
from .paths import home
from .predict import choose_device


def plan() -> list[dict]:
    """What docs/book.yaml lists: {"notebook": name, "parameters": {...}} or {"grid": name}, in order."""
    return yaml.safe_load((home() / "docs" / "book.yaml").read_text(encoding="utf-8"))


def build(out: Path, jobs: int) -> list[str]:
    """Execute everything of `plan` in a home of its own, `out/.home`, so that no figure of the project is touched.

    Returns what failed, a sentence each. What was computed before in that home is found again; notebooks are always executed.
    """
    place = out / ".home"
    for name in ("notebooks", "params", "docs", "figures"):
        shutil.rmtree(place / name, ignore_errors=True)
        shutil.copytree(home() / name, place / name)
    failed, began, steps = [], time.monotonic(), plan()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = []
        for item in [*steps, {"grid": None}]:
            if "notebook" in item:
                waiting.append(pool.submit(_execute, item, place, began))
                continue
            failed += [said for said in (done.result() for done in waiting) if said]
            waiting = []
            if item["grid"]:
                command = [sys.executable, "-m", "oreal_lib.batch", "run", item["grid"], "--jobs", str(jobs)]
                if subprocess.run(command, env=_environment(place)).returncode:
                    failed.append(f"the runs of {item['grid']} failed; see above")
    return failed


def _environment(place: Path) -> dict[str, str]:
    return os.environ | {"OREAL_HOME": str(place), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _execute(item: Mapping, place: Path, began: float) -> str | None:
    name = item["notebook"]
    target = place / "executed" / f"{name}.ipynb"
    log = target.with_suffix(".log")
    target.parent.mkdir(parents=True, exist_ok=True)
    process = papermill(notebook(name), target, item.get("parameters", {}), 1, log, {"OREAL_HOME": str(place)})
    try:
        code = process.wait()
    finally:
        stop([process])
    print(f"[{time.monotonic() - began:5.0f} s] {name} {'FAILED' if code else 'done'}", flush=True)
    return f"{name}: {last_words(log)} (all of it: {log})" if code else None


def measured(executed: Path) -> dict:
    """Seconds of each notebook from papermill's metadata, with the parameters it was given, and the machine and versions."""
    names = [item["notebook"] for item in plan() if "notebook" in item]
    found = {}
    for name in names:
        about = nbformat.read(executed / f"{name}.ipynb", as_version=4).metadata["papermill"]
        found[name] = {"seconds": round(about["duration"], 1), "parameters": about["parameters"]}
    where = {
        "device": provenance.device_name(choose_device("cpu")),
        "commit": provenance.commit(),
        "versions": provenance.versions(),
    }
    return where | {"notebooks": found}


def table(times: Mapping, link: str) -> str:
    """The table of all notebooks in markdown: name, question, and how long it took, by `measured`.

    link: where the notebooks lie, seen from the page, such as "notebooks/"; "" beside it.
    """
    rows = [f"| notebook | question | measured on {times['device']} |", "|---|---|---:|"]
    for path in sorted((home() / "notebooks").glob("*.ipynb")):
        question = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
        took = times["notebooks"].get(path.stem)
        rows.append(f"| [`{path.stem}`]({link}{path.name}) | {question} | {'-' if took is None else _time(took['seconds'])} |")
    return "\n".join(rows)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def write_tables(times: Mapping) -> None:
    """Put the table of notebooks into README.md and the first lesson, and Table 1 of figures/ into README.md.

    Each stands between two comments, such as <!-- notebooks --> and <!-- /notebooks -->; ValueError where one is gone.
    """
    readme = home() / "README.md"
    text = between(readme.read_text(encoding="utf-8"), "notebooks", table(times, "notebooks/"))
    atomic.write_bytes(readme, between(text, "table1", table1()).encode())
    first = home() / "notebooks" / "00_start_here.ipynb"
    lesson = nbformat.read(first, as_version=4)
    for cell in lesson.cells:
        if "<!-- notebooks -->" in cell.source:
            cell.source = between(cell.source, "notebooks", table(times, ""))
    atomic.write_bytes(first, (nbformat.writes(lesson) + "\n").encode())


def table1() -> str:
    """The setting and the rows of figures/table1_toy_table1.md, without its heading and notes."""
    lines = (home() / "figures" / "table1_toy_table1.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(
        [next(line for line in lines if re.match(r"\*[^*]", line)), "", *(line for line in lines if line.startswith("|"))]
    )


def between(text: str, name: str, content: str) -> str:
    """The text with `content` between its comments <!-- name --> and <!-- /name -->; ValueError if they are not there."""
    before, begin, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not end:
        raise ValueError(f"the page has no <!-- {name} --> ... <!-- /{name} -->, between which a table stands; put it back")
    return f"{before}{begin}\n{content}\n{end}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m oreal_lib.book", description="Lessons and reports as HTML pages.")
    parser.add_argument("what", nargs="?", default="all", choices=["all", "html", "tables"])
    parser.add_argument("--out", type=Path, default=None, help="folder of the book (default: book/ of this project)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="notebooks at a time (default: one per core)")
    options = parser.parse_args(arguments)
    out = (options.out or home() / "book").resolve()
    times = home() / "docs" / "notebooks.json"
    if options.what == "all":
        out.mkdir(parents=True, exist_ok=True)
        if failed := build(out, options.jobs):
            print("error: these notebooks could not be executed:", *failed, sep="\n  ", file=sys.stderr)
            return 1
        atomic.write_json(times, measured(out / ".home" / "executed"))
    if options.what in ("all", "tables"):
        write_tables(json.loads(times.read_text(encoding="utf-8")))
    if options.what in ("all", "html"):
        executed = out / ".home" / "executed"
        names = [item["notebook"] for item in plan() if "notebook" in item]
        if missing := [name for name in names if not (executed / f"{name}.ipynb").is_file()]:
            print(f"error: {missing[0]} was not executed yet; run python -m oreal_lib.book without html first", file=sys.stderr)
            return 1
        problems = write_pages({f"notebooks/{name}.ipynb": executed / f"{name}.ipynb" for name in names}, out)
        if problems:
            print("error: the pages have faults:", *problems, sep="\n  ", file=sys.stderr)
            return 1
        print(f"{out / 'index.html'}: {len(list(out.rglob('*.html')))} pages; open it in a browser, or copy the folder anywhere")
    return 0


if __name__ == "__main__":
    sys.exit(main())
