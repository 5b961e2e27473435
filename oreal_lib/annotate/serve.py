"""Label pictures in a browser without a notebook in sight: Voila, reachable from this computer only.

`serve` ends in a process that runs this file and knows neither torch nor the session; each page has a kernel that does.
"""

import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import nbformat

from ..storage.interrupt import unless_stopped
from ..storage.processes import kernel_of_this_python

if TYPE_CHECKING:
    from .session import Session

# The browser asks nobody but this computer: the page of Voila would fetch fonts of icons.
ONLY_HERE = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' ws://127.0.0.1:*; frame-ancestors 'self'"
)
PORTS = range(8866, 9866)


def serve(session: "Session", folder: Path, port: int | None = None, browser: bool = True) -> NoReturn:
    """Closes the session and becomes the process of its page, so that there is one to kill, without the memory of this one. On
    Windows, where a process that becomes another one lets go of its terminal, it waits for that one: SystemExit with its code.

    The page needs the token in the address that is printed and opened: other users of this computer do not get in. A session has its
    own port, or a browser would not find the clicks that it has kept for it.
    """
    session.close()
    given = ", ".join(repr(str(value)) for value in (folder, session.annotator, session.work))
    code = f"from oreal_lib.annotate.widget import page\npage({given})"
    page = session.home / "label.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata={"kernelspec": kernel}), page)
    options = ["--Voila.ip=127.0.0.1", "--Voila.auto_token=True", "--strip_sources=True", f"--Voila.open_browser={browser}"]
    options += [f"--Voila.port={port or PORTS[zlib.crc32(session.name.encode()) % len(PORTS)]}"]
    options += ["--MappingKernelManager.cull_idle_timeout=60", "--MappingKernelManager.cull_interval=10"]  # of pages that were left
    print("The address of the page, with its token, follows below. Ctrl-C ends it; every click is on disk.", flush=True)
    command = [sys.executable, "-m", "oreal_lib.annotate.serve", str(page), *options]
    environment = os.environ | kernel_of_this_python()
    if os.name == "nt":
        raise SystemExit(subprocess.call(command, env=environment))
    os.execve(sys.executable, command, environment)  # noqa: S606 (no shell is wanted)


def _serve(arguments: list[str]) -> NoReturn:
    """Runs Voila with these arguments until it is stopped."""
    from voila.app import main

    main(arguments, tornado_settings={"headers": {"Content-Security-Policy": ONLY_HERE}})
    raise KeyboardInterrupt  # which Voila has taken for its own


if __name__ == "__main__":
    sys.exit(unless_stopped(lambda: _serve(sys.argv[1:]), "every click is on disk; start the same command again"))
