"""Tiny trees in the exact native layout of each data set: real file names, palettes, distractors. Each returns its root.

Every picture is a few rectangles, each class in its own color with a little noise, so a model can learn from them.
`scene` gives back what a picture holds; each function draws its pictures in the order of their names from one seed.
"""

import json
import unicodedata
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from oreal_lib.data.readers import camvid, endovis, labelmefacade
from oreal_lib.data.readers.cityscapes import LABEL_IDS

ODD_STEMS = ["plain", "with  two spaces", " space first", "it's", 'the "best"', "two\nlines", "tab\there", "-n", "--help", "#1"]
ODD_STEMS += ["100%s of %(name)s", "{a} {0}", "a;b&c|d", "$HOME `id`", "[a]*?", "a.b.c", "dots..inside", "back\\slash", "Übung"]
ODD_STEMS += ["図", "🌍", "\u202eright to left", "<img src=x onerror=alert(1)>", "=1+1", "con"]
ODD_STEMS += ["long" * 60 + "xyz12"]  # with ".png" a name of 249 bytes; the longest that a file can have is 255
ODD_NAMES = [*(unicodedata.normalize("NFC", stem) for stem in ODD_STEMS), "sub folder/-é", "--sub/Übung"]
LABELMEFACADE = [f"static_{where}__img_{i:04d}" for where in ("city_2005", "city", "street__night") for i in range(2)]
CITIES = ("aachen", "bochum", "bad-honnef")


def saved(folder, array, name="a.png", palette=None, **how):
    """Write an array as a picture, the folder made if needed; palette: (k, 3) colors makes it a palette file."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    if palette is not None:
        picture.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    picture.save(Path(folder) / name, **how)
    return Path(folder) / name


def deep(folder, rgba, name="a.png"):
    """Write (h, w, 4) uint8 colors as a PNG of 16 bits, which Pillow cannot write."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    png = cv2.imencode(".png", cv2.cvtColor(rgba.astype(np.uint16) * 257, cv2.COLOR_RGBA2BGRA))[1]
    (Path(folder) / name).write_bytes(png.tobytes())


def voc_palette(n=256):
    """(n, 3) uint8: the color map of the VOC development kit; entry 255 is (224, 224, 192)."""
    ids = np.arange(n)[:, None]
    bits = sum(((ids >> (3 * j + np.arange(3))) & 1) << (7 - j) for j in range(8))
    return bits.astype(np.uint8)


def scene(rng, size, n_classes, void=True):
    """Image (h, w, 3) uint8 and truth (h, w) uint8: class 0, two rectangles of other classes, 255 around the last one."""
    truth = np.zeros(size, np.uint8)
    for i in range(2):
        h, w = size[0] // 2, size[1] // 2
        y, x = rng.integers(0, size[0] - h + 1), rng.integers(0, size[1] - w + 1)
        if void and i:
            truth[max(y - 1, 0) : y + h + 1, max(x - 1, 0) : x + w + 1] = 255
        truth[y : y + h, x : x + w] = rng.integers(1, n_classes)
    image = voc_palette()[truth] // 2 + 60 + rng.integers(0, 20, (*size, 3))
    return image.astype(np.uint8), truth


def camvid_tree(root):
    """SegNet's CamVid, 16x24 pixels: sequences 0016E5 and Seq05VD for training, test from 0001TP; 11 = void."""
    stems = {
        "train": ["0016E5_00007", "0016E5_00008", "Seq05VD_f00002"],
        "val": ["0016E5_08000"],
        "test": ["0001TP_006690", "0001TP_006691"],
    }
    rng = np.random.default_rng(0)
    for split, names in stems.items():
        for name in names:
            image, truth = scene(rng, (16, 24), len(camvid.CLASSES))
            saved(Path(root) / split, image, f"{name}.png")
            saved(Path(root) / f"{split}annot", np.where(truth == 255, camvid.VOID, truth).astype(np.uint8), f"{name}.png")
    return Path(root)


def labelmefacade_tree(root, masks="labels"):
    """LabelMeFacade, 16x24 pixels: two pictures each of three collections, masks of 16-bit RGBA; one image in test.txt."""
    rng, colors = np.random.default_rng(0), np.zeros((256, 4), np.uint8)
    colors[: len(labelmefacade.CLASSES), :3], colors[:, 3] = labelmefacade.OF_CLASSES, 255
    for name in LABELMEFACADE:
        image, truth = scene(rng, (16, 24), len(labelmefacade.CLASSES))
        saved(Path(root) / "images", image, f"{name}.jpg", quality=95)
        deep(Path(root) / masks, colors[truth], f"{name}.png")
    (Path(root) / "test.txt").write_text(LABELMEFACADE[0] + "\n")
    return Path(root)


