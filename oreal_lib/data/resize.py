"""Pictures, masks and superpixels at another size."""

import numpy as np

Size = tuple[int, int]  # height, width


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """The image (h, w, 3) uint8 at another size: by area where it shrinks, else linearly."""
    import cv2  # in functions, because a machine that only trains on prepared data needs no OpenCV

    shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def nearest(ids: np.ndarray, size: Size) -> np.ndarray:
    """Ids (h, w), uint8 or uint16, at another size: each pixel takes that of the nearest one."""
    import cv2

    return cv2.resize(ids, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def bounded(size: Size, side: int) -> Size:
    """The size with the same proportions whose longer side is at most `side` pixels, no side below one."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
