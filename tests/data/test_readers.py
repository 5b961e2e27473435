"""Each data set in its native layout, and every defect a real folder has: listed without opening a picture, or told when opened."""

import json
import os
import pickle
import re
import shutil
import tarfile
import unicodedata
from collections import Counter
from pathlib import Path
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from trees import (
    ODD_NAMES,
    camvid_tree,
    cityscapes_tree,
    deep,
    endovis_download,
    endovis_tree,
    folder_tree,
    labelmefacade_tree,
    odd_names_tree,
    odd_picture,
    saved,
    scene,
    voc_palette,
    voc_tree,
)

from oreal_lib.data import READERS, Item, Source, load_dataset, open_source
from oreal_lib.data.check import check, summary
from oreal_lib.data.folders import drawn, fingerprint, folders_below
from oreal_lib.data.readers import camvid, cityscapes, endovis, folder, labelmefacade, monarch, voc
from oreal_lib.storage import paths
from oreal_lib.superpixels import SuperpixelRecipe

CAMVID, FACADES = (paths.home().parent / "shared" / "data" / name for name in ("camvid", "labelmefacade"))
TREES = {
    "camvid": (camvid_tree, "train/"),
    "labelmefacade": (labelmefacade_tree, "images/"),
    "voc": (voc_tree, "JPEGImages/"),
    "cityscapes": (cityscapes_tree, "leftImg8bit/"),
    "endovis": (endovis_tree, "left_frames/"),
    "folder": (folder_tree, "images/"),
    "monarch": (folder_tree, "images/"),
}


def opened(source, i=0):
    return pickle.loads(pickle.dumps(source.open))(source.items[i])


def truth(size, n_classes, i=0, void=True):
    """What the tree functions have drawn as their picture number i."""
    rng = np.random.default_rng(0)
    return [scene(rng, size, n_classes, void) for _ in range(i + 1)][i]


def splits(source):
    return {split: [i.name for i in source.items if i.split == split] for split in ("train", "test")}


def told(source, *patterns):
    """Exactly these problems, in this order."""
    assert len(source.problems) == len(patterns), source.problems
    for line, pattern in zip(source.problems, patterns, strict=True):
        assert re.search(pattern, line), line


def edited(root, *commands):
    """The root after some commands: rm, touch, mkdir PATH; mv, cp FROM TO; write PATH LINE LINE ..."""
    for command in commands:
        what, path, *more = command.split()
        path = root / path
        if what == "rm":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif what in ("mv", "cp"):
            (root / more[0]).parent.mkdir(parents=True, exist_ok=True)
            (shutil.move if what == "mv" else shutil.copy)(path, root / more[0])
        elif what == "mkdir":
            path.mkdir()
        else:
            path.write_text("".join(f"{line}\n" for line in more))
    return root


# ---- what holds for all of them


@pytest.mark.parametrize("name", TREES)
def test_a_clean_tree_opens_without_a_problem_wherever_it_lies(name, tmp_path):
    tree, _ = TREES[name]
    source = open_source(name, tree(tmp_path / "one"))
    assert source.name == name and {i.split for i in source.items} == {"train", "test"}
    for i, item in enumerate(source.items):
        image, mask = opened(source, i)
        assert image.dtype == mask.dtype == np.uint8 and image.shape == (*mask.shape, 3)
        assert set(np.unique(mask)) <= {*range(len(source.classes)), 255} and item.image.is_file() and item.mask.is_file()
    again = open_source(name, tree(tmp_path / "two"))
    assert again.identity == source.identity and str(tmp_path) not in json.dumps(source.identity)


@pytest.mark.parametrize("name", TREES)
def test_a_wrong_root_says_what_is_looked_for(name, tmp_path, monkeypatch):
    tree, looked_for = TREES[name]
    monkeypatch.delenv("OREAL_DATA", raising=False)
    for root, message in ((tmp_path, "holds no"), (tmp_path / "gone", "does not exist"), (None, "OREAL_DATA")):
        with pytest.raises(FileNotFoundError, match=f"{message}.*{looked_for}") as error:
            open_source(name, root)
        assert ("private and not public" in str(error.value)) == (name == "monarch")
    tree(tmp_path / name)
    for named in (tmp_path, tmp_path / name):
        monkeypatch.setenv("OREAL_DATA", str(named))
        assert {i.split for i in open_source(name).items} == {"train", "test"}


@pytest.mark.parametrize("name", TREES)
def test_a_cut_or_smaller_file_is_named_when_opened(name, tmp_path):
    source = open_source(name, TREES[name][0](tmp_path))
    first, last = source.items[0], source.items[-1]
    first.image.write_bytes(first.image.read_bytes()[:300])
    saved(last.mask.parent, np.zeros((4, 4), np.uint8), last.mask.name)
    with pytest.raises(ValueError, match=f"{first.image.name} is not an image or is cut off"):
        source.open(first)
    with pytest.raises(ValueError, match=rf"{last.image.name} is .* but its mask .*{last.mask.name} is 4x4"):
        source.open(last)


@pytest.mark.parametrize("name", TREES)
def test_harmless_files_are_passed_over_and_a_folder_of_nothing_is_a_problem(name, tmp_path):
    first = open_source(name, TREES[name][0](tmp_path)).items[0]
    for stray in ("Thumbs.db", "._frame.png", ".DS_Store", "notes.txt"):
        (first.image.parent / stray).touch()
        (first.mask.parent / stray).touch()
    thumbnails = first.image.parent / "@eaDir" / first.image.name  # of a Synology, a folder named like the picture
    thumbnails.mkdir(parents=True)
    (thumbnails / "SYNOPHOTO_THUMB_M.png").write_bytes(first.image.read_bytes())
    assert not open_source(name, tmp_path).problems
    top = {"cityscapes": first.image.parent.parent, "folder": tmp_path / "images", "monarch": tmp_path / "images"}
    for path in [p for p in top.get(name, first.image.parent).rglob("*") if p.is_file()]:
        path.unlink()
    assert any("holds no pictures" in line for line in open_source(name, tmp_path, strict=False).problems)


