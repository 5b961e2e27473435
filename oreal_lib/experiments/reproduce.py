"""One grid, start to end: its runs, then its tables and figures, by Snakemake: on this machine or, with a profile, on a cluster.

python -m oreal_lib.experiments.reproduce table1@toy --jobs 2
python -m oreal_lib.experiments.reproduce table1@voc --profile slurm --set data_root=/data/VOC
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ..config import RunConfig
from ..storage.interrupt import unless_stopped
from ..storage.lock import Held, Lock
from ..storage.paths import figures_root, home, runs_root
from ..storage.yaml_file import ConfigError, parse_options
from .batch import notebook, refuse
from .grid import Grid, in_order, read_grid
from .logs import PATIENCE, last_words, name_of, standing
from .plan import failed, plan, runs_of, text
from .run_folder import RunFolder, unfinished

# A killed start leaves nothing to clean up: the lock of `main` takes the place of Snakemake's own, and the system frees it; done.json
# is whole or not there, so it counts whoever wrote it. What decides a run is in its name, so nothing but a missing file starts it.
RULES = "--nolock --ignore-incomplete --keep-incomplete --keep-going --rerun-triggers mtime --forcerun report --quiet host reason"


def snakemake_options(
    grid: str, changes: Sequence[str], runs_dir: Path, jobs: int | None, profile: str | None, more: Sequence[str] = ()
) -> list[str]:
    """The options of Snakemake for a grid. `profile`: the name of one in workflow/profiles, or what Snakemake itself knows;
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


def check_plain(runs_dir: Path, name: str) -> None:
    """ConfigError for what Snakemake would take for a wildcard in the name of a file: braces in a folder of runs or a grid."""
    for what, said in (("the folder of the runs", str(runs_dir)), ("the name of the grid", name)):
        if "{" in said or "}" in said:
            raise ConfigError(
                f"{what} is {said!r}, but Snakemake takes what stands in braces for a wildcard; choose one without {{ and }}, or use "
                "`python -m oreal_lib.experiments.batch run` and `report`"
            )


