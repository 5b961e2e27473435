"""The process beside a session in which `live.Learner` works, so that no click waits for it.

It is told every act by a line on its standard input and answers on its standard output: a line of JSON, then the bytes of arrays. It
ends when its input does, so with the session, whatever killed that. It keeps nothing but features: the log is the truth.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from ..config import RunConfig
from . import quality
from .board import Board
from .events import from_line
from .live import FEW, Learner
from .training import classes_and_doubt


class Beside:
    """The session's end of it, and what it has said so far.

    learned: whether there are two classes to learn from.  views: of pictures, each two (H, W) uint8, see `Session.view`.
    query: what it suggests.  seen: how many pictures have features.  ended: why it has stopped, "" while it works.
    measured: for ids of acts, `quality.agreement` after them.
    """

    def __init__(self, command: list[str], log: Path, first: dict[str, Any], hear: Callable[[dict[str, Any]], None]) -> None:
        """command: the arguments of `python -m oreal_lib annotate`.  log: the file of what it complains about.  first: see `work`.
        hear: called in a thread of its own with each answer, which it passes on to `take_in` or not; the last one is {"kind": "ended"}."""
        self._log, self._hear = log, hear
        self.learned, self.views, self.query, self.seen, self.ended, self.measured = False, {}, [], 0, "", {}
        command = [sys.executable, "-m", "oreal_lib", "annotate", *command]
        with open(log, "wb") as errors:  # a session of its own: interrupting a cell must not end it
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            self._process = subprocess.Popen(command, start_new_session=True, **pipes)
        self.tell(first)
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, what: dict[str, Any]) -> None:
        """Sends a line; one that has ended says so by itself."""
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Lets it end."""
        with suppress(OSError):
            self._process.stdin.close()

    def _listen(self) -> None:
        source = self._process.stdout
        while line := source.readline():
            said = json.loads(line)
            arrays = [np.frombuffer(source.read(h * w), np.uint8).reshape(h, w) for h, w in said.pop("shapes")]
            self._hear(said | {"arrays": arrays})
        code = self._process.wait()
        last = (self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""])[-1]
        self._hear({"kind": "ended", "why": f"exit code {code}: {last}" if code else ""})

    def take_in(self, said: dict[str, Any]) -> None:
        """Notes what it has said."""
        if said["kind"] == "fitted":
            if said["known"] != self.learned:
                self.views.clear()
            self.learned = said["known"]
        elif said["kind"] == "view":
            if len(self.views) > 32:  # a picture is a few MB
                self.views.clear()
            self.views[said["picture"]] = tuple(said["arrays"])
        elif said["kind"] == "query":
            self.query = [(i, s) for i, s in said["query"]]
        elif said["kind"] == "seen":
            self.seen = said["seen"]
        elif said["kind"] == "quality":
            self.measured[said["act"]] = said["per_class"]
        elif said["kind"] == "ended":
            self.ended = said["why"] or "it was closed"


def what_lacks(board: Board, beside: Beside | None) -> str:
    """What a person should know about learning after every click: what is missing, and how far it is; "" where all is well."""
    if beside is not None and beside.ended:
        return f"Live learning has stopped ({beside.ended}); your clicks are kept. Reload the page, or switch live off."
    counts, parts = board.counts()[:-1], []
    if missing := [board.classes[c] for c in board.named.shown if not counts[c]]:
        names = f"{', '.join(missing[:3])}{f' and {len(missing) - 3} more' * (len(missing) > 3)}"
        parts.append(
            f"No label yet: {names}. Click one of each by hand" + "; two classes are needed" * bool((counts > 0).sum() < 2)
        )
    if (seen := 0 if beside is None else beside.seen) < len(board.pictures):
        kept = sum(1 for _ in board.pictures[0].store.glob("features-*/*.npy"))  # of an earlier time
        doing = "reading what was seen of the pictures" if kept >= len(board.pictures) else "looking at the pictures"
        parts.append(f"{doing}: {seen} of {len(board.pictures)}")
    return " ".join(f"{part}." for part in parts)


