"""The work of a round, done by a separate process: train on the clicks, look at every picture, ask again."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..aggregate import Regions
from ..batches import Pairs
from ..config import RunConfig
from ..data.resize import bounded, nearest, resized
from ..fast.tiles import best_two, softmax_by_class
from ..predict import device_of, logits
from ..setting import network
from ..storage import atomic, checked, provenance
from ..storage.checkpoint import Checkpoint
from ..storage.devices import choose_device
from ..storage.lock import Lock
from ..storage.progress import lines_to, told
from ..storage.ragged import Ragged
from ..strategies import STRATEGIES
from ..train import Fitted, fit
from ..types import Query
from .board import Board
from .pictures import Picture, key
from .rounds import Progress, folder_of, write_query

LEAST_STEPS = 150  # of training, however few pictures there are; our choice
VALIDATED = 8  # pictures that decide which epoch agrees best with the clicks; more take time and change little

REMEDY = "take the weights and the model.json of one round, or train again"


class Stopped(KeyboardInterrupt):
    """The person asked the training to stop: as with Ctrl-C, what the last finished epoch left is kept."""


def train_round(home: Path, number: int, open_board: Callable[[int | None], tuple[Board, int]]) -> None:
    """Carries out the request of a round; killed, the same call goes on from its last checkpoint.

    open_board: the board after so many events of the log (None: all there are by now), and how many that was.
    SystemExit(1) where it cannot go on, with the reason in the round's progress.
    """
    folder = folder_of(home, number)
    with Lock(folder / ".lock").wait(f"round {number} is being computed") as lock:
        if (folder / "done.json").exists():
            return tidy(folder)  # it may have been killed right after it had written that
        request = checked.read(folder / "request.json", "train again from the session")
        work = _Round(home, number, RunConfig.make(request["config"]), request, lock)
        try:
            work.carry_out(open_board)
        except KeyboardInterrupt as stop:
            work.say("stopped", 0.0, "stopped; train again to go on")
            if not isinstance(stop, Stopped):
                raise
        except Exception as error:
            traceback.print_exc()
            work.say("failed", 0.0, f"{error}")
            raise SystemExit(1) from error


def tidy(folder: Path) -> None:
    """Removes from a finished round what only an unfinished one needs, and what attempts that were killed had begun to write."""
    for file in [folder / "checkpoint.pt", *folder.rglob(".*.tmp")]:
        file.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Round:
    """A round that is being computed. request: what was wanted.  lock: of the round, held."""

    home: Path
    number: int
    config: RunConfig
    request: dict
    lock: Lock

    @property
    def folder(self) -> Path:
        return folder_of(self.home, self.number)

    def say(self, state: str, share: float, text: str, left: float | None = None) -> None:
        """Writes progress.json."""
        with suppress(OSError):  # it is only a message, and Windows refuses while someone reads the last one
            self.lock.check()
            atomic.write_json(self.folder / "progress.json", asdict(Progress(state, round(share, 4), text, left)))

    def go_on(self) -> None:
        """`Stopped` if the person has asked for it."""
        if (self.folder / "stop").exists():
            raise Stopped

    def write(self, name: str, data: bytes) -> None:
        """Writes a file of the round, if the lock is still ours."""
        self.lock.check()
        atomic.write_bytes(self.folder / name, data)

    def carry_out(self, open_board: Callable[[int | None], tuple[Board, int]]) -> None:
        """Trains on the clicks, looks at every picture, asks again; done.json comes last."""
        began = time.monotonic()
        self.say("running", 0.01, "reading the pictures")
        torch.set_num_threads(self.config.threads)
        board, _ = open_board(self.request["log"])
        model = self.network(board)
        fitted = self.train(model, board)
        self.write("weights.safetensors", checked.dump_tensors(fitted.state))
        self.look(model, board)
        self.say("running", 0.94, "choosing what to ask")
        now, clicks = open_board(None)  # what was clicked meanwhile is not asked again
        with lines_to(lambda text: self.say("running", 0.94, text)):
            query = ask(self.config, now, model, self.number)
        self.lock.check()
        write_query(self.home, self.number, now, query, clicks)
        agreement = None if np.isnan(fitted.val_miou) else round(fitted.val_miou, 6)
        done = {"round": self.number, "labeled": board.as_labels().clicks, "classes": list(now.classes), "epochs": fitted.epochs}
        done |= {"agreement_with_clicks": agreement, "seconds": round(time.monotonic() - began, 1)}
        done |= {"device": provenance.device_name(device_of(model)), "versions": provenance.versions()}
        checked.write(self.folder / "done.json", done)
        tidy(self.folder)
        self.say("done", 1.0, "done")

    def network(self, board: Board) -> nn.Module:
        """The network to train: with the weights of the round before, if they fit and `warm_start` is on."""
        config, before = self.config, folder_of(self.home, self.number - 1) / "weights.safetensors"
        model = network(config, len(board.classes), config.weights)
        model.to(choose_device(config.device), memory_format=torch.channels_last)
        if config.warm_start and before.exists():
            state = read_weights(before)
            if {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in model.state_dict().items()}:
                model.load_state_dict(state)  # otherwise the model or the classes have changed: it starts over
        return model

    def train(self, model: nn.Module, board: Board) -> Fitted:
        """Trains the network on what was clicked; the epoch that agrees best with the clicks of a few pictures counts."""
        config, clicked = self.config, pairs(board, self.config.height)
        trainable = clicked.trainable()
        if len(trainable) == 0:
            raise ValueError("no superpixel has a class yet; label a few of each class, then train")
        some = np.random.default_rng([config.seed, self.number]).permutation(trainable)[:VALIDATED]
        epochs = max(config.max_epochs, -(-LEAST_STEPS // -(-len(clicked) // config.batch_size)))
        mark, before = time.monotonic(), []  # epochs that an earlier attempt has done

        def each_epoch(state: dict) -> None:
            self.go_on()
            epoch = state["epoch"]
            before[:] = before or [epoch - 1]
            left = (time.monotonic() - mark) / (epoch - before[0]) * (epochs - epoch)
            self.say("running", 0.05 + 0.8 * epoch / epochs, f"training, epoch {epoch} of {epochs}", round(left, 1))

        return fit(
            model,
            clicked,
            Pairs(clicked.images[some], clicked.target[some]),
            config.model_copy(update={"max_epochs": epochs, "patience": epochs}),
            (config.seed, self.number),
            keep=Checkpoint(
                self.folder / "checkpoint.pt", config.checkpoint_seconds, partial(self.write, "checkpoint.pt"), each_epoch
            ),
        )

    def look(self, model: nn.Module, board: Board) -> None:
        """Writes views/: what the network sees in each picture, and how unsure it is."""
        seen, total = probabilities(model, board.pictures, self.config.height), len(board.pictures)
        for i, (picture, p) in enumerate(zip(board.pictures, seen, strict=True), 1):
            self.go_on()
            classes, unsure = classes_and_doubt(p)
            self.write(f"views/{key(picture.name)}.npz", checked.dump_arrays({"predicted": classes, "unsure": unsure}))
            self.say("running", 0.85 + 0.08 * i / total, f"looking at picture {i} of {total}")


def ask(config: RunConfig, board: Board, model: nn.Module | None, number: int) -> Query | None:
    """What the config's strategy asks of the unlabeled superpixels; None if there are none. model: None before anything is trained,
    then it is asked by lot (our choice, as in the baselines' code); live, better suggestions come in its place."""
    labels, pool = board.as_labels(rounds=max(1, number - 1)), board.superpixels()
    if not labels.unlabeled.any():
        return None

    def predict() -> Iterator[torch.Tensor]:
        seen = probabilities(model, board.pictures, config.height)
        return told(seen, "choosing what to ask: {done} of {total} pictures", len(board.pictures))

    names = [picture.name for picture in board.pictures]
    regions = Regions(predict, pool, len(board.classes), names=names, classes=board.classes)
    budget = min(config.query_size, int(labels.unlabeled.sum()))
    rng = np.random.default_rng([config.seed, number])
    if model is None:
        return STRATEGIES["random"](regions, labels, budget, "mean", rng)
    return STRATEGIES[config.strategy](regions, labels, budget, config.aggregate, rng, **config.strategy_options)


def pairs(board: Board, side: int) -> Pairs:
    """What was clicked, for training: each picture with its longer side at `side` pixels, and the labels painted into it."""
    images, targets = [], []
    for i, picture in enumerate(told(board.pictures, "reading {done} of {total} pictures")):
        size = bounded(picture.size, side)
        images.append(resized(picture.image(), size))
        targets.append(nearest(board.paint(i), size))
    return Pairs(Ragged(tuple(images)), Ragged(tuple(targets)))


def probabilities(model: nn.Module, pictures: tuple[Picture, ...], side: int) -> Iterator[torch.Tensor]:
    """(C, H, W) float32 of each picture at its working size; the network sees it with its longer side at `side` pixels."""
    for picture in pictures:
        yield look(model, picture.image(), side, picture.size)


@torch.no_grad()
def look(model: nn.Module, image: np.ndarray, side: int, size: tuple[int, int]) -> torch.Tensor:
    """(C, *size) float32 probabilities of an image (h, w, 3) uint8, seen at `side` and brought to `size` (height, width)."""
    small = resized(image, bounded(image.shape[:2], side))
    (z,) = logits(model, small[None])
    if z.shape[1:] != tuple(size):
        z = F.interpolate(z[None], tuple(size), mode="bilinear", align_corners=False)[0]
    return softmax_by_class(z)


def classes_and_doubt(p: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Two (H, W) uint8 maps of probabilities (C, H, W): the most likely class id, and how unsure that is (BvSB, 255 = a tie)."""
    best, second = best_two(p[None])
    classes = torch.zeros(p.shape[1:], dtype=torch.uint8, device=p.device)
    for c in reversed(range(len(p))):  # a third of the time of argmax; on a tie the lowest id, too
        classes.masked_fill_(p[c] == best[0, 0], c)
    return classes.cpu().numpy(), (255 * (second / best)[0, 0]).round().to(torch.uint8).cpu().numpy()


def load_network(config: RunConfig, n_classes: int, weights: Path, device: str = "auto") -> nn.Module:
    """The trained network of a round, ready to look at pictures. ValueError if the file is damaged or of another network."""
    model = network(config, n_classes)
    try:
        model.load_state_dict(read_weights(weights))
    except RuntimeError as error:  # torch: other names or shapes
        raise ValueError(f"{weights} cannot be loaded ({error}); {REMEDY}") from error
    return model.to(choose_device(device)).eval()


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights of a round or an export, on the CPU; ValueError if the file is damaged."""
    return checked.read(Path(file), REMEDY, checked.load_tensors)
