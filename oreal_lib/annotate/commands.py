"""`python -m oreal_lib annotate serve|train|learn|export|predict|merge|import|status ...`: what a session does without a notebook."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from . import beside, training
from .out.export import export
from .out.predictions import predict_folder
from .saved import annotators, check_annotator, read_board, read_session, status, work_folder
from .serve import serve
from .session import open_session
from .several.masks import SHARE, import_masks
from .several.merge import merge

AGAIN = "start the same command again"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the commands. Their exit codes: 0; 1 if a picture or mask had to be left out; 2 if what was given is wrong."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    session = argparse.ArgumentParser(add_help=False)
    session.add_argument("folder", type=Path, help="the folder with the pictures")
    session.add_argument("--work", type=Path, help="the session's files (default: <folder>-labels beside it)")
    one = argparse.ArgumentParser(add_help=False, parents=[session])
    one.add_argument("--annotator", default="me")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], text: str, kept: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=parents, help=text, description=text)
        command.set_defaults(command=run, kept=f"{kept}; {AGAIN}")
        return command

    text = "label in a page of this computer's browser, without a notebook (Voila)"
    sub = add("serve", _serve, text, "every click is on disk", one)
    sub.add_argument("--classes", help='their names, separated by commas: "road,sky,other"; only the first time')
    sub.add_argument("--side", type=int, help="pixels of the longer side at which you work (default: 1024); only the first time")
    sub.add_argument("--superpixels", help="how many a picture is cut into, or a folder of label maps; only the first time")
    sub.add_argument("--port", type=int, help="default: one from 8866 to 9865 that stays the same for a session")
    sub.add_argument("--no-browser", action="store_true", help="only print the address")
    sub = add("train", _train, "carry out a round that a session has asked for", "the last finished epoch is kept", one)
    sub.add_argument("--round", type=int, required=True)
    add("learn", _learn, "what the page starts, to learn after every click", "the features of each picture are kept", one)
    text = "write masks at full size, the clicks and the trained network"
    sub = add("export", _export, text, "each file that is written is whole, the others are those of the last export", one)
    sub.add_argument("--out", type=Path, help="the folder to write (default: export/<annotator> in the session's files)")
    text = "use the network of an export on other pictures"
    sub = add("predict", _predict, text, "each mask that was written is whole")
    sub.add_argument("model", type=Path, help="the folder model/ of an export")
    sub.add_argument("pictures", type=Path, help="the folder of the pictures")
    sub.add_argument("out", type=Path, help="the folder to write the masks in")
    sub.add_argument("--device", default="auto")
    sub = add("merge", _merge, "put the logs of several annotators together", "the logs are as they were", session)
    sub.add_argument("annotators", nargs="+", metavar="ANNOTATOR")
    sub.add_argument("--into", required=True, help="the name of the new annotator")
    sub.add_argument("--take", help="where they disagree: 'later', or the name of one (default: none, the conflict is listed)")
    text = "label superpixels from existing masks"
    sub = add("import", _import, text, "labels that were given are kept", one)
    sub.add_argument("masks", type=Path, help="a folder with masks named like the pictures")
    sub.add_argument("--classes", help="begin a session with these, in the order of the masks' ids")
    sub.add_argument("--share", type=float, default=SHARE, help="of a superpixel's pixels that must agree (default: %(default)s)")
    sub.add_argument("--overwrite", action="store_true", help="replace existing labels")
    add("status", _status, "a table of what each annotator has done", "nothing was changed", session)


def _names(text: str | None) -> list[str] | None:
    """The classes of a command; ValueError for one that looks like several."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    parts = [part for part in re.split(r"[;\s]+", text) if part]
    if len(names) == 1 and len(parts) > 1 and "," not in text:
        one = f'if it is one class, end it with a comma: "{text},"'
        raise ValueError(f'the classes are "{text}", one class; did you mean "{",".join(parts)}"? Commas separate classes; {one}')
    return names


def _serve(given: argparse.Namespace) -> NoReturn:
    classes, how = _names(given.classes), {}
    if classes is None and not (work_folder(given.folder, given.work) / "session.json").exists() and given.folder.is_dir():
        raise ValueError('the classes are not named; add CLASSES="road,sky,other" to make label, or --classes "road,sky,other"')
    if given.superpixels:
        how = {"superpixel_count": int(given.superpixels)} if given.superpixels.isdecimal() else {"partition": given.superpixels}
    session = open_session(given.folder, classes, annotator=given.annotator, work=given.work, side=given.side, **how)
    return serve(session, given.folder.expanduser().resolve(), given.port, not given.no_browser)


def _train(given: argparse.Namespace) -> int:
    home = work_folder(given.folder, given.work)
    check_annotator(given.annotator)
    training.train_round(home / given.annotator, given.round, partial(read_board, given.folder, home, given.annotator))
    return 0


def _learn(given: argparse.Namespace) -> int:
    home = work_folder(given.folder, given.work)
    check_annotator(given.annotator)
    beside.work(home / "pictures", lambda upto: read_board(given.folder, home, given.annotator, upto)[0])
    return 0


def _export(given: argparse.Namespace) -> int:
    done = export(read_session(given.folder, given.annotator, given.work), given.out)
    trained = f"predictions and network of round {done.round}" if done.round else "nothing learned yet"
    trained = "predictions and model as learned after the last click" if done.live else trained
    print(f"{done.out}: {done.pictures} masks, {done.labeled} labeled superpixels, {trained}\npixels: {done.shares}")
    return _left_out(done.problems)


def _predict(given: argparse.Namespace) -> int:
    done = predict_folder(given.model, given.pictures, given.out, device=given.device)
    print(f"{done.out}: {done.pictures} masks")
    return _left_out(done.problems)


def _merge(given: argparse.Namespace) -> int:
    done = merge(given.folder, given.annotators, given.into, given.work, given.take)
    settled = sum(bool(c.taken) for c in done.conflicts)
    print(f"{given.into}: {done.labeled} labeled superpixels, conflicts: {len(done.conflicts)} (settled: {settled})")
    if done.conflicts:
        print(f"the conflicts are in {done.log.with_name('conflicts.csv')}")
    return _left_out([f"{done.lost} acts are about pictures that do not exist now"] * (done.lost > 0))


def _import(given: argparse.Namespace) -> int:
    if given.classes is None:
        annotators(given.folder, given.work)  # says what to do where there is no session
    session = open_session(given.folder, _names(given.classes), annotator=given.annotator, work=given.work)
    try:
        done = import_masks(session, given.masks, given.share, given.overwrite)
    finally:
        session.close()
    print(
        f"{done.labeled} superpixels labeled from {done.pictures} masks, {done.unclear} left to a person, {done.kept} kept their label"
    )
    return _left_out(done.problems)


def _status(given: argparse.Namespace) -> int:
    print(status(given.folder, given.work))
    return 0


def _left_out(problems: Sequence[str]) -> int:
    for problem in problems:
        print("left out:", " ".join(problem.split()), file=sys.stderr)
    return int(bool(problems))
