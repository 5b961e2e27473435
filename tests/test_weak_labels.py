import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import find_boundaries

from oreal_lib.types import IGNORE
from oreal_lib.weak_labels import classes_present, click_cost, near_border

V = IGNORE


def test_three_pixels_on_each_side_are_not_looked_at_and_the_image_edge_is_no_border():
    ids = np.repeat([[0] * 6 + [1] * 6], 8, axis=0)
    assert (near_border(ids) == ([False] * 3 + [True] * 6 + [False] * 3)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_border_is_the_thick_one_of_skimage_widened_by_a_box(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 5, (5, 6)).repeat(9, axis=0).repeat(8, axis=1)
    expected = ndimage.binary_dilation(find_boundaries(ids, mode="thick"), np.ones((5, 5)))
    assert 0.3 < expected.mean() < 1 and np.array_equal(near_border(ids), expected)
    assert np.array_equal(near_border(ids.astype(np.uint16)), expected)


def test_a_sliver_along_the_border_is_overlooked_and_one_pixel_inside_is_named():
    ids = np.repeat([[0] * 6 + [1] * 6], 8, axis=0)
    truth = np.where(ids == 0, 2, 1).astype(np.uint8)
    truth[:, 4:6] = 0  # on the left side of the border, up to 2 pixels deep
    truth[7, 11] = V  # in the corner of the image
    assert classes_present(truth, ids, 2, 3).tolist() == [[False, False, True, False], [False, True, False, True]]
    truth[3, 2] = 0  # one pixel, 4 deep
    assert classes_present(truth, ids, 2, 3)[0].tolist() == [True, False, True, False]


def test_a_superpixel_too_thin_to_trim_is_looked_at_whole():
    ids = np.repeat([[0] * 5 + [1] * 2 + [2] * 5], 4, axis=0)
    truth = np.repeat([[0] * 5 + [1, V] + [2] * 5], 4, axis=0).astype(np.uint8)
    assert classes_present(truth, ids, 3, 3).tolist() == [
        [True, False, False, False],
        [False, True, False, True],
        [False, False, True, False],
    ]


def test_one_superpixel_for_all_has_no_border_and_an_id_without_pixels_names_nothing():
    truth = np.array([[0, 1], [V, 1]], np.uint8)
    assert classes_present(truth, np.zeros((2, 2), np.uint8), 2, 2).tolist() == [[True, True, True], [False, False, False]]


@pytest.mark.parametrize("seed", range(3))
def test_classes_present_agrees_with_looking_one_by_one(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 12, (6, 6)).repeat(7, axis=0).repeat(5, axis=1)
    truth = rng.choice([0, 1, 2, 3, V], (10, 10)).repeat(5, axis=0)[: ids.shape[0]].repeat(3, axis=1).astype(np.uint8)
    ids = ids[: truth.shape[0], : truth.shape[1]]
    trimmed = ndimage.binary_dilation(find_boundaries(ids, mode="thick"), np.ones((5, 5)))
    found = classes_present(truth, ids, 12, 4)
    for k in range(12):
        looked_at = truth[(ids == k) & ~trimmed]
        values = set((looked_at if len(looked_at) else truth[ids == k]).tolist())
        assert found[k].tolist() == [c in values for c in (0, 1, 2, 3, V)]


def test_undefined_is_a_click_only_where_it_is_kept():
    present = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
    assert click_cost(present).tolist() == [2, 0, 1, 0]  # all void: free, and no answer
    assert click_cost(present, "keep").tolist() == [3, 1, 1, 0]
    with pytest.raises(ValueError, match="choose one of drop, keep"):
        click_cost(present, "void")
