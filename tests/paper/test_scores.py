"""The scores of a pixel, from its class probabilities p, by hand.

entropy -sum p log p.  BvSB: the second largest p over the largest; as a margin: 1 - (largest - second largest).
One-vs-rest entropy, for each class: -p log p - (1 - p) log(1 - p).
"""

import math

import pytest
import torch

from oreal_lib.scores import bvsb, bvsb_margin, entropy, ovr_doubt, ovr_entropy, ovr_entropy_of, predicted_class, weighted_bvsb


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


def test_a_small_probability_keeps_its_rank():
    """log(1 - p) of float32 would be 0 for both, and so the entropy of p = 1e-9 would lose a share of -p."""
    p = torch.tensor([1e-9, 2e-9, 1e-30])
    exact = -torch.xlogy(p.double(), p.double()) - torch.special.xlog1py(1 - p.double(), -p.double())
    torch.testing.assert_close(ovr_entropy(p[None, :, None, None]).flatten().double(), exact, rtol=1e-6, atol=0)


def test_one_vs_rest_entropy_falls_with_the_distance_from_one_half():
    p = torch.rand(1, 5, 20, 20, generator=torch.Generator().manual_seed(0))
    distance = (p.flatten() - 0.5).abs()[ovr_entropy(p).flatten().argsort()]
    assert (distance.diff() <= 1e-3).all()


def test_scores_keep_their_letters():
    p = torch.rand(2, 4, 3, 5).softmax(dim=1)
    for score, k in [(entropy, 1), (bvsb, 1), (bvsb_margin, 1), (ovr_entropy, 4), (predicted_class, 1)]:
        assert score(p).shape == (2, k, 3, 5)


def test_the_predicted_class_is_the_lowest_of_equals():
    assert predicted_class(pixels([0.1, 0.8, 0.1], [0.4, 0.2, 0.4])).flatten().tolist() == [1, 0]


def test_pixelbal_weighs_each_pixel_by_its_predicted_class():
    p = pixels([0.6, 0.3, 0.1], [0.1, 0.3, 0.6])
    assert weighted_bvsb(p, torch.tensor([2.0, 1.0, 10.0])).flatten().tolist() == pytest.approx([1.0, 5.0])


def test_doubt_ranks_as_the_exact_entropy_where_float32_entropies_are_ties():
    near = torch.tensor([0.5, 0.50001, 0.4999, 0.49995, 0.3, 1e-9, 2e-9, 1 - 1e-7, 1.0, 0.0])
    exact = -torch.xlogy(near.double(), near.double()) - torch.special.xlog1py(1 - near.double(), -near.double())
    doubt = ovr_doubt(near[None, :, None, None]).flatten()
    assert doubt.argsort(stable=True).tolist() == exact.argsort(stable=True).tolist()
    assert len(ovr_entropy(near[None, :, None, None])[0, :2].unique()) == 1 and doubt[0] > doubt[1]  # a tie, and none
    torch.testing.assert_close(ovr_entropy_of(doubt).double(), exact, rtol=1e-6, atol=0)
    assert ovr_entropy_of(torch.tensor([0.5, 0.0])).tolist() == [pytest.approx(math.log(2)), 0.0]


@pytest.mark.parametrize("score", [bvsb, bvsb_margin, lambda p: weighted_bvsb(p, torch.ones(1))])
def test_one_class_has_no_second_best(score):
    with pytest.raises(ValueError, match="compares two classes, but there is 1; add one"):
        score(torch.ones(1, 1, 2, 2))
