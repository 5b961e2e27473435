"""A light feature pyramid (Lin et al. 2017) for CPUs: 1 x 1 laterals, each level added to the next finer one, depthwise fusion."""

from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import color_statistics
from .cosine import CLASSIFIERS
from .linear import STRIDES, pyramid

CHANNELS = 64  # our choice


def depthwise(channels: int) -> nn.Sequential:
    """A 3 x 3 convolution of each channel, then one of all at each position; batch norm, ReLU; same size."""
    alone = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    return nn.Sequential(alone, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class FPN(nn.Module):
    """Encoder and light decoder; the logits are at stride 4."""

    multiple = max(STRIDES)

    def __init__(self, backbone: str, n_classes: int, imagenet: bool, classifier: str, temperature: float):
        super().__init__()
        self.backbone = pyramid(backbone, imagenet)
        self.mean, self.std = color_statistics(backbone)
        self.laterals = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in self.backbone.feature_info.channels())
        self.fuse = nn.ModuleList(depthwise(CHANNELS) for _ in self.laterals)
        self.classifier = CLASSIFIERS[classifier](CHANNELS, n_classes, temperature)

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees, (B, 64, H/4, W/4), and its logits (B, C, H/4, W/4), both float, of normalized images
        (B, 3, H, W), H and W divisible by 32."""
        top = None
        for level, lateral, fuse in reversed(list(zip(self.backbone(x), self.laterals, self.fuse, strict=True))):
            side = lateral(level)
            if top is not None:
                side = side + F.interpolate(top, side.shape[-2:], mode="bilinear", align_corners=False)
            top = fuse(side)
        return top, self.classifier(top)
