"""A round: train on the clicks, look at every picture, ask again. It runs in a process of its own, so that clicking goes on.

`rounds/<n>/` holds request.json (what was wanted), progress.json, weights.safetensors, views/ (what the network sees in each
picture), query.json (what it asks) and, last of all, done.json. Round 1 asks before anything is trained.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import filelock
import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from scipy.cluster.vq import kmeans2
from skimage.color import rgb2lab
from torch import nn
from torch.nn import functional as F

from oreal_lib import atomic, provenance
from oreal_lib.aggregate import Regions
from oreal_lib.batches import Pairs
from oreal_lib.config import RunConfig
from oreal_lib.data.resize import bounded, nearest, resized
from oreal_lib.predict import choose_device, logits
from oreal_lib.scores import bvsb
from oreal_lib.setting import network
from oreal_lib.strategies import STRATEGIES
from oreal_lib.train import fit
from oreal_lib.types import Query, Ragged

from .board import Board
from .pictures import Picture, key

LEAST_STEPS = 150  # of training, however few pictures there are; our choice
VALIDATED = 8  # pictures that decide which epoch agrees best with the clicks; more cost time and change little
FIRST = ("random", "kmeans")
Report = Callable[[str], None]


class Stopped(Exception):
    """The person asked the training to stop."""


@dataclass(frozen=True)
class Progress:
    """Where a round stands. state: none, running, done, failed or stopped.  share: 0..1.  seconds_left: None if not known."""

    state: str
    share: float = 0.0
    text: str = ""
    seconds_left: float | None = None


def folder_of(home: Path, number: int) -> Path:
    """The folder of a round of an annotator whose files lie in `home`."""
    return home / "rounds" / f"{number:03d}"


def finished(home: Path) -> int:
    """The last round that is done, 0 if none is."""
    names = (file.parent.name for file in (home / "rounds").glob("*/done.json"))
    return max((int(name) for name in names if name.isdecimal()), default=0)  # a folder put aside has another name


def read_query(home: Path, number: int) -> dict:
    """query.json of a round: "query" [[picture name, superpixel], ...] best first, "score", "for_class" or None, "log"."""
    file = folder_of(home, number) / "query.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}); move the folder {file.parent} away and train again") from error


def read_view(home: Path, number: int, picture: Picture) -> tuple[np.ndarray, np.ndarray] | None:
    """What the network of a round sees in a picture, each (H, W) uint8: class ids, and how unsure (BvSB, 255 = a tie). None if
    it has not looked at it: the picture is newer than the round."""
    file = folder_of(home, number) / "views" / f"{key(picture.name)}.npz"
    if not file.exists():
        return None
    try:
        with np.load(BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return arrays["predicted"], arrays["unsure"]
    except Exception as error:  # out of a damaged zip file comes any kind of error
        raise ValueError(f"{file} is damaged ({error!r}); move the folder {file.parent.parent} away and train again") from error


def first_query(board: Board, how: str, budget: int, rng: np.random.Generator) -> Query:
    """What is asked before there is a network: "random" (OREAL Sec. 4.3), or "kmeans": the superpixels nearest to the centers of
    `budget` clusters of mean color and place, so that nothing common is missed (our choice; not in the paper)."""
    if how not in FIRST:
        raise ValueError(f"first is {how!r}, but must be one of {', '.join(FIRST)}; choose one of them")
    labels = board.as_labels()
    budget = min(budget, int(labels.unlabeled.sum()))
    if budget == 0:
        return Query(np.zeros(0, np.int64), np.zeros(0, np.float32))
    pool = board.superpixels()
    if how == "random" or budget == 1:
        return STRATEGIES["random"](Regions(lambda: iter(()), pool, len(board.classes)), labels, budget, "mean", rng)
    looks = np.concatenate([_look(p.image(), board.ids(i)) for i, p in enumerate(board.pictures)])
    looks = (looks - looks.mean(axis=0)) / np.maximum(looks.std(axis=0), 1e-6)
    free = np.flatnonzero(labels.unlabeled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty clusters: where superpixels look the same, each is as good as another
        centers, _ = kmeans2(looks[free], budget, minit="++", rng=rng)
    taken = np.zeros(len(free), bool)
    ids, distance = [], []
    for center in centers:
        far = np.nan_to_num(((looks[free] - center) ** 2).sum(axis=1), nan=1e9)  # NaN: an empty cluster
        best = int(np.where(taken, np.inf, far).argmin())
        taken[best] = True
        ids.append(free[best])
        distance.append(far[best])
    return Query(np.array(ids, np.int64), -np.array(distance, np.float32))


def _look(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(k, 5): mean Lab color and place (0..1 from top and left) of each superpixel."""
    height, width = ids.shape
    rows, columns = np.indices(ids.shape)
    parts = [*np.moveaxis(rgb2lab(image), -1, 0), rows / height, columns / width]
    count = np.bincount(ids.ravel())
    return np.stack([np.bincount(ids.ravel(), part.ravel()) / count for part in parts], axis=1)


