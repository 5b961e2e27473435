"""The README's loop, without a disk, against `experiments.run`."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from oreal_lib.beyond.contradicted import believed
from oreal_lib.experiments.run import run
from oreal_lib.loop import active_learning, view_of_pool
from oreal_lib.scores import bvsb
from oreal_lib.setting import network, open_setting
from oreal_lib.types import IGNORE, Query


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "oreal", "aggregate": "max"},
        {"strategy": "bvsb", "aggregate": "top_0.5", "warm_start": False},
        {"strategy": "cbal", "aggregate": "max", "labeling": "weak", "undefined": "keep"},
        {"supervision": "full_masks"},
        {"strategy": "bvsb", "aggregate": "max", "drop_contradicted": 0.25, "warm_start": False},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_the_loop_without_a_disk_gives_the_steps_of_a_run(tiny, tiny_config, tmp_path, changes):
    config = tiny_config(max_epochs=1, full_max_epochs=1, checkpoint_seconds=60.0, **changes)
    steps = list(active_learning(config, open_setting(config, tiny)))
    on_disk = list(run(config, tmp_path, tiny))
    assert len(steps) == (3 if config.supervision == "active" else 1)
    for a, b in zip(steps, on_disk, strict=True):
        assert replace(a, seconds={}, speed={}) == replace(b, seconds={}, speed={}, from_run="")
        assert a.seconds.keys() == b.seconds.keys() and a.seconds["train"] > 0


def test_the_number_of_threads_is_the_configs_and_stage_two_is_refused(tiny, tiny_config):
    config, before = tiny_config(max_epochs=1, steps=1), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert (
            len(list(active_learning(config, open_setting(config, tiny)))) == 1 and torch.get_num_threads() == config.threads == 1
        )
    finally:
        torch.set_num_threads(before)
    with pytest.raises(ValueError, match=r"stage two continues a finished run; use oreal_lib.experiments.run"):
        next(active_learning(tiny_config(stage=2), open_setting(config, tiny)))


def test_the_labels_after_a_step_are_those_of_its_queries(tiny, tiny_config):
    setting = open_setting(tiny_config(), tiny)
    queries = {t: Query(np.arange(3 * t, 3 * t + 3), np.zeros(3)) for t in (1, 2, 3)}
    labels = setting.labels_after(queries, 2)
    assert np.flatnonzero(labels.asked_in == 1).tolist() == [3, 4, 5] and np.flatnonzero(labels.asked_in == 2).tolist() == [6, 7, 8]
    assert labels.clicks == 6 and not setting.labels_after(queries, 0).clicks
    assert np.array_equal(labels.present[3:9], setting.oracle.answers[3:9])


def test_a_part_of_the_pool_looks_as_it_does_in_the_whole(tiny, tiny_config):
    config = tiny_config()
    setting, model = open_setting(config, tiny), network(config, 8).eval()
    whole, part = view_of_pool(setting, model, config), view_of_pool(setting, model, config, np.array([1, 4]))
    assert np.allclose(whole(bvsb, "mean")[np.r_[16:32, 64:80]], part(bvsb, "mean"), atol=1e-6)
    assert part.names == (whole.names[1], whole.names[4])


def test_labels_stay_where_the_first_training_does_not_contradict_them():
    p = torch.tensor([[[0.2, 0.8, 0.2, 0.2]], [[0.8, 0.2, 0.8, 0.8]]])
    target = np.uint8([[[0, 0, 1, IGNORE]]])
    kept = [believed([p], target, share)[0].tolist() for share in (0.25, 0.3)]
    assert kept == [[[0, 0, 1, IGNORE]], [[IGNORE, 0, 1, IGNORE]]]  # .2 is a quarter of .8


def test_a_second_training_without_contradicted_labels_begins_anew_and_full_supervision_has_none(tiny, tiny_config):
    config = tiny_config(max_epochs=1, steps=1, drop_contradicted=0.99)
    with_all, without = (next(active_learning(c, open_setting(c, tiny))) for c in (tiny_config(max_epochs=1, steps=1), config))
    assert with_all.val_miou != without.val_miou and with_all.class_counts == without.class_counts
    assert tiny_config(supervision="full_dominant", drop_contradicted=0.5) == tiny_config(supervision="full_dominant")
