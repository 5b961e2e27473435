import re

import numpy as np
import pytest
import torch

from oreal_lib.aggregate import Regions, Remembering, by_label, by_superpixel, parse_how
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


@pytest.mark.parametrize("seed", range(3))
def test_aggregation_agrees_with_a_loop_over_superpixels(seed):
    rng = np.random.default_rng(seed)
    score, ids = rng.random((3, 11, 13)).astype(np.float32), rng.permutation(np.arange(11 * 13) % 9).reshape(11, 13)
    obvious = {
        "mean": lambda v: v.mean(),
        "max": lambda v: v.max(),
        "top_0.3": lambda v: np.sort(v)[-int(np.ceil(0.3 * len(v))) :].mean(),
        "top_1": lambda v: v.mean(),
        "quantile_0.8": lambda v: np.quantile(v, 0.8, method="lower"),
        "quantile_1": lambda v: v.max(),
        "power_1": lambda v: v.mean(),
        "power_8": lambda v: (v.astype(float) ** 8).mean() ** (1 / 8),
    }
    for how, f in obvious.items():
        ours = by_superpixel(torch.from_numpy(score), torch.from_numpy(ids), 9, how).numpy()
        slow = [[f(channel[ids == k]) for channel in score] for k in range(9)]
        np.testing.assert_allclose(ours, slow, rtol=1e-5, err_msg=how)


def test_growing_powers_approach_the_maximum():
    values = [by_superpixel(UNSURE, IDS, 2, f"power_{p}")[0, 0].item() for p in (1, 2, 8, 64, 256)]
    assert values == sorted(values) and values[-1] == pytest.approx(0.9, rel=0.01)


def test_vote_takes_the_most_frequent_class_and_the_lowest_on_a_tie():
    classes = torch.tensor([[[2, 2, 1, 3], [1, 0, 2, 0]]])
    assert by_superpixel(classes, IDS, 2, "vote")[:, 0].tolist() == [2, 0]


def test_an_empty_superpixel_is_never_a_candidate():
    for how in ("mean", "max", "top_0.5", "quantile_0.5", "power_2"):
        assert by_superpixel(UNSURE, IDS, 3, how)[2, 0] == -torch.inf


def test_the_order_of_pixels_changes_nothing():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    for how in ("mean", "max", "top_0.5", "quantile_0.5", "power_2"):
        shuffled = by_superpixel(UNSURE.view(1, 1, 8)[:, :, order], IDS.view(1, 8)[:, order], 2, how)
        assert torch.equal(shuffled, by_superpixel(UNSURE, IDS, 2, how)), how


@pytest.mark.parametrize("how", ["median", "top", "top_0", "top_1.5", "quantile_2", "power_0.5", "max_1", "power_\u0662", 3])
def test_an_unknown_aggregation_lists_the_choices(how):
    with pytest.raises(ValueError, match="choose mean, max, top_"):
        parse_how(how)


def pool(probabilities):
    maps = np.stack([IDS.numpy()] * len(probabilities)).astype(np.uint16)
    return Regions(lambda: iter(probabilities), Superpixels.from_maps(maps), probabilities[0].shape[0])


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


def test_a_model_that_predicts_nan_is_named_not_ranked():
    bad = torch.full((3, 2, 4), 1 / 3)
    bad[1, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="pool image 1, class 1"):
        pool([torch.full((3, 2, 4), 1 / 3), bad])(probability, "mean")


def test_ids_with_gaps_are_refused():
    with pytest.raises(ValueError, match="id 1 is empty"):
        Superpixels.from_maps(np.array([[[0, 2]]], np.uint16))


@pytest.mark.parametrize("wrong", [[[0.0, 1.0]], [[True, False]], [[-1, 0]], [[]], [["a", "b"]]])
def test_a_map_that_holds_no_ids_is_refused(wrong):
    with pytest.raises(ValueError, match=r"the map of image 0 is .* make them with superpixels.dense"):
        Superpixels.from_maps([np.array(wrong)])
    with pytest.raises(ValueError, match="of image 0 have gaps"):  # and no table of 10^18 numbers is made
        Superpixels.from_maps(np.array([[[0, 10**18]]]))


def test_a_subset_of_images_is_renumbered():
    maps = np.array([[[0, 0, 1]], [[0, 1, 2]], [[0, 0, 0]]], np.uint16)
    part = Superpixels.from_maps(maps).subset(np.array([2, 1]))
    assert part.offset.tolist() == [0, 1, 4] and part.size.tolist() == [3, 1, 1, 1] and part.image.tolist() == [0, 1, 1, 1]


def test_a_share_that_is_a_whole_number_of_pixels_is_not_rounded_up():
    """25 pixels times 0.6 are 15, though float32 says 15.000001."""
    score = torch.arange(25, dtype=torch.float32)
    assert by_superpixel(score.view(1, 5, 5), torch.zeros(5, 5, dtype=torch.int64), 1, "top_0.6").item() == score[10:].mean()


@pytest.mark.parametrize("how", ["mean", "max", "power_3"])
def test_what_each_label_adds_is_the_aggregation_with_zero_elsewhere(how):
    rng = np.random.default_rng(3)
    score, labels = torch.from_numpy(rng.random((1, 9, 8), np.float32)), torch.from_numpy(rng.integers(0, 4, (1, 9, 8)))
    ids = torch.from_numpy(rng.permutation(np.arange(72) % 5).reshape(9, 8))
    expected = [by_superpixel(torch.where(labels == c, score, 0.0), ids, 6, how)[:, 0] for c in range(4)]
    torch.testing.assert_close(by_label(score, labels, ids, 6, 4, how), torch.stack(expected, dim=1), rtol=1e-6, atol=0)


