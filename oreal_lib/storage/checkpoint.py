"""The state of a training on disk, from which a later attempt goes on."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from . import atomic
from .progress import log


def on_cpu(value: Any, into: Any = None) -> Any:
    """A copy of dictionaries and lists with copies of their tensors, in the memory of the CPU: a GPU may have no room for it.

    into: an earlier copy, whose memory is used again: to get new takes longer than to copy.
    """
    if isinstance(value, torch.Tensor):
        fits = isinstance(into, torch.Tensor) and (into.shape, into.dtype) == (value.shape, value.dtype)
        return into.copy_(value.detach()) if fits else value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        known = into if isinstance(into, dict) else {}
        return {k: on_cpu(v, known.get(k)) for k, v in value.items()}
    if isinstance(value, list):
        known = into if isinstance(into, list) and len(into) == len(value) else [None] * len(value)
        return [on_cpu(v, k) for v, k in zip(value, known, strict=True)]
    return value


def save_checkpoint(path: Path, state: dict) -> None:
    """Writes a state, a dictionary of tensors and values with its "key", in place of the last one: whole, or not at all."""
    buffer = BytesIO()
    torch.save(state, buffer)
    atomic.write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, key: tuple[int, ...]) -> dict | None:
    """The checkpoint of this very training, or None: a restart from its beginning gives the same result, only later."""
    if not path.exists():
        return None
    try:
        saved = _load(path)
    except Exception as error:  # out of a damaged pickle comes any kind of error
        log.info(f"{path.name} cannot be read ({type(error).__name__}); training this step from its beginning instead")
        return None
    return saved if saved["key"] == list(key) else None


def _load(path: Path) -> dict:
    with zipfile.ZipFile(path) as records:  # torch writes checksums, but does not compare them
        if (damaged := records.testzip()) is not None:
            raise zipfile.BadZipFile(damaged)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or "key" not in saved:
        raise ValueError("it holds no training")
    return saved
