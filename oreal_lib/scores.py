"""Pixel scores: how unsure the model is about each pixel. Higher always means "ask me".

Every score maps probabilities (B, C, ...) float32, a softmax over C, most often (B, C, H, W), to (B, K, ...) float32.
Natural logarithms; a probability of exactly 0 or 1 contributes exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch

TILE = 1 << 16  # pixels: of 19 classes, 5 MB and as much for what is computed on the way
_TINY = torch.finfo(torch.float32).tiny  # its logarithm is finite, so that times 0 it is 0


def in_tiles(score: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The same score of each pixel, on a CPU computed for TILE pixels at a time, so that what comes between stays in its cache.

    Our choice. For a score (B, C, ...) float32 -> (B, K, ...) float32 or int64 that depends on nothing but a pixel's own
    probabilities.
    """

    @wraps(score)
    def tiled(p: torch.Tensor, *args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        if p.device.type != "cpu" or p[0, 0].numel() <= TILE:
            return score(p, *args, **kwargs)
        flat, out = p.flatten(2), None
        for start in range(0, flat.shape[2], TILE):
            part = score(flat[..., start : start + TILE], *args, **kwargs)
            out = part.new_empty((*part.shape[:2], flat.shape[2])) if out is None else out
            out[..., start : start + TILE] = part
        return out.unflatten(2, p.shape[2:])

    return tiled


@in_tiles
def entropy(p: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of the class distribution, (B, 1, H, W) in [0, ln C] (CBAL's uncertainty, Bengar et al. 2021)."""
    return torch.xlogy(p, p).sum(dim=1, keepdim=True).neg_()


@in_tiles
def bvsb(p: torch.Tensor) -> torch.Tensor:
    """Best versus second best as a ratio, p2 / p1, (B, 1, H, W) in (0, 1]; as coded by Cai et al. 2021 and Hwang et al. 2023."""
    best, second = _best_two(p)
    return second / best


@in_tiles
def bvsb_margin(p: torch.Tensor) -> torch.Tensor:
    """Best versus second best as a margin, 1 - (p1 - p2), (B, 1, H, W) in [0, 1]. Joshi et al., 2009."""
    best, second = _best_two(p)
    return 1 - (best - second)


def _best_two(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest and the second largest probability, (B, 1, ...) each: `topk`, but a tenth of its time."""
    if p.shape[1] < 2:
        raise ValueError(f"BvSB compares two classes, but there is {p.shape[1]}; add one, such as 'background'")
    best, second = torch.maximum(p[:, :1], p[:, 1:2]), torch.minimum(p[:, :1], p[:, 1:2])
    for c in range(2, p.shape[1]):
        q = p[:, c : c + 1]
        second = torch.maximum(second, torch.minimum(best, q))
        best = torch.maximum(best, q)
    return best, second


@in_tiles
def ovr_entropy(p: torch.Tensor) -> torch.Tensor:
    """One-vs-rest entropy of each class, (B, C, H, W) in [0, ln 2] (OREAL Eq. 1): is this pixel of class c, or not?"""
    # log1p, because 1 - p has lost what a small p was; clamped, because at p = 1 it is infinite
    rest = torch.log1p(-p).clamp_min_(-100.0).mul_(1 - p)
    return p.clamp_min(_TINY).log_().mul_(p).add_(rest).neg_()


@in_tiles
def ovr_doubt(p: torch.Tensor) -> torch.Tensor:
    """The less likely answer to "of class c, or not?": min(P, 1 - P), (B, C, H, W) in [0, 1/2]. Ranks as Eq. 1 of OREAL does.

    The one-vs-rest entropy grows with it, so a maximum or a quantile belongs to the same pixel; but it needs no logarithm, and
    float32 holds it exactly, where entropies near ln 2 are rounded into ties. `ovr_entropy_of` turns it into the entropy.
    """
    return torch.minimum(p, 1 - p)


def ovr_entropy_of(doubt: torch.Tensor) -> torch.Tensor:
    """The one-vs-rest entropy (OREAL Eq. 1), (Q,) float32 in [0, ln 2], that belongs to an `ovr_doubt`.

    doubt: (Q,) float32 in [0, 1/2].
    """
    q = doubt.double()
    return (-torch.xlogy(q, q) - torch.special.xlog1py(1 - q, -q)).float()


def probability(p: torch.Tensor) -> torch.Tensor:
    """The softmax itself, (B, C, H, W) in [0, 1]. Averaged over superpixels it is the class prior of PixelBal and CBAL's p(K)."""
    return p


@in_tiles
def predicted_class(p: torch.Tensor) -> torch.Tensor:
    """The arg-max class, (B, 1, H, W) int64, lowest id on a tie. By "vote" it is the class of a superpixel in Cai et al. 2021."""
    return p.max(dim=1, keepdim=True).indices


def weighted_bvsb(p: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """BvSB ratio times the weight (C,) of the pixel's predicted class, (B, 1, H, W) float32: PixelBal, Hwang et al. 2023."""
    return bvsb(p) * weight.to(p)[predicted_class(p)]
