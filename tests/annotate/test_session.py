"""A session: each act is on disk before it counts, and whatever happens to process, folder or files, no click is lost."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate import rounds
from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.events import VOID, read_whole, to_line
from oreal_lib.annotate.pictures import key
from oreal_lib.annotate.saved import read_board, read_json, work_folder
from oreal_lib.annotate.session import open_session
from oreal_lib.storage import checked
from oreal_lib.storage.progress import lines_to
from oreal_lib.types import IGNORE

CLASSES = ["sky", "road, wet", "Öl"]
TINY = {"superpixel_method": "grid", "superpixel_count": 12, "max_epochs": 1, "query_size": 4, "device": "cpu"}
WAY = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES = multiprocessing.get_context(WAY)
if WAY == "forkserver":
    PROCESSES.set_forkserver_preload(["pytest", "oreal_lib.annotate.session"])  # imported once; each process is a fork of it


def photos(folder, names=("a", "b")):
    """A folder with pictures of 48 x 64 pixels: 3 x 4 superpixels of 16 x 16 each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return photos(tmp_path / "photos")


def opened(folder, classes=None, said=None, **how):
    with lines_to((lambda line: None) if said is None else said.append):
        return open_session(folder, classes, **(TINY | how))


@pytest.fixture
def session(folder):
    session = opened(folder, CLASSES)
    return session


def labels(session):
    return [session.board.labels(i).tolist() for i in range(len(session.pictures))]


def on_disk(session):
    return read_whole(session.log.path)


def finish_round(session, number, views, query, log=None):
    """What a training would leave: views by picture name, and what is asked."""
    folder = rounds.folder_of(session.home, number)
    (folder / "views").mkdir(parents=True)
    for name, predicted in views.items():
        np.savez(folder / "views" / f"{key(name)}.npz", predicted=predicted, unsure=predicted)
    log = len(session.log.events) if log is None else log
    checked.write(folder / "request.json", {"log": log})
    checked.write(folder / "query.json", {"query": query, "score": [0.0] * len(query), "for_class": None, "log": log})
    checked.write(folder / "done.json", {"round": number})


def test_a_session_begins_with_all_superpixels_unlabeled_and_a_random_query(session, folder):
    assert labels(session) == [[UNLABELED] * 12] * 2 and session.round == 1
    assert len(session.query()) == 4 and len(set(session.query())) == 4
    assert session.home == folder.with_name("photos-labels") / "me"
    assert session.counters() == {
        "clicks": 0,
        "labeled": 0,
        "superpixels": 24,
        "round": 1,
        "asked": 4,
        "answered": 0,
        "per_class": [0, 0, 0, 0],
        "debt": [2, 1, 1],
        "foreseen": [0, 0],
        "minutes": 0.0,
    }


def test_an_act_is_on_disk_before_it_returns_and_there_when_the_session_is_opened_again(session, folder):
    query = session.query()
    i, s = query[0]
    session.act("label", i, [s], "Öl", how="key", act_id="one", seconds=2.5)
    event = on_disk(session)[-1]
    assert (event.id, event.what, event.image, event.superpixels, event.to) == ("one", "label", "ab"[i], (s,), "Öl")
    assert (event.how, event.round, event.seconds, event.at[-1]) == ("key", 1, 2.5, "Z")
    session.act("skip", *query[1][:1], [query[1][1]])
    session.act("split", 0, [5])
    session.act("label", 1, [0, 1, 2, 2], "sky", how="drag")
    session.act("undo")
    session.act("label", 0, [int(session.board.labels(0).size) - 1], VOID)
    before, asked, ids = labels(session), session.query(), session.board.ids(0)
    again = opened(folder)
    assert labels(again) == before and again.query() == asked and (again.board.ids(0) == ids).all()
    assert [e.what for e in again.log.events] == ["open", "label", "skip", "split", "label", "undo", "label", "open"]
    assert [again.act("undo") and len(again.board.acts) for _ in range(4)] == [3, 2, 1, 0]
    assert labels(again) == [[UNLABELED] * 12] * 2


