"""What a person did, as an append-only log on disk: one line for each act, flushed before the act counts as done.

The log is the truth; labels, counters and masks are made from it. A line holds JSON and a checksum of itself, so a torn or
changed line is noticed, named, and never taken for a click.
"""

import errno
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

from ..storage import atomic, checked
from ..storage.lock import Held, Lock

WHATS = ("open", "label", "skip", "split", "paint", "classes", "undo", "redo")
VOID = "void"  # the answer "no class, or I cannot tell"
IMPORTED = ("import", "merge", "all", "fill")  # how labels came that nobody clicked one by one in this session
ACCEPTED = ("accept", "all")  # how labels came that had been predicted
PATIENCE = 8.0  # seconds in which the page or kernel that was just left may let go of the log


@dataclass(frozen=True)
class Event:
    """One act.

    what: "label" (to: a class name, VOID, or "" to clear), "skip", "split" (superpixels into `pieces`, more or fewer), "paint" (the
    pixels of `pieces` get the label `to`), "classes" (see `named.Named.edited`), "undo", "redo", or "open" (a session begins).
    id: unique; an act that arrives twice is done once.  at: UTC time, ISO 8601.  seconds: since the act before it.
    image: name of a picture.  superpixels: local ids in it.  how: click, drag, key, accept, all, fill, import, merge.
    round: whose question was answered, 0 = labeled without being asked.  pieces: see `cuts.pack`.
    seen: the class ids that were predicted for the superpixels before; 254 where none was, or where there was a label.
    note: of "open", what opened it; of "classes", what there is now.  ValueError for another `what`.
    """

    what: str
    id: str
    at: str = ""
    image: str = ""
    superpixels: tuple[int, ...] = ()
    to: str = ""
    how: str = ""
    round: int = 0
    seconds: float = 0.0
    pieces: str = ""
    seen: tuple[int, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.what not in WHATS:
            raise ValueError(f"an event is {self.what!r}, but must be one of {', '.join(WHATS)}")


DEFAULTS = {f.name: f.default for f in fields(Event)}


def now(ago: float = 0.0) -> str:
    """The time of an event that happened so many seconds ago: UTC, to the millisecond."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_line(event: Event) -> bytes:
    """One line of a log: JSON without the fields that have their default, a checksum of it as the last field."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(event).items() if v != DEFAULTS[k]}
    return (checked.dumps(values) + "\n").encode()


class Newer(ValueError):
    """A line is whole, but of a newer version."""


def from_line(line: bytes) -> Event:
    """The event of a line; ValueError if the line is not one that `to_line` wrote, `Newer` if it is one of a newer version."""
    values = checked.loads(line)
    if unknown := [*({values.get("what", "open")} - set(WHATS)), *(set(values) - set(DEFAULTS))]:
        raise Newer(f"it holds {unknown[0]!r}, which this version does not know; update the library, nothing was changed")
    return Event(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def in_words(act: Sequence[Event]) -> str:
    """What an act, of one event or more, did to superpixels: '3 superpixels of "a" labeled road'."""
    first, n = act[0], sum(len(event.superpixels) for event in act)
    image = f'"{first.image}"'
    if first.what == "paint":
        return f"pixels of {image} painted {first.to}" if first.to else f"pixels of {image} erased"
    did = {"skip": "skipped", "split": "cut anew"}.get(first.what) or ("labeled" if first.to else "cleared")
    did = {"accept": "accepted as", "all": "accepted as predicted", "fill": "filled with"}.get(first.how, did)
    to = first.to if first.how != "all" else ""
    return f"{n} superpixel{'s' * (n != 1)} of {image} {did} {to}".rstrip()


def clicks(events: Iterable[Event]) -> int:
    """How many superpixels a person labeled or cleared."""
    return sum(len(e.superpixels) for e in events if e.what == "label" and e.how not in IMPORTED)


def minutes(events: Iterable[Event]) -> float:
    """Minutes of labeling, 0 or more."""
    return sum(e.seconds for e in events) / 60


def parse(data: bytes, name: str) -> tuple[list[Event], list[tuple[int, str]], int]:
    """The events of a log's bytes, its damaged lines as (line number, what is wrong), and the bytes up to a torn last line.

    A last line without its newline was being written when the power failed: it is torn, and in neither list.  An id that comes
    twice (two copies of a log put together) counts once.  `Newer` if a newer version wrote some of it.
    """
    whole = data.rfind(b"\n") + 1
    events, damaged = {}, []
    for number, line in enumerate(_lines(data[:whole]), 1):
        try:
            event = from_line(line)
            events.setdefault(event.id, event)
        except Newer as newer:
            raise Newer(f"line {number} of {name} was made by a newer version: {newer}") from None
        except (ValueError, TypeError) as error:
            damaged.append((number, f"line {number} of {name} is damaged: {error}"))
    return list(events.values()), damaged, whole


def _lines(data: bytes) -> list[bytes]:
    """Whole lines, each with its line feed. `splitlines` would also split at other bytes, where a changed line feed goes unnoticed."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def read_whole(path: Path) -> list[Event]:
    """The events of a log on disk that a session may be writing just now: a torn last line is ignored.

    ValueError with the remedy if another line is damaged.
    """
    events, damaged, _ = parse(Path(path).read_bytes(), Path(path).name)
    if damaged:
        where = Path(path).parent
        raise ValueError(f"{damaged[0][1]} (in {where}); put back a whole copy, or open the session once with repair=True")
    return events


# The logs this process has open: running a notebook cell again must take the log over from its last run, which nobody closed.
_OPEN: "WeakValueDictionary[Path, Log]" = WeakValueDictionary()


class Log:
    """A log that is open for writing, by this process alone; opening it again in the same process closes the older one.

    events: what is in it.  problems: what was found wrong and how it was repaired, one line each.
    """

    def __init__(self, path: Path, repair: bool = False) -> None:
        """Opens or begins the log. ValueError if another process holds it, or if a line in its middle is damaged.

        A torn last line is moved into a file `<log>.torn-<time>`. repair: damaged lines are, too, and the rest is kept.
        """
        self.path = Path(path).resolve()
        if (older := _OPEN.get(self.path)) is not None:
            older.close()
        self._lock = Lock(Path(f"{self.path}.lock"))
        self._file = None
        self.at_end: list[Callable[[], None]] = []  # what else ends when the log is closed
        self._turn = threading.RLock()  # a cell that opens the log again must not close it during an act of the widget's thread
        try:
            self._lock.acquire(PATIENCE)
        except Held as held:
            how = "close it there (the page or the notebook), or if that is gone, open it again in a minute"
            raise ValueError(f"{self.path} is open already in {held}; {how}") from None
        try:
            self.events, self.problems = self._recover(repair)
            self._file = open(self.path, "ab", buffering=0)
            atomic.flush_folder(self.path.parent)
        except BaseException:
            self.close()
            raise
        self._ids = {event.id for event in self.events}
        _OPEN[self.path] = self

    def _recover(self, repair: bool) -> tuple[list[Event], list[str]]:
        data, name = self.path.read_bytes() if self.path.exists() else b"", self.path.name
        events, damaged, whole = parse(data, name)
        if damaged and not repair:
            raise ValueError(
                f"{damaged[0][1]} ({len(damaged)} damaged in all); put back a whole copy of {self.path}, or open it with repair=True "
                "to go on without them: the old file is kept beside it"
            )
        if not damaged and whole == len(data):
            return events, []
        why = f"{'damaged' if damaged else 'torn'}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"
        aside = self.path.with_name(f"{name}.{why}")  # the token: two repairs may fall into one second
        atomic.write_bytes(aside, data if damaged else data[whole:])
        bad = {number for number, _ in damaged}
        atomic.write_bytes(self.path, b"".join(line for n, line in enumerate(_lines(data[:whole]), 1) if n not in bad))
        torn = f"the last line of {name} was torn ({len(data) - whole} bytes) and is kept in {aside.name}"
        texts = [f"{text}; it is left out, and the old file kept as {aside.name}" for _, text in damaged]
        return events, texts + [torn] * (whole < len(data))

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more: it was closed, or opened again elsewhere."""
        return self._file is None

    def append(self, event: Event) -> None:
        """Writes the event and waits until it is on the disk. OSError with the remedy if it cannot be; then it is not in the log."""
        with self._turn:
            if self.closed:
                why = f"{self.path} was closed, or opened again elsewhere, so this act waits; use the session opened last"
                raise OSError(errno.EBADF, why)
            self._lock.check()
            here = os.fstat(self._file.fileno())
            if not (self.path.exists() and os.path.samestat(here, os.stat(self.path))):
                why = f"{self.path} was moved or deleted while it was open, so this act was not kept; open the session again"
                raise OSError(errno.ENOENT, why)
            self._write(to_line(event), here.st_size)
            self.events.append(event)
            self._ids.add(event.id)

    def _write(self, line: bytes, size: int) -> None:
        """The line is on the disk, or the file has its old size again."""
        try:
            if (written := self._file.write(line)) != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
            os.fsync(self._file.fileno())
        except BaseException as error:  # an interrupt, too: what is on disk is what the session knows, no more
            try:
                os.ftruncate(self._file.fileno(), size)  # half a line would spoil the next one
            except OSError:
                self.close()  # the next opening moves the torn line aside
            if not isinstance(error, OSError):
                raise
            why = f"this act could not be written to {self.path}: {atomic.remedy(error)} and try again"
            raise OSError(error.errno, why) from error

    def close(self) -> None:
        """Nothing can be appended from here on; another process may open the log."""
        with self._turn:
            if self._file is not None:
                self._file.close()
                self._file = None
                for end in self.at_end:
                    end()
            self._lock.release()
