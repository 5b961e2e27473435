"""What loading costs: the share of an epoch that is spent on making batches, and the memory that loaders take.

    python benchmarks/loading.py

Batches are those of params/voc.yaml: 4 pictures at 513x513 from a prepared store, read by memory map, flipped, scaled and cropped.
Compute is the training step of `oreal_lib.train` with ResNet-50: forward, backward, Adam, average of the weights. Both take turns in
one process. Memory is that of a process of its own for each number of loaders, over a store of VOC's size: 1,464 pictures of
375x500 pixels, of random bytes. Its anonymous memory (RssAnon) is what the process itself holds; pages of the mapped store
(RssFile) are shared between processes, and the system takes them back when it needs them. Only Linux tells both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_report import spread
from ways import initial_model, machine, our_way, timed

from oreal_lib.batches import Pairs, batches, load_tools
from oreal_lib.config import RunConfig
from oreal_lib.data.prepare import prepare
from oreal_lib.data.source import Item, Source
from oreal_lib.data.store import ARRAYS, COLUMNS, Hashing, NpyFile, content, content_key, open_store
from oreal_lib.storage import atomic, provenance
from oreal_lib.superpixels import SuperpixelRecipe, superpixels
from oreal_lib.types import some

GOAL = {"loading_to_compute": 0.05, "anonymous_growth_to_store": 0.1}  # at most
GRID = SuperpixelRecipe(method="grid", count=150)
CLASSES = tuple(f"class_{i}" for i in range(8))
SEED = 41
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Plan:
    """model, height, width, batch: of a training step.  steps: of each of the repeats.  images: of the store trained from.
    pool, batches, loaders: pictures of the store whose memory is measured, batches made from it, by which numbers of loaders."""

    model: str = "deeplabv3plus_resnet50"
    height: int = 513
    width: int = 513
    batch: int = 4
    steps: int = 2
    repeats: int = 5
    images: int = 16
    pool: int = 1464
    batches: int = 366
    loaders: tuple[int, ...] = (0, 1, 2, 4)
    threads: int = 1


TINY = Plan("small_unet", 64, 64, 2, 2, 2, images=4, pool=8, batches=4, loaders=(0, 2))


def drawn(height: int, width: int, item: Item) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask of random bytes: what is on it makes no difference to loading."""
    rng = np.random.default_rng([SEED, int(item.name)])
    mask = rng.integers(0, len(CLASSES), (height, width), np.uint8)
    return rng.integers(0, 256, (height, width, 3), np.uint8), mask


def source(images: int, height: int, width: int) -> Source:
    """So many pictures, all for training."""
    items = tuple(Item(f"{i}", f"{i}", "train") for i in range(images))
    return Source("random", CLASSES, items, partial(drawn, height, width), {"height": height, "width": width})


def write_store(folder: Path, images: int, height: int, width: int) -> Path:
    """A store of so many pictures of random bytes, all cut into one grid; written directly, since `prepare` takes minutes."""
    rng = np.random.default_rng(SEED)
    ids = superpixels(np.zeros((height, width, 3), np.uint8), GRID)
    n = int(ids.max()) + 1
    about = content(source(images, height, width), GRID, None, None, 3)
    store = folder / "store"
    store.mkdir()
    outputs = {name: NpyFile(store / f"{name}.npy", dtype) for name, dtype in ARRAYS.items() if name != "native_truth"}
    for _ in range(images):
        outputs["images"].append(np.frombuffer(rng.bytes(height * width * 3), np.uint8))
        outputs["truth"].append(np.frombuffer(rng.bytes(height * width), np.uint8) % len(CLASSES))
        outputs["superpixels"].append(ids)
        outputs["votes"].append(np.ones((n, len(CLASSES) + 1), np.uint32))
        outputs["present"].append(np.ones((n, len(CLASSES) + 1), bool))
        outputs["pictures"].append(np.array([height, width, height, width, 1, n, 0], np.int32))
    columns = {"votes": len(CLASSES) + 1, "present": len(CLASSES) + 1, "pictures": len(COLUMNS)}
    hashing = Hashing("checksums", print, 0)
    files = {name: output.finish(columns.get(name), hashing) for name, output in outputs.items()}
    for output in outputs.values():
        output.file.close()
    atomic.write_json(store / "manifest.json", {"key": content_key(about), "about": about, "files": files, "libraries": {}})
    return store


