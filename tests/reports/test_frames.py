import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from by_hand import run, runs
from matplotlib.figure import Figure
from PIL import Image

from oreal_lib.config import RunConfig
from oreal_lib.experiments import run_folder
from oreal_lib.metrics import imbalance
from oreal_lib.reports import frames


def made(column, seed, curve, pixels=0.02, **values):
    """A run that asks 100 clicks for 2 % of the pool in each step, after the first mostly at borders."""
    steps = range(1, len(curve) + 1)
    share = {"labeled_fraction": [0.02 * t for t in steps], "labeled_pixels": [pixels * t for t in steps]}
    asked = {"clicks": [100 * t for t in steps], "border_share": [0.5 if t == 1 else 0.8 for t in steps]}
    return run(column, seed, curve, inside_miou=[m / 4 for m in curve], **share, **asked, **values)


@pytest.fixture
def frame():
    return runs(
        made("full_dominant", 0, [0.5]),
        made("full_masks", 0, [0.6]),
        made("random", 0, [0.2, 0.3, 0.4]),
        made("oreal mean", 0, [0.2, 0.3, 0.4]),
        made("oreal max", 0, [0.2, 0.4, 0.5], pixels=0.03),
        made("oreal mean", 1, [0.2, 0.3, 0.4]),
        made("oreal max", 1, [0.2, 0.5, 0.5]),
    )


@pytest.fixture
def two_networks(frame):
    """The runs of `frame`, and of a second network whose full supervision B is twice as good."""
    more = made("full_dominant", 0, [1.0]), made("oreal mean", 0, [0.2, 0.3, 0.4]), made("oreal max", 0, [0.2, 0.4, 0.5])
    other = runs(*more).assign(model="other")
    return runs(frame, other.assign(run_id="other " + other["run_id"]))


def test_a_frame_has_a_row_for_each_step_of_a_run_that_is_finished(tiny_grid):
    more = RunConfig.from_yaml("toy", seed=77)
    frame = frames.load([*tiny_grid.configs, more], tiny_grid.runs_dir)
    steps = {"full_dominant": 1, "full_masks": 1, "random": 3, "bvsb mean": 3, "bvsb max": 3, "oreal max": 3}
    assert frame.groupby("column", sort=False).size().to_dict() == steps
    said = frame.drop_duplicates("run_id").set_index("column")[["supervision", "strategy", "aggregate"]]
    assert said.loc["bvsb max"].tolist() == ["active", "bvsb", "max"] and said.loc["random"].tolist() == ["active", "random", ""]
    assert said.loc["full_masks"].tolist() == ["full_masks", "full_masks", ""]
    last = frame[frame["column"] == "bvsb max"].iloc[-1]
    assert last["imbalance"] == imbalance(np.array(last["class_counts"]))
    assert (last["step"], last["clicks"], last["labeled_fraction"]) == (3, 24, 0.25) and last["labeling"] == "dominant"
    assert "toy, 32 x 32, small_unet from scratch, at most 2 epochs per step; 1 seed; " in frames.source_line(frame)
    with pytest.raises(FileNotFoundError, match="none of the 1 runs is finished; start them with"):
        frames.load([more], tiny_grid.runs_dir)


def test_published_records_stand_in_for_the_runs(tiny_grid, tmp_path, monkeypatch):
    with_runs = frames.load(tiny_grid.configs, tiny_grid.runs_dir)
    monkeypatch.setattr(run_folder, "figures_root", lambda: tmp_path / "figures")
    run_folder.publish(tiny_grid.configs, tiny_grid.runs_dir)
    assert frames.load(tiny_grid.configs, tmp_path / "nothing here").equals(with_runs)


def test_columns_stand_strategy_by_strategy(frame):
    more = runs(run("oreal top_0.1"), run("bvsb max"), frame)
    assert frames.in_order(frames.active(more)) == ["random", "bvsb max", "oreal mean", "oreal max", "oreal top_0.1"]
    assert frames.in_order(frames.active(more), ("max", "mean"))[2:4] == ["oreal max", "oreal mean"]


