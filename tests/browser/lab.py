"""A JupyterLab that only this computer reaches, with one notebook open, for the tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def until(condition: Callable[[], Any], seconds: float = 40, what: str = "it") -> Any:
    """Waits for the condition and returns what it returned; AssertionError if that takes longer than so many seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        time.sleep(0.1)
    return found


@contextmanager
def jupyterlab(root: Path, cells: list[str]) -> Iterator[str]:
    """Inside, JupyterLab serves the folder `root` with these cells as label.ipynb; the address of that notebook."""
    token = secrets.token_hex(16)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)], metadata=kernel), root / "label.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        "--LabApp.expose_app_in_browser=True",
        "--allow-root",
    ]
    places = {f"JUPYTER{name}": str(root / ".jupyter" / name) for name in ("_CONFIG_DIR", "LAB_WORKSPACES_DIR", "LAB_SETTINGS_DIR")}
    quiet = root / ".jupyter" / "LAB_SETTINGS_DIR" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True, exist_ok=True)
    quiet.write_text('{"fetchNews": "false"}')  # or a question about news lies over the page
    with open(root / "lab.log", "w") as log:
        environment = os.environ | places | {"OMP_NUM_THREADS": "1"}
        server = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environment, start_new_session=True)

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=5).status == 200
        except OSError:
            return False

    try:
        until(answers, 90, "JupyterLab's start")
        yield f"http://127.0.0.1:{port}/lab/tree/label.ipynb?token={token}&reset"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def open_notebook(page: Any, url: str) -> None:
    """Goes to the notebook and waits until its kernel is idle."""
    page.goto(url)
    ready = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    page.wait_for_function(ready, timeout=90_000)


def run_first_cell(page: Any) -> None:
    """Executes the first cell and waits for the annotation widget that it shows."""
    page.evaluate("""async () => { const notebook = jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = 0; await jupyterapp.commands.execute('notebook:run-cell'); }""")
    page.wait_for_selector(".oreal-view canvas", timeout=60_000)
    page.wait_for_function("document.querySelector('.oreal-counters').textContent.includes('superpixels labeled')")
