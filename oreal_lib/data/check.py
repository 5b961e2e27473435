"""Every picture of a data set opened once: what is there, what cannot be read, which classes are rare or missing."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ..storage.processes import parallel, processes
from ..storage.progress import told
from ..superpixels import SuperpixelRecipe, check_size
from ..types import IGNORE
from .files import contradiction, only_void, palette
from .folders import remark
from .source import SPLITS, Item, Source, check_classes, open_item

OFFICIAL = {  # images per split as published; val only where the reader can make it a split of its own
    "voc": {"train": 1464, "test": 1449},
    "cityscapes": {"train": 2975, "test": 500},
    "camvid": {"train": 367, "val": 101, "test": 233},
}
TRAINAUG = 10_582  # VOC's training images with those of SBD, as the list is usually handed on


@dataclass(frozen=True)
class Tally:
    """What one split holds. images = labeled + unlabeled + unreadable.

    pixels: (C,) int64 pixels of each class.  with_class: (C,) int64 images that show it.  void: pixels without a class.
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

    problems: what keeps the data from being prepared, one line each.  remarks: worth knowing, but no fault.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, Tally]
    sizes: Counter[tuple[int, int]]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


class Opened(NamedTuple):
    """One item as opened: (width, height), pixels of each value (None without a mask), or what went wrong; and
    the image's highest value, a hash of its pixels, and the colors of the mask's palette."""

    size: tuple[int, int] | None
    values: np.ndarray | None  # (256,) int
    problem: str | None
    brightest: int = 255
    content: bytes = b""
    palette: Sequence[int] = ()


def check(source: Source, workers: int | None = None, recipe: SuperpixelRecipe | None = None) -> Findings:
    """What is in a source, after opening every item once; broken ones become problems, never exceptions.

    workers: processes, as many as there are cores unless given; 1 works in this process.  recipe: of the runs to come.
    """
    opened = open_all(source, source.items, workers)
    splits = {}
    for split in SPLITS:
        found = [one for item, one in zip(source.items, opened, strict=True) if item.split == split]
        if found:
            splits[split] = tally(found, len(source.classes))
    sizes = Counter(one.size for one in opened if one.size)
    problems = [*source.problems, *(one.problem for one in opened if one.problem)]
    if "train" not in splits:
        problems.append(f"{source.name} has no training images, but superpixels are bought there; check its train folder or list")
    remarks = [*_remarks(source, splits, sizes)]
    pixels = np.sum([[0] * (len(source.classes) + 1), *([*held.pixels, held.void] for held in splits.values())], axis=0)
    # Ids 19 to 33 are the classes from 6 on. Of train ids, 7 would be read as road: traffic signs, which are rare.
    if source.identity.get("labels") == "labelIds" and pixels.any() and not pixels[6:-1].any() and pixels[0] <= pixels[-1]:
        text = f"no labelIds file holds a value from 19 to 33, and road {'is rarer than void' if pixels[0] else 'never occurs'}"
        remarks.append(f"{text}: these look like train ids; if they are, name the files ..._gtFine_labelTrainIds.png")
    elif binary := only_void(source.classes, pixels):
        problems.append(binary)
    if source.identity.get("colors") == []:  # an own folder whose masks hold indices
        pairs = [(item.mask, one) for item, one in zip(source.items, opened, strict=True) if one.values is not None]
        remarks += filter(None, [contradiction((mask, one.palette, one.values[:IGNORE]) for mask, one in pairs)])
    trained = {one.content for item, one in zip(source.items, opened, strict=True) if item.split == "train" and one.size}
    known = [item.name for item, one in zip(source.items, opened, strict=True) if item.split != "train" and one.content in trained]
    if known:
        remarks.append(f"{len(known)} val or test images are in train, too, in every pixel (first {known[0]}); keep one of each")
    remark((item.image for item in source.items), (one.brightest for one in opened), remarks.append)
    if recipe and recipe.at == "native":
        train = [(i.name, one.size) for i, one in zip(source.items, opened, strict=True) if i.split == "train" and one.size]
        uncut = [f"{name} cannot be cut: {why}" for name, size in train if (why := _refusal(check_size, *size, recipe))]
        remarks += [f"{len(uncut)} training images would stop a run with its usual values: {text}" for text in uncut[:1]]
    return Findings(source.name, source.classes, splits, sizes, tuple(problems), tuple(remarks))


def _refusal(rule: Callable, *given: object) -> str:
    """The sentence with which a rule refuses what it is given, "" if it does not."""
    try:
        rule(*given)
    except ValueError as error:
        return str(error)
    return ""


def open_all(source: Source, items: Sequence[Item], workers: int | None) -> list[Opened]:
    """What each of some items of a source holds."""
    return on_each(partial(_opened, source.open, len(source.classes)), items, workers, "  {done} of {total} images opened")


