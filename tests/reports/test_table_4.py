import by_hand
import numpy as np
import pytest
from by_hand import cells, runs
from matplotlib.figure import Figure

from oreal_lib.reports import figures, table_4

RATES = "inside_accuracy", "several_accuracy", "several_dominant", "expansion_accuracy", "expansion_share"
PSEUDO = dict(zip(RATES, (0.9, 0.7, 0.6, 0.8, 0.1), strict=True))
WEAK, TWO = "weak", "weak, stage 2"


def run(column, labeling, seed, curve, step=10):
    """Rows of one run: clicks 10, 20, ...; of a pool of 100 superpixels `step` are asked in each; B asks all."""
    full = column.startswith("full_")
    share = {"clicks": 100, "labeled_fraction": 1.0} if full else {"labeled_fraction": [step * t / 100 for t in (1, 2)]}
    told = {"labeling": labeling, "pseudo": PSEUDO if labeling == TWO else {}, "setting": "a toy"}
    return by_hand.run(column, seed, curve, run_id=f"{column}-{labeling}-{seed}", **share, **told)


@pytest.fixture
def frame():
    """B is 0.5, so a flat curve at 0.3 is an AuALC of 60. Weak labels cost 2 clicks a superpixel: 5 asked per step, not 10."""
    made = [run("full_dominant", "dominant", 0, [0.5])]
    for seed, shift in ((0, 0.0), (1, 0.1)):
        made += [run("random", "dominant", seed, [0.3, 0.3]), run("random", WEAK, seed, [0.3 + shift] * 2, step=5)]
        made += [run("oreal mean", WEAK, seed, [0.2, 0.2], step=5), run("oreal max", WEAK, seed, [0.2 + shift] * 2, step=5)]
        made += [run("oreal max", TWO, seed, [0.4, 0.4 + shift], step=5)]
    return runs(*made, run("oreal max", "dominant", 0, [0.1, 0.3]))  # AuALC 40


def test_max_minus_mean_is_paired_by_seed(frame):
    row = table_4.table4(frame).loc[("oreal", 1)]
    assert (row["by_mean"], row["by_max"]) == (pytest.approx(40), pytest.approx(50)) and row["by_max_sd"] == pytest.approx(200**0.5)
    assert (row["n"], row["favor"]) == (2, 1) and row["mean"] == pytest.approx(10) and row["low"] < 0 < row["high"]


def test_every_printed_number_stands_beside_ours_and_what_lacks_is_not_run(frame):
    text = table_4.table4_markdown(table_4.table4(frame), frame)
    lines = cells(text)[2:]
    assert len(lines) == 2 * 5 + 1 and text.startswith("*a toy; 2 seeds; abacus*\n")
    assert lines[0] == ["random", "1", "70.0 ± 14.1", "", "", "2", "73.5", "71.1"]
    assert lines[4] == ["OREAL", "1", "40.0 ± 0.0", "50.0 ± 14.1", "+10.0 (-117.1 to +137.1)", "2", "75.7 - 75.5", "74.0 - 74.4"]
    assert lines[9] == ["OREAL", "2", "not run", "85.0 ± 7.1", "-", "0, 2", "76.5 - 76.6", "76.6 - 76.8"]
    assert "another data set (toy)" in text
    assert "another data set" not in table_4.table4_markdown(table_4.table4(frame), frame.assign(dataset="voc"))
    assert lines[10] == ["average", "1, 2", "-", "-", "-", "0", "76.1 - 76.0", "74.4 - 75.0"]


def test_the_average_leaves_random_out_and_waits_for_all_the_papers_rows():
    made = [run("full_dominant", "dominant", 0, [0.5]), run("random", WEAK, 0, [0.5, 0.5])]
    for labeling, low in ((WEAK, 0.1), (TWO, 0.2)):
        for strategy in table_4.STRATEGIES[1:]:
            made += [run(f"{strategy} mean", labeling, 0, [low, low]), run(f"{strategy} max", labeling, 0, [2 * low] * 2)]
    average = table_4.table4(runs(*made)).loc[table_4.AVERAGE]
    assert (average["by_mean"], average["by_max"], average["mean"]) == (pytest.approx(30), pytest.approx(60), pytest.approx(30))
    one_lacks = table_4.table4(runs(*made[:-1])).loc[table_4.AVERAGE]
    assert one_lacks["by_mean"] == pytest.approx(30) and np.isnan(one_lacks["by_max"]) and one_lacks["n"] == 0


def test_weak_labels_gain_where_the_same_seed_has_both(frame):
    gains = table_4.gains(frame)
    row = gains.loc[("aualc", "oreal max", "weak - dominant")]  # seed 1 has no dominant labels
    assert row["values"] == {0: pytest.approx(0)} and row["n"] == 1 and np.isnan(row["low"])
    row = gains.loc[("aualc", "oreal max", "stage 2 - stage 1")]  # 80 - 40 and 90 - 60
    assert row["values"] == {0: pytest.approx(40), 1: pytest.approx(30)} and row["mean"] == pytest.approx(35) and row["favor"] == 2
    row = gains.loc[("miou", "random", "weak - dominant")]  # 0 and 10 points
    assert row["mean"] == pytest.approx(5) and row["favor"] == 1
    assert ("aualc", "random", "stage 2 - stage 1") not in gains.index and "oreal mean" not in gains.index.get_level_values(1)


