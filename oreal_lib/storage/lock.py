"""Who may write in a folder: one process at a time, on this machine or on another one that shares the disk, and who that is.

Two things together. The system's own lock on a file: it is freed with the process that has it, however that ends. And beside it
a file that says who holds it, which is created by nobody else's leave and touched every few seconds: it names the holder to
others, and it holds where the system's lock is not shared between machines, as on many network drives.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock

from .atomic import remedy
from .progress import log

BEAT = 10.0  # seconds from one sign of life to the next
DEAD = 60.0  # seconds without one, after which a holder on another machine counts as dead
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}  # a file system that has no locks
NO_LINKS = NO_LOCKS | {errno.EPERM, errno.EMLINK, errno.EINVAL}


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock. boot: of its machine, since the name alone may be that of many.  token: of this holding.
    thread: of the process.  page: whether it is a page of `make label`.  since: UTC time, ISO 8601."""

    process: int
    machine: str
    since: str
    boot: str
    token: str
    thread: int
    page: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine since that was started."""
        return (self.machine, self.boot) == (socket.gethostname(), _boot())

    def __str__(self) -> str:
        return f"process {self.process} on {self.machine} since {self.since}"


class Held(Exception):
    """A lock is held by another process. holder: None where it cannot be read.  left: seconds after which it counts as dead unless
    there is a sign of life; None where the system knows that it lives."""

    def __init__(self, holder: Holder | None, left: float | None = None) -> None:
        super().__init__(str(holder or "another process"))
        self.holder, self.left = holder, left


class Lock:
    """The lock `<name>.lock` of a folder, beside it `<name>.holder` while it is held. A `with` releases it at its end."""

    def __init__(self, path: Path, page: bool = False) -> None:
        """path: of the lock's file, which ends in `.lock`. Nothing is taken yet."""
        self.path = Path(path)
        self.file = self.path.with_name(self.path.name.removesuffix(".lock") + ".holder")
        self._native = filelock.FileLock(
            self.path, thread_local=False, fallback_to_soft=False
        )  # a widget's thread may close what a cell has opened
        self._page, self._mine = page, None
        self._ended = threading.Event()

    def acquire(self) -> Lock:
        """Takes the lock at once. `Held` if another process has it; OSError with the remedy where nothing can be written.

        What a dead process left is taken over: at once if it ran on this machine, and DEAD seconds after its last sign of life if
        on another.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire_native(0.3)  # not 0: somebody may only be looking (`holder`)
            self._mine = self._claim()
            self._ended.clear()
            threading.Thread(target=_live, args=(self.file, self._mine, self._ended), daemon=True).start()
        except BaseException as error:
            self.release()
            if not isinstance(error, OSError):
                raise
            raise OSError(
                error.errno, f"{self.path.parent} cannot be written: {remedy(error)} and start the same command again"
            ) from error
        return self

    def _acquire_native(self, seconds: float) -> None:
        """Takes the system's lock, if the file system has any; `Held` if another process has it."""
        try:
            self._native.acquire(timeout=seconds, poll_interval=0.05)
        except filelock.Timeout:
            raise Held(_read(self.file)) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise

    def wait(self, what: str, pause: float = 0.2) -> Lock:
        """Takes the lock as soon as it is free. Logs "<what> by <holder>; waiting", once for each holder there is before.

        RuntimeError if it is this very thread that holds it.
        """
        told: set[Holder | None] = set()
        while True:
            try:
                return self.acquire()
            except Held as held:
                who = held.holder
            if who is not None and who.is_here and (who.process, who.thread) == (os.getpid(), threading.get_ident()):
                raise RuntimeError(f"{self.path} is held by this thread already, which would wait for itself")
            if who not in told and (who is not None or not told):
                told.add(who)
                log.info(f"{what} by {who or 'another process'}; waiting until that ends")
            time.sleep(pause)

    @property
    def is_ours(self) -> bool:
        """Whether we hold it, still."""
        return self._mine is not None and _read(self.file) == self._mine

    def check(self) -> None:
        """OSError if the lock is not ours any more: nothing may be written then.

        Another machine takes it over when none of our signs of life came through, as while a laptop sleeps; and it is gone when
        its folder was moved, deleted, or its drive pulled out.
        """
        if self.is_ours:
            return
        now = _read(self.file)
        who = f"{now} has taken over" if now else "it was moved or deleted, or its drive is not there"
        raise OSError(
            errno.ESTALE, f"{self.path.parent} is not ours to write in any more: {who}; start again when that is mended or ended"
        )

    def release(self) -> None:
        """Another may have it from here on; nothing happens if it is not held."""
        self._ended.set()
        if self.is_ours:
            with contextlib.suppress(OSError):
                self.file.unlink()
        self._mine = None
        self._native.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self._ended.set()  # nobody can release it any more; the system's lock goes with it

    def _claim(self) -> Holder:
        """Creates the holder's file, in place of one that a dead process left."""
        since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        mine = Holder(os.getpid(), socket.gethostname(), since, _boot(), secrets.token_hex(8), threading.get_ident(), self._page)
        while True:
            if self._create(mine):
                for left in self.path.parent.glob(f"{self.file.name}.*"):  # of those who were killed in here
                    left.unlink(missing_ok=True)
                return mine
            other, age = _read(self.file), self._age(self.file)
            if age is None:
                continue  # it was released just now
            dead_here = other is not None and other.is_here and (self._native.is_locked or not _lives(other.process))
            if age < DEAD and not dead_here:
                raise Held(other, DEAD - age)
            if age < DEAD and self._native.is_locked:  # nobody but us can know that it is dead, so that nobody else removes it
                self.file.unlink(missing_ok=True)
            else:
                self._remove(other, dead_here)

    def _create(self, mine: Holder) -> bool:
        """The holder's file, with its content or not at all; False if there is one already."""
        beside, data = self.file.with_name(f"{self.file.name}.{mine.token}"), json.dumps(asdict(mine)).encode()
        try:
            beside.write_bytes(data)
            os.link(beside, self.file)
        except FileExistsError:
            return False
        except FileNotFoundError:
            return False  # another has it, and took this for a leftover
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            return True
        finally:
            beside.unlink(missing_ok=True)
        return self._create_alone(data)

    def _create_alone(self, data: bytes) -> bool:
        """As `_create`, where the file system has no links."""
        try:
            handle = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(handle, data)
        except BaseException:
            self.file.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        return True

    def _age(self, file: Path) -> float | None:
        """Seconds since a file was touched, by the clock of the machine that has the disk; None if it is not there."""
        try:
            with open(file, "rb") as opened:  # opening asks a network drive anew
                beat = os.fstat(opened.fileno()).st_mtime
        except FileNotFoundError:
            return None
        with contextlib.suppress(OSError):  # it is another user's: only slower to be taken for dead
            os.utime(self.path)
        return os.stat(self.path).st_mtime - beat

    def _remove(self, dead: Holder | None, sure: bool) -> None:
        """Removes the file of a dead holder, unless another has done so, and has it now. sure: that it is dead, however old."""
        guard = self.file.with_name(f"{self.file.name}.guard")  # held for a moment by the one that removes
        try:
            os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            if (self._age(guard) or 0) > DEAD:
                guard.unlink(missing_ok=True)  # killed in that moment
            time.sleep(0.01)
            return
        try:
            if _read(self.file) == dead and (sure or (self._age(self.file) or 0) >= DEAD):
                self.file.unlink(missing_ok=True)
        finally:
            guard.unlink(missing_ok=True)

    def _look(self) -> Holder | None:
        """See `holder`."""
        found, locked = _read(self.file), False
        if not self.path.exists():
            return None
        try:
            self._acquire_native(0)
            locked = self._native.is_locked
        except Held:
            if found is None:
                raise
            return found
        except OSError:  # nothing can be written there, so all that is known is what the file says
            pass
        finally:
            self._native.release()
        if found is None:
            return None
        if found.is_here:
            return None if locked or not _lives(found.process) else found
        return found if (self._age(self.file) or DEAD) < DEAD else None


def _live(file: Path, mine: Holder, ended: threading.Event) -> None:
    """Gives signs of life until the lock has ended."""
    while not ended.wait(BEAT):
        if _read(file) == mine:
            with contextlib.suppress(OSError):
                os.utime(file)


def holder(path: Path) -> Holder | None:
    """Who holds a lock now, for a look, which writes nothing; None if nobody does. `Held` without a name where it is held and does not
    say by whom."""
    return Lock(path)._look()


def _read(file: Path) -> Holder | None:
    try:
        holder = Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return holder if type(holder.process) is int and holder.process > 1 else None  # signals to others would reach many


def _lives(process: int) -> bool:
    if os.name == "nt":
        return True  # there, asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _boot() -> str:
    """What tells this start of this machine, and this space of process numbers (a container's), from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
