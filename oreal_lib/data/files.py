"""One image or one mask from disk: every surprise of real files is either handled or reported with the file's name."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from ..types import IGNORE
from .source import Item

HEIC_SUFFIXES = (".heic", ".heif")  # of phones; read where the package pillow-heif is there
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".jfi", ".pjp", ".pjpeg", ".bmp", ".tif", ".tiff", ".webp")
_SCALED_GRAYS = {"L;2": 85, "L;4": 17}  # Pillow stretches 2- and 4-bit grays to 0..255 by these factors
_EXACT = {"1": "L", "L": "L", "LA": "L", "P": "P", "PA": "P", "RGB": "RGB", "RGBA": "RGB"}  # modes -> the same without alpha


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
        picture = _upright(picture, path, "image")
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


def file_of(picture: Image.Image, kind: str, **how: object) -> bytes:
    """The file of a picture in a format of Pillow's, such as "PNG"."""
    picture.save(buffer := BytesIO(), kind, **how)
    return buffer.getvalue()


def read_mask(
    path: str | Path,
    n_classes: int,
    void: int | None = IGNORE,
    remap: dict[int, int] | None = None,
    colors: dict[tuple[int, int, int], int] | None = None,
) -> np.ndarray:
    """Class ids (h, w) uint8: 0..n_classes-1, or 255 where the file says `void`; the way up the file's own EXIF says.

    The file holds one index per pixel (1 to 16 bits), gray or palette; the colors of a palette are ignored.
    remap: index in the file -> class id or 255; other indices stay. colors: (r, g, b) -> class id or 255; with it a file
    with colors (RGB, a palette; of 16 bits the upper 8 count) is translated by them. So is a gray one if each of its values v
    (in 16 bits v or 257 v) shows a color (v, v, v) of the table; else it holds indices, unless void is None: no index counts.
    ValueError with the file's name for what `exact` refuses, for colors without a table, for transparency that is not the same
    all over, for a gray value with two meanings, and for indices or colors that are not classes (the first ten are listed
    with their number of pixels).
    """
    picture, step = exact(path, "mask")
    if picture.mode in ("LA", "PA", "RGBA"):
        alpha = np.asarray(picture.getchannel("A"))
        # One alpha everywhere does not tell classes apart, so the colors still do; an alpha of 0 may have wiped them out.
        if alpha.min() < alpha.max() or alpha.max() == 0:
            raise ValueError(
                f"the mask {path} is transparent at {np.count_nonzero(alpha < 255)} pixels, so their class is unclear; "
                "save it without transparency"
            )
        picture = picture.convert(_EXACT[picture.mode])
    if colors is not None and picture.mode in ("P", "RGB"):
        return _from_colors(picture, colors, path)
    if picture.mode == "RGB":
        raise ValueError(
            f"the mask {path} holds colors (mode RGB), but one class index per pixel is needed; "
            "give each class its color in classes.yaml if the data are your own, or translate each color to its class id "
            "and save a gray or palette PNG"
        )
    raw = np.asarray(picture).astype(np.int64) // step
    low, high = int(raw.min()), int(raw.max())
    values = np.unique(raw) if high - low > 2**17 else low + np.flatnonzero(np.bincount((raw - low).ravel()))
    target = ({} if void is None else {void: IGNORE}) | (remap or {})
    classes = np.array([target.get(value, value) for value in values.tolist()])
    grays = (gray if gray <= IGNORE else gray / 257 for gray in (values * step).tolist())
    shown = [(colors or {}).get((gray,) * 3) for gray in grays]
    if None not in shown:
        classes = np.array(shown)
    else:
        wrong = (classes < 0) | (classes >= n_classes) & (classes != IGNORE)
        wrong |= (values == IGNORE) & (IGNORE not in target)  # with another void, 255 in the file is an index like any other
        clash = np.array([color not in (None, index) for color, index in zip(shown, classes, strict=True)])
        wrong = np.array([color is None for color in shown]) if void is None else wrong if wrong.any() else clash
        if wrong.any():
            found = [(value, np.count_nonzero(raw == value)) for value in values[wrong][:10]]
            others = [str(value) for value in sorted(target) if not 0 <= value < n_classes]
            what = "that are other classes as grays than as indices" if wrong is clash else "that are not classes"
            allowed = ", ".join([f"0..{n_classes - 1}", *others]) + ", or grays of classes.yaml alone" * bool(colors)
            raise ValueError(
                f"the mask {path} holds values {what}: {_listed(found, wrong.sum())}; "
                f"allowed are {'grays with a class' if void is None else allowed}; correct the mask, "
                "or, for data of your own, name all classes in classes.yaml"
            )
    table = np.zeros(high - low + 1, np.uint8)
    table[values - low] = classes
    return table[raw - low]


