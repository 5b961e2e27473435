"""From pixels to superpixels: the paper's question is which aggregation to use (OREAL Sec. 3.2: mean or max).

`by_superpixel` handles one image; `Regions` is the only loop over the pool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .types import Superpixels

PixelScore = Callable[[torch.Tensor], torch.Tensor]


def parse_how(how: str) -> tuple[str, float | None]:
    """("mean", None), ("max", None), ("vote", None), ("top", share), ("quantile", q) or ("power", p) of an aggregation's name.

    "top_0.25": mean of the most unsure quarter of the pixels, at least one (top_1 is the mean).
    "quantile_0.9": the 90 % quantile, lower of the two neighbors (quantile_1 is the maximum, quantile_0 the minimum).
    "power_8": (mean of s^8)^(1/8) of scores >= 0 (power_1 is the mean, growing powers approach the maximum).
    What lies between mean and max is our choice, not in the paper. ValueError for another name or a number out of range.
    """
    if how in ("mean", "max", "vote"):
        return how, None
    found = re.fullmatch(r"(top|quantile|power)_(\d+(?:\.\d+)?)", how)
    limits = {"top": (0.0, 1.0), "quantile": (0.0, 1.0), "power": (1.0, 256.0)}
    if found:
        kind, value = found[1], float(found[2])
        low, high = limits[kind]
        if low <= value <= high and not (kind == "top" and value == 0):
            return kind, value
    raise ValueError(
        f"aggregate is {how!r}; choose mean, max, top_<share in (0, 1]>, quantile_<q in [0, 1]> or power_<p in 1..256>"
    )


def by_superpixel(score: torch.Tensor, ids: torch.Tensor, n: int, how: str) -> torch.Tensor:
    """Aggregate pixel scores of one image over its superpixels.

    score: (K, H, W) float32, or int64 class ids for "vote".  ids: (H, W) int64 in 0..n-1.
    Returns (n, K), float32, or int64 for "vote" (most frequent class, lowest id on a tie).
    An id without a pixel gets -inf (or class 0 for "vote"): it is never a candidate.
    """
    kind, value = parse_how(how)
    flat, ids = score.flatten(1), ids.flatten()
    if kind == "vote":
        n_classes = int(flat.max()) + 1
        votes = [torch.bincount(ids * n_classes + row, minlength=n * n_classes) for row in flat]
        return torch.stack([v.view(n, n_classes).argmax(dim=1) for v in votes], dim=1)
    size = torch.bincount(ids, minlength=n)
    if kind == "max":
        index = ids.expand(len(flat), -1)
        out = flat.new_full((len(flat), n), -torch.inf).scatter_reduce(1, index, flat, "amax")
    elif kind == "top":
        # ceil: top_1 is every pixel, top_<tiny> is the maximum; in float32, 25 pixels times 0.6 would be 16
        take = (size.double() * value - 1e-9).ceil().clamp(min=1).long()
        out = torch.stack([_mean_of_top(row, ids, size, take) for row in flat])
    elif kind == "quantile":
        rank = ((size.double() - 1) * value + 1e-9).floor().clamp(min=0).long()
        out = torch.stack([_ordered(row, ids, size, rank) for row in flat])
    else:
        power = 1.0 if kind == "mean" else value
        # float64: a sum of thousands of float32 must not depend on the order of the pixels in any digit that ranks
        total = flat.new_zeros((len(flat), n), dtype=torch.float64)
        total.index_add_(1, ids, flat.double() ** power)
        out = ((total / size) ** (1 / power)).float()
    return torch.where(size > 0, out, -torch.inf).T.contiguous()


def _sorted(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(H*W,) scores ordered by superpixel, ascending inside each; (n,) position at which each superpixel starts."""
    by_score = torch.argsort(row, stable=True)
    order = by_score[torch.argsort(ids[by_score], stable=True)]
    return row[order], size.cumsum(0) - size


def _ordered(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
    """(n,) the rank-th smallest score of each superpixel; anything where a superpixel is empty."""
    values, start = _sorted(row, ids, size)
    return values[(start + rank).clamp(max=len(values) - 1)]


def _mean_of_top(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor, take: torch.Tensor) -> torch.Tensor:
    """(n,) mean of the `take` largest scores of each superpixel."""
    values, start = _sorted(row, ids, size)
    owner = torch.repeat_interleave(torch.arange(len(size), device=row.device), size)
    place = torch.arange(len(values), device=row.device) - start[owner]
    kept = torch.where(place >= (size - take)[owner], values.double(), 0.0)
    return (torch.zeros(len(size), dtype=torch.float64, device=row.device).index_add_(0, owner, kept) / take).float()


@dataclass(frozen=True)
class Regions:
    """What a strategy may look at: the model's view of the pool, one inference pass per question.

    predict: () -> iterator over the pool's images, in order, of probabilities (C, H, W) float32, softmax over C.
    superpixels: the pool's.  n_classes: C.
    """

    predict: Callable[[], Iterator[torch.Tensor]]
    superpixels: Superpixels
    n_classes: int

    def __call__(self, pixel_score: PixelScore, how: str) -> np.ndarray:
        """(N, K) float32 (int64 for "vote"): one pixel score, aggregated over every superpixel of the pool."""
        return self.together((pixel_score, how))[0]

    def together(self, *questions: tuple[PixelScore, str]) -> list[np.ndarray]:
        """Several (pixel score, aggregation) pairs from one inference pass; one (N, K) array each, float32, int64 for "vote".

        ValueError if the model predicts more or fewer images than the pool has, FloatingPointError if it predicts NaN or infinity.
        """
        for _, how in questions:
            parse_how(how)
        parts: list[list[np.ndarray]] = [[] for _ in questions]
        counts = np.diff(self.superpixels.offset)
        images = 0
        for image, p in enumerate(self.predict()):
            if not torch.isfinite(p).all():
                bad = [c for c in range(len(p)) if not torch.isfinite(p[c]).all()]
                raise FloatingPointError(
                    f"the model predicts NaN or infinity for pool image {image}, class {bad[0]}: "
                    "the training has diverged; lower learning_rate and run again"
                )
            ids = torch.from_numpy(np.asarray(self.superpixels.maps[image], dtype=np.int64)).to(p.device)
            for part, (pixel_score, how) in zip(parts, questions, strict=True):
                part.append(by_superpixel(pixel_score(p[None])[0], ids, int(counts[image]), how).cpu().numpy())
            images += 1
        if images != len(counts):
            raise ValueError(f"the model predicted {images} images, but the pool has {len(counts)}")
        return [np.concatenate(part) for part in parts]
