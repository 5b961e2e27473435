"""Augmentation: image, target and superpixels change together, colors alone."""

import numpy as np
import pytest
import torch
from torch import nn

from oreal_lib.batches import NO_SUPERPIXEL, Pairs, batches, epoch, load
from oreal_lib.storage.ragged import Ragged
from oreal_lib.types import IGNORE

PLAIN = {"augment_gain": 0.0, "augment_brightness": 0.0, "augment_hflip": 0.0, "augment_vflip": 0.0, "batch_size": 6}
CPU = torch.device("cpu")


def pictures(seed=0):
    """Six images whose red says the class, 51 + 51 c, in 8x8 blocks; the target is that class, the superpixel id 7 + c."""
    y = np.random.default_rng(seed).integers(0, 3, (6, 4, 5)).repeat(8, 1).repeat(8, 2)
    return Pairs((51 + 51 * y[..., None]).repeat(3, -1).astype(np.uint8), y.astype(np.uint8), (7 + y).astype(np.uint16))


def one_batch(config, seed=0, pairs=None):
    """All six images in one batch, and the draws it was made of."""
    pairs = pairs or pictures()
    (draws,) = epoch(np.arange(6), 1, config, np.random.default_rng(seed))
    size = (config.height, config.width) if config.resize == "crop" else None
    return load(pairs, draws, size), draws


def same(a, b):
    return torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and (a.ids is b.ids is None or torch.equal(a.ids, b.ids))


@pytest.mark.parametrize("images, batch_size, iterations", [(7, 3, 9), (5, 8, 4), (6, 2, 3), (1, 4, 2)])
def test_batches_walk_in_rounds_and_none_is_short(tiny_config, images, batch_size, iterations):
    trainable = np.arange(images) * 10 + 3
    got = list(epoch(trainable, iterations, tiny_config(batch_size=batch_size), np.random.default_rng(0)))
    assert [len(b) for b in got] == [batch_size] * iterations
    walk = [draw.index for batch in got for draw in batch]
    rounds = [walk[i : i + images] for i in range(0, len(walk), images)]
    for one in rounds:  # the last round may be cut
        assert len(set(one)) == len(one) and set(one) <= set(trainable.tolist())
    assert images == 1 or any(one != rounds[0][: len(one)] for one in rounds[1:]) or len(rounds) == 1


def test_image_target_and_superpixels_flip_together(tiny_config):
    pairs = pictures()
    for share_h, share_v, axes in [(1.0, 0.0, (2,)), (0.0, 1.0, (1,)), (1.0, 1.0, (1, 2)), (0.0, 0.0, ())]:
        batch, draws = one_batch(tiny_config(**PLAIN | {"augment_hflip": share_h, "augment_vflip": share_v}))
        order = [draw.index for draw in draws]
        assert np.array_equal(batch.y, np.flip(pairs.target[order], axes))
        assert np.array_equal(batch.ids, np.flip(pairs.ids[order], axes))
        assert torch.allclose(batch.x[:, 0], 0.2 + 0.2 * batch.y)
    flips = [draw.hflip for draw in one_batch(tiny_config(**PLAIN | {"augment_hflip": 0.5}), seed=1)[1]]
    assert any(flips) and not all(flips)  # drawn per image


@pytest.mark.parametrize("low, high", [(0.4, 0.9), (1.1, 2.5), (0.5, 2.0)])
@pytest.mark.parametrize("resize, shape", [("square", (32, 40)), ("crop", (24, 56))])
def test_scaling_keeps_the_shape_and_what_a_pixel_is(tiny_config, low, high, resize, shape):
    config = tiny_config(**PLAIN, augment_scale_min=low, augment_scale_max=high, resize=resize, height=shape[0], width=shape[1])
    batch, _ = one_batch(config, seed=1)
    assert batch.x.shape == (6, 3, *shape) and batch.y.shape == batch.ids.shape == (6, *shape) and batch.y.dtype == torch.uint8
    padded = batch.y == IGNORE
    assert set(batch.y.unique().tolist()) <= {0, 1, 2, IGNORE} and torch.equal(padded, batch.ids == NO_SUPERPIXEL)
    assert torch.equal(batch.ids[~padded], 7 + batch.y[~padded].int())
    assert torch.allclose(batch.x.movedim(1, -1)[padded], torch.tensor(128 / 255))
    if resize == "square":
        assert padded.any() == (low < 1)
    most, y = nn.MaxPool2d(5, 1, 2), batch.y.float()  # inside: 5x5 pixels of one class, so that no mixed color counts
    flat = (most(y) == -most(-y)) & ~padded
    flat[:, [0, 1, -2, -1]] = flat[:, :, [0, 1, -2, -1]] = False
    assert flat.sum() > 200 and torch.allclose(batch.x[:, 0][flat], 0.2 + 0.2 * y[flat], atol=0.01)


