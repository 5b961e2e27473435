"""Pixel scores: how unsure the model is about each pixel. Higher always means "ask me".

Every score maps probabilities (B, C, H, W) float32, a softmax over C, to (B, K, H, W) float32.
Natural logarithms; a probability of exactly 0 or 1 contributes exactly 0.
"""

from __future__ import annotations

import torch


def entropy(p: torch.Tensor) -> torch.Tensor:
    """Shannon entropy of the class distribution, (B, 1, H, W) in [0, ln C] (CBAL's uncertainty, Bengar et al. 2021)."""
    return -torch.xlogy(p, p).sum(dim=1, keepdim=True)


def bvsb(p: torch.Tensor) -> torch.Tensor:
    """Best versus second best as a ratio, p2 / p1, (B, 1, H, W) in (0, 1]; as coded by Cai et al. 2021 and Hwang et al. 2023."""
    best = p.topk(2, dim=1).values
    return best[:, 1:2] / best[:, :1]


def bvsb_margin(p: torch.Tensor) -> torch.Tensor:
    """Best versus second best as a margin, 1 - (p1 - p2), (B, 1, H, W) in [0, 1]. Joshi et al., 2009."""
    best = p.topk(2, dim=1).values
    return 1 - (best[:, :1] - best[:, 1:2])


def ovr_entropy(p: torch.Tensor) -> torch.Tensor:
    """One-vs-rest entropy of each class, (B, C, H, W) in [0, ln 2] (OREAL Eq. 1): is this pixel of class c, or not?"""
    return -torch.xlogy(p, p) - torch.special.xlog1py(1 - p, -p)


def probability(p: torch.Tensor) -> torch.Tensor:
    """The softmax itself, (B, C, H, W) in [0, 1]. Averaged over superpixels it is the class prior of PixelBal and CBAL's p(K)."""
    return p


def predicted_class(p: torch.Tensor) -> torch.Tensor:
    """The arg-max class, (B, 1, H, W) int64, lowest id on a tie. By "vote" it is the class of a superpixel in Cai et al. 2021."""
    return p.argmax(dim=1, keepdim=True)


def weighted_bvsb(p: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """BvSB ratio times the weight (C,) of the pixel's predicted class, (B, 1, H, W) float32: PixelBal, Hwang et al. 2023."""
    return bvsb(p) * weight.to(p)[p.argmax(dim=1, keepdim=True)]
