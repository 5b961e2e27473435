"""One command for a whole grid. Processes are really killed here, with everything that they started."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import yaml

from oreal_lib.config import RunConfig
from oreal_lib.experiments.grid import Grid, in_order
from oreal_lib.experiments.reproduce import main, now_and_then, run_snakemake, snakemake_options, summary
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage.lock import Lock
from oreal_lib.storage.paths import home

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the workflow's shell lines are POSIX")
CAMVID = ["two", "--set", "dataset=camvid", "--set", "data_options={}", "--set", "data_root=/no/such"]


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_config):
    """A home of its own with the grid "two": full supervision, and one random step."""
    place = tmp_path / "a home"
    for name in ("notebooks", "params", "workflow"):
        shutil.copytree(home() / name, place / name)
    monkeypatch.setenv("OREAL_HOME", str(place))
    (place / "params" / "tiny.yaml").write_text(yaml.safe_dump(tiny_config(steps=1).values()))
    grid = {"base": "tiny", "runs": [{"supervision": "full_dominant"}, {"strategy": "random"}]}
    (place / "params" / "two.yaml").write_text(yaml.safe_dump(grid))
    return place


def start(place):
    command = [sys.executable, "-m", "oreal_lib.experiments.reproduce", "two", "--jobs", "1"]
    return subprocess.Popen(command, cwd=place, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True)


@POSIX
def test_killed_with_all_it_started_it_continues_and_leaves_finished_runs_alone(place, tiny_config):
    full, random = tiny_config(steps=1, supervision="full_dominant"), tiny_config(steps=1, strategy="random")
    list(run(full))
    finished = {file: file.read_bytes() for file in (place / "runs" / full.run_id).iterdir()}
    first, begun = start(place), place / "runs" / random.run_id / "config.json"
    while not begun.exists():
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    family = psutil.Process(first.pid)
    for process in (family, *family.children(recursive=True)):
        process.kill()
    first.communicate()
    second = start(place)
    out = second.communicate()[0]
    assert second.returncode == 0 and "2 runs, 1 to go" in out and "all 2 runs are finished" in out
    assert json.loads((begun.parent / "done.json").read_text())["run_id"] == random.run_id
    assert {file: file.read_bytes() for file in finished} == finished


@POSIX
def test_ctrl_c_is_no_failure(monkeypatch):
    """Snakemake swallows the interrupt while jobs run."""
    before = signal.getsignal(signal.SIGINT)

    def snakemake(options):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise SystemExit(1)

    monkeypatch.setattr("snakemake.cli.main", snakemake)
    with pytest.raises(KeyboardInterrupt):
        run_snakemake([])
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr("snakemake.cli.main", lambda options: sys.exit(3))
    assert run_snakemake([]) == 3


def test_while_snakemake_works_something_is_said_now_and_then_and_a_damaged_file_does_not_end_that():
    called, again = [], threading.Event()

    def say():
        called.append(1)
        if len(called) == 2:
            again.set()
        raise ValueError("steps.jsonl is damaged")

    before = threading.active_count()
    with now_and_then(say, 0.01):
        assert again.wait(30)
    assert threading.active_count() == before


def test_two_at_one_grid_are_refused_and_the_first_goes_on(place, capsys):
    lock = place / "runs" / "reports" / "two.lock"
    lock.parent.mkdir(parents=True)
    with Lock(lock).acquire():
        assert main(["two"]) == 2
    assert f"two is reproduced in {place / 'runs'} by process {os.getpid()} on " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["nope"], "no parameter file"),
        (["two", "--jobs", "0"], "--jobs is 0"),
        (["two", "--set", "seed"], "write KEY=VALUE"),
        (["two", "--set", "dataset=citiscapes"], "no data set 'citiscapes'"),
        (CAMVID, "nothing was started, .* /no/such does not exist"),
    ],
)
def test_a_wrong_command_starts_nothing_and_says_why_in_one_line(place, capsys, arguments, sentence):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(sentence, error) and error.count("\n") == 1 and not (place / "runs").exists()


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
    grid = Grid("made", (random, bvsb), ())
    first = random.step_one.run_id
    (tmp_path / first).mkdir()
    (tmp_path / first / "run.log").write_text("Traceback\nOSError: the disk is full\n")
    missing, said = summary(grid, tmp_path)
    assert missing == 3 and f"FAILED {first}: OSError: the disk is full (all of it: {tmp_path / first / 'run.log'})" in said
    assert f"not run {bvsb.run_id}: it begins with {first}, which is not finished" in said and "3 runs are not finished" in said
    for run_id in in_order([random, bvsb]):
        RunFolder(tmp_path / run_id).save_json("done.json", {})
    assert summary(grid, tmp_path) == (0, "all 2 runs are finished")
