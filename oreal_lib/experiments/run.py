"""The active-learning loop: ask, answer, train, test, and never lose a finished step."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..batches import Pairs
from ..config import RunConfig
from ..data.label_cost import label_cost
from ..data.prepare import refuse_unguarded
from ..loop import ask
from ..metrics import class_iou, miou
from ..models import check_model
from ..predict import choose_device, evaluate
from ..setting import Setting, border_share, network, open_setting
from ..storage import provenance
from ..storage.lock import Lock, holder
from ..storage.paths import runs_root
from ..storage.progress import Progress, lines_begin, log
from ..train import fit, half_precision
from ..types import Dataset, StepResult, some
from .fingerprint import Inputs, check_inputs, read_inputs
from .gpu import device_of_run
from .run_folder import RunFolder
from .stage_two import check_networks, pseudo_labeled, query_of_stage_one


def run(config: RunConfig, runs_dir: Path | str | None = None, dataset: Dataset | None = None) -> Iterator[StepResult]:
    """Carry out one run, yielding each step's result, the finished ones of an earlier attempt first.

    Killed at any instant and started again, it continues (stopped by Ctrl-C, it says so); on CPU it ends with the same queries and metrics. What it begins with
    (`RunConfig.needs`) is carried out first, in folders beside its own. A run that another process computes is waited for.
    dataset: to use instead of loading the one the config names.
    RuntimeError where a script without `if __name__ == "__main__":` is read by its own worker processes.
    """
    refuse_unguarded()
    path = Path(runs_dir or runs_root()) / config.run_id
    if _is_over(path):
        yield from _run(config, RunFolder(path), dataset)
        return
    with _locked(path) as lock:
        folder = RunFolder(path, lock.check)
        try:
            yield from _run(config, folder, dataset)
        except KeyboardInterrupt:
            with suppress(ValueError, OSError):  # of a damaged record; the stop stays a stop
                log.info(_kept(config, folder))
            raise


def _is_over(path: Path) -> bool:
    """Whether a run is finished and nobody holds it, so that nothing is written in its folder any more; perhaps nothing can be."""
    return RunFolder(path).done is not None and not holder(path / "run.lock")


def _kept(config: RunConfig, folder: RunFolder) -> str:
    """What a stopped run says."""
    done, steps = len(folder.steps()), config.steps if config.supervision == "active" else 1
    inside = "; inside the next, from its last finished epoch" if (folder.path / "checkpoint.pt").exists() else ""
    return f"[{config.run_id}] stopped: {done} of {steps} steps are finished and kept; run the same again and it goes on from there{inside}"


def _locked(path: Path) -> Lock:
    """The lock of a run's folder, taken; waits, and says for whom, while another process has it."""
    try:
        return Lock(path / "run.lock").wait(f"run {path.name} is being computed")
    except RuntimeError as error:
        raise RuntimeError(
            f"run {path.name} is being computed in this process already; finish that loop, or restart the kernel"
        ) from error


