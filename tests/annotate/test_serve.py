"""The page without a notebook: for this computer only, and ended by Ctrl-C."""

import ast
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from oreal_lib.annotate import serve as module
from oreal_lib.annotate.serve import serve

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there it waits for a process of the page")


class Became(Exception):
    """Instead of what the process would become: the command and its environment."""


@pytest.fixture
def become(monkeypatch):
    """become(folder, work, name, **how): the command and the environment of the page."""

    def stop(_, command, environment):
        raise Became(command, environment)

    monkeypatch.setattr(module.os, "execve", stop)

    def begin(folder, work, name="1-me", **how):
        done = []
        session = SimpleNamespace(close=lambda: done.append("closed"), annotator="me", work=work, home=work.parent, name=name)
        with pytest.raises(Became) as became:
            serve(session, folder, browser=False, **how)
        assert done == ["closed"]
        return became.value.args

    return begin


def test_the_page_runs_in_this_python_whatever_kernel_jupyter_knows(become, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "/cluster")
    command, environment = become(tmp_path, tmp_path / "work")
    assert environment["JUPYTER_PATH"].split(os.pathsep) == [os.path.join(sys.prefix, "share", "jupyter"), "/cluster"]
    assert command[:3] == [sys.executable, "-m", "oreal_lib.annotate.serve"]


def test_a_session_has_its_own_port_at_which_the_browser_keeps_its_clicks(become, tmp_path):
    def port(**how):
        return next(word for word in become(tmp_path, tmp_path / "work", **how)[0] if word.startswith("--Voila.port="))

    assert port(name="a-me") == port(name="a-me") != port(name="a-ana") and port(port=9001) == "--Voila.port=9001"


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
def test_the_page_is_for_this_computer_asks_for_a_token_and_gets_names_as_they_are(tmp_path, become, name):
    command, _ = become(Path(name), tmp_path / name)
    assert {"--Voila.ip=127.0.0.1", "--Voila.auto_token=True"} <= set(command)
    assert command[3] == str(tmp_path / "label.ipynb")
    (cell,) = nbformat.read(tmp_path / "label.ipynb", 4).cells
    loaded, shown = ast.parse(cell.source).body  # two statements, whatever is in the name
    assert ast.unparse(loaded) == "from oreal_lib.annotate.widget import page" and shown.value.func.id == "page"
    assert [ast.literal_eval(word) for word in shown.value.args] == [str(Path(name)), "me", str(tmp_path / name)]
