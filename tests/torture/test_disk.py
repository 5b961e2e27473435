"""On real disks that are full, read-only or pulled out nothing is lost: the error says so, and when it is mended the work goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ALONE = ["unshare", "--mount", *(["--user", "--map-root-user"] if hasattr(os, "geteuid") and os.geteuid() else [])]


def can_mount():
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a disk of its own can be mounted on Linux only, where user namespaces are allowed")
@pytest.mark.parametrize("work", ["run", "session"])
@pytest.mark.parametrize(
    "fault, sentence",
    [("full", "the disk is full: free some space"), ("read-only", "read-only"), ("pulled out", "its drive is not there")],
)
def test_a_fault_of_the_disk_is_told_and_costs_nothing(tmp_path, tiny_store, work, fault, sentence):
    command = [*ALONE, sys.executable, str(HERE / "small_disk.py"), work, fault, str(tmp_path / "place"), str(tiny_store)]
    (tmp_path / "place").mkdir()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["refused"] and all(sentence in text.lower() for text in found["refused"]), found["refused"]
    assert found["differing"] == [] and found["compared"] > 3
    assert len(found["refused"]) >= (3 if fault == "full" else 1)
