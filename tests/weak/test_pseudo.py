import tracemalloc
from math import cos, isnan, radians, sin

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from oreal_lib.types import IGNORE
from oreal_lib.weak.pseudo import _Upsampled, pooled, prototypes, pseudo_labels, quality

V = IGNORE


def angles(*degrees):
    """(2, 1, W) features: the directions of one row of pixels."""
    return torch.tensor([[[cos(radians(d)) for d in degrees]], [[sin(radians(d)) for d in degrees]]])


def sure(*classes, n=2):
    """(n, 1, W) logits: pixels each sure of one class (None: of none)."""
    return torch.tensor([[[4.0 if c == k else 0.0 for k in classes]] for c in range(n)])


def row_of_pixels(features, logits, ids, answers):
    """Pseudo labels of one row; answers: superpixel -> its classes, of those asked."""
    asked = np.array([k in answers for k in range(max(ids) + 1)])
    present = np.array([[c in answers.get(k, ()) for c in range(len(logits))] for k in range(len(asked))])
    return pseudo_labels(features, logits, np.array([ids]), present, asked)[0].tolist()


def test_pixels_follow_the_prototype_they_resemble_and_neighbors_only_if_closer_than_the_median():
    features = angles(0, 10, 90, 5, 80, 45)
    logits = sure(0, None, 1, None, None, None)
    # class 0 won 0 and 10 degrees, lower median cos 10: 5 degrees is closer. Class 1 won only itself: no one is closer.
    assert row_of_pixels(features, logits, [0, 0, 0, 1, 1, 1], {0: [0, 1]}) == [0, 0, 1, 0, V, V]


def test_as_close_as_the_median_is_not_closer():
    assert row_of_pixels(angles(0, 0, 0), sure(0, None, None), [0, 0, 1], {0: [0]}) == [0, 0, V]


def test_nearest_decides_the_class_but_any_prototype_lets_in():
    a, b, c, n = (1, 0, 0), (0.2, 0.1, 0.95**0.5), (0, 1, 0), (0.5, 0.6, 0.39**0.5)
    features = torch.tensor([a, b, c, n]).T[:, None]
    # n is nearest to c (0.6), which only lets in what is closer than 1; but a, which won b, lets in what is above 0.2
    assert row_of_pixels(features, sure(0, None, 1, None), [0, 0, 0, 1], {0: [0, 1]}) == [0, 0, 1, 1]


def test_the_prototype_is_the_surest_pixel_at_temperature_1():
    logits = torch.tensor([[1.0, 0.6, 0, 0], [0.0, 0, 0, 0], [0.0, -9, 0, 0]])[:, None]  # at 0.1 the first would be surer
    assert row_of_pixels(angles(0, 90, 80, -10), logits, [0, 0, 1, 1], {0: [0]}) == [0, 0, 0, V]


def test_the_first_of_pixels_equally_sure_is_the_prototype():
    logits = np.array([[1, 0.6, 0, 1], [0, 0, 0, 0], [0, -9, 0, 0]], np.float32)
    assert prototypes(logits, np.array([7, 8, 10, 11]), np.array([0, 1, 2])).tolist() == [8, 8, 10]
    assert prototypes(logits[:, [0, 3]], np.array([7, 11]), np.array([0])).tolist() == [7]


@pytest.mark.parametrize("ids, expected", [([0, 0, 1, 2, 2], 1), ([2, 2, 1, 0, 0], 0)])
def test_of_two_superpixels_that_reach_a_pixel_the_higher_id_prevails(ids, expected):
    answers = {ids[0]: [0], ids[-1]: [1]}
    found = row_of_pixels(angles(0, 30, 10, 30, 0), sure(0, None, None, None, 1), ids, answers)
    assert found == [0, 0, expected, 1, 1]


def test_no_one_overwrites_an_answer_but_a_void_answer_is_none():
    features, logits = angles(0, 30, 10), sure(0, None, None)
    assert row_of_pixels(features, logits, [0, 0, 1], {0: [0], 1: [1]}) == [0, 0, 1]
    assert row_of_pixels(features, logits, [0, 0, 1], {0: [0], 1: []}) == [0, 0, 0]
    assert row_of_pixels(features, logits, [0, 0, 1], {1: []}) == [V, V, V]


def test_neighbors_touch_at_corners_too_and_others_are_out_of_reach():
    ids = np.array([[0, 0, 2, 3], [2, 2, 1, 3]])
    features = torch.ones(1, 2, 4)
    features[0, 0, 1] = 0.9  # the lower median inside: 0.9 < 1
    found = pseudo_labels(features, torch.zeros(1, 2, 4), ids, np.eye(4, 1, dtype=bool), np.arange(4) == 0)
    assert found.tolist() == [[0, 0, 0, V], [0, 0, 0, V]]