def work(folder: Path, open_board: Callable[[int], Board]) -> None:
    """The body of the process. folder: for features.  open_board: the board after so many events.

    It is told {"config", "upto": events, "look": picture} first, then {"line": of the log}, {"look": picture} or {"ask": values of
    the config}. It says {"kind": "fitted", "known": whether anything is learned}, "view" of the picture that is looked at, "query",
    "seen", how many pictures have features, and "quality" after an act.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer

    def say(kind: str, *arrays: np.ndarray, **more: Any) -> None:
        out.write(json.dumps({"kind": kind, **more, "shapes": [array.shape for array in arrays]}).encode() + b"\n")
        for array in arrays:
            out.write(np.ascontiguousarray(array))
        out.flush()

    _Work(sys.stdin.buffer, say, folder, open_board).go_on()


class _Work:
    """What there is to do, the most urgent first: learn, look at the picture in sight, ask, measure, see one more picture."""

    def __init__(self, lines: BinaryIO, say: Callable[..., None], folder: Path, open_board: Callable[[int], Board]) -> None:
        self.say, self._told = say, queue.SimpleQueue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        first = self._told.get()
        config = RunConfig.make(first["config"])
        torch.set_num_threads(config.threads)
        self.learner, self.events = Learner(open_board(first["upto"]), config, folder), first["upto"]
        self.look_at = first["look"]
        self.query: list[tuple[int, int]] = []
        self.changed = self.looks = self.asks = True
        self.measured: set[str] = set()
        self.measuring: tuple[str, Iterator] | None = None

    def _read(self, lines: BinaryIO) -> None:
        for line in lines:
            self._told.put(json.loads(line))
        self._told.put(None)

    def go_on(self) -> None:
        """Works until the session has ended."""
        while self._hear():
            learner = self.learner
            if self.changed:
                learner.fit()
                self.say("fitted", known=learner.classifier is not None)
                self.changed, self.looks, self.asks = False, True, True
            if self.looks and learner.classifier is not None:
                self.say("view", *classes_and_doubt(learner.look(self.look_at)), picture=self.look_at)
            self.looks = False
            if not self._told.empty():
                continue
            if self.asks:
                self._ask()
            elif self.measuring:
                self._measure()
            elif unseen := learner.unseen(self.look_at):
                self._see(unseen)
            if self.measuring is None:
                self._due()

    def _hear(self) -> bool:
        """Takes in all that was told, waiting for it where there is nothing else to do; False when the session has ended."""
        idle = not (self.changed or self.looks or self.asks or self.learner.unseen(0) or self.measuring)
        while idle or not self._told.empty():
            idle, told = False, self._told.get()
            if told is None:
                return False
            if "line" in told:
                self.learner.apply(from_line(told["line"].encode()))
                self.events, self.changed = self.events + 1, True
            elif "look" in told:
                self.look_at, self.looks = told["look"], True
            else:
                self.learner.config, self.asks = self.learner.config.model_copy(update=told["ask"]), True
        return True

    def _ask(self) -> None:
        """Before anything is learned, suggestions stay until all are answered, or more pictures were seen."""
        self.asks, learner = False, self.learner
        few = min(FEW, len(learner.board.pictures))
        seen = len(learner.board.pictures) - len(learner.unseen(0))
        cold = learner.classifier is None
        if cold and (seen < few or any(learner.board.is_open(i, s) for i, s in self.query)):
            return
        self.query = learner.ask(self.look_at, np.random.default_rng([learner.config.seed, self.events]))
        self.say("query", query=self.query)

    def _due(self) -> None:
        """Begins to measure quality after the last act for which it is due, if there is one."""
        learner, acts = self.learner, self.learner.board.acts
        if due := [k for k, _ in quality.marks(acts) if acts[k - 1].id not in self.measured]:
            clicked = quality.examples(learner, acts[: due[-1]])
            if clicked is not None:
                self.measuring = acts[due[-1] - 1].id, quality.agreement(clicked, len(learner.board.classes))

    def _measure(self) -> None:
        """One fold: a tenth of a second or so that a click may have to wait."""
        act, folds = self.measuring
        if (per_class := next(folds)) is not None:
            self.measuring = None
            self.measured.add(act)
            self.say("quality", act=act, per_class=per_class)

    def _see(self, unseen: list[int]) -> None:
        learner, total = self.learner, len(self.learner.board.pictures)
        learner.see(unseen[0])
        seen = total - len(unseen) + 1
        self.say("seen", seen=seen)
        labeled = (learner.board.labels(unseen[0]) < len(learner.board.classes)).any()
        if labeled or seen in (min(FEW, total), total):
            self.query, self.changed = [], True
