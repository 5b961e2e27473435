"""A session as it lies on disk: session.json, and what each annotator has done so far. Reading it takes no lock, so a notebook may
hold the session open and go on clicking meanwhile.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import RunConfig
from ..data.check import table
from ..draw import hex_palette
from ..storage import checked, provenance
from ..storage.lock import Lock
from ..superpixels import SuperpixelRecipe
from . import rounds
from .board import Board
from .events import VOID, Event, clicks, minutes, read_whole
from .named import MOST_CLASSES, Named
from .pictures import find_pictures, open_pictures

WORDS = r"\w[\w.-]*(?<!\.)"  # of an annotator, who gets a folder of that name; Windows drops a trailing dot
TAKEN = ("pictures", "export", "con", "prn", "aux", "nul")  # our own folders, and names that Windows allows for no folder
DEVICES = tuple(f"{name}{i}" for name in ("com", "lpt") for i in range(10))  # likewise
LONGEST = 100  # bytes of an annotator's name; some file systems allow names of 143 at most
CONTROL = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"  # line ends and control characters


@dataclass(frozen=True)
class Saved:
    """What an annotator has done so far. home: the annotator's folder.  problems: what is left out, a sentence each."""

    home: Path
    annotator: str
    board: Board
    events: tuple[Event, ...]
    problems: tuple[str, ...] = ()


def work_folder(folder: Path | str, work: Path | str | None = None) -> Path:
    """Where a session's files lie: beside the pictures, in `<folder>-labels`, unless `work` names another folder.

    ValueError if nothing can lie beside the folder.
    """
    folder = Path(folder).expanduser().resolve()
    if work is not None:
        return Path(work).expanduser().resolve()
    if not folder.name:
        raise ValueError(f"{folder} is the root of a disk, with no place beside it for the labels; name a folder for them (work=)")
    return folder.with_name(f"{folder.name}-labels")


def check_annotator(annotator: str, what: str = "annotator") -> None:
    """ValueError for a name that cannot be a folder's; what: it is the name of."""
    fits = isinstance(annotator, str) and re.fullmatch(WORDS, annotator) and len(annotator.encode()) <= LONGEST
    if not fits or annotator.split(".")[0].lower() in (*TAKEN, *DEVICES):
        raise ValueError(
            f"{what} is {annotator!r}, but must be usable as a folder's name: a letter or digit, then letters, digits, _ . and - only, "
            f"at most {LONGEST} bytes, no dot at its end, and none of {', '.join(TAKEN)}, com1 or lpt1; change it"
        )


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The names of classes as a tuple; ValueError if they cannot be used."""
    if not isinstance(classes, list | tuple):
        example = classes if isinstance(classes, str) else "tool"
        raise ValueError(f"classes is {classes!r}, but must be a list of names, such as [{example!r}]")
    for name in classes:
        if not isinstance(name, str) or not name.strip() or name != name.strip() or re.search(CONTROL, name):
            raise ValueError(f"a class is {name!r}, but must be one line of text without spaces at its ends; change it")
    if VOID in classes:
        raise ValueError(f"a class is named {VOID!r}, which always exists as the answer for no class; leave it out")
    if twice := [name for name in classes if classes.count(name) > 1]:
        raise ValueError(f"the class {twice[0]!r} is named twice; rename one (a class that was merged keeps its name)")
    if not 1 <= len(classes) <= MOST_CLASSES:
        raise ValueError(f"{len(classes)} classes were given, but there must be 1 to {MOST_CLASSES}; change the list")
    return tuple(classes)


def add_classes(home: Path, named: Named, classes: Sequence[Sequence], into: dict[str, int]) -> str:
    """The note of an event "classes", see `Named.edited`; session.json gets the new ones, so that all annotators have them.

    classes: [code, name, color] each, in their order, code None for a new one, color None for one that
    differs from all others.  into: code -> code of what is merged.
    ValueError for names that cannot be used.
    """
    with Lock(home / ".lock").wait("the classes are being changed"):
        about, table = read_json(home), []
        begun = list(hex_palette(len(about["classes"]), about.get("colors", ())))
        known, colors = [*named.names, *about["classes"][len(named.names) :]], [*named.colors, *begun[len(named.names) :]]
        for code, name, given in classes:
            color = given or hex_palette(len(colors) + 1, colors)[-1]
            if not re.fullmatch("#[0-9a-f]{6}", color):
                raise ValueError(f"the color of {name} is {color!r}, but must be like #4477aa; change it")
            if code is None:
                code, known, colors = len(known), [*known, name], [*colors, color]
            elif not 0 <= code < len(known):
                raise ValueError(f"there is no class {code}; there are 0..{len(known) - 1}")
            known[code], colors[code] = name, color
            table.append([code, name, color])
        check_classes(known)
        table += [[c, known[c], colors[c]] for c in range(len(named.names), len(known)) if c not in [row[0] for row in table]]
        if n := len(known) - len(begun):
            more = {"classes": about["classes"] + known[-n:], "colors": begun + colors[-n:]}
            checked.write(home / "session.json", {"begun": len(begun)} | about | more)
    return json.dumps({"classes": table, "into": [[int(a), int(b)] for a, b in into.items()]}, ensure_ascii=False)


def check_usable(config: RunConfig) -> None:
    """ValueError for values that suit a simulated run, but not a person's session."""
    if config.query_size is None:
        raise ValueError("query_share is given, but a person is asked for a number of superpixels; give query_size instead")
    if config.resize != "crop":
        raise ValueError(f"resize is {config.resize!r}, but pictures of any shape are trained on crops; write resize: crop")
    if config.keeps_undefined:
        raise ValueError("labeling is 'weak' with undefined 'keep', but a click names one class; write labeling: dominant")


