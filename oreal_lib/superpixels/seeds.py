"""SEEDS as the OREAL baselines use it (Cai et al., `scripts/extract_superpixels.py`), by OpenCV."""

from typing import TYPE_CHECKING

import numpy as np
from skimage.exposure import cumulative_distribution

if TYPE_CHECKING:
    from . import SuperpixelRecipe

AUTO_LEVELS = (5, 4, 3, 2)  # what levels="auto" tries; the first wins a tie, because 5 is the official value


def predicted_count(width: int, height: int, count: int, levels: int | str) -> int:
    """How many superpixels SEEDS makes at most when asked for `count` (`SuperpixelSEEDSImpl::initialize` of OpenCV).

    The grid of SEEDS is halved levels - 1 times and the remainder cut off, so the answer jumps. Ids that end up empty are not
    foreseen. ValueError where OpenCV would crash: a very elongated image, or hardly more pixels than superpixels.
    """
    if levels == "auto":
        levels = nearest_levels(width, height, count)
    if found := _grid_count(width, height, count, levels):
        return found
    fine = count * 4 > width * height  # else a side of the grid has no superpixel
    why, remedy = ("finer than its pixels", "fewer") if fine else ("empty", "more")
    raise ValueError(
        f"SEEDS cannot cut {width}x{height} pixels into {count} superpixels with {levels} levels: its grid would be {why}; "
        f"ask for {remedy} superpixels (superpixel_count), or use the methods slic or grid"
    )


def nearest_levels(width: int, height: int, count: int) -> int:
    """The number of levels in 2..5 whose predicted count is nearest to `count` (our choice); ties go to the larger number."""
    return min(AUTO_LEVELS, key=lambda levels: abs(_grid_count(width, height, count, levels) - count))


def _grid_count(width: int, height: int, count: int, levels: int) -> int:
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
    across, down = width // int(np.ceil(block(width, columns))), height // int(np.ceil(block(height, rows)))
    return (across >> (levels - 1)) * (down >> (levels - 1))


def cut_by_seeds(image: np.ndarray, recipe: "SuperpixelRecipe") -> np.ndarray:
    """SEEDS labels (H, W) int32 of an image (H, W, 3) uint8, ids as OpenCV numbers them.

    ImportError without OpenCV's contributed modules, ValueError where SEEDS cannot do it.
    """
    import cv2  # here, because a machine that only trains on prepared data needs no OpenCV

    if not hasattr(cv2, "ximgproc"):
        raise ImportError(
            "this OpenCV has no ximgproc, which SEEDS needs: uninstall it and install opencv-contrib-python-headless, "
            "or choose the superpixel method slic or grid"
        )
    height, width = image.shape[:2]
    levels = nearest_levels(width, height, recipe.count) if recipe.levels == "auto" else recipe.levels
    settings = (recipe.count, levels, recipe.prior, recipe.bins, recipe.double_step)
    try:
        seeds = cv2.ximgproc.createSuperpixelSEEDS(width, height, 3, *settings)
    except cv2.error as error:  # there is one histogram of bins^3 numbers for each piece of the finest level
        raise ValueError(
            f"OpenCV cannot cut {width}x{height} pixels into {recipe.count} superpixels with {recipe.bins} bins "
            f"({' '.join(str(error).split())}); lower superpixel_bins, superpixel_levels or superpixel_count"
        ) from error
    seeds.iterate(_hsv(image, recipe), recipe.iterations)
    return seeds.getLabels()


def _hsv(image: np.ndarray, recipe: "SuperpixelRecipe") -> np.ndarray:
    """What SEEDS looks at: (H, W, 3) float32, S and V in 0..1, H in 0..360 ("official") or 0..1 ("scaled")."""
    import cv2

    rgb = equalized(image) if recipe.equalize == "joint" else image.astype(np.float32) / 255
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    if recipe.equalize == "value":
        hsv[..., 2] = equalized(image.max(axis=2))
    if recipe.hue == "scaled":
        hsv[..., 0] /= 360
    return hsv


def equalized(image: np.ndarray) -> np.ndarray:
    """An image (H, W, ...) uint8 after histogram equalization: float32 in 0..1, one histogram over all its values.

    The bits of `skimage.exposure.equalize_hist` in float32, which interpolates for each pixel what there is to know for 256 values.
    """
    share, values = cumulative_distribution(image.reshape(len(image), -1))  # laid out flat, skimage does not warn of color
    return np.take(np.interp(np.arange(256), values, share).astype(np.float32), image)
