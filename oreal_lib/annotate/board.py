"""What the acts of a log add up to: the label of every superpixel of every picture, with undo and redo without limit."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..superpixels import MOST_SUPERPIXELS
from ..types import IGNORE, Labels, Ragged, Superpixels
from .events import VOID, Event
from .pictures import Picture

UNLABELED = 254  # code of a superpixel nobody has labeled; classes are 0..C-1, void is IGNORE
MOST_CLASSES = 200
MOST_PIXELS = 8192 * 8192  # the largest `side` of a session


@dataclass(frozen=True)
class Change:
    """What an act changed in one picture: the codes that superpixels now have; split: the partition changed, too.

    superpixels: (k,) int64 local ids.  labels: (k,) uint8 their codes.
    """

    picture: int
    superpixels: np.ndarray
    labels: np.ndarray
    split: bool = False


@dataclass
class _Done:
    """An event and what it takes to take it back. before: the labels its superpixels had; of a skip, those of its superpixels
    that were not skipped; of a split, nothing: its pieces tell. first: a split of a picture as it lies on disk."""

    event: Event
    picture: int
    before: np.ndarray
    first: bool = False


class Board:
    """The state of a session. Every change comes from an event, so the same events give the same board.

    pictures, classes: of the session.  lost: how many acts were about pictures, superpixels or classes that are not there.
    """

    def __init__(self, pictures: tuple[Picture, ...], classes: tuple[str, ...], events: Iterable[Event] = ()) -> None:
        self.pictures, self.classes, self.lost = pictures, classes, 0
        self._place = {picture.name: i for i, picture in enumerate(pictures)}
        self._codes = {name: c for c, name in enumerate(classes)} | {VOID: IGNORE, "": UNLABELED}
        self._labels = [np.full(picture.count, UNLABELED, np.uint8) for picture in pictures]
        self._split: dict[int, np.ndarray] = {}  # maps that differ from those on disk
        self._skipped: set[tuple[int, str, int]] = set()  # round, picture, superpixel
        self._done: list[_Done] = []
        self._undone: list[Event] = []
        for event in events:
            self.apply(event)

    def place(self, image: str) -> int:
        """The position of a picture; ValueError if it is not in the folder."""
        if image not in self._place:
            raise ValueError(
                f"there is no picture {image!r}; the folder has {len(self._place)}, the first is {self.pictures[0].name!r}"
            )
        return self._place[image]

    def labels(self, picture: int) -> np.ndarray:
        """(k,) uint8 codes of the superpixels of a picture, up to date until the next act; not to be written."""
        return self._labels[picture]

    def ids(self, picture: int) -> np.ndarray:
        """(H, W) uint16 superpixel ids of a picture, splits included; not to be written."""
        return self._split[picture] if picture in self._split else self.pictures[picture].ids()

    def is_split(self, picture: int) -> bool:
        """Whether the picture's partition differs from the one on disk."""
        return picture in self._split

    def skipped(self, round: int, picture: int, superpixel: int) -> bool:
        """Whether a suggestion of that round was passed over."""
        return (round, self.pictures[picture].name, superpixel) in self._skipped

    def check(self, event: Event) -> None:
        """ValueError with the rule and the remedy if the event cannot be applied now."""
        if event.what == "undo" and not self._done:
            raise ValueError("there is nothing to undo")
        if event.what == "redo" and not self._undone:
            raise ValueError("there is nothing to redo")
        if event.what in ("label", "skip", "split"):
            self.place(event.image)
            if why := self._unfit(event):
                raise ValueError(why)

    def _unfit(self, event: Event) -> str:
        """Why a label, skip or split of a picture that is there does not fit the board as it is; "" if it does."""
        count = len(self._labels[self._place[event.image]])
        if not event.superpixels:
            return f"the act {event.what!r} names no superpixel; name at least one"
        if wrong := [s for s in event.superpixels if not 0 <= s < count]:
            return f"{event.image} has no superpixel {wrong[0]}; it has 0..{count - 1}"
        if event.what == "label" and event.to not in self._codes:
            return f"there is no class {event.to!r}; choose one of {', '.join(self.classes)} or {VOID}"
        if event.what != "split":
            return ""
        if len(event.superpixels) != 1:
            return f"{len(event.superpixels)} superpixels were to be split at once; split one"
        try:
            y, x, pieces = unpack(event.pieces)
        except ValueError as error:
            return str(error)
        made = int(np.max(pieces, where=pieces != IGNORE, initial=0))
        if len(np.unique(pieces[pieces != IGNORE])) <= made:
            return f"the pieces of superpixel {event.superpixels[0]} of {event.image} are not numbered 0..{made}; split it again"
        if count + made > MOST_SUPERPIXELS:
            return f"{event.image} has {count:,} superpixels and can have {MOST_SUPERPIXELS:,}; label this one as it is"
        mine = self.ids(self._place[event.image]) == event.superpixels[0]
        covered = np.zeros_like(mine)
        box = covered[y : y + pieces.shape[0], x : x + pieces.shape[1]]
        if box.shape == pieces.shape:
            box[:] = pieces != IGNORE
        if not (covered == mine).all():
            return f"the pieces do not cover superpixel {event.superpixels[0]} of {event.image}; split it again"
        return ""

    def apply(self, event: Event) -> list[Change]:
        """The event happens; what it changed. Of an act about a picture that is gone, or that does not fit (a line before it was
        left out when the log was repaired): nothing, and it is counted in `lost`."""
        if event.what == "open":
            return []
        if event.what == "undo":
            return self._undo() if self._done else []
        if event.what == "redo":
            return self._do(self._undone.pop()) if self._undone else []
        self._undone.clear()
        return self._do(event)

    def _do(self, event: Event) -> list[Change]:
        if event.image not in self._place or self._unfit(event):
            self.lost += 1
            self._done.append(_Done(event, -1, np.zeros(0, np.uint8)))
            return []
        i = self._place[event.image]
        labels = self._labels[i]
        ids = np.array(event.superpixels, np.int64)
        if event.what == "skip":
            fresh = np.array([not self.skipped(event.round, i, s) for s in event.superpixels])
            self._done.append(_Done(event, i, ids[fresh]))
            self._skipped |= {(event.round, event.image, s) for s in event.superpixels}
            return [Change(i, ids, labels[ids])]
        if event.what == "label":
            self._done.append(_Done(event, i, labels[ids]))
            labels[ids] = self._codes[event.to]
            return [Change(i, ids, labels[ids])]
        old = self.ids(i)
        self._done.append(_Done(event, i, labels[:0], i not in self._split))  # maps of hundreds of splits would fill the memory
        y, x, pieces = unpack(event.pieces)
        new = old.copy()
        window = new[y : y + pieces.shape[0], x : x + pieces.shape[1]]
        later = (pieces != IGNORE) & (pieces > 0)  # piece 0 keeps the number; the others come after the last one
        window[later] = len(labels) - 1 + pieces[later].astype(np.int64)
        made = int(pieces[pieces != IGNORE].max())
        self._split[i] = new
        self._labels[i] = np.concatenate([labels, np.full(made, labels[ids[0]], np.uint8)])
        parts = np.concatenate([ids, len(labels) + np.arange(made)])
        return [Change(i, parts, self._labels[i][parts], split=True)]

    def _undo(self) -> list[Change]:
        done = self._done.pop()
        self._undone.append(done.event)
        if done.picture < 0:
            return []
        i, ids = done.picture, np.array(done.event.superpixels, np.int64)
        if done.event.what == "split":
            y, x, pieces = unpack(done.event.pieces)
            later = (pieces != IGNORE) & (pieces > 0)
            old = self._split.pop(i).copy()
            old[y : y + pieces.shape[0], x : x + pieces.shape[1]][later] = ids[0]
            self._labels[i] = self._labels[i][: len(self._labels[i]) - int(pieces[later].max(initial=0))]
            if not done.first:
                self._split[i] = old
        elif done.event.what == "skip":
            self._skipped -= {(done.event.round, done.event.image, int(s)) for s in done.before}
        else:
            self._labels[i][ids] = done.before
        return [Change(i, ids, self._labels[i][ids], split=done.event.what == "split")]

    @property
    def acts(self) -> list[Event]:
        """The events in force, in the order in which they were done: what was undone is not among them."""
        return [done.event for done in self._done]

    def counts(self) -> np.ndarray:
        """(C + 1,) int64: labeled superpixels of each class, void last."""
        codes = np.concatenate(self._labels)
        return np.array([*(np.count_nonzero(codes == c) for c in range(len(self.classes))), np.count_nonzero(codes == IGNORE)])

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


def pack(y: int, x: int, pieces: np.ndarray) -> str:
    """The pieces of a superpixel as text for the log: (h, w) uint8 piece numbers 0.., IGNORE outside, at row y and column x."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(pieces, np.uint8).tobytes())).decode()
    return f"{y},{x},{pieces.shape[0]},{pieces.shape[1]},{data}"


def unpack(text: str) -> tuple[int, int, np.ndarray]:
    """y, x and pieces (h, w) uint8, as `pack` was given them; ValueError if the text is something else."""
    try:
        *numbers, data = text.split(",", 4)
        y, x, h, w = map(int, numbers)
        if min(y, x, h, w) < 0 or max(y, x, h, w, h * w) > MOST_PIXELS:
            raise ValueError(f"{h}x{w} pixels at {y}, {x}"[:80])
        flat = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), h * w + 1)  # a small text may hold gigabytes
        return y, x, np.frombuffer(flat, np.uint8).reshape(h, w)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the pieces of a split cannot be read ({error}); split the superpixel again") from error
