"""`python -m oreal_lib.annotate serve|train|export|predict|merge|import|status ...`: what a session does without a notebook."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..storage.interrupt import unless_stopped
from . import training
from .out.export import export
from .out.predictions import predict_folder
from .saved import annotators, check_annotator, read_board, read_session, status, work_folder
from .serve import serve
from .session import open_session
from .several.masks import SHARE, import_masks
from .several.merge import merge

AGAIN = "start the same command again"
KEPT = {  # of a command that was stopped
    "serve": f"every click is on disk, and what was cut stays cut; {AGAIN}",
    "train": f"the last finished epoch is kept; {AGAIN} and it goes on from there",
    "export": f"each file that is written is whole, others are still those of the last export; {AGAIN}, it writes all of them",
    "predict": f"each mask that is written is whole; {AGAIN}, it writes all of them",
    "merge": f"no log was written, the logs it reads are as they were; {AGAIN}",
    "import": f"labels that were given are kept; {AGAIN}, it gives the others",
    "status": f"nothing was changed; {AGAIN}",
}


def main(arguments: list[str] | None = None) -> int:
    """0; 1 if a picture or mask had to be left out; 2 with a sentence on stderr where something is wrong with what was given; 130
    with one where it was stopped."""
    given = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # file names may hold what a terminal cannot print
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return unless_stopped(lambda: _do(given), KEPT[given.command])


def _do(given: argparse.Namespace) -> int:
    try:
        return given.run(given)
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m oreal_lib.annotate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run, text: str, annotator: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("folder", type=Path, help="the folder with the pictures")
        command.add_argument("--work", type=Path, help="the session's files (default: <folder>-labels beside it)")
        if annotator:
            command.add_argument("--annotator", default="me")
        return command

    serving = add("serve", _serve, "label in a page of this computer's browser, without a notebook (Voila)")
    serving.add_argument("--classes", help='their names, separated by commas: "road,sky,other"; only the first time')
    serving.add_argument("--port", type=int, help="default: the first that is free from 8866 on")
    serving.add_argument("--no-browser", action="store_true", help="only print the address")
    add("train", _train, "carry out a round that a session has asked for").add_argument("--round", type=int, required=True)
    exporting = add("export", _export, "write masks at full size, the clicks and the trained network")
    exporting.add_argument("--out", type=Path, help="the folder to write (default: export/<annotator> in the session's files)")
    predicting = commands.add_parser("predict", help="use the network of an export on other pictures")
    predicting.set_defaults(run=_predict)
    predicting.add_argument("model", type=Path, help="the folder model/ of an export")
    predicting.add_argument("pictures", type=Path)
    predicting.add_argument("out", type=Path)
    predicting.add_argument("--device", default="auto")
    merging = add("merge", _merge, "put the logs of several annotators together", annotator=False)
    merging.add_argument("annotators", nargs="+", metavar="ANNOTATOR")
    merging.add_argument("--into", required=True, help="the name of the new annotator")
    merging.add_argument(
        "--take", help="where they disagree: 'later', or the name of one (default: nothing, the conflict is listed)"
    )
    importing = add("import", _import, "label superpixels from masks that are there already")
    importing.add_argument("masks", type=Path, help="a folder with masks named like the pictures")
    importing.add_argument(
        "--share", type=float, default=SHARE, help="of a superpixel's pixels that must agree (default: %(default)s)"
    )
    importing.add_argument("--overwrite", action="store_true", help="replace labels that are there already")
    add("status", _status, "a table of what each annotator has done", annotator=False)
    return parser


def _serve(given: argparse.Namespace) -> int:
    classes = [name.strip() for name in given.classes.split(",")] if given.classes else None
    if classes is None and not (work_folder(given.folder, given.work) / "session.json").exists():
        raise ValueError('the classes are not named; add CLASSES="road,sky,other" to make label, or --classes "road,sky,other"')
    session = open_session(given.folder, classes, annotator=given.annotator, work=given.work)
    return serve(session, given.folder.expanduser().resolve(), given.port, not given.no_browser)


def _train(given: argparse.Namespace) -> int:
    home = work_folder(given.folder, given.work)
    check_annotator(given.annotator)
    training.train_round(home / given.annotator, given.round, partial(read_board, given.folder, home, given.annotator))
    return 0


def _export(given: argparse.Namespace) -> int:
    done = export(read_session(given.folder, given.annotator, given.work), given.out)
    trained = f"predictions and network of round {done.round}" if done.round else "no network yet"
    print(f"{done.out}: {done.pictures} masks, {done.labeled} labeled superpixels, {trained}")
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
    return _left_out([f"{done.lost} acts are about pictures that are not there now"] * (done.lost > 0))


def _import(given: argparse.Namespace) -> int:
    annotators(given.folder, given.work)  # says what to do where there is no session
    session = open_session(given.folder, annotator=given.annotator, work=given.work)
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


def _left_out(problems: Iterable[str]) -> int:
    for problem in problems:
        print("left out:", " ".join(problem.split()), file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
