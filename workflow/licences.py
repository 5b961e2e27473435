"""docs/licences.md: what this project is installed with, and under which licence each package says it is. `make licences` runs it.

python -m workflow.licences
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .lock import HOME, PLATFORMS, Pin, machines, read_lock

PAGE = HOME / "docs" / "licences.md"
UNKNOWN = "unknown: the package does not say"
NOT_HERE = "unknown: not installed where this page was written"
SHORT = 60  # characters; a longer "License" is the text of the licence, which has no name
KINDS = {  # of a licence that is not only permissive, by the words in it; the first that fits
    "proprietary": r"proprietary",
    "copyleft": r"GPL|GNU",  # GPL, LGPL, AGPL
    "weak copyleft, file by file": r"MPL|Mozilla|EPL|CDDL",
    "unknown": r"^unknown",
}
HEAD = """# Licences

This project is MIT ([`LICENSE`](../LICENSE)). `make` installs the packages below beside it, in the \
versions of [`requirements.lock`](../requirements.lock), from where everybody gets them; each has a licence of its own. This page is \
written by `make licences` from what the packages say in their metadata, word for word; nobody has checked it against their source, and \
it is no legal advice. A wheel may hold libraries with licences of their own, which stand in its `.dist-info` folder: those of \
opencv-contrib-python-headless hold FFmpeg (LGPL 2.1), those of numpy and scipy the GCC runtime (GPL with its exception for programs \
that are compiled with it).

needed by: *run*, what `oreal_lib` imports and its command lines start; *app*, the page of `make label`; *tests*, `make test` only. \
machines: the only ones that get it, where these are not all.
"""


class Row(NamedTuple):
    """One line of the page, as its columns."""

    name: str
    version: str
    licence: str
    needed: str
    machines: str


def licence_of(metadata: Message) -> str:
    """What a package's metadata says its licence is: the SPDX expression, else the field License if it is a name and not a text,
    else the classifiers, which may be several without a word about how they belong together. UNKNOWN if it says nothing."""
    said = str(metadata.get("License-Expression") or "").strip()
    old = " ".join(str(metadata.get("License") or "").split())
    classified = [
        c.split(" :: ")[-1] for c in metadata.get_all("Classifier") or [] if c.startswith("License :: ") and c.count("::") > 1
    ]
    short = old if old.upper() != "UNKNOWN" and len(old) <= SHORT and "copyright" not in old.lower() else ""
    return (said or short or "; ".join(classified) or UNKNOWN).replace("|", "/")


def kind_of(licence: str) -> str | None:
    """The key of KINDS that a licence is of; None where it is only permissive."""
    return next((kind for kind, words in KINDS.items() if re.search(words, licence, re.IGNORECASE)), None)


def known(places: Sequence[str] | None = None) -> dict[tuple[str, str], Distribution]:
    """(name, version) -> the packages in these folders, by default the installed ones."""
    found = distributions() if places is None else distributions(path=list(places))
    return {(canonicalize_name(d.name), d.version): d for d in found}


def needed_by(packages: Iterable[Distribution], wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Package name -> the first kind of need that leads to it, on any machine. wanted: kind -> requirements, the strongest first."""
    needs: dict[str, list[Requirement]] = {}
    for package in packages:
        needs.setdefault(canonicalize_name(package.name), []).extend(map(Requirement, package.requires or []))
    environments, reached = list(machines().values()), {}
    for kind, lines in wanted.items():
        todo, seen = list(map(Requirement, lines)), set()
        while todo:
            wish = todo.pop()
            name = canonicalize_name(wish.name)
            extras = frozenset({"", *wish.extras})
            if (name, extras) in seen:
                continue
            seen.add((name, extras))
            reached.setdefault(name, kind)
            todo += [
                more
                for more in needs.get(name, [])
                if more.marker is None or any(more.marker.evaluate(e | {"extra": x}) for e in environments for x in extras)
            ]
    return reached