def slowly(features, logits, ids, present, asked, covered):
    """The six steps of the specification, one pixel at a time, on features upsampled as a whole."""
    f = F.interpolate(features[None].double(), covered, mode="bilinear", align_corners=False)[0].numpy()
    p, (h, w) = logits.double().softmax(0).numpy(), ids.shape
    out, inside = np.full((h, w), V), np.full((h, w), V)
    for k in range(len(asked)):
        if not (asked[k] and present[k].any() and (ids == k).any()):
            continue
        classes, own = [c for c in range(len(p)) if present[k, c]], [tuple(i) for i in np.argwhere(ids == k)]
        prototypes = [f[:, *max(own, key=lambda i: p[c, *i])] for c in classes]
        s = np.array([[[np.round(f[:, y, x] @ v, 9) for x in range(w)] for y in range(h)] for v in prototypes])
        nearest = s.argmax(0)
        bar = []
        for j in range(len(classes)):
            won = sorted(s[j, *i] for i in own if nearest[i] == j)
            bar.append(won[(len(won) - 1) // 2] if won else 1.0)
        reached = np.unique(ids[ndimage.binary_dilation(ids == k, np.ones((3, 3)))])
        for i in np.ndindex(h, w):
            if ids[i] in reached and any(s[j, *i] > bar[j] for j in range(len(classes))):
                out[i] = classes[nearest[i]]
            if ids[i] == k:
                inside[i] = classes[nearest[i]]
    return np.where(inside != V, inside, out)


@pytest.mark.parametrize("seed", range(4))
def test_pseudo_labels_are_those_of_the_obvious_loops(seed):
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    low, covered = [((4, 5), (16, 20)), ((12, 16), (12, 16)), ((3, 4), (12, 17)), ((7, 8), (14, 16))][seed % 4]
    h, w = covered[0] - seed % 3, covered[1] - seed % 2  # the network may have padded the image
    ids = rng.integers(0, 14, (6, 7)).repeat(3, axis=0).repeat(3, axis=1)[:h, :w]
    asked = rng.random(14) < 0.4
    present = asked[:, None] & (rng.random((14, 4)) < rng.random((14, 1)))
    features, logits = F.normalize(torch.randn(3, *low, generator=g), dim=0), torch.randn(4, h, w, generator=g)
    found = pseudo_labels(features, logits, ids, present, asked, covered)
    assert found.dtype == np.uint8 and np.array_equal(found, slowly(features, logits, ids, present, asked, covered))
    assert 0 < (found[~asked[ids]] != V).mean() < 1


@pytest.mark.parametrize("low, covered", [((4, 5), (16, 20)), ((5, 6), (80, 96)), ((3, 7), (8, 7)), ((5, 4), (13, 11))])
def test_a_crop_of_the_upsampled_features_is_that_of_torch(low, covered):
    features = torch.randn(6, *low, generator=torch.Generator().manual_seed(0))
    whole = F.interpolate(features[None], covered, mode="bilinear", align_corners=False)[0].numpy()
    shown = (covered[0] - 1, covered[1] - 2)
    upsampled = _Upsampled(features.numpy(), shown, covered)
    whole = whole[:, : shown[0], : shown[1]].reshape(6, -1)
    everywhere = np.arange(whole.shape[1])
    assert np.allclose(upsampled.at(everywhere), whole, atol=1e-6)
    some, few = everywhere[5::3], everywhere[[0, 7, -1]]
    assert np.allclose(upsampled.likeness(few, some), whole[:, few].T @ whole[:, some], atol=1e-5)


def test_memory_is_that_of_a_neighborhood():
    ids = np.arange(256)[:, None] // 16 * 16 + np.arange(256) // 16
    features = F.normalize(torch.randn(256, 64, 64, generator=torch.Generator().manual_seed(0)), dim=0)
    present = np.ones((256, 4), bool)
    tracemalloc.start()
    pseudo_labels(features, torch.zeros(4, 256, 256), ids, present, np.arange(256) % 3 == 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # features of every pixel would be 67 MB, all prototypes with every pixel 89 MB


def test_quality_by_hand():
    ids, named = np.array([[0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]]), np.array([1, 0, 2])
    truth = np.array([[0, 1, V, 0, 0, 1, V, 1, 0, 0, 1, 1, 1]], np.uint8)
    pseudo = np.array([[0, 0, 1, 0, 1, 1, 1, V, 0, 1, 1, 1, 1]], np.uint8)
    one = quality(pseudo, truth, ids, named)
    assert one["inside_accuracy"] == 5 / 7 and one["expansion_accuracy"] == 2 / 3 and one["expansion_share"] == 4 / 13
    assert one["several_accuracy"] == 4 / 5 and one["several_dominant"] == 3 / 5  # a single label would be 1
    none = quality(np.full_like(pseudo, V), truth, ids, named)
    assert isnan(none["inside_accuracy"]) and isnan(none["several_accuracy"]) and none["expansion_share"] == 0
    both = pooled([one, one, quality(pseudo[:, :8], truth[:, :8], ids[:, :8], named[:2])])
    assert both["inside_accuracy"] == 11 / 16 and both["several_accuracy"] == 4 / 5 and both["expansion_share"] == 12 / 34
    assert pooled([one]) == one


@pytest.mark.parametrize("name", ["features", "logits"])
def test_a_network_that_is_no_number_makes_no_pseudo_labels(name):
    """A NaN would be the pixel most like everything."""
    given = {"features": torch.ones(3, 2, 2), "logits": torch.zeros(2, 2, 2)}
    given[name][1, 0, 1] = torch.nan
    with pytest.raises(FloatingPointError, match=f"the model's {name} hold NaN or infinity.* lower learning_rate"):
        pseudo_labels(*given.values(), np.zeros((2, 2), int), np.ones((1, 2), bool), np.ones(1, bool))
