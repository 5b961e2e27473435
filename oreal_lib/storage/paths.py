"""Where things lie: one home folder, and the folders of this project in it."""

import os
from pathlib import Path


def home() -> Path:
    """The environment variable OREAL_HOME if set, else the repository this package lies in, else the current folder."""
    if named := os.environ.get("OREAL_HOME"):
        return Path(named).expanduser().resolve()
    repository = Path(__file__).resolve().parents[2]
    return repository if (repository / "pyproject.toml").is_file() else Path.cwd()


def prepared_root() -> Path:
    """home/data/prepared, for prepared data sets. Can be deleted at any time: they are made again."""
    return home() / "data" / "prepared"


def runs_root() -> Path:
    """home/runs, with one folder for each run."""
    return home() / "runs"


def figures_root() -> Path:
    """home/figures, for tables and figures made from runs."""
    return home() / "figures"


def params_root() -> Path:
    """home/params, with the YAML files of parameters."""
    return home() / "params"
