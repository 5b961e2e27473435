import json

import numpy as np
import pytest
from PIL import Image

from oreal_lib import results
from oreal_lib.config import RunConfig
from oreal_lib.run_folder import RunFolder
from oreal_lib.types import StepResult


def finished(root, curve, pixels=0.02, **changes):
    """A run folder with the curve given, as the loop would leave it."""
    config = RunConfig.from_yaml("toy", **changes)
    folder = RunFolder(root / config.run_id)
    folder.path.mkdir(parents=True)
    full = config.supervision != "active"
    steps = [
        StepResult(
            step=t,
            clicks=100 * t,
            labeled_fraction=1.0 if full else 0.02 * t,
            labeled_pixels=1.0 if full else pixels * t,
            miou=m,
            class_iou=(m, None),
            boundary_miou=m / 2,
            val_miou=m,
            class_counts=(75 * t, 25 * t),
            border_share=None if full else 0.5 if t == 1 else 0.8,
            epochs=10,
            seconds={"query": 1.0, "train": 2.0, "test": 3.0},
        )
        for t, m in enumerate(curve, start=1)
    ]
    folder.save_steps(steps)
    (folder.path / "config.json").write_text(json.dumps(config.values()))
    (folder.path / "done.json").write_text(json.dumps({"device": "abacus", "commit": "c0ffee"}))
    return config


@pytest.fixture
def configs(tmp_path):
    return [
        finished(tmp_path, [0.5], supervision="full_dominant"),
        finished(tmp_path, [0.6], supervision="full_masks"),
        finished(tmp_path, [0.2, 0.3, 0.4], strategy="random"),
        finished(tmp_path, [0.2, 0.3, 0.4], aggregate="mean"),
        finished(tmp_path, [0.2, 0.4, 0.5], aggregate="max", pixels=0.03),
        finished(tmp_path, [0.2, 0.3, 0.4], aggregate="mean", seed=1),
        finished(tmp_path, [0.2, 0.5, 0.5], aggregate="max", seed=1),
    ]


def test_one_runs_numbers_by_hand(configs, tmp_path):
    runs = results.per_run(results.load(configs, tmp_path)).set_index(["column", "seed"])
    best = runs.loc[("oreal max", 0)]
    assert best["aualc"] == pytest.approx(100 * (0.1 + 0.4 + 0.25) / (2 * 0.5))
    assert best["miou"] == pytest.approx(50) and best["boundary_miou"] == pytest.approx(25)
    assert best["labeled_pixels"] == pytest.approx(9) and best["border_share"] == pytest.approx(80)  # step 1 is random
    assert best["to_95"] == pytest.approx(100 * (0.04 + 0.02 * (0.475 - 0.4) / 0.1))
    assert np.isnan(runs.loc[("random", 0), "to_95"]) and best["epochs"] == 30
    assert best["imbalance"] == pytest.approx(0.5)


def test_the_table_has_mean_sd_and_n_and_tells_what_was_not_run(configs, tmp_path):
    frame = results.load(configs, tmp_path)
    summary = results.table(results.per_run(frame), ["random", "oreal max", "cbal max"])
    assert summary.loc["oreal max", "aualc_mean"] == pytest.approx((75 + 85) / 2)
    assert summary.loc["oreal max", "aualc_sd"] == pytest.approx(10 / 2**0.5)  # sample sd of two
    text = results.markdown(summary, frame)
    assert "| OREAL max | 80.0 ± 7.1 | 72.5 ± 17.7 | 50.0 ± 0.0 | 25.0 ± 0.0 | 80.0 ± 0.0 | 7.5 ± 2.1 | 2 |" in text
    assert "The rows have different numbers of seeds" in text
    assert "| random | 60.0 | 65.0 | 40.0 | 20.0 |" in text and "| CBAL max | not run |" in text
    assert "*toy, 128 x 96, small_unet from scratch, at most 30 epochs per step; 2 seeds; abacus*" in text
    assert "(dominant labels) | 100 (by definition) | - | 50.0 | 25.0 |" in text


