"""The work of a round, done by a process of its own: train on the clicks, look at every picture, ask again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..aggregate import Regions
from ..batches import Pairs
from ..config import RunConfig
from ..data.resize import bounded, nearest, resized
from ..fast.tiles import softmax_by_class
from ..predict import choose_device, logits
from ..scores import bvsb
from ..setting import network
from ..storage import atomic, checked, provenance
from ..storage.checkpoint import Checkpoint
from ..storage.lock import Lock
from ..storage.progress import lines_to, told
from ..strategies import STRATEGIES
from ..train import fit
from ..types import Query, Ragged
from .board import Board
from .pictures import Picture, key
from .rounds import Progress, folder_of, write_query

LEAST_STEPS = 150  # of training, however few pictures there are; our choice
VALIDATED = 8  # pictures that decide which epoch agrees best with the clicks; more cost time and change little


class Stopped(KeyboardInterrupt):
    """The person asked the training to stop: as Ctrl-C, it keeps what the last finished epoch left."""


class Kept(Checkpoint):
    """The checkpoint of a round, after which it is said how far the training is; each_epoch: is given the number of the epoch."""

    def __init__(self, path: Path, seconds: float, write: Callable[[bytes], None], each_epoch: Callable[[int], None]) -> None:
        super().__init__(path, seconds, write)
        self.each_epoch = each_epoch

    def after_epoch(self, state: dict) -> None:
        """As of `Checkpoint`; then `each_epoch`, which may stop the training."""
        super().after_epoch(state)
        self.each_epoch(state["epoch"])


def train_round(home: Path, number: int, open_board: Callable[[int | None], tuple[Board, int]]) -> None:
    """Carries out the request of a round; killed, the same call goes on from its last checkpoint.

    open_board: the board after so many events of the log (None: all there are by now), and how many that was.
    SystemExit(1) where it cannot go on, with the reason in the round's progress.
    """
    folder = folder_of(home, number)

    def say(state: str, share: float, text: str, left: float | None = None) -> None:
        with suppress(OSError):  # it is a message, and Windows refuses while someone reads the last one
            lock.check()
            atomic.write_json(folder / "progress.json", asdict(Progress(state, round(share, 4), text, left)))

    with Lock(folder / ".lock").wait(f"round {number} is being computed") as lock:
        if (folder / "done.json").exists():
            return
        request = checked.read(folder / "request.json", "train again from the session")
        config = RunConfig.make(request["config"])
        try:
            _train_round(home, number, config, request, open_board, say, lock.check)
        except Stopped:
            say("stopped", 0.0, "stopped; train again to go on")
        except KeyboardInterrupt:
            say("stopped", 0.0, "stopped; train again to go on")
            raise
        except Exception as error:
            traceback.print_exc()
            say("failed", 0.0, f"{error}")
            raise SystemExit(1) from error


def _train_round(home, number, config, request, open_board, say, may_write) -> None:
    folder, began = folder_of(home, number), time.monotonic()
    say("running", 0.01, "reading the pictures")
    torch.set_num_threads(config.threads)
    board, clicks = open_board(request["log"])
    device = choose_device(config.device)
    model = network(config, len(board.classes), config.weights)
    model.to(device, memory_format=torch.channels_last)
    before = folder_of(home, number - 1) / "weights.safetensors"
    if config.warm_start and before.exists():
        state = read_weights(before)
        if {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in model.state_dict().items()}:
            model.load_state_dict(state)  # else the model or the classes are other ones: it begins anew
    train = pairs(board, config.height)
    trainable = train.trainable()
    if len(trainable) == 0:
        raise ValueError("no superpixel has a class yet; label a few of each class, then train")
    rng = np.random.default_rng([config.seed, number])
    some = rng.permutation(trainable)[:VALIDATED]
    epochs = max(config.max_epochs, -(-LEAST_STEPS // -(-len(train) // config.batch_size)))
    mark, before = time.monotonic(), []  # epochs that an earlier attempt has done

    def each_epoch(epoch: int) -> None:
        if (folder / "stop").exists():
            raise Stopped
        before[:] = before or [epoch - 1]
        left = (time.monotonic() - mark) / (epoch - before[0]) * (epochs - epoch)
        say("running", 0.05 + 0.8 * epoch / epochs, f"training, epoch {epoch} of {epochs}", round(left, 1))

    def write(data: bytes) -> None:
        may_write()
        atomic.write_bytes(folder / "checkpoint.pt", data)

    fitted = fit(
        model,
        train,
        Pairs(train.images[some], train.target[some]),
        config.model_copy(update={"max_epochs": epochs, "patience": epochs}),
        key=(config.seed, number),
        keep=Kept(folder / "checkpoint.pt", config.checkpoint_seconds, write, each_epoch),
    )
    may_write()
    atomic.write_bytes(folder / "weights.safetensors", checked.dump_tensors(fitted.state))
    for i, (picture, p) in enumerate(zip(board.pictures, probabilities(model, board.pictures, config.height), strict=True), 1):
        if (folder / "stop").exists():
            raise Stopped
        buffer = BytesIO()
        unsure = (255 * bvsb(p[None])[0, 0]).round().to(torch.uint8)
        np.savez_compressed(buffer, predicted=p.argmax(dim=0).to(torch.uint8).cpu().numpy(), unsure=unsure.cpu().numpy())
        may_write()
        atomic.write_bytes(folder / "views" / f"{key(picture.name)}.npz", buffer.getvalue())
        say("running", 0.85 + 0.08 * i / len(board.pictures), f"looking at picture {i} of {len(board.pictures)}")
    say("running", 0.94, "choosing what to ask")

    trained_on = board.as_labels().clicks
    board, clicks = open_board(None)  # what was clicked meanwhile is not asked again
    with lines_to(lambda text: say("running", 0.94, text)):
        query = ask(config, board, model, number)
    may_write()
    write_query(home, number, board, query, clicks)
    checked.write(
        folder / "done.json",
        {
            "round": number,
            "labeled": trained_on,
            "classes": list(board.classes),
            "epochs": fitted.epochs,
            "agreement_with_clicks": None if np.isnan(fitted.val_miou) else round(fitted.val_miou, 6),
            "seconds": round(time.monotonic() - began, 1),
            "device": provenance.device_name(device),
            "versions": provenance.versions(),
        },
    )
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    say("done", 1.0, "done")


def ask(config: RunConfig, board: Board, model: nn.Module, number: int) -> Query | None:
    """What the config's strategy asks of the unlabeled superpixels; None if there are none."""
    labels, pool = board.as_labels(rounds=number - 1), board.superpixels()
    if not labels.unlabeled.any():
        return None

    def look() -> Iterator[torch.Tensor]:
        seen = probabilities(model, board.pictures, config.height)
        return told(seen, "choosing what to ask: {done} of {total} pictures", len(board.pictures))

    names = [picture.name for picture in board.pictures]
    regions = Regions(look, pool, len(board.classes), names=names, classes=board.classes)
    budget = min(config.query_size, int(labels.unlabeled.sum()))
    rng = np.random.default_rng([config.seed, number])
    return STRATEGIES[config.strategy](regions, labels, budget, config.aggregate, rng, **config.strategy_options)


