"""A grid from its runs to its tables and figures, by Snakemake: on this machine or, with a profile, on a cluster."""

import base64
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from types import FrameType
from typing import Any

from ..config import RunConfig
from ..storage.lock import Held, Lock
from ..storage.paths import figures_root, home
from ..storage.progress import spoken
from ..storage.yaml_file import ConfigError
from .batch import executed, notebook, refuse, run_one_after_another, run_reports
from .grid import Grid, in_order
from .logs import Watch, failed, last_words, steps_left, told_while
from .run_folder import RunFolder, unfinished

# A killed start leaves nothing to clean up: our lock takes the place of Snakemake's own, and the system frees it; done.json is whole
# or not there, so it counts whoever wrote it. What decides a run is in its name, so nothing but a missing file starts it.
RULES = "--nolock --ignore-incomplete --keep-incomplete --keep-going --rerun-triggers mtime --quiet host reason"


def run_grid(
    grid: Grid,
    given: str,
    changes: tuple[Sequence[str], dict[str, Any]],
    runs_dir: Path,
    jobs: int | None = None,
    profile: str | None = None,
    more: Sequence[str] = (),
    snakemake: bool = sys.platform != "win32",
) -> int:
    """Compute the runs of a grid that are not finished, then its tables and figures; 0 when all are there, 1 when something failed.

    given, changes: how the grid was named, and what `--set` changes, as texts and as values.  jobs: runs at a time; None for one per
    core, or for what the profile says.  profile, more: a profile and options of Snakemake.  snakemake: whether it can run here; without
    it (Windows: its shell lines are POSIX) there is one run after another.
    ConfigError for what cannot work, before anything starts.
    """
    if not snakemake and (profile or more):
        raise ConfigError(f"{profile or more[0]} is for Snakemake, whose shell lines need Linux or macOS; leave it out")
    for name in grid.reports:
        notebook(name)
    # on a cluster the nodes have the GPUs, and this machine need not have one
    refuse([c.model_copy(update={"device": "auto"}) if profile else c for c in grid.all_runs], runs_dir)
    try:
        lock = Lock(runs_dir / "reports" / f"{grid.name}.lock").acquire()
    except Held as held:
        raise ConfigError(f"{grid.name} is computed in {runs_dir} by {held} already; wait for it, or stop it first") from None
    with lock:
        left = unfinished(grid.configs, runs_dir)
        steps = sum(steps_left(c, len(RunFolder(runs_dir / c.run_id).steps())) for c in left)
        finished = sum(config not in left for config in grid.configs)
        at_once = 1 if not snakemake else jobs or (os.cpu_count() if profile is None else "as many as the profile says")
        print(f"{len(grid.configs)} runs, {finished} finished already, {steps} steps to go, {at_once} at a time", flush=True)
        reports = [executed(runs_dir, grid.name, name).with_suffix(".done") for name in grid.reports]
        for made in reports:  # tables and figures are made again each time
            made.unlink(missing_ok=True)
        own_words = runs_dir / "reports" / f"{grid.name}.snakemake.log"
        with told_while(Watch(left, runs_dir, reports).look):
            if snakemake:
                code = run_snakemake(snakemake_options(given, changes[0], runs_dir, jobs, profile, more), own_words)
            else:
                run_one_after_another(grid.configs, runs_dir)
                names = () if unfinished(grid.configs, runs_dir) else grid.reports
                code = run_reports(grid.name, given, names, runs_dir, changes[1])
        missing, said = summary(grid.configs, runs_dir)
        print(said, flush=True)
        if code and snakemake:
            print(f"Snakemake: {last_words(own_words)} (all of it: {own_words})", flush=True)
        if not missing:
            for file in sorted(figures_root().glob(f"{grid.name}_*.md")) if grid.reports else ():
                print(f"  {file}", flush=True)
            print(f"work, of all processes together: {work_of(grid.all_runs, runs_dir)}", flush=True)
        return int(bool(code or missing))


