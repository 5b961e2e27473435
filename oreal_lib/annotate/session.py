"""One person labels one folder of pictures: the log, the board it adds up to, and the rounds that say what to ask next.

Nothing here knows Jupyter: a session can be driven by a widget, by a script, or by a test.
"""

import json
import secrets
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..aggregate import parse_how
from ..balance import class_debt
from ..config import RunConfig
from ..data.source import check_classes
from ..draw import hex_palette
from ..oracle import class_votes
from ..storage import checked, provenance
from ..storage.lock import Lock
from ..storage.processes import refuse_unguarded
from ..storage.progress import log
from ..strategies import STRATEGIES, choice
from ..strategies import check as check_strategy
from . import quality, rounds
from .beside import Beside, what_lacks
from .board import Board, Change
from .cuts import PIECES, brushed, enclosed, pack, split
from .events import Event, Log, clicks, minutes, now, to_line
from .named import UNLABELED
from .pictures import Picture, common_colors, open_pictures
from .rounds import Progress
from .saved import add_classes, check_annotator, check_usable, read_about, read_json, read_live, recipe_of, work_folder
from .training import ask

MOST_SECONDS = 60.0  # between two acts; after more than that the person had gone away (our choice)


def open_session(
    folder: Path | str,
    classes: list[str] | tuple[str, ...] | None = None,
    *,
    annotator: str = "me",
    work: Path | str | None = None,
    side: int | None = None,
    partition: Path | str | None = None,
    repair: bool = False,
    params: str = "annotate",
    **changes: object,
) -> "Session":
    """The session of an annotator with a folder of pictures: a new one, or the one begun before, with every click.

    classes: names, in the order of their ids; later openings may leave them out or add some at the end.
    side: bound of the longer side (default 1024 pixels) at which the person works; masks are exported at full size.
    partition: a folder of label maps instead of SEEDS.
    repair: go on without damaged lines of the log.  params: the YAML file, changes: values of it (strategy, model, ...).
    Raises ValueError for what cannot work, before anything is written; FileNotFoundError without such a folder.
    """
    refuse_unguarded()
    folder, home = Path(folder).expanduser().resolve(), work_folder(folder, work)
    check_annotator(annotator)
    config = RunConfig.from_yaml(params, **changes)
    check_strategy(config.strategy, config.aggregate, config.strategy_options)
    check_usable(config)
    if folder.is_file():
        raise ValueError(f"{folder} is a file; name the folder it lies in, {folder.parent}")
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist; name the folder with your pictures")
    if home.is_relative_to(folder / "images" if (folder / "images").is_dir() else folder):
        raise ValueError(
            f"work is {home}, where masks would lie among the pictures and be taken for some; choose a folder elsewhere"
        )
    there = [] if (folder / "images").is_dir() else [*folder.glob("session.json"), *folder.glob("*/session.json")]
    if there:
        whose = checked.read(there[0], "delete it, or name another folder").get("folder", "the folder with the pictures")
        raise ValueError(f"{folder} holds the labels of a session ({there[0].parent}), which are no pictures; name {whose}")
    wanted = classes, side, config, partition, changes.get("superpixel_count")
    read_about(home, *wanted)  # before anything is written
    with Lock(home / ".lock").wait("the session is being opened"):
        about = read_about(home, *wanted)  # another annotator may have begun it meanwhile
        about["folder"] = str(folder)  # for the process that trains; it may have moved since the last time
        pictures, problems = open_pictures(
            folder, home / "pictures", recipe_of(about), about["side"], about["partition"], config.workers
        )
        for problem in problems:
            log.info(f"left out: {problem}")
        if not (home / "session.json").exists():
            about["colors"] = hex_palette(len(about["classes"]), (), common_colors(pictures))
        checked.write(home / "session.json", about)
    clicks = Log(home / annotator / "clicks.jsonl", repair)
    try:
        session = Session(home, annotator, about, pictures, clicks, config)
        session.problems = tuple(problems)
        for problem in clicks.problems + session.board.lost_acts():
            log.info(problem)
        note = json.dumps({"versions": provenance.versions(), "pictures": len(pictures), "classes": about["classes"]})
        clicks.append(Event("open", secrets.token_hex(8), now(), note=note))
        if rounds.finished(home / annotator) == 0:
            session.ask_first()
        session.refresh()
        session.set_live(config.live if "live" in changes else read_live(session.home).get("live", config.live))
    except BaseException:
        clicks.close()
        raise
    return session