def test_the_answered_and_the_skipped_leave_the_query_and_the_cleared_come_back(session):
    first, second, third, fourth = session.query()
    session.act("label", first[0], [first[1]], "sky")
    session.act("skip", second[0], [second[1]])
    session.act("label", third[0], [third[1]], VOID)
    assert session.query() == [fourth] and session.counters()["answered"] == 3
    session.act("label", first[0], [first[1]], "")
    assert session.query() == [first, fourth]
    session.act("undo")
    session.act("undo")
    session.act("undo")
    assert session.query() == [second, third, fourth]
    assert session.counters()["asked"] == 4 and session.counters()["answered"] == 1


def test_the_log_says_who_was_asked(session):
    (i, s), *_ = session.query()
    free = next(k for k in range(12) if (i, k) not in session.query())
    for superpixels in ([s], [free], [s, free]):
        session.act("label", i, superpixels, "sky")
    session.act("skip", i, [free])
    assert [e.round for e in on_disk(session)[1:]] == [1, 0, 0, 1]


def test_counters_by_hand(session):
    session.act("label", 0, [0, 1, 2], "sky", seconds=30)
    session.act("label", 0, [2], VOID, seconds=60)
    session.act("label", 1, [7], "Öl", seconds=100_000)  # gone for lunch: counts as one minute
    session.act("label", 1, [8], "Öl", seconds=-5)  # the clock went back
    session.act("undo", seconds=float("nan"))
    session.act("label", 1, [9, 10], "sky", how="import")
    counters = session.counters()
    assert counters["per_class"] == [4, 0, 1, 1] and counters["labeled"] == 6 and counters["superpixels"] == 24
    assert counters["clicks"] == 5 and counters["minutes"] == 2.5 and counters["debt"] == [0, 3, 1]


def test_an_act_that_comes_twice_is_done_once(session, folder):
    assert session.act("label", 0, [0], "sky", act_id="x") != []
    session.act("label", 0, [0], VOID)
    assert session.act("label", 0, [0], "sky", act_id="x") == [] and session.board.labels(0)[0] == IGNORE
    again = opened(folder)
    assert again.act("undo", act_id="x") == [] and again.board.labels(0)[0] == IGNORE


@pytest.mark.parametrize(
    "act, why",
    [
        (("label", 2, [0], "sky"), r"no picture 2; there are 0\.\.1"),
        (("label", 0, [0], "sea"), "no class 'sea'"),
        (("split", 0, []), "names no superpixel"),
        (("fill", 0, [], "sky"), "no unlabeled superpixel here is enclosed by sky"),
        (("accept", 0, [0]), "no prediction to accept yet"),
        (("undo",), "nothing to undo"),
    ],
)
def test_a_refused_act_changes_nothing_on_disk(session, act, why):
    before, board = session.log.path.read_bytes(), labels(session)
    with pytest.raises(ValueError, match=why):
        session.act(*act, act_id="x")
    assert session.log.path.read_bytes() == before and labels(session) == board and "x" not in session.log


def test_classes_that_cannot_be_used_are_refused(session):
    names = ["sky", "road", "tree"] if len(session.classes) == 3 else list(session.classes)
    table = [[c, name, "#112233"] for c, name in enumerate(names)]
    before = session.log.path.read_bytes()
    for wrong, why in (
        ([*table, [None, names[0], "#112233"]], "named twice"),
        ([*table, [None, " sea", "#112233"]], "without spaces"),
        ([[0, names[0], "red"]], "the color of"),
        ([[9, "sea", "#112233"]], "there is no class 9"),
    ):
        with pytest.raises(ValueError, match=why):
            session.act("classes", classes=wrong, into={})
    with pytest.raises(ValueError, match="no class 'sea'"):
        session.act("paint", 0, to="sea", points=[[5, 5]], radius=2)
    assert session.log.path.read_bytes() == before


