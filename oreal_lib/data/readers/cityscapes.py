"""Cityscapes: 2975 training and 500 validation street scenes of 2048x1024 pixels, 19 classes, fine masks.

`leftImg8bit/{train,val}/<city>/<city>_ssssss_ffffff_leftImg8bit.png` and the same below gtFine/ with `_gtFine_labelIds.png`.
The official validation cities are the test split, as in the paper's protocol; the official test masks are not public.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ...types import IGNORE
from ..folders import add, below, find_root, found_source, having, listing, one_of
from ..source import Item, Source

CLASSES = tuple(
    "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,person,rider,car,truck,bus,"
    "train,motorcycle,bicycle".split(",")
)
# The official table (cityscapesscripts/helpers/labels.py): ids whose train id is 0, 1, 2, ...; all other ids are void.
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = {i: LABEL_IDS.index(i) if i in LABEL_IDS else IGNORE for i in range(-1, 34)}
TRAIN_IDS |= {255: IGNORE, 65_535: IGNORE}  # the license plate's -1 in 8 and in 16 bits
KINDS = ("labelIds", "labelTrainIds")
SPLIT_OF = {"train": "train", "val": "test"}


def read(root: str | Path | None = None, *, labels: str = "auto") -> Source:
    """Cityscapes below `root` as a Source: train is the split train, val the split test; nothing is opened yet.

    root: the folder that holds leftImg8bit/ and gtFine/, or leftImg8bit_trainvaltest/ and gtFine_trainvaltest/ with these
    inside (each archive unpacked into a folder of its own); None looks at the environment variable OREAL_DATA. labels:
    "labelIds" translates the official ids, "labelTrainIds" takes ready-made ones, "auto" takes these only if every image
    has one, else labelIds. group: the city.
    """
    one_of("labels", labels, ("auto", *KINDS))
    tops = ("leftImg8bit", "gtFine")
    holds = having(*tops, *map(_apart, tops))
    root = find_root(root, "Cityscapes", ("", "cityscapes", "Cityscapes"), holds, "leftImg8bit/ and gtFine/")
    problems: list[str] = []
    images = {(part, name): path for part in SPLIT_OF for name, _, path in _pictures(root, "leftImg8bit", part, problems)}
    masks: dict[str, dict[tuple[str, str], Path]] = {kind: {} for kind in KINDS}
    for part in SPLIT_OF:  # of other kinds, the release has color and instanceIds, published code instanceTrainIds and more
        for name, kind, path in _pictures(root, "gtFine", part, problems):
            masks.setdefault(kind, {})[part, name] = path
    if labels == "auto":
        # An image with no mask at all is a problem by itself; it must not decide the kind of all others.
        with_mask = [key for key in images if any(key in masks[kind] for kind in KINDS)]
        labels = KINDS[bool(with_mask) and all(key in masks["labelTrainIds"] for key in with_mask)]
    other = KINDS[labels == KINDS[0]]
    items: dict[str, Item] = {}
    for (part, name), image in images.items():
        shown, mask = below(root, image), masks[labels].get((part, name))
        if mask is None and (part, name) in masks[other]:
            problems.append(f"{shown} has a mask of {other}, but {labels} are read and never mixed; make all of one kind")
        elif mask is None:
            problems.append(f"{shown} has no mask {name}_gtFine_{labels}.png; add it or remove the image")
        add(items, Item(name, name.rsplit("_", 2)[0], SPLIT_OF[part], image, mask), root, problems)
    for kind in KINDS:
        for key, mask in masks[kind].items():
            if key not in images and (kind == labels or key not in masks[labels]):
                problems.append(f"{below(root, mask)} has no image {key[1]}_leftImg8bit.png; add it or remove it")
    remap = TRAIN_IDS if labels == "labelIds" else None
    return found_source("cityscapes", CLASSES, root, items.values(), problems, {"labels": labels}, remap=remap)


def _apart(top: str) -> str:
    """Where leftImg8bit/ or gtFine/ lies if its archive was unpacked into a folder of its own."""
    return f"{top}_trainvaltest/{top}"


def _pictures(root: Path, top: str, part: str, problems: list[str]) -> Iterator[tuple[str, str, Path]]:
    """Name such as aachen_000000_000019, kind (of a mask, "" of an image) and file of each picture in `top`/`part`."""
    place = _apart(top) if not (root / top).is_dir() and (root / _apart(top)).is_dir() else top
    end, kind = ("leftImg8bit", "") if top == "leftImg8bit" else ("gtFine", "_<kind>")
    pattern = re.compile(rf"([^/]+)/(?P<name>\1_\d{{6}}_\d{{6}})_{end}" + (r"_(?P<kind>\w+)" if kind else "(?P<kind>)"))
    for name, path in listing(root, f"{place}/{part}", problems, deep=True).items():
        if match := pattern.fullmatch(name):
            yield match["name"], match["kind"], path
        else:
            rule = f"is not named <city>/<city>_ssssss_ffffff_{end}{kind}.png; rename it or move it elsewhere"
            problems.append(f"{below(root, path)} {rule}")
