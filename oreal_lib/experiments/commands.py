"""`python -m oreal_lib list|plan|run|report|publish GRID`. What a command needs is imported when it is called, so that --help is quick."""

import argparse
import os
import shutil
from pathlib import Path

from ..storage.paths import figures_root, runs_root
from ..storage.yaml_file import ConfigError, parse_options

CONTINUES = "start the same command again and it continues where it was"
NOTHING = "nothing was changed; start the same command again"


def add_to(commands: argparse._SubParsersAction, at_once: argparse.ArgumentParser) -> None:
    """Adds the commands. at_once: the parent parser that has --jobs."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("grid", help="a grid file, or the name of one in params/, such as demo or table1@voc")
    common.add_argument("--runs-dir", type=Path, metavar="DIR", help="the folder of the runs (default: runs/ of this project)")
    common.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a value of every run")
    common.add_argument("--root", metavar="DIR", help="the folder of the data, as --set data_root=DIR")
    for name, command, parents, kept, text in (
        ("list", _list, [common], NOTHING, "the runs of a grid, and which are finished"),
        ("plan", _plan, [common, at_once], NOTHING, "which runs are there, hours and disk that the others need"),
        ("run", _run, [common, at_once], CONTINUES, "compute the runs that are not finished, then the tables and figures"),
        ("report", _report, [common], CONTINUES, "tables and figures from the runs that are finished: figures/"),
        ("publish", _publish, [common], NOTHING, "copy the small record of each finished run to figures/runs"),
    ):
        sub = commands.add_parser(name, parents=parents, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command, kept=kept)
        if command is _run:
            sub.set_defaults(hands_on=True)
            sub.add_argument("--only", metavar="RUN_ID", help="of the grid, only this run and what it begins with")
            sub.add_argument("--profile", help="slurm, or another profile of Snakemake; without one, this machine")
            sub.epilog = "Any other option is given to Snakemake, such as --set-resources run:runtime=2880."
        if command is _report:
            sub.add_argument("--only", metavar="NOTEBOOK", help="of the grid, only this report")


def _list(options: argparse.Namespace) -> int:
    from .run_folder import find

    runs_dir, _, grid = _read(options)
    for config in grid.all_runs:
        folder = find(config, runs_dir)
        published = " (a published record is there)" * (folder is not None)
        print(config.run_id, "finished" if folder and folder.path.parent == runs_dir else f"to do{published}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from .plan import plan, runs_of, text

    runs_dir, _, grid = _read(options)
    there = next(p for p in (runs_dir, *runs_dir.parents) if p.exists())
    made = plan(runs_of(grid, runs_dir), [runs_dir, figures_root() / "runs"])
    print(f"{grid.name}: runs in {runs_dir}\n\n{text(made, options.jobs, shutil.disk_usage(there).free)}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from . import schedule

    runs_dir, changes, grid = _read(options)
    if options.only is None:
        return schedule.run_grid(grid, options.grid, changes, runs_dir, options.jobs, options.profile, options.more)
    if not (configs := [c for c in grid.all_runs if c.run_id == options.only]):
        raise ConfigError(f"the grid has no run {options.only!r}; `python -m oreal_lib list {options.grid}` names them")
    return schedule.run_some(configs, runs_dir)


def _report(options: argparse.Namespace) -> int:
    from .batch import run_reports

    runs_dir, changes, grid = _read(options)
    names = [name for name in grid.reports if options.only in (None, name)]
    if options.only and not names:
        raise ConfigError(f"the grid has no report {options.only!r}; it has: {', '.join(grid.reports) or 'none'}")
    return min(1, run_reports(grid.name, options.grid, names, runs_dir, changes[1]))


def _publish(options: argparse.Namespace) -> int:
    from .run_folder import publish

    runs_dir, _, grid = _read(options)
    for folder in publish(grid.all_runs, runs_dir):  # with the runs they begin with
        print(os.path.relpath(folder, figures_root().parent))
    return 0


def _read(options: argparse.Namespace) -> tuple:
    """The folder of the runs, what `--set` and `--root` change as texts and as values, and the grid."""
    from .grid import read_grid

    changes = parse_options(options.set, options.root)
    return (options.runs_dir or runs_root()).resolve(), changes, read_grid(options.grid, **changes[1])
