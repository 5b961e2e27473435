"""One list of dependencies (pyproject.toml), one lock made from it, and the three ways to install that all use the lock."""

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HOME = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (HOME / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = [entry.replace("\\\n", " ") for entry in re.split(r"\n(?=\S)", LOCK.strip())]
PINS = [Requirement(entry.split("--hash")[0]) for entry in ENTRIES]
WANTED = [Requirement(line) for line in PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]]
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


def pinned(name, machine):
    """The versions that the lock installs of a package on a machine: one, or none."""
    pins = [pin for pin in PINS if canonicalize_name(pin.name) == canonicalize_name(name)]
    return [str(pin.specifier).removeprefix("==") for pin in pins if pin.marker is None or pin.marker.evaluate(machine)]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m['sys_platform']}-{m['python_version']}")
def test_the_lock_pins_every_dependency_once_and_at_a_version_that_fits(machine):
    for wanted in WANTED:
        (version,) = pinned(wanted.name, machine)
        assert wanted.specifier.contains(version), f"{wanted} is locked at {version}: run `make lock`"


def test_every_file_the_lock_installs_has_a_hash():
    for entry in ENTRIES:
        assert re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}\b", entry), entry


def test_the_lock_names_no_index_and_no_folder():
    assert "://" not in LOCK
    assert not re.search(r"^-", LOCK, flags=re.MULTILINE)


def test_torch_and_torchvision_are_one_release():
    (torch,), (torchvision,) = (pinned(name, MACHINES[0]) for name in ("torch", "torchvision"))
    if Version(importlib.metadata.version("torchvision")).public != torchvision:
        pytest.skip("another torchvision than the locked one is installed, so what the locked one needs is not known here")
    needs = [Requirement(line) for line in importlib.metadata.requires("torchvision")]
    (needed,) = [r for r in needs if r.name == "torch"]
    assert needed.specifier.contains(torch)


def test_conda_installs_the_same_lock_on_a_python_that_fits():
    environment = yaml.safe_load((HOME / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock"]}
    (python,) = [line.removeprefix("python=") for line in conda if line.startswith("python=")]
    assert Requirement(f"python{PROJECT['project']['requires-python']}").specifier.contains(f"{python}.0")


def test_every_package_of_ours_is_installed():
    ours = {".".join(p.parent.relative_to(HOME).parts) for p in (HOME / "oreal_lib").rglob("__init__.py")}
    assert ours == set(PROJECT["tool"]["setuptools"]["packages"])


def test_make_has_the_targets_that_the_readme_names():
    targets = set(re.findall(r"^([a-z-]+):", (HOME / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", (HOME / "README.md").read_text(encoding="utf-8")))
    assert named | {"demo", "test", "lab", "lock"} <= targets


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
def test_the_check_of_every_change_can_be_started():
    assert os.access(HOME / ".ci" / "run", os.X_OK)
