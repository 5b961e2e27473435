"""A whole run against its network alone."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch

from oreal_lib.config import RunConfig
from oreal_lib.experiments.run import run
from oreal_lib.setting import open_setting
from oreal_lib.storage.progress import lines_to
from oreal_lib.train import cross_entropy

from .bench import row

SMALL = {
    "data_options": {"scene": "large_tools", "generator_seed": 7, "train": 12, "test": 4},
    "superpixel_method": "grid",
    "superpixel_count": 16,
    "height": 32,
    "width": 32,
    "train_images": 8,
    "val_images": 2,
    "steps": 2,
    "query_share": 0.1,
    "max_epochs": 2,
}


def forward_and_backward(model: torch.nn.Module, shape: tuple[int, ...], batch_size: int, batches: int, images: int) -> float:
    """Seconds of so many training batches and of looking at so many images, with no data, optimizer or metric.

    shape: (h, w, D) of what the model sees.
    """
    x = torch.rand(batch_size, *shape).permute(0, 3, 1, 2)
    model.train()
    y = torch.zeros(batch_size, *model(x).shape[2:], dtype=torch.uint8)
    mark = time.perf_counter()
    for _ in range(batches):
        cross_entropy(model(x), y).backward()
        model.zero_grad()
    model.eval()
    with torch.no_grad():
        for _ in range(-(-images // batch_size)):
            model(x)
    return time.perf_counter() - mark


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for an active run and one for full supervision of the toy; one of CamVid where OREAL_DATA names its folder."""
    todo = [("toy", {"strategy": "oreal", "aggregate": "max"}), ("toy", {"supervision": "full_masks"})]
    if not tiny and os.environ.get("OREAL_DATA"):
        todo.append(("camvid", {"strategy": "oreal", "aggregate": "max"}))
    for data, changes in todo:
        config = RunConfig.from_yaml(data, **(SMALL if tiny else {}), **changes)
        setting = open_setting(config)  # prepares the data where they are not
        model = setting.network(config).to(memory_format=torch.channels_last)
        ours, bare = [], []
        for _ in range(1 if tiny else 2):
            with tempfile.TemporaryDirectory() as folder, lines_to(lambda line: None):
                mark = time.perf_counter()
                steps = list(run(config, folder))
                ours.append(time.perf_counter() - mark)
            epochs = sum(step.epochs for step in steps)
            looked_at = epochs * len(setting.val) + len(steps) * (len(setting.dataset.split["test"]) + len(setting.pool))
            batches = epochs * (config.epoch_batches or -(-len(setting.pool) // config.batch_size))
            shape = setting.inputs[int(setting.pool[0])].shape
            bare.append(forward_and_backward(model, shape, config.batch_size, batches, looked_at))
        yield row(f"{data}, {config.column}", "forward and backward passes alone", ours, bare)
