"""Predictions of a network: probabilities for the strategies, confusion matrices for the tables."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .batches import Pairs
from .fast.tiles import first_largest, softmax_by_class
from .metrics import class_border, confusion
from .storage.ragged import Pictures
from .types import IGNORE


def to_input(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1], in channels-last memory (as the bytes already lie); of features
    (B, h, w, D) float16 the same numbers."""
    x = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).float()
    return x / 255 if images.dtype == np.uint8 else x


def device_of(model: nn.Module) -> torch.device:
    """The device the model's weights are on."""
    return next(model.parameters()).device


@torch.no_grad()
def logits(model: nn.Module, images: Pictures, batch_size: int = 8) -> Iterator[torch.Tensor]:
    """Logits (C, H, W) float32 of images (n, H, W, 3) uint8, one by one and in order. Never in half precision:
    rounded logits are ties of scores that differ."""
    model.eval()
    for batch in _of_one_size(images, batch_size):
        yield from model(to_input(batch, device_of(model))).float()


def _of_one_size(images: Pictures, batch_size: int) -> Iterator[np.ndarray]:
    """Consecutive images (B, H, W, 3) of one size, at most `batch_size` at a time."""
    waiting: list[np.ndarray] = []
    for image in images:
        if waiting and (len(waiting) == batch_size or image.shape != waiting[0].shape):
            yield np.stack(waiting)
            waiting = []
        waiting.append(image)
    if waiting:
        yield np.stack(waiting)


def predict(model: nn.Module, images: Pictures, batch_size: int = 8) -> Iterator[torch.Tensor]:
    """Probabilities (C, H, W) float32, softmax over C, of images (n, H, W, 3) uint8, one by one and in order."""
    yield from map(softmax_by_class, logits(model, images, batch_size))


@torch.no_grad()
def evaluate(
    model: nn.Module,
    pairs: Pairs,
    batch_size: int = 8,
    border: int | None = None,
    gap: int = 0,
    undefined: bool = False,
    each_image: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Confusion matrices (C, C) int64 of the whole set: of all pixels, and of the band of `border` pixels around true class borders
    (`gap`: see `metrics.class_border`). undefined: the model's last output stands for void and is left out.
    each_image: called with how many images are done, after each.

    Where a target has another size than its image (its native one), the logits are brought to it bilinearly (our choice).
    FloatingPointError where the model predicts NaN: argmax would take it for class 0 and score a diverged model.
    """
    whole, band = 0, 0
    for done, (z, truth) in enumerate(zip(logits(model, pairs.images, batch_size), pairs.target, strict=True), start=1):
        if not torch.isfinite(z.sum()) and not torch.isfinite(z).all():  # the sum is fast, and finite only if all are
            raise FloatingPointError("the model predicts NaN: the training has diverged; lower learning_rate and run again")
        z = z[:-1] if undefined else z
        if z.shape[1:] != truth.shape:
            z = F.interpolate(z[None], truth.shape, mode="bilinear", align_corners=False)[0]
        predicted, truth = first_largest(softmax_by_class(z)), np.array(truth)
        whole += confusion(predicted, torch.from_numpy(truth).to(z.device), len(z))
        if border is not None:
            near = np.where(class_border(truth, border, gap), truth, IGNORE).astype(np.uint8)
            band += confusion(predicted, torch.from_numpy(near).to(z.device), len(z))
        if each_image is not None:
            each_image(done)
    return whole.cpu().numpy(), None if border is None else band.cpu().numpy()