def test_a_scaled_target_lies_where_its_image_does(tiny_config):
    column = np.broadcast_to(np.arange(40, dtype=np.uint8), (6, 40, 40))
    pairs = Pairs(4 * column[..., None].repeat(3, -1), column)
    for scale in (0.75, 1.3, 1.9):  # factors at which a nearest pixel exists without a tie
        batch, _ = one_batch(tiny_config(**PLAIN, augment_scale_min=scale, augment_scale_max=scale), pairs=pairs)
        assert batch.ids is None
        assert abs((255 / 4 * batch.x[:, 0] - batch.y)[batch.y != IGNORE].mean()) < 0.2  # pixels of the picture as it came


def test_a_crop_reaches_every_part_of_a_large_picture(tiny_config):
    row = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None], (6, 100, 40))
    config = tiny_config(**PLAIN, resize="crop", height=20, width=40)
    starts = {int(y[0, 0]) for seed in range(60) for y in one_batch(config, seed, Pairs(row[..., None].repeat(3, -1), row))[0].y}
    assert min(starts) == 0 and max(starts) == 80 and len(starts) > 70


def test_pictures_of_different_sizes_make_one_batch_of_crops(tiny_config):
    sizes = [(30, 50), (64, 20), (32, 32), (16, 90), (40, 40), (90, 16)]
    pairs = Pairs(
        Ragged(tuple(np.full((*s, 3), 60, np.uint8) for s in sizes)),
        Ragged(tuple(np.full(s, i, np.uint8) for i, s in enumerate(sizes))),
    )
    batch, draws = one_batch(tiny_config(**PLAIN, resize="crop", height=32, width=32), pairs=pairs)
    for y, draw in zip(batch.y, draws, strict=True):
        h, w = sizes[draw.index]
        assert (y != IGNORE).sum() == min(h, 32) * min(w, 32) and set(y.unique().tolist()) <= {draw.index, IGNORE}


def test_color_changes_are_one_per_image_and_channel(tiny_config):
    plain, _ = one_batch(tiny_config(**PLAIN))
    batch, _ = one_batch(tiny_config(**PLAIN | {"augment_gain": 0.3, "augment_brightness": 0.1}))
    assert torch.equal(plain.y, batch.y)
    for b, c in np.ndindex(6, 3):
        x, changed = plain.x[b, c], batch.x[b, c]
        gain, shift = np.polyfit(x.ravel() - 0.5, changed.ravel() - 0.5, 1)
        assert 0.7 <= gain <= 1.3 and abs(shift) <= 0.1001
        assert torch.allclose(changed, gain * (x - 0.5) + 0.5 + shift, atol=1e-5)


def test_jitter_changes_colors_by_factors_and_no_label(tiny_config):
    plain, _ = one_batch(tiny_config(**PLAIN))
    batch, draws = one_batch(tiny_config(**PLAIN, augment_jitter=0.5))
    assert torch.equal(plain.y, batch.y) and 0 <= batch.x.min() and batch.x.max() <= 1
    for x, changed, draw in zip(plain.x, batch.x, draws, strict=True):  # grey pictures: saturation changes nothing
        bright = draw.jitter[0] * x
        assert torch.allclose(changed, (draw.jitter[1] * (bright - bright.mean()) + bright.mean()).clamp(0, 1), atol=2e-3)
        assert all(0.5 <= factor <= 1.5 for factor in draw.jitter)


def test_answers_go_with_their_image_and_ids_with_their_pixels(tiny_config):
    plain, rng = pictures(), np.random.default_rng(0)
    answers = rng.random((6, 5, 3)) < 0.5
    pairs = Pairs(plain.images, ids=plain.ids, answers=answers)
    batch, draws = one_batch(tiny_config(**FULL), pairs=pairs)
    with_target, _ = one_batch(tiny_config(**FULL))
    assert batch.y is None and torch.equal(batch.ids, with_target.ids) and torch.equal(batch.x, with_target.x)
    assert batch.answers.tolist() == answers[[draw.index for draw in draws]].tolist()
    answers[[0, 2, 3]] = False
    assert pairs.trainable().tolist() == [1, 4, 5]


FULL = {"augment_scale_min": 0.5, "augment_scale_max": 2.0, "augment_jitter": 0.4, "batch_size": 4}


def test_the_same_generator_gives_the_same_batches_with_any_number_of_threads(tiny_config):
    pairs, made = pictures(), {}
    for loaders in (0, 1, 3):
        rng = np.random.default_rng(3)
        made[loaders] = list(batches(pairs, np.arange(6), 7, tiny_config(**FULL, loaders=loaders), rng, CPU))
    assert len(made[0]) == 7 and all(b.x.is_contiguous(memory_format=torch.channels_last) for b in made[0])
    for loaders in (1, 3):
        assert all(same(a, b) for a, b in zip(made[0], made[loaders], strict=True))
    other = next(batches(pairs, np.arange(6), 7, tiny_config(**FULL), np.random.default_rng(4), CPU))
    assert not same(made[0][0], other)
    assert np.array_equal(pairs.images, pictures().images)  # what came in is not written


def test_an_error_in_a_thread_comes_through(tiny_config):
    pairs = Pairs(pictures().images, pictures().target[:3])  # no target for the last three
    with pytest.raises(IndexError):
        list(batches(pairs, np.arange(6), 3, tiny_config(loaders=2), np.random.default_rng(0), CPU))
