"""Files of arrays, opened as arrays and as nothing else: whoever wrote them, reading runs no code."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np


def read_npy(path: Path | str) -> np.ndarray:
    """The array of a .npy file, (n, ...) of any shape and numbers of any kind or bool, read-only and read when it is looked at (a memory map).

    ValueError if it is no such array of numbers: a zip or a pickle of that name is not opened, and a header that promises more than
    the file holds takes no memory. OSError if it cannot be read.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # of a broken header numpy, Python's own parser and its tokenizer throw a dozen kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} is no array of numbers ({reason}); save it again with numpy.save") from error


def _refuse_gaps(data: bytes, members: zipfile.ZipFile) -> None:
    """ValueError where a zip file's list leaves out what lies in it: the list has no checksum of its own."""
    at = 0
    for member in sorted(members.infolist(), key=lambda member: member.header_offset):
        if member.header_offset != at:
            raise ValueError(f"its list leaves out what lies before {member.filename}")
        name, extra = struct.unpack("<HH", data[at + 26 : at + 30])
        at += 30 + name + extra + member.compress_size
    if at != members.start_dir:
        raise ValueError("its list leaves out what lies at its end")


def read_npz(data: bytes) -> dict[str, np.ndarray]:
    """Name -> array, (n, ...) of any shape and numbers of any kind or bool, of a .npz file's content. ValueError if it is damaged, or holds anything but arrays of numbers."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as members:  # numpy stops at the length that a header says, before the checksum
            if (damaged := members.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} is wrong")
            _refuse_gaps(data, members)
        with np.load(BytesIO(data), allow_pickle=False) as opened:
            arrays = dict(opened)
    except Exception as error:  # out of a damaged zip file comes any kind of error
        raise ValueError(repr(error)) from error
    odd = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]  # numpy hands out other members as bytes
    if odd:
        raise ValueError(f"it holds {odd[0]!r}, which is no array")
    return arrays
