"""The prepared store on disk: how it is named, written array by array, checked and opened.

`store_root/<name>-<hash>/` holds manifest.json and these arrays, of n images, n_train of them for training, in order:
images.npy and truth.npy (n, H, W, ...) at working size; native_truth.npy (n, h, w), only where that is another size;
superpixels.npy (n_train, H, W); votes.npy (N, C + 1), see `oracle.class_votes`; present.npy (N, C + 1), see
`weak.labels.classes_present`; pictures.npy (n, 7), see COLUMNS.
Pictures of different sizes lie one after another in a flat array.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..storage import checked
from ..storage.checked import read_npy
from ..storage.progress import Progress
from ..storage.ragged import Pictures, Ragged
from ..superpixels import SuperpixelRecipe
from ..types import Dataset, Superpixels
from .source import SPLITS, Source

FORMAT = 3  # raise it with any change of the layout or of what is computed
ARRAYS = {
    "images": np.uint8,
    "truth": np.uint8,
    "native_truth": np.uint8,
    "superpixels": np.uint16,
    "votes": np.uint32,
    "present": np.bool_,
    "pictures": np.int32,
}
COLUMNS = ("native_height", "native_width", "height", "width", "labeled", "cut", "vanished")  # of pictures.npy; superpixels last
HEADER = 128  # bytes before the data of every .npy file


def open_store(path: str | Path) -> Dataset:
    """The Dataset of a prepared store, its arrays as read-only memory maps, after checking every byte.

    ValueError with the file and the remedy where something is torn, changed or missing.
    """
    path = Path(path)
    if not (file := path / "manifest.json").is_file():
        raise ValueError(f"{file} is missing, so {path} is not a prepared store; {_remedy(path)}")
    manifest = checked.read(file, _remedy(path))
    if (found := manifest["about"]["format"]) != FORMAT:
        raise ValueError(f"{file} has store format {found}, but this version of the library reads {FORMAT}; {_remedy(path)}")
    hashing = Hashing("checking the prepared data", sum(written["bytes"] for written in manifest["files"].values()))
    arrays = {name: _opened(path, name, written, hashing) for name, written in manifest["files"].items()}
    about, picture = manifest["about"], dict(zip(COLUMNS, arrays["pictures"].T, strict=True))
    names, groups, splits = zip(*about["items"], strict=True)
    split = {split: np.flatnonzero(np.array(splits) == split) for split in SPLITS}
    working = np.stack([picture["height"], picture["width"]], axis=1)
    native = np.stack([picture["native_height"], picture["native_width"]], axis=1)
    truth = _pictures(arrays["truth"], working)
    return Dataset(
        name=about["name"],
        classes=tuple(about["classes"]),
        images=_pictures(arrays["images"], working, 3),
        truth=truth,
        native_truth=_pictures(arrays["native_truth"], native) if "native_truth" in arrays else truth,
        labeled=picture["labeled"] == 1,
        names=names,
        groups=groups,
        split=split,
        superpixels=Superpixels.from_maps(_pictures(arrays["superpixels"], working[split["train"]])),
        votes=arrays["votes"],
        present=arrays["present"],
        vanished=np.asarray(picture["vanished"][split["train"]]),
    )


def _opened(path: Path, name: str, written: dict, hashing: "Hashing") -> np.ndarray:
    """One array of a store as a read-only memory map, if every byte is as it was written."""
    file = path / f"{name}.npy"
    if not file.is_file():
        raise ValueError(f"{file} is missing; {_remedy(path)}")
    if (size := file.stat().st_size) != written["bytes"]:
        raise ValueError(f"{file} has {size} bytes, but {written['bytes']} were written; {_remedy(path)}")
    with open(file, "rb") as opened:
        if hashing(opened) != written["sha256"]:
            raise ValueError(f"{file} was changed after it was written (its checksum differs); {_remedy(path)}")
    return read_npy(file)


def _remedy(path: Path) -> str:
    return f"delete the folder {path} and run again, it will be prepared again"


def _pictures(flat: np.ndarray, sizes: np.ndarray, *channels: int) -> Pictures:
    """Pictures of the sizes (n, 2) that lie one after another in a flat array."""
    if len(np.unique(sizes, axis=0)) == 1:
        return flat.reshape(len(sizes), *sizes[0], *channels)
    ends = np.cumsum(sizes.prod(axis=1, dtype=np.int64) * np.prod(channels, dtype=np.int64))
    parts = np.split(flat, ends[:-1])
    return Ragged(tuple(part.reshape(*size, *channels) for part, size in zip(parts, sizes, strict=True)))


def content(source: Source, recipe: SuperpixelRecipe, height: int | None, width: int | None, trim: int) -> dict:
    """All that decides the content of a store; its hash is the key."""
    about = {
        "format": FORMAT,
        "name": source.name,
        "classes": source.classes,
        "identity": source.identity,
        "recipe": asdict(recipe),
        "size": (height, width),
        "trim": trim,
        "items": [(item.name, item.group, item.split) for item in source.items],
    }
    return json.loads(json.dumps(about, allow_nan=False))  # as it comes back from disk: lists, no tuples


def content_key(about: dict) -> str:
    """The SHA-256 of what `content` lists, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


@contextmanager
def writing(where: Path, needed: int | None = None) -> Iterator[None]:
    """Inside, an OSError becomes one sentence with the place and the bytes needed."""
    try:
        yield
    except OSError as error:
        room = f" ({needed:,} bytes are needed)" if needed else ""
        raise OSError(
            f"the prepared data cannot be written to {where}{room}: {error.strerror or error}; "
            "free some space, or choose another store_root (it lies below OREAL_HOME unless given)"
        ) from error


class Hashing:
    """SHA-256 of one file after another, with progress: a large store takes minutes.  total: bytes of all of them."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.done, self.total = what, 0, total
        self.progress = Progress("", total)

    def __call__(self, file: BinaryIO) -> str:
        """The SHA-256 of a file from where it stands, in hexadecimal digits."""
        digest = hashlib.sha256()
        while data := file.read(2**20):
            digest.update(data)
            self.done += len(data)
            self.progress.at(self.done, f"{self.what}: {self.done / 1e9:.1f} of {self.total / 1e9:.1f} GB")
        return digest.hexdigest()


class NpyFile(AbstractContextManager):
    """A .npy file written picture by picture. No memory map: on a full disk a map kills the process, this raises OSError."""

    def __init__(self, path: Path, dtype: type) -> None:
        self.dtype, self.count = np.dtype(dtype), 0
        self.file = open(path, "w+b")
        self.file.write(bytes(HEADER))  # how many values will come is not known yet

    def append(self, array: np.ndarray | None) -> None:
        """All values of an array (n, ...) of the file's dtype, in C order; None appends nothing."""
        if array is not None:
            self.file.write(np.ascontiguousarray(array, self.dtype).data)
            self.count += array.size

    def finish(self, columns: int | None, hashing: Hashing) -> dict:
        """Everything on disk, as (count,) or (count / columns, columns); size and checksum for the manifest."""
        shape = (self.count,) if columns is None else (self.count // columns, columns)
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        self.file.seek(0)
        np.lib.format.write_array_header_1_0(self.file, header)  # 128 bytes, whatever the shape
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.seek(0)
        return {"bytes": HEADER + self.count * self.dtype.itemsize, "sha256": hashing(self.file)}

    def __exit__(self, *_: object) -> None:
        self.file.close()
