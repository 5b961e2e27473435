import numpy as np
import pytest

from oreal_lib import loop
from oreal_lib.config import RunConfig
from oreal_lib.setting import open_setting
from oreal_lib.views import mean_and_max, selections


def test_the_pair_differs_only_in_mean_and_max():
    configs = [
        RunConfig.from_yaml("toy", strategy=strategy, aggregate=how, seed=seed)
        for strategy, how, seed in [
            ("random", "mean", 0),
            ("cbal", "mean", 0),
            ("cbal", "max", 1),
            ("oreal", "max", 1),
            ("oreal", "mean", 1),
        ]
    ]
    a, b = mean_and_max(configs)
    assert (a.column, b.column, a.seed) == ("oreal mean", "oreal max", 1)
    with pytest.raises(ValueError, match="no two runs of cbal that differ only in mean and max"):
        mean_and_max(configs, "cbal")


def test_a_view_shows_what_the_two_runs_asked(tiny, tiny_config, tmp_path, monkeypatch):
    pair = [tiny_config(strategy="bvsb", aggregate=how, keep_weights="all", steps=2) for how in ("mean", "max")]
    for config in pair:
        list(loop.run(config, tmp_path, tiny, report=lambda text: None))
    monkeypatch.setattr("oreal_lib.setting.load_dataset", lambda *a, **k: tiny)
    setting = open_setting(pair[0], tiny)
    views = selections(*pair, step=2, n_images=len(setting.pool), runs_dir=tmp_path)
    for k in range(2):
        assert sum(v["asked"][k].sum() for v in views) == setting.query_size  # every asked superpixel is in one picture
    for v in views:
        assert v["image"].shape == (*v["ids"].shape, 3) and v["uncertainty"].shape == v["truth"].shape == v["ids"].shape
        assert len(v["asked"][0]) == v["ids"].max() + 1 and (v["uncertainty"] > 0).all() and (v["uncertainty"] <= 1).all()
    smaller = [min(a.sum() for a in v["asked"]) for v in views]
    assert smaller == sorted(smaller, reverse=True)
    assert any((np.asarray(v["asked"][0]) != v["asked"][1]).any() for v in views)


def test_a_run_that_is_not_there_is_named(tiny_config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no query of step 2 .*; run it first"):
        selections(tiny_config(), tiny_config(), runs_dir=tmp_path)
