"""What people type reaches the program whole and runs nothing: through make, through Snakemake's shell lines, through papermill."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from oreal_lib.annotate.serve import serve
from oreal_lib.experiments import batch
from oreal_lib.experiments.batch import papermill
from oreal_lib.experiments.reproduce import main, run_snakemake, snakemake_options
from oreal_lib.storage.yaml_file import parse_options

HOME = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="make and the workflow's shell lines are POSIX")
ODD = [
    """/data/my "best" photos $HOME; touch ran""",
    "$(touch ran)`touch ran`",
    "$(shell touch ran)$$ROOT",
    "it's {a} {wildcards.run_id} {{b}} %s \\n \\",
    "-n --help | touch ran & touch ran",
    "a #b: [c], 'd' = \t*",
    "2012",
    "~",
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
    (place / ".venv" / "pyvenv.cfg").touch()
    wanted = 'echo "$(cat pyproject.toml requirements.lock | cksum) in $(pwd -P)" > .venv/.installed'
    subprocess.run(["sh", "-c", wanted], cwd=place, check=True)

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
    assert words == ["-m", "oreal_lib.experiments.reproduce", *chosen, f"--profile={typed}"]
    assert told("plan", WHAT=typed, ROOT=typed) == ["-m", "oreal_lib.experiments.plan", typed, f"--root={typed}"]
    label = ["-m", "oreal_lib.annotate", "serve", typed, f"--classes={typed}", f"--annotator={typed}", f"--port={typed}"]
    assert told("label", FOLDER=typed, CLASSES=typed, WHO=typed, PORT=typed) == label


@POSIX
def test_what_is_not_typed_is_not_handed_on(make):
    assert make("plan", "WHAT=demo")[1] == ["-m", "oreal_lib.experiments.plan", "demo"]
    assert make("label", "FOLDER=x")[1] == ["-m", "oreal_lib.annotate", "serve", "x"]
    done, words = make("plan")
    assert done.returncode == 2 and "WHAT is empty" in done.stderr and not words


@POSIX
@pytest.mark.parametrize("odd", ['my "$HOME"; touch ran', "$(touch ran)", "$(shell touch ran)"])
def test_a_home_and_a_python_of_any_name_are_names(make, odd):
    done, words = make("demo", OREAL_HOME=f"/no/{odd}")
    assert words[-3:] == ["oreal_lib.experiments.batch", "report", "demo"] and f"/no/{odd}/figures/demo_table.md" in done.stderr
    done, words = make("plan", "WHAT=demo", f"PYTHON={odd}")
    assert done.returncode and f"tried: {odd}." in done.stderr and not words


@pytest.mark.parametrize("typed", ODD)
def test_a_folder_is_a_name_and_no_yaml(typed):
    texts, values = parse_options(["seed=3"], typed)
    assert values == {"seed": 3, "data_root": typed} and parse_options(texts)[1] == values
    assert texts[1].isascii() and "\n" not in texts[1]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A function: a home of its own in a folder of that name, with one grid "{0}.yaml" of one run and a report."""

    def made(name, grid="one"):
        home = tmp_path / name
        for part in ("notebooks", "params", "workflow"):
            shutil.copytree(HOME / part, home / part)
        runs = [{"strategy": "random", "steps": 1}]
        (home / f"{grid}.yaml").write_text(yaml.safe_dump({"base": "toy", "runs": runs, "reports": ["20_table1_aualc"]}))
        monkeypatch.setenv("OREAL_HOME", str(home))
        monkeypatch.chdir(home)
        return home

    return made


FAKE = """import json, sys
from pathlib import Path
arguments = sys.argv[3:]
with open({told!r}, "a") as file:
    file.write(json.dumps(arguments) + chr(10))
if arguments[0] == "run":
    given = dict(zip(arguments[2::2], arguments[3::2]))
    Path(given["--runs-dir"], given["--only"], "done.json").write_text("{{}}")
"""


