"""CamVid as the SegNet tutorial ships it: 367 / 101 / 233 street scenes of 480x360 pixels, 11 classes.

Folders train/ trainannot/ val/ valannot/ test/ testannot/, one mask of indices per image, 11 = void.
"""

from pathlib import Path

from ...types import IGNORE
from ..folders import add, find_root, found_source, having, listing, one_of, without_partner
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
        without_partner(images, masks, root, problems)
        for name, image in images.items():
            add(items, Item(name, name.rpartition("_")[0] or name, split, image, masks.get(name)), root, problems)
    return found_source("camvid", CLASSES, root, items.values(), problems, {"val": val, "void": VOID}, remap={VOID: IGNORE})
