"""CamVid as the SegNet tutorial ships it: 367 / 101 / 233 street scenes of 480x360 pixels, 11 classes.

Folders train/ trainannot/ val/ valannot/ test/ testannot/, one mask of indices per image, 11 = void.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...types import IGNORE
from ..files import open_pair
from ..folders import find_root, fingerprint, having, listing, one_of, without_partner
from ..source import Item, Source

CLASSES = tuple("sky building pole road pavement tree sign fence car pedestrian bicyclist".split())
VOID = 11


def read(root: str | Path | None = None, *, val: str = "draw") -> Source:
    """CamVid below `root` as a Source; the folders are checked, the pictures not yet opened.

    root: the folder that holds train/; None looks at the environment variable OREAL_DATA, which names that folder or
    its parent. val: "draw" leaves the official validation images unused, validation is then drawn from train for each
    run; "official" makes them the split "val". group: the video sequence, the stem up to its last "_".
    """
    one_of("val", val, ("draw", "official"))
    root = find_root(root, "CamVid", ("", "camvid", "CamVid"), having("train", "trainannot"), "train/ and trainannot/")
    items: dict[str, Item] = {}
    problems: list[str] = []
    for split in ("train", "test") if val == "draw" else ("train", "val", "test"):
        images, masks = listing(root, split, problems), listing(root, f"{split}annot", problems)
        if images and masks:
            without_partner(images, masks, root, problems)
        for name, image in images.items():
            if name in items:
                problems.append(f"{name} lies in {items[name].split}/ and in {split}/, but no image may be in two; remove one")
            else:
                items[name] = Item(name, name.rpartition("_")[0] or name, split, image, masks.get(name))
    found = tuple(items.values())
    identity = {"reader": "camvid", "val": val, "void": VOID, "files": fingerprint(root, found)}
    opening = partial(open_pair, n_classes=len(CLASSES), remap={VOID: IGNORE})
    return Source("camvid", CLASSES, found, opening, identity, tuple(problems))
