"""Files that are either whole or not there: a reader, or a restart after a kill, never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from pathlib import Path


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, flush to disk, rename. OSError with the remedy when the disk is full or read-only."""
    path = Path(path)
    name = path.name if len(os.fsencode(path.name)) < 200 else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    beside = path.with_name(f".{name}.{os.getpid()}.tmp")  # shortened: a file's name may have 255 bytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if not isinstance(error, OSError):
            raise
        reason = {
            errno.ENOSPC: "the disk is full: free some space",
            errno.EDQUOT: "the disk quota is used up: free some space",
            errno.EROFS: "the disk is read-only: choose another folder",
            errno.EACCES: "writing is not allowed there: choose another folder",
        }.get(error.errno, f"{error.strerror}: mend it")
        message = (
            f"could not write {len(data)} bytes to {path}: {reason} and start the same command again; what is finished is kept"
        )
        raise OSError(error.errno, message) from error


def write_json(path: Path, value: object) -> None:
    """Indented JSON with a newline at its end; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())
