"""Where things lie: one home folder, and the folders of this project in it."""

import os
from pathlib import Path


def home() -> Path:
    """The environment variable OREAL_HOME if set, else the repository this package lies in, else the nearest folder with params/
    from the current one up, else the current one."""
    if named := os.environ.get("OREAL_HOME"):
        return Path(named).expanduser().resolve()
    repository, here = Path(__file__).resolve().parents[2], Path.cwd()
    if (repository / "pyproject.toml").is_file():
        return repository
    return next((folder for folder in (here, *here.parents) if (folder / "params").is_dir()), here)


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