def test_new_classes_are_there_for_everybody_and_renamed_ones_stay_so_when_the_session_is_opened_again(session, folder):
    session.act("label", 0, [1], session.classes[0])
    old = [[c, name, "#112233"] for c, name in enumerate(session.classes)]
    session.act("classes", classes=[[None, "sea", "#445566"], [0, "heaven", "#112233"], *old[1:]], into={})
    session.act("label", 0, [2], "sea")
    session.act("all", 0, [3, 4, 5], ["sea", "heaven", "sea"], act_id="all")
    assert [e.id for e in session.log.events[-2:]] == ["all.1", "all"]
    session.act("paint", 1, points=[[3, 3], [9, 3]], radius=2, to="sea")
    seen, names, shown = labels(session), session.classes, session.board.named.shown
    assert names[0] == "heaven" and names[-1] == "sea" and shown[:2] == (len(old), 0)
    assert session.counters()["clicks"] == 2  # what was accepted at once, or painted, is no click on a superpixel
    other = opened(folder, annotator="ben")
    assert other.classes == (*(name for _, name, _ in old), "sea")
    other.close()
    again = opened(folder)
    assert labels(again) == seen and again.classes == names and again.board.named.shown == shown
    assert read_board(folder, again.work, "me")[0].named == again.board.named
    again.act("undo")
    again.act("undo")
    assert again.board.labels(0)[3:6].tolist() == [UNLABELED] * 3


def test_an_act_of_several_events_that_a_kill_cut_short_is_completed_when_it_comes_again(session, folder, monkeypatch):
    write, left = session.log.append, iter([True, False])
    monkeypatch.setattr(
        session.log, "append", lambda event: write(event) if next(left) else (_ for _ in ()).throw(OSError("killed"))
    )
    names = [session.classes[0], session.classes[1]]
    with pytest.raises(OSError):
        session.act("all", 0, [3, 4], names, act_id="x")
    assert "x" not in session.log
    again = opened(folder)
    again.act("all", 0, [3, 4], names, act_id="x")
    assert again.board.labels(0)[3:5].tolist() == [0, 1] and [e.id for e in again.log.events if e.what == "label"] == ["x.1", "x"]


def test_fill_labels_what_a_class_encloses(session):
    session.act("label", 0, [0, 1, 2, 4, 6, 8, 9, 10], session.classes[0])  # a ring of a 3 x 4 grid
    session.act("fill", 0, to=session.classes[0])
    assert session.board.labels(0).tolist() == [0, 0, 0, UNLABELED, 0, 0, 0, UNLABELED, 0, 0, 0, UNLABELED]
    assert session.log.events[-1].how == "fill"


