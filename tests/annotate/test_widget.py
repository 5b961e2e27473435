"""Python's half of the annotation widget, without a browser: what it answers to each message."""

import zlib
from datetime import datetime, timedelta
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.beside import Beside
from oreal_lib.annotate.events import read_whole
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.widget import AGGREGATES, Annotator, _give_way
from oreal_lib.strategies import STRATEGIES

GRID = {"superpixel_method": "grid", "superpixel_count": 12, "query_size": 4, "device": "cpu", "live": False}


@pytest.fixture
def widget(tmp_path):
    """A widget for two pictures of 48 x 64 pixels in 12 squares each; `sent` holds what went to the browser."""
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    session = open_session(tmp_path / "photos", ["road", "sky"], **GRID)
    widget = Annotator(session)
    widget.sent = []
    widget.send = lambda content, buffers=None: widget.sent.append((content, buffers or []))
    widget.hear = lambda **content: widget._answer(widget, content, [])
    return widget


def last(widget, kind):
    return next((content, buffers) for content, buffers in reversed(widget.sent) if content["kind"] == kind)


def label(widget, act_id, picture, superpixels, to, **more):
    widget.hear(
        kind="act", id=act_id, do="label", picture=picture, superpixels=superpixels, to=to, how="click", seconds=1.5, **more
    )


def test_the_first_answer_is_the_state_and_the_picture_of_the_first_suggestion(widget):
    widget.hear(kind="hello", pending=[])
    (state, _), (picture, buffers) = widget.sent
    assert state["session"] == widget.session_name == widget.session.name
    assert [c["name"] for c in state["classes"]] == ["road", "sky"] and state["order"] == (0, 1)
    assert [c["color"] for c in state["classes"]] == list(widget.session.board.named.colors) and state["problems"] == ()
    assert state["strategies"] == list(STRATEGIES) and set(AGGREGATES) <= set(state["aggregates"])
    assert len(state["query"]) == 4 and picture["picture"] == state["query"][0][0] == state["picture"]
    assert state["counters"]["superpixels"] == 24 and state["counters"]["debt"] == [2, 2]
    layers = dict(zip(picture["layers"], buffers, strict=True))
    assert Image.open(BytesIO(layers["image"])).size == (64, 48) and list(layers["labels"]) == [254] * 12
    assert "prediction" not in layers


def test_an_act_is_on_disk_when_it_is_acknowledged_and_its_counters_are_right(widget):
    label(widget, "one", 1, [3, 4], 1)
    done, _ = last(widget, "done")
    assert done["id"] == "one" and done["changes"] == [{"picture": 1, "superpixels": [3, 4], "labels": [1, 1]}]
    assert done["counters"]["per_class"] == [0, 2, 0] and done["counters"]["clicks"] == 2 and done["to_see"] is None
    event = read_whole(widget.session.log.path)[-1]
    assert (event.id, event.image, event.superpixels, event.to, event.seconds) == ("one", "b", (3, 4), "sky", 1.5)


def test_void_and_clear_have_codes_of_their_own_and_other_codes_are_refused(widget):
    for act_id, code, expected in (("v", 255, "void"), ("c", 254, "")):
        label(widget, act_id, 0, [5], code)
        assert read_whole(widget.session.log.path)[-1].to == expected
    label(widget, "x", 0, [5], 2)
    assert "there is no class 2" in last(widget, "refused")[0]["text"]


def test_acts_that_a_dead_kernel_did_not_answer_are_done_once_and_in_order(widget):
    label(widget, "first", 0, [0], 0)
    pending = [
        {"id": "first", "do": "label", "picture": 0, "superpixels": [0], "to": 0, "how": "click", "seconds": 1},
        {"id": "second", "do": "label", "picture": 0, "superpixels": [0], "to": 1, "how": "click", "seconds": 1},
    ]
    widget.hear(kind="hello", pending=pending)
    widget.hear(kind="hello", pending=pending)
    assert [e.id for e in read_whole(widget.session.log.path) if e.what == "label"] == ["first", "second"]
    assert widget.session.board.labels(0)[0] == 1
    assert [c["id"] for c, _ in widget.sent if c["kind"] == "done"].count("second") == 2  # or the browser would send it for ever


def test_an_act_that_overtook_another_one_waits_for_it(widget):
    label(widget, "second", 0, [0], 1, after="first")  # first was lost on its way
    assert last(widget, "again")[0]["id"] == "second" and widget.session.board.labels(0)[0] == 254
    label(widget, "first", 0, [0], 0)
    label(widget, "second", 0, [0], 1, after="first")
    assert [e.id for e in read_whole(widget.session.log.path) if e.what == "label"] == ["first", "second"]
    label(widget, "wrong", 0, [99], 1, after="second")  # a refused act holds up no other
    label(widget, "third", 0, [1], 1, after="wrong")
    assert last(widget, "done")[0]["id"] == "third"


