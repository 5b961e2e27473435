"""Superpixels: a picture cut into a few hundred pieces, each bought with one click.

SEEDS as the OREAL baselines use it (Cai et al., `scripts/extract_superpixels.py`), SLIC, a plain grid, or any given
label map. Every map that leaves this module is dense: uint16 ids 0..k-1, none of them empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.exposure import cumulative_distribution
from skimage.measure import label
from skimage.segmentation import slic

MOST = 65_535  # superpixels per image: ids are stored as uint16
AUTO_LEVELS = (5, 4, 3, 2)  # what levels="auto" tries; first wins a tie, because 5 is the official value
_CHOICES = {
    "method": ("seeds", "slic", "grid"),
    "equalize": ("joint", "value", "none"),
    "hue": ("official", "scaled"),
    "connectivity": ("official", "largest"),
    "at": ("native", "working"),
}
_RANGES = {"count": (1, MOST), "prior": (0, 5), "bins": (1, 100), "iterations": (1, 1000)}


@dataclass(frozen=True)
class SuperpixelRecipe:
    """How to cut a picture. The defaults are the official SEEDS settings with the 150 asked on VOC.

    count: superpixels asked; SEEDS often gives fewer, `predicted_count` tells how many.
    levels, prior, bins, double_step, iterations: of SEEDS (iterations of SLIC, too); levels "auto" takes that of
        2..5 whose count comes nearest to what was asked (our choice).
    equalize: histogram equalization before SEEDS: "joint" over R, G and B in one histogram (official), "value": of
        the V of HSV only, "none".
    hue: "official" hands hue in 0..360 to SEEDS, which clamps it, so that only S and V count; "scaled" divides by 360.
    connectivity: "official" keeps disconnected superpixels, "largest" gives smaller pieces away.
    compactness: of SLIC.
    at: the size at which `data.prepare` cuts: "native", then brought to the working size by the nearest pixel
        (official), or "working".
    ValueError for a value out of range.
    """

    method: str = "seeds"
    count: int = 150
    levels: int | str = 5
    prior: int = 3
    bins: int = 10
    double_step: bool = True
    iterations: int = 10
    equalize: str = "joint"
    hue: str = "official"
    connectivity: str = "official"
    compactness: float = 10.0
    at: str = "native"

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"superpixel_{field} is {getattr(self, field)!r}, but must be one of {', '.join(choices)}")
        ranges = _RANGES if self.levels == "auto" else _RANGES | {"levels": (2, 12)}
        for field, (low, high) in ranges.items():
            value = getattr(self, field)
            if type(value) is not int or not low <= value <= high:
                auto = " or 'auto'" if field == "levels" else ""
                raise ValueError(f"superpixel_{field} is {value!r}, but must be a whole number from {low} to {high}{auto}")
        if type(self.double_step) is not bool:
            raise ValueError(f"superpixel_double_step is {self.double_step!r}, but must be true or false")
        if type(self.compactness) not in (int, float) or not 0 < self.compactness < float("inf"):
            raise ValueError(f"superpixel_compactness is {self.compactness!r}, but must be a positive number")


def superpixels(image: np.ndarray, recipe: SuperpixelRecipe | np.ndarray) -> np.ndarray:
    """Superpixel ids (H, W) uint16, dense 0..k-1, of an image (H, W, 3) uint8 RGB. Same input, same output.

    recipe: how to cut the picture, or a partition of it made elsewhere: (H, W) integers >= 0.
    ValueError for another image, a partition of another size, or more superpixels than pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"the image is {image.dtype} {image.shape}, but superpixels need (H, W, 3) uint8 RGB")
    height, width = image.shape[:2]
    if isinstance(recipe, np.ndarray):
        if recipe.shape != (height, width):
            raise ValueError(f"the given partition is {recipe.shape}, but the image is {(height, width)}; they must agree")
        return dense(recipe)
    if recipe.count > height * width:
        raise ValueError(
            f"{recipe.count} superpixels were asked of an image of {width}x{height} pixels; ask fewer, or use a larger size"
        )
    if recipe.method == "seeds":
        ids = _seeds(image, recipe)
    elif recipe.method == "slic":
        ids = slic(
            image,
            n_segments=recipe.count,
            compactness=recipe.compactness,
            max_num_iter=recipe.iterations,
            start_label=0,
            channel_axis=-1,
        )
    else:
        ids = _grid(height, width, recipe.count)
    return dense(keep_largest_pieces(ids) if recipe.connectivity == "largest" else ids)


