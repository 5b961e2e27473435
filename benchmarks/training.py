"""Training and testing a network, as this library does it and as a tutorial would write it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from oreal_lib.batches import Pairs, augment, epoch
from oreal_lib.config import RunConfig
from oreal_lib.data.readers.toy import CLASSES, draw_scene
from oreal_lib.metrics import confusion
from oreal_lib.models import build_model
from oreal_lib.predict import evaluate
from oreal_lib.train import averaged, fit
from oreal_lib.types import IGNORE

from .bench import SEED, bench

NETWORKS = (("small_unet", 96, 128, 8), ("deeplabv3plus_resnet18", 129, 129, 4))  # height, width, batch


@dataclass(frozen=True)
class Files:
    """Pictures in files, decoded each time one is asked for: (H, W, 3) or (H, W) uint8."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        with Image.open(self.paths[index]) as picture:
            return np.asarray(picture)


def write_scenes(folder: Path, n: int, height: int, width: int) -> tuple[Pairs, Pairs]:
    """Drawn scenes as arrays and as files (JPEG pictures, PNG masks). The arrays hold what the files decode to."""
    paths = [(folder / f"{i}.jpg", folder / f"{i}.png") for i in range(n)]
    for i, (image_file, mask_file) in enumerate(paths):
        image, truth = draw_scene(np.random.default_rng([SEED, i]), height, width)
        Image.fromarray(image).save(image_file, quality=95)
        Image.fromarray(truth).save(mask_file)
    files = Pairs(*(Files(column) for column in zip(*paths, strict=True)))
    return Pairs(*(np.stack([pictures[i] for i in range(n)]) for pictures in (files.images, files.target))), files


def plain_fit(model: nn.Module, train: Pairs, val: Pairs, config: RunConfig, key: tuple[int, ...]) -> None:
    """Trains `model` in place as a tutorial would, with the averaged weights validated after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    average = averaged(model, config.ema, config.ema_warmup)
    for number in range(1, config.max_epochs + 1):
        model.train()
        rng = np.random.default_rng((*key, number))
        for draws in epoch(np.arange(len(train)), -(-len(train) // config.batch_size), config, rng):
            x, y, _ = zip(*(augment(train, draw) for draw in draws), strict=True)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(torch.stack(x).contiguous()), torch.stack(y).long(), ignore_index=IGNORE)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
        plain_evaluate(average.module, val, config.eval_batch_size)


@torch.no_grad()
def plain_evaluate(model: nn.Module, files: Pairs, batch_size: int) -> np.ndarray:
    """Confusion matrix (C, C) of decoded files."""
    model.eval()
    total = 0
    for start in range(0, len(files), batch_size):
        which = range(start, min(start + batch_size, len(files)))
        x = torch.stack([torch.from_numpy(files.images[i].copy()).permute(2, 0, 1).contiguous().float() / 255 for i in which])
        y = torch.stack([torch.from_numpy(files.target[i].copy()) for i in which])
        total += confusion(model(x).argmax(1), y, len(CLASSES))
    return total.numpy()


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for training and one for testing of each network."""
    for name, height, width, batch in (("small_unet", 32, 32, 4),) if tiny else NETWORKS:
        epochs, turns = (1, 1) if tiny else (2, 5)
        base = "toy" if name == "small_unet" else "voc"
        size = {"height": height, "width": width, "batch_size": batch, "max_epochs": epochs, "patience": epochs}
        config = RunConfig.from_yaml(base, dataset="toy", data_options={}, model=name, weights="none", precision="float32", **size)
        with tempfile.TemporaryDirectory() as folder:
            arrays, files = write_scenes(Path(folder), 4 if tiny else 16, height, width)

            def trained(way: str, config: RunConfig = config, arrays: Pairs = arrays, files: Pairs = files) -> None:
                torch.manual_seed(SEED)
                model = build_model(config.model, len(CLASSES))
                if way == "plain":
                    plain_fit(model, files, files, config, (SEED,))
                else:
                    fit(model.to(memory_format=torch.channels_last), arrays, arrays, config, (SEED,))

            what = f"{name}, {batch} x {height} x {width}"
            yield bench(
                f"training, {what}",
                "tutorial",
                lambda t=trained: t("ours"),
                lambda t=trained: t("plain"),
                turns,
                lambda a, b: "not compared",
            )
            model = build_model(name, len(CLASSES)).to(memory_format=torch.channels_last)
            yield bench(
                f"testing, {what}",
                "tutorial",
                lambda m=model, a=arrays, c=config: evaluate(m, a, c.eval_batch_size)[0],
                lambda m=model, f=files, c=config: plain_evaluate(m, f, c.eval_batch_size),
                turns,
                lambda a, b: f"{np.abs(a - b).sum() / 2 / a.sum():.1e} of the pixels differ",
            )
