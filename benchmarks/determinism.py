"""What is the same bit for bit when a run is computed again, and how far the results part where it is not.

    python benchmarks/determinism.py               # 4 runs on the toy data, about 5 minutes
    python benchmarks/determinism.py --tiny

Each run is computed again as it was, and with another number of CPU threads, which adds in another order. Beside these differences
stands what another seed (split, first query, training) makes of the same run. Writes benchmarks/results/determinism_cpu.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from oreal_lib.config import RunConfig
from oreal_lib.experiments import run as running
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage import atomic, provenance

RUNS = (("bvsb", "max"),)
TINY = {
    "data_options": {"scene": "large_tools", "generator_seed": 7, "train": 12, "test": 4},
    "height": 32,
    "width": 32,
    "superpixel_method": "grid",
    "superpixel_count": 16,
    "train_images": 8,
    "val_images": 2,
    "steps": 2,
    "query_share": 0.1,
    "max_epochs": 2,
    "patience": 2,
    "batch_size": 4,
}


def measure(config: RunConfig, **changes: int) -> RunFolder:
    """The folder of the run, computed anew in a folder of its own."""
    config = config.model_copy(update=changes)
    runs_dir = Path(tempfile.mkdtemp())
    for _ in running.run(config, runs_dir):
        pass
    return RunFolder(runs_dir / config.run_id)


def apart(a: RunFolder, b: RunFolder) -> dict[str, float | bool]:
    """How far two runs are apart: percent of the superpixels asked after step 1 that only one asked, points of mIoU at the last step
    and on average over the steps after the first (b - a), and whether all queries and test results are the same bit for bit."""
    steps = list(zip(a.steps(), b.steps(), strict=True))
    queries = [(x.ids, y.ids) for x, y in zip(a.queries().values(), b.queries().values(), strict=True)]
    asked = [set(np.concatenate([q[side] for q in queries[1:]]).tolist()) for side in (0, 1)]
    gain = [100 * (y.miou - x.miou) for x, y in steps]
    return {
        "identical": all(np.array_equal(x, y) for x, y in queries) and all(x.class_iou == y.class_iou for x, y in steps),
        "only_one_asked": 100 * (1 - len(asked[0] & asked[1]) / len(asked[0])),
        "last_miou": gain[-1],
        "mean_miou": float(np.mean(gain[1:])),
    }


def main(arguments: list[str] | None = None) -> dict:
    """The command line; returns what it writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; its numbers mean nothing")
    parser.add_argument("--threads", type=int, default=2, help="the other number of threads")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "results")
    options = parser.parse_args(arguments)
    if options.threads < 2:
        parser.error(f"--threads is {options.threads}, but must differ from 1; give 2 or more")
    rows = []
    for strategy, how in RUNS:
        changes = (TINY if options.tiny else {}) | {"strategy": strategy, "aggregate": how, "device": "cpu", "keep_weights": "last"}
        config = RunConfig.from_yaml("toy", **changes)
        first = measure(config)
        others = {"again": measure(config), "threads": measure(config, threads=options.threads), "seed": measure(config, seed=1)}
        rows.append({"run": config.column} | {name: apart(first, other) for name, other in others.items()})
        for name in others:
            print(f"{config.column:10s} {name:8s}", {k: round(v, 2) for k, v in rows[-1][name].items()}, flush=True)
    found = {
        "threads": [1, options.threads],
        "device": first.done["device"],
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        "rows": rows,
    }
    atomic.write_json(options.out / "determinism_cpu.json", found)
    atomic.write_bytes(options.out / "determinism_cpu.md", table(found).encode())
    return found


def table(found: dict) -> str:
    """What was found, as Markdown."""
    names = {"again": "again, the same", "threads": f"{found['threads'][1]} threads instead of 1", "seed": "seed 1 instead of 0"}
    lines = [
        f"*toy data, seed 0; {found['device']}; torch {found['versions']['torch']}; one pair of runs per row*",
        "",
        "| run | computed with | bit for bit the same | asked by only one (%) | mIoU, mean of steps 2 to 6 | mIoU, last step |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in found["rows"]:
        for key, name in names.items():
            d = row[key]
            gains = " | ".join("0" if d["identical"] else f"{d[k]:+.1f}" for k in ("mean_miou", "last_miou"))
            lines.append(f"| {row['run']} | {name} | {'yes' if d['identical'] else 'no'} | {d['only_one_asked']:.0f} | {gains} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
