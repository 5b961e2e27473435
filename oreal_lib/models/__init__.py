"""Networks by name, those of OREAL Table 1 and a small one: each takes images as they are and gives logits of the same size."""

import difflib
from collections.abc import Callable, Sequence
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cosine import CLASSIFIERS
from .small import SmallUNet
from .weights import load_weights, read_state

HIDDEN = 128  # channels of the hidden layer of mlp_* (our choice)
STRIDE = 8  # of the positions that linear_* and mlp_* classify (our choice)


def enlarged(logits: Tensor, covered: Sequence[int], size: Sequence[int]) -> Tensor:
    """(B, C, H, W) float32 logits of an image of `size` (H, W), of those (B, C, h, w) that cover it padded at the bottom and right."""
    logits = logits.float()  # under autocast too: half precision makes ties of close scores
    return F.interpolate(logits, size=tuple(covered), mode="bilinear", align_corners=False)[..., : size[0], : size[1]]


class NormalizeAndPad(nn.Module):
    """Any image size in, logits of that size out: what every network here has in common.

    The inner `net` says what it needs: `mean` and `std` (3,) of its training images, and `multiple`, the number its
    input height and width must be divisible by. Its `features_and_logits` may return both at a lower resolution.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        # Not persistent: constants of the network, so that a weight file holds only what was learned.
        self.register_buffer("mean", torch.tensor(net.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(net.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32 logits of images (B, 3, H, W), float RGB in [0, 1]; ValueError for another shape."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images are {images.dtype} {tuple(images.shape)}, but a network takes float (B, 3, H, W) in [0, 1]; "
                "move the color axis to the second place and divide uint8 by 255"
            )
        x = self.padded(images)
        return enlarged(self.net.features_and_logits(x)[1], x.shape[-2:], images.shape[-2:])

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """What the last layer compares with the classes, (B, D, h, w) float32 of length 1 over D; the logits of `forward`; and
        (height, width) of the picture that the features cover, which is the image padded at the bottom and right."""
        x = self.padded(images)
        features, logits = self.net.features_and_logits(x)
        return F.normalize(features.float(), dim=1), enlarged(logits, x.shape[-2:], images.shape[-2:]), tuple(x.shape[-2:])

    def padded(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) float32 normalized, with sides that the inner net can divide: padded at the bottom and right."""
        height, width = images.shape[-2:]
        x = (images - self.mean) / self.std
        # After normalization 0 is the mean color: the padding looks like nothing in particular.
        return F.pad(x, (0, -width % self.net.multiple, 0, -height % self.net.multiple))


def _later(module: str, name: str, **more: int) -> Callable[..., nn.Module]:
    """A network of a module that is imported when it is made: timm takes seconds, and the small net does without it."""
    return lambda *given: getattr(import_module(f".{module}", __package__), name)(*given, **more)


# family -> function(backbone, n_classes, imagenet, classifier, temperature) -> inner net. A model name is "family" or "family_backbone".
FAMILIES = {
    "small_unet": SmallUNet,
    "deeplabv3plus": _later("deeplab", "DeepLabV3Plus"),
    "segmenter": _later("segmenter", "Segmenter"),
    "fpn": _later("fpn", "FPN"),
    "linear": _later("linear", "Linear"),
    "mlp": _later("linear", "Linear", hidden=HIDDEN),
}


def build_model(
    name: str, n_classes: int, weights: str = "none", classifier: str = "linear", temperature: float = 0.1
) -> nn.Module:
    """A network from images (B, 3, H, W) float in [0, 1] to logits (B, n_classes, H, W) float32, for any H and W.

    name: "small_unet"; "deeplabv3plus_" and a timm backbone, such as deeplabv3plus_resnet50.tv_in1k, where timm's part
    after the dot names the checkpoint (tv_in1k: the torchvision v1 weights that DeepLabV3+ repositories start from);
    "segmenter_tiny", "_small", "_base" or "_large", the ViTs of the paper, or "segmenter_" and any plain ViT of timm;
    "fpn_", "linear_" or "mlp_" and a timm backbone with levels, such as linear_tf_efficientnet_lite0: light networks for CPUs.
    weights: "none" (random, from torch's generator as the caller left it); "imagenet" (backbone only; from a package that ships them, else fetched by timm);
    or a .safetensors / .pth file: the state dict of a whole model, or of a backbone with timm's or torchvision's names.
    classifier: "linear" (a 1 x 1 convolution), or "cosine" (cosines divided by the `temperature`; not of a segmenter).
    Raises ValueError for an unknown name or unfit weights, FileNotFoundError for a missing file and ConnectionError
    when ImageNet weights cannot be fetched.
    """
    family = next((f for f in FAMILIES if name == f or name.startswith(f + "_")), None)
    if family is None:
        near = difflib.get_close_matches(name, FAMILIES, n=1)
        raise ValueError(
            f"unknown model {name!r}; choose {', '.join(f + '_<backbone>' * (f != 'small_unet') for f in FAMILIES)}, such as "
            "deeplabv3plus_resnet50 or segmenter_small" + (f"; did you mean {near[0]}?" if near else "")
        )
    if classifier not in CLASSIFIERS:
        raise ValueError(f"classifier is {classifier!r}; choose one of {', '.join(CLASSIFIERS)}")
    model = NormalizeAndPad(FAMILIES[family](name[len(family) + 1 :], n_classes, weights == "imagenet", classifier, temperature))
    if weights not in ("none", "imagenet"):
        load_weights(model, weights)
    return model


def check_model(name: str, weights: str, classifier: str = "linear") -> None:
    """Raises what `build_model` would for a model or weights that cannot be had; ImageNet weights are fetched on the way."""
    of_backbone = weights in ("none", "imagenet") or not all(key.startswith("net.") for key in read_state(weights))
    build_model(name, 2, weights if of_backbone else "none", classifier)  # a whole model knows its number of classes, we do not yet