def voc_tree(root, train=4, val=2, size=(24, 32), aug=0):
    """VOCdevkit/VOC2012 below root: train and val images 2007_000032, ... and one photo no list names.

    aug: that many more training images in trainaug.txt with masks in SegmentationClassAug/ (grey PNGs, as published).
    """
    base, rng = Path(root) / "VOCdevkit" / "VOC2012", np.random.default_rng(0)
    names = [f"2007_{32 + 7 * i:06d}" for i in range(train + val + aug)]
    for i, name in enumerate(names):
        image, truth = scene(rng, size, 21)
        saved(base / "JPEGImages", image, f"{name}.jpg", quality=95)
        if i < train + val:
            saved(base / "SegmentationClass", truth, f"{name}.png", voc_palette())
        if aug and (i < train - 1 or i >= train + val):  # the last training image has no mask there
            saved(base / "SegmentationClassAug", truth, f"{name}.png")
    saved(base / "JPEGImages", scene(rng, size, 21)[0], "2012_004331.jpg")
    lists = {"train": names[:train], "val": names[train : train + val]}
    if aug:
        lists["trainaug"] = names[:train] + names[train + val :]
    (base / "ImageSets/Segmentation").mkdir(parents=True)
    for name, lines in lists.items():
        (base / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return base


def cityscapes_tree(root, kinds=("labelIds",), deep=False, apart=False):
    """leftImg8bit/ and gtFine/ below root, 32x64 pixels: four pictures of three cities in train, two of frankfurt in val.

    kinds: the masks to write, labelIds and labelTrainIds; deep: with 16 bits. Void is the official 0 (unlabeled).
    apart: each archive unpacked into a folder of its own, such as gtFine_trainvaltest/ with gtFine/.
    """
    pictures, labels = (Path(root) / (f"{sub}_trainvaltest/{sub}" if apart else sub) for sub in ("leftImg8bit", "gtFine"))
    size = (32, 64)
    rng, ids = np.random.default_rng(0), np.zeros(256, np.uint16 if deep else np.uint8)
    ids[: len(LABEL_IDS)] = LABEL_IDS
    for part, n in (("train", 4), ("val", 2)):
        for i in range(n):
            city = CITIES[i % len(CITIES)] if part == "train" else "frankfurt"
            name, (image, truth) = f"{city}_{i:06d}_000019", scene(rng, size, 19)
            saved(pictures / part / city, image, f"{name}_leftImg8bit.png")
            masks = labels / part / city
            for kind in kinds:
                mask = ids[truth] if kind == "labelIds" else truth.astype(ids.dtype)
                saved(masks, mask, f"{name}_gtFine_{kind}.png")
            saved(masks, np.zeros((*size, 4), np.uint8), f"{name}_gtFine_color.png")
            saved(masks, np.full(size, 26_001, np.uint16), f"{name}_gtFine_instanceIds.png")
            (masks / f"{name}_gtFine_polygons.json").write_text("{}")
    saved(pictures / "test" / "berlin", image, "berlin_000000_000019_leftImg8bit.png")
    saved(labels / "cityscapes_panoptic_val", np.zeros((*size, 3), np.uint8), "frankfurt_000000_000019_gtFine_panoptic.png")
    return Path(root)


def endovis_tree(root, train=(2, 2), test=(2,), size=(32, 40)):
    """release_1/seq_1, seq_2, ... and test/seq_1, ...: left_frames/frame000.png and labels/, in colors.

    train, test: frames of each sequence; labels.json lies in release_1/ and in test/.
    """
    root, rng = Path(root), np.random.default_rng(0)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(endovis.OFFICIAL)] = list(endovis.OFFICIAL)
    for part, lengths in (("release_1", train), ("test", test)):
        for s, length in enumerate(lengths, start=1):
            for i in range(length):
                image, truth = scene(rng, size, len(endovis.OFFICIAL), void=False)
                saved(root / part / f"seq_{s}" / "left_frames", image, f"frame{i:03d}.png")
                saved(root / part / f"seq_{s}" / "labels", colors[truth], f"frame{i:03d}.png")
        if lengths:
            table = [{"name": n, "color": list(c), "classid": i} for i, (c, n) in enumerate(endovis.OFFICIAL.items())]
            (root / part / "labels.json").write_text(json.dumps(table))
    return root


