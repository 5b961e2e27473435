import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from oreal_lib.config import RunConfig
from oreal_lib.experiments import run_folder
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports import frames
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
            inside_miou=m / 4,
        )
        for t, m in enumerate(curve, start=1)
    ]
    folder.save_steps(steps)
    folder.save_json("config.json", config.values())
    folder.save_json("done.json", {"device": "abacus", "commit": "c0ffee", "steps": len(steps)})
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
    runs = frames.per_run(frames.load(configs, tmp_path)).set_index(["column", "seed"])
    best = runs.loc[("oreal max", 0)]
    assert best["aualc"] == pytest.approx(100 * (0.1 + 0.4 + 0.25) / (2 * 0.5))
    assert best["miou"] == pytest.approx(50) and best["boundary_miou"] == pytest.approx(25)
    assert best["inside_miou"] == pytest.approx(12.5)
    assert best["labeled_pixels"] == pytest.approx(9) and best["border_share"] == pytest.approx(80)  # step 1 is random
    assert best["to_95"] == pytest.approx(100 * (0.04 + 0.02 * (0.475 - 0.4) / 0.1))
    assert np.isnan(runs.loc[("random", 0), "to_95"]) and best["epochs"] == 30
    assert best["imbalance"] == pytest.approx(0.5)


def test_the_table_has_mean_sd_and_n_and_tells_what_was_not_run(configs, tmp_path):
    frame = frames.load(configs, tmp_path)
    summary = frames.table(frames.per_run(frame), ["random", "oreal max", "cbal max"])
    assert summary.loc["oreal max", "aualc_mean"] == pytest.approx((75 + 85) / 2)
    assert summary.loc["oreal max", "aualc_sd"] == pytest.approx(10 / 2**0.5)  # sample sd of two
    text = frames.markdown(summary, frame)
    assert "| OREAL max | 80.0 ± 7.1 | 72.5 ± 17.7 | 50.0 ± 0.0 | 25.0 ± 0.0 | 80.0 ± 0.0 | 7.5 ± 2.1 | 2 |" in text
    assert "The rows have different numbers of seeds" in text
    assert "| random | 60.0 | 65.0 | 40.0 | 20.0 |" in text and "| CBAL max | not run |" in text
    assert "*toy, 128 x 96, small_unet from scratch, at most 30 epochs per step; 2 seeds; abacus*" in text
    assert "(dominant labels) | 100 (by definition) | - | 50.0 | 25.0 |" in text


def test_a_mean_over_the_seeds_that_reach_95_percent_would_be_too_low(configs, tmp_path):
    summary = frames.table(frames.per_run(frames.load(configs, tmp_path)), ["oreal mean", "oreal max"])
    assert summary["to_95_reached"].tolist() == [0, 2]
    assert np.isnan(summary.loc["oreal mean", "to_95_mean"]) and summary.loc["oreal max", "to_95_mean"] > 0


def test_per_pixel_counts_only_the_range_that_all_runs_of_the_seed_cover(configs, tmp_path):
    """Seed 0: max buys 3, 6, 9 % of the pixels, the others 2, 4, 6 %: compared from 3 to 6 %."""
    runs = frames.per_run(frames.load(configs, tmp_path)).set_index(["column", "seed"])
    assert runs.loc[("oreal max", 0), "aualc_per_pixel"] == pytest.approx(100 * 0.3 / 0.5)
    by_hand = ((0.25 + 0.3) / 2 + 2 * (0.3 + 0.4) / 2) / 3
    assert runs.loc[("oreal mean", 0), "aualc_per_pixel"] == pytest.approx(100 * by_hand / 0.5, abs=0.1)


def test_runs_that_a_table_cannot_tell_apart_are_not_averaged(configs, tmp_path):
    twin = finished(tmp_path, [0.2, 0.9, 0.9], strategy_options={"class_order": "rarest_first"})
    with pytest.raises(ValueError, match=r"two runs are both 'oreal max', seed 0 .*make one grid for each setting"):
        frames.per_run(frames.load([*configs, twin], tmp_path))


