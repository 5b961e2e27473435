"""The annotation widget: `page/` draws and listens, this file answers from a `Session`.

Every act is on disk before it is acknowledged; until then the browser keeps it and sends it again, to a new kernel, too. Codes of
labels: class ids 0..C-1, 254 = not labeled, 255 = void.

From the browser: hello (acts not acknowledged yet), act, show (a picture), thumb (a small one), tile (a part at full resolution), look
(live, at a picture it has), set (strategy, aggregate), live (on or off), train, stop, poll, finish.
To the browser: state, picture (with buffers: JPEG, ids, labels, prediction, uncertainty), thumb, tile, done or refused or failed (an
act), live (suggestions, counters, what to know, and a picture's prediction), training, finished, closed, error.

Messages state and live have `quality`, cross-validated on the clicks (see `quality`): {"agreement": 0..1 or null, "n": clicks,
"per_class": [[right, n], ...] or [], "curve": [[clicks, minutes, agreement], ...]}. counters.foreseen is [right, n] of the last
answers whose class had been predicted before, live, too.
"""

import re
import shlex
import threading
import time
import zlib
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from ..draw import title
from ..storage.progress import lines_to
from ..strategies import STRATEGIES
from ..types import IGNORE
from .events import VOID, Log
from .jpegs import part, shown
from .named import UNLABELED
from .out.export import export
from .saved import work_folder
from .session import Session, open_session

AGGREGATES = ("mean", "top_0.5", "top_0.25", "top_0.1", "quantile_0.9", "power_8", "max")
ASKS = {  # plain words for what orders the suggestions: (strategy, aggregate, a sentence)
    "where it is most unsure": ("bvsb", "mean", "Superpixels in which two classes are almost equally likely come first."),
    "balance the classes": ("oreal", "max", "Classes with few labels come first, each where it is most unsure."),
    "surprise me": ("random", "mean", "Superpixels come in random order."),
}
CHOICES = {
    "strategies": list(STRATEGIES),
    "titles": {name: title(name).rstrip("*") for name in STRATEGIES},
    "sentences": {name: (strategy.__doc__ or "").partition("\n")[0] for name, strategy in STRATEGIES.items()},
}
MORE = ("factor", "points", "radius", "classes", "into", "numbering")  # what some acts have besides
HERE = Path(__file__).parent / "page"
PARTS = "pixels colors places acts keys elements side words moving labeling tools classes pointer painting receiving strip view main".split()
STYLES = ("base", "parts", "around")
A_YEAR = 365 * 86_400.0  # seconds


def annotate(folder: Path | str, classes: list[str] | None = None, **options: object) -> "Annotator":
    """The widget for a folder of pictures; classes and options are those of `session.open_session`."""
    return Annotator(open_session(folder, classes, **options))


def page(folder: str, annotator: str, work: str) -> widgets.Widget:
    """What a page of `serve` shows: the widget for an existing session, or why it cannot be opened.

    The process of a page lives on after the page was left or reloaded. The next page asks it, by a file, to close the log.
    """
    asks = Path(work) / annotator / "page.asks"
    try:
        asks.touch()
        with lines_to(lambda line: None):
            widget = annotate(folder, annotator=annotator, work=work)
    except (ValueError, OSError) as error:
        return widgets.HTML(f"<p style='font: 16px sans-serif; max-width: 60em'>{escape(str(error))}</p>")
    finally:
        asks.unlink(missing_ok=True)
    threading.Thread(target=_give_way, args=(widget.session.log, asks), daemon=True).start()
    return widget


def _give_way(log: Log, asks: Path) -> None:
    """Closes the log as soon as another page asks for it."""
    while not log.closed:
        if asks.exists():
            log.close()
        time.sleep(0.5)


def script() -> str:
    """The ES modules of `page/` as one, which is what anywidget takes: in the order of PARTS, without what they import of each other."""
    return "".join(re.sub(r"^import [^;]*;\n", "", (HERE / f"{part}.js").read_text(encoding="utf-8"), flags=re.M) for part in PARTS)


