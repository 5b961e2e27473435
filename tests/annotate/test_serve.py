"""The page without a notebook: for this computer only, and ended by Ctrl-C."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from oreal_lib.annotate.serve import serve


@pytest.fixture
def voila(monkeypatch):
    """Plays Voila's process: `wait` ends at once, `command` and `env` are how it was started."""
    child = SimpleNamespace(wait=lambda timeout: 0, command=None, env=None)
    monkeypatch.setattr("oreal_lib.annotate.serve.signal.signal", lambda *_: None)
    monkeypatch.setattr(
        "oreal_lib.annotate.serve.subprocess.Popen", lambda command, env: vars(child).update(command=command, env=env) or child
    )
    return child


def session(folder, done):
    return SimpleNamespace(close=lambda: done.append("closed"), annotator="me", work=folder, home=folder.parent)


def test_ctrl_c_ends_the_page_even_if_it_alone_has_not_heard_it(voila, tmp_path):
    answers, done = [KeyboardInterrupt, subprocess.TimeoutExpired("voila", 10), 0], []

    def wait(timeout):
        done.append(f"waited {timeout}")
        if answers[0] != 0:
            raise answers.pop(0)
        return 0

    voila.wait, voila.terminate = wait, lambda: done.append("terminated")
    with pytest.raises(KeyboardInterrupt):
        serve(session(tmp_path / "work", done), tmp_path, browser=False)
    assert done == ["closed", "waited None", "waited 10.0", "terminated", "waited 10.0"]


def test_the_page_runs_in_this_python_whatever_kernel_jupyter_knows(voila, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "/cluster")
    serve(session(tmp_path / "work", []), tmp_path, browser=False)
    assert voila.env["JUPYTER_PATH"].split(os.pathsep) == [os.path.join(sys.prefix, "share", "jupyter"), "/cluster"]


NAMES = [
    "my \"best\" 'photos' $HOME; touch ran",
    "it's {a} \\n \\",
    "-n --help",
    "Übung 図 🌍",
    "two\nlines",
    '"""',
    "\\'); import os #",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_for_this_computer_asks_for_a_token_and_gets_names_as_they_are(tmp_path, voila, name):
    done = []
    assert serve(session(tmp_path / name, done), Path(name), 8866, browser=False) == 0 and done == ["closed"]
    assert {"--Voila.ip=127.0.0.1", "--Voila.auto_token=True", "--Voila.port=8866"} <= set(voila.command)
    assert isinstance(voila.command, list) and voila.command[3] == str(tmp_path / "label.ipynb")
    (cell,) = nbformat.read(tmp_path / "label.ipynb", 4).cells
    loaded, shown = ast.parse(cell.source).body  # two statements, whatever is in the name
    assert ast.unparse(loaded) == "from oreal_lib.annotate.widget import page" and shown.value.func.id == "page"
    assert [ast.literal_eval(word) for word in shown.value.args] == [str(Path(name)), "me", str(tmp_path / name)]
