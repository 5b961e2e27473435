"""Run ids name the records in figures/runs: no change of the code may change one, unless it changes what the run computes."""

import hashlib

from oreal_lib.experiments.grid import read_grid
from oreal_lib.storage.paths import params_root
from oreal_lib.storage.yaml_file import read_yaml


def grids():
    """Every grid in params/, on every data set that it names."""
    for file in sorted(params_root().glob("*.yaml")):
        values = read_yaml(file.stem)
        if not isinstance(values.get("runs"), list):
            continue
        data = values.get("data", {})
        names = list(read_yaml(data) if isinstance(data, str) else data)
        yield from [f"{file.stem}@{name}" for name in names] or [file.stem]


def test_the_run_ids_of_all_grids_are_those_of_the_published_records():
    ids = sorted({config.run_id for grid in grids() for config in read_grid(grid).all_runs})
    assert len(ids) == 5274
    assert hashlib.sha256("\n".join(ids).encode()).hexdigest() == "f603c7f9d5ec3b7b58f642071ffaf7780991e83e232cf74ad538d2a9860b1774"
