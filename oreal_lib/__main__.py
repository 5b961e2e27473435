"""The one command line: `python -m oreal_lib COMMAND ...`; with --help, what each command does and takes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .storage.interrupt import unless_stopped
from .storage.paths import figures_root, runs_root
from .storage.yaml_file import ConfigError, parse_options

WINGS = {  # commands with words of their own, and the module whose `add_to` adds these; it is imported when it is wanted
    "data": (".data.commands", "look at a data set before anything is trained: check, describe, download"),
    "annotate": (".annotate.commands", "what a session of labeling does without a notebook: serve, export, status, merge, ..."),
    "book": (".reports.book", "every lesson and report, executed, as web pages"),
}
CONTINUES = "start the same command again and it continues where it was"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done; 1 something failed or is wrong with the data; 2 nothing was started, with one line that begins with
    "error:"; 130 stopped."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(arguments)
    options, more = parser.parse_known_args(arguments)
    if more and (options.command is not _run or options.only):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.more = more
    for stream in (sys.stdout, sys.stderr):  # file names may hold what a terminal cannot print
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return unless_stopped(lambda: _do(options), options.kept)


def _do(options: argparse.Namespace) -> int:
    try:
        if (jobs := getattr(options, "jobs", None)) is not None and jobs < 1:
            raise ConfigError(f"--jobs is {jobs}, but must be at least 1; give 1 or more")
        return options.command(options)
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print("error:", " ".join(str(message).split()), file=sys.stderr)
        return 2


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m oreal_lib", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("grid", help="a grid file, or the name of one in params/, such as demo or table1@voc")
    common.add_argument("--runs-dir", type=Path, metavar="DIR", help="the folder of the runs (default: runs/ of this project)")
    common.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a value of every run")
    common.add_argument("--root", metavar="DIR", help="the folder of the data, as --set data_root=DIR")
    at_once = argparse.ArgumentParser(add_help=False)
    at_once.add_argument("--jobs", type=int, metavar="N", help="at a time (default: one per core, or what the profile says)")
    nothing = "nothing was changed; start the same command again"
    for name, command, parents, kept, text in (
        ("list", _list, [common], nothing, "the runs of a grid, and which are finished"),
        ("plan", _plan, [common, at_once], nothing, "which runs are there, hours and disk that the others need"),
        ("run", _run, [common, at_once], CONTINUES, "compute the runs that are not finished, then the tables and figures"),
        ("report", _report, [common], CONTINUES, "tables and figures from the runs that are finished: figures/"),
        ("publish", _publish, [common], nothing, "copy the small record of each finished run to figures/runs"),
    ):
        sub = commands.add_parser(name, parents=parents, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command, kept=kept)
        if command is _run:
            sub.add_argument("--only", metavar="RUN_ID", help="of the grid, only this run and what it begins with")
            sub.add_argument("--profile", help="slurm, or another profile of Snakemake; without one, this machine")
            sub.epilog = "Any other option is given to Snakemake, such as --set-resources run:runtime=2880."
        if command is _report:
            sub.add_argument("--only", metavar="NOTEBOOK", help="of the grid, only this report")
    for name, (module, text) in WINGS.items():
        sub = commands.add_parser(name, parents=[at_once] * (name == "book"), help=text, description=text)
        if name in arguments[:1]:
            import_module(module, "oreal_lib").add_to(sub)
    return parser


def _list(options: argparse.Namespace) -> int:
    from .experiments.run_folder import find

    runs_dir, _, grid = _read(options)
    for config in grid.all_runs:
        folder = find(config, runs_dir)
        published = " (a published record is there)" * (folder is not None)
        print(config.run_id, "finished" if folder and folder.path.parent == runs_dir else f"to do{published}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from .experiments.plan import plan, runs_of, text

    runs_dir, _, grid = _read(options)
    there = next(p for p in (runs_dir, *runs_dir.parents) if p.exists())
    made = plan(runs_of(grid, runs_dir), [runs_dir, figures_root() / "runs"])
    print(f"{grid.name}: runs in {runs_dir}\n\n{text(made, options.jobs, shutil.disk_usage(there).free)}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from .experiments import schedule

    runs_dir, changes, grid = _read(options)
    if options.only is None:
        return schedule.run_grid(grid, options.grid, changes, runs_dir, options.jobs, options.profile, options.more)
    if not (configs := [c for c in grid.all_runs if c.run_id == options.only]):
        raise ConfigError(f"the grid has no run {options.only!r}; `python -m oreal_lib list {options.grid}` names them")
    return schedule.run_some(configs, runs_dir)


def _report(options: argparse.Namespace) -> int:
    from .experiments.batch import run_reports

    runs_dir, changes, grid = _read(options)
    names = [name for name in grid.reports if options.only in (None, name)]
    if options.only and not names:
        raise ConfigError(f"the grid has no report {options.only!r}; it has: {', '.join(grid.reports) or 'none'}")
    return min(1, run_reports(grid.name, options.grid, names, runs_dir, changes[1]))


def _publish(options: argparse.Namespace) -> int:
    from .experiments.run_folder import publish

    runs_dir, _, grid = _read(options)
    for folder in publish(grid.all_runs, runs_dir):  # with the runs they begin with
        print(os.path.relpath(folder, figures_root().parent))
    return 0


def _read(options: argparse.Namespace) -> tuple:
    """The folder of the runs, what `--set` and `--root` change as texts and as values, and the grid."""
    from .experiments.grid import read_grid

    changes = parse_options(options.set, options.root)
    return (options.runs_dir or runs_root()).resolve(), changes, read_grid(options.grid, **changes[1])


if __name__ == "__main__":
    sys.exit(main())
