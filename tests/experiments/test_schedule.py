"""One command for a whole grid: what Snakemake is told, and what is told about it. No run is computed here."""

import base64
import contextlib
import json
import os
import shutil
import signal
import sys

import pytest
import yaml

from oreal_lib.__main__ import main
from oreal_lib.config import RunConfig
from oreal_lib.experiments import batch
from oreal_lib.experiments.grid import in_order, read_grid
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.experiments.schedule import run_grid, run_snakemake, snakemake_options, summary, work_of
from oreal_lib.storage.lock import Lock
from oreal_lib.storage.paths import home
from oreal_lib.storage.yaml_file import parse_options

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the workflow's shell lines are POSIX")
FAKE = """import json, sys
from pathlib import Path
arguments = sys.argv[3:]
with open({told!r}, "a") as file:
    file.write(json.dumps(arguments) + chr(10))
given = dict(zip(arguments[2::2], arguments[3::2]))
runs, only = Path(given["--runs-dir"]), given["--only"]
(runs / only / "done.json").write_text("{{}}") if arguments[0] == "run" else (runs / "reports" / {report!r}).touch()
"""


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_config):
    """A home of its own with the grid "two": full supervision, and one random step."""
    place = tmp_path / "a home"
    for name in ("notebooks", "params", "workflow"):
        shutil.copytree(home() / name, place / name)
    monkeypatch.setenv("OREAL_HOME", str(place))
    monkeypatch.chdir(place)
    (place / "params" / "tiny.yaml").write_text(yaml.safe_dump(tiny_config(steps=1).values()))
    grid = {"base": "tiny", "runs": [{"supervision": "full_dominant"}, {"strategy": "random"}], "reports": ["20_table1_aualc"]}
    (place / "params" / "two.yaml").write_text(yaml.safe_dump(grid))
    return place


@POSIX
def test_ctrl_c_is_no_failure(monkeypatch, tmp_path):
    """Snakemake swallows the interrupt while jobs run."""
    before = signal.getsignal(signal.SIGINT)

    def snakemake(options):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise SystemExit(1)

    monkeypatch.setattr("snakemake.cli.main", snakemake)
    with pytest.raises(KeyboardInterrupt):
        run_snakemake([], tmp_path / "log")
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr("snakemake.cli.main", lambda options: sys.exit(3))
    assert run_snakemake([], tmp_path / "log") == 3


def test_two_at_one_grid_are_refused_and_the_first_goes_on(place, capsys):
    with Lock(place / "runs" / "reports" / "two.lock").acquire():
        assert main(["run", "two"]) == 2
    assert f"two is computed in {place / 'runs'} by process {os.getpid()} on " in capsys.readouterr().err


def test_a_profile_of_ours_is_found_by_its_name_and_others_are_snakemakes(place):
    told = snakemake_options("two", ["data_root=/a b"], place, 3, "slurm", ["--set-resources", "run:gpu=2"])
    assert told[told.index("--profile") + 1] == str(place / "workflow" / "profiles" / "slurm") and told[-1] == "run:gpu=2"
    asked = json.loads(base64.urlsafe_b64decode(told[told.index("--config") + 1].removeprefix("asked=")))
    assert asked == {"grid": "two", "runs_dir": str(place), "set": ["data_root=/a b"]}
    assert "--cores" not in told and "3" in told
    told = snakemake_options("two", [], place, None, "my_cluster")
    assert told[told.index("--profile") + 1] == "my_cluster" and "--jobs" not in told
    told = snakemake_options("two", [], place, 2, None)
    assert told[told.index("--cores") + 1] == "2" and "--profile" not in told


def test_the_last_lines_say_what_failed_and_what_waited_for_it(tmp_path):
    random, bvsb = (RunConfig.from_yaml("toy", strategy=s) for s in ("random", "bvsb"))
    first = random.step_one.run_id
    (tmp_path / first).mkdir()
    (tmp_path / first / "run.log").write_text("Traceback\nOSError: the disk is full\n")
    missing, said = summary([random, bvsb], tmp_path)
    assert missing == 3 and f"FAILED {first}: OSError: the disk is full (all of it: {tmp_path / first / 'run.log'})" in said
    assert f"not run {bvsb.run_id}: it begins with {first}, which is not finished" in said and "3 runs are not finished" in said
    for run_id in in_order([random, bvsb]):
        RunFolder(tmp_path / run_id).save_json("done.json", {})
    assert summary([random, bvsb], tmp_path) == (0, "all 2 runs are finished")


