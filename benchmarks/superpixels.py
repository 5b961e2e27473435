"""How long it takes to cut a data set into superpixels: phase by phase, and with more and more processes.

    python benchmarks/superpixels.py

Phases are timed apart in one process, picture by picture. Speed-up is of `oreal_lib.data.prepare`'s own work on a picture (decode,
cut, keep the map, count votes, hand the arrays back) by its own processes, from the moment they all have started; the numbers of
processes take turns. Pictures are drawn scenes, drawn at a quarter of the size, enlarged, with grain of their own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from skimage.exposure import equalize_hist
from training_report import spread

from oreal_lib.data.prepare import Cutter, _prepared
from oreal_lib.data.readers.toy import CLASSES, draw_scene
from oreal_lib.data.source import Item
from oreal_lib.oracle import class_votes
from oreal_lib.storage import atomic, provenance
from oreal_lib.storage.processes import parallel
from oreal_lib.storage.progress import spoken
from oreal_lib.superpixels import SuperpixelRecipe, dense, superpixels
from oreal_lib.superpixels.seeds import equalized
from oreal_lib.weak.labels import TRIM, classes_present

GOAL = {"equalize_and_color_to_seeds": 1.0, "efficiency": 0.9}  # at most; at least
SEED = 41


@dataclass(frozen=True)
class Case:
    """Pictures of one data set: size, superpixels asked, file format, and how many training images the data set has."""

    name: str
    height: int
    width: int
    count: int
    suffix: str
    total: int
    levels: int = 5


@dataclass(frozen=True)
class Plan:
    """What to measure: `images` pictures of each case, `repeats` times, with each number of processes."""

    cases: tuple[Case, ...]
    processes: tuple[int, ...]
    images: int = 4
    repeats: int = 5


def up_to(cores: int) -> tuple[int, ...]:
    """1, 2, 4, 8, ... and all cores."""
    return tuple(sorted({2**i for i in range(cores.bit_length()) if 2**i <= cores} | {cores}))


CASES = (Case("Cityscapes", 1024, 2048, 2048, ".png", 2975), Case("VOC", 375, 500, 150, ".jpg", 1464))
TINY = Plan((Case("tiny", 64, 96, 16, ".png", 10, levels=2),), (1, 2), images=2, repeats=1)


def write_scene(folder: Path, case: Case, number: int) -> Item:
    """A scene of the case as picture and mask files."""
    rng, size = np.random.default_rng([SEED, number]), (case.width, case.height)
    image, mask = draw_scene(rng, max(32, case.height // 4), max(32, case.width // 4))
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    image = cv2.add(image, rng.integers(0, 6, image.shape, np.uint8))
    item = Item(f"{number}", f"{number}", "train", folder / f"{number}{case.suffix}", folder / f"{number}_mask.png")
    Image.fromarray(image).save(item.image, **({"quality": 95} if case.suffix == ".jpg" else {"compress_level": 6}))
    Image.fromarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)).save(item.mask)
    return item


def opened(item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Image (h, w, 3) uint8 and mask (h, w) uint8 of the files of an item."""
    with Image.open(item.image) as image, Image.open(item.mask) as mask:
        return np.asarray(image.convert("RGB")), np.asarray(mask)


