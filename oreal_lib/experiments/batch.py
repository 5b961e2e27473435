"""Many runs from one grid file: each run is one papermill execution of one notebook. The only module that knows papermill.

python -m oreal_lib.experiments.batch run demo --jobs 2     # params/demo.yaml -> runs/<run_id>/, resumable at any instant
python -m oreal_lib.experiments.batch report demo           # -> figures/
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ..config import RunConfig
from ..predict import choose_device
from ..storage import atomic
from ..storage.interrupt import unless_stopped
from ..storage.lock import holder
from ..storage.paths import figures_root, home, runs_root
from ..storage.progress import spoken
from ..storage.yaml_file import ConfigError, parse_options
from ..strategies import check
from .fingerprint import Inputs, check_inputs, read_inputs
from .grid import in_order, read_grid
from .logs import Quiet, last_words, name_of, standing
from .records import find, publish, unfinished
from .run_folder import RunFolder, seconds_spent
from .stage_two import check_networks


def notebook(name: str) -> Path:
    """The path of a notebook of this project by its stem; a ConfigError that lists them all if there is none."""
    known = {path.stem: path for path in sorted((home() / "notebooks").glob("*.ipynb"))}
    if name not in known:  # so "../x" or "/x" is none, whoever wrote the grid file
        raise ConfigError(f"no notebook {name!r}; there are: {', '.join(known)}")
    return known[name]


def papermill(
    source: Path, target: Path, parameters: dict[str, Any], threads: int, log: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start papermill on a notebook in a process of its own; its output goes to `log`, and what the notebook prints. variables: of its environment."""
    target.parent.mkdir(parents=True, exist_ok=True)
    given = target.with_suffix(".parameters.yaml")
    atomic.write_bytes(given, yaml.safe_dump(parameters, sort_keys=False, allow_unicode=True).encode())
    command = [sys.executable, "-m", "papermill", str(source), str(target), "-f", str(given), "-k", "python3"]
    command += ["--no-progress-bar", "--log-output"]  # what the notebook prints is in the log as soon as it is said
    number = str(threads)
    environment = os.environ | {"OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    environment |= variables or {}
    with open(log, "wb") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=os.name == "posix"
        )


def start_run(config: RunConfig, runs_dir: Path) -> subprocess.Popen:
    """Start one run through its notebook: `10_active_learning_run`, `11_full_supervision` for a reference, or `12_stage_two`."""
    folder = runs_dir / config.run_id
    folder.mkdir(parents=True, exist_ok=True)
    first = "10_active_learning_run" if config.supervision == "active" else "11_full_supervision"
    source = notebook("12_stage_two" if config.stage == 2 else first)
    parameters = config.values() | {"runs_dir": str(runs_dir)}
    return papermill(source, folder / "run.ipynb", parameters, config.threads, folder / "run.log")


