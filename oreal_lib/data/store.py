"""The prepared store on disk: how it is named, written array by array, checked and opened.

`store_root/<name>-<hash>/` holds images.npy (n, H, W, 3) uint8, truth.npy (n, H, W) uint8, superpixels.npy
(n_train, H, W) uint16 for the training images in order, and manifest.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from oreal_lib.superpixels import SuperpixelRecipe
from oreal_lib.types import Dataset, Superpixels

from .source import SPLITS, Source

FORMAT = 1  # raise it with any change of the layout or of what is computed
ARRAYS = ("images", "truth", "superpixels")


class StoreError(ValueError):
    """A prepared store that is torn, changed, incomplete or foreign."""


def open_store(path: str | Path) -> Dataset:
    """The Dataset of a prepared store, its arrays as read-only memory maps, after checking every byte.

    Raises StoreError naming the file and the remedy where something is torn, changed, missing or not ours.
    """
    path = Path(path)
    manifest = _manifest(path)
    arrays = {}
    for name in ARRAYS:
        file, written = path / f"{name}.npy", manifest["files"][name]
        if not file.is_file():
            raise StoreError(f"{file} is missing; {_remedy(path)}")
        if (size := file.stat().st_size) != written["bytes"]:
            raise StoreError(f"{file} has {size} bytes, but {written['bytes']} were written; {_remedy(path)}")
        with open(file, "rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != written["sha256"]:
                raise StoreError(f"{file} was changed after it was written (its checksum differs); {_remedy(path)}")
        arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
    about = manifest["about"]
    names, groups, splits = zip(*about["items"], strict=True)
    return Dataset(
        name=about["name"],
        classes=tuple(about["classes"]),
        images=arrays["images"],
        truth=arrays["truth"],
        names=names,
        groups=groups,
        split={split: np.flatnonzero(np.array(splits) == split) for split in SPLITS},
        superpixels=Superpixels.from_maps(arrays["superpixels"]),
    )


def _manifest(path: Path) -> dict:
    file = path / "manifest.json"
    if not file.is_file():
        raise StoreError(f"{file} is missing, so {path} is no prepared store; {_remedy(path)}")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        key, about, found = manifest["key"], manifest["about"], manifest["about"]["format"]
        complete = all({"bytes", "sha256"} <= set(manifest["files"][name]) for name in ARRAYS)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is torn or not ours ({error!r}); {_remedy(path)}") from error
    if found != FORMAT:
        raise StoreError(f"{file} has store format {found}, but this version of the library reads {FORMAT}; {_remedy(path)}")
    if not complete or key != content_key(about):
        raise StoreError(f"{file} was changed after it was written (its key differs); {_remedy(path)}")
    return manifest


def _remedy(path: Path) -> str:
    return f"delete the folder {path} and run again, it will be prepared anew"


def content(source: Source, recipe: SuperpixelRecipe, height: int | None, width: int | None) -> dict:
    """All that decides the content of a store; its hash is the key."""
    about = {
        "format": FORMAT,
        "name": source.name,
        "classes": source.classes,
        "identity": source.identity,
        "recipe": asdict(recipe),
        "size": (height, width),
        "items": [(item.name, item.group, item.split) for item in source.items],
    }
    return json.loads(json.dumps(about, allow_nan=False))  # as it comes back from disk: lists, no tuples


def content_key(about: dict) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class NpyFile:
    """A .npy file written image by image. No memory map: on a full disk a map kills the process, this raises OSError."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type) -> None:
        self.file, self.hash = open(path, "wb"), hashlib.sha256()
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self, header)

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.hash.update(data)

    def append(self, array: np.ndarray | None) -> None:
        if array is not None:
            self.write(np.ascontiguousarray(array).data)

    def finish(self) -> dict:
        """Everything on disk; size and checksum for the manifest."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return {"bytes": self.file.tell(), "sha256": self.hash.hexdigest()}

    def __enter__(self) -> NpyFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
