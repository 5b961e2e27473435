"""One list of dependencies (pyproject.toml), one lock made from it, and the three ways to install that all use the lock."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOME = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (HOME / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = [entry.replace("\\\n", " ") for entry in re.split(r"\n(?=\S)", LOCK.strip())]
PINS = [Requirement(entry.split("--hash")[0]) for entry in ENTRIES]
EXTRAS = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": platform, "os_name": os_name}
    | {"platform_machine": machine, "platform_system": system, "implementation_name": "cpython"}
    for python in ("3.11", "3.12", "3.13")
    for platform, os_name, system, machine in [
        ("linux", "posix", "Linux", "x86_64"),
        ("darwin", "posix", "Darwin", "arm64"),
        ("win32", "nt", "Windows", "AMD64"),
    ]
]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m['sys_platform']}-{m['python_version']}")
def test_the_lock_pins_every_dependency_once_and_at_a_version_that_fits(machine):
    for wanted in map(Requirement, PROJECT["dependencies"] + EXTRAS):
        pins = [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
        (pin,) = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(machine)]
        version = str(pin.specifier).removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted} is locked at {version}: run `make lock`"


def test_every_file_the_lock_installs_has_a_hash_and_none_has_an_address():
    for entry in ENTRIES:
        assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}\b", entry), entry
    assert "://" not in LOCK


def test_conda_installs_the_same_lock_on_a_python_that_fits():
    environment = yaml.safe_load((HOME / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock"]}
    (python,) = [line.removeprefix("python=") for line in conda if line.startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"{python}.0")
