"""Pictures as the browser gets them: JPEG files of the whole at working size, of the whole in small, and of a part of the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.files import read_image
from .pictures import Picture

THUMB = (128, 128)


def jpeg(image: np.ndarray, most: Sequence[int] | None = None) -> bytes:
    """The JPEG file of an image (H, W, 3) uint8, made smaller to fit into `most` (width, height)."""
    shown, buffer = Image.fromarray(image), BytesIO()
    if most:
        shown.thumbnail(most)
    shown.save(buffer, "JPEG", quality=80, optimize=True)
    return buffer.getvalue()


def part(picture: Picture, box: Sequence[float], most: Sequence[int]) -> bytes:
    """The part `box` (left, top, right, bottom, at working size) of a picture, from its own file."""
    native = _native(picture.file)
    grow = native.shape[1] / picture.size[1]
    left, top, right, bottom = (max(0, round(v * grow)) for v in box)
    return jpeg(native[top:bottom, left:right], most)


@lru_cache(maxsize=1)
def _native(file: Path) -> np.ndarray:
    return read_image(file)
