"""Tiny trees in the exact native layout of each data set: real file names, palettes, distractors. Each returns its root.

Every picture is a few rectangles, each class in its own color with a little noise, so a model can learn from them.
`scene` gives back what a picture holds; each function draws its pictures in the order of their names from one seed.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from oreal_lib.data import camvid, endovis
from oreal_lib.data.cityscapes import LABEL_IDS

CITIES = ("aachen", "bochum", "bad-honnef")


def saved(folder, array, name="a.png", palette=None, **how):
    """Write an array as a picture, the folder made if needed; palette: (k, 3) colors makes it a palette file."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array)
    if palette is not None:
        picture.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    picture.save(Path(folder) / name, **how)
    return Path(folder) / name


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


def camvid_tree(root, train=3, val=1, test=2, size=(16, 24)):
    """SegNet's CamVid: half of train from sequence 0016E5, the rest from Seq05VD, test from 0001TP; 11 = void."""
    stems = {
        "train": [f"0016E5_{i + 7:05d}" if i < train - train // 2 else f"Seq05VD_f{i:05d}" for i in range(train)],
        "val": [f"0016E5_{i + 8000:05d}" for i in range(val)],
        "test": [f"0001TP_{i + 6690:06d}" for i in range(test)],
    }
    rng = np.random.default_rng(0)
    for split, names in stems.items():
        for name in names:
            image, truth = scene(rng, size, len(camvid.CLASSES))
            saved(Path(root) / split, image, f"{name}.png")
            saved(Path(root) / f"{split}annot", np.where(truth == 255, camvid.VOID, truth).astype(np.uint8), f"{name}.png")
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
            saved(base / "SegmentationObject", truth, f"{name}.png", voc_palette())
        if aug and (i < train - 1 or i >= train + val):  # the last training image has no mask there
            saved(base / "SegmentationClassAug", truth, f"{name}.png")
    saved(base / "JPEGImages", scene(rng, size, 21)[0], "2012_004331.jpg")
    lists = {"train": names[:train], "val": names[train : train + val]}
    if aug:
        lists["trainaug"] = names[:train] + names[train + val :]
    for folder in ("ImageSets/Segmentation", "ImageSets/Main", "Annotations"):
        (base / folder).mkdir(parents=True)
    for name, lines in lists.items():
        (base / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (base / "ImageSets" / "Main" / "cat_train.txt").write_text(f"{names[0]} -1\n")
    return base


def cityscapes_tree(root, train=4, val=2, size=(32, 64), kinds=("labelIds",), deep=False):
    """leftImg8bit/ and gtFine/ below root, train over three cities, val in frankfurt.

    kinds: the masks to write, labelIds and labelTrainIds; deep: with 16 bits. Void is the official 0 (unlabeled).
    """
    rng, ids = np.random.default_rng(0), np.zeros(256, np.uint16 if deep else np.uint8)
    ids[: len(LABEL_IDS)] = LABEL_IDS
    for part, n in (("train", train), ("val", val)):
        for i in range(n):
            city = CITIES[i % len(CITIES)] if part == "train" else "frankfurt"
            name, (image, truth) = f"{city}_{i:06d}_000019", scene(rng, size, 19)
            saved(Path(root) / "leftImg8bit" / part / city, image, f"{name}_leftImg8bit.png")
            masks = Path(root) / "gtFine" / part / city
            for kind in kinds:
                mask = ids[truth] if kind == "labelIds" else truth.astype(ids.dtype)
                saved(masks, mask, f"{name}_gtFine_{kind}.png")
            saved(masks, np.zeros((*size, 4), np.uint8), f"{name}_gtFine_color.png")
            saved(masks, np.full(size, 26_001, np.uint16), f"{name}_gtFine_instanceIds.png")
            (masks / f"{name}_gtFine_polygons.json").write_text("{}")
    saved(Path(root) / "leftImg8bit" / "test" / "berlin", image, "berlin_000000_000019_leftImg8bit.png")
    return Path(root)


def endovis_tree(root, train=(2, 2), test=(2,), size=(32, 40), labels=True):
    """release_1/seq_1, seq_2, ... and test/seq_1, ...: left_frames/frame000.png and labels/, in colors.

    train, test: frames of each sequence. labels: write labels.json (at release_1/ and at test/).
    """
    root, rng = Path(root), np.random.default_rng(0)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(endovis.OFFICIAL)] = list(endovis.OFFICIAL)
    for part, lengths in (("release_1", train), ("test", test)):
        for s, length in enumerate(lengths, start=1):
            for i in range(length):
                image, truth = scene(rng, size, len(endovis.OFFICIAL), void=False)
                saved(root / part / f"seq_{s}" / "left_frames", image, f"frame{i:03d}.png")
                saved(root / part / f"seq_{s}" / "right_frames", image, f"frame{i:03d}.png")
                saved(root / part / f"seq_{s}" / "labels", colors[truth], f"frame{i:03d}.png")
            (root / part / f"seq_{s}" / "camera_calibration.txt").write_text("")
        if labels and lengths:
            table = [{"name": n, "color": list(c), "classid": i} for i, (c, n) in enumerate(endovis.OFFICIAL.items())]
            (root / part / "labels.json").write_text(json.dumps(table))
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