@pytest.mark.parametrize(
    "name, option, message",
    [
        ("camvid", {"val": "test"}, "val is 'test', but must be 'draw' or 'official'"),
        ("camvid", {"validation": "official"}, "camvid has no option 'validation'; it knows val"),
        ("camvid", "draw", "options is 'draw', but must be a dictionary of val"),
        ("labelmefacade", {"split": "test"}, "split is 'test', but must be 'collections' or 'official'"),
        ("cityscapes", {"labels": "color"}, "labels is 'color', but must be .* or 'labelTrainIds'"),
        ("endovis", {"test_sequences": "seq_1"}, "test_sequences is 'seq_1', but must be a list .*; there are release_1/seq_1"),
        ("endovis", {"test_sequences": ["seq_9"]}, "names seq_9, but there are release_1/seq_1, .* choose among these"),
        ("folder", {"test_share": 1.0}, "test_share is 1.0.*below 1"),
        ("folder", {"test_share": True}, "test_share is True"),
    ],
)
def test_a_bad_option_is_refused_with_the_choices(name, option, message, tmp_path):
    endovis_tree(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_source(name, tmp_path, options=option)
    with pytest.raises(KeyError, match="'citiscapes'; choose one of " + ", ".join(READERS)):
        open_source("citiscapes")


AUG_MISSING = " is missing, and is not part of the official archive .*docs/data_cards.md.*by hand, or use train: train"
LISTS, CITY = "VOCdevkit/VOC2012/ImageSets/Segmentation", "train/aachen/aachen_000000_000019"
DEVKIT = "VOCdevkit/VOC2012"
LABEL_IDS, LEFT = f"gtFine/{CITY}_gtFine_labelIds.png", f"leftImg8bit/{CITY}_leftImg8bit.png"


@pytest.mark.parametrize(
    "name, commands, problems",
    [
        ("camvid", ["rm trainannot/0016E5_00007.png"], ["^train/0016E5_00007.png has no mask.*; add it or remove this"]),
        ("camvid", ["rm test/0001TP_006690.png"], ["^testannot/0001TP_006690.png has no image"]),
        ("camvid", ["mv testannot other"], ["testannot/ is missing; copy"]),
        ("camvid", ["touch test/0001TP_006690.jpg"], ["0001TP_006690.png and 0001TP_006690.jpg have one name.*keep one"]),
        ("camvid", ["cp train/0016E5_00007.png test/0016E5_00007.png", "cp trainannot/0016E5_00007.png testannot/0016E5_00007.png"],
         ["train/0016E5_00007.png and test/0016E5_00007.png have one name.*; remove one"]),
        ("camvid", ["rm train/0016E5_00007.png", "mkdir train/0016E5_00007.png"], ["cannot be read.*copy it again", "has no image"]),
        ("labelmefacade", ["rm labels"], ["labels/ is missing; copy"]),
        ("voc", [f"rm {DEVKIT}/SegmentationClass/2007_000032.png"], ["2007_000032.jpg has no mask"]),
        ("voc", [f"rm {DEVKIT}/JPEGImages/2007_000032.jpg"], ["train.txt names 2007_000032, but there is no JPEGImages"]),
        ("voc", [f"write {LISTS}/val.txt 2007_000032"], ["in .*val.txt and in .*train.txt, but no image may be in two splits"]),
        ("voc", [f"write {LISTS}/val.txt 2007_000060 2007_000060"], ["val.txt names 2007_000060 2 times.*keep one line"]),
        ("voc", [f"write {LISTS}/val.txt a/2007_000060 b/2007_000060"], ["2007_000060 stands twice in .*val.txt"]),
        ("voc", [f"write {LISTS}/val.txt"], ["val.txt names no image"]),
        ("voc", [f"rm {LISTS}/train.txt"], ["train.txt is missing; copy it"]),
        ("voc", [f"touch {DEVKIT}/SegmentationClass/2012_004331.png"], []),  # of a photo in no list
        ("cityscapes", [f"rm {LABEL_IDS}"], ["aachen_.*_leftImg8bit.png has no mask aachen_"]),
        ("cityscapes", [f"rm {LEFT}"], ["aachen_.*_labelIds.png has no image aachen_"]),
        ("cityscapes", [f"mv {LABEL_IDS} gtFine/{CITY}_gtFine_labelTrainIds.png"], ["of labelTrainIds, but labelIds .* never mixed"]),
        ("cityscapes", ["touch leftImg8bit/train/aachen/photo.png"], ["photo.png is not named <city>/<city>_ssssss"]),
        ("cityscapes", ["touch gtFine/val/frankfurt/photo.png"], ["photo.png is not named .*_gtFine_<kind>.png"]),
        ("cityscapes", [f"mv {LEFT} {LEFT.replace('/aachen/', '/x/')}"], ["x/aachen_.* is not named", "has no image aachen_"]),
        ("cityscapes", [f"cp {path} {path.replace('train/', 'val/')}" for path in (LEFT, LABEL_IDS)],
         ["train/aachen/.* and .*val/aachen/.* have one name.*; remove one"]),
        ("endovis", ["rm release_1/seq_1/labels/frame000.png"], ["release_1/seq_1/left_frames/frame000.png has no mask"]),
        ("endovis", ["rm test/seq_1/labels"], ["test/seq_1/labels/ is missing"]),
        ("folder", ["write test.txt p1/frame_000 p9/gone"], ["test.txt names p9/gone, but there is no such file"]),
        ("folder", ["write val.txt p1/frame_000", "write test.txt p1/frame_000"],
         ["test.txt names p1/frame_000, but so does val.txt; no image may be in two splits"]),
        ("folder", ["write test.txt p1/frame_000", "rm masks/p1/frame_000.png"],
         ["test.txt names p1/frame_000, but it has no mask, and test needs one"]),
        ("folder", ["write test.txt p1/frame_000", "write train.txt p1/frame_001 p1/frame_002"],
         ["^images in no list: 3 of 6, .*: p2/frame_000, p2/frame_001, p2/frame_002$"]),
        ("folder", ["rm images/p1/frame_000.png"], ["masks/p1/frame_000.png has no image"]),
        ("folder", ["touch masks/p1/scan.npy"], ["masks/p1/scan.npy has a format that is not read"]),
        ("folder", ["rm masks", "mkdir masks"], ["masks/ holds no pictures", *["has no mask"] * 6]),
        ("folder", ["mv masks Labels"], ["^Labels/ looks like the masks, .*; rename it to masks/, or move it elsewhere$"]),
        ("folder", ["mkdir images/empty"], []),
        ("folder", ["mv masks/p1/frame_000.png masks/p1/frame_000_mask.png"],
         ["frame_000_mask.png has no image of that name in images/; .* rename", "images/p1/frame_000 has no mask"]),
        ("folder", ["mv images/p1 images/Train", "mv masks/p1 masks/Train"],
         ["^images/Train looks like a split, but splits are read from train.txt, val.txt and test.txt beside images/ only; list"]),
        ("folder", ["write valid.txt p1/frame_000"], ["^valid.txt looks like a split"]),
        ("folder", ["write Test.csv p1/frame_000", "write train.txt p1/frame_001"], ["^Test.csv looks like a split"]),
        ("folder", ["mv images/p1 images/train", "mv masks/p1 masks/train", "write test.txt p2/frame_000"], []),  # a group
    ],
)  # fmt: skip
def test_defects_are_listed_before_any_work(name, commands, problems, tmp_path):
    TREES[name][0](tmp_path)
    told(open_source(name, edited(tmp_path, *commands), strict=False), *problems)


def test_folders_with_problems_are_refused_with_the_first_ten(tmp_path):
    edited(camvid_tree(tmp_path), *[f"touch train/extra_{i}.png" for i in range(13)])
    with pytest.raises(ValueError, match=r"camvid cannot be used: 13 problems: .*extra_6.png has no mask.*; and 3 more. `python"):
        open_source("camvid", tmp_path)


def test_above_the_limit_size_and_time_stand_for_the_content(tmp_path):
    items = camvid.read(camvid_tree(tmp_path)).items
    big, content = fingerprint(tmp_path, items, limit=100), fingerprint(tmp_path, items)
    assert content.startswith("content:") and big.startswith("stat:")
    assert fingerprint(tmp_path, reversed(items), limit=100) == big
    os.utime(items[0].image, ns=(1, 1))
    assert fingerprint(tmp_path, items, limit=100) != big and fingerprint(tmp_path, items) == content
    saved(tmp_path / "trainannot", np.full((16, 24), 3, np.uint8), "0016E5_00007.png")
    assert fingerprint(tmp_path, items) != content


def test_a_folder_that_cannot_be_read_is_a_problem_not_fewer_pictures(tmp_path, monkeypatch):
    tree, scan = folder_tree(tmp_path), os.scandir

    def denied(path):
        if Path(path).name == "p1":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    told(folder.read(tree), *[rf"{sub}/p1 cannot be read \(Permission denied\); fix its rights" for sub in ("images", "masks")])


def test_a_link_in_a_circle_ends(tmp_path):
    (tmp_path / "a").mkdir()
    try:
        (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert list(folders_below(tmp_path)) == [tmp_path, tmp_path / "a"]


def test_items_and_sources_check_themselves():
    with pytest.raises(ValueError, match=r"'training'.*train, val, test"):
        Item("a", "a", "training")
    with pytest.raises(ValueError, match="two items named 'a'"):
        Source("s", ("x",), (Item("a", "a", "train"), Item("a", "a", "test")), print, {})
    with pytest.raises(ValueError, match="no items"):
        Source("s", ("x",), (), print, {})


def test_a_data_set_by_name(tmp_path):
    how = {"recipe": SuperpixelRecipe(method="grid", count=6), "store_root": tmp_path / "stores", "workers": 1}
    tree = camvid_tree(tmp_path / "camvid")
    dataset = load_dataset("camvid", root=tree, **how)
    assert dataset.images.shape == (5, 16, 24, 3) and len(dataset.superpixels) == 3 * 6
    dataset = load_dataset("camvid", root=tree, options={"val": "official"}, height=8, width=12, **how)
    assert dataset.images.shape == (6, 8, 12, 3) and dataset.split["val"].tolist() == [3]
    toy = {"options": {"train": 1, "test": 1}, **how}
    assert load_dataset("toy", **toy).images.shape == (2, 96, 128, 3)
    assert load_dataset("toy", **toy, height=48, width=64).truth.shape == (2, 48, 64)


# ---- CamVid


def test_camvid_is_listed_by_split_and_sequence(tmp_path):
    source = camvid.read(camvid_tree(tmp_path))
    assert [(i.name, i.group, i.split) for i in source.items][1:4] == [
        ("0016E5_00008", "0016E5", "train"),
        ("Seq05VD_f00002", "Seq05VD", "train"),
        ("0001TP_006690", "0001TP", "test"),
    ]
    assert [i.name for i in camvid.read(tmp_path, val="official").items if i.split == "val"] == ["0016E5_08000"]
    assert all(np.array_equal(a, b) for a, b in zip(opened(source), truth((16, 24), 11), strict=True))
    saved(tmp_path / "trainannot", np.zeros((24, 16), np.uint8), "0016E5_00007.png")
    with pytest.raises(ValueError, match=r"0016E5_00007.png is 24x16 pixels.*0016E5_00007.png is 16x24; both need one size .*EXIF"):
        source.open(source.items[0])  # a turned mask


@pytest.mark.skipif(not CAMVID.is_dir(), reason="the real CamVid does not lie beside this repository")
def test_the_real_camvid_is_read():
    source = camvid.read(CAMVID, val="official")
    assert Counter(i.split for i in source.items) == {"train": 367, "val": 101, "test": 233}
    assert {i.group for i in source.items if i.split == "train"} == {"0006R0", "0016E5", "0001TP"}
    for item in (source.items[0], source.items[-1]):
        image, mask = source.open(item)
        assert image.shape == (360, 480, 3) and image.std() > 20
        assert set(np.unique(mask)) <= {*range(11), 255} and (mask == camvid.CLASSES.index("road")).mean() > 0.05


# ---- LabelMeFacade


def test_labelmefacade_tests_on_whole_collections(tmp_path):
    source = labelmefacade.read(labelmefacade_tree(tmp_path))
    groups = {split: {i.group for i in source.items if i.split == split} for split in ("train", "test")}
    assert groups == {"train": {"static_city_2005", "static_city"}, "test": {"static_street__night"}}
    assert splits(labelmefacade.read(tmp_path, split="official"))["test"] == ["static_city_2005__img_0000"]
    edited(tmp_path, "write test.txt static_city__img_0000 gone")
    told(labelmefacade.read(tmp_path, split="official"), "test.txt names gone, but there is no such image; copy the data set again")
    masks = labelmefacade.read(labelmefacade_tree(tmp_path / "b", masks="masks"))
    assert splits(masks) == splits(source) and not masks.problems


def test_whole_units_are_drawn_whatever_the_order_of_the_files():
    units = {f"u{i}": [f"u{i}_{k}" for k in range(1 + i % 4)] for i in range(20)}
    backwards = {unit: names[::-1] for unit, names in reversed(units.items())}
    test = drawn(units, 17, 50)
    assert test == drawn(backwards, 17, 50) and abs(len(test) - 17) <= 1
    assert all(test.isdisjoint(names) or test.issuperset(names) for names in units.values())


def test_labelmefacade_reads_colors_of_16_bits_and_refuses_an_unknown_one(tmp_path):
    source = labelmefacade.read(labelmefacade_tree(tmp_path))
    assert source.classes == ("building", "car", "door", "pavement", "road", "sky", "vegetation", "window")
    colors = "128 0 0, 128 0 128, 128 128 0, 128 128 128, 128 64 0, 0 128 128, 0 128 0, 0 0 128, 0 0 0"
    everything = np.full((16, 24, 4), 255, np.uint8)
    everything[:9, :, :3] = np.array([color.split() for color in colors.split(",")], np.uint8)[:, None]
    everything[9:] = everything[8]
    deep(tmp_path / "labels", everything, source.items[0].mask.name)
    assert opened(source)[1][:, 5].tolist() == [*range(8), *[255] * 8]
    assert np.array_equal(opened(source, 1)[1], truth((16, 24), 8, 1)[1])
    everything[3, 5, :3] = 128, 64, 128
    deep(tmp_path / "labels", everything, source.items[0].mask.name)
    with pytest.raises(ValueError, match=r"img_0000.png holds colors that are not classes: \(128, 64, 128\) \(1 pixel\); correct"):
        opened(source)


@pytest.mark.skipif(not FACADES.is_dir(), reason="the real LabelMeFacade does not lie beside this repository")
def test_the_real_labelmefacade_is_read():
    source = labelmefacade.read(FACADES)
    groups = {split: {i.group for i in source.items if i.split == split} for split in ("train", "test")}
    assert Counter(i.split for i in source.items) == {"train": 628, "test": 317} and not source.problems
    assert (len(groups["train"]), len(groups["test"])) == (42, 31) and groups["train"].isdisjoint(groups["test"])
    image, mask = opened(source)
    assert image.std() > 20 and set(np.unique(mask)) <= {*range(8), 255}


# ---- VOC


def test_voc_trains_on_train_and_tests_on_val(tmp_path):
    source = voc.read(voc_tree(tmp_path))
    assert splits(source) == {"train": [f"2007_{32 + 7 * i:06d}" for i in range(4)], "test": ["2007_000060", "2007_000067"]}
    assert len(source.classes) == 21 and source.classes[15] == "person" and source.items[2].group == source.items[2].name
    assert np.array_equal(opened(source, 4)[1], truth((24, 32), 21, 4)[1])
    for root in (tmp_path / "VOCdevkit", tmp_path / "VOCdevkit" / "VOC2012"):
        assert voc.read(root).identity == source.identity
    saved(source.items[0].mask.parent, voc_palette()[truth((24, 32), 21)[1]], source.items[0].mask.name)
    with pytest.raises(ValueError, match=r"2007_000032.png holds colors \(mode RGB\)"):
        source.open(source.items[0])


def test_voc_lists_may_have_windows_lines_and_columns(tmp_path):
    path = voc_tree(tmp_path) / "ImageSets/Segmentation/train.txt"
    path.write_bytes(b"\xef\xbb\xbf2007_000032  1\r\n\r\n/JPEGImages/2007_000039.jpg /SegmentationClass/2007_000039.png\r\n")
    assert splits(voc.read(tmp_path))["train"] == ["2007_000032", "2007_000039"] and not voc.read(tmp_path).problems
    path.write_bytes(b"\xff\xfe\x00")
    told(voc.read(tmp_path), "train.txt is not UTF-8 text")


def test_trainaug_takes_its_own_masks_and_the_official_ones_where_it_has_none(tmp_path):
    base = voc_tree(tmp_path, aug=2)
    source = voc.read(base, train="trainaug")
    folders = Counter((i.split, i.mask.parent.name) for i in source.items)
    assert folders == {("train", "SegmentationClassAug"): 5, ("train", "SegmentationClass"): 1, ("test", "SegmentationClass"): 2}
    assert np.array_equal(opened(source, 5)[1], truth((24, 32), 21, 7)[1]) and not source.problems
    with open(base / "ImageSets/Segmentation/trainaug.txt", "a") as file:
        file.write("2007_000060\n")
    told(
        voc.read(base, train="trainaug"), "2007_000060 stands in .*val.txt and in .*trainaug.txt, but no image may be in two splits"
    )
    assert voc.read(base).identity != source.identity
    told(voc.read(voc_tree(tmp_path / "b"), train="trainaug"), f"SegmentationClassAug/{AUG_MISSING}", f"trainaug.txt{AUG_MISSING}")


@pytest.mark.parametrize("place", voc.AUG_LISTS[1:])
def test_the_augmented_list_is_found_where_published_code_puts_it(tmp_path, place):
    base = voc_tree(tmp_path / "VOCtrainval_11-May-2012", aug=2)
    usual, other = base / voc.AUG_LISTS[0], base / place
    source, names = voc.read(tmp_path, train="trainaug"), usual.read_text().split()
    other.parent.mkdir(exist_ok=True)
    for line in ("/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png", "VOC2012\\JPEGImages\\{0}.jpg", "{0}.jpg"):
        other.write_text("\n".join(line.format(name) for name in names))
        assert voc.read(tmp_path, train="trainaug").problems == ()
    usual.write_text("2007_000032")
    told(voc.read(tmp_path, train="trainaug"), f"^{place} and .*trainaug.txt name different images, .* keep one of them")
    usual.unlink()
    assert voc.read(tmp_path, train="trainaug").items == source.items


def test_what_keeps_a_download_from_being_written_and_unpacked_is_one_sentence(tmp_path, monkeypatch):
    for raised, kind, message in [
        (URLError("no name"), ConnectionError, "could not be downloaded .*no name.*by hand"),
        (RuntimeError("corrupted"), ConnectionError, "could not be downloaded .*corrupted"),
        (PermissionError(13, "denied"), OSError, "could not be written to .*denied"),
    ]:
        monkeypatch.setattr("torchvision.datasets.utils.download_url", Mock(side_effect=raised))
        with pytest.raises(kind, match=message):
            voc.download(tmp_path)


@pytest.mark.parametrize("name, whole, why", [("../out.txt", True, "outside"), ("VOC/torn", False, "unexpected end of data")])
def test_an_archive_that_leads_elsewhere_or_is_torn_is_refused(tmp_path, monkeypatch, name, whole, why):
    def fetched(url, root, filename, md5):
        assert url.endswith(filename) and re.fullmatch("[0-9a-f]{32}", md5)
        with tarfile.open(Path(root) / filename, "w") as archive:
            archive.add(__file__, name)
        os.truncate(Path(root) / filename, (Path(root) / filename).stat().st_size if whole else 9_000)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetched)
    (tmp_path / "data").mkdir()
    with pytest.raises(
        ValueError, match=rf"is damaged or unsafe \(.*{why}.*\); delete it and download it again, or unpack .* by hand"
    ):
        voc.download(tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_download_is_unpacked_and_readable(tmp_path, monkeypatch):
    def fetched(url, root, filename, md5):
        with tarfile.open(Path(root) / filename, "w") as archive:
            archive.add(tmp_path / "theirs" / "VOCdevkit", "VOCdevkit")

    (tmp_path / "mine").mkdir()
    voc_tree(tmp_path / "theirs")
    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetched)
    for _ in range(2):  # again over what is there
        assert len(voc.read(voc.download(tmp_path / "mine")).items) == 6


# ---- Cityscapes


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelTrainIds",), ("labelIds", "labelTrainIds")])
@pytest.mark.parametrize("deep", [False, True])
def test_cityscapes_speaks_in_train_ids_whatever_the_masks_hold(tmp_path, kinds, deep):
    source = cityscapes.read(cityscapes_tree(tmp_path, kinds=kinds, deep=deep))
    assert [(i.name, i.group, i.split) for i in source.items][2:5] == [
        ("bad-honnef_000002_000019", "bad-honnef", "train"),
        ("bochum_000001_000019", "bochum", "train"),
        ("frankfurt_000000_000019", "frankfurt", "test"),
    ]
    assert all(np.array_equal(a, b) for a, b in zip(opened(source, 5), truth((32, 64), 19, 5), strict=True))
    assert source.identity["labels"] == kinds[-1] and len(source.classes) == 19 and source.classes[13] == "car"


def test_the_official_ids_become_train_ids_or_void(tmp_path):
    source = cityscapes.read(cityscapes_tree(tmp_path))
    item, everything = source.items[0], np.zeros((32, 64), np.uint8)
    everything[0, :36] = [*range(34), 255, 7]
    saved(item.mask.parent, everything, item.mask.name)
    ids = source.open(item)[1][0].tolist()
    assert [i for i in range(34) if ids[i] != 255] == list(cityscapes.LABEL_IDS) and ids[34:37] == [255, 0, 255]
    assert [ids[i] for i in cityscapes.LABEL_IDS] == list(range(19))
    saved(item.mask.parent, np.where(everything == 7, 77, everything).astype(np.uint8), item.mask.name)
    with pytest.raises(
        ValueError, match=rf"{item.mask.name} holds values .*: 77 \(2 pixels\); allowed are 0..18, -1, 19, .* 65535"
    ):
        source.open(item)


def test_cityscapes_archives_may_lie_in_folders_of_their_own_with_masks_of_unknown_kinds(tmp_path):
    together, apart = cityscapes.read(cityscapes_tree(tmp_path / "a")), cityscapes.read(cityscapes_tree(tmp_path / "b", apart=True))
    assert apart.items[0].mask == tmp_path / "b/gtFine_trainvaltest" / LABEL_IDS
    assert splits(apart) == splits(together) and len(apart.items) == 6 and not apart.problems
    shutil.copy(apart.items[0].mask, apart.items[0].mask.with_name("aachen_000000_000019_gtFine_labelIds_19classes.png"))
    assert cityscapes.read(tmp_path / "b").identity == apart.identity


@pytest.mark.parametrize("kind", ["1", "L"])
def test_gray_files_are_colors_where_the_data_set_has_only_colors(tmp_path, kind):
    source = endovis.read(endovis_tree(tmp_path))
    mask, white = source.items[0].mask, np.full((32, 40), 255, np.uint8)
    Image.fromarray(0 * white).convert(kind).save(mask)
    assert (source.open(source.items[0])[1] == 0).all()
    Image.fromarray(white).convert(kind).save(mask)
    with pytest.raises(
        ValueError, match=rf"{mask.name} holds values .* not classes: {white[0, 0] if kind == 'L' else 1} \(1280 pixels"
    ):
        source.open(source.items[0])


def test_one_missing_mask_does_not_turn_the_kind_of_all_others(tmp_path):
    edited(cityscapes_tree(tmp_path, kinds=("labelTrainIds",)), f"rm gtFine/{CITY}_gtFine_labelTrainIds.png")
    told(cityscapes.read(tmp_path), "has no mask aachen_000000_000019_gtFine_labelTrainIds.png")


# ---- EndoVis


def test_endovis_sequences_below_a_test_folder_are_for_testing(tmp_path):
    source = endovis.read(endovis_tree(tmp_path))
    groups = {("release_1/seq_1", "train"): 2, ("release_1/seq_2", "train"): 2, ("test/seq_1", "test"): 2}
    assert Counter((i.group, i.split) for i in source.items) == groups
    assert source.items[3].name == "release_1/seq_2/frame001" and source.classes == tuple(endovis.OFFICIAL.values())
    assert all(np.array_equal(a, b) for a, b in zip(opened(source, 3), truth((32, 40), 12, 3, void=False), strict=True))
    named = endovis.read(tmp_path, test_sequences=["release_1/seq_2"])
    assert {i.group for i in named.items if i.split == "test"} == {"release_1/seq_2"}
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(ValueError, match="'test', there are release_1/seq_1, release_1/seq_2; say with test_sequences"):
        endovis.read(tmp_path)


def test_the_whole_download_is_read_with_its_repairs_and_its_missing_mask(tmp_path):
    source = endovis.read(endovis_download(tmp_path))
    assert not source.problems and source.classes == tuple(endovis.OFFICIAL.values())
    one, test = ("miccai_challenge_2018_release_1/" * 2 + "seq_1", "test_data/test_data/seq_{0}-2018Z-001/seq_{0}")
    assert Counter(i.group for i in source.items if i.split == "test") == {test.format(1): 2, test.format(3): 1}
    assert [i.mask.name for i in source.items[:2]] == ["frame041.png", "seq_1_frame042.png"]
    assert set(np.unique(opened(source, 0)[1])) <= {*range(6)} and (opened(source, 1)[1] == 10).all()
    assert source.identity["repairs"] == [f"{one}/frame042"] and source.identity["left_out"] == [f"{test.format(3)}/frame001"]
    shutil.rmtree(tmp_path / "repairs")
    plain = endovis.read(tmp_path)
    assert plain.items[1].mask.name == "frame042.png" and plain.identity["files"] != source.identity["files"]
    (plain.items[-2].mask.parent / "frame000.png").unlink()  # a gap that the challenge did not leave
    told(endovis.read(tmp_path), "test_data/.*seq_1/left_frames/frame000.png has no mask")
    shutil.rmtree(tmp_path / "miccai_challenge_2018_release_1")
    part = endovis.read(tmp_path)  # class ids do not depend on which releases are there
    assert part.classes == source.classes and part.identity["colors"] == source.identity["colors"]


@pytest.mark.parametrize(
    "names, problem",
    [
        ((), "repairs/seq_2_frame000.png must belong to one training sequence seq_2, but none is there; remove"),
        (("release_1/seq_2", "copy/seq_2"), "one training sequence seq_2, but copy/seq_2 and release_1/seq_2; remove"),
        (("release_1/seq_2",), None),
    ],
)
def test_a_repair_belongs_to_one_training_sequence(tmp_path, names, problem):
    endovis_tree(tmp_path, train=(2,), test=(2, 2))  # test/seq_2 is another one
    for name in names:
        shutil.copytree(tmp_path / "release_1/seq_1", tmp_path / name)
    saved(tmp_path / "repairs", np.zeros((32, 40, 3), np.uint8), "seq_2_frame000.png")
    told(endovis.read(tmp_path), *([problem] if problem else []))
    saved(tmp_path / "repairs", np.zeros((32, 40, 3), np.uint8), "notes.png")
    assert "repairs/notes.png is not named like seq_1_frame042.png" in endovis.read(tmp_path).problems[0]


def table(root, place, *entries):
    (root / place).write_text(json.dumps([{"name": name, "color": color} for name, color in entries]))


def test_a_name_of_the_table_may_have_an_alias_and_another_color(tmp_path):
    endovis_tree(tmp_path)
    (tmp_path / "labels.json").write_text("never read: each sequence has a nearer one")
    table(tmp_path, "release_1/labels.json", ("Small_Intestine ", [124, 155, 5]), ("thread", [128, 155, 25, 128]))
    source = endovis.read(tmp_path)
    saved(source.items[0].mask.parent, np.full((32, 40, 4), (128, 155, 25, 128), np.uint8), source.items[0].mask.name)
    assert not source.problems and (source.open(source.items[0])[1] == 6).all() and len(source.classes) == 12
    saved(source.items[0].mask.parent, np.zeros((32, 40, 4), np.uint8), source.items[0].mask.name)
    with pytest.raises(ValueError, match=r"frame000.png is transparent at 1280 pixels"):  # whatever its colors have been
        source.open(source.items[0])


def test_a_thirteenth_class_and_a_color_of_two_classes_are_told(tmp_path):
    table(endovis_tree(tmp_path), "release_1/labels.json", ("smoke", [1, 2, 3]), ("gauze", [9, 9, 9]))
    smoke = r"release_1/labels.json lists smoke \(1, 2, 3\), but the challenge has 12 classes without it; delete the entry"
    told(endovis.read(tmp_path), smoke, "lists gauze")
    table(tmp_path, "release_1/labels.json", ("stapler", [0, 255, 125]))
    told(endovis.read(tmp_path), r"says that \(0, 255, 125\) is stapler, but in the challenge's table it is clamps")


COLORS = [f'[{{"name": "thread", "color": {color}}}]' for color in ("[0, 0, 256]", "[0, 0]", "7")]
TORN = ["[", '{"name": "a"}', "[]", '["a"]', '[{"name": 7, "color": [0, 0, 0]}]', *COLORS]


@pytest.mark.parametrize("content", TORN)
def test_a_broken_labels_json_is_named(tmp_path, content):
    (endovis_tree(tmp_path) / "release_1/seq_2/labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"seq_2.labels.json is .*\{\"name\": text.*copy it again from the release"):
        endovis.read(tmp_path)


# ---- your own folder


CLASSES = "classes: {tissue: [0, 0, 0], tool: [128, 0, 0], thread: [0, 128, 0]}\nvoid: [224, 224, 192]\n"


@pytest.mark.parametrize("masks", ["grey", "deep", "palette", "rgb"])
def test_a_folder_reads_masks_of_each_kind_and_size(tmp_path, masks):
    classes = CLASSES if masks == "rgb" else "[tissue, tool, thread]"
    source = folder.read(folder_tree(tmp_path, masks=masks, classes=classes))
    assert source.classes == ("tissue", "tool", "thread") and not source.problems
    rng = np.random.default_rng(0)
    for i, item in enumerate(source.items):
        assert item.name == f"p{1 + i // 3}/frame_{i % 3:03d}" and item.group == f"p{1 + i // 3}"
        expected = scene(rng, ((20, 30), (24, 24))[i % 2], 3)
        assert all(np.array_equal(a, b) for a, b in zip(opened(source, i), expected, strict=True))


def test_the_drawn_test_images_stay_when_pictures_are_added(tmp_path):
    few = splits(folder.read(folder_tree(tmp_path / "a", {"": 20})))
    assert len(few["test"]) == 4 and few == splits(folder.read(tmp_path / "a"))
    more = splits(folder.read(folder_tree(tmp_path / "b", {"": 25})))
    assert len(more["test"]) == 5 and len(set(few["test"]) & set(more["test"])) >= 3
    none = folder.read(tmp_path / "a", test_share=0)
    assert none.items[0].group == "frame_000" and not splits(none)["test"]


def test_groups_are_never_torn_between_train_and_test(tmp_path):
    tree = folder_tree(tmp_path, {"p1": 3, "p2/left": 1, "p2/right": 2, "p3": 3, "p4": 3, "p5": 3})
    for share, groups in ((0.2, 1), (0.4, 2), (0.99, 4)):
        source = folder.read(tree, test_by="group", test_share=share)
        test = {i.group for i in source.items if i.split == "test"}
        assert len(test) == groups and not test & {i.group for i in source.items if i.split == "train"}
    edited(tree, "write train.txt p1/frame_000 p2/left/frame_000 p3/frame_000.png p4/frame_001")
    assert {i.group for i in folder.read(tree, test_by="group").items if i.split == "test"} == {"p5"}
    assert {i.split for i in monarch.read(tree).items if i.group == "p5"} == {"test"}
    with pytest.raises(ValueError, match=r"only one group, p1, .* test_by 'image'"):
        monarch.read(folder_tree(tmp_path / "other", {"p1": 3}))


def test_lists_decide_the_splits_and_keep_pictures_without_masks_in_the_pool(tmp_path):
    tree = edited(folder_tree(tmp_path), "write test.txt p1/frame_000.png p2\\frame_001", "write val.txt images\\p1/frame_002.png")
    source = folder.read(tree)
    assert [i.split for i in source.items] == ["test", "train", "val", "train", "test", "train"] and not source.problems
    edited(tree, "rm test.txt", "rm val.txt", "rm masks/p1/frame_001.png")
    told(folder.read(tree), r"^images/p1/frame_001 has no mask .* write the line p1/frame_001 into train.txt")
    source = folder.read(edited(tree, "write train.txt p1/frame_001"))
    assert not source.problems and source.items[1].mask is None and opened(source, 1)[1] is None
    assert len(splits(source)["test"]) == 1


@pytest.mark.parametrize(
    "lists, by, sentence",
    [
        ({"train": "p1/frame_000 p1/frame_001 p1/frame_002 p2/frame_000", "val": "p2/frame_001 p2/frame_002"}, "image",
         r"^there is no test split: all images with a mask stand in train.txt and val.txt; name some in test.txt \(or rename val.txt\)$"),
        ({"train": "p1/frame_000 p2/frame_000"}, "group", "all groups with a mask stand in train.txt; name some in test.txt$"),
    ],
)  # fmt: skip
def test_lists_that_leave_nothing_to_test_on_are_a_problem_that_no_run_outlives(tmp_path, lists, by, sentence):
    tree = edited(folder_tree(tmp_path), *(f"write {split}.txt {names}" for split, names in lists.items()))
    told(folder.read(tree, test_by=by), sentence)
    with pytest.raises(ValueError, match="folder cannot be used: 1 problem: there is no test split"):
        load_dataset("folder", root=tree, options={"test_by": by})
    assert not folder.read(tree, test_by=by, test_share=0).problems  # nothing shall be tested


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".jif", ".jfi", ".pjpeg", ".pjp"])
def test_a_photo_is_read_by_every_suffix_of_jpeg(tmp_path, suffix):
    tree = folder_tree(tmp_path)
    saved(tree / "images" / "p1", np.full((20, 30, 3), 90, np.uint8), f"frame_009{suffix}", format="JPEG")
    saved(tree / "masks" / "p1", np.zeros((20, 30), np.uint8), "frame_009.png")
    source = folder.read(tree)
    assert not source.problems and {i.name: i for i in source.items}["p1/frame_009"].image.suffix == suffix


