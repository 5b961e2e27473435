"""What the acts of a log add up to: the label of every superpixel of every picture, with undo and redo without limit."""

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.files import class_pixels
from ..draw import hex_palette
from ..storage.ragged import Ragged
from ..superpixels import MOST_SUPERPIXELS
from ..types import IGNORE, Labels, Superpixels
from .cuts import unpack
from .events import VOID, Event, in_words
from .named import UNLABELED, Named
from .pictures import Picture

ON_PICTURES = ("label", "skip", "split", "paint")


@dataclass(frozen=True)
class Change:
    """What an act changed in one picture: the codes that superpixels now have.

    superpixels: (k,) int64 local ids.  labels: (k,) uint8 their codes.  of: (n,) int64 where the partition changed: for each
    superpixel there is now the one before that holds most of it.
    """

    picture: int
    superpixels: np.ndarray
    labels: np.ndarray
    of: np.ndarray | None = None

    @property
    def split(self) -> bool:
        """Whether the partition changed."""
        return self.of is not None


@dataclass
class _Done:
    """An event and what is needed to take it back. named: the classes before it.  before: of each picture that it may have changed, the
    labels and the skips.  was: where it cut a map that differs from the one on disk, a part of it and in what bits that was other.
    moved: whether superpixels took other numbers."""

    event: Event
    named: Named
    before: dict[int, tuple[np.ndarray, frozenset[tuple[int, int]]]]
    was: tuple[tuple[slice, slice], bytes] | None = None
    moved: bool = False


