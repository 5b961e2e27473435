"""Superpixel maps kept while a store is being prepared: cutting is what takes long, and an attempt that was stopped is continued.

A map lies in a file named after the pixels it was cut from and the versions that cut it, which begins with the checksum of the
rest. So no changed picture, other version or torn file brings a wrong map back: its picture is cut again, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..storage.lock import Lock
from ..superpixels import SuperpixelRecipe, superpixels
from .source import Item

FOLDER = "cut"  # inside the folder of an unfinished store
ROOM = 1  # bytes for each pixel, at most: the maps are compressed, to 0.2 with 2048 superpixels at 1024x2048, to 0.5 with 60,000
_CHECKSUM = 32  # bytes


@dataclass(frozen=True)
class Cutter:
    """Cuts pictures into superpixels, none twice, also after a kill.

    folder: where the maps are kept.  made_with: what else than pixels and recipe decides a map, such as versions.
    """

    folder: Path
    recipe: SuperpixelRecipe
    made_with: dict[str, str]

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Ids (H, W) uint16 of an image (H, W, 3) uint8, see `superpixels`, and the seconds it took to cut them, now or then."""
        file = self.folder / self.name(image)
        if (kept := _read(file, image.shape[:2])) is not None:
            return kept
        mark = time.perf_counter()
        ids = superpixels(image, self.recipe)
        seconds = time.perf_counter() - mark
        with contextlib.suppress(OSError):  # a map that cannot be kept may have to be cut again; a full disk is told by the arrays
            _write(file, ids, seconds)
        return ids, seconds

    def name(self, image: np.ndarray) -> str:
        """The file's name: a hash of the image (H, W, 3) uint8, the recipe and what else decides its map."""
        about = json.dumps([image.shape, asdict(self.recipe), self.made_with], sort_keys=True).encode()
        return hashlib.sha256(about + image.tobytes()).hexdigest()


def _write(file: Path, ids: np.ndarray, seconds: float) -> None:
    """Beside, then renamed, and not flushed to the disk: what a power failure tears is found by its checksum."""
    content = struct.pack("<d", seconds) + zlib.compress(ids.astype("<u2").tobytes(), 1)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_bytes(_checksum(file, content) + content)
    os.replace(beside, file)


def _checksum(file: Path, content: bytes) -> bytes:
    """Of the content and its name, which says what picture and recipe it belongs to."""
    return hashlib.sha256(file.name.encode() + content).digest()


def _read(file: Path, size: tuple[int, int]) -> tuple[np.ndarray, float] | None:
    """What `_write` wrote there; None if it is not there or was changed."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    content = data[_CHECKSUM:]
    if _checksum(file, content) != data[:_CHECKSUM]:
        return None
    ids = np.frombuffer(zlib.decompress(content[8:]), "<u2").reshape(size)
    return ids.astype(np.uint16), struct.unpack("<d", content[:8])[0]


def kept(unfinished: Path) -> int:
    """How many maps are kept in the folder of an unfinished store."""
    with contextlib.suppress(FileNotFoundError):
        return sum(not name.startswith(".") for name in os.listdir(unfinished / FOLDER))
    return 0


def clear(unfinished: Path) -> None:
    """Remove all but whole maps from the folder of an unfinished store, and the folder where there are none."""
    if not kept(unfinished):
        shutil.rmtree(unfinished, ignore_errors=True)
        return
    for path in [*unfinished.iterdir(), *(unfinished / FOLDER).glob(".*")]:
        if path.name != FOLDER:
            with contextlib.suppress(OSError):  # what is left will be written over
                path.unlink()


def forget(folder: Path) -> None:
    """Remove the maps, which a finished store does not need."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


@contextlib.contextmanager
def kept_if_stopped(unfinished: Path, lock: Lock) -> Iterator[None]:
    """Whatever ends the work inside: an error leaves nothing behind, a stop from outside leaves the maps, and where another
    process has taken over the lock, the folder is that one's.

    From outside come a kill, Ctrl-C, and a worker process that died (RuntimeError) or found no memory. Other errors are of the
    pictures or of the disk: mended pictures have another store, and a full disk needs the room.
    """
    try:
        yield
    except BaseException as error:
        if not lock.is_ours:
            raise
        if isinstance(error, Exception) and not isinstance(error, RuntimeError | MemoryError):
            forget(unfinished)
        clear(unfinished)
        raise


def measure(work: Callable[[Item], dict], item: Item) -> tuple[float, float]:
    """Seconds to cut the picture of an item, and for all else that `work` does with it. `work` keeps the map, and does not cut
    this picture again."""
    with contextlib.suppress(ImportError):
        import cv2  # noqa: F401  its import takes a while, with which no picture should be charged
    cutting = work(item)["seconds"]
    mark = time.perf_counter()
    work(item)
    return cutting, time.perf_counter() - mark
