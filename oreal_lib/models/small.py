"""The toy network: learns in seconds on one CPU core, and from scratch beats far larger ones in equal time.

Our choice: a U-Net (Ronneberger et al. 2015).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cosine import CLASSIFIERS

CHANNELS = (16, 24, 32, 48, 64)  # our choice; twice as wide is slower and no better within a minute of training


def conv_bn_relu(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias (batch norm has one), batch norm, ReLU; output size = input size / stride."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class SmallUNet(nn.Module):
    """U-Net of 0.22 M parameters: down to 1/32 of the size in five stages, and up to 1/2, where the logits are.

    ValueError for a backbone or ImageNet weights, which it has not.
    """

    multiple = 32
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet

    def __init__(self, backbone: str, n_classes: int, imagenet: bool, classifier: str, temperature: float):
        super().__init__()
        if backbone:
            raise ValueError(f"small_unet has no backbone to choose, but got {backbone!r}; write small_unet")
        if imagenet:
            raise ValueError("small_unet has no ImageNet weights; pass weights=none and train it from scratch")
        self.stem = conv_bn_relu(3, CHANNELS[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(conv_bn_relu(c_in, c_out), conv_bn_relu(c_out, c_out))
            for c_in, c_out in pairwise((CHANNELS[0], *CHANNELS))
        )
        self.up = nn.ModuleList(conv_bn_relu(low + high, high) for high, low in reversed(list(pairwise(CHANNELS))))
        self.classifier = CLASSIFIERS[classifier](CHANNELS[0], n_classes, temperature)

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees, (B, 16, H/2, W/2), and its logits (B, C, H/2, W/2), both float, of normalized images
        (B, 3, H, W), H and W divisible by 32."""
        x = self.stem(x)
        skips = []
        for stage in self.down:
            x = stage(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for stage, skip in zip(self.up, skips[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = stage(torch.cat([skip, x], dim=1))
        return x, self.classifier(x)
