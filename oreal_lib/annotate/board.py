"""What the acts of a log add up to: the label of every superpixel of every picture, with undo and redo without limit."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from skimage.measure import label as connected
from skimage.segmentation import slic

from ..data.files import class_pixels
from ..storage.ragged import Ragged
from ..superpixels import MOST_SUPERPIXELS, dense
from ..types import IGNORE, Labels, Superpixels
from .events import VOID, Event
from .pictures import Picture

UNLABELED = 254  # code of a superpixel nobody has labeled; classes are 0..C-1, void is IGNORE
MOST_CLASSES = 200
PIECES = 4  # of a split; our choice: one click or two more put most borders right
MOST_PIECES = 200  # a map of pieces has bytes


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
    """An event and what is needed to take it back. before: the labels its superpixels had; for a skip, those of its superpixels that
    were not skipped before; for a split nothing: its pieces say it. first: a split of a picture as it lies on disk."""

    event: Event
    picture: int
    before: np.ndarray
    first: bool = False


class Board:
    """The state of a session. Every change comes from an event, so the same events give the same board.

    pictures, classes: of the session.  lost: how many acts were about pictures, superpixels or classes that do not exist now.
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
            first = self.pictures[0].name
            raise ValueError(f"there is no picture {image!r}; the folder has {len(self._place)}, the first is {first!r}")
        return self._place[image]

    def labels(self, picture: int) -> np.ndarray:
        """(k,) uint8 codes of the superpixels of a picture, valid until the next act; read-only."""
        return self._labels[picture]

    def ids(self, picture: int) -> np.ndarray:
        """(H, W) uint16 superpixel ids of a picture, splits included; read-only."""
        return self._split[picture] if picture in self._split else self.pictures[picture].ids()

    def is_split(self, picture: int) -> bool:
        """Whether the picture's partition differs from the one on disk."""
        return picture in self._split

    def skipped(self, round: int, picture: int, superpixel: int) -> bool:
        """Whether a suggestion of that round was skipped."""
        return (round, self.pictures[picture].name, superpixel) in self._skipped

    def skips(self) -> set[tuple[int, int]]:
        """(picture, superpixel) of all suggestions that were skipped, in whatever round."""
        return {(self._place[name], superpixel) for _, name, superpixel in self._skipped}

    @property
    def acts(self) -> list[Event]:
        """The events in force, in the order in which they were done, without those that were undone."""
        return [done.event for done in self._done]

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
        if event.what in ("label", "skip", "split"):
            self.place(event.image)
            if why := self._unfit(event):
                raise ValueError(why)

    def _unfit(self, event: Event) -> str:
        """Why a label, skip or split of an existing picture does not fit the board as it is; "" if it does."""
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
            return f"{len(event.superpixels)} superpixels cannot be split at once; split one"
        y, x, pieces = unpack(event.pieces)
        if count + _largest(pieces) > MOST_SUPERPIXELS:
            return f"{event.image} has {count:,} superpixels and can have {MOST_SUPERPIXELS:,}; label this one as it is"
        covered = np.zeros_like(ids := self.ids(self._place[event.image]), bool)
        box = covered[y : y + pieces.shape[0], x : x + pieces.shape[1]]
        if box.shape == pieces.shape:
            box[:] = pieces != IGNORE
        if not (covered == (ids == event.superpixels[0])).all():  # a split before it was lost when the log was repaired
            return f"the pieces do not cover superpixel {event.superpixels[0]} of {event.image}; split it again"
        return ""

    def apply(self, event: Event) -> list[Change]:
        """Carries the event out and returns what it changed. An act about a picture that is gone, or one that does not fit (a line
        before it was left out when the log was repaired), changes nothing and is counted in `lost`."""
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
        labels, ids = self._labels[i], np.array(event.superpixels, np.int64)
        if event.what == "split":
            return self._cut(event, i)
        if event.what == "skip":
            fresh = np.array([not self.skipped(event.round, i, s) for s in event.superpixels])
            self._done.append(_Done(event, i, ids[fresh]))
            self._skipped |= {(event.round, event.image, s) for s in event.superpixels}
        else:
            self._done.append(_Done(event, i, labels[ids]))
            labels[ids] = self._codes[event.to]
        return [Change(i, ids, labels[ids])]

    def _cut(self, event: Event, i: int) -> list[Change]:
        labels, (superpixel,), new = self._labels[i], event.superpixels, self.ids(i).copy()
        self._done.append(_Done(event, i, labels[:0], i not in self._split))  # maps of hundreds of splits would fill the memory
        y, x, pieces = unpack(event.pieces)
        later = _later(pieces)  # piece 0 keeps the number; the others come after the last one
        new[y : y + pieces.shape[0], x : x + pieces.shape[1]][later] = len(labels) - 1 + pieces[later].astype(np.int64)
        made = _largest(pieces)
        self._split[i] = new
        self._labels[i] = np.concatenate([labels, np.full(made, labels[superpixel], np.uint8)])
        parts = np.array([superpixel, *range(len(labels), len(labels) + made)])
        return [Change(i, parts, self._labels[i][parts], split=True)]

    def _undo(self) -> list[Change]:
        done = self._done.pop()
        self._undone.append(done.event)
        if done.picture < 0:
            return []
        i, ids = done.picture, np.array(done.event.superpixels, np.int64)
        if done.event.what == "split":
            y, x, pieces = unpack(done.event.pieces)
            old = self._split.pop(i).copy()
            old[y : y + pieces.shape[0], x : x + pieces.shape[1]][_later(pieces)] = ids[0]
            self._labels[i] = self._labels[i][: len(self._labels[i]) - _largest(pieces)]
            if not done.first:
                self._split[i] = old
        elif done.event.what == "skip":
            self._skipped -= {(done.event.round, done.event.image, int(s)) for s in done.before}
        else:
            self._labels[i][ids] = done.before
        return [Change(i, ids, self._labels[i][ids], split=done.event.what == "split")]

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


