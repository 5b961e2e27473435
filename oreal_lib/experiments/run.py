"""The loop of `loop.py` on disk: it may be killed at any instant and loses no finished step."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from .. import loop
from ..config import RunConfig
from ..data.label_cost import label_cost
from ..models import check_model
from ..setting import Setting, open_setting
from ..storage import provenance
from ..storage.devices import choose_device, half_precision
from ..storage.lock import Lock
from ..storage.paths import runs_root
from ..storage.processes import refuse_unguarded
from ..storage.progress import lines_begin, log
from ..types import Dataset, StepResult
from .fingerprint import check_inputs, read_inputs
from .gpu import device_of_run
from .run_folder import RunFolder
from .stage_two import StageTwo, check_networks


def run(config: RunConfig, runs_dir: Path | str | None = None, dataset: Dataset | None = None) -> Iterator[StepResult]:
    """Carry out one run, yielding each step's result, the finished ones of an earlier attempt first.

    Killed at any instant and started again, it continues; on a CPU it ends with the same queries and metrics. The runs that it needs
    (`RunConfig.needs`) come first, in folders beside its own. It waits for a run that another process computes.
    dataset: to use instead of loading the one the config names.
    RuntimeError in a script without `if __name__ == "__main__":`, since its worker processes would start the script again.
    """
    refuse_unguarded()
    path = Path(runs_dir or runs_root()) / config.run_id
    finished = RunFolder(path).done is not None  # its folder may be read-only
    with nullcontext() if finished else Lock(path / "run.lock").wait(f"run {path.name} is being computed") as lock:
        folder = RunFolder(path, lock)
        try:
            yield from _run(config, folder, dataset)
        except KeyboardInterrupt:
            with suppress(ValueError, OSError):  # of a damaged record, which must not hide the stop
                inside = "; inside the next, from its last finished epoch" if (path / "checkpoint.pt").exists() else ""
                kept = f"{len(folder.steps())} of {config.rounds} steps are finished and kept"
                log.info(f"[{config.run_id}] stopped: {kept}; run the same again and it goes on from there{inside}")
            raise


def _run(config: RunConfig, folder: RunFolder, dataset: Dataset | None) -> Iterator[StepResult]:
    torch.set_num_threads(config.threads)  # bits on a CPU depend on the number of threads: it is part of the run's record
    choose_device(config.device)  # refuses what is not there
    finished, inputs = folder.steps(), _inputs(config, dataset)
    check_inputs(folder, inputs)
    yield from finished
    if folder.done is not None:
        return
    # refuses a misspelled model or missing weights before the data are prepared, which can take long
    check_model(config.model, _first_weights(config, finished), config.classifier)
    if config.stage == 2:
        check_networks(RunFolder(folder.path.parent / config.stage_one.run_id))  # before anything is computed
        _finish_first(config.stage_one, folder, dataset)
    setting = open_setting(config, dataset)
    about = {"protocol": config.protocol, "run_id": config.run_id, **config.values()} | ({"inputs": inputs} if inputs else {})
    folder.save_json("config.json", about)
    folder.tidy(len(finished), config.keep_weights)
    if not finished and config.step_one is not None:
        finished.append(_copy_step_one(_finish_first(config.step_one, folder, dataset), folder))
        yield finished[0]
    with device_of_run(config.device, config.gpu_share) as device:
        for result in _steps_left(config, setting, folder, finished, device):
            finished.append(result)
            folder.save_steps(finished)  # from here on the step is finished
            (folder.path / "checkpoint.pt").unlink(missing_ok=True)
            folder.tidy(len(finished), config.keep_weights)
            yield result
    (folder.path / "checkpoint.pt").unlink(missing_ok=True)  # of a last step that was killed right after it was saved
    folder.save_json("done.json", _about_run(config, setting, finished, device))


def _inputs(config: RunConfig, dataset: Dataset | None) -> dict[str, str]:
    """Fingerprints of what the run is made from."""
    if dataset is not None:
        return {"votes": "content:" + hashlib.sha256(np.ascontiguousarray(dataset.votes).tobytes()).hexdigest()}
    try:
        return read_inputs(config)
    except (OSError, ValueError):  # a finished run can be read where its data are not; `open_setting` tells the others
        return {}


def _first_weights(config: RunConfig, finished: Sequence[StepResult]) -> str:
    """The weights with which the network is built: none where those of a finished step replace them."""
    return "none" if finished and config.warm_start else config.weights


def _finish_first(config: RunConfig, folder: RunFolder, dataset: Dataset | None) -> RunFolder:
    """The folder of a run that the one in `folder` needs, carried out to its end if it is unfinished."""
    first = RunFolder(folder.path.parent / config.run_id)
    if first.done is None:
        log.info(f"[{folder.path.name}] begins with run {config.run_id}, which comes first")
    list(run(config, first.path.parent, dataset))
    return first


def _copy_step_one(first: RunFolder, folder: RunFolder) -> StepResult:
    """Step 1 of the run that all strategies of a seed share, copied as step 1 of this one; it took no time here."""
    folder.save_weights(1, first.weights(1))
    if (pseudo := first.pseudo(1)) is not None:
        folder.save_pseudo(1, pseudo)
    folder.save_queries({1: first.queries(finished=1)[1]})
    (result,) = first.steps()
    result = replace(result, seconds=dict.fromkeys(result.seconds, 0.0), from_run=first.path.name)
    folder.save_steps([result])  # from here on the step is finished
    return result


def _steps_left(
    config: RunConfig, setting: Setting, folder: RunFolder, finished: Sequence[StepResult], device: torch.device
) -> Iterator[StepResult]:
    """`loop.active_learning` from the first unfinished step on; query, pseudo labels and network of each step are saved."""
    done = len(finished)
    if done == config.rounds:
        return
    model = setting.network(config, _first_weights(config, finished))
    model.to(device, memory_format=torch.channels_last)
    if done:
        model.load_state_dict(folder.weights(done))
    queries = folder.queries(finished=done)
    labels = setting.labels_after(queries, done)
    stage = loop if config.stage == 1 else StageTwo(folder, RunFolder(folder.path.parent / config.stage_one.run_id), queries)
    for t in range(done + 1, config.rounds + 1):
        with lines_begin(f"[{config.run_id}] step {t}: "):
            began = time.monotonic()
            if t not in queries:
                queries[t] = stage.ask(config, setting, model, labels, t)
                if config.supervision == "active":
                    folder.save_queries(queries)
            labels = setting.oracle.answer(labels, queries[t].ids, t)
            seconds = {"query": time.monotonic() - began}
            result = stage.learn(config, setting, model, labels, t, keep=folder.checkpoint(config.checkpoint_seconds))
            folder.save_weights(t, model.state_dict())
        yield replace(result, seconds=result.seconds | seconds)


def _about_run(config: RunConfig, setting: Setting, finished: list[StepResult], device: torch.device) -> dict:
    """The content of done.json."""
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
