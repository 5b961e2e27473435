"""Before a grid is started: which of its runs are there, how long the others take, how much disk they need.

python -m oreal_lib.experiments.plan table1@voc --jobs 4
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from ..config import RunConfig
from ..storage.interrupt import unless_stopped
from ..storage.paths import figures_root, runs_root
from ..storage.yaml_file import ConfigError, parse_options
from .batch import steps_left
from .grid import Grid, read_grid
from .logs import last_words
from .run_folder import RunFolder, unfinished

ERROR = re.compile(r"^[\w.]*(Error|Exception|Timeout|Killed|Died)\w*(:|$)")
KINDS = {"active": "active", "full_dominant": "full supervision B", "full_masks": "full supervision A"}
SIZES = ("height", "width", "train_images", "batch_size")  # they decide, beside network and epochs, how long a step takes
STATES = ("finished", "record", "unfinished", "failed", "missing")


@dataclass(frozen=True)
class Part:
    """The runs of one network and kind: how many are in which state, and what those that are not finished need.

    record: only in figures/runs: enough for a report, but not for a run that begins with it.  hours: of one run at a time, None where
    no step of such a run was measured.  device: where it was.  gib: to be written, None where nothing tells.
    """

    dataset: str
    model: str
    kind: str
    finished: int
    record: int
    unfinished: int
    failed: int
    missing: int
    steps_to_go: int
    hours: float | None
    device: str
    gib: float | None


@dataclass(frozen=True)
class Plan:
    """What a grid needs, part by part; sums over the parts."""

    parts: tuple[Part, ...]

    @property
    def runs(self) -> int:
        """How many runs there are, in whatever state."""
        return sum(getattr(part, state) for part in self.parts for state in STATES)

    @property
    def hours(self) -> float:
        """Hours to go, one run at a time, of the parts that are measured."""
        return sum(part.hours or 0 for part in self.parts)

    @property
    def gib(self) -> float:
        """GiB of disk that are still to be filled, of the parts that are measured."""
        return sum(part.gib or 0 for part in self.parts)


def plan(configs: Sequence[RunConfig], roots: Sequence[Path]) -> Plan:
    """What is there and what is to do.  roots: the folder of runs, then folders of published records.

    Seconds per step are the mean over the steps that runs of the same data set, network, kind, sizes and epochs have computed, in
    the first root that has one; bytes the mean over their finished folders, else the network's weights of any other run.
    """
    first = {c.step_one.run_id for c in configs if c.step_one}
    groups: dict[tuple, list[RunConfig]] = {}
    for config in configs:
        key = (config.dataset, config.model, _kind(config, first), _likeness(config.values()))
        groups.setdefault(key, []).append(config)
    known = [list(_measured(root)) for root in roots]
    return Plan(tuple(_part(key[:3], group, roots, known) for key, group in groups.items()))


def runs_of(grid: Grid, runs_dir: Path) -> list[RunConfig]:
    """The runs of a grid, and what must be computed before those that are not finished."""
    return list(({c.run_id: c for c in unfinished(grid.configs, runs_dir)} | {c.run_id: c for c in grid.configs}).values())


def _kind(config: RunConfig, first: set[str]) -> str:
    if config.run_id in first:
        return "step 1, shared" + ", stage 2" * (config.stage == 2)
    weak = ", weak labels" * (config.labeling == "weak") + ", stage 2" * (config.stage == 2)
    return KINDS[config.supervision] + weak


def _likeness(values: dict[str, Any]) -> tuple:
    """What runs have in common whose steps take equally long. `values`: of a RunConfig, some of them missing in old records."""
    epochs = "max_epochs" if values["supervision"] == "active" else "full_max_epochs"
    return values.get("stage", 1), *(values.get(k) for k in ("dataset", "model", "supervision", *SIZES, epochs))


@dataclass(frozen=True)
class _Measured:
    likeness: tuple
    model: str
    keep_weights: str
    seconds: list[float]  # of each step that it computed itself
    device: str
    bytes: int  # of the finished folder, 0 for an unfinished one or a record without weights
    weights: int  # bytes of the weights of one step


def _measured(root: Path) -> Iterator[_Measured]:
    """Every run in a folder of runs that has finished a step."""
    for path in sorted(root.glob("*/config.json")):
        folder = RunFolder(path.parent)
        try:
            values, steps, done = folder.config, folder.steps(), folder.done
            likeness = _likeness(values)
        except (ValueError, KeyError):  # damaged, or no run: its own start says so
            continue
        weights = [file.stat().st_size for file in folder.path.glob("weights_step*.safetensors")]
        yield _Measured(
            likeness,
            values["model"],
            values.get("keep_weights", "last"),
            [sum(s.seconds.values()) for s in steps if not s.from_run],
            (done or {}).get("device", ""),
            sum(f.stat().st_size for f in folder.path.iterdir() if f.is_file()) if done and weights else 0,
            weights[0] if weights else 0,
        )


def _part(key: tuple[str, str, str], configs: list[RunConfig], roots: Sequence[Path], known: Sequence[Sequence[_Measured]]) -> Part:
    count, to_do, steps = dict.fromkeys(STATES, 0), [], 0
    for config in configs:
        state, left = _state(config, roots)
        count[state] += 1
        steps += left
        if state != "finished":
            to_do.append(config)
    alike = _likeness(configs[0].values())
    with_steps = next((here for root in known if (here := [m for m in root if m.likeness == alike and m.seconds])), [])
    seconds = [s for m in with_steps for s in m.seconds]
    hours = 0.0 if not steps else fmean(seconds) * steps / 3600 if seconds else None
    devices = sorted({m.device for m in with_steps if m.device})
    return Part(*key, **count, steps_to_go=steps, hours=hours, device=", ".join(devices), gib=_gib(to_do, alike, known))


def _state(config: RunConfig, roots: Sequence[Path]) -> tuple[str, int]:
    """One of STATES, and the number of steps that the run has to compute still."""
    folder = RunFolder(roots[0] / config.run_id)
    if folder.done is not None:
        return "finished", 0
    done = len(folder.steps())
    left = steps_left(config, done)
    if failed(folder.path):
        return "failed", left
    if done:
        return "unfinished", left
    if any(RunFolder(root / config.run_id).done is not None for root in roots[1:]):
        return "record", left
    return "missing", left


def failed(folder: Path) -> bool:
    """Whether the last thing that an unfinished run said is an error. KeyboardInterrupt is none: somebody stopped it."""
    log = folder / "run.log"
    return log.is_file() and not (folder / "done.json").is_file() and ERROR.match(last_words(log)) is not None


def _gib(to_do: list[RunConfig], alike: tuple, known: Sequence[Sequence[_Measured]]) -> float | None:
    everything = [m for root in known for m in root]
    total = 0.0
    for config in to_do:
        whole = [m.bytes for m in everything if m.bytes and m.likeness == alike and m.keep_weights == config.keep_weights]
        weights = [m.weights for m in everything if m.weights and m.model == config.model]
        kept = config.steps if config.keep_weights == "all" and config.supervision == "active" else 1
        if not (whole or weights):
            return None
        total += fmean(whole) if whole else fmean(weights) * kept
    return total / 2**30


def text(plan: Plan, jobs: int | None = None, free: int | None = None) -> str:
    """The plan as a short table, with what it cannot know. jobs: runs at a time; free: bytes on the disk of the runs."""
    rows = [
        {"data": p.dataset, "network": p.model, "kind": p.kind, "runs": sum(getattr(p, s) for s in STATES)}
        | {state: getattr(p, state) or "-" for state in STATES}
        | {"steps to go": p.steps_to_go or "-"}
        | {"hours": _number(p.hours), "GiB": _number(p.gib), "measured on": p.device or "-"}
        for p in plan.parts
    ]
    table = pd.DataFrame(rows).drop(
        columns=[s for s in ("record", "unfinished", "failed") if not any(getattr(p, s) for p in plan.parts)]
    )
    left = plan.runs - sum(p.finished for p in plan.parts)
    lines = [table.to_string(index=False), ""]
    unknown = " and what is not measured (?)"
    share = f", {_number(plan.hours / jobs)} with {jobs} at a time" if jobs and jobs > 1 else ""
    no_hours, no_gib = (any(getattr(p, name) is None for p in plan.parts) for name in ("hours", "gib"))
    hours = "? hours" if no_hours and not plan.hours else f"{_number(plan.hours)} hours one at a time{share}{unknown * no_hours}"
    lines.append(f"{plan.runs} runs, {left} to go: {hours}")
    disk = "" if free is None else f"; {_number(free / 2**30)} GiB are free"
    lines.append("disk: " + ("? GiB" if no_gib and not plan.gib else f"{_number(plan.gib)} GiB{unknown * no_gib}") + disk)
    if no_hours or no_gib:
        lines.append(
            "?: not measured yet; run one run of that kind first: python -m oreal_lib.experiments.batch run GRID --only RUN_ID (`list GRID` names them)"
        )
    if any(p.record for p in plan.parts):
        lines.append(
            "record: in figures/runs, enough for `python -m oreal_lib.experiments.batch report`; `make reproduce` computes these anew"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    """With as many digits as mean something; "?" for what is not known."""
    if value is None:
        return "?"
    if value < 0.01:
        return "< 0.01" if value else "0"
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code. Needs no data and starts nothing."""
    parser = argparse.ArgumentParser(
        prog="python -m oreal_lib.experiments.plan", description="What a grid needs, before it is started."
    )
    parser.add_argument("grid", help="a grid file, or the name of one in params/, such as demo or table1@voc")
    parser.add_argument("--jobs", type=int, default=None, help="runs at a time")
    parser.add_argument("--runs-dir", type=Path, default=None)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of every run")
    parser.add_argument("--root", default=None, metavar="DIR", help="the folder of the data, as --set data_root=DIR")
    options = parser.parse_args(arguments)
    return unless_stopped(lambda: _show(options), "nothing was begun, so nothing is lost; start the same command again")


def _show(options: argparse.Namespace) -> int:
    """Prints the plan; the exit code."""
    runs_dir = (options.runs_dir or runs_root()).resolve()
    try:
        if options.jobs is not None and options.jobs < 1:
            raise ConfigError(f"--jobs is {options.jobs}, but at least one run at a time must work; give 1 or more")
        grid = read_grid(options.grid, **parse_options(options.set, options.root)[1])
        there = next(p for p in (runs_dir, *runs_dir.parents) if p.exists())
        made = plan(runs_of(grid, runs_dir), [runs_dir, figures_root() / "runs"])
        print(f"{grid.name}: runs in {runs_dir}\n\n{text(made, options.jobs, shutil.disk_usage(there).free)}")
    except (ValueError, OSError) as error:  # ValueError: a ConfigError, or a run's record that is damaged
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
