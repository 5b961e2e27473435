"""Real disks that are full, read-only, or pulled out, in a mount namespace of its own: python tests/small_disk.py WORK FAULT PLACE STORE.

Prints one JSON object: what was refused, and whether the work ended as on a disk without faults. `test_disk.py` starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kills

from oreal_lib.annotate.session import open_session
from oreal_lib.config import RunConfig
from oreal_lib.data import open_store
from oreal_lib.experiments.run import run

STEPS = {"run": 1500, "session": 16}  # KiB that a full disk has at first, and gets more each time
DISK = "disk"  # where it is mounted
CONFIG = kills.run_config(0, 1)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


class Disk:
    """A disk in a folder, and what can happen to it."""

    def __init__(self, place: Path, fault: str, step: int) -> None:
        self.path, self.fault, self.step, self.size, self.hit = place / DISK, fault, step, step, False
        self.path.mkdir()
        self.real = place / "real"
        self.real.mkdir()
        mount("-t", "tmpfs", "-o", f"size={self.size if fault == 'full' else 65536}k", "tmpfs", self.real)
        mount("--bind", self.real, self.path)

    def strike(self) -> None:
        """The fault comes, once; a full disk is so from the beginning."""
        if self.hit:
            return
        self.hit = True
        if (
            self.fault == "read-only"
        ):  # mounted anew, since nobody can make a disk read-only on which a lock is open, as an error does
            subprocess.run(["umount", "-l", self.path], check=True)
            mount("-o", "bind,ro", self.real, self.path)
        elif self.fault == "pulled out":
            subprocess.run(["umount", "-l", self.path], check=True)

    def mend(self) -> None:
        """What a person does about it."""
        if self.fault == "full":
            self.size += self.step
            mount("-o", f"remount,size={self.size}k", self.real)
        elif self.fault == "read-only":
            subprocess.run(["umount", "-l", self.path], check=True)
            mount("--bind", self.real, self.path)
        elif not os.path.ismount(self.path):
            mount("--bind", self.real, self.path)


def a_run(disk: Disk, store: str, refused: list[str]) -> dict:
    """A run on the disk, started again after each refusal; what it has left, compared with an undisturbed one."""
    for _ in range(40):
        try:
            for step in run(RunConfig.make(CONFIG.values()), disk.path, open_store(store)):
                if step.step == 1:
                    disk.strike()
            break
        except OSError as error:
            refused.append(str(error))
            disk.mend()
    return kills.run_found(disk.path)


def a_session(disk: Disk, refused: list[str]) -> dict:
    """A person on the disk, who does every act that was refused again."""
    photos = kills.photos(disk.real.parent)
    session = None
    for n, (what, picture, some, to, name) in enumerate(kills.acts(0)):
        for _ in range(40):
            try:
                session = session or open_session(photos, kills.CLASSES, work=disk.path / "labels", **kills.SESSION)
                if n == 50 and not disk.hit:
                    if disk.fault == "read-only":  # of a log that is open the file stays writable
                        session.close()
                        session = None
                    disk.strike()
                    if session is None:
                        continue
                session.act(what, picture, some, to, act_id=name)
                break
            except ValueError:
                break
            except OSError as error:
                refused.append(str(error))
                disk.mend()
                if disk.fault == "pulled out":
                    session.close()
                    session = None
    events = [e for e in session.log.events if e.what != "open"]
    found = {f"labels {i}": session.board.labels(i) for i in range(3)} | {"acts": [(e.what, e.id) for e in events]}
    session.close()
    return found


def main(work: str, fault: str, place: Path, store: str) -> None:
    refused: list[str] = []
    whole = Disk(place, "none", 0)
    disk = Disk((place / "faulty"), fault, STEPS[work])
    if work == "run":
        wanted, found = a_run(whole, store, []), a_run(disk, store, refused)
    else:
        wanted, found = a_session(whole, []), a_session(disk, refused)
    differing = sorted(k for k in {*wanted, *found} if not kills.same(wanted.get(k), found.get(k)))
    print(json.dumps({"refused": refused, "differing": differing, "compared": len(wanted)}))


if __name__ == "__main__":
    (Path(sys.argv[3]) / "faulty").mkdir(parents=True)
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