def test_a_reference_that_trained_less_than_a_run_is_told(configs, tmp_path):
    frame = frames.load(configs, tmp_path)
    text = frames.markdown(frames.table(frames.per_run(frame), ["random"]), frame)
    assert "Full supervision B trained 10 epochs, the longest run 30: AuALC is too high" in text


def test_differences_are_paired_by_seed(configs, tmp_path):
    paired = frames.paired(frames.per_run(frames.load(configs, tmp_path)))
    assert list(paired.index) == ["oreal"]
    d = paired.loc["oreal"]
    assert (d["n"], d["favor"]) == (2, 2) and d["mean"] == pytest.approx(20) and d["low"] < 0 < d["high"]
    assert "OREAL: +20.0 (n = 2, max better in 2, 95 % interval" in frames.paired_text(paired)


@pytest.fixture
def two_networks(configs, tmp_path):
    """The runs of `configs`, and of a second network whose full supervision B is twice as good."""
    other = {"model": "deeplabv3plus_resnet18"}
    more = [
        finished(tmp_path, [1.0], supervision="full_dominant", **other),
        finished(tmp_path, [0.2, 0.3, 0.4], aggregate="mean", **other),
        finished(tmp_path, [0.2, 0.4, 0.5], aggregate="max", **other),
    ]
    return frames.load([*configs, *more], tmp_path)


def test_each_network_is_measured_by_its_own_full_supervision(two_networks, configs, tmp_path):
    runs = frames.per_run(two_networks).set_index(["dataset", "model", "column", "seed"])["aualc"]
    assert runs["toy", "small_unet", "oreal mean", 0] == pytest.approx(60)
    assert runs["toy", "deeplabv3plus_resnet18", "oreal mean", 0] == pytest.approx(30)
    alone = frames.per_run(frames.load(configs, tmp_path))
    assert frames.per_run(two_networks).iloc[: len(alone)].equals(alone)
    with pytest.raises(ValueError, match="'full_dominant' was run for toy, small_unet; toy, deeplabv3plus_resnet18, but"):
        frames.full_score(two_networks)


def test_a_seed_with_pictures_of_its_own_is_measured_by_what_full_supervision_reaches_on_these(tmp_path):
    made = []
    for seed, full in ((0, 0.8), (1, 0.4)):
        own = {"seed": seed, "data_options": {"scene": "large_tools", "generator_seed": 90 + seed, "train": 200, "test": 100}}
        made += [finished(tmp_path, [full], supervision="full_dominant", **own)]
        made += [finished(tmp_path, [0.2, 0.2, 0.39], strategy="random", **own)]
    frame = frames.load(made, tmp_path)
    runs = frames.per_run(frame).set_index("seed")
    assert runs["aualc"].tolist() == pytest.approx([100 * 0.2475 / 0.8, 100 * 0.2475 / 0.4])
    assert np.isnan(runs.loc[0, "to_95"]) and runs.loc[1, "to_95"] == pytest.approx(4 + 2 * 18 / 19)
    assert "; 2 seeds, each with pictures of its own; " in frames.source_line(frame)


def test_each_network_has_a_table_of_its_own(two_networks, configs, tmp_path):
    runs, columns = frames.per_run(two_networks), ["oreal mean", "oreal max"]
    summary, first = frames.table(runs, columns), frames.load(configs, tmp_path)
    assert summary.index.names == ["dataset", "model", "column"]
    assert summary["n"].tolist() == [2, 2, 1, 1] and summary["aualc_mean"].tolist() == pytest.approx([60, 80, 30, 37.5])
    text = frames.markdown(summary, two_networks)
    alone = frames.markdown(frames.table(frames.per_run(first), columns), first)
    assert text.startswith(f"**toy, small_unet**\n\n{alone}\n**toy, deeplabv3plus_resnet18**\n")
    assert "| OREAL max | 37.5 |" in text.removeprefix(f"**toy, small_unet**\n\n{alone}")
    paired = frames.paired(runs)
    assert paired["mean"].to_dict() == pytest.approx(
        {("toy", "small_unet", "oreal"): 20, ("toy", "deeplabv3plus_resnet18", "oreal"): 7.5}
    )
    assert "- toy, deeplabv3plus_resnet18, OREAL: +7.5 (n = 1" in frames.paired_text(paired)


