"""What the tests of annotation share."""

import pytest

from oreal_lib.annotate import events


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A log that is held is refused at once."""
    monkeypatch.setattr(events, "PATIENCE", 0.0)
