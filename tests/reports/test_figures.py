import numpy as np
import pytest
from by_hand import run, runs
from matplotlib.figure import Figure

from oreal_lib.draw import class_palette
from oreal_lib.reports import figures, selections
from oreal_lib.types import IGNORE


def frame():
    curves = {"random": 0.0, "oreal mean": 0.1, "oreal max": 0.2}
    made = [run(c, seed, [0.2 + up * (t > 1) + 0.1 * seed for t in (1, 2, 3)]) for c, up in curves.items() for seed in (0, 1)]
    return runs(*made, run("full_dominant", 0, [0.7]))


def test_curves_are_means_over_seeds_max_solid_mean_dashed():
    ax = figures.draw_curves(frame(), Figure().subplots())
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["OREAL max"].get_linestyle() == "-" and lines["OREAL mean"].get_linestyle() == "--"
    assert lines["OREAL max"].get_ydata().tolist() == pytest.approx([25, 45, 45])
    assert lines["all dominant labels (B)"].get_ydata()[0] == pytest.approx(70)
    assert lines["OREAL max"].get_color() == lines["OREAL mean"].get_color() != lines["random"].get_color()


def test_shares_are_drawn_in_percent():
    ax = figures.draw_curves(frame(), Figure().subplots(), x="labeled_pixels")
    assert ax.lines[0].get_xdata().tolist() == pytest.approx([10, 20, 30]) and "%" in ax.get_xlabel()


def test_each_strategy_has_a_panel_with_random_and_full_supervision():
    table = runs(run("power_bvsb max"), frame())
    assert figures.strategies(table) == ["oreal", "power_bvsb"]
    axes = Figure().subplots(1, 2, sharey=True)
    figures.draw_strategies(table, axes)
    assert [line.get_label() for line in axes[0].lines] == ["random", "OREAL max", "OREAL mean", "all dominant labels (B)"]
    assert [line.get_label() for line in axes[1].lines] == ["random", "BvSB with noise* max", "all dominant labels (B)"]
    assert axes[0].get_title() == "OREAL" and axes[0].get_ylim() == axes[1].get_ylim()
    legend = {h.get_label(): (h.get_color(), h.get_linestyle()) for h in figures.line_legend(table)}
    assert legend["max"] == ("black", "-") and legend["mean"] == ("black", "--")
    assert legend["random"][0] == axes[0].lines[0].get_color()
    assert list(legend)[-2:] == ["all dominant labels (B)", "*: not in the paper"]


def view():
    """One image of 4 x 8 pixels in the superpixels 0 (left) and 1 (right); an object in the upper right corner."""
    truth = np.zeros((4, 8), np.uint8)
    truth[:2, 6:] = 1
    return {
        "image": np.full((4, 8, 3), 100, np.uint8),
        "truth": truth,
        "ids": np.repeat([[0, 1]], 4, axis=0).repeat(4, axis=1),
        "asked": [np.array([True, False]), np.array([False, True]), np.array([True, True])],
        "titles": ["BvSB mean", "BvSB max", "OREAL max"],
        "asked_by": [("bvsb", "mean"), ("bvsb", "max"), ("oreal", "max")],
        "border_share": [0.25, 0.5, 1.0],
        "uncertainty": np.where(truth == 1, 1.0, 0.5),
        "one_vs_rest": np.zeros((4, 8)),
        "classes": ("tissue", "tool"),
    }


def test_mean_stands_above_max_and_what_was_not_run_is_empty():
    axes = Figure().subplots(2, 4)
    selections.draw_selections(view(), axes)
    assert axes[0, 2].get_title() == "BvSB mean: 1 asked\n25 % of query on borders"
    assert axes[1, 2].get_title() == "BvSB max: 1 asked\n50 % of query on borders"
    assert axes[1, 3].get_title().startswith("OREAL max: 2 asked") and not axes[0, 3].images and not axes[0, 3].axison


def test_a_dot_marks_the_pixel_that_decides_max_where_it_is_enlarged():
    axes = Figure().subplots(1, 5)
    where = {"window": np.s_[0:2, 4:8], "context": np.array([False, True]), "dots": np.array([[1, 6]])}
    selections.draw_context(view() | where, axes)
    scale = axes[2].images[0].get_array().shape[0] // 2
    assert axes[2].get_title().split() == "uncertainty (BvSB): 1.00 at the dots, 0.62 on average over their superpixels".split()
    for ax in (axes[2], axes[4]):
        assert [(int(line.get_xdata()[0]) // scale, int(line.get_ydata()[0]) // scale) for line in ax.lines] == [(2, 1)]
    assert "asked 0 superpixels" in axes[3].get_title() and "asked 1 superpixel\n" in axes[4].get_title()
    assert axes[0].patches[0].get_bbox().bounds == (3.5, -0.5, 4, 2)


def test_pseudo_labels_are_strong_inside_pale_around_and_nowhere_else():
    truth = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, IGNORE]], np.uint8)
    view = {
        "image": np.full((2, 5, 3), 100, np.uint8),
        "truth": truth,
        "ids": np.array([[4, 0, 0, 1, 2], [4, 0, 0, 1, 2]]),
        "superpixel": 0,
        "named": np.array([0, 1]),
        "prototypes": np.array([[0, 1], [1, 2]]),
        "pseudo": np.array([[IGNORE, 0, 1, 1, IGNORE], [IGNORE, 0, 0, 0, IGNORE]], np.uint8),
        "classes": ("sky", "road", "car"),
        "name": "hand made",
    }
    axes = Figure().subplots(1, 4)
    figures.draw_pseudo_labels(view, axes)
    answer, pseudo = (np.asarray(ax.images[0].get_array()) for ax in axes[1:3])
    scale = answer.shape[0] // 2
    sky, road, _ = (tuple(color) for color in class_palette(3))
    assert {tuple(c) for c in answer[:, scale : 3 * scale].reshape(-1, 3)} == {sky, road}  # somewhere in it, not where
    middle = pseudo[scale // 2 :: scale, scale // 2 :: scale].astype(int)  # each pixel once
    assert tuple(middle[0, 1]) == sky and tuple(middle[0, 2]) == road
    gray = middle[0, 0]
    assert len(set(gray)) == 1 and (middle[:, 4] == gray).all()
    assert np.allclose(middle[0, 3], 0.6 * np.array(road) + 0.4 * gray, atol=1)
    assert "75 % right inside, 50 % around" in axes[2].get_title() and "sky, road" in axes[1].get_title()
    marked = [(line.get_xdata()[0] // scale, line.get_ydata()[0] // scale) for line in axes[0].lines if len(line.get_xdata())]
    assert marked == [(1, 0), (2, 1)]
    assert [t.get_text() for t in axes[3].get_legend().get_texts()] == ["sky", "road", "void"]
