"""Every strategy's question to a pool, as this library asks it and as published code does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from oreal_lib import predict
from oreal_lib.aggregate import Regions
from oreal_lib.data.readers.toy import draw_scene
from oreal_lib.strategies import STRATEGIES
from oreal_lib.superpixels import SuperpixelRecipe, superpixels
from oreal_lib.types import Labels, Superpixels

from . import published
from .bench import SEED, alike, bench

BOUGHT, ASKED = 0.25, 0.1  # of the pool's superpixels


class Stored(nn.Module):
    """A network that has its answers ready: call by call the logits (C, H, W) of the next image."""

    def __init__(self, logits: list[torch.Tensor]):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))  # says on which device it is
        self.answers = iter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(1, C, H, W) float32."""
        return next(self.answers)[None]


@dataclass(frozen=True, eq=False)
class Pool:
    """Images cut alike, each with logits (C, H, W) float32 of its own in channels-last memory, as networks leave them."""

    logits: list[torch.Tensor]
    superpixels: Superpixels
    labels: Labels

    @property
    def budget(self) -> int:
        """Superpixels to ask."""
        return max(1, round(ASKED * len(self.superpixels)))

    def predict(self) -> Iterator[torch.Tensor]:
        """One inference pass, whose cost is the softmax alone."""
        return predict.predict(Stored(self.logits), np.zeros((len(self.logits), 1, 1, 3), np.uint8), 1)

    def ours(self, strategy: str, how: str) -> np.ndarray:
        """(Q,) int64: what the strategy asks."""
        regions = Regions(self.predict, self.superpixels, len(self.logits[0]))
        return STRATEGIES[strategy](regions, self.labels, self.budget, how, np.random.default_rng(SEED)).ids

    def published(self, strategy: str, how: str) -> np.ndarray:
        """(Q,) int64: what published code asks."""
        return published.ask(strategy, how, lambda: iter(self.logits), self.superpixels, self.labels, self.budget)


def some_labels(n: int, n_classes: int, bought: int, rng: np.random.Generator) -> Labels:
    """Labels of n superpixels, `bought` of them drawn; class c is 1 / (c + 1) as frequent as the first."""
    share = 1 / np.arange(1, n_classes + 1)
    answers = np.eye(n_classes, dtype=bool)[rng.choice(n_classes, bought, p=share / share.sum())]
    return Labels.none(n, n_classes).reveal(rng.permutation(n)[:bought], answers, 1)


def pool_of(height: int, width: int, count: int, n_images: int, n_classes: int, method: str) -> Pool:
    """So many images with smooth logits, of which a quarter of the superpixels is labeled."""
    image, _ = draw_scene(np.random.default_rng(SEED), height, width)
    ids = superpixels(image, SuperpixelRecipe(method=method, count=count))
    cut = Superpixels.from_maps(np.repeat(ids[None], n_images, axis=0))
    logits = []
    for i in range(n_images):
        coarse = 3 * torch.randn(1, n_classes, -(-height // 16), -(-width // 16), generator=torch.Generator().manual_seed(SEED + i))
        coarse = coarse.contiguous(memory_format=torch.channels_last)
        logits.append(F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[0])
    return Pool(logits, cut, some_labels(len(cut), n_classes, round(BOUGHT * len(cut)), np.random.default_rng(SEED)))


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for each strategy and aggregation of the paper."""
    pool = pool_of(32, 64, 32, 2, 3, "grid") if tiny else pool_of(1024, 2048, 2048, 2, 19, "seeds")
    for strategy in published.WAYS:
        for how in ("mean", "max"):
            ours, other = (lambda way=way, s=strategy, h=how: way(s, h) for way in (pool.ours, pool.published))
            yield bench(f"{strategy} {how}", "published way", ours, other, 1 if tiny else 3, alike)