def _run(config: RunConfig, folder: RunFolder, dataset: Dataset | None) -> Iterator[StepResult]:
    torch.set_num_threads(config.threads)  # bits on CPU depend on the number of threads: it is part of the run's record
    choose_device(config.device)  # refuses what is not there
    finished, inputs = folder.steps(), None
    if dataset is None:
        try:
            inputs = read_inputs(config)
        except (OSError, ValueError):  # a finished run can be read where its data are not; the others say so below
            inputs = {}
    else:
        inputs = {"votes": "content:" + hashlib.sha256(np.ascontiguousarray(dataset.votes).tobytes()).hexdigest()}
    check_inputs(folder, inputs)
    yield from finished
    if folder.done is not None:
        return
    # a misspelled model or missing weights are told before the data are prepared, which can take long
    check_model(config.model, "none" if finished and config.warm_start else config.weights, config.classifier)
    if config.stage == 2:
        check_networks(RunFolder(folder.path.parent / config.stage_one.run_id))  # before anything is computed
        _finish_first(config.stage_one, folder, dataset, inputs)
    setting = open_setting(config, dataset)
    about = {"protocol": config.protocol, "run_id": config.run_id, **config.values()} | ({"inputs": inputs} if inputs else {})
    folder.save_json("config.json", about)
    folder.tidy(len(finished), config.keep_weights)
    if not finished and config.step_one is not None:
        finished.append(_copy_step_one(_finish_first(config.step_one, folder, dataset, inputs), folder))
        yield finished[0]
    left = range(len(finished) + 1, (config.steps if config.supervision == "active" else 1) + 1)
    free = nullcontext(choose_device(config.device))  # when there is nothing to compute
    with device_of_run(config.device, config.gpu_share) if left else free as device:  # no longer: others may wait for it
        for step in left:
            folder.may_write()  # a folder that is gone is told as such, not as files that are missing in it
            with lines_begin(f"[{config.run_id}] step {step}: "):
                result = _step(config, setting, folder, step, device)
            finished.append(result)
            folder.save_steps(finished)  # from here on the step is finished
            (folder.path / "checkpoint.pt").unlink(missing_ok=True)
            folder.tidy(step, config.keep_weights)
            yield result
    (folder.path / "checkpoint.pt").unlink(missing_ok=True)  # of a last step that was killed right after it was saved
    folder.save_json("done.json", _about_run(config, setting, finished, device))


def _about_run(config: RunConfig, setting: Setting, finished: list[StepResult], device: torch.device) -> dict:
    """What done.json says."""
    return {
        "run_id": config.run_id,
        "steps": len(finished),
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
    }


def _finish_first(config: RunConfig, folder: RunFolder, dataset: Dataset | None, inputs: Inputs | None) -> RunFolder:
    """The folder of another run, carried out to its end if that was not done: what the run in `folder` begins with."""
    path = folder.path.parent / config.run_id
    if _is_over(path):
        check_inputs(RunFolder(path), inputs or {})
        return RunFolder(path)
    if RunFolder(path).done is None:
        log.info(f"[{folder.path.name}] begins with run {config.run_id}, which comes first")
    with _locked(path) as lock:
        first = RunFolder(path, lock.check)
        check_inputs(first, inputs or {})
        if first.done is None:
            for _ in _run(config, first, dataset):
                pass
    return RunFolder(path)


def _copy_step_one(first: RunFolder, folder: RunFolder) -> StepResult:
    """Step 1 of the run that all strategies of a seed begin with, as step 1 of this one, which spent no time on it."""
    if len(steps := first.steps()) != 1:
        raise ValueError(f"{first.path} is finished, but has {len(steps)} steps and not 1; move that folder away and start again")
    (result,) = steps
    folder.save_weights(1, first.weights(1))
    if (pseudo := first.pseudo(1)) is not None:
        folder.save_pseudo(1, pseudo)
    folder.save_queries({1: first.queries(finished=1)[1]})
    result = replace(result, seconds=dict.fromkeys(result.seconds, 0.0), from_run=first.path.name)
    folder.save_steps([result])  # from here on the step is finished
    return result


def _step(config: RunConfig, setting: Setting, folder: RunFolder, step: int, device: torch.device) -> StepResult:
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
            query = ask(config, setting, labels, model, step)
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
        torch.set_float32_matmul_precision("high")  # TF32; on a CPU it would change bits and gain nothing
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
        may_write=folder.may_write,
    )
    clock = time.monotonic()
    test = setting.pairs(setting.dataset.split["test"])
    whole, band = evaluate(
        model,
        test,
        config.eval_batch_size,
        config.boundary_width,
        config.border_gap,
        config.keeps_undefined,
        Progress("testing: {done} of {total} images", len(test)).at,
    )
    folder.save_weights(step, fitted.state)
    iou = [None if np.isnan(v) else round(float(v), 6) for v in class_iou(whole)]
    asked = ~labels.unlabeled
    speed = fitted.speed | {"peak_memory_mib": provenance.peak_memory_mib(device)}
    if fitted.speed:
        log.info(
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
