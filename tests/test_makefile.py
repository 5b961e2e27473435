"""What people type after `make` reaches the program whole and runs nothing; and what the Makefile promises is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="make and its shell lines are POSIX")
ODD = [
    """/data/my "best" photos $HOME; touch ran""",
    "$(touch ran)`touch ran`",
    "$(shell touch ran)$$ROOT",
    "it's {a} {wildcards.run_id} {{b}} %s \\n \\",
    "-n --help | touch ran & touch ran",
    "Übung é 図 🌍",
    "two\nlines",
]
ECHO = """#!/bin/sh
case "$1" in -c | -V) exit 0 ;; esac
for word; do printf '%s\\0' "$word"; done >> told
"""


@pytest.fixture
def make(tmp_path):
    """A function: `make` with these arguments, in a copy of the Makefile whose Python only writes down the words it is given."""
    place = tmp_path / 'it\'s a "home"'
    (place / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(HOME / name, place)
    python = place / ".venv" / "bin" / "python"
    python.write_text(ECHO)
    python.chmod(0o755)
    ready = 'echo "$(cat pyproject.toml requirements.lock | cksum) in $(pwd -P)" > .venv/ready'
    subprocess.run(["sh", "-c", ready], cwd=place, check=True)

    def run(*words, **variables):
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")} | variables
        done = subprocess.run(["make", *words], cwd=place, env=environment, capture_output=True, text=True)
        assert not list(place.glob("ran*")), "something that was typed has been run"
        told = (place / "told").read_text().split("\0")[:-1] if (place / "told").exists() else []
        (place / "told").unlink(missing_ok=True)
        return done, told

    return run


@POSIX
@pytest.mark.parametrize("typed", ODD)
@pytest.mark.parametrize("how", ["as words of make", "in the environment"])
def test_make_hands_on_what_was_typed(make, typed, how):
    def told(*targets, **values):
        given = [f"{name}={value}" for name, value in values.items()] if how == "as words of make" else []
        done, words = make(*targets, *given, **({} if given else values))
        assert done.returncode == 0, done.stderr
        return words

    words = told("reproduce", WHAT=typed, DATA=typed, ROOT=typed, RUNS=typed, SET=typed, PROFILE=typed, JOBS=typed)
    chosen = [f"{typed}@{typed}", f"--jobs={typed}", f"--runs-dir={typed}", f"--root={typed}", f"--set={typed}"]
    assert words == ["-m", "oreal_lib", "run", *chosen, f"--profile={typed}"]
    label = ["-m", "oreal_lib", "annotate", "serve", typed, f"--classes={typed}", f"--annotator={typed}", f"--port={typed}"]
    assert told("label", FOLDER=typed, CLASSES=typed, WHO=typed, PORT=typed) == label


@POSIX
def test_what_is_not_typed_is_not_handed_on(make):
    assert make("plan", "WHAT=demo")[1] == ["-m", "oreal_lib", "plan", "demo"]
    assert make("label", "FOLDER=x")[1] == ["-m", "oreal_lib", "annotate", "serve", "x"]
    done, words = make("plan")
    assert done.returncode == 2 and "WHAT is empty" in done.stderr and not words


@POSIX
@pytest.mark.parametrize("odd", ['my "$HOME"; touch ran', "$(touch ran)", "$(shell touch ran)"])
def test_a_home_and_a_python_of_any_name_are_names(make, odd):
    done, words = make("demo", OREAL_HOME=f"/no/{odd}")
    assert words == ["-m", "oreal_lib", "run", "demo"] and f"/no/{odd}/figures/demo_table.md" in done.stderr
    done, words = make("plan", "WHAT=demo", f"PYTHON={odd}")
    assert done.returncode and f"tried: {odd}." in done.stderr and not words


def test_make_has_the_targets_that_the_readme_names():
    targets = set(re.findall(r"^([a-z-]+):", (HOME / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", (HOME / "README.md").read_text(encoding="utf-8")))
    assert named | {"demo", "test", "lab", "lock"} <= targets


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
def test_the_check_of_every_change_can_be_started():
    assert os.access(HOME / ".ci" / "run", os.X_OK)
