"""Who may write in a folder: one process at a time, on this machine or on another one that shares the disk.

`<name>.lock` is there while the folder is held. It names the holder, who touches it every BEAT seconds (`filelock.SoftFileLease`).
What a dead process left is free at once where its machine sees that it is dead, and elsewhere DEAD seconds after its last touch.
"""

import errno
import os
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

import filelock
from filelock._identity import host_name

from .atomic import remedy
from .progress import log

BEAT = 10.0  # seconds from one sign of life to the next
DEAD = 60.0  # seconds without one, after which a holder counts as dead

_HELD: "WeakValueDictionary[Path, Lock]" = WeakValueDictionary()  # by this process


class Held(Exception):
    """Another process holds a lock, or another `Lock` of this one does. The text names the holder: "process 12 on node7"."""


class Lock(AbstractContextManager):
    """The lock of a folder. A `with` releases it at its end; so does the end of the process, however it comes."""

    def __init__(self, path: Path) -> None:
        """path: of the file that is there while the lock is held. Nothing is taken yet."""
        self.path, self.thread = Path(path).absolute(), 0
        # not of a thread: a widget's thread may close what a cell has opened
        self._lease = filelock.SoftFileLease(self.path, lease_duration=DEAD, heartbeat_interval=BEAT, thread_local=False)

    def acquire(self, patience: float = 0.3) -> "Lock":
        """Takes the lock, in so many seconds. `Held` if it is held; OSError with the remedy where nothing can be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._take(0.3):  # not 0: somebody may only be looking (`holder`)
                if self._is_a_copy() or self._is_abandoned():
                    self._lease.force_break()  # the lease itself does that, too, but cannot on network drives
                self._take(patience)
        except OSError as error:
            text = f"{self.path.parent} cannot be written: {remedy(error)} and start the same command again"
            raise OSError(error.errno, text) from error
        if not self._lease.is_locked:
            raise Held(self._holder())
        self.thread, _HELD[self.path] = threading.get_ident(), self
        return self

    def wait(self, what: str, pause: float = 0.2) -> "Lock":
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
                raise RuntimeError(f"{what} in this process already; finish that loop, or restart the kernel")
            if who != told:
                told = who
                log.info(f"{what} by {who}; waiting until that ends")
            time.sleep(pause)

    @property
    def is_ours(self) -> bool:
        """Whether we hold it, still."""
        owner = self._lease.owner
        return owner is not None and owner.token == self._lease.token

    def check(self) -> None:
        """OSError if the lock is not ours any more: nothing may be written then.

        Another process takes it over when our signs of life do not come through, as while a laptop sleeps; and it is gone when its
        folder was moved or deleted, or its drive pulled out.
        """
        if not self.is_ours:
            there = self._lease.owner is not None
            who = f"{self._holder()} has taken over" if there else "it was moved or deleted, or its drive is not there"
            raise OSError(errno.ESTALE, f"{self.path.parent} may not be written any more: {who}; end or fix that and start again")

    def release(self) -> None:
        """Others may have it from here on; nothing happens if it is not held."""
        self._lease.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self, seconds: float) -> bool:
        with suppress(filelock.Timeout):
            self._lease.acquire(timeout=seconds, poll_interval=0.05)
        return self._lease.is_locked

    def _holder(self) -> str:
        owner = self._lease.owner
        host = owner.hostname.partition("?")[0] if owner else ""  # ?: before the number of a container
        return f"process {owner.pid} on {host}" if owner else "another process"

    def _is_a_copy(self) -> bool:
        """Whether its holder, on this machine, has another file open: the folder was copied while it was held. Only Linux tells;
        elsewhere a copy is as good as abandoned."""
        with suppress(OSError, AttributeError):  # released just now, or of another person
            owner, here = self._lease.owner, self.path.stat()
            with os.scandir(f"/proc/{owner.pid}/fd") as files:
                elsewhere = not any(os.path.samestat(here, file.stat()) for file in files)
            return elsewhere and owner.hostname == host_name() and owner == self._lease.owner
        return False

    def _is_abandoned(self) -> bool:
        """Whether there was no sign of life for DEAD seconds, the last of them while we watched: after a sleep, the next is due."""
        watched, ours = 2 * BEAT, _HELD.get(self.path)
        if self._lease.is_lock_held_by_us and not (ours and ours.is_ours):
            return True  # released while the disk could not be written
        with suppress(FileNotFoundError):  # released just now
            touched = self.path.stat().st_mtime_ns
            os.utime(self.path.parent)  # by the clock of the machine that has the disk
            if self.path.parent.stat().st_mtime_ns - touched > (DEAD - watched) * 1e9:
                time.sleep(watched)
                with open(self.path, "rb") as file:  # opening asks a network drive anew
                    return os.fstat(file.fileno()).st_mtime_ns == touched
        return False


def holder(path: Path) -> str:
    """Who holds a lock now, such as "process 12 on node7"; "" if nobody does. Removes what a dead process left."""
    lock = Lock(path)
    with suppress(OSError):  # released just now, or in a folder that we may not write in
        if lock.path.exists():
            if lock._take(0):
                lock.release()
            elif time.time() - lock.path.stat().st_mtime < DEAD:
                return lock._holder()
    return ""
