import os
import pickle
import re
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import camvid_tree, saved, scene

from oreal_lib.data import READERS, draw_split, load_dataset
from oreal_lib.data.files import read_image, read_mask
from oreal_lib.data.readers.camvid import CLASSES, read
from oreal_lib.data.source import Item, Source
from oreal_lib.storage import paths
from oreal_lib.superpixels import SuperpixelRecipe
from oreal_lib.types import Dataset, Superpixels

REPOSITORY = Path(__file__).resolve().parents[2]
CAMVID = REPOSITORY.parent / "shared" / "data" / "camvid"


# ---- one file


def four_bit_grey_png(path, rows):
    """A grey PNG of 4 bits per pixel, which Pillow reads but does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = b"".join(b"\0" + bytes(a << 4 | b for a, b in zip(row[::2], row[1::2], strict=True)) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 4, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_an_image_stands_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[0, 0] = 255
    turned = read_image(saved(tmp_path, picture, exif=exif))
    assert turned.shape == (4, 2, 3) and turned[0, 1].tolist() == [255] * 3


def test_an_image_whose_exif_is_damaged_is_named(tmp_path):
    path = saved(tmp_path, np.zeros((2, 4, 3), np.uint8), "a.webp", exif=b"MM\0*" + bytes(8))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"MM\0*", bytes(4)))
    with pytest.raises(ValueError, match=r"a.webp is cannot be told, its EXIF is damaged .SyntaxError: .*; save it again, turned"):
        read_image(path)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    grey = np.array([[0, 257, 32_896, 65_535]], np.uint16)
    assert read_image(saved(tmp_path, grey))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_grey_palette_and_transparency_become_rgb(tmp_path):
    grey = read_image(saved(tmp_path, np.array([[0, 9]], np.uint8)))
    assert grey.tolist() == [[[0] * 3, [9] * 3]] and grey.dtype == np.uint8
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], np.uint8)
    assert read_image(saved(tmp_path, rgba)).tolist() == [[[200, 100, 50], [0, 0, 0]]]


def test_a_broken_file_is_named_with_the_remedy(tmp_path):
    whole = saved(tmp_path, np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:900])
    text = tmp_path / "text.jpg"
    text.write_text("<html>not found</html>")
    for path in (cut, text):
        with pytest.raises(ValueError, match=rf"{path.name} is no image or is cut off.*download it again"):
            read_image(path)
    with pytest.raises(FileNotFoundError, match=r"gone.png does not exist"):
        read_mask(tmp_path / "gone.png", 3)


def test_a_mask_is_read_by_index_never_by_color(tmp_path):
    palette = Image.fromarray(np.array([[0, 2], [1, 255]], np.uint8)).convert("P")
    palette.putdata([0, 2, 1, 255])
    palette.putpalette([200] * 768)
    palette.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png", 3).tolist() == [[0, 2], [1, 255]]
    assert read_mask(four_bit_grey_png(tmp_path / "g.png", [[0, 2], [1, 11]]), 12).tolist() == [[0, 2], [1, 11]]
    assert read_mask(saved(tmp_path, np.array([[0, 2]], np.uint16)), 3).tolist() == [[0, 2]]


def test_void_and_remapped_values_become_255(tmp_path):
    path = saved(tmp_path, np.array([[0, 1, 7, 9]], np.uint8))
    assert read_mask(path, 3, void=9, remap={7: 2}).tolist() == [[0, 1, 2, 255]]
    with pytest.raises(
        ValueError, match=r"1 value that is no class: 255 \(1 pixel\); .* correct the mask, or, for data of your own"
    ):
        read_mask(saved(tmp_path, np.array([[0, 255]], np.uint8)), 3, void=9)


def test_values_that_are_no_class_are_listed_with_their_pixels(tmp_path):
    path = saved(tmp_path, np.array([[0, 3, 3, 77]], np.uint8))
    with pytest.raises(ValueError, match=r"a.png holds 2 values.*3 \(2 pixels\), 77 \(1 pixel\); allowed are 0..2 and 255"):
        read_mask(path, 3)


def test_masks_of_colors_or_jpeg_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds colors.*its color in classes.yaml.*or translate each color"):
        read_mask(saved(tmp_path, np.zeros((2, 2, 3), np.uint8)), 3)
    with pytest.raises(ValueError, match=r"JPEG.*PNG"):
        read_mask(saved(tmp_path, np.zeros((2, 2), np.uint8), "a.jpg"), 3)


def test_colors_are_translated_whatever_the_file_is(tmp_path):
    colors = {(0, 0, 0): 0, (255, 0, 0): 1, (9, 9, 9): 255}
    rgb = np.array([[[0, 0, 0], [255, 0, 0], [9, 9, 9]]], np.uint8)
    rgba = np.concatenate([rgb, np.full((1, 3, 1), 255, np.uint8)], axis=2)
    palette = saved(tmp_path, np.array([[2, 0, 1]], np.uint8), "p.png", [(255, 0, 0), (9, 9, 9), (0, 0, 0)])
    for path in (saved(tmp_path, rgb), saved(tmp_path, rgba, "b.png"), palette):
        assert read_mask(path, 2, colors=colors).tolist() == [[0, 1, 255]]
    for kind in (np.uint8, np.uint16):  # grey files hold indices all the same
        assert read_mask(saved(tmp_path, np.array([[1, 0, 255]], kind)), 2, colors=colors).tolist() == [[1, 0, 255]]
    rgba[0, 0, 3] = 7
    with pytest.raises(ValueError, match=r"b.png is transparent at 1 pixels"):
        read_mask(saved(tmp_path, rgba, "b.png"), 2, colors=colors)


def test_colors_that_are_no_class_are_listed_the_most_frequent_first(tmp_path):
    picture = np.zeros((2, 12, 3), np.uint8)
    picture[0, :, 1] = np.arange(12)
    picture[1, 1:4] = (1, 2, 3)
    with pytest.raises(
        ValueError, match=r"a.png holds 12 colors.*: \(1, 2, 3\) \(3 pixels\), \(0, 1, 0\) \(1 pixel\).*smoothing"
    ) as e:
        read_mask(saved(tmp_path, picture), 1, colors={(0, 0, 0): 0})
    assert str(e.value).count(" pixel") == 10


# ---- CamVid


@pytest.fixture
def tree(tmp_path):
    """A tiny CamVid: 3 + 1 + 2 pictures of 24x16."""
    return camvid_tree(tmp_path / "camvid")


def test_camvid_is_listed_by_split_and_sequence(tree):
    source = read(tree)
    assert [(i.name, i.group, i.split) for i in source.items][1:4] == [
        ("0016E5_00008", "0016E5", "train"),
        ("Seq05VD_f00002", "Seq05VD", "train"),
        ("0001TP_006690", "0001TP", "test"),
    ]
    assert [i.name for i in read(tree, val="official").items if i.split == "val"] == ["0016E5_08000"]
    image, mask = pickle.loads(pickle.dumps(source.open))(source.items[0])
    expected_image, expected_mask = scene(np.random.default_rng(0), (16, 24), 11)
    assert np.array_equal(image, expected_image) and np.array_equal(mask, expected_mask) and not source.problems


def test_camvid_is_found_by_the_environment(tree, monkeypatch):
    monkeypatch.delenv("OREAL_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="OREAL_DATA"):
        read()
    for named in (tree, tree.parent):
        monkeypatch.setenv("OREAL_DATA", str(named))
        assert len(read().items) == 5
    monkeypatch.setenv("OREAL_DATA", str(tree / "train"))
    with pytest.raises(FileNotFoundError, match="holds no CamVid: there is no train/ and trainannot/ in it"):
        read()


def test_an_edited_mask_is_other_data(tree):
    before = read(tree).identity
    assert before == read(tree).identity
    saved(tree / "trainannot", np.full((16, 24), 3, np.uint8), "0016E5_00007.png")
    assert before != read(tree).identity


def twice(tree, stem):
    for kind in ("", "annot"):
        shutil.copy(tree / f"train{kind}" / f"{stem}.png", tree / f"test{kind}")


def a_folder(path):
    path.unlink()
    path.mkdir()


def remove(tree, *names):
    for name in names:
        (tree / name).unlink()


def grey(tree, name):
    saved((tree / name).parent, np.zeros((16, 24), np.uint8), (tree / name).name)


@pytest.mark.parametrize(
    "spoil, problems",
    [
        (lambda t: remove(t, "trainannot/0016E5_00007.png"), [r"^train/0016E5_00007.png has no mask.*; add it or remove this"]),
        (lambda t: remove(t, "test/0001TP_006690.png"), ["^testannot/0001TP_006690.png has no image"]),
        (lambda t: remove(t, "test/0001TP_006690.png", "test/0001TP_006691.png"), ["test/ holds no pictures; copy"]),
        (lambda t: (t / "testannot").rename(t / "other"), ["testannot/ is missing; copy"]),
        (lambda t: grey(t, "test/0001TP_006690.jpg"), ["test/0001TP_006690.png and 0001TP_006690.jpg have one name.*keep one"]),
        (lambda t: twice(t, "0016E5_00007"), [r"0016E5_00007 lies in train/ and in test/.*; remove one"]),
        (lambda t: a_folder(t / "train/0016E5_00007.png"), ["0016E5_00007.png cannot be read.*copy it again", "has no image"]),
        (lambda t: (t / "train/x.gif").touch(), ["train/x.gif is of a format that is not read; save it as PNG"]),
        (lambda t: [grey(t, f"train/extra_{i}.png") for i in range(13)], ["extra_.* has no mask"] * 13),
        (lambda t: [(t / "train" / n).touch() for n in ("Thumbs.db", ".a.png", "readme.txt")], []),
    ],
)
def test_defects_of_the_folders_are_listed_before_any_work(tree, spoil, problems):
    spoil(tree)
    found = read(tree).problems
    assert len(found) == len(problems), found
    for line, pattern in zip(found, problems, strict=True):
        assert re.search(pattern, line), line


def test_a_mask_of_another_size_names_both(tree):
    saved(tree / "trainannot", np.zeros((8, 24), np.uint8), "0016E5_00007.png")
    source = read(tree)
    with pytest.raises(ValueError, match=r"0016E5_00007.png is 24x16 pixels.*0016E5_00007.png is 24x8; both need one size, so"):
        source.open(source.items[0])
    saved(tree / "trainannot", np.zeros((24, 16), np.uint8), "0016E5_00007.png")
    with pytest.raises(ValueError, match=r"0016E5_00007.png is 16x24; both need one size .*EXIF"):
        source.open(source.items[0])


@pytest.mark.skipif(not CAMVID.is_dir(), reason="the real CamVid does not lie beside this repository")
def test_the_real_camvid_is_read():
    source = read(CAMVID, val="official")
    count = {split: sum(i.split == split for i in source.items) for split in ("train", "val", "test")}
    assert count == {"train": 367, "val": 101, "test": 233}
    assert {i.group for i in source.items if i.split == "train"} == {"0006R0", "0016E5", "0001TP"}
    for item in (source.items[0], source.items[-1]):
        image, mask = source.open(item)
        assert image.shape == (360, 480, 3) and image.std() > 20
        assert set(np.unique(mask)) <= {*range(len(CLASSES)), 255} and (mask == CLASSES.index("road")).mean() > 0.05


# ---- splits


def pool_of(*groups, val=0):
    """A Dataset without pixels: the sizes of the groups of train, then `val` official validation images."""
    labels = [f"g{g}" for g, size in enumerate(groups) for _ in range(size)]
    n = len(labels)
    names = [f"{group}_{i:03d}" for i, group in enumerate(labels)] + [f"v_{i}" for i in range(val)]
    split = {"train": np.arange(n), "val": np.arange(n, n + val), "test": np.arange(0)}
    nothing = Superpixels.from_maps(np.zeros((n, 1, 1), np.uint16))
    empty = np.zeros((n + val, 1, 1), np.uint8)
    return Dataset(
        name="d",
        classes=("a",),
        images=empty,
        truth=empty,
        native_truth=empty,
        labeled=np.ones(n + val, bool),
        names=tuple(names),
        groups=tuple(labels + ["v"] * val),
        split=split,
        superpixels=nothing,
        votes=np.ones((n, 2), np.uint32),
        present=np.ones((n, 2), bool),
        vanished=np.zeros(n, int),
    )


@pytest.mark.parametrize("val_by", ["image", "block", "sequence"])
def test_pool_and_validation_share_nothing_and_repeat(val_by):
    dataset = pool_of(40, 30, 30)
    pool, val = draw_split(dataset, 3, val_by=val_by, val_share=0.2)
    assert np.array_equal(np.sort(np.concatenate([pool, val])), np.arange(100))
    assert (np.diff(pool) > 0).all() and (np.diff(val) > 0).all() and len(val) >= 20
    again = draw_split(dataset, 3, val_by=val_by, val_share=0.2)
    assert np.array_equal(val, again[1])
    seeds = {tuple(draw_split(dataset, seed, val_by=val_by, val_share=0.2)[1]) for seed in range(8)}
    assert len(seeds) > 1


def test_blocks_are_neighbors_and_each_group_gives_its_share():
    _, val = draw_split(pool_of(60, 30, 10), 0, val_by="block", val_images=10)
    assert np.bincount(np.repeat([0, 1, 2], [60, 30, 10])[val]).tolist() == [6, 3, 1]
    assert np.count_nonzero(np.diff(val) > 1) <= 2


def test_sequences_are_never_torn():
    _, val = draw_split(pool_of(5, 5, 5, 5), 0, val_by="sequence", val_share=0.3)
    assert np.bincount(val // 5, minlength=4).tolist().count(5) == 2 and len(val) == 10


def test_an_official_validation_split_is_kept():
    pool, val = draw_split(pool_of(6, val=3), 0)
    assert pool.tolist() == [0, 1, 2, 3, 4, 5] and val.tolist() == [6, 7, 8]


def test_fewer_training_images_leave_validation_alone():
    pool, val = draw_split(pool_of(50), 0)
    fewer, same = draw_split(pool_of(50), 0, train_images=7)
    assert len(fewer) == 7 and np.isin(fewer, pool).all() and np.array_equal(val, same)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"val_share": 1.0}, "val_share is 1.0"),
        ({"val_images": 10}, "10 of 10 training images"),
        ({"val_images": 0}, "0 of 10 training images"),
        ({"train_images": 10}, "train_images is 10, but the pool has 9"),
        ({"val_by": "city"}, "val_by is 'city'.*image, block, sequence"),
        ({"val_by": "sequence"}, "one group.*'g0'.*'block' or 'image'"),
    ],
)
def test_an_impossible_split_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        draw_split(pool_of(10), 0, **wrong)


def test_one_image_is_too_few_for_pool_and_validation():
    with pytest.raises(ValueError, match=r"there is 1 training image, .* add images"):
        draw_split(pool_of(1), 0)


def test_a_pool_of_nothing_is_refused():
    with pytest.raises(ValueError, match="none is left for the pool"):  # the small group comes first, then the rest
        draw_split(pool_of(1, 9), SMALL_FIRST, val_by="sequence", val_images=5)


SMALL_FIRST = next(seed for seed in range(99) if np.random.default_rng([seed, 0]).permutation(2)[0] == 0)


# ---- by name


def test_items_and_sources_check_themselves():
    with pytest.raises(ValueError, match=r"'training'.*train, val, test"):
        Item("a", "a", "training")
    with pytest.raises(ValueError, match="two items named 'a'"):
        Source("s", ("x",), (Item("a", "a", "train"), Item("a", "a", "test")), print, {})
    with pytest.raises(ValueError, match="no items"):
        Source("s", ("x",), (), print, {})


def test_a_data_set_by_name(tree, tmp_path):
    grid = SuperpixelRecipe(method="grid", count=6)
    dataset = load_dataset("camvid", root=tree, recipe=grid, store_root=tmp_path, workers=1)
    assert dataset.images.shape == (5, 16, 24, 3) and len(dataset.superpixels) == 3 * 6
    official = {"root": tree, "options": {"val": "official"}, "height": 8, "width": 12}
    dataset = load_dataset("camvid", **official, recipe=grid, store_root=tmp_path, workers=1)
    assert dataset.images.shape == (6, 8, 12, 3) and dataset.split["val"].tolist() == [3]


def test_the_toy_comes_at_the_size_asked(tmp_path):
    small = {"options": {"train": 2, "test": 1}, "store_root": tmp_path, "workers": 1}
    assert load_dataset("toy", **small).images.shape == (3, 96, 128, 3)
    dataset = load_dataset("toy", **small, height=48, width=64)
    assert dataset.truth.shape == (3, 48, 64) and len(dataset.split["train"]) == 2


def test_unknown_names_and_options_list_the_choices():
    with pytest.raises(KeyError, match="'citiscapes'; choose one of " + ", ".join(READERS)):
        load_dataset("citiscapes")
    with pytest.raises(ValueError, match="camvid has no option 'validation'; it knows val"):
        load_dataset("camvid", options={"validation": "official"})
    with pytest.raises(ValueError, match="options is 'draw', but must be a dictionary of val"):
        load_dataset("camvid", options="draw")


def test_home_is_the_environment_or_the_repository(monkeypatch, tmp_path):
    monkeypatch.delenv("OREAL_HOME", raising=False)
    assert paths.home() == REPOSITORY
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    assert paths.prepared_root() == Path(os.path.realpath(tmp_path)) / "data" / "prepared"
    assert {paths.runs_root().name, paths.figures_root().name, paths.params_root().name} == {"runs", "figures", "params"}


def test_images_without_a_mask_are_neither_asked_nor_evaluated():
    whole = pool_of(10)
    some = replace(whole, labeled=np.arange(10) % 2 == 0)
    pool, val = draw_split(some, 0, val_images=2)
    assert sorted([*pool, *val]) == [0, 2, 4, 6, 8]
    with pytest.raises(ValueError, match=r"none of the 10 training images of d has a mask.*give masks"):
        draw_split(replace(whole, labeled=np.zeros(10, bool)), 0)
