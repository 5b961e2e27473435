"""Names and colors, and the four pictures everything else is made of."""

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Text
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import find_boundaries

from .storage.progress import log
from .strategies import STRATEGIES
from .types import IGNORE

NAMES = {  # what strategies are called where people read
    "random": "random",
    "bvsb": "BvSB",
    "revisiting_sp": "Revisiting SP",
    "pixelbal": "PixelBal",
    "cbal": "CBAL",
    "oreal": "OREAL",
    "stratified_random": "random by predicted class*",  # *: not in the paper
    "power_bvsb": "BvSB with noise*",
    "clasp_pe": "ClaSP PE*",
    "expected_wrong": "expected wrong pixels*",
    "apart": "BvSB, apart*",
    "pure_bvsb": "BvSB, pure*",
    "pure_oreal": "OREAL, pure*",
    "full_masks": "full supervision A (true masks)",
    "full_dominant": "full supervision B (dominant labels)",
}

ASKED = "#ffe000"  # yellow borders mean "asked", as in the paper

# one color per class everywhere, chosen to differ with red-green blindness, too, as far as 21 colors can
CLASS_COLORS = (
    "#4477aa #ee6677 #228833 #ccbb44 #66ccee #aa3377 #bbbbbb #ee7733 #009988 #332288 #882255 #ddcc77 "
    "#117733 #cc6677 #88ccee #999933 #44aa99 #661100 #6699cc #aa4466 #e0e0e0"
).split()

OWN_COLORS = {
    "random": "#777777",
    "bvsb": "#0077bb",
    "revisiting_sp": "#009988",
    "pixelbal": "#aa3377",
    "cbal": "#ee7733",
    "oreal": "#cc3311",
    "stratified_random": "#222222",
    "power_bvsb": "#33bbee",
    "clasp_pe": "#117733",
    "expected_wrong": "#882255",
    "apart": "#999933",
    "pure_bvsb": "#6699cc",
    "pure_oreal": "#ee6677",
}
SPARE_COLORS = "#117733 #882255 #999933 #332288".split()  # in turn, for strategies that have no color of their own
STRATEGY_COLORS = {s: OWN_COLORS.get(s) or SPARE_COLORS[i % len(SPARE_COLORS)] for i, s in enumerate(STRATEGIES)}


def title(column: str) -> str:
    """A column's name as readers know it: "oreal max" -> "OREAL max"."""
    strategy, _, how = column.partition(" ")
    return f"{NAMES.get(strategy, strategy)} {how}".strip()


def class_palette(n_classes: int) -> np.ndarray:
    """(n_classes, 3) uint8 RGB, the color of each class."""
    return rgb(hex_palette(n_classes))


def rgb(colors: Sequence[str]) -> np.ndarray:
    """(n, 3) uint8 of colors "#rrggbb"."""
    return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors], np.uint8).reshape(-1, 3)


