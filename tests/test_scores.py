import math

import pytest
import torch

from oreal_lib.scores import bvsb, bvsb_margin, entropy, ovr_entropy, predicted_class, weighted_bvsb


def pixels(*rows):
    """One image of len(rows) pixels with the class probabilities given."""
    return torch.tensor(rows, dtype=torch.float32).T[None, :, None, :]


@pytest.mark.parametrize(
    "row, h, ratio, margin",
    [
        ([1.0, 0.0, 0.0], 0.0, 0.0, 0.0),
        ([0.5, 0.5, 0.0], math.log(2), 1.0, 1.0),
        ([1 / 3, 1 / 3, 1 / 3], math.log(3), 1.0, 1.0),
        ([0.6, 0.3, 0.1], -(0.6 * math.log(0.6) + 0.3 * math.log(0.3) + 0.1 * math.log(0.1)), 0.5, 0.7),
    ],
)
def test_scores_of_one_pixel_by_hand(row, h, ratio, margin):
    p = pixels(row)
    assert entropy(p).item() == pytest.approx(h, abs=1e-6)
    assert bvsb(p).item() == pytest.approx(ratio, abs=1e-6)
    assert bvsb_margin(p).item() == pytest.approx(margin, abs=1e-6)


def test_one_vs_rest_entropy_asks_each_class_its_own_question():
    h = ovr_entropy(pixels([0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.9, 0.05, 0.05]))[0, :, 0]
    ln2, at = math.log(2), -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert h[:, 0].tolist() == pytest.approx([ln2, ln2, 0.0])
    assert h[:, 1].tolist() == [0.0, 0.0, 0.0]  # exactly: P of 0 and 1 leave no doubt
    assert h[0, 2].item() == pytest.approx(at)
    assert h.max() <= ln2 + 1e-7


def test_one_vs_rest_entropy_falls_with_the_distance_from_one_half():
    p = torch.rand(1, 5, 20, 20, generator=torch.Generator().manual_seed(0))
    order = ovr_entropy(p).flatten().argsort()
    distance = (p.flatten() - 0.5).abs()[order]
    assert (distance.diff() <= 1e-3).all()


def test_scores_keep_their_letters():
    p = torch.rand(2, 4, 3, 5).softmax(dim=1)
    for score, k in [(entropy, 1), (bvsb, 1), (bvsb_margin, 1), (ovr_entropy, 4), (predicted_class, 1)]:
        assert score(p).shape == (2, k, 3, 5)


def test_pixelbal_weighs_each_pixel_by_its_predicted_class():
    p = pixels([0.6, 0.3, 0.1], [0.1, 0.3, 0.6])
    assert weighted_bvsb(p, torch.tensor([2.0, 1.0, 10.0])).flatten().tolist() == pytest.approx([1.0, 5.0])