def rows_of(
    pins: Sequence[Pin], packages: Mapping[tuple[str, str], Distribution], wanted: Mapping[str, Sequence[str]]
) -> list[Row]:
    """A row for each pin of the lock, in its order."""
    needed, rows = needed_by(packages.values(), wanted), []
    for pin in pins:
        package = packages.get((pin.name, pin.version))
        licence = NOT_HERE if package is None else licence_of(package.metadata)
        rows.append(Row(pin.name, pin.version, licence, needed.get(pin.name, ""), _machines(pin)))
    return rows


def _machines(pin: Pin) -> str:
    """ "Python 3.12; windows" of a pin that not every machine gets; "none of ours" if none does."""
    got = {where for where, machine in machines().items() if pin.is_for(machine)}
    everywhere = set(machines())
    if got == everywhere:
        return ""
    if not got:
        return "none of ours"
    platforms = [p for p in PLATFORMS if any(p == where[0] for where in got)]
    pythons = sorted({python for _, python in got})
    parts = [", ".join(platforms)] * (len(platforms) < len(PLATFORMS))
    if len(pythons) < len({python for _, python in everywhere}):
        parts.append(
            "Python " + ", ".join(dict.fromkeys(p if p == "3.11.4" and "3.11.9" not in pythons else p[:4] for p in pythons))
        )
    return "; ".join(parts)


def page(rows: Sequence[Row]) -> str:
    """The page as Markdown: first the licences that ask for a look, then all."""
    lines = [HEAD, "## Not only permissive, or unknown", ""]
    for kind in KINDS:
        if mine := [row for row in rows if kind_of(row.licence) == kind]:
            lines += [
                f"**{kind}**",
                "",
                *(f"- {row.name} {row.version} ({row.needed or 'nothing'}): {row.licence}" for row in mine),
                "",
            ]
    lines += ["## All", "", "| package | version | licence, as it says | needed by | machines |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def parse(text: str) -> list[Row]:
    """The rows of the table of a page."""
    lines = [line for line in text.partition("## All")[2].splitlines() if line.startswith("| ")][1:]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]


def wanted() -> dict[str, list[str]]:
    """What pyproject.toml asks for, by what needs it."""
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return {"run": project["dependencies"], "app": extras["app"], "tests": extras["test"]}


def fetch(pins: Sequence[Pin], into: Path) -> list[str]:
    """Installs pins that are for other machines than this one, by uv, each kind of machine into a folder; these folders."""
    left, folders = list(pins), []
    for (platform, python), machine in machines().items():
        mine = [pin for pin in left if pin.is_for(machine)]
        if not mine:
            continue
        folder = into / f"{platform}-{python}"
        folder.mkdir()
        (into / "wanted.txt").write_text("\n".join(pin.text for pin in mine) + "\n", encoding="utf-8")
        command = [
            Path(sys.executable).with_name("uv"),
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
        ]
        command += ["--python-platform", platform, "--python-version", python, "--target", folder, "-r", into / "wanted.txt"]
        subprocess.run(command, check=True)
        folders.append(str(folder))
        left = [pin for pin in left if pin not in mine]
    return folders


def main() -> int:
    """Writes the page; 0, or 2 with a sentence where packages of other machines could not be fetched."""
    pins, here = read_lock(HOME / "requirements.lock"), known()
    with tempfile.TemporaryDirectory() as place:
        try:
            there = known(fetch([pin for pin in pins if (pin.name, pin.version) not in here], Path(place)))
        except (OSError, subprocess.CalledProcessError) as error:
            print(
                f"error: the packages that only other machines get could not be fetched ({error}); try again with a network",
                file=sys.stderr,
            )
            return 2
        rows = rows_of(pins, here | there, wanted())
    PAGE.write_text(page(rows), encoding="utf-8")
    unknown = sum(kind_of(row.licence) == "unknown" for row in rows)
    print(f"{PAGE}: {len(rows)} packages, {unknown} with an unknown licence")
    return 0


if __name__ == "__main__":
    sys.exit(main())
