"""What is computed sooner has the bits of its plain twin."""

from functools import partial

import pytest
import torch

from oreal_lib import scores
from oreal_lib.fast import tiles
from oreal_lib.fast.tiles import PIXELWISE, first_largest, in_tiles, power_sums, softmax_by_class

WEIGHT = torch.linspace(0.1, 1, 19, dtype=torch.float64)


def plain_scores(classes):
    """Every pixel score, as a strategy asks it."""
    return [partial(s, weight=WEIGHT[:classes]) if s is scores.weighted_bvsb else s for s in PIXELWISE]


@pytest.mark.parametrize("classes", [2, 3, 19])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_score_in_tiles_has_the_bits_of_the_plain_score(classes, channels_last):
    p = (4 * torch.randn(2, classes, 257, 300, generator=torch.Generator().manual_seed(classes))).softmax(dim=1)  # 2 tiles
    p[:, 0, :2], p[:, 1, :2], p[:, 2:, :2] = 0.5, 0.5, 0  # ties, 0
    p[:, 0, 2], p[:, 1:, 2] = 1, 0
    p = p.contiguous(memory_format=torch.channels_last) if channels_last else p
    before = p.clone()
    for score in plain_scores(classes):
        assert torch.equal(in_tiles(score, p), score(p)), score
    assert torch.equal(p, before)


@pytest.mark.parametrize("tile", [64, 192])  # whole vectors of the processor, as TILE is
def test_smaller_tiles_give_the_same_bits(tile, monkeypatch):
    p = torch.randn(1, 5, 17, 19, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    monkeypatch.setattr(tiles, "TILE", tile)
    for score in plain_scores(5):
        assert torch.equal(in_tiles(score, p), score(p)), score


def test_a_score_of_your_own_is_given_the_whole_picture(monkeypatch):
    p = torch.rand(1, 2, 8, 8)
    monkeypatch.setattr(tiles, "TILE", 8)
    assert torch.equal(in_tiles(lambda p: p - p.mean(dim=(2, 3), keepdim=True), p), p - p.mean(dim=(2, 3), keepdim=True))


def test_one_class_is_refused_as_by_the_plain_score():
    with pytest.raises(ValueError, match="compares two classes, but there is 1; add one"):
        in_tiles(scores.bvsb, torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("power", [1.0, 8.0])
def test_sums_by_id_are_those_of_a_loop(power, monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 30)
    generator = torch.Generator().manual_seed(0)
    flat, ids = torch.rand(2, 100, generator=generator), torch.randint(6, (100,), generator=generator)
    found = power_sums(flat, ids, 7, power)
    plain = torch.zeros(2, 7, dtype=torch.float64).index_add_(1, ids, flat.double() ** power)
    assert found.dtype == torch.float64 and torch.equal(found, plain)
    assert found[:, 6].tolist() == [0, 0] and found[0, 3].item() == pytest.approx(
        (flat[0, ids == 3].double() ** power).sum().item()
    )


@pytest.mark.parametrize("height, width", [(3, 4), (65, 64), (90, 91)])  # less than a piece, one, several
def test_softmax_by_class_has_the_bits_of_softmax(height, width):
    z = 5 * torch.randn(height, width, 7, generator=torch.Generator().manual_seed(height)).permute(2, 0, 1)  # as networks leave it
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found, plain = softmax_by_class(z), z.contiguous().softmax(dim=0)
    finally:
        torch.set_num_threads(threads)
    assert found.is_contiguous() and torch.equal(found, plain)


def test_the_first_of_equals_is_the_largest():
    table = torch.tensor([[0.2, 0.5, 0.0], [0.6, 0.5, 0.0], [0.2, 0.0, 1.0], [0.6, 0.0, 1.0]])  # each column is a pixel
    assert first_largest(table).tolist() == [1, 0, 2]
    many = torch.randint(9, (255, 7, 5), generator=torch.Generator().manual_seed(0)).float()  # full of ties
    assert torch.equal(first_largest(many).long(), many.argmax(dim=0))
