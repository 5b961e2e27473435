"""What every reader of folders needs: find the data set, list its pictures, pair images with masks, recognize the content.

Each fault of a listing becomes one line in a list of problems (file, rule, remedy), so that all can be reported at once.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from .files import HEIC_SUFFIXES, IMAGE_SUFFIXES, open_pair, read_bytes, reads_heic
from .source import Item, Source

# meant as pictures; of files with another suffix the content tells
UNREAD_SUFFIXES = (
    ".gif .ppm .pgm .tga .jp2 .heic .heif .avif .jxl .exr .dcm .npy .npz .mat .nii .gz .mp4 .avi .mov .cr2 .nef".split()
)
BLACK = 16  # of 255: where 12 bits in a file of 16 end
CONTENT_LIMIT = 256 * 2**20  # bytes


def find_root(root: str | Path | None, title: str, places: tuple[str, ...], holds: Callable[[Path], bool], looked_for: str) -> Path:
    """The first of the `places` below `root` that `holds` the data set; "" is root itself.

    root None: the folder that the environment variable OREAL_DATA names. title, looked_for: for the error.
    FileNotFoundError with what is looked for where nothing of the data set is there.
    """
    if root is None and not (root := os.environ.get("OREAL_DATA")):
        raise FileNotFoundError(
            f"{title} needs its folder: give root, or set the environment variable OREAL_DATA to the folder that holds "
            f"{looked_for}, or to its parent"
        )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"the {title} folder {folder} does not exist; give the folder that holds {looked_for}")
    for place in places:
        if (folder / place).is_dir() and holds(folder / place):
            return folder / place
    below = ", ".join(f"{place}/" for place in places if place)
    raise FileNotFoundError(
        f"{folder} holds no {title}: there is no {looked_for} in it" + (f", nor in {below} below it" if below else "") + "; "
        "name the folder that holds them (upper and lower case count)"
    )


def having(*subs: str) -> Callable[[Path], bool]:
    """Whether a folder holds at least one of these sub-folders: what `find_root` asks for as `holds`."""
    return lambda folder: any((folder / sub).is_dir() for sub in subs)


def folders_below(root: Path, unread: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """`root` and all folders below it in name order, links followed but never in a circle, without hidden ones, thumbnails and bins.

    unread: takes the OSError of each that cannot be read.
    """
    for folder, names, _ in os.walk(root, onerror=unread, followlinks=True):
        here = os.path.realpath(folder)
        names[:] = sorted(
            name
            for name in names
            if not name.startswith((".", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"))
            and not (here + os.sep).startswith(os.path.realpath(os.path.join(folder, name)) + os.sep)
        )
        yield Path(folder)


def listing(root: Path, sub: str, problems: list[str], *, deep: bool = False) -> dict[str, Path]:
    """The pictures in `root/sub`, and below it if deep, by name: the path from there without its suffix, sorted.

    Other files are passed over, except for those that look like pictures in a format we do not read, by their suffix or content.
    A missing, empty or unreadable folder, an unreadable file, and two pictures of one name are added to the problems.
    """
    top, place = root / sub, f"{sub}/" if sub else root
    if not top.is_dir():
        problems.append(f"{place} is missing; copy the data set again, or give the folder that holds it")
        return {}
    found: dict[str, Path] = {}
    folders = folders_below(top, lambda e: problems.append(f"{e.filename} cannot be read ({e.strerror}); fix its rights"))
    for path in (path for folder in (folders if deep else [top]) for path in sorted(folder.iterdir())):
        suffix, shown = path.suffix.lower(), below(root, path)
        if path.name.startswith(".") or not _like_picture(path):
            continue
        name = tidy(path.relative_to(top).with_suffix("").as_posix())
        if shown.encode("utf-8", "ignore").decode() != shown:
            problems.append(f"{shown!r} is not a name in UTF-8; give that file another one")
        elif suffix in HEIC_SUFFIXES and not reads_heic():
            problems.append(
                f"{shown} is a HEIC; `pip install pillow-heif` in this environment, then it is read, or save it as JPEG"
            )
        elif suffix not in (*IMAGE_SUFFIXES, *HEIC_SUFFIXES):
            what = "format" if suffix in UNREAD_SUFFIXES else "suffix"
            problems.append(f"{shown} has a {what} that is not read; save it as PNG, or move it elsewhere")
        elif not path.is_file():
            problems.append(f"{shown} cannot be read, it is a folder or a broken link; copy it again")
        elif name in found:
            problems.append(f"{shown} and {found[name].name} have one name without suffix; keep one of them")
        else:
            found[name] = path
    if not found:
        problems.append(f"{place} holds no pictures; copy the data set again, or name another folder")
    return dict(sorted(found.items()))


def _like_picture(path: Path) -> bool:
    """Whether a file, by its suffix or else by its content, is a picture, of a format that we read or not."""
    if path.suffix.lower() in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES):
        return True
    try:
        with Image.open(path if path.is_file() else ""):
            return True
    except Exception:  # of what is no picture Pillow raises whatever it meets
        return False


def remark(files: Iterable[Path | None], brightest: Iterable[int], tell: Callable[[str], object]) -> None:
    """Tell if some pictures look black, their highest values being `brightest`, 0..255, and if files beside them are passed over."""
    if dark := [value for value in brightest if value <= BLACK]:
        highest = f"{max(dark)} of 255 (about {257 * max(dark)} of 65535)"
        tell(f"the brightest value of {len(dark)} images is {highest}: they look black; scale them")
    beside = [path for folder in sorted({file.parent for file in files if file}) for path in sorted(folder.iterdir())]
    if other := [path.name for path in beside if path.is_file() and path.name[0] != "." and not _like_picture(path)]:
        names = ", ".join(other[:3]) + ", ..." * (len(other) > 3)
        tell(f"beside the images lie {len(other)} files that are no pictures and are passed over: {names}")


def below(root: Path, path: Path) -> str:
    """The path from root with forward slashes, as problems show it."""
    return path.relative_to(root).as_posix()


def tidy(name: str) -> str:
    """A name with its accents written in one way: file systems and editors write the same letter differently."""
    return unicodedata.normalize("NFC", name)


def read_list(root: Path, sub: str, problems: list[str]) -> list[str]:
    """The lines of the text file `root/sub`, stripped, without empty ones and repetitions (which are a problem)."""
    try:
        lines = read_bytes(root / sub).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        problems.append(f"{sub} is not UTF-8 text; save it again as plain text")
        return []
    names = Counter(tidy(line.strip()) for line in lines if line.strip())
    for name, times in names.items():
        if times > 1:
            problems.append(f"{sub} names {name} {times} times, but once is the rule; keep one line")
    if not names:
        problems.append(f"{sub} names no image; write one name per line, or delete the file")
    return list(names)


def without_partner(images: dict[str, Path], masks: dict[str, Path], root: Path, problems: list[str]) -> None:
    """Add each image without a mask and each mask without an image to the problems; a folder without any is a problem by itself."""
    if not images or not masks:
        return
    for some, others, what, other in ((images, masks, "image", "mask"), (masks, images, "mask", "image")):
        rule = f"has no {other}, but each {what} needs one of the same name; add it or remove this file"
        problems += [f"{below(root, path)} {rule}" for name, path in some.items() if name not in others]


def add(items: dict[str, Item], item: Item, root: Path, problems: list[str]) -> None:
    """Add an item by its name, or a problem if another one has it."""
    if (first := items.setdefault(item.name, item)) is not item:
        both = f"{below(root, first.image)} and {below(root, item.image)}"
        problems.append(f"{both} have one name, but no image may be in two splits; remove one")


def drawn(units: dict[str, list[str]], wanted: int, images: int) -> set[str]:
    """The images that are for testing, about `wanted` and fewer than `images`, which is how many there are in all.

    Whole units are taken in the order of the SHA-256 of their names, each if that comes nearer to `wanted`; if none does,
    the smallest one. So the choice depends on the names and numbers alone, not on the order of the files.
    """
    test: set[str] = set()
    for unit in sorted(units, key=lambda name: hashlib.sha256(name.encode()).digest()):
        more = len(test) + len(units[unit])
        if more < images and more - wanted < wanted - len(test):
            test |= set(units[unit])
    return test or set(min(units.values(), key=len) if wanted and units else ())


def fingerprint(root: Path, items: Iterable[Item], limit: int = CONTENT_LIMIT) -> str:
    """What the files of the items hold, as one line of text that does not depend on where they lie.

    Up to `limit` bytes in all, "content:" and a hash of each name and content, so that no edit is overlooked and a copy
    is the same data. Above it, reading everything would delay each start: "stat:" and a hash of each name, size and time
    of last change, so a copy that does not keep the times counts as other data and is prepared again.
    """
    paths = {below(root, path): path for item in items for path in (item.image, item.mask) if path}
    files = [(name, path, path.stat()) for name, path in sorted(paths.items())]
    by_content = sum(stat.st_size for *_, stat in files) <= limit
    whole = hashlib.sha256()
    for name, path, stat in files:
        what = hashlib.sha256(read_bytes(path)).hexdigest() if by_content else f"{stat.st_size} {stat.st_mtime_ns}"
        whole.update(f"{name}\n{what}\n".encode())
    return f"{'content' if by_content else 'stat'}:{whole.hexdigest()}"


def found_source(
    name: str, classes: tuple[str, ...], root: Path, items: Iterable[Item], problems: list[str], identity: dict, **masks: object
) -> Source:
    """The Source of the files that a reader of folders found; masks: how `read_mask` reads theirs.

    identity: what decides the content beside the files, such as options.
    """
    items = tuple(items)
    identity = {"reader": name, **identity, "files": fingerprint(root, items)}
    return Source(name, classes, items, partial(open_pair, n_classes=len(classes), **masks), identity, tuple(problems))


def one_of(option: str, value: object, choices: tuple[str, ...]) -> None:
    """ValueError unless the option is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{option} is {value!r}, but must be {' or '.join(map(repr, choices))}; choose one of them")