@pytest.mark.parametrize("name", TREES)
def test_a_picture_is_told_by_its_content_where_its_suffix_says_nothing(name, tmp_path):
    first = open_source(name, TREES[name][0](tmp_path)).items[0]
    for stray in ("photo", "photo.jpg_large", "photo.crdownload"):
        (first.image.parent / stray).write_bytes(first.image.read_bytes())
    problems = open_source(name, tmp_path, strict=False).problems
    assert [re.search(r"photo\S* has a suffix that is not read", line) is not None for line in problems] == [True] * 3


def test_without_any_masks_all_is_train(tmp_path):
    source = folder.read(folder_tree(tmp_path, masks="none", classes=None), classes=["tissue", "tool"])
    assert {i.split for i in source.items} == {"train"} and source.classes == ("tissue", "tool") and not source.problems
    image, mask = opened(source)
    assert mask is None and image.shape == (20, 30, 3)
    with pytest.raises(ValueError, match=r"classes are not named; write .*classes.yaml with a list of names, or give the option"):
        folder.read(tmp_path)


@pytest.mark.parametrize(
    "text, names, colors, void",
    [
        ("- a\n- b\n", ("a", "b"), None, 255),
        ("classes: [a, b]\nvoid: 9\n", ("a", "b"), None, 9),
        ("- {name: a, color: [0, 0, 1]}\n- {name: b, color: [0, 0, 2]}\n", ("a", "b"), {(0, 0, 1): 0, (0, 0, 2): 1}, 255),
        ("a: [0, 0, 1]\nvoid: [5, 5, 5]\n", ("a",), {(0, 0, 1): 0, (5, 5, 5): 255}, 255),
        ("classes: {a: [0, 0, 1]}\nvoid: 7\n", ("a",), {(0, 0, 1): 0}, 7),
    ],
)
def test_classes_are_names_with_colors_or_without(tmp_path, text, names, colors, void):
    (tmp_path / "classes.yaml").write_text(text)
    assert folder.read_classes(tmp_path) == (names, colors, void)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[a, b", "is not YAML .*; write a list of names"),
        ("{a: [0, 0, 0], a: [1, 1, 1]}", "is not YAML .*'a' stands there twice"),  # the first would have been lost
        ("[]", "1 to 255 names"),
        ("[a, no]", "'name': False.*quote numbers, yes and no"),
        ("[a, [b]]", "'name': \\['b'\\]"),
        ("[{name: a, colour: [0, 0, 0]}]", "a class is a name"),
        ("[a, b, a]", "names 'a' twice"),
        ("{classes: [a], ignore: 3}", "'ignore' beside classes"),
        ("[{name: a, color: [0, 0, 0]}, b]", "to some classes only"),
        ("{a: [0, 0, 0], b: [0, 0, 0]}", r"color \[0, 0, 0\] to a and b"),
        ("{a: [0, 0, 300]}", "three numbers 0..255"),
        ("{classes: [a, b], void: 1}", r"1 void, but it must be above the classes' 0..1"),
        ("{classes: [a, b], void: [1, 2, 3]}", "index, or a color where all classes have other ones"),
        ("{a: [1, 2, 3], void: other}", "'other' for a color"),
        ("{classes: [a, b], void: 0}", r"0 void, .*or give colors, such as \[0, 0, 0\] to void and \[1, 1, 1\] to the first class"),
        ("{names: [a, b], nc: 2}", r"\['a', 'b'\] for a color.*or a list of names without colors"),
        ("{0: a, 1: b}", "'name': 0.*; its place in the list is its id"),
        ("['a ', a]", "names 'a' twice"),
    ],
)
def test_classes_that_contradict_themselves_are_refused(tmp_path, text, message):
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"classes.yaml.*{message}"):
        folder.read_classes(tmp_path)


