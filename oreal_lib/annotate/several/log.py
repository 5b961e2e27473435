"""A session as it lies on disk, looked at without opening it: a notebook may hold it open and go on clicking meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import rounds
from ..about import read_board, work_folder
from ..board import Board
from ..events import VOID, Event, read_whole
from ..pictures import find_pictures
from ..session import Session


@dataclass(frozen=True)
class Reading:
    """What an annotator has done so far. home: the annotator's folder.  problems: what is left out, a sentence each."""

    home: Path
    annotator: str
    board: Board
    events: tuple[Event, ...]
    problems: tuple[str, ...] = ()


def annotators(folder: Path | str, work: Path | str | None = None) -> list[str]:
    """Who has a log in the session of this folder, by name. ValueError if there is no session."""
    home = work_folder(folder, work)
    if not (home / "session.json").is_file():
        raise ValueError(
            f"there is no session of {folder} in {home}; begin one with open_session(folder, classes), or name its folder (work)"
        )
    return sorted(file.parent.name for file in home.glob("*/clicks.jsonl"))


def read_log(folder: Path | str, annotator: str, work: Path | str | None = None) -> tuple[Path, list[Event]]:
    """The annotator's folder and events. ValueError if there is no such log, or if it is damaged.

    A torn last line is passed over: a session that is open may be writing it just now.
    """
    if annotator not in (there := annotators(folder, work)):
        raise ValueError(
            f"there is no annotator {annotator!r}; choose one of {', '.join(there) or 'those who have opened a session'}"
        )
    home = work_folder(folder, work) / annotator
    return home, read_whole(home / "clicks.jsonl")


def read_session(folder: Path | str, annotator: str = "me", work: Path | str | None = None) -> Reading:
    """The state of an annotator's log; nothing is locked. ValueError as `read_log`."""
    home, events = read_log(folder, annotator, work)
    board, _ = read_board(Path(folder), home.parent, annotator, len(events))
    names = {picture.name for picture in board.pictures}
    problems = [
        f"{name} is left out: it cannot be read, or was changed since it was cut; opening the session says which"
        for name in find_pictures(Path(folder).expanduser())[0]
        if name not in names
    ]
    problems += [f"{board.lost} acts are about pictures, superpixels or classes that are not there now; they stay in the log"] * (
        board.lost > 0
    )
    return Reading(home, annotator, board, tuple(events), tuple(problems))


def reading(session: Session | Reading) -> Reading:
    """The state of a session that is open, or what was read already."""
    if isinstance(session, Reading):
        return session
    return Reading(session.home, session.annotator, session.board, tuple(session.log.events))


def status(folder: Path | str, work: Path | str | None = None) -> str:
    """A table as text: a column for each annotator; superpixels labeled, clicks, minutes, the last round, labels of each class."""
    home, columns = work_folder(folder, work), []
    for name in annotators(folder, work):
        read = read_session(folder, name, work)
        board = read.board
        counts = board.counts()
        total = sum(len(board.labels(i)) for i in range(len(board.pictures)))
        clicks = sum(len(e.superpixels) for e in board.acts if e.what == "label" and e.how not in ("import", "merge"))
        columns.append(
            {
                "": name,
                "pictures": str(len(board.pictures)),
                "superpixels": f"{total:,}",
                "labeled": f"{counts.sum():,}",
                "clicks": f"{clicks:,}",
                "minutes": f"{sum(e.seconds for e in read.events) / 60:.1f}",
                "round": str(rounds.finished(read.home)),
            }
            | {f"  {c}": f"{n:,}" for c, n in zip((*board.classes, VOID), counts.tolist(), strict=True)}
        )
    if not columns:
        return f"nobody has labeled anything in {home} yet"
    wide = max(len(row) for row in columns[0])
    lines = []
    for row in columns[0]:
        cells = [column[row].rjust(max(8, *map(len, column.values()))) for column in columns]
        lines.append(f"{row.ljust(wide)}  {'  '.join(cells)}")
    return "\n".join(lines)
