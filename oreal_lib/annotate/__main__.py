"""`python -m oreal_lib.annotate train|export|predict|merge|status ...`: what a session does without a notebook."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from . import rounds
from .session import read_board, work_folder


def main(arguments: list[str] | None = None) -> int:
    """0, or 2 with a sentence on stderr where something is wrong with what was given."""
    parser = argparse.ArgumentParser(prog="python -m oreal_lib.annotate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="carry out a round that a session has asked for")
    train.add_argument("folder", type=Path, help="the folder with the pictures")
    train.add_argument("--work", type=Path, help="the session's files (default: <folder>-labels beside it)")
    train.add_argument("--annotator", default="me")
    train.add_argument("--round", type=int, required=True)
    given = parser.parse_args(arguments)
    home = work_folder(given.folder, given.work)
    try:
        rounds.train_round(home / given.annotator, given.round, partial(read_board, given.folder, home, given.annotator))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
