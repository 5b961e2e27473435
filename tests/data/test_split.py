"""Which images a run may ask about, and which it keeps for validation."""

from types import SimpleNamespace

import numpy as np
import pytest

from oreal_lib.data import draw_split


def pool_of(*groups, val=0):
    """What of a Dataset decides a split: the sizes of the groups of train, then `val` official validation images."""
    labels = [f"g{g}" for g, size in enumerate(groups) for _ in range(size)]
    n = len(labels)
    names = (*(f"{group}_{i:03d}" for i, group in enumerate(labels)), *(f"v_{i}" for i in range(val)))
    split = {"train": np.arange(n), "val": np.arange(n, n + val)}
    return SimpleNamespace(name="d", labeled=np.ones(n + val, bool), names=names, groups=(*labels, *["v"] * val), split=split)


@pytest.mark.parametrize("val_by", ["image", "block", "sequence"])
def test_pool_and_validation_share_nothing_and_repeat(val_by):
    dataset = pool_of(40, 30, 30)
    pool, val = draw_split(dataset, 3, val_by=val_by, val_share=0.2)
    assert np.array_equal(np.sort(np.concatenate([pool, val])), np.arange(100))
    assert (np.diff(pool) > 0).all() and (np.diff(val) > 0).all() and len(val) >= 20
    again = draw_split(dataset, 3, val_by=val_by, val_share=0.2)
    assert np.array_equal(val, again[1])
    seeds = {tuple(draw_split(dataset, seed, val_by=val_by, val_share=0.2)[1]) for seed in range(8)}
    assert len(seeds) > 1


def test_blocks_are_neighbors_and_each_group_gives_its_share():
    _, val = draw_split(pool_of(60, 30, 10), 0, val_by="block", val_images=10)
    assert np.bincount(np.repeat([0, 1, 2], [60, 30, 10])[val]).tolist() == [6, 3, 1]
    assert np.count_nonzero(np.diff(val) > 1) <= 2


def test_sequences_are_never_torn():
    _, val = draw_split(pool_of(5, 5, 5, 5), 0, val_by="sequence", val_share=0.3)
    assert np.bincount(val // 5, minlength=4).tolist().count(5) == 2 and len(val) == 10


def test_an_official_validation_split_is_kept():
    pool, val = draw_split(pool_of(6, val=3), 0)
    assert pool.tolist() == [0, 1, 2, 3, 4, 5] and val.tolist() == [6, 7, 8]


def test_fewer_training_images_leave_validation_alone():
    pool, val = draw_split(pool_of(50), 0)
    fewer, same = draw_split(pool_of(50), 0, train_images=7)
    assert len(fewer) == 7 and np.isin(fewer, pool).all() and np.array_equal(val, same)


SMALL_FIRST = next(seed for seed in range(99) if np.random.default_rng([seed, 0]).permutation(2)[0] == 0)


@pytest.mark.parametrize(
    "groups, seed, wrong, message",
    [
        ([10], 0, {"val_images": 10}, "10 of 10 training images"),
        ([10], 0, {"val_images": 0}, "0 of 10 training images"),
        ([10], 0, {"train_images": 10}, "train_images is 10, but the pool has 9"),
        ([10], 0, {"val_by": "sequence"}, "one group.*'block' or 'image'"),
        ([1], 0, {}, "there is 1 training image, .* add images"),
        ([1, 9], SMALL_FIRST, {"val_by": "sequence", "val_images": 5}, "none is left for the pool"),  # the small group, then all
    ],
)
def test_an_impossible_split_is_refused(groups, seed, wrong, message):
    with pytest.raises(ValueError, match=message):
        draw_split(pool_of(*groups), seed, **wrong)


def test_images_without_a_mask_are_neither_asked_nor_evaluated():
    dataset = pool_of(10)
    dataset.labeled = np.arange(10) % 2 == 0
    pool, val = draw_split(dataset, 0, val_images=2)
    assert sorted([*pool, *val]) == [0, 2, 4, 6, 8]
    dataset.labeled[:] = False
    with pytest.raises(ValueError, match=r"none of the 10 training images of d has a mask.*give masks"):
        draw_split(dataset, 0)