def pairs(board: Board, side: int) -> Pairs:
    """What was clicked, for training: each picture with its longer side at `side` pixels, and the labels painted into it."""
    images, targets = [], []
    for i, picture in enumerate(told(board.pictures, "reading {done} of {total} pictures")):
        size = bounded(picture.size, side)
        images.append(_shrunk(picture.image(), size))
        target = board.paint(i)
        targets.append(target if target.shape == size else nearest(target, size))
    return Pairs(Ragged(tuple(images)), Ragged(tuple(targets)))


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.array(image) if image.shape[:2] == size else resized(np.array(image), size)


def probabilities(model: nn.Module, pictures: tuple[Picture, ...], side: int) -> Iterator[torch.Tensor]:
    """(C, H, W) float32 of each picture at its working size; the network sees it with its longer side at `side` pixels."""
    for picture in pictures:
        yield look(model, picture.image(), side, picture.size)


@torch.no_grad()
def look(model: nn.Module, image: np.ndarray, side: int, size: tuple[int, int]) -> torch.Tensor:
    """(C, *size) float32 probabilities of an image (h, w, 3) uint8, seen at `side` and brought to `size` (height, width)."""
    small = _shrunk(image, bounded(image.shape[:2], side))
    (z,) = logits(model, small[None])
    if z.shape[1:] != tuple(size):
        z = F.interpolate(z[None], tuple(size), mode="bilinear", align_corners=False)[0]
    return softmax_by_class(z)


def load_network(config: RunConfig, n_classes: int, weights: Path, device: str = "auto") -> nn.Module:
    """The trained network of a round, ready to look at pictures. ValueError if the file is damaged or of another network."""
    model = network(config, n_classes)
    try:
        model.load_state_dict(read_weights(weights))
    except RuntimeError as error:  # torch: names or shapes are other ones
        raise ValueError(f"{weights} cannot be loaded ({error}); take the weights and the model.json of one round") from error
    return model.to(choose_device(device)).eval()


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights of a round or an export, on the CPU; ValueError if the file is damaged."""
    try:
        return checked.load_tensors(Path(file).read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{file} is damaged ({error}); take the weights and the model.json of one round, or train again"
        ) from error