def test_stage_two_gains_more_with_weak_labels_than_with_dominant_ones():
    levels = {WEAK: 0.2, TWO: 0.4, "dominant": 0.3, "dominant, stage 2": 0.35}  # 40 points of AuALC, and 10
    made = [run("full_dominant", "dominant", 0, [0.5]), *(run("random", labeling, 0, [m, m]) for labeling, m in levels.items())]
    gained = table_4.gains(runs(*made)).loc[("aualc", "random", "gain by stage 2, weak - dominant")]
    assert gained["values"] == {0: pytest.approx(30)}


def test_two_clicks_for_a_superpixel_buy_half_as_many(frame):
    bought = table_4.bought(frame)
    assert bought.loc[("random", "dominant"), ["per_superpixel_mean", "asked_mean"]].tolist() == pytest.approx([1, 20])
    assert bought.loc[("random", "weak"), ["per_superpixel_mean", "asked_mean"]].tolist() == pytest.approx([2, 10])
    assert bought.loc[("oreal mean", "weak"), "per_superpixel_mean"] == pytest.approx(2)  # the pool is that of the seed
    text = table_4.gains_markdown(table_4.gains(frame), frame)
    assert "| random | 20 | 20 | 2.00 ± 0.00 | 20.0 ± 0.0 | 10.0 ± 0.0 | 2 |" in text
    assert "| OREAL mean | not run | 20 | 2.00 ± 0.00 | not run | 10.0 ± 0.0 | 2 |" in text


def test_each_difference_is_shown_with_its_spread_and_its_seeds(frame):
    text = table_4.gains_markdown(table_4.gains(frame), frame)
    assert "| OREAL max | +0.0, 0 of 1 | +35.0 ± 7.1 (-28.5 to +98.5), 2 of 2 | +40.0, 1 of 1 |" in text
    assert "| random | +5.0 ± 7.1 (-58.5 to +68.5), 1 of 2 | - | - |" in text


def test_pseudo_labels_are_judged_over_the_seeds_that_have_any(frame):
    none = dict(zip(RATES, (0.7, 0.5, 0.6, None, 0.0), strict=True))
    late = (frame["labeling"] == TWO) & (frame["seed"] == 1) & (frame["step"] == 2)
    changed = frame.assign(pseudo=[none if here else p for here, p in zip(late, frame["pseudo"], strict=True)])
    quality = table_4.pseudo_quality(changed)
    assert quality["step"].tolist() == [1, 2] and quality["inside_accuracy_mean"].tolist() == pytest.approx([90, 80])
    assert quality["expansion_accuracy_n"].tolist() == [2, 1]
    assert quality["expansion_accuracy_mean"].tolist() == pytest.approx([80, 80])
    text = table_4.pseudo_markdown(quality, changed)
    assert cells(text)[2:] == [
        ["OREAL max", "80.0 ± 14.1", "60.0 ± 14.1", "60.0 ± 0.0", "0.0 ± 14.1", "80.0 (n = 1)", "5.0 ± 7.1", "2"]
    ]
    assert "difference (points) +0.0 to +10.0" in text and "size of the expansion 5.0 to 10.0" in text


def test_without_stage_two_the_rest_is_told(frame):
    first = frame[frame["labeling"] != TWO]
    quality = table_4.pseudo_quality(first)
    assert quality.empty and "Stage 2 was not run" in table_4.pseudo_markdown(quality, first)
    assert "| OREAL | 2 | not run | not run |" in table_4.table4_markdown(table_4.table4(first), first)


def test_a_grid_without_weak_labels_is_told_what_to_write(frame):
    with pytest.raises(ValueError, match=r"none of the 4 finished runs has weak labels.*write `labeling: weak` in the grid"):
        table_4.table4(frame[frame["labeling"] == "dominant"])


def test_settings_are_not_passed_off_as_one_run(frame):
    again = frame[frame["run_id"] == "oreal max-weak-1"].assign(run_id="another setting")
    said = r"2 runs have column oreal max, labeling weak, seed 1 \(oreal max-weak-1, another setting\).*one grid"
    with pytest.raises(ValueError, match=said):
        table_4.gains(runs(frame, again))


def test_columns_with_all_three_labelings_are_drawn_first(frame):
    assert table_4.to_draw(frame) == ["oreal max"]  # random lacks stage 2
    assert table_4.to_draw(frame[frame["labeling"] != TWO]) == ["random", "oreal mean", "oreal max"]


def test_a_picture_of_one_column_has_a_curve_for_each_of_its_labelings(frame):
    left, right = Figure().subplots(1, 2)
    figures.draw_labelings(frame, left, "oreal max")
    lines = {line.get_label(): list(line.get_ydata()) for line in left.lines}
    assert lines["weak labels"] == pytest.approx([25, 25]) and lines["weak labels, stage 2"] == pytest.approx([40, 45])
    assert lines["dominant labels"] == pytest.approx([10, 30]) and lines["all dominant labels (B)"][0] == pytest.approx(50)
    with pytest.raises(ValueError, match="no run is 'cbal max'; choose one of full_dominant, random"):
        figures.draw_labelings(frame, right, "cbal max")
    figures.draw_pseudo_quality(table_4.pseudo_quality(frame), right, "expansion_share")
    assert right.lines[0].get_xdata().tolist() == [1, 2] and right.lines[0].get_ydata().tolist() == pytest.approx([10, 10])
    assert right.lines[0].get_label() == "OREAL max" and right.get_ylim()[0] >= 0
