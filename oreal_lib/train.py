"""Train until validation stops improving (OREAL Sec. 4.2)."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from .batches import Batch, Pairs, batches, load_tools
from .config import RunConfig
from .metrics import miou
from .predict import device_of, evaluate
from .storage.checkpoint import load_checkpoint, on_cpu, save_checkpoint
from .storage.progress import Progress, log
from .weak.losses import cross_entropy, weak_loss

State = dict[str, torch.Tensor]
Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Fitted:
    """state: the averaged weights of the best epoch.  epochs: how many were trained.  val_miou: of the best, 0..1.
    seconds: spent in training, earlier attempts at the same step included.
    speed: of this attempt, without validation: images_per_s, and waiting, the share of the time spent on getting batches."""

    state: State
    epochs: int
    val_miou: float
    seconds: float
    speed: dict[str, float] = field(default_factory=dict)


class _Average(AveragedModel):
    """torch's own looks anew for all tensors of both models at each update, which on a small network takes longer than to mix them.

    Bound to the tensors that the model has: it must be on its device, and in its memory format, before."""

    def __init__(self, model: nn.Module, mix: Callable[[list, list, int], None]):
        super().__init__(model, use_buffers=True)
        self.n_averaged += 1  # it is a copy of the start already
        self._mix, self._of, self._lists = mix, [model], {}  # in a list, the model is no part of this module
        for pair in zip(*([*m.parameters(), *m.buffers()] for m in (self.module, model)), strict=True):
            lists = self._lists.setdefault(pair[0].dtype, ([], []))
            for tensors, tensor in zip(lists, pair, strict=True):
                tensors.append(tensor.detach())

    def update_parameters(self, model: nn.Module) -> None:
        """Mix in the model, which must be the one that the average was made of, and on its device."""
        if model is not self._of[0]:
            raise ValueError("this is the average of another model; make one for each model by averaged(model, ...)")
        with torch.no_grad():
            for average, current in self._lists.values():
                self._mix(average, current, int(self.n_averaged))
            self.n_averaged += 1


def averaged(model: nn.Module, decay: float, warmup: bool) -> AveragedModel:
    """A Polyak average of the weights and the batch-norm statistics, started from the model as it is (OREAL: decay 0.99).

    warmup: decay min(decay, (1 + t) / (10 + t)) after t iterations; without it a short run validates an untrained net.
    """

    def mix(average: list[torch.Tensor], current: list[torch.Tensor], n: int) -> None:
        if not average[0].is_floating_point():  # counters are copied, not averaged
            torch._foreach_copy_(average, current)
            return
        t = n - 1
        a = min(decay, (1 + t) / (10 + t)) if warmup else decay
        torch._foreach_lerp_(average, current, 1 - a)

    return _Average(model, mix).eval()


def equip(model: nn.Module, config: RunConfig) -> tuple[Forward, torch.optim.Optimizer, AveragedModel]:
    """What `fit` trains a model with: its forward pass (compiled, if so wanted), Adam, and the average of its weights."""
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


def fit(
    model: nn.Module,
    train: Pairs,
    val: Pairs,
    config: RunConfig,
    key: tuple[int, ...],
    max_epochs: int | None = None,
    min_epochs: int = 1,
    checkpoint: Path | None = None,
    each_epoch: Callable[[int], None] | None = None,
    may_write: Callable[[], None] = lambda: None,
) -> Fitted:
    """Train `model` in place on what is known in `train`; it ends with the averaged weights of its best validation epoch.

    An epoch is one pass over as many images as `train` has, whatever part is labeled (OREAL Sec. 4.2). Stops after
    `max_epochs` (None: the config's), or when `config.patience` epochs in a row bring nothing better and `min_epochs` are done.
    key: numbers that fix the randomness; every epoch draws from (key, epoch), so a restart repeats nothing and skips nothing.
    checkpoint: a file written every `config.checkpoint_seconds` and continued from if it is there; None for no such file.
    each_epoch: called with the number of each finished epoch; what it raises ends the training there.
    may_write: called before the checkpoint is written; what it raises (a lock that was lost) ends the training, too.
    KeyboardInterrupt, by Ctrl-C or from `each_epoch`, saves what the last finished epoch left and goes on to the caller.
    A training that takes long says where it stands, inside its epochs, too; an early stop makes the time left an upper bound.
    The steps run in bfloat16 where config.precision says so; validation is always in float32.
    """
    max_epochs = config.max_epochs if max_epochs is None else max_epochs
    trainable = train.trainable()
    if not len(trainable):
        log.info("nothing to train on: every answer so far is void; the weights stay as they are")
        return Fitted(_copy(model.state_dict()), 0, _val_miou(model, val, config), 0.0)
    iterations = -(-len(train) // config.batch_size)
    forward, optimizer, average = equip(model, config)
    epoch, best_epoch, best_miou, seconds, best_state = 0, 0, -1.0, 0.0, _copy(average.module.state_dict())
    saved = None if checkpoint is None else load_checkpoint(checkpoint, key)
    if saved is not None:
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        epoch, best_epoch, best_miou, seconds = saved["epoch"], saved["best_epoch"], saved["best_miou"], saved["seconds"]
        best_state = saved["best_state"]
        log.info(f"continuing after epoch {epoch}")
    load_tools(config)
    images, at_work, validating, waiting = 0, 0.0, 0.0, 0.0
    told = Progress("", max_epochs, before=epoch, quick=epoch + 1 / iterations, left="at most about {} left")
    began = written = time.monotonic()
    unsaved = copied = None  # what the last finished epoch left, where the checkpoint is older
    try:
        while epoch < max_epochs and not (epoch >= min_epochs and epoch - best_epoch >= config.patience):
            epoch += 1
            mark, share = time.perf_counter(), at_work / (at_work + validating) if validating else 1.0
            where = _Inside(told, epoch, max_epochs, share, best_miou, best_epoch)
            waiting += _train_epoch(
                model, forward, average, optimizer, train, trainable, iterations, config, max_epochs, where.training, (*key, epoch)
            )
            images, at_work = images + iterations * config.batch_size, at_work + time.perf_counter() - mark
            mark = time.perf_counter()
            now_miou = _val_miou(average.module, val, config, where.validating)
            validating += time.perf_counter() - mark
            if now_miou > best_miou:
                best_miou, best_epoch, best_state = now_miou, epoch, _copy(average.module.state_dict())
            told.at(epoch, f"{where}: validation mIoU {now_miou:.3f}, best {best_miou:.3f} (epoch {best_epoch})")
            if checkpoint is not None:
                now = time.monotonic()
                state = _state(key, model, average, optimizer, epoch, best_epoch, best_miou, best_state, seconds + now - began)
                unsaved = state  # as it is; the next epoch will change it
                if now - written >= config.checkpoint_seconds:
                    may_write()
                    save_checkpoint(checkpoint, state)
                    unsaved, written = None, time.monotonic()
                else:
                    unsaved = copied = on_cpu(state, copied)
            if each_epoch is not None:
                each_epoch(epoch)
    except KeyboardInterrupt:
        if unsaved is not None:
            try:
                may_write()
                save_checkpoint(checkpoint, unsaved)
            except OSError as error:  # the stop stays a stop
                log.info(f"the last epochs could not be kept: {error}")
        raise
    model.load_state_dict(best_state)
    speed = {"images_per_s": round(images / at_work, 2), "waiting": round(waiting / at_work, 4)} if images else {}
    return Fitted(best_state, epoch, best_miou, seconds + time.monotonic() - began, speed)


def _train_epoch(
    model: nn.Module,
    forward: Forward,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    train: Pairs,
    trainable: np.ndarray,
    iterations: int,
    config: RunConfig,
    max_epochs: int,
    each_batch: Callable[[int, int], None] | None,
    key: tuple[int, ...],
) -> float:
    """One epoch; returns the seconds spent on waiting for batches. forward: the model, or what torch.compile made of it.
    each_batch: called with how many batches are done, and of how many."""
    device = device_of(model)
    half = half_precision(config.precision, device)
    waiting, mark = 0.0, time.perf_counter()
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(zlib.crc32(repr(key).encode()))  # dropout is the one thing that draws from torch's own generator
        for i, batch in enumerate(batches(train, trainable, iterations, config, np.random.default_rng(key), device)):
            waiting += time.perf_counter() - mark
            progress = ((key[-1] - 1) * iterations + i) / (max_epochs * iterations)
            for group, factor in zip(optimizer.param_groups, (1.0, config.head_factor), strict=False):
                group["lr"] = learning_rate(config.learning_rate * factor, progress, config.schedule)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                z = forward(batch.x)
            loss = loss_of(z, batch, config)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            if each_batch is not None:
                each_batch(i + 1, iterations)
            mark = time.perf_counter()
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"the training loss is {loss.item()} in epoch {key[-1]}: lower learning_rate ({config.learning_rate})"
        )
    return waiting


def learning_rate(initial: float, progress: float, schedule: str) -> float:
    """At a part of the training, progress in [0, 1): "constant", or "poly", which falls as its 0.9th power to 1e-6 (MulActSeg)."""
    return initial if schedule == "constant" else max(initial * (1 - progress) ** 0.9, 1e-6)


def loss_of(logits: torch.Tensor, batch: Batch, config: RunConfig) -> torch.Tensor:
    """A scalar, float32: of the answers for superpixels where the batch has them, else of the pixels' targets.

    logits: (B, C', H, W).
    """
    if batch.answers is None:
        return cross_entropy(logits, batch.y)
    weights = (config.loss_single, config.loss_merged, config.loss_prototypical)
    return weak_loss(logits, batch.ids, batch.answers, weights)


def half_precision(precision: str, device: torch.device) -> bool:
    """Whether training steps run in bfloat16: "auto" takes it on a GPU that has it, not on a CPU."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


@dataclass(frozen=True)
class _Inside:
    """Where an epoch stands. share: of its time that is training, 0..1, the rest being validation."""

    told: Progress
    epoch: int
    max_epochs: int
    share: float
    best_miou: float
    best_epoch: int

    def __str__(self) -> str:
        return f"epoch {self.epoch} of at most {self.max_epochs}"

    def training(self, done: int, of: int) -> None:
        self._at(self.share * done / of, f"{done} of {of} batches")

    def validating(self, done: int, of: int) -> None:
        self._at(self.share + (1 - self.share) * done / of, f"{done} of {of} validation images")

    def _at(self, part: float, text: str) -> None:
        best = f", best validation mIoU {self.best_miou:.3f} (epoch {self.best_epoch})" if self.best_epoch else ""
        self.told.at(self.epoch - 1 + part, f"{self}: {text}{best}")


def _val_miou(model: nn.Module, val: Pairs, config: RunConfig, each: Callable[[int, int], None] | None = None) -> float:
    n = len(val)
    seen = evaluate(
        model,
        val,
        config.eval_batch_size,
        undefined=config.keeps_undefined,
        each_image=None if each is None else lambda done: each(done, n),
    )
    return miou(seen[0])


def _copy(state: State) -> State:
    return {k: v.detach().clone() for k, v in state.items()}


def _state(key, model, average, optimizer, epoch, best_epoch, best_miou, best_state, seconds) -> dict:
    """All that a training goes on from; the tensors are those that the next step changes."""
    return {
        "key": list(key),
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
        "best_epoch": best_epoch,
        "best_miou": best_miou,
        "best_state": best_state,
        "seconds": seconds,
    }
