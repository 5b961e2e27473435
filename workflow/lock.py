"""A lock file, read: its pins, and for which machines each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOME = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11.4", "3.11.9", "3.12.9", "3.13.9")  # one lock entry differs between 3.11.4 and 3.11.5
PLATFORMS = {  # what this project runs on, as markers name it
    "linux": ("linux", "posix", "Linux", "x86_64"),
    "macos": ("darwin", "posix", "Darwin", "arm64"),
    "windows": ("win32", "nt", "Windows", "AMD64"),
}


@dataclass(frozen=True)
class Pin:
    """One entry of a lock: name in its canonical form, version, the whole requirement, and the text with its hashes."""

    name: str
    version: str
    requirement: Requirement
    text: str

    def is_for(self, machine: dict[str, str]) -> bool:
        """Whether it is installed on a machine, given as the environment that markers are evaluated in."""
        return self.requirement.marker is None or self.requirement.marker.evaluate(machine)


def read_lock(path: Path) -> list[Pin]:
    """The pins of a lock file in its order. ValueError for an entry that pins no version."""
    pins = []
    for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
        line = entry.replace("\\\n", " ")
        requirement = Requirement(line.split("--hash")[0].strip())
        found = re.fullmatch(r"==([^,*]+)", str(requirement.specifier))
        if found is None:
            raise ValueError(f"{path} has the entry {line[:60]!r}, but each must pin one version; write it again by `make lock`")
        pins.append(Pin(canonicalize_name(requirement.name), found[1], requirement, entry))
    return pins


def machines() -> dict[tuple[str, str], dict[str, str]]:
    """(platform, Python version) -> the environment of markers, of every machine this project runs on."""
    return {
        (platform, python): default_environment()
        | {"python_full_version": python, "python_version": python.rpartition(".")[0]}
        | {"implementation_name": "cpython", "implementation_version": python, "platform_python_implementation": "CPython"}
        | dict(zip(("sys_platform", "os_name", "platform_system", "platform_machine"), words, strict=True))
        for platform, words in PLATFORMS.items()
        for python in PYTHONS
    }