class Board:
    """The state of a session. Every change comes from an event, so the same events give the same board.

    pictures, classes: of the session; events may rename, add, merge and color these.  colors: "#rrggbb" for the first of them.
    named: what has become of them.  lost: how many acts were about pictures, superpixels or classes that do not exist now.
    """

    def __init__(
        self, pictures: tuple[Picture, ...], classes: tuple[str, ...], events: Iterable[Event] = (), colors: Sequence[str] = ()
    ) -> None:
        self.pictures, self.lost, self._begun = pictures, 0, tuple(classes)
        self.named = Named(tuple(classes), hex_palette(len(classes), colors), tuple(range(len(classes))))
        self._place = {picture.name: i for i, picture in enumerate(pictures)}
        self._labels = [np.full(picture.count, UNLABELED, np.uint8) for picture in pictures]
        self._split: dict[int, np.ndarray] = {}  # maps that differ from those on disk
        self._turns: dict[int, int] = {}
        self._skipped = [frozenset[tuple[int, int]]() for _ in pictures]  # round, superpixel
        self._done: list[_Done] = []
        self._undone: list[Event] = []
        for event in events:
            self.apply(event)

    def place(self, image: str) -> int:
        """The position of a picture; ValueError if it is not in the folder."""
        if image not in self._place:
            first = self.pictures[0].name
            raise ValueError(f"there is no picture {image!r}; the folder has {len(self._place)}, the first is {first!r}")
        return self._place[image]

    def labels(self, picture: int) -> np.ndarray:
        """(k,) uint8 codes of the superpixels of a picture, as they are now; read-only."""
        return self._labels[picture]

    def is_open(self, picture: int, superpixel: int) -> bool:
        """Whether a superpixel has no label; a piece is gone once its split is undone."""
        return superpixel < len(self._labels[picture]) and self._labels[picture][superpixel] == UNLABELED

    def ids(self, picture: int) -> np.ndarray:
        """(H, W) uint16 superpixel ids of a picture, splits included; read-only."""
        return self._split[picture] if picture in self._split else self.pictures[picture].ids()

    def is_split(self, picture: int) -> bool:
        """Whether the picture's partition differs from the one on disk."""
        return picture in self._split

    def numbering(self, picture: int) -> int:
        """How often superpixels of a picture have taken other numbers: what was seen before that names others now."""
        return self._turns.get(picture, 0)

    def skipped(self, round: int, picture: int, superpixel: int) -> bool:
        """Whether a suggestion of that round was skipped."""
        return (round, superpixel) in self._skipped[picture]

    def skips(self) -> set[tuple[int, int]]:
        """(picture, superpixel) of all suggestions that were skipped, in whatever round."""
        return {(i, superpixel) for i, skips in enumerate(self._skipped) for _, superpixel in skips}

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by code, also of those merged into others."""
        return self.named.names

    @property
    def acts(self) -> list[Event]:
        """The events in force, in the order in which they were done, without those that were undone."""
        return [done.event for done in self._done]

    def given_by(self) -> list[np.ndarray]:
        """For each picture (k,), dtype object: the event that gave each superpixel its label or took it away, None where none did; pieces
        have it from the superpixel that they were cut from."""
        again = Board(self.pictures, self._begun)
        found = [np.full(picture.count, None, object) for picture in self.pictures]
        for event in self.acts:
            for change in again.apply(event):  # none of an act that is lost
                if change.split:
                    found[change.picture] = found[change.picture][change.of]
                if event.what in ("label", "paint"):
                    found[change.picture][change.superpixels] = event
        return found

    @property
    def total(self) -> int:
        """How many superpixels all pictures have."""
        return sum(map(len, self._labels))

    def lost_acts(self) -> list[str]:
        """One sentence about the lost acts, or none."""
        what = f"{self.lost} acts are about pictures, superpixels or classes that do not exist now; they stay in the log"
        return [what] * (self.lost > 0)

    def check(self, event: Event) -> None:
        """ValueError with the rule and the remedy if the event cannot be applied now."""
        if event.what == "undo" and not self._done:
            raise ValueError("there is nothing to undo")
        if event.what == "redo" and not self._undone:
            raise ValueError("there is nothing to redo")
        if event.what in ON_PICTURES:
            self.place(event.image)
        if why := self._unfit(event):
            raise ValueError(why)

    def _unfit(self, event: Event) -> str:
        """Why an act on an existing picture, or on classes, does not fit the board as it is; "" if it does."""
        if event.what == "classes":
            return self.named.misfit(event.note)
        if event.what not in ON_PICTURES:
            return ""
        count = len(self._labels[self._place[event.image]])
        if not event.superpixels and event.what != "paint":
            return f"the act {event.what!r} names no superpixel; name at least one"
        if wrong := [s for s in event.superpixels if not 0 <= s < count]:
            return f"{event.image} has no superpixel {wrong[0]}; it has 0..{count - 1}"
        if event.what in ("label", "paint") and event.to not in self.named.codes:
            names = ", ".join(self.classes[c] for c in self.named.shown)
            return f"there is no class {event.to!r}; choose one of {names} or {VOID}"
        return self._uncut(event, count) if event.what in ("split", "paint") else ""

    def _uncut(self, event: Event, count: int) -> str:
        y, x, pieces = unpack(event.pieces)
        made = 1 if event.what == "paint" else _largest(pieces) + 1 - len(event.superpixels)
        if count + made > MOST_SUPERPIXELS:
            return f"{event.image} has {count:,} superpixels and can have {MOST_SUPERPIXELS:,}; label this one as it is"
        covered = np.zeros_like(ids := self.ids(self._place[event.image]), bool)
        box = covered[y : y + pieces.shape[0], x : x + pieces.shape[1]]
        if event.what == "paint":
            return "" if box.shape == pieces.shape else f"the brush left {event.image}, which is smaller by now; paint again"
        if box.shape == pieces.shape:
            box[:] = pieces != IGNORE
        if not (covered == np.isin(ids, event.superpixels)).all():  # a split before it was lost when the log was repaired
            return f"the pieces do not cover superpixel {event.superpixels[0]} of {event.image}; split it again"
        return ""

    def apply(self, event: Event) -> list[Change]:
        """Carries the event out and returns what it changed. An act about a picture that is gone, or one that does not fit (a line
        before it was left out when the log was repaired), changes nothing and is counted in `lost`. Events whose ids are "id.0",
        "id.1", ... and at last "id" are one act: undone and redone together."""
        if event.what == "open":
            return []
        if event.what == "undo":
            return self._together(self._done, self._undo)
        if event.what == "redo":
            return self._together(self._undone, lambda: self._do(self._undone.pop()))
        self._undone.clear()
        return self._do(event)

    @staticmethod
    def _together(stack: list, turn: Callable[[], list[Change]]) -> list[Change]:
        changes, last = [], None
        while stack:
            own = getattr(stack[-1], "event", stack[-1]).id
            if last is not None and (own == last or own.partition(".")[0] != last.partition(".")[0]):
                break
            last = own
            changes += turn()
        return changes

    def _do(self, event: Event) -> list[Change]:
        if (event.what != "classes" and event.image not in self._place) or self._unfit(event):
            self.lost += 1
            self._note(event)
            return []
        if event.what == "classes":
            return self._rename(event)
        i = self._place[event.image]
        if event.what == "split":
            return self._cut(event, i)
        if event.what == "paint":
            return self._paint(event, i)
        self._note(event, i)
        ids = np.array(event.superpixels, np.int64)
        if event.what == "skip":
            self._skipped[i] |= {(event.round, s) for s in event.superpixels}
        else:
            self._labels[i] = self._labels[i].copy()
            self._labels[i][ids] = self.named.codes[event.to]
        return [Change(i, ids, self._labels[i][ids])]

    def _note(self, event: Event, *pictures: int, **cut: Any) -> None:
        """Keeps what there is before an event changes pictures: arrays of labels and sets of skips are never written to again."""
        self._done.append(_Done(event, self.named, {i: (self._labels[i], self._skipped[i]) for i in pictures}, **cut))

    def _rename(self, event: Event) -> list[Change]:
        self._note(event, *range(len(self.pictures)))
        self.named, changes = self.named.edited(event.note), []
        into = _table(256, *np.array(self.named.into, np.int64).reshape(-1, 2).T).astype(np.uint8)
        for i, labels in enumerate(self._labels):
            if len(ids := np.flatnonzero(into[labels] != labels)):
                self._labels[i] = into[labels]
                changes.append(Change(i, ids, self._labels[i][ids]))
        return changes

    def _cut(self, event: Event, i: int) -> list[Change]:
        """Pieces take the numbers of the superpixels they replace, others come after the last one; are there fewer pieces, the last
        superpixels take the numbers that are free."""
        y, x, pieces = unpack(event.pieces)
        inside, old = pieces != IGNORE, np.sort(np.array(event.superpixels, np.int64))
        n, made = len(self._labels[i]), _largest(pieces) + 1
        here = self.ids(i)[y : y + pieces.shape[0], x : x + pieces.shape[1]][inside]
        votes = np.bincount(pieces[inside].astype(np.int64) * len(old) + np.searchsorted(old, here), minlength=made * len(old))
        numbers = np.concatenate([old, np.arange(n, n + max(0, made - len(old)))])[:made]
        of = np.arange(max(n, int(numbers.max()) + 1))
        of[numbers] = old[votes.reshape(made, -1).argmax(axis=1)]
        kept = len(of) - max(0, len(old) - made)
        free, last = old[made:][old[made:] < kept], np.setdiff1d(np.arange(kept, len(of)), old[made:])
        of[free] = last
        return self._replace(event, i, inside, numbers[pieces[inside]], of[:kept], np.stack([free, last]), np.append(numbers, free))

    def _paint(self, event: Event, i: int) -> list[Change]:
        """A superpixel that is painted as a whole keeps its number; painted parts of others become a new one."""
        y, x, pieces = unpack(event.pieces)
        inside, n = pieces != IGNORE, len(self._labels[i])
        here = self.ids(i)[y : y + pieces.shape[0], x : x + pieces.shape[1]][inside].astype(np.int64)
        painted, whole = np.bincount(here, minlength=n), np.bincount(self.ids(i).ravel(), minlength=n)
        part = (painted > 0) & (painted < whole)
        numbers = np.flatnonzero((painted > 0) & ~part)
        of = np.arange(n + part.any())
        if part.any():
            of[n], numbers = int((painted * part).argmax()), np.append(numbers, n)
        new = np.where(part[here], n, here)
        return self._replace(event, i, inside, new, of, np.zeros((2, 0), np.int64), numbers, self.named.codes[event.to])

    def _replace(self, event, i, inside, new, of, moved, numbers, code: int | None = None) -> list[Change]:
        """Gives the pixels of a box their new numbers, and those superpixels a label; keeps what was there."""
        y, x, (h, w) = *unpack(event.pieces)[:2], inside.shape
        old, box = self.ids(i), np.s_[y : y + h, x : x + w]
        table = _table(len(self._labels[i]), *moved[::-1])
        ids = table[old].astype(old.dtype) if moved.size else old.copy()
        ids[box][inside] = new
        where = np.s_[:, :] if moved.size else box
        was = (where, zlib.compress(old[where] ^ ids[where], 1)) if i in self._split else None
        self._note(event, i, was=was, moved=moved.size > 0)
        if moved.size:
            self._turns[i] = self.numbering(i) + 1
            self._skipped[i] = frozenset((r, int(table[s])) for r, s in self._skipped[i] if s not in event.superpixels)
        self._split[i], self._labels[i] = ids, self._labels[i][of]
        if code is not None:
            self._labels[i][numbers] = code
        return [Change(i, numbers, self._labels[i][numbers], of)]

    def _undo(self) -> list[Change]:
        done, changes = self._done.pop(), []
        self._undone.append(done.event)
        self.named = done.named.grown(self.named)
        for i, (labels, skipped) in done.before.items():
            ids, of = np.array(done.event.superpixels, np.int64), None
            if done.event.what == "classes":
                ids = np.flatnonzero(labels != self._labels[i])
            elif done.event.what in ("split", "paint"):
                ids = of = np.arange(len(labels))
                cut, self._turns[i] = self._split.pop(i).copy(), self.numbering(i) + done.moved
                if done.was is not None:
                    where, bits = done.was
                    cut[where] ^= np.frombuffer(zlib.decompress(bits), cut.dtype).reshape(cut[where].shape)
                    self._split[i] = cut
            self._labels[i], self._skipped[i] = labels, skipped
            changes += [Change(i, ids, labels[ids], of)] * bool(len(ids))
        return changes

    def turned(self, acts: list[Event], named: Named) -> str:
        """In words what an undo or redo has changed, with these acts and classes in force before it; "" if it was none."""
        now = self.acts
        gone, back = acts[len(now) :], now[len(acts) :]
        if not (act := gone or back):
            return ""
        if act[0].what != "classes":
            said = in_words(act)
        elif not (said := self.named.changed(named) if gone else named.changed(self.named)):
            added = json.loads(act[0].note)["classes"][-1][1]
            said = f"{added} added" + "; the class stays in the list, for others may use it" * bool(gone)
        return f"{'Undone' if gone else 'Done again'}: {said}."

    def counts(self) -> np.ndarray:
        """(C + 1,) int64: labeled superpixels of each class, void last."""
        return class_pixels(np.concatenate(self._labels), len(self.classes))

    def superpixels(self) -> Superpixels:
        """All superpixels of the session: the pool that a strategy asks about."""
        return Superpixels.from_maps(Ragged(tuple(self.ids(i) for i in range(len(self.pictures)))))

    def as_labels(self, rounds: int = 1) -> Labels:
        """What was bought in so many rounds, as a strategy sees it: every labeled superpixel, void ones without a class."""
        codes = np.concatenate(self._labels)
        known = codes != UNLABELED
        present = codes[:, None] == np.arange(len(self.classes))
        return Labels(present, (rounds * known).astype(np.int16), int(known.sum()))

    def paint(self, picture: int) -> np.ndarray:
        """(H, W) uint8: each labeled superpixel in its class, IGNORE where it is void or unlabeled."""
        codes = self._labels[picture]
        return np.where(codes == UNLABELED, IGNORE, codes).astype(np.uint8)[self.ids(picture)]


def _largest(pieces: np.ndarray) -> int:
    return int(np.max(pieces, where=pieces != IGNORE, initial=0))


def _table(count: int, some: np.ndarray, into: np.ndarray) -> np.ndarray:
    """(count,) what each number becomes: `some` become `into`, the others stay."""
    table = np.arange(count)
    table[some] = into
    return table
