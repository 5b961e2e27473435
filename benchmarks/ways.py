"""The two ways to train the same network, ready to be measured in turns."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from plain_training import plain_epoch
from torch import nn

from oreal_lib import train
from oreal_lib.batches import Batch, Pairs
from oreal_lib.config import RunConfig
from oreal_lib.data.readers.toy import CLASSES
from oreal_lib.models import build_model


@dataclass
class Way:
    """A network in training, and what was measured of it: one value for each call of `measure`, one loss for each step."""

    model: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    settings: Callable[[], Any]  # a context: threads and TF32
    epoch: Callable[[int, tuple[int, ...]], float]  # (iterations, key) -> seconds spent on getting batches
    losses: list[torch.Tensor]
    first_batch: list[float]  # seconds until an epoch's first batch was there; only ours notes them
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    on_data: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)  # MiB, on CUDA

    def measure(self, iterations: int, key: tuple[int, ...], device: torch.device) -> None:
        """Train for one epoch of so many batches."""
        cuda, cpu = device.type == "cuda", time.process_time()
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
            others = torch.cuda.memory_allocated(device) - self.bytes()  # the other way's network lies there, too
        with self.settings():
            seconds, on_data = timed(lambda: self.epoch(iterations, key), device)
        self.seconds.append(seconds)
        self.cpu_seconds.append(time.process_time() - cpu)
        self.on_data.append(on_data)
        if cuda:
            self.peak.append((torch.cuda.max_memory_allocated(device) - others) >> 20)

    def bytes(self) -> int:
        """Of weights, gradients, average and optimizer on the device."""
        state = [t for values in self.optimizer.state.values() for t in values.values() if torch.is_tensor(t)]
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        tensors = (*self.model.state_dict().values(), *self.average.state_dict().values(), *state, *grads)
        return sum(t.nbytes for t in tensors if t.device.type != "cpu")

    def curve(self) -> np.ndarray:
        """(steps,) float64: the loss of each step so far."""
        return torch.stack(self.losses).cpu().double().numpy()


def plain_way(initial: nn.Module, files: Pairs, config: RunConfig, device: torch.device, threads: int) -> Way:
    """A copy of `initial` trained the plain way; average and learning rate are those of the config, as ours."""
    model = copy.deepcopy(initial).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    average, losses = train.averaged(model, config.ema, config.ema_warmup), []

    def steps(iterations: int, key: tuple[int, ...]) -> float:
        return plain_epoch(model, average, optimizer, files, iterations, config, key, losses)

    return Way(model, average, optimizer, lambda: machine(device, threads, tf32=False), steps, losses, [])


def our_way(initial: nn.Module, pairs: Pairs, config: RunConfig, device: torch.device) -> Way:
    """A copy of `initial` trained by `oreal_lib.train`, set up as `loop` and `train.fit` do it."""
    model = copy.deepcopy(initial).to(device, memory_format=torch.channels_last)
    now, losses, first_batch = train.Training(model, config, ()), [], []

    def steps(iterations: int, key: tuple[int, ...]) -> float:
        now.key, now.epoch = key[:-1], key[-1]
        with noted(losses, first_batch):
            made = train.batches(pairs, np.arange(len(pairs)), iterations, config, np.random.default_rng(key), device)
            return train._train_epoch(now, made, iterations, lambda i, n: None)

    return Way(model, now.average, now.optimizer, lambda: machine(device, config.threads, tf32=True), steps, losses, first_batch)


@contextmanager
def noted(losses: list[torch.Tensor], first_batch: list[float]) -> Iterator[None]:
    """Inside, `oreal_lib.train` leaves here each loss, for whose value nothing waits, and the seconds to each first batch."""
    cross_entropy, batches = train.cross_entropy, train.batches

    def noting_losses(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = cross_entropy(logits, target)
        losses.append(loss.detach())
        return loss

    def noting_first(*args: Any) -> Iterator[Batch]:
        mark, made = time.perf_counter(), batches(*args)
        first = next(made)
        first_batch.append(time.perf_counter() - mark)
        yield first
        yield from made

    with mock.patch.object(train, "cross_entropy", noting_losses), mock.patch.object(train, "batches", noting_first):
        yield


def initial_model(name: str, seed: int) -> nn.Module:
    """A network with random weights from a seed, and every dropout and drop-path probability 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(name, len(CLASSES))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "drop_prob"):  # timm's DropPath
            module.drop_prob = 0.0
    return model


def moved_by_a_rounding(model: nn.Module, seed: int) -> nn.Module:
    """A copy with each weight moved by about the last bit of float32."""
    moved, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in moved.parameters():
            p.mul_(1 + 1.2e-7 * torch.randn(p.shape, generator=generator))
    return moved


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds until the device has finished, and what the work returned."""
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type, lambda: None)
    wait()
    mark = time.perf_counter()
    result = work()
    wait()
    return time.perf_counter() - mark, result


@contextmanager
def machine(device: torch.device, threads: int, tf32: bool) -> Iterator[None]:
    """Inside, torch computes with so many CPU threads and, on CUDA, with or without TF32; afterwards all is as before."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        if device.type == "cuda":
            torch.set_float32_matmul_precision(before[1])
            torch.backends.cudnn.allow_tf32 = before[2]
