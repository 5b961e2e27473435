"""What the benchmarks of asking share: a pool whose logits lie ready, and how its results are headed and kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from oreal_lib import predict
from oreal_lib.storage import provenance
from oreal_lib.types import Labels, Superpixels

RESULTS = Path(__file__).resolve().parent / "results"
BOUGHT, ASKED = 0.25, 0.1  # of the pool's superpixels: labeled, and to be asked


class Stored(nn.Module):
    """A network that has its answers ready: call by call the logits (C, H, W) of the next image."""

    def __init__(self, logits: list[torch.Tensor]):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, device=logits[0].device))  # says on which device it is
        self.answers = iter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(1, C, H, W) float32, in the memory it lies in."""
        return next(self.answers)[None]


@dataclass(frozen=True, eq=False)
class Pool:
    """Images of one size cut alike, each with other logits.

    logits: n of (C, H, W) float32, in channels-last memory as the networks leave them.  images: (n, H, W, 3) uint8.
    """

    logits: list[torch.Tensor]
    images: np.ndarray
    superpixels: Superpixels
    labels: Labels
    n_classes: int

    @property
    def budget(self) -> int:
        """Superpixels to ask."""
        return max(1, round(ASKED * len(self.superpixels)))

    def bare(self) -> Iterator[torch.Tensor]:
        """One inference pass that costs nothing: the logits, by `predict.logits`."""
        return predict.logits(Stored(self.logits), self._no_pixels(), 1)

    def predict(self) -> Iterator[torch.Tensor]:
        """One inference pass that costs the softmax alone: the probabilities, by `predict.predict`."""
        return predict.predict(Stored(self.logits), self._no_pixels(), 1)

    def _no_pixels(self) -> np.ndarray:
        return np.zeros((len(self.logits), 1, 1, 3), np.uint8)  # Stored does not look at them


def picture(height: int, width: int, count: int, seed: int, method: str = "seeds") -> tuple[np.ndarray, np.ndarray]:
    """A drawn scene (height, width, 3) uint8 and its superpixels (height, width) uint16, `count` asked; a grid needs no scene."""
    from oreal_lib.data.readers.toy import draw_scene  # takes a second to import, and a process that only chooses does without it
    from oreal_lib.superpixels import SuperpixelRecipe, superpixels

    image = np.zeros((height, width, 3), np.uint8)
    if method != "grid":
        image, _ = draw_scene(np.random.default_rng(seed), height, width)
    return image, superpixels(image, SuperpixelRecipe(method=method, count=count))


def smooth_logits(height: int, width: int, n_classes: int, seed: int, device: torch.device) -> torch.Tensor:
    """(C, H, W) float32 in channels-last memory: noise at a sixteenth of the size, brought up bilinearly."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 3 * torch.randn(1, n_classes, -(-height // 16), -(-width // 16), generator=generator)
    coarse = coarse.to(device, memory_format=torch.channels_last)
    return F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[0]


def pool_of(image: np.ndarray, ids: np.ndarray, n_images: int, n_classes: int, seed: int, device: torch.device) -> Pool:
    """So many images that look alike, of which a quarter of the superpixels is labeled, rare classes seldom."""
    one = Superpixels.from_maps(ids[None])
    offset = np.arange(n_images + 1, dtype=np.int64) * len(one)
    cut = Superpixels(np.broadcast_to(ids, (n_images, *ids.shape)), offset, np.tile(one.size, n_images))
    logits = [smooth_logits(*ids.shape, n_classes, seed + i, device) for i in range(n_images)]
    labels = some_labels(len(cut), n_classes, round(BOUGHT * len(cut)), 1, np.random.default_rng(seed))
    return Pool(logits, np.broadcast_to(image, (n_images, *image.shape)), cut, labels, n_classes)


def some_labels(n: int, n_classes: int, bought: int, steps: int, rng: np.random.Generator) -> Labels:
    """Labels of n superpixels, `bought` of them drawn in each step; class c is 1 / (c + 1) as frequent as the first."""
    labels, share = Labels.none(n, n_classes), 1 / np.arange(1, n_classes + 1)
    order = rng.permutation(n)
    for step in range(1, steps + 1):
        ids = order[(step - 1) * bought : step * bought]
        answers = np.zeros((len(ids), n_classes), bool)
        answers[np.arange(len(ids)), rng.choice(n_classes, len(ids), p=share / share.sum())] = True
        labels = labels.reveal(ids, answers, step)
    return labels


def counted(passes: Callable[[], Iterator[Any]], note: list[int]) -> Callable[[], Iterator[Any]]:
    """The same inference pass, which leaves a mark in `note` whenever it is begun."""

    def marked() -> Iterator[Any]:
        note.append(1)
        yield from passes()

    return marked


def header(device: torch.device) -> dict[str, Any]:
    """Machine, versions, commit and load: what stands above the rows of every result."""
    return {
        "device": provenance.device_name(device),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "load_average": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def slug(device: torch.device) -> str:
    """Short name of the machine in a file's name: "cpu", or that of the GPU."""
    name = provenance.device_name(device)
    return "cpu" if device.type == "cpu" else re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
