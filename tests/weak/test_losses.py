from math import log

import pytest
import torch

from oreal_lib.weak.losses import EPS, weak_loss

CE, MERGED, PROTOTYPICAL = (1, 0, 0), (0, 1, 0), (0, 0, 1)  # weights of one term alone
MULACTSEG = (16, 8, 1)


def slowly(logits, ids, present):
    """The three terms of MulActSeg, pixel by pixel and superpixel by superpixel."""
    one, many, pairs = [], [], []
    p = logits.softmax(1)
    for b in range(len(ids)):
        for k in range(present.shape[1]):
            named = present[b, k].nonzero()[:, 0].tolist()
            pixels = (ids[b] == k).nonzero().tolist()
            for y, x in pixels:
                if len(named) == 1:
                    one.append(-torch.log(p[b, named[0], y, x] + EPS))
                if len(named) > 1:
                    many.append(-torch.log(sum(p[b, c, y, x] for c in named) + EPS))
            for c in named if len(named) > 1 and pixels else []:
                y, x = max(pixels, key=lambda yx: float(p[b, c, yx[0], yx[1]].detach()))  # the first of equals
                pairs.append(-torch.log(p[b, c, y, x] + EPS))
    return [sum(terms, logits.sum() * 0) / (1 + len(terms)) for terms in (one, many, pairs)]


def random_case(seed, b=3, s=7, c=4, h=6, w=5):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(-1, s, (b, h, w), generator=g, dtype=torch.int32)
    present = torch.rand(b, s, c, generator=g) < torch.rand(b, s, 1, generator=g)  # from no class to all
    logits = torch.rand(b, c, h, w, generator=g, dtype=torch.float64) * 2 - 1
    return logits.mul_(10).requires_grad_(), ids, present  # as decided as cosines of a temperature of 0.1


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits, retain_graph=True)[0]


@pytest.mark.parametrize("seed", range(6))
def test_values_and_gradients_are_those_of_the_obvious_loops(seed):
    logits, ids, present = random_case(seed)
    ce, mp, pp = slowly(logits, ids, present)
    pairs = [
        (weak_loss(logits, ids, present, MERGED), mp),
        (weak_loss(logits, ids, present, PROTOTYPICAL), pp),
        (weak_loss(logits, ids, present, MULACTSEG), 16 * ce + 8 * mp + pp),
        (weak_loss(logits, ids, present, CE), slowly(logits, ids, present)[0]),
    ]
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, rtol=1e-10)
        assert torch.allclose(gradient(ours, logits), gradient(theirs, logits), rtol=1e-8, atol=1e-12)


def test_three_pixels_by_hand():
    # p = 1/2, 1/4, 1/4 everywhere; superpixel 0 (one pixel) is class 0, superpixel 1 (two) has classes 1 and 2; one padding
    logits = torch.tensor([0.5, 0.25, 0.25]).log()[None, :, None, None].expand(1, 3, 2, 2)
    ids = torch.tensor([[[0, 1], [1, -1]]], dtype=torch.int32)
    present = torch.tensor([[[1, 0, 0], [0, 1, 1]]], dtype=torch.bool)
    each = [float(weak_loss(logits, ids, present, w)) for w in (CE, MERGED, PROTOTYPICAL)]
    assert each == pytest.approx([log(2) / 2, 2 * log(2) / 3, 2 * log(4) / 3])  # divided by 1 + their number
    assert float(weak_loss(logits, ids, present, MULACTSEG)) == pytest.approx(16 * each[0] + 8 * each[1] + each[2])


def test_the_prototype_alone_is_pulled_and_of_equals_the_first():
    ids = torch.zeros(1, 1, 4, dtype=torch.int32)
    present = torch.tensor([[[True, True, False]]])
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 0, 0] = torch.tensor([0.1, 0.4, 0.4, 0.0])
    logits[0, 1, 0, 3] = 0.2
    logits.requires_grad_()
    pulled = gradient(weak_loss(logits, ids, present, PROTOTYPICAL), logits)[0, :, 0].abs().sum(0)
    assert pulled.nonzero()[:, 0].tolist() == [1, 3]  # pixel 1 for class 0 (pixel 2 is as sure), pixel 3 for class 1


@pytest.mark.parametrize("case", ["nothing answered", "padding only", "no superpixel at all", "only superpixels out of the crop"])
def test_a_crop_without_labels_has_loss_and_gradient_0(case):
    logits, ids, present = random_case(2)
    if case == "nothing answered":
        present = torch.zeros_like(present)
    elif case == "padding only":
        ids = torch.full_like(ids, -1)
    elif case == "no superpixel at all":
        ids, present = torch.full_like(ids, -1), present[:, :0]
    else:
        ids, present[:, 1:] = torch.ones_like(ids), False
    for weights in (CE, MERGED, PROTOTYPICAL):
        value = weak_loss(logits, ids, present, weights)
        assert value == 0 and not gradient(value, logits).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e4, 0.0])
def test_probabilities_of_0_and_1_stay_finite(dtype, size):
    logits, ids, present = random_case(3)
    z = (logits.detach().sign() * size).to(dtype).requires_grad_()
    value = weak_loss(z, ids, present, MULACTSEG)
    assert value.isfinite() and value.dtype == torch.float32
    slope = gradient(value, z)
    assert slope.isfinite().all() and slope.dtype == dtype
