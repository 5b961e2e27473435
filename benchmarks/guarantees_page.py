"""docs/guarantees.md, from the results of `make torture`: python benchmarks/guarantees_page.py"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "torture_cpu.json", HERE.parent / "docs" / "guarantees.md"
NAMES = {  # parts of the results -> what was killed
    "run": "a run of three steps, five strategies in turn",
    "stage two": "stage two of a run with weak labels, with all it begins with",
    "prepare": "the preparation of a data set, in one process and in two",
    "session": "a person's session: 150 acts in three pictures",
    "training": "a training round of a session",
    "batch": "a batch through papermill, two runs at a time: the batch, one of its processes, or all of them",
}
PROMISES: list[tuple[str, list[tuple[str, str]]]] = [
    (
        "Killed",
        [
            (
                "A run, stage two, a preparation, a training round, killed at any moment and started again, ends with the same bits as one "
                "that was left in peace (CPU); a batch that is started again computes only what is missing.",
                "test_torture.py test_resume.py::test_killed_at_every_point_it_ends_as_if_undisturbed "
                "test_stage_two.py::test_stage_two_killed_at_every_point_ends_as_if_undisturbed "
                "test_prepare.py::test_a_kill_at_any_moment_costs_no_second_cut_and_no_byte",
            ),
            (
                "An act of a person that was acknowledged is on the disk; one that was not is sent again and counts once.",
                "test_torture.py test_session.py::test_a_kill_between_any_two_clicks_loses_none browser/test_label_page.py",
            ),
            (
                "Ctrl-C ends every command with one sentence that says what is kept and how to go on; inside a training the last finished "
                "epoch is kept.",
                "test_stop.py",
            ),
        ],
    ),
    (
        "Disk",
        [
            (
                "A disk that is full, read-only or pulled out is told with the remedy; when that is mended, the same command goes on and "
                "ends as if nothing had happened.",
                "test_disk.py test_resume.py::test_a_full_disk_at_any_write_is_told_and_costs_nothing "
                "test_lock.py::test_a_folder_that_is_gone_is_told_before_anything_is_written",
            ),
            (
                "Every file of ours that decides a number or a label carries a checksum: what was flipped, cut, zeroed or exchanged in it is named with the remedy "
                "or computed again, and never becomes a number. (A log of clicks that is cut exactly at the end of a line is a shorter "
                "log, and two whole lines that were exchanged are two acts.)",
                "test_damage.py test_prepare.py::test_a_harmed_store_is_named_with_the_remedy",
            ),
        ],
    ),
    (
        "Two at once",
        [
            (
                "A run, a preparation, a grid, a log of clicks belongs to one process at a time, also on a disk that several machines share. "
                "Another one waits or is refused, and is told who has it and since when; a second batch goes on with the other runs.",
                "test_lock.py test_batch.py::test_a_run_that_another_process_computes_is_waited_for_and_begun_when_that_has_died "
                "test_events.py::test_another_process_that_has_the_log_is_named_and_its_death_frees_it",
            ),
            (
                "What a dead process held is free at once on its own machine; on another one a minute after its last sign of life, and it "
                "can write no more when it wakes up.",
                "test_lock.py::test_a_holder_on_another_machine_that_is_dead_is_taken_over_after_a_while_and_not_before "
                "test_lock.py::test_who_was_taken_over_may_not_write_any_more",
            ),
        ],
    ),
    (
        "Bad input",
        [
            (
                "Images, masks, label maps, probabilities, scores, budgets, YAML, logs and label acts of any kind give what they must, or "
                "an error of ours with value, rule and remedy.",
                "test_generated_files.py test_generated_labels.py test_generated_paper.py test_generated_yaml.py "
                "test_generated_annotation.py",
            ),
            (
                "NaN in a score is an error that names picture, superpixel and class, never a rank.",
                "test_generated_paper.py test_aggregate.py",
            ),
        ],
    ),
    (
        "Same numbers",
        [
            (
                "Same seed, versions, processor and threads: the same bits on a CPU, whatever the number of workers and loaders "
                "([determinism](determinism.md)). On a GPU nothing is promised, and nothing was measured.",
                "test_batches.py test_benchmarks.py test_prepare.py",
            ),
        ],
    ),
    (
        "Safe",
        [
            (
                "Nothing that is read runs code, and nothing leaves its folder: weights, checkpoints, arrays, YAML, archives, logs, names.",
                "test_safety.py test_file_names.py",
            ),
            (
                "What is typed reaches the program whole and runs nothing, through make, Snakemake and papermill.",
                "test_makefile.py test_schedule.py test_batch.py",
            ),
            (
                "JupyterLab and the page of `make label` listen to this computer only and ask for the token.",
                "test_safety_servers.py",
            ),
            (
                "Every file that is installed has a hash; `make licences` lists licences, `make audit` known vulnerabilities.",
                "test_environment.py",
            ),
        ],
    ),
    (
        "Long work speaks",
        [
            (
                "Whatever takes more than five seconds says how far it is and how long it will take, in terminal, notebook and log; a "
                "batch says each minute where its runs stand.",
                "test_progress.py",
            ),
        ],
    ),
]
STRANGERS = """## What a notebook or a file from a stranger can do