def run_batch(configs: tuple[RunConfig, ...], jobs: int, runs_dir: Path) -> int:
    """Run what is not finished, `jobs` at a time, and say each step as it comes; the number of runs that failed.

    Ctrl-C, or a kill of everything: start the same command again and it continues.
    """
    by_id = {c.run_id: c for c in unfinished(configs, runs_dir)}
    finished = sum(c.run_id not in by_id for c in configs)
    refuse(list(({c.run_id: c for c in configs} | by_id).values()), runs_dir)
    said = {run_id: len(RunFolder(runs_dir / run_id).steps()) for run_id in by_id}
    quiet = Quiet()
    total = sum(steps_left(c, said[i]) for i, c in by_id.items())
    print(f"{len(configs)} runs, {finished} finished already, {total} steps to go, {jobs} at a time", flush=True)
    work = {run_id: _work(c) for run_id, c in by_id.items()}
    to_do = sum(work[i] * steps_left(c, said[i]) for i, c in by_id.items())
    done, failed, began = 0.0, 0, time.monotonic()
    queue = list(by_id)
    processes: dict[str, subprocess.Popen] = {}
    elsewhere: list[str] = []  # runs that another batch computes, here or on another machine
    try:
        while queue or processes or elsewhere:
            for run_id in list(elsewhere):
                if RunFolder(runs_dir / run_id).done is not None:
                    elsewhere.remove(run_id)
                    to_do -= work[run_id] * steps_left(by_id[run_id], said[run_id])
                    _say(by_id[run_id], "was finished there", began)
                elif not computed_by(runs_dir / run_id):
                    elsewhere.remove(run_id)
                    queue.insert(0, run_id)
            while len(processes) < jobs and (run_id := next_run(queue, by_id, {*processes, *elsewhere})):
                queue.remove(run_id)
                if who := computed_by(runs_dir / run_id):
                    elsewhere.append(run_id)
                    _say(by_id[run_id], f"is being computed by {who}; waiting for it", began)
                    quiet.heard()
                    continue
                try:
                    processes[run_id] = start_run(by_id[run_id], runs_dir)
                    _say(by_id[run_id], "started", began)
                    quiet.heard()
                except OSError as error:
                    failed += 1
                    print(f"FAILED {run_id}: {error}; mend that, or choose another --runs-dir", flush=True)
            time.sleep(0.5)
            for run_id, process in list(processes.items()):
                code = process.poll()  # before the steps are read, so that a finished run's last step is not missed
                for step in RunFolder(runs_dir / run_id).steps()[said[run_id] :]:
                    said[run_id] = step.step
                    if step.from_run:  # it was said when that run computed it
                        continue
                    done += work[run_id]
                    left = (time.monotonic() - began) / done * (to_do - done)
                    text = f"step {step.step}: mIoU {100 * step.miou:.1f} % ({step.epochs} epochs)"
                    _say(by_id[run_id], f"{text}; about {spoken(left)} left for all", began)
                    quiet.heard()
                if code is not None:
                    del processes[run_id]
                    if code != 0:
                        failed += 1
                        log = runs_dir / run_id / "run.log"
                        print(f"FAILED {run_id}: {last_words(log)} (all of it: {log})", flush=True)
                        for other in [i for i in queue if not said[i] and run_id in in_order(by_id[i].needs)]:
                            queue.remove(other)
                            failed += 1
                            print(f"NOT RUN {other}: it begins with {run_id}, which failed", flush=True)
            if quiet.too_long():
                for run_id in elsewhere:
                    _say(by_id[run_id], f"is computed by {computed_by(runs_dir / run_id) or 'nobody any more'}", began)
                for run_id in processes:
                    _say(by_id[run_id], standing(runs_dir / run_id), began)
    finally:
        stop(list(processes.values()))
    return failed


def computed_by(folder: Path) -> str:
    """Who computes the run in a folder now, in words; "" if nobody does."""
    return holder(folder / "run.lock")


def next_run(queue: Sequence[str], by_id: Mapping[str, RunConfig], running: Collection[str]) -> str | None:
    """The first run of the queue that can start now, which needs none that is not finished; None if there is none."""
    before = {*queue, *running}
    return next((i for i in queue if not before.intersection(c.run_id for c in by_id[i].needs)), None)


def refuse(configs: Sequence[RunConfig], runs_dir: Path) -> None:
    """ConfigError for what a run would refuse at its start anyway: device, strategy options, the folders of its data, or
    that it was begun with other data."""
    seen: dict[str, Inputs | Exception] = {}
    for config in configs:
        folder = RunFolder(runs_dir / config.run_id)
        reads = repr((config.dataset, config.data_root, config.height, config.width, config.data_options, config.weights))
        if reads not in seen:
            try:
                seen[reads] = read_inputs(config)
            except (KeyError, ValueError, OSError) as error:
                seen[reads] = error
        try:
            if folder.done is None:
                choose_device(config.device)
                check(config.strategy, config.aggregate, config.strategy_options)
                if isinstance(seen[reads], Exception):
                    raise seen[reads]
            if not isinstance(seen[reads], Exception):  # a finished run counts where its data are not, too
                check_inputs(folder, seen[reads])
                if config.stage == 2:
                    check_inputs(RunFolder(runs_dir / config.stage_one.run_id), seen[reads])
            if config.stage == 2 and folder.done is None:
                check_networks(RunFolder(runs_dir / config.stage_one.run_id))
        except (KeyError, ValueError, OSError) as error:
            reason = error.args[0] if isinstance(error, KeyError) else error
            raise ConfigError(f"nothing was started, because run {config.run_id} cannot work: {reason}") from None


def steps_left(config: RunConfig, finished: int) -> int:
    """Steps that the run itself has to compute."""
    if config.supervision != "active":
        return 1 - finished
    return config.steps - max(finished, int(config.step_one is not None))


def _work(config: RunConfig) -> float:
    """What one step of a run takes, in active steps: full supervision is one step of many epochs."""
    return 1.0 if config.supervision == "active" else config.full_max_epochs / config.max_epochs


def _say(config: RunConfig, text: str, began: float) -> None:
    print(f"[{time.monotonic() - began:5.0f} s] {name_of(config)} {text}", flush=True)


