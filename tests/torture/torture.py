"""Tries for hours to break the promises of docs/guarantees.md, and writes the outcome into it: `make torture`.

python tests/torture/torture.py --only run,session --kills 20      a part of it; the other results stay as they are
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import guarantees
import kills
import torch

from oreal_lib.data import load_dataset
from oreal_lib.storage import atomic, provenance
from oreal_lib.superpixels import SuperpixelRecipe

TESTS = Path(__file__).resolve().parents[1]


def works(place: Path) -> dict[str, kills.Work]:
    """What is killed, by name. place: where the data of the runs are prepared."""
    config = kills.run_config(0, 1)
    recipe = SuperpixelRecipe(**config.superpixel_recipe)
    quiet = {"store_root": place, "workers": 1}
    load_dataset("toy", height=32, width=32, recipe=recipe, options=config.data_options, **quiet)
    store = next(path for path in place.iterdir() if path.is_dir())
    return {
        "run": kills.a_run(store),
        "batch": kills.a_batch(),
        "stage two": kills.a_run(store, stage=2),
        "prepare": kills.a_preparation(),
        "session": kills.a_session(),
        "training": kills.a_training(),
    }


Found = dict[str, Any]


def killed(name: str, n: int, seed: int, keep: Callable[[Found], None]) -> Found:
    """The outcome of n kills of one kind of work; what is known of it is kept after each end."""

    def found(outcome: kills.Outcome) -> Found:
        moments = [round(m, 3) for m in outcome.moments]
        about = {"kills": outcome.kills, "wanted": n, "ends": outcome.ends, "differences": outcome.differences}
        return about | {"seconds": round(outcome.seconds, 1), "moments": moments}

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "data").mkdir()
        return found(kills.torture(works(place / "data")[name], place, n, seed, lambda outcome: keep(found(outcome))))


def tested(files: str, examples: int, seed: int) -> Found:
    """The outcome of test files with so many examples each: how many cases were tried, and which tests failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.json"
        variables = {"OREAL_EXAMPLES": str(examples), "OREAL_SEED": str(seed), "OREAL_CASES_FILE": str(cases)}
        found = sorted(str(file) for file in TESTS.rglob(files))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-rf", *found]
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, cwd=TESTS.parent)
        counted = json.loads(cases.read_text()) if cases.exists() else {}
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not failed:
        failed = done.stdout.splitlines()[-5:] + done.stderr.splitlines()[-5:]
    return {
        "examples": examples,
        "cases": sum(counted.values()),
        "tests": len(counted),
        "differences": failed,
        "seconds": round(time.monotonic() - began, 1),
    }


KILLED = ("run", "stage two", "prepare", "session", "training", "batch")
TESTED = {"damage": "test_damage.py", "generated": "test_generated_*.py"}


def main(arguments: list[str] | None = None) -> int:
    """1 if anything ended otherwise than it should have; what was found is in the JSON file and on the page."""
    parts = (*KILLED, *TESTED)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each kind of work (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=1000, help="of each file and each generated test (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(parts), help="parts, separated by commas (default: all)")
    parser.add_argument("--results", type=Path, default=guarantees.RESULTS)
    given = parser.parse_args(arguments)
    for name in given.only.split(","):
        if name not in parts:
            parser.error(f"there is no part {name!r}; choose of {', '.join(parts)}")
    bad = False
    for name in given.only.split(","):
        print(f"{name} ...", flush=True)
        about = {"seed": given.seed, "commit": provenance.commit(), "versions": provenance.versions()}
        about |= {"device": provenance.device_name(torch.device("cpu")), "load_average": os.getloadavg()}

        def keep(found: Found, name: str = name, about: Found = about) -> None:
            results = json.loads(given.results.read_text(encoding="utf-8")) if given.results.exists() else {}
            atomic.write_json(given.results, results | {name: found | about})

        if name in KILLED:
            found = killed(name, given.kills, given.seed, keep)
        else:
            found = tested(TESTED[name], given.examples, given.seed)
        keep(found)
        bad |= bool(found["differences"])
        n = found.get("kills", found.get("cases"))
        print(f"{name}: {n} {'kills' if 'kills' in found else 'cases'} in {found['seconds']:.0f} s", flush=True)
        for difference in found["differences"]:
            print(f"  {difference}", flush=True)
    if given.results == guarantees.RESULTS:
        guarantees.write()
    return int(bad)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
