"""One page about a data set before any training: samples, superpixels, class frequencies, what dominant labels keep."""

from __future__ import annotations

import textwrap

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from ..draw import class_palette, color_mask, draw_image
from ..types import IGNORE
from .description import Description, Sample, describe, description_text, facts

__all__ = ["Description", "Sample", "describe", "description_text", "draw_description"]

LEAST_SIDE = 14  # a superpixel on the page in screen pixels; where they would be smaller, a part of the picture is shown
PANEL = 3.2  # width of a sample in inches


def draw_description(description: Description, figure: Figure) -> Figure:
    """The page: samples, the truth laid over them, superpixel borders; below frequencies, accuracies and facts.

    The figure is emptied and given the size that the pictures need.
    """
    d, gap = description, 0.12  # lengths in inches
    tall = PANEL * float(np.clip(np.median([s.image.shape[0] / s.image.shape[1] for s in d.samples]), 0.4, 1.2))
    width = max(len(d.samples), 3) * (PANEL + gap) + gap
    told = [line for fact in facts(d) for line in textwrap.wrap(fact, int(17 * width))]
    charts = 0.45 + 0.4 + 3 * (tall + 0.3)  # where they begin, below title and samples
    bars = 0.2 + 0.21 * len(d.classes) if d.masks else 0.0
    text = charts + (bars + 0.65 if d.masks else 0.0)
    height = text + 0.18 * len(told) + gap

    def axes(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    figure.clear()
    figure.set_size_inches(width, height)
    figure.text(0.5, 1 - 0.22 / height, f"{d.name}: what it looks like and what a click can buy", ha="center", va="center")
    for column, sample in enumerate(d.samples):
        rows = [axes(gap + column * (PANEL + gap), 0.65 + k * (tall + 0.3), PANEL, tall) for k in range(3)]
        box = PANEL * figure.dpi, tall * figure.dpi
        draw_image(_shown(sample.image, box), rows[0], _short(sample))
        _draw_truth(sample, len(d.classes), box, rows[1])
        _draw_superpixels(sample, box, rows[2])
    if d.masks:
        names = 0.2 + 0.085 * max(map(len, d.classes))
        _draw_bars(d, axes(names, charts, width / 2 - names - gap, bars), axes(width / 2 + gap, charts, width / 2 - 2 * gap, bars))
    figure.text(gap / width, 1 - text / height, "\n".join(told), va="top", fontsize="small", linespacing=1.4)
    return figure


def _short(sample: Sample, most: int = 28) -> str:
    """The name, cut at its front if it is long, and the size."""
    name = sample.name if len(sample.name) <= most else "..." + sample.name[3 - most :]
    return f"{name} ({sample.image.shape[1]}x{sample.image.shape[0]})"


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
    left.set_title(f"share of the pixels, % (logarithmic; {d.masks} masks)", fontsize="small")
    right.set_title(f"pixels whose superpixel has their class as dominant label, % ({d.cut} images)", fontsize="small")
    for ax in (left, right):
        ax.set_ylim(len(order) - 0.4, -0.6)
        ax.tick_params(axis="x", labelsize="small")
        ax.spines[["top", "right"]].set_visible(False)
