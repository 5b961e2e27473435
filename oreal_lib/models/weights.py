"""Weights from a file of the user: every tensor finds its place, or an error names those that did not.

Names are those of timm, torchvision and our own networks; what a file may leave out is our choice.
"""

from math import isqrt
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F


def weights_file(path: str | Path) -> Path:
    """The path of a file of weights that is there; FileNotFoundError if it is not."""
    found = Path(path).expanduser()
    if not found.is_file():
        raise FileNotFoundError(
            f"weights={str(path)!r} is not a file; pass none, imagenet, or the path of a .safetensors or .pth state dict"
        )
    return found


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The state dict (name -> tensor on the CPU, as it was saved) in a .safetensors file or in one that torch.save wrote.

    Raises FileNotFoundError, or ValueError when the file cannot be read or holds anything but tensors by name.
    """
    path = weights_file(path)
    try:
        # weights_only: a pickle from elsewhere must not run code
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(
            f"cannot read {path} ({type(error).__name__}); it must be a .safetensors file or come from "
            "torch.save(model.state_dict(), ...); fetch or save it again"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} does not hold tensors by name; save model.state_dict() itself, not a checkpoint around it")
    return state


def load_weights(model: nn.Module, path: str | Path, backbone_only: bool = False) -> None:
    """Fill the whole model (names start with "net.", as in its state_dict()) or only model.net.backbone.

    A backbone file may be the ImageNet classifier: layers after the last feature (fc, head, classifier, ...) are left
    out when the backbone has nothing of that name. The position embedding of a ViT may belong to another square grid.
    backbone_only: of a file of a whole model only the backbone is taken.
    Raises as `read_state`, and ValueError when a tensor is missing, has another shape or has no place.
    """
    state = read_state(path)
    if backbone_only and all(key.startswith("net.") for key in state):
        state = {key.removeprefix("net.backbone."): value for key, value in state.items() if key.startswith("net.backbone.")}
    if all(key.startswith("net.") for key in state):
        target, what = model, "model"
    else:
        target, what = getattr(model.net, "backbone", None), "backbone"
        if target is None:
            raise ValueError(
                f"{path} is not a state dict of this model (its names start with {next(iter(state))!r}, not 'net.'), and "
                f"{type(model.net).__name__} has no backbone to load; save build_model(...).state_dict()"
            )
        state = as_timm_features(state, target)
    try:
        target.load_state_dict(state)
    except RuntimeError as error:
        wrong = "; ".join(f"{line.strip():.120}" for line in str(error).splitlines()[1:4])
        raise ValueError(
            f"{path} does not fit the {what}: {wrong}; build the model the file was saved from (same name, same number of classes)"
        ) from error


def as_timm_features(state: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """The same tensors under the names and for the grid of our backbone, without the layers it has cut off."""
    target = backbone.state_dict()
    # features_only flattens "stages.0.x" to "stages_0.x"; with every dot an underscore both read the same.
    place = {key.replace(".", "_"): key for key in target}
    state = {place.get(key.replace(".", "_"), key): value for key, value in state.items()}
    # Not the modules: cls_token and pos_embed are parameters of the network itself, and a cut-off head may stay as an
    # empty module.
    kept = {key.split(".")[0] for key in target}
    state = {key: value for key, value in state.items() if any(f"{top}_".startswith(key.split(".")[0] + "_") for top in kept)}
    if "pos_embed" in state and "pos_embed" in target and state["pos_embed"].ndim == 3:
        side = isqrt(state["pos_embed"].shape[1] - 1)
        if 1 + side * side == state["pos_embed"].shape[1]:
            state["pos_embed"] = resize_positions(state["pos_embed"], (side, side), backbone.patch_embed.grid_size)
    return state


def resize_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(1, 1 + new h * w, d) float position embedding of (1, 1 + old h * w, d): class part kept, grid resized bilinearly.

    As `resize_pos_embed` of rstrudel/segmenter, for class token first and patches row by row; the same grid is returned as is.
    """
    if tuple(old) == tuple(new):
        return positions
    grid = positions[:, 1:].unflatten(1, old).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=new, mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
