"""No step and no click is lost: any acts, any log cut off or changed anywhere, any two logs put together."""

import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from generated import MAYBE, every, label_maps, refusal
from hypothesis import strategies as st
from PIL import Image

from oreal_lib.annotate.board import UNLABELED, Board, pack, split
from oreal_lib.annotate.events import VOID, WHATS, Event, Log, parse, to_line
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
LOGS = st.lists(EVENTS, max_size=6).map(lambda events: [replace(e, id=f"{i}{e.id}") for i, e in enumerate(events)])


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
    return [board.labels(i).tolist() for i in n], [board.ids(i).tolist() for i in n], skipped


@st.composite
def acts(draw, pictures, most=12):
    """Events that a person can send, most of which fit a board of these pictures; a split brings its pieces from `split_of`."""
    sequence = []
    for number in range(draw(st.integers(0, most))):
        what = draw(st.sampled_from(["label", "label", "skip", "split", "undo", "redo", "undo"]))
        event = Event(what, f"e{number}", f"2026-01-01T00:00:{number:02d}.000Z")
        if what not in ("undo", "redo"):
            picture = draw(st.integers(0, len(pictures) - 1))
            few = 1 if what == "split" else 3
            ids = draw(st.lists(st.integers(0, pictures[picture].count + 1), min_size=1, max_size=few))
            event = replace(event, image=pictures[picture].name, superpixels=tuple(ids), round=draw(st.integers(0, 2)))
        sequence.append(replace(event, to=draw(st.sampled_from([*CLASSES, VOID, ""]))) if what == "label" else event)
    return sequence


def carried_out(board, events):
    """The events that fit, done in order as a session does them, checked before each is written; the bytes of their log."""
    log = b""
    for event in events:
        if event.what == "split":
            i, (superpixel,) = board.place(event.image), event.superpixels
            if (board.ids(i) == superpixel).sum() < 2:
                continue
            event = replace(event, pieces=pack(*split(board.pictures[i].image(), board.ids(i), superpixel)))
        before = state(board)
        if refusal_of_person(lambda: board.check(event)):  # noqa: B023
            assert state(board) == before
            continue
        log += to_line(event)
        board.apply(event)
    return log


def refusal_of_person(call):
    """What is said to a person about a click; one clause is enough."""
    try:
        call()
    except ValueError as error:
        assert type(error) is ValueError and str(error)
        return str(error)
    return None


@st.composite
def boards(draw):
    """Pictures of a board, and events."""
    maps = draw(st.lists(label_maps(5, 7), min_size=1, max_size=2))
    pictures = tuple(Drawn(f"p{i}", m.astype(np.uint16)) for i, m in enumerate(maps))
    return pictures, draw(acts(pictures))


@every(drawn=boards())
def test_any_acts_undone_and_redone_give_what_their_log_gives_when_it_is_read_again(drawn):
    pictures, events = drawn
    board = Board(pictures, CLASSES)
    log = carried_out(board, events)
    found, damaged, whole = parse(log, "log")
    again = Board(pictures, CLASSES, found)
    assert not damaged and whole == len(log) and again.lost == 0
    assert state(again) == state(board) and again.acts == board.acts
    assert again.counts().tolist() == board.counts().tolist() == [*again.as_labels().class_counts().tolist(), board.counts()[-1]]


@every(drawn=boards())
def test_undo_and_redo_go_back_and_forth_through_the_states_there_were(drawn):
    pictures, events = drawn
    board = Board(pictures, CLASSES)
    found, _, _ = parse(carried_out(board, events), "log")
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
    for number in range(len(past)):
        board.apply(Event("undo", f"u{number}"))
    assert state(board) == start and board.acts == []


@every(drawn=boards(), data=st.data())
def test_a_board_takes_any_events_and_counts_what_does_not_fit(drawn, data):
    """Of a log with lines left out, or of another folder: nothing stops, nothing else changes."""
    pictures, events = drawn
    log = carried_out(Board(pictures, CLASSES), events)
    kept = [e for e in parse(log, "log")[0] if data.draw(MAYBE)]
    strange = data.draw(st.lists(EVENTS.filter(lambda e: e.what != "split"), max_size=3))
    names = st.sampled_from([p.name for p in pictures] + ["gone"])
    strange = [
        replace(e, image=data.draw(names), superpixels=data.draw(st.sampled_from([e.superpixels, (0,), (10**30,), (-1,)])))
        for e in strange
    ]
    board = Board(pictures, CLASSES)
    for event in [*kept, *strange]:
        refusal_of_person(lambda event=event: board.check(event))
        board.apply(event)
    for i, picture in enumerate(pictures):
        assert len(board.labels(i)) == board.ids(i).max() + 1 and board.paint(i).shape == picture.map.shape


# ---- the log


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("log")


@every(events=LOGS, data=st.data())
def test_a_repaired_log_keeps_every_whole_line_and_the_old_file(place, events, data):
    shutil.rmtree(place / "repair", ignore_errors=True)
    (place / "repair").mkdir()
    path, log = place / "repair" / "clicks.jsonl", bytearray(b"".join(map(to_line, events)))
    for _ in range(data.draw(st.integers(0, 3)) if log else 0):
        log[data.draw(st.integers(0, len(log) - 1))] = data.draw(st.integers(0, 255))
    log = log[: data.draw(st.integers(0, len(log)))] if data.draw(MAYBE) else log
    path.write_bytes(log)
    found, damaged, whole = parse(bytes(log), "clicks.jsonl")
    if damaged:
        assert "put back a whole copy" in refusal(lambda: Log(path)) and path.read_bytes() == log
    opened = Log(path, repair=True)
    opened.append(Event("label", "new", image="p"))
    opened.close()
    assert opened.events == [*found, Event("label", "new", image="p")]
    assert parse(path.read_bytes(), "log")[:2] == (opened.events, [])
    aside = [p.read_bytes() for p in path.parent.glob("*.torn-*")] + [p.read_bytes() for p in path.parent.glob("*.damaged-*")]
    assert aside == ([bytes(log)] if damaged else [bytes(log[whole:])] if whole < len(log) else [])


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
    merged = Board(pictures, CLASSES, parse(done.log.read_bytes(), "log")[0])
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
