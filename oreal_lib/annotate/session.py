"""One person labels one folder of pictures: the log, the board it adds up to, and the rounds that say what to ask next.

Nothing here knows Jupyter: a session can be driven by a widget, by a script, or by a test.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from oreal_lib import atomic, provenance
from oreal_lib.aggregate import parse_how
from oreal_lib.balance import class_debt
from oreal_lib.config import RunConfig
from oreal_lib.strategies import STRATEGIES, choice
from oreal_lib.strategies import check as check_strategy
from oreal_lib.superpixels import SuperpixelRecipe
from oreal_lib.types import IGNORE

from . import rounds
from .board import MOST_CLASSES, UNLABELED, Board, Change, pack
from .events import VOID, Event, Log, now, read
from .pictures import Picture, open_pictures
from .rounds import Progress
from .split import split

Report = Callable[[str], None]
WORDS = r"\w[\w.-]*(?<!\.)"  # of an annotator, who gets a folder of that name; Windows drops a dot at its end
TAKEN = ("pictures", "con", "prn", "aux", "nul")  # our own folder, and names that cannot be folders on Windows
UNSEEN = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"  # line ends, control characters, half characters
MOST_SECONDS = 600.0  # between two acts; longer, and the person had gone away


def work_folder(folder: Path | str, work: Path | str | None = None) -> Path:
    """Where a session's files lie: beside the pictures, in `<folder>-labels`, unless `work` says where."""
    folder = Path(folder).expanduser().resolve()
    if work is not None:
        return Path(work).expanduser().resolve()
    if not folder.name:
        raise ValueError(f"{folder} has no place beside it for a folder with the labels; say where they shall lie (work=)")
    return folder.with_name(f"{folder.name}-labels")


def open_session(
    folder: Path | str,
    classes: list[str] | tuple[str, ...] | None = None,
    *,
    annotator: str = "me",
    work: Path | str | None = None,
    side: int | None = None,
    first: str = "random",
    partition: Path | str | None = None,
    repair: bool = False,
    report: Report = print,
    params: str = "annotate",
    **changes: object,
) -> Session:
    """The session of an annotator with a folder of pictures: a new one, or the one begun before, with every click.

    classes: names, in the order of their ids; later openings may leave them out or add some at the end.
    side: bound of the longer side (default 1024 pixels) at which the person works; masks are exported at full size.
    first: what the first round asks, "random" or "kmeans".  partition: a folder of label maps instead of SEEDS.
    repair: go on without damaged lines of the log.  params: the YAML file, changes: values of it (strategy, model, ...).
    Raises ValueError for what cannot work, before anything is written; FileNotFoundError without such a folder.
    """
    folder, home = Path(folder).expanduser().resolve(), work_folder(folder, work)
    if not isinstance(annotator, str) or not re.fullmatch(WORDS, annotator) or annotator.split(".")[0].lower() in TAKEN:
        raise ValueError(
            f"annotator is {annotator!r}, but is the name of a folder: a letter or digit, then letters, digits, _ . and - only, "
            f"none of {', '.join(TAKEN)}, and no dot at its end; change it"
        )
    config = RunConfig.from_yaml(params, **changes)
    check_strategy(config.strategy, config.aggregate, config.strategy_options)
    _usable(config)
    choice("first", first, dict.fromkeys(rounds.FIRST))
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist; name the folder with your pictures")
    if home.is_relative_to(folder / "images" if (folder / "images").is_dir() else folder):
        raise ValueError(
            f"work is {home}, where masks would lie among the pictures and be taken for some; choose a folder elsewhere"
        )
    about = _about(home, classes, side, config, partition)
    about["folder"] = str(folder)  # for the process that trains; it may have moved since the last time
    pictures, problems = open_pictures(
        folder, home / "pictures", _recipe(about), about["side"], about["partition"], config.workers, report
    )
    for problem in problems:
        report(f"left out: {problem}")
    atomic.write_json(home / "session.json", about)
    log = Log(home / annotator / "clicks.jsonl", repair)
    try:
        session = Session(home, annotator, tuple(about["classes"]), pictures, log, config, about["session"])
        for problem in log.problems:
            report(problem)
        if session.board.lost:
            lost = f"{session.board.lost} acts are about pictures, superpixels or classes that are not there now"
            report(f"{lost}; they are kept in the log")
        note = json.dumps({"versions": provenance.versions(), "pictures": len(pictures), "classes": about["classes"]})
        log.append(Event("open", secrets.token_hex(8), now(), note=note))
        if rounds.finished(home / annotator) == 0:
            session.ask_first(first)
        session.refresh()
    except BaseException:
        log.close()
        raise
    return session


