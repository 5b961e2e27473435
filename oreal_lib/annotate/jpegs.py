"""Pictures as the browser gets them: JPEG files of the whole at working size, of the whole in small, and of a part of the file."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from ..data.files import file_of, read_image
from .pictures import Picture

_native = lru_cache(maxsize=1)(read_image)  # of the picture that is looked at


def shown(image: np.ndarray, most: Sequence[int] | None = None) -> bytes:
    """The file of an image (H, W, 3) uint8, made smaller to fit into `most` (width, height)."""
    picture = Image.fromarray(image)
    if most:
        picture.thumbnail(most)
    return file_of(picture, "JPEG", quality=80, optimize=True)


def part(picture: Picture, box: Sequence[float], most: Sequence[int]) -> bytes:
    """The part `box` (left, top, right, bottom, at working size) of a picture, from its own file."""
    native = _native(picture.file)
    grow = native.shape[1] / picture.size[1]
    left, top, right, bottom = (max(0, round(v * grow)) for v in box)
    return shown(native[top:bottom, left:right], most)
