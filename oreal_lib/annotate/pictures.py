"""A folder of pictures, each brought to a bounded size and cut into superpixels once; what was cut stays as it is.

Labels name superpixels by number, so the partition a person has clicked on must never change: it lies on disk with a checksum,
whatever version of OpenCV comes later. Pictures can be added to the folder at any time.
"""

import hashlib
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from skimage.measure import label

from ..data.files import exact, read_bytes, read_image
from ..data.folders import folders_below, listing, remark, tidy
from ..data.resize import Size, bounded, nearest, resized
from ..data.source import cutting
from ..storage import atomic, checked
from ..storage.checked import npy, read_npy
from ..storage.processes import parallel, processes
from ..storage.progress import log, told
from ..superpixels import MOST_SUPERPIXELS, SuperpixelRecipe, dense, superpixels

PARTITIONS = (".npy", ".png", ".tif", ".tiff")
REMEDY = "put back a copy of it. Deleting it and its .json cuts the picture again, which gives the same superpixels only on the same versions"


@dataclass(frozen=True)
class Picture:
    """One picture: its name (path in the folder without suffix), file, native and working size (height, width), superpixels
    as cut, checksums of their map and of the image, and the folder that holds its working copy."""

    name: str
    file: Path
    native: Size
    size: Size
    count: int
    check: int
    image_check: int
    store: Path

    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB at working size; ValueError if the file is damaged."""
        return self._read("image", (*self.size, 3), self.image_check)

    def ids(self) -> np.ndarray:
        """(H, W) uint16 superpixel ids 0..count-1 at working size; ValueError if the file is damaged."""
        return self._read("ids", self.size, self.check)

    def _read(self, part: str, shape: tuple[int, ...], check: int) -> np.ndarray:
        file = self.store / f"{key(self.name)}.{part}.npy"
        try:
            array = np.ascontiguousarray(read_npy(file))
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} is damaged ({error}); {REMEDY}") from error
        if array.shape != shape or zlib.crc32(array) != check:
            raise ValueError(f"{file} is damaged (its checksum is wrong); {REMEDY}")
        return array


def common_colors(pictures: Sequence[Picture], most: int = 20) -> np.ndarray:
    """(m, 3) uint8: the colors that at most so many pictures hold most of, up to 24."""
    step = max(1, len(pictures) // most)
    pixels = np.concatenate([picture.image()[::16, ::16].reshape(-1, 3) for picture in pictures[::step]])
    found, count = np.unique(pixels // 40, axis=0, return_counts=True)
    return (found[np.argsort(-count, kind="stable")[:24]] * 40 + 20).astype(np.uint8)


def key(name: str) -> str:
    """The name of a picture's files in the store: any name, any length, no folder."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def find_pictures(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Name -> file of the pictures in `folder/images`, or if there is no such folder in `folder`, and below; and the problems.

    FileNotFoundError if `folder` does not exist, ValueError if no picture in it can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist; name the folder with your pictures")
    problems: list[str] = []
    found = listing(folder, "images" if (folder / "images").is_dir() else "", problems, deep=True)
    if not found:
        strange = "; ".join(p for p in problems if "holds no pictures" not in p)
        raise ValueError(
            f"{folder} holds no picture that can be read{strange and f' ({strange})'}; put JPEG, PNG or TIFF files there"
        )
    return found, problems


