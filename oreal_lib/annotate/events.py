"""What a person did, as an append-only log on disk: one line for each act, flushed before the act counts as done.

The log is the truth; labels, counters and masks are made from it. A line holds JSON and a checksum of itself, so a torn or
changed line is noticed, named, and never taken for a click.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

from ..storage import atomic, checked
from ..storage.lock import Held, Lock

WHATS = ("open", "label", "skip", "split", "undo", "redo")
PATIENCE = 8.0  # seconds that a page that was left has to end by itself
VOID = "void"  # the answer "no class, or I cannot tell"


@dataclass(frozen=True)
class Event:
    """One act.

    what: "label" (to: a class name, VOID, or "" to clear), "skip", "split", "undo", "redo", or "open" (a session begins).
    id: unique; an act that arrives twice is done once.  at: UTC time, ISO 8601.  seconds: since the act before it.
    image: name of a picture.  superpixels: local ids in it.  how: click, drag, key, accept, import, merge.
    round: whose question was answered, 0 = labeled without being asked.  pieces: of a split, see `session.pack`.
    note: of "open", what opened it.  ValueError for another `what`.
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
    note: str = ""

    def __post_init__(self) -> None:
        if self.what not in WHATS:
            raise ValueError(f"an event is {self.what!r}, but must be one of {', '.join(WHATS)}")


DEFAULTS = {f.name: f.default for f in fields(Event)}
KINDS = {"superpixels": list, "round": int, "seconds": int | float}  # in JSON; the others are text


def now(ago: float = 0.0) -> str:
    """The time of an event: UTC, to the millisecond, so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_line(event: Event) -> bytes:
    """One line of a log: JSON without the fields that are as usual, a checksum of it as the last field.

    ValueError if a text in it holds half a character, which no file can.
    """
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(event).items() if v != DEFAULTS[k]}
    try:
        return (checked.dumps(values) + "\n").encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} in the act {event.what!r} is half a character; send it whole") from error


def from_line(line: bytes) -> Event:
    """The event of a line; ValueError if the line is not one that `to_line` wrote."""
    values = checked.loads(line)
    if unknown := set(values) - set(DEFAULTS):
        raise ValueError(f"it holds {min(unknown)!r}, which this version does not know; update the library")
    wrong = [name for name, value in values.items() if not isinstance(value, KINDS.get(name, str))]
    if wrong or any(type(s) is not int for s in values.get("superpixels", ())):
        raise ValueError(f"its {(wrong or ['superpixels'])[0]} is of another type")
    return Event(**values | {"superpixels": tuple(values.get("superpixels", ()))})


def parse(data: bytes, name: str) -> tuple[list[Event], list[tuple[int, str]], int]:
    """The events of a log's bytes, its damaged lines as (line number, what is wrong), and the bytes up to a torn last line.

    A last line without its newline was being written when the power went: it is torn, and in neither list.  An id that comes
    twice (two copies of a log put together) counts once.
    """
    whole = data.rfind(b"\n") + 1
    events, damaged, seen = [], [], set()
    for number, line in enumerate(_lines(data[:whole]), 1):
        try:
            event = from_line(line)
        except (ValueError, TypeError) as error:
            damaged.append((number, f"line {number} of {name} is damaged: {error}"))
            continue
        if event.id not in seen:
            seen.add(event.id)
            events.append(event)
    return events, damaged, whole


def _lines(data: bytes) -> list[bytes]:
    """Whole lines, each with the byte at its end: a line break only, as a changed one must not end two lines and nobody notice."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def read(path: Path) -> tuple[list[Event], list[str]]:
    """The events of a log on disk, in order, and what is wrong with it, line by line; nothing is changed."""
    data = Path(path).read_bytes()
    events, damaged, whole = parse(data, Path(path).name)
    torn = [f"the last line of {Path(path).name} is torn ({len(data) - whole} bytes): it was being written"] * (whole < len(data))
    return events, [text for _, text in damaged] + torn


def read_whole(path: Path) -> list[Event]:
    """The events of a log on disk, which a session may be writing just now: a torn last line is passed over.

    ValueError with the remedy if another line is damaged.
    """
    events, damaged, _ = parse(Path(path).read_bytes(), Path(path).name)
    if damaged:
        raise ValueError(
            f"{damaged[0][1]} (in {Path(path).parent}); put back a whole copy, or open the session once with repair=True"
        )
    return events


# The logs this process has open: running a notebook cell again must take its log over from the cell's last run, which nobody closed.
_OPEN: WeakValueDictionary[Path, Log] = WeakValueDictionary()


