"""The state of a session is what its events add up to, and undo and redo go back and forth through it without limit."""

import json

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.board import UNLABELED, Board
from oreal_lib.annotate.cuts import brushed, enclosed, pack, split
from oreal_lib.annotate.events import VOID, Event
from oreal_lib.annotate.pictures import open_pictures
from oreal_lib.superpixels import MOST_SUPERPIXELS, SuperpixelRecipe
from oreal_lib.types import IGNORE

CLASSES = ("sky", "road, wet", "Öl")
# Both pictures are a grid of 2 x 3 superpixels: "a" of 4 x 6 pixels (2 x 2 each), "b" of 6 x 9 pixels (3 x 3 each).
A = [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5], [3, 3, 4, 4, 5, 5]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, size in (("a", (4, 6)), ("b", (6, 9))):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / f"{name}.png")
    found, problems = open_pictures(folder, folder / "store", SuperpixelRecipe("grid", 6), 64)
    assert problems == [] and found[0].ids().tolist() == A
    return found


@pytest.fixture
def board(pictures):
    return Board(pictures, CLASSES)


numbers = iter(range(10**9))


def event(what, image="", superpixels=(), to="", **more):
    return Event(what, f"e{next(numbers)}", image=image, superpixels=tuple(superpixels), to=to, **more)


def cut(pieces, y=0, x=0):
    return pack(y, x, np.array(pieces, np.uint8))


def test_a_split_keeps_the_numbers_of_all_others_and_gives_the_pieces_its_label(board):
    board.apply(event("label", "a", [4], "Öl"))
    (change,) = board.apply(event("split", "a", [4], pieces=cut([[0, 1], [0, 2]], 2, 2)))
    assert change.superpixels.tolist() == [4, 6, 7] and change.labels.tolist() == [2, 2, 2] and change.split
    assert board.ids(0).tolist() == [A[0], A[1], [3, 3, 4, 6, 5, 5], [3, 3, 4, 7, 5, 5]]
    assert board.labels(0).tolist() == [UNLABELED] * 4 + [2, UNLABELED, 2, 2] and board.is_split(0) and not board.is_split(1)
    board.apply(event("label", "a", [6], "sky"))
    board.apply(event("split", "a", [4], pieces=cut([[0], [1]], 2, 2)))  # a piece can be split again
    assert board.ids(0)[2:, 2:4].tolist() == [[4, 6], [8, 7]]
    for _ in range(3):
        board.apply(event("undo"))
    assert board.ids(0).tolist() == A and board.labels(0).tolist() == [UNLABELED] * 4 + [2, UNLABELED]


@pytest.mark.parametrize(
    "wrong, why",
    [
        (event("label", "a", [6], "sky"), r"a has no superpixel 6; it has 0\.\.5"),
        (event("label", "a", [0, -1], "sky"), "no superpixel -1"),
        (event("label", "a", [], "sky"), "names no superpixel"),
        (event("label", "a", [0], "sea"), "no class 'sea'; choose one of sky, road, wet, Öl or void"),
        (event("label", "c", [0], "sky"), "no picture 'c'; the folder has 2, the first is 'a'"),
        (event("skip", "a", [99]), "no superpixel 99"),
        (event("split", "a", [0, 1], pieces=cut([[0]])), "do not cover superpixel 0"),
        (event("paint", "a", to="sea", pieces=cut([[0]])), "no class 'sea'"),
        (event("paint", "a", to="sky", pieces=cut([[0, 0]], 3, 5)), "smaller by now"),
        (event("classes", note='{"classes": [[4, "sea", "#000000"]], "into": []}'), "each once"),
        (event("classes", note='{"classes": [[0, "sky", "#000000"]], "into": [[1, 1]]}'), "class 1 cannot be merged into class 1"),
        (event("split", "a", [0], pieces=cut([[0, 1]])), "do not cover superpixel 0"),
        (event("split", "a", [1], pieces=cut([[0, 1], [1, 1]])), "do not cover superpixel 1"),
        (event("split", "a", [5], pieces=cut([[0, 1], [1, 1]], 3, 5)), "do not cover superpixel 5"),
    ],
)
def test_an_act_that_does_not_fit_is_refused_by_check_and_does_nothing_in_a_log(pictures, board, wrong, why):
    with pytest.raises(ValueError, match=why):
        board.check(wrong)
    replayed = Board(pictures, CLASSES, [event("label", "b", [0], "sky"), wrong])
    assert replayed.lost == 1 and replayed.labels(1).tolist() == [0] + [UNLABELED] * 5
    replayed.apply(event("undo"))  # takes back the act that did nothing
    assert replayed.labels(1)[0] == 0
    replayed.apply(event("undo"))
    assert replayed.labels(1)[0] == UNLABELED


