"""Which training images a run may ask about, and which it keeps for validation (OREAL Sec. 4.3: new for each run)."""

from itertools import groupby

import numpy as np

from ..types import Dataset


def draw_split(
    dataset: Dataset,
    seed: int,
    *,
    val_share: float = 0.1,
    val_images: int | None = None,
    val_by: str = "image",
    train_images: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(pool, val): sorted int64 positions in dataset.images, both out of split["train"], drawn by default_rng([seed, 0]).

    An official split["val"] is taken as it is, then the pool is all of train. The 10 % are our choice. Images without
    a mask are left out: nobody could answer for them, or tell how good a prediction is.
    val_by "image": drawn evenly. "block": from each group a run of neighbors in name order, its share of them, so
    that near-identical frames face each other at block ends only. "sequence": whole groups, until the share is reached.
    val_images: a number in place of the share. train_images: keep only so many of the pool, drawn evenly.
    ValueError if no image with a mask, or none for the pool, or fewer than train_images are left.
    """
    rng = np.random.default_rng([seed, 0])
    train, val = (np.sort(np.asarray(dataset.split[which], dtype=np.int64)) for which in ("train", "val"))
    if not dataset.labeled[train].any():
        raise ValueError(
            f"none of the {len(train)} training images of {dataset.name} has a mask, so a program can neither answer the "
            "questions nor evaluate; give masks, at least for the test images and some training images"
        )
    train, val = train[dataset.labeled[train]], val[dataset.labeled[val]]
    if not len(val):
        n_val = _wanted(len(train), val_share, val_images)
        if val_by == "image":
            val = np.sort(rng.choice(train, n_val, replace=False))
        else:
            way = {"block": _by_block, "sequence": _by_sequence}[val_by]
            ordered = sorted(train.tolist(), key=lambda i: (dataset.groups[i], dataset.names[i]))
            groups = [np.array([*members]) for _, members in groupby(ordered, key=dataset.groups.__getitem__)]
            val = np.sort(way(groups, n_val, rng))
    pool = np.setdiff1d(train, val)
    if not len(pool):
        raise ValueError(
            f"all {len(train)} training images went to validation and none is left for the pool; lower the validation "
            "share, or draw it by 'image'"
        )
    if train_images is None:
        return pool, val
    if not 1 <= train_images <= len(pool):
        raise ValueError(f"train_images is {train_images}, but the pool has {len(pool)} images; ask for 1 to {len(pool)}")
    return np.sort(rng.choice(pool, train_images, replace=False)), val


def _wanted(n_train: int, share: float, images: int | None) -> int:
    """How many validation images, at least one."""
    if n_train < 2:
        raise ValueError(f"there is {n_train} training image, but validation and the pool need one each; add images")
    images = max(1, round(share * n_train)) if images is None else images
    if not 1 <= images < n_train:
        raise ValueError(
            f"{images} of {n_train} training images were asked for validation, but 1 to {n_train - 1} can be given and one "
            "must stay in the pool; change val_images or val_share"
        )
    return images


def _by_block(groups: list[np.ndarray], n_val: int, rng: np.random.Generator) -> np.ndarray:
    sizes = np.array([len(members) for members in groups])
    exact = sizes * n_val / sizes.sum()
    share = np.floor(exact).astype(int)
    order = rng.permutation(len(groups))  # equal remainders: no group is favored by its name
    order = order[np.argsort(-(exact - share)[order], kind="stable")]
    share[order[: n_val - share.sum()]] += 1
    starts = [rng.integers(len(members) - k + 1) for members, k in zip(groups, share, strict=True)]
    return np.concatenate([members[s : s + k] for members, s, k in zip(groups, starts, share, strict=True)])


def _by_sequence(groups: list[np.ndarray], n_val: int, rng: np.random.Generator) -> np.ndarray:
    if len(groups) == 1:
        raise ValueError(
            "all training images are of one group, so no whole sequence can be set aside; draw validation by 'block' or 'image'"
        )
    order = rng.permutation(len(groups))
    before = np.cumsum([0, *(len(groups[g]) for g in order)])  # images in the groups before each
    return np.concatenate([groups[g] for g, taken in zip(order, before, strict=False) if taken < n_val])
