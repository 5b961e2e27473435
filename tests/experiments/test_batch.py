"""One run is one papermill execution; papermill itself is a stand-in here (test_end_to_end.py has the real one)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from oreal_lib.config import RunConfig
from oreal_lib.experiments import batch
from oreal_lib.experiments.batch import notebook, papermill, run_one, run_one_after_another
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage.lock import Lock
from oreal_lib.storage.yaml_file import ConfigError


@pytest.fixture
def started(monkeypatch):
    """The strategies of the runs that papermill was started for; a run of CBAL fails, the others are finished at once."""
    started = []

    def execute(source, target, parameters, threads, log):
        started.append(parameters["strategy"])
        if parameters["strategy"] != "cbal":
            RunFolder(target.parent).save_json("done.json", {"steps": 0})

    monkeypatch.setattr(batch, "papermill", execute)
    monkeypatch.setattr(batch, "waited", lambda code: code)
    return started


def test_a_notebook_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(ConfigError, match="no notebook '20_nope'; there are: 00_start_here"):
        notebook("20_nope")


def test_runs_come_after_those_they_begin_with_and_not_without_them(tmp_path, started):
    runs = [RunConfig.from_yaml("toy", strategy=s, labeling="weak", stage=2, steps=1) for s in ("bvsb", "cbal")]
    run_one_after_another(runs, tmp_path)
    assert started == ["random", "bvsb"] * 2 + [
        "cbal"
    ]  # both stages of BvSB; stage two of CBAL begins with stage one, which failed
    run_one_after_another(runs, tmp_path)
    assert started[5:] == ["cbal"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_another_process_computes_is_waited_for_and_begun_when_that_has_died(
    tmp_path, monkeypatch, capsys, started, finished
):
    config = RunConfig.from_yaml("toy", supervision="full_masks", device="cpu")
    other = Lock(tmp_path / config.run_id / "run.lock").acquire()

    def pause(seconds):
        assert not started
        if finished:
            RunFolder(tmp_path / config.run_id).save_json("done.json", {"steps": 0})
        other.release()

    monkeypatch.setattr(batch.time, "sleep", pause)
    run_one(config, tmp_path)
    said = capsys.readouterr().out
    assert f"is being computed by process {os.getpid()} on " in said and said.endswith("; waiting for it\n")
    assert len(started) == (not finished)


@pytest.mark.parametrize("name", ["my 'best' \"runs\" $HOME; touch ran", "-f {a} {0} %s", "$(touch ran) Übung 図 🌍"])
def test_papermill_gets_names_as_they_are(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    fake = tmp_path / "fake.py"
    fake.write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    started = subprocess.Popen
    monkeypatch.setattr(batch.subprocess, "Popen", lambda command, **how: started([sys.executable, str(fake), *command[3:]], **how))
    source, target, log = (tmp_path / name / file for file in (f"{name}.ipynb", f"out {name}.ipynb", "log"))
    parameters = {"data_root": name, "runs_dir": str(tmp_path / name)}
    assert papermill(source, target, parameters, 1, log).wait() == 0
    given = str(target.with_suffix(".parameters.yaml"))
    words = [str(source), str(target), "-f", given, "-k", "python3", "--no-progress-bar", "--log-output"]
    assert json.loads(log.read_text()) == words
    assert yaml.safe_load(Path(given).read_text(encoding="utf-8")) == parameters
    assert not list(tmp_path.rglob("ran"))


def test_a_notebook_runs_in_this_python_though_jupyter_knows_another_by_that_name(tmp_path, monkeypatch):
    other = tmp_path / "cluster" / "kernels" / "python3" / "kernel.json"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"argv": ["/no/such/python", "{connection_file}"], "display_name": "other", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "cluster"))
    cell = nbformat.v4.new_code_cell("import sys; print('this Python is', sys.executable)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    assert papermill(tmp_path / "in.ipynb", tmp_path / "out" / "out.ipynb", {}, 1, tmp_path / "log").wait() == 0
    assert f"this Python is {sys.executable}" in (tmp_path / "log").read_text()


def test_a_report_that_had_nothing_to_draw_is_not_told_as_made(tmp_path, monkeypatch, capsys):
    def execute(source, target, parameters, threads, log):
        log.parent.mkdir(exist_ok=True)
        log.write_text("Executing Cell 4\nNothing is drawn: no query of step 2\n" if "25_" in target.name else "Executing Cell 4\n")
        return 0

    monkeypatch.setattr(batch, "papermill", execute)
    monkeypatch.setattr(batch, "waited", lambda code: code)
    assert batch.run_reports("g", "g", ["20_table1_aualc", "25_figure5_mean_vs_max"], tmp_path, {}) == 0
    made, nothing = capsys.readouterr().out.splitlines()
    assert made.startswith("made 20_table1_aualc: ")
    assert nothing == "25_figure5_mean_vs_max: Nothing is drawn: no query of step 2"