def test_where_snakemake_cannot_run_there_is_one_run_after_another(place, monkeypatch, capsys):
    """In this process; papermill is a stand-in that finishes every run and report."""
    executed = []

    def execute(source, target, parameters, threads, log):
        executed.append(source.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        if "grid" not in parameters:
            RunFolder(target.parent).save_json("done.json", {"steps": 0})
        return 0

    monkeypatch.setattr(batch, "papermill", execute)
    monkeypatch.setattr(batch, "waited", lambda code: code)
    monkeypatch.setattr("oreal_lib.experiments.schedule.run_snakemake", lambda *_: pytest.fail("Snakemake was started"))
    assert run_grid(read_grid("two"), "two", ([], {}), place / "runs", snakemake=False) == 0
    assert executed == ["11_full_supervision", "10_active_learning_run", "20_table1_aualc"]
    assert "all 2 runs are finished" in capsys.readouterr().out
    assert run_grid(read_grid("two"), "two", ([], {}), place / "runs", snakemake=False) == 0
    assert executed[3:] == ["20_table1_aualc"]  # tables are made again, runs are not


@POSIX
@pytest.mark.parametrize("name", ["my 'best' \"runs\" $HOME; touch ran & 図 🌍 %s", "-n #b [a]*?~ $(touch ran)`touch ran`"])
def test_snakemake_hands_on_what_was_typed(place, tmp_path, monkeypatch, name):
    """A real Snakemake with real shells; only the Python in its lines is one that writes down its words."""
    grid, told, fake = place / f"a {name}.yaml", tmp_path / "told", tmp_path / f"python {name}"
    grid.write_text(yaml.safe_dump({"base": "toy", "runs": [{"strategy": "random", "steps": 1}], "reports": ["20_table1_aualc"]}))
    fake.write_text(f"#!{sys.executable}\n" + FAKE.format(told=str(told), report=f"{grid.stem}_20_table1_aualc.done"))
    fake.chmod(0o755)
    root = f"/data/{name} {{a}} {{wildcards.run_id}} {{{{b}}}}"
    changes = parse_options(['data_options={"scene": "large_tools"}'], root)[0]
    options = snakemake_options(str(grid), changes, place / "runs", 1, None)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(fake))
        assert run_snakemake(options, tmp_path / "log") == 0, (tmp_path / "log").read_text()
    for line, what in zip(map(json.loads, told.read_text().splitlines()), ["run", "report"], strict=True):
        assert line[:2] == [what, str(grid)]
        assert [text for flag, text in zip(line[2::2], line[3::2], strict=True) if flag == "--set"] == changes
        assert line[line.index("--runs-dir") + 1] == str(place / "runs")
    assert parse_options(changes)[1]["data_root"] == root
    assert not list(tmp_path.rglob("ran"))


def test_a_cluster_gets_the_wish_in_letters_and_digits(tmp_path):
    """The Slurm executor puts Snakemake's own arguments into a shell's double quotes."""
    odd = parse_options(["aggregate=$(touch ran)`ran` \" ' {x}"], "🌍")[0]
    told = snakemake_options("$HOME", odd, tmp_path / "$(ran)", 1, "slurm")
    (asked,) = told[told.index("--config") + 1 :]
    assert asked.replace("=", "").replace("-", "").replace("_", "").isalnum() and asked.isascii()


def test_the_seconds_of_finished_runs_are_summed_by_what_was_done(tmp_path):
    finished, other, missing = (RunConfig.from_yaml("toy", strategy=s) for s in ("random", "bvsb", "oreal"))
    RunFolder(tmp_path / finished.run_id).save_json("done.json", {"seconds": {"query": 2.0, "train": 50.0}})
    RunFolder(tmp_path / other.run_id).save_json("done.json", {"seconds": {"query": 1.0, "train": 10.0, "test": 4.0}})
    assert work_of([finished, other, missing], tmp_path) == "training 60 s, testing 4 s, asking 3 s"
