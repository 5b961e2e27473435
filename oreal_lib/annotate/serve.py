"""Label pictures in a browser without a notebook in sight: Voila, reachable from this computer only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat

from .session import Session


def serve(session: Session, folder: Path, port: int | None = None, browser: bool = True) -> int:
    """Closes the session and opens it again in a page of Voila; comes back with its exit code when it is ended (Ctrl-C).

    The page needs the token in the address that is printed and opened: other users of this computer do not get in.
    """
    session.close()
    code = (
        "from oreal_lib.annotate.widget import annotate\n"
        f"annotate({str(folder)!r}, annotator={session.annotator!r}, work={str(session.work)!r}, report=lambda text: None)"
    )
    page = session.home / "label.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata={"kernelspec": kernel}), page)
    options = ["--Voila.ip=127.0.0.1", "--Voila.auto_token=True", "--strip_sources=True", f"--Voila.open_browser={browser}"]
    options += [f"--Voila.port={port}", "--Voila.port_retries=0"] if port else []
    try:
        return subprocess.call([sys.executable, "-m", "voila", str(page), *options])
    except KeyboardInterrupt:
        return 0
