"""The servers that our commands start, really started: they listen to this computer only, and let in whoever has the token."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

HOME = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc, and addresses beside 127.0.0.1 without being set up"),
]
PATIENCE = 90  # seconds, on a machine that is busy


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(command, folder, log):
    """A process with all it starts, in a folder of its own; ended politely afterwards, then by force."""
    places = {f"JUPYTER_{name}": str(folder / ".jupyter" / name) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "JUPYTER_TOKEN")}
    environment |= places | {"PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(30)


def until(condition, process, log):
    """What the condition returns once it is true; AssertionError with the log where the process has ended, or it takes too long."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)
    return found


def status(url, token="", method="GET"):
    """The code of the answer; to a page that only asks for the token, 302."""
    headers = {"Authorization": f"token {token}"} if token else {}
    return requests.request(method, url, headers=headers, allow_redirects=False, timeout=30, proxies={"http": ""}).status_code


def listening(port):
    """The addresses at which somebody listens on a port, in hexadecimal as in /proc."""
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def assert_for_this_computer_only(port):
    assert listening(port) == {"0100007F"}  # 127.0.0.1, backwards
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5).close()  # answered by who listens everywhere


def test_make_lab_is_for_this_computer_and_whoever_has_the_token(tmp_path):
    """The very command of the Makefile, in a copy of it whose .venv is the Python that runs this test."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(HOME / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    wanted = 'echo "$(cat pyproject.toml requirements.lock | cksum) in $(pwd -P)" > .venv/ready'
    subprocess.run(["sh", "-c", wanted], cwd=tmp_path, check=True)
    port, log = free_port(), tmp_path / "lab.log"
    more = f"--no-browser --allow-root --ServerApp.port={port} --ServerApp.port_retries=0"
    runtime = tmp_path / ".jupyter" / "RUNTIME_DIR"
    with started(["make", "lab", f"LAB_ARGS={more}"], tmp_path, log) as process:
        written = until(lambda: next((text for f in runtime.glob("jpserver-*.json") if (text := f.read_text())), ""), process, log)
        about = json.loads(written)
        url, token = f"http://127.0.0.1:{port}", about["token"]
        until(lambda: listening(port), process, log)
        assert about["port"] == port and len(token) >= 32 and about["hostname"] == "127.0.0.1"
        assert_for_this_computer_only(port)
        for path in ("/api/contents", "/api/kernels", "/api/sessions", "/api/terminals", "/api/status"):
            assert (path, status(url + path)) == (path, 403)
            assert (path, status(url + path, "0" * len(token))) == (path, 403)
            assert (path, status(url + path, token)) == (path, 200)
        assert status(f"{url}/api/kernels", method="POST") == 403
        assert status(f"{url}/lab") == 302  # to the page that asks for it
        assert Path(about["root_dir"]) == tmp_path.resolve()


def test_the_page_of_make_label_is_for_this_computer_and_whoever_has_the_token(tmp_path):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos" / "a.png")
    port, log = free_port(), tmp_path / "label.log"
    words = f"-m oreal_lib annotate serve photos --classes=road,sky --port={port} --no-browser".split()
    with started([sys.executable, *words], tmp_path, log) as process:
        url, token = until(lambda: re.search(r"(http://127\.0\.0\.1:\d+/)\?token=(\w+)", log.read_text()), process, log).groups()
        until(lambda: listening(port), process, log)
        assert url == f"http://127.0.0.1:{port}/" and len(token) >= 32
        assert_for_this_computer_only(port)
        assert status(url) == 302 and status(f"{url}?token={'0' * len(token)}") == 302  # to the page that asks for it
        assert status(f"{url}?token={token}") == 200
        assert status(f"{url}api/kernels", method="POST") == 403 and status(f"{url}voila/files/label.ipynb") == 403
