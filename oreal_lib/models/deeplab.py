"""DeepLabV3+ (Chen et al. 2018) at output stride 16 on any timm backbone that can be dilated."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from oreal_lib.models.small import conv_bn_relu

OUTPUT_STRIDE = 16
LOW_STRIDE = 4  # of the feature that brings the borders back
RATES = (6, 12, 18)  # the paper's for output stride 16

# What a failed download raises: OSError has DNS, timeouts, offline mode and "not in the cache" below it, and the bases
# of the hub's own error hold the rest of its HTTP client's family, whichever client this hub version uses.
FETCH_ERRORS = (OSError, *HfHubHTTPError.__bases__)


class DeepLabV3Plus(nn.Module):
    """Backbone, atrous pyramid (ASPP) on its last feature, decoder on its stride-4 feature.

    Layers and initialization follow VainF/DeepLabV3Plus-Pytorch `network/_deeplab.py`. Batch-norm momentum stays 0.1
    there where that repository's script sets 0.01 for the backbone: averaging the weights with their buffers (EMA) has
    the same effect here, and 0.1 also serves a backbone that starts from nothing.
    """

    multiple = OUTPUT_STRIDE  # every stride divides evenly (our choice): 769 -> 784, 513 -> 528, 220 -> 224

    def __init__(self, backbone: str, n_classes: int, imagenet: bool = False):
        super().__init__()
        self.backbone = dilated_backbone(backbone, imagenet)
        config = timm.get_pretrained_cfg(backbone)
        self.mean, self.std = tuple(config.mean), tuple(config.std)  # as this backbone was trained, mostly ImageNet's
        strides, channels = self.backbone.feature_info.reduction(), self.backbone.feature_info.channels()
        self.low = max(i for i, stride in enumerate(strides) if stride == LOW_STRIDE)
        self.aspp = ASPP(channels[-1], RATES, 256)
        self.aspp.project[-1] = nn.Dropout(0.1)  # torchvision drops 0.5
        self.reduce = conv_bn_relu(channels[self.low], 48, kernel=1)
        self.fuse = conv_bn_relu(48 + 256, 256)
        self.classifier = nn.Conv2d(256, n_classes, 1)
        for part in (self.aspp, self.reduce, self.fuse, self.classifier):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)

    def features(self, x: Tensor) -> Tensor:
        """(B, 256, H/4, W/4): what the classifier sees of normalized images (B, 3, H, W)."""
        if len(x) < 2 and self.aspp.convs[-1][2].training:
            raise ValueError(
                f"a training batch of {len(x)} image, but DeepLabV3+ averages it to 1 x 1 and its batch norm there "
                "needs 2 or more; raise batch_size, drop the last incomplete batch, or call model.eval()"
            )
        features = self.backbone(x)
        low, high = self.reduce(features[self.low]), self.aspp(features[-1])
        high = F.interpolate(high, size=low.shape[-2:], mode="bilinear", align_corners=False)
        return self.fuse(torch.cat([low, high], dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H/4, W/4) logits of normalized images (B, 3, H, W), H and W divisible by 16."""
        return self.classifier(self.features(x))


def dilated_backbone(name: str, imagenet: bool) -> nn.Module:
    """The timm backbone as a module that returns its list of features, the last at stride 16.

    Raises ValueError for a name timm does not know, a network that cannot be dilated, or one without ImageNet weights;
    ConnectionError when they cannot be fetched.
    """
    known = timm.list_models() + timm.list_pretrained()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=5)
        raise ValueError(
            f"timm has no backbone {name!r}; choose from timm.list_models(), "
            + (f"such as {', '.join(near)}" if near else "such as resnet50")
        )
    if imagenet and not timm.get_pretrained_cfg(name).has_weights:
        raise ValueError(f"timm has no ImageNet weights for {name}; pass weights=none or weights=<path to a file>")
    try:
        backbone = timm.create_model(name, pretrained=imagenet, features_only=True, output_stride=OUTPUT_STRIDE)
    except FETCH_ERRORS as error:
        raise ConnectionError(
            f"cannot fetch the ImageNet weights of {name} ({type(error).__name__}: {error}); download "
            f"{wanted_file(name)} on a machine with network and pass weights=<path to it>, or pass weights=none"
        ) from error
    except (TypeError, AssertionError, NotImplementedError) as error:  # timm: no such option
        raise ValueError(f"timm cannot dilate {name} to output stride {OUTPUT_STRIDE}; take resnet50, say") from error
    strides = backbone.feature_info.reduction()
    if LOW_STRIDE not in strides or strides[-1] != OUTPUT_STRIDE:
        raise ValueError(
            f"{name} has features at strides {strides}, but DeepLabV3+ needs one at {LOW_STRIDE} and the last at "
            f"{OUTPUT_STRIDE}; take another backbone, such as resnet50"
        )
    return backbone


def wanted_file(name: str) -> str:
    """In words: the file that holds the ImageNet weights of a timm backbone, and the place it lies in."""
    config = timm.get_pretrained_cfg(name)
    if config.hf_hub_id:
        return f"{config.hf_hub_filename or 'model.safetensors'} of the Hugging Face repository {config.hf_hub_id}"
    return PurePosixPath(config.url).name
