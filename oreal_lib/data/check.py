"""Every picture of a data set opened once: what is there, what cannot be read, which classes are rare or missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ..storage.progress import told
from ..types import IGNORE
from .prepare import parallel
from .source import SPLITS, Item, Source

OFFICIAL = {  # images per split as published; val only where the reader can make it a split of its own
    "voc": {"train": 1464, "test": 1449},
    "cityscapes": {"train": 2975, "test": 500},
    "camvid": {"train": 367, "val": 101, "test": 233},
}
TRAINAUG = 10_582  # VOC's training images with those of SBD, as the list is usually handed on


@dataclass(frozen=True)
class Tally:
    """What one split holds. images = labeled + unlabeled + unreadable.

    labeled, unlabeled: images opened with and without a mask.  pixels: (C,) int64 pixels of each class.
    with_class: (C,) int64 images in which each class occurs.  void: pixels without a class.
    """

    images: int
    labeled: int
    unlabeled: int
    unreadable: int
    pixels: np.ndarray
    with_class: np.ndarray
    void: int

    @property
    def void_share(self) -> float:
        """Share of the masks' pixels that are void, 0..1; NaN without masks."""
        pixels = self.void + int(self.pixels.sum())
        return self.void / pixels if pixels else float("nan")


@dataclass(frozen=True)
class Findings:
    """All that `check` found. splits: only those with images.  sizes: (width, height) -> images.

    problems: what keeps the data from being prepared, one line each.  remarks: what is worth knowing, but no fault.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Tally]
    sizes: Counter[tuple[int, int]]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


class _Look(NamedTuple):
    """One item as opened: width and height, pixels of each value 0..255 (None without a mask), or what went wrong."""

    size: tuple[int, int] | None
    values: np.ndarray | None
    problem: str | None


def check(source: Source, workers: int | None = None) -> Findings:
    """Open every item of a source once; broken ones become problems, never exceptions.

    workers: processes, as many as there are cores unless given; 1 works in this process.
    """
    n = len(source.items)
    with closing(parallel(partial(_look, source.open, len(source.classes)), source.items, processes(workers, n))) as found:
        looks = list(told(found, "  {done} of {total} images opened", n))
    seen = list(zip(source.items, looks, strict=True))
    splits = {split: _tally([look for item, look in seen if item.split == split], len(source.classes)) for split in SPLITS}
    splits = {split: tally for split, tally in splits.items() if tally.images}
    sizes = Counter(look.size for look in looks if look.size)
    problems = [*source.problems, *(look.problem for look in looks if look.problem)]
    if "train" not in splits:
        problems.append(f"{source.name} has no training images, but superpixels are bought there; check its train folder or list")
    remarks = tuple(_remarks(source, splits, sizes))
    return Findings(source.name, source.classes, splits, sizes, tuple(problems), remarks)


def processes(workers: int | None, n: int) -> int:
    """How many processes shall work on n items: as many as asked, None for one per core, never more than items.

    ValueError for fewer than 1.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ValueError(f"workers is {workers!r}, but at least one process must do the work; give 1 or more")
    return max(1, min(workers or os.cpu_count() or 1, n, 61))  # Windows cannot wait for more than 61 processes


def _look(open_item: Callable, n_classes: int, item: Item) -> _Look:
    """One item, whatever is wrong with it."""
    try:
        image, mask = open_item(item)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"the image was read as {image.dtype} {image.shape}, but must be (h, w, 3) uint8")
        if mask is not None and (mask.shape != image.shape[:2] or mask.dtype != np.uint8):
            raise ValueError(f"the mask was read as {mask.dtype} {mask.shape}, but must be uint8 {image.shape[:2]} like its image")
        values = None if mask is None else np.bincount(mask.ravel(), minlength=256)
        if values is not None and (wrong := [v for v in np.flatnonzero(values) if n_classes <= v != IGNORE]):
            raise ValueError(f"its mask holds {wrong[0]} ({values[wrong[0]]} pixels), but classes are 0..{n_classes - 1}")
    except Exception as error:  # a check that stops at the first surprise would hide the others
        text, name = (" ".join(words.split()) for words in (str(error) or "no reason given", item.name))  # names may hold line ends
        text = text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"
        return _Look(None, None, text if name in text else f"{name}: {text}")
    return _Look((image.shape[1], image.shape[0]), values, None)


