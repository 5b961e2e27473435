"""Pixel scores: how unsure the model is about each pixel. Higher always means "ask me".

Every score maps probabilities (B, C, ...) float32, a softmax over C, most often (B, C, H, W), to (B, K, ...) float32, each pixel by
itself. Natural logarithms; a probability of exactly 0 or 1 contributes exactly 0. `fast.tiles` computes the same numbers sooner.
"""

import torch

TINY = torch.finfo(torch.float32).tiny


def entropy(p: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of the class distribution, (B, 1, H, W) in [0, ln C] (CBAL's uncertainty, Bengar et al. 2021)."""
    return -torch.xlogy(p, p).sum(dim=1, keepdim=True)


def class_entropy(p: torch.Tensor) -> torch.Tensor:
    """Each class's part of the entropy, -p ln p, (B, C, H, W) in [0, 1/e] (of ClaSP PE, not in the paper)."""
    return -torch.xlogy(p, p)


def doubt(p: torch.Tensor) -> torch.Tensor:
    """The probability that the predicted class is wrong, 1 - p1, (B, 1, H, W) in [0, 1 - 1/C] (our choice)."""
    return 1 - p.max(dim=1, keepdim=True).values


def bvsb(p: torch.Tensor) -> torch.Tensor:
    """Best versus second best as a ratio, p2 / p1, (B, 1, H, W) in (0, 1]; as coded by Cai et al. 2021 and Hwang et al. 2023."""
    best, second = best_two(p)
    return second / best


def bvsb_margin(p: torch.Tensor) -> torch.Tensor:
    """Best versus second best as a margin, 1 - (p1 - p2), (B, 1, H, W) in [0, 1]. Joshi et al., 2009."""
    best, second = best_two(p)
    return 1 - (best - second)


def best_two(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest and the second largest probability in [0, 1], (B, 1, H, W) each (Joshi et al., 2009). ValueError for one class."""
    if p.shape[1] < 2:
        raise ValueError(f"BvSB compares two classes, but there is {p.shape[1]}; add one, such as 'background'")
    return p.topk(2, dim=1).values.split(1, dim=1)


def ovr_entropy(p: torch.Tensor) -> torch.Tensor:
    """One-vs-rest entropy of each class, (B, C, H, W) in [0, ln 2] (OREAL Eq. 1): is this pixel of class c, or not?"""
    # log1p, because float32 cannot tell 1 - p from 1 where p is small; clamped, because 0 times an infinite logarithm is NaN
    return -(p * p.clamp_min(TINY).log() + (1 - p) * torch.log1p(-p).clamp_min(-100))


def ovr_doubt(p: torch.Tensor) -> torch.Tensor:
    """The less likely answer to "of class c, or not?": min(P, 1 - P), (B, C, H, W) in [0, 1/2]. Gives the same ranking as OREAL Eq. 1.

    The one-vs-rest entropy grows with it, so a maximum or a quantile falls on the same pixel. But it needs no logarithm, and
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


def predicted_class(p: torch.Tensor) -> torch.Tensor:
    """The arg-max class, (B, 1, H, W) int64, lowest id on a tie. By "vote" it is the class of a superpixel in Cai et al. 2021."""
    return p.max(dim=1, keepdim=True).indices


def weighted_bvsb(p: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """BvSB ratio times the weight (C,) of the pixel's predicted class, (B, 1, H, W) float32: PixelBal, Hwang et al. 2023."""
    return bvsb(p) * weight.to(p)[predicted_class(p)]
