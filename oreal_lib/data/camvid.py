"""CamVid as the SegNet tutorial ships it: 367 / 101 / 233 street scenes of 480x360 pixels, 11 classes.

Folders train/ trainannot/ val/ valannot/ test/ testannot/, one mask of indices per image, 11 = void.
"""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

import numpy as np

from oreal_lib.types import IGNORE

from .files import IMAGE_SUFFIXES, read_bytes, read_image, read_mask
from .source import Item, Source

CLASSES = "sky building pole road pavement tree sign fence car pedestrian bicyclist".split()
VOID = 11
Files = dict[tuple[str, str], tuple[Path, Path]]  # (split, name) -> image, mask


def read(root: str | Path | None = None, *, val: str = "draw") -> Source:
    """CamVid below `root` as a Source; the folders are checked, the pictures not yet opened.

    root: the folder that holds train/; None looks at the environment variable OREAL_DATA, which names that folder or
    its parent. val: "draw" leaves the official validation images unused, validation is then drawn from train for each
    run; "official" makes them the split "val". group: the video sequence, the stem up to its last "_".
    """
    if val not in ("draw", "official"):
        raise ValueError(f"val is {val!r}, but must be 'draw' (from train, per run) or 'official'")
    root = _find(root)
    files: Files = {}
    for split in ("train", "test") if val == "draw" else ("train", "val", "test"):
        pairs = _pairs(root, split)
        for other, stem in files:
            if stem in pairs:
                raise ValueError(f"{stem} lies in {other}/ and in {split}/ of {root}, but no image may be in two; remove one")
        files |= {(split, stem): pair for stem, pair in pairs.items()}
    items = tuple(Item(name, name.rpartition("_")[0] or name, split) for split, name in files)
    content = hashlib.sha256()
    for (split, name), pair in files.items():  # 40 MB: a fifth of a second, and an edited mask is never overlooked
        content.update(f"{split}/{name}".encode() + b"".join(hashlib.sha256(read_bytes(p)).digest() for p in pair))
    identity = {"reader": "camvid", "val": val, "void": VOID, "content": content.hexdigest()}
    return Source("camvid", tuple(CLASSES), items, partial(_open, files), identity)


def _find(root: str | Path | None) -> Path:
    """The folder that holds train/."""
    if root is not None:
        root = Path(root).expanduser()
        if not root.is_dir():
            raise FileNotFoundError(f"the CamVid folder {root} does not exist; give the folder that holds train/ and trainannot/")
        return root
    named = os.environ.get("OREAL_DATA")
    if not named:
        raise FileNotFoundError(
            "CamVid needs its folder: give root, or set the environment variable OREAL_DATA to the folder that holds "
            "train/ and trainannot/, or to its parent"
        )
    parent = Path(named).expanduser()
    for folder in (parent, parent / "camvid", parent / "CamVid"):
        if (folder / "train").is_dir():
            return folder
    raise FileNotFoundError(
        f"OREAL_DATA is {named}, but there is no train/ in it, nor in a camvid/ or CamVid/ below it; name the CamVid folder"
    )


def _pairs(root: Path, split: str) -> dict[str, tuple[Path, Path]]:
    """Image and mask of each stem of a split, in name order. Raises with the first ten names where one is missing."""
    images, masks = _listing(root / split), _listing(root / f"{split}annot")
    for some, others, what in ((images, masks, "images without a mask"), (masks, images, "masks without an image")):
        if alone := [path for stem, path in some.items() if stem not in others]:
            raise ValueError(
                f"{alone[0].parent} holds {len(alone)} {what}: {_ten([path.name for path in alone])}; "
                "add the missing files or remove these"
            )
    return {stem: (images[stem], masks[stem]) for stem in sorted(images)}


def _listing(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by stem; hidden and other files are passed over."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the CamVid folder {folder} is missing; name the folder that holds train/ trainannot/ test/ testannot/ "
            "(in small letters), or copy the data set again"
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ValueError(f"{folder} holds both {found[path.stem].name} and {path.name}; keep one of them")
        found[path.stem] = path
    if not found:
        raise ValueError(f"the CamVid folder {folder} holds no images; copy the data set again")
    return found


def _ten(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _open(files: Files, item: Item) -> tuple[np.ndarray, np.ndarray]:
    image_path, mask_path = files[item.split, item.name]
    image, mask = read_image(image_path), read_mask(mask_path, len(CLASSES), remap={VOID: IGNORE})
    if image.shape[:2] != mask.shape:
        turned = " (does the image's EXIF turn it, and the mask was drawn unturned? Turn the mask)"
        raise ValueError(
            f"{image_path} is {image.shape[1]}x{image.shape[0]} pixels, but its mask {mask_path} is "
            f"{mask.shape[1]}x{mask.shape[0]}; both need one size{turned if image.shape[1::-1] == mask.shape else ''}, "
            "so save one of them again"
        )
    return image, mask