def test_a_click_that_had_to_wait_has_the_time_at_which_it_was_made(widget):
    act = {"id": "late", "do": "label", "picture": 0, "superpixels": [0], "to": 0, "seconds": 0, "clicked": 5_000_000}
    widget.hear(kind="hello", pending=[act], now=5_000_000 + 90_000)  # by whatever clock the browser has
    label(widget, "wrong", 0, [1], 0, clicked=7e15, now=0)
    late, wrong = (datetime.fromisoformat(e.at) for e in read_whole(widget.session.log.path)[-2:])
    assert timedelta(seconds=89) < wrong - late < timedelta(seconds=120)


def test_an_act_names_its_picture_because_places_change(widget):
    label(widget, "one", 0, [3], 1, name="b")
    assert widget.session.board.labels(1)[3] == 1 and widget.session.board.labels(0)[3] == 254


def test_acts_after_one_that_cannot_be_written_wait_for_it(widget, monkeypatch):
    pending = [{"id": i, "do": "label", "picture": 0, "superpixels": [0], "to": to, "seconds": 0} for i, to in (("x", 0), ("y", 1))]
    with monkeypatch.context() as patched:
        patched.setattr(widget.session.log, "append", lambda event: (_ for _ in ()).throw(OSError(28, "full")))
        widget.hear(kind="hello", pending=pending)
    assert [c["id"] for c, _ in widget.sent if c["kind"] == "failed"] == ["x"]


def test_an_undo_says_what_it_has_taken_back(widget):
    said = []
    label(widget, "one", 1, [3, 4], 1)
    table = [[0, "road", "#112233"], [1, "sky", "#445566"]]
    street = [[0, "street", "#112233"], table[1]]
    for n, classes in enumerate([street, [*street, [None, "tree", "#778899"]]]):
        widget.hear(kind="act", id=f"c{n}", do="classes", classes=classes)
    widget.hear(kind="act", id="m", do="classes", classes=[street[0], [2, "tree", "#778899"]], into=[[1, 0]])
    for n in range(5):
        widget.hear(kind="act", id=f"u{n}", do="undo" if n < 4 else "redo")
        said.append(last(widget, "done")[0]["turned"])
    assert said == [
        "Undone: sky merged into street.",
        "Undone: tree added; the class stays in the list, for others may use it.",
        "Undone: road renamed street, street colored anew, sky colored anew.",
        'Undone: 2 superpixels of "b" labeled sky.',
        'Done again: 2 superpixels of "b" labeled sky.',
    ]


def test_what_was_seen_is_accepted_though_a_round_has_ended_meanwhile(widget):
    widget.session.view = {0: (np.full((48, 64), 1, np.uint8), np.full((48, 64), 9, np.uint8))}.get  # sky by now
    widget.hear(kind="act", id="a", do="accept", picture=0, superpixels=[2], to=0, how="key", seconds=0)
    assert widget.session.board.labels(0)[2] == 0 and read_whole(widget.session.log.path)[-1].how == "accept"


def test_an_undo_says_in_which_picture_it_was(widget):
    label(widget, "one", 1, [3], 0)
    widget.hear(kind="act", id="two", do="undo", seconds=0)
    done, _ = last(widget, "done")
    assert done["to_see"] == 1 and done["changes"] == [{"picture": 1, "superpixels": [3], "labels": [254]}]


def test_a_split_sends_the_new_partition_without_the_image(widget):
    widget.hear(kind="act", id="s", do="split", picture=0, superpixels=[5], seconds=0)
    picture, buffers = last(widget, "picture")
    assert picture["keep"] and "image" not in picture["layers"] and picture["count"] > 12
    assert len(buffers[picture["layers"].index("labels")]) == picture["count"]


def test_what_is_no_message_becomes_a_sentence_and_not_a_traceback(widget):
    for content in ({"kind": "dance"}, {"kind": "show", "picture": 7}, {"kind": "set", "strategy": "best", "aggregate": "max"}):
        widget.hear(**content)
        assert last(widget, "error")[0]["text"]
    assert "choose one of" in last(widget, "error")[0]["text"]
    widget.hear(kind="train")
    assert "label a few of each class" in last(widget, "error")[0]["text"]


