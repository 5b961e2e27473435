"""One list of dependencies (pyproject.toml), one lock made from it, and the three ways to install that all use the lock."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
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


@pytest.mark.slow
def test_installed_alone_it_finds_the_parameters_above_a_notebook_and_has_all_its_files(tmp_path):
    """`pip install .`, as in a container or a hosted notebook: the package is no longer in the repository."""
    for name in ("oreal_lib", "params", "notebooks"):
        shutil.copytree(HOME / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOME / name, tmp_path)
    words = "-m pip wheel -q --no-deps --no-build-isolation --disable-pip-version-check -w built .".split()
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "built").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    missing = {
        p.relative_to(HOME).as_posix() for p in (HOME / "oreal_lib").rglob("*") if p.suffix in (".py", ".js", ".css", ".yaml")
    }
    missing -= {p.relative_to(tmp_path / "installed").as_posix() for p in (tmp_path / "installed").rglob("*")}
    assert not missing
    code = "import oreal_lib.config as c, oreal_lib.storage.paths as p; print(c.__file__, c.RunConfig.from_yaml('toy').dataset, p.home())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "notebooks",
        env={k: v for k, v in os.environ.items() if k != "OREAL_HOME"} | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(tmp_path / "installed" / "oreal_lib" / "config.py"), "toy", str(tmp_path)], done.stderr
