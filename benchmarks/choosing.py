"""The ways to choose that `selection.py` measures, each called in a process of its own: python choosing.py WHAT FOLDER PLAN"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asking import some_labels
from published import walked

from oreal_lib import scores
from oreal_lib.balance import class_debt, shortfall
from oreal_lib.select import top, top_per_class
from oreal_lib.storage import provenance
from oreal_lib.strategies import cbal
from oreal_lib.types import Labels

SEED, STEPS = 41, 3


@dataclass(frozen=True)
class Plan:
    """How many superpixels, classes and clicks, superpixels in an image, how often each way chooses, and whether in a process of its
    own."""

    n: int = 6_092_789
    classes: int = 19
    query: int = 100_000
    per_image: int = 2048
    repeats: int = 3
    apart: bool = True


def write_scores(folder: Path, plan: Plan, rng: np.random.Generator, block: int = 1 << 18) -> None:
    """The files of a pool of superpixels of two pixels each, sure ones and unsure ones, and of the labels of three steps.

    unsure.npy (N,): entropy.  p.npy (N, C): mean probability.  close.npy (N, C): -|P - 0.5|.  present.npy, asked_in.npy: Labels.
    The files of N / 16 superpixels are the first rows.
    """
    table = {name: (plan.n, plan.classes) for name in ("p", "close")} | {"unsure": (plan.n,)}
    files = {k: np.lib.format.open_memmap(folder / f"{k}.npy", "w+", np.float32, shape) for k, shape in table.items()}
    frequent = (1 / np.arange(1, plan.classes + 1)).astype(np.float32)
    for start in range(0, plan.n, block):
        rows = slice(start, min(start + block, plan.n))
        draws = rng.standard_gamma(0.3 * frequent, (2, rows.stop - start, plan.classes), np.float32) + np.float32(1e-12)
        p = draws / draws.sum(axis=2, keepdims=True)
        files["p"][rows] = p.mean(axis=0)
        files["close"][rows] = -np.abs(p - np.float32(0.5)).min(axis=0)
        files["unsure"][rows] = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=2).max(axis=0)
        print(f"\rscores written: {100 * rows.stop / plan.n:.0f} %", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    labels = some_labels(plan.n, plan.classes, plan.query, STEPS, rng)
    np.save(folder / "present.npy", labels.present)
    np.save(folder / "asked_in.npy", labels.asked_in)


class Tables:
    """What a strategy may ask of a pool whose answers lie in files."""

    def __init__(self, folder: Path, n: int, query: int, per_image: int):
        opened = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False)[:n] for path in folder.glob("*.npy")}
        self.unsure, self.p, self.close = opened["unsure"], opened["p"], opened["close"]
        self.labels = Labels(opened["present"], opened["asked_in"])
        self.query, self.per_image = query, per_image

    def together(self, *questions: tuple) -> list[np.ndarray]:
        """As `Regions.together`, of CBAL's questions."""
        answers = {scores.entropy: self.unsure[:, None], scores.probability: self.p}
        return [answers[question[0]] for question in questions]

    def scored(self, score: np.ndarray) -> list[tuple[float, str, int]]:
        """The list of tuples of a score (N,)."""
        paths = [f"images/{i:06d}.png" for i in range(-(-len(score) // self.per_image))]
        return [(s, paths[i // self.per_image], i % self.per_image) for i, s in enumerate(score.tolist())]

    def walk(self, columns: list[tuple[Callable[[], np.ndarray], int]]) -> np.ndarray:
        """(Q,) int64: from each score (N,), made when its turn comes, so many that nobody asked before."""
        image = {f"images/{i:06d}.png": i for i in range(-(-len(self.unsure) // self.per_image))}
        names = list(image)
        asked = {(names[i // self.per_image], i % self.per_image) for i in np.flatnonzero(~self.labels.unlabeled).tolist()}
        query = []
        for score, wanted in columns:
            taken = walked(self.scored(score()), asked, wanted)
            asked.update(taken)
            query += taken
        return np.array([image[path] * self.per_image + k for path, k in query], np.int64)


def choose_top(t: Tables, rng: np.random.Generator) -> np.ndarray:
    """BvSB's selection, and that of all who rank by one number."""
    return top(t.unsure, t.query, t.labels.unlabeled, rng).ids


def choose_oreal(t: Tables, rng: np.random.Generator) -> np.ndarray:
    """What OREAL does once the scores are there."""
    debt = class_debt(t.labels.class_counts(), t.query)
    return top_per_class(t.close, debt, t.labels.unlabeled, rng).ids


def choose_cbal(t: Tables, rng: np.random.Generator) -> np.ndarray:
    """CBAL, each superpixel by itself."""
    return cbal(t, t.labels, t.query, "max", rng).ids


def walk_top(t: Tables, rng: np.random.Generator) -> np.ndarray:
    """`choose_top` by a list."""
    return t.walk([(lambda: t.unsure, t.query)])


def walk_oreal(t: Tables, rng: np.random.Generator) -> np.ndarray:
    """`choose_oreal` by a list for each class."""
    debt = class_debt(t.labels.class_counts(), t.query)
    return t.walk([(lambda c=c: t.close[:, c], int(d)) for c, d in enumerate(debt) if d])


def walk_cbal(t: Tables, rng: np.random.Generator) -> np.ndarray:
    """`choose_cbal` by a list, with the distance to the shortfall as it is printed."""
    owed = shortfall(t.labels.class_counts(), t.query)
    return t.walk([(lambda: t.unsure - np.abs(t.p.astype(np.float64) - owed).sum(axis=1), t.query)])


OURS = {"top": choose_top, "oreal": choose_oreal, "cbal": choose_cbal}
LISTS = {"top": walk_top, "oreal": walk_oreal, "cbal": walk_cbal}


def work(side: str, name: str, folder: Path, plan: Plan) -> dict[str, Any]:
    """What a process of its own does: choose once. Leaves the ids in the folder; seconds and MiB at the highest."""
    start = memory()
    tables = Tables(folder, plan.n, plan.query, plan.per_image)
    mark, cpu = time.perf_counter(), time.process_time()
    ids = {"ours": OURS, "list": LISTS}[side][name](tables, np.random.default_rng(SEED))
    seconds, cpu = time.perf_counter() - mark, time.process_time() - cpu
    found = {"seconds": seconds, "cpu_seconds": cpu, "memory_mib": memory(), "memory_at_start_mib": start}
    np.save(folder / "ids" / f"{side} {name}.npy", ids)
    return found


def memory() -> int | None:
    """MiB this process held at the highest. Linux's own count of a program, where there is one: the other, ru_maxrss, begins with
    what the starting process held."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) >> 10
    return provenance.peak_memory_mib(torch.device("cpu"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, folder, plan = sys.argv[1], Path(sys.argv[2]), Plan(**json.loads(sys.argv[3]))
    if what == "write":
        write_scores(folder, plan, np.random.default_rng(SEED))
    else:
        print(json.dumps(work(*what.split(" ", 1), folder, plan)))
