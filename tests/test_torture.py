"""Killed at random moments and started again, everything ends as if nothing had happened. `make torture` kills a hundred times."""

import os

import kills
import pytest

SEED = int(os.environ.get("OREAL_SEED", 0))


@pytest.fixture
def works(tiny_store):
    return {
        "run": kills.a_run(tiny_store),
        "stage two": kills.a_run(tiny_store, stage=2),
        "session": kills.a_session(),
        "training": kills.a_training(),
        "prepare": kills.a_preparation(),
    }


@pytest.mark.parametrize("name, n", [("run", 4), ("stage two", 2), ("session", 4), ("training", 2), ("prepare", 2)])
def test_killed_at_random_it_ends_as_if_undisturbed(works, tmp_path, name, n):
    outcome = kills.torture(works[name], tmp_path, n, SEED)
    assert outcome.kills == n and not outcome.differences
