"""The page without a notebook gets names as they are."""

import ast
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from oreal_lib.annotate.serve import serve

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
