"""One image or one mask from disk, with every surprise of real files either handled or named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..types import IGNORE
from .source import Item

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
    with opened(path, "image") as (picture, _):
        try:
            picture = ImageOps.exif_transpose(picture)
        except Exception as error:  # of a damaged EXIF Pillow throws what it meets: syntax, keys, types, struct
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(
                f"which way up the image {path} is cannot be told, its EXIF is damaged ({said}); save it again, turned, without EXIF"
            ) from error
        if picture.mode.startswith("I"):
            return _from_deep_grey(np.asarray(picture), path)
        if picture.mode == "F":
            raise ValueError(f"the image {path} holds floating-point values without a known range; save it with 8 or 16 bits")
        if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
        return np.array(picture.convert("RGB"))


def read_mask(
    path: str | Path,
    n_classes: int,
    void: int = IGNORE,
    remap: dict[int, int] | None = None,
    colors: dict[tuple[int, int, int], int] | None = None,
) -> np.ndarray:
    """Class ids (h, w) uint8: 0..n_classes-1, or 255 where the file says `void`.

    The file holds one index per pixel (8 or 16 bits), grey or palette; a palette's colors are never looked at.
    remap: index in the file -> class id or 255; indices it does not name stay. colors: (r, g, b) -> class id or 255;
    with it a file with colors (RGB, a palette, RGBA equally opaque all over) is translated by them, a grey one holds indices.
    Raises ValueError naming the file: colors nobody explained, lossy JPEG, or indices or colors that are no class (the
    first ten are listed with their pixel counts).
    """
    with opened(path, "mask") as (picture, raw_mode):
        if picture.format == "JPEG":
            raise ValueError(f"the mask {path} is a JPEG, which blurs class indices; save masks as PNG")
        if colors is not None and picture.mode in ("P", "PA", "RGB", "RGBA"):
            return _from_colors(picture, colors, path)
        if picture.mode not in ("1", "L", "P") and not picture.mode.startswith("I"):
            raise ValueError(
                f"the mask {path} holds colors (mode {picture.mode}), but one class index per pixel is needed; "
                "give each class its color in classes.yaml if the data are your own, or translate each color to its class id "
                "and save a grey or palette PNG"
            )
        raw = np.asarray(picture).astype(np.int64) // _SCALED_GREYS.get(raw_mode, 1)
    values = np.unique(raw) if raw.min() < 0 or raw.max() > 65_535 else np.flatnonzero(np.bincount(raw.ravel()))
    target = {void: IGNORE} | (remap or {})
    classes = np.array([target.get(value, value) for value in values.tolist()])
    wrong = ((classes < 0) | (classes >= n_classes)) & (classes != IGNORE)
    if void != IGNORE:  # then 255 in the file is an index like any other
        wrong |= (values == IGNORE) & (IGNORE not in target)
    if wrong.any():
        listed = ", ".join(f"{v} ({_count(np.count_nonzero(raw == v), 'pixel')})" for v in values[wrong][:10])
        allowed = _ranges({*range(n_classes), void, *remap}) if remap else f"0..{n_classes - 1} and {void} for void"
        raise ValueError(
            f"the mask {path} holds {_count(wrong.sum(), 'value')} that {_are(wrong.sum())} no class: {listed}; allowed are {allowed}; "
            "correct the mask, or, for data of your own, name all classes in classes.yaml"
        )
    if values[0] < 0 or values[-1] > 65_535:
        return classes[np.searchsorted(values, raw)].astype(np.uint8)
    table = np.zeros(values[-1] + 1, np.uint8)
    table[values] = classes
    return table[raw]


def open_pair(
    item: Item,
    *,
    n_classes: int,
    void: int = IGNORE,
    remap: dict[int, int] | None = None,
    colors: dict[tuple[int, int, int], int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Image (h, w, 3) uint8 and mask (h, w) uint8 of an item, None for the mask it does not have; the rest as `read_mask`.

    `functools.partial(open_pair, n_classes=...)` is what the readers of folders hand out as `Source.open`.
    ValueError if image and mask are not of one size.
    """
    image = read_image(item.image)
    if item.mask is None:
        return image, None
    mask = read_mask(item.mask, n_classes, void, remap, colors)
    if image.shape[:2] != mask.shape:
        turned = " (does the image's EXIF turn it, and the mask was drawn unturned? Turn the mask)"
        raise ValueError(
            f"{item.image} is {image.shape[1]}x{image.shape[0]} pixels, but its mask {item.mask} is "
            f"{mask.shape[1]}x{mask.shape[0]}; both need one size{turned if image.shape[1::-1] == mask.shape else ''}, "
            "so save one of them again"
        )
    return image, mask


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _ranges(numbers: set[int]) -> str:
    """ "0..3, 7" for 0, 1, 2, 3, 7."""
    ends: list[list[int]] = []
    for number in sorted(numbers):
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ", ".join(f"{a}..{b}" if a < b else str(a) for a, b in ends)


def _from_colors(picture: Image.Image, colors: dict[tuple[int, int, int], int], path: str | Path) -> np.ndarray:
    """Class ids (h, w) uint8 of a picture whose colors mean classes."""
    if picture.mode in ("RGBA", "PA"):
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        # The same everywhere, it tells no class from another and the colors stand beside it; all 0 may have wiped them.
        if alpha.min() < alpha.max() or alpha.max() == 0:
            raise ValueError(
                f"the mask {path} is transparent at {np.count_nonzero(alpha < 255)} pixels, so their class is unclear; "
                "save it without transparency"
            )
    code = np.asarray(picture.convert("RGB")).astype(np.int32) @ np.array([65_536, 256, 1], np.int32)
    known = sorted((65_536 * r + 256 * g + b, target) for (r, g, b), target in colors.items())
    codes, targets = np.array([k for k, _ in known]), np.array([t for _, t in known], np.uint8)
    place = np.minimum(np.searchsorted(codes, code), len(codes) - 1)
    if (wrong := codes[place] != code).any():
        values, pixels = np.unique(code[wrong], return_counts=True)
        listed = ", ".join(
            f"({values[i] >> 16}, {values[i] >> 8 & 255}, {values[i] & 255}) ({_count(pixels[i], 'pixel')})"
            for i in np.argsort(-pixels, kind="stable")[:10]
        )
        blended = ", or save the mask again without smoothing its edges" if len(values) > 10 else ""
        raise ValueError(
            f"the mask {path} holds {_count(len(values), 'color')} that {_are(len(values))} no class: {listed}; correct the mask, "
            f"or, for data of your own, give each color a class or make it void in classes.yaml{blended}"
        )
    return targets[place]


@contextmanager
def opened(path: str | Path, what: str) -> Iterator[tuple[Image.Image, str]]:
    """The decoded file and Pillow's raw mode of it; whatever Pillow throws at a broken one becomes one sentence.

    what: it is called in that sentence. FileNotFoundError where it is not there, ValueError where it is no whole picture.
    """
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
