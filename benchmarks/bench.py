"""Ours against a named alternative, in turns, in one run: python -m benchmarks [NAME ...]. See docs/speed.md for the results.

What else the machine does meets both, so ratios can be trusted more than seconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oreal_lib.storage import atomic, provenance

RESULTS = Path(__file__).resolve().parent / "results"
SEED = 41


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, least and most, to three digits."""
    values = np.array(list(values))
    return {name: float(f"{f(values):.3g}") for name, f in (("median", np.median), ("least", np.min), ("most", np.max))}


def row(what: str, against: str, ours: list[float], other: list[float], same: str = "", unit: str = "s") -> dict[str, Any]:
    """One row of a table: of each turn, what ours and the alternative took, and the ratio turn by turn.

    against: names the alternative.  same: how the two results compare, in words.
    """
    ratio = spread(np.array(other) / np.maximum(np.array(ours), 1e-12))
    return {
        "what": what,
        "against": against,
        "unit": unit,
        "n": len(ours),
        "ours": spread(ours),
        "other": spread(other),
        "ratio": ratio,
        "same": same,
    }


def bench(
    what: str, against: str, ours: Callable[[], Any], other: Callable[[], Any], turns: int, same: Callable[[Any, Any], str]
) -> dict[str, Any]:
    """The row of two functions that take turns; the first turn does not count. same: says how their results compare."""
    seconds: dict[Callable, list[float]] = {ours: [], other: []}
    for _ in range(turns + 1):
        found = []
        for work in (ours, other):
            mark = time.perf_counter()
            found.append(work())
            seconds[work].append(time.perf_counter() - mark)
    return row(what, against, seconds[ours][1:], seconds[other][1:], same(*found))


def equal(a: Any, b: Any) -> str:
    """Whether two arrays are the same, in words."""
    return "identical" if np.array_equal(np.asarray(a), np.asarray(b)) else "DIFFERENT"


def alike(a: np.ndarray, b: np.ndarray) -> str:
    """The share of a query that the other asks, too."""
    return f"{100 * np.isin(a, b).mean():.1f} % of the query"


def measure(name: str, rows: Iterable[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Runs a benchmark and writes <out>/<name>.json: machine, versions, commit, load, and the rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {
            "device": provenance.device_name(torch.device("cpu")),
            "versions": provenance.versions(),
            "commit": provenance.commit(),
            "load_average": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        }
        found["rows"] = []
        for one in rows:
            found["rows"].append(one)
            print(f"{name}: {one['what']}: {one['ratio']['median']:g} x", flush=True)
    finally:
        torch.set_num_threads(threads)
    atomic.write_json(out / f"{name}.json", found)
    return found


def table(found: dict[str, Any]) -> str:
    """The rows as Markdown; medians, in brackets the least and the most of the turns."""
    lines = ["| what | alternative | ours | alternative | alternative / ours | results | n |", "|---|---|---:|---:|---:|---|---:|"]
    for r in found["rows"]:
        ratio = "{median:g} ({least:g} to {most:g})".format(**r["ratio"])
        times = " | ".join(f"{r[side]['median']:g} {r['unit']}" for side in ("ours", "other"))
        lines.append(f"| {r['what']} | {r['against']} | {times} | {ratio} | {r['same']} | {r['n']} |")
    return "\n".join(lines)


def page(head: str, sections: dict[str, str], folder: Path = RESULTS) -> str:
    """docs/speed.md from the files in a folder. sections: name of a benchmark -> the text above its table."""
    parts = [head.strip()]
    for name, text in sections.items():
        if (file := folder / f"{name}.json").exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            versions, commit = found["versions"], found["commit"].partition("+")
            source = (
                f"*{found['device']}, torch {versions['torch']}, numpy {versions['numpy']}, commit {commit[0][:7]}{''.join(commit[1:])}, "
                f"load average at the start {found['load_average']}; [`{name}.json`](../benchmarks/results/{name}.json)*"
            )
            parts.append(f"## {text.strip()}\n\n{table(found)}\n\n{source}")
    if missing := [name for name in sections if not (folder / f"{name}.json").exists()]:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"
