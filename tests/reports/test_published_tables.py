"""The tables in figures/ are what the records in figures/runs say, to the last byte."""

import json

import IPython.display
import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from oreal_lib.experiments.grid import read_grid
from oreal_lib.reports import mechanism
from oreal_lib.storage.paths import home


@pytest.mark.parametrize("grid", ["table1@toy", "table1@camvid", "table1@labelmefacade", "table4@toy", "spectrum@toy", "across"])
def test_the_published_tables_come_byte_for_byte_from_the_published_records(grid, tmp_path, monkeypatch, capsys):
    published = home() / "figures"
    (tmp_path / "figures").mkdir()
    for name in ("params", "notebooks", "figures/runs"):
        (tmp_path / name).symlink_to(home() / name)
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    monkeypatch.setattr(Figure, "savefig", lambda *a, **k: None)  # the pictures are drawn, but not into files: a third of the time
    with matplotlib.rc_context({"backend": "agg"}):
        for report in read_grid(grid).reports:
            variables = {"display": IPython.display.display}
            for cell in json.loads((tmp_path / "notebooks" / f"{report}.ipynb").read_text(encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "code":
                    exec("".join(cell["source"]), variables)
                if "parameters" in cell["metadata"].get("tags", []):
                    variables |= {"grid": grid, "runs_dir": None, "changes": {}}
            plt.close("all")
    tables = [file for file in (tmp_path / "figures").iterdir() if file.suffix in (".csv", ".md")]
    assert tables and not [table for table in tables if "size" in table.name]  # which needs networks
    assert (mechanism.NO_NETWORK in capsys.readouterr().out) == grid.startswith("table1")
    for table in tables:
        assert table.read_bytes() == (published / table.name).read_bytes(), table.name
