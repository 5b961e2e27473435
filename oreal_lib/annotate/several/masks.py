"""Masks that exist already become labels of the superpixels that they fill, so that a person looks at the rest only."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.files import class_pixels, contradiction, only_void, palette, read_mask
from ...data.folders import listing, read_list
from ...data.readers.folder import read_classes
from ...data.resize import nearest
from ...oracle import class_votes, dominant_label
from ...storage.progress import told
from ...types import IGNORE
from ..named import UNLABELED
from ..session import Session

SHARE = 0.9  # our choice: a person would accept one wrong pixel in ten, too


@dataclass(frozen=True)
class Imported:
    """What the masks gave. pictures: for which a mask was read.  labeled: superpixels that got a label.
    unclear: unlabeled ones in which too few pixels agree.  kept: those that had another label and kept it.
    problems: masks that could not be used, a sentence each; and what may be wrong in those that were, see `only_void`, `contradiction`."""

    pictures: int
    labeled: int
    unclear: int
    kept: int
    problems: tuple[str, ...] = ()


def import_masks(session: Session, masks: Path | str, share: float = SHARE, overwrite: bool = False) -> Imported:
    """Gives each superpixel the class that at least `share` of its pixels have in the mask; the others stay as they are.

    masks: a folder with a mask for each picture, of its name and full size (in the folder, or in masks/ or SegmentationClass/ below
    it). Gray or palette PNGs hold class ids of the session, 255 where nothing is known, unless a file in the folder, or in the one
    it lies in, says otherwise: classes.yaml, names in another order, or colors (see `data.readers.folder`); or labelmap.txt, the
    colors of CVAT's "Segmentation mask 1.1", whose background is unknown unless the session has a class of that name.
    overwrite: existing labels are replaced, too.  Labels are acts of the log like any other (how "import"), one for each picture
    and class, and can be undone. ValueError for a wrong share or folder; what is wrong with a mask is in `problems`.
    """
    if not 0.5 < share <= 1:
        raise ValueError(f"share is {share!r}, but must be above 0.5 and at most 1, so that one class can have it; change it")
    problems: list[str] = []
    files, names, colors, void = _masks(masks, session.classes, problems)
    place = {picture.name: i for i, picture in enumerate(session.pictures)}
    problems += [_strange(name, file, place) for name, file in files.items() if name not in place]
    known = [(place[name], file) for name, file in files.items() if name in place]
    read = labeled = unclear = kept = 0
    pixels, with_void, shown = np.zeros(len(names) + 1, np.int64), [], []
    for i, file in told(known, "{done} of {total} masks are read"):
        try:
            truth = read_mask(file, len(names), void, None, colors)
            found = class_pixels(truth, len(names))
            answer, agreed = _answers(_translated(truth, names, session.classes, file), session, i, file, share)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        read += 1
        pixels += found
        with_void += [file] * bool(found[-1])
        shown.append((file, [] if colors else palette(file), found[:-1]))
        labels = session.board.labels(i).copy()
        free = (labels == UNLABELED) | overwrite
        unclear += int((~agreed & (labels == UNLABELED)).sum())
        kept += int((agreed & ~free & (answer != labels)).sum())
        for c, name in enumerate(session.classes):
            ids = np.flatnonzero(agreed & free & (answer == c) & (labels != c))
            if len(ids):
                session.act("label", i, ids.tolist(), to=name, how="import")
                labeled += len(ids)
    if binary := only_void(names, pixels):
        more = f" and {len(with_void) - 1} more" * (len(with_void) > 1)
        problems.append(f"the void of the mask {with_void[0]}{more}: {binary}")
    if doubt := contradiction(shown):
        problems.append(f"labels may be wrong: {doubt}")
    return Imported(read, labeled, unclear, kept, tuple(problems))


def _masks(masks: Path | str, classes: tuple[str, ...], problems: list[str]):
    """Picture name -> file, and what the masks' values mean: names, colors or None, the value that is void."""
    folder = Path(masks).expanduser()
    if not folder.is_dir():
        raise ValueError(f"the folder {folder} does not exist; name the folder with the masks")
    sub = next((sub for sub in ("masks", "SegmentationClass") if (folder / sub).is_dir()), "")
    files = listing(folder, sub, problems, deep=True)
    for home in (folder, folder.parent):
        if (home / "classes.yaml").is_file():
            return files, *read_classes(home)
        if (home / "labelmap.txt").is_file():
            return files, *_labelmap(home / "labelmap.txt", classes)
    return files, classes, None, IGNORE


def _labelmap(file: Path, classes: tuple[str, ...]) -> tuple[tuple[str, ...], dict, int]:
    """What `read_classes` returns, of CVAT's list of colors: lines such as "tool:48,112,32::", comments begin with #."""
    names, colors = [], {}
    for line in read_list(file.parent, file.name, []):
        if line.startswith("#"):
            continue
        name, color, *_ = [*line.rsplit(":", 3), ""]
        if not re.fullmatch(r"\d+,\d+,\d+", color):
            raise ValueError(f"{file} has the line {line!r}, but name:red,green,blue:: is the rule; export the masks again")
        void = name == "background" and name not in classes
        colors[tuple(map(int, color.split(",")))] = IGNORE if void else len(names)
        names += [name] * (not void)
    if not names:
        raise ValueError(f"{file} names no class; export the masks again, with their labels")
    return tuple(names), colors, IGNORE


def _strange(name: str, file: Path, place: dict[str, int]) -> str:
    """That a mask has no picture of its name, and which folder to name where only the folder is wrong."""
    parts = name.split("/")
    k = next((k for k in range(1, len(parts)) if "/".join(parts[k:]) in place), 0)
    remedy = f"name the folder {file.parents[len(parts) - k - 1]}" if k else "give it a picture's name"
    return f"the mask {file} belongs to no picture of the session, none is named {name!r}; {remedy}"


def _translated(truth: np.ndarray, names: tuple[str, ...], classes: tuple[str, ...], file: Path) -> np.ndarray:
    """Ids of `names` as ids of `classes`."""
    if names == classes:
        return truth
    table = np.full(256, IGNORE, np.uint8)
    for c, name in enumerate(names):
        if name in classes:
            table[c] = classes.index(name)
        elif pixels := int((truth == c).sum()):
            why = f"the mask {file} holds the class {name!r} ({pixels} pixels), which the session does not have"
            raise ValueError(f"{why}; open the session with it added at the end of the classes, or remove it from the mask")
    return table[truth]


def _answers(truth: np.ndarray, session: Session, i: int, file: Path, share: float) -> tuple[np.ndarray, np.ndarray]:
    """(k,) the dominant class of each superpixel, and (k,) bool whether enough of its pixels agree."""
    picture = session.pictures[i]
    if truth.shape != picture.native:
        turned = " (the EXIF turns only one of them; turn the mask's pixels, without EXIF)" * (truth.shape == picture.native[::-1])
        (h, w), (height, width) = truth.shape, picture.native
        raise ValueError(f"the mask {file} is {w}x{h} pixels, but its picture is {width}x{height}{turned}; both need one size")
    votes = class_votes(nearest(truth, picture.size), session.board.ids(i), len(session.board.labels(i)), len(session.classes))
    present = dominant_label(votes)
    most = np.where(present.any(axis=1), votes[:, :-1].max(axis=1), 0)
    return present.argmax(axis=1), (most > 0) & (most >= share * votes.sum(axis=1))