def run_some(configs: Sequence[RunConfig], runs_dir: Path) -> int:
    """Compute some runs of a grid and what they begin with, one after another; 0 when they are finished, else 1."""
    refuse(list(in_order(configs).values()), runs_dir)
    with told_while(Watch(unfinished(configs, runs_dir), runs_dir).look):
        run_one_after_another(configs, runs_dir)
    missing, said = summary(configs, runs_dir)
    print(said, flush=True)
    return min(1, missing)


def snakemake_options(
    grid: str, changes: Sequence[str], runs_dir: Path, jobs: int | None, profile: str | None, more: Sequence[str] = ()
) -> list[str]:
    """The options of Snakemake for a grid. `profile`: the name of one in workflow/profiles, or one that Snakemake itself knows;
    `jobs`: runs at a time, None for one per core, or for what the profile says."""
    if profile is None:
        where = ["--cores", str(jobs or os.cpu_count() or 1)]
    else:
        ours = home() / "workflow" / "profiles" / profile
        where = ["--profile", str(ours if ours.is_dir() else profile)] + (["--jobs", str(jobs)] if jobs else [])
    settings = {"grid": grid, "runs_dir": str(runs_dir), "set": list(changes)}
    # Snakemake guesses the type of a value and strips its quotes, and hands it to a cluster inside a shell's double quotes, where
    # $(...) runs: what people typed goes in letters and digits only.
    asked = base64.urlsafe_b64encode(json.dumps(settings).encode()).decode()
    return ["--snakefile", str(home() / "workflow" / "Snakefile"), *where, *RULES.split(), "--config", f"asked={asked}", *more]


def run_snakemake(options: list[str], log: Path) -> int:
    """Snakemake's exit code; what it says goes to `log`. It works in this process, so that whoever kills one kills both.
    KeyboardInterrupt after Ctrl-C or a polite kill, which Snakemake itself takes for failed runs."""
    from snakemake.cli import main as snakemake  # a second of imports that a wrong setting need not wait for

    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        signal.default_int_handler(number, frame)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with open(log, "w", encoding="utf-8", errors="backslashreplace") as file, redirect_stderr(file):
            snakemake(options)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped:
        raise KeyboardInterrupt
    return code


def work_of(configs: Sequence[RunConfig], runs_dir: Path) -> str:
    """What the seconds of finished runs were spent on, each kind of work in words. Validation counts as training."""
    spent: Counter[str] = Counter()
    for config in configs:
        spent.update((RunFolder(runs_dir / config.run_id).done or {}).get("seconds", {}))
    doing = {"train": "training", "test": "testing", "query": "asking", "pseudo": "pseudo labels"}
    return ", ".join(f"{what} {spoken(spent[kind])}" for kind, what in doing.items() if kind in spent)


def summary(configs: Sequence[RunConfig], runs_dir: Path) -> tuple[int, str]:
    """How many runs failed or are not there, and what to read now: the log of each that failed."""
    missing = unfinished(configs, runs_dir)
    absent, lines = {c.run_id for c in missing}, []
    for config in missing:
        folder = runs_dir / config.run_id
        if waits_for := sorted(absent.intersection(in_order(config.needs))):
            lines.append(f"not run {config.run_id}: it begins with {waits_for[0]}, which is not finished")
            continue
        log = next((log for log in (folder / "run.log", folder / "batch.log") if log.is_file() and log.stat().st_size), None)
        stopped = "" if failed(folder) or log == folder / "batch.log" else "stopped after: "
        said = f"{stopped}{last_words(log)} (all of it: {log})" if log else "it was not started"
        lines.append(f"FAILED {config.run_id}: {said}")
    if not missing:
        return 0, f"all {len(configs)} runs are finished"
    return len(missing), "\n".join([*lines, f"{len(missing)} runs are not finished; fix that and start the same command again"])
