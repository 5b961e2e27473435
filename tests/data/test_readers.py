"""Each data set in its native layout, and every defect a real folder has: listed without opening a picture, or told when opened."""

import json
import os
import pickle
import re
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from trees import camvid_tree, cityscapes_tree, endovis_download, endovis_tree, folder_tree, saved, scene, voc_palette, voc_tree

from oreal_lib.data.folders import fingerprint, folders_below
from oreal_lib.data.readers import camvid, cityscapes, endovis, folder, monarch, voc

TREES = {
    "camvid": (camvid.read, camvid_tree),
    "voc": (voc.read, voc_tree),
    "cityscapes": (cityscapes.read, cityscapes_tree),
    "endovis": (endovis.read, endovis_tree),
    "folder": (folder.read, folder_tree),
    "monarch": (monarch.read, folder_tree),
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


def lines(path, *names):
    path.write_text("\n".join(names) + "\n")


# ---- what holds for all of them


@pytest.mark.parametrize("name", TREES)
def test_a_clean_tree_opens_without_a_problem_wherever_it_lies(name, tmp_path):
    read, tree = TREES[name]
    source = read(tree(tmp_path / "one"))
    assert source.name == name and not source.problems and {i.split for i in source.items} == {"train", "test"}
    for i, item in enumerate(source.items):
        image, mask = opened(source, i)
        assert image.dtype == mask.dtype == np.uint8 and image.shape == (*mask.shape, 3)
        assert set(np.unique(mask)) <= {*range(len(source.classes)), 255} and item.image.is_file() and item.mask.is_file()
    again = read(tree(tmp_path / "two"))
    assert again.identity == source.identity and str(tmp_path) not in json.dumps(source.identity)


@pytest.mark.parametrize("name", TREES)
def test_a_wrong_root_says_what_is_looked_for(name, tmp_path, monkeypatch):
    read, tree = TREES[name]
    looked_for = {"camvid": "train/", "voc": "JPEGImages/", "cityscapes": "leftImg8bit/", "endovis": "left_frames/"}.get(
        name, "images/"
    )
    monkeypatch.delenv("OREAL_DATA", raising=False)
    for root, message in ((tmp_path, "holds no"), (tmp_path / "gone", "does not exist"), (None, "OREAL_DATA")):
        with pytest.raises(FileNotFoundError, match=f"{message}.*{looked_for}") as error:
            read(root)
        assert ("private and not public" in str(error.value)) == (name == "monarch")
    tree(tmp_path / name)
    for named in (tmp_path, tmp_path / name):
        monkeypatch.setenv("OREAL_DATA", str(named))
        assert {i.split for i in read().items} == {"train", "test"}


@pytest.mark.parametrize("name", TREES)
def test_a_cut_or_smaller_file_is_named_when_opened(name, tmp_path):
    read, tree = TREES[name]
    source = read(tree(tmp_path))
    first, last = source.items[0], source.items[-1]
    first.image.write_bytes(first.image.read_bytes()[:300])
    saved(last.mask.parent, np.zeros((4, 4), np.uint8), last.mask.name)
    with pytest.raises(ValueError, match=f"{first.image.name} is no image or is cut off"):
        source.open(first)
    with pytest.raises(ValueError, match=rf"{last.image.name} is .* but its mask .*{last.mask.name} is 4x4"):
        source.open(last)


@pytest.mark.parametrize("name", TREES)
def test_harmless_files_are_passed_over_and_a_folder_of_nothing_is_a_problem(name, tmp_path):
    read, tree = TREES[name]
    first = read(tree(tmp_path)).items[0]
    for stray in ("Thumbs.db", "._frame.png", ".DS_Store", "notes.txt"):
        (first.image.parent / stray).touch()
        (first.mask.parent / stray).touch()
    assert not read(tmp_path).problems
    top = {"cityscapes": first.image.parent.parent, "folder": tmp_path / "images", "monarch": tmp_path / "images"}
    for path in [p for p in top.get(name, first.image.parent).rglob("*") if p.is_file()]:
        path.unlink()
    assert any("holds no pictures" in line for line in read(tmp_path).problems)


@pytest.mark.parametrize(
    "read, option, message",
    [
        (camvid.read, {"val": "test"}, "val is 'test', but must be 'draw' or 'official'"),
        (voc.read, {"train": "trainval"}, "train is 'trainval', but must be 'train' or 'trainaug'"),
        (cityscapes.read, {"labels": "color"}, "labels is 'color'.*'labelTrainIds'"),
        (
            endovis.read,
            {"test_sequences": "seq_1"},
            "test_sequences is 'seq_1', but must be a list of names; there are release_1/seq_1",
        ),
        (endovis.read, {"test_sequences": ["seq_9"]}, "names seq_9, but there are release_1/seq_1, .* choose among these"),
        (endovis.read, {"extra_classes": "yes"}, "extra_classes is 'yes', but must be true or false"),
        (folder.read, {"test_share": 1.0}, "test_share is 1.0.*below 1"),
        (folder.read, {"test_share": True}, "test_share is True"),
        (folder.read, {"test_by": "video"}, "test_by is 'video'"),
    ],
)
def test_a_bad_option_is_refused_with_the_choices(read, option, message, tmp_path):
    endovis_tree(tmp_path)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **option)


