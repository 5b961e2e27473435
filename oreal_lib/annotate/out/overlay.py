"""A preview of a mask: the picture in the colors of the classes, the labeled superpixels outlined, a legend below."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...draw import class_palette, font_for
from ...types import IGNORE
from ..events import VOID
from ..named import UNLABELED

SIDE = 1600  # pixels, the longer side at most
INK, PAPER, QUIET = (34, 34, 34), (255, 255, 255), (110, 110, 110)


def blend(image: np.ndarray, mask: np.ndarray, codes: np.ndarray, ids: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: the image half in the colors of the mask, and the borders of labeled superpixels as thin lines.

    mask: (h, w) uint8 classes, IGNORE where there is none.  palette: (C, 3) uint8.  codes: (h, w) uint8 as the board has them, UNLABELED included.
    ids: (h, w) superpixels.  Void that a person chose is white, pixels without any class keep the picture's colors.
    """
    labeled = codes != UNLABELED
    shown = labeled | (mask != IGNORE)
    colors = np.concatenate([palette, np.full((256 - len(palette), 3), 255, np.uint8)])
    half = (image.astype(np.uint16) + colors[mask]) // 2
    result = np.where(shown[..., None], half, image).astype(np.uint8)
    edge = np.zeros(ids.shape, bool)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        edge[here] |= (ids[here] != ids[there]) & (labeled[here] | labeled[there])
    result[edge] = result[edge] // 4
    return result


@lru_cache(maxsize=256)
def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_for(text).fname, size)


def with_legend(
    picture: np.ndarray, classes: tuple[str, ...], present: list[int], note: str, palette: np.ndarray | None = None
) -> Image.Image:
    """The picture (h, w, 3) on white, with a strip below: a square, the id and the name for each class in `present`, IGNORE = void;
    a note."""
    size = min(24, max(13, max(picture.shape) // 60))
    colors = (class_palette(len(classes)) if palette is None else palette).tolist()
    entries = [(PAPER, VOID) if c == IGNORE else (tuple(colors[c]), f"{c} {classes[c]}") for c in present] + [(None, note)]
    items = [(color, text, 2 * size * (color is not None) + _font(text, size).getlength(text)) for color, text in entries]
    width = int(max(picture.shape[1], *(length + 2 * size for *_, length in items)))
    lines: list[list] = [[]]
    room = width - 2 * size
    for item in items:
        if lines[-1] and sum(length + size for *_, length in lines[-1]) + item[2] > room:
            lines.append([])
        lines[-1].append(item)
    step = round(1.7 * size)
    canvas = Image.new("RGB", (width, picture.shape[0] + step * len(lines) + size), PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        x, y = float(size), picture.shape[0] + round(0.8 * size) + row * step
        for color, text, length in line:
            if color is not None:
                draw.rectangle([x, y, x + size, y + size], fill=color, outline=QUIET)
            draw.text(
                (x + (1.5 * size if color is not None else 0), y + size / 2), text, INK if color else QUIET, _font(text, size), "lm"
            )
            x += length + size
    return canvas
