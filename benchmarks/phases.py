"""Where the time of a run goes: network, optimizer, batches, scores, files, imports.

    python benchmarks/phases.py                                # two toy runs and a short one on CamVid, about 4 minutes
    python benchmarks/phases.py --camvid-root /data/CamVid     # or the environment variable OREAL_DATA
    python benchmarks/phases.py --tiny --out DIR

Functions of the library and of torch are wrapped while a run is measured and are as before afterwards; nothing of this is in the
library. A second belongs to the innermost wrapped function. Network: all forward passes, losses and backward passes. What a run
imports is timed in a process of its own, without notebooks. Prepared data are there before the clock starts.
Writes benchmarks/results/phases_cpu.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from training_report import lines

from oreal_lib import loop, predict, strategies, train
from oreal_lib.config import RunConfig
from oreal_lib.experiments import run as running
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.models import NormalizeAndPad
from oreal_lib.setting import open_setting
from oreal_lib.storage import atomic, provenance
from oreal_lib.storage.checkpoint import Checkpoint

GOAL = 0.85  # of the whole run, imports included, in forward and backward passes
NETWORK, REST = "network", "rest"
# what `make demo` consists of, and a data set with large pictures; a short CamVid run has fewer epochs for each test
RUNS = {
    "toy, OREAL max": ("toy", {}),
    "toy, true masks": ("toy", {"supervision": "full_masks"}),
    "CamVid, OREAL max, short": ("camvid", {"steps": 1, "max_epochs": 4}),
}
TINY = {
    "data_options": {"scene": "large_tools", "generator_seed": 7, "train": 12, "test": 4},
    "height": 32,
    "width": 32,
    "superpixel_method": "grid",
    "superpixel_count": 16,
    "train_images": 8,
    "val_images": 2,
    "query_share": 0.1,
    "steps": 2,
    "max_epochs": 2,
    "batch_size": 4,
}
# (object, name, phase, part): the phase of what is called from there, or None for the caller's; the part the seconds count for
WRAPPED: tuple[tuple[Any, str, str | None, str], ...] = (
    (running, "open_setting", "set-up", REST),
    (running, "check_model", "set-up", REST),
    (running, "network", "set-up", REST),
    (loop, "ask", "asking", REST),
    (loop, "fit", "training", REST),
    (train, "evaluate", "validation", REST),
    (loop, "evaluate", "test", REST),
    (NormalizeAndPad, "__call__", None, NETWORK),
    (train, "loss_of", None, NETWORK),
    (torch.Tensor, "backward", None, NETWORK),
    (train, "equip", None, "optimizer"),
    (train, "_copy", None, "copies of the best weights"),
    (predict, "to_input", None, "pictures to tensors"),
    (predict, "confusion", None, "confusion matrices"),
    (predict, "class_border", None, "class borders"),
    (loop.Regions, "together", None, "scores"),
    (strategies, "top", None, "selection"),
    (strategies, "top_per_class", None, "selection"),
    (Checkpoint, "after_epoch", None, "files"),
    (atomic, "write_bytes", None, "files"),
    *((RunFolder, name, None, "files") for name in ("save_steps", "save_queries", "save_weights", "weights", "queries", "tidy")),
)
IMPORTS = """
import time
mark = time.perf_counter()
import oreal_lib.experiments.run
import torch
torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # which imports torch's compiler
print(time.perf_counter() - mark)
"""


class Clock:
    """Seconds by phase and part. What is measured inside of another measurement does not count for that one."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._open: list[tuple[str, str]] = [("around the steps", REST)]
        self._mark = time.perf_counter()

    def _stop(self) -> None:
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._mark
        self._mark = now

    @contextmanager
    def measure(self, phase: str | None, part: str) -> Iterator[None]:
        """Inside, seconds count for the part of the phase; None: of the phase that is being measured."""
        self._stop()
        self._open.append((phase or self._open[-1][0], part))
        try:
            yield
        finally:
            self._stop()
            self._open.pop()

    def wrap(self, work: Callable, phase: str | None, part: str) -> Callable:
        """A function that does the same and is measured."""

        def measured(*args: Any, **options: Any) -> Any:
            with self.measure(phase, part):
                return work(*args, **options)

        return measured

    def each(self, make: Callable[..., Iterator], part: str) -> Callable[..., Iterator]:
        """A generator function that does the same; only the making of its items is measured."""

        def measured(*args: Any, **options: Any) -> Iterator:
            items = make(*args, **options)
            while True:
                with self.measure(None, part):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return measured


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Inside, the clock measures what the library does."""
    equip = train.equip

    def equipped(*args: Any) -> tuple:
        forward, optimizer, average = equip(*args)
        optimizer.step = clock.wrap(optimizer.step, None, "optimizer")
        optimizer.zero_grad = clock.wrap(optimizer.zero_grad, None, "optimizer")
        average.update_parameters = clock.wrap(average.update_parameters, None, "average of the weights")
        return forward, optimizer, average

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(train, "equip", equipped))
        stack.enter_context(mock.patch.object(train, "batches", clock.each(train.batches, "batches")))
        for where, name, phase, part in WRAPPED:
            work = getattr(where, name)
            stack.enter_context(mock.patch.object(where, name, clock.wrap(work, phase, part)))
        yield


def imports() -> float:
    """Seconds that a new process spends on importing what a run needs; the smaller of two, since the first may read from disk."""
    here = str(Path(running.__file__).resolve().parents[2])
    command = [sys.executable, "-c", IMPORTS]
    return min(float(subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout) for _ in range(2))


def measure(name: str, config: RunConfig, import_seconds: float) -> dict:
    """One row of the results: a run, and the run that it begins with, computed in a folder that is thrown away."""
    open_setting(config)  # prepares the data where they are not
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # what it imports is in import_seconds
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        mark, clock = time.perf_counter(), Clock()
        with watched(clock):
            steps = list(running.run(config, folder))
        whole = time.perf_counter() - mark + import_seconds
    seconds = dict(clock.seconds) | {("imports", REST): import_seconds}
    network = sum(s for (_, part), s in seconds.items() if part == NETWORK)
    phases: dict[str, dict[str, float]] = {}
    for (phase, part), s in sorted(seconds.items(), key=lambda item: -item[1]):
        phases.setdefault(phase, {})[part] = round(s, 3)
    return {
        "run": name,
        "run_id": config.run_id,
        "steps": len(steps),
        "epochs": sum(s.epochs for s in steps),
        "seconds": round(whole, 2),
        "training_network": round(seconds[("training", NETWORK)] / whole, 4),
        "network": round(network / whole, 4),
        "network_without_imports": round(network / (whole - import_seconds), 4),
        "phases": phases,
    }


def table(rows: Sequence[dict]) -> str:
    """Percent of each run's seconds, by phase and part; below, what all network time is."""
    places = {(phase, part) for row in rows for phase, parts in row["phases"].items() for part in parts}

    def share(row: dict, place: tuple[str, str]) -> float:
        return row["phases"].get(place[0], {}).get(place[1], 0.0) / row["seconds"]

    def total(phase: str) -> float:
        return sum(share(row, place) for row in rows for place in places if place[0] == phase)

    ordered = sorted(places, key=lambda place: (-total(place[0]), place[0], -sum(share(row, place) for row in rows), place))
    cells = [[*place, *(f"{100 * share(row, place):.1f} %" for row in rows)] for place in ordered]
    cells += [["all", "seconds", *(f"{row['seconds']:.1f}" for row in rows)]]
    for name, key in (("forward and backward in training", "training_network"), ("all network time", "network")):
        cells.append(["all", name, *(f"{100 * row[key]:.1f} %" for row in rows)])
    met = ("NOT met" if row["network"] < GOAL else "met" for row in rows)
    cells.append(["all", f"goal: network at least {100 * GOAL:.0f} %", *met])
    cells.append(["all", "network, without imports", *(f"{100 * row['network_without_imports']:.1f} %" for row in rows)])
    names = ("phase", "part", *(row["run"] for row in rows))
    return lines(cells, {name: lambda line, i=i: line[i] for i, name in enumerate(names)})


