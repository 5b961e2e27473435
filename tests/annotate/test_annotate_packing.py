import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate.packing import jpeg, pack_ids
from oreal_lib.data.readers.toy import draw_scene
from oreal_lib.superpixels import SuperpixelRecipe, superpixels


def test_ids_are_told_by_two_bits_a_pixel_and_the_differences_that_no_neighbor_has():
    ids = np.array([[0, 0, 1], [0, 2, 1]], np.uint16)
    # The first two pixels and their neighbors are 0, as is all before them: code 0, inside. So is the third's surrounding, but it
    # is 1, which no neighbor is: code 3, difference 1. Of the second row all see that 1 or the 2, on the left or above right:
    # 0 (left is the 1 of the row before, corner 0: guess left, 1; other is above, 0): code 1; 2: code 3, difference 2;
    # 1 (left 2, corner 0, above 1: guess left; other above): code 1.
    packed = zlib.decompress(pack_ids(ids))
    head, rest = np.frombuffer(packed[:8], "<u4").tolist(), packed[8:]
    inside, others = 0b11_00_00, 0b01_11_01
    assert head[0] == 2
    assert np.frombuffer(rest[:4], "<u2").tolist() == [1, 2]
    assert (head[1], list(rest[4:])) == (1, [inside, others])


def test_superpixels_take_less_than_two_thirds_of_what_zlib_needs():
    image, _ = draw_scene(np.random.default_rng(0), 256, 384)
    ids = superpixels(image, SuperpixelRecipe(count=100, levels="auto"))
    assert 3 * len(pack_ids(ids)) < 2 * len(zlib.compress(ids, 6))


@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_a_picture_comes_back_from_its_jpeg_nearly_as_it_was(size):
    image = np.full((*size, 3), (200, 100, 50), np.uint8)
    with Image.open(BytesIO(jpeg(image))) as picture:
        assert np.abs(np.asarray(picture).astype(int) - image).max() <= 3
