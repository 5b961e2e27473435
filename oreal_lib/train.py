"""Train until validation stops improving, and look at images with what came out (OREAL Sec. 4.2)."""

from __future__ import annotations

import copy
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from . import atomic
from .config import RunConfig
from .losses import cross_entropy
from .metrics import class_border, confusion, miou
from .types import IGNORE

State = dict[str, torch.Tensor]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Pairs:
    """Images with their targets. images: (n, H, W, 3) uint8.  target: (n, H, W) uint8, IGNORE where there is no label."""

    images: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Fitted:
    """state: the averaged weights of the best epoch.  epochs: how many were trained.  val_miou: of the best, 0..1.
    seconds: spent in training, earlier attempts at the same step included."""

    state: State
    epochs: int
    val_miou: float
    seconds: float


def choose_device(name: str) -> torch.device:
    """The device of a config: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = {
        "cpu": lambda: 1,
        "cuda": lambda: torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": lambda: int(torch.backends.mps.is_available()),
    }
    try:
        device = torch.device(name)
        there = count[device.type]()
    except (RuntimeError, KeyError):
        raise ValueError(f"device is {name!r}; write auto, cpu, cuda, cuda:<number> or mps") from None
    if (device.index or 0) >= there:
        raise ValueError(f"device is {name!r}, but torch can use {there} of this kind here; write device: auto or cpu")
    return device


def to_input(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1], in channels-last memory (as the bytes already lie)."""
    return torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float() / 255


def augment(x: torch.Tensor, y: torch.Tensor, config: RunConfig, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Flips, scale with crop or padding, gain and brightness, drawn per image from rng.

    x: (B, 3, H, W) in [0, 1]; padding repeats no pixel, it is mid-grey.  y: (B, H, W) uint8; padding is IGNORE.
    Same shapes come back. The color changes may leave [0, 1]: clipping would destroy highlights.
    """
    b = len(x)
    for share, dim in ((config.augment_hflip, -1), (config.augment_vflip, -2)):
        flip = torch.from_numpy(rng.random(b) < share).to(x.device)
        x = torch.where(flip[:, None, None, None], x.flip(dim), x)
        y = torch.where(flip[:, None, None], y.flip(dim), y)
    if (config.augment_scale_min, config.augment_scale_max) != (1.0, 1.0):
        scale, place = rng.uniform(config.augment_scale_min, config.augment_scale_max, b), rng.random((b, 2))
        pairs = [_rescale(x[i], y[i], scale[i], place[i]) for i in range(b)]
        x, y = torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])
    gain = rng.uniform(1 - config.augment_gain, 1 + config.augment_gain, (b, 3, 1, 1)).astype(np.float32)
    shift = rng.uniform(-config.augment_brightness, config.augment_brightness, (b, 1, 1, 1)).astype(np.float32)
    x = (x - 0.5) * torch.from_numpy(gain).to(x.device) + 0.5 + torch.from_numpy(shift).to(x.device)
    return x.contiguous(memory_format=torch.channels_last), y


def _rescale(x: torch.Tensor, y: torch.Tensor, scale: float, place: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """One image and its target scaled, then cropped or padded back to the same size at a random place."""
    from torchvision.transforms.v2 import functional as tv  # here, because its import takes seconds and few runs need it

    h, w = y.shape
    size = [max(1, round(h * scale)), max(1, round(w * scale))]
    x = tv.resize(x, size, antialias=True)
    y = tv.resize(y[None], size, interpolation=tv.InterpolationMode.NEAREST_EXACT)[0]  # NEAREST is up to half a pixel off
    top, left = (int(p * (abs(a - b) + 1)) for p, a, b in zip(place, size, (h, w), strict=True))
    down, right = max(0, h - size[0]), max(0, w - size[1])
    if down or right:
        edges = [min(left, right), min(top, down), right - min(left, right), down - min(top, down)]
        x, y = tv.pad(x, edges, fill=0.5), tv.pad(y[None], edges, fill=IGNORE)[0]
    top, left = min(top, x.shape[1] - h), min(left, x.shape[2] - w)
    return x[:, top : top + h, left : left + w], y[top : top + h, left : left + w]


def batches(trainable: np.ndarray, iterations: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """`iterations` index arrays (batch_size,) that walk through `trainable` in reshuffled rounds; no batch is short."""
    need = iterations * batch_size
    rounds = [rng.permutation(trainable) for _ in range(-(-need // len(trainable)))]
    yield from np.concatenate(rounds)[:need].reshape(iterations, batch_size)


def averaged(model: nn.Module, decay: float, warmup: bool) -> AveragedModel:
    """A Polyak average of the weights and the batch-norm statistics, started from the model as it is (OREAL: decay 0.99).

    warmup: decay min(decay, (1 + t) / (10 + t)) after t iterations; without it a short run validates an untrained net.
    """

    @torch.no_grad()
    def mix(average: list[torch.Tensor], current: list[torch.Tensor], n: torch.Tensor | int) -> None:
        if not average[0].is_floating_point():  # counters are copied, not averaged
            torch._foreach_copy_(average, current)
            return
        t = int(n) - 1
        a = min(decay, (1 + t) / (10 + t)) if warmup else decay
        torch._foreach_lerp_(average, current, 1 - a)

    average = AveragedModel(model, multi_avg_fn=mix, use_buffers=True)
    average.n_averaged += 1  # it is a copy of the start already; at 0 the first update would copy instead of mix
    return average.eval()


def device_of(model: nn.Module) -> torch.device:
    """The device the model's weights are on."""
    return next(model.parameters()).device


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray, batch_size: int = 8) -> Iterator[torch.Tensor]:
    """Probabilities (C, H, W) float32, softmax over C, of images (n, H, W, 3) uint8, one by one and in order."""
    model.eval()
    for start in range(0, len(images), batch_size):
        yield from model(to_input(images[start : start + batch_size], device_of(model))).float().softmax(dim=1)