def test_acts_about_a_picture_that_is_gone_are_counted_and_come_back_with_it(pictures, board):
    log = [
        event("label", "a", [0], "sky"),
        event("label", "b", [0], "sky"),
        event("split", "b", [1], pieces=cut([[0]])),
        event("undo"),
    ]
    only_a = Board(pictures[:1], CLASSES, log)
    assert only_a.lost == 2 and only_a.labels(0)[0] == 0 and len(only_a.acts) == 2
    only_a.apply(event("undo"))
    assert only_a.labels(0)[0] == 0  # that was the act in b
    only_a.apply(event("undo"))
    assert only_a.labels(0)[0] == UNLABELED
    only_a.apply(event("redo"))
    assert only_a.labels(0)[0] == 0
    assert Board(pictures, CLASSES, log[:2]).labels(1)[0] == 0


def test_a_skip_of_what_is_skipped_already_takes_nothing_back(board):
    board.apply(event("skip", "a", [1], round=2))
    board.apply(event("skip", "a", [1, 2], round=2))
    board.apply(event("undo"))
    assert board.skipped(2, 0, 1) and not board.skipped(2, 0, 2) and not board.skipped(1, 0, 1)


def test_counts_labels_and_paint_by_hand(board):
    for s, to in ((0, "sky"), (1, "Öl"), (2, "Öl"), (3, VOID), (4, "sky")):
        board.apply(event("label", "a", [s], to))
    board.apply(event("label", "a", [4], ""))
    assert board.counts().tolist() == [1, 0, 2, 1]
    assert board.paint(0).tolist() == [[0, 0, 2, 2, 2, 2]] * 2 + [[IGNORE] * 6] * 2
    assert (board.paint(1) == IGNORE).all() and board.paint(0).dtype == np.uint8
    labels = board.as_labels()
    assert labels.unlabeled.tolist() == [False] * 4 + [True] * 8 and labels.clicks == 4
    assert labels.class_counts().tolist() == [1, 0, 2] and not labels.present[3].any()
    pool = board.superpixels()
    assert pool.offset.tolist() == [0, 6, 12] and pool.size.tolist() == [4] * 6 + [9] * 6
    board.apply(event("split", "a", [0], pieces=cut([[0, 0], [0, 1]])))
    assert board.superpixels().size.tolist()[:7] == [3, 4, 4, 4, 4, 4, 1] and board.superpixels().offset.tolist() == [0, 7, 13]
    assert board.counts().tolist() == [2, 0, 2, 1]


def test_a_picture_with_as_many_superpixels_as_there_can_be_is_not_split(tmp_path):
    Image.fromarray(np.zeros((258, 256, 3), np.uint8)).save(tmp_path / "full.png")
    ids = np.minimum(np.arange(258 * 256), MOST_SUPERPIXELS - 1).reshape(258, 256)
    np.save(tmp_path / "full.npy", ids)
    (picture,), _ = open_pictures(tmp_path, tmp_path / "store", SuperpixelRecipe("grid", 6), 512, tmp_path)
    board, pieces = Board((picture,), CLASSES), np.zeros((3, 256), np.uint8)
    pieces[0, :-2], pieces[-1, -1] = IGNORE, 1
    with pytest.raises(ValueError, match="has 65,535 superpixels and can have 65,535; label this one as it is"):
        board.check(event("split", "full", [MOST_SUPERPIXELS - 1], pieces=pack(255, 0, pieces)))


def test_pieces_follow_the_color():
    ids = np.zeros((12, 20), np.uint16)
    ids[2:10, 3:17] = 1
    image = np.full((12, 20, 3), 90, np.uint8)
    image[:, :9], image[:, 9:] = (250, 20, 20), (20, 20, 250)
    y, x, pieces = split(image, ids, 1, 2)
    assert (y, x, pieces.shape) == (2, 3, (8, 14))
    assert (pieces[:, :6] == pieces[0, 0]).all() and (pieces[:, 6:] == pieces[0, 13]).all()
    assert pieces[0, 13] == 0 and pieces[0, 0] == 1  # from large to small


