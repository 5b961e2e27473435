"""A grid file: which runs belong together, and which notebooks report on them."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError

from ..config import RunConfig
from ..storage.yaml_file import ConfigError, explain_all, read_yaml, shown
from ..strategies import STRATEGIES


def _known(name: str) -> str:
    if name not in STRATEGIES:  # looked up now, so that a strategy of your own can be among them
        raise ValueError(f"options are for {name!r}, which is not a strategy; choose of {', '.join(STRATEGIES)}")
    return name


Strategy = Annotated[str, AfterValidator(_known)]


class GridFile(BaseModel, extra="forbid"):
    """The keys of a grid file and their types; `read_grid` says what they mean."""

    data: str | dict[str, dict] = {}
    base: str = ""
    grid: dict | list[dict] = {}
    grids: list[str] = []
    only: dict = {}
    options: dict[Strategy, dict] = {}
    reports: list[str] = []
    runs: list[dict] = []
    set: dict = {}


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
        there = {"base": chosen} | _entries(f"{path}: data {chosen}", among[chosen])
        grid = grid | there | {key: grid.get(key, {}) | there.get(key, {}) for key in ("set", "only")}
        name = f"{name}_{chosen}"
    elif chosen:
        raise ConfigError(f"{path}@{chosen}: {path} has no `data` to choose from; leave out @{chosen}")
    if "base" not in grid or "runs" not in grid:
        raise ConfigError(f"{path} is not a grid file: it needs `base: <name>` and `runs:` with a list of entries")
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


def _entries(where: str, values: dict[str, Any]) -> dict[str, Any]:
    """The keys of a grid that are given; ConfigError if one is unknown or of another type."""
    given = {key: value for key, value in values.items() if value is not None}
    if "dataset" in given and "runs" not in given:
        raise ConfigError(
            f"{where} holds the values of one run and is not a grid file; name one with `runs`, such as table1@{where}"
        )
    try:
        GridFile.model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain_all(error.errors(), GridFile.model_fields)}") from None
    return given


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