def test_classes_named_twice_over_need_a_decision(tmp_path):
    with pytest.raises(ValueError, match=r"named by the option classes and by .*classes.yaml, but one must decide"):
        folder.read(folder_tree(tmp_path), classes=["a"])


# ---- names of files


POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")


@POSIX
def test_pictures_of_any_name_are_listed_prepared_and_checked_with_their_masks(tmp_path):
    root = odd_names_tree(tmp_path / "my 'best' \"photos\" $HOME %s\nÜ")
    source = open_source("folder", root)
    assert sorted(item.name for item in source.items) == sorted(ODD_NAMES) and all(item.mask for item in source.items)
    how = {"recipe": SuperpixelRecipe(method="grid", count=4), "store_root": tmp_path / "store", "workers": 1}
    dataset = load_dataset("folder", root=root, **how)
    for i, seed in enumerate(map(ODD_NAMES.index, dataset.names)):
        assert (dataset.images[i] == np.asarray(odd_picture(seed))).all()
        assert (dataset.truth[i] == np.asarray(odd_picture(seed, 2, ()))).all()
    fits = [name for name in ODD_NAMES if name.splitlines() == [name] and name == name.strip() and "\\" not in name][:9]
    (root / "test.txt").write_text("\n".join(unicodedata.normalize("NFD", name) for name in fits), encoding="utf-8")
    source = open_source("folder", root)
    assert {item.name for item in source.items if item.split == "test"} == set(fits)
    assert check(source, 1).problems == ()
    for file in (root / "images").rglob("*.png"):
        file.write_bytes(b"torn")
    (root / "images" / "more\nlines.gif").touch()
    lines = summary(check(open_source("folder", root, strict=False), 1), 99).splitlines()
    problems = [line for line in lines if line.startswith("problem: ")]
    assert len(problems) == len(ODD_NAMES) + 1 and sum("is not an image or is cut off" in line for line in problems) == len(
        ODD_NAMES
    )
    assert "problem: images/more lines.gif has a format that is not read; save it as PNG, or move it elsewhere" in problems


@POSIX
def test_a_name_that_is_not_utf8_or_written_in_two_ways_is_a_problem(tmp_path):
    (folder_tree(tmp_path, masks="none") / "images" / unicodedata.normalize("NFC", "Übung.png")).touch()
    (tmp_path / "images" / unicodedata.normalize("NFD", "Übung.png")).touch()
    try:
        open(os.fsencode(tmp_path) + b"/images/\xff.png", "w").close()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    if len(list((tmp_path / "images").glob("*.png"))) < 3:
        pytest.skip("to this file system they are one file")
    told(
        folder.read(tmp_path),
        "have one name without suffix; keep one of them",
        r"^'images/\\udcff.png' is not a name in UTF-8; give",
    )