def test_an_order_of_pixels_cannot_be_taken_apart_by_label():
    with pytest.raises(ValueError, match=r"aggregate is 'top_0\.5', but only mean, max and power"):
        by_label(UNSURE, torch.zeros(1, 2, 4, dtype=torch.int64), IDS, 2, 1, "top_0.5")


def test_a_question_asked_before_costs_no_second_look():
    passes, p = [], torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(2)).softmax(dim=0)

    def predict():
        passes.append(1)
        yield p

    plain = pool([p])
    regions = Remembering(predict, plain.superpixels, 3)
    for _ in range(2):
        for question in [(bvsb, "max"), (bvsb, "mean"), (bvsb, "max", predicted_class), (predicted_class, "vote")]:
            assert np.array_equal(regions.together(question)[0], plain.together(question)[0])
    assert len(passes) == 4


@pytest.mark.parametrize("images", [1, 3])
def test_a_model_that_predicts_too_few_or_too_many_images_is_refused(images):
    p = torch.full((2, 2, 4), 0.5)
    two = pool([p, p]).superpixels
    with pytest.raises(ValueError, match=f"predicted {images} images, but the pool has 2"):
        Regions(lambda: iter([p] * images), two, 2)(probability, "mean")


def unknown_in_one_pixel(p):
    """A pixel score that is NaN where the model is surest of all, as 0 / 0 would be."""
    return torch.where(p == 0.75, torch.nan, p)


HOWS = ["mean", "max", "top_0.5", "quantile_0", "quantile_0.5", "power_2"]


@pytest.mark.parametrize("kind", [Regions, Remembering])
@pytest.mark.parametrize("how", HOWS)
def test_a_score_that_is_nan_of_finite_probabilities_is_named_with_its_image_and_class(how, kind):
    even = torch.full((2, 2, 4), 0.5)
    odd = even.clone()
    odd[:, 1, 3] = torch.tensor([0.25, 0.75])
    plain = pool([even, odd])
    with pytest.raises(FloatingPointError, match=r"the score unknown_in_one_pixel is NaN for .* 1, superpixel 1, class 1, though"):
        kind(plain.predict, plain.superpixels, 2).together((probability, "max"), (unknown_in_one_pixel, how))
    with pytest.raises(FloatingPointError, match=r"is NaN for pool image 1, superpixel 1, though .* mend that pixel score"):
        kind(plain.predict, plain.superpixels, 2)(lambda p: unknown_in_one_pixel(p)[:, 1:], how)
    named = kind(plain.predict, plain.superpixels, 2, names=("a", "b/7"), classes=("sky", "cat"))
    with pytest.raises(FloatingPointError, match=r"pool image 1 \(b/7\), superpixel 1, class 1 \(cat\), though"):
        named(unknown_in_one_pixel, how)


def test_a_model_that_predicts_nan_is_named_with_its_picture_and_class():
    bad = torch.full((2, 2, 4), 0.5)
    bad[1, 0, 0] = torch.inf
    plain = pool([bad])
    with pytest.raises(FloatingPointError, match=r"pool image 0 \(a\), class 1 \(cat\): the training has diverged"):
        Regions(plain.predict, plain.superpixels, 2, names=("a",), classes=("sky", "cat"))(probability, "mean")


def test_a_model_of_other_classes_or_another_size_is_refused():
    for p in (torch.full((3, 2, 4), 1 / 3), torch.full((2, 4, 2), 0.5)):
        with pytest.raises(ValueError, match=r"predicts \(.*\) for pool image 0, but .* need \(2, 2, 4\); take the model"):
            Regions(lambda p=p: iter([p]), pool([torch.zeros(2, 2, 4)]).superpixels, 2)(probability, "mean")


@pytest.mark.parametrize("power", ["power_64", "power_256"])
def test_powers_of_small_and_of_large_scores_are_numbers(power):
    """0.01^256 is 0 and 100^256 infinite in any float: all superpixels of a rare class would be equally unsure."""
    labels = torch.zeros(1, 2, 4, dtype=torch.int64)
    for scale in (1e-6, 1e-2, 1e2):
        score = torch.full((1, 2, 4), scale) * torch.tensor([1, 1, 1, 2])
        assert by_superpixel(score, IDS, 2, power)[:, 0].tolist() == pytest.approx([scale, 2 * scale])
        assert by_label(score, labels, IDS, 3, 2, power)[:2].tolist() == [pytest.approx([s, 0]) for s in (scale, 2 * scale)]


@pytest.mark.parametrize("score, how", [(UNSURE, "vote"), (UNSURE.long(), "mean"), (UNSURE.long(), "max")])
def test_class_ids_are_voted_on_and_scores_are_not(score, how):
    with pytest.raises(ValueError, match=rf"aggregate is '{how}', but the pixels hold (int64|float32); class ids"):
        by_superpixel(score, IDS, 2, how)


@pytest.mark.parametrize("change", [{}, {"labeling": "weak", "undefined": "keep"}])
def test_a_run_names_the_picture_and_the_class_of_what_is_no_number(tiny_config, tiny, change):
    config = tiny_config(strategy="bvsb", **change)
    setting = open_setting(config, tiny)
    model = network(config, len(tiny.classes))
    for weight in model.parameters():
        torch.nn.init.constant_(weight, torch.nan)
    picture = re.escape(tiny.names[setting.pool[0]])
    with pytest.raises(FloatingPointError, match=rf"for pool image 0 \({picture}\), class 0 \({tiny.classes[0]}\): the training"):
        ask(config, setting, setting.no_labels, model, 2, print)
    outputs = setting.oracle.answers.shape[1]
    assert setting.names["classes"] == (*tiny.classes, "void")[:outputs] and len(setting.names["names"]) == len(setting.pool)
