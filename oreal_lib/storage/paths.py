"""Where things lie: one home folder, and the four folders of this project in it."""

import os
from pathlib import Path


def home() -> Path:
    """The environment variable OREAL_HOME if set, else the repository this package lies in, else the current folder."""
    if named := os.environ.get("OREAL_HOME"):
        return Path(named).expanduser().resolve()
    repository = Path(__file__).resolve().parents[2]
    return repository if (repository / "pyproject.toml").is_file() else Path.cwd()


def prepared_root() -> Path:
    """Prepared data sets: home/data/prepared. Can be deleted at any time, it is made again."""
    return home() / "data" / "prepared"


def runs_root() -> Path:
    """One folder per run: home/runs."""
    return home() / "runs"


def figures_root() -> Path:
    """Tables and figures made from runs: home/figures."""
    return home() / "figures"


def params_root() -> Path:
    """The YAML files of parameters: home/params."""
    return home() / "params"
