"""A raw data set turned once into a few arrays on disk (`store`), which every run then only slices.

The images are worked on in parallel. A store is whole or not there, whatever happens in between.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import filelock
import numpy as np

from oreal_lib.atomic import write_json
from oreal_lib.oracle import class_votes
from oreal_lib.provenance import versions
from oreal_lib.superpixels import SuperpixelRecipe, dense, superpixels
from oreal_lib.types import IGNORE
from oreal_lib.weak_labels import TRIM, classes_present

from .resize import Size, nearest, resized
from .source import Item, Source
from .store import ARRAYS, COLUMNS, NpyFile, StoreError, content, content_key, open_store

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
    report: Callable[[str], None] = print,
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
        return store
    lock = filelock.FileLock(root / f".{name}.lock")
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            report(f"another process prepares {source.name}; waiting for it")
            lock.acquire()
    try:
        if store.is_dir():
            return store
        shutil.rmtree(unfinished, ignore_errors=True)  # of a killed attempt: we hold the lock, nobody works on it
        try:
            _write(source, recipe, about, mixed, unfinished, workers or os.cpu_count() or 1, report)
            with _writing(store):
                os.replace(unfinished, store)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)  # not there any more if all went well
    finally:
        lock.release()
    return store


def _write(
    source: Source, recipe: SuperpixelRecipe, about: dict, mixed: bool, folder: Path, workers: int, report: Callable
) -> None:
    """Fill `folder` with the arrays and, last, the manifest."""
    n, n_train = len(source.items), sum(item.split == "train" for item in source.items)
    n_classes = len(source.classes)
    native = source.open(source.items[0])[0].shape[:2]  # of the first; the others are most often alike
    size = tuple(about["size"]) if about["size"][0] else None
    height, width = size or native
    needed = (n * 4 + n_train * 2) * height * width + n_train * recipe.count * (n_classes + 1) * 5 + 2**20
    needed += n * native[0] * native[1] * (size not in (None, native))
    workers = min(workers, n, 61)  # Windows cannot wait for more than 61 processes
    with ExitStack() as stack:
        with _writing(folder, needed):
            if (free := shutil.disk_usage(folder.parent).free) < needed:
                raise OSError(f"only {free:,} bytes are free")
            folder.mkdir()
            outputs = {name: stack.enter_context(NpyFile(folder / f"{name}.npy", dtype)) for name, dtype in ARRAYS.items()}
        where = f"at {width}x{height}" if size else "at native size"
        report(f"preparing {source.name}: {n} images {where}, {recipe.method} superpixels, workers: {workers}")
        start = first = said = time.monotonic()
        pictures = []
        work = partial(_prepared, source.open, n_classes, recipe, about["trim"], size, None if size or mixed else native)
        for done, arrays in enumerate(stack.enter_context(closing(parallel(work, source.items, workers))), start=1):
            pictures.append(arrays["pictures"])
            with _writing(folder, needed):
                for name, output in outputs.items():
                    output.append(arrays[name])
            now = time.monotonic()
            first = now if done == 1 else first  # the processes' start-up is no measure of what is left
            if now - said >= 5 and 1 < done < n:
                said = now
                report(f"  {done} of {n} images, about {(now - first) / (done - 1) * (n - done):.0f} s left")
        columns = {"votes": n_classes + 1, "present": n_classes + 1, "pictures": len(COLUMNS)}
        with _writing(folder, needed):
            files = {name: output.finish(columns.get(name)) for name, output in outputs.items()}
    picture = dict(zip(COLUMNS, np.array(pictures).T, strict=True))
    if (picture["native_height"] == picture["height"]).all() and (picture["native_width"] == picture["width"]).all():
        del files["native_truth"]  # the same as truth
        (folder / "native_truth.npy").unlink()
    write_json(folder / "manifest.json", {"key": content_key(about), "about": about, "files": files, "libraries": versions()})
    cut, vanished = int(picture["cut"].sum()), int(picture["vanished"].sum())
    lost = f"; {vanished:,} of {cut:,} superpixels have no pixel at working size and are never asked" if vanished else ""
    report(f"prepared {source.name}: {n} images in {time.monotonic() - start:.0f} s{lost}")


@contextmanager
def _writing(where: Path, needed: int | None = None) -> Iterator[None]:
    """Inside, an OSError becomes one sentence with the place and the bytes needed."""
    try:
        yield
    except OSError as error:
        room = f" ({needed:,} bytes are needed)" if needed else ""
        raise OSError(
            f"the prepared data cannot be written to {where}{room}: {error.strerror or error}; "
            "free some space, or choose another store_root (it lies below OREAL_HOME unless given)"
        ) from error


def _prepared(
    open_item: Callable, n_classes: int, recipe: SuperpixelRecipe, trim: int, size: Size | None, only: Size | None, item: Item
) -> dict[str, np.ndarray | None]:
    """What the store keeps of one picture, by array. size: working size, None for its own. only: the size it must have."""
    try:
        image, mask = open_item(item)
    except ValueError as error:
        raise ValueError(f"{error}; `python -m oreal_lib.data check` lists all pictures that cannot be used") from error
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
    native_mask, ids, votes, present, cut = mask, None, None, None, 0
    train = item.split == "train"
    if train and recipe.at == "native":
        ids = superpixels(image, recipe)
        cut = int(ids.max()) + 1
        votes, present = class_votes(mask, ids, cut, n_classes), classes_present(mask, ids, cut, n_classes, trim)
    if size not in (None, native):
        image, mask = resized(image, size), nearest(mask, size)
        if ids is not None:
            ids = nearest(ids, size)
            left = np.unique(ids)
            votes, present, ids = votes[left], present[left], dense(ids)
    if train and recipe.at == "working":
        ids = superpixels(image, recipe)
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
    }


def refuse_unguarded() -> None:
    """RuntimeError in a worker process that is still starting: it reads the script that started it, and would wait forever for
    what its parent holds."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself knows it
        raise RuntimeError(
            "a worker process reads the script that started it, and this script does everything again; "
            "put its code below `if __name__ == '__main__':`"
        )


def parallel(work: Callable, items: Sequence, workers: int) -> Iterator:
    """work(item) of each item in order, from `workers` processes that run at most a few items ahead.

    RuntimeError if a process dies.
    """
    if workers == 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 3 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process died: out of memory, or the calling script lacks `if __name__ == '__main__':` "
                "around its code; mend that, or prepare with workers=1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """One OpenCV thread per process; and a worker whose parent was killed leaves, too, instead of waiting forever."""
    import cv2

    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
