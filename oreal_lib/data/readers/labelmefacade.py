"""LabelMeFacade: 945 photographs of streets from 73 collections of LabelMe, 8 classes, void is black.

Folders images/ and labels/ as published, or masks/ in place of labels/; one PNG with 16-bit colors per image.
"""

from pathlib import Path

from ...types import IGNORE
from ..folders import drawn, find_root, found_source, having, listing, one_of, read_list, without_partner
from ..source import Item, Source

CLASSES = tuple("building car door pavement road sky vegetation window".split())
OF_CLASSES = (128, 0, 0), (128, 0, 128), (128, 128, 0), (128, 128, 128), (128, 64, 0), (0, 128, 128), (0, 128, 0), (0, 0, 128)
COLORS = {color: i for i, color in enumerate(OF_CLASSES)} | {(0, 0, 0): IGNORE}  # black is "various", everything else
TEST_SHARE = 1 / 3  # our choice


def read(root: str | Path | None = None, *, split: str = "collections") -> Source:
    """LabelMeFacade below `root` as a Source; the folders are checked, the pictures not yet opened.

    root: the folder that holds images/; None looks at the environment variable OREAL_DATA, which names that folder or its
    parent. group: the collection, the stem up to its last "__". split: "collections" makes whole collections test, drawn by
    the hash of their names (`folders.drawn`); "official" takes test.txt, whose collections are in train, too.
    """
    one_of("split", split, ("collections", "official"))
    places = ("", "labelmefacade", "LabelMeFacade")
    root = find_root(root, "LabelMeFacade", places, having("images", "labels", "masks"), "images/ and labels/")
    problems: list[str] = []
    images = listing(root, "images", problems)
    masks = listing(root, "masks" if (root / "masks").is_dir() else "labels", problems)
    without_partner(images, masks, root, problems)
    groups = {name: name.rpartition("__")[0] or name for name in images}
    collections = {group: [name for name in images if groups[name] == group] for group in groups.values()}
    test = drawn(collections, round(TEST_SHARE * len(images)), len(images))
    if split == "official":
        test = {*read_list(root, "test.txt", problems)}
        remedy = "but there is no such image; copy the data set again"
        problems += [f"test.txt names {name}, {remedy}" for name in sorted(test - {*images})]
    items = [Item(name, groups[name], "test" if name in test else "train", path, masks.get(name)) for name, path in images.items()]
    return found_source("labelmefacade", CLASSES, root, items, problems, {"split": split}, void=None, colors=COLORS)
