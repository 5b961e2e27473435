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


def obvious(p):
    """Each score of one pixel, in float64 and without any trick."""
    p = p.double()
    best = p.sort(dim=1, descending=True).values
    return {
        entropy: -torch.xlogy(p, p).sum(dim=1, keepdim=True),
        bvsb: best[:, 1:2] / best[:, :1],
        bvsb_margin: 1 - best[:, :1] + best[:, 1:2],
        ovr_entropy: -torch.xlogy(p, p) - torch.special.xlog1py(1 - p, -p),
        predicted_class: p.argmax(dim=1, keepdim=True),
    }


@pytest.mark.parametrize("classes", [2, 3, 19])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_fast_scores_are_the_obvious_ones(classes, channels_last):
    p = (4 * torch.randn(2, classes, 257, 300, generator=torch.Generator().manual_seed(classes))).softmax(dim=1)  # 2 tiles
    p[:, 0, :2], p[:, 1, :2], p[:, 2:, :2] = 0.5, 0.5, 0  # ties, 0
    p[:, 0, 2], p[:, 1:, 2] = 1, 0
    p = p.contiguous(memory_format=torch.channels_last) if channels_last else p
    before = p.clone()
    for score, expected in obvious(p).items():
        found = score(p)
        assert found.shape == expected.shape and found.dtype == (torch.int64 if score is predicted_class else torch.float32)
        torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=1e-7)
    assert torch.equal(bvsb(p), p.topk(2, dim=1).values[:, 1:2] / p.topk(2, dim=1).values[:, :1])  # bit for bit
    assert torch.equal(p, before)


def test_tiles_give_the_same_bits_as_the_whole():
    p = torch.randn(1, 7, 300, 300, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    for score in (entropy, bvsb, bvsb_margin, ovr_entropy, ovr_doubt, predicted_class):
        assert torch.equal(score(p), score.__wrapped__(p)), score.__name__


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
