"""Pictures of what was asked and of classes, pixel by pixel."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from oreal_lib import draw
from oreal_lib.types import IGNORE


@pytest.fixture
def ax():
    return Figure().subplots()


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


def test_what_was_not_asked_can_lose_its_color(ax):
    ids = np.repeat([[0, 1]], 6, axis=0).repeat(6, axis=1)
    picture = np.full((6, 12, 3), [200, 100, 60], np.uint8)
    draw.draw_selection(picture, ids, np.array([False, True]), ax, scale=1, gray=True)
    drawn = ax.images[0].get_array()
    assert drawn[3, 9].tolist() == [200, 100, 60]
    assert drawn[3, 2].tolist() == [78, 78, 78]  # the mean 120 is shade 120 of 8, 24, ..., 248, dimmed to 65 %


def test_150_colors_chosen_for_pictures_differ_and_are_neither_pale_nor_shrill():
    lab = rgb2lab(draw.rgb(draw.hex_palette(150, (), np.array([[120, 92, 68]], np.uint8)))[None])[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(150, dtype=bool)]
    chroma = np.hypot(*lab[:, 1:].T)
    assert apart.min() > 10 and 20 < chroma.min() and chroma.max() < 56 and 38 < lab[:, 0].min() and lab[:, 0].max() < 80


def test_classes_have_distinct_colors_and_void_is_white():
    assert len({tuple(c) for c in draw.class_palette(21)}) == 21
    picture = draw.color_mask(np.array([[0, 1, IGNORE]], np.uint8), 2)
    assert picture[0, 2].tolist() == [255, 255, 255] and picture[0, 0].tolist() == draw.class_palette(2)[0].tolist()


def test_a_legend_names_only_the_classes_in_the_picture(ax):
    draw.draw_truth(np.array([[0, 2, IGNORE]], np.uint8), ("sky", "road", "car"), ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["sky", "car"]
