"""The active-learning loop: ask, answer, train, test, and never lose a finished step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import filelock
import numpy as np
import torch

from . import atomic, provenance
from .aggregate import Regions
from .batches import Pairs
from .config import PROTOCOL, RunConfig
from .inputs import Inputs, check_inputs, read_inputs
from .label_cost import label_cost
from .metrics import class_iou, miou
from .models import check_model
from .paths import runs_root
from .predict import choose_device, evaluate, predict
from .run_folder import RunFolder
from .scores import predicted_class
from .setting import Report, Setting, border_share, network, open_setting
from .stage_two import check_networks, pseudo_labeled, query_of_stage_one
from .strategies import STRATEGIES
from .train import fit, half_precision
from .types import Dataset, Labels, Query, StepResult, some
from .weak_labels import buy


def run(
    config: RunConfig, runs_dir: Path | str | None = None, dataset: Dataset | None = None, report: Report = print
) -> Iterator[StepResult]:
    """Carry out one run, yielding each step's result, the finished ones of an earlier attempt first.

    Killed at any instant and started again, it continues; on CPU it ends with the same queries and metrics.
    dataset: to use instead of loading the one the config names.  report: called with one line of text at a time.
    """
    folder = RunFolder(Path(runs_dir or runs_root()) / config.run_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder.path / "run.lock", timeout=0):
            yield from _run(config, folder, dataset, report)
    except filelock.Timeout:
        raise RuntimeError(f"run {config.run_id} is being computed by another process; wait for it, or stop it first") from None


def _run(config: RunConfig, folder: RunFolder, dataset: Dataset | None, report: Report) -> Iterator[StepResult]:
    torch.set_num_threads(config.threads)  # bits on CPU depend on the number of threads: it is part of the run's record
    device = choose_device(config.device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32; on a CPU it would change bits and gain nothing
    finished, inputs = folder.steps(), None
    if dataset is None:
        try:
            inputs = read_inputs(config)
        except (OSError, ValueError):  # a finished run can be read where its data are not; the others say so below
            inputs = {}
        check_inputs(folder, inputs, report)
    yield from finished
    if folder.done is not None:
        return
    # a misspelled model or missing weights are told before the data are prepared, which can take long
    check_model(config.model, "none" if finished and config.warm_start else config.weights, config.classifier)
    if config.stage == 2:
        _finish_stage_one(config, folder, dataset, inputs, report)
    setting = open_setting(config, dataset, report)
    about = {"protocol": PROTOCOL, "run_id": config.run_id, **config.values()} | ({"inputs": inputs} if inputs else {})
    atomic.write_json(folder.path / "config.json", about)
    folder.tidy(len(finished), config.keep_weights)
    last = config.steps if config.supervision == "active" else 1
    for step in range(len(finished) + 1, last + 1):
        result = _step(config, setting, folder, step, device, lambda text, t=step: report(f"[{config.run_id}] step {t}: {text}"))
        finished.append(result)
        folder.save_steps(finished)  # from here on the step is finished
        (folder.path / "checkpoint.pt").unlink(missing_ok=True)
        folder.tidy(step, config.keep_weights)
        yield result
    (folder.path / "checkpoint.pt").unlink(missing_ok=True)  # of a last step that was killed right after it was saved
    atomic.write_json(
        folder.path / "done.json",
        {
            "run_id": config.run_id,
            "versions": provenance.versions(),
            "device": provenance.device_name(device),
            "commit": provenance.commit(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "precision": "bfloat16" if half_precision(config.precision, device) else "float32",
            "pool": {
                "images": len(setting.pool),
                "superpixels": len(setting.superpixels),
                "vanished": setting.vanished,
                "query_size": setting.query_size,
            },
            "classes": list(setting.dataset.classes),
            "labels": label_cost(setting.votes, config.void),
            **({"stage_one": config.stage_one.run_id} if config.stage == 2 else {}),
            "seconds": {k: round(sum(s.seconds[k] for s in finished), 3) for k in finished[0].seconds},
        },
    )


def _finish_stage_one(config: RunConfig, folder: RunFolder, dataset: Dataset | None, inputs: Inputs | None, report: Report) -> None:
    """Stage two begins with the queries and the network of every step of stage one: carry it out, if that was not done."""
    first = RunFolder(folder.path.parent / config.stage_one.run_id)
    first.path.mkdir(parents=True, exist_ok=True)
    if first.done is None:
        report(f"[{config.run_id}] stage one comes first: {first.path.name}; if another process computes it, this one waits")
    with filelock.FileLock(first.path / "run.lock"):
        check_inputs(first, inputs or {}, report)
        check_networks(first, len(first.steps()))  # before the rest of it is computed
        if first.done is None:
            for _ in _run(config.stage_one, first, dataset, report):
                pass


def _step(config: RunConfig, setting: Setting, folder: RunFolder, step: int, device: torch.device, report: Report) -> StepResult:
    n_classes = len(setting.dataset.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        weights = config.weights if step == 1 or not config.warm_start else "none"
        model = network(config, n_classes, weights)
    model.to(device, memory_format=torch.channels_last)
    previous = folder.weights(step - 1) if step > 1 else None
    first = RunFolder(folder.path.parent / config.stage_one.run_id) if config.stage == 2 else None

    clock = time.monotonic()
    labels, query, quality = setting.no_labels, None, {}
    if config.supervision == "active":
        queries = folder.queries(finished=step - 1)
        for t in range(1, step):
            labels = setting.oracle.answer(labels, queries[t].ids, t)
        query = queries.get(step)
        if first is not None:
            query = query_of_stage_one(first, step, query)
            folder.save_queries(queries | {step: query})
        elif query is None:
            initial = {k: v.clone() for k, v in model.state_dict().items()}
            if previous is not None:
                model.load_state_dict(previous)
            query = _ask(config, setting, labels, model, step, report)
            model.load_state_dict(initial)
            folder.save_queries(queries | {step: query})
        labels = setting.oracle.answer(labels, query.ids, step)
    elif config.supervision == "full_dominant":
        labels = setting.oracle.answer(labels, np.arange(len(setting.superpixels)), step)
    query_seconds, clock = time.monotonic() - clock, time.monotonic()

    if first is not None:
        train, quality = pseudo_labeled(config, setting, folder, labels, model, first.weights(step), step)
    elif config.supervision == "full_masks":
        train = Pairs(some(setting.dataset.images, setting.pool), some(setting.dataset.truth, setting.pool))
    else:
        train = setting.bought(labels)
    pseudo_seconds = {"pseudo": time.monotonic() - clock} if first is not None else {}

    if previous is not None and config.warm_start:
        model.load_state_dict(previous)
    full = config.supervision != "active"
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    fitted = fit(
        model,
        train,
        setting.pairs(setting.val),
        config if first is None else config.model_copy(update={"learning_rate": config.stage_two_rate}),
        key=(config.seed, step),
        max_epochs=config.full_max_epochs if full else config.max_epochs,
        min_epochs=config.full_min_epochs if full else 1,
        checkpoint=folder.path / "checkpoint.pt",
        report=report,
    )
    clock = time.monotonic()
    whole, band = evaluate(
        model,
        setting.pairs(setting.dataset.split["test"]),
        config.eval_batch_size,
        config.boundary_width,
        config.border_gap,
        config.keeps_undefined,
    )
    folder.save_weights(step, fitted.state)
    iou = [None if np.isnan(v) else round(float(v), 6) for v in class_iou(whole)]
    asked = ~labels.unlabeled
    speed = fitted.speed | {"peak_memory_mib": provenance.peak_memory_mib(device)}
    if fitted.speed:
        report(
            f"{speed['images_per_s']} images/s while training, {100 * speed['waiting']:.0f} % of it waiting for data; "
            f"at most {speed['peak_memory_mib']} MiB of memory"
        )
    return StepResult(
        step=step,
        clicks=labels.clicks,
        labeled_fraction=float(asked.mean()),
        labeled_pixels=float(setting.superpixels.size[asked].sum() / setting.superpixels.size.sum()),
        miou=miou(whole),
        class_iou=tuple(iou),
        boundary_miou=miou(band),
        inside_miou=miou(whole - band),
        val_miou=fitted.val_miou,
        class_counts=tuple(int(c) for c in labels.class_counts()),
        border_share=None if query is None else border_share(setting, query.ids, config.border_gap),
        epochs=fitted.epochs,
        seconds={"query": query_seconds, "train": fitted.seconds, "test": time.monotonic() - clock} | pseudo_seconds,
        speed=speed,
        pseudo=quality,
    )


def _ask(config: RunConfig, setting: Setting, labels: Labels, model: torch.nn.Module, step: int, report: Report) -> Query:
    """Step 1 is random, whatever the strategy (OREAL Sec. 4.3); later steps ask what the last step's model is unsure of."""
    rng = np.random.default_rng([config.seed, step])
    images, outputs = some(setting.dataset.images, setting.pool), setting.oracle.answers.shape[1]
    regions = Regions(lambda: predict(model, images, config.eval_batch_size), setting.superpixels, outputs)
    name, how, options = (config.strategy, config.aggregate, config.strategy_options) if step > 1 else ("random", "mean", {})

    def ask(labels: Labels, k: int) -> Query:
        return STRATEGIES[name](regions, labels, k, how, rng, **options)

    if config.labeling == "dominant":
        return ask(labels, setting.query_size)
    if config.keeps_undefined and name != "random":
        labels = _without_undefined(labels, regions, setting.query_size)
    query = buy(ask, setting.oracle, labels, setting.query_size, step, config.click_cut)
    if (spent := int(setting.oracle.cost[query.ids].sum())) < setting.query_size:
        report(f"only {spent} of {setting.query_size} clicks could be spent: nothing is left to ask")
    return query


def _without_undefined(labels: Labels, regions: Regions, budget: int) -> Labels:
    """The labels, as if what the network takes for void had been asked already, where enough else is left (MulActSeg's
    "banignore")."""
    void = regions(predicted_class, "vote")[:, 0] == regions.n_classes - 1
    if (labels.unlabeled & ~void).sum() < budget:
        return labels
    return replace(labels, asked_in=np.where(labels.unlabeled & void, -1, labels.asked_in).astype(np.int16))