def phases(item: Item, recipe: SuperpixelRecipe, folder: Path) -> dict[str, float]:
    """Seconds of each phase of one picture, in the order of the work. RuntimeError if together they are not the library's work."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        mark = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - mark
        return result

    image, mask = timed("decode", lambda: opened(item))
    height, width = mask.shape
    plain = timed("equalize_hist", lambda: equalize_hist(image.reshape(height, -1)).reshape(image.shape).astype(np.float32))
    rgb = timed("equalize", lambda: equalized(image))
    hsv = timed("color", lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))

    def seeds() -> np.ndarray:
        made = cv2.ximgproc.createSuperpixelSEEDS(
            width, height, 3, recipe.count, recipe.levels, recipe.prior, recipe.bins, recipe.double_step
        )
        made.iterate(hsv, recipe.iterations)
        return made.getLabels()

    ids = timed("SEEDS", seeds)
    ids = timed("dense", lambda: dense(ids))
    n = int(ids.max()) + 1
    timed("votes", lambda: class_votes(mask, ids, n, len(CLASSES)))
    timed("weak labels", lambda: classes_present(mask, ids, n, len(CLASSES)))
    cutter = Cutter(folder, recipe, {})
    whole, _ = cutter(image)
    timed("found again", lambda: cutter(image))
    if not np.array_equal(rgb, plain) or not np.array_equal(ids, whole):
        raise RuntimeError("the phases timed here are not what the library does; bring this benchmark up to date")
    return seconds


def prepared_or_ready(work: Callable[[Item], dict], ready: Path, processes: int, item: Item | None) -> dict | None:
    """What a process does: the work on a picture; or, for None, say that it has started and wait until all have."""
    if item is not None:
        return work(item)
    superpixels(np.zeros((64, 64, 3), np.uint8), SuperpixelRecipe(count=16, levels=2))  # imports what cutting needs
    (ready / str(os.getpid())).touch()
    while len(list(ready.iterdir())) < processes:
        time.sleep(0.001)
    return None


def seconds_with(processes: int, items: list[Item], recipe: SuperpixelRecipe) -> float:
    """Seconds to prepare the pictures with so many processes, of which all have started."""
    with tempfile.TemporaryDirectory() as folder:
        ready, maps = Path(folder) / "ready", Path(folder) / "maps"
        ready.mkdir()
        maps.mkdir()
        work = partial(_prepared, opened, len(CLASSES), Cutter(maps, recipe, {}), TRIM, None, None)
        done = parallel(partial(prepared_or_ready, work, ready, processes), [None] * processes + items, processes)
        for _ in range(processes):
            next(done)
        mark = time.perf_counter()
        for _ in items:
            next(done)
        seconds = time.perf_counter() - mark
        done.close()  # waits until the processes have ended
    return seconds


def measure(case: Case, plan: Plan, folder: Path) -> dict:
    """One row of the results: seconds for each picture by phase, images/s by number of processes, the time of the whole data set."""
    items = [write_scene(folder, case, number) for number in range(plan.images)]
    recipe = SuperpixelRecipe(count=case.count, levels=case.levels)
    by_picture = []
    for repeat in range(plan.repeats):
        kept = folder / f"maps{repeat}"
        kept.mkdir()
        by_picture += [phases(item, recipe, kept) for item in items]
    columns = {name: np.array([p[name] for p in by_picture]) for name in by_picture[0]}
    seconds: dict[int, list[float]] = {k: [] for k in plan.processes}
    for _ in range(plan.repeats):
        for k in plan.processes:
            seconds[k].append(seconds_with(k, items, recipe))
    one = np.array(seconds[plan.processes[0]]) * plan.processes[0]
    row = asdict(case) | {
        "recipe": asdict(recipe),
        "seconds": {name: spread(values) for name, values in columns.items() if name != "equalize_hist"},
        "equalize_to_equalize_hist": spread(columns["equalize_hist"] / columns["equalize"]),
        "equalize_and_color_to_seeds": spread((columns["equalize"] + columns["color"]) / columns["SEEDS"]),
        "seeds_share": spread(columns["SEEDS"] / sum(v for n, v in columns.items() if n not in ("equalize_hist", "found again"))),
        "processes": {},
    }
    for k, values in seconds.items():
        per_image = np.array(values) / len(items)
        row["processes"][str(k)] = {
            "images_per_s": spread(1 / per_image),
            "speed_up": spread(one / values),
            "efficiency": spread(one / values / k),
            "total_seconds": float(f"{np.median(per_image) * case.total:.4g}"),
        }
    efficient = all(p["efficiency"]["median"] >= GOAL["efficiency"] for p in row["processes"].values())
    quick = row["equalize_and_color_to_seeds"]["median"] <= GOAL["equalize_and_color_to_seeds"]
    return row | {"goal_met": {"equalize_and_color_to_seeds": quick, "efficiency": efficient}}


def table(rows: list[dict]) -> str:
    """Medians, in brackets the least and the most."""
    import pandas as pd  # not at the top: every process imports this module

    def ratio(s: dict) -> str:
        return f"{s['median']:.2f} ({s['least']:.2f}-{s['most']:.2f})"

    size = [{"data": f"{r['name']} {r['height']}x{r['width']}, {r['count']} asked"} for r in rows]
    phase = [s | {n: f"{1000 * v['median']:.1f}" for n, v in r["seconds"].items()} for s, r in zip(size, rows, strict=True)]
    ratios = [
        s
        | {
            "skimage's equalization / ours": ratio(r["equalize_to_equalize_hist"]),
            "(equalize + color) / SEEDS": f"{r['equalize_and_color_to_seeds']['median']:.4f}",
            "SEEDS' share": f"{r['seeds_share']['median']:.1%}",
        }
        for s, r in zip(size, rows, strict=True)
    ]
    many = [
        s
        | {"processes": k, "images/s": f"{p['images_per_s']['median']:.2f}", "speed-up": ratio(p["speed_up"])}
        | {"efficiency": f"{p['efficiency']['median']:.2f}", "training images": r["total"], "take": spoken(p["total_seconds"])}
        for s, r in zip(size, rows, strict=True)
        for k, p in r["processes"].items()
    ]
    parts = {"milliseconds per picture": phase, "ratios": ratios, "processes": many}
    return "\n".join(f"\n{name}\n{pd.DataFrame(lines).to_string(index=False)}" for name, lines in parts.items())


def main(argv: list[str] | None = None) -> dict:
    """The command line; returns what it writes."""
    cores = os.cpu_count() or 1
    plan = Plan(CASES, up_to(cores), images=max(4, 2 * cores))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--images", type=int, help=f"pictures of each data set, {plan.images} unless given")
    parser.add_argument("--repeats", type=int, help=f"{plan.repeats} unless given")
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(argv)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    for name in ("images", "repeats"):
        if (value := getattr(given, name)) is not None and value < 1:
            parser.error(f"--{name} is {value}, but at least 1 is needed; raise it")
    plan = TINY if given.tiny else Plan(CASES, plan.processes, given.images or plan.images, given.repeats or plan.repeats)
    began, threads = time.monotonic(), cv2.getNumThreads()
    results: dict[str, Any] = {
        "device": provenance.device_name(torch.device("cpu")),
        "cores": cores,
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "load_average": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "images": plan.images,
        "repeats": plan.repeats,
        "goal": GOAL,
        "rows": [],
    }
    path = (given.out or Path(__file__).resolve().parent / "results") / "superpixels_cpu.json"
    cv2.setNumThreads(1)  # as the processes of `prepare`
    try:
        for case in plan.cases:
            with tempfile.TemporaryDirectory() as folder:
                results["rows"].append(measure(case, plan, Path(folder)))
            results["seconds"] = round(time.monotonic() - began, 1)
            atomic.write_json(path, results)
    finally:
        cv2.setNumThreads(threads)
    print(f"{results['device']}, {cores} cores; OpenCV {results['versions']['opencv-contrib-python-headless']}")
    print(f"load average at the start {results['load_average']}\n{table(results['rows'])}\nwritten: {path.name}")
    return results


if __name__ == "__main__":
    main()
