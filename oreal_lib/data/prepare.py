"""A raw data set turned once into a few arrays on disk (`store`), which every run then only slices.

The images are worked on in parallel. A store is whole or not there, whatever happens in between, and superpixels that were cut
before a kill are not cut again: cutting is what takes long.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..oracle import class_votes
from ..storage import checked
from ..storage.atomic import flush_folder
from ..storage.lock import Lock
from ..storage.processes import parallel, processes, refuse_unguarded
from ..storage.progress import Progress, log
from ..storage.provenance import versions
from ..superpixels import SuperpixelRecipe, dense, superpixels
from ..types import IGNORE
from ..weak.labels import TRIM, classes_present
from .folders import remark
from .resize import Size, nearest, resized
from .source import Item, Source, check_classes, cutting, open_item
from .store import ARRAYS, COLUMNS, HEADER, Hashing, NpyFile, content, content_key, writing

MAP_ROOM = 1  # bytes of a kept map for each pixel, at most: compressed, 0.2 with 2048 superpixels at 1024x2048, 0.5 with 60,000


def prepare(
    source: Source,
    recipe: SuperpixelRecipe,
    *,
    height: int | None = None,
    width: int | None = None,
    mixed: bool = False,
    trim: int = TRIM,
    store_root: str | Path,
    workers: int | None = None,
) -> Path:
    """The folder of the prepared store, made now unless it is there already; two callers at once do the work once.

    height, width: working size; None and None keep the native sizes, which must all be one unless `mixed`. Images are
    resized by area (down) or linearly (up), masks and superpixels by the nearest pixel (`recipe.at` says at which size
    superpixels are cut). A superpixel that has no pixel left at working size vanishes: it is counted, and never asked.
    trim: see `weak.labels.near_border`.
    workers: processes, as many as there are cores unless given; 1 works in this process.
    ValueError for unfit data, OSError with the needed bytes where the disk is full or read-only.
    """
    refuse_unguarded()
    workers = processes(workers, len(source.items))
    if not any(item.split == "train" for item in source.items):
        raise ValueError(f"{source.name} has no training images, but superpixels are bought there; check its train folder")
    check_classes(source.classes)
    about = content(source, recipe, height, width, trim)
    root, name = Path(store_root), f"{source.name}-{content_key(about)[:12]}"
    store, unfinished, maps = root / name, root / f".{name}.unfinished", root / f".{name}.cut"
    if store.is_dir():
        shutil.rmtree(maps, ignore_errors=True)  # of a process that was killed just before it did that
        return store
    with writing(root):
        lock = Lock(root / f".{name}.lock").wait(f"{source.name} is being prepared")
    try:
        if store.is_dir():
            return store
        shutil.rmtree(unfinished, ignore_errors=True)  # of an attempt that was killed: we hold the lock
        native = source.open(source.items[0])[0].shape[:2]  # of the first; the others are most often alike
        kept = len([*maps.glob("[!.]*")])  # whole maps
        needed = _room(about, native, kept)
        with writing(unfinished, needed):
            if (free := shutil.disk_usage(root).free) < needed:
                raise OSError(f"only {free:,} bytes are free")
            for folder in (unfinished, maps):
                folder.mkdir(parents=True, exist_ok=True)
        cutter, size = Cutter(maps, recipe, versions()), (height, width) if height else None
        work = partial(_prepared, source.open, len(source.classes), cutter, trim, size, None if size or mixed else native)
        _write(source, about, work, needed, unfinished, kept, workers, lock.check)
        lock.check()
        with writing(store):
            os.replace(unfinished, store)
            flush_folder(root)
        shutil.rmtree(maps, ignore_errors=True)
    except BaseException as error:
        # From outside come a kill, Ctrl-C, and a worker process that died (RuntimeError) or found no memory: the maps stay. Other
        # errors are of the pictures or the disk: corrected pictures have another store, and a full disk needs the room.
        if lock.is_ours:  # or the folders are those of a process that took over
            shutil.rmtree(unfinished, ignore_errors=True)
            if isinstance(error, Exception) and not isinstance(error, RuntimeError | MemoryError):
                shutil.rmtree(maps, ignore_errors=True)
        raise
    finally:
        lock.release()
    return store


def _room(about: dict, native: Size, kept: int) -> int:
    """Bytes that the arrays and the maps kept meanwhile need, at most, beside `kept` maps that are there."""
    n, n_train = len(about["items"]), sum(split == "train" for *_, split in about["items"])
    recipe, size = about["recipe"], tuple(about["size"]) if about["size"][0] else native
    pixels, native_pixels = size[0] * size[1], native[0] * native[1]
    arrays = (n * 4 + n_train * 2) * pixels + n_train * recipe["count"] * (len(about["classes"]) + 1) * 5 + 2**20
    maps = max(0, n_train - kept) * (native_pixels if recipe["at"] == "native" else pixels) * MAP_ROOM
    return arrays + n * native_pixels * (size != native) + maps


def _write(
    source: Source, about: dict, work: Callable, needed: int, folder: Path, kept: int, workers: int, may_write: Callable
) -> None:
    """Fill `folder` with the arrays and, last, the manifest.

    needed: bytes in all.  kept: maps that are there.  may_write: raises where the folder is another process's by now.
    """
    n, train = len(source.items), [i for i, item in enumerate(source.items) if item.split == "train"]
    size = about["size"]
    with contextlib.ExitStack() as stack:
        with writing(folder, needed):
            outputs = {name: stack.enter_context(NpyFile(folder / f"{name}.npy", dtype)) for name, dtype in ARRAYS.items()}
        where = f"at {size[1]}x{size[0]}" if size[0] else "at native size"
        log.info(f"preparing {source.name}: {n} images {where}, {about['recipe']['method']} superpixels, workers: {workers}")
        there = min(kept, len(train))
        if there:
            log.info(f"  {there:,} of {len(train):,} training images were cut by an attempt that was stopped")
        quick = train[there - 1] + 1 if there else 1  # the processes start, or need not cut
        progress = Progress("  {done} of {total} images", n, quick=quick)
        pictures, brightest = [], []
        for done, arrays in enumerate(stack.enter_context(contextlib.closing(parallel(work, source.items, workers))), start=1):
            pictures.append(arrays["pictures"])
            brightest.append(int(arrays["images"].max()))
            may_write()
            with writing(folder, needed):
                for name, output in outputs.items():
                    output.append(arrays[name])
            progress.at(done)
        columns = {"votes": len(source.classes) + 1, "present": len(source.classes) + 1, "pictures": len(COLUMNS)}
        with writing(folder, needed):
            written = sum(HEADER + output.count * output.dtype.itemsize for output in outputs.values())
            hashing = Hashing("  checksums", written)
            files = {name: output.finish(columns.get(name), hashing) for name, output in outputs.items()}
    picture = dict(zip(COLUMNS, np.array(pictures).T, strict=True))
    may_write()
    if (picture["native_height"] == picture["height"]).all() and (picture["native_width"] == picture["width"]).all():
        del files["native_truth"]  # the same as truth
        (folder / "native_truth.npy").unlink()
    manifest = {"key": content_key(about), "about": about, "files": files, "libraries": versions()}
    checked.write(folder / "manifest.json", manifest)
    cut, vanished = int(picture["cut"].sum()), int(picture["vanished"].sum())
    lost = f"; {vanished:,} of {cut:,} superpixels have no pixel at working size and are never asked" if vanished else ""
    remark((item.image for item in source.items), brightest, log.info)
    log.info(f"prepared {source.name}: {n} images in {time.monotonic() - progress.begun:.0f} s{lost}")


def _prepared(
    opening: Callable, n_classes: int, cutter: "Cutter", trim: int, size: Size | None, only: Size | None, item: Item
) -> dict[str, np.ndarray | None]:
    """What the store keeps of one picture, by array.

    size: working size, None for the picture's own.  only: the size that all pictures must have, if they must.
    """
    try:
        image, mask = open_item(opening, n_classes, item)
    except ValueError as error:
        raise ValueError(f"{error}; `python -m oreal_lib data check` lists all pictures that cannot be used") from error
    labeled, own = mask is not None, image.shape[:2]
    mask = mask if labeled else np.full(own, IGNORE, np.uint8)
    size = size or own
    if only not in (None, own):
        raise ValueError(
            f"{item.name} is {own[1]}x{own[0]} pixels, but the first image is {only[1]}x{only[0]}; "
            "give a working height and width, to which all are resized, or take random crops (resize: crop)"
        )
    small, small_mask = (image, mask) if size == own else (resized(image, size), nearest(mask, size))
    ids, votes, present, cut = None, None, None, 0
    if item.split == "train":
        at_native = cutter.recipe.at == "native"
        with cutting(item.name):
            ids = cutter(image if at_native else small)
        cut, truth = int(ids.max()) + 1, mask if at_native else small_mask
        votes = class_votes(truth, ids, cut, n_classes).astype(np.uint32)
        present = classes_present(truth, ids, cut, n_classes, trim)
        if at_native and size != own:
            ids = nearest(ids, size)
            left = np.unique(ids)
            votes, present, ids = votes[left], present[left], dense(ids)
    return {
        "images": small,
        "truth": small_mask,
        "native_truth": mask,
        "superpixels": ids,
        "votes": votes,
        "present": present,
        "pictures": np.array([*own, *size, labeled, cut, cut - (0 if votes is None else len(votes))], np.int32),
    }


@dataclass(frozen=True)
class Cutter:
    """Cuts pictures into superpixels and keeps each map, so that none is cut twice, also after a kill.

    maps: the folder of the maps, each named after the pixels, the recipe and the versions it is made of. zlib's checksum tells
    a torn file, which is cut again.  made_with: what decides a map apart from pixels and recipe, such as versions.
    """

    maps: Path
    recipe: SuperpixelRecipe
    made_with: dict[str, str]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Ids (H, W) uint16 of an image (H, W, 3) uint8, see `superpixels`."""
        about = json.dumps([image.shape, asdict(self.recipe), self.made_with], sort_keys=True).encode()
        file = self.maps / hashlib.sha256(about + image.tobytes()).hexdigest()
        with contextlib.suppress(OSError, zlib.error, ValueError):  # ValueError: of an older version
            return np.frombuffer(zlib.decompress(file.read_bytes()), "<u2").reshape(image.shape[:2]).astype(np.uint16)
        ids = superpixels(image, self.recipe)
        with contextlib.suppress(OSError):  # a map that is not kept may have to be cut again; the arrays report a full disk
            # beside, then renamed, but not flushed to the disk: that would take longer than cutting the few again
            beside = file.with_name(f".{file.name}.{os.getpid()}")
            beside.write_bytes(zlib.compress(ids.astype("<u2").tobytes(), 1))
            os.replace(beside, file)
        return ids
