"""Training losses on bought labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .types import IGNORE


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the labeled pixels, a scalar (OREAL Sec. 4.2); 0 with a gradient of 0 where none is labeled.

    logits: (B, C, H, W).  target: (B, H, W) uint8 class ids or IGNORE.
    """
    total = F.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)  # a crop may hold no labeled pixel: 0, not 0 / 0
