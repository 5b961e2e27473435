"""What is the same bit for bit when a run is computed again: python -m benchmarks.determinism (4 toy runs, about 5 minutes).

A run is computed again as it was, with two CPU threads (which add in another order), and with another seed (split, first query,
training). Writes benchmarks/results/determinism_cpu.json and .md, which docs/determinism.md discusses.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from oreal_lib.config import RunConfig
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage import atomic, provenance

from .bench import RESULTS

OTHERS = {"again, the same": {}, "2 threads instead of 1": {"threads": 2}, "seed 1 instead of 0": {"seed": 1}}


def computed(config: RunConfig) -> RunFolder:
    """The folder of the run, computed in a folder of its own."""
    folder = Path(tempfile.mkdtemp())
    for _ in run(config, folder):
        pass
    return RunFolder(folder / config.run_id)


def apart(a: RunFolder, b: RunFolder) -> dict[str, float | bool]:
    """How far two runs are apart: whether queries and test results are the same bit for bit, percent of the superpixels asked after
    step 1 that only one asked, and points of mIoU (b - a), at the last step and on average over the steps after the first."""
    steps = list(zip(a.steps(), b.steps(), strict=True))
    queries = [(x.ids, y.ids) for x, y in zip(a.queries().values(), b.queries().values(), strict=True)]
    asked = [set(np.concatenate([q[side] for q in queries[1:]]).tolist()) for side in (0, 1)]
    gain = [100 * (y.miou - x.miou) for x, y in steps]
    return {
        "identical": all(np.array_equal(x, y) for x, y in queries) and all(x.class_iou == y.class_iou for x, y in steps),
        "only_one_asked": 100 * (1 - len(asked[0] & asked[1]) / len(asked[0])),
        "mean_miou": float(np.mean(gain[1:])),
        "last_miou": gain[-1],
    }


def table(found: dict) -> str:
    """What was found, as Markdown."""
    lines = [
        f"*toy data, seed 0; {found['device']}; torch {found['versions']['torch']}; one pair of runs per row*",
        "",
        "| run | computed with | bit for bit the same | asked by only one (%) | mIoU, mean of steps 2 to 6 | mIoU, last step |",
        "|---|---|---|---:|---:|---:|",
    ]
    for name, d in found["rows"].items():
        gains = " | ".join("0" if d["identical"] else f"{d[k]:+.1f}" for k in ("mean_miou", "last_miou"))
        lines.append(f"| bvsb max | {name} | {'yes' if d['identical'] else 'no'} | {d['only_one_asked']:.0f} | {gains} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Computes the runs and writes what was found."""
    config = RunConfig.from_yaml("toy", strategy="bvsb", aggregate="max", device="cpu")
    first = computed(config)
    rows = {name: apart(first, computed(config.model_copy(update=changes))) for name, changes in OTHERS.items()}
    found = {"device": first.done["device"], "commit": provenance.commit(), "versions": provenance.versions(), "rows": rows}
    atomic.write_json(RESULTS / "determinism_cpu.json", found)
    atomic.write_bytes(RESULTS / "determinism_cpu.md", table(found).encode())


if __name__ == "__main__":
    main()
