"""The last layer of a network: a plain 1 x 1 convolution, or cosines with one direction per class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineClassifier(nn.Conv2d):
    """Cosine of each pixel's features with each class's weights: no bias, no scale (MulActSeg `deeplabv3pluswn`).

    A temperature, in the loss and wherever probabilities are taken, makes the scores in [-1, 1] decisive.
    """

    def __init__(self, channels: int, n_classes: int):
        super().__init__(channels, n_classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [-1, 1], up to rounding, of features (B, D, H, W); 0 where they are all 0."""
        # Float32 under autocast too: a temperature of 0.1 makes ten times as much of what half precision loses.
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(F.normalize(x.float(), dim=1), F.normalize(self.weight, dim=1))


def linear(channels: int, n_classes: int) -> nn.Module:
    """A 1 x 1 convolution with bias."""
    return nn.Conv2d(channels, n_classes, 1)


# name -> function(channels, n_classes) -> layer from features (B, D, H, W) to logits (B, C, H, W)
CLASSIFIERS = {"linear": linear, "cosine": CosineClassifier}