def _usable(config: RunConfig) -> None:
    """ValueError for values that are good for a simulated run, but not for a person's session."""
    if config.query_size is None:
        raise ValueError(
            "query_share is given, but a person asks for a number of superpixels; give query_size, and query_share None"
        )
    if config.resize != "crop":
        raise ValueError(f"resize is {config.resize!r}, but pictures of any shape are trained on crops; write resize: crop")
    if config.keeps_undefined:
        raise ValueError("labeling is 'weak' with undefined 'keep', but a click names one class; write labeling: dominant")


def _about(home: Path, classes, side: int | None, config: RunConfig, partition) -> dict:
    """session.json: what must stay as it was when the first picture was cut; a new one where there is none."""
    file = home / "session.json"
    given = None if classes is None else _checked(classes)
    if side is not None and (type(side) is not int or not 32 <= side <= 8192):
        raise ValueError(f"side is {side!r}, but must be a whole number of pixels from 32 to 8192; 1024 suits most screens")
    if not file.exists():
        if given is None:
            raise ValueError("the classes are not named; give classes, such as classes=['background', 'tool']")
        return {
            "session": secrets.token_hex(8),
            "classes": list(given),
            "side": side or 1024,
            "superpixels": config.superpixel_recipe,
            "partition": None if partition is None else str(Path(partition).expanduser().resolve()),
            "versions": provenance.versions(),
        }
    try:
        about = dict(json.loads(file.read_text(encoding="utf-8")))
        old = tuple(about["classes"])
        _recipe(about), about["session"], about["side"], about["partition"]  # all there?
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is damaged ({error}); put back a copy of it, or name another folder (work=)") from error
    if given is not None:
        if given[: len(old)] != old:
            raise ValueError(
                f"the session was begun with the classes {', '.join(old)}, but now they are {', '.join(given)}; add new ones at the end "
                "only, leave classes out, or begin another session (work=)"
            )
        about["classes"] = list(given)
    if partition is not None and about["partition"] is not None and not Path(about["partition"]).is_dir():
        about["partition"] = str(Path(partition).expanduser().resolve())  # it has moved; what is cut stays as it is
    for name, now_given, was in (
        ("side", side, about["side"]),
        ("partition", None if partition is None else str(Path(partition).expanduser().resolve()), about["partition"]),
    ):
        if now_given is not None and now_given != was:
            raise ValueError(
                f"{name} is {now_given!r}, but the session was begun with {was!r}; leave it out, or begin another session (work=)"
            )
    return about


def _checked(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str):
        raise ValueError(f"classes is the text {classes!r}, but must be a list of names, such as [{classes!r}]")
    classes = tuple(classes)
    for name in classes:
        if not isinstance(name, str) or not name.strip() or name != name.strip() or re.search(UNSEEN, name):
            raise ValueError(f"a class is {name!r}, but must be one line of text without spaces at its ends; change it")
    if VOID in classes:
        raise ValueError(f"a class is named {VOID!r}, which is the answer for what is no class; leave it out, it is always there")
    if twice := [name for name in classes if classes.count(name) > 1]:
        raise ValueError(f"the class {twice[0]!r} is named twice; rename one")
    if not 1 <= len(classes) <= MOST_CLASSES:
        raise ValueError(f"{len(classes)} classes were given, but there must be 1 to {MOST_CLASSES}")
    return classes


def _recipe(about: dict) -> SuperpixelRecipe:
    return SuperpixelRecipe(**about["superpixels"])


def read_board(folder: Path, home: Path, annotator: str, upto: int | None = None) -> tuple[Board, int]:
    """The board after `upto` events of an annotator's log (None: all), and how many that was. Nothing is locked or written."""
    about = _about(home, None, None, RunConfig.from_yaml("annotate"), None)
    pictures, _ = open_pictures(
        Path(folder), home / "pictures", _recipe(about), about["side"], about["partition"], 1, lambda _: None
    )
    events, _ = read(home / annotator / "clicks.jsonl")
    events = events[:upto]
    return Board(pictures, tuple(about["classes"]), events), len(events)