def test_above_the_limit_size_and_time_stand_for_the_content(tmp_path):
    items = camvid.read(camvid_tree(tmp_path)).items
    big = fingerprint(tmp_path, items, limit=100)
    assert fingerprint(tmp_path, items).startswith("content:") and big.startswith("stat:")
    assert fingerprint(tmp_path, reversed(items), limit=100) == big
    os.utime(items[0].image, ns=(1, 1))
    assert fingerprint(tmp_path, items, limit=100) != big


def test_a_link_in_a_circle_ends(tmp_path):
    (tmp_path / "a").mkdir()
    try:
        (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert list(folders_below(tmp_path)) == [tmp_path, tmp_path / "a"]


# ---- VOC


def test_voc_trains_on_train_and_tests_on_val(tmp_path):
    source = voc.read(voc_tree(tmp_path))
    assert splits(source) == {"train": [f"2007_{32 + 7 * i:06d}" for i in range(4)], "test": ["2007_000060", "2007_000067"]}
    assert len(source.classes) == 21 and source.classes[15] == "person" and source.items[2].group == source.items[2].name
    assert np.array_equal(opened(source, 4)[1], truth((24, 32), 21, 4)[1])
    for root in (tmp_path / "VOCdevkit", tmp_path / "VOCdevkit" / "VOC2012"):
        assert voc.read(root).identity == source.identity


def test_voc_lists_may_have_windows_lines_and_columns(tmp_path):
    base = voc_tree(tmp_path)
    path = base / "ImageSets/Segmentation/train.txt"
    path.write_bytes(b"\xef\xbb\xbf2007_000032  1\r\n\r\n/JPEGImages/2007_000039.jpg /SegmentationClass/2007_000039.png\r\n")
    assert splits(voc.read(base))["train"] == ["2007_000032", "2007_000039"] and not voc.read(base).problems


def test_trainaug_takes_its_own_masks_and_the_official_ones_where_it_has_none(tmp_path):
    base = voc_tree(tmp_path, aug=2)
    source = voc.read(base, train="trainaug")
    assert Counter(i.mask.parent.name for i in source.items if i.split == "train") == {
        "SegmentationClassAug": 5,
        "SegmentationClass": 1,
    }
    assert {i.mask.parent.name for i in source.items if i.split == "test"} == {"SegmentationClass"}
    assert np.array_equal(opened(source, 5)[1], truth((24, 32), 21, 7)[1]) and not source.problems
    with open(base / "ImageSets/Segmentation/trainaug.txt", "a") as file:
        file.write("2007_000060\n")
    told(
        voc.read(base, train="trainaug"), "2007_000060 stands in .*val.txt and in .*trainaug.txt, but no image may be in two splits"
    )
    assert voc.read(base).identity != source.identity


@pytest.mark.parametrize("place", voc.AUG_LISTS[1:])
@pytest.mark.parametrize("line", ["/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png", "VOC2012\\JPEGImages\\{0}.jpg", "{0}.jpg"])
def test_the_augmented_list_is_found_where_published_code_puts_it(tmp_path, place, line):
    base = voc_tree(tmp_path / "VOCtrainval_11-May-2012", aug=2)
    usual, other = base / voc.AUG_LISTS[0], base / place
    source = voc.read(tmp_path, train="trainaug")
    other.parent.mkdir(exist_ok=True)
    lines(other, *(line.format(name) for name in usual.read_text().split()))
    assert voc.read(tmp_path, train="trainaug").problems == ()
    lines(usual, "2007_000032")
    told(voc.read(tmp_path, train="trainaug"), f"^{place} and .*trainaug.txt name different images, .* keep one of them")
    usual.unlink()
    assert voc.read(tmp_path, train="trainaug").items == source.items


@pytest.mark.parametrize(
    "spoil, problems",
    [
        (lambda t, s: (t / "SegmentationClass/2007_000032.png").unlink(), ["2007_000032.jpg has no mask"]),
        (lambda t, s: (t / "JPEGImages/2007_000032.jpg").unlink(), ["train.txt names 2007_000032, but there is no JPEGImages"]),
        (lambda t, s: lines(s / "val.txt", "2007_000032"), ["in .*val.txt and in .*train.txt, but no image may be in two splits"]),
        (lambda t, s: lines(s / "val.txt", "2007_000060", "2007_000060"), ["val.txt names 2007_000060 2 times.*keep one line"]),
        (lambda t, s: lines(s / "val.txt", "2007_000060 1", "2007_000060 -1"), ["2007_000060 stands twice in .*val.txt"]),
        (lambda t, s: lines(s / "val.txt"), ["val.txt names no image"]),
        (lambda t, s: (s / "val.txt").write_bytes(b"\xff\xfe\x00"), ["val.txt is no UTF-8 text"]),
        (lambda t, s: (s / "train.txt").unlink(), ["train.txt is missing; copy it"]),
        (lambda t, s: shutil.rmtree(t / "SegmentationClass"), ["SegmentationClass/ is missing", *["has no mask"] * 6]),
        (lambda t, s: (t / "SegmentationClass/2012_004331.png").touch(), []),  # of a photo no list names
    ],
)
def test_defects_of_a_voc_tree_are_listed(tmp_path, spoil, problems):
    base = voc_tree(tmp_path)
    spoil(base, base / "ImageSets" / "Segmentation")
    told(voc.read(base), *problems)


def test_trainaug_without_its_files_is_a_problem(tmp_path):
    by_hand = " is missing, and is not part of the official archive .*docs/data_cards.md.*by hand, or use train: train"
    told(voc.read(voc_tree(tmp_path), train="trainaug"), f"SegmentationClassAug/{by_hand}", f"trainaug.txt{by_hand}")


def test_a_voc_mask_saved_as_colors_is_refused(tmp_path):
    source = voc.read(voc_tree(tmp_path))
    saved(source.items[0].mask.parent, voc_palette()[truth((24, 32), 21)[1]], source.items[0].mask.name)
    with pytest.raises(ValueError, match=r"2007_000032.png holds colors \(mode RGB\)"):
        source.open(source.items[0])


@pytest.mark.parametrize(
    "raised, kind, message",
    [
        (URLError("no route"), ConnectionError, "could not be downloaded .*no route.*by hand"),
        (RuntimeError("corrupted"), ConnectionError, "could not be downloaded .*corrupted"),
        (PermissionError(13, "denied"), OSError, "could not be written to .*denied"),
    ],
)
def test_a_failed_download_is_one_sentence(tmp_path, monkeypatch, raised, kind, message):
    def fails(*_, **__):
        raise raised

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fails)
    with pytest.raises(kind, match=message):
        voc.download(tmp_path)


