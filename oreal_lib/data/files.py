"""One image or one mask from disk, with every surprise of real files either handled or named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from oreal_lib.types import IGNORE

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_SCALED_GREYS = {"L;2": 85, "L;4": 17}  # Pillow stretches 2- and 4-bit grey PNGs to 0..255 by these factors


def read_bytes(path: str | Path) -> bytes:
    """The content of a picture's file; OSError with the remedy where it cannot be had."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); mend its link or its rights, or copy it again") from error


def read_image(path: str | Path) -> np.ndarray:
    """The picture (h, w, 3) uint8 RGB, the way up its EXIF orientation says.

    Grey becomes RGB, 16 bits are scaled to 8 (65535 -> 255), palettes are looked up, transparency lies on black.
    Raises ValueError naming the file where it is no whole image.
    """
    with _opened(path, "image") as (picture, _):
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):
            return _from_deep_grey(np.asarray(picture), path)
        if picture.mode == "F":
            raise ValueError(f"the image {path} holds floating-point values without a known range; save it with 8 or 16 bits")
        if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
        return np.array(picture.convert("RGB"))


def read_mask(path: str | Path, n_classes: int, void: int = IGNORE, remap: dict[int, int] | None = None) -> np.ndarray:
    """Class ids (h, w) uint8: 0..n_classes-1, or 255 where the file says `void`.

    The file holds one index per pixel, grey or palette; a palette's colors are never looked at. remap: index in the
    file -> class id or 255; indices it does not name stay. Raises ValueError naming the file: colors, lossy JPEG,
    or indices that are no class (they are listed with their pixel counts).
    """
    with _opened(path, "mask") as (picture, raw_mode):
        if picture.format == "JPEG":
            raise ValueError(f"the mask {path} is a JPEG, which blurs class indices; save masks as PNG")
        if picture.mode not in ("1", "L", "P") and not picture.mode.startswith("I"):
            raise ValueError(
                f"the mask {path} holds colors (mode {picture.mode}), but one class index per pixel is needed; "
                "translate each color to its class id and save a grey or palette PNG"
            )
        raw = np.asarray(picture).astype(np.int64)
    values, inverse, pixels = np.unique(raw // _SCALED_GREYS.get(raw_mode, 1), return_inverse=True, return_counts=True)
    target = {void: IGNORE} | (remap or {})
    classes = np.array([target.get(value, value) for value in values.tolist()])
    wrong = ((classes < 0) | (classes >= n_classes)) & (classes != IGNORE)
    if void != IGNORE:  # then 255 in the file is an index like any other
        wrong |= (values == IGNORE) & (IGNORE not in target)
    if wrong.any():
        listed = ", ".join(f"{v} ({n} pixels)" for v, n in list(zip(values[wrong], pixels[wrong], strict=True))[:10])
        raise ValueError(
            f"the mask {path} holds {wrong.sum()} values that are no class: {listed}; "
            f"allowed are 0..{n_classes - 1} and {void} for void, so name all classes or remap these values"
        )
    return classes[inverse].reshape(raw.shape).astype(np.uint8)


@contextmanager
def _opened(path: str | Path, what: str) -> Iterator[tuple[Image.Image, str]]:
    """The decoded file and Pillow's raw mode of it; whatever Pillow throws at a broken one becomes one sentence."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"the {what} {path} does not exist; check the path or copy the data set again")
    with ExitStack() as stack:
        try:
            picture = stack.enter_context(Image.open(path))
            raw_mode = str(picture.tile[0][3]) if picture.tile else ""  # load() forgets it
            picture.load()
        except Image.DecompressionBombError as error:
            raise ValueError(f"the {what} {path} has too many pixels to open safely; save it smaller") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow uses all four
            raise ValueError(f"the {what} {path} is no image or is cut off ({error}); copy or download it again") from error
        yield picture, raw_mode


def _from_deep_grey(grey: np.ndarray, path: str | Path) -> np.ndarray:
    """(h, w, 3) uint8 from 16-bit grey values (h, w), which Pillow may hand over as 32-bit integers."""
    if grey.min() < 0 or grey.max() > 65_535:
        raise ValueError(
            f"the image {path} has values from {grey.min()} to {grey.max()}, but only 8 and 16 bits are understood; "
            "save it with 8 or 16 bits"
        )
    return np.repeat(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
