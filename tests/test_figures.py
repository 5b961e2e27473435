import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from oreal_lib import figures
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
    figures.draw_selection(np.full((8, 8, 3), 100, np.uint8), ids, np.array([False, True, False, False]), ax, scale=2)
    picture = ax.images[0].get_array()
    yellow = (picture == [255, 224, 0]).all(axis=-1)
    assert yellow[:8, 8:].any() and not yellow[8:].any() and not yellow[:, :8].any()
    assert (picture[3, 11] == 100).all() and (picture[12, 3] == 65).all()  # asked: bright inside; the rest: dimmed


def test_neighbors_that_were_both_asked_stay_two(ax):
    ids = np.repeat([[0, 1]], 4, axis=0).repeat(4, axis=1)
    figures.draw_selection(np.zeros((4, 8, 3), np.uint8), ids, np.array([True, True]), ax, scale=2)
    yellow = (ax.images[0].get_array() == [255, 224, 0]).all(axis=-1)
    assert yellow[4, 7] and yellow[4, 8]


def test_classes_have_distinct_colors_and_void_is_white():
    assert len({tuple(c) for c in figures.class_palette(21)}) == 21
    picture = figures.color_mask(np.array([[0, 1, IGNORE]], np.uint8), 2)
    assert picture[0, 2].tolist() == [255, 255, 255] and picture[0, 0].tolist() == figures.class_palette(2)[0].tolist()


def test_a_legend_names_only_the_classes_in_the_picture(ax):
    figures.draw_truth(np.array([[0, 2, IGNORE]], np.uint8), ("sky", "road", "car"), ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["sky", "car"]