def open_pair(item: Item, **masks: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Image (h, w, 3) uint8 and mask (h, w) uint8 of an item, None for the mask it does not have. masks: how `read_mask` reads it.

    `functools.partial(open_pair, n_classes=...)` is what readers of folders give as `Source.open`.
    ValueError if image and mask are not of one size.
    """
    image = read_image(item.image)
    if item.mask is None:
        return image, None
    mask = read_mask(item.mask, **masks)
    if image.shape[:2] != mask.shape:
        turned = " (does the EXIF turn only one of them? Each obeys its own: turn the mask's pixels, without EXIF)"
        raise ValueError(
            f"{item.image} is {image.shape[1]}x{image.shape[0]} pixels, but its mask {item.mask} is "
            f"{mask.shape[1]}x{mask.shape[0]}; both need one size{turned if image.shape[1::-1] == mask.shape else ''}, "
            "so save one of them again"
        )
    return image, mask


def class_pixels(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """(C + 1,) int64: how many of the labels, class ids or IGNORE of any shape (...), are of each class, and last how many void."""
    return np.bincount(np.ravel(labels), minlength=IGNORE + 1)[[*range(n_classes), IGNORE]]


def only_void(classes: Sequence[str], pixels: np.ndarray) -> str | None:
    """What to say where masks hold one class and void, and never the others: most often they are binary, 0 and 255. Else None.

    pixels: (C + 1,) int of each class and of void, in all masks of a data set together.
    """
    never = [c for c, n in enumerate(pixels[:-1]) if not n]
    if not pixels[-1] or not never or len(never) != len(classes) - 1:
        return None
    (one,), first = {*classes} - {classes[c] for c in never}, classes[never[0]]
    more = f" and {len(never) - 1} other classes" * (len(never) > 1)
    return (
        f"the masks hold only {one} and void, {first}{more} never: 255 is read as void; if it means {first}, save it as {never[0]} "
        "or give classes colors in classes.yaml"
    )


def palette(path: Path) -> list[int]:
    """The colors of a palette file, three numbers for each index; [] for another file."""
    with Image.open(path) as picture:
        return picture.getpalette() if picture.mode == "P" else []


def contradiction(masks: Iterable[tuple[Path, Sequence[int], np.ndarray]]) -> str | None:
    """What to say where palettes give one index two colors: each mask may have numbered its colors anew. Else None.

    masks: file, its `palette`, and (C,) int pixels of each class in it.
    """
    first: dict[int, tuple[list[int], Path]] = {}
    for file, colors, pixels in masks:
        for c in np.flatnonzero(pixels).tolist():
            if (color := colors[3 * c : 3 * c + 3]) and (seen := first.setdefault(c, (color, file)))[0] != color:
                why = f"index {c} has the color {seen[0]} in {seen[1]}, but {color} in {file}, and indices decide"
                return f"{why}; if the colors are the classes, give them in classes.yaml"
    return None


def _listed(found: list[tuple[object, int]], total: int) -> str:
    """ "3 (2 pixels), 77 (1 pixel)", and how many more there are."""
    text = ", ".join(f"{value} ({pixels} pixel{'' if pixels == 1 else 's'})" for value, pixels in found)
    return text + (f" and {total - len(found)} more" if total > len(found) else "")


def _from_colors(picture: Image.Image, colors: dict[tuple[int, int, int], int], path: str | Path) -> np.ndarray:
    """Class ids (h, w) uint8 of a picture whose colors mean classes."""
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


def exact(path: str | Path, what: str) -> tuple[Image.Image, int]:
    """A file whose values count one by one, the way up its EXIF says: mode L, LA, P, PA, RGB, RGBA or I..., and the step
    by which its grays were stretched (255 for 1 bit).

    what: "mask" or "label map". ValueError with the file's name for lossy compression, several pages and other modes.
    """
    with opened(path, what) as (picture, raw_mode):
        packed = picture.info.get("compression") if picture.format == "TIFF" else None
        lossy = picture.format in ("JPEG", "MPO", "JPEG2000", "AVIF") or packed in ("jpeg", "tiff_jpeg")
        if picture.format == "WEBP" or packed == "webp":
            lossy = re.findall(rb"VP8[L ]", read_bytes(path))[:1] != [b"VP8L"]  # L for lossless
        if lossy:
            kind = f"{picture.format} with lossy compression" if picture.format in ("WEBP", "TIFF") else picture.format
            raise ValueError(f"the {what} {path} is a {kind}, which blurs class indices; save {what}s as PNG")
        if picture.mode not in _EXACT and not picture.mode.startswith("I"):
            held = "floating-point numbers" if picture.mode == "F" else f"colors that are not RGB (mode {picture.mode})"
            raise ValueError(f"the {what} {path} holds {held}, which are not exact; save it as PNG with whole numbers or RGB")
        picture = _upright(picture, path, what)
        return (picture.convert("L"), 255) if picture.mode == "1" else (picture, _SCALED_GRAYS.get(raw_mode[:3], 1))


def _upright(picture: Image.Image, path: str | Path, what: str) -> Image.Image:
    """The picture turned as its EXIF says; ValueError where that is damaged."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # for a damaged EXIF Pillow raises whatever it meets: syntax, keys, types, struct
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"which way up the {what} {path} is cannot be told, its EXIF is damaged ({said}); save it again, turned, without EXIF"
        ) from error


