"""A look at a data set before any training, in numbers: its classes, its superpixels, what dominant labels keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from ..oracle import class_votes
from ..storage.progress import told
from ..storage.provenance import versions
from ..superpixels import SuperpixelRecipe, superpixels
from ..types import IGNORE
from .check import processes, size_text
from .label_cost import painted_confusion
from .prepare import parallel
from .source import SPLITS, Item, Source

MOST_FREQUENCY, MOST_ACCURACY = 200, 20  # images opened for the class frequencies, and of them cut into superpixels


@dataclass(frozen=True)
class Sample:
    """A picture at native size: image (h, w, 3) uint8, mask (h, w) uint8 or None, superpixel ids (h, w) uint16."""

    name: str
    group: str
    image: np.ndarray
    mask: np.ndarray | None
    ids: np.ndarray


@dataclass(frozen=True)
class Description:
    """What the page says. Shares are 0..1; NaN where nothing was there to count.

    images: split -> images listed.  sizes: (width, height) -> images, of the `opened` ones, which are from train.
    unreadable: images drawn for the page that could not be opened.  problems: what the reader found wrong in the folders.
    frequency: (C,) share of each class in the pixels that have one, in the `masks` masks among the opened.
    with_class: (C,) of these masks, how many hold the class.  void: share of their pixels that is void.
    accuracy: (C,) share of a class's pixels whose superpixel has that dominant class, over `cut` images with a mask;
    accuracy_overall: the same over all classes' pixels. Pixels that are void are not counted.
    size, count: median pixels of a superpixel, and median superpixels of an image, of the `cut` images or the samples.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[str, int]
    sizes: Counter[tuple[int, int]]
    opened: int
    unreadable: int
    problems: int
    masks: int
    frequency: np.ndarray
    with_class: np.ndarray
    void: float
    accuracy: np.ndarray
    accuracy_overall: float
    cut: int
    size: float
    count: float
    recipe: SuperpixelRecipe
    samples: tuple[Sample, ...]
    versions: dict[str, str]

    @property
    def order(self) -> np.ndarray:
        """(C,) int64 class ids, most frequent first."""
        return np.argsort(-self.frequency, kind="stable")


def describe(
    source: Source,
    recipe: SuperpixelRecipe,
    n_images: int,
    rng: np.random.Generator,
    workers: int | None = None,
    void: str = "vote",
) -> Description:
    """A look at a source's training images: some shown, at most 200 counted, at most 20 of them cut into superpixels.

    n_images: samples, from as many groups as possible, with masks if any has.  rng: which images are drawn.
    workers: processes, as many as there are cores unless given; 1 works in this process.  void: see `oracle.dominant_label`.
    Raises ValueError where there are no training images, none of those drawn can be opened, or the recipe does not fit.
    """
    if type(n_images) is not int or n_images < 1:
        raise ValueError(f"n_images is {n_images!r}, but the page needs at least one sample; give 1 or more")
    pool = [item for item in source.items if item.split == "train"]
    if not pool:
        raise ValueError(f"{source.name} has no training images to describe; see `python -m oreal_lib data check`")
    # an item without files is drawn with its mask; only a file without a mask is known to have none
    pool = [item for item in pool if item.mask is not None or item.image is None] or pool
    drawn = [pool[i] for i in rng.permutation(len(pool))[:MOST_FREQUENCY]]
    n_classes = len(source.classes)
    found = _all(partial(_counted, source.open, n_classes), drawn, workers, "  {done} of {total} images opened")
    good = [(item, *look) for item, look in zip(drawn, found, strict=True) if look]
    broken = {item.name for item, look in zip(drawn, found, strict=True) if not look}
    shown = [item for item in _spread(pool, rng) if item.name not in broken][:n_images]
    cutting = "  {done} of {total} samples cut into superpixels"
    samples = [sample for sample in _all(partial(_sample, source.open, recipe), shown, workers, cutting) if sample]
    if not good or not samples:
        raise ValueError(f"of {source.name}, no drawn image can be opened; see `python -m oreal_lib data check`")
    values = np.array([v for *_, v in good if v is not None], np.int64).reshape(-1, n_classes + 1)
    cut = [item for item, _, v in good if v is not None][:MOST_ACCURACY]
    counting = "  {done} of {total} images cut and compared with their masks"
    parts = _all(partial(_kept, source.open, n_classes, recipe, void), cut, workers, counting)
    sizes = [p[2] for p in parts] or [np.bincount(s.ids.ravel()) for s in samples]
    right, total = (np.sum([p[k] for p in parts], axis=0, initial=0) * np.ones(n_classes) for k in (0, 1))
    pixels = values.sum(axis=0)
    return Description(
        name=source.name,
        classes=source.classes,
        images={split: n for split in SPLITS if (n := sum(item.split == split for item in source.items))},
        sizes=Counter(size for _, size, _ in good),
        opened=len(good),
        unreadable=len(drawn) - len(good) + len(shown) - len(samples),
        problems=len(source.problems),
        masks=len(values),
        frequency=_share(pixels[:-1], pixels[:-1].sum()),
        with_class=(values[:, :-1] > 0).sum(axis=0),
        void=float(_share(pixels[-1], pixels.sum())),
        accuracy=_share(right, total),
        accuracy_overall=float(_share(right.sum(), total.sum())),
        cut=len(parts),
        size=float(np.median(np.concatenate(sizes))),
        count=float(np.median([len(s) for s in sizes])),
        recipe=recipe,
        samples=tuple(samples),
        versions=versions(),
    )


