"""The data of a run's seed, its oracle and its budget. Options that do not fit the data are refused here."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .batches import NO_SUPERPIXEL, Pairs
from .config import RunConfig
from .data import dataset_of
from .data.features import Features, at_all_positions, features_of, packed
from .data.files import class_pixels, only_void
from .data.source import check_classes
from .data.split import draw_split
from .metrics import border_superpixels
from .models import build_model
from .oracle import Oracle
from .storage.progress import log, told
from .storage.ragged import Pictures, some
from .strategies import check
from .types import IGNORE, Dataset, Labels, Query, Superpixels
from .weak.labels import answers_by_image, weak_oracle


@dataclass(frozen=True)
class Setting:
    """What follows from a config: the data of its seed, the oracle, the query size."""

    dataset: Dataset
    pool: np.ndarray  # (n_pool,) positions in dataset.images, ascending
    val: np.ndarray  # (n_val,) positions in dataset.images, ascending
    superpixels: Superpixels  # of the pool, in its order
    oracle: Oracle
    query_size: int  # superpixels per step; with weak labels clicks
    votes: np.ndarray  # (N, C + 1) of the pool's superpixels, see `oracle.class_votes`
    vanished: int = 0  # superpixels of the pool without a pixel at working size: never asked
    evaluate_at: str = "working"
    labeling: str = "dominant"
    features: Features | None = None  # of all images, by a frozen encoder

    @property
    def no_labels(self) -> Labels:
        """The labels at the start of a run: none."""
        n, n_classes = len(self.superpixels), len(self.dataset.classes)
        return Labels.none(n, n_classes, undefined=self.oracle.answers.shape[1] > n_classes)

    def labels_after(self, queries: Mapping[int, Query], step: int) -> Labels:
        """The labels once the queries of steps 1 to `step` are answered; none after step 0. queries: step -> Query."""
        labels = self.no_labels
        for t in range(1, step + 1):
            labels = self.oracle.answer(labels, queries[t].ids, t)
        return labels

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Names of the pool's images and of the model's outputs for error messages: keywords of `aggregate.Regions`."""
        void = self.oracle.answers.shape[1] - len(self.dataset.classes)
        names = tuple(self.dataset.names[i] for i in self.pool)
        return {"names": names, "classes": (*self.dataset.classes, *("void",) * void)}

    @property
    def inputs(self) -> Pictures:
        """What the network sees of each image of the data set: (n, H, W, 3) uint8, or with a frozen encoder its features."""
        return self.dataset.images if self.features is None else self.features

    def network(self, config: RunConfig, weights: str = "none") -> nn.Module:
        """The network of a config for these classes and inputs; with a frozen encoder only what is trained of it."""
        return network(config, len(self.dataset.classes), weights, self.features)

    def pairs(self, which: np.ndarray) -> Pairs:
        """Images at the positions `which` (k,) with their true masks, at the size that counts: for validation and test."""
        masks = self.dataset.native_truth if self.evaluate_at == "native" else self.dataset.truth
        return Pairs(some(self.inputs, which), some(masks, which))

    def bought(self, labels: Labels) -> Pairs:
        """The pool's images with the labels that were bought: painted superpixels, or the sets of classes in them."""
        if self.labeling != "weak":
            return self.painted(self.oracle.paint(labels, self.superpixels))
        answers = answers_by_image(labels, self.superpixels)
        if self.features is None:
            return Pairs(some(self.dataset.images, self.pool), ids=self.superpixels.maps, answers=answers)
        seen, ids = at_all_positions(self.features, self.pool, self.superpixels.maps, NO_SUPERPIXEL)
        return Pairs(seen, ids=ids, answers=np.resize(answers, (len(seen), *answers.shape[1:])))

    def painted(self, target: Pictures) -> Pairs:
        """The pool's images with targets (n_pool, H, W) uint8 to learn from; of features only the labeled positions."""
        if self.features is not None:
            return Pairs(*packed(*self.features.with_mirrors(self.pool, target)))
        return Pairs(some(self.dataset.images, self.pool), target)