@cache
def reads_heic() -> bool:
    """Whether HEIC files can be read; from here on Pillow opens them."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@contextmanager
def opened(path: str | Path, what: str) -> Iterator[tuple[Image.Image, str]]:
    """The decoded file and Pillow's raw mode of it; whatever Pillow raises for a broken one becomes one sentence.

    what: "image" or "mask", for that sentence. FileNotFoundError where there is no file, ValueError where it is not whole, or has
    several pages and is no image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"the {what} {path} does not exist; check the path or copy the data set again")
    if Path(path).suffix.lower() in HEIC_SUFFIXES:
        reads_heic()
    with ExitStack() as stack:
        try:
            # By its name, Pillow maps a raw file into memory, and then scrambles a TIFF that is turned by 90 degrees.
            picture = stack.enter_context(Image.open(stack.enter_context(Path(path).open("rb"))))
            pages = 1
            if what != "image" and getattr(picture, "n_frames", 1) > 1:
                # In a TIFF, smaller copies (bit 1 of the tag NewSubfileType) and transparency (bit 4) are no pages of their own.
                pages = sum(not getattr(page, "tag_v2", {}).get(254, 0) & 5 for page in ImageSequence.Iterator(picture))
                picture.seek(0)
            raw_mode = picture.tile[0][3] if picture.tile else ""  # load() forgets it
            raw_mode = str(raw_mode[0] if isinstance(raw_mode, tuple) and raw_mode else raw_mode)
            picture.load()
        except Image.DecompressionBombError as error:
            raise ValueError(f"the {what} {path} has too many pixels to open safely; save it smaller") from error
        except Exception as error:  # Pillow raises whatever it meets in a broken file: syntax, types, struct
            said = str(error).partition(" <")[0]  # without the address of an object
            remedy = "copy or download it again, or, if it is a HEIC by another name or a TIFF of many bands, save it as PNG"
            raise ValueError(f"the {what} {path} is not an image or is cut off ({said}); {remedy}") from error
        if picture.format == "BMP" and picture.mode in ("1", "L"):
            head = read_bytes(path)
            bits = head[24 if head[14] == 12 else 28]  # the header is a short or a long one
            if bits != (1 if picture.mode == "1" else 8):
                raise ValueError(f"the {what} {path} is a BMP of {bits} bits with a gray palette, which is misread; save it as PNG")
        if pages > 1:
            raise ValueError(f"the {what} {path} holds {pages} pages, but one must say it all; save the right one as PNG")
        yield picture, raw_mode
