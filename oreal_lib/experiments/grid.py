"""A grid file: which runs belong together, and which notebooks report on them."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import RunConfig
from ..storage.yaml_file import ConfigError, read_yaml, shown
from ..strategies import STRATEGIES

KEYS = {  # of a grid file: their types, and an example
    "data": ((str, dict), "data_sets, or data: {toy: {grid: {seed: [0, 1]}}}"),
    "base": ((str,), "toy"),
    "grid": ((dict, list), "{seed: [0, 1]}"),
    "grids": ((list,), "[table1@toy, table1@camvid]"),
    "only": ((dict,), "{seed: 0}"),
    "options": ((dict,), "{pixelbal: {nu: 6}}"),
    "reports": ((list,), "[20_table1_aualc]"),
    "runs": ((list,), "[{strategy: random}, {strategy: oreal, aggregate: [mean, max]}]"),
    "set": ((dict,), "{steps: 3}"),
}


@dataclass(frozen=True)
class Grid:
    """The runs of a grid file and the report notebooks made from them.

    name: what its tables and figures are called: the file's stem, and the data set where one was chosen.  configs: distinct, in
    the order of the file.
    """

    name: str
    configs: tuple[RunConfig, ...]
    reports: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Active columns ("oreal max") in the order of the file."""
        return list(dict.fromkeys(c.column for c in self.configs if c.supervision == "active"))

    @property
    def all_runs(self) -> tuple[RunConfig, ...]:
        """The runs, each after those that it begins with, even if no table shows these."""
        return tuple(in_order(self.configs).values())


def in_order(configs: Iterable[RunConfig]) -> dict[str, RunConfig]:
    """Run id -> config of the runs and of everything they need first (`RunConfig.needs`), each after what it needs."""
    ordered: dict[str, RunConfig] = {}
    for config in configs:
        ordered |= {i: c for i, c in in_order(config.needs).items() if i not in ordered}
        ordered.setdefault(config.run_id, config)
    return ordered


def read_grid(path: str | Path, **changes: Any) -> Grid:
    """The runs that a grid file describes: each combination of `grid` (axes, or a list of axes, one after the other) and of `runs`
    (one value or a list of values per key), on top of the values of `base` and `set`. `options` has the strategy_options of a
    strategy; `only` keeps the runs with the values it names (full supervision counts as strategy random).

    "table1@voc" is the grid table1 on the data set voc: the file's `data`, a mapping or the name of a file with one, says what
    `base` (by default the data set's own) and the other keys are for it; its `set` and `only` add to the file's.
    A file with `grids`, a list of such names, stands for the runs of all of them.
    changes: further values for every run (such as data_root). ConfigError if any run is wrong, before anything starts.
    """
    path, chosen = re.fullmatch(r"(.*?)(?:@([\w-]+))?", str(path), re.DOTALL).groups("")
    grid = _entries(path, read_yaml(path))
    name = Path(path).stem
    if "grids" in grid:
        configs = {c.run_id: c for one in grid["grids"] for c in read_grid(one, **changes).configs}
        return Grid(name, tuple(configs.values()), tuple(map(str, grid.get("reports", []))))
    if "data" in grid:
        among = grid.pop("data")
        among = read_yaml(among) if isinstance(among, str) else among
        if chosen not in among:
            choices = ", ".join(f"{Path(path).name}@{d}" for d in among)
            said = f"{chosen!r} is not among them" if chosen else "and none is named"
            raise ConfigError(f"{path} is for several data sets, {said}; write one of {choices} (make: DATA=...)")
        if not isinstance(among[chosen], dict):
            raise ConfigError(f"{path}: data {chosen} is {shown(among[chosen])}, but must look like {{grid: {{seed: [0, 1]}}}}")
        there = {"base": chosen} | _entries(f"{path}: data {chosen}", among[chosen], [key for key in KEYS if key != "data"])
        grid = grid | there | {key: grid.get(key, {}) | there.get(key, {}) for key in ("set", "only")}
        name = f"{name}_{chosen}"
    elif chosen:
        raise ConfigError(f"{path}@{chosen}: {path} has no `data` to choose from; leave out @{chosen}")
    if "base" not in grid or "runs" not in grid:
        raise ConfigError(f"{path} is not a grid file: it needs `base: <name>` and `runs:` with a list of entries")
    if odd := [entry for entry in grid["runs"] if not isinstance(entry, dict)]:
        raise ConfigError(f"{path}: {shown(odd[0])} in runs is not a run, but must look like {{strategy: random}}")
    base = read_yaml(grid["base"])
    if "runs" in base:
        raise ConfigError(f"{path}: base {grid['base']!r} is a grid file itself; name a file of one run's values, such as toy")
    cases, options = grid.get("grid", {}), grid.get("options", {})
    cases, configs = cases if isinstance(cases, list) else [cases], {}
    for axes in itertools.chain.from_iterable(map(combinations, cases)):
        for entry in grid["runs"]:
            for run in combinations(entry):
                values = base | grid.get("set", {}) | changes | axes | run
                strategy = values.get("strategy")
                more = options.get(strategy) if isinstance(strategy, str) else None
                if more and "strategy_options" not in grid.get("set", {}) | changes | axes | run:
                    values |= {"strategy_options": more}
                if values.get("supervision", "active") != "active":  # asks nothing: one run for all budgets
                    values |= {key: base[key] for key in ("query_size", "query_share") if key in base}
                config = RunConfig.make(values)
                configs[config.run_id] = config
    if not configs:
        raise ConfigError(f"{path} describes no run: `runs` or a list of values in it or in `grid` is empty; add an entry")
    configs = _only(configs, grid.get("only", {}), path)
    for run_id in {c.stage_one.run_id for c in configs.values() if c.stage == 2}.intersection(configs):
        configs[run_id] = configs[run_id].stage_one  # the same run, which keeps what stage two needs
    return Grid(name, tuple(configs.values()), tuple(map(str, grid.get("reports", []))))