def test_a_download_is_checked_unpacked_and_readable(tmp_path, monkeypatch):
    def fetched(url, root, filename, md5):
        assert url.endswith(filename) and re.fullmatch("[0-9a-f]{32}", md5)
        voc_tree(tmp_path / "theirs")
        with tarfile.open(Path(root) / filename, "w") as archive:
            archive.add(tmp_path / "theirs" / "VOCdevkit", "VOCdevkit")

    (tmp_path / "mine").mkdir()
    monkeypatch.setattr("torchvision.datasets.utils.download_url", fetched)
    assert len(voc.read(voc.download(tmp_path / "mine")).items) == 6


# ---- Cityscapes


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelTrainIds",), ("labelIds", "labelTrainIds")])
@pytest.mark.parametrize("deep", [False, True])
def test_cityscapes_speaks_in_train_ids_whatever_the_masks_hold(tmp_path, kinds, deep):
    source = cityscapes.read(cityscapes_tree(tmp_path, kinds=kinds, deep=deep))
    assert [(i.name, i.group, i.split) for i in source.items][2:] == [
        ("bad-honnef_000002_000019", "bad-honnef", "train"),
        ("bochum_000001_000019", "bochum", "train"),
        ("frankfurt_000000_000019", "frankfurt", "test"),
        ("frankfurt_000001_000019", "frankfurt", "test"),
    ]
    image, mask = opened(source, 5)
    assert np.array_equal(image, truth((32, 64), 19, 5)[0]) and np.array_equal(mask, truth((32, 64), 19, 5)[1])
    assert source.identity["labels"] == kinds[-1] and len(source.classes) == 19 and source.classes[13] == "car"