@pytest.mark.parametrize("shape", ["square", "line", "column", "two pixels", "diagonal", "ring", "dust"])
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_pieces_tile_the_superpixel_whatever_its_shape(shape, kind):
    rng, ids = np.random.default_rng(0), np.ones((40, 44), np.uint16)
    r, c = np.indices(ids.shape)
    ids[
        {
            "square": (r < 9) & (c < 9),
            "line": r == 5,
            "column": c == 7,
            "two pixels": (r == 3) & (c < 2),
            "diagonal": (r == c) & (r < 2),
            "ring": np.hypot(r - 20, c - 20).round() == 10,
            "dust": (r + c) % 2 == 0,
        }[shape]
    ] = 0
    image = rng.integers(0, 256, (*ids.shape, 3), np.uint8) if kind == "noise" else np.full((*ids.shape, 3), 50, np.uint8)
    y, x, pieces = split(image, ids, 0)
    h, w = pieces.shape
    back = np.full(ids.shape, IGNORE)
    back[y : y + h, x : x + w] = pieces
    assert ((back != IGNORE) == (ids == 0)).all()
    sizes = np.bincount(back[ids == 0])
    assert 2 <= len(sizes) <= 200 and sizes.all() and (np.diff(sizes) <= 0).all()


def test_a_flat_superpixel_is_halved_across_its_longer_side():
    y, x, pieces = split(np.zeros((1, 8, 3), np.uint8), np.zeros((1, 8), np.uint16), 0, 1)
    assert (y, x) == (0, 0) and sorted(pieces[0, :4].tolist() + pieces[0, 4:].tolist()) == [0] * 4 + [1] * 4
    assert len(set(pieces[0, :4].tolist())) == 1


def test_a_single_pixel_is_not_split():
    ids = np.zeros((3, 3), np.uint16)
    ids[1, 1] = 1
    with pytest.raises(ValueError, match="superpixel 1 has 1 pixel and cannot be split; zoom in"):
        split(np.zeros((3, 3, 3), np.uint8), ids, 1)


NO = IGNORE  # outside of what is cut


def test_a_region_is_cut_anew_into_more_superpixels_that_keep_the_label_of_what_they_were(board):
    board.apply(event("label", "a", [1], "Öl"))
    (change,) = board.apply(event("split", "a", [0, 1], pieces=cut([[0, 1, 1, 2], [0, 1, 1, 2]])))
    assert board.ids(0).tolist()[:2] == [[0, 1, 1, 6, 2, 2]] * 2 and change.of.tolist() == [0, 0, 2, 3, 4, 5, 1]
    assert board.labels(0).tolist() == [UNLABELED] * 6 + [2]  # of the middle one half was 0: the lower number counts


def test_a_region_is_cut_anew_into_fewer_superpixels_and_the_last_numbers_fill_the_gaps(board):
    for k, name in ((0, "sky"), (5, "road, wet")):
        board.apply(event("label", "a", [k], name))
    board.apply(event("skip", "a", [5], round=1))
    (change,) = board.apply(event("split", "a", [0, 1], pieces=cut([[0] * 4] * 2)))
    now = [[0, 0, 0, 0, 2, 2], [0, 0, 0, 0, 2, 2], [3, 3, 4, 4, 1, 1], [3, 3, 4, 4, 1, 1]]
    assert board.ids(0).tolist() == now and change.of.tolist() == [0, 5, 2, 3, 4] and change.superpixels.tolist() == [0, 1]
    assert board.labels(0).tolist() == [0, 1] + [UNLABELED] * 3 and board.skips() == {(0, 1)}
    board.apply(event("undo"))
    assert board.ids(0).tolist() == A and board.labels(0).tolist() == [0, *[UNLABELED] * 4, 1] and board.skips() == {(0, 5)}
    board.apply(event("redo"))
    assert board.ids(0).tolist() == now and board.skips() == {(0, 1)}


