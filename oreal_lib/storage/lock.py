"""Who may write in a folder: one process at a time, on this machine or on another one that shares the disk.

`<name>.lock` is there while the folder is held. It names the holder, who touches it every BEAT seconds (`filelock.SoftFileLease`).
What a dead process left is free at once where its machine sees that it is dead, and elsewhere DEAD seconds after its last touch.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from weakref import WeakValueDictionary

import filelock

from .atomic import remedy
from .progress import log

BEAT = 10.0  # seconds from one sign of life to the next
DEAD = 60.0  # seconds without one, after which a holder counts as dead

_HELD: WeakValueDictionary[Path, Lock] = WeakValueDictionary()  # by this process


class Held(Exception):
    """A lock is held by another process, or by another `Lock` of this one. Its text names the holder."""


class Lock:
    """The lock of a folder. A `with` releases it at its end; so does the end of the process, however it comes."""

    def __init__(self, path: Path) -> None:
        """path: of the file that is there while the lock is held. Nothing is taken yet."""
        self.path, self.thread = Path(path).absolute(), 0
        self._lease = filelock.SoftFileLease(
            self.path, lease_duration=DEAD, heartbeat_interval=BEAT, thread_local=False
        )  # not of a thread: a widget's thread may close what a cell has opened

    def acquire(self) -> Lock:
        """Takes the lock at once. `Held` if it is held; OSError with the remedy where nothing can be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._take()
            except Held:
                if not self._is_abandoned():
                    raise
                self._lease.force_break()  # as the lease itself does, but for network drives, where it cannot
                self._take()
        except OSError as error:
            text = f"{self.path.parent} cannot be written: {remedy(error)} and start the same command again"
            raise OSError(error.errno, text) from error
        self.thread = threading.get_ident()
        _HELD[self.path] = self
        return self

    def wait(self, what: str, pause: float = 0.2) -> Lock:
        """Takes the lock as soon as it is free. Logs "<what> by <holder>; waiting", once for each holder.

        RuntimeError if this very thread holds it.
        """
        told = ""
        while True:
            try:
                return self.acquire()
            except Held as held:
                who = str(held)
            if (ours := _HELD.get(self.path)) is not None and ours.is_ours and ours.thread == threading.get_ident():
                raise RuntimeError(f"{self.path} is held by this thread already, which would wait for itself")
            if who != told:
                told = who
                log.info(f"{what} by {who}; waiting until that ends")
            time.sleep(pause)

    @property
    def is_ours(self) -> bool:
        """Whether we hold it, still."""
        return self._lease.token is not None and self._token() == self._lease.token

    def check(self) -> None:
        """OSError if the lock is not ours any more: nothing may be written then.

        Another process takes it over when our signs of life do not come through, as while a laptop sleeps; and it is gone when its
        folder was moved or deleted, or its drive pulled out.
        """
        if not self.is_ours:
            who = f"{self._holder()} has taken over" if self._token() else "it was moved or deleted, or its drive is not there"
            raise OSError(errno.ESTALE, f"{self.path.parent} may not be written any more: {who}; end or mend that and start again")

    def release(self) -> None:
        """Others may have it from here on; nothing happens if it is not held."""
        self._lease.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self, seconds: float = 0.3) -> None:  # not 0: somebody may only be looking (`holder`)
        try:
            self._lease.acquire(timeout=seconds, poll_interval=0.05)
        except filelock.Timeout:
            raise Held(self._holder()) from None

    def _token(self) -> str | None:
        return None if (owner := self._lease.owner) is None else owner.token

    def _holder(self) -> str:
        if (owner := self._lease.owner) is None:
            return "another process"
        return f"process {owner.pid} on {owner.hostname.partition('?')[0]}"  # after the ?: a container's number

    def _is_abandoned(self) -> bool:
        """Whether there was no sign of life for DEAD seconds, nor is there one now: a machine that has just woken up gives one."""
        try:
            touched = self.path.stat().st_mtime_ns
            os.utime(self.path.parent)  # by the clock of the machine that has the disk
            if self.path.parent.stat().st_mtime_ns - touched < DEAD * 1e9:
                return False
            time.sleep(2 * BEAT)
            with open(self.path, "rb") as file:  # opening asks a network drive anew
                return os.fstat(file.fileno()).st_mtime_ns == touched
        except FileNotFoundError:  # released just now
            return False


def holder(path: Path) -> str:
    """Who holds a lock now, such as "process 12 on node7"; "" if nobody does. Removes what a dead process left."""
    lock = Lock(path)
    try:
        if not lock.path.exists():
            return ""
        try:
            lock._take(0)
            lock.release()
        except Held as held:
            return str(held) if time.time() - lock.path.stat().st_mtime < DEAD else ""
    except OSError:  # we may read the folder, but not write in it
        pass
    return ""
