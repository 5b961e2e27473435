"""docs/guarantees.md says what was measured, and every test that it names is there."""

import json
import re
import sys

import pytest

from oreal_lib.storage.paths import home

sys.path.insert(0, str(home() / "benchmarks"))
import guarantees_page as guarantees

TESTS = sorted({test for _, promises in guarantees.PROMISES for _, tests in promises for test in tests.split()})
RUN = {"kills": 7, "wanted": 9, "ends": 3, "differences": ["a b"], "seconds": 90.0, "moments": [], "commit": "0123456789+changes"}
RUN |= {"device": "an abacus", "versions": {"torch": "1", "numpy": "2"}}


def test_the_page_is_what_the_results_say():
    results = json.loads(guarantees.RESULTS.read_text(encoding="utf-8"))
    assert guarantees.PAGE.read_text(encoding="utf-8") == guarantees.page(results)


@pytest.mark.parametrize("test", TESTS)
def test_every_test_that_is_named_is_there(test):
    file, _, name = test.partition("::")
    text = (home() / "tests" / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.M)


def test_what_differed_or_was_not_measured_is_said():
    text = guarantees.page({"run": RUN, "damage": RUN | {"cases": 1234, "tests": 5, "differences": []}})
    assert "| 7 of 9 wanted | 3 | 1 | 2 | 0123456+changes |" in text and text.count("| not measured |") == 5
    assert "Files damaged at random: 1,234 cases in 5 tests, none failed; commit 0123456+changes." in text and "an abacus" in text
