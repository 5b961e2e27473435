"""What a frozen encoder sees of each picture: computed once, kept as one file for each, named after the picture's pixels.

A picture that is added later, a mirror image and a run of another seed thus find what is there, and a kill loses at most the
pictures in work. The files lie beside the prepared data and can be deleted while no run uses them: they are computed again.
"""

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch.backends.cpu import get_cpu_capability

from ..config import RunConfig
from ..models import STRIDE, build_model
from ..models.weights import load_weights, weights_file
from ..storage.checked import npy, read_npy
from ..storage.devices import choose_device
from ..storage.lock import Lock
from ..storage.paths import prepared_root
from ..storage.processes import parallel, processes
from ..storage.progress import log, told
from ..storage.provenance import versions
from ..storage.ragged import Pictures, Ragged, some
from ..types import IGNORE
from .store import writing

FOR_STATISTICS = 200  # pictures that say how features are distributed (our choice)
MOST_PACKED = 2**19  # positions that are trained on, about half a GB of the smallest encoder's features (our choice)


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder by what decides its features: `models.build_model`'s name and weights, the kind of device, and whether it works
    in bfloat16, which is faster where the hardware has it and rounds features to three digits."""

    model: str
    weights: str
    device: str = "cpu"
    half: bool = False
    changed: int = 0  # when a file of weights was, in nanoseconds: another file may come in its place

    @property
    def folder(self) -> str:
        """The name of its folder: it tells encoders, their weights and versions of the software apart."""
        digest = hashlib.sha256(
            f"1 {self.device} {get_cpu_capability()} {self.half} {versions()['torch']} {versions()['timm']}".encode()
        )
        for name, tensor in _network(self).state_dict().items():
            if name.startswith("net.backbone."):
                digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return f"features-{self.model.partition('_')[2]}-{digest.hexdigest()[:12]}"

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(h, w, D) float16 features at stride 8 of an image (H, W, 3) uint8, padded to multiples of 32; always by one thread on a CPU,
        so that the bits do not depend on how many work. ValueError for NaN or infinity."""
        network, threads = _network(self), torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            x = torch.from_numpy(np.array(image)).to(self.device)[None].permute(0, 3, 1, 2).float() / 255
            with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
                features = network.net.features(network.padded(x))[0]
            if not features.sum().isfinite():
                raise ValueError(f"the encoder of {self.model} gives NaN or infinity: its weights are damaged; give others")
            return features.permute(1, 2, 0).half().clamp_(-65_504, 65_504).cpu().numpy()  # the largest number of half precision
        finally:
            torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _network(encoder: Encoder) -> torch.nn.Module:
    """The network of an encoder, built once in each process."""
    of_package = encoder.weights == "imagenet"
    network = build_model(encoder.model, 2, "imagenet" if of_package else "none").eval()
    if not of_package:
        load_weights(network, encoder.weights, backbone_only=True)
    return network.to(encoder.device, memory_format=torch.channels_last)


@dataclass(frozen=True, eq=False)
class Features:
    """Features (n, h, w, D) float16 of images (n, H, W, 3) uint8 of one size, indexed like an array; `compute` comes first.

    n: how many of the images are not mirror images of others; these follow.
    folder: where they are kept; None: computed at each look.  mean, std: (D,) float32 of each channel over the pool.
    """

    images: Pictures
    n: int
    encoder: Encoder
    folder: Path | None
    mean: np.ndarray | None = None
    std: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | np.ndarray) -> "np.ndarray | Features":
        if np.ndim(index):
            return replace(self, images=some(self.images, index))
        return self.encoder(self.images[index]) if self.folder is None else read_npy(_file(self.folder, self.images[index]))

    def with_mirrors(self, which: np.ndarray, maps: Pictures) -> "tuple[Features, Pictures]":
        """The features at positions `which` (k,), float16, with maps (k, H, W) of any dtype of these pictures; then, if there are
        any, those of the mirror images with mirrored maps."""
        if len(self) == self.n:
            return self[which], maps
        return self[np.concatenate([which, which + self.n])], Ragged((*maps, *(np.asarray(m)[:, ::-1] for m in maps)))

    def statistics(self) -> dict[str, np.ndarray]:
        """The fields mean and std, (D,) float32 each, over all positions of at most FOR_STATISTICS pictures."""
        which = np.unique(np.linspace(0, len(self) - 1, FOR_STATISTICS).round().astype(int))
        total = np.zeros((2, self[0].shape[-1]))
        for features in told(self[which], "statistics of the features: {done} of {total} images", len(which)):
            x = features.reshape(-1, features.shape[-1]).astype(np.float32)
            total += (x.mean(axis=0), (x * x).mean(axis=0))
        mean, square = total / len(which)
        return {"mean": mean.astype(np.float32), "std": np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)}

    def head(self, n_classes: int, classifier: str, temperature: float) -> torch.nn.Module:
        """What is trained of the encoder's network, which sees these features standardized; random weights from torch's generator."""
        from ..models.linear import FrozenHead, new_head

        net = _network(self.encoder).net
        head = new_head(net.channels, n_classes, net.hidden, classifier, temperature)
        return FrozenHead(head, self.images[0].shape[:2], self.mean, self.std)

    def compute(self, workers: int | None = None) -> None:
        """Computes and keeps what is missing or damaged, after saying how much room it needs.

        workers: processes, one per core unless given; a GPU has one.  OSError with the bytes needed where the disk is full.
        """
        if self.folder is None or not self._missing():  # nothing is locked, so that a complete folder may be read-only
            return
        with writing(self.folder), Lock(self.folder / ".lock").wait("features are being computed") as lock:
            if not (missing := self._missing()):
                return
            for left in self.folder.glob(".*.npy.*"):  # of an attempt that was killed
                left.unlink()
            work = partial(_keep, self.encoder, self.folder)
            needed = work(self.images[missing[0]]) * len(missing)
            what = f"{len(missing):,} of {len(self):,} images, {needed / 1e9:.1f} GB in {self.folder}"
            log.info(f"features by {self.encoder.model}: {what}")
            if (free := shutil.disk_usage(self.folder).free) < needed:
                raise OSError(f"{needed:,} bytes are needed, but only {free:,} are free")
            rest = some(self.images, np.array(missing[1:], int))
            workers = processes(workers if self.encoder.device == "cpu" else 1, len(missing))
            for _ in told(parallel(work, rest, workers), "features: {done} of {total} images", len(rest)):
                lock.check()

    def _missing(self) -> list[int]:
        looked = told(self.images, "checking kept features: {done} of {total} images")
        return [i for i, image in enumerate(looked) if not _whole(_file(self.folder, image))]


