"""From images and labels to training batches. All random choices are drawn first, in one place and from one generator; the work
itself then gives the same bits whichever thread does it and whatever device trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .config import RunConfig
from .fast.ahead import ahead
from .storage.ragged import Pictures
from .types import IGNORE

NO_SUPERPIXEL = -1  # the superpixel id of padding


@dataclass(frozen=True)
class Pairs:
    """Images and their labels: a target for each pixel, or answers for superpixels (weak labels).

    images: (n, H, W, 3) uint8, or features (n, h, w, D) float16 of a frozen encoder.
    target: (n, H, W) uint8, IGNORE where there is no label; may be of native size.
    ids: (n, H, W) integers 0..S-1.  answers: (n, S, C') bool, the classes named in each superpixel (`losses.weak_loss`).
    """

    images: Pictures
    target: Pictures | None = None
    ids: Pictures | None = None
    answers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def trainable(self) -> np.ndarray:
        """(k,) int64: the images with at least one label."""
        if self.answers is not None:
            return np.flatnonzero(self.answers.any(axis=(1, 2)))
        return np.flatnonzero([(np.asarray(t) != IGNORE).any() for t in self.target])


class Batch(NamedTuple):
    """x: (B, 3, H, W) float32 about [0, 1], channels last.  y: (B, H, W) uint8 or None.  ids: (B, H, W) int32 or None.
    answers: (B, S, C') bool or None."""

    x: torch.Tensor
    y: torch.Tensor | None = None
    ids: torch.Tensor | None = None
    answers: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, copied without waiting where its memory is pinned."""
        return Batch(*(None if t is None else t.to(device, non_blocking=True) for t in self))

    def pinned(self) -> "Batch":
        """The batch in pinned memory, from which a GPU copies faster."""
        return Batch(*(None if t is None else t.pin_memory() for t in self))


@dataclass(frozen=True)
class Draw:
    """The random choices for one image of a batch. Scale None: the image keeps its size."""

    index: int
    hflip: bool
    vflip: bool
    scale: float | None
    place: tuple[float, float]  # of the crop or the padding, 0..1 from top and left
    gain: np.ndarray  # (3, 1, 1) float32, contrast of each channel
    shift: float  # brightness
    jitter: tuple[float, float, float] | None  # brightness, contrast, saturation as factors


def epoch(trainable: np.ndarray, iterations: int, config: RunConfig, rng: np.random.Generator) -> Iterator[list[Draw]]:
    """`iterations` batches that walk through `trainable` in reshuffled rounds; no batch is short (OREAL Sec. 4.2).

    trainable: (k,) int64 positions of images.
    """
    b = config.batch_size
    rounds = [rng.permutation(trainable) for _ in range(-(-iterations * b // len(trainable)))]
    scales = (config.augment_scale_min, config.augment_scale_max) != (1.0, 1.0) or config.resize == "crop"
    for index in np.concatenate(rounds)[: iterations * b].reshape(iterations, b).tolist():
        hflip, vflip = rng.random(b) < config.augment_hflip, rng.random(b) < config.augment_vflip
        scale, place = [None] * b, np.zeros((b, 2))
        if scales:
            scale = rng.uniform(config.augment_scale_min, config.augment_scale_max, b).tolist()
            place = rng.random((b, 2))
        jitter = [None] * b
        gain = rng.uniform(1 - config.augment_gain, 1 + config.augment_gain, (b, 3, 1, 1)).astype(np.float32)
        shift = rng.uniform(-config.augment_brightness, config.augment_brightness, b).astype(np.float32)
        if config.augment_jitter:
            jitter = [tuple(f) for f in rng.uniform(1 - config.augment_jitter, 1 + config.augment_jitter, (b, 3)).tolist()]
        yield [
            Draw(index[i], bool(hflip[i]), bool(vflip[i]), scale[i], tuple(place[i]), gain[i], float(shift[i]), jitter[i])
            for i in range(b)
        ]


def load(pairs: Pairs, draws: list[Draw], size: tuple[int, int] | None = None) -> Batch:
    """The batch that the draws describe. size: its (height, width); None: that of the images."""
    examples = [augment(pairs, draw, size) for draw in draws]
    x, y, ids = zip(*examples, strict=True)
    y, ids = (None if part[0] is None else torch.stack(part) for part in (y, ids))
    x = torch.stack([one.permute(1, 2, 0) for one in x]).permute(0, 3, 1, 2)  # channels last, as most of them lie already
    answers = None if pairs.answers is None else torch.from_numpy(pairs.answers[[draw.index for draw in draws]])
    return Batch(x, y, ids, answers)


def augment(
    pairs: Pairs, draw: Draw, size: tuple[int, int] | None = None
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """One image (3, H, W) float32, its target (H, W) uint8 and its superpixel ids (H, W) int32, or None, all changed alike.

    Flip, scale with crop or padding, jitter, gain and brightness. Padding is mid-grey, IGNORE and NO_SUPERPIXEL. The last
    two color changes may leave [0, 1]: clipping would destroy highlights.
    """
    x = torch.from_numpy(np.array(pairs.images[draw.index])).permute(2, 0, 1)
    maps = []
    if pairs.target is not None:
        maps.append((torch.from_numpy(np.array(pairs.target[draw.index])), IGNORE))
    if pairs.ids is not None:
        maps.append((torch.from_numpy(np.asarray(pairs.ids[draw.index]).astype(np.int32)), NO_SUPERPIXEL))
    for flip, axis in ((draw.hflip, -1), (draw.vflip, -2)):
        if flip:
            x, maps = x.flip(axis), [(m.flip(axis), fill) for m, fill in maps]
    if draw.scale is not None:
        x, maps = _rescale(x, maps, draw.scale, draw.place, size or tuple(x.shape[1:]))
    x, is_picture = x.float(), x.dtype == torch.uint8
    if is_picture:
        x.div_(255)  # in place, as below: getting new memory takes longer than the arithmetic
    if draw.jitter is not None:
        from torchvision.transforms.v2 import functional as tv

        for change, factor in zip((tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation), draw.jitter, strict=True):
            x = change(x, factor)
    if draw.shift or (draw.gain != 1).any():
        x = x.sub_(0.5).mul_(torch.from_numpy(draw.gain)).add_(0.5).add_(draw.shift)
    changed = iter(m for m, _ in maps)
    return x, *(None if part is None else next(changed) for part in (pairs.target, pairs.ids))


Maps = list[tuple[torch.Tensor, int]]  # (H, W) with what padding holds


def _rescale(x: torch.Tensor, maps: Maps, scale: float, place: tuple, size: tuple[int, int]) -> tuple[torch.Tensor, Maps]:
    """An image (3, h, w) uint8 and its maps scaled, then cropped or padded to `size` at a place."""
    from torchvision.transforms.v2 import functional as tv  # here, because the import takes seconds and few runs need it

    scaled = [max(1, round(side * scale)) for side in x.shape[1:]]
    top, left = (int(p * (abs(a - b) + 1)) for p, a, b in zip(place, scaled, size, strict=True))
    down, right = (max(0, b - a) for a, b in zip(scaled, size, strict=True))
    edges = [min(left, right), min(top, down), right - min(left, right), down - min(top, down)]
    top, left = (0 if down else top), (0 if right else left)

    def placed(t: torch.Tensor, fill: int) -> torch.Tensor:  # (K, h, w) -> (K, *size)
        t = tv.pad(t, edges, fill=fill) if any(edges) else t
        return t[:, top : top + size[0], left : left + size[1]]

    nearest = tv.InterpolationMode.NEAREST_EXACT  # NEAREST is up to half a pixel off
    x = placed(tv.resize(x, scaled, antialias=True), 128)
    return x, [(placed(tv.resize(m[None], scaled, interpolation=nearest), fill)[0], fill) for m, fill in maps]


def batches(
    pairs: Pairs, trainable: np.ndarray, iterations: int, config: RunConfig, rng: np.random.Generator, device: torch.device
) -> Iterator[Batch]:
    """The batches of one epoch, on `device`. `config.loaders` threads prepare the next ones meanwhile (None: 4 for a GPU, else 0).

    trainable: (k,) int64 of `Pairs.trainable`.
    """
    size = (config.height, config.width) if config.resize == "crop" else None
    gpu = device.type == "cuda"

    def work(draws: list[Draw]) -> Batch:
        batch = load(pairs, draws, size)
        return batch.pinned() if gpu else batch

    threads = (4 if gpu else 0) if config.loaders is None else config.loaders
    for batch in ahead(work, epoch(trainable, iterations, config, rng), threads):
        yield batch.to(device)
