"""The last layer of a network: a plain 1 x 1 convolution, or cosines with one direction per class."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineClassifier(nn.Conv2d):
    """Cosine of each pixel's features with each class's weights, without bias, divided by a temperature that makes what
    would be logits in [-1, 1] decisive (MulActSeg `deeplabv3pluswn`; its temperature is 0.1)."""

    def __init__(self, channels: int, n_classes: int, temperature: float = 0.1):
        super().__init__(channels, n_classes, 1, bias=False)
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float32 in +-1 / temperature, up to rounding, of features (B, D, H, W); 0 where they are all 0."""
        # Float32 under autocast too: a temperature of 0.1 makes ten times as much of what half precision loses.
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(F.normalize(x.float(), dim=1), F.normalize(self.weight, dim=1)) / self.temperature


def linear(channels: int, n_classes: int, temperature: float = 1.0) -> nn.Module:
    """A 1 x 1 convolution with bias, which learns its own temperature: the last layer of DeepLabV3+ (Chen et al. 2018)."""
    return nn.Conv2d(channels, n_classes, 1)


# name -> function(channels, n_classes, temperature) -> layer from features (B, D, H, W) to logits (B, C, H, W)
CLASSIFIERS = {"linear": linear, "cosine": CosineClassifier}
