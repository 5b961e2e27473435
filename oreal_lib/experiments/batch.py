"""One run, or one report, is one papermill execution of one notebook. The only module that knows papermill."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import yaml

from ..config import RunConfig
from ..storage import atomic
from ..storage.devices import choose_device
from ..storage.lock import holder
from ..storage.paths import home
from ..storage.processes import kernel_of_this_python
from ..storage.yaml_file import ConfigError
from ..strategies import check
from .fingerprint import Inputs, check_inputs, read_inputs
from .logs import last_words
from .run_folder import RunFolder, unfinished
from .stage_two import check_networks


def notebook(name: str) -> Path:
    """The path of a notebook of this project by its stem; a ConfigError that lists them all if there is none."""
    known = {path.stem: path for path in sorted((home() / "notebooks").glob("*.ipynb"))}
    if name not in known:  # "../x" or "/x" neither, whoever wrote the grid file
        raise ConfigError(f"no notebook {name!r}; there are: {', '.join(known)}")
    return known[name]


def papermill(
    source: Path, target: Path, parameters: dict[str, Any], threads: int, log: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start papermill on a notebook in a separate process, whose output goes to `log`, with what the notebook prints.

    variables: added to its environment.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    given = target.with_suffix(".parameters.yaml")
    atomic.write_bytes(given, yaml.safe_dump(parameters, sort_keys=False, allow_unicode=True).encode())
    command = [sys.executable, "-m", "papermill", str(source), str(target), "-f", str(given), "-k", "python3"]
    command += ["--no-progress-bar", "--log-output"]  # what the notebook prints is in the log as soon as it is said
    number = str(threads)
    environment = os.environ | {"OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    environment |= kernel_of_this_python() | (variables or {})
    with open(log, "wb") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=os.name == "posix"
        )


def stop(processes: Sequence[subprocess.Popen]) -> None:
    """End processes and the notebook kernels they started (a kernel ends itself when it has lost its parent).

    First by Ctrl-C, which papermill hands on: a run then keeps its last finished epoch. Another Ctrl-C meanwhile ends them sooner.
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


def waited(process: subprocess.Popen) -> int:
    """The exit code of a process; stopped while we wait, it leaves no process behind."""
    try:
        return process.wait()
    finally:
        stop([process])


def run_one(config: RunConfig, runs_dir: Path) -> None:
    """Carry out one run through its notebook: `10_active_learning_run`, `11_full_supervision` for a reference, `12_stage_two`.

    Waits while another process computes the run. Whether it is finished, its folder tells.
    """
    folder = RunFolder(runs_dir / config.run_id)
    if who := holder(folder.path / "run.lock"):  # which writes the run's notebook and log
        print(f"run {config.run_id} is being computed by {who}; waiting for it", flush=True)
        while holder(folder.path / "run.lock"):
            time.sleep(0.5)
    if folder.done is None:
        first = "10_active_learning_run" if config.supervision == "active" else "11_full_supervision"
        source = notebook("12_stage_two" if config.stage == 2 else first)
        parameters = config.values() | {"runs_dir": str(runs_dir)}
        waited(papermill(source, folder.path / "run.ipynb", parameters, config.threads, folder.path / "run.log"))


def run_one_after_another(configs: Sequence[RunConfig], runs_dir: Path) -> None:
    """Carry out the runs that are not finished and what they begin with; a run that begins with one that failed is left out."""
    for config in unfinished(configs, runs_dir):
        if not unfinished(config.needs, runs_dir):
            run_one(config, runs_dir)


def run_reports(grid: str, path: str, names: Sequence[str], runs_dir: Path, changes: dict[str, Any]) -> int:
    """Execute report notebooks on a grid, which write figures/<grid>_*, or say that there is nothing to draw; the number that failed."""
    failed = 0
    for name in names:
        target = executed(runs_dir, grid, name)
        log = target.with_suffix(".log")
        parameters = {"grid": path, "runs_dir": str(runs_dir), "changes": changes}
        if waited(papermill(notebook(name), target, parameters, 1, log)) != 0:
            failed += 1
            print(f"FAILED {name}: {last_words(log)} (all of it: {log})", flush=True)
        else:
            target.with_suffix(".done").touch()
            nothing = re.search(r"Nothing is drawn: .*", log.read_text(encoding="utf-8", errors="replace"))
            print(f"{name}: {nothing[0]}" if nothing else f"made {name}: {target}", flush=True)
    return failed


def executed(runs_dir: Path, grid: str, name: str) -> Path:
    """Where the executed notebook of a report lies; beside it its log, and an empty file .done when it was made."""
    return runs_dir / "reports" / f"{grid}_{name}.ipynb"


def refuse(configs: Sequence[RunConfig], runs_dir: Path) -> None:
    """ConfigError for what a run would refuse at its start anyway: its device, the options of its strategy, the folders of its
    data, or that it was begun with other data."""
    seen: dict[str, Inputs] = {}
    for config in configs:
        folder = RunFolder(runs_dir / config.run_id)
        reads = repr((config.dataset, config.data_root, config.height, config.width, config.data_options, config.weights))
        try:
            to_do = folder.done is None
            if to_do:
                choose_device(config.device)
                check(config.strategy, config.aggregate, config.strategy_options)
            with nullcontext() if to_do else suppress(KeyError, ValueError, OSError):  # a finished run counts without its data, too
                seen[reads] = seen.get(reads) or read_inputs(config)
            if config.stage == 2:
                first = RunFolder(runs_dir / config.stage_one.run_id)
                check_inputs(first, seen.get(reads, {}))
                if to_do:
                    check_networks(first)
            check_inputs(folder, seen.get(reads, {}))
        except (KeyError, ValueError, OSError) as error:
            reason = error.args[0] if isinstance(error, KeyError) else error
            raise ConfigError(f"nothing was started, because run {config.run_id} cannot work: {reason}") from None