def test_a_mean_over_the_seeds_that_reach_95_percent_would_be_too_low(configs, tmp_path):
    summary = results.table(results.per_run(results.load(configs, tmp_path)), ["oreal mean", "oreal max"])
    assert summary["to_95_reached"].tolist() == [0, 2]
    assert np.isnan(summary.loc["oreal mean", "to_95_mean"]) and summary.loc["oreal max", "to_95_mean"] > 0


def test_per_pixel_counts_only_the_range_that_all_runs_of_the_seed_cover(configs, tmp_path):
    """Seed 0: max buys 3, 6, 9 % of the pixels, the others 2, 4, 6 %: compared from 3 to 6 %."""
    runs = results.per_run(results.load(configs, tmp_path)).set_index(["column", "seed"])
    assert runs.loc[("oreal max", 0), "aualc_per_pixel"] == pytest.approx(100 * 0.3 / 0.5)
    by_hand = ((0.25 + 0.3) / 2 + 2 * (0.3 + 0.4) / 2) / 3
    assert runs.loc[("oreal mean", 0), "aualc_per_pixel"] == pytest.approx(100 * by_hand / 0.5, abs=0.1)


def test_runs_that_a_table_cannot_tell_apart_are_not_averaged(configs, tmp_path):
    twin = finished(tmp_path, [0.2, 0.9, 0.9], strategy_options={"class_order": "rarest_first"})
    with pytest.raises(ValueError, match=r"two runs are both 'oreal max', seed 0 .*make one grid for each setting"):
        results.per_run(results.load([*configs, twin], tmp_path))


def test_a_reference_that_trained_less_than_a_run_is_told(configs, tmp_path):
    frame = results.load(configs, tmp_path)
    text = results.markdown(results.table(results.per_run(frame), ["random"]), frame)
    assert "Full supervision B trained 10 epochs, the longest run 30: AuALC is too high" in text


def test_differences_are_paired_by_seed(configs, tmp_path):
    paired = results.paired(results.per_run(results.load(configs, tmp_path)))
    assert list(paired.index) == ["oreal"]
    d = paired.loc["oreal"]
    assert (d["n"], d["favor"]) == (2, 2) and d["mean"] == pytest.approx(20) and d["low"] < 0 < d["high"]
    assert "OREAL: +20.0 (n = 2, max better in 2, 95 % interval" in results.paired_text(paired)


def test_without_a_reference_there_is_no_aualc_but_a_table(configs, tmp_path):
    frame = results.load(configs[2:], tmp_path)
    assert "| random | - | - | 40.0 |" in results.markdown(results.table(results.per_run(frame), ["random"]), frame)


def test_no_run_at_all_says_how_to_start(tmp_path):
    with pytest.raises(FileNotFoundError, match="none of the 1 runs is finished; start them with"):
        results.load([RunConfig.from_yaml("toy", seed=77)], tmp_path)


def test_published_records_stand_in_for_the_runs(configs, tmp_path, monkeypatch):
    with_runs = results.load(configs, tmp_path)
    monkeypatch.setattr(results, "figures_root", lambda: tmp_path / "figures")
    results.publish(configs, tmp_path)
    assert results.load(configs, tmp_path / "nothing here").equals(with_runs)


def test_every_file_names_its_runs(configs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "figures_root", lambda: tmp_path / "figures")
    frame = results.load(configs, tmp_path)
    (tmp_path / "figures").mkdir()
    results.save("x_table.md", "hello", frame)
    source = json.loads((tmp_path / "figures/x_table.json").read_text())
    assert source["made_from"] == sorted(c.run_id for c in configs) and source["device"] == ["abacus"]
    assert source["drawn_with"]["torch"]


def test_the_committed_figures_say_where_they_come_from():
    """Every table and picture under figures/ has its .json, and every run it names has its record, published or local."""
    root = results.figures_root()
    made = [p for p in root.iterdir() if p.suffix in (".md", ".csv", ".png")]
    assert made
    for path in made:
        if path.suffix == ".png":
            Image.open(path).verify()
        source = json.loads(path.with_suffix(".json").read_text())
        for run_id in source["made_from"]:
            records = [place / run_id / "done.json" for place in (root / "runs", results.runs_root())]
            assert any(r.is_file() for r in records), f"{path.name} names {run_id}, whose record is missing"