def dense(ids: np.ndarray) -> np.ndarray:
    """The same partition with ids 0..k-1 and no gaps, (H, W) uint16, in the order of the given ids.

    ids: (H, W) integers >= 0, any label map: this is the door for superpixels made elsewhere.
    ValueError for another shape or dtype, a negative id, or more superpixels than uint16 can count.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.size == 0:
        raise ValueError(f"the label map has shape {ids.shape}, but a partition is a non-empty (H, W) array")
    if not np.issubdtype(ids.dtype, np.integer):  # bool is no integer for numpy
        raise ValueError(f"the label map is {ids.dtype}, but a partition holds integer ids; convert it with .astype(int)")
    if ids.min() < 0:
        raise ValueError(
            f"the label map holds the negative id {ids.min()}, but every pixel needs a superpixel id >= 0; "
            "give pixels left out an id of their own"
        )
    values, compact = np.unique(ids, return_inverse=True)
    if len(values) > MOST:
        raise ValueError(f"the label map has {len(values):,} superpixels, but one image can have {MOST:,}; ask for fewer")
    return compact.reshape(ids.shape).astype(np.uint16)


def predicted_count(width: int, height: int, count: int, levels: int | str) -> int:
    """How many superpixels SEEDS makes at most when asked for `count` (`SuperpixelSEEDSImpl::initialize` of OpenCV).

    The grid of SEEDS is halved levels - 1 times with the remainder cut off, so the answer jumps. Ids that end up
    empty are not foreseen. Raises ValueError where OpenCV would crash: a very elongated image, or hardly more pixels than
    superpixels.
    """
    if levels == "auto":
        levels = nearest_levels(width, height, count)
    found = _seeds_grid(width, height, count, levels)
    if found == 0:
        fine = count * 4 > width * height  # else a side of the grid has no superpixel
        why, remedy = ("finer than its pixels", "fewer") if fine else ("empty", "more")
        raise ValueError(
            f"SEEDS cannot cut {width}x{height} pixels into {count} superpixels with {levels} levels: its grid would be {why}; "
            f"ask for {remedy} superpixels (superpixel_count), or use the methods slic or grid"
        )
    return found


def nearest_levels(width: int, height: int, count: int) -> int:
    """The number of levels in 2..5 whose predicted count is nearest to `count`; ties go to the larger number."""
    return min(AUTO_LEVELS, key=lambda levels: abs(_seeds_grid(width, height, count, levels) - count))


def _seeds_grid(width: int, height: int, count: int, levels: int) -> int:
    """Superpixels of the SEEDS grid, 0 where it has none or is too fine. float32, because OpenCV computes in float."""
    single = np.float32
    rows = int(np.sqrt(single(max(count, 10)) * single(height) / single(width)))
    columns = rows * width // height
    if not rows or not columns:
        return 0

    def block(size: int, pieces: int) -> np.float32:
        return single(size) / single(pieces) / single(2 ** (levels - 1))

    while block(width, columns) < 1 or block(height, rows) < 1:
        levels -= 1
        if levels < 2:  # superpixels of a pixel or two; OpenCV crashes at one level
            return 0
    across = width // int(np.ceil(block(width, columns)))
    down = height // int(np.ceil(block(height, rows)))
    return (across >> (levels - 1)) * (down >> (levels - 1))


def _seeds(image: np.ndarray, recipe: SuperpixelRecipe) -> np.ndarray:
    """SEEDS labels (H, W) int32, ids as OpenCV numbers them."""
    import cv2  # here, because a machine that only trains on prepared data needs no OpenCV

    if not hasattr(cv2, "ximgproc"):
        raise ImportError(
            "this OpenCV has no ximgproc, which SEEDS needs: uninstall it and install opencv-contrib-python-headless, "
            "or choose the superpixel method slic or grid"
        )
    height, width = image.shape[:2]
    predicted_count(width, height, recipe.count, recipe.levels)  # refuses what would crash OpenCV
    levels = nearest_levels(width, height, recipe.count) if recipe.levels == "auto" else recipe.levels
    try:
        seeds = cv2.ximgproc.createSuperpixelSEEDS(
            width, height, 3, recipe.count, levels, recipe.prior, recipe.bins, recipe.double_step
        )
    except cv2.error as error:  # there is one histogram of bins^3 numbers for each piece of the finest level
        raise ValueError(
            f"OpenCV cannot cut {width}x{height} pixels into {recipe.count} superpixels with {recipe.bins} bins "
            f"({' '.join(str(error).split())}); lower superpixel_bins, superpixel_levels or superpixel_count"
        ) from error
    seeds.iterate(_hsv(image, recipe), recipe.iterations)
    return seeds.getLabels()


def _hsv(image: np.ndarray, recipe: SuperpixelRecipe) -> np.ndarray:
    """What SEEDS looks at: (H, W, 3) float32, S and V in 0..1, H in 0..360 ("official") or 0..1 ("scaled")."""
    import cv2

    if recipe.equalize == "joint":
        rgb = equalized(image)
    else:
        rgb = image.astype(np.float32) / 255
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    if recipe.equalize == "value":
        hsv[..., 2] = equalized(image.max(axis=2))
    if recipe.hue == "scaled":
        hsv[..., 0] /= 360
    return hsv


def equalized(image: np.ndarray) -> np.ndarray:
    """An image (H, W, ...) uint8 after histogram equalization: float32 in 0..1, one histogram over all its values.

    Bit for bit `skimage.exposure.equalize_hist` in float32, which computes each pixel anew: here each of the 256 values once.
    """
    # Laid out flat: without the warning skimage has for color images.
    share, values = cumulative_distribution(image.reshape(len(image), -1))
    return np.take(np.interp(np.arange(256), values, share).astype(np.float32), image)


def _grid(height: int, width: int, count: int) -> np.ndarray:
    """Rectangles (H, W) of nearly equal size, near to squares, as many as come nearest to `count`."""
    ideal = (count * height / width) ** 0.5
    pairs = []
    for rows in {int(ideal), int(ideal) + 1}:
        rows = min(max(rows, 1), height)
        columns = min(max(round(count / rows), 1), width)
        pairs.append((abs(rows * columns - count), abs(rows - ideal), rows, columns))
    _, _, rows, columns = min(pairs)
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    return row[:, None] * columns + column


def keep_largest_pieces(ids: np.ndarray) -> np.ndarray:
    """The map (H, W) uint16 with 4-connected superpixels: of each the largest piece stays (the first, if equal).

    Smaller pieces go, smallest first, to the neighbor they share the longest border with.
    """
    value = dense(ids)
    pieces = label(value.astype(np.int32) + 1, connectivity=1) - 1  # 0.. in raster order; + 1 as label skips zeros
    size = np.bincount(pieces.ravel())
    superpixel = np.empty(len(size), dtype=value.dtype)  # of each piece
    superpixel[pieces] = value
    order = np.argsort(-size, kind="stable")  # largest first
    keeps = np.zeros(len(size), dtype=bool)
    keeps[order[np.unique(superpixel[order], return_index=True)[1]]] = True
    if keeps.all():
        return value
    border = _borders(pieces)
    moves = []
    for piece in order[::-1][~keeps[order[::-1]]]:
        shared = border.pop(piece)
        home = max(shared, key=lambda other: (shared[other], -other))
        moves.append((piece, home))
        for other, length in shared.items():  # what piece touched, home touches from now on
            del border[other][piece]
            if other != home:
                border[home][other] = border[other][home] = border[home].get(other, 0) + length
    for piece, home in reversed(moves):  # a home may have moved on later, so it is settled first
        superpixel[piece] = superpixel[home]
    return superpixel[pieces]


def _borders(pieces: np.ndarray) -> dict[int, dict[int, int]]:
    """border[a][b]: pixel sides that the pieces a and b share, both ways."""
    sides = [np.stack([pieces[:, :-1], pieces[:, 1:]], -1), np.stack([pieces[:-1], pieces[1:]], -1)]
    pairs = np.sort(np.concatenate([side.reshape(-1, 2) for side in sides]), axis=1)
    pairs, lengths = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    border: dict[int, dict[int, int]] = {}
    for (a, b), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        border.setdefault(a, {})[b] = length
        border.setdefault(b, {})[a] = length
    return border
