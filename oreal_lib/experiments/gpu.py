"""Which of a machine's GPUs a run may use: a free one, agreed on between processes by file locks."""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
import torch

from ..predict import choose_device
from ..storage.progress import log


@contextmanager
def device_of_run(name: str, share: int) -> Iterator[torch.device]:
    """The device of a config, held until the end of the `with`. "auto" on a machine with GPUs is a free one: waits for it,
    and says so. A GPU that is named, as "cuda:1", is taken without asking.

    share: processes of this user that may use one GPU at a time; all runs on a machine should give the same number.
    """
    device = choose_device(name)
    if name != "auto" or device.type != "cuda":
        yield device
        return
    # by their serial numbers: CUDA_VISIBLE_DEVICES, which a cluster sets, numbers them anew for every process
    gpus = [str(getattr(torch.cuda.get_device_properties(i), "uuid", i)) for i in range(torch.cuda.device_count())]
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # a container's user may have no name
    with free_slot(gpus, share, Path(tempfile.gettempdir()) / f"oreal_gpus_{user}") as number:
        yield torch.device("cuda", number)


@contextmanager
def free_slot(names: Sequence[str], share: int, folder: Path, pause: float = 1.0) -> Iterator[int]:
    """The position in `names` of one that fewer than `share` processes hold, the least used first; it is held until the end of
    the `with`, or of the process. Waits, looking every `pause` seconds, while there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    locks = [(i, filelock.FileLock(folder / f"{name}.{k}.lock")) for k in range(share) for i, name in enumerate(names)]
    told = False
    while True:
        for i, lock in locks:
            try:
                held = lock.acquire(timeout=0)
            except filelock.Timeout:
                continue
            with held:
                yield i
            return
        if not told:
            log.info(
                f"all {len(names)} GPUs are taken ({share} runs each); waiting for one. gpu_share: {share + 1} would let more share one; an unfinished loop over a run in this kernel counts, too"
            )
            told = True
        time.sleep(pause)
