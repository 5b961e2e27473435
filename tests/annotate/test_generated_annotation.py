"""No step and no click is lost: any acts, any log with lines left out, any two logs put together."""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
from generated import MAYBE, every, label_maps
from hypothesis import strategies as st
from PIL import Image

from oreal_lib.annotate.board import UNLABELED, Board
from oreal_lib.annotate.cuts import brushed, pack, split
from oreal_lib.annotate.events import VOID, WHATS, Event, parse, to_line
from oreal_lib.annotate.saved import read_session
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.merge import merge

CLASSES = ("sky", "road, wet", "Öl")
TEXTS = st.text(max_size=5) | st.sampled_from(["", "\u2028", "\r\n\0", '"\\', "\U0001f600", "\x85", "label"])
EVENTS = st.builds(
    Event,
    st.sampled_from(WHATS),
    TEXTS,
    at=TEXTS,
    image=TEXTS,
    superpixels=st.lists(st.integers(0, 70_000), max_size=4).map(tuple),
    to=TEXTS,
    how=TEXTS,
    round=st.integers(0, 99),
    seconds=st.floats(0, 600),
    pieces=TEXTS,
    note=TEXTS,
)


@dataclass(frozen=True)
class Drawn:
    """A picture of a board that lies nowhere."""

    name: str
    map: np.ndarray

    @property
    def count(self):
        return int(self.map.max()) + 1

    def ids(self):
        return self.map

    def image(self):
        return np.random.default_rng(0).integers(0, 256, (*self.map.shape, 3), np.uint8)


def state(board):
    """All that a person could see of a board."""
    n = range(len(board.pictures))
    skipped = [(r, i, s) for r in range(3) for i in n for s in range(len(board.labels(i))) if board.skipped(r, i, s)]
    return [board.labels(i).tolist() for i in n], [board.ids(i).tolist() for i in n], skipped, board.named


@st.composite
def acts(draw, pictures, most=12):
    """Events that a person can send, most of which fit a board of these pictures; a split brings its pieces from `split_of`."""
    sequence = []
    for number in range(draw(st.integers(0, most))):
        what = draw(st.sampled_from(["label", "label", "skip", "split", "paint", "classes", "undo", "redo", "undo"]))
        event = Event(what, f"e{number}", f"2026-01-01T00:00:{number:02d}.000Z")
        if what == "classes":
            event = replace(event, note=draw(notes()))
        elif what not in ("undo", "redo"):
            picture = draw(st.integers(0, len(pictures) - 1))
            ids = draw(st.lists(st.integers(0, pictures[picture].count + 1), min_size=1, max_size=3, unique=True))
            event = replace(event, image=pictures[picture].name, superpixels=tuple(ids), round=draw(st.integers(0, 2)))
        if what == "paint":
            way = draw(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=3))
            h, w = pictures[picture].ids().shape
            cut = brushed([[x * w, y * h] for x, y in way], draw(st.floats(1, 3)), (h, w))
            event = replace(event, superpixels=(), pieces=pack(*cut))
        sequence.append(replace(event, to=draw(st.sampled_from([*CLASSES, VOID, ""]))) if what in ("label", "paint") else event)
    return sequence


@st.composite
def notes(draw):
    """Some classes in another order, with other names, and one of the others may be merged into one of these."""
    codes = draw(st.permutations(range(len(CLASSES))))[: draw(st.integers(1, len(CLASSES)))]
    table = [[c, draw(st.sampled_from([CLASSES[c], f"new {c}"])), "#123456"] for c in codes]
    rest = [c for c in range(len(CLASSES)) if c not in codes]
    return json.dumps({"classes": table, "into": [[rest[0], codes[0]]] if rest and draw(MAYBE) else []})


def carried_out(board, events):
    """Does the events that fit as a session does, each checked before it is written; returns the bytes of their log."""
    log = b""
    for event in events:
        if event.what == "split":
            i, some = board.place(event.image), event.superpixels
            if max(some) >= len(board.labels(i)) or np.isin(board.ids(i), some).sum() < 2:
                continue
            cut = split(board.pictures[i].image(), board.ids(i), some, 0.4 if event.round else 4)
            event = replace(event, pieces=pack(*cut))
        before = state(board)
        try:
            board.check(event)
        except ValueError:
            assert state(board) == before
            continue
        log += to_line(event)
        board.apply(event)
    return log


@st.composite
def boards(draw):
    """Pictures of a board, and events."""
    maps = draw(st.lists(label_maps(5, 7), min_size=1, max_size=2))
    pictures = tuple(Drawn(f"p{i}", m.astype(np.uint16)) for i, m in enumerate(maps))
    return pictures, draw(acts(pictures))