def features_of(config: RunConfig, images: Pictures, pool: np.ndarray, others: np.ndarray) -> Features | None:
    """The features of images (n, H, W, 3) by the frozen encoder of a config; those at the positions `pool` and `others` are computed.
    None where the encoder is trained.

    ValueError where the images are of several sizes.
    """
    if config.encoder == "trained":
        return None
    if len({image.shape for image in images}) > 1:
        raise ValueError(
            "encoder is 'frozen', which needs images of one size, but these are of several; give a height and width and resize: square"
        )
    changed = 0 if config.weights == "imagenet" else weights_file(config.weights).stat().st_mtime_ns
    encoder = Encoder(config.model, config.weights, choose_device(config.device).type, config.precision == "bfloat16", changed)
    n, needed = len(images), np.concatenate([pool, others])
    if config.augment_hflip:
        images, needed = Ragged((*images, *(image[:, ::-1] for image in images))), np.concatenate([needed, pool + n])
    features = Features(images, n, encoder, prepared_root() / encoder.folder if config.keep_features else None)
    features[needed].compute(config.workers)
    return replace(features, **features[pool].statistics())


def _file(folder: Path, image: np.ndarray) -> Path:
    """The file of an image (H, W, 3) uint8."""
    image = np.ascontiguousarray(image)
    return folder / f"{hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()[:32]}.npy"


def _keep(encoder: Encoder, folder: Path, image: np.ndarray) -> int:
    """Writes the features of an image, with their checksum behind them; how many bytes that took.

    Renamed when whole, but not flushed: `_whole` finds what a power cut tore.
    """
    data = npy(encoder(image))
    file = _file(folder, image)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with open(beside, "wb") as out:
        size = out.write(data) + out.write(_check(file, data))
    os.replace(beside, file)
    return size


def _whole(file: Path) -> bool:
    """Whether a file of features is there, every byte as it was written."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return False
    return _check(file, memoryview(data)[:-4]) == data[-4:]


def _check(file: Path, data: bytes | memoryview) -> bytes:
    """The checksum of a file's data and name: exchanged files are noticed."""
    return zlib.crc32(data, zlib.crc32(file.name.encode())).to_bytes(4)


def at_positions(maps: np.ndarray, like: np.ndarray, fill: int) -> np.ndarray:
    """(h, w) of the dtype of a map (H, W): what it holds at the middle of each position of features `like` (h, w, D); `fill` beyond."""
    small = np.full(like.shape[:2], fill, maps.dtype)
    inside = maps[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    small[: inside.shape[0], : inside.shape[1]] = inside
    return small


def at_all_positions(features: Features, which: np.ndarray, maps: Pictures, fill: int) -> tuple[Features, np.ndarray]:
    """The features at positions `which` (k,), float16, and their maps (k, H, W) `at_positions`; mirror images follow, if there are any."""
    seen, maps = features.with_mirrors(which, maps)
    like = seen[0]
    return seen, np.stack([at_positions(np.asarray(m, np.int32), like, fill) for m in maps])


def packed(features: Features, target: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """The labeled positions of all pictures, put side by side as (m, h, w, D) float16 with their labels (m, h, w) uint8.

    A 1 x 1 convolution does not see neighbors, so it learns the same from them, and no time is lost on what has no label. Each of the
    m pictures holds positions of all. Of more than MOST_PACKED some are left out, evenly.
    target: (n, H, W) uint8, IGNORE where there is no label.
    """
    like = features[0]
    (h, w, d), small = like.shape, [at_positions(np.asarray(t), like, IGNORE) for t in target]
    k, keep = 0, MOST_PACKED / max(1, sum(np.count_nonzero(t != IGNORE) for t in small))
    found, classes = [np.zeros((0, d), np.float16)], [np.zeros(0, np.uint8)]
    for i, t in enumerate(small):
        row, column = np.nonzero(t != IGNORE)
        chosen = ((k + np.arange(len(row))) * 0.6180339887) % 1 < keep  # the golden ratio falls in with no row and no column
        k += len(row)
        if chosen.any():
            found.append(features[i][row[chosen], column[chosen]])
            classes.append(t[row[chosen], column[chosen]])
    x, y = np.concatenate(found), np.concatenate(classes)
    m = max(1, -(-len(y) // (h * w)))
    x = np.concatenate([x, np.zeros((m * h * w - len(y), d), np.float16)])
    y = np.concatenate([y, np.full(m * h * w - len(y), IGNORE, np.uint8)])
    return x.reshape(h * w, m, d).swapaxes(0, 1).reshape(m, h, w, d), y.reshape(h * w, m).T.reshape(m, h, w)
