"""A raw data set turned once into a few arrays on disk (`store`), which every run then only slices.

The images are worked on in parallel. A store is whole or not there, whatever happens in between; what was cut before a kill
(`cuts`) is not cut again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np

from ..oracle import class_votes
from ..storage import checked
from ..storage.atomic import flush_folder
from ..storage.lock import Lock
from ..storage.processes import parallel, refuse_unguarded
from ..storage.progress import Progress, log, spoken
from ..storage.provenance import versions
from ..superpixels import SuperpixelRecipe, dense
from ..types import IGNORE
from ..weak.labels import TRIM, classes_present
from . import cuts
from .resize import Size, nearest, resized
from .source import Item, Source
from .store import ARRAYS, COLUMNS, HEADER, Hashing, NpyFile, StoreError, content, content_key, open_store, writing

__all__ = ["StoreError", "open_store", "prepare"]


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
    trim: see `weak_labels.near_border`.
    workers: processes, as many as there are cores unless given; 1 works in this process.
    Raises ValueError for unfit data, OSError with the needed bytes where the disk is full or read-only.
    """
    if (height is None) != (width is None) or any(s is not None and (type(s) is not int or s < 1) for s in (height, width)):
        raise ValueError(f"the working size is height {height}, width {width}; give both as whole pixels >= 1, or neither")
    refuse_unguarded()
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ValueError(f"workers is {workers!r}, but at least one process must do the work; give 1 or more")
    if not any(item.split == "train" for item in source.items):
        raise ValueError(f"{source.name} has no training images, but superpixels are bought there; check its train folder")
    about = content(source, recipe, height, width, trim)
    root, name = Path(store_root), f"{source.name}-{content_key(about)[:12]}"
    store, unfinished = root / name, root / f".{name}.unfinished"
    if store.is_dir():
        cuts.forget(store)  # of one who was killed just before he did it
        return store
    with writing(root):
        lock = Lock(root / f".{name}.lock").wait(f"{source.name} is being prepared")
    try:
        if store.is_dir():
            return store
        # We hold the lock: nobody works on what a killed attempt left.
        cuts.clear(unfinished)
        native = source.open(source.items[0])[0].shape[:2]  # of the first; the others are most often alike
        needed = _room(about, native, cuts.kept(unfinished))
        with writing(unfinished, needed):
            if (free := shutil.disk_usage(root).free) < needed:
                raise OSError(f"only {free:,} bytes are free")
        with cuts.kept_if_stopped(unfinished, lock):
            only = None if mixed else native
            _write(source, recipe, about, only, needed, unfinished, workers or os.cpu_count() or 1, lock.check)
            lock.check()
            with writing(store):
                os.replace(unfinished, store)
                flush_folder(root)
        cuts.forget(store)
    finally:
        lock.release()
    return store


def _room(about: dict, native: Size, kept: int) -> int:
    """Bytes that the arrays and the maps kept meanwhile need, at most, beside `kept` maps that are there."""
    n, n_train = len(about["items"]), sum(split == "train" for _, _, split in about["items"])
    recipe, size = about["recipe"], tuple(about["size"]) if about["size"][0] else native
    pixels, native_pixels = size[0] * size[1], native[0] * native[1]
    arrays = (n * 4 + n_train * 2) * pixels + n_train * recipe["count"] * (len(about["classes"]) + 1) * 5 + 2**20
    maps = max(0, n_train - kept) * (native_pixels if recipe["at"] == "native" else pixels) * cuts.ROOM
    return arrays + n * native_pixels * (size != native) + maps