def chosen(tiny: bool, camvid_root: str | None) -> dict[str, RunConfig]:
    """What to measure, by name; says what is left out."""
    configs = {}
    for name, (base, changes) in RUNS.items():
        changes = {**changes, "device": "cpu", "keep_weights": "all"}
        if base == "camvid":
            if tiny or not camvid_root or not Path(camvid_root).is_dir():
                print(f"left out: {name} (its folder is not there; give --camvid-root, or set OREAL_DATA)", flush=True)
                continue
            changes["data_root"] = camvid_root
        elif tiny:
            changes |= TINY | ({"full_min_epochs": 1, "full_max_epochs": 2} if "supervision" in changes else {})
        configs[name] = RunConfig.from_yaml(base, **changes)
    return configs


def main(argv: list[str] | None = None) -> dict:
    """The command line; returns what it writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; its numbers mean nothing; needs --out")
    parser.add_argument("--camvid-root", default=os.environ.get("OREAL_DATA"), help="the folder with train/ and trainannot/")
    parser.add_argument("--only", help="a part of the names of the runs to measure, such as toy")
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(argv)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    configs = {name: c for name, c in chosen(given.tiny, given.camvid_root).items() if (given.only or "") in name}
    if not configs:
        parser.error(f"--only is {given.only!r}, but no run that can be measured has that in its name: {', '.join(RUNS)}")
    device = torch.device("cpu")
    load = [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None
    import_seconds = imports()
    rows = []
    for name, config in configs.items():
        rows.append(measure(name, config, import_seconds))
        print(f"{name}: {rows[-1]['seconds']} s, {100 * rows[-1]['network']:.1f} % of it network", flush=True)
    found = {
        "device": provenance.device_name(device),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "load_average": load,
        "goal": GOAL,
        "rows": rows,
    }
    out = given.out or Path(__file__).resolve().parent / "results"
    atomic.write_json(out / "phases_cpu.json", found)
    print(f"\n{found['device']}; torch {found['versions']['torch']}; load average at the start {load}\n\n{table(rows)}")
    return found


if __name__ == "__main__":
    main()
