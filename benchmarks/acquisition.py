"""What asking costs beside looking: every strategy against the softmax, a forward pass, and the way published code does it.

    python benchmarks/acquisition.py                    # on a CPU, about half an hour
    python benchmarks/acquisition.py --device cuda

A pool of pictures of 1024 x 2048 pixels, 2048 superpixels and 19 classes. "Score and aggregate": the whole strategy with the
probabilities lying ready. "Whole": with the softmax, once with the logits lying ready and once behind a network with random
weights. All take turns in one process, so that ratios can be trusted more than seconds. "Alike": the share of the query that the
published way asks, too; for OREAL by max many of its entropies are the same float32 close to ln 2, and their order is lost.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import published
import torch
from acquisition_report import GOALS, judged, table, verdicts
from asking import RESULTS, Pool, counted, header, picture, pool_of, slug
from torch import nn
from training_report import spread
from ways import machine, timed

from oreal_lib import predict, train
from oreal_lib.aggregate import Regions
from oreal_lib.models import build_model
from oreal_lib.storage import atomic
from oreal_lib.strategies import STRATEGIES

SEED = 41
COUNTS = ("images", "repeats", "network_repeats")


@dataclass(frozen=True)
class Plan:
    """What to measure. sizes: (height, width).  After one turn that does not count, `repeats` turns of everything without a
    network and `network_repeats` of everything with one; 0: no network."""

    sizes: tuple[tuple[int, int], ...] = ((1024, 2048),)
    superpixels: int = 2048
    method: str = "seeds"
    classes: int = 19
    model: str = "deeplabv3plus_resnet50"
    precision: str = "auto"
    threads: tuple[int, ...] = (1,)
    images: int = 2
    repeats: int = 3
    network_repeats: int = 2


TINY = Plan(((32, 64),), 32, "grid", 3, "small_unet", repeats=2)
GPU = Plan(((769, 769), (1024, 2048)), images=8, repeats=5, network_repeats=5)


class Half(nn.Module):
    """The network in half precision, its logits in float32."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) float32."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.net(images).float()


def asked(strategy: str, how: str, pool: Pool, passes: Callable[[], Iterator[torch.Tensor]]) -> np.ndarray:
    """(Q,) int64: what the strategy asks; passes: one inference pass."""
    regions = Regions(passes, pool.superpixels, pool.n_classes)
    return STRATEGIES[strategy](regions, pool.labels, pool.budget, how, np.random.default_rng(SEED)).ids


def asked_as_published(strategy: str, how: str, pool: Pool, logits: Callable[[], Iterator[torch.Tensor]]) -> np.ndarray:
    """The same by `published.ask`."""
    rng = np.random.default_rng(SEED)
    return published.ask(strategy, how, logits, pool.superpixels, pool.labels, pool.budget, pool.n_classes, rng)