@every(drawn=boards())
def test_undo_and_redo_go_through_the_states_there_were_and_a_log_read_again_gives_the_same(drawn):
    pictures, events = drawn
    done = Board(pictures, CLASSES)
    log = carried_out(done, events)
    found, damaged, whole = parse(log, "log")
    assert not damaged and whole == len(log)
    board, past, future = Board(pictures, CLASSES), [], []
    now = start = state(board)
    for event in found:
        if event.what == "undo":
            future.append(now)
            now = past.pop()
        elif event.what == "redo":
            past.append(now)
            now = future.pop()
        board.apply(event)
        if event.what not in ("undo", "redo"):
            past.append(now)
            now, future = state(board), []
        assert state(board) == now and len(board.acts) == len(past)
    assert state(board) == state(done) and board.acts == done.acts and board.lost == 0
    assert board.counts().tolist() == [*board.as_labels().class_counts().tolist(), board.counts()[-1]]
    for number in range(len(past)):
        board.apply(Event("undo", f"u{number}"))
    assert state(board) == start and board.acts == []


@every(drawn=boards(), data=st.data())
def test_a_board_takes_any_events_and_counts_what_does_not_fit(drawn, data):
    """Of a log with lines left out, or of another folder: nothing stops, nothing else changes."""
    pictures, events = drawn
    log = carried_out(Board(pictures, CLASSES), events)
    kept = [e for e in parse(log, "log")[0] if data.draw(MAYBE)]
    strange = data.draw(st.lists(EVENTS.filter(lambda e: e.what not in ("split", "paint", "classes")), max_size=3))
    names = st.sampled_from([p.name for p in pictures] + ["gone"])
    strange = [
        replace(e, image=data.draw(names), superpixels=data.draw(st.sampled_from([e.superpixels, (0,), (10**30,), (-1,)])))
        for e in strange
    ]
    board = Board(pictures, CLASSES)
    for event in [*kept, *strange]:
        with suppress(ValueError):
            board.check(event)
        board.apply(event)
    for i, picture in enumerate(pictures):
        assert len(board.labels(i)) == board.ids(i).max() + 1 and board.paint(i).shape == picture.map.shape


# ---- the log


# ---- pieces, clocks, and two people


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures of 2 x 3 squares with a session of ana and one of ben, whose logs are written over."""
    photos = tmp_path_factory.mktemp("two") / "photos"
    photos.mkdir()
    for name in ("p0", "p1"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)).save(photos / f"{name}.png")
    for who in ("ana", "ben"):
        how = {"superpixel_method": "grid", "superpixel_count": 6, "workers": 1}
        open_session(photos, list(CLASSES), annotator=who, side=60, **how).close()
    return photos, read_session(photos, "ana").board.pictures


@every(data=st.data(), take=st.sampled_from([None, "later", "ana"]))
def test_what_two_people_labeled_is_in_the_merged_log_or_told_as_a_conflict(folder, data, take):
    (photos, pictures), boards = folder, {}
    for who in ("ana", "ben"):
        boards[who] = Board(pictures, CLASSES)
        log = carried_out(boards[who], [replace(e, id=f"{who}{e.id}") for e in data.draw(acts(pictures, 8))])
        (photos.parent / "photos-labels" / who / "clicks.jsonl").write_bytes(log)
    shutil.rmtree(photos.parent / "photos-labels" / "both", ignore_errors=True)
    done = merge(photos, ["ben", "ana"], "both", take=take)
    events = parse(done.log.read_bytes(), "log")[0]
    merged = Board(pictures, CLASSES, events)
    for event in (e for e in events if e.what == "classes"):  # as one of them has named and merged them last
        for board in boards.values():
            board.apply(event)
    assert merged.lost == 0 and done.labeled == merged.counts().sum()
    conflicts = {(c.picture, c.superpixel): c for c in done.conflicts}
    for i, picture in enumerate(pictures):
        ids, own = merged.ids(i), [b.labels(i)[b.ids(i)] for b in boards.values()]
        found = merged.labels(i)[ids]
        for part in np.unique(ids):
            mine = ids == part
            said = {tuple(np.unique(o[mine]).tolist()) for o in own}  # what each of them called these pixels: one thing
            assert all(len(codes) == 1 for codes in said)
            said = {codes[0] for codes in said} - {UNLABELED}
            got = set(np.unique(found[mine]).tolist())
            if len(said) <= 1:
                assert got == (said or {UNLABELED}) and (picture.name, int(part)) not in conflicts
            else:
                told = conflicts.pop((picture.name, int(part)))
                assert got <= said | {UNLABELED} and len(told.labels) == 2 and mine[told.place]
                assert take != "ana" or got == set(np.unique(own[0][mine]).tolist())
    assert not conflicts