def test_full_supervision_alone_makes_no_table(configs, tmp_path):
    with pytest.raises(ValueError, match="only full supervision is finished"):
        frames.per_run(frames.load(configs[:2], tmp_path))


def test_time_is_counted_once_and_where_it_was_spent():
    """Run b has its step 1 from run a; the record of a stands there twice, as in two grids together."""
    rows = [("a", 1, "", 4.0), ("a", 1, "", 4.0), ("b", 1, "a", 4.0), ("b", 2, "", 5.0)]
    frame = pd.DataFrame(
        [{"run_id": r, "step": t, "from_run": whose, "seconds": {"query": 1.0, "train": s}} for r, t, whose, s in rows]
    )
    assert frames.total_seconds(frame) == {"query": 2.0, "train": 9.0}
    assert frames.total_seconds(frame.drop(columns="from_run")) == {"query": 3.0, "train": 13.0}


def test_without_a_reference_there_is_no_aualc_but_a_table(configs, tmp_path):
    frame = frames.load(configs[2:], tmp_path)
    assert "| random | - | - | 40.0 |" in frames.markdown(frames.table(frames.per_run(frame), ["random"]), frame)


def test_no_run_at_all_says_how_to_start(tmp_path):
    with pytest.raises(FileNotFoundError, match="none of the 1 runs is finished; start them with"):
        frames.load([RunConfig.from_yaml("toy", seed=77)], tmp_path)


def test_published_records_stand_in_for_the_runs(configs, tmp_path, monkeypatch):
    with_runs = frames.load(configs, tmp_path)
    monkeypatch.setattr(run_folder, "figures_root", lambda: tmp_path / "figures")
    run_folder.publish(configs, tmp_path)
    assert frames.load(configs, tmp_path / "nothing here").equals(with_runs)


def test_every_file_names_its_runs(configs, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "figures_root", lambda: tmp_path / "figures")
    frame = frames.load(configs, tmp_path)
    (tmp_path / "figures").mkdir()
    frames.save("x_table.md", "hello", frame)
    source = json.loads((tmp_path / "figures/x_table.json").read_text())
    assert source["made_from"] == sorted(c.run_id for c in configs) and source["device"] == ["abacus"]
    assert source["drawn_with"]["torch"]


def test_a_figure_is_saved_as_png_and_svg_with_the_same_bytes_every_time(configs, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "figures_root", lambda: tmp_path / "figures")
    frame, written = frames.load(configs, tmp_path), []
    for _ in range(2):
        fig = Figure(figsize=(2, 2))
        fig.subplots().plot([0, 1], [0, 1], marker="o")  # a marker and a clip path have ids in the SVG
        png, svg = frames.save_figure(fig, "a.b_curves", frame)
        written.append((png.read_bytes(), svg.read_bytes()))
    assert written[0] == written[1] and (png.name, svg.name) == ("a.b_curves.png", "a.b_curves.svg")
    with Image.open(png) as image:
        assert image.size == (260, 260)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg") and b"dc:date" not in written[0][1]
    assert json.loads((tmp_path / "figures/a.b_curves.json").read_text())["device"] == ["abacus"]


def test_the_committed_figures_say_where_they_come_from():
    """Every table and picture under figures/ has its .json, and every run it names has its record, published or local."""
    root = frames.figures_root()
    made = [p for p in root.iterdir() if p.suffix in (".md", ".csv", ".tex", ".png", ".svg")]
    assert made
    for path in made:
        if path.suffix == ".png":
            Image.open(path).verify()
        source = json.loads(path.with_suffix(".json").read_text())
        for run_id in source["made_from"]:
            there = [place / run_id / "done.json" for place in (root / "runs", run_folder.runs_root())]
            assert any(r.is_file() for r in there), f"{path.name} names {run_id}, whose record is missing"