def split(image: np.ndarray, ids: np.ndarray, superpixel: int, pieces: int = PIECES) -> tuple[int, int, np.ndarray]:
    """Row and column of the superpixel's box, and (h, w) uint8 piece numbers in it: 0.. from large to small, IGNORE outside.

    image: (H, W, 3) uint8.  ids: (H, W) integers.  Pieces are connected and follow color (masked SLIC), about as many as asked;
    where color says nothing, halves across the longer side.  ValueError if it is a single pixel.
    """
    rows, columns = np.nonzero(ids == superpixel)
    if len(rows) < 2:
        raise ValueError(
            f"superpixel {superpixel} has {len(rows)} pixel and cannot be split; zoom in and label its neighbors instead"
        )
    y, x = int(rows.min()), int(columns.min())
    box = np.s_[y : rows.max() + 1, x : columns.max() + 1]
    inside = ids[box] == superpixel
    cut = slic(np.asarray(image[box]), pieces, compactness=5.0, mask=inside, start_label=1, channel_axis=-1)
    cut = np.where(inside, cut, 0)
    if len(np.unique(cut[inside])) < 2:
        across = (rows - y) if np.ptp(rows) >= np.ptp(columns) else (columns - x)
        cut[rows - y, columns - x] = 1 + (across >= np.median(across)) * (across > across.min())
    found = connected(np.where(inside, cut + 1, 0), connectivity=1, background=0).astype(np.int64) - 1  # -1 outside
    size = np.bincount(found[inside])
    if len(size) > MOST_PIECES:  # of a scattered superpixel: the smallest join the largest
        found[np.isin(found, np.argsort(-size, kind="stable")[MOST_PIECES:]) & inside] = int(size.argmax())
        found[inside] = dense(found[inside][None])[0]
        size = np.bincount(found[inside])
    rank = np.empty(len(size), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return y, x, np.where(inside, rank[np.maximum(found, 0)], IGNORE).astype(np.uint8)


def pack(y: int, x: int, pieces: np.ndarray) -> str:
    """The pieces of a superpixel as text for the log: (h, w) uint8 piece numbers 0.., IGNORE outside, at row y and column x."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(pieces, np.uint8).tobytes())).decode()
    return f"{y},{x},{pieces.shape[0]},{pieces.shape[1]},{data}"


def unpack(text: str) -> tuple[int, int, np.ndarray]:
    """y, x and pieces (h, w) uint8, as `pack` was given them."""
    *numbers, data = text.split(",", 4)
    y, x, h, w = map(int, numbers)
    return y, x, np.frombuffer(zlib.decompress(base64.b64decode(data)), np.uint8).reshape(h, w)


def _later(pieces: np.ndarray) -> np.ndarray:
    return (pieces != IGNORE) & (pieces > 0)


def _largest(pieces: np.ndarray) -> int:
    return int(np.max(pieces, where=pieces != IGNORE, initial=0))
