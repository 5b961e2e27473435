"""One page about a data set before any training: samples, superpixels, class frequencies, what dominant labels keep."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import zip_longest

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from ..draw import class_palette, color_mask, draw_image
from ..oracle import class_votes
from ..storage.provenance import versions
from ..superpixels import SuperpixelRecipe, superpixels
from ..types import IGNORE
from .check import Tally, on_each, open_all, size_text, tally
from .label_cost import painted_confusion
from .source import SPLITS, Item, Source

MOST_FREQUENCY, MOST_ACCURACY = 200, 20  # images opened for the class frequencies, and of them cut into superpixels
LEAST_SIDE = 14  # a superpixel on the page in screen pixels; where they would be smaller, a part of the picture is shown
PANEL = 3.2  # width of a sample in inches


@dataclass(frozen=True)
class Sample:
    """A picture at native size: image (h, w, 3) uint8, mask (h, w) uint8 or None, superpixel ids (h, w) uint16."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    ids: np.ndarray


@dataclass(frozen=True)
class Description:
    """What the page says, of at most 200 training images drawn at random. Shares are 0..1; NaN where nothing was there to count.

    images: split -> images listed.  problems: how many the reader found in the folders.  drawn: what the images drawn hold.
    sizes: (width, height) -> images of them.  votes: `class_votes` (k, C + 1) of each image that was cut, at most 20.
    right: (C,) pixels of these whose superpixel has their class as dominant label; void is not counted.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[str, int]
    problems: int
    drawn: Tally
    sizes: Counter[tuple[int, int]]
    votes: tuple[np.ndarray, ...]
    right: np.ndarray
    recipe: SuperpixelRecipe
    samples: tuple[Sample, ...]

    @property
    def frequency(self) -> np.ndarray:
        """(C,) share, 0..1, of each class in the pixels that have one."""
        return _share(self.drawn.pixels, self.drawn.pixels.sum())

    @property
    def accuracy(self) -> np.ndarray:
        """(C,) share, 0..1, of the pixels of each class that its dominant labels get right."""
        return _share(self.right, sum(votes[:, :-1].sum(axis=0) for votes in self.votes))

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
    """A Description of a source's training images: some shown, at most 200 counted, at most 20 of them cut into superpixels.

    n_images: samples, from as many groups as possible, with masks if any has.  rng: which images are drawn.
    workers: processes, as many as there are cores unless given; 1 works in this process.  void: see `oracle.dominant_label`.
    ValueError where there are no training images, none of those drawn can be opened, or the recipe does not fit.
    """
    if n_images < 1:
        raise ValueError(f"n_images is {n_images!r}, but the page needs at least one sample; give 1 or more")
    n_classes = len(source.classes)
    pool = [item for item in source.items if item.split == "train"]
    # an item without files is drawn with its mask; only a file without a mask is known to have none
    pool = [item for item in pool if item.mask is not None or item.image is None] or pool
    drawn = [pool[i] for i in rng.permutation(len(pool))[:MOST_FREQUENCY]]
    found = open_all(source, drawn, workers)
    broken = {item.name for item, opened in zip(drawn, found, strict=True) if opened.problem}
    shown = [item for item in _spread(pool, rng) if item.name not in broken][:n_images]
    cutting = "  {done} of {total} samples cut into superpixels"
    samples = [sample for sample in on_each(partial(_sample, source.open, recipe), shown, workers, cutting) if sample]
    if len(broken) == len(drawn) or not samples:
        raise ValueError(f"of {source.name}, no training image can be opened; see `python -m oreal_lib data check`")
    counted = [item for item, opened in zip(drawn, found, strict=True) if opened.values is not None][:MOST_ACCURACY]
    counting = "  {done} of {total} images cut and compared with their masks"
    votes = on_each(partial(_votes, source.open, n_classes, recipe), counted, workers, counting)
    nothing = np.zeros((0, n_classes + 1), np.int64)
    return Description(
        name=source.name,
        classes=source.classes,
        images={split: n for split in SPLITS if (n := sum(item.split == split for item in source.items))},
        problems=len(source.problems),
        drawn=tally(found, n_classes),
        sizes=Counter(opened.size for opened in found if opened.size),
        votes=tuple(votes),
        right=np.diag(painted_confusion(np.concatenate([nothing, *votes]), void)),
        recipe=recipe,
        samples=tuple(samples),
    )


def _spread(pool: list[Item], rng: np.random.Generator) -> list[Item]:
    """The items in random order, such that the first few are of as many groups as possible."""
    groups: dict[str, list[Item]] = {}
    for i in rng.permutation(len(pool)):
        groups.setdefault(pool[i].group, []).append(pool[i])
    return [item for turn in zip_longest(*groups.values()) for item in turn if item]


def _sample(opening: Callable, recipe: SuperpixelRecipe, item: Item) -> Sample | None:
    try:
        image, mask = opening(item)
    except (OSError, ValueError):
        return None
    return Sample(item.name, image, mask, _cut(image, recipe, item))


def _votes(opening: Callable, n_classes: int, recipe: SuperpixelRecipe, item: Item) -> np.ndarray:
    """`class_votes` (k, C + 1) of the superpixels of an item."""
    image, mask = opening(item)
    ids = _cut(image, recipe, item)
    return class_votes(mask, ids, int(ids.max()) + 1, n_classes)


def _cut(image: np.ndarray, recipe: SuperpixelRecipe, item: Item) -> np.ndarray:
    try:
        return superpixels(image, recipe)
    except ValueError as error:
        raise ValueError(f"{item.name} cannot be cut: {error}") from error


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part) / whole, np.nan)


def description_text(d: Description) -> str:
    """The numbers of the page as text: facts, then one line per class, most frequent first."""
    names = [f"{c} {name}" for c, name in enumerate(d.classes)]
    width = max(map(len, names))
    lines = [*_facts(d), ""]
    if d.drawn.labeled:
        lines.append(f"{'class':{width}}  pixels %  images  dominant label right %")
        for c in d.order:
            right = "-" if np.isnan(d.accuracy[c]) else f"{100 * d.accuracy[c]:.1f}"
            lines.append(f"{names[c]:{width}}  {100 * np.nan_to_num(d.frequency[c]):8.2f}  {d.drawn.with_class[c]:6}  {right:>22}")
    return "\n".join(lines)


def _facts(d: Description) -> list[str]:
    """What there is to know apart from the classes, one sentence a line."""
    counts, drawn = ", ".join(f"{n} {split}" for split, n in d.images.items()), d.drawn
    opened = f"sizes of the {drawn.images - drawn.unreadable} opened: {size_text(d.sizes)}"
    lines = [f"{d.name}: {counts} images, {len(d.classes)} classes; {opened}"]
    if drawn.unreadable or d.problems:
        found = f"{d.problems} problems in the folders, {drawn.unreadable} drawn images could not be opened"
        lines.append(f"{found}; `python -m oreal_lib data check {d.name}` names them")
    if drawn.labeled:
        lines.append(f"class frequencies of {drawn.labeled} train masks; {100 * drawn.void_share:.2f} % of their pixels are void")
    else:
        lines.append("no mask among them, so nothing can be simulated or measured")
    sizes = [votes.sum(axis=1) for votes in d.votes] or [np.bincount(sample.ids.ravel()) for sample in d.samples]
    official = SuperpixelRecipe()
    others = [field.name for field in fields(official) if field.name not in ("method", "count")]
    changed = [f"{name} {getattr(d.recipe, name)}" for name in others if getattr(d.recipe, name) != getattr(official, name)]
    recipe = ", ".join([f"{d.recipe.method}, {d.recipe.count} asked", *changed])
    median = f"median {np.median([len(s) for s in sizes]):.0f} per image, {np.median(np.concatenate(sizes)):.0f} pixels each"
    lines.append(f"superpixels: {median}; {recipe}")
    if d.votes:
        right = _share(d.right.sum(), sum(votes[:, :-1].sum() for votes in d.votes))
        lines.append(f"dominant label right for {100 * right:.2f} % of the pixels of {len(d.votes)} images, void left out")
    made_with = ", ".join(f"{name} {version}" for name, version in versions().items() if version != "absent")
    return [*lines, f"made with {made_with}"]


def draw_description(d: Description, figure: Figure) -> Figure:
    """The page: samples, the truth laid over them, superpixel borders; below frequencies, accuracies and facts.

    The figure is emptied and given the size that the pictures need.
    """
    gap = 0.12  # lengths in inches
    tall = PANEL * float(np.clip(np.median([s.image.shape[0] / s.image.shape[1] for s in d.samples]), 0.4, 1.2))
    width = max(len(d.samples), 3) * (PANEL + gap) + gap
    facts = [line for fact in _facts(d) for line in textwrap.wrap(fact, int(17 * width))]
    charts = 0.45 + 0.4 + 3 * (tall + 0.3)  # where they begin, below title and samples
    bars = 0.2 + 0.21 * len(d.classes) if d.drawn.labeled else 0.0
    text = charts + (bars + 0.65 if d.drawn.labeled else 0.0)
    height = text + 0.18 * len(facts) + gap

    def axes(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    figure.clear()
    figure.set_size_inches(width, height)
    figure.text(0.5, 1 - 0.22 / height, f"{d.name}: what it looks like and what a click can buy", ha="center", va="center")
    box = PANEL * figure.dpi, tall * figure.dpi
    for column, sample in enumerate(d.samples):
        rows = [axes(gap + column * (PANEL + gap), 0.65 + k * (tall + 0.3), PANEL, tall) for k in range(3)]
        name = sample.name if len(sample.name) <= 28 else "..." + sample.name[-25:]
        draw_image(_shown(sample.image, box), rows[0], f"{name} ({sample.image.shape[1]}x{sample.image.shape[0]})")
        _draw_truth(sample, len(d.classes), box, rows[1])
        _draw_superpixels(sample, box, rows[2])
    if d.drawn.labeled:
        names = 0.2 + 0.085 * max(map(len, d.classes))
        _draw_bars(d, axes(names, charts, width / 2 - names - gap, bars), axes(width / 2 + gap, charts, width / 2 - 2 * gap, bars))
    figure.text(gap / width, 1 - text / height, "\n".join(facts), va="top", fontsize="small", linespacing=1.4)
    return figure


def _scale(shape: tuple[int, ...], box: tuple[float, float]) -> float:
    return min(box[0] / shape[1], box[1] / shape[0])


def _shown(picture: np.ndarray, box: tuple[float, float]) -> np.ndarray:
    """The picture at the size it has on the page, so that nothing is lost when it is drawn."""
    scale = _scale(picture.shape, box)
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)


def _draw_truth(sample: Sample, n_classes: int, box: tuple[float, float], ax: Axes) -> Axes:
    """The truth in class colors over the image; void is white."""
    if sample.mask is None:
        draw_image(np.full_like(_shown(sample.image, box), 225), ax)
        ax.text(0.5, 0.5, "no mask", ha="center", va="center", color="#555555", transform=ax.transAxes)
        return ax
    picture = 0.4 * sample.image + 0.6 * color_mask(sample.mask, n_classes)
    return draw_image(_shown(picture.astype(np.uint8), box), ax, "truth, void white" if (sample.mask == IGNORE).any() else "truth")


def _draw_superpixels(sample: Sample, box: tuple[float, float], ax: Axes) -> Axes:
    """Yellow borders of the superpixels, in a middle part of the picture where all of them would be too small to see."""
    ids, image, text = sample.ids, sample.image, f"{len(np.unique(sample.ids))} superpixels"
    side = (ids.size / len(np.unique(ids))) ** 0.5 * _scale(ids.shape, box)
    if side < LEAST_SIDE:
        h, w = (max(1, round(s * side / LEAST_SIDE)) for s in ids.shape)
        y, x = (ids.shape[0] - h) // 2, (ids.shape[1] - w) // 2
        ids, image, text = ids[y : y + h, x : x + w], image[y : y + h, x : x + w], f"{text}, middle {w}x{h} shown"
    picture = _shown(image, box)
    large = cv2.resize(ids, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    picture = (0.85 * picture).astype(np.uint8)
    picture[find_boundaries(large, mode="inner" if side < 2 * LEAST_SIDE else "thick")] = (255, 224, 0)
    return draw_image(picture, ax, text)


def _draw_bars(d: Description, left: Axes, right: Axes) -> None:
    """Frequencies on a logarithmic scale, and accuracies, one line per class in one order."""
    order, place = d.order, np.arange(len(d.classes))
    colors = class_palette(len(order))[order] / 255
    percent = 100 * np.nan_to_num(d.frequency[order])
    least = 10 ** np.floor(np.log10(min(percent[percent > 0].min(initial=1), 0.5)))
    left.barh(place, np.maximum(percent, least) - least, left=least, color=colors)
    left.set_xscale("log")
    left.set_xlim(least, 250)
    left.xaxis.set_major_formatter("{x:g}")
    right.barh(place, np.nan_to_num(100 * d.accuracy[order]), color=colors)
    right.set_xlim(0, 112)
    for k, c in enumerate(order):
        left.text(max(percent[k], least) * 1.1, k, f"{percent[k]:.2g}" if percent[k] else "never", va="center", fontsize="small")
        accuracy = 100 * d.accuracy[c]
        right.text(1 + np.nan_to_num(accuracy), k, "-" if np.isnan(accuracy) else f"{accuracy:.1f}", va="center", fontsize="small")
    left.set_yticks(place, [d.classes[c] for c in order], fontsize="small")
    right.set_yticks(place, [])
    left.set_title(f"share of the pixels, % (logarithmic; {d.drawn.labeled} masks)", fontsize="small")
    right.set_title(f"pixels whose superpixel has their class as dominant label, % ({len(d.votes)} images)", fontsize="small")
    for ax in (left, right):
        ax.set_ylim(len(order) - 0.4, -0.6)
        ax.tick_params(axis="x", labelsize="small")
        ax.spines[["top", "right"]].set_visible(False)
