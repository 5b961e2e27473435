"""DeepLabV3+ (Chen et al. 2018) at output stride 16 on any timm backbone that can be dilated."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from .backbone import color_statistics, timm_backbone
from .cosine import CLASSIFIERS
from .small import conv_bn_relu

OUTPUT_STRIDE = 16
LOW_STRIDE = 4  # of the feature that brings the borders back
RATES = (6, 12, 18)  # the paper's for output stride 16


class DeepLabV3Plus(nn.Module):
    """Backbone, atrous pyramid (ASPP) on its last feature, decoder on its stride-4 feature.

    Layers and initialization follow VainF/DeepLabV3Plus-Pytorch `network/_deeplab.py`. Batch-norm momentum stays 0.1
    there where that repository's script sets 0.01 for the backbone: averaging the weights with their buffers (EMA) has
    the same effect here, and 0.1 also serves a backbone that starts from nothing.
    """

    multiple = OUTPUT_STRIDE  # every stride divides evenly (our choice): 769 -> 784, 513 -> 528, 220 -> 224

    def __init__(self, backbone: str, n_classes: int, imagenet: bool, classifier: str, temperature: float):
        super().__init__()
        self.backbone = dilated_backbone(backbone, imagenet)
        self.mean, self.std = color_statistics(backbone)
        strides, channels = self.backbone.feature_info.reduction(), self.backbone.feature_info.channels()
        self.low = max(i for i, stride in enumerate(strides) if stride == LOW_STRIDE)
        self.aspp = ASPP(channels[-1], RATES, 256)
        self.aspp.project[-1] = nn.Dropout(0.1)  # torchvision drops 0.5
        self.reduce = conv_bn_relu(channels[self.low], 48, kernel=1)
        self.fuse = conv_bn_relu(48 + 256, 256)
        self.classifier = CLASSIFIERS[classifier](256, n_classes, temperature)
        for part in (self.aspp, self.reduce, self.fuse, self.classifier):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees, (B, 256, H/4, W/4), and its logits (B, C, H/4, W/4), both float, of normalized images
        (B, 3, H, W), H and W divisible by 16. ValueError for a training batch of one image."""
        if len(x) < 2 and self.aspp.convs[-1][2].training:
            raise ValueError(
                f"a training batch of {len(x)} image, but DeepLabV3+ averages it to 1 x 1 and its batch norm there "
                "needs 2 or more; raise batch_size, drop the last incomplete batch, or call model.eval()"
            )
        features = self.backbone(x)
        low, high = self.reduce(features[self.low]), self.aspp(features[-1])
        high = F.interpolate(high, size=low.shape[-2:], mode="bilinear", align_corners=False)
        fused = self.fuse(torch.cat([low, high], dim=1))
        return fused, self.classifier(fused)


def dilated_backbone(name: str, imagenet: bool) -> nn.Module:
    """The timm backbone as a module that returns its list of features, the last at stride 16.

    Raises as `timm_backbone`, and ValueError for a network that cannot be dilated or has no feature at stride 4.
    """
    try:
        backbone = timm_backbone(name, imagenet, example="resnet50", features_only=True, output_stride=OUTPUT_STRIDE)
    except (TypeError, AssertionError, NotImplementedError) as error:  # timm: no such option
        raise ValueError(f"timm cannot dilate {name} to output stride {OUTPUT_STRIDE}; take resnet50, say") from error
    strides = backbone.feature_info.reduction()
    if LOW_STRIDE not in strides or strides[-1] != OUTPUT_STRIDE:
        raise ValueError(
            f"{name} has features at strides {strides}, but DeepLabV3+ needs one at {LOW_STRIDE} and the last at "
            f"{OUTPUT_STRIDE}; take another backbone, such as resnet50"
        )
    return backbone
