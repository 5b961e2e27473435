"""Label pictures in a browser without a notebook in sight: Voila, reachable from this computer only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat

from ..storage.processes import kernel_of_this_python
from .session import Session

# The browser asks nobody but this computer: the page of Voila would fetch fonts of icons.
ONLY_HERE = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' ws://127.0.0.1:*; frame-ancestors 'self'"
)
PATIENCE = 10.0  # seconds that the page's process has to end after Ctrl-C


def serve(session: Session, folder: Path, port: int | None = None, browser: bool = True) -> int:
    """Closes the session and opens it again in a page of Voila; comes back with its exit code when it ends by itself. Ctrl-C or a
    polite kill ends it and is a KeyboardInterrupt.

    The page needs the token in the address that is printed and opened: other users of this computer do not get in.
    """
    session.close()
    given = ", ".join(repr(str(value)) for value in (folder, session.annotator, session.work))
    code = f"from oreal_lib.annotate.widget import page\npage({given})"
    page = session.home / "label.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata={"kernelspec": kernel}), page)
    options = ["--Voila.ip=127.0.0.1", "--Voila.auto_token=True", "--strip_sources=True", f"--Voila.open_browser={browser}"]
    options += [f"--Voila.tornado_settings={ {'headers': {'Content-Security-Policy': ONLY_HERE}} }"]
    options += [f"--Voila.port={port}"] if port else []
    options += ["--MappingKernelManager.cull_idle_timeout=60", "--MappingKernelManager.cull_interval=10"]  # of pages that were left
    print("The address of the page, with its token, follows below. Ctrl-C ends it; every click is on disk.", flush=True)
    environment = os.environ | kernel_of_this_python()
    child = subprocess.Popen([sys.executable, "-m", "voila", str(page), *options], env=environment)
    stopped = []

    def end(*_: object) -> None:  # or the page's process would live on
        stopped.append(True)
        child.terminate()

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    while True:
        try:
            code = child.wait(PATIENCE if stopped else None)
            break
        except KeyboardInterrupt:  # in a terminal Voila has it, too, and ends
            stopped.append(True)
        except subprocess.TimeoutExpired:
            child.terminate()
    if stopped:
        raise KeyboardInterrupt
    return code
