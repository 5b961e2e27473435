"""Files with a checksum: a torn line or a flipped bit is noticed, named, and never becomes a number. Reading them runs no code.

`write` and `read` are for records; `read` takes other kinds by their parser: `read(path, remedy, load_tensors)`.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from . import atomic

T = TypeVar("T")
CHECK = "check"  # the field that holds the checksum


def dumps(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON text of a record, with a checksum of it as the last field; on one line, unless indented."""
    complete = {**values, CHECK: _check(values)}
    return json.dumps(complete, indent=indent, allow_nan=False) if indent else _one_line(complete)


def loads(text: str | bytes) -> dict[str, Any]:
    """The record in a text that `dumps` wrote; ValueError with the reason if it is any other text."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"it holds {str(values)[:40]!r}, not a record")
    if CHECK not in values:
        raise ValueError("it has no checksum: an older version wrote it, or it was changed")
    if values.pop(CHECK) != _check(values):
        raise ValueError("its checksum is wrong: it was changed")
    return values


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record in one piece, for `read`. OSError with the remedy as in `atomic.write_bytes`."""
    atomic.write_bytes(path, (dumps(values, indent=1) + "\n").encode())


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Inside, a ValueError, KeyError or TypeError becomes "<path> is damaged (<reason>); <remedy>", a ValueError."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        reason = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path} is damaged ({reason}); {remedy}") from error


def read(path: Path, remedy: str, parse: Callable[[bytes], T] = loads) -> T:
    """What `parse` makes of a file's bytes: by default the record that `write` wrote. FileNotFoundError where there is no file.

    Damage is told as `reading` does.
    """
    data = Path(path).read_bytes()
    with reading(path, remedy):
        return parse(data)


def dump_tensors(state: Mapping[str, torch.Tensor]) -> bytes:
    """A safetensors file of tensors of any shape (H, ...), on any device; a checksum of all of it is in its metadata."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return safetensors.torch.save(on_cpu, metadata={CHECK: _check_tensors(on_cpu)})


def load_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """The tensors of a file that `dump_tensors` made, on the CPU; ValueError with the reason if it is any other file."""
    try:
        state = safetensors.torch.load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if about.get(CHECK) != _check_tensors(state):
        raise ValueError("its checksum is wrong or missing: it was changed, or an older version wrote it")
    return state


def dump_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed .npz file of arrays, (n, ...) of any shape; a zip file has its own checksums."""
    np.savez_compressed(buffer := BytesIO(), **arrays)
    return buffer.getvalue()


def load_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Name -> array, (n, ...) of any shape and numbers of any kind or bool, of a .npz file. ValueError if it holds anything else."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as members:  # numpy stops at the length that a header gives, before the checksum
            if (damaged := members.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} is wrong")
            if len(members.namelist()) != int.from_bytes(data[-12:-10], "little"):  # of the list itself there is no checksum
                raise ValueError("its list of arrays is torn")
        with np.load(BytesIO(data), allow_pickle=False) as opened:
            arrays = dict(opened)
    except Exception as error:  # a damaged zip file raises any kind of error
        raise ValueError(repr(error)) from error
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:  # numpy returns these as bytes
        raise ValueError(f"it holds {others[0]!r}, which is not an array")
    return arrays


def read_npy(path: Path | str) -> np.ndarray:
    """The array of a .npy file, (n, ...) of any shape and numbers of any kind or bool: a read-only memory map.

    ValueError if it holds anything else, such as a pickle, or less than its header promises. OSError if it cannot be read.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # of a broken header numpy, Python's own parser and its tokenizer raise a dozen kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is not an array of numbers ({reason}); save it again with numpy.save") from error


def npy(array: np.ndarray) -> bytes:
    """The .npy file of an array (n, ...) of numbers."""
    np.save(buffer := BytesIO(), array, allow_pickle=False)
    return buffer.getvalue()


def _one_line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _check(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(_one_line(values).encode()):08x}"


def _check_tensors(state: Mapping[str, torch.Tensor]) -> str:
    check = 0
    for name, tensor in sorted(state.items()):
        check = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode(), check)
        check = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), check)
    return f"{check:08x}"
