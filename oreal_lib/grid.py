"""A grid file: which runs belong together, and which notebooks report on them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import RunConfig
from .parameter_file import ConfigError, parse_yaml, read_yaml

KEYS = {  # of a grid file: their type, and an example
    "base": (str, "toy"),
    "grid": (dict, "{seed: [0, 1]}"),
    "reports": (list, "[20_table1_aualc]"),
    "runs": (list, "[{strategy: random}, {strategy: oreal, aggregate: [mean, max]}]"),
    "set": (dict, "{steps: 3}"),
}


@dataclass(frozen=True)
class Grid:
    """The runs of a grid file and the report notebooks made from them.

    name: stem of the file, and of the tables and figures.  configs: distinct, in the order of the file.
    """

    name: str
    configs: tuple[RunConfig, ...]
    reports: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Active columns ("oreal max") in the order of the file."""
        return list(dict.fromkeys(c.column for c in self.configs if c.supervision == "active"))


def read_grid(path: str | Path, **changes: Any) -> Grid:
    """Expand a grid file: `base` file, `set` changes for all, `grid` axes, `runs` with one value or a list of values a key.

    changes: further values for every run (such as data_root). ConfigError before anything starts if any run is wrong.
    """
    grid = {key: value for key, value in read_yaml(path).items() if value is not None}
    if unknown := [key for key in grid if key not in KEYS]:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; a grid file has {', '.join(KEYS)}")
    if "base" not in grid or "runs" not in grid:
        raise ConfigError(f"{path} is no grid file: it needs `base: <name>` and `runs:` with a list of entries")
    for key, (kind, example) in KEYS.items():
        if not isinstance(grid.setdefault(key, kind()), kind):
            raise ConfigError(f"{path}: {key} is {grid[key]!r}, but must look like `{key}: {example}`")
    if odd := [entry for entry in grid["runs"] if not isinstance(entry, dict)]:
        raise ConfigError(f"{path}: {odd[0]!r} in runs is no run, but an entry must look like {{strategy: random}}")
    base = read_yaml(grid["base"])
    if "runs" in base:
        raise ConfigError(f"{path}: base {grid['base']!r} is a grid file itself; name a file of one run's values, such as toy")
    configs = {}
    for axes in combinations(grid["grid"]):
        for entry in grid["runs"]:
            for run in combinations(entry):
                config = RunConfig.make(base | grid["set"] | changes | axes | run)
                configs[config.run_id] = config
    if not configs:
        raise ConfigError(f"{path} describes no run: `runs` or a list of values in it or in `grid` is empty; add an entry")
    for run_id in {c.stage_one.run_id for c in configs.values() if c.stage == 2}.intersection(configs):
        configs[run_id] = configs[run_id].stage_one  # the same run, which keeps what stage two needs
    return Grid(Path(path).stem, tuple(configs.values()), tuple(map(str, grid["reports"])))


def combinations(axes: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a mapping's values, a list being several values and anything else one."""
    values = [v if isinstance(v, list) else [v] for v in axes.values()]
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*values)]


def parse_changes(texts: list[str]) -> dict[str, Any]:
    """["seed=3", "data_root=/x"] as a mapping of plain values; ConfigError for a text without "=" or a key given twice."""
    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"--set {text!r} changes nothing; write KEY=VALUE, such as --set seed=3")
        if key in changes:
            raise ConfigError(f"--set gives {key} twice, {changes[key]!r} and {value!r}; keep one")
        changes[key] = parse_yaml(value, f"--set {text!r}")
    return changes
