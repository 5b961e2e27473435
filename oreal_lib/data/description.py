"""One page about a data set before any training: samples, superpixels, class frequencies, what dominant labels keep."""

import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from ..draw import as_written, class_palette, color_mask, draw_image
from ..oracle import class_votes
from ..storage.provenance import versions
from ..superpixels import SuperpixelRecipe, superpixels
from ..types import IGNORE
from .check import Tally, on_each, open_all, percent, size_text, table, tally
from .label_cost import painted_confusion
from .source import SPLITS, Item, Source, cutting

MOST_FREQUENCY, MOST_ACCURACY = 200, 20  # images opened for the class frequencies, and of them cut into superpixels
LEAST_SIDE = 14  # of a superpixel on the screen in pixels; where they would be smaller, a part of the picture is shown
PANEL = 3.2  # width of a sample in inches


class Sample(NamedTuple):
    """A picture at native size: image (h, w, 3) uint8, mask (h, w) uint8 or None, superpixel ids (h, w) uint16."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    ids: np.ndarray


@dataclass(frozen=True)
class Description:
    """What the page says, of at most 200 training images drawn at random. Shares are 0..1; NaN where nothing was there to count.

    drawn: what the images drawn hold.  sizes: (width, height) -> images of them.
    votes: `class_votes` (k, C + 1) of each image that was cut, at most 20.
    right: (C,) int64 pixels of these whose superpixel has their class as dominant label; void is not counted.
    """

    source: Source
    recipe: SuperpixelRecipe
    drawn: Tally
    sizes: Counter[tuple[int, int]]
    votes: tuple[np.ndarray, ...]
    right: np.ndarray
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
    """A Description of a source's training images: at most 200 are drawn and counted, 20 of these cut into superpixels, some shown.

    n_images: samples, from as many groups as possible, with masks if any has.  rng: which images are drawn.
    workers: processes, as many as there are cores unless given; 1 works in this process.  void: see `oracle.dominant_label`.
    ValueError where there are no training images, none of those drawn can be opened, or the recipe does not fit.
    """
    if n_images < 1:
        raise ValueError(f"n_images is {n_images!r}, but the page needs at least one sample; give 1 or more")
    pool = [item for item in source.items if item.split == "train"]
    # an item without files is drawn with its mask; only a file without a mask is known to have none
    pool = [item for item in pool if item.mask is not None or item.image is None] or pool
    drawn = [pool[i] for i in rng.permutation(len(pool))[:MOST_FREQUENCY]]
    opened = dict(zip(drawn, open_all(source, drawn, workers), strict=True))
    shown = [item for item in _spread(drawn) if not opened[item].problem][:n_images]
    if not shown:
        raise ValueError(f"of {source.name}, no training image can be opened; see `python -m oreal_lib data check`")
    counted = [item for item in drawn if opened[item].values is not None][:MOST_ACCURACY]
    cut = list(dict.fromkeys([*shown, *counted]))
    cutting = "  {done} of {total} images cut into superpixels"
    samples = dict(zip(cut, on_each(partial(_sample, source.open, recipe), cut, workers, cutting), strict=True))
    n_classes = len(source.classes)
    votes = [class_votes(s.mask, s.ids, int(s.ids.max()) + 1, n_classes) for s in (samples[item] for item in counted)]
    return Description(
        source=source,
        recipe=recipe,
        drawn=tally([*opened.values()], n_classes),
        sizes=Counter(one.size for one in opened.values() if one.size),
        votes=tuple(votes),
        right=np.diag(painted_confusion(np.concatenate([np.zeros((0, n_classes + 1), np.int64), *votes]), void)),
        samples=tuple(samples[item] for item in shown),
    )


def _spread(items: list[Item]) -> list[Item]:
    """The items in turn from each group, so that the first few are of as many groups as possible."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return [item for turn in zip_longest(*groups.values()) for item in turn if item]


def _sample(opening: Callable, recipe: SuperpixelRecipe, item: Item) -> Sample:
    image, mask = opening(item)
    with cutting(item.name):
        return Sample(item.name, image, mask, superpixels(image, recipe))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part) / whole, np.nan)