def test_the_official_ids_become_train_ids_or_void(tmp_path):
    source = cityscapes.read(cityscapes_tree(tmp_path))
    item = source.items[0]
    everything = np.zeros((32, 64), np.uint8)
    everything[0, :36] = [*range(34), 255, 7]
    saved(item.mask.parent, everything, item.mask.name)
    ids = source.open(item)[1][0].tolist()
    assert [i for i in range(34) if ids[i] != 255] == list(cityscapes.LABEL_IDS) and ids[34:37] == [255, 0, 255]
    assert [ids[i] for i in cityscapes.LABEL_IDS] == list(range(19))
    saved(item.mask.parent, np.where(everything == 7, 77, everything).astype(np.uint8), item.mask.name)
    with pytest.raises(ValueError, match=rf"{item.mask.name} holds 1 value .*: 77 \(2 pixels\); allowed are -1..33, 255, 65535"):
        source.open(item)


def test_cityscapes_archives_may_lie_in_folders_of_their_own_with_masks_of_unknown_kinds(tmp_path):
    together, apart = cityscapes.read(cityscapes_tree(tmp_path / "a")), cityscapes.read(cityscapes_tree(tmp_path / "b", apart=True))
    assert apart.items[0].mask == tmp_path / "b/gtFine_trainvaltest" / AACHEN.format("gtFine", "gtFine_labelIds")
    assert splits(apart) == splits(together) and len(apart.items) == 6 and not apart.problems
    shutil.copy(apart.items[0].mask, apart.items[0].mask.with_name("aachen_000000_000019_gtFine_labelIds_19classes.png"))
    assert cityscapes.read(tmp_path / "b").identity == apart.identity


