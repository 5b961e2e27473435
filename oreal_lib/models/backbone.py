"""Backbones by timm's names: fetched with their ImageNet weights, or an error says which file is wanted."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath

import timm
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

# What a failed download raises: OSError has DNS, timeouts, offline mode and "not in the cache" below it, and the bases
# of the hub's own error hold the rest of its HTTP client's family, whichever client this hub version uses.
FETCH_ERRORS = (OSError, *HfHubHTTPError.__bases__)


def timm_backbone(name: str, imagenet: bool, example: str, **options) -> nn.Module:
    """timm.create_model(name, **options): random weights from torch's generator, or the ImageNet ones of that name.

    example: a name that would do, for the error message. Raises ValueError for a name timm does not know or one without
    ImageNet weights, ConnectionError when they cannot be fetched, and whatever timm raises for an option it lacks.
    """
    known = timm.list_models() + timm.list_pretrained()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=5) or [example]
        raise ValueError(f"timm has no backbone {name!r}; choose from timm.list_models(), such as {', '.join(near)}")
    if imagenet and not timm.get_pretrained_cfg(name).has_weights:
        raise ValueError(f"timm has no ImageNet weights for {name}; pass weights=none or weights=<path to a file>")
    try:
        return timm.create_model(name, pretrained=imagenet, **options)
    except FETCH_ERRORS as error:
        raise ConnectionError(
            f"cannot fetch the ImageNet weights of {name} ({type(error).__name__}: {error}); download "
            f"{wanted_file(name)} on a machine with network and pass weights=<path to it>, or pass weights=none"
        ) from error


def wanted_file(name: str) -> str:
    """In words: the file that holds the ImageNet weights of a timm backbone, and the place it lies in."""
    config = timm.get_pretrained_cfg(name)
    if config.hf_hub_id:
        return f"{config.hf_hub_filename or 'model.safetensors'} of the Hugging Face repository {config.hf_hub_id}"
    return PurePosixPath(config.url).name


def color_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (3 each, of RGB in 0..1) that the training images of this backbone were normalized with."""
    config = timm.get_pretrained_cfg(name)
    return tuple(config.mean), tuple(config.std)