class Session:
    """What the widget talks to. `board` is the state, `round` the last finished round, `config` what the next one will use, and `live`
    whether it learns after every click, once `learn` was called.

    Acts are checked, then written to disk, then applied: an act that raises has changed nothing.
    """

    def __init__(self, home: Path, annotator: str, about: dict, pictures: tuple[Picture, ...], log: Log, config: RunConfig) -> None:
        """home: of the session.  about: its session.json."""
        self.work, self.home, self.annotator, self.name = home, home / annotator, annotator, f"{about['session']}-{annotator}"
        self.pictures, self.log, self.config = pictures, log, config
        self.board = Board(pictures, tuple(about["classes"]), log.events, about.get("colors", ()))
        self.problems: tuple[str, ...] = ()  # pictures that are left out, a sentence each
        self.round = 0
        self._query: list[tuple[int, int]] = []
        self._process: subprocess.Popen | None = None
        self._acting = threading.RLock()  # new kernels answer a widget in a thread of its own, while a cell runs
        self._predicted: dict[int, np.ndarray] = {}
        self.live = False
        self._beside: Beside | None = None  # what learns after every click
        self._asked: set[tuple[int, int]] = set()  # all that it has suggested

    @property
    def learned(self) -> bool:
        """Whether `live` there are two classes to learn from."""
        return self._beside is not None and self._beside.learned

    @property
    def measured(self) -> quality.Measured:
        """What `live` was measured, after acts."""
        return {} if self._beside is None else self._beside.measured

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by code, as they are now."""
        return self.board.classes

    def act(
        self,
        what: str,
        picture: int = 0,
        superpixels: tuple[int, ...] | list[int] = (),
        to: str | Sequence[str] = "",
        how: str = "click",
        act_id: str | None = None,
        seconds: float = 0.0,
        waited: float = 0.0,
        **more: Any,
    ) -> list[Change]:
        """Carries out an act and returns what it changed; [] if the act of this id was carried out before.

        what: label (to: a class, "void", or "" to clear), accept (to: the predicted class that was seen, "" the present one), all (to:
        a class for each superpixel), fill (unlabeled superpixels that the class encloses), skip, split (more: factor, see `cuts.split`),
        paint (more: points and radius, see `cuts.brushed`), classes (more: classes [[code, name, color], ...] in their order, code None
        for a new one; into {code: code} of what is merged), undo, redo.
        waited: seconds since it was done, where it could not be sent at once.
        ValueError if it cannot be done, OSError if it cannot be written; then nothing has happened.
        """
        with self._acting:  # the board must do what the log says, in its order
            act_id = act_id or secrets.token_hex(8)
            if act_id in self.log:
                return []
            events, changes = self._events(what, picture, superpixels, to, how, more), []
            for event in events:
                self.board.check(event)
            for n, event in enumerate(events, 1):
                own = act_id if n == len(events) else f"{act_id}.{n}"  # the last one says that it is whole
                if own not in self.log:
                    seconds = round(min(max(0.0, seconds), MOST_SECONDS), 2)
                    changes += self._write(replace(event, id=own, at=now(waited), seconds=seconds * (n == 1)), picture)
            return changes

    def _write(self, event: Event, picture: int) -> list[Change]:
        event = replace(event, seen=self._seen(picture, event) if event.what == "label" else ())
        self.log.append(event)
        self._tell({"line": to_line(event).decode()})
        changes = self.board.apply(event)
        for change in changes:
            if change.split:
                self._predicted.pop(change.picture, None)
        return changes

    def _events(self, what: str, picture: int, superpixels, to, how: str, more: dict[str, Any]) -> list[Event]:
        """The events of an act, but for their ids and times: one, or for "all" one of each class."""
        if what in ("undo", "redo"):
            return [Event(what, "")]
        if what == "classes":
            return [Event(what, "", note=add_classes(self.work, self.board.named, more["classes"], dict(more.get("into", ()))))]
        self.check_picture(picture)
        if more.get("numbering", self.board.numbering(picture)) != self.board.numbering(picture):
            raise ValueError("the superpixels of this picture have changed since you clicked; click again")
        ids, board, image = tuple(dict.fromkeys(int(s) for s in superpixels)), self.board, self.pictures[picture].name
        if what == "all":
            found: dict[str, list[int]] = {}
            for s, name in zip(superpixels, to, strict=True):
                found.setdefault(name, []).append(int(s))
            return [Event("label", "", image=image, superpixels=tuple(some), to=name, how="all") for name, some in found.items()]
        if what == "paint":
            cut = brushed(more["points"], float(more["radius"]), self.pictures[picture].size)
            return [Event(what, "", image=image, to=to, how="brush", pieces=pack(*cut))]
        if what == "fill":
            painted = board.paint(picture) == board.named.codes.get(to, UNLABELED)
            ids, what, how = enclosed(painted, board.ids(picture), board.labels(picture) == UNLABELED).tolist(), "label", "fill"
            if not ids:
                raise ValueError(f"no unlabeled superpixel here is enclosed by {to or 'nothing'}; choose another class")
        asked = bool(ids) and {(picture, s) for s in ids} <= self._asked.union(self._query)
        number = self.round if asked or what == "skip" else 0
        if what == "accept":
            what, to, how = "label", to or self._accepted(picture, ids), "accept"
        event = Event(what, "", image=image, superpixels=tuple(ids), to=to, how=how, round=number)
        if what != "split":
            return [event]
        board.check(replace(event, what="skip"))
        cut = split(self.pictures[picture].image(), board.ids(picture), ids, float(more.get("factor", PIECES)))
        return [replace(event, pieces=pack(*cut))]

    def _seen(self, picture: int, event: Event) -> tuple[int, ...]:
        """What is predicted for superpixels without a label that are about to get one: for `quality.foreseen`."""
        with suppress(ValueError, OSError):  # the file of a prediction is damaged: the click counts all the same
            if (seen := self.predicted(picture)) is not None:
                labels = self.board.labels(picture)
                known = (labels == UNLABELED) & (seen < len(self.classes))
                return tuple(int(seen[s]) if known[s] else UNLABELED for s in event.superpixels)
        return ()

    def check_picture(self, picture: int) -> None:
        """ValueError if there is no picture of this number."""
        if not 0 <= picture < len(self.pictures):
            raise ValueError(f"there is no picture {picture}; there are 0..{len(self.pictures) - 1}")

    def _accepted(self, picture: int, superpixels: tuple[int, ...]) -> str:
        seen = self.predicted(picture)
        if seen is None:
            raise ValueError("there is no prediction to accept yet; train first")
        classes = {int(seen[s]) for s in superpixels if s < len(seen)}
        if len(classes) != 1:
            count = f"{len(superpixels)} superpixels with {len(classes)} predicted classes"
            raise ValueError(f"{count} cannot be accepted at once; accept one")
        (c,) = classes
        if c >= len(self.classes):
            raise ValueError(f"class {c} is predicted, which another session has added since; open this session again")
        return self.classes[c]

    def query(self) -> list[tuple[int, int]]:
        """The suggestions still open, best first: (picture, superpixel), neither labeled nor skipped."""
        return [(i, s) for i, s in self._query if self.board.is_open(i, s) and not self.board.skipped(self.round, i, s)]

    def view(self, picture: int) -> tuple[np.ndarray, np.ndarray] | None:
        """What is predicted, each (H, W) uint8: class ids, and how unsure that is (255 = a tie). None before the first training; live,
        that of the last look at the picture."""
        if self.learned:
            return self._beside.views.get(picture)
        return rounds.read_view(self.home, self.round, self.pictures[picture]) if self.round > 1 else None

    def predicted(self, picture: int) -> np.ndarray | None:
        """(k,) uint8: the class predicted for each superpixel, by the majority of its pixels. None before the first training."""
        if picture not in self._predicted and (view := self.view(picture)) is not None:
            known = max(len(self.classes), int(view[0].max()) + 1)  # another session may have added a class meanwhile
            votes = class_votes(view[0], self.board.ids(picture), len(self.board.labels(picture)), known)
            self._predicted[picture] = votes.argmax(axis=1).astype(np.uint8)
        return self._predicted.get(picture)

    def counters(self) -> dict:
        """What a person wants to know: see `widget` for the names. Plain JSON values."""
        counts, shown, debt = self.board.counts(), list(self.board.named.shown), np.zeros(len(self.classes), np.int64)
        debt[shown] = class_debt(counts[shown], self.config.query_size)  # nothing where a class was merged into another one
        asked = sum(s < len(self.board.labels(i)) for i, s in self._query)
        return {
            "clicks": clicks(self.board.acts),
            "labeled": int(counts.sum()),
            "superpixels": self.board.total,
            "round": self.round,
            "asked": asked,
            "answered": asked - len(self.query()),
            "per_class": counts.tolist(),
            "debt": debt.tolist(),
            "foreseen": list(quality.foreseen(self.board.acts, self.classes)),
            "minutes": round(minutes(self.log.events), 1),
        }

    def quality(self) -> dict:
        """How good what is learned is, see `widget` for the names. Plain JSON values."""
        return quality.told(self.board.acts, self.log.events, self.measured)

    def choose(self, strategy: str, aggregate: str) -> None:
        """What orders the suggestions of the next round; ValueError with the names there are."""
        choice("strategy", strategy, STRATEGIES)
        if parse_how(aggregate)[0] == "vote":
            raise ValueError("aggregate is 'vote', which counts classes; choose mean, max, sum, top_*, quantile_* or power_*")
        options = self.config.strategy_options if strategy == self.config.strategy else {}
        check_strategy(strategy, aggregate, options, max(2, len(self.classes)))  # what one class lacks, `train` says
        self.config = self.config.model_copy(update={"strategy": strategy, "aggregate": aggregate, "strategy_options": options})
        self._tell({"ask": {"strategy": strategy, "aggregate": aggregate, "strategy_options": options}})

    def ask_first(self) -> None:
        """Writes round 1: suggestions before there is a network."""
        rounds.write_query(self.home, 1, self.board, ask(self.config, self.board, None, 1), len(self.log.events))
        done = {"round": 1, "versions": provenance.versions()}
        checked.write(rounds.folder_of(self.home, 1) / "done.json", done)

    def train(self) -> Progress:
        """Starts the next round in a separate process and returns at once; nothing happens if one is running.

        ValueError if no superpixel has a class yet, or there is only one class.
        """
        if (present := self.training()).state == "running":
            return present
        check_classes(self.classes)
        if not self.board.counts()[:-1].any():
            raise ValueError("no superpixel has a class yet; label a few of each class, then train")
        number, events = self.round + 1, self.log.events
        request = {"config": self.config.values(), "classes": list(self.classes), "log": len(events), "round": number}
        known = rounds.read_request(self.home, number).get("log", 0)
        if known and all(event.what == "open" for event in events[known:]):
            request["log"] = known  # nothing was clicked since it was asked for last: it goes on where it was
        command = ["train", read_json(self.work)["folder"], "--work", str(self.work), "--annotator", self.annotator]
        self._process = rounds.start(self.home, number, [*command, "--round", str(number)], request)
        return self.training()

    def training(self) -> Progress:
        """The progress of the next round; "done" once, when it was finished after the last `refresh`."""
        if rounds.finished(self.home) > self.round:
            return rounds.DONE
        return rounds.progress(self.home, self.round + 1, self._process)

    def stop(self) -> Progress:
        """Asks the running training to end after its present epoch; it can go on later from where it was."""
        if (folder := rounds.folder_of(self.home, self.round + 1)).is_dir():
            (folder / "stop").touch()
        return self.training()

    def refresh(self) -> bool:
        """Loads the suggestions and predictions of the last finished round; returns whether there was a new one."""
        last = rounds.finished(self.home)
        if last == self.round:
            return False
        place = {picture.name: i for i, picture in enumerate(self.pictures)}
        asked = rounds.read_query(self.home, last)["query"]
        self.round = last
        self._predicted.clear()
        if not self.learned:
            self._query = [(place[name], s) for name, s in asked if name in place]
        return True

    def set_live(self, live: bool) -> None:
        """Whether it learns after every click; that is kept. Off, predictions and suggestions are those of the last round."""
        with self._acting:
            checked.write(self.home / "live.json", {"live": live, "config": self.config.values()})
            self.live = live
            if not live and self._beside is not None:
                self._beside.end()
                self._beside, self.round = None, 0
                self.refresh()

    def learn(self, picture: int, hear: Callable[[int | None], None]) -> None:
        """If it is live, starts to learn after every click, in a process that stays.

        picture: that is looked at, for a start.  hear: called in a thread of its own with the number of a picture whose `view` is
        new, and with None when suggestions or what `progress_text` says are.
        """
        with self._acting:
            if not self.live or self._beside is not None or self.log.closed:
                return

            def heard(said: dict) -> None:
                with self._acting:
                    if self._beside is not beside:
                        return
                    beside.take_in(said)
                    if said["kind"] in ("fitted", "view"):
                        self._predicted.clear()
                    elif said["kind"] == "query":
                        self._query = beside.query
                        self._asked.update(beside.query)
                    hear(said.get("picture"))

            command = ["learn", read_json(self.work)["folder"], "--work", str(self.work), "--annotator", self.annotator]
            first = {"config": self.config.values(), "upto": len(self.log.events), "look": picture}
            self._beside = beside = Beside(command, self.home / "learn.log", first, heard)
            self.log.at_end.append(beside.end)

    def look(self, picture: int) -> None:
        """The picture that is looked at from here on: live, its `view` comes first."""
        self._tell({"look": picture})

    def _tell(self, what: dict) -> None:
        if self._beside is not None:
            self._beside.tell(what)

    def live_text(self) -> str:
        """What a person should know about learning after every click: what is missing, and how far it is; "" where all is well."""
        return what_lacks(self.board, self._beside) if self.live else ""

    def close(self) -> None:
        """Closes the log, and ends learning after every click; a running training goes on."""
        self.log.close()