def read_about(home: Path, classes, side: int | None, config: RunConfig, partition, count: int | None = None) -> dict:
    """session.json: what was decided when the first picture was cut and must stay so; new values where there is no session yet.

    ValueError for a `side` outside 32..8192 pixels, missing classes, a damaged file, or a contradiction to the existing session.
    """
    given = None if classes is None else check_classes(classes)
    partition = None if partition is None else str(Path(partition).expanduser().resolve())
    if side is not None and (type(side) is not int or not 32 <= side <= 8192):
        raise ValueError(f"side is {side!r}, but must be a whole number of pixels from 32 to 8192; 1024 suits most screens")
    if not (home / "session.json").exists():
        if given is None:
            raise ValueError("the classes are not named; give classes, such as classes=['background', 'tool']")
        chosen = {"classes": list(given), "side": side or 1024, "superpixels": config.superpixel_recipe, "partition": partition}
        return {"session": secrets.token_hex(8)} | chosen | {"versions": provenance.versions()}
    about = read_json(home)
    old = about["classes"]
    fewest = about.get("begun", len(old))  # others were added in the page
    if given is not None and (len(given) < fewest or list(given[: len(old)]) != old[: len(given)]):
        raise ValueError(
            f"the session was begun with the classes {', '.join(old)}, but now they are {', '.join(given)}; add new ones at the end "
            "only, leave classes out, or begin another session (work=)"
        )
    if partition is not None and about["partition"] is not None and not Path(about["partition"]).is_dir():
        about["partition"] = partition  # it has moved; what is cut stays as it is
    both = [("side", side, about["side"]), ("partition", partition, about["partition"])]
    for name, now, was in [*both, ("superpixels", count, about["superpixels"]["count"])]:
        if now is not None and now != was:
            raise ValueError(
                f"{name} is {now!r}, but the session was begun with {was!r}; leave it out, or begin another session (work=)"
            )
    return about | {"classes": [*old, *(given or ())[len(old) :]]}


def read_live(home: Path) -> dict:
    """live.json of an annotator whose files lie in `home`: "live", whether it learns after every click, and "config", how; {} where
    there is none. ValueError if it is damaged."""
    file = home / "live.json"
    return checked.read(file, "delete it, and open the session again") if file.exists() else {}


def read_json(home: Path) -> dict:
    """The values of session.json; ValueError if it is damaged."""
    return checked.read(home / "session.json", "put back a copy of it, or name another folder (work=)")


def recipe_of(about: dict) -> SuperpixelRecipe:
    """The recipe that cuts the session's pictures; about: of `read_about`."""
    return SuperpixelRecipe(**about["superpixels"])


def read_board(folder: Path, home: Path, annotator: str, upto: int | None = None) -> tuple[Board, int]:
    """The board after `upto` events of an annotator's log (None: all), and how many events that was.

    Pictures that no session has opened yet are not on it.
    """
    about = read_json(home)
    pictures, _ = open_pictures(Path(folder), home / "pictures", recipe_of(about), about["side"], about["partition"], 1, cut=False)
    events = read_whole(home / annotator / "clicks.jsonl")[:upto]
    return Board(pictures, tuple(about["classes"]), events, about.get("colors", ())), len(events)


def annotators(folder: Path | str, work: Path | str | None = None) -> list[str]:
    """The names of those who have a log in this folder's session, sorted. ValueError if there is no session."""
    home = work_folder(folder, work)
    if not (home / "session.json").is_file():
        raise ValueError(
            f"{home} holds no session of {folder}; begin one with open_session(folder, classes), or name its folder (work)"
        )
    return sorted(file.parent.name for file in home.glob("*/clicks.jsonl"))


def read_session(folder: Path | str, annotator: str = "me", work: Path | str | None = None) -> Saved:
    """What an annotator has done so far. ValueError if there is no such log, or if it is damaged.

    A torn last line is ignored: a session that is open may be writing it just now.
    """
    if annotator not in (there := annotators(folder, work)):
        choices = ", ".join(there) or "nobody: open a session first"
        raise ValueError(f"there is no annotator {annotator!r}; choose one of {choices}")
    home = work_folder(folder, work) / annotator
    events = read_whole(home / "clicks.jsonl")
    board, _ = read_board(Path(folder), home.parent, annotator, len(events))
    names = {picture.name for picture in board.pictures}
    problems = [
        f"{name} is left out: it cannot be read, or was changed after it was cut; opening the session says which"
        for name in find_pictures(Path(folder).expanduser())[0]
        if name not in names
    ]
    return Saved(home, annotator, board, tuple(events), tuple(problems + board.lost_acts()))


def status(folder: Path | str, work: Path | str | None = None) -> str:
    """A table as text: a column for each annotator; superpixels labeled, clicks, minutes, the last round, labels of each class."""
    columns = [_column(read_session(folder, name, work)) for name in annotators(folder, work)]
    if not columns:
        return f"nobody has labeled anything in {work_folder(folder, work)} yet"
    every = dict.fromkeys(row for column in columns for row in column)  # one may have renamed a class
    head, *rows = ([row, *(column.get(row, "-") for column in columns)] for row in every)
    return "\n".join(table(head, rows)[:-1])


def _column(saved: Saved) -> dict[str, str]:
    board, counts = saved.board, saved.board.counts()
    return {
        "": saved.annotator,
        "pictures": str(len(board.pictures)),
        "superpixels": f"{board.total:,}",
        "labeled": f"{counts.sum():,}",
        "clicks": f"{clicks(board.acts):,}",
        "minutes": f"{minutes(saved.events):.1f}",
        "round": str(rounds.finished(saved.home)),
    } | {f"  {name}": f"{counts[c]:,}" for name, c in [*((board.classes[c], c) for c in board.named.shown), (VOID, -1)]}
