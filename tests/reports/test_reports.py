"""Each report notebook on the six runs of the tiny grid; its cells run in this process, and once through papermill."""

import json
import os
import subprocess
import sys

import IPython.display
import matplotlib.pyplot as plt
import pytest
from matplotlib import rc_context

from oreal_lib.storage.paths import home

MADE = {
    "20_table1_aualc": ["_table.csv", "_table.md", "_table1.csv", "_table1.md", "_table1.tex"],
    "21_table3_cost_of_95": ["_table3.csv", "_table3.md", "_table3.tex"],
    "22_table2_dominant_labels": ["_table2.csv", "_table2.md", "_label_cost.png"],
    "24_figure4_curves": ["_curves.png", "_curves.svg"],
    "25_figure5_mean_vs_max": ["_mean_vs_max.png", "_selections.png", "_selections.svg"],
    "26_claims": ["_claims.csv", "_claims.md", "_ranking.md", "_ranking.png", "_ranking.svg"],
    "27_mechanism": [f"_{what}.{kind}" for what in ("mechanism", "debts", "near_and_inside") for kind in ("csv", "png", "svg")],
    "28_between_mean_and_max": [f"_spectrum.{kind}" for kind in ("csv", "md", "png", "svg")],
    "29_figure1_context": [],  # tiny pictures hold no object that max asked around
    "30_explore_a_run": [],
    "31_when_does_max_help": ["_gains.csv", "_gains.md", "_gains.png", "_gains.svg", "_against.png", "_against.svg"],
}


@pytest.fixture
def made_by(tiny_grid, tmp_path, monkeypatch):
    """A function: name of a report -> the files that it made of the tiny grid, by their name. Further arguments are parameters."""
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    (tmp_path / "data").symlink_to(tiny_grid.home / "data")
    (tmp_path / "params").symlink_to(tiny_grid.home / "params")

    def make(report, **parameters):
        variables = {"display": IPython.display.display}
        with rc_context({"backend": "agg"}):
            for cell in json.loads((tiny_grid.home / "notebooks" / f"{report}.ipynb").read_text(encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "code":
                    exec("".join(cell["source"]), variables)
                if "parameters" in cell["metadata"].get("tags", []):
                    variables |= {"grid": str(tiny_grid.file), "runs_dir": str(tiny_grid.runs_dir)} | parameters
        plt.close("all")
        return {file.name: file for file in (tmp_path / "figures").glob("*")}

    return make


@pytest.mark.parametrize("report", MADE)
def test_a_report_makes_its_files_and_each_names_its_runs(report, made_by, tiny_grid):
    try:
        made = made_by(report)
    except ValueError as error:
        assert report == "29_figure1_context" and "asked no more background around any object" in str(error)
        return
    assert {f"tiny{name}" for name in MADE[report]} <= set(made) and all(file.stat().st_size for file in made.values())
    runs = {config.run_id for config in tiny_grid.configs}
    for file in made.values():
        assert set(json.loads(file.with_suffix(".json").read_text())["made_from"]) <= runs


def test_a_grid_without_weak_labels_has_no_table_4(made_by):
    with pytest.raises(ValueError, match="none of the 6 finished runs has weak labels"):
        made_by("23_table4_weak_labels")


@pytest.mark.slow
def test_a_report_is_one_papermill_execution(tiny_grid, tmp_path):
    values = ["-p", "grid", str(tiny_grid.file), "-p", "runs_dir", str(tiny_grid.runs_dir), "-k", "python3"]
    for name in ("data", "params"):
        (tmp_path / name).symlink_to(tiny_grid.home / name)
    source = home() / "notebooks" / "20_table1_aualc.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(tmp_path / "made.ipynb"), *values]
    subprocess.run(command, check=True, env=os.environ | {"OREAL_HOME": str(tmp_path)}, timeout=300)
    text = (tmp_path / "figures" / "tiny_table1.md").read_text()
    assert "| BvSB |" in text and "AuALC in percent" in text
