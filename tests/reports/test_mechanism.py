import shutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import run, runs

from oreal_lib.aggregate import by_superpixel
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports import mechanism
from oreal_lib.reports import mechanism_figures as draw


def two_steps(column, seed=0, near=(0.2, 0.4), inside=(0.5, 0.6), counts=((8, 2), (12, 8)), pixels=(0.08, 0.2)):
    """Two steps of a run, one of full supervision: 10 clicks and 10 % of the superpixels each, two classes."""
    n = 1 if column.startswith("full_") else 2
    of = {
        "boundary_miou": near,
        "inside_miou": inside,
        "class_counts": counts,
        "labeled_pixels": pixels,
        "border_share": (0.4, 0.8),
    }
    names = {"classes": [["tissue", "clip"]] * n}
    return run(column, seed, [0.5] * n, imbalance=0.1, epochs=1, **names, **{k: list(v[:n]) for k, v in of.items()})


@pytest.fixture
def frame():
    """Max is 4 and 6 points above mean near borders, 1 point inside."""
    made = [two_steps("full_dominant", counts=((50, 9),))]
    for seed, above in ((0, 0.04), (1, 0.06)):
        made += [two_steps("oreal mean", seed), two_steps("oreal max", seed, near=(0.2, 0.4 + above), inside=(0.5, 0.61))]
    return runs(*made)


def test_debts_are_those_of_the_step_before_and_say_what_the_pool_still_had(frame):
    debts = mechanism.debts(frame)
    mine = debts[debts["run_id"] == "oreal-max-0"].set_index("class")
    # 8 and 2 bought, 10 clicks to spend: 10 each would be level, so 2 and 8 are owed; 4 and 6 came
    assert mine["owed"].to_dict() == {"tissue": 2, "clip": 8} and mine["came"].to_dict() == {"tissue": 4, "clip": 6}
    assert mine["left"].to_dict() == {"tissue": 50 - 8, "clip": 9 - 2} and set(mine["step"]) == {2}
    assert debts.loc[debts["seed"] == 1, "left"].isna().all()  # nobody bought everything with seed 1


def test_each_step_is_measured_by_what_it_added(frame):
    table = mechanism.by_step(frame).set_index(["run_id", "step"]).loc["oreal-max-0"]
    assert table["size"].tolist() == pytest.approx([0.08 / 0.1, 0.12 / 0.1])  # the second step's superpixels are large
    assert table["border_share"].tolist() == pytest.approx([40, 80])
    assert np.isnan(table["deviation"][1]) and table["deviation"][2] == pytest.approx((2 + 2) / (2 * 10))
    assert table["unpayable"][2] == pytest.approx((8 - 7) / 10)  # 8 clips owed, 7 left
    assert table["near"][2] == pytest.approx(44) and table["inside"][2] == pytest.approx(61)


def test_gains_are_paired_by_seed_and_leave_out_the_step_that_all_share(frame):
    gains = mechanism.gains(mechanism.measures(frame)).loc["oreal"]
    assert gains["mean"].to_dict() == pytest.approx({"near": 5, "inside": 1, "near_minus_inside": 4})
    # n = 2: mean +- 12.706 * sd / sqrt(2), and the sd of 4 and 6 is sqrt(2)
    assert gains.loc["near", "low"] == pytest.approx(5 - 12.706, abs=0.001) and gains.loc["near", "favor"] == 2


def test_the_table_says_what_was_not_run_and_what_old_records_lack(frame):
    text = mechanism.markdown(mechanism.measures(frame), ["oreal mean", "oreal max", "cbal max"])
    assert "| OREAL max | 80.0 ± 0.0 | 0.20 ± 0.00 |" in text and "| CBAL max | not run |" in text
    assert "points of mIoU inside, paired by seed:\n\n- OREAL: +1.0 (n = 2, above 0 in 2" in text
    old = mechanism.markdown(mechanism.measures(frame.assign(inside_miou=np.nan)), ["oreal mean", "oreal max"])
    assert "older than the mIoU inside" in old and "| mIoU inside |" not in old and "near borders, paired" in old


def test_networks_are_kept_apart_and_those_without_active_runs_left_out(frame):
    assert list(mechanism.by_network(frame, "table1_toy")) == ["table1_toy"]
    both = pd.concat([frame, frame.assign(model="vit"), frame[frame["column"] == "full_dominant"].assign(model="resnet")])
    assert list(mechanism.by_network(both, "x")) == ["x_toy_net", "x_toy_vit"]


def test_rank_correlations_by_hand():
    size = np.array([10, 20, 30])
    up, down, same = np.array([[1.0], [2], [3]]), np.array([[3.0], [2], [1]]), np.ones((3, 1))
    answers = {
        ("bvsb", "mean"): down,
        ("bvsb", "max"): up,
        ("entropy", "mean"): same,
        ("entropy", "max"): up,
        ("ovr_entropy", "max"): np.hstack([up, down, up, up]),  # class by class: 1, -1, 1, 1
    }
    table = mechanism.of_image(answers, size).set_index(["score", "aggregate"])
    assert table.loc[("bvsb", "mean")].tolist() == pytest.approx([-1, -1])
    assert table.loc[("bvsb", "max")].tolist() == pytest.approx([1, 1])
    assert table.loc[("entropy", "mean")].isna().all()
    assert table.loc[("ovr_entropy", "max")].tolist() == pytest.approx([0.5, 1])