def test_the_brush_labels_whole_superpixels_and_makes_one_of_the_parts_it_crossed(board):
    board.apply(event("label", "a", [1], "Öl"))
    stroke = event("paint", "a", to="sky", pieces=cut([[0, 0, 0, NO], [0, 0, NO, NO], [NO, 0, NO, NO]]))
    (change,) = board.apply(stroke)
    assert board.ids(0).tolist() == [[0, 0, 6, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 6, 4, 4, 5, 5], [3, 3, 4, 4, 5, 5]]
    assert board.labels(0).tolist() == [0, 2, *[UNLABELED] * 4, 0] and change.superpixels.tolist() == [0, 6]
    board.apply(event("paint", "a", to="", pieces=cut([[0]], 0, 2)))  # the eraser
    assert board.labels(0).tolist() == [0, 2, *[UNLABELED] * 4, 0, UNLABELED]
    for _ in range(2):
        board.apply(event("undo"))
    assert board.ids(0).tolist() == A and board.labels(0).tolist() == [UNLABELED, 2, *[UNLABELED] * 4] and not board.is_split(0)


def named(classes, **into):
    return event("classes", note=json.dumps({"classes": classes, "into": [[int(a[1:]), b] for a, b in into.items()]}))


def test_classes_are_renamed_added_colored_ordered_and_merged_and_all_that_is_undone(board):
    board.apply(event("label", "a", [0], "sky"))
    board.apply(event("label", "b", [1, 2], "Öl"))
    before = board.named
    board.apply(named([[2, "oil", "#112233"], [3, "sea", "#445566"], [0, "sky", "#000000"]]))  # 1 is not named: it stays, last
    assert board.classes == ("sky", "road, wet", "oil", "sea") and board.named.shown == (2, 3, 0, 1)
    assert board.named.palette()[2:].tolist() == [[17, 34, 51], [68, 85, 102]]
    board.apply(event("label", "a", [1], "oil"))
    changes = board.apply(named([[3, "sea", "#445566"]], c2=3))
    assert [(c.picture, c.superpixels.tolist(), c.labels.tolist()) for c in changes] == [(0, [1], [3]), (1, [1, 2], [3, 3])]
    assert board.named.shown == (3, 0, 1) and board.counts().tolist() == [1, 0, 0, 3, 0]
    board.apply(event("label", "a", [2], "oil"))  # said by its old name
    assert board.labels(0)[2] == 3
    for _ in range(4):
        board.apply(event("undo"))
    assert board.named.names[:3] == before.names and board.named.shown == (0, 1, 2, 3)  # what was added stays: others may use it
    assert board.counts().tolist() == [1, 0, 2, 0, 0]


def test_events_of_one_act_are_undone_and_redone_together(board):
    board.apply(event("label", "a", [5], "sky"))
    for n, name in (("all.1", "sky"), ("all.2", "Öl"), ("all", "road, wet")):
        board.apply(Event("label", n, image="a", superpixels=(len(n) % 4,), to=name, how="all"))
    done = board.labels(0).tolist()
    board.apply(event("undo"))
    assert board.labels(0).tolist() == [UNLABELED] * 5 + [0]
    board.apply(event("redo"))
    assert board.labels(0).tolist() == done and len(board.acts) == 4


def test_a_brush_and_what_a_ring_encloses_are_pixels_found_by_hand():
    y, x, near = brushed([[2.5, 1.5], [4.5, 1.5]], 1, (4, 6))
    assert (y, x) == (0, 1) and (near == 0).tolist()[:3] == [[0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0]]
    with pytest.raises(ValueError, match="crossed no pixel"):
        brushed([[90, 90]], 2, (4, 6))
    ring = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]], bool)
    ids = np.array([[0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 0, 1]])
    assert enclosed(ring, ids, np.ones(3, bool)).tolist() == [2] and enclosed(ring, ids, np.zeros(3, bool)).tolist() == []


def test_a_split_of_several_gives_about_factor_times_as_many_connected_pieces():
    image = np.stack([*np.meshgrid(*([np.arange(0, 240, 6, np.uint8)] * 2)), np.zeros((40, 40), np.uint8)], -1)
    ids = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 10, 0), 10, 1)
    y, x, pieces = split(image, ids, [0, 1, 4, 5], 0.25)
    assert (y, x) == (0, 0) and (pieces == 0).all() and pieces.shape == (20, 20)
    _, _, finer = split(image, ids, [0, 1, 4, 5], 4)
    assert 8 <= finer.max() + 1 <= 40
    with pytest.raises(ValueError, match="64 superpixels would become 256, but 200"):
        split(np.zeros((80, 80, 3), np.uint8), np.repeat(np.repeat(np.arange(64).reshape(8, 8), 10, 0), 10, 1), list(range(64)), 4)
