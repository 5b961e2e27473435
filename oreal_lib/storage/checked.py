"""Files that tell whether they still hold what was written: a torn line or a flipped bit is noticed, named, and never a number."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from . import atomic

CHECK = "check"  # the field that holds the checksum


def dumps(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON text of `values`, with a checksum of them as the last field; on one line, unless indented."""
    sealed = {**values, CHECK: _check(values)}
    return json.dumps(sealed, indent=1, allow_nan=False) if indent else _plain(sealed)


def loads(text: str | bytes, before: Collection[str] = ()) -> dict[str, Any]:
    """The values of a text that `dumps` wrote; ValueError with the reason if it is another one.

    before: the keys of files from the time before checksums; a text with such keys only is taken as it is.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"it holds {str(values)[:40]!r}, not a record")
        if CHECK not in values and before and set(values) <= set(before):
            return values
        found = values.pop(CHECK)
        whole = found == _check(values)
    except KeyError:
        raise ValueError("it has no checksum: an older version wrote it, or it was changed") from None
    except RecursionError as error:
        raise ValueError(repr(error)) from error
    if not whole:
        raise ValueError("its checksum is wrong: it was changed")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` in one piece, for `read_json`. OSError with the remedy as of `atomic.write_bytes`."""
    atomic.write_bytes(path, (dumps(values, indent=1) + "\n").encode())


def read_json(path: Path, remedy: str, before: Collection[str] = ()) -> dict[str, Any]:
    """What `write_json` wrote there; ValueError that names the file, the reason and the remedy if it is damaged. before: see `loads`."""
    data = Path(path).read_bytes()
    try:
        return loads(data, before)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error


def dump_tensors(state: Mapping[str, torch.Tensor]) -> bytes:
    """A safetensors file of tensors of any shape (H, ...), on any device; a checksum of all of it is in its metadata."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return save_tensors(plain, metadata={CHECK: _check_tensors(plain)})


def load_tensors_of(data: bytes, before: bool = False) -> dict[str, torch.Tensor]:
    """The state of a file that `dump_tensors` made, on the CPU; ValueError with the reason if it is another one.

    before: whether one without metadata is taken, as files were before there were checksums.
    """
    try:
        state = load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError) as error:
        raise ValueError(repr(error)) from error
    about = header.get("__metadata__")
    if before and about is None:
        return state
    if (about or {}).get(CHECK) != _check_tensors(state):
        raise ValueError(
            "its checksum is wrong: it was changed" if about else "it has no checksum: an older version wrote it, or it was changed"
        )
    return state


def _plain(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _check(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(_plain(values).encode('utf-8', 'surrogatepass')):08x}"


def _check_tensors(state: Mapping[str, torch.Tensor]) -> str:
    check = 0
    for name, tensor in sorted(state.items()):
        check = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode(), check)
        check = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), check)
    return f"{check:08x}"
