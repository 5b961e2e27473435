import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from oreal_lib import draw
from oreal_lib.reports import asked, figures
from oreal_lib.types import IGNORE


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def frame():
    rows = []
    for column, shift in [("random", 0.0), ("oreal mean", 0.1), ("oreal max", 0.2)]:
        for seed in (0, 1):
            for t in (1, 2, 3):
                miou = 0.2 + shift * (t > 1) + 0.1 * seed
                rows.append(
                    dict(column=column, seed=seed, step=t, clicks=10 * t, labeled_pixels=0.1 * t, miou=miou, boundary_miou=0.1)
                )
    rows.append(dict(column="full_dominant", seed=0, step=1, clicks=99, labeled_pixels=1.0, miou=0.7, boundary_miou=0.6))
    return pd.DataFrame(rows)


def test_curves_are_means_over_seeds_max_solid_mean_dashed(ax):
    figures.draw_curves(frame(), ax)
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["OREAL max"].get_linestyle() == "-" and lines["OREAL mean"].get_linestyle() == "--"
    assert lines["OREAL max"].get_ydata().tolist() == pytest.approx([25, 45, 45])
    assert lines["all dominant labels (B)"].get_ydata()[0] == pytest.approx(70)
    assert lines["OREAL max"].get_color() == lines["OREAL mean"].get_color() != lines["random"].get_color()


def test_shares_are_drawn_in_percent(ax):
    figures.draw_curves(frame(), ax, x="labeled_pixels")
    assert ax.lines[0].get_xdata().tolist() == pytest.approx([10, 20, 30]) and "%" in ax.get_xlabel()


def test_only_asked_superpixels_get_a_yellow_border(ax):
    ids = np.repeat(np.repeat([[0, 1], [2, 3]], 4, axis=0), 4, axis=1)
    draw.draw_selection(np.full((8, 8, 3), 100, np.uint8), ids, np.array([False, True, False, False]), ax, scale=2)
    picture = ax.images[0].get_array()
    yellow = (picture == [255, 224, 0]).all(axis=-1)
    assert yellow[:8, 8:].any() and not yellow[8:].any() and not yellow[:, :8].any()
    assert (picture[3, 11] == 100).all() and (picture[12, 3] == 65).all()  # asked: bright inside; the rest: dimmed


def test_neighbors_that_were_both_asked_stay_two(ax):
    ids = np.repeat([[0, 1]], 4, axis=0).repeat(4, axis=1)
    draw.draw_selection(np.zeros((4, 8, 3), np.uint8), ids, np.array([True, True]), ax, scale=2)
    yellow = (ax.images[0].get_array() == [255, 224, 0]).all(axis=-1)
    assert yellow[4, 7] and yellow[4, 8]


def test_classes_have_distinct_colors_and_void_is_white():
    assert len({tuple(c) for c in draw.class_palette(21)}) == 21
    picture = draw.color_mask(np.array([[0, 1, IGNORE]], np.uint8), 2)
    assert picture[0, 2].tolist() == [255, 255, 255] and picture[0, 0].tolist() == draw.class_palette(2)[0].tolist()


def test_a_legend_names_only_the_classes_in_the_picture(ax):
    draw.draw_truth(np.array([[0, 2, IGNORE]], np.uint8), ("sky", "road", "car"), ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["sky", "car"]


def test_each_strategy_has_a_panel_with_random_and_full_supervision():
    table = frame()
    other = table[table["column"] == "oreal max"].assign(column="power_bvsb max")
    table = pd.concat([other, table])
    assert figures.strategies(table) == ["oreal", "power_bvsb"]
    fig, axes = plt.subplots(1, 2, sharey=True)
    figures.draw_strategies(table, axes)
    assert [line.get_label() for line in axes[0].lines] == ["random", "OREAL max", "OREAL mean", "all dominant labels (B)"]
    assert [line.get_label() for line in axes[1].lines] == ["random", "BvSB with noise* max", "all dominant labels (B)"]
    assert axes[0].get_title() == "OREAL" and axes[0].get_ylim() == axes[1].get_ylim()
    legend = {h.get_label(): (h.get_color(), h.get_linestyle()) for h in figures.line_legend(table)}
    assert (
        legend["max"] == ("black", "-")
        and legend["mean"] == ("black", "--")
        and legend["random"][0] == axes[0].lines[0].get_color()
    )
    assert list(legend)[-2:] == ["all dominant labels (B)", "*: not in the paper"]
    plt.close(fig)


def test_what_was_not_asked_can_lose_its_color(ax):
    ids = np.repeat([[0, 1]], 6, axis=0).repeat(6, axis=1)
    picture = np.full((6, 12, 3), [200, 100, 60], np.uint8)
    draw.draw_selection(picture, ids, np.array([False, True]), ax, scale=1, gray=True)
    drawn = ax.images[0].get_array()
    assert drawn[3, 9].tolist() == [200, 100, 60]
    assert drawn[3, 2].tolist() == [78, 78, 78]  # the mean 120 is shade 120 of 8, 24, ..., 248, dimmed to 65 %


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
        "columns": ["bvsb mean", "bvsb max", "oreal max"],
        "border_share": [0.25, 0.5, 1.0],
        "uncertainty": np.where(truth == 1, 1.0, 0.5),
        "one_vs_rest": np.zeros((4, 8)),
        "classes": ("tissue", "tool"),
    }


def test_mean_stands_above_max_and_what_was_not_run_is_empty():
    fig, axes = plt.subplots(2, 4)
    asked.draw_selections(view(), axes)
    assert axes[0, 2].get_title() == "BvSB mean: 1 asked\n25 % of query on borders"
    assert axes[1, 2].get_title() == "BvSB max: 1 asked\n50 % of query on borders"
    assert axes[1, 3].get_title().startswith("OREAL max: 2 asked") and not axes[0, 3].images and not axes[0, 3].axison
    plt.close(fig)


def test_a_dot_marks_the_pixel_that_decides_max_where_it_is_enlarged():
    fig, axes = plt.subplots(1, 5)
    where = {"window": np.s_[0:2, 4:8], "context": np.array([False, True]), "dots": np.array([[1, 6]])}
    asked.draw_context(view() | where, axes)
    scale = axes[2].images[0].get_array().shape[0] // 2
    assert axes[2].get_title().split() == "uncertainty (BvSB): 1.00 at the dots, 0.62 on average over their superpixels".split()
    for ax in (axes[2], axes[4]):
        assert [(int(line.get_xdata()[0]) // scale, int(line.get_ydata()[0]) // scale) for line in ax.lines] == [(2, 1)]
    assert "asked 0 superpixels" in axes[3].get_title() and "asked 1 superpixel\n" in axes[4].get_title()
    assert axes[0].patches[0].get_bbox().bounds == (3.5, -0.5, 4, 2)
    plt.close(fig)
