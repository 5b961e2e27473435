"""Cutting pictures: the equalization before SEEDS, and several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
from skimage.exposure import equalize_hist

from oreal_lib.data.readers.toy import draw_scene
from oreal_lib.storage.processes import parallel
from oreal_lib.superpixels import SuperpixelRecipe, superpixels
from oreal_lib.superpixels.seeds import equalized

from .bench import SEED, bench, equal


def scenes(n: int, height: int, width: int) -> list[np.ndarray]:
    """Drawn scenes (height, width, 3) uint8, drawn at a quarter of the size and enlarged, with grain."""
    found = []
    for i in range(n):
        rng = np.random.default_rng([SEED, i])
        image, _ = draw_scene(rng, max(32, height // 4), max(32, width // 4))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        found.append(cv2.add(image, rng.integers(0, 6, image.shape, np.uint8)))
    return found


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for the equalization, and one for all cores."""
    height, width = (64, 96) if tiny else (1024, 2048)
    recipe = SuperpixelRecipe(count=16, levels=2) if tiny else SuperpixelRecipe(count=2048)
    images, turns = scenes(2 if tiny else 8, height, width), 1 if tiny else 3

    def skimages() -> np.ndarray:
        return equalize_hist(images[0].reshape(height, -1)).reshape(images[0].shape).astype(np.float32)

    yield bench("equalization of a picture", "skimage's", lambda: equalized(images[0]), skimages, turns, equal)
    cores = os.cpu_count() or 1
    cut = partial(superpixels, recipe=recipe)
    yield bench(
        f"{len(images)} pictures in {cores} processes, their start included",
        "one process",
        lambda: list(parallel(cut, images, cores)),
        lambda: list(map(cut, images)),
        turns,
        equal,
    )
