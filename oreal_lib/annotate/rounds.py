"""A round: train on the clicks, look at every picture, ask again. It runs in a separate process, so that clicking goes on.

`rounds/<n>/` holds request.json (what was wanted), progress.json, weights.safetensors, views/ (what the network sees in each
picture), query.json (what it asks) and, last of all, done.json. Round 1 asks before anything is trained.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..storage import checked
from ..storage.lock import holder
from ..types import Query
from .board import Board
from .pictures import Picture, key


@dataclass(frozen=True)
class Progress:
    """The progress of a round. state: none, running, done, failed or stopped.  share: 0..1.  seconds_left: None if not known."""

    state: str
    share: float = 0.0
    text: str = ""
    seconds_left: float | None = None


DONE = Progress("done", 1.0, "done")


def folder_of(home: Path, number: int) -> Path:
    """The folder of a round of an annotator whose files lie in `home`."""
    return home / "rounds" / f"{number:03d}"


def finished(home: Path) -> int:
    """The last round that is done, 0 if none is."""
    names = (file.parent.name for file in (home / "rounds").glob("*/done.json"))
    return max((int(name) for name in names if name.isdecimal()), default=0)  # a folder moved away has another name


def read_query(home: Path, number: int) -> dict:
    """query.json of a round: "query" [[picture name, superpixel], ...] best first, "score", "for_class" or None, "log".

    ValueError if the file is damaged.
    """
    file = folder_of(home, number) / "query.json"
    return checked.read(file, f"move the folder {file.parent} away and train again")


def read_view(home: Path, number: int, picture: Picture) -> tuple[np.ndarray, np.ndarray] | None:
    """What the network of a round sees in a picture, each (H, W) uint8: class ids, and how unsure (BvSB, 255 = a tie). None if
    it has not looked at it: the picture is newer than the round. ValueError if the file is damaged."""
    file = folder_of(home, number) / "views" / f"{key(picture.name)}.npz"
    if not file.exists():
        return None
    with checked.reading(file, f"move the folder {file.parent.parent} away and train again"):
        arrays = checked.load_arrays(file.read_bytes())
        return arrays["predicted"], arrays["unsure"]


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
    checked.write(folder_of(home, number) / "query.json", values)


def read_request(home: Path, number: int) -> dict:
    """request.json of a round, {} if there is none that can be read."""
    try:
        return checked.read(folder_of(home, number) / "request.json", "train again")
    except (OSError, ValueError):
        return {}


def start(home: Path, number: int, command: list[str], request: dict) -> subprocess.Popen:
    """Starts the process of a round and returns at once. command: the arguments of `python -m oreal_lib annotate`.

    Asked for the same again, it continues from its checkpoint; with other clicks, classes or values it starts over.
    """
    folder = folder_of(home, number)
    folder.mkdir(parents=True, exist_ok=True)
    same = read_request(home, number) == request
    for name in ("stop", "progress.json", *([] if same else ["checkpoint.pt"])):
        (folder / name).unlink(missing_ok=True)
    checked.write(folder / "request.json", request)
    command = [sys.executable, "-m", "oreal_lib", "annotate", *command]
    with open(folder / "train.log", "ab") as log:  # a session of its own: interrupting a cell must not end the training
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def progress(home: Path, number: int, process: subprocess.Popen | None = None) -> Progress:
    """The progress of a round. Its lock says whether it still runs, so that a new kernel knows it, too."""
    folder = folder_of(home, number)
    if (folder / "done.json").exists():
        return DONE
    if not (folder / "request.json").exists():
        return Progress("none")
    try:
        said = Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        said = Progress("running", 0.0, "starting ...")
    if said.state != "running" or (process is not None and process.poll() is None) or holder(folder / ".lock"):
        return said
    if (folder / "done.json").exists():  # it ended between the two looks
        return DONE
    log = folder / "train.log"
    last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""])[-1] if log.exists() else ""
    why = f"the training ended without finishing (memory?): {last}; train again to go on where it was"
    return Progress("failed", said.share, why)
