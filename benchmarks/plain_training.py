"""The plain way to train and to evaluate, as a tutorial would write it: what `training.py` measures ours against.

Float32, default memory layout, every picture decoded from its file in every epoch and augmented in the main process; no
pinned memory, nothing made ahead. Only what chance decides is drawn as ours is, so that both see the same batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from oreal_lib.batches import Pairs, augment, epoch
from oreal_lib.config import RunConfig
from oreal_lib.data.readers.toy import CLASSES, draw_scene
from oreal_lib.metrics import confusion
from oreal_lib.predict import device_of
from oreal_lib.types import IGNORE


@dataclass(frozen=True)
class Files:
    """Pictures in files, decoded each time one is asked for: (H, W, 3) or (H, W) uint8."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        with Image.open(self.paths[index]) as picture:
            return np.asarray(picture)


def plain_batches(files: Pairs, iterations: int, config: RunConfig, key: tuple[int, ...]) -> Iterator[tuple[torch.Tensor, ...]]:
    """x (B, 3, H, W) float32 in default layout and y (B, H, W) uint8, drawn as `oreal_lib.batches` draws them."""
    for draws in epoch(np.arange(len(files)), iterations, config, np.random.default_rng(key)):
        x, y, _ = zip(*(augment(files, draw) for draw in draws), strict=True)
        yield torch.stack(x).contiguous(), torch.stack(y)


def plain_epoch(
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    files: Pairs,
    iterations: int,
    config: RunConfig,
    key: tuple[int, ...],
    losses: list[torch.Tensor],
) -> float:
    """One epoch as a tutorial would write it; returns the seconds spent on making batches, and appends the losses."""
    device, making, mark = device_of(model), 0.0, time.perf_counter()
    model.train()
    for x, y in plain_batches(files, iterations, config, key):
        making += time.perf_counter() - mark
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x.to(device)), y.to(device).long(), ignore_index=IGNORE)
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        losses.append(loss.detach())
        mark = time.perf_counter()
    return making


@torch.no_grad()
def plain_evaluate(model: nn.Module, files: Pairs, batch_size: int) -> np.ndarray:
    """Confusion matrix (C, C) of decoded files; batches of the same size as ours."""
    device, total = device_of(model), 0
    model.eval()
    for start in range(0, len(files), batch_size):
        which = range(start, min(start + batch_size, len(files)))
        x = torch.stack([torch.from_numpy(files.images[i].copy()).permute(2, 0, 1).contiguous().float() / 255 for i in which])
        y = torch.stack([torch.from_numpy(files.target[i].copy()) for i in which])
        total += confusion(model(x.to(device)).argmax(1), y.to(device), len(CLASSES))
    return total.cpu().numpy()


def write_scenes(folder: Path, n: int, height: int, width: int, seed: int) -> tuple[Pairs, Pairs]:
    """Drawn scenes as arrays and as files: JPEG pictures, PNG masks. The arrays hold what the files decode to."""
    images, masks = [], []
    folder.mkdir(parents=True)
    for i in range(n):
        image, truth = draw_scene(np.random.default_rng([seed, i]), height, width)
        images.append(folder / f"{i:03d}.jpg")
        masks.append(folder / f"{i:03d}.png")
        Image.fromarray(image).save(images[-1], quality=95)
        Image.fromarray(truth).save(masks[-1])
    files = Pairs(Files(tuple(images)), Files(tuple(masks)))
    return Pairs(*(np.stack([pictures[i] for i in range(n)]) for pictures in (files.images, files.target))), files
