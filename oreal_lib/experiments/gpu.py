"""Which of a machine's GPUs a run may use: a free one, agreed on between processes by file locks."""

import getpass
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import torch

from ..storage.devices import choose_device
from ..storage.progress import log


@contextmanager
def device_of_run(name: str, share: int, pause: float = 1.0) -> Iterator[torch.device]:
    """The device that a config names, held until the end of the `with` or of the process.

    "auto" on a machine with GPUs is the one that fewest processes hold; while each has `share` of them, this waits, looking every
    `pause` seconds. A GPU that is named, such as "cuda:1", is taken without asking. All runs on a machine should give one `share`.
    """
    device = choose_device(name)
    if name != "auto" or device.type != "cuda":
        yield device
        return
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # a container's user may have no name
    folder = Path(tempfile.gettempdir()) / f"oreal_gpus_{user}"
    folder.mkdir(exist_ok=True)
    # by serial numbers: CUDA_VISIBLE_DEVICES, which a cluster sets, numbers the GPUs anew for every process
    gpus = [torch.cuda.get_device_properties(i).uuid for i in range(torch.cuda.device_count())]
    locks = {filelock.FileLock(folder / f"{gpu}.{k}.lock"): i for k in range(share) for i, gpu in enumerate(gpus)}
    if (lock := next(filter(_taken, locks), None)) is None:
        log.info(
            f"all {len(gpus)} GPUs are taken ({share} runs each); waiting for one. gpu_share: {share + 1} would let more "
            "runs share one; a loop over a run that is not finished in this kernel counts, too"
        )
    while lock is None:
        time.sleep(pause)
        lock = next(filter(_taken, locks), None)
    try:
        yield torch.device("cuda", locks[lock])
    finally:
        lock.release()


def _taken(lock: filelock.BaseFileLock) -> bool:
    """Whether the lock was free; it is ours now."""
    with suppress(filelock.Timeout):
        lock.acquire(timeout=0)
    return lock.is_locked
