"""Weights from a file of the user's own: every tensor finds its place, or an error says which did not."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The state dict (name -> tensor on the CPU) in a .safetensors file or in one that torch.save wrote.

    Raises FileNotFoundError, or ValueError when the file cannot be read or holds anything but tensors by name.
    """
    given, path = path, Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={str(given)!r} is no file; pass none, imagenet, or the path of a .safetensors or .pth state dict"
        )
    try:
        # weights_only: a pickle from elsewhere must not run code
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"cannot read {path} ({type(error).__name__}); it must be a .safetensors file or come from "
            "torch.save(model.state_dict(), ...); fetch or save it again"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no tensors by name; save model.state_dict() itself, not a checkpoint around it")
    return state


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Fill the whole model (names start with "net.", as in its state_dict()) or only model.net.backbone.

    A backbone file may be the ImageNet classifier: layers after the last feature (fc, classifier, conv_head, ...) are
    left out when the backbone has no module of that name. Raises as `read_state`, and ValueError when a tensor is
    missing, has another shape or has no place.
    """
    state = read_state(path)
    if all(key.startswith("net.") for key in state):
        target, what = model, "model"
    else:
        target, what = getattr(model.net, "backbone", None), "backbone"
        if target is None:
            raise ValueError(
                f"{path} is no state dict of this model (its names start with {next(iter(state))!r}, not 'net.'), and "
                f"{type(model.net).__name__} has no backbone to load; save build_model(...).state_dict()"
            )
        state = _as_timm_features(state, target)
    shapes = {key: value.shape for key, value in target.state_dict().items()}
    reshaped = [key for key in state if key in shapes and state[key].shape != shapes[key]]
    result = target.load_state_dict({key: state[key] for key in state if key not in reshaped}, strict=False)
    missing = [key for key in result.missing_keys if key not in reshaped]
    trouble = {"missing": missing, "unexpected": result.unexpected_keys, "of another shape": reshaped}
    if any(trouble.values()):
        counts = "; ".join(
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for kind, keys in trouble.items()
            if keys
        )
        raise ValueError(
            f"{path} does not fit the {what}: {counts}, but every tensor must find its place; "
            "build the model the file was saved from (same name, same number of classes)"
        )


def _as_timm_features(state: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """The same tensors under the names of timm's features_only network, without the layers it has cut off."""
    # features_only flattens "stages.0.x" to "stages_0.x"; with every dot an underscore both read the same.
    place = {key.replace(".", "_"): key for key in backbone.state_dict()}
    state = {place.get(key.replace(".", "_"), key): value for key, value in state.items()}
    modules = [name for name, _ in backbone.named_children()]
    ours = {key: key.split(".")[0] for key in state}
    return {key: state[key] for key, top in ours.items() if any(f"{m}_".startswith(f"{top}_") for m in modules)}
