"""From scores to a query at the size of Cityscapes: 6,092,789 superpixels, 19 classes, 100,000 to ask.

    python benchmarks/selection.py                      # about five minutes, 1.1 GB of disk, at most 8 GB of memory

The scores lie in a file and are mapped into memory. Each way to choose runs in a process of its own, which reports seconds and the
most memory it ever held. Beside ours stands a list of tuples, sorted and walked, as published code has it; where that would take
minutes or more memory, it chooses from a sixteenth of the superpixels, and its time is scaled by N log N.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asking import RESULTS, header
from choosing import LISTS, OURS, SEED, Plan, work, write_scores
from training_report import lines, spread
from ways import machine

from oreal_lib.storage import atomic

PROGRAM = Path(__file__).resolve().parent / "choosing.py"
GOALS = {"top": {"seconds": 0.5}, "oreal": {"seconds": 3, "memory_mib": 1536}, "cbal batch": {"seconds": 60}}  # at most
FASTER = 20  # than the list of tuples, at least
PATIENCE, MEMORY_MIB, PART = 120, 8192, 16  # s and MiB that a list may take, else it gets one part of so many
TINY = Plan(4096, 5, 60, 64, 1, apart=False)


def call(what: str, folder: Path, plan: Plan) -> str:
    """What `choosing.py` prints in a process of its own."""
    command = [sys.executable, str(PROGRAM), what, str(folder), json.dumps(asdict(plan))]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def choose(side: str, name: str, folder: Path, plan: Plan) -> dict[str, Any]:
    """Seconds, MiB and the ids (Q,) that were chosen."""
    found = json.loads(call(f"{side} {name}", folder, plan)) if plan.apart else work(side, name, folder, plan)
    return found | {"ids": np.load(folder / "ids" / f"{side} {name}.npy", allow_pickle=False)}


def measure(name: str, folder: Path, plan: Plan) -> dict[str, Any]:
    """One row: our way `repeats` times on the whole, the list once, on the whole or on a part."""
    ours = [choose("ours", name, folder, plan) for _ in range(plan.repeats)]
    row: dict[str, Any] = {
        "way": name,
        **{name: spread(np.array([one[name] for one in ours])) for name in ("seconds", "cpu_seconds")},
        **{name: max((one[name] for one in ours if one[name]), default=None) for name in ("memory_mib", "memory_at_start_mib")},
    }
    if name in LISTS:
        part = replace(plan, n=plan.n // PART, query=plan.query // PART)
        small, listed = choose("ours", name, folder, part), choose("list", name, folder, part)
        row["asked_alike"] = float(np.isin(small["ids"], listed["ids"]).mean())
        grown = PART * math.log(plan.n) / math.log(part.n)
        seconds, cpu, start = listed["seconds"] * grown, listed["cpu_seconds"] * grown, listed["memory_at_start_mib"] or 0
        needed = start + PART * ((listed["memory_mib"] or 0) - start)
        whole = seconds <= PATIENCE and needed <= MEMORY_MIB
        if whole:
            listed = choose("list", name, folder, plan)
            seconds, cpu, needed = listed["seconds"], listed["cpu_seconds"], listed["memory_mib"]
        row["list"] = {
            "seconds": float(f"{seconds:.4g}"),
            "cpu_seconds": float(f"{cpu:.4g}"),
            "memory_mib": needed or None,
            "scaled_from": None if whole else part.n,
        }
        row["list_over_ours"] = float(f"{seconds / row['seconds']['median']:.4g}")
        row["list_over_ours_cpu"] = float(f"{cpu / row['cpu_seconds']['median']:.4g}")
    return row | {"goals_met": judged(row)}


def judged(row: dict) -> dict[str, bool]:
    """Goal -> whether the row meets it."""
    met = {}
    for what, most in GOALS.get(row["way"], {}).items():
        found = row[what]["median"] if what == "seconds" else row[what]
        if found is not None:  # memory is not counted on Windows
            met[f"{what} at most {most}"] = bool(found <= most)
    if "list_over_ours" in row:
        met[f"{FASTER} x the list"] = bool(row["list_over_ours"] >= FASTER)
    return met


def table(rows: list[dict]) -> str:
    """One line for each way; seconds are medians, in brackets the least and the most of the repeats."""

    def listed(row: dict) -> str:
        if "list" not in row:
            return "-"
        scaled = row["list"]["scaled_from"]
        return f"{row['list']['seconds']:.3g}" + (f" (scaled from N = {scaled:,})" if scaled else "")

    return lines(
        rows,
        {
            "way": lambda r: r["way"],
            "s": lambda r: "{median:.3g} ({least:.3g}-{most:.3g})".format(**r["seconds"]),
            "s of CPU": lambda r: f"{r['cpu_seconds']['median']:.3g}",
            "most memory MiB": lambda r: f"{r['memory_mib']} ({r['memory_at_start_mib']} at the start)",
            "list s": listed,
            "list MiB": lambda r: f"{r['list']['memory_mib']}" if "list" in r else "-",
            "list / ours": lambda r: f"{r['list_over_ours']:.1f}" if "list" in r else "-",
            "of CPU": lambda r: f"{r['list_over_ours_cpu']:.1f}" if "list" in r else "-",
            "alike": lambda r: f"{100 * r['asked_alike']:.2f} %" if "list" in r else "-",
            "goals": lambda r: "; ".join(f"{g}: {'met' if met else 'NOT met'}" for g, met in r["goals_met"].items()) or "-",
        },
    )


def run(plan: Plan, out: Path) -> dict:
    """Write the scores, measure every way; `out` holds the results so far after each."""
    began, device = time.monotonic(), torch.device("cpu")
    with machine(device, 1, tf32=False):
        results = header(device) | {"goals": GOALS, "faster": FASTER, "plan": asdict(plan), "rows": []}
    print(f"{results['device']}; torch {results['versions']['torch']}; load average {results['load_average']}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / "ids").mkdir()
        if plan.apart:  # else the files' pages would count as memory of every process that this one starts
            call("write", Path(folder), plan)
        else:
            write_scores(Path(folder), plan, np.random.default_rng(SEED))
        for name in OURS:
            results["rows"].append(measure(name, Path(folder), plan))
            results["seconds"] = round(time.monotonic() - began, 1)
            atomic.write_json(out / "selection_cpu.json", results)
            print(f"{name}: done after {results['seconds']} s", flush=True)
    print(f"\n{plan.query:,} of {plan.n:,} superpixels, {plan.classes} classes")
    print(table(results["rows"]))
    print("written: selection_cpu.json")
    return results


def main(argv: list[str] | None = None) -> dict:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--repeats", type=int, help="of our ways; the list is measured once")
    parser.add_argument("--superpixels", type=int, help="N; the query shrinks with it")
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(argv)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    plan = TINY if given.tiny else Plan()
    if given.repeats is not None:
        if given.repeats < 1:
            parser.error(f"--repeats is {given.repeats}, but at least 1 is needed; raise it")
        plan = replace(plan, repeats=given.repeats)
    if given.superpixels is not None:
        if given.superpixels < 2048:
            parser.error(f"--superpixels is {given.superpixels}, but the list gets a sixteenth of them; give 2048 or more")
        plan = replace(plan, n=given.superpixels, query=max(PART, round(plan.query * given.superpixels / plan.n)))
    return run(plan, given.out or RESULTS)


if __name__ == "__main__":
    main()