def _tally(looks: list[_Look], n_classes: int) -> Tally:
    values = np.array([look.values for look in looks if look.values is not None], np.int64).reshape(-1, 256)
    unreadable = sum(look.size is None for look in looks)
    return Tally(
        images=len(looks),
        labeled=len(values),
        unlabeled=len(looks) - len(values) - unreadable,
        unreadable=unreadable,
        pixels=values[:, :n_classes].sum(axis=0),
        with_class=(values[:, :n_classes] > 0).sum(axis=0),
        void=int(values[:, IGNORE].sum()),
    )


def _remarks(source: Source, splits: dict[str, Tally], sizes: Counter) -> Iterable[str]:
    published = OFFICIAL.get(source.name, {})
    if source.identity.get("train") == "trainaug":
        published = published | {"train": TRAINAUG}
    for split, official in published.items():
        found = splits[split].images if split in splits else 0
        if found != official and (found or split != "val"):
            yield f"{split} has {found} images, officially {official}"
    if "test" not in splits:
        yield "there is no test split, so nothing can be measured on it"
    for split in ("train", "test"):
        if split in splits and splits[split].labeled:
            missing = [name for name, images in zip(source.classes, splits[split].with_class, strict=True) if not images]
            if missing:
                yield f"never in {split}: {', '.join(missing)}"
    for split, tally in splits.items():
        if tally.unlabeled:
            loss = "they are not asked in simulated runs" if split == "train" else "they cannot be measured"
            yield f"{tally.unlabeled} of {tally.images} {split} images have no mask: {loss}"
    if len(sizes) > 1:
        yield f"the images have {len(sizes)} sizes"


def summary(findings: Findings, most: int = 10) -> str:
    """The findings as compact text: images, sizes, classes, remarks, and the first `most` problems."""
    lines = [f"{findings.name}: {sum(t.images for t in findings.splits.values())} images, {len(findings.classes)} classes", ""]
    head = ("split", "images", "with mask", "without", "unreadable", "void %")
    rows = [
        (split, str(t.images), str(t.labeled), str(t.unlabeled), str(t.unreadable), _percent(t.void_share))
        for split, t in findings.splits.items()
    ]
    lines += [*_table(head, rows), ""]
    if findings.sizes:
        lines += [f"sizes (width x height): {size_text(findings.sizes)}", ""]
    if labeled := {split: t for split, t in findings.splits.items() if t.labeled}:
        head = ("class", *(f"{split} {what}" for split in labeled for what in ("pixels %", "images")))
        rows = []
        for c, name in enumerate(findings.classes):
            cells = [(_percent(t.pixels[c] / max(1, t.pixels.sum())), str(t.with_class[c])) for t in labeled.values()]
            rows.append((f"{c} {name}", *(cell for pair in cells for cell in pair)))
        lines += [*_table(head, rows), ""]
    lines += [f"remark: {remark}" for remark in findings.remarks]
    most = max(0, most)
    lines += [f"problem: {' '.join(problem.split())}" for problem in findings.problems[:most]]
    if (more := len(findings.problems) - most) > 0:
        lines.append(f"and {more} more (--problems {len(findings.problems)} shows all)")
    lines.append(f"{len(findings.problems)} problem{'s' * (len(findings.problems) != 1)}")
    return "\n".join(lines)


def size_text(sizes: Counter[tuple[int, int]], most: int = 5) -> str:
    """ "500x375 (812), 500x333 (301) and 40 more": the most common sizes with their number of images."""
    text = ", ".join(f"{width}x{height} ({n})" for (width, height), n in sizes.most_common(most))
    return text + (f" and {len(sizes) - most} more" if len(sizes) > most else "")


def _percent(share: float) -> str:
    """Two digits, but what is there is never written as nothing."""
    return "-" if np.isnan(share) else "<0.01" if 0 < share < 0.0001 else f"{100 * share:.2f}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in (head, *rows)
    ]
