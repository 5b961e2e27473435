"""The page without a notebook: for this computer only, and ended by Ctrl-C."""

import ast
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.serve import serve
from oreal_lib.annotate.session import open_session


@pytest.fixture
def session(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    session = open_session(tmp_path / "photos", ["road", "sky"], side=32, superpixel_method="grid", superpixel_count=4)
    yield session
    session.close()


def test_the_page_without_a_notebook_is_for_this_computer_and_asks_for_a_token(tmp_path, session, monkeypatch):
    called = []
    monkeypatch.setattr("oreal_lib.annotate.serve.signal.signal", lambda *_: None)
    monkeypatch.setattr(
        "oreal_lib.annotate.serve.subprocess.Popen",
        lambda command: called.append(command) or SimpleNamespace(wait=lambda timeout: 0),
    )
    folder = tmp_path / 'it\'s "mine"'
    assert serve(session, folder, 8866, browser=False) == 0
    (command,) = called
    assert {"--Voila.ip=127.0.0.1", "--Voila.auto_token=True", "--Voila.port=8866"} <= set(command) and session.log.closed
    page = (session.home / "label.ipynb").read_text(encoding="utf-8")
    code = "".join(json.loads(page)["cells"][0]["source"])
    assert repr(str(folder)) in code
    compile(code, "page", "exec")


def test_ctrl_c_ends_the_page_even_if_it_alone_has_not_heard_it(session, tmp_path, monkeypatch):
    answers, done = [KeyboardInterrupt, subprocess.TimeoutExpired("voila", 10), 0], []

    def wait(timeout):
        done.append(f"waited {timeout}")
        if answers[0] != 0:
            raise answers.pop(0)
        return 0

    child = SimpleNamespace(wait=wait, terminate=lambda: done.append("terminated"))
    monkeypatch.setattr("oreal_lib.annotate.serve.signal.signal", lambda *_: None)
    monkeypatch.setattr("oreal_lib.annotate.serve.subprocess.Popen", lambda command: child)
    with pytest.raises(KeyboardInterrupt):
        serve(session, tmp_path, browser=False)
    assert done == ["waited None", "waited 10.0", "terminated", "waited 10.0"]


NAMES = [
    "my \"best\" 'photos' $HOME; touch ran",
    "$(touch ran)`touch ran`",
    "it's {a} \\n \\",
    "-n --help",
    "Übung 図 🌍",
    "two\nlines",
]


@pytest.mark.parametrize("name", [*NAMES, '"""', "\\'); import os; os.mkdir('ran') #"])
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
