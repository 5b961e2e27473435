"""Train until validation stops improving (OREAL Sec. 4.2)."""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from .batches import Batch, Pairs, batches
from .config import RunConfig
from .metrics import miou
from .predict import device_of, evaluate
from .storage.checkpoint import Checkpoint
from .storage.devices import half_precision
from .storage.progress import EpochProgress, log
from .types import IGNORE
from .weak.losses import weak_loss

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Fitted:
    """state: the averaged weights of the best epoch.  epochs: how many were trained.  val_miou: of the best, 0..1.
    seconds: training time, earlier attempts at the same step included.
    speed: of this attempt, without validation: images_per_s, and waiting, the share of the time spent waiting for batches."""

    state: State
    epochs: int
    val_miou: float
    seconds: float
    speed: dict[str, float] = field(default_factory=dict)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the labeled pixels, a scalar (our choice: OREAL names no loss); 0, and its gradient, where none is.

    logits: (B, C, H, W).  target: (B, H, W) uint8 class ids or IGNORE.
    """
    total = F.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)  # a crop may hold no labeled pixel: 0, not 0 / 0


def loss_of(logits: torch.Tensor, batch: Batch, config: RunConfig) -> torch.Tensor:
    """The loss of a batch, a scalar, float32: cross-entropy where pixels have targets, else the loss of weak labels.

    logits: (B, C', H, W).
    """
    if batch.answers is None:
        return cross_entropy(logits, batch.y)
    weights = (config.loss_single, config.loss_merged, config.loss_prototypical)
    return weak_loss(logits, batch.ids, batch.answers, weights)


def averaged(model: nn.Module, decay: float, warmup: bool) -> AveragedModel:
    """A Polyak average of the weights and the batch-norm statistics, started from the model as it is (OREAL: decay 0.99).

    warmup: decay min(decay, (1 + t) / (10 + t)) after t iterations; without it a short run validates an untrained network.
    """

    @torch.no_grad()
    def mix(average: list[torch.Tensor], current: list[torch.Tensor], _: torch.Tensor) -> None:
        if not average[0].is_floating_point():  # counters are copied, not averaged
            torch._foreach_copy_(average, current)
            return
        t = int(count) - 1  # not the argument, which torch moves to the model's device: reading it there would wait for the GPU
        a = min(decay, (1 + t) / (10 + t)) if warmup else decay
        torch._foreach_lerp_(average, current, 1 - a)

    average = AveragedModel(model, multi_avg_fn=mix, use_buffers=True).eval()
    count = average.n_averaged
    count += 1  # it is a copy of the start already
    return average


def equip(model: nn.Module, config: RunConfig) -> tuple[Callable, torch.optim.Optimizer, AveragedModel]:
    """What `fit` trains a model with: its forward pass (compiled if the config says so), Adam, and the average of its weights."""
    groups = [{"params": list(model.parameters())}]
    if config.head_factor != 1:
        parts = ([], [])  # backbone, head
        for name, parameter in model.named_parameters():
            parts[not name.startswith("net.backbone.")].append(parameter)
        groups = [{"params": part} for part in parts]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    fused = True if device_of(model).type == "cuda" else None
    optimizer = kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)
    return torch.compile(model) if config.compile else model, optimizer, averaged(model, config.ema, config.ema_warmup)


class Training:
    """A network in training. epoch: the last one begun.  best_*: of the best epoch so far.  seconds: until the end of the last epoch."""

    PARTS, VALUES = ("model", "average", "optimizer"), ("epoch", "best_epoch", "best_miou", "best_state", "seconds")

    def __init__(self, model: nn.Module, config: RunConfig, key: tuple[int, ...]) -> None:
        self.model, self.config, self.key = model, config, key
        self.forward, self.optimizer, self.average = equip(model, config)
        self.epoch, self.best_epoch, self.best_miou, self.seconds = 0, 0, -1.0, 0.0
        self.best_state = _copy(self.average.module.state_dict())

    @property
    def over(self) -> bool:
        """Whether training ends here."""
        fewest, most = self.config.epochs
        return self.epoch >= most or (self.epoch >= fewest and self.epoch - self.best_epoch >= self.config.patience)

    def validated(self, score: float) -> None:
        """Keeps the averaged weights if `score`, their mIoU, is the best so far."""
        if score > self.best_miou:
            self.best_miou, self.best_epoch, self.best_state = score, self.epoch, _copy(self.average.module.state_dict())

    def state(self) -> dict:
        """The content of a checkpoint. Its tensors are not copies: the next epoch changes them."""
        parts = {name: getattr(self, name).state_dict() for name in self.PARTS}
        return {"key": list(self.key)} | parts | {name: getattr(self, name) for name in self.VALUES}

    def go_on_from(self, saved: dict) -> None:
        """Restores what `state` returned."""
        for name in self.PARTS:
            getattr(self, name).load_state_dict(saved[name])
        for name in self.VALUES:
            setattr(self, name, saved[name])


def fit(
    model: nn.Module, train: Pairs, val: Pairs, config: RunConfig, key: tuple[int, ...], keep: Checkpoint | None = None
) -> Fitted:
    """Train `model` in place on the labels in `train`; it ends with the averaged weights of its best validation epoch.

    An epoch is one pass over as many images as `train` has, whatever part is labeled (OREAL Sec. 4.2), or `config.epoch_batches`.
    Ends after the most of `config.epochs`, or when `config.patience` epochs in a row bring nothing better and the fewest are done.
    key: numbers that fix the randomness; every epoch draws from (key, epoch), so a restart repeats nothing and skips nothing.
    keep: the checkpoint that an earlier attempt is continued from and that is given each epoch; what it raises ends the training.
    A long training reports its progress, also within epochs; since it may stop early, the time left is an upper bound.
    The steps run in bfloat16 where config.precision says so; validation is always in float32.
    """
    trainable = train.trainable()
    if not len(trainable):
        log.info(
            "nothing to train on: every answer so far is void, or lies between the positions of features; the weights stay as they are"
        )
        return Fitted(_copy(model.state_dict()), 0, _val_miou(model, val, config), 0.0)
    now = Training(model, config, key)
    if keep is not None and (saved := keep.load(key)) is not None:
        now.go_on_from(saved)
        log.info(f"continuing after epoch {now.epoch}")
    iterations = config.epoch_batches or -(-len(train) // config.batch_size)
    progress = EpochProgress(now, config.epochs[1], iterations, config.batch_size, len(val))
    began, images, at_work, waiting = time.monotonic() - now.seconds, 0, 0.0, 0.0
    with keep or nullcontext():
        while not now.over:
            now.epoch += 1
            mark = time.perf_counter()
            made = batches(train, trainable, iterations, config, np.random.default_rng((*key, now.epoch)), device_of(model))
            waiting += _train_epoch(now, made, iterations, progress.training)
            images, at_work = images + iterations * config.batch_size, at_work + time.perf_counter() - mark
            score = _val_miou(now.average.module, val, config, progress.validating)
            now.validated(score)
            progress.validated(score)
            now.seconds = time.monotonic() - began
            if keep is not None:
                keep.after_epoch(now.state())
    model.load_state_dict(now.best_state)
    speed = {"images_per_s": round(images / at_work, 2), "waiting": round(waiting / at_work, 4)} if images else {}
    return Fitted(now.best_state, now.epoch, now.best_miou, time.monotonic() - began, speed)


def _train_epoch(now: Training, made: Iterator[Batch], iterations: int, tell: Callable[[int], None]) -> float:
    """One epoch of `iterations` batches; returns the seconds spent waiting for them."""
    config, device, key, most = now.config, device_of(now.model), (*now.key, now.epoch), now.config.epochs[1]
    half, waiting, mark = half_precision(config.precision, device), 0.0, time.perf_counter()
    now.model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(zlib.crc32(repr(key).encode()))  # only dropout draws from torch's own generator
        for i, batch in enumerate(made):
            waiting += time.perf_counter() - mark
            progress = ((now.epoch - 1) * iterations + i) / (most * iterations)
            for group, factor in zip(now.optimizer.param_groups, (1.0, config.head_factor), strict=False):
                group["lr"] = learning_rate(config.learning_rate * factor, progress, config.schedule)
            now.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                z = now.forward(batch.x)
            loss = loss_of(z, batch, config)
            loss.backward()
            now.optimizer.step()
            now.average.update_parameters(now.model)
            tell(i + 1)
            mark = time.perf_counter()
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"the training loss is {loss.item()} in epoch {now.epoch}: lower learning_rate ({config.learning_rate})"
        )
    return waiting


def learning_rate(initial: float, progress: float, schedule: str) -> float:
    """The rate at progress in [0, 1) of the training: "constant", or "poly": initial * (1 - progress)^0.9, at least 1e-6 (MulActSeg)."""
    return initial if schedule == "constant" else max(initial * (1 - progress) ** 0.9, 1e-6)


def _val_miou(model: nn.Module, val: Pairs, config: RunConfig, each_image: Callable[[int], None] | None = None) -> float:
    return miou(evaluate(model, val, config.eval_batch_size, undefined=config.keeps_undefined, each_image=each_image)[0])


def _copy(state: State) -> State:
    return {k: v.detach().clone() for k, v in state.items()}
