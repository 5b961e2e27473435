"""From the scores of pixels to one score per superpixel: the mean, the maximum, and what lies between, by hand."""

import re

import numpy as np
import pytest
import torch

from oreal_lib.aggregate import Regions, by_superpixel, parse_how
from oreal_lib.loop import ask
from oreal_lib.scores import bvsb, predicted_class, probability
from oreal_lib.setting import network, open_setting
from oreal_lib.types import Superpixels

IDS = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1]])
UNSURE = torch.tensor([[[0, 0, 0.9, 0.5], [0, 0, 0.0, 0.5]]])


def test_mean_dilutes_what_max_keeps():
    assert by_superpixel(UNSURE, IDS, 2, "mean")[:, 0].argmax() == 1  # mean asks inside
    assert by_superpixel(UNSURE, IDS, 2, "max")[:, 0].argmax() == 0  # max asks at the border


@pytest.mark.parametrize(
    "how, expected",
    [
        ("mean", [0.15, 0.5]),
        ("max", [0.9, 0.5]),
        ("top_0.5", [0.3, 0.5]),  # 3 of 6 pixels: 0.9, 0, 0
        ("top_0.01", [0.9, 0.5]),  # at least one pixel
        ("quantile_0.5", [0.0, 0.5]),
        ("quantile_1", [0.9, 0.5]),
        ("power_2", [(0.81 / 6) ** 0.5, 0.5]),
    ],
)
def test_the_spectrum_between_mean_and_max_by_hand(how, expected):
    assert by_superpixel(UNSURE, IDS, 2, how)[:, 0].tolist() == pytest.approx(expected)
    assert by_superpixel(UNSURE, IDS, 3, how)[2, 0] == -torch.inf  # an empty superpixel is never a candidate


def test_a_share_that_is_a_whole_number_of_pixels_is_not_rounded_up():
    """25 pixels times 0.6 are 15, though float32 says 15.000001."""
    score = torch.arange(25, dtype=torch.float32)
    assert by_superpixel(score.view(1, 5, 5), torch.zeros(5, 5, dtype=torch.int64), 1, "top_0.6").item() == score[10:].mean()


def test_vote_takes_the_most_frequent_class_and_the_lowest_on_a_tie():
    classes = torch.tensor([[[2, 2, 1, 3], [1, 0, 2, 0]]])
    assert by_superpixel(classes, IDS, 2, "vote")[:, 0].tolist() == [2, 0]


@pytest.mark.parametrize("score, how", [(UNSURE, "vote"), (UNSURE.long(), "mean"), (UNSURE.long(), "max")])
def test_class_ids_are_voted_on_and_scores_are_not(score, how):
    with pytest.raises(ValueError, match=rf"aggregate is '{how}', but the pixels hold (int64|float32); class ids"):
        by_superpixel(score, IDS, 2, how)


@pytest.mark.parametrize("how", ["median", "top", "top_0", "top_1.5", "quantile_2", "power_0.5", "max_1", 3])
def test_an_unknown_aggregation_lists_the_choices(how):
    with pytest.raises(ValueError, match="choose mean, max, sum, top_"):
        parse_how(how)


# --- the loop over the pool ---------------------------------------------------------------------------------------------


def pool(probabilities, **names):
    maps = np.stack([IDS.numpy()] * len(probabilities)).astype(np.uint16)
    return Regions(lambda: iter(probabilities), Superpixels.from_maps(maps), probabilities[0].shape[0], **names)


def test_regions_go_through_the_pool_in_order_and_once():
    a, b = torch.full((2, 2, 4), 0.5), torch.stack([torch.full((2, 4), 0.25), torch.full((2, 4), 0.75)])
    passes = []

    def predict():
        passes.append(1)
        yield from (a, b)

    regions = Regions(predict, pool([a, b]).superpixels, 2)
    mean, vote = regions.together((probability, "mean"), (predicted_class, "vote"))
    assert mean.tolist() == [[0.5, 0.5], [0.5, 0.5], [0.25, 0.75], [0.25, 0.75]]
    assert vote[:, 0].tolist() == [0, 0, 1, 1] and len(passes) == 1