def configured(plan: Plan, **changes: Any) -> RunConfig:
    """The paper's protocol on VOC, as far as it makes and trains on batches."""
    sizes = {"height": plan.height, "width": plan.width, "batch_size": plan.batch, "threads": plan.threads}
    given = {"dataset": "toy", "model": plan.model, "weights": "none"}
    return RunConfig.from_yaml("voc", data_options={}, **given, **sizes, **changes)


def pairs_of(store: Path) -> Pairs:
    """Training pictures and masks of a store, as a run takes them: views of the memory map."""
    dataset = open_store(store)
    return Pairs(*(some(pictures, dataset.split["train"]) for pictures in (dataset.images, dataset.truth)))


def measure_share(plan: Plan, folder: Path) -> dict:
    """Milliseconds per step of loading and of compute, in turns, and their ratio."""
    device, config = torch.device("cpu"), configured(plan, loaders=0)
    size = {"height": plan.height, "width": plan.width}
    store = prepare(source(plan.images, 375, 500), GRID, **size, store_root=folder, workers=1)
    pairs, everything = pairs_of(store), np.arange(plan.images)
    load_tools(config)
    way = our_way(initial_model(plan.model, SEED), pairs, config, device)
    loading, rates = [], {k: [] for k in plan.loaders}
    for repeat in range(plan.repeats + 1):
        way.measure(plan.steps if repeat else 1, (SEED, repeat), device)
        for k in plan.loaders:
            changed = configured(plan, loaders=k)

            def epoch(changed: RunConfig = changed, repeat: int = repeat) -> None:
                for _ in batches(pairs, everything, plan.images, changed, np.random.default_rng((SEED, repeat)), device):
                    pass

            with machine(device, plan.threads, tf32=False):
                seconds, _ = timed(epoch, device)
            rates[k].append(plan.images * plan.batch / seconds)
            if k == 0:
                loading.append(seconds / plan.images)
    total, on_data, alone = (np.array(v[1:]) for v in (way.seconds, way.on_data, loading))
    compute = (total - on_data) / plan.steps
    share = spread(alone / compute)
    return {
        "model": plan.model,
        "batch": plan.batch,
        **size,
        "loading_ms_per_step": spread(1000 * alone),
        "compute_ms_per_step": spread(1000 * compute),
        "loading_to_compute": share,
        "waiting_in_training": spread(on_data / total),
        "images_per_s": {str(k): spread(np.array(v[1:])) for k, v in rates.items()},
        "goal_met": share["median"] <= GOAL["loading_to_compute"],
    }


def memory_now() -> dict[str, int]:
    """MiB of this process: anonymous, of mapped files, and the resident set at its highest."""
    found = dict(re.findall(r"^(RssAnon|RssFile|VmHWM):\s+(\d+) kB", STATUS.read_text(), re.MULTILINE))
    return {name: int(value) >> 10 for name, value in found.items()}


def memory_while_loading(store: Path, plan: Plan, loaders: int) -> dict[str, int]:
    """In a process of its own: MiB at the highest of what `memory_now` tells after each batch."""
    config, device = configured(plan, loaders=loaders, resize="crop"), torch.device("cpu")
    pairs, highest = pairs_of(store), {"RssAnon": 0, "RssFile": 0, "VmHWM": 0}
    load_tools(config)
    opened = memory_now()["RssAnon"]
    with machine(device, plan.threads, tf32=False):
        for _ in batches(pairs, np.arange(len(pairs)), plan.batches, config, np.random.default_rng((SEED,)), device):
            highest = {name: max(value, highest[name]) for name, value in memory_now().items()}
    return highest | {"RssAnon before": opened}


