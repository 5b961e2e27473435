"""Before a grid is started: which of its runs are there, how long the others take, how much disk they need."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from ..config import RunConfig
from .grid import Grid
from .logs import failed, steps_left
from .run_folder import RunFolder, unfinished

KINDS = {"active": "active", "full_dominant": "full supervision B", "full_masks": "full supervision A"}
SIZES = ("height", "width", "train_images", "batch_size")  # they decide, beside network and epochs, how long a step takes
STATES = ("finished", "record", "unfinished", "failed", "missing")
UNMEASURED = "?: not measured yet; run one run of that kind first: python -m oreal_lib run GRID --only RUN_ID (`python -m oreal_lib list GRID` names them)"
RECORD = "record: in figures/runs, enough for `python -m oreal_lib report GRID`; `make reproduce` computes these runs again"


def plan(configs: Sequence[RunConfig], roots: Sequence[Path]) -> pd.DataFrame:
    """What is there and what is to do, a row for the runs of one data set, network, kind, sizes and epochs.  roots: the folder of runs,
    then folders of published records.

    Columns: data, network, kind; how many runs are in each of STATES (record: only published, enough for a report, but not for a run
    that begins with it); steps_to_go; hours for these, one run at a time, and gib of disk still to be filled, NaN where nothing was
    measured; measured_on. Seconds per step are the mean over the steps that such runs have computed, in the first root that has one;
    bytes the mean over their finished folders, else the network's weights of any other run.
    """
    first = {c.step_one.run_id for c in configs if c.step_one}
    known = [list(_measured(root)) for root in roots]
    every = list(chain(*known))
    rows = []  # of one run each
    for config in configs:
        alike, (state, left) = _likeness(config.values()), _state(config, roots)
        with_steps = next((here for root in known if (here := [m for m in root if m.likeness == alike and m.seconds])), [])
        seconds = [s for m in with_steps for s in m.seconds]
        row = {"data": config.dataset, "network": config.model, "kind": _kind(config, first), "alike": alike}
        row |= {"measured_on": ", ".join(sorted({m.device for m in with_steps if m.device})), "runs": 1}
        row |= {one: int(one == state) for one in STATES} | {"steps_to_go": left}
        row["hours"] = fmean(seconds or [math.nan]) * left / 3600 if left else 0.0
        row["gib"] = 0.0 if state == "finished" else _bytes(config, alike, every) / 2**30
        rows.append(row)
    same = pd.DataFrame(rows).groupby(["data", "network", "kind", "alike", "measured_on"], sort=False)
    shown = ["data", "network", "kind", "runs", *STATES, "steps_to_go", "hours", "gib", "measured_on"]
    return same.agg(lambda of_runs: of_runs.sum(skipna=False)).reset_index()[shown]


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


class _Measured(NamedTuple):
    config: dict
    likeness: tuple
    seconds: list[float]  # of each step that it computed itself
    device: str
    bytes: int  # of the finished folder, 0 for an unfinished one or a record without weights
    weights: int  # bytes of the weights of one step


def _measured(root: Path) -> Iterator[_Measured]:
    """Every run in a folder of runs that has finished a step."""
    for path in sorted(root.glob("*/config.json")):
        folder = RunFolder(path.parent)
        try:
            config, steps, done = folder.config, folder.steps(), folder.done or {}
            likeness = _likeness(config)
        except (ValueError, KeyError):  # damaged, or no run: its own start says so
            continue
        weights = [file.stat().st_size for file in folder.path.glob("weights_step*.safetensors")]
        whole = sum(f.stat().st_size for f in folder.path.iterdir() if f.is_file()) if done and weights else 0
        seconds = [sum(s.seconds.values()) for s in steps if not s.from_run]
        yield _Measured(config, likeness, seconds, done.get("device", ""), whole, max(weights, default=0))


def _state(config: RunConfig, roots: Sequence[Path]) -> tuple[str, int]:
    """One of STATES, and the number of steps that the run has to compute still."""
    folder = RunFolder(roots[0] / config.run_id)
    if folder.done is not None:
        return "finished", 0
    done = len(folder.steps())
    published = any(RunFolder(root / config.run_id).done is not None for root in roots[1:])
    state = "failed" if failed(folder.path) else "unfinished" if done else "record" if published else "missing"
    return state, steps_left(config, done)


def _bytes(config: RunConfig, alike: tuple, known: Sequence[_Measured]) -> float:
    """What the folder of a run will hold; NaN where nothing tells."""
    if whole := [
        m.bytes for m in known if m.bytes and m.likeness == alike and m.config.get("keep_weights", "last") == config.keep_weights
    ]:
        return fmean(whole)
    weights = [m.weights for m in known if m.weights and m.config["model"] == config.model]
    kept = config.steps if config.keep_weights == "all" and config.supervision == "active" else 1
    return fmean(weights) * kept if weights else math.nan


def text(plan: pd.DataFrame, jobs: int | None = None, free: int | None = None) -> str:
    """The plan as a short table, with what it cannot know. jobs: runs at a time; free: bytes on the disk of the runs."""
    shown = plan.drop(columns=[state for state in STATES[1:4] if not plan[state].any()])
    counts = [*(state for state in STATES if state in shown), "steps_to_go", "measured_on"]
    shown[counts] = shown[counts].astype(object).where(plan[counts].astype(bool), "-")
    for column in ("hours", "gib"):
        shown[column] = plan[column].map(_number)
    shown = shown.rename(columns={"steps_to_go": "steps to go", "gib": "GiB", "measured_on": "measured on"})
    hours = _sum(plan["hours"], "hours one at a time")
    share = f" ({_number(plan['hours'].sum() / jobs)} with {jobs} at a time)" if jobs and jobs > 1 and plan["hours"].any() else ""
    there = "" if free is None else f"; {_number(free / 2**30)} GiB are free"
    lines = [
        shown.to_string(index=False),
        "",
        f"{plan['runs'].sum()} runs, {plan['runs'].sum() - plan['finished'].sum()} to go: {hours}{share}",
        f"disk: {_sum(plan['gib'], 'GiB')}{there}",
        *[UNMEASURED] * bool(plan[["hours", "gib"]].isna().to_numpy().any()),
        *[RECORD] * bool(plan["record"].any()),
    ]
    return "\n".join(lines)


def _sum(values: pd.Series, unit: str) -> str:
    """The sum in words; what is not known is named."""
    unknown = bool(values.isna().any())
    number = "?" if unknown and not values.sum() else _number(values.sum())
    return f"{number} {unit}" + " and what is not measured (?)" * (unknown and number != "?")


def _number(value: float) -> str:
    """With as many digits as mean something; "?" for NaN."""
    if math.isnan(value):
        return "?"
    if 0 < value < 0.01:
        return "< 0.01"
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f}" if value else "0"