def test_one_runs_numbers_by_hand(frame):
    runs = frames.per_run(frame).set_index(["column", "seed"])
    best = runs.loc[("oreal max", 0)]
    assert best["aualc"] == pytest.approx(100 * (0.1 + 0.4 + 0.25) / (2 * 0.5))
    assert best["miou"] == pytest.approx(50) and best["boundary_miou"] == pytest.approx(25)
    assert best["inside_miou"] == pytest.approx(12.5)
    assert best["labeled_pixels"] == pytest.approx(9) and best["border_share"] == pytest.approx(80)  # step 1 is random
    assert best["to_95"] == pytest.approx(100 * (0.04 + 0.02 * (0.475 - 0.4) / 0.1))
    assert np.isnan(runs.loc[("random", 0), "to_95"]) and best["epochs"] == 30
    assert best["imbalance"] == pytest.approx(0.5)


def test_the_table_has_mean_sd_and_n_and_tells_what_was_not_run(frame):
    summary = frames.over_seeds(frames.per_run(frame), ["random", "oreal max", "cbal max"])
    assert summary["to_95_reached"].tolist() == [0, 2, 0] and summary["to_95_mean"].notna().tolist() == [False, True, False]
    assert summary.loc["oreal max", "aualc_mean"] == pytest.approx((75 + 85) / 2)
    assert summary.loc["oreal max", "aualc_sd"] == pytest.approx(10 / 2**0.5)  # sample sd of two
    text = frames.markdown(summary, frame)
    assert "| OREAL max | 80.0 ± 7.1 | 72.5 ± 17.7 | 50.0 ± 0.0 | 25.0 ± 0.0 | 80.0 ± 0.0 | 7.5 ± 2.1 | 2 |" in text
    assert "The rows have different numbers of seeds" in text
    assert "Full supervision B trained 10 epochs, the longest run 30: AuALC is too high" in text
    assert not [
        line for line in frames.cautions([1], frame.assign(warm_start=False)) if "epochs" in line
    ]  # no step has more than 10
    assert frames.cautions([2, 0, 2], frame) == frames.cautions([2], frame)  # a row that was not run has no seeds to differ
    alone = frames.active(frame)
    assert "| random | - | - | 40.0 |" in frames.markdown(frames.over_seeds(frames.per_run(alone), ["random"]), alone)
    assert "| random | 60.0 | 65.0 | 40.0 | 20.0 |" in text and "| CBAL max | not run |" in text
    assert text.startswith("*by hand; 2 seeds; abacus*\n\n| strategy | AuALC |")
    assert "(dominant labels) | 100 (by definition) | - | 50.0 | 25.0 |" in text


def test_per_pixel_counts_only_the_range_that_all_runs_of_the_seed_cover(frame):
    """Seed 0: max buys 3, 6, 9 % of the pixels, the others 2, 4, 6 %: compared from 3 to 6 %."""
    runs = frames.per_run(frame).set_index(["column", "seed"])
    assert runs.loc[("oreal max", 0), "aualc_per_pixel"] == pytest.approx(100 * 0.3 / 0.5)
    by_hand = ((0.25 + 0.3) / 2 + 2 * (0.3 + 0.4) / 2) / 3
    assert runs.loc[("oreal mean", 0), "aualc_per_pixel"] == pytest.approx(100 * by_hand / 0.5, abs=0.1)


def test_runs_that_a_table_cannot_tell_apart_are_not_averaged(frame):
    twin = made("oreal max", 0, [0.2, 0.9, 0.9], run_id="twin")
    with pytest.raises(ValueError, match=r"2 runs have .*column oreal max, seed 0 \(oreal-max-0, twin\).*make one grid for each"):
        frames.per_run(runs(frame, twin))
    with pytest.raises(ValueError, match="only full supervision is finished"):
        frames.per_run(frame[frame["supervision"] != "active"])


