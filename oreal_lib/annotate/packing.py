"""What goes to the browser, made small: a picture as JPEG, and the superpixel of each of its pixels."""

from __future__ import annotations

import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def jpeg(image: np.ndarray) -> bytes:
    """An image (H, W, 3) uint8 as the browser gets it; the network never sees these."""
    buffer = BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "JPEG", quality=80, optimize=True)
    return buffer.getvalue()


def pack_ids(ids: np.ndarray) -> bytes:
    """Superpixel ids (H, W) uint16, exactly, in about half the bytes that zlib alone makes of them; `unpackIds` of widget.js reads it.

    A pixel mostly has the id of one of its neighbors, so that two bits tell it, read line by line: 0, the guess (that of the left
    pixel; the upper one's where a border comes down from between the two above); 1, the other one of left and above; 2, that of
    above right; 3, none of these: then the difference from above is noted. Before the first pixel stand zeros.

    Packed by zlib, all little-endian: how many differences there are (uint32), the bytes of the first codes (uint32), the
    differences (uint16), four codes a byte, the first in the lowest bits: those of pixels whose four neighbors are of one
    superpixel, nearly all 0, then those of the others.
    """
    height, width = ids.shape
    flat = np.concatenate([np.zeros(width + 1, np.uint16), ids.astype(np.uint16, copy=False).ravel()])
    this, left, corner, above, right = (flat[at : at + height * width] for at in (width + 1, width, 0, 1, 2))
    right = right if width > 1 else np.zeros_like(right)  # that would be the pixel itself, which the browser does not know yet
    guess = np.where(corner == left, above, left)
    other = np.where(guess == above, left, above)
    codes = np.where(this == guess, 0, np.where(this == other, 1, np.where(this == right, 2, 3))).astype(np.uint8)
    inside = (left == above) & (corner == above) & (right == above)
    differences = (this - above)[codes == 3]
    first, second = _four_a_byte(codes[inside]), _four_a_byte(codes[~inside])
    head = np.array([len(differences), len(first)], "<u4")
    return zlib.compress(b"".join(part.tobytes() for part in (head, differences.astype("<u2"), first, second)), 6)


def _four_a_byte(codes: np.ndarray) -> np.ndarray:
    a, b, c, d = np.pad(codes, (0, -len(codes) % 4)).reshape(-1, 4).T
    return a | b << 2 | c << 4 | d << 6