def on_each(work: Callable, items: Sequence[Item], workers: int | None, text: str) -> list:
    """work(item) of each item, done by several processes; text: of the progress lines, see `Progress`."""
    with closing(parallel(work, items, processes(workers, len(items)))) as results:
        return list(told(results, text, len(items)))


def _opened(opening: Callable, n_classes: int, item: Item) -> Opened:
    try:
        image, mask = open_item(opening, n_classes, item)
    except Exception as error:  # a check that stops at the first surprise would hide the others
        text, name = (" ".join(words.split()) for words in (str(error) or "no reason given", item.name))  # names may hold line ends
        text = text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"
        return Opened(None, None, text if name in text else f"{name}: {text}")
    values = None if mask is None else np.bincount(mask.ravel(), minlength=256)
    content, colors = hashlib.sha256(image.tobytes()).digest(), palette(item.mask) if item.mask else ()
    return Opened((image.shape[1], image.shape[0]), values, None, int(image.max()), content, colors)


def tally(opened: list[Opened], n_classes: int) -> Tally:
    """The Tally of some items as opened."""
    values = np.array([one.values for one in opened if one.values is not None], np.int64).reshape(-1, 256)
    labeled, unreadable, pixels = len(values), sum(one.size is None for one in opened), values[:, :n_classes]
    counts = {"labeled": labeled, "unlabeled": len(opened) - labeled - unreadable, "unreadable": unreadable}
    counts |= {"pixels": pixels.sum(axis=0), "with_class": (pixels > 0).sum(axis=0), "void": int(values[:, IGNORE].sum())}
    return Tally(len(opened), **counts)


def _remarks(source: Source, splits: dict[str, Tally], sizes: Counter) -> Iterator[str]:
    published = OFFICIAL.get(source.name, {})
    if source.identity.get("train") == "trainaug":
        published = published | {"train": TRAINAUG}
    for split, official in published.items():
        found = splits[split].images if split in splits else 0
        if found != official and (found or split != "val"):
            yield f"{split} has {found} images, officially {official}"
    if why := _refusal(check_classes, source.classes):
        yield why
    if "test" not in splits:
        yield "there is no test split, so nothing can be measured on it"
    for split in ("train", "test"):
        if split in splits and splits[split].labeled:
            missing = [name for name, images in zip(source.classes, splits[split].with_class, strict=True) if not images]
            if missing:
                yield f"never in {split}: {', '.join(missing)}"
    for split, held in splits.items():
        if held.unlabeled:
            loss = "simulated runs do not ask about them" if split == "train" else "nothing can be measured on them"
            yield f"{held.unlabeled} of {held.images} {split} images have no mask: {loss}"
    if len(sizes) > 1:
        yield f"the images have {len(sizes)} sizes"


def summary(findings: Findings, most: int = 10) -> str:
    """The findings as compact text: images, sizes, classes, remarks, and the first `most` problems."""
    splits, problems = findings.splits, findings.problems
    lines = [f"{findings.name}: {sum(t.images for t in splits.values())} images, {len(findings.classes)} classes", ""]
    head = ("split", "images", "with mask", "without", "unreadable", "void %")
    lines += table(head, [(s, t.images, t.labeled, t.unlabeled, t.unreadable, percent(t.void_share)) for s, t in splits.items()])
    if findings.sizes:
        lines += [f"sizes (width x height): {size_text(findings.sizes)}", ""]
    if labeled := {split: held for split, held in splits.items() if held.labeled}:
        head, columns = ["class"], [[f"{c} {name}" for c, name in enumerate(findings.classes)]]
        for split, held in labeled.items():
            head += [f"{split} pixels %", f"{split} images"]
            columns += [[percent(pixels / max(1, held.pixels.sum())) for pixels in held.pixels], held.with_class]
        lines += table(head, list(zip(*columns, strict=True)))
    lines += [f"remark: {remark}" for remark in findings.remarks]
    lines += [f"problem: {' '.join(problem.split())}" for problem in problems[: max(0, most)]]
    if (more := len(problems) - max(0, most)) > 0:
        lines.append(f"and {more} more (--problems {len(problems)} shows all)")
    return "\n".join([*lines, f"{len(problems)} problem{'s' * (len(problems) != 1)}"])


def size_text(sizes: Counter[tuple[int, int]], most: int = 5) -> str:
    """ "500x375 (812), 500x333 (301) and 40 more": the most common sizes with their number of images."""
    text = ", ".join(f"{width}x{height} ({n})" for (width, height), n in sizes.most_common(most))
    return text + (f" and {len(sizes) - most} more" if len(sizes) > most else "")


def percent(share: float) -> str:
    """Two digits; a share above 0 is never written as 0."""
    return "-" if np.isnan(share) else "<0.01" if 0 < share < 0.0001 else f"{100 * share:.2f}"


def table(head: Sequence, rows: Sequence[Sequence]) -> list[str]:
    """Lines with the first column to the left and the others to the right, and an empty one."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells] + [""]
