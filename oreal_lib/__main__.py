"""The one command line: `python -m oreal_lib COMMAND ...`; with --help, what each command does and takes."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from .experiments.commands import add_to
from .storage.interrupt import unless_stopped
from .storage.yaml_file import ConfigError

WINGS = {  # commands with words of their own, and the module whose `add_to` adds these; it is imported when it is wanted
    "data": (".data.commands", "look at a data set before anything is trained: check, describe, download"),
    "annotate": (".annotate.commands", "what a session of labeling does without a notebook: serve, export, status, merge, ..."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done; 1 something failed or is wrong with the data; 2 nothing was started, with one line that begins with
    "error:"; 130 stopped."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(arguments)
    options, more = parser.parse_known_args(arguments)
    if more and (not options.hands_on or options.only):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.more = more
    for stream in (sys.stdout, sys.stderr):  # file names may hold what a terminal cannot print
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return unless_stopped(lambda: _do(options), options.kept)


def _do(options: argparse.Namespace) -> int:
    try:
        if (jobs := getattr(options, "jobs", None)) is not None and jobs < 1:
            raise ConfigError(f"--jobs is {jobs}, but must be at least 1; give 1 or more")
        return options.command(options)
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print("error:", " ".join(str(message).split()), file=sys.stderr)
        return 2


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m oreal_lib", description=__doc__, allow_abbrev=False)
    parser.set_defaults(hands_on=False)  # unknown options, to Snakemake
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    at_once = argparse.ArgumentParser(add_help=False)
    at_once.add_argument("--jobs", type=int, metavar="N", help="at a time (default: one per core, or what the profile says)")
    add_to(commands, at_once)
    for name, (module, text) in WINGS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if name in arguments[:1]:
            import_module(module, "oreal_lib").add_to(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