def test_to_finish_says_how_many_masks_lie_where_and_how_many_pixels_were_clicked(widget):
    widget.session.view = {i: (np.zeros((48, 64), np.uint8),) * 2 for i in range(2)}.get
    label(widget, "one", 1, [3, 4, 5], 1)
    widget.hear(kind="finish")
    done, _ = last(widget, "finished")
    assert done["text"] == f"2 masks, the clicks and what was learned are in {widget.session.work / 'export' / 'me'}"
    assert (
        done["shares"] == "768 clicked (12%), 0 accepted (0%), 0 only predicted (0%), 5,376 without a class (88%)"
    )  # nothing was trained
    assert (widget.session.work / "export" / "me" / "masks" / "b.png").exists()


def test_layers_are_what_the_session_has(widget):
    widget.session.view = {0: (np.full((48, 64), 1, np.uint8), np.full((48, 64), 200, np.uint8))}.get
    widget.hear(kind="show", picture=0)
    picture, buffers = last(widget, "picture")
    layers = dict(zip(picture["layers"], buffers, strict=True))
    assert set(zlib.decompress(layers["prediction"])) == {1} and set(zlib.decompress(layers["uncertainty"])) == {200}
    assert list(layers["predicted"]) == [1] * 12
    assert zlib.decompress(layers["ids"]) == widget.session.board.ids(0).tobytes()


def test_a_page_closes_the_log_for_the_next_page_that_asks(widget, tmp_path, monkeypatch):
    log, asks = widget.session.log, tmp_path / "page.asks"
    monkeypatch.setattr("oreal_lib.annotate.widget.time.sleep", lambda seconds: next(looks)())
    looks = iter([asks.touch, lambda: None])  # after the first look somebody asks
    _give_way(log, asks)
    assert log.closed and next(looks, None) is None


class Fake(Beside):
    """In place of the process that learns: `told` is what it was told, `hear` what it says."""

    def __init__(self, command, log, first, hear):
        self.told, self.hear, self.closed = [first], hear, False
        self.learned, self.views, self.query, self.seen, self.ended, self.measured = False, {}, [], 0, "", {}

    def tell(self, what):
        self.told.append(what)

    def end(self):
        self.closed = True


def test_live_every_act_is_told_and_what_was_learned_is_shown(widget, monkeypatch):
    monkeypatch.setattr("oreal_lib.annotate.session.Beside", Fake)
    widget.hear(kind="live", on=True)
    beside = widget.session._beside
    assert last(widget, "state")[0]["live"] and beside.told[0]["upto"] == 1 and beside.told[0]["look"] == widget._shown
    label(widget, "one", 0, [3], 1)
    lacks = "No label yet: road. Click one of each by hand; two classes are needed."
    assert last(widget, "done")[0]["text"] == f"{lacks} looking at the pictures: 0 of 2."
    for name in "ab":  # as they lie there when it starts again
        file = widget.session.work / "pictures" / "features-any" / f"{name}.npy"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert widget.session.live_text() == f"{lacks} reading what was seen of the pictures: 0 of 2."
    widget.hear(kind="look", picture=1)
    widget.hear(kind="set", strategy="bvsb", aggregate="mean")
    assert [set(told) for told in beside.told[1:]] == [{"line"}, {"look"}, {"ask"}]
    beside.hear({"kind": "fitted", "known": True})
    beside.hear({"kind": "query", "query": [[1, 2], [0, 3], [0, 7]]})
    arrays = [np.full((48, 64), 1, np.uint8), np.full((48, 64), 200, np.uint8)]
    beside.hear({"kind": "view", "picture": 1, "arrays": arrays})
    learned, buffers = last(widget, "live")
    assert learned["picture"] == 1 and learned["learned"] and learned["query"] == [(1, 2), (0, 7)]  # the other is labeled
    layers = dict(zip(learned["layers"], buffers, strict=True))
    assert set(zlib.decompress(layers["prediction"])) == {1} and list(layers["predicted"]) == [1] * 12
    label(widget, "two", 1, [2], 0)
    assert read_whole(widget.session.log.path)[-1].round == 1  # it was asked
    label(widget, "three", 0, range(12), 0)
    beside.hear({"kind": "quality", "act": "three", "per_class": [[6, 12], [1, 2]]})
    assert last(widget, "live")[0]["quality"]["curve"] == [[14, 0.075, 0.5]]
    assert last(widget, "live")[0]["counters"]["foreseen"] == [
        0,
        1,
    ]
    beside.hear({"kind": "fitted", "known": False})
    assert not last(widget, "live")[0]["learned"] and widget.session.view(1) is None
    beside.hear({"kind": "ended", "why": "exit code -9: "})
    assert last(widget, "live")[0]["text"].startswith("Live learning has stopped (exit code -9: ); your clicks are kept.")
    widget.hear(kind="live", on=False)
    assert beside.closed and not last(widget, "state")[0]["live"] and not widget.session.learned
    sent = len(widget.sent)
    beside.hear({"kind": "fitted", "known": True})  # what it says on its way out
    assert len(widget.sent) == sent
