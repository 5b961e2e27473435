"""Cityscapes: 2975 training and 500 validation street scenes of 2048x1024 pixels, 19 classes, fine masks.

`leftImg8bit/{train,val}/<city>/<city>_ssssss_ffffff_leftImg8bit.png` and the same below gtFine/ with `_gtFine_labelIds.png`.
The official validation cities are the test split, as in the paper's protocol; the official test masks are not public.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from ...types import IGNORE
from ..files import open_pair
from ..folders import find_root, fingerprint, listing, one_of
from ..source import Item, Source

CLASSES = (
    "road,sidewalk,building,wall,fence,pole,traffic light,traffic sign,vegetation,terrain,sky,person,rider,car,truck,bus,"
    "train,motorcycle,bicycle"
).split(",")
# The official table (cityscapesscripts/helpers/labels.py): ids whose train id is 0, 1, 2, ...; all other ids are void.
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = {i: LABEL_IDS.index(i) if i in LABEL_IDS else IGNORE for i in range(-1, 34)}
TRAIN_IDS |= {255: IGNORE, 65_535: IGNORE}  # the license plate's -1 in 8 and in 16 bits
KINDS = ("labelIds", "labelTrainIds")
IMAGE = re.compile(r"(?P<city>[^/]+)/(?P<name>(?P=city)_\d{6}_\d{6})_leftImg8bit")
MASK = re.compile(r"(?P<city>[^/]+)/(?P<name>(?P=city)_\d{6}_\d{6})_gtFine_(?P<kind>\w+)")


def read(root: str | Path | None = None, *, labels: str = "auto") -> Source:
    """Cityscapes below `root` as a Source: train is the split train, val the split test; nothing is opened yet.

    root: the folder that holds leftImg8bit/ and gtFine/, or leftImg8bit_trainvaltest/ and gtFine_trainvaltest/ with these
    inside (each archive unpacked into a folder of its own); None looks at the environment variable OREAL_DATA. labels:
    "labelIds" translates the official ids, "labelTrainIds" takes ready-made ones, "auto" takes these only if every image
    has one, else labelIds. group: the city.
    """
    one_of("labels", labels, ("auto", *KINDS))
    root = find_root(
        root,
        "Cityscapes",
        ("", "cityscapes", "Cityscapes"),
        lambda folder: any((folder / _place(folder, sub)).is_dir() for sub in ("leftImg8bit", "gtFine")),
        "leftImg8bit/ and gtFine/",
    )
    problems: list[str] = []
    images = {part: _images(root, part, problems) for part in ("train", "val")}
    masks = {part: _masks(root, part, problems) for part in ("train", "val")}
    if labels == "auto":
        # An image with no mask at all is a problem by itself; it must not turn the choice for all others.
        ready = [name in masks[part]["labelTrainIds"] for part in images for name in images[part] if _has_mask(masks[part], name)]
        labels = "labelTrainIds" if ready and all(ready) else "labelIds"
    other = KINDS[labels == KINDS[0]]
    items: dict[str, Item] = {}
    for part, split in (("train", "train"), ("val", "test")):
        for name, image in images[part].items():
            shown, mask = image.relative_to(root).as_posix(), masks[part][labels].get(name)
            if name in items:
                problems.append(f"{shown} lies in train/ and in val/, but no image may be in two splits; remove one")
                continue
            if mask is None and name in masks[part][other]:
                problems.append(f"{shown} has a mask of {other}, but {labels} are read and never mixed; make all of one kind")
            elif mask is None:
                problems.append(f"{shown} has no mask {name}_gtFine_{labels}.png; add it or remove the image")
            items[name] = Item(name, name.rsplit("_", 2)[0], split, image, mask)
        for kind in KINDS:
            for name, mask in masks[part][kind].items():
                if name not in images[part] and (kind == labels or name not in masks[part][labels]):
                    problems.append(f"{mask.relative_to(root).as_posix()} has no image {name}_leftImg8bit.png; add it or remove it")
    listed = tuple(items.values())
    identity = {"reader": "cityscapes", "labels": labels, "files": fingerprint(root, listed)}
    opening = partial(open_pair, n_classes=len(CLASSES), remap=TRAIN_IDS if labels == "labelIds" else None)
    return Source("cityscapes", tuple(CLASSES), listed, opening, identity, tuple(problems))


def _place(root: Path, sub: str) -> str:
    """Where leftImg8bit/ or gtFine/ lies below root."""
    inside = f"{sub}_trainvaltest/{sub}"
    return inside if not (root / sub).is_dir() and (root / inside).is_dir() else sub


def _has_mask(masks: dict[str, dict[str, Path]], name: str) -> bool:
    return any(name in masks[kind] for kind in KINDS)


def _images(root: Path, part: str, problems: list[str]) -> dict[str, Path]:
    """The images of leftImg8bit/<part> by name, such as aachen_000000_000019."""
    found = {}
    for name, path in listing(root, f"{_place(root, 'leftImg8bit')}/{part}", problems, deep=True).items():
        if match := IMAGE.fullmatch(name):
            found[match["name"]] = path
        else:
            shown = path.relative_to(root).as_posix()
            problems.append(f"{shown} is not named <city>/<city>_ssssss_ffffff_leftImg8bit.png; rename it or move it elsewhere")
    return found


def _masks(root: Path, part: str, problems: list[str]) -> dict[str, dict[str, Path]]:
    """The masks of gtFine/<part>: kind -> name -> file. All other kinds are passed over.

    The release has color and instanceIds, published code adds kinds of its own (instanceTrainIds, labelIds_19classes).
    """
    found: dict[str, dict[str, Path]] = {kind: {} for kind in KINDS}
    for name, path in listing(root, f"{_place(root, 'gtFine')}/{part}", problems, deep=True).items():
        match = MASK.fullmatch(name)
        if match:
            found.setdefault(match["kind"], {})[match["name"]] = path
        else:
            shown = path.relative_to(root).as_posix()
            problems.append(f"{shown} is not named <city>/<city>_ssssss_ffffff_gtFine_<kind>.png; rename it or move it elsewhere")
    return found