def hex_palette(n: int, first: Sequence[str] = CLASS_COLORS, away: np.ndarray | None = None) -> tuple[str, ...]:
    """n colors "#rrggbb": `first`, then each as far as it can be from those before and from the colors `away` (m, 3) uint8."""
    colors = list(first[:n] or (CLASS_COLORS[:n] if away is None else ()))
    if len(colors) < n:
        levels = np.arange(45, 236, 10, np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
        lab = rgb2lab(grid[None])[0]
        strong = np.hypot(*lab[:, 1:].T)
        seen = (lab[:, 0] > 38) & (lab[:, 0] < 80) & (strong > 20) & (strong < 56)  # neither dark nor pale nor shrill
        grid, lab = grid[seen], lab[seen]
        known = np.concatenate([rgb(colors), np.zeros((0, 3), np.uint8) if away is None else away])
        near = np.full(len(lab), np.inf)
        for color in rgb2lab(known[None])[0]:
            near = np.minimum(near, np.linalg.norm(lab - color, axis=1))
        while len(colors) < n:
            best = int(near.argmax())
            colors.append("#{:02x}{:02x}{:02x}".format(*grid[best].tolist()))
            near = np.minimum(near, np.linalg.norm(lab - lab[best], axis=1))
    return tuple(colors)


def color_mask(mask: np.ndarray, n_classes: int) -> np.ndarray:
    """(H, W, 3) uint8 picture of a mask (H, W) of class ids; void is white."""
    palette = np.vstack([class_palette(n_classes), np.full((256 - n_classes, 3), 255, np.uint8)])
    return palette[np.where(mask == IGNORE, 255, mask)]


@lru_cache(maxsize=1024)
def font_for(text: str) -> font_manager.FontEntry:
    """The first font with all letters of a text: matplotlib's DejaVu Sans, else one that is installed. Where none has them, the log
    says so once, and it is DejaVu Sans, which shows boxes."""
    own, letters = font_manager.findfont("DejaVu Sans"), [c for c in text if c.isprintable() and not c.isspace()]
    fonts = sorted(font_manager.fontManager.ttflist, key=lambda f: (f.fname != own, f.name, f.weight != 400, f.fname))
    for font in fonts:
        with suppress(OSError, RuntimeError):  # gone since matplotlib has listed it
            has = font_manager.get_font(font.fname).get_char_index
            if not font.name.startswith("Last Resort") and all(has(ord(c)) for c in letters):  # that one has boxes for everything
                return font
    has = font_manager.get_font(own).get_char_index
    _say_boxes(next((unicodedata.name(c, "these") for c in letters if not has(ord(c))), "these").split()[0])
    return fonts[0]


@lru_cache
def _say_boxes(script: str) -> None:  # once
    log.warning(f"no installed font has {script} letters, so pictures show boxes in names; install one, such as a Noto font")


def as_written(drawn: Artist) -> Artist:
    """The same words, or axis, or figure, with names from outside shown as they are, in any script: `$` begins no formula."""
    for text in (text for text in drawn.findobj(Text) if text.get_text()):
        text.set_parse_math(False)
        if (font := font_for(text.get_text()).name) != "DejaVu Sans":
            text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), font])))
    return drawn


def draw_image(image: np.ndarray, ax: Axes, text: str = "") -> Axes:
    """An RGB picture (H, W, 3) uint8 without axes."""
    ax.imshow(image, interpolation="nearest")
    as_written(ax.set_title(text, fontsize="small"))
    ax.set_axis_off()
    return ax


def draw_truth(mask: np.ndarray, classes: tuple[str, ...], ax: Axes, text: str = "") -> Axes:
    """A mask (H, W) in the class colors, with a legend of the classes that occur."""
    draw_image(color_mask(mask, len(classes)), ax, text)
    present, colors = [c for c in np.unique(mask) if c != IGNORE], hex_palette(len(classes))
    handles = [ax.plot([], [], "s", color=colors[c], label=classes[c])[0] for c in present]
    as_written(ax.legend(handles=handles, fontsize="xx-small", loc="upper left", bbox_to_anchor=(1, 1), frameon=False))
    return ax


def draw_uncertainty(score: np.ndarray, ax: Axes, text: str = "") -> Axes:
    """Pixel scores (H, W), dark = sure, light = unsure, scaled to this picture's range."""
    ax.imshow(score, cmap="magma", interpolation="nearest")
    as_written(ax.set_title(text, fontsize="small"))
    ax.set_axis_off()
    return ax


def draw_selection(
    image: np.ndarray, ids: np.ndarray, asked: np.ndarray, ax: Axes, text: str = "", scale: int | None = None, gray: bool = False
) -> Axes:
    """The image (H, W, 3), slightly dimmed, with yellow borders around the superpixels `asked` (k,) bool of the id map (H, W).

    scale: how much it is enlarged; None: 4, photographs not.
    gray: everything else in 16 shades of gray, which keeps an SVG of many such pictures small.
    """
    if gray:
        image = np.where(asked[ids][..., None], image, image.mean(axis=-1, keepdims=True) // 16 * 16 + 8).astype(np.uint8)
    width, given = ids.shape[1], scale
    scale = given or (4 if width < 256 else 1)
    chosen = np.kron(np.where(asked[ids], ids.astype(np.int64) + 1, 0), np.ones((scale, scale), np.int64))
    # enlarged, so that a border is a fine line inside the superpixel and does not cover its pixels
    picture = np.kron(image, np.ones((scale, scale, 1), np.uint8)) * np.where(chosen[..., None] > 0, 1.0, 0.65)
    border = find_boundaries(chosen, mode="inner", background=0)
    thick = 1 if given or width < 256 else width // 160  # a photograph is drawn smaller than it is
    border = ndimage.binary_dilation(border, iterations=thick) & (chosen > 0)  # still inside the superpixel
    picture[border] = [int(ASKED[i : i + 2], 16) for i in (1, 3, 5)]
    return draw_image(picture.astype(np.uint8), ax, text)
