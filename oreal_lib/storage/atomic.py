"""Files that are either whole or not there: a reader, or a restart after a kill, never meets half of one."""

import contextlib
import errno
import json
import os
from pathlib import Path

_GONE = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH)
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.EACCES: "writing is not allowed there: choose another folder",
    errno.EPERM: "writing is not allowed there: choose another folder",
    **dict.fromkeys(_GONE, "the drive does not answer: connect it"),
}


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, flush to disk, rename. OSError with the remedy when the disk is full or read-only."""
    path = Path(path)
    beside = path.with_name(f".{path.name[:50]}.{os.getpid()}.tmp")  # a name may have 255 bytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if not isinstance(error, OSError):
            raise
        message = f"could not write {len(data)} bytes to {path}: {remedy(error)} and start the same command again; what is finished is kept"
        raise OSError(error.errno, message) from error


def write_json(path: Path, value: object) -> None:
    """Write indented JSON with a newline at its end; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def remedy(error: OSError) -> str:
    """Why a disk could not be written and what a person can do, such as "the disk is full: free some space"."""
    return _REMEDIES.get(error.errno, f"{error.strerror}: fix it")


def flush_folder(folder: Path) -> None:
    """The names given or taken in a folder are on the disk from here on, too, where the system can do that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # network drives that cannot
            raise
    finally:
        os.close(handle)