Safe to open, since it is read as data, never run, or refused in one sentence:

- Weights (`.safetensors`, `.pth`), checkpoints, `.npy`, `.npz`, prepared data: no pickle is unpacked into objects.
- Run folders, logs of clicks, JSON of sessions and models. YAML makes plain values only; but a grid can name any data folder, file of weights or YAML file for you to read.
- Pictures and masks of any name. Pillow and OpenCV decode them, so keep those up to date; too many pixels are refused.
- The VOC archive: plain files inside its folder, or nothing is unpacked. A list in a stranger's export deletes nothing outside of it.
- Unpack a stranger's session without links: a link in place of `pictures/` or of an annotator's folder is followed. Do not let a spreadsheet compute a stranger's CSV.

Not safe, since these are programs:

- A notebook runs its code when it is executed, a `run.ipynb` in a run folder, too. JupyterLab shows its HTML output cleaned until you trust it; trusted output may run scripts.
- A strategy, reader or any other `.py`; a Snakefile or a Snakemake profile (`PROFILE=`, `SNAKEMAKE_ARGS=`); a Makefile; a conda environment or a lock file.
- A grid file starts only the notebooks of your own `notebooks/`.
- JupyterLab (`make lab`) and the page of `make label`: whoever has the token, or is logged in as you, can do what you can.

Checksums find accidents, not forgery: who can write your files can write the checksum, too.
"""


def page(results: dict[str, Any]) -> str:
    """docs/guarantees.md from the content of torture_cpu.json."""
    parts = [
        "# What is promised, and what tries to break it\n",
        "Each promise is followed by the tests that try to break it. They are part of `make test`, most of them with a few cases of many; "
        "`make torture` runs the random ones for hours, and this page is written from what it found.\n",
    ]
    for title, promises in PROMISES:
        parts.append(f"## {title}\n")
        parts += [f"- {promise} ({', '.join(map(linked, tests.split()))})" for promise, tests in promises]
        parts.append("")
    return "\n".join([*parts, "## Measured\n", *measured(results), "", STRANGERS])


def linked(test: str) -> str:
    """A test file, or one test of it, as a link to the file."""
    file, _, name = test.partition("::")
    return f"[`{name or file.rpartition('/')[2].removesuffix('.py')}`](../tests/{file})"


def measured(results: dict[str, Any]) -> list[str]:
    """The lines of the last `make torture`."""
    lines = [
        "Killed with SIGKILL at random moments (`kill -9`), started again, and compared with an undisturbed twin, bit for bit:\n"
    ]
    lines += ["| killed | kills | ends compared | different | minutes | commit |", "|---|---:|---:|---:|---:|---|"]
    for part, what in NAMES.items():
        if part in results:
            r = results[part]
            kills = str(r["kills"]) if r["kills"] == r["wanted"] else f"{r['kills']} of {r['wanted']} wanted"
            lines.append(
                f"| {what} | {kills} | {r['ends']} | {len(r['differences'])} | {r['seconds'] / 60:.0f} | {short(r['commit'])} |"
            )
        else:
            lines.append(f"| {what} | not measured | | | | |")
    lines.append("")
    for part, what in (("damage", "Files damaged at random"), ("generated", "Input made by chance")):
        if part in results:
            r = results[part]
            failed = f"{len(r['differences'])} failed" if r["differences"] else "none failed"
            lines.append(f"{what}: {r['cases']:,} cases in {r['tests']} tests, {failed}; commit {short(r['commit'])}.\n")
        else:
            lines.append(f"{what}: not measured.\n")
    some = next(iter(results.values()))
    versions = some["versions"]
    lines.append(
        f"{some['device']}, other work beside it, torch {versions['torch']}, numpy {versions['numpy']}; seeds, moments and differences: "
        "[all numbers](../benchmarks/results/torture_cpu.json), `make torture`. Nothing was tried on a GPU, on Windows or macOS, or over a "
        "real network drive; two machines on a shared disk are two processes whose system locks are kept from each other."
    )
    return lines


def short(commit: str) -> str:
    """A commit's first letters, with a mark where files differed from it."""
    return commit[:7] + "+changes" * commit.endswith("+changes")


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"written: {PAGE.name}", file=sys.stderr)
