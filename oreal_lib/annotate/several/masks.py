"""Masks that exist already become labels: of the superpixels that they fill, so that a person looks at the rest only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.files import read_mask
from ...data.folders import listing
from ...data.readers.folder import read_classes
from ...data.resize import nearest
from ...oracle import class_votes, dominant_label
from ...storage.progress import told
from ...types import IGNORE
from ..board import UNLABELED
from ..session import Session

SHARE = 0.9  # our choice: one wrong pixel in ten is what a person would let pass, too


@dataclass(frozen=True)
class Brought:
    """What became of the masks. pictures: that a mask was read for.  labeled: superpixels that got a label.
    unclear: superpixels without one in which too few pixels agree.  kept: that had another label and kept it.
    problems: masks that could not be used, a sentence each."""

    pictures: int
    labeled: int
    unclear: int
    kept: int
    problems: tuple[str, ...] = ()


def bring_masks(
    session: Session,
    masks: Path | str | Mapping[str, Path],
    share: float = SHARE,
    overwrite: bool = False,
) -> Brought:
    """Gives each superpixel the class that at least `share` of its pixels have in the mask; the others stay as they are.

    masks: a folder with a mask for each picture, of its name and full size (in the folder or in masks/ below it), or picture name ->
    file. Grey or palette PNGs hold class ids of the session, 255 where nothing is known; a classes.yaml in the folder, or in the one
    it lies in, says otherwise: names in another order, or colors (see `data.folder`).
    overwrite: labels that are there already are replaced, too.  Labels are acts of the log like any other (how "import"), one for
    each picture and class, and can be undone. ValueError for a wrong share or folder; what is wrong with a mask is in `problems`.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.5 < share <= 1:
        raise ValueError(f"share is {share!r}, but must be above 0.5 and at most 1; change it")
    problems: list[str] = []
    files, names, colors, void = _masks(masks, session.classes, problems)
    place = {picture.name: i for i, picture in enumerate(session.pictures)}
    problems += [
        f"the mask {file} belongs to no picture of the session; give it a picture's name"
        for n, file in files.items()
        if n not in place
    ]
    known = [(place[name], file) for name, file in files.items() if name in place]
    read = labeled = unclear = kept = 0
    for i, file in told(known, "{done} of {total} masks are read"):
        try:
            truth = _translated(read_mask(file, len(names), void, None, colors), names, session.classes, file)
            answer, agreed = _answers(truth, session, i, file, share)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        read += 1
        labels = session.board.labels(i).copy()
        free = (labels == UNLABELED) | overwrite
        unclear += int((~agreed & (labels == UNLABELED)).sum())
        kept += int((agreed & ~free & (answer != labels)).sum())
        for c, name in enumerate(session.classes):
            ids = np.flatnonzero(agreed & free & (answer == c) & (labels != c))
            if len(ids):
                session.act("label", i, ids.tolist(), to=name, how="import")
                labeled += len(ids)
    return Brought(read, labeled, unclear, kept, tuple(problems))


def _masks(masks, classes: tuple[str, ...], problems: list[str]):
    """Picture name -> file, and what the masks' values mean: names, colors or None, the value that is void."""
    if isinstance(masks, Mapping):
        return {name: Path(file) for name, file in masks.items()}, classes, None, IGNORE
    folder = Path(masks).expanduser()
    if not folder.is_dir():
        raise ValueError(f"the folder {folder} does not exist; name the folder with the masks")
    sub = "masks" if (folder / "masks").is_dir() else ""
    files = listing(folder, sub, problems, deep=True)
    home = next((f for f in (folder, folder.parent) if (f / "classes.yaml").is_file()), None)
    return files, *((classes, None, IGNORE) if home is None else read_classes(home))


def _translated(truth: np.ndarray, names: tuple[str, ...], classes: tuple[str, ...], file: Path) -> np.ndarray:
    """Ids of `names` as ids of `classes`."""
    if names == classes:
        return truth
    table = np.full(256, IGNORE, np.uint8)
    for c, name in enumerate(names):
        if name in classes:
            table[c] = classes.index(name)
        elif pixels := int((truth == c).sum()):
            raise ValueError(
                f"the mask {file} holds the class {name!r} ({pixels} pixels), which the session does not have; open the session with "
                "it added at the end of the classes, or take it out of the mask"
            )
    return table[truth]


def _answers(truth: np.ndarray, session: Session, i: int, file: Path, share: float) -> tuple[np.ndarray, np.ndarray]:
    """(k,) the dominant class of each superpixel, and (k,) bool whether enough of its pixels agree."""
    picture = session.pictures[i]
    if truth.shape != picture.native:
        turned = " (the EXIF turns the picture; turn the mask as well)" if truth.shape == picture.native[::-1] else ""
        raise ValueError(
            f"the mask {file} is {truth.shape[1]}x{truth.shape[0]} pixels, but its picture is "
            f"{picture.native[1]}x{picture.native[0]}{turned}; both need one size"
        )
    small = truth if truth.shape == picture.size else nearest(truth, picture.size)
    votes = class_votes(small, session.board.ids(i), len(session.board.labels(i)), len(session.classes))
    present = dominant_label(votes)
    most = np.where(present.any(axis=1), votes[:, :-1].max(axis=1), 0)
    return present.argmax(axis=1), (most > 0) & (most >= share * votes.sum(axis=1))