def measure_memory(plan: Plan, folder: Path) -> dict | None:
    """The memory with each number of loaders, each in a process of its own; None where the system does not tell it."""
    if not STATUS.is_file() or "RssAnon" not in STATUS.read_text():
        return None
    store = write_store(folder, plan.pool, *((375, 500) if plan.pool > 100 else (75, 100)))
    size = sum(file.stat().st_size for file in store.iterdir())
    rows = {}
    for k in plan.loaders:
        command = [sys.executable, __file__, "--memory-of", str(store), "--loaders", str(k), *(["--tiny"] if plan == TINY else [])]
        command += ["--batches", str(plan.batches)]
        rows[str(k)] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    growth = max(row["RssAnon"] for row in rows.values()) - rows["0"]["RssAnon"]
    share = float(f"{growth / (size / 2**20):.3g}")
    return {
        "pictures": plan.pool,
        "store_mib": size >> 20,
        "mib_by_loaders": rows,
        "anonymous_growth_to_store": share,
        "goal_met": share <= GOAL["anonymous_growth_to_store"],
    }


def table(results: dict) -> str:
    """Medians, in brackets the least and the most."""
    import pandas as pd

    def ratio(s: dict) -> str:
        return f"{s['median']:.1%} ({s['least']:.1%}-{s['most']:.1%})"

    share, memory = results["share"], results["memory"]
    line = {
        "model": share["model"],
        "batch": f"{share['batch']} x {share['height']} x {share['width']}",
        "loading, ms per step": f"{share['loading_ms_per_step']['median']:.0f}",
        "compute": f"{share['compute_ms_per_step']['median']:.0f}",
        "loading / compute": ratio(share["loading_to_compute"]),
        "waiting in training": ratio(share["waiting_in_training"]),
    }
    line |= {f"images/s, {k} loaders": f"{s['median']:.0f}" for k, s in share["images_per_s"].items()}
    parts = [pd.DataFrame([line]).T.to_string(header=False)]
    if memory is not None:
        rows = [
            {
                "loaders": k,
                "anonymous": m["RssAnon"],
                "before the first batch": m["RssAnon before"],
                "of the mapped store": m["RssFile"],
                "resident at the highest": m["VmHWM"],
            }
            for k, m in memory["mib_by_loaders"].items()
        ]
        parts.append(f"\nMiB, over a store of {memory['pictures']:,} pictures, {memory['store_mib']:,} MiB")
        parts.append(pd.DataFrame(rows).to_string(index=False))
        parts.append(f"growth of anonymous memory with loaders: {memory['anonymous_growth_to_store']:.1%} of the store")
    return "\n".join(parts)


def main(argv: list[str] | None = None) -> dict:
    """The command line; returns what it writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    for name in ("steps", "repeats", "batches", "threads"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)  # how this program calls itself
    parser.add_argument("--loaders", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    changes = {n: v for n in ("steps", "repeats", "batches", "threads") if (v := getattr(given, n)) is not None}
    for name, value in changes.items():
        if value < 1:
            parser.error(f"--{name} is {value}, but at least 1 is needed; raise it")
    plan = TINY if given.tiny else Plan(**changes)
    if given.memory_of:
        found = memory_while_loading(given.memory_of, plan, given.loaders)
        print(json.dumps(found))
        return found
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    began = time.monotonic()
    results: dict[str, Any] = {
        "device": provenance.device_name(torch.device("cpu")),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "load_average": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "threads": plan.threads,
        "steps": {"timed": plan.steps, "repeats": plan.repeats, "images": plan.images},
        "goal": GOAL,
    }
    path = (given.out or Path(__file__).resolve().parent / "results") / "loading_cpu.json"
    for name, measure in (("memory", measure_memory), ("share", measure_share)):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            results[name] = measure(plan, Path(folder))
        results["seconds"] = round(time.monotonic() - began, 1)
        atomic.write_json(path, results)
        print(f"{name}: done after {results['seconds']} s", flush=True)
    print(f"{results['device']}; torch {results['versions']['torch']}; load average at the start {results['load_average']}\n")
    print(table(results))
    print(f"written: {path.name}")
    return results


if __name__ == "__main__":
    main()