def run_snakemake(options: list[str]) -> int:
    """Snakemake's exit code. It works in this process, so that whoever kills one kills both. KeyboardInterrupt after Ctrl-C or a
    polite kill, which Snakemake itself takes for failed runs."""
    from snakemake.cli import main as snakemake  # a second of imports that a wrong setting need not wait for

    stopped, before = [], {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        signal.default_int_handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
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


class News:
    """What runs in a folder say that they had not said at the last look. `said`: run id -> the last that is known of it."""

    def __init__(self, configs: Sequence[RunConfig], runs_dir: Path) -> None:
        self.configs, self.runs_dir = configs, runs_dir
        self.said = {c.run_id: standing(runs_dir / c.run_id) for c in configs}

    def __call__(self) -> list[str]:
        """A line for each run that has said something since the last call, and has neither finished nor failed."""
        lines = []
        for config in self.configs:
            folder, before = self.runs_dir / config.run_id, self.said[config.run_id]
            self.said[config.run_id] = now = standing(folder)
            if now != before and RunFolder(folder).done is None and not failed(folder):
                lines.append(f"  {name_of(config)} {now}")
        return lines


@contextmanager
def now_and_then(say: Callable[[], None], seconds: float = PATIENCE) -> Iterator[None]:
    """Inside, `say` is called every so many seconds, by another thread."""
    ended = threading.Event()

    def go() -> None:
        while not ended.wait(seconds):
            with suppress(OSError, ValueError):  # a file that another process is about to replace, or damaged: its run says so
                say()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def summary(grid: Grid, runs_dir: Path) -> tuple[int, str]:
    """How many runs failed or are not there, and what to read now: the log of each that failed, and the tables."""
    missing = unfinished(grid.configs, runs_dir)
    absent, broken = {c.run_id for c in missing}, {c.run_id for c in missing if failed(runs_dir / c.run_id)}
    lines = []
    for config in missing:
        folder = runs_dir / config.run_id
        if waits_for := sorted(absent.intersection(in_order(config.needs))):
            lines.append(f"not run {config.run_id}: it begins with {waits_for[0]}, which is not finished")
            continue
        log = next((log for log in (folder / "run.log", folder / "batch.log") if log.is_file() and log.stat().st_size), None)
        stopped = "" if config.run_id in broken or log == folder / "batch.log" else "stopped after: "
        lines.append(
            f"FAILED {config.run_id}: " + (f"{stopped}{last_words(log)} (all of it: {log})" if log else "it was not started")
        )
    if missing:
        lines.append(f"{len(missing)} runs are not finished; mend that and start the same command again")
    else:
        lines.append(f"all {len(grid.configs)} runs are finished")
        lines += [f"  {file}" for file in sorted(figures_root().glob(f"{grid.name}_*.md"))]
    return len(missing), "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code is 0 when everything is there, 1 when something failed, 2 when nothing was started."""
    parser = argparse.ArgumentParser(
        prog="python -m oreal_lib.experiments.reproduce",
        description="Compute the runs of a grid that are not finished, then its tables and figures. Killed, it continues.",
        epilog="Any other option is given to Snakemake, such as --set-resources run:runtime=2880.",
        allow_abbrev=False,
    )
    parser.add_argument("grid", help="a grid file, or the name of one in params/, such as demo or table1@voc")
    parser.add_argument(
        "--jobs", "--cores", type=int, default=None, help="runs at a time (default: one per core, or the profile's)"
    )
    parser.add_argument("--profile", default=None, help="slurm, or another profile of Snakemake; without one, this machine")
    parser.add_argument("--runs-dir", type=Path, default=None)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of every run")
    parser.add_argument("--root", default=None, metavar="DIR", help="the folder of the data, as --set data_root=DIR")
    options, more = parser.parse_known_args(arguments)
    return unless_stopped(lambda: _reproduce(options, more), "start the same command again and it continues where it was")


def _reproduce(options: argparse.Namespace, more: Sequence[str]) -> int:
    """The runs, the tables and figures; the exit code."""
    runs_dir = (options.runs_dir or runs_root()).resolve()
    try:
        changes, values = parse_options(options.set, options.root)
        grid = read_grid(options.grid, **values)
        if options.jobs is not None and options.jobs < 1:
            raise ConfigError(f"--jobs is {options.jobs}, but at least one run at a time must work; give 1 or more")
        if options.profile is None and sys.platform == "win32":
            raise ConfigError(
                "Snakemake's shell lines need Linux or macOS; use `python -m oreal_lib.experiments.batch run` and `report` instead"
            )
        check_plain(runs_dir, grid.name)
        for name in grid.reports:
            notebook(name)
        # on a cluster the nodes have the GPUs, and this machine need not have one
        refuse([c.model_copy(update={"device": "auto"}) if options.profile else c for c in grid.all_runs], runs_dir)
        with Lock(runs_dir / "reports" / f"{grid.name}.lock").acquire():
            print(text(plan(runs_of(grid, runs_dir), [runs_dir, figures_root() / "runs"]), options.jobs), flush=True)
            news = News(grid.all_runs, runs_dir)
            with now_and_then(lambda: [print(line, flush=True) for line in news()]):
                code = run_snakemake(snakemake_options(options.grid, changes, runs_dir, options.jobs, options.profile, more))
            missing, said = summary(grid, runs_dir)
    except Held as held:
        print(f"error: {grid.name} is reproduced in {runs_dir} by {held} already; wait for it, or stop it first", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:  # ValueError: a ConfigError, or a run's record that is damaged
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(said, flush=True)
    if code and not missing:
        print(f"but a report was not made; its log is in {runs_dir / 'reports'}", flush=True)
    return int(bool(code or missing))


if __name__ == "__main__":
    sys.exit(main())
