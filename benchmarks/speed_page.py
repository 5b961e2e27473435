"""docs/speed.md, from the results of all benchmarks: python benchmarks/speed_page.py"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import acquisition_report
import loading
import phases
import selection
import superpixels

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE.parent / "docs" / "speed.md"
HEAD = """# How fast, and against what

Each table below was written by a program in [`benchmarks/`](../benchmarks) from its own results, ours and the alternative in one run,
most often taking turns, so that ratios can be trusted more than seconds. A goal that is not met is printed as it is. `--tiny` runs in seconds and is
part of `make test`. Results are never faster by being different: the fast path is compared with the obvious one in the tests (bit for
bit where no order of sums is involved). No GPU was used; the programs take `--device cuda` where that makes sense.

What makes it fast ([`oreal_lib/fast`](../oreal_lib/fast)): every strategy looks at the pool once (PixelBal, whose weights need the whole
pool, twice; the tables below were measured when it looked once); logits are reordered class by class a few thousand pixels at a time, and
scores are computed in tiles that stay in the cache; one-vs-rest entropy by max ranks by min(P, 1 - P) and takes logarithms only of what
is asked; only scores that may be chosen are sorted.
"""


def acquisition_text(results: dict) -> str:
    """A table for each size and number of threads, and the goals."""
    parts = []
    for (height, width, threads, n), rows in groupby(
        results["rows"], key=lambda r: (r["height"], r["width"], r["threads"], r["superpixels"])
    ):
        parts.append(f"{height} x {width}, {n} superpixels, {threads} thread(s); seconds per image")
        parts.append(acquisition_report.table(list(rows)) + "\n")
    return "\n".join([*parts, acquisition_report.verdicts(results["rows"], "cuda" in str(results.get("device", "")).lower())])


def growth_text(results: dict) -> str:
    """Cost at the largest value over that at the smallest."""
    found = [
        f"{grows:24s}" + ", ".join(f"{what} {times}" for what, times in ratios.items())
        for grows, ratios in results["last_over_first"].items()
    ]
    return "\n".join(["cost at the largest value over that at the smallest (1: flat), per pixel or superpixel", *found])


SECTIONS: dict[str, tuple[str, str, Callable[[dict], str]]] = {
    "acquisition": (
        "Asking",
        "A pool of pictures of 1024 x 2048 pixels and 19 classes, as Cityscapes. *score*: a whole strategy with the probabilities lying "
        "ready; *whole*: with the softmax; *published*: as the published code does it, by our own hand from its description (one-hot "
        "vectors, scatter, a list of tuples sorted; PixelBal looks twice); *forward*: ResNet-50 DeepLabV3+; *alike*: share of the query "
        "that both ask (OREAL by max: the published way ranks entropies that float32 rounds into ties). Where the plan in the JSON has one "
        "turn behind the network, a ratio to *forward* is one pair of forward passes, and these differ by more than what asking adds: "
        "compare *whole s* with *forward s*.",
        acquisition_text,
    ),
    "selection": (
        "Choosing 100,000 of six million",
        "As many superpixels as Cityscapes has; the table of scores is a memory map, each way a process of its own. *list*: a Python "
        "list of (score, path, superpixel) sorted, measured once, on a part and scaled where it would take too long. The file of scores was "
        "written just before, so the disk is not measured.",
        lambda results: selection.table(results["rows"]),
    ),
    "superpixels": (
        "Cutting superpixels",
        "SEEDS in as many processes as there are cores, as `prepare` does it. Goals: efficiency at least 0.9 (not met where it is lower); equalization "
        "and color together not slower than SEEDS.",
        lambda results: superpixels.table(results["rows"]),
    ),
    "loading": (
        "Loading data",
        "From the prepared store, a memory map, through the augmentation of `params/voc.yaml`, beside a training step. Goal: loading at "
        "most 5 % of compute.",
        loading.table,
    ),
    "phases": (
        "A whole run by phase",
        "What the seconds of a run go to, its data prepared. *network*: forward and backward passes, in training, validation, test and "
        "asking. `make demo` prints at its end how its own seconds divide, notebooks and reports included; there *training* is all of it, "
        "with optimizer, averaged weights and validation.",
        lambda results: phases.table(results["rows"]),
    ),
    "growth": (
        "Growth",
        "![Cost per pixel and per superpixel as the pool, the classes and the superpixels grow](../benchmarks/results/growth_cpu.png)",
        growth_text,
    ),
}


def page(folder: Path) -> str:
    """docs/speed.md from the JSON files of a folder."""
    parts = [HEAD]
    for name, (title, text, table) in SECTIONS.items():
        results = json.loads((folder / f"{name}_cpu.json").read_text(encoding="utf-8"))
        versions = results["versions"]
        source = (
            f"{results['device']}, torch {versions['torch']}, numpy {versions['numpy']}, commit {results['commit'][:7]}"
            f"{'+changes' if results['commit'].endswith('+changes') else ''}, load average at the start {results['load_average']}; "
            f"[all numbers](../benchmarks/results/{name}_cpu.json), `python benchmarks/{name}.py`"
        )
        parts.append(f"## {title}\n\n{text}\n\n```\n{table(results).strip(chr(10))}\n```\n\n{source}\n")
    rest = (
        "Training against the plain way: [`training.py`](../benchmarks/training.py), "
        "[result](../benchmarks/results/training_cpu.json). The annotation widget: [`widget.py`](../benchmarks/widget.py), "
        "[result](../benchmarks/results/widget_cpu.json)."
    )
    return "\n".join([*parts, "## Measured elsewhere\n", rest, ""])


if __name__ == "__main__":
    PAGE.write_text(page(RESULTS), encoding="utf-8")
    print(f"written: {PAGE.name}", file=sys.stderr)
