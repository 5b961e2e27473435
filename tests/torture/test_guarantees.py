"""docs/guarantees.md says what was measured, and every test that it names is there."""

import re

import guarantees
import pytest

TEXT = guarantees.PAGE.read_text(encoding="utf-8")
RUN = {"kills": 7, "wanted": 9, "ends": 3, "differences": ["a b"], "seconds": 90.0, "moments": [], "commit": "0123456789+changes"}
RUN |= {"device": "an abacus", "versions": {"torch": "1", "numpy": "2"}}


def test_the_page_holds_the_last_results():
    assert guarantees.page() == TEXT


@pytest.mark.parametrize("name, file", re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/\S+\.py)\)", TEXT))
def test_every_test_that_is_named_is_there(name, file):
    text = (guarantees.HOME / file).read_text(encoding="utf-8")
    assert file.endswith(f"/{name}.py") or re.search(rf"^def {name}\(", text, re.M)


def test_what_differed_or_was_not_measured_is_said():
    text = guarantees.measured({"run": RUN, "damage": RUN | {"cases": 1234, "tests": 5, "differences": []}})
    assert "| 7 of 9 wanted | 3 | 1 | 2 | 0123456+changes |" in text and text.count("| not measured |") == 5
    assert "Files damaged at random: 1,234 cases in 5 tests, none failed; commit 0123456+changes." in text and "an abacus" in text
