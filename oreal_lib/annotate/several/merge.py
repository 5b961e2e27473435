"""What several people clicked in one folder becomes one log; where they disagree, somebody must say who is right."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...draw import hex_palette
from ...storage import atomic, checked, provenance
from ...storage.progress import told
from ...types import IGNORE
from ..board import Board
from ..cuts import numbered, pack
from ..events import VOID, Event, now, to_line
from ..named import MOST_CLASSES, UNLABELED, Named
from ..out.export import table
from ..saved import check_annotator, read_json, read_session, work_folder

LATER = "later"


@dataclass(frozen=True)
class Conflict:
    """A superpixel with different labels. superpixel: its number in the merged log.  place: (row, column) of a pixel of it, at the
    size that the person sees.  labels: annotator -> (class or "void", time).  taken: what it got, "" if nothing."""

    picture: str
    superpixel: int
    place: tuple[int, int]
    labels: dict[str, tuple[str, str]]
    taken: str = ""


@dataclass(frozen=True)
class Merged:
    """log: the new one.  labeled: superpixels with a label.  conflicts: in the order of pictures and superpixels.
    lost: acts about pictures that are not in the folder now; they are not in the new log."""

    log: Path
    labeled: int
    conflicts: tuple[Conflict, ...]
    lost: int = 0


def merge(
    folder: Path | str, annotators: Sequence[str], into: str, work: Path | str | None = None, take: str | None = None
) -> Merged:
    """Writes the log of a new annotator `into`, which opens like any other, and conflicts.csv beside it.

    A superpixel that one of them has split is split. A label on which all agree who gave one is taken; of different ones (void is
    one, too) none, or with take="later" the one clicked last, or with take=<annotator> that annotator's, if there is one.
    The order of the annotators changes nothing. Skips are not copied. Classes go by name; those that session.json does not have
    (of a log from another machine) are added at its end.  ValueError if `into` has a log, if one of the others has none, or is
    damaged.
    """
    names = sorted(set(annotators))
    home = work_folder(folder, work)
    if len(annotators) < 2:
        raise ValueError(f"the annotators are {annotators!r}, but a merge needs two or more; name them")
    saved = {name: read_session(folder, name, work) for name in names}
    check_annotator(into, "into")
    log = home / into / "clicks.jsonl"
    if log.exists():
        raise ValueError(f"{into} has a log already ({log}); choose another name, or move the folder {log.parent} away")
    if take not in (None, LATER, *names):
        raise ValueError(f"take is {take!r}, but must be {LATER!r} or one of {', '.join(names)}, or be left out; choose one")
    pictures, logs = saved[names[0]].board.pictures, {name: one.events for name, one in saved.items()}
    begun = tuple(read_json(home)["classes"])
    classes = _classes(begun, logs.values())
    boards = {name: Board(pictures, classes, events) for name, events in logs.items()}
    merged, events, conflicts = Board(pictures, classes), [], []
    at = max((e.at for events in logs.values() for e in events), default="")
    if edit := _edit(boards.values(), classes, into):
        for board in boards.values():
            board.apply(edit)
    given = {name: board.given_by() for name, board in boards.items()}
    for i in told(range(len(pictures)), "{done} of {total} pictures are merged"):
        events += _refine(merged, i, list(boards.values()), at, into)
        more, found = _agree(merged, i, boards, given, take, into)
        events, conflicts = events + more, conflicts + found
    if edit:
        merged.apply(edit)
        events.append(edit)
    counts = {name: len(events) for name, events in logs.items()}
    note = {"merged": counts, "take": take, "classes": list(classes), "versions": provenance.versions()}
    opened = Event("open", _id(into, "open", now()), now(), note=json.dumps(note))
    if classes != begun:
        checked.write(home / "session.json", read_json(home) | {"classes": list(classes)})
    atomic.write_bytes(log.with_name("conflicts.csv"), _csv(conflicts, names))
    atomic.write_bytes(log, b"".join(to_line(event) for event in [opened, *events]))  # last: from here on the log exists
    return Merged(log, int(merged.counts().sum()), tuple(conflicts), sum(board.lost for board in boards.values()))


def _classes(there: tuple[str, ...], logs) -> tuple[str, ...]:
    """The session's classes, and those that only a log knows: from the lists it was opened with, and from its labels."""
    found = dict.fromkeys(there)
    for events in logs:
        renamed = {name for event in events if event.what == "classes" for _, name, _ in json.loads(event.note)["classes"]}
        for event in events:
            if event.to in renamed:
                continue
            if event.what == "open" and event.note.startswith("{"):
                found |= dict.fromkeys(json.loads(event.note).get("classes", ()))
            elif event.what == "label" and event.to not in ("", VOID):
                found.setdefault(event.to)
    if len(found) > MOST_CLASSES:
        raise ValueError(f"the logs name {len(found)} classes, but there must be at most {MOST_CLASSES}; merge fewer of them")
    return tuple(found)