def network(config: RunConfig, n_classes: int, weights: str = "none", features: Features | None = None) -> nn.Module:
    """The network of a config for C classes, with one output more where void is kept; its random weights follow from the seed.
    features: of a frozen encoder; then only what is trained."""
    n_outputs, last = n_classes + config.keeps_undefined, (config.classifier, config.temperature)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build_model(config.model, n_outputs, weights, *last) if features is None else features.head(n_outputs, *last)


def open_setting(config: RunConfig, dataset: Dataset | None = None) -> Setting:
    """The data of a config, or the `dataset` given, split for its seed; ValueError where a size, a budget or a strategy's option does
    not fit them."""
    dataset = dataset or dataset_of(config)
    check_classes(dataset.classes)
    check(config.strategy, config.aggregate, config.strategy_options, len(dataset.classes))
    shares = {name: getattr(config, name) for name in ("val_share", "val_images", "val_by", "train_images")}
    pool, val = draw_split(dataset, config.seed, **shares)
    if not len(dataset.split["test"]):
        raise ValueError("there is no test split, so there is no mIoU; keep images for it (in a folder: test.txt or test_share)")
    for name, images, why in (("validation", val, "no epoch can be the best"), ("test", dataset.split["test"], "there is no mIoU")):
        if not any((np.asarray(dataset.truth[i]) != IGNORE).any() for i in images):
            raise ValueError(f"none of the {len(images)} {name} images has a labeled pixel, so {why}; give some with true masks")
    train = dataset.split["train"]
    if unlabeled := int((~dataset.labeled[train]).sum()):
        log.info(f"{unlabeled} of {len(train)} training images have no mask to answer from: their superpixels are not asked")
    place = np.searchsorted(train, pool)
    superpixels, ids = dataset.superpixels.subset(place), dataset.superpixels.ids(place)
    query_size = _query_size(config, len(superpixels))
    if config.labeling == "weak":
        oracle = weak_oracle(dataset.present[ids], config.undefined, query_size * config.steps)
    else:
        oracle = Oracle.dominant(dataset.votes[ids], some(dataset.truth, pool), config.void, config.labeling == "exact")
    votes, vanished = dataset.votes[ids], int(dataset.vanished[place].sum())
    pixels = votes.sum(axis=0, dtype=np.int64)
    if np.count_nonzero(pixels[:-1]) < 2:
        for i in (*val, *dataset.split["test"]):
            pixels += class_pixels(dataset.truth[i], len(dataset.classes))
        if binary := only_void(dataset.classes, pixels):
            raise ValueError(f"{dataset.name} has nothing to learn: {binary}")
    features = features_of(config, dataset.images, pool, np.concatenate([val, dataset.split["test"]]))
    how = {"evaluate_at": config.evaluate_at, "labeling": config.labeling, "features": features}
    return Setting(dataset, pool, val, superpixels, oracle, query_size, votes, vanished, **how)


def _query_size(config: RunConfig, n: int) -> int:
    """Superpixels per step of a pool of n; with weak labels clicks."""
    size = config.query_size or round(config.query_share * n)
    if size < 1:
        raise ValueError(f"query_share {config.query_share} of the pool's {n} superpixels is less than one; raise it")
    if config.supervision == "active" and config.labeling != "weak" and size * config.steps > n:
        raise ValueError(
            f"{config.steps} steps of {size} superpixels ask for {config.steps * size}, but the pool has {n}; "
            "lower steps or query_size (query_share), or use more images"
        )
    return size


def border_share(setting: Setting, ids: np.ndarray, gap: int = 0) -> float:
    """Share, 0..1, of the superpixels `ids` (k,) that touch a true class border: what OREAL says max does (Sec. 3.2).

    gap: of void between two classes that hides no border, in pixels of the working size.
    """
    image = setting.superpixels.image[ids]
    hits = 0
    for i in told(np.unique(image), "looking for borders in what was asked: {done} of {total} images"):
        n = int(np.diff(setting.superpixels.offset)[i])
        truth = np.asarray(setting.dataset.truth[setting.pool[i]])
        touched = border_superpixels(truth, setting.superpixels.maps[i], n, gap)
        hits += int(touched[ids[image == i] - setting.superpixels.offset[i]].sum())
    return hits / len(ids)
