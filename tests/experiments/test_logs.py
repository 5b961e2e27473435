"""What is told about runs that other processes compute, from folders made up by hand."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from test_plan import COPIED, STEP

from oreal_lib.experiments.logs import Watch, failed, last_words, standing, told_while
from oreal_lib.experiments.run_folder import RunFolder

LOG = """Input Notebook:  /x/10_active_learning_run.ipynb
Passed unknown parameter: dataset
Executing notebook with kernel: python3
Executing Cell 5---------------------------------------
[run-1] step 2: epoch 3 of at most 50: 4 of 9 batches, at most about 4 minutes left

Ending Cell 5------------------------------------------
"""


def test_the_last_words_of_a_failed_run_are_its_error(tmp_path):
    log = tmp_path / "run.log"
    subprocess.run([sys.executable, "-c", "raise ValueError('the remedy')"], stderr=log.open("wb"), check=False)
    assert last_words(log) == "ValueError: the remedy"
    log.write_text("")
    assert last_words(log) == "it wrote nothing"


def test_where_a_run_stands_is_the_last_thing_it_said(tmp_path):
    folder = tmp_path / "run-1"
    assert standing(folder) == "starting"
    folder.mkdir()
    (folder / "run.log").write_text("".join(LOG.splitlines(keepends=True)[:4]))
    assert standing(folder) == "starting"
    (folder / "run.log").write_text(LOG)
    assert standing(folder) == "step 2: epoch 3 of at most 50: 4 of 9 batches, at most about 4 minutes left"


@pytest.mark.parametrize(
    "last, error",
    [
        ("ValueError: the remedy", True),
        ("oreal_lib.storage.yaml_file.ConfigError: seed is bad", True),
        ("\x1b[31mValueError\x1b[39m: the remedy", True),
        ("\x1b[31mKeyboardInterrupt\x1b[39m: ", False),
        ("Aborted!", False),
        ("[run] step 1: epoch 2 of at most 9: 1 of 2 batches", False),
    ],
)
def test_a_run_that_was_stopped_has_not_failed(tmp_path, last, error):
    (tmp_path / "run.log").write_text(f"Executing Cell 5\n\n{last}\n\n")
    assert failed(tmp_path) == error


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched(tiny_config, tmp_path):
    """A watch, its clock, and the folders of its four runs of 3 steps, each of which has its first from another run."""
    configs = [tiny_config(strategy=name) for name in ("random", "bvsb", "cbal", "oreal")]
    folders = [RunFolder(tmp_path / config.run_id) for config in configs]
    for folder in folders:
        folder.save_steps([COPIED])
    (folders[0].path / "run.log").write_text("ValueError: of an earlier attempt\n")
    clock = Clock()
    return Watch(configs, tmp_path, [tmp_path / "table.done"], clock), clock, folders


def say(folder, text):
    (folder.path / "run.log").write_text(f"{text}\n")


def test_each_finished_step_is_told_once_with_the_time_left_for_all(watched):
    watch, clock, (random, bvsb, *_) = watched
    assert watch.look() == []
    clock.now = 70.0
    say(bvsb, "[bvsb] step 2: training")
    bvsb.save_steps([COPIED, replace(STEP, step=2, miou=0.412, epochs=9)])
    assert [line.split("seed 0 ")[1] for line in watch.look()] == [
        "started",
        "step 2: mIoU 41.2 % (9 epochs); about 8 minutes left for all",  # 1 of 4 * 2 steps took 70 s
    ]
    assert watch.look() == []
    random.save_steps([COPIED, replace(STEP, step=2), replace(STEP, step=3)])
    random.save_json("done.json", {"steps": 3})
    clock.now = 80.0
    assert [line.split(";")[1] for line in watch.look()] == [" about 2 minutes left for all"] * 2
    assert watch.look() == []


def test_a_failed_run_and_a_report_are_told_when_they_come_and_an_old_failure_is_not(watched, tmp_path):
    watch, _, (_, bvsb, *_) = watched
    say(bvsb, "ValueError: no")
    (tmp_path / "table.done").touch()
    started, failure, made = watch.look()
    assert started.endswith("started") and f"FAILED {bvsb.path.name}: ValueError: no (all of it: " in failure
    assert made.endswith("made table") and watch.look() == []


def test_after_a_minute_of_silence_each_run_at_work_says_where_it_stands(watched):
    watch, clock, (random, bvsb, *_) = watched
    for folder in (random, bvsb):
        say(folder, f"[{folder.path.name}] step 2: training")
    assert len(watch.look()) == 2
    told = []
    for clock.now in (30, 59, 60, 90, 119, 120):
        told.append(len(watch.look()))
    assert told == [0, 0, 2, 0, 0, 2]
    clock.now = 180
    assert sorted(line.split("seed 0 ")[1] for line in watch.look()) == ["step 2: training"] * 2


def test_a_damaged_file_of_one_run_does_not_silence_the_others(watched):
    watch, _, (random, bvsb, *_) = watched
    (random.path / "steps.jsonl").write_text("damaged")
    say(bvsb, "[bvsb] step 2: training")
    assert [line.split("seed 0 ")[1] for line in watch.look()] == ["started"]


def test_lines_are_printed_while_the_work_goes_on(capsys):
    again, before = threading.Event(), threading.active_count()

    def look():
        again.set()
        return ["a line"]

    with told_while(look, 0.01):
        assert again.wait(30)
    assert threading.active_count() == before and "a line" in capsys.readouterr().out
