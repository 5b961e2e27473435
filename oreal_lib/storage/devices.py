"""Which processor computes, and how exactly."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """The device of a config: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU if there is one.

    ValueError for another name, or a device that torch cannot use here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = {
        "cpu": lambda: 1,
        "cuda": lambda: torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": lambda: int(torch.backends.mps.is_available()),
    }
    try:
        device = torch.device(name)
        there = count[device.type]()
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
