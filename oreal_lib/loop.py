"""What a run asks in a step: its strategy put to its network and its pool, within the step's budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from .aggregate import Regions, Remembering
from .config import RunConfig
from .predict import predict
from .scores import predicted_class
from .setting import Setting
from .storage.progress import log, told
from .strategies import STRATEGIES
from .types import Labels, Query, some
from .weak.labels import buy


def view_of_pool(setting: Setting, model: nn.Module, config: RunConfig, places: np.ndarray | None = None) -> Regions:
    """The pool as `model` sees it, looked at anew for each question.

    places: (k,) positions of images in the pool, if not all of them are wanted; superpixels are then numbered in their order.
    """
    pool, superpixels, names = setting.pool, setting.superpixels, setting.names
    if places is not None:
        pool, superpixels = pool[places], superpixels.subset(places)
        names |= {"names": tuple(names["names"][i] for i in places)}
    images = some(setting.dataset.images, pool)

    def look() -> Iterator[torch.Tensor]:
        seen = predict(model, images, config.eval_batch_size)
        return told(seen, "looking at the pool: {done} of {total} images", len(images))

    return Regions(look, superpixels, setting.oracle.answers.shape[1], **names)


def ask(config: RunConfig, setting: Setting, labels: Labels, model: nn.Module, step: int) -> Query:
    """The query of a step: step 1 is random, whatever the strategy (our choice, as in the baselines' code); later steps ask what
    `model`, that of the last step, is unsure of."""
    rng = np.random.default_rng([config.seed, step])
    if step == 1:
        config = config.model_copy(update={"strategy": "random", "aggregate": "mean", "strategy_options": {}})
    return put(config, setting, labels, view_of_pool(setting, model, config), step, rng)


def put(config: RunConfig, setting: Setting, labels: Labels, regions: Regions, step: int, rng: np.random.Generator) -> Query:
    """What the config's strategy asks of `regions`, within the budget of a step."""

    def once(labels: Labels, k: int) -> Query:
        return STRATEGIES[config.strategy](regions, labels, k, config.aggregate, rng, **config.strategy_options)

    if config.labeling == "dominant":
        return once(labels, setting.query_size)
    if not isinstance(regions, Remembering):  # asks in rounds; the network stays the same
        regions = Remembering(regions.predict, regions.superpixels, regions.n_classes, names=regions.names, classes=regions.classes)
    if config.keeps_undefined and config.strategy != "random":
        labels = without_undefined(labels, regions, setting.query_size)
    query = buy(once, setting.oracle, labels, setting.query_size, step, config.click_cut)
    if (spent := int(setting.oracle.cost[query.ids].sum())) < setting.query_size:
        log.info(f"only {spent} of {setting.query_size} clicks could be spent: nothing is left to ask")
    return query


def without_undefined(labels: Labels, regions: Regions, budget: int) -> Labels:
    """The labels, as if what the network takes for void had been asked already, where enough else is left (MulActSeg's
    "banignore")."""
    void = regions(predicted_class, "vote")[:, 0] == regions.n_classes - 1
    if (labels.unlabeled & ~void).sum() < budget:
        return labels
    return replace(labels, asked_in=np.where(labels.unlabeled & void, -1, labels.asked_in).astype(np.int16))