def test_of_pure_noise_max_prefers_large_superpixels_and_mean_does_not():
    size = np.tile(np.arange(1, 101), 3)
    ids = torch.from_numpy(np.repeat(np.arange(300), size))[None]
    noise = torch.rand((1, 1, ids.shape[1]), generator=torch.Generator().manual_seed(0))
    answers = {("bvsb", how): by_superpixel(noise[0][:, None], ids, 300, how).numpy() for how in ("mean", "max")}
    by_mean, by_max = mechanism.of_image(answers, size)["with_size"]
    assert by_max > 0.35 and abs(by_mean) < 0.2


def test_the_summary_is_the_median_and_its_bars_the_seeds_own_medians():
    table = pd.DataFrame(
        [
            {"score": "bvsb", "aggregate": how, "seed": seed, "image": i, "with_size": value + (how == "max"), "with_max": 1.0}
            for how in ("mean", "max")
            for seed, values in ((0, (0.1, 0.2, 0.3)), (1, (0.4, 0.5, 0.9)))
            for i, value in enumerate(values)
        ]
    )
    row = mechanism.correlation_summary(table).iloc[0]
    assert row["aggregate"] == "mean" and row["with_size_median"] == pytest.approx(0.35)
    assert (row["with_size_low"], row["with_size_high"]) == pytest.approx((0.2, 0.5))
    assert (row["n_seeds"], row["n_images"]) == (2, 6)
    assert "- BvSB: +1.00 (n = 2, above 0 in 2, 95 % interval +1.00 to +1.00)" in mechanism.correlation_text(table)


def test_a_stored_network_is_found_where_it_was_kept(tiny_grid, tmp_path):
    full, *_, config = tiny_grid.configs
    own, first = (tmp_path / c.run_id for c in (config, config.step_one))
    shutil.copytree(tiny_grid.runs_dir / config.run_id, own)
    shutil.copytree(tiny_grid.runs_dir / config.step_one.run_id, first)
    shutil.copytree(tiny_grid.runs_dir / full.run_id, tmp_path / full.run_id)
    assert mechanism.kept_networks([full], tmp_path) == {}  # its only step is not the step that all share
    later = config.model_copy(update={"seed": 1})
    assert mechanism.kept_networks([full, config, later], tmp_path) == {RunFolder(own): config}
    (own / "weights_step1.safetensors").unlink()
    assert mechanism.kept_networks([full, config], tmp_path) == {RunFolder(first): config}
    (first / "weights_step1.safetensors").unlink()
    assert mechanism.kept_networks([full, config], tmp_path) == {}


def test_correlations_come_from_the_stored_network(tiny_grid, monkeypatch):
    monkeypatch.setenv("OREAL_HOME", str(tiny_grid.home))
    stored = mechanism.kept_networks(tiny_grid.configs, tiny_grid.runs_dir)
    found = mechanism.correlations(stored, ("mean", "max"), n_images=2)
    assert len(stored) == 1 and len(found) == 3 * 2 * 2 and set(found["image"]) == {0, 5}  # first and last of a pool of six
    assert found["with_size"].isna().all()  # squares of one size
    of_max = found[found["aggregate"] == "max"]
    assert of_max["with_max"].tolist() == pytest.approx([1] * 6)
    assert found.loc[found["aggregate"] == "mean", "with_max"].max() < 1


def test_pictures_show_each_strategy_its_debts_and_its_gains(frame):
    frame = runs(frame, two_steps("random"), two_steps("power_bvsb max"))
    table = mechanism.by_step(frame)
    assert draw.panels(table) == ["oreal", "power_bvsb"]
    _, axes = plt.subplots(2, 2)
    draw.draw_mechanism(table, ["size", "deviation"], axes)
    assert axes[0, 0].get_title() == "OREAL" and axes[1, 0].get_xlabel() == "step"
    styles = {line.get_label(): line.get_linestyle() for line in axes[0, 0].lines if not line.get_label().startswith("_")}
    assert styles == {"max": "-", "mean": "--", "random": "-."}
    draw.draw_debts(mechanism.debts(frame[frame["seed"] == 0]), "oreal max", axes[0])
    assert [t.get_text() for t in axes[0, 0].texts] == ["2", "8 (7)"] and [t.get_text() for t in axes[0, 1].texts] == ["4", "6"]
    ax = draw.draw_gains(mechanism.gains(mechanism.measures(frame)), plt.figure().subplots())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["OREAL"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["near borders", "inside objects"]
    plt.close("all")
