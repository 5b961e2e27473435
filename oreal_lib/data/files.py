"""One image or one mask from disk: every surprise of real files is either handled or reported with the file's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..types import IGNORE
from .source import Item

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".jfi", ".pjp", ".pjpeg", ".bmp", ".tif", ".tiff", ".webp")
_SCALED_GRAYS = {"L;2": 85, "L;4": 17}  # Pillow stretches 2- and 4-bit gray PNGs to 0..255 by these factors


def read_bytes(path: str | Path) -> bytes:
    """The content of a picture's file; OSError with the remedy where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); fix its link or its rights, or copy it again") from error


def read_image(path: str | Path) -> np.ndarray:
    """The picture (h, w, 3) uint8 RGB, the way up its EXIF orientation says.

    Gray becomes RGB, 16 bits are scaled to 8 (65535 -> 255), palettes are looked up, transparency lies on black. Integers of
    another kind (32 bits, or with a sign) are read as 8 bits where none is above 255, else as 16 (our choice).
    ValueError with the file's name where it is not a whole image.
    """
    with opened(path, "image") as (picture, raw_mode):
        try:
            picture = ImageOps.exif_transpose(picture)
        except Exception as error:  # for a damaged EXIF Pillow raises whatever it meets: syntax, keys, types, struct
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(
                f"which way up the image {path} is cannot be told, its EXIF is damaged ({said}); save it again, turned, without EXIF"
            ) from error
        if picture.mode.startswith("I"):
            gray = np.asarray(picture)  # Pillow may hand over 16 bits as 32-bit integers
            if gray.min() < 0 or gray.max() > 65_535:
                raise ValueError(
                    f"the image {path} has values from {gray.min()} to {gray.max()}, but only 8 and 16 bits are understood; "
                    "save it with 8 or 16 bits"
                )
            if gray.max() > 255 or picture.mode != "I" or raw_mode == "I;16B":
                gray = (gray.astype(np.uint32) + 128) // 257
            return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
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

    The file holds one index per pixel (8 or 16 bits), gray or palette; the colors of a palette are ignored.
    remap: index in the file -> class id or 255; other indices stay. colors: (r, g, b) -> class id or 255; with it a file
    with colors (RGB, a palette, RGBA equally opaque all over; of 16 bits the upper 8 count) is translated by them, a gray
    one holds indices.
    ValueError with the file's name: colors without a table, lossy JPEG, or indices or colors that are not classes (the
    first ten are listed with their number of pixels).
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
                "and save a gray or palette PNG"
            )
        raw = np.asarray(picture).astype(np.int64) // _SCALED_GRAYS.get(raw_mode, 1)
    low, high = int(raw.min()), int(raw.max())
    values = np.unique(raw) if high - low > 2**17 else low + np.flatnonzero(np.bincount((raw - low).ravel()))
    target = {void: IGNORE} | (remap or {})
    classes = np.array([target.get(value, value) for value in values.tolist()])
    wrong = (classes < 0) | (classes >= n_classes) & (classes != IGNORE)
    wrong |= (values == IGNORE) & (IGNORE not in target)  # with another void, 255 in the file is an index like any other
    if wrong.any():
        found = [(value, np.count_nonzero(raw == value)) for value in values[wrong][:10]]
        others = ", ".join(str(value) for value in sorted(target) if not 0 <= value < n_classes)
        raise ValueError(
            f"the mask {path} holds values that are not classes: {_listed(found, wrong.sum())}; "
            f"allowed are 0..{n_classes - 1}, {others}; correct the mask, or, for data of your own, name all classes in classes.yaml"
        )
    table = np.zeros(high - low + 1, np.uint8)
    table[values - low] = classes
    return table[raw - low]


def open_pair(
    item: Item,
    *,
    n_classes: int,
    void: int = IGNORE,
    remap: dict[int, int] | None = None,
    colors: dict[tuple[int, int, int], int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Image (h, w, 3) uint8 and mask (h, w) uint8 of an item, None for the mask it does not have; the rest as `read_mask`.

    `functools.partial(open_pair, n_classes=...)` is what readers of folders give as `Source.open`.
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


def _listed(found: list[tuple[object, int]], total: int) -> str:
    """ "3 (2 pixels), 77 (1 pixel)", and how many more there are."""
    text = ", ".join(f"{value} ({pixels} pixel{'' if pixels == 1 else 's'})" for value, pixels in found)
    return text + (f" and {total - len(found)} more" if total > len(found) else "")


def _from_colors(picture: Image.Image, colors: dict[tuple[int, int, int], int], path: str | Path) -> np.ndarray:
    """Class ids (h, w) uint8 of a picture whose colors mean classes."""
    if picture.mode in ("RGBA", "PA"):
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        # One alpha everywhere does not tell classes apart, so the colors still do; an alpha of 0 may have wiped them out.
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
        order = np.argsort(-pixels, kind="stable")[:10]
        found = [(f"({values[i] >> 16}, {values[i] >> 8 & 255}, {values[i] & 255})", pixels[i]) for i in order]
        blended = ", or save the mask again without smoothing its edges" if len(values) > 10 else ""
        raise ValueError(
            f"the mask {path} holds colors that are not classes: {_listed(found, len(values))}; correct the mask, "
            f"or, for data of your own, give each color a class or make it void in classes.yaml{blended}"
        )
    return targets[place]


@contextmanager
def opened(path: str | Path, what: str) -> Iterator[tuple[Image.Image, str]]:
    """The decoded file and Pillow's raw mode of it; whatever Pillow raises for a broken one becomes one sentence.

    what: "image" or "mask", for that sentence. FileNotFoundError where there is no file, ValueError where it is not whole.
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
            raise ValueError(f"the {what} {path} is not an image or is cut off ({error}); copy or download it again") from error
        yield picture, raw_mode