def description_text(d: Description) -> str:
    """The numbers of the page as text: facts, then one line per class, most frequent first."""
    head = ("class", "pixels %", "images", "dominant label right %")
    shares = zip(d.frequency, d.drawn.with_class, d.accuracy, strict=True)
    rows = [(f"{c} {d.source.classes[c]}", percent(f), n, percent(right)) for c, (f, n, right) in enumerate(shares)]
    return "\n".join([*_facts(d), "", *(table(head, [rows[c] for c in d.order]) if d.drawn.labeled else [])]).rstrip()


def _facts(d: Description) -> list[str]:
    """What there is to know apart from the classes, one sentence a line."""
    name, problems, drawn = d.source.name, len(d.source.problems), d.drawn
    splits = Counter(item.split for item in d.source.items)
    counts = ", ".join(f"{splits[split]} {split}" for split in SPLITS if splits[split])
    opened = f"sizes of the {drawn.images - drawn.unreadable} opened: {size_text(d.sizes)}"
    lines = [f"{name}: {counts} images, {len(d.source.classes)} classes; {opened}"]
    if drawn.unreadable or problems:
        found = f"{problems} problems in the folders, {drawn.unreadable} drawn images could not be opened"
        lines.append(f"{found}; `python -m oreal_lib data check {name}` names them")
    if drawn.labeled:
        lines.append(f"class frequencies of {drawn.labeled} train masks; {100 * drawn.void_share:.2f} % of their pixels are void")
    else:
        lines.append("no mask among them, so nothing can be simulated or measured")
    sizes = [votes.sum(axis=1) for votes in d.votes] or [np.bincount(sample.ids.ravel()) for sample in d.samples]
    official = asdict(SuperpixelRecipe(d.recipe.method, d.recipe.count))
    changed = [f"{field} {value}" for field, value in asdict(d.recipe).items() if value != official[field]]
    recipe = ", ".join([f"{d.recipe.method}, {d.recipe.count} asked", *changed])
    median = f"median {np.median([len(s) for s in sizes]):.0f} per image, {np.median(np.concatenate(sizes)):.0f} pixels each"
    lines.append(f"superpixels: {median}; {recipe}")
    if d.votes:
        right = _share(d.right.sum(), sum(votes[:, :-1].sum() for votes in d.votes))
        lines.append(f"dominant label right for {100 * right:.2f} % of the pixels of {len(d.votes)} images, void left out")
    return [*lines, "made with " + ", ".join(f"{name} {version}" for name, version in versions().items() if version != "absent")]


def draw_description(d: Description, figure: Figure) -> Figure:
    """The page: samples, the truth laid over them, superpixel borders; below frequencies, accuracies and facts.

    The figure is emptied and given the size that the pictures need.
    """
    columns, bars = max(len(d.samples), 3), 0.6 + 0.21 * len(d.source.classes) if d.drawn.labeled else 0  # lengths in inches
    tall = PANEL * float(np.clip(np.median([s.image.shape[0] / s.image.shape[1] for s in d.samples]), 0.4, 1.2))
    facts = [line for fact in _facts(d) for line in textwrap.wrap(fact, int(17 * columns * PANEL))]
    figure.clear()
    figure.set_layout_engine("constrained")
    figure.set_size_inches(columns * PANEL, 3 * (tall + 0.25) + bars + 0.2 * len(facts) + 0.6)
    figure.suptitle(f"{d.source.name}: what it looks like and what a click can buy")
    figure.supxlabel("\n".join(facts), x=0.01, ha="left", fontsize="small", linespacing=1.4)
    grid = figure.add_gridspec(4, 2 * columns, height_ratios=[tall, tall, tall, max(bars, 0.01)])
    for k, sample in enumerate(d.samples):
        rows = [figure.add_subplot(grid[row, 2 * k : 2 * k + 2]) for row in range(3)]
        name = sample.name if len(sample.name) <= 28 else "..." + sample.name[-25:]
        draw_image(sample.image, rows[0], f"{name} ({sample.image.shape[1]}x{sample.image.shape[0]})")
        _draw_truth(sample, len(d.source.classes), rows[1])
        _draw_superpixels(sample, figure.dpi * np.array([tall, PANEL]), rows[2])
        for ax in rows:
            ax.set_anchor("N")  # titles of a row stand at one height, whatever the shapes of its pictures
    if d.drawn.labeled:
        _draw_bars(d, figure.add_subplot(grid[3, :columns]), figure.add_subplot(grid[3, columns:]))
    for picture in (picture for ax in figure.axes for picture in ax.images):
        picture.set_interpolation("auto")  # large pictures are averaged down, so that thin borders stay
    return as_written(figure)


