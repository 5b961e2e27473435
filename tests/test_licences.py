"""docs/licences.md tells of every package that the lock installs what that package says, and of nothing more."""

from email.message import Message

import pytest

from workflow.licences import NOT_HERE, PAGE, UNKNOWN, kind_of, known, licence_of, needed_by, page, parse, rows_of
from workflow.lock import HOME, machines, read_lock

PINS = read_lock(HOME / "requirements.lock")
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = parse(TEXT)


def metadata(**fields):
    """Metadata of a package: License_Expression, License, and Classifier as a list."""
    said = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            said[name.replace("_", "-")] = value
    return said


def test_every_pin_is_in_the_page_in_the_version_of_the_lock():
    assert [(row.name, row.version) for row in ROWS] == [(pin.name, pin.version) for pin in PINS], "run `make licences`"


def test_every_licence_is_what_the_installed_package_says():
    """Of the packages that are installed here in the version of the lock; a machine of another kind has others."""
    said = {(row.name, row.version): row.licence for row in ROWS}
    here = {key: licence_of(package.metadata) for key, package in known().items() if key in said}
    assert here and {key: said[key] for key in here} == here, "run `make licences`"


def test_the_page_is_what_the_program_writes():
    assert page(ROWS) == TEXT, "run `make licences`"


def test_what_a_machine_of_ours_gets_has_been_looked_at():
    unread = {row.name for row in ROWS if row.licence == NOT_HERE}
    assert not [pin for pin in PINS if pin.name in unread and any(pin.is_for(machine) for machine in machines().values())]


def test_every_licence_that_is_not_only_permissive_is_named_at_the_top():
    top = TEXT.partition("## All")[0]
    for row in ROWS:
        assert (f"\n- {row.name} {row.version} (" in top) == (kind_of(row.licence) is not None)
    assert "nvidia-cublas" in top and "\n- numpy" not in top


@pytest.mark.parametrize(
    "said, licence",
    [
        ({"License_Expression": "MIT AND PSF-2.0", "License": "BSD"}, "MIT AND PSF-2.0"),
        ({"License": "MPL-2.0 AND MIT"}, "MPL-2.0 AND MIT"),
        ({"License": "BSD\n 3-Clause"}, "BSD 3-Clause"),
        ({"License": "Copyright (c) 2015", "Classifier": ["License :: OSI Approved :: BSD License"]}, "BSD License"),
        ({"License": "All rights reserved by " + "x" * 60}, UNKNOWN),
        ({"License": "UNKNOWN"}, UNKNOWN),
        ({"Classifier": ["License :: OSI Approved", "Topic :: Utilities"]}, UNKNOWN),
        (
            {"Classifier": ["License :: A :: BSD License", "License :: A :: GNU General Public License (GPL)"]},
            "BSD License; GNU General Public License (GPL)",
        ),
        ({}, UNKNOWN),
    ],
)
def test_a_licence_is_quoted_and_never_guessed(said, licence):
    assert licence_of(metadata(**said)) == licence


@pytest.mark.parametrize(
    "licence, kind",
    [
        ("MIT", None),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", None),
        ("LicenseRef-NVIDIA-Proprietary", "proprietary"),
        ("BSD License; GNU General Public License (GPL)", "copyleft"),
        ("LGPL-2.1-only", "copyleft"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "weak copyleft, file by file"),
        (UNKNOWN, "unknown"),
        (NOT_HERE, "unknown"),
    ],
)
def test_a_licence_that_asks_for_a_look_is_seen(licence, kind):
    assert kind_of(licence) == kind


def test_a_package_that_is_not_there_is_unknown():
    rows = rows_of(PINS[:3], {}, {"run": [PINS[0].name]})
    assert {row.licence for row in rows} == {NOT_HERE} and [row.needed for row in rows] == ["run", "", ""]


class Package:
    """As much of a Distribution as is looked at."""

    def __init__(self, name, *requires):
        self.name, self.requires = name, list(requires)


def test_what_a_run_needs_is_not_said_to_be_for_tests():
    packages = [
        Package("A_b", "c>1", 'd; extra == "more"', 'w; sys_platform == "win32"', 'e; python_version < "3"'),
        Package("c", "f"),
        Package("t", "c", "g"),
    ]
    assert needed_by(packages, {"run": ["a-b"], "tests": ["t", "a-b[more]"]}) == {
        "a-b": "run",
        "c": "run",
        "w": "run",
        "f": "run",
        "t": "tests",
        "g": "tests",
        "d": "tests",
    }
