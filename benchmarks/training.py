"""How much faster training is here than the plain way of training the same network, and that it learns the same.

    python benchmarks/training.py

Ours: `oreal_lib.train`'s own steps on prepared arrays. Plain: float32 (without TF32), default memory layout, every picture
decoded from its file in every epoch and augmented in the main process. Both see the same pixels, draws and initial weights
and take turns, A B A B, in one process: what else the machine does meets both, so ratios can be trusted more than rates.
Dropout is off in both: its draws follow the memory layout, and the loss curves could not be laid on each other.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_training import plain_batches, plain_evaluate, write_scenes
from training_report import compared, draw_losses, spread, table, title
from ways import Way, initial_model, machine, moved_by_a_rounding, our_way, plain_way, timed

from oreal_lib import predict, train
from oreal_lib.batches import Pairs, batches
from oreal_lib.config import RunConfig
from oreal_lib.storage import atomic, provenance

GOAL = {"ratio": 2.5, "waiting": 0.05}  # on an H200: images/s over the plain way, at least; waiting for data, at most
LOADERS = (0, 1, 2, 4)
SEED = 41
COUNTS = ("images", "warmup", "steps", "repeats", "threads")


@dataclass(frozen=True)
class Plan:
    """What to measure. runs: (model, height, width, batch size).  compiled: without and / or with torch.compile.
    After `warmup` steps that do not count, `repeats` times `steps` steps of each way."""

    runs: tuple[tuple[str, int, int, int], ...]
    compiled: tuple[bool, ...] = (False,)
    images: int = 16
    warmup: int = 3
    steps: int = 5
    repeats: int = 11
    precision: str = "auto"
    threads: int = 1


GPU_MODELS = ("deeplabv3plus_resnet50", "deeplabv3plus_resnet101", "segmenter_small")
TINY = Plan((("small_unet", 64, 64, 4),), images=4, warmup=1, steps=3, repeats=2)
CPU = Plan((("small_unet", 96, 128, 8), ("deeplabv3plus_resnet18", 129, 129, 4)))
GPU = Plan(tuple((m, 513, 513, 4) for m in GPU_MODELS), (False, True), warmup=10, steps=50, repeats=3)


def measure(config: RunConfig, plan: Plan, pairs: Pairs, files: Pairs, device: torch.device, plain_threads: int) -> dict:
    """One row of the results: rates in images/s, ratios pair by pair, losses of every step."""
    if config.compile:  # what was compiled for an earlier row counts towards a limit
        torch.compiler.reset()
    initial = initial_model(config.model, SEED)
    plain = plain_way(initial, files, config, device, plain_threads)
    ours = our_way(initial, pairs, config, device)
    keys = [(SEED, repeat) for repeat in range(plan.repeats + 1)]
    for key in keys:
        for way in (plain, ours):
            way.measure(plan.steps if key[1] else plan.warmup, key, device)
    images = plan.steps * config.batch_size
    sides = {}
    for name, way in (("plain", plain), ("ours", ours)):
        seconds, on_data = np.array(way.seconds[1:]), np.array(way.on_data[1:])
        sides[name] = {
            "images_per_s": spread(images / seconds),
            "on_data": spread(on_data / seconds),
            "compute_ms_per_step": spread(1000 * (seconds - on_data) / plan.steps),
            "peak_memory_mib": max(way.peak, default=None),
        }
    first = np.array(ours.first_batch[1:])  # with loaders each epoch begins with an empty queue; real epochs are longer
    sides["ours"]["on_data_after_first_batch"] = spread((on_data - first) / (seconds - first))
    row = {
        "model": config.model,
        "height": config.height,
        "width": config.width,
        "batch": config.batch_size,
        "compile": config.compile,
        "precision": "bfloat16" if train.half_precision(config.precision, device) else "float32",
        **sides,
        "ratio": spread(np.array(plain.seconds[1:]) / ours.seconds[1:]),
        "ratio_of_cpu_time": spread(np.array(plain.cpu_seconds[1:]) / ours.cpu_seconds[1:]) if device.type == "cpu" else None,
        "evaluation": measure_evaluation(plain, ours, config, plan, pairs, files, device),
        "loading": measure_loading(config, plan, pairs, files, device, plain_threads),
        "process_peak_memory_mib": None if device.type == "cuda" else provenance.peak_memory_mib(device),
        "loss": compared(plain.curve(), ours.curve()),
    }
    # What no difference looks like: the plain way again, its first weights moved by a rounding.
    moved = plain_way(moved_by_a_rounding(initial, SEED), files, config, device, plain_threads)
    for key in keys:
        moved.measure(plan.steps if key[1] else plan.warmup, key, device)
    return row | {"rounding": compared(plain.curve(), moved.curve())}


def measure_evaluation(
    plain: Way, ours: Way, config: RunConfig, plan: Plan, pairs: Pairs, files: Pairs, device: torch.device
) -> dict:
    """Images/s of both ways with the same weights, and the share of pixels (at least) in which they differ."""
    plain.average.module.load_state_dict(ours.average.module.state_dict())
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(plan.repeats + 1):
        with plain.settings():
            took, a = timed(lambda: plain_evaluate(plain.average.module, files, config.eval_batch_size), device)
        seconds["plain"].append(took)
        with ours.settings():
            took, (b, _) = timed(lambda: predict.evaluate(ours.average.module, pairs, config.eval_batch_size), device)
        seconds["ours"].append(took)
    rates = {name: len(pairs) / np.array(s[1:]) for name, s in seconds.items()}
    result = {name: spread(rate) for name, rate in rates.items()} | {"ratio": spread(rates["ours"] / rates["plain"])}
    return result | {"pixels_that_differ": float(np.abs(a - b).sum() / 2 / a.sum())}


def measure_loading(config: RunConfig, plan: Plan, pairs: Pairs, files: Pairs, device: torch.device, plain_threads: int) -> dict:
    """Images/s of making batches and bringing them to the device, with nothing trained on them."""

    def decode() -> None:
        with machine(device, plain_threads, False):
            for x, y in plain_batches(files, plan.steps, config, (SEED,)):
                x.to(device), y.to(device)

    def load(loaders: int) -> None:
        changed = config.model_copy(update={"loaders": loaders})
        with machine(device, config.threads, True):
            for _ in batches(pairs, np.arange(len(pairs)), plan.steps, changed, np.random.default_rng((SEED,)), device):
                pass

    ways = {"decode_per_epoch": decode} | {f"loaders_{k}": lambda k=k: load(k) for k in LOADERS}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(plan.repeats + 1):
        for name, work in ways.items():
            seconds[name].append(timed(work, device)[0])
    return {name: spread(plan.steps * config.batch_size / np.array(s[1:])) for name, s in seconds.items()}


def configured(plan: Plan, model: str, height: int, width: int, batch: int, compiled: bool) -> RunConfig:
    """Learning rate and augmentation: of the toy for the toy's network, else of the paper's protocol on VOC."""
    return RunConfig.from_yaml(
        "toy" if model == "small_unet" else "voc",
        dataset="toy",
        model=model,
        weights="none",
        height=height,
        width=width,
        batch_size=batch,
        precision=plan.precision,
        compile=compiled,
        threads=plan.threads,
    )


def run(plan: Plan, device: torch.device, out: Path, plain_threads: int) -> dict:
    """Measure everything in the plan; `out` holds the results so far after each row, and the loss curves at the end."""
    configs = [configured(plan, *one, compiled) for one in plan.runs for compiled in plan.compiled]
    began = time.monotonic()
    with machine(device, plan.threads, tf32=True):
        name = provenance.device_name(device)
    slug = "cpu" if device.type == "cpu" else re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = out / f"training_{slug}.json"
    results: dict[str, Any] = {
        "device": name,
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "load_average": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "threads": {"plain": plain_threads, "ours": plan.threads},
        "steps": {"warmup": plan.warmup, "timed": plan.steps, "repeats": plan.repeats, "images": plan.images},
        "goal": GOAL if device.type == "cuda" else None,
        "rows": [],
    }
    print(f"{name}; torch {results['versions']['torch']}; load average at the start {results['load_average']}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scenes: dict[tuple[int, int], tuple[Pairs, Pairs]] = {}
        for config in configs:
            size = (config.height, config.width)
            if size not in scenes:
                scenes[size] = write_scenes(Path(folder) / "{}x{}".format(*size), plan.images, *size, SEED)
            row = measure(config, plan, *scenes[size], device, plain_threads)
            if device.type == "cuda":
                fast, fed = row["ratio"]["median"] >= GOAL["ratio"], row["ours"]["on_data"]["median"] <= GOAL["waiting"]
                row["goal_met"] = bool(fast and fed)
            results["rows"].append(row)
            results["seconds"] = round(time.monotonic() - began, 1)
            atomic.write_json(path, results)
            print(f"{title(row)}: done after {results['seconds']} s", flush=True)
    draw_losses(results["rows"], path.with_suffix(".png"))
    print(table(results["rows"]))
    for row in results["rows"]:
        if "goal_met" in row:
            met = "met" if row["goal_met"] else "NOT met"
            print(f"{title(row)}: at least {GOAL['ratio']} x, at most {GOAL['waiting']:.0%} waiting: {met}")
    print(f"written: {path.name}, {path.with_suffix('.png').name}")
    return results


def main(argv: list[str] | None = None) -> dict:
    """The command line: a plan for this machine, changed by what is given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--models", help="names by comma")
    parser.add_argument("--size", help="height x width, such as 96x128")
    parser.add_argument("--batch", type=int)
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="rows with torch.compile, too; on a GPU the default"
    )
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), help="of our steps; the plain way is always float32"
    )
    for name in COUNTS:
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(argv)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    if given.size and not re.fullmatch(r"\d+x\d+", given.size):
        parser.error(f"--size is {given.size!r}; write height x width, such as 96x128")
    for n in (*COUNTS, "batch"):
        if (v := getattr(given, n)) is not None and v < 1:
            parser.error(f"--{n} is {v}, but at least 1 is needed; raise it")
    device = predict.choose_device(given.device)
    plan = TINY if given.tiny else GPU if device.type == "cuda" else CPU
    known = {model: sizes for model, *sizes in plan.runs}
    runs = []
    for model in given.models.split(",") if given.models else known:
        height, width, batch = known.get(model, plan.runs[-1][1:])
        height, width = map(int, given.size.split("x")) if given.size else (height, width)
        runs.append((model, height, width, given.batch or batch))
    changes = {n: v for n in (*COUNTS, "precision") if (v := getattr(given, n)) is not None}
    if given.compile is not None:
        changes["compiled"] = (False, True) if given.compile else (False,)
    plan = replace(plan, **changes, runs=tuple(runs))
    # On a GPU the plain way gets all cores for its augmentation, as torch does unasked; a run of ours has loaders instead.
    threads = torch.get_num_threads() if device.type == "cuda" else plan.threads
    return run(plan, device, given.out or Path(__file__).resolve().parent / "results", threads)


if __name__ == "__main__":
    main()