def _draw_truth(sample: Sample, n_classes: int, ax: Axes) -> None:
    """The truth in class colors over the image; void is plain white."""
    if sample.mask is None:
        draw_image(np.full_like(sample.image, 225), ax)
        ax.text(0.5, 0.5, "no mask", ha="center", va="center", color="#555555", transform=ax.transAxes)
        return
    picture = 0.4 * sample.image + 0.6 * color_mask(sample.mask, n_classes)
    picture[sample.mask == IGNORE] = 255  # shining through, it would look like the gray class
    draw_image(picture.astype(np.uint8), ax, "truth, void white" if (sample.mask == IGNORE).any() else "truth")


def _draw_superpixels(sample: Sample, panel: np.ndarray, ax: Axes) -> None:
    """Yellow borders of the superpixels, in a middle part of the picture where all of them would be too small to see.

    panel: (2,) height and width on the screen in pixels.
    """
    ids, image, n = sample.ids, sample.image, len(np.unique(sample.ids))
    text, side = f"{n} superpixels", (ids.size / n) ** 0.5 * min(panel / ids.shape)
    if side < 0.9 * LEAST_SIDE:  # to cut off only a few pixels would help nobody
        h, w = (max(1, round(s * side / LEAST_SIDE)) for s in ids.shape)
        y, x = (ids.shape[0] - h) // 2, (ids.shape[1] - w) // 2
        ids, image, text = ids[y : y + h, x : x + w], image[y : y + h, x : x + w], f"{text}, middle {w}x{h} shown"
    # as on the screen, where a border is two pixels wide
    size = [max(1, round(s * min(panel / ids.shape))) for s in ids.shape[::-1]]
    picture = (0.85 * cv2.resize(image, size, interpolation=cv2.INTER_AREA)).astype(np.uint8)
    picture[find_boundaries(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST))] = (255, 224, 0)
    draw_image(picture, ax, text)


def _draw_bars(d: Description, left: Axes, right: Axes) -> None:
    """Frequencies on a logarithmic scale, and accuracies, one line per class in one order."""
    order = d.order
    colors = class_palette(len(order))[order] / 255
    frequency, accuracy = (100 * np.nan_to_num(share[order]) for share in (d.frequency, d.accuracy))
    least = 10 ** np.floor(np.log10(min(frequency[frequency > 0].min(initial=1), 0.5)))
    bars = left.barh(range(len(order)), np.maximum(frequency, least), color=colors)
    left.bar_label(bars, [f"{share:.2g}" if share else "never" for share in frequency], padding=2, fontsize="small")
    left.set(xscale="log", xlim=(least, 250))
    left.xaxis.set_major_formatter("{x:g}")
    bars = right.barh(range(len(order)), accuracy, color=colors)
    shares = ["-" if np.isnan(share) else f"{100 * share:.1f}" for share in d.accuracy[order]]
    right.bar_label(bars, shares, padding=2, fontsize="small")
    right.set(xlim=(0, 112), yticks=[])
    left.set_yticks(range(len(order)), [f"{c} {d.source.classes[c]}" for c in order], fontsize="small")
    left.set_title(f"share of the pixels, % (logarithmic; {d.drawn.labeled} masks)", fontsize="small")
    right.set_title(f"pixels whose superpixel has their class as dominant label, % ({len(d.votes)} images)", fontsize="small")
    for ax in (left, right):
        ax.invert_yaxis()
        ax.tick_params(axis="x", labelsize="small")
        ax.spines[["top", "right"]].set_visible(False)