def open_pictures(
    folder: Path,
    store: Path,
    recipe: SuperpixelRecipe,
    side: int,
    partition: Path | None = None,
    workers: int | None = None,
    cut: bool = True,
) -> tuple[tuple[Picture, ...], list[str]]:
    """The pictures of a folder in the order of their names, and what is wrong with others, a sentence each.

    Those not in the store yet are read, reduced to a longer side of at most `side` pixels, cut and written (left out if not
    `cut`); killed, it goes on where it was. partition: a folder of label maps named like the pictures, instead of a recipe (`read_partition`).
    ValueError if no picture can be used.
    """
    found, problems = find_pictures(folder)
    entries = {name: store / f"{key(name)}.json" for name in found}
    known = {name: checked.read(file, REMEDY) if file.exists() else None for name, file in entries.items()}
    new = [(name, file) for name, file in found.items() if cut and known[name] is None]
    maps = {} if partition is None else _partitions(Path(partition), new)
    if new:
        log.info(f"cutting {len(new)} picture{'s' * (len(new) > 1)} into superpixels ...")
    work = partial(_cut, store=store, recipe=recipe, side=side, maps=maps)
    workers = processes(workers, len(new) // 50)  # for fewer pictures each, starting a process takes longer than it saves
    with closing(parallel(work, new, workers)) as cuts:
        for (name, _), (entry, problem) in told(zip(new, cuts, strict=True), "{done} of {total} pictures are cut", len(new)):
            known[name] = entry
            problems += [problem] * bool(problem)
    cut_now = {file: entry["brightest"] for name, file in new if (entry := known[name])}
    remark(cut_now, cut_now.values(), log.info)
    pictures = []
    for name, file in found.items():
        if (entry := known[name]) is None:
            continue
        if (change := _changed(file, entry, store)) is not None:
            problems.append(change)
            continue
        native, size = tuple(entry["native"]), tuple(entry["size"])
        pictures.append(Picture(name, file, native, size, entry["count"], entry["ids"], entry["image"], Path(store)))
    if not pictures:
        raise ValueError(f"no picture in {folder} can be used: {'; '.join(problems[:3])}; repair or replace them")
    return tuple(pictures), problems


def _changed(file: Path, entry: dict, store: Path) -> str | None:
    """What to say if the file is not the one that was cut. Times are compared first: hashing a thousand photos takes minutes."""
    try:
        stat = file.stat()
        known = [stat.st_size, stat.st_mtime_ns]
        if known == entry["stat"]:
            return None
        if hashlib.sha256(read_bytes(file)).hexdigest() == entry["content"]:
            with suppress(OSError):  # of a copied folder, each file is hashed once
                checked.write(store / f"{key(entry['name'])}.json", entry | {"stat": known})
            return None
    except OSError as error:
        return str(error)
    return (
        f"{file.name} was changed after its superpixels were cut, so it is left out (its labels are kept); put the old file back, "
        "or give the new one another name"
    )


def _cut(
    what: tuple[str, Path], store: Path, recipe: SuperpixelRecipe, side: int, maps: dict[str, Path]
) -> tuple[dict | None, str | None]:
    """Cuts one picture and writes its working copy; returns its entry, or why it cannot be used."""
    name, file = what
    try:
        stat, data = file.stat(), read_bytes(file)
        image = read_image(file)
        native = image.shape[:2]
        size = bounded(native, side)
        image = resized(image, size)
        with cutting(name):
            ids = superpixels(image, recipe) if not maps else dense(nearest(read_partition(maps[name], native), size))
    except (ValueError, OSError) as error:
        return None, str(error)
    entry = {"name": name, "native": list(native), "size": list(size), "count": int(ids.max()) + 1}
    entry |= {"ids": zlib.crc32(ids), "image": zlib.crc32(np.ascontiguousarray(image)), "brightest": int(image.max())}
    entry |= {"stat": [stat.st_size, stat.st_mtime_ns], "content": hashlib.sha256(data).hexdigest()}
    entry["superpixels"] = asdict(recipe) if not maps else maps[name].name
    for part, array in (("image", image), ("ids", ids)):
        atomic.write_bytes(store / f"{key(name)}.{part}.npy", npy(array))
    checked.write(store / f"{key(name)}.json", entry)  # last: from here on the picture is in the store
    return entry, None


def _partitions(folder: Path, new: list[tuple[str, Path]]) -> dict[str, Path]:
    paths = (path for below in folders_below(folder) for path in below.iterdir())
    found = {tidy(path.relative_to(folder).with_suffix(path.suffix.lower()).as_posix()): path for path in paths}
    maps = {name: next((found[file] for s in PARTITIONS if (file := f"{name}{s}") in found), None) for name, _ in new}
    if missing := [name for name, path in maps.items() if path is None]:
        raise ValueError(
            f"the partition folder {folder} has no label map for {len(missing)} of {len(maps)} pictures, the first is {missing[0]}; "
            f"put {missing[0]}.png, .tif or .npy there, or leave partition out"
        )
    return maps


def read_partition(file: Path, size: Size) -> np.ndarray:
    """Superpixel ids (h, w) uint16 of a label map made elsewhere: by SAM, another tool, or by hand.

    An image file: gray values of 8 or 16 bits or a palette, an id each; or colors, one superpixel for each color. A .npy file: (h, w)
    integers, or (k, h, w) bool masks, which may overlap (`from_masks`).  ValueError if it is of another size or kind.
    """
    if file.suffix.lower() == ".npy":
        ids = np.array(read_npy(file))
        ids = from_masks(ids) if ids.ndim == 3 and ids.dtype == bool else ids
    else:  # gray values, palette indices, or a number for each color
        picture, _ = exact(file, "label map")
        ids = np.asarray(picture if picture.mode in ("L", "P") or picture.mode.startswith("I") else picture.convert("RGB"))
        ids = ids.astype(np.int64) @ np.array([65_536, 256, 1]) if ids.ndim == 3 else ids
    if ids.shape != size:
        why = f"the label map {file} is {ids.shape}, but its picture is {size} (height, width, as its EXIF turns it)"
        raise ValueError(f"{why}; they must agree")
    try:
        return dense(ids)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def from_masks(masks: np.ndarray) -> np.ndarray:
    """(h, w) int64 ids of masks (k, h, w) bool that may overlap: the smallest mask lies on top; connected pixels in no mask
    become superpixels of their own. ValueError for more masks than a picture can have superpixels."""
    if len(masks) > MOST_SUPERPIXELS:
        raise ValueError(
            f"{len(masks):,} masks were given, but one picture can have {MOST_SUPERPIXELS:,} superpixels; drop the smallest"
        )
    order = np.argsort(-masks.sum(axis=(1, 2)), kind="stable")
    ids = np.zeros(masks.shape[1:], np.int64)
    for rank, i in enumerate(order, 1):
        ids[masks[i]] = rank
    free = label(ids == 0, connectivity=1)
    return np.where(ids == 0, len(masks) + free, ids)
