"""The photograph of lessons 02 and 03: rectangles get their class, and doubt lies on borders."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from oreal_lib.lessons import photograph
from oreal_lib.scores import bvsb


@pytest.fixture(scope="module")
def coffee():
    image, rectangles = photograph.coffee()
    return image, rectangles, photograph.probabilities(image, rectangles)


def test_probabilities_sum_to_1_at_each_pixel(coffee):
    image, rectangles, p = coffee
    assert p.shape == (1, len(rectangles), *image.shape[:2]) and p.dtype == torch.float32 and (p >= 0).all()
    torch.testing.assert_close(p.sum(dim=1), torch.ones(1, *image.shape[:2]))


def test_labeled_rectangles_get_their_class(coffee):
    _, rectangles, p = coffee
    for c, of_class in enumerate(rectangles.values()):
        for top, bottom, left, right in of_class:
            assert (p.argmax(dim=1)[0, top:bottom, left:right] == c).all()


def test_the_rim_of_the_cup_is_more_unsure_than_the_inside_and_the_table(coffee):
    """Down the column through its highest point, at row 17: table, rim, inside."""
    score = bvsb(coffee[2])[0, 0, :, 285]
    assert score[8:28].max() > 0.9
    assert score[50:70].max() < 0.1
    assert bvsb(coffee[2])[0, 0, 50:100, 500:580].max() < 0.1


def test_between_two_halves_the_border_is_unsure_and_the_halves_are_sure():
    """Two classes, and a picture whose sides are not divisible by 32: left red, right blue."""
    image = np.zeros((90, 140, 3), np.uint8)
    image[:, :72, 0] = image[:, 72:, 2] = 200
    p = photograph.probabilities(image, {"red": ((16, 80, 8, 40),), "blue": ((16, 80, 104, 136),)})
    score = bvsb(p)[0, 0, 16:80]
    assert p.shape == (1, 2, 90, 140)
    assert ((score[:, 56:88].argmax(dim=1) + 56 - 72).abs() <= 8).all()  # at most one position away
    assert score[:, 56:88].amax(dim=1).min() > 0.8 and max(score[:, 8:40].max(), score[:, 104:136].max()) < 0.2


def test_a_class_without_a_position_is_refused_by_its_name():
    rectangles = {"red": ((0, 32, 0, 32),), "speck": ((33, 35, 33, 35),)}
    with pytest.raises(ValueError, match="speck has no rectangle"):
        photograph.probabilities(np.zeros((64, 64, 3), np.uint8), rectangles)


def test_the_pictures_say_what_is_labeled_and_outline_the_highest(coffee):
    image, rectangles, _ = coffee
    figure, axes = plt.subplots(1, 3)
    photograph.draw_rectangles(image, rectangles, axes[0])
    assert {t.get_text() for t in axes[0].texts} == set(rectangles)
    assert len(axes[0].patches) == sum(len(r) for r in rectangles.values())
    ids = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    photograph.draw_query(np.full((2, 4, 3), 100, np.uint8), ids, torch.tensor([0.25, 0.75]), 1, axes[1:], "max")
    assert axes[1].get_title() == "max of each superpixel\ndark 0.25, light 0.75" and axes[2].get_title() == "the 1 highest by max"
    assert axes[1].images[0].get_array().tolist() == [[0.25, 0.25, 0.75, 0.75]] * 2
    yellow = (axes[2].images[0].get_array() == [255, 224, 0]).all(axis=-1)
    assert yellow[:, 2:].all() and not yellow[:, :2].any()
    assert Image.open(io.BytesIO(photograph.jpeg(figure, 30))).format == "JPEG"
    assert not plt.fignum_exists(figure.number)
