"""The state of a session is what its events add up to, and undo and redo go back and forth through it without limit."""

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.board import UNLABELED, Board, pack, split
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
        (event("split", "a", [0, 1], pieces=cut([[0]])), "2 superpixels cannot be split at once; split one"),
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
    y, x, pieces = split(image, ids, 1, pieces=2)
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
    y, x, pieces = split(np.zeros((1, 8, 3), np.uint8), np.zeros((1, 8), np.uint16), 0, pieces=1)
    assert (y, x) == (0, 0) and sorted(pieces[0, :4].tolist() + pieces[0, 4:].tolist()) == [0] * 4 + [1] * 4
    assert len(set(pieces[0, :4].tolist())) == 1


def test_a_single_pixel_is_not_split():
    ids = np.zeros((3, 3), np.uint16)
    ids[1, 1] = 1
    with pytest.raises(ValueError, match="superpixel 1 has 1 pixel and cannot be split; zoom in"):
        split(np.zeros((3, 3, 3), np.uint8), ids, 1)
