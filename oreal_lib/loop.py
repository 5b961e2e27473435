"""Active learning: ask, answer, train, test. This loop keeps nothing on disk; `experiments.run` is the same loop, and may be killed."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from .aggregate import Regions
from .batches import Pairs
from .beyond.contradicted import believed
from .config import RunConfig
from .data.spread import spread
from .fast.remembering import Remembering
from .metrics import class_iou, miou
from .oracle import impurity
from .predict import device_of, evaluate, predict
from .scores import predicted_class
from .setting import Setting, border_share
from .storage.checkpoint import Checkpoint
from .storage.devices import choose_device
from .storage.progress import Progress, log, told
from .storage.provenance import peak_memory_mib
from .storage.ragged import some
from .strategies import STRATEGIES
from .train import Fitted, fit
from .types import Labels, Query, StepResult
from .weak.labels import buy, void_last


def active_learning(config: RunConfig, setting: Setting) -> Iterator[StepResult]:
    """The record of each step: what it bought, and how good the network is after it. Full supervision has one step.

    ValueError for stage two, which continues a finished run: `experiments.run` computes it.
    """
    if config.stage == 2:
        raise ValueError("stage is 2, but stage two continues a finished run; use oreal_lib.experiments.run, or write stage: 1")
    torch.set_num_threads(config.threads)  # bits on a CPU depend on their number
    model = setting.network(config, config.weights)
    model.to(choose_device(config.device), memory_format=torch.channels_last)
    labels = setting.no_labels
    for t in range(1, config.rounds + 1):
        began = time.monotonic()
        query = ask(config, setting, model, labels, t)
        labels = setting.oracle.answer(labels, query.ids, t)
        seconds = {"query": time.monotonic() - began}
        result = learn(config, setting, model, labels, t)
        yield replace(result, seconds=result.seconds | seconds)


def ask(config: RunConfig, setting: Setting, model: nn.Module, labels: Labels, step: int) -> Query:
    """The query of a step: step 1 is random, whatever the strategy (our choice, as in the baselines' code), or what `config.first`
    says; later steps ask what `model`, that of the last step, is unsure of. Full supervision asks everything, or, given the true
    masks, nothing."""
    if config.supervision != "active":
        ids = np.arange(len(setting.superpixels) if config.supervision == "full_dominant" else 0)
        return Query(ids, np.zeros(len(ids), np.float32))
    rng = np.random.default_rng([config.seed, step])
    if step == 1:
        config = config.model_copy(update={"strategy": "random", "aggregate": "mean", "strategy_options": {}})
    return put(config, setting, labels, view_of_pool(setting, model, config), step, rng)


def view_of_pool(setting: Setting, model: nn.Module, config: RunConfig, places: np.ndarray | None = None) -> Regions:
    """What `model` predicts for the pool, computed again for each question.

    places: (k,) positions in the pool, to look at these images only; superpixels are then numbered in their order.
    """
    pool, superpixels, names = setting.pool, setting.superpixels, setting.names
    if places is not None:
        pool, superpixels = pool[places], superpixels.subset(places)
        names |= {"names": tuple(names["names"][i] for i in places)}
    images = some(setting.inputs, pool)

    def look() -> Iterator[torch.Tensor]:
        seen = predict(model, images, config.eval_batch_size)
        return told(seen, "looking at the pool: {done} of {total} images", len(images))

    return Regions(look, superpixels, setting.oracle.answers.shape[1], **names)


def put(config: RunConfig, setting: Setting, labels: Labels, regions: Regions, step: int, rng: np.random.Generator) -> Query:
    """What the config's strategy asks of `regions`, within the budget of a step."""

    choose = STRATEGIES[config.strategy]
    if step == 1 and config.first == "features":
        choose = partial(spread, setting.features[setting.pool], setting.superpixels)

    def once(labels: Labels, k: int) -> Query:
        return choose(regions, labels, k, config.aggregate, rng, **config.strategy_options)

    if config.labeling != "weak":
        return once(labels, setting.query_size)
    if not isinstance(regions, Remembering):  # a query is bought in rounds, in which the network stays the same
        regions = Remembering(regions)
    if config.keeps_undefined and config.strategy != "random":
        labels = void_last(labels, regions(predicted_class, "vote")[:, 0] == regions.n_classes - 1, setting.query_size)
    return buy(once, setting.oracle, labels, setting.query_size, step, config.click_cut)


def learn(
    config: RunConfig,
    setting: Setting,
    model: nn.Module,
    labels: Labels,
    step: int,
    train: Pairs | None = None,
    keep: Checkpoint | None = None,
) -> StepResult:
    """The second half of a step: train `model`, that of the last step, on the labels bought so far, and test it.

    It continues from its weights; without `warm_start` it begins again with the first ones. With `drop_contradicted` it is trained
    twice, the second time without the labels that the first training contradicts.
    train: to learn from instead, such as pseudo labels.  keep: see `train.fit`.
    """
    if step > 1 and not config.warm_start:
        model.load_state_dict(setting.network(config, config.weights).state_dict())
    device = device_of(model)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32; on a CPU it would change bits and gain nothing
        torch.cuda.reset_peak_memory_stats(device)
    again = train is None and config.drop_contradicted > 0
    before = copy.deepcopy(model.state_dict()) if again else {}
    if train is None:
        masks = config.supervision == "full_masks"
        train = setting.painted(some(setting.dataset.truth, setting.pool)) if masks else setting.bought(labels)
    val = setting.pairs(setting.val)
    fitted = fit(model, train, val, config, (config.seed, step), keep)
    if again:
        seen = predict(model, some(setting.inputs, setting.pool), config.eval_batch_size)
        target = believed(seen, setting.oracle.paint(labels, setting.superpixels), config.drop_contradicted)
        train, first = setting.painted(target), fitted
        model.load_state_dict(before)
        fitted = fit(model, train, val, config, (config.seed, step, 1), keep)
        fitted = replace(fitted, seconds=first.seconds + fitted.seconds)
    return _tested(config, setting, model, labels, step, fitted)


def _tested(config: RunConfig, setting: Setting, model: nn.Module, labels: Labels, step: int, fitted: Fitted) -> StepResult:
    """The record of a step: what was bought so far, and how good `model` is on the test images."""
    began, test = time.monotonic(), setting.pairs(setting.dataset.split["test"])
    each_image = Progress("testing: {done} of {total} images", len(test)).at
    border, gap = config.boundary_width, config.border_gap
    whole, band = evaluate(model, test, config.eval_batch_size, border, gap, config.keeps_undefined, each_image)
    speed = fitted.speed | {"peak_memory_mib": peak_memory_mib(device_of(model))}
    if fitted.speed:
        log.info(
            f"{speed['images_per_s']} images/s while training, {100 * speed['waiting']:.0f} % of it waiting for data; "
            f"at most {speed['peak_memory_mib']} MiB of memory"
        )
    asked, query = ~labels.unlabeled, np.flatnonzero(labels.asked_in == step)
    return StepResult(
        step=step,
        clicks=labels.clicks,
        labeled_fraction=float(asked.mean()),
        labeled_pixels=float(setting.superpixels.size[asked].sum() / setting.superpixels.size.sum()),
        miou=miou(whole),
        class_iou=tuple(None if np.isnan(v) else round(float(v), 6) for v in class_iou(whole)),
        boundary_miou=miou(band),
        inside_miou=miou(whole - band),
        val_miou=fitted.val_miou,
        class_counts=tuple(int(c) for c in labels.class_counts()),
        border_share=border_share(setting, query, config.border_gap) if config.supervision == "active" else None,
        epochs=fitted.epochs,
        impurity=round(impurity(setting.votes[query]), 6) if config.supervision == "active" else np.nan,
        seconds={"query": 0.0, "train": fitted.seconds, "test": time.monotonic() - began},
        speed=speed,
    )
