"""Superpixels: a picture cut into a few hundred pieces, each bought with one click.

SEEDS as the OREAL baselines use it (Cai et al. 2021; `seeds.py`), SLIC, or a plain grid; any label map made elsewhere
goes through `dense`. Every map that leaves this package is: uint16 ids 0..k-1, none of them empty.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from skimage.segmentation import slic

from .pieces import MOST_SUPERPIXELS, dense, keep_largest_pieces
from .seeds import cut_by_seeds, predicted_count

__all__ = ["MOST_SUPERPIXELS", "SuperpixelRecipe", "check_size", "dense", "superpixels"]

Levels = Annotated[int, Field(ge=2, le=12)] | Literal["auto"]


@dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))
class SuperpixelRecipe:
    """How to cut a picture. The defaults are the official SEEDS settings with the 150 asked on VOC.

    count: superpixels asked; SEEDS often gives fewer, `predicted_count` tells how many.
    levels, prior, bins, double_step, iterations: of SEEDS (iterations of SLIC, too); levels "auto": the one of 2..5
        whose count comes nearest to what was asked (our choice).
    equalize: histogram equalization before SEEDS: "joint" over R, G and B in one histogram (official), "value": of
        the V of HSV only, "none".
    hue: "official" hands hue in 0..360 to SEEDS, which clamps it, so that only S and V count; "scaled" divides by 360.
    connectivity: "official" keeps disconnected superpixels, "largest" gives smaller pieces away.
    compactness: of SLIC.
    at: the size at which `data.prepare` cuts: "native", then brought to the working size by the nearest pixel
        (official), or "working".
    ValueError for a value out of range.
    """

    method: Literal["seeds", "slic", "grid"] = "seeds"
    count: int = Field(150, ge=1, le=MOST_SUPERPIXELS)
    levels: Levels = 5
    prior: int = Field(3, ge=0, le=5)
    bins: int = Field(10, ge=1, le=100)
    double_step: bool = True
    iterations: int = Field(10, ge=1, le=1000)
    equalize: Literal["joint", "value", "none"] = "joint"
    hue: Literal["official", "scaled"] = "official"
    connectivity: Literal["official", "largest"] = "official"
    compactness: float = Field(10.0, gt=0)
    at: Literal["native", "working"] = "native"


def superpixels(image: np.ndarray, recipe: SuperpixelRecipe) -> np.ndarray:
    """Superpixel ids (H, W) uint16, dense 0..k-1, of an image (H, W, 3) uint8 RGB. Same input, same output.

    recipe: how to cut the picture.  ValueError for another image, or more superpixels than pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"the image is {image.dtype} {image.shape}, but superpixels need (H, W, 3) uint8 RGB")
    height, width = image.shape[:2]
    check_size(width, height, recipe)
    if recipe.method == "seeds":
        ids = cut_by_seeds(image, recipe)
    elif recipe.method == "slic":
        ids = slic(image, recipe.count, recipe.compactness, recipe.iterations, start_label=0, channel_axis=-1)
    else:
        ids = _grid(height, width, recipe.count)
    return dense(keep_largest_pieces(ids) if recipe.connectivity == "largest" else ids)


def check_size(width: int, height: int, recipe: SuperpixelRecipe) -> None:
    """ValueError where an image of this size in pixels is too small, or for SEEDS too elongated, to be cut so."""
    if recipe.count > height * width:
        raise ValueError(
            f"{recipe.count} superpixels were asked of an image of {width}x{height} pixels; ask fewer, or use a larger size"
        )
    if recipe.method == "seeds":
        predicted_count(width, height, recipe.count, recipe.levels)  # refuses what would crash OpenCV


def _grid(height: int, width: int, count: int) -> np.ndarray:
    """Rectangles (H, W) of nearly equal size, nearly square, of a number as near as possible to `count`."""
    ideal = (count * height / width) ** 0.5
    pairs = []
    for rows in {int(ideal), int(ideal) + 1}:
        rows = min(max(rows, 1), height)
        columns = min(max(round(count / rows), 1), width)
        pairs.append((abs(rows * columns - count), abs(rows - ideal), rows, columns))
    _, _, rows, columns = min(pairs)
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    return row[:, None] * columns + column
