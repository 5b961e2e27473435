"""Superpixels: SEEDS as OREAL uses it, SLIC and a grid."""

import cv2
import numpy as np
import pytest
from skimage.exposure import equalize_hist
from skimage.measure import label

from oreal_lib.superpixels import SuperpixelRecipe, dense, superpixels
from oreal_lib.superpixels.pieces import keep_largest_pieces
from oreal_lib.superpixels.seeds import equalized, predicted_count
from oreal_lib.types import Superpixels

TABLE = {
    (2048, 1024): {256: 210, 512: 512, 1024: 882, 2048: 2048, 4096: 2048, 8192: 8192},
    (500, 375): {100: 49, 150: 70, 200: 165, 600: 165, 1024: 713},
    (513, 513): {100: 64, 150: 100, 256: 100, 300: 256, 600: 256},
    (224, 224): {50: 49, 150: 49, 200: 196, 600: 196},
}


def photo(height=60, width=80):
    """Smooth colored blobs with some grain, so that every method has something to follow."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    grain = rng.integers(0, 12, (height, width, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) // 2 + grain


@pytest.mark.parametrize("size", TABLE)
def test_seeds_gives_another_number_than_asked_and_we_know_which(size):
    assert {asked: predicted_count(*size, asked, levels=5) for asked in TABLE[size]} == TABLE[size]


def test_the_prediction_agrees_with_opencv():
    rng = np.random.default_rng(1)
    checked = 0
    while checked < 40:
        (width, height), count, levels = rng.integers(20, 400, 2).tolist(), int(rng.integers(5, 900)), int(rng.integers(2, 7))
        try:
            ours = predicted_count(width, height, count, levels)
        except ValueError:  # OpenCV would divide by zero
            continue
        seeds = cv2.ximgproc.createSuperpixelSEEDS(width, height, 3, count, levels, 2, 5, False)
        assert ours == seeds.getNumberOfSuperpixels(), (width, height, count, levels)
        checked += 1


def test_auto_levels_come_nearest_to_what_was_asked():
    assert predicted_count(500, 375, 150, "auto") == 108
    assert min(abs(predicted_count(500, 375, 150, levels) - 150) for levels in (2, 3, 4, 5)) == 150 - 108


def test_a_very_elongated_image_is_refused_before_opencv_divides_by_zero():
    with pytest.raises(ValueError, match=r"3000x8 pixels into 150 superpixels.*slic or grid"):
        superpixels(np.zeros((8, 3000, 3), np.uint8), SuperpixelRecipe())


@pytest.mark.filterwarnings("ignore:This might be a color image")
def test_the_default_is_the_official_recipe():
    hsv = cv2.cvtColor(equalize_hist(photo()).astype(np.float32), cv2.COLOR_RGB2HSV)
    seeds = cv2.ximgproc.createSuperpixelSEEDS(80, 60, 3, 150, 5, 3, 10, True)
    seeds.iterate(hsv, 10)
    assert np.array_equal(superpixels(photo(), SuperpixelRecipe()), dense(seeds.getLabels()))


RNG = np.random.default_rng(2)
PICTURES = {
    "noise": RNG.integers(0, 256, (37, 53, 3), np.uint8),
    "a few values of the middle": RNG.choice(np.uint8([90, 91, 150]), (40, 30, 3)),
    "one value": np.full((20, 30, 3), 77, np.uint8),
    "one pixel": np.uint8([[[3, 200, 3]]]),
    "grey": RNG.integers(0, 9, (20, 30), np.uint8) ** 2,
    "not in one piece": RNG.integers(0, 256, (40, 60, 3), np.uint8)[::2, ::-3],
}


@pytest.mark.filterwarnings("ignore:This might be a color image")
@pytest.mark.parametrize("name", PICTURES)
def test_the_table_of_equalization_has_the_bits_of_skimage(name):
    there = equalize_hist(PICTURES[name]).astype(np.float32)
    here = equalized(PICTURES[name])
    assert here.dtype == np.float32 and here.shape == there.shape and here.tobytes() == there.tobytes()


def test_equalization_by_hand():
    assert equalized(np.uint8([[10, 10, 20, 30]])).tolist() == [[0.5, 0.5, 0.75, 1.0]]  # the share of values up to each


def test_grid_cuts_rectangles():
    assert superpixels(np.zeros((4, 6, 3), np.uint8), SuperpixelRecipe(method="grid", count=6)).tolist() == [
        [0, 0, 1, 1, 2, 2],
        [0, 0, 1, 1, 2, 2],
        [3, 3, 4, 4, 5, 5],
        [3, 3, 4, 4, 5, 5],
    ]


def test_an_island_goes_to_the_neighbor_with_the_longest_border():
    ids = [
        [1, 1, 1, 2, 2],
        [1, 1, 1, 2, 1],
        [1, 1, 1, 2, 3],
        [1, 1, 1, 2, 3],
    ]
    moved = keep_largest_pieces(np.array(ids))
    assert moved[1, 4] == moved[0, 4] != moved[2, 4]
    assert label(moved + 1, connectivity=1).max() == 3


def test_dense_closes_gaps_and_keeps_the_order():
    assert dense(np.array([[7, 7, 90], [1, 7, 90]])).tolist() == [[1, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    "ids, message",
    [
        (np.zeros((2, 2), bool), "bool"),
        (np.zeros((2, 2)), "float64.*astype"),
        (np.array([[0, -1]]), "negative id -1"),
        (np.zeros((2, 2, 2), int), r"shape \(2, 2, 2\)"),
        (np.zeros((0, 3), int), r"shape \(0, 3\)"),
        (np.arange(65_536).reshape(256, 256), "65,536 superpixels.*65,535"),
    ],
)
def test_what_is_no_partition_is_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        dense(ids)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"method": "watershed"}, "(?s)method.*'seeds', 'slic' or 'grid'.*'watershed'"),
        ({"count": 0}, "(?s)count.*greater than or equal to 1"),
        ({"count": 150.0}, "(?s)count.*valid integer.*150.0"),
        ({"levels": "many"}, "(?s)levels.*should be 'auto'.*'many'"),
        ({"double_step": 1}, "(?s)double_step.*boolean"),
        ({"compactness": 0}, "(?s)compactness.*greater than 0"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_rule(wrong, message):
    with pytest.raises(ValueError, match=message):
        SuperpixelRecipe(**wrong)


def test_a_grey_picture_is_refused():
    with pytest.raises(ValueError, match=r"uint8 \(40, 50\).*\(H, W, 3\)"):
        superpixels(np.zeros((40, 50), np.uint8), SuperpixelRecipe())


def test_an_opencv_without_contrib_says_what_to_install(monkeypatch):
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(ImportError, match=r"opencv-contrib-python-headless.*slic or grid"):
        superpixels(photo(), SuperpixelRecipe())
    assert superpixels(photo(), SuperpixelRecipe(method="grid", count=12)).max() == 11


@pytest.mark.parametrize("size, count, levels", [((60, 50), 1000, 5), ((50, 60), 1000, 2), ((40, 30), 1100, 3)])
def test_a_grid_finer_than_opencv_bears_is_refused_not_crashed(size, count, levels):
    with pytest.raises(ValueError, match="finer than its pixels; ask for fewer superpixels"):
        superpixels(np.zeros((*size[::-1], 3), np.uint8), SuperpixelRecipe(count=count, levels=levels))


def test_histograms_that_fit_in_no_memory_are_refused_with_the_remedy(monkeypatch):
    """100^3 bins for each of 6400 pieces are 26 GB."""

    def full(*_):
        raise cv2.error("Insufficient memory")

    monkeypatch.setattr(cv2.ximgproc, "createSuperpixelSEEDS", full)
    with pytest.raises(ValueError, match=r"40x30 pixels into 12 superpixels with 100 bins \(Insuff.*\); lower superpixel_bins"):
        superpixels(np.zeros((30, 40, 3), np.uint8), SuperpixelRecipe(count=12, bins=100, levels=2))


def test_ids_with_gaps_are_refused():
    with pytest.raises(ValueError, match=r"id 1 of image 0 is empty, .* relabel the map by superpixels.dense"):
        Superpixels.from_maps(np.array([[[0, 2, 2]]], np.uint16))


def test_a_subset_of_images_is_renumbered():
    maps = np.array([[[0, 0, 1]], [[0, 1, 2]], [[0, 0, 0]]], np.uint16)
    part = Superpixels.from_maps(maps).subset(np.array([2, 1]))
    assert part.offset.tolist() == [0, 1, 4] and part.size.tolist() == [3, 1, 1, 1] and part.image.tolist() == [0, 1, 1, 1]
