"""A linear probe: several levels of an encoder side by side at stride 8, and one 1 x 1 convolution that sees them standardized.

After the probes of self-supervised encoders (Oquab et al., DINOv2, 2023). With a frozen encoder only the head is trained.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import STRIDE, enlarged
from .backbone import color_statistics, timm_backbone
from .cosine import CLASSIFIERS

STRIDES = (4, 8, 16, 32)  # of the levels


class Standardize(nn.BatchNorm2d):
    """Each channel with mean 0 and standard deviation 1: of the batch, as batch norm has it, or, once given, of the pool (our choice)."""

    given = False

    def give(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Takes these of the pool, (D,) float32 each, from here on (our choice)."""
        self.running_mean.copy_(torch.from_numpy(mean))
        self.running_var.copy_(torch.from_numpy(std) ** 2)
        self.given = True
        self.eval()

    def train(self, mode: bool = True) -> "Standardize":
        """As of any torch module, but what was given stays (our choice)."""
        return super().train(mode and not self.given)


def new_head(channels: int, n_classes: int, hidden: int, classifier: str, temperature: float) -> nn.Sequential:
    """Standardized features, a hidden layer or none, and the last layer: (B, D, h, w) features to (B, C, h, w) logits (our choice)."""
    middle = [nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True)] if hidden else []
    return nn.Sequential(
        Standardize(channels, affine=False), *middle, CLASSIFIERS[classifier](hidden or channels, n_classes, temperature)
    )


class Linear(nn.Module):
    """Encoder and head. With `hidden` channels it is a perceptron with one hidden layer at each position (our choice)."""

    multiple = max(STRIDES)

    def __init__(self, backbone: str, n_classes: int, imagenet: bool, classifier: str, temperature: float, hidden: int = 0):
        super().__init__()
        self.backbone = pyramid(backbone, imagenet)
        self.mean, self.std = color_statistics(backbone)
        self.channels, self.hidden = sum(self.backbone.feature_info.channels()), hidden
        self.head = new_head(self.channels, n_classes, hidden, classifier, temperature)

    def features(self, x: Tensor) -> Tensor:
        """(B, D, H/8, W/8) float: the levels of normalized images (B, 3, H, W), H and W divisible by 32, at stride 8 (our choice)."""
        size = [side // STRIDE for side in x.shape[-2:]]
        return torch.cat([_at(level, size) for level in self.backbone(x)], dim=1)

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees, (B, D', H/8, W/8), and its logits (B, C, H/8, W/8), both float, of normalized images (B, 3, H, W)
        (our choice)."""
        seen = self.head[:-1](self.features(x))
        return seen, self.head[-1](seen)


def _at(level: Tensor, size: list[int]) -> Tensor:
    """A level (B, D, h, w) at another size: averaged where it is finer, bilinear where it is coarser."""
    if level.shape[-2] > size[0]:
        return F.avg_pool2d(level, 2)
    return level if list(level.shape[-2:]) == size else F.interpolate(level, size, mode="bilinear", align_corners=False)


def pyramid(name: str, imagenet: bool) -> nn.Module:
    """The timm backbone as a module that returns its last four levels, at strides 4, 8, 16 and 32.

    Raises as `timm_backbone`, and ValueError for a network that has no such levels.
    """
    try:
        backbone = timm_backbone(name, imagenet, "tf_efficientnet_lite0", features_only=True, out_indices=(-4, -3, -2, -1))
        with torch.inference_mode():  # some give other shapes than they say, or take one size of picture only
            found = [tuple(level.shape[1:]) for level in backbone.eval()(torch.zeros(1, 3, 64, 64))]
    except (AttributeError, RuntimeError, AssertionError, NotImplementedError, IndexError):
        found = []  # timm has no such levels
    if not found or found != [(c, 64 // s, 64 // s) for c, s in zip(backbone.feature_info.channels(), STRIDES, strict=False)]:
        raise ValueError(
            f"{name} has no levels at strides {STRIDES} of pictures of any size; take tf_efficientnet_lite0 or resnet50, say"
        )
    return backbone.train()


class FrozenHead(nn.Module):
    """What is trained of a `Linear` network whose encoder is frozen: takes its features and gives logits of the image's size (our choice).

    size: (height, width) of the images.  mean, std: (D,) float32 of the pool's features.
    """

    def __init__(self, head: nn.Sequential, size: tuple[int, int], mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.head, self.size = head, size
        head[0].give(mean, std)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) float32 logits of features (B, D, h, w); in training (B, C, h, w), one for each position (our choice)."""
        logits = self.head(features)
        return logits.float() if self.training else enlarged(logits, self._covered(features), self.size)

    def features_and_logits(self, features: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """As `NormalizeAndPad.features_and_logits`, of features (B, D, h, w): float32 (our choice)."""
        seen, covered = self.head[:-1](features), self._covered(features)
        return F.normalize(seen.float(), dim=1), enlarged(self.head[-1](seen), covered, self.size), covered

    def _covered(self, features: Tensor) -> tuple[int, int]:
        return features.shape[-2] * STRIDE, features.shape[-1] * STRIDE