def test_an_act_that_cannot_be_written_has_not_happened(session, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("oreal_lib.annotate.events.os.fsync", full)
        with pytest.raises(OSError, match="the disk is full: free some space and try again"):
            session.act("label", 0, [0], "sky", act_id="x")
    assert session.board.labels(0)[0] == UNLABELED and len(on_disk(session)) == 1
    session.act("label", 0, [0], "sky", act_id="x")
    assert session.board.labels(0)[0] == 0 and on_disk(session)[-1].id == "x"


def test_accept_gives_the_predicted_class_and_follows_splits(session):
    seen = np.zeros((48, 64), np.uint8)
    seen[:16, 16:32], seen[:16, 32:39] = 2, 1  # superpixel 1 is Öl; 7 of 16 columns of superpixel 2 are road
    finish_round(session, 2, {"a": seen}, [["a", 1], ["b", 3]])
    assert session.refresh() and not session.refresh() and session.query() == [(0, 1), (1, 3)]
    assert session.predicted(0).tolist() == [0, 2] + [0] * 10 and session.predicted(1) is None
    session.act("accept", 0, [1], how="accept")
    assert session.board.labels(0)[1] == 2 and on_disk(session)[-1].what == "label" and on_disk(session)[-1].to == "Öl"
    session.act("accept", 0, [0, 3])
    assert session.board.labels(0)[:4].tolist() == [0, 2, UNLABELED, 0]
    for superpixels in ([0, 1], [99], []):
        with pytest.raises(ValueError, match="cannot be accepted at once; accept one"):
            session.act("accept", 0, superpixels)
    with pytest.raises(ValueError, match="no prediction to accept"):
        session.act("accept", 1, [0])
    session.act("split", 0, [2])
    pieces = [k for k in range(len(session.board.labels(0))) if k == 2 or k > 11]
    want = [1 if (seen[session.board.ids(0) == k] == 1).mean() > 0.5 else 0 for k in pieces]
    assert session.predicted(0)[pieces].tolist() == want and len(pieces) > 1
    session.act("undo")
    assert len(session.predicted(0)) == 12


def test_what_was_foreseen_by_hand(session, folder):
    seen = np.zeros((48, 64), np.uint8)
    seen[:, 32:] = 1  # superpixels 2, 3, 6, 7, 10, 11
    session.act("label", 0, [11], "sky")  # nothing is predicted yet: does not count
    finish_round(session, 2, {"a": seen, "b": 1 - seen}, [["a", 0]])
    session.refresh()
    assert session.counters()["foreseen"] == [0, 0]
    session.act("label", 0, [0, 1, 11], "sky")  # right, right; the last had a label: does not count
    session.act("label", 0, [2], "sky")  # wrong
    session.act("label", 0, [3], VOID)  # does not count
    session.act("label", 1, [0], "sky")  # wrong, but put right:
    session.act("label", 1, [0], "road, wet")  # right
    session.act("label", 1, [1], "sky")
    session.act("label", 1, [1], "")  # does not count
    session.act("label", 1, [2], "Öl")
    session.act("undo")
    session.act("label", 1, [3], "sky", how="import")  # nobody clicked it
    assert session.counters()["foreseen"] == [3, 4]
    assert [e.seen for e in on_disk(session)[2:5]] == [(0, 0, UNLABELED), (1,), (1,)]
    (rounds.folder_of(session.home, 2) / "views" / f"{key('b')}.npz").write_bytes(b"damaged")
    session.close()
    again = opened(folder)
    assert again.counters()["foreseen"] == [3, 4]
    again.act("label", 1, [4], "sky")  # a click counts where its prediction cannot be read
    assert again.board.labels(1)[4] == 0 and again.counters()["foreseen"] == [3, 4]


def test_a_picture_that_is_gone_takes_its_labels_along_and_not_the_session(session, folder):
    session.act("label", 0, [0, 1], "sky")
    session.act("label", 1, [0], "sky")
    session.close()
    (folder / "b.png").rename(folder.parent / "b.png")
    said = []
    again = opened(folder, said=said)
    assert again.counters()["labeled"] == 2
    assert any("acts are about pictures, superpixels or classes that do not exist now" in text for text in said)


def test_classes_are_added_at_the_end_only(session, folder):
    session.act("label", 0, [0], "Öl")
    for wrong in (["road, wet", "sky", "Öl"], ["sky"], ["sea", *CLASSES]):
        with pytest.raises(ValueError, match=r"begun with the classes sky, road, wet, Öl, but now .*add new ones at the end only"):
            opened(folder, wrong)
    more = opened(folder, [*CLASSES, "sea"])
    more.act("label", 0, [1], "sea")
    again = opened(folder)
    assert again.classes == (*CLASSES, "sea") and again.board.labels(0)[:2].tolist() == [2, 3]


@pytest.mark.parametrize(
    "classes, why",
    [
        (None, "classes are not named; give classes"),
        ([], r"0 classes were given, but there must be 1 to 200"),
        ("road", r"classes is 'road', but must be a list of names, such as \['road'\]"),
        (["sky", "sky"], "'sky' is named twice"),
        (["sky", VOID], "named 'void', which always exists as the answer for no class"),
        (["sky "], "without spaces at its ends"),
        (["sky\nroad"], "one line of text"),
    ],
)
def test_wrong_classes_are_refused_before_anything_is_written(folder, classes, why):
    with pytest.raises(ValueError, match=why):
        opened(folder, classes)
    assert not work_folder(folder).exists()


@pytest.mark.parametrize(
    "how, why",
    [
        ({"annotator": ".."}, "annotator is '..', but must be usable as a folder's name"),
        ({"annotator": ""}, "a folder's name"),
        ({"annotator": "Pictures"}, "a folder's name"),
        ({"side": 31}, "side is 31, but must be a whole number of pixels from 32 to 8192"),
        ({"first": "kmeans"}, "first"),
        ({"strategy": "best"}, "strategy"),
        ({"aggregate": "vote"}, "aggregate is 'vote'"),
        ({"query_size": None, "query_share": 0.1}, "give query_size"),
        ({"resize": "square"}, "write resize: crop"),
        ({"labeling": "weak", "undefined": "keep"}, "write labeling: dominant"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(folder, how, why):
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        opened(folder, CLASSES, **how)
    assert not work_folder(folder).exists() and sorted(p.name for p in folder.parent.iterdir()) == ["photos"]


def test_labels_do_not_lie_among_the_pictures(folder):
    for work in (folder, folder / "labels"):
        with pytest.raises(ValueError, match="masks would lie among the pictures"):
            opened(folder, CLASSES, work=work)
    assert sorted(p.name for p in folder.iterdir()) == ["a.png", "b.png"]
    folder.rename(folder.parent / "images")
    session = opened(folder.parent, CLASSES, work=folder.parent / "labels")  # beside images/ is a good place
    session.act("label", 0, [0], "sky")
    again = opened(folder.parent, work=folder.parent / "labels")
    assert again.board.labels(0)[0] == 0


def test_side_and_partition_stay_as_the_session_was_begun(folder, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in "ab":
        np.save(maps / f"{name}.npy", np.repeat([[0, 1]], 48, axis=0).repeat(32, axis=1))
    session = opened(folder, CLASSES, side=48, partition=maps)
    assert session.counters()["superpixels"] == 4 and session.pictures[0].size == (36, 48)
    session.act("label", 0, [1], "sky")
    opened(folder, side=48, partition=maps).close()
    with pytest.raises(ValueError, match="side is 64, but the session was begun with 48; leave it out"):
        opened(folder, side=64)
    with pytest.raises(ValueError, match=r"partition is .*photos.*begun with .*maps"):
        opened(folder, partition=folder)
    maps.rename(tmp_path / "moved")
    opened(folder).close()  # all are cut: nothing more is needed
    shutil.copy(folder / "a.png", folder / "c.png")
    with pytest.raises(ValueError, match="no label map for 1 of 1 pictures, the first is c"):
        opened(folder)
    np.save(tmp_path / "moved" / "c.npy", np.zeros((48, 64), int))
    again = opened(folder, partition=tmp_path / "moved")
    assert again.counters()["superpixels"] == 5 and again.board.labels(0).tolist() == [UNLABELED, 0]


@pytest.mark.parametrize("content", ["", "[]", '{"classes": ["sky"]}'])
def test_a_damaged_session_file_is_named_and_nothing_is_overwritten(session, folder, content):
    file = session.work / "session.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"session.json is damaged .*put back a copy of it, or name another folder \(work=\)"):
        opened(folder, CLASSES)
    assert file.read_text() == content


def test_a_class_that_another_session_adds_meanwhile_does_no_harm(session, folder):
    opened(folder, [*CLASSES, "sea"], annotator="other")
    seen = np.zeros((48, 64), np.uint8)
    seen[:16, :16] = 3  # the new one: the training reads the classes anew
    finish_round(session, 2, {"a": seen}, [["a", 1]])
    session.refresh()
    assert session.predicted(0).tolist() == [3] + [0] * 11
    with pytest.raises(ValueError, match="class 3 is predicted, which another session has added since; open this session again"):
        session.act("accept", 0, [0])


def test_a_folder_that_moved_with_its_labels_goes_on(session, folder, tmp_path):
    session.act("label", 1, [3], "sky")
    query = session.query()
    session.close()
    (tmp_path / "elsewhere").mkdir()
    for name in ("photos", "photos-labels"):
        shutil.copytree(tmp_path / name, tmp_path / "elsewhere" / name)  # a copy has new times
        shutil.rmtree(tmp_path / name)
    again = opened(tmp_path / "elsewhere" / "photos")
    assert again.board.labels(1)[3] == 0 and again.query() == query
    assert read_json(again.work)["folder"] == str(tmp_path / "elsewhere" / "photos")


def test_a_folder_that_is_gone_is_named_and_the_labels_stay(session, folder):
    session.act("label", 0, [0], "sky")
    session.close()
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="photos does not exist; name the folder with your pictures"):
        opened(folder)
    photos(folder, ["b", "a"])  # other content under the old names
    with pytest.raises(ValueError, match="was changed after its superpixels were cut"):
        opened(folder)
    again = opened(photos(folder))
    assert again.board.labels(0)[0] == 0


def test_rounds_that_were_put_aside_or_deleted_do_not_stop_the_session(session, folder):
    for i in range(2):
        session.act("label", i, range(12), "sky")
    session.close()
    (session.home / "rounds" / "001").rename(session.home / "rounds" / "001 old")
    again = opened(folder)  # all is labeled: there is nothing to ask
    assert again.round == 1 and again.query() == [] and again.counters()["labeled"] == 24
    again.close()
    shutil.rmtree(session.home / "rounds")
    opened(folder).close()


def test_a_repaired_log_that_lost_a_split_goes_on_without_what_followed_from_it(session, folder):
    session.act("label", 0, [0], "sky")
    session.act("split", 0, [5])
    session.act("label", 0, [12], "Öl")  # a piece
    session.act("label", 0, [1], "Öl")
    split = next(to_line(e) for e in on_disk(session) if e.what == "split")
    session.log.path.write_bytes(session.log.path.read_bytes().replace(split, split.replace(b"split", b"splat")))
    with pytest.raises(ValueError, match=r"line 3 of clicks\.jsonl is damaged"):
        opened(folder)
    said = []
    again = opened(folder, repair=True, said=said)
    assert again.board.labels(0)[:3].tolist() == [0, 2, UNLABELED] and len(again.board.labels(0)) == 12
    assert any("line 3" in text for text in said) and any(text.startswith("1 acts are about") for text in said)
    assert read_board(folder, again.work, "me")[0].labels(0).tolist() == again.board.labels(0).tolist()


def test_a_picture_that_comes_later_changes_no_label_of_the_others(session, folder):
    session.act("label", 0, [3], "sky")
    session.act("split", 1, [0])
    ids, query = session.board.ids(1), session.query()
    photos(folder, ["0"])
    again = opened(folder)
    assert [p.name for p in again.pictures] == ["0", "a", "b"] and again.board.labels(1)[3] == 0
    assert (again.board.ids(2) == ids).all() and again.query() == [(i + 1, s) for i, s in query]


def click(folder, told, seed):
    """The body of a process: clicks until it is killed, and tells each id after the act has returned."""
    session = opened(Path(folder), CLASSES)
    rng = random.Random(seed)
    with open(told, "ab", buffering=0) as out:
        for n in range(10**9):
            i, name = rng.randrange(2), f"{seed}-{n}"
            some = rng.sample(range(len(session.board.labels(i))), rng.randint(1, 4))
            what = rng.choice(["label", "label", "all", "skip", "split", "paint", "fill", "classes", "undo"])
            if (what in ("split", "paint") and len(session.board.labels(i)) > 40) or (what == "undo" and not session.board.acts):
                continue
            names = session.classes
            table = [[c, names[c], f"#{rng.randrange(16**6):06x}"] for c in rng.sample(range(len(names)), len(names))]
            more = {
                "split": {"factor": rng.choice([0.5, 4])},
                "paint": {"points": [[rng.randrange(60), rng.randrange(40)], [20, 20]], "radius": 3},
                "classes": {"classes": table if len(names) > 30 else [*table, [None, f"new {name}", "#010203"]], "into": {}},
            }
            to = [rng.choice(names) for _ in some] if what == "all" else rng.choice(names)
            try:
                session.act(
                    what, i, some[: 1 + rng.randrange(2)] if what == "split" else some, to, act_id=name, **more.get(what, {})
                )
            except ValueError as error:  # pieces of one pixel; nothing to fill
                if "cannot be split" not in str(error) and "enclosed" not in str(error):
                    raise
                continue
            out.write(f"{name}\n".encode())


@pytest.mark.slow
def test_a_kill_between_any_two_clicks_loses_none(folder, tmp_path):
    opened(folder, CLASSES).close()
    told, rng = tmp_path / "told", random.Random(1)
    ids = []
    for seed in range(5):
        told.write_bytes(b"")
        process = PROCESSES.Process(target=click, args=(str(folder), str(told), seed))
        process.start()
        limit = time.monotonic() + 60
        while told.read_bytes().count(b"\n") < 3 and time.monotonic() < limit and process.is_alive():
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.08))
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.join()
        ids += told.read_text().split()
        assert told.read_text().count("\n") >= 3
        events = read_whole(work_folder(folder) / "me" / "clicks.jsonl")
        kept = [e.id for e in events if e.what != "open" and "." not in e.id]  # the last event of an act has its own id
        assert kept[: len(ids)] == ids and len(kept) <= len(ids) + 1  # at most the act that was not told any more
        ids = kept
    again = opened(folder)
    board, known = read_board(folder, again.work, "me")
    assert labels(again) == [board.labels(i).tolist() for i in range(2)] and known == len(again.log.events)
