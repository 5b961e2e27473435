"""What the tests of annotation share."""

import pytest

from oreal_lib.annotate import events


@pytest.fixture(autouse=True)
def logs(monkeypatch):
    """A log that is held is refused at once; each that a test opens is closed at its end, or when it is opened again."""
    monkeypatch.setattr(events, "PATIENCE", 0.0)
    monkeypatch.setattr(events, "_OPEN", {})
    opened = events._OPEN
    yield
    for log in opened.values():
        log.close()