class Session:
    """What the widget talks to. `board` is the state, `round` the last finished round, `config` what the next one will use.

    Acts are checked, then written to disk, then applied: an act that raises has changed nothing.
    """

    def __init__(
        self,
        home: Path,
        annotator: str,
        classes: tuple[str, ...],
        pictures: tuple[Picture, ...],
        log: Log,
        config: RunConfig,
        name: str,
    ) -> None:
        self.home, self.annotator, self.classes, self.pictures = home / annotator, annotator, classes, pictures
        self.work, self.log, self.config, self.name = home, log, config, f"{name}-{annotator}"
        self.board = Board(pictures, classes, log.events)
        self.round, self._query, self._process = 0, [], None
        self._views, self._predicted = {}, {}  # of the last round, by picture

    def act(
        self,
        what: str,
        picture: int = 0,
        superpixels: tuple[int, ...] | list[int] = (),
        to: str = "",
        how: str = "click",
        act_id: str | None = None,
        seconds: float = 0.0,
    ) -> list[Change]:
        """Carries out an act and returns what it changed; [] if the act of this id was carried out before.

        what: label (to: a class, "void", or "" to clear), accept (each superpixel in its predicted class), skip, split, undo, redo.
        ValueError if it cannot be done, OSError if it cannot be written; then nothing has happened.
        """
        act_id = act_id or secrets.token_hex(8)
        if act_id in self.log:
            return []
        event = Event("label" if what == "accept" else what, act_id, now(), seconds=round(min(max(0.0, seconds), MOST_SECONDS), 2))
        if what not in ("undo", "redo"):
            if not 0 <= picture < len(self.pictures):
                raise ValueError(f"there is no picture {picture}; there are 0..{len(self.pictures) - 1}")
            ids = tuple(dict.fromkeys(int(s) for s in superpixels))
            asked = bool(ids) and {(picture, s) for s in ids} <= set(self._query)
            event = replace(
                event,
                image=self.pictures[picture].name,
                superpixels=ids,
                to=to,
                how=how,
                round=self.round if asked or what == "skip" else 0,
            )
        if what == "accept":
            event = replace(event, to=self._accepted(picture, event.superpixels))
        if what == "split":
            self.board.check(replace(event, what="skip"))
            cut = split(self.pictures[picture].image(), self.board.ids(picture), event.superpixels[0])
            event = replace(event, pieces=pack(*cut))
        self.board.check(event)
        self.log.append(event)
        changes = self.board.apply(event)
        for change in changes:
            if change.split:
                self._predicted.pop(change.picture, None)
        return changes

    def _accepted(self, picture: int, superpixels: tuple[int, ...]) -> str:
        seen = self.predicted(picture)
        if seen is None:
            raise ValueError("there is no prediction to accept yet; train first")
        classes = {int(seen[s]) for s in superpixels if s < len(seen)}
        if len(classes) != 1:
            raise ValueError(
                f"{len(superpixels)} superpixels with {len(classes)} predicted classes were to be accepted; accept one"
            )
        (c,) = classes
        if c >= len(self.classes):
            raise ValueError(f"class {c} is predicted, which another session has added; open this session again")
        return self.classes[c]

    def query(self) -> list[tuple[int, int]]:
        """The suggestions still open, best first: (picture, superpixel), neither labeled nor skipped."""
        return [
            (i, s)
            for i, s in self._query
            if s < len(self.board.labels(i)) and self.board.labels(i)[s] == UNLABELED and not self.board.skipped(self.round, i, s)
        ]

    def view(self, picture: int) -> tuple[np.ndarray, np.ndarray] | None:
        """What the last network sees, each (H, W) uint8: class ids, and how unsure it is (255 = a tie). None before the first."""
        if picture not in self._views:
            if len(self._views) > 32:  # a picture is a few MB
                self._views.clear()
            self._views[picture] = rounds.read_view(self.home, self.round, self.pictures[picture]) if self.round > 1 else None
        return self._views[picture]

    def predicted(self, picture: int) -> np.ndarray | None:
        """(k,) uint8: the class predicted for each superpixel, by the majority of its pixels. None before the first training."""
        if picture not in self._predicted and (view := self.view(picture)) is not None:
            known = max(len(self.classes), int(view[0].max()) + 1)  # another session may have added a class meanwhile
            count = len(self.board.labels(picture))
            self._predicted[picture] = rounds.predicted(view[0], self.board.ids(picture), count, known)
        return self._predicted.get(picture)

    def counters(self) -> dict:
        """What a person wants to know: see `widget` for the names. Plain JSON values."""
        counts = self.board.counts()
        acts = [e for e in self.board.acts if e.what == "label" and e.how not in ("import", "merge")]
        asked = [(i, s) for i, s in self._query if s < len(self.board.labels(i))]
        left = len(self.query())
        return {
            "clicks": sum(len(e.superpixels) for e in acts),
            "labeled": int(counts.sum()),
            "superpixels": sum(len(self.board.labels(i)) for i in range(len(self.pictures))),
            "round": self.round,
            "asked": len(asked),
            "answered": len(asked) - left,
            "per_class": counts.tolist(),
            "debt": class_debt(counts[:-1], self.config.query_size).tolist(),
            "agreement": self.agreement(),
            "minutes": round(sum(e.seconds for e in self.log.events) / 60, 1),
        }

    def agreement(self) -> float | None:
        """Of the superpixels labeled since the last training, the share whose class its network had foreseen; None without any.

        An honest measure without a test set: the network had not seen these answers. Suggestions are its hardest questions.
        """
        if self.round < 2:
            return None
        known = rounds.read_query(self.home, self.round)["log"]
        new: dict[tuple[int, int], None] = {}
        place = {picture.name: i for i, picture in enumerate(self.pictures)}
        for event in (e for e in self.log.events[known:] if e.what == "label" and e.image in place):
            new |= dict.fromkeys((place[event.image], s) for s in event.superpixels)
        right = total = 0
        for i, s in new:
            label, seen = self.board.labels(i), self.predicted(i)
            if seen is not None and s < len(label) and label[s] not in (UNLABELED, IGNORE):
                total, right = total + 1, right + int(seen[s] == label[s])
        return right / total if total else None

    def choose(self, strategy: str, aggregate: str) -> None:
        """What orders the suggestions of the next round; ValueError with the names there are."""
        choice("strategy", strategy, STRATEGIES)
        if parse_how(aggregate)[0] == "vote":
            raise ValueError("aggregate is 'vote', which counts classes; choose mean, max, top_*, quantile_* or power_*")
        options = self.config.strategy_options if strategy == self.config.strategy else {}
        check_strategy(strategy, aggregate, options, len(self.classes))
        self.config = self.config.model_copy(update={"strategy": strategy, "aggregate": aggregate, "strategy_options": options})

    def ask_first(self, first: str) -> None:
        """Round 1: suggestions before there is a network."""
        rng = np.random.default_rng([self.config.seed, 1])
        query = rounds.first_query(self.board, first, self.config.query_size, rng)
        rounds.write_query(self.home, 1, self.board, query, len(self.log.events))
        atomic.write_json(
            rounds.folder_of(self.home, 1) / "done.json", {"round": 1, "first": first, "versions": provenance.versions()}
        )

    def train(self) -> Progress:
        """Starts the next round in a process of its own and comes back at once; nothing happens if one is running."""
        if (present := self.training()).state == "running":
            return present
        counts = self.board.counts()[:-1]
        if not counts.any():
            raise ValueError("no superpixel has a class yet; label a few of each class, then train")
        if len(counts) < 2:
            raise ValueError(
                f"{self.classes[0]!r} is the only class, so there is nothing to tell apart; add one, such as 'background'"
            )
        command = [
            "train",
            str(self._folder()),
            "--work",
            str(self.work),
            "--annotator",
            self.annotator,
            "--round",
            str(self.round + 1),
        ]
        request = {
            "config": self.config.values(),
            "classes": list(self.classes),
            "log": len(self.log.events),
            "round": self.round + 1,
        }
        known = rounds.read_request(self.home, self.round + 1).get("log", 0)
        if known and all(event.what == "open" for event in self.log.events[known:]):
            request["log"] = known  # nothing was clicked since it was asked for last: it goes on where it was
        self._process = rounds.start(self.home, self.round + 1, command, request)
        return self.training()

    def _folder(self) -> str:
        return json.loads((self.work / "session.json").read_text(encoding="utf-8"))["folder"]

    def training(self) -> Progress:
        """Where the next round stands; "done" once, when it has been finished since the last `refresh`."""
        if rounds.finished(self.home) > self.round:
            return Progress("done", 1.0, "done")
        return rounds.progress(self.home, self.round + 1, self._process)

    def stop(self) -> None:
        """Asks the running training to end; it can go on later from where it was."""
        rounds.stop(self.home, self.round + 1)

    def refresh(self) -> bool:
        """Takes over the last finished round: its suggestions and predictions. Whether there was a new one."""
        last = rounds.finished(self.home)
        if last == self.round:
            return False
        place = {picture.name: i for i, picture in enumerate(self.pictures)}
        asked = rounds.read_query(self.home, last)["query"]
        self.round, self._views, self._predicted = last, {}, {}
        self._query = [(place[name], s) for name, s in asked if name in place]
        return True

    def close(self) -> None:
        """Closes the log; a training that runs goes on."""
        self.log.close()
