"""Where and how a run is computed."""

from typing import Literal

import torch
from pydantic import BaseModel, Field

from .yaml_file import Count, Weight


class MachineFields(BaseModel):
    """The values of a run that say where and how it is computed; they do not change its results and are not part of its id."""

    data_root: str | None = None
    device: str = "auto"
    gpu_share: Count = 1
    threads: Count = 1
    workers: Count | None = None
    loaders: int | None = Field(default=None, ge=0)
    keep_features: bool = True
    compile: bool = False
    keep_weights: Literal["last", "all"] = "last"
    checkpoint_seconds: Weight = 60.0
    live: bool = False


def choose_device(name: str) -> torch.device:
    """The device of a config: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU if there is one.

    ValueError for another name, or a device that torch cannot use here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        kind = {"cpu": torch.cpu, "cuda": torch.cuda, "mps": torch.mps}[device.type]
        there = kind.device_count() if kind.is_available() else 0
    except (RuntimeError, KeyError):
        raise ValueError(f"device is {name!r}; write auto, cpu, cuda, cuda:<number> or mps") from None
    if (device.index or 0) >= there:
        raise ValueError(f"device is {name!r}, but torch can use {there} of this kind here; write device: auto or cpu")
    return device


def half_precision(precision: str, device: torch.device) -> bool:
    """Whether training steps run in bfloat16: "auto" takes it on a GPU that has it, not on a CPU."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"
