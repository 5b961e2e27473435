"""The state of a training on disk, from which a later attempt goes on."""

import time
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from . import atomic
from .progress import log


class Checkpoint:
    """The file from which `train.fit` continues after a kill. It is replaced as a whole, at most once in that many seconds.

    After a KeyboardInterrupt inside a `with`, the last finished epoch is written in any case; the exception goes on to the caller.
    """

    def __init__(
        self,
        path: Path,
        seconds: float = 0.0,
        write: Callable[[bytes], None] | None = None,
        then: Callable[[dict], None] = lambda state: None,
    ) -> None:
        """seconds: the least time between two writes.  write: replaces the file, by default `atomic.write_bytes`.  then: called with
        the state after each epoch.  An error of these, such as of a lost lock, ends the training."""
        self.path, self.seconds, self._write, self.then = path, seconds, write or partial(atomic.write_bytes, path), then
        self._written, self._unsaved = time.monotonic(), None

    def load(self, key: tuple[int, ...]) -> dict | None:
        """The state of the training that has this key; None for another, or a file that is absent or damaged: a restart from the
        beginning gives the same result, only later."""
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as records:  # torch writes checksums, but does not compare them
                if (damaged := records.testzip()) is not None:
                    raise ValueError(damaged)
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            if not isinstance(saved, dict):
                raise ValueError("it holds no training")
            return saved if saved["key"] == list(key) else None
        except Exception as error:  # a damaged pickle can raise anything
            log.info(f"{self.path.name} cannot be read ({type(error).__name__}); training this step from its beginning instead")
            return None

    def after_epoch(self, state: dict) -> None:
        """Writes the state after an epoch, a dictionary of tensors and values with its "key", if it is time to; else copies it."""
        self._unsaved = state  # not yet a copy: the next epoch will change it
        if time.monotonic() - self._written >= self.seconds:
            self._save()
        else:
            self._unsaved = _on_cpu(state)
        self.then(state)

    def __enter__(self) -> "Checkpoint":
        self._written = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt) or self._unsaved is None:
            return
        try:
            self._save()
        except OSError as error:  # which must not hide the stop
            log.info(f"the last epochs could not be kept: {error}")

    def _save(self) -> None:
        torch.save(self._unsaved, buffer := BytesIO())
        self._write(buffer.getvalue())
        self._unsaved, self._written = None, time.monotonic()


def _on_cpu(value: Any) -> Any:
    """A copy of dictionaries and lists with copies of their tensors, in the memory of the CPU: a GPU may have no room for it."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {k: _on_cpu(v) for k, v in value.items()}
    return [_on_cpu(v) for v in value] if isinstance(value, list) else value
