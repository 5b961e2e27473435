"""The active-learning loop: ask, answer, train, test, and never lose a finished step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import torch

from . import atomic, provenance
from .aggregate import Regions
from .batches import Pairs
from .config import PROTOCOL, RunConfig
from .data import load_dataset
from .data.split import draw_split
from .inputs import check_inputs, read_inputs
from .label_cost import label_cost
from .metrics import border_superpixels, class_iou, miou
from .models import build_model, check_model
from .oracle import Oracle
from .paths import runs_root
from .predict import choose_device, evaluate, predict
from .run_folder import RunFolder
from .strategies import STRATEGIES, check
from .superpixels import SuperpixelRecipe
from .train import Report, fit, half_precision
from .types import IGNORE, Dataset, Labels, Query, Ragged, StepResult, Superpixels, some


@dataclass(frozen=True)
class Setting:
    """Everything a run needs that follows from its config: the data of this seed, the oracle, the query size."""

    dataset: Dataset
    pool: np.ndarray  # (n_pool,) positions in dataset.images, ascending
    val: np.ndarray
    superpixels: Superpixels  # of the pool, in its order
    oracle: Oracle
    query_size: int
    votes: np.ndarray  # (N, C + 1) of the pool's superpixels, see `oracle.class_votes`
    vanished: int = 0  # superpixels of the pool without a pixel at working size: never asked
    evaluate_at: str = "working"

    def pairs(self, which: np.ndarray) -> Pairs:
        """Images with their true masks, at the size that counts: for validation and test."""
        masks = self.dataset.native_truth if self.evaluate_at == "native" else self.dataset.truth
        return Pairs(some(self.dataset.images, which), some(masks, which))


def open_setting(config: RunConfig, dataset: Dataset | None = None, report: Report = print) -> Setting:
    """Load and split the data of a config; a budget or an option that cannot work is refused before any long work."""
    check(config.strategy, config.aggregate, config.strategy_options)
    if dataset is None:
        dataset = load_dataset(
            config.dataset,
            root=config.data_root,
            height=config.height,
            width=config.width,
            resize=config.resize,
            recipe=SuperpixelRecipe(**config.superpixel_recipe),
            options=config.data_options,
            workers=config.workers,
            report=report,
        )
    if config.resize == "square" and isinstance(dataset.images, Ragged):
        raise ValueError(
            f"the images of {dataset.name} are of different sizes, but resize is 'square' and height and width are null; "
            "give a height and width, or resize: crop"
        )
    check(config.strategy, config.aggregate, config.strategy_options, len(dataset.classes))
    pool, val = draw_split(
        dataset,
        config.seed,
        val_share=config.val_share,
        val_images=config.val_images,
        val_by=config.val_by,
        train_images=config.train_images,
    )
    train = dataset.split["train"]
    if unlabeled := int((~dataset.labeled[train]).sum()):
        report(f"{unlabeled} of {len(train)} training images have no mask: nobody here can answer for them, so they are not asked")
    place = np.searchsorted(train, pool)
    superpixels, votes = dataset.superpixels.subset(place), dataset.votes[dataset.superpixels.ids(place)]
    n = len(superpixels)
    query_size = config.query_size or round(config.query_share * n)
    if query_size < 1:
        raise ValueError(f"query_share {config.query_share} of the pool's {n} superpixels is less than one; raise it")
    if config.supervision == "active" and query_size * config.steps > n:
        raise ValueError(
            f"{config.steps} steps of {query_size} superpixels ask for {config.steps * query_size}, but the pool has {n}; "
            "lower steps or query_size (query_share), or use more images"
        )
    for name, images, why in (("validation", val, "no epoch can be the best"), ("test", dataset.split["test"], "there is no mIoU")):
        if not any((np.asarray(dataset.truth[i]) != IGNORE).any() for i in images):
            raise ValueError(f"none of the {len(images)} {name} images has a labeled pixel, so {why}; give some with true masks")
    oracle = Oracle.dominant(votes, some(dataset.truth, pool), config.void)
    return Setting(
        dataset, pool, val, superpixels, oracle, query_size, votes, int(dataset.vanished[place].sum()), config.evaluate_at
    )


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
    check_model(config.model, "none" if finished and config.warm_start else config.weights)
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
            "seconds": {k: round(sum(s.seconds[k] for s in finished), 3) for k in ("query", "train", "test")},
        },
    )


def _step(config: RunConfig, setting: Setting, folder: RunFolder, step: int, device: torch.device, report: Report) -> StepResult:
    n_classes = len(setting.dataset.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(config.model, n_classes, config.weights if step == 1 or not config.warm_start else "none")
    model.to(device, memory_format=torch.channels_last)
    previous = folder.weights(step - 1) if step > 1 else None
    pool_images = some(setting.dataset.images, setting.pool)

    clock = time.monotonic()
    labels, query = Labels.none(len(setting.superpixels), n_classes), None
    if config.supervision == "active":
        queries = folder.queries(finished=step - 1)
        for t in range(1, step):
            labels = labels.reveal(queries[t].ids, setting.oracle.answers[queries[t].ids], t)
        query = queries.get(step)
        if query is None:
            initial = {k: v.clone() for k, v in model.state_dict().items()}
            if previous is not None:
                model.load_state_dict(previous)
            query = _ask(config, setting, labels, model, pool_images, step)
            model.load_state_dict(initial)
            folder.save_queries(queries | {step: query})
        labels = labels.reveal(query.ids, setting.oracle.answers[query.ids], step)
        target = setting.oracle.paint(labels, setting.superpixels)
    elif config.supervision == "full_dominant":
        everything = np.arange(len(setting.superpixels))
        labels = labels.reveal(everything, setting.oracle.answers, step)
        target = setting.oracle.paint(labels, setting.superpixels)
    else:
        target = some(setting.dataset.truth, setting.pool)
    query_seconds = time.monotonic() - clock

    if previous is not None and config.warm_start:
        model.load_state_dict(previous)
    full = config.supervision != "active"
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    fitted = fit(
        model,
        Pairs(pool_images, target),
        setting.pairs(setting.val),
        config,
        key=(config.seed, step),
        max_epochs=config.full_max_epochs if full else config.max_epochs,
        min_epochs=config.full_min_epochs if full else 1,
        checkpoint=folder.path / "checkpoint.pt",
        report=report,
    )
    clock = time.monotonic()
    whole, band = evaluate(
        model, setting.pairs(setting.dataset.split["test"]), config.eval_batch_size, config.boundary_width, config.border_gap
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
        val_miou=fitted.val_miou,
        class_counts=tuple(int(c) for c in labels.class_counts()),
        border_share=None if query is None else border_share(setting, query.ids, config.border_gap),
        epochs=fitted.epochs,
        seconds={"query": query_seconds, "train": fitted.seconds, "test": time.monotonic() - clock},
        speed=speed,
    )


def _ask(config: RunConfig, setting: Setting, labels: Labels, model: torch.nn.Module, images: np.ndarray, step: int) -> Query:
    """Step 1 is random, whatever the strategy (OREAL Sec. 4.3); later steps ask what the last step's model is unsure of."""
    rng = np.random.default_rng([config.seed, step])
    regions = Regions(lambda: predict(model, images, config.eval_batch_size), setting.superpixels, len(setting.dataset.classes))
    if step == 1:
        return STRATEGIES["random"](regions, labels, setting.query_size, "mean", rng)
    strategy = STRATEGIES[config.strategy]
    return strategy(regions, labels, setting.query_size, config.aggregate, rng, **config.strategy_options)


def border_share(setting: Setting, ids: np.ndarray, gap: int = 0) -> float:
    """Share of the superpixels `ids` that touch a true class border: what OREAL says max does (Sec. 3.2).

    gap: of void between two classes that hides no border, in pixels of the working size.
    """
    image = setting.superpixels.image[ids]
    hits = 0
    for i in np.unique(image):
        n = int(np.diff(setting.superpixels.offset)[i])
        truth = np.asarray(setting.dataset.truth[setting.pool[i]])
        touched = border_superpixels(truth, setting.superpixels.maps[i], n, gap)
        hits += int(touched[ids[image == i] - setting.superpixels.offset[i]].sum())
    return hits / len(ids)
