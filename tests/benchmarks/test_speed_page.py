import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_the_page_on_speed_says_what_the_results_say(monkeypatch):
    """After a new measurement: python benchmarks/speed_page.py"""
    monkeypatch.syspath_prepend(str(FOLDER))
    import speed_page

    assert speed_page.PAGE.read_text(encoding="utf-8") == speed_page.page(speed_page.RESULTS)
    assert all(f"benchmarks/{name}.py" in speed_page.page(speed_page.RESULTS) for name in speed_page.SECTIONS)


@pytest.mark.parametrize("name", ["acquisition", "selection", "superpixels", "loading", "phases", "growth"])
def test_each_measurement_names_its_machine_and_its_commit(name):
    results = json.loads((FOLDER / "results" / f"{name}_cpu.json").read_text(encoding="utf-8"))
    assert results["device"] and results["versions"]["torch"] and not results["commit"].endswith("+changes")
