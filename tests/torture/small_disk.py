"""Real disks that are full, read-only or pulled out, in a mount namespace: python tests/torture/small_disk.py WORK FAULT PLACE STORE.

Prints one JSON object: what was refused, and what ended otherwise than on a disk without faults. `test_disk.py` starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kills

from oreal_lib.annotate.session import open_session
from oreal_lib.data import open_store
from oreal_lib.experiments.run import run

STEPS = {"run": 1500, "session": 16}  # KiB that a full disk has at first, and gets more each time


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


class Disk:
    """A disk in a folder, and what can happen to it."""

    def __init__(self, place: Path, fault: str, step: int) -> None:
        self.path, self.real, self.fault, self.step, self.size = place / "disk", place / "real", fault, step, step
        self.path.mkdir(parents=True)
        self.real.mkdir()
        mount("-t", "tmpfs", "-o", f"size={self.size if fault == 'full' else 65536}k", "tmpfs", self.real)
        mount("--bind", self.real, self.path)

    def strike(self) -> None:
        """The fault comes, once; a full disk is full from the beginning."""
        fault, self.fault = self.fault, self.fault if self.fault == "full" else ""
        if fault in ("read-only", "pulled out"):  # while a file on it is open, nobody but the kernel can make a disk read-only
            subprocess.run(["umount", "-l", self.path], check=True)
        if fault == "read-only":
            mount("-o", "bind,ro", self.real, self.path)

    def fix(self) -> None:
        """What a person does about it."""
        if self.fault == "full":
            self.size += self.step
            mount("-o", f"remount,size={self.size}k", self.real)
        else:
            if os.path.ismount(self.path):
                subprocess.run(["umount", "-l", self.path], check=True)
            mount("--bind", self.real, self.path)


def a_run(disk: Disk, store: str, refused: list[str]) -> dict:
    """What is left of a run on the disk that is started again after each refusal."""
    for _ in range(40):
        try:
            for step in run(kills.run_config(0, 1), disk.path, open_store(store)):
                if step.step == 1:
                    disk.strike()
            break
        except OSError as error:
            refused.append(str(error))
            disk.fix()
    return kills.run_found(disk.path)


def a_session(disk: Disk, refused: list[str]) -> dict:
    """What is left of a person on the disk who repeats every act that was refused."""
    photos, session = kills.photos(disk.real.parent), None
    for n, (what, picture, some, to, name) in enumerate(kills.acts(0)):
        if n == 50 and disk.fault == "read-only":  # a log that is open stays writable
            session.close()
            session = None
        if n == 50:
            disk.strike()
        for _ in range(40):
            try:
                session = session or open_session(photos, kills.CLASSES, work=disk.path / "labels", **kills.SESSION)
                session.act(what, picture, some, to, act_id=name)
                break
            except ValueError:  # nothing to undo
                break
            except OSError as error:
                refused.append(str(error))
                disk.fix()
                if session is not None and disk.fault != "full":
                    session.close()
                    session = None
    found = {f"labels {i}": session.board.labels(i) for i in range(3)}
    found["acts"] = [(e.what, e.id) for e in session.log.events if e.what != "open"]
    session.close()
    return found


def main(work: str, fault: str, place: Path, store: str) -> None:
    refused: list[str] = []
    whole, disk = Disk(place / "whole", "", 0), Disk(place / "faulty", fault, STEPS[work])
    if work == "run":
        wanted, found = a_run(whole, store, []), a_run(disk, store, refused)
    else:
        wanted, found = a_session(whole, []), a_session(disk, refused)
    differing = sorted(k for k in {*wanted, *found} if not kills.same(wanted.get(k), found.get(k)))
    print(json.dumps({"refused": refused, "differing": differing, "compared": len(wanted)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