def endovis_download(root, size=(16, 20)):
    """Two releases, repairs and test data as descriptions of the download show them, archives unpacked into their own folders.

    miccai_challenge_2018_release_1/ twice with seq_1 (frames 41 and 42) and __MACOSX/, miccai_challenge_release_2/ with seq_5,
    repairs/repairs/seq_1_frame042.png (all intestine), test_data/test_data/seq_1-2018Z-001/seq_1 and seq_3, whose frame001 has
    no mask. Masks are RGBA; labels.json lists only some classes, in the test data within "classes" and with four numbers.
    """
    root, colors = Path(root), list(endovis.OFFICIAL)
    one, two, test = ("miccai_challenge_2018_release_1", "miccai_challenge_release_2", "test_data")
    tables = {one: range(6), two: (0, 1, 10), test: (0, 2, 10)}
    rng = np.random.default_rng(0)
    for release, sequences in ((one, {"seq_1": (41, 42)}), (two, {"seq_5": (0, 1)}), (test, {"seq_1": (0, 1), "seq_3": (0, 1)})):
        inside, ids = root / release / release, tables[release]
        for name, frames in sequences.items():
            folder = inside / f"{name}-2018Z-001" / name if release == test else inside / name
            for frame in frames:
                truth = scene(rng, size, len(ids), void=False)[1]
                rgba = np.full((*size, 4), 255, np.uint8)
                rgba[..., :3] = np.array([colors[i] for i in ids], np.uint8)[truth]
                saved(folder / "left_frames", rgba[..., :3] // 2, f"frame{frame:03d}.png")
                saved(folder / "right_frames", rgba[..., :3] // 2, f"frame{frame:03d}.png")
                if (name, frame) != ("seq_3", 1):
                    saved(folder / "labels", rgba, f"frame{frame:03d}.png")
            (folder / "camera_calibration.txt").touch()
        names = {i: "intestine" if i == 10 else endovis.OFFICIAL[colors[i]] for i in ids}
        table = [{"name": n, "color": list(colors[i]), "classid": k} for k, (i, n) in enumerate(names.items())]
        if release == test:
            table = {"classes": [entry | {"active": True, "color": [*entry["color"], 128]} for entry in table]}
        (inside / "labels.json").write_text(json.dumps(table))
    for sub in ("left_frames", "labels"):
        junk = root / one / "__MACOSX" / one / "seq_1" / sub
        junk.mkdir(parents=True)
        (junk / "._frame041.png").touch()
    saved(root / "repairs/repairs", np.full((*size, 3), (124, 155, 5), np.uint8), "seq_1_frame042.png")
    return root


def folder_tree(root, groups=None, sizes=((20, 30), (24, 24)), classes="[tissue, tool, thread]\n", masks="grey"):
    """images/, masks/ and classes.yaml below root, the sizes taken in turn.

    groups: {sub-folder: pictures}, "" is images/ itself; {"p1": 3, "p2": 3} unless given. masks: "grey", "deep" (16 bits),
    "palette", "rgb" (VOC's colors (0, 0, 0), (128, 0, 0), (0, 128, 0), void (224, 224, 192)) or "none".
    """
    root, rng, n = Path(root), np.random.default_rng(0), 0
    for group, length in (groups or {"p1": 3, "p2": 3}).items():
        for i in range(length):
            image, truth = scene(rng, sizes[n % len(sizes)], 3)
            n += 1
            saved(root / "images" / group, image, f"frame_{i:03d}.png")
            if masks == "rgb":
                saved(root / "masks" / group, voc_palette()[truth], f"frame_{i:03d}.png")
            elif masks != "none":
                palette = voc_palette() if masks == "palette" else None
                saved(
                    root / "masks" / group, truth.astype(np.uint16 if masks == "deep" else np.uint8), f"frame_{i:03d}.png", palette
                )
    if classes:
        (root / "classes.yaml").write_text(classes)
    return root


def odd_picture(seed, top=255, channels=(3,)):
    """A picture of 16x16 pixels of noise, values below `top`; as a mask with channels ()."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, top, (16, 16, *channels), np.uint8))


def odd_names_tree(root):
    """images/, masks/ and classes.yaml below root with pictures of ODD_NAMES; "Übung" and the like as NFD on disk in images/."""
    for seed, name in enumerate(ODD_NAMES):
        for folder, form, picture in (("images", "NFD", odd_picture(seed)), ("masks", "NFC", odd_picture(seed, 2, ()))):
            file = Path(root) / folder / f"{unicodedata.normalize(form, name)}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
    (Path(root) / "classes.yaml").write_text("[road, sky]\n")
    return Path(root)
