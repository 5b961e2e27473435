"""session.json: what was decided when a session began and must stay so, and the checks of what a person gives."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from ..config import RunConfig
from ..storage import checked, provenance
from ..superpixels import SuperpixelRecipe
from .board import MOST_CLASSES, Board
from .events import VOID, read_whole
from .pictures import open_pictures

WORDS = r"\w[\w.-]*(?<!\.)"  # of an annotator, who gets a folder of that name; Windows drops a dot at its end
TAKEN = ("pictures", "export", "con", "prn", "aux", "nul")  # our own folders, and names that cannot be folders on Windows
REMEDY = "put back a copy of it, or name another folder (work=)"
DEVICES = tuple(f"{name}{i}" for name in ("com", "lpt") for i in range(10))  # no folders on Windows, either
LONGEST = 100  # bytes of an annotator's name; the files of some systems have names of at most 143
UNSEEN = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"  # line ends, control characters, half characters


def work_folder(folder: Path | str, work: Path | str | None = None) -> Path:
    """Where a session's files lie: beside the pictures, in `<folder>-labels`, unless `work` says where.

    ValueError if the folder has no place beside it.
    """
    folder = Path(folder).expanduser().resolve()
    if work is not None:
        return Path(work).expanduser().resolve()
    if not folder.name:
        raise ValueError(f"{folder} has no place beside it for a folder with the labels; say where they shall lie (work=)")
    return folder.with_name(f"{folder.name}-labels")


def check_annotator(annotator: str, what: str = "annotator") -> None:
    """ValueError for a name that cannot be a folder's; what: it is the name of."""
    fits = isinstance(annotator, str) and re.fullmatch(WORDS, annotator) and len(annotator.encode()) <= LONGEST
    if not fits or annotator.split(".")[0].lower() in (*TAKEN, *DEVICES):
        raise ValueError(
            f"{what} is {annotator!r}, but is the name of a folder: a letter or digit, then letters, digits, _ . and - only, at most "
            f"{LONGEST} bytes, none of {', '.join(TAKEN)}, com1 or lpt1, and no dot at its end; change it"
        )


def check_place(folder: Path, home: Path) -> None:
    """ValueError for a session whose files would lie among its pictures."""
    if home.is_relative_to(folder / "images" if (folder / "images").is_dir() else folder):
        raise ValueError(
            f"work is {home}, where masks would lie among the pictures and be taken for some; choose a folder elsewhere"
        )


def check_usable(config: RunConfig) -> None:
    """ValueError for values that are good for a simulated run, but not for a person's session."""
    if config.query_size is None:
        raise ValueError(
            "query_share is given, but a person asks for a number of superpixels; give query_size, and query_share None"
        )
    if config.resize != "crop":
        raise ValueError(f"resize is {config.resize!r}, but pictures of any shape are trained on crops; write resize: crop")
    if config.keeps_undefined:
        raise ValueError("labeling is 'weak' with undefined 'keep', but a click names one class; write labeling: dominant")


def read_about(home: Path, classes, side: int | None, config: RunConfig, partition) -> dict:
    """session.json: what must stay as it was when the first picture was cut; a new one where there is none.

    ValueError for a `side` outside 32..8192 pixels, no classes, a damaged file, or what differs from the session's beginning.
    """
    file = home / "session.json"
    given = None if classes is None else check_classes(classes)
    if side is not None:
        check_side(side)
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
    about = read_json(home)
    try:
        old = check_classes(about["classes"])
        check_side(about["side"])
        recipe_of(about)
        for name, kinds in (("session", str), ("partition", str | None)):
            if not isinstance(about[name], kinds):
                raise ValueError(f"{name} is {about[name]!r}")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is damaged ({error!r}); {REMEDY}") from error
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


def read_json(home: Path) -> dict:
    """What session.json says; ValueError if it is damaged."""
    return checked.read(home / "session.json", REMEDY)


def check_side(side: int) -> None:
    """ValueError for a longer side, in pixels, that no picture is brought to."""
    if type(side) is not int or not 32 <= side <= 8192:
        raise ValueError(f"side is {side!r}, but must be a whole number of pixels from 32 to 8192; 1024 suits most screens")


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The names of classes; ValueError for what cannot be some."""
    if isinstance(classes, str):
        raise ValueError(f"classes is the text {classes!r}, but must be a list of names, such as [{classes!r}]")
    if not isinstance(classes, list | tuple):
        raise ValueError(f"classes is {classes!r}, but must be a list of names, such as ['background', 'tool']")
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


def recipe_of(about: dict) -> SuperpixelRecipe:
    """The recipe by which the session's pictures are cut; about: of `read_about`."""
    return SuperpixelRecipe(**about["superpixels"])


def read_board(folder: Path, home: Path, annotator: str, upto: int | None = None) -> tuple[Board, int]:
    """The board after `upto` events of an annotator's log (None: all), and how many that was. Nothing is locked.

    Pictures that no session has opened yet are not in it.
    """
    about = read_about(home, None, None, RunConfig.from_yaml("annotate"), None)
    pictures, _ = open_pictures(Path(folder), home / "pictures", recipe_of(about), about["side"], about["partition"], 1, cut=False)
    events = read_whole(home / annotator / "clicks.jsonl")[:upto]
    return Board(pictures, tuple(about["classes"]), events), len(events)