def moved(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


AACHEN = "{}/train/aachen/aachen_000000_000019_{}.png"


@pytest.mark.parametrize(
    "spoil, problems",
    [
        (lambda t: (t / AACHEN.format("gtFine", "gtFine_labelIds")).unlink(), ["aachen_.*_leftImg8bit.png has no mask aachen_"]),
        (lambda t: (t / AACHEN.format("leftImg8bit", "leftImg8bit")).unlink(), ["aachen_.*_labelIds.png has no image aachen_"]),
        (
            lambda t: moved(t / AACHEN.format("gtFine", "gtFine_labelIds"), t / AACHEN.format("gtFine", "gtFine_labelTrainIds")),
            ["aachen_.* has a mask of labelTrainIds, but labelIds are read and never mixed"],
        ),
        (lambda t: (t / "leftImg8bit/train/aachen/photo.png").touch(), ["photo.png is not named <city>/<city>_ssssss"]),
        (lambda t: (t / "gtFine/val/frankfurt/photo.png").touch(), ["photo.png is not named .*gtFine"]),
        (
            lambda t: moved(
                t / AACHEN.format("leftImg8bit", "leftImg8bit"), t / "leftImg8bit/train/x/aachen_000000_000019_leftImg8bit.png"
            ),
            ["x/aachen_000000_000019_leftImg8bit.png is not named", "has no image aachen_"],
        ),
        (
            lambda t: [
                (t / sub.replace("train", "val")).parent.mkdir() or shutil.copy(t / sub, t / sub.replace("train", "val"))
                for sub in (AACHEN.format("leftImg8bit", "leftImg8bit"), AACHEN.format("gtFine", "gtFine_labelIds"))
            ],
            ["val/aachen/.* lies in train/ and in val/.*; remove one"],
        ),
        (lambda t: shutil.rmtree(t / "gtFine/val"), ["gtFine/val/ is missing", "has no mask", "has no mask"]),
    ],
)
def test_defects_of_a_cityscapes_tree_are_listed(tmp_path, spoil, problems):
    spoil(cityscapes_tree(tmp_path))
    told(cityscapes.read(tmp_path), *problems)


def test_one_missing_mask_does_not_turn_the_kind_of_all_others(tmp_path):
    cityscapes_tree(tmp_path, kinds=("labelTrainIds",))
    (tmp_path / AACHEN.format("gtFine", "gtFine_labelTrainIds")).unlink()
    told(cityscapes.read(tmp_path), "has no mask aachen_000000_000019_gtFine_labelTrainIds.png")


# ---- EndoVis


def test_endovis_sequences_below_a_test_folder_are_for_testing(tmp_path):
    source = endovis.read(endovis_tree(tmp_path))
    assert Counter((i.group, i.split) for i in source.items) == {
        ("release_1/seq_1", "train"): 2,
        ("release_1/seq_2", "train"): 2,
        ("test/seq_1", "test"): 2,
    }
    assert source.items[3].name == "release_1/seq_2/frame001" and source.classes == tuple(endovis.OFFICIAL.values())
    image, mask = opened(source, 3)
    assert all(np.array_equal(a, b) for a, b in zip((image, mask), truth((32, 40), 12, 3, void=False), strict=True))
    named = endovis.read(tmp_path, test_sequences=["release_1/seq_2"])
    assert {i.group for i in named.items if i.split == "test"} == {"release_1/seq_2"}


def test_without_a_test_folder_the_test_sequences_must_be_named(tmp_path):
    endovis_tree(tmp_path / "data", test=())
    with pytest.raises(ValueError, match="'test', there are release_1/seq_1, release_1/seq_2; say with test_sequences"):
        endovis.read(tmp_path / "data")


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


def test_class_ids_do_not_depend_on_which_releases_are_there(tmp_path):
    whole = endovis.read(endovis_download(tmp_path / "a"))
    shutil.rmtree(endovis_download(tmp_path / "b") / "miccai_challenge_2018_release_1")
    shutil.rmtree(tmp_path / "b/repairs")
    part = endovis.read(tmp_path / "b")
    assert part.classes == whole.classes and part.identity["colors"] == whole.identity["colors"]
    bare = endovis.read(endovis_tree(tmp_path / "c", labels=False))
    assert bare.identity == endovis.read(endovis_tree(tmp_path / "d")).identity and bare.classes == whole.classes


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


def table(*entries):
    return json.dumps([{"name": name, "color": color} for name, color in entries])


def test_a_name_of_the_table_may_have_an_alias_and_another_color(tmp_path):
    endovis_tree(tmp_path)
    (tmp_path / "labels.json").write_text("never read: each sequence has a nearer one")
    (tmp_path / "release_1/labels.json").write_text(table(("Small_Intestine ", [124, 155, 5]), ("thread", [128, 155, 25, 128])))
    source = endovis.read(tmp_path)
    saved(source.items[0].mask.parent, np.full((32, 40, 4), (128, 155, 25, 128), np.uint8), source.items[0].mask.name)
    assert not source.problems and (source.open(source.items[0])[1] == 6).all() and len(source.classes) == 12
    saved(source.items[0].mask.parent, np.zeros((32, 40, 4), np.uint8), source.items[0].mask.name)
    with pytest.raises(ValueError, match=r"frame000.png is transparent at 1280 pixels"):  # whatever its colors have been
        source.open(source.items[0])


def test_a_thirteenth_class_comes_only_if_asked_for(tmp_path):
    endovis_tree(tmp_path)
    (tmp_path / "release_1/labels.json").write_text(table(("thread", [187, 155, 25]), ("smoke", [1, 2, 3]), ("gauze", [9, 9, 9])))
    told(
        endovis.read(tmp_path),
        r"release_1/labels.json lists smoke \(1, 2, 3\), but the challenge has 12 classes .* option extra_classes",
        "lists gauze",
    )
    source = endovis.read(tmp_path, extra_classes=True)
    assert not source.problems and source.classes == (*endovis.OFFICIAL.values(), "gauze", "smoke")
    saved(source.items[0].mask.parent, np.full((32, 40, 3), (1, 2, 3), np.uint8), source.items[0].mask.name)
    assert (opened(source)[1] == 13).all()
    (tmp_path / "test/labels.json").write_text(table(("smoke", [3, 2, 1])))
    told(endovis.read(tmp_path, extra_classes=True), "smoke is .* an extra class is the same everywhere")


def test_one_color_is_one_class_in_all_files(tmp_path):
    endovis_tree(tmp_path)
    (tmp_path / "test/labels.json").write_text(table(("stapler", [0, 255, 125])))
    told(
        endovis.read(tmp_path), r"test/labels.json says that \(0, 255, 125\) is stapler, but in the challenge's table it is clamps"
    )


@pytest.mark.parametrize(
    "content",
    [
        "[",
        '{"name": "a"}',
        '{"classes": null}',
        "[]",
        '["a"]',
        *(f'[{{"name": "thread", "color": {color}}}]' for color in ("[0, 0, 256]", "[0, 0]", "[0, 0, 0.5]", "7")),
        *(f'[{{"name": {name}, "color": [0, 0, 0]}}]' for name in ("7", '" "')),
    ],
)
def test_a_broken_labels_json_is_named(tmp_path, content):
    endovis_tree(tmp_path)
    (tmp_path / "release_1/seq_2/labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"seq_2.labels.json is .*\{\"name\": text.*copy it again from the release"):
        endovis.read(tmp_path)


def test_an_unknown_color_is_told_with_its_file_and_pixels(tmp_path):
    source = endovis.read(endovis_tree(tmp_path))
    item = source.items[1]
    picture = np.zeros((32, 40, 3), np.uint8)
    picture[3, :5] = (9, 8, 7)
    saved(item.mask.parent, picture, item.mask.name)
    with pytest.raises(ValueError, match=r"seq_1.labels.frame001.png holds 1 color that is no class: \(9, 8, 7\) \(5 pixels\)"):
        source.open(item)


def test_defects_of_an_endovis_tree_are_listed(tmp_path):
    endovis_tree(tmp_path)
    (tmp_path / "release_1/seq_1/labels/frame000.png").unlink()
    (tmp_path / "release_1/seq_2/left_frames/frame001.png").unlink()
    shutil.rmtree(tmp_path / "test/seq_1/labels")
    told(
        endovis.read(tmp_path),
        "release_1/seq_1/left_frames/frame000.png has no mask",
        "release_1/seq_2/labels/frame001.png has no image",
        "test/seq_1/labels/ is missing",
    )


# ---- your own folder


COLORS = "classes: {tissue: [0, 0, 0], tool: [128, 0, 0], thread: [0, 128, 0]}\nvoid: [224, 224, 192]\n"


@pytest.mark.parametrize(
    "masks, classes", [(kind, "[tissue, tool, thread]") for kind in ("grey", "deep", "palette")] + [("rgb", COLORS)]
)
def test_a_folder_reads_masks_of_each_kind_and_size(tmp_path, masks, classes):
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
    assert folder.read(tmp_path / "a", test_share=0).items[0].group == "frame_000"
    assert not splits(folder.read(tmp_path / "a", test_share=0))["test"]


def test_groups_are_never_torn_between_train_and_test(tmp_path):
    tree = folder_tree(tmp_path, {"p1": 3, "p2/left": 1, "p2/right": 2, "p3": 3, "p4": 3, "p5": 3})
    for share, groups in ((0.2, 1), (0.4, 2), (0.99, 4)):
        source = folder.read(tree, test_by="group", test_share=share)
        test = {i.group for i in source.items if i.split == "test"}
        assert len(test) == groups and not test & {i.group for i in source.items if i.split == "train"}
    lines(tree / "train.txt", "p1/frame_000", "p2/left/frame_000", "p3/frame_000.png", "p4/frame_001")
    assert {i.group for i in folder.read(tree, test_by="group").items if i.split == "test"} == {"p5"}
    assert {i.split for i in monarch.read(tree).items if i.group == "p5"} == {"test"}
    with pytest.raises(ValueError, match=r"only one group, p1, .* test_by 'image'"):
        monarch.read(folder_tree(tmp_path / "other", {"p1": 3}))


def test_lists_decide_the_splits(tmp_path):
    tree = folder_tree(tmp_path)
    lines(tree / "test.txt", "p1/frame_000.png", "p2\\frame_001")
    lines(tree / "val.txt", "images\\p1/frame_002.png")
    source = folder.read(tree)
    assert [i.split for i in source.items] == ["test", "train", "val", "train", "test", "train"] and not source.problems


def test_pictures_without_masks_stay_in_the_pool_if_listed(tmp_path):
    tree = folder_tree(tmp_path)
    (tree / "masks/p1/frame_001.png").unlink()
    told(folder.read(tree), r"^images/p1/frame_001 has no mask .* write the line p1/frame_001 into train.txt")
    lines(tree / "train.txt", "p1/frame_001")
    source = folder.read(tree)
    assert not source.problems and source.items[1].mask is None and opened(source, 1)[1] is None
    assert len(splits(source)["test"]) == 1


def test_without_any_masks_all_is_train(tmp_path):
    source = folder.read(folder_tree(tmp_path, masks="none", classes=None), classes=["tissue", "tool"])
    assert {i.split for i in source.items} == {"train"} and source.classes == ("tissue", "tool") and not source.problems
    image, mask = opened(source)
    assert mask is None and image.shape == (20, 30, 3)
    with pytest.raises(ValueError, match=r"classes are not named; write .*classes.yaml with a list of names, or give the option"):
        folder.read(tmp_path)


@pytest.mark.parametrize(
    "spoil, problems",
    [
        (lambda t: lines(t / "test.txt", "p1/frame_000", "p9/gone"), ["test.txt names p9/gone, but there is no such file"]),
        (
            lambda t: [lines(t / f"{s}.txt", "p1/frame_000") for s in ("val", "test")],
            ["test.txt names p1/frame_000, but so does val.txt; no image may be in two splits"],
        ),
        (
            lambda t: [lines(t / "test.txt", "p1/frame_000"), (t / "masks/p1/frame_000.png").unlink()],
            ["test.txt names p1/frame_000, but it has no mask, and test needs one"],
        ),
        (
            lambda t: [
                lines(t / "test.txt", "p1/frame_000"),
                lines(t / "train.txt", *[f"p{p}/frame_00{i}" for p, i in ((1, 1), (1, 2))]),
            ],
            ["^images in no list: 3 of 6, .*: p2/frame_000, p2/frame_001, p2/frame_002$"],
        ),
        (lambda t: (t / "images/p1/frame_000.png").unlink(), ["masks/p1/frame_000.png has no image"]),
        (lambda t: shutil.copy(t / "images/p1/frame_000.png", t / "images/p1/frame_000.bmp"), ["have one name without suffix"]),
        (lambda t: (t / "masks/p1/scan.npy").touch(), ["masks/p1/scan.npy is of a format that is not read"]),
        (lambda t: [shutil.rmtree(t / "masks"), (t / "masks").mkdir()], ["masks/ holds no pictures", *["has no mask"] * 6]),
        (
            lambda t: (t / "masks").rename(t / "Labels"),
            ["^Labels/ looks like the masks, .*; rename it to masks/, or move it elsewhere$"],
        ),
        (lambda t: (t / "images/empty").mkdir(), []),
    ],
)
def test_defects_of_a_folder_are_listed(tmp_path, spoil, problems):
    spoil(folder_tree(tmp_path))
    told(folder.read(tmp_path), *problems)


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
        ("[a, b", "is no YAML .*; write a list of names"),
        ("[a, 2024-13-45]", "is no YAML .*month must be in 1..12"),
        ("{a: [0, 0, 0], a: [1, 1, 1]}", "is no YAML .*'a' stands there twice"),  # the first would have been lost
        ("", "is None, but must be a list of 1 to 255 names"),
        ("[]", "1 to 255 names"),
        ("[a, no]", "'name': False.*quote numbers, yes and no"),
        ("[a, 3]", "'name': 3"),
        ("[a, [b]]", "'name': \\['b'\\]"),
        ("[a, '']", "a class is a name"),
        ("[{name: a, colour: [0, 0, 0]}]", "a class is a name"),
        ("[a, b, a]", "names 'a' twice"),
        ("{classes: [a], ignore: 3}", "'ignore' beside classes"),
        ("[{name: a, color: [0, 0, 0]}, b]", "to some classes only"),
        ("{a: [0, 0, 0], b: [0, 0, 0]}", r"color \[0, 0, 0\] to a and b"),
        ("{a: [0, 0, 300]}", "three numbers 0..255"),
        ("{a: 0, b: 1}", "0 for a color"),
        ("{classes: [a, b], void: 1}", r"1 void, but it must be above the classes' 0..1"),
        ("{classes: [a, b], void: [1, 2, 3]}", "index, or a color where all classes have other ones"),
        ("{a: [1, 2, 3], void: [1, 2, 3]}", "have other ones"),
        ("{a: [1, 2, 3], void: other}", "'other' for a color"),
    ],
)
def test_classes_that_contradict_themselves_are_refused(tmp_path, text, message):
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"classes.yaml.*{message}"):
        folder.read_classes(tmp_path)


def test_classes_named_twice_over_need_a_decision(tmp_path):
    with pytest.raises(ValueError, match=r"named by the option classes and by .*classes.yaml, but one must decide"):
        folder.read(folder_tree(tmp_path), classes=["a"])
    Path(tmp_path / "classes.yaml").unlink()
    with pytest.raises(ValueError, match="the option classes is 'a'"):
        folder.read(tmp_path, classes="a")


def test_a_value_or_color_that_is_no_class_is_told_when_opened(tmp_path):
    source = folder.read(folder_tree(tmp_path, masks="rgb", classes=COLORS.split("void")[0]))
    with pytest.raises(ValueError, match=r"frame_000.png holds 1 color .*\(224, 224, 192\)"):
        source.open(source.items[0])
    item = source.items[1]
    saved(item.mask.parent, np.full((24, 24), 3, np.uint8), item.mask.name)
    with pytest.raises(ValueError, match=r"frame_001.png holds 1 value that is no class: 3 \(576 pixels\)"):
        source.open(item)