def write_query(home: Path, number: int, board: Board, query: Query | None, log: int) -> None:
    """Writes query.json. log: how many events the asker knew."""
    pool_offset = np.concatenate([[0], np.cumsum([len(board.labels(i)) for i in range(len(board.pictures))])])
    ids = np.zeros(0, np.int64) if query is None else query.ids
    image = np.searchsorted(pool_offset, ids, side="right") - 1
    values = {
        "query": [[board.pictures[i].name, int(k - pool_offset[i])] for i, k in zip(image, ids, strict=True)],
        "score": [] if query is None else [round(float(s), 6) for s in query.score],
        "for_class": None if query is None or query.for_class is None else [board.classes[c] for c in query.for_class],
        "log": log,
    }
    atomic.write_json(folder_of(home, number) / "query.json", values)


def read_request(home: Path, number: int) -> dict:
    """request.json of a round, {} if there is none that can be read."""
    try:
        return dict(json.loads((folder_of(home, number) / "request.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def start(home: Path, number: int, command: list[str], request: dict) -> subprocess.Popen:
    """Starts the process of a round and comes back at once. command: what `python -m oreal_lib.annotate` is given.

    Asked for the same again, it goes on from its checkpoint; with other clicks, classes or values it begins anew.
    """
    folder = folder_of(home, number)
    folder.mkdir(parents=True, exist_ok=True)
    same = read_request(home, number) == request
    for name in ("stop", "progress.json", *([] if same else ["checkpoint.pt"])):
        (folder / name).unlink(missing_ok=True)
    atomic.write_json(folder / "request.json", request)
    with open(folder / "train.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "oreal_lib.annotate", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # interrupting a cell must not end the training
        )


def progress(home: Path, number: int, process: subprocess.Popen | None = None) -> Progress:
    """Where a round stands; whether it still runs is known from its lock, so also after the kernel was started anew."""
    folder = folder_of(home, number)
    if (folder / "done.json").exists():
        return Progress("done", 1.0, "done")
    if not (folder / "request.json").exists():
        return Progress("none")
    try:
        said = Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        said = Progress("running", 0.0, "starting ...")
    if said.state != "running" or (process is not None and process.poll() is None) or _held(folder):
        return said
    if (folder / "done.json").exists():  # between the two looks
        return Progress("done", 1.0, "done")
    log = folder / "train.log"
    last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""])[-1] if log.exists() else ""
    return Progress(
        "failed", said.share, f"the training ended without finishing (memory?): {last}; train again to go on where it was"
    )


def stop(home: Path, number: int) -> None:
    """Asks the training of a round to end after its present epoch; nothing happens if there is none."""
    if (folder := folder_of(home, number)).is_dir():
        (folder / "stop").touch()


def _held(folder: Path) -> bool:
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False


def train_round(home: Path, number: int, open_board: Callable[[int | None], tuple[Board, int]], report: Report = print) -> None:
    """Carries out the request of a round; killed, the same call goes on from its last checkpoint.

    open_board: the board after so many events of the log (None: all there are by now), and how many that was.
    """
    folder = folder_of(home, number)
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    config = RunConfig.make(request["config"])

    def say(state: str, share: float, text: str, left: float | None = None) -> None:
        with suppress(OSError):  # it is a message, and Windows refuses while someone reads the last one
            atomic.write_json(folder / "progress.json", asdict(Progress(state, round(share, 4), text, left)))

    with filelock.FileLock(folder / ".lock"):
        if (folder / "done.json").exists():
            return
        try:
            _train_round(home, number, config, request, open_board, say, report)
        except Stopped:
            say("stopped", 0.0, "stopped; train again to go on")
        except Exception as error:
            traceback.print_exc()
            say("failed", 0.0, f"{error}")
            raise SystemExit(1) from error


def _train_round(home, number, config, request, open_board, say, report) -> None:
    folder, began = folder_of(home, number), time.monotonic()
    say("running", 0.01, "reading the pictures")
    torch.set_num_threads(config.threads)
    board, log = open_board(request["log"])
    device = choose_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = network(config, len(board.classes), config.weights)
    model.to(device, memory_format=torch.channels_last)
    before = folder_of(home, number - 1) / "weights.safetensors"
    if config.warm_start and before.exists():
        state = load_tensors(before.read_bytes())
        if {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in model.state_dict().items()}:
            model.load_state_dict(state)  # else the model or the classes are other ones: it begins anew
    train = pairs(board, config.height)
    trainable = train.trainable()
    if len(trainable) == 0:
        raise ValueError("no superpixel has a class yet; label a few of each class, then train")
    rng = np.random.default_rng([config.seed, number])
    some = rng.permutation(trainable)[:VALIDATED]
    epochs = max(config.max_epochs, -(-LEAST_STEPS // -(-len(train) // config.batch_size)))
    mark = time.monotonic()

    def each_epoch(epoch: int) -> None:
        if (folder / "stop").exists():
            raise Stopped
        left = (time.monotonic() - mark) / epoch * (epochs - epoch)
        say("running", 0.05 + 0.8 * epoch / epochs, f"training, epoch {epoch} of {epochs}", round(left, 1))

    fitted = fit(
        model,
        train,
        Pairs(train.images[some], train.target[some]),
        config.model_copy(update={"patience": epochs}),
        key=(config.seed, number),
        max_epochs=epochs,
        checkpoint=folder / "checkpoint.pt",
        report=report,
        each_epoch=each_epoch,
    )
    atomic.write_bytes(folder / "weights.safetensors", save_tensors({k: v.cpu().contiguous() for k, v in fitted.state.items()}))
    for i, (picture, p) in enumerate(zip(board.pictures, probabilities(model, board.pictures, config.height), strict=True), 1):
        if (folder / "stop").exists():
            raise Stopped
        buffer = BytesIO()
        unsure = (255 * bvsb(p[None])[0, 0]).round().to(torch.uint8)
        np.savez_compressed(buffer, predicted=p.argmax(dim=0).to(torch.uint8).cpu().numpy(), unsure=unsure.cpu().numpy())
        atomic.write_bytes(folder / "views" / f"{key(picture.name)}.npz", buffer.getvalue())
        say("running", 0.85 + 0.08 * i / len(board.pictures), f"looking at picture {i} of {len(board.pictures)}")
    say("running", 0.94, "choosing what to ask")
    trained_on = board.as_labels().clicks
    board, log = open_board(None)  # what was clicked meanwhile is not asked again
    write_query(home, number, board, ask(config, board, model, number), log)
    atomic.write_json(
        folder / "done.json",
        {
            "round": number,
            "labeled": trained_on,
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
    labels, pool = board.as_labels(), board.superpixels()
    if not labels.unlabeled.any():
        return None
    regions = Regions(lambda: probabilities(model, board.pictures, config.height), pool, len(board.classes))
    budget = min(config.query_size, int(labels.unlabeled.sum()))
    rng = np.random.default_rng([config.seed, number])
    return STRATEGIES[config.strategy](regions, labels, budget, config.aggregate, rng, **config.strategy_options)


def pairs(board: Board, side: int) -> Pairs:
    """What was clicked, for training: each picture with its longer side at `side` pixels, and the labels painted into it."""
    images, targets = [], []
    for i, picture in enumerate(board.pictures):
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
    return z.softmax(dim=0)


def load_network(config: RunConfig, n_classes: int, weights: Path, device: str = "auto") -> nn.Module:
    """The trained network of a round, ready to look at pictures. ValueError if the file is damaged or of another network."""
    model = network(config, n_classes)
    try:
        model.load_state_dict(load_tensors(Path(weights).read_bytes()))
    except Exception as error:  # safetensors and torch have errors of their own
        raise ValueError(f"{weights} cannot be loaded ({error}); take the weights and the model.json of one round") from error
    return model.to(choose_device(device)).eval()


def predicted(view: np.ndarray, ids: np.ndarray, count: int, n_classes: int) -> np.ndarray:
    """(count,) uint8: the class that most pixels of each superpixel are predicted as, lowest id on a tie."""
    votes = np.bincount(ids.ravel().astype(np.int64) * n_classes + view.ravel(), minlength=count * n_classes)
    return votes.reshape(count, n_classes).argmax(axis=1).astype(np.uint8)