def _write(
    source: Source,
    recipe: SuperpixelRecipe,
    about: dict,
    only: Size | None,
    needed: int,
    folder: Path,
    workers: int,
    may_write: Callable[[], None],
) -> None:
    """Fill `folder` with the arrays and, last, the manifest. only: the native size that all pictures must have, if they must.
    may_write: raises where the folder is another process's by now."""
    n, n_classes = len(source.items), len(source.classes)
    train = [i for i, item in enumerate(source.items) if item.split == "train"]
    size = tuple(about["size"]) if about["size"][0] else None
    workers = min(workers, n, 61)  # Windows cannot wait for more than 61 processes
    with ExitStack() as stack:
        with writing(folder, needed):
            (folder / cuts.FOLDER).mkdir(parents=True, exist_ok=True)
            outputs = {name: stack.enter_context(NpyFile(folder / f"{name}.npy", dtype)) for name, dtype in ARRAYS.items()}
        where = f"at {size[1]}x{size[0]}" if size else "at native size"
        log.info(f"preparing {source.name}: {n} images {where}, {recipe.method} superpixels, workers: {workers}")
        there = min(cuts.kept(folder), len(train))
        if there:
            log.info(f"  {there:,} of {len(train):,} training images were cut by an attempt that was stopped")
        cutter = cuts.Cutter(folder / cuts.FOLDER, recipe, versions())
        work = partial(_prepared, source.open, n_classes, cutter, about["trim"], size, None if size else only)
        cutting, rest = cuts.measure(work, source.items[train[0]])
        total = (cutting * (to_cut := len(train) - there) + rest * n) / workers
        if to_cut and total > 10:
            left, processes = f"{to_cut:,} {'more ' * bool(there)}images", f"{workers} process{'es' * (workers > 1)}"
            log.info(f"  about {spoken(cutting + rest)} per image, {left} with {processes}: about {spoken(total)}")
        quick = train[there - 1] + 1 if there else 1  # the processes start, or need not cut
        # before 1: the first was measured and told of above
        progress = Progress("  {done} of {total} images", n, before=1, quick=quick)
        pictures = []
        for done, arrays in enumerate(stack.enter_context(closing(parallel(work, source.items, workers))), start=1):
            pictures.append(arrays["pictures"])
            may_write()
            with writing(folder, needed):
                for name, output in outputs.items():
                    output.append(arrays[name])
            progress.at(done)
        columns = {"votes": n_classes + 1, "present": n_classes + 1, "pictures": len(COLUMNS)}
        with writing(folder, needed):
            written = sum(HEADER + output.count * output.dtype.itemsize for output in outputs.values())
            hashing = Hashing("  checksums", written)
            files = {name: output.finish(columns.get(name), hashing) for name, output in outputs.items()}
    picture = dict(zip(COLUMNS, np.array(pictures).T, strict=True))
    may_write()
    if (picture["native_height"] == picture["height"]).all() and (picture["native_width"] == picture["width"]).all():
        del files["native_truth"]  # the same as truth
        (folder / "native_truth.npy").unlink()
    may_write()
    checked.write(folder / "manifest.json", {"key": content_key(about), "about": about, "files": files, "libraries": versions()})
    cut, vanished = int(picture["cut"].sum()), int(picture["vanished"].sum())
    lost = f"; {vanished:,} of {cut:,} superpixels have no pixel at working size and are never asked" if vanished else ""
    log.info(f"prepared {source.name}: {n} images in {time.monotonic() - progress.begun:.0f} s{lost}")


def _prepared(
    open_item: Callable, n_classes: int, cutter: cuts.Cutter, trim: int, size: Size | None, only: Size | None, item: Item
) -> dict[str, np.ndarray | float | None]:
    """What the store keeps of one picture, by array, and the seconds it took to cut. size: working size, None for its own.
    only: the size it must have."""
    try:
        image, mask = open_item(item)
    except ValueError as error:
        raise ValueError(f"{error}; `python -m oreal_lib data check` lists all pictures that cannot be used") from error
    labeled = mask is not None
    mask = mask if labeled else np.full(image.shape[:2], IGNORE, np.uint8)
    if image.shape != (*mask.shape, 3) or image.dtype != np.uint8 or mask.dtype != np.uint8:
        raise ValueError(
            f"{item.name} was read as image {image.dtype} {image.shape}, mask {mask.dtype} {mask.shape}; "
            "a reader returns (h, w, 3) uint8 and (h, w) uint8"
        )
    if (wrong := mask[(mask >= n_classes) & (mask != IGNORE)]).size:
        raise ValueError(f"the mask of {item.name} holds {wrong.max()}, but classes are 0..{n_classes - 1}, void is {IGNORE}")
    native = mask.shape
    if only is not None and native != only:
        raise ValueError(
            f"{item.name} is {native[1]}x{native[0]} pixels, but the first image is {only[1]}x{only[0]}; "
            "give a working height and width, to which all are resized, or take random crops (resize: crop)"
        )
    native_mask, ids, votes, present, cut, seconds = mask, None, None, None, 0, 0.0
    train, at = item.split == "train", cutter.recipe.at
    if train and at == "native":
        ids, seconds = cutter(image)
        cut = int(ids.max()) + 1
        votes, present = class_votes(mask, ids, cut, n_classes), classes_present(mask, ids, cut, n_classes, trim)
    if size not in (None, native):
        image, mask = resized(image, size), nearest(mask, size)
        if ids is not None:
            ids = nearest(ids, size)
            left = np.unique(ids)
            votes, present, ids = votes[left], present[left], dense(ids)
    if train and at == "working":
        ids, seconds = cutter(image)
        cut = int(ids.max()) + 1
        votes, present = class_votes(mask, ids, cut, n_classes), classes_present(mask, ids, cut, n_classes, trim)
    return {
        "images": image,
        "truth": mask,
        "native_truth": native_mask,
        "superpixels": ids,
        "votes": None if votes is None else votes.astype(np.uint32),
        "present": present,
        "pictures": np.array([*native, *mask.shape, labeled, cut, cut - (0 if votes is None else len(votes))], np.int32),
        "seconds": seconds,
    }