def evaluate(
    model: nn.Module, pairs: Pairs, batch_size: int = 8, border: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Confusion matrices (C, C) int64 of the whole set: of all pixels, and of the band of `border` pixels around true class borders.

    FloatingPointError where the model predicts NaN: argmax would take it for class 0, and a diverged model get a score.
    """
    whole, band = 0, 0
    for p, truth in zip(predict(model, pairs.images, batch_size), pairs.target, strict=True):
        if not torch.isfinite(p).all():
            raise FloatingPointError("the model predicts NaN: the training has diverged; lower learning_rate and run again")
        predicted, truth = p.argmax(dim=0), np.asarray(truth)
        whole += confusion(predicted, torch.from_numpy(truth).to(p.device), len(p))
        if border is not None:
            near = np.where(class_border(truth, border), truth, IGNORE).astype(np.uint8)
            band += confusion(predicted, torch.from_numpy(near).to(p.device), len(p))
    return whole.cpu().numpy(), None if border is None else band.cpu().numpy()


def fit(
    model: nn.Module,
    train: Pairs,
    val: Pairs,
    config: RunConfig,
    key: tuple[int, ...],
    max_epochs: int | None = None,
    min_epochs: int = 1,
    checkpoint: Path | None = None,
    report: Report = print,
) -> Fitted:
    """Train `model` in place on the labeled pixels of `train`; it ends with the averaged weights of its best validation epoch.

    An epoch is one pass over as many images as `train` has, whatever part is labeled (OREAL Sec. 4.2). Stops after
    `max_epochs` (None: the config's), or when `config.patience` epochs in a row bring nothing better and `min_epochs` are done.
    key: numbers that fix the randomness; every epoch draws from (key, epoch), so a restart repeats nothing and skips nothing.
    checkpoint: a file written every `config.checkpoint_seconds` and continued from if it is there; None for no such file.
    """
    max_epochs = config.max_epochs if max_epochs is None else max_epochs
    trainable = np.flatnonzero([(np.asarray(t) != IGNORE).any() for t in train.target])
    if not len(trainable):
        report("nothing to train on: every answer so far is void; the weights stay as they are")
        return Fitted(_copy(model.state_dict()), 0, _val_miou(model, val, config), 0.0)
    iterations = -(-len(train) // config.batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    average = averaged(model, config.ema, config.ema_warmup)
    epoch, best_epoch, best_miou, seconds, best_state = 0, 0, -1.0, 0.0, _copy(average.module.state_dict())
    saved = None if checkpoint is None else _load_checkpoint(checkpoint, key, report)
    if saved is not None:
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        epoch, best_epoch, best_miou, seconds = saved["epoch"], saved["best_epoch"], saved["best_miou"], saved["seconds"]
        best_state = saved["best_state"]
        report(f"continuing after epoch {epoch}")
    began = written = spoke = time.monotonic()
    while epoch < max_epochs and not (epoch >= min_epochs and epoch - best_epoch >= config.patience):
        epoch += 1
        _train_epoch(model, average, optimizer, train, trainable, iterations, config, (*key, epoch))
        now_miou = _val_miou(average.module, val, config)
        if now_miou > best_miou:
            best_miou, best_epoch, best_state = now_miou, epoch, _copy(average.module.state_dict())
        now = time.monotonic()
        if now - spoke >= 20:  # a long training speaks; a short one leaves the log readable
            report(
                f"epoch {epoch} of at most {max_epochs}: validation mIoU {now_miou:.3f}, best {best_miou:.3f} (epoch {best_epoch})"
            )
            spoke = now
        if checkpoint is not None and now - written >= config.checkpoint_seconds:
            _save_checkpoint(
                checkpoint, key, model, average, optimizer, epoch, best_epoch, best_miou, best_state, seconds + now - began
            )
            written = time.monotonic()
    model.load_state_dict(best_state)
    return Fitted(best_state, epoch, best_miou, seconds + time.monotonic() - began)


def _train_epoch(
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    train: Pairs,
    trainable: np.ndarray,
    iterations: int,
    config: RunConfig,
    key: tuple[int, ...],
) -> None:
    device = device_of(model)
    rng = np.random.default_rng(key)
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(zlib.crc32(repr(key).encode()))  # dropout is the one thing that draws from torch's own generator
        for index in batches(trainable, iterations, config.batch_size, rng):
            target = torch.from_numpy(np.asarray(train.target[index])).to(device)
            x, y = augment(to_input(train.images[index], device), target, config, rng)
            optimizer.zero_grad(set_to_none=True)
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"the training loss is {loss.item()} in epoch {key[-1]}: lower learning_rate ({config.learning_rate})"
        )


def _val_miou(model: nn.Module, val: Pairs, config: RunConfig) -> float:
    return miou(evaluate(model, val, config.eval_batch_size)[0])


def _copy(state: State) -> State:
    return copy.deepcopy({k: v.detach() for k, v in state.items()})


def _save_checkpoint(path, key, model, average, optimizer, epoch, best_epoch, best_miou, best_state, seconds) -> None:
    buffer = BytesIO()
    torch.save(
        {
            "key": list(key),
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
            "best_epoch": best_epoch,
            "best_miou": best_miou,
            "best_state": best_state,
            "seconds": seconds,
        },
        buffer,
    )
    atomic.write_bytes(path, buffer.getvalue())


def _load_checkpoint(path: Path, key: tuple[int, ...], report: Report) -> dict | None:
    """The checkpoint of this very training, or None: a restart from its beginning gives the same result, only later."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as records:  # torch writes checksums, but does not compare them
            if (damaged := records.testzip()) is not None:
                raise zipfile.BadZipFile(damaged)
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # out of a damaged pickle comes any kind of error
        report(f"{path.name} cannot be read ({type(error).__name__}); training this step from its beginning instead")
        return None
    return saved if saved["key"] == list(key) else None