def kept(mask: np.ndarray, ids: np.ndarray, n_classes: int, void: str = "vote") -> tuple[np.ndarray, np.ndarray]:
    """Of each class (C,): pixels whose superpixel has it as dominant class, and all its pixels. Void is no class.

    mask: (h, w) uint8 class ids or 255.  ids: (h, w) superpixels 0..k-1.
    """
    votes = class_votes(mask, ids, int(ids.max()) + 1, n_classes)
    return np.diag(painted_confusion(votes, void)), votes[:, :-1].sum(axis=0)


def _spread(pool: list[Item], rng: np.random.Generator) -> list[Item]:
    """The items in random order, such that the first few are of as many groups as possible."""
    groups: dict[str, list[Item]] = {}
    for i in rng.permutation(len(pool)):
        groups.setdefault(pool[i].group, []).append(pool[i])
    turns = [(turn, item) for members in groups.values() for turn, item in enumerate(members)]
    return [item for _, item in sorted(turns, key=lambda pair: pair[0])]


def _all(work: Callable, items: list[Item], workers: int | None, text: str) -> list:
    with closing(parallel(work, items, processes(workers, len(items)))) as found:
        return list(told(found, text, len(items)))


def _counted(open_item: Callable, n_classes: int, item: Item) -> tuple | None:
    """Width and height, and pixels of each class and of void (C+1,) or None without a mask; None if it cannot be opened."""
    try:
        image, mask = open_item(item)
    except (OSError, ValueError):
        return None
    values = None if mask is None else np.bincount(np.where(mask == IGNORE, n_classes, mask).ravel(), minlength=n_classes + 1)
    return (image.shape[1], image.shape[0]), values


def _sample(open_item: Callable, recipe: SuperpixelRecipe, item: Item) -> Sample | None:
    try:
        image, mask = open_item(item)
    except (OSError, ValueError):
        return None
    return Sample(item.name, item.group, image, mask, _cut(image, recipe, item))


def _kept(open_item: Callable, n_classes: int, recipe: SuperpixelRecipe, void: str, item: Item) -> tuple:
    """`kept` of one item, and the sizes (k,) of its superpixels."""
    image, mask = open_item(item)
    ids = _cut(image, recipe, item)
    return *kept(mask, ids, n_classes, void), np.bincount(ids.ravel())


def _cut(image: np.ndarray, recipe: SuperpixelRecipe, item: Item) -> np.ndarray:
    try:
        return superpixels(image, recipe)
    except ValueError as error:
        raise ValueError(f"{item.name} cannot be cut: {error}") from error


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part) / whole, np.nan)


def description_text(description: Description) -> str:
    """The numbers of the page as text: facts, then one line per class, most frequent first."""
    d, names = description, [f"{c} {name}" for c, name in enumerate(description.classes)]
    width = max(map(len, names))
    lines = [*facts(d), ""]
    if d.masks:
        lines.append(f"{'class':{width}}  pixels %  images  dominant label right %")
        for c in d.order:
            right = "-" if np.isnan(d.accuracy[c]) else f"{100 * d.accuracy[c]:.1f}"
            lines.append(f"{names[c]:{width}}  {100 * np.nan_to_num(d.frequency[c]):8.2f}  {d.with_class[c]:6}  {right:>22}")
    return "\n".join(lines)


def facts(d: Description) -> list[str]:
    """What there is to know apart from the classes, one sentence a line."""
    counts = ", ".join(f"{n} {split}" for split, n in d.images.items())
    lines = [f"{d.name}: {counts} images, {len(d.classes)} classes; sizes of the {d.opened} opened: {size_text(d.sizes)}"]
    if d.unreadable or d.problems:
        found = f"{d.problems} problems in the folders, {d.unreadable} drawn images could not be opened"
        lines.append(f"{found}; `python -m oreal_lib data check {d.name}` names them")
    if d.masks:
        lines.append(f"class frequencies of {d.masks} train masks; {100 * d.void:.2f} % of their pixels are void")
    else:
        lines.append("no mask among them, so nothing can be simulated or measured")
    lines.append(f"superpixels: median {d.count:.0f} per image, {d.size:.0f} pixels each; {_recipe_text(d.recipe)}")
    if d.cut:
        lines.append(f"dominant label right for {100 * d.accuracy_overall:.2f} % of the pixels of {d.cut} images, void left out")
    names = {"opencv-contrib-python-headless": "opencv"}
    lines.append("made with " + ", ".join(f"{names.get(k, k)} {v}" for k, v in d.versions.items() if v != "absent"))
    return lines


def _recipe_text(recipe: SuperpixelRecipe) -> str:
    """ "seeds, 150 asked" and all that differs from the official recipe."""
    official = SuperpixelRecipe()
    others = [f.name for f in fields(recipe) if f.name not in ("method", "count")]
    changed = [f"{name} {getattr(recipe, name)}" for name in others if getattr(recipe, name) != getattr(official, name)]
    return ", ".join([f"{recipe.method}, {recipe.count} asked", *changed])