def test_differences_are_paired_by_seed(frame):
    paired = frames.paired(frames.per_run(frame))
    assert list(paired.index) == ["oreal"]
    d = paired.loc["oreal"]
    assert (d["n"], d["favor"]) == (2, 2) and d["mean"] == pytest.approx(20) and d["low"] < 0 < d["high"]
    assert "OREAL: +20.0 (n = 2, max better in 2, 95 % interval" in frames.paired_text(paired)


def test_each_network_is_measured_by_its_own_full_supervision(two_networks, frame):
    areas = frames.per_run(two_networks).set_index(["dataset", "model", "column", "seed"])["aualc"]
    assert areas["toy", "net", "oreal mean", 0] == pytest.approx(60)
    assert areas["toy", "other", "oreal mean", 0] == pytest.approx(30)
    alone = frames.per_run(frame)
    assert frames.per_run(two_networks).iloc[: len(alone)].equals(alone)


def test_a_seed_with_pictures_of_its_own_is_measured_by_what_full_supervision_reaches_on_these():
    frame = runs(
        *(made("full_dominant", seed, [best], data_options=f"scenes {seed}") for seed, best in ((0, 0.8), (1, 0.4))),
        *(made("random", seed, [0.2, 0.2, 0.39], data_options=f"scenes {seed}") for seed in (0, 1)),
    )
    of_seed = frames.per_run(frame).set_index("seed")
    assert of_seed["aualc"].tolist() == pytest.approx([100 * 0.2475 / 0.8, 100 * 0.2475 / 0.4])
    assert np.isnan(of_seed.loc[0, "to_95"]) and of_seed.loc[1, "to_95"] == pytest.approx(4 + 2 * 18 / 19)
    assert "; 2 seeds, each with pictures of its own; " in frames.source_line(frame)


def test_each_network_has_a_table_of_its_own(two_networks, frame):
    both, columns = frames.per_run(two_networks), ["oreal mean", "oreal max"]
    summary = frames.over_seeds(both, columns)
    assert summary.index.names == ["dataset", "model", "column"]
    assert summary["n"].tolist() == [2, 2, 1, 1] and summary["aualc_mean"].tolist() == pytest.approx([60, 80, 30, 37.5])
    text = frames.markdown(summary, two_networks)
    alone = frames.markdown(frames.over_seeds(frames.per_run(frame), columns), frame)
    assert text.startswith(f"**toy, net**\n\n{alone}\n**toy, other**\n")
    assert "| OREAL max | 37.5 |" in text.removeprefix(f"**toy, net**\n\n{alone}")
    paired = frames.paired(both)
    assert paired["mean"].to_dict() == pytest.approx({("toy", "net", "oreal"): 20, ("toy", "other", "oreal"): 7.5})
    assert "- toy, other, OREAL: +7.5 (n = 1" in frames.paired_text(paired)


def test_time_is_counted_once_and_where_it_was_spent():
    """Run b has its step 1 from run a; the record of a stands there twice, as in two grids together."""
    rows = [("a", 1, "", 4.0), ("a", 1, "", 4.0), ("b", 1, "a", 4.0), ("b", 2, "", 5.0)]
    frame = pd.DataFrame(
        [{"run_id": r, "step": t, "from_run": whose, "seconds": {"query": 1.0, "train": s}} for r, t, whose, s in rows]
    )
    assert frames.total_seconds(frame) == {"query": 2.0, "train": 9.0}


def test_every_file_names_its_runs(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "figures_root", lambda: tmp_path / "figures")
    (tmp_path / "figures").mkdir()
    frames.save("x_table.md", "hello", frame)
    source = json.loads((tmp_path / "figures/x_table.json").read_text())
    assert source["made_from"] == sorted(set(frame["run_id"])) and source["device"] == ["abacus"]
    assert source["drawn_with"]["torch"]


def test_a_figure_is_saved_as_png_and_svg_with_the_same_bytes_every_time(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "figures_root", lambda: tmp_path / "figures")
    written = []
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