def test_a_large_picture_has_the_scores_of_the_plain_functions():
    """More than one tile: what `Regions` computes in pieces is what the formulas say of the whole."""
    p = torch.randn(3, 300, 300, generator=torch.Generator().manual_seed(0)).softmax(dim=0)
    ids = (np.arange(300)[:, None] // 50 * 6 + np.arange(300) // 50).astype(np.uint16)
    found = Regions(lambda: iter([p]), Superpixels.from_maps(ids[None]), 3)(bvsb, "mean")
    assert np.array_equal(found, by_superpixel(bvsb(p[None])[0], torch.from_numpy(ids.astype(np.int64)), 36, "mean").numpy())


@pytest.mark.parametrize("images, said", [(1, "longer"), (3, "shorter")])
def test_a_model_that_predicts_too_few_or_too_many_images_is_refused(images, said):
    p = torch.full((2, 2, 4), 0.5)
    with pytest.raises(ValueError, match=f"is {said} than argument 1"):
        Regions(lambda: iter([p] * images), pool([p, p]).superpixels, 2)(probability, "mean")


def test_a_model_of_other_classes_or_another_size_is_refused():
    for p in (torch.full((3, 2, 4), 1 / 3), torch.full((2, 4, 2), 0.5)):
        with pytest.raises(ValueError, match=r"predicts \(.*\) for pool image 0, but .* need \(2, 2, 4\); take the model"):
            Regions(lambda p=p: iter([p]), pool([torch.zeros(2, 2, 4)]).superpixels, 2)(probability, "mean")


@pytest.mark.parametrize(
    "names, said", [({}, "pool image 1, class 1:"), ({"names": "ab", "classes": ["sky", "cat"]}, "1 (b), class 1 (cat):")]
)
def test_a_model_that_predicts_nan_or_infinity_is_named_with_its_picture_and_class(names, said):
    for wrong in (torch.nan, torch.inf):
        bad = torch.full((2, 2, 4), 0.5)
        bad[1, 0, 0] = wrong
        with pytest.raises(FloatingPointError, match=re.escape(said) + " the training has diverged"):
            pool([torch.full((2, 2, 4), 0.5), bad], **names)(probability, "mean")


def unknown_in_one_pixel(p):
    """A pixel score that is NaN where the model is surest of all, as 0 / 0 would be."""
    return torch.where(p == 0.75, torch.nan, p)


@pytest.mark.parametrize("how", ["mean", "max", "top_0.5", "quantile_0", "quantile_0.5", "power_2"])
def test_a_score_that_is_nan_of_finite_probabilities_is_named_with_its_image_and_class(how):
    even = torch.full((2, 2, 4), 0.5)
    odd = even.clone()
    odd[:, 1, 3] = torch.tensor([0.25, 0.75])
    plain, named = pool([even, odd]), pool([even, odd], names=("a", "b/7"), classes=("sky", "cat"))
    with pytest.raises(FloatingPointError, match=r"the score unknown_in_one_pixel is NaN for .* 1, superpixel 1, class 1, though"):
        plain.together((probability, "max"), (unknown_in_one_pixel, how))
    with pytest.raises(FloatingPointError, match=r"pool image 1 \(b/7\), superpixel 1, class 1 \(cat\), though"):
        named(unknown_in_one_pixel, how)


@pytest.mark.parametrize("change", [{}, {"labeling": "weak", "undefined": "keep"}])
def test_a_run_names_the_picture_and_the_class_of_what_is_not_a_number(tiny_config, tiny, change):
    config = tiny_config(strategy="bvsb", **change)
    setting = open_setting(config, tiny)
    model = network(config, len(tiny.classes))
    for weight in model.parameters():
        torch.nn.init.constant_(weight, torch.nan)
    picture = re.escape(tiny.names[setting.pool[0]])
    with pytest.raises(FloatingPointError, match=rf"for pool image 0 \({picture}\), class 0 \({tiny.classes[0]}\): the training"):
        ask(config, setting, model, setting.no_labels, 2)
    outputs = setting.oracle.answers.shape[1]
    assert setting.names["classes"] == (*tiny.classes, "void")[:outputs] and len(setting.names["names"]) == len(setting.pool)
