"""Killed at random moments and started again, everything ends as if nothing had happened. `make torture` kills a hundred times."""

import os

import kills
import pytest

SEED = int(os.environ.get("OREAL_SEED", 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "work, n",
    [
        (kills.a_run, 2),
        (lambda store: kills.a_run(store, stage=2), 2),
        (lambda _: kills.a_session(), 2),
        (lambda _: kills.a_training(), 2),
        (lambda _: kills.a_preparation(), 1),
    ],
    ids=["run", "stage two", "session", "training", "prepare"],
)
def test_killed_at_random_it_ends_as_if_undisturbed(tiny_store, tmp_path, work, n):
    outcome = kills.torture(work(tiny_store), tmp_path, n, SEED)
    assert outcome.kills == n and not outcome.differences