def _entries(where: str, values: dict[str, Any], known: Iterable[str] = tuple(KEYS)) -> dict[str, Any]:
    """The keys of a grid that are given; ConfigError if one is unknown or of another type."""
    grid = {key: value for key, value in values.items() if value is not None}
    if "dataset" in grid and "runs" not in grid:
        raise ConfigError(
            f"{where} holds the values of one run and is not a grid file; name one with `runs`, such as table1@{where}"
        )
    if unknown := [key for key in grid if key not in known]:
        raise ConfigError(f"{where}: unknown key {shown(unknown[0])}; a grid file has {', '.join(sorted(known))}")
    for key, value in grid.items():
        kinds, example = KEYS[key]
        if not isinstance(value, kinds):
            raise ConfigError(f"{where}: {key} is {shown(value)}, but must look like `{key}: {example}`")
        if key == "grid" and isinstance(value, list) and (odd := [case for case in value if not isinstance(case, dict)]):
            raise ConfigError(f"{where}: {shown(odd[0])} in grid is not a case, but must look like {{seed: 0}}")
    if odd := [name for name in grid.get("options", {}) if name not in STRATEGIES]:
        raise ConfigError(f"{where}: options are for {shown(odd[0])}, which is not a strategy; choose of {', '.join(STRATEGIES)}")
    return grid


def _only(configs: dict[str, RunConfig], wanted: dict[str, Any], path: str) -> dict[str, RunConfig]:
    """The runs that have one of the values wanted of each field; ConfigError where none is left."""
    for key, value in wanted.items():
        if key not in RunConfig.model_fields:
            raise ConfigError(f"{path}: `only` names {shown(key)}, which is not a parameter of a run; see params/toy.yaml")
        values = value if isinstance(value, list) else [value]
        configs = {i: c for i, c in configs.items() if getattr(c, key) in values}
        if not configs:
            raise ConfigError(f"{path}: no run has {key} {shown(value)}, so `only` leaves nothing; name a value of the grid")
    return configs


def combinations(axes: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a mapping's values, a list being several values and anything else one."""
    values = [v if isinstance(v, list) else [v] for v in axes.values()]
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*values)]
