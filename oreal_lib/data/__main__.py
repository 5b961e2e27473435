"""`python -m oreal_lib.data check NAME --root DIR`: is a data set whole? `describe`: one page about it. `download voc`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..storage.interrupt import unless_stopped
from ..superpixels import SuperpixelRecipe
from . import READERS, open_source
from .check import check, summary
from .source import Source


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 fine, 1 problems in the data, 2 the data set cannot be opened (one line that begins with "error:"),
    130 stopped."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # file names may hold what a terminal cannot print
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return unless_stopped(lambda: _do(options), options.kept)


def _do(options: argparse.Namespace) -> int:
    try:
        return options.command(options)
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print("error:", " ".join(str(message).split()), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m oreal_lib.data", description="Look at a data set before anything is trained.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    known = ", ".join(READERS)
    for name, command, text in (
        ("check", _check, "open every file; counts, sizes, classes, problems"),
        ("describe", _describe, "one page: samples, superpixels, class frequencies, what dominant labels keep"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, kept="nothing was changed; start the same command again")
        sub.add_argument("name", metavar="NAME", help=f"one of {known}")
        sub.add_argument("--root", metavar="DIR", help="folder of the raw data")
        sub.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="options of the reader")
        sub.add_argument("--workers", type=int, metavar="N", help="processes; as many as there are cores unless given")
        if command is _check:
            sub.add_argument("--problems", type=int, default=10, metavar="N", help="how many problems are shown (10)")
        else:
            sub.add_argument("--out", metavar="FILE.png", help="the picture; <NAME>_described.png here unless given")
            sub.add_argument(
                "--superpixels", type=int, metavar="N", help="how many to ask for per image; as params/NAME.yaml says unless given"
            )
            sub.add_argument("--images", type=int, default=4, metavar="N", help="sample images on the page (4)")
            sub.add_argument("--seed", type=int, default=0, help="which images are drawn (0)")
    sub = commands.add_parser("download", help="fetch a data set that may be fetched freely")
    kept = "an archive that is whole is kept, half of one is fetched again; start the same command again"
    sub.set_defaults(command=_download, kept=kept)
    sub.add_argument("name", choices=("voc",))
    sub.add_argument("--root", required=True, metavar="DIR", help="folder to put it in")
    return parser


def _open(options: argparse.Namespace) -> Source:
    """The source with its problems; nothing is refused because of them."""
    from ..storage.yaml_file import parse_changes  # here, because worker processes read this file again and need none of it

    return open_source(options.name, options.root, options=parse_changes(options.set), strict=False)


def _check(options: argparse.Namespace) -> int:
    findings = check(_open(options), options.workers)
    print(summary(findings, options.problems))
    return 1 if findings.problems else 0


def _describe(options: argparse.Namespace) -> int:
    import numpy as np
    from matplotlib.figure import Figure

    from ..config import RunConfig
    from .description import describe, description_text, draw_description

    source = _open(options)
    config = RunConfig.from_yaml(options.name)  # the superpixels and the rule for void of its runs
    recipe = SuperpixelRecipe(**config.superpixel_recipe)
    recipe = replace(recipe, count=options.superpixels) if options.superpixels is not None else recipe
    description = describe(source, recipe, options.images, np.random.default_rng(options.seed), options.workers, config.void)
    out = Path(options.out or f"{source.name}_described.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_description(description, Figure(dpi=110)).savefig(out, dpi=110)
    print(description_text(description))
    print(out)
    return 0


def _download(options: argparse.Namespace) -> int:
    from .readers.voc import download

    print(f"fetching VOC 2012 (2 GB) into {options.root}, then unpacking it", flush=True)
    print(download(options.root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