def measure(strategy: str, how: str, pool: Pool, forward: np.ndarray | None, plan: Plan, device: torch.device) -> dict[str, Any]:
    """One row without a network: seconds per image and their ratios. forward: seconds per image of passes of the network."""
    notes: dict[str, list[int]] = {"ours": [], "published": []}
    ready = list(pool.predict())
    ways = {
        "softmax": lambda: [None for _ in pool.predict()],
        "bare_softmax": lambda: [None for z in pool.bare() if z.softmax(dim=0) is None],
        "score": lambda: asked(strategy, how, pool, lambda: iter(ready)),
        "whole": lambda: asked(strategy, how, pool, counted(pool.predict, notes["ours"])),
        "published": lambda: asked_as_published(strategy, how, pool, counted(pool.bare, notes["published"])),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for _ in range(plan.repeats + 1):
        for name, work in ways.items():
            took, found[name] = timed(work, device)
            seconds[name].append(took / plan.images)
    s = {name: np.array(values[1:]) for name, values in seconds.items()}
    passes = {name: len(marks) // (plan.repeats + 1) for name, marks in notes.items()}
    row = {
        "strategy": strategy,
        "how": how,
        "passes": passes["ours"],
        "published_passes": passes["published"],
        "seconds_per_image": {name: spread(values) for name, values in s.items()},
    }
    if not passes["ours"]:  # random looks at nothing: there is nothing to be measured against
        return row
    more = (passes["published"] - passes["ours"]) * np.median(forward) if forward is not None else None
    return row | {
        "asked_alike": float(np.isin(found["whole"], found["published"]).mean()),
        "score_over_softmax": spread(s["score"] / np.minimum(s["softmax"], s["bare_softmax"])),
        "published_over_ours": spread(s["published"] / s["whole"]),
        "published_over_ours_with_its_passes": spread((s["published"] + more) / s["whole"]) if more is not None else None,
    }


def network(plan: Plan, device: torch.device) -> nn.Module:
    """The plan's network with random weights, as a run has it on this device; in half precision if the plan says so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = build_model(plan.model, plan.classes)
    net = net.to(device, memory_format=torch.channels_last).eval()
    return Half(net) if train.half_precision(plan.precision, device) else net


def measure_network(questions: list[tuple[str, str]], pool: Pool, plan: Plan, device: torch.device) -> dict:
    """For each question (strategy, how) two arrays of seconds per image: of a bare forward pass and of the whole call behind one."""
    net, seconds = network(plan, device), {q: ([], []) for q in questions}

    def turn(question: tuple[str, str]) -> tuple[float, float]:
        bare, _ = timed(lambda: [None for _ in predict.logits(net, pool.images, 1)], device)
        whole, _ = timed(lambda: asked(*question, pool, lambda: predict.predict(net, pool.images, 1)), device)
        return bare / plan.images, whole / plan.images

    turn(questions[0])
    for _ in range(plan.network_repeats):
        for question, (bare, whole) in seconds.items():
            for kept, took in zip((bare, whole), turn(question), strict=True):
                kept.append(took)
    return {q: (np.array(bare), np.array(whole)) for q, (bare, whole) in seconds.items()}


def run(plan: Plan, device: torch.device, out: Path) -> dict:
    """Measure everything in the plan; `out` holds the results so far after each size and number of threads."""
    began = time.monotonic()
    path = out / f"acquisition_{slug(device)}.json"
    half = train.half_precision(plan.precision, device)
    results = header(device) | {"goals": GOALS, "plan": asdict(plan), "precision": "bfloat16" if half else "float32", "rows": []}
    print(f"{results['device']}; torch {results['versions']['torch']}; load average {results['load_average']}", flush=True)
    for height, width in plan.sizes:
        pool = pool_of(*picture(height, width, plan.superpixels, SEED, plan.method), plan.images, plan.classes, SEED, device)
        for threads in plan.threads:
            with machine(device, threads, tf32=True), torch.no_grad():
                rows = measure_all(pool, plan, device)
            for row in rows:
                row |= {"height": height, "width": width, "threads": threads, "superpixels": len(pool.superpixels) // plan.images}
                row["goals_met"] = judged(row, device.type == "cuda")
            results["rows"] += rows
            results["seconds"] = round(time.monotonic() - began, 1)
            atomic.write_json(path, results)
            n = rows[0]["superpixels"]
            print(f"\n{height} x {width}, {n} superpixels, {plan.classes} classes, {threads} thread(s); seconds per image")
            print(table(rows), flush=True)
    print(verdicts(results["rows"], device.type == "cuda"))
    print(f"written: {path.name}")
    return results


def measure_all(pool: Pool, plan: Plan, device: torch.device) -> list[dict]:
    """The rows of one pool, with the network's columns if the plan wants them."""
    questions = [(s, how) for s in published.WAYS if s != "random" for how in ("mean", "max")]
    behind = measure_network(questions, pool, plan, device) if plan.network_repeats else {}
    forward = np.concatenate([bare for bare, _ in behind.values()]) if behind else None
    rows = []
    for question in [("random", "max"), *questions]:
        row = measure(*question, pool, forward, plan, device)
        if question in behind:
            bare, whole = behind[question]
            row["seconds_per_image"] |= {"forward": spread(bare), "forward_and_whole": spread(whole)}
            row["whole_over_forward"] = spread(whole / bare)
        rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> dict:
    """The command line: a plan for this machine, changed by what is given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--sizes", help="height x width by comma, such as 769x769,1024x2048")
    parser.add_argument("--threads", help="CPU threads by comma; 1,2 if not given and there are two cores")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), help="of the network; auto is bfloat16 on a GPU")
    for name in COUNTS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(argv)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    changes = {n: v for n in (*COUNTS, "precision") if (v := getattr(given, n)) is not None}
    for name, least in zip(COUNTS, (1, 1, 0), strict=True):
        if changes.get(name, least) < least:
            parser.error(f"--{name.replace('_', '-')} is {changes[name]}, but at least {least} is needed; raise it")
    if given.sizes:
        if not re.fullmatch(r"\d+x\d+(,\d+x\d+)*", given.sizes):
            parser.error(f"--sizes is {given.sizes!r}; write height x width by comma, such as 769x769,1024x2048")
        changes["sizes"] = tuple(tuple(map(int, size.split("x"))) for size in given.sizes.split(","))
    if given.threads:
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", given.threads):
            parser.error(f"--threads is {given.threads!r}; write numbers >= 1 by comma, such as 1,2")
        changes["threads"] = tuple(map(int, given.threads.split(",")))
    device = predict.choose_device(given.device)
    cores = (1, 2) if (os.cpu_count() or 1) > 1 else (1,)
    plan = TINY if given.tiny else GPU if device.type == "cuda" else replace(Plan(), threads=cores)
    return run(replace(plan, **changes), device, given.out or RESULTS)


if __name__ == "__main__":
    main()
