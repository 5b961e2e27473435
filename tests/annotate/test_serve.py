"""The page without a notebook: for this computer only, and ended by Ctrl-C."""

import json
import subprocess
from types import SimpleNamespace

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
