"""`python -m oreal_lib data check NAME --root DIR`: is a data set whole? `describe`: one page about it. `download voc`."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..config import RunConfig
from ..storage.yaml_file import parse_changes
from ..superpixels import SuperpixelRecipe
from . import READERS, open_source
from .check import check, summary
from .source import Source

UNCHANGED = "nothing was changed; start the same command again"
KEPT = "an archive that is whole is kept, half of one is fetched again; start the same command again"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the commands. Their exit codes: 0 fine, 1 problems in the data, 2 the data set cannot be opened."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    look = argparse.ArgumentParser(add_help=False)
    look.add_argument("name", metavar="NAME", help=f"one of {', '.join(READERS)}")
    look.add_argument("--root", metavar="DIR", help="the folder of the raw data")
    look.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="options of the reader")
    look.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")

    text = "open every file: counts, sizes, classes, problems"
    sub = commands.add_parser("check", parents=[look], help=text, description=text)
    sub.set_defaults(command=_check, kept=UNCHANGED)
    sub.add_argument("--problems", type=int, default=10, metavar="N", help="how many problems are shown (default: 10)")

    text = "one page: samples, superpixels, class frequencies, what dominant labels keep"
    sub = commands.add_parser("describe", parents=[look], help=text, description=text)
    sub.set_defaults(command=_describe, kept=UNCHANGED)
    sub.add_argument("--out", metavar="FILE.png", help="the picture (default: NAME_described.png in this folder)")
    sub.add_argument(
        "--superpixels", type=int, metavar="N", help="how many to ask for per image (default: as params/NAME.yaml says)"
    )
    sub.add_argument("--images", type=int, default=4, metavar="N", help="sample images on the page (default: 4)")
    sub.add_argument("--seed", type=int, default=0, help="which images are drawn (default: 0)")

    sub = commands.add_parser("download", help="fetch a data set that may be fetched freely")
    sub.set_defaults(command=_download, kept=KEPT)
    sub.add_argument("name", choices=("voc",))
    sub.add_argument("--root", required=True, metavar="DIR", help="the folder to put it in")


def _usual(options: argparse.Namespace) -> tuple[Source, RunConfig]:
    """The source with its problems, of which none is refused, and what its runs use unless told otherwise."""
    source = open_source(options.name, options.root, options=parse_changes(options.set), strict=False)
    return source, RunConfig.from_yaml(options.name)


def _check(options: argparse.Namespace) -> int:
    source, config = _usual(options)
    findings = check(source, options.workers, SuperpixelRecipe(**config.superpixel_recipe))
    print(summary(findings, options.problems))
    return 1 if findings.problems else 0


def _describe(options: argparse.Namespace) -> int:
    import numpy as np
    from matplotlib.figure import Figure

    from .description import describe, description_text, draw_description

    source, config = _usual(options)
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