class Annotator(anywidget.AnyWidget):
    """Shows a session in JupyterLab, Voila or any other place for widgets. Several views of it show the same labels."""

    _esm = script()
    _css = "".join((HERE / f"{part}.css").read_text(encoding="utf-8") for part in STYLES)
    session_name = traitlets.Unicode().tag(sync=True)  # under which the browser keeps acts that are not acknowledged yet

    def __init__(self, session: Session) -> None:
        self.session, self._shown = session, 0
        self._refused: set[str] = set()
        super().__init__(session_name=session.name)
        session.log.at_end.append(lambda: self.send({"kind": "closed"}))
        if query := session.query():
            self._shown = query[0][0]
        self.on_msg(self._answer)

    def _answer(self, _: object, content: dict[str, Any], buffers: list) -> None:
        """Whatever happens becomes a message: nobody would see a traceback."""
        try:
            {
                "hello": self._hello,
                "act": self._act,
                "show": lambda c: self._show(int(c["picture"]), remember=not c.get("prefetch")),
                "set": lambda c: self.session.choose(c["strategy"], c["aggregate"]),
                "look": lambda c: self.session.look(int(c["picture"])),
                "live": lambda c: self._switch(bool(c["on"])),
                "train": lambda _: self._training(self.session.train()),
                "stop": lambda _: self._training(self.session.stop()),
                "poll": lambda _: self._training(self.session.training()),
                "finish": self._finish,
                "thumb": lambda c: self._thumb(int(c["picture"])),
                "tile": self._tile,
            }[content["kind"]](content)
        except Exception as error:
            self.send({"kind": "error", "text": str(error) or repr(error)})

    def _hello(self, content: dict) -> None:
        for act in content.get("pending", []):
            if not self._act(act | {"now": content.get("now")}):
                break  # those after it wait for it
        self.session.learn(self._shown, self._live)
        self._state()

    def _switch(self, on: bool) -> None:
        self.session.set_live(on)
        self.session.learn(self._shown, self._live)
        self._state()

    def _live(self, picture: int | None) -> None:
        """Something was learned. picture: whose prediction is new, None for none."""
        session = self.session
        try:
            layers = {} if picture is None else self._prediction(picture)
        except (ValueError, OSError) as error:  # a picture's file is damaged
            return self.send({"kind": "error", "text": str(error)})
        about = {"kind": "live", "picture": picture, "learned": session.learned, "layers": list(layers)}
        self.send(about | self._news(), list(layers.values()))

    def _news(self) -> dict[str, Any]:
        """What may be new after whatever happened."""
        session = self.session
        about = {"text": session.live_text(), "query": session.query(), "counters": session.counters()}
        return about | {"quality": session.quality()}

    def _act(self, content: dict) -> bool:
        """Whether the act is settled, done or refused. One that came before the act it follows (`after`) is asked for again."""
        session, act_id, after = self.session, content["id"], content.get("after")
        acts, named, turns = session.board.acts, session.board.named, content["do"] in ("undo", "redo")
        if after and after not in session.log and after not in self._refused:
            self.send({"kind": "again", "id": act_id})
            return False
        try:
            name = content.get("name")
            changes = session.act(
                content["do"],
                int(content.get("picture", 0)) if name is None else session.board.place(name),
                content.get("superpixels", ()),
                self._names(content.get("to", UNLABELED)),
                content.get("how", "click"),
                act_id,
                float(content.get("seconds", 0.0)),
                waited(content.get("clicked"), content.get("now")),
                **{key: content[key] for key in MORE if key in content},
            )
        except OSError as error:
            self.send({"kind": "failed", "id": act_id, "text": error.strerror or str(error)})
            return False
        except (ValueError, TypeError) as error:  # TypeError: an act that another version of the page made
            self._refused.add(act_id)
            self.send({"kind": "refused", "id": act_id, "text": str(error)})
            if content["do"] == "classes":
                self._state(show=False)
            return True
        written = round(1000 * time.time(), 3)  # ms since 1970: by now the act is on disk
        elsewhere = changes[0].picture if changes and turns else None
        plain = [{"picture": c.picture, "superpixels": c.superpixels.tolist(), "labels": c.labels.tolist()} for c in changes]
        done = {"kind": "done", "id": act_id, "changes": plain, "to_see": elsewhere, "written": written}
        done |= {"text": session.live_text(), "query": session.query(), "counters": session.counters()}
        self.send(done | {"turned": session.board.turned(acts, named) if turns else ""})
        if session.board.named != named:
            self._state(show=False)
        for change in changes:
            if change.split:
                self._show(change.picture, keep=True)
        return True

    def _names(self, codes: int | list[int]) -> str | list[str]:
        if isinstance(codes, list):
            return [self._names(code) for code in codes]
        names = {UNLABELED: "", IGNORE: VOID} | dict(enumerate(self.session.classes))
        if (code := codes) not in names:
            raise ValueError(f"there is no class {code}; there are 0..{len(self.session.classes) - 1}, and {IGNORE} for void")
        return names[code]

    def _training(self, progress: Any) -> None:
        self.send({"kind": "training", **vars(progress)})
        if progress.state == "done" and self.session.refresh():
            self._state()

    def _finish(self, _: dict) -> None:
        """Writes the masks, and says what was done, where they are and how to go on."""
        session = self.session
        with lines_to(lambda line: None):
            done = export(session)
        left_out = f"; left out: {'; '.join(done.problems)}" if done.problems else ""
        text = f"{done.pictures} masks, the clicks and what was learned are in {done.out}{left_out}"
        about = {"again": again(session), "counters": session.counters(), "shares": done.shares}
        self.send({"kind": "finished", "text": text, **about})

    def _thumb(self, picture: int) -> None:
        self.session.check_picture(picture)
        self.send({"kind": "thumb", "picture": picture}, [shown(self.session.pictures[picture].image(), (128, 128))])

    def _tile(self, content: dict) -> None:
        """A part of a picture for a view of `size` pixels, see `jpegs.part`."""
        i, box = int(content["picture"]), content["box"]
        self.send({"kind": "tile", "picture": i, "box": box}, [part(self.session.pictures[i], box, content["size"])])

    def _state(self, show: bool = True) -> None:
        session, board = self.session, self.session.board
        named, pictures = board.named, []
        for i, picture in enumerate(session.pictures):
            labels, (height, width) = board.labels(i), picture.size
            finer = picture.native[1] > width  # there is more to see than at working size
            about = {"name": picture.name, "height": height, "width": width, "finer": finer}
            pictures.append(about | {"superpixels": len(labels), "labeled": int(np.count_nonzero(labels != UNLABELED))})
        classes = [{"name": name, "color": color} for name, color in zip(named.names, named.colors, strict=True)]
        state = {
            "kind": "state",
            "session": session.name,
            "problems": session.problems,
            "picture": self._shown,
            "round": session.round,
            "training": vars(session.training()),
            "live": session.live,
        }
        state |= {"classes": classes, "order": named.shown, "pictures": pictures}
        state |= {"strategy": session.config.strategy, "aggregate": session.config.aggregate, "asks": ASKS} | CHOICES
        state["aggregates"] = list(dict.fromkeys([*AGGREGATES, session.config.aggregate]))
        self.send(state | self._news())
        if show:
            self._show(self._shown)

    def _show(self, picture: int, remember: bool = True, keep: bool = False) -> None:
        """Sends a picture. keep: the browser has the image itself; only what lies on it has changed."""
        session = self.session
        session.check_picture(picture)
        self._shown = picture if remember else self._shown
        height, width = session.pictures[picture].size
        layers = {} if keep else {"image": shown(session.pictures[picture].image())}
        layers |= {"ids": zlib.compress(session.board.ids(picture), 6), "labels": session.board.labels(picture).tobytes()}
        layers |= self._prediction(picture)
        count = len(session.board.labels(picture))
        about = {"kind": "picture", "picture": picture, "width": width, "height": height, "count": count, "keep": keep}
        about["numbering"] = session.board.numbering(picture)
        self.send(about | {"layers": list(layers)}, list(layers.values()))

    def _prediction(self, picture: int) -> dict[str, bytes]:
        """The layers of what is predicted, none before the first training."""
        if (view := self.session.view(picture)) is None:
            return {}
        layers = {"prediction": zlib.compress(view[0], 1), "uncertainty": zlib.compress(view[1], 1)}
        return layers | {"predicted": self.session.predicted(picture).tobytes()}


def again(session: Session) -> str:
    """The command that goes on with a session."""
    folder = session.pictures[0].file.parents[session.pictures[0].name.count("/")]
    folder = folder.parent if folder.name == "images" else folder
    who = "" if session.annotator == "me" else f" WHO={shlex.quote(session.annotator)}"
    work = "" if session.work == work_folder(folder) else f" WORK={shlex.quote(str(session.work))}"
    return f"make label FOLDER={shlex.quote(str(folder))}{who}{work}"


def waited(clicked: float | None, now: float | None) -> float:
    """Seconds that an act waited in the browser, by its own clock (ms since 1970); 0 where that is not known. Clocks may be changed
    meanwhile, so it is at most a year, and not negative."""
    return 0.0 if clicked is None or now is None else min(max(0.0, (now - clicked) / 1000), A_YEAR)
