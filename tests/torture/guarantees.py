"""The measured part of docs/guarantees.md, from the results of `make torture`: python tests/torture/guarantees.py"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]
RESULTS, PAGE = HOME / "benchmarks" / "results" / "torture_cpu.json", HOME / "docs" / "guarantees.md"
BEGIN, END = "## Measured\n\n", "\n## "
NAMES = {  # parts of the results -> what was killed
    "run": "a run of three steps, five strategies in turn",
    "stage two": "stage two of a run with weak labels, with all it begins with",
    "prepare": "the preparation of a data set, in one process and in two",
    "session": "a person's session: 150 acts in three pictures",
    "training": "a training round of a session",
    "batch": "a batch through papermill, two runs at a time: the batch, one of its processes, or all of them",
}


def measured(results: dict[str, Any]) -> str:
    """What the last `make torture` found, from the content of torture_cpu.json."""
    lines = [
        "Killed with SIGKILL at random moments (`kill -9`), started again, and compared with an undisturbed twin, bit for bit:\n",
        "| killed | kills | ends compared | different | minutes | commit |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for part, what in NAMES.items():
        cells = ["not measured", "", "", "", ""]
        if r := results.get(part):
            kills = str(r["kills"]) if r["kills"] == r["wanted"] else f"{r['kills']} of {r['wanted']} wanted"
            cells = [kills, r["ends"], len(r["differences"]), f"{r['seconds'] / 60:.0f}", short(r["commit"])]
        lines.append(f"| {what} | {' | '.join(map(str, cells))} |")
    lines.append("")
    for part, what in (("damage", "Files damaged at random"), ("generated", "Input made by chance")):
        said = "not measured.\n"
        if r := results.get(part):
            failed = f"{len(r['differences'])} failed" if r["differences"] else "none failed"
            said = f"{r['cases']:,} cases in {r['tests']} tests, {failed}; commit {short(r['commit'])}.\n"
        lines.append(f"{what}: {said}")
    some = next(iter(results.values()))
    lines.append(
        f"{some['device']}, other work beside it, torch {some['versions']['torch']}, numpy {some['versions']['numpy']}; seeds, moments "
        "and differences: [all numbers](../benchmarks/results/torture_cpu.json), `make torture`."
    )
    return "\n".join(lines) + "\n"


def short(commit: str) -> str:
    """A commit's first letters, with a mark where files differed from it."""
    return commit[:7] + "+changes" * commit.endswith("+changes")


def page() -> str:
    """docs/guarantees.md with what was measured last."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + measured(json.loads(RESULTS.read_text(encoding="utf-8"))) + END + rest.partition(END)[2]


def write() -> None:
    """Brings docs/guarantees.md up to date."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