def stop(processes: list[subprocess.Popen]) -> None:
    """End processes and the notebook kernels they started (a kernel ends itself when it has lost its parent).

    First by Ctrl-C, which papermill hands on: a run then keeps its last finished epoch. One more Ctrl-C meanwhile, and it is done
    less politely.
    """
    running = [process for process in processes if process.poll() is None]
    for number, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 30)):
        for process in running:
            if os.name == "posix":
                os.killpg(process.pid, number)
            else:
                process.terminate()
        end = time.monotonic() + patience
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            for process in running:
                process.wait(timeout=max(0.0, end - time.monotonic()))
        running = [process for process in running if process.poll() is None]
    for process in running:
        process.kill()


def run_reports(grid: str, path: str, names: tuple[str, ...], runs_dir: Path, changes: dict[str, Any]) -> int:
    """Execute report notebooks on a grid; the number that failed. They write figures/<grid>_*."""
    failed = 0
    for name in names:
        target = runs_dir / "reports" / f"{grid}_{name}.ipynb"
        log = target.with_suffix(".log")
        target.parent.mkdir(parents=True, exist_ok=True)
        parameters = {"grid": str(path), "runs_dir": str(runs_dir), "changes": changes}
        process = papermill(notebook(name), target, parameters, 1, log)
        try:
            code = process.wait()
        finally:
            stop([process])
        if code != 0:
            failed += 1
            print(f"FAILED {name}: {last_words(log)} (all of it: {log})", flush=True)
        else:
            print(f"made {name}: {target}", flush=True)
    return failed


def work_of(configs: Sequence[RunConfig], runs_dir: Path, reports: Sequence[Path]) -> str:
    """One line: what the seconds of these runs and of the notebooks of reports were spent on."""
    spent = seconds_spent((RunFolder(runs_dir / c.run_id) for c in configs), reports)
    parts = [f"{what} {seconds:.0f} s ({100 * seconds / sum(spent.values()):.0f} %)" for what, seconds in spent.items() if seconds]
    return f"work, of all processes together: {', '.join(parts)}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m oreal_lib.experiments.batch", description="Run a grid of active-learning runs."
    )
    parser.add_argument("what", choices=["list", "run", "report", "publish"])
    parser.add_argument("grid", help="a grid file, or the name of one in params/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: one per core)")
    parser.add_argument("--runs-dir", type=Path, default=None)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of every run")
    parser.add_argument("--root", default=None, metavar="DIR", help="the folder of the data, as --set data_root=DIR")
    parser.add_argument("--only", default=None, metavar="RUN_ID", help="of the grid, only this run")
    parser.add_argument("--only-report", default=None, metavar="NOTEBOOK", help="of the grid, only this report")
    options = parser.parse_args(arguments)
    return unless_stopped(lambda: _do(options), "start the same command again and it continues where it was")


def _do(options: argparse.Namespace) -> int:
    """What the command line wants; the exit code."""
    runs_dir = (options.runs_dir or runs_root()).resolve()
    try:
        changes = parse_options(options.set, options.root)[1]
        grid = read_grid(options.grid, **changes)
        configs = tuple(c for c in grid.all_runs if options.only in (None, c.run_id))
        if not configs:
            raise ConfigError(f"the grid has no run {options.only!r}; `list` shows them")
        names = tuple(r for r in grid.reports if options.only_report in (None, r))
        if options.only_report and not names:
            raise ConfigError(f"the grid has no report {options.only_report!r}; it has: {', '.join(grid.reports) or 'none'}")
        if options.jobs < 1:
            raise ConfigError(f"--jobs is {options.jobs}, but at least one run at a time must work; give 1 or more")
        for name in names:
            notebook(name)
        if options.what == "list":
            for config in configs:
                folder = find(config, runs_dir)
                where = (
                    "to do"
                    if folder is None
                    else "finished"
                    if folder.path.parent == runs_dir
                    else "to do (a published record is there)"
                )
                print(config.run_id, where)
            return 0
        if options.what == "publish":
            for folder in publish(configs, runs_dir):  # with the runs they begin with
                print(folder.relative_to(figures_root().parent))
            return 0
        if options.what == "report":
            failed = run_reports(grid.name, options.grid, names, runs_dir, changes)
            print(work_of(configs, runs_dir, [runs_dir / "reports" / f"{grid.name}_{name}.ipynb" for name in names]))
            return min(1, failed)
        return min(1, run_batch(configs if options.only else grid.configs, options.jobs, runs_dir))
    except (ValueError, OSError) as error:  # ValueError: a ConfigError, or a run's record that is damaged
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