@POSIX
@pytest.mark.parametrize(
    "name", ["my 'best' \"runs\" $HOME; touch ran", "$(touch ran)`touch ran`", "Übung & 図 🌍 %s", "-n --help #b", "[a]*?~"]
)
def test_snakemake_hands_on_what_was_typed(place, tmp_path, monkeypatch, name):
    """A real Snakemake with real shells; only the Python in its lines is one that writes down its words."""
    home, told = place(name, grid=f"a {name}"), tmp_path / "told"
    fake = tmp_path / f"python {name}"
    fake.write_text(f"#!{sys.executable}\n" + FAKE.format(told=str(told)))
    fake.chmod(0o755)
    root = f"/data/{name} {{a}} {{wildcards.run_id}} {{{{b}}}}"
    changes = parse_options(['data_options={"scene": "large_tools"}'], root)[0]
    options = snakemake_options(str(home / f"a {name}.yaml"), changes, home / "runs", 1, None)
    real = sys.executable
    monkeypatch.setattr(sys, "executable", str(fake))
    assert run_snakemake(options) == 0
    monkeypatch.setattr(sys, "executable", real)
    given = ["run", "report"]
    for line, what in zip(map(json.loads, told.read_text().splitlines()), given, strict=True):
        assert line[:2] == [what, str(home / f"a {name}.yaml")]
        assert [text for flag, text in zip(line[2::2], line[3::2], strict=True) if flag == "--set"] == changes
        assert line[line.index("--runs-dir") + 1] == str(home / "runs")
    assert parse_options(changes)[1]["data_root"] == root
    assert not list(tmp_path.rglob("ran"))


@POSIX
def test_a_cluster_gets_the_wish_in_letters_and_digits(tmp_path):
    """The Slurm executor puts Snakemake's own arguments into a shell's double quotes."""
    odd = parse_options(["aggregate=$(touch ran)`ran` \" ' {x}"], "🌍")[0]
    told = snakemake_options("$HOME", odd, tmp_path / "$(ran)", 1, "slurm")
    (asked,) = told[told.index("--config") + 1 :]
    assert asked.replace("=", "").replace("-", "").replace("_", "").isalnum() and asked.isascii()


@POSIX
@pytest.mark.parametrize("runs, grid", [("runs {run_id}", "one"), ("runs", "{wildcards}")])
def test_braces_that_snakemake_would_take_for_a_wildcard_are_refused(place, capsys, runs, grid):
    home = place("home", grid)
    assert main([f"./{grid}.yaml", "--runs-dir", runs]) == 2
    assert "takes what stands in braces for a wildcard; choose one without { and }" in capsys.readouterr().err
    assert not (home / runs).exists()


@pytest.mark.parametrize("name", ["my 'best' \"runs\" $HOME; touch ran", "$(touch ran)", "{a} {0} %s", "-f x", "Übung 図 🌍"])
def test_papermill_gets_names_as_they_are(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    fake = tmp_path / "fake.py"
    fake.write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    started = subprocess.Popen
    monkeypatch.setattr(batch.subprocess, "Popen", lambda command, **how: started([sys.executable, str(fake), *command[3:]], **how))
    source, target, log = (tmp_path / name / file for file in (f"{name}.ipynb", f"out {name}.ipynb", "log"))
    parameters = {"data_root": name, "runs_dir": str(tmp_path / name)}
    assert papermill(source, target, parameters, 1, log).wait() == 0
    words = json.loads(log.read_text())
    given = str(target.with_suffix(".parameters.yaml"))
    assert words == [str(source), str(target), "-f", given, "-k", "python3", "--no-progress-bar", "--log-output"]
    assert yaml.safe_load(Path(given).read_text(encoding="utf-8")) == parameters
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("name", [*ODD, '"""', "\\'); import os; os.mkdir('ran') #"])
def test_the_page_without_a_notebook_gets_names_as_they_are(tmp_path, monkeypatch, name):
    called = []
    ended = SimpleNamespace(wait=lambda *seconds: 0)
    monkeypatch.setattr("oreal_lib.annotate.serve.signal.signal", lambda *_: None)
    monkeypatch.setattr("oreal_lib.annotate.serve.subprocess.Popen", lambda command: called.append(command) or ended)
    session = SimpleNamespace(close=lambda: None, annotator="me", work=tmp_path / name, home=tmp_path)
    assert serve(session, Path(name), None, False) == 0
    (cell,) = nbformat.read(tmp_path / "label.ipynb", 4).cells
    loaded, shown = ast.parse(cell.source).body  # two statements, whatever is in the name
    assert ast.unparse(loaded) == "from oreal_lib.annotate.widget import page" and shown.value.func.id == "page"
    assert [ast.literal_eval(word) for word in shown.value.args] == [str(Path(name)), "me", str(tmp_path / name)]
    assert isinstance(called[0], list) and called[0][3] == str(tmp_path / "label.ipynb")
