"""Two people in one folder, and masks that were there before them."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.events import read_whole, to_line
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.saved import read_session
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.masks import import_masks
from oreal_lib.annotate.several.merge import merge

SIX = {"superpixel_method": "grid", "superpixel_count": 6, "workers": 1, "live": False}
CLASSES = ["road", "car"]


@pytest.fixture
def folder(tmp_path):
    """Two pictures of 40x60 (high x wide), cut into 2 x 3 squares of 20 pixels, and d of 90x60, worked on at 60x40."""
    noise = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    for name, image in (("a", noise[:40]), ("b", noise[40:80]), ("d", noise)):
        Image.fromarray(image).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def by(folder, annotator, *acts, classes=CLASSES):
    """The annotator opens the session, does this, and closes it. An act: what, picture, superpixels, class."""
    session = open_session(folder, classes, annotator=annotator, side=60, **SIX)
    for what, *rest in acts:
        session.act(what, *rest[:2], to=rest[2] if len(rest) > 2 else "")


def labels(folder, annotator, picture=0):
    return read_session(folder, annotator).board.labels(picture).tolist()


def painted(folder, annotator):
    board = read_session(folder, annotator).board
    return [board.labels(i)[board.ids(i)] for i in range(3)]


def test_what_one_has_labeled_or_both_alike_is_taken_and_the_rest_is_a_conflict(folder):
    by(folder, "ana", ("label", 0, [0, 1, 2, 4], "road"))
    by(folder, "ben", ("label", 0, [1], "road"), ("label", 0, [2, 3], "car"), ("label", 0, [4], "void"), ("label", 1, [5], "car"))
    done = merge(folder, ["ana", "ben"], "both")
    assert labels(folder, "both") == [0, 0, UNLABELED, 1, UNLABELED, UNLABELED]
    assert labels(folder, "both", 1) == [UNLABELED] * 5 + [1]
    assert done.labeled == 4
    assert [(c.picture, c.superpixel, c.taken) for c in done.conflicts] == [("a", 2, ""), ("a", 4, "")]
    assert {who: said for who, (said, _) in done.conflicts[1].labels.items()} == {"ana": "road", "ben": "void"}
    row, column = done.conflicts[0].place
    assert 0 <= row < 20 and 40 <= column < 60  # square 2 is above, right
    rows = list(csv.DictReader((done.log.parent / "conflicts.csv").open(encoding="utf-8")))
    assert [(r["superpixel"], r["label ana"], r["label ben"]) for r in rows] == [("2", "road", "car"), ("4", "road", "void")]


def test_a_conflict_goes_to_the_later_click_or_to_whom_is_named(folder):
    by(folder, "ana", ("label", 0, [0], "road"), ("label", 0, [2], "road"))
    by(folder, "ben", ("label", 0, [0, 1], "car"))
    moved = [replace(e, at="2030-01-01T00:00:00.000Z") if e.superpixels == (0,) else e for e in log_of(folder, "ana")]
    (folder.parent / "photos-labels/ana/clicks.jsonl").write_bytes(b"".join(map(to_line, moved)))
    assert merge(folder, ["ana", "ben"], "last", take="later").conflicts[0].taken == "road"
    assert labels(folder, "last")[:3] == [0, 1, 0]
    merge(folder, ["ana", "ben"], "bens", take="ben")
    assert labels(folder, "bens")[:3] == [1, 1, 0]


def log_of(folder, annotator):
    return read_whole(folder.parent / "photos-labels" / annotator / "clicks.jsonl")


def halves(across):
    """The pieces of square 0 (20 x 20), cut in two: left and right, or upper and lower."""
    pieces = np.zeros((20, 20), np.uint8)
    pieces[(slice(None), slice(10, None)) if across else slice(10, None)] = 1
    return 0, 0, pieces


@pytest.mark.parametrize("most", [200, 2])  # pieces of one split: with 2, four of them take three splits
def test_two_different_splits_give_the_pieces_that_both_have_in_common(folder, monkeypatch, most):
    monkeypatch.setattr("oreal_lib.annotate.cuts.MOST_PIECES", most)
    for who, across in (("ana", True), ("ben", False)):
        monkeypatch.setattr("oreal_lib.annotate.session.split", lambda *_, across=across: halves(across))
        by(folder, who, ("split", 0, [0]), ("label", 0, [6], "car"))  # the right half, the lower half
    done = merge(folder, ["ana", "ben"], "both")
    board = read_session(folder, "both").board
    assert len(board.labels(0)) == 9 and not done.conflicts
    splits = {e.id for e in log_of(folder, "both") if e.what == "split"}
    assert len(splits) == (1 if most == 200 else 3)
    now = painted(folder, "both")[0]
    assert [int(now[r, c]) for r, c in ((5, 5), (5, 15), (15, 5), (15, 15))] == [UNLABELED, 1, 1, 1]


def test_the_order_of_the_annotators_changes_nothing(folder):
    by(folder, "ana", ("split", 0, [0]), ("label", 0, [0, 2], "road"), ("label", 1, [3], "car"))
    by(folder, "ben", ("label", 0, [2], "car"), ("split", 0, [0]), ("split", 0, [6]), ("label", 0, [7], "car"))
    by(folder, "cleo", ("label", 0, [2, 3], "void"))
    merge(folder, ["ana", "ben", "cleo"], "both", take="later")
    log = folder.parent / "photos-labels" / "both"
    first = log_of(folder, "both")[1:]  # but for when it was merged
    log.rename(log.with_name("aside"))
    merge(folder, ["cleo", "ben", "ana"], "both", take="later")
    assert log_of(folder, "both")[1:] == first and len(first) > 3


def test_logs_of_different_class_lists_are_merged_by_name(folder):
    by(folder, "ana", ("label", 0, [0], "car"))
    by(folder, "ben", ("label", 0, [0], "car"), ("label", 0, [1], "tree"), classes=[*CLASSES, "tree"])
    done = merge(folder, ["ana", "ben"], "both")
    assert not done.conflicts and labels(folder, "both")[:2] == [1, 2]


def test_a_class_that_only_a_log_from_elsewhere_knows_is_added_at_the_end(folder):
    by(folder, "ana", ("label", 0, [0], "road"))
    by(folder, "ben", ("label", 0, [1], "road"))
    elsewhere = [replace(e, to="tree") if e.what == "label" else e for e in log_of(folder, "ben")]
    (folder.parent / "photos-labels/ben/clicks.jsonl").write_bytes(b"".join(map(to_line, elsewhere)))
    merge(folder, ["ana", "ben"], "both")
    session = open_session(folder, annotator="both", **SIX)
    assert session.classes == ("road", "car", "tree") and session.board.labels(0)[:2].tolist() == [0, 2]


def test_the_merged_log_opens_as_any_other_and_goes_on(folder):
    by(folder, "ana", ("label", 0, [0], "car"))
    by(folder, "ben", ("label", 0, [1], "road"))
    merge(folder, ["ana", "ben"], "both")
    by(folder, "both", ("label", 0, [2], "car"), ("undo",), ("undo",))
    assert labels(folder, "both").count(UNLABELED) == 5  # the merged labels of one class are undone, too
    assert {e.how for e in log_of(folder, "both") if e.what == "label"} == {"merge", "click"}


@pytest.mark.parametrize(
    "names, into, take, message",
    [
        (["ana", "ben"], "ana", None, "ana has a log already"),
        (["ana", "zoe"], "both", None, "there is no annotator 'zoe'; choose one of ana, ben"),
        (["ana"], "both", None, "a merge needs two or more"),
        (["ana", "ben"], "both", "zoe", "take is 'zoe', but must be 'later' or one of ana, ben"),
        (["ana", "ben"], "../both", None, "but must be usable as a folder's name"),
        (["ana", "ben"], "..", None, "but must be usable as a folder's name"),
    ],
)
def test_a_merge_that_cannot_work_is_refused_and_nothing_is_written(folder, names, into, take, message):
    by(folder, "ana", ("label", 0, [0], "car"))
    by(folder, "ben")
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(ValueError, match=message):
        merge(folder, names, into, take=take)
    assert sorted(folder.parent.rglob("*")) == before


def test_a_damaged_log_is_not_merged_and_a_torn_last_line_is_passed_over(folder):
    by(folder, "ana", ("label", 0, [0], "car"), ("label", 0, [1], "car"))
    by(folder, "ben", ("label", 0, [2], "road"))
    log = folder.parent / "photos-labels/ana/clicks.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-4])
    merge(folder, ["ana", "ben"], "torn")
    assert labels(folder, "torn")[:3] == [1, UNLABELED, 0]
    log.write_bytes(whole.replace(b'"to":"car"', b'"to":"road"', 1))
    with pytest.raises(ValueError, match=r"line 2 .* is damaged.*repair=True"):
        merge(folder, ["ana", "ben"], "both")


def mask(folder, name, values):
    folder.mkdir(exist_ok=True)
    Image.fromarray(values).save(folder / f"{name}.png")


@pytest.fixture
def session(folder):
    session = open_session(folder, CLASSES, side=60, **SIX)
    return session


def squares(*values):
    """A mask of 40x60 with a value in each of the six squares."""
    return np.kron(np.array(values, np.uint8).reshape(2, 3), np.ones((20, 20), np.uint8))


def test_a_superpixel_gets_the_class_of_a_mask_where_enough_pixels_agree(session, tmp_path):
    values = squares(0, 1, 1, 1, 255, 255)
    values[:2, 20:40] = 0  # 40 of 400: 90 % are car
    values[:3, 40:] = 0  # 60 of 400: 85 %
    values[20:30, 40:] = 1  # half car, half nothing known
    mask(tmp_path / "masks", "a", values)
    done = import_masks(session, tmp_path / "masks")
    assert session.board.labels(0).tolist() == [0, 1, UNLABELED, 1, UNLABELED, UNLABELED]
    assert (done.pictures, done.labeled, done.unclear, done.problems) == (1, 3, 3, ())
    assert [(e.superpixels, e.to, e.how) for e in session.board.acts] == [((0,), "road", "import"), ((1, 3), "car", "import")]
    assert session.counters()["clicks"] == 0


def test_a_label_by_hand_stays_unless_it_may_be_replaced(session, tmp_path):
    session.act("label", 0, [0], to="car")
    mask(tmp_path / "masks", "a", squares(0, 0, 0, 0, 0, 0))
    done = import_masks(session, tmp_path / "masks")
    assert session.board.labels(0).tolist() == [1, 0, 0, 0, 0, 0] and (done.labeled, done.kept) == (5, 1)
    again = import_masks(session, tmp_path / "masks", overwrite=True)
    assert session.board.labels(0).tolist() == [0] * 6 and (again.labeled, again.kept) == (1, 0)
    session.act("undo")
    assert session.board.labels(0)[0] == 1


def test_what_is_wrong_with_a_mask_is_said_for_each_file_and_the_others_are_used(session, tmp_path):
    masks = tmp_path / "masks"
    mask(masks, "a", squares(0, 0, 0, 0, 0, 7))
    mask(masks, "b", squares(0, 0, 0, 0, 0, 0).T)
    mask(masks, "strange", squares(0, 0, 0, 0, 0, 0))
    mask(masks, "d", np.zeros((90, 60), np.uint8))
    done = import_masks(session, masks)
    assert done.pictures == 1 and done.labeled == 6
    assert "strange.png belongs to no picture" in done.problems[0]
    assert "7 (400 pixels)" in done.problems[1]
    assert "b.png is 40x60 pixels, but its picture is 60x40 (the EXIF turns" in done.problems[2]


def test_colors_and_names_in_another_order_are_understood_from_classes_yaml(session, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "classes.yaml").write_text("car: [255, 0, 0]\nsky: [0, 0, 255]\nroad: [0, 255, 0]\n")
    colors = np.array([[255, 0, 0], [0, 0, 255], [0, 255, 0]], np.uint8)
    (data / "masks").mkdir()
    mask(data / "masks", "a", colors[squares(0, 2, 0, 0, 0, 0)])
    mask(data / "masks", "b", colors[squares(0, 1, 0, 0, 0, 0)])
    done = import_masks(session, data)
    assert session.board.labels(0).tolist() == [1, 0, 1, 1, 1, 1]
    assert len(done.problems) == 1 and "b.png holds the class 'sky' (400 pixels)" in done.problems[0]


def test_the_masks_of_cvat_are_understood_from_its_labelmap(session, tmp_path):
    cvat = tmp_path / "cvat"
    cvat.mkdir()
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "car:48,112,32::", "sky:9,9,9::", "road:1,2,3::"]
    (cvat / "labelmap.txt").write_text("\n".join(lines) + "\n")
    colors = np.array([[0, 0, 0], [48, 112, 32], [1, 2, 3]], np.uint8)
    for folder in ("SegmentationClass", "SegmentationObject"):  # of the second, nothing is read
        mask(cvat / folder, "a", colors[squares(0, 1, 2, 0, 0, 1)])
    done = import_masks(session, cvat)
    assert (done.labeled, done.problems) == (3, ())
    assert session.board.labels(0).tolist() == [UNLABELED, 1, 0, UNLABELED, UNLABELED, 1]
    assert import_masks(session, cvat / "SegmentationClass").problems == ()  # labelmap.txt lies in the folder above
    session.act("undo")
    for text, message in (("car\n", "the line 'car', but name:red,green,blue:: is"), ("# label\n", "names no class")):
        (cvat / "labelmap.txt").write_text(text)
        with pytest.raises(ValueError, match=message):
            import_masks(session, cvat)


def test_cvats_background_is_a_class_where_the_session_has_one(folder, tmp_path):
    session = open_session(folder, ["background", "a:b"], side=60, **SIX)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\na:b:255,0,0::\n")
    mask(tmp_path / "gt", "a", np.array([[0, 0, 0], [255, 0, 0]], np.uint8)[squares(0, 1, 0, 0, 0, 0)])
    assert import_masks(session, tmp_path / "gt").problems == ()
    assert session.board.labels(0).tolist() == [0, 1, 0, 0, 0, 0]


def test_a_mask_in_a_folder_too_deep_says_which_folder_to_name(session, tmp_path):
    mask(tmp_path / "out", "here", squares(0, 0, 0, 0, 0, 0))
    mask(tmp_path / "out" / "gt", "a", squares(0, 0, 0, 0, 0, 0))
    deep, here = import_masks(session, tmp_path / "out").problems
    assert deep.endswith(f"none is named 'gt/a'; name the folder {tmp_path / 'out' / 'gt'}")
    assert here.endswith("none is named 'here'; give it a picture's name")
    (tmp_path / "nothing").mkdir()
    (empty,) = import_masks(session, tmp_path / "nothing").problems
    assert empty.startswith(f"{tmp_path / 'nothing'} holds no pictures")


def test_masks_of_0_and_255_are_named_and_with_colors_understood(session, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    mask(data / "masks", "a", squares(0, 255, 255, 0, 0, 0))
    mask(data / "masks", "b", squares(0, 0, 0, 0, 0, 0))
    (problem,) = import_masks(session, data).problems
    assert "a.png: the masks hold only road and void, car never: 255 is read as void; if it means car, save it as 1" in problem
    assert session.board.labels(0).tolist() == [0, UNLABELED, UNLABELED, 0, 0, 0]
    (data / "classes.yaml").write_text("car: [255, 255, 255]\nroad: [0, 0, 0]\n")
    assert import_masks(session, data, overwrite=True).problems == ()
    assert session.board.labels(0).tolist() == [0, 1, 1, 0, 0, 0]


def test_palettes_that_number_the_colors_of_each_mask_anew_are_told(session, tmp_path):
    data = tmp_path / "data"
    (data / "masks").mkdir(parents=True)
    for name, color in (("a", [255, 0, 0]), ("b", [0, 255, 0])):
        picture = Image.fromarray(squares(0, 1, 1, 0, 0, 0))
        picture.putpalette([0, 0, 0, *color])
        picture.save(data / "masks" / f"{name}.png")
    (problem,) = import_masks(session, data).problems
    assert problem.startswith("labels may be wrong: index 1 has the color [255, 0, 0] in ")
    (data / "classes.yaml").write_text("{road: [0, 0, 0], car: [255, 0, 0], sky: [0, 255, 0]}")
    (problem,) = import_masks(session, data, overwrite=True).problems
    assert "b.png holds the class 'sky'" in problem


def test_a_mask_stands_as_its_own_exif_says(session, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # turn by 180 degrees
    (tmp_path / "masks").mkdir()
    Image.fromarray(squares(1, 1, 0, 0, 0, 0)).save(tmp_path / "masks" / "a.png", exif=exif)
    assert import_masks(session, tmp_path / "masks").problems == ()
    assert session.board.labels(0).tolist() == [0, 0, 0, 0, 1, 1]


def test_an_export_comes_back_as_it_went_out(session, tmp_path):
    session.act("label", 0, [0, 4], to="car")
    session.act("label", 2, [1], to="road")
    out = export(session, tmp_path / "out").out
    other = open_session(session.pictures[0].file.parent, annotator="other", **SIX)
    assert import_masks(other, out).problems == ()
    assert [other.board.labels(i).tolist() for i in range(3)] == [session.board.labels(i).tolist() for i in range(3)]


@pytest.mark.parametrize("share", [0.5, 1.1])
def test_a_share_that_leaves_room_for_two_classes_is_refused(session, tmp_path, share):
    with pytest.raises(ValueError, match=r"must be above 0\.5 and at most 1"):
        import_masks(session, tmp_path, share)