class Log:
    """A log that is open for writing, by this process alone; opening it again in the same process closes the older one.

    events: what is in it.  problems: what was found wrong and how it was mended, one line each.
    """

    def __init__(self, path: Path, repair: bool = False, page: bool = False) -> None:
        """Opens or begins the log. ValueError if another process holds it, or if a line in its middle is damaged.

        page: it is opened by a page of `make label`, which waits PATIENCE seconds for one that was left: its process ends a moment
        later.

        A torn last line is put aside into a file `<log>.torn-<time>`. repair: damaged lines are, too, and the rest is kept.
        """
        self.path = Path(path).resolve()
        if (older := _OPEN.get(self.path)) is not None:
            older.close()
        self._lock = Lock(Path(f"{self.path}.lock"))
        self._file = None
        self._turn = threading.RLock()  # a cell that opens the log again must not close it under an act of the widget's thread
        limit = time.monotonic() + PATIENCE * page
        while True:
            try:
                with _writing(self.path):
                    self._lock.acquire()
                break
            except Held as held:
                if time.monotonic() >= limit:
                    how = "close it there (shut down that kernel), or if it is gone, open it again in a minute"
                    raise ValueError(f"{self.path} is open already in {held}; {how}") from None
            time.sleep(0.1)
        try:
            self.events, self.problems = self._recover(repair)
            with _writing(self.path):
                self._file = open(self.path, "ab", buffering=0)
                atomic.flush_folder(self.path.parent)
        except BaseException:
            self.close()
            raise
        self._ids = {event.id for event in self.events}
        _OPEN[self.path] = self

    def _recover(self, repair: bool) -> tuple[list[Event], list[str]]:
        data = self.path.read_bytes() if self.path.exists() else b""
        events, damaged, whole = parse(data, self.path.name)
        if damaged and not repair:
            raise ValueError(
                f"{damaged[0][1]} ({len(damaged)} damaged in all); put back a whole copy of {self.path}, or open it with repair=True "
                "to go on without them: the old file is kept beside it"
            )
        if not damaged and whole == len(data):
            return events, []
        aside = self._beside("damaged" if damaged else "torn")
        atomic.write_bytes(aside, data if damaged else data[whole:])
        bad = {number for number, _ in damaged}
        good = b"".join(line for number, line in enumerate(_lines(data[:whole]), 1) if number not in bad)
        atomic.write_bytes(self.path, good)
        torn = [f"the last line of {self.path.name} was torn ({len(data) - whole} bytes) and is kept in {aside.name}"]
        texts = [f"{text}; it is left out, and the old file kept as {aside.name}" for _, text in damaged]
        return events, texts + torn * (whole < len(data))

    def _beside(self, why: str) -> Path:
        """A name that is free: two repairs may fall into one second, and clocks go back."""
        stem = f"{self.path.name}.{why}-{time.strftime('%Y%m%dT%H%M%S')}"
        names = itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2)))
        return next(path for name in names if not (path := self.path.with_name(name)).exists())

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more: it was closed, or opened again elsewhere."""
        return self._file is None

    def append(self, event: Event) -> None:
        """Writes the event and waits until it is on the disk. OSError with the remedy if it cannot be; then it is not in the log."""
        with self._turn:
            self._append(event)

    def _append(self, event: Event) -> None:
        if self._file is None:
            raise OSError(
                errno.EBADF, f"{self.path} was closed, or opened again elsewhere, so this act waits; use the session opened last"
            )
        self._lock.check()
        line, here = to_line(event), os.fstat(self._file.fileno())
        if not self._is_there(here):
            raise OSError(
                errno.ENOENT,
                f"{self.path} was moved or deleted while it was open, so this act was not kept; open the session again",
            )
        try:
            if (written := self._file.write(line)) != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
            os.fsync(self._file.fileno())
        except BaseException as error:  # an interrupt, too: on disk is what the session knows, no more
            try:
                os.ftruncate(self._file.fileno(), here.st_size)  # half a line would spoil the next one
            except OSError:
                self.close()  # the next opening puts the torn line aside
            if not isinstance(error, OSError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = "the disk is full: free some space" if full else f"{error.strerror}: mend it"
            raise OSError(error.errno, f"this act could not be written to {self.path}: {why} and try again") from error
        self.events.append(event)
        self._ids.add(event.id)

    def _is_there(self, here: os.stat_result) -> bool:
        try:
            return os.path.samestat(here, os.stat(self.path))
        except OSError:
            return False

    def extend(self, events: Iterable[Event]) -> None:
        """Appends several."""
        for event in events:
            self.append(event)

    def close(self) -> None:
        """Nothing can be appended from here on; another process may open the log."""
        with self._turn:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._lock.release()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Inside, an OSError tells the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} cannot be written ({error.strerror}); mend the rights there, or choose another folder for the session (work=)",
        ) from error