def _edit(boards: Iterable[Board], classes: tuple[str, ...], into: str) -> Event | None:
    """The names, colors and merges of classes that were made last, as an event; None where nobody changed any."""
    edits = {
        max(own, key=lambda e: e.at).at: board.named for board in boards if (own := [e for e in board.acts if e.what == "classes"])
    }
    if not edits:
        return None
    at, named = max(edits.items(), key=lambda item: item[0])
    named = named.grown(Named(classes, hex_palette(len(classes), named.colors), ()))
    table = [[c, named.names[c], named.colors[c]] for c in named.shown]
    return Event("classes", _id(into, "classes"), at, note=json.dumps({"classes": table, "into": named.into}, ensure_ascii=False))


def _refine(merged: Board, i: int, boards: list[Board], at: str, into: str) -> list[Event]:
    """Splits the picture until no superpixel holds pixels that lie in two of an annotator's; returns the events."""
    if not any(board.is_split(i) for board in boards):
        return []
    parts = merged.ids(i).astype(np.int64)
    for board in boards:
        theirs = board.ids(i)
        parts = np.unique(parts * (int(theirs.max()) + 1) + theirs, return_inverse=True)[1].reshape(parts.shape)
    events: list[Event] = []
    while True:
        ids = merged.ids(i)
        pairs = np.unique(np.stack([ids.ravel(), parts.ravel()], axis=1), axis=0)
        torn, count = np.unique(pairs[:, 0], return_counts=True)
        if (count < 2).all():
            return events
        name = merged.pictures[i].name
        for superpixel in torn[count > 1].tolist():
            text = pack(*numbered(ids == superpixel, parts))
            own = _id(into, name, superpixel, "split", len(events))  # of more than MOST_PIECES, the largest is split again
            event = Event("split", own, at, name, (superpixel,), how="merge", pieces=text)
            merged.check(event)
            merged.apply(event)
            events.append(event)


def agreed(codes: np.ndarray) -> np.ndarray:
    """(k,) uint8: what all who labeled a superpixel call it, UNLABELED where they differ or nobody did.

    codes: (annotators, k) uint8, a class, IGNORE for void, or UNLABELED.
    """
    known = codes != UNLABELED
    low, high = np.where(known, codes, 255).min(axis=0), np.where(known, codes, 0).max(axis=0)
    return np.where(known.any(axis=0) & (low == high), low, UNLABELED).astype(np.uint8)


def _agree(merged: Board, i: int, boards: dict[str, Board], given: dict, take: str | None, into: str) -> tuple[list, list]:
    """Labels the superpixels of a picture; returns the events and the conflicts."""
    name, ids = merged.pictures[i].name, merged.ids(i)
    _, first = np.unique(ids, return_index=True)
    own = [board.ids(i).ravel()[first] for board in boards.values()]
    codes = np.stack([board.labels(i)[o] for board, o in zip(boards.values(), own, strict=True)])  # (annotators, superpixels)
    when = np.array([[e.at if e else "" for e in given[who][i][o]] for who, o in zip(boards, own, strict=True)], object)
    known = codes != UNLABELED
    label = agreed(codes)
    words = {c: text for c, text in enumerate(merged.classes)} | {IGNORE: VOID, UNLABELED: ""}
    conflicts = []
    for s in np.flatnonzero(known.any(axis=0) & (label == UNLABELED)).tolist():
        label[s] = _settled(codes[:, s], when[:, s], known[:, s], list(boards), take)
        rows, columns = np.nonzero(ids == s)
        middle = int(((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin())
        said = {who: (words[int(c)], t) for who, c, t, k in zip(boards, codes[:, s], when[:, s], known[:, s], strict=True) if k}
        place = (int(rows[middle]), int(columns[middle]))
        conflicts.append(Conflict(name, s, place, said, words[int(label[s])]))
    events = []
    for code in np.unique(label[label != UNLABELED]).tolist():
        mine = np.flatnonzero(label == code)
        at = max(when[:, mine][known[:, mine] & (codes[:, mine] == code)].tolist())
        events.append(Event("label", _id(into, name, words[code], "label"), at, name, tuple(mine.tolist()), words[code], "merge"))
        merged.apply(events[-1])
    return events, conflicts


def _settled(codes: np.ndarray, when: np.ndarray, known: np.ndarray, names: list[str], take: str | None) -> int:
    """The code that `take` says; UNLABELED where it says nothing, such as for two labels of the same millisecond."""
    if take in names:
        return int(codes[names.index(take)])
    if take != LATER:
        return UNLABELED
    last = max(when[known].tolist())
    latest = set(codes[known & (when == last)].tolist())
    return latest.pop() if len(latest) == 1 else UNLABELED


def _id(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _csv(conflicts: list[Conflict], names: list[str]) -> bytes:
    whose = [f"{what} {name}" for name in names for what in ("label", "time")]
    rows = [
        [c.picture, c.superpixel, *c.place, c.taken, *(text for name in names for text in c.labels.get(name, ("", "")))]
        for c in conflicts
    ]
    return table(["picture", "superpixel", "row", "column", "taken", *whose], rows)
