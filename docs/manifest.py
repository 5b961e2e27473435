"""What makes each file of figures/, from how many runs, in how many minutes, on what: docs/manifest.json, which `tables.py` writes.

In the spirit of CODECHECK's codecheck.yml. The article takes notebook, grid and commit of its figures from it.
"""

import json
import re
from functools import cache

from oreal_lib.storage.paths import figures_root, home, params_root


def makers() -> dict[str, str]:
    """Ending of a file's name -> the notebook that makes it: {"_table1": "20_table1_aualc", ...}."""
    said = r"save(?:_figure\(fig, |\()f\\\"\{[a-z.]+\}(?:\{short[^}]*\})?(_[a-z0-9_]+)"
    found = {
        path.stem: re.findall(said, path.read_text(encoding="utf-8")) for path in sorted((home() / "notebooks").glob("*.ipynb"))
    }
    return {ending: notebook for notebook, endings in found.items() for ending in endings}


@cache
def minutes(run: str) -> float:
    """Computing time of a published run: the sum of what its steps took."""
    steps = (figures_root() / "runs" / run / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    return sum(sum(json.loads(step)["seconds"].values()) for step in steps) / 60


def entries() -> dict[str, dict]:
    """Name without ending of a file in figures/ -> files, notebook, grid, command, runs, minutes, device, commits.

    minutes: of all runs together, on the device; None if not all of their records are published. ValueError names a file that no
    notebook makes.
    """
    known, grids, found = makers(), sorted((p.stem for p in params_root().glob("*.yaml")), key=len), {}
    for path in sorted(figures_root().glob("*.json")):
        ending = max((e for e in known if path.stem.endswith(e)), key=len, default="")
        prefix = path.stem.removesuffix(ending)
        grid = max((g for g in grids if prefix == g or prefix.startswith(f"{g}_")), key=len, default="")
        if not ending or not grid:
            raise ValueError(f"figures/{path.name}: no report notebook and grid make a file of this name; rename or remove it")
        about, data = json.loads(path.read_text(encoding="utf-8")), prefix.removeprefix(grid)[1:]
        whole = f"{grid}@{data}" if data else grid
        published = all((figures_root() / "runs" / run / "steps.jsonl").is_file() for run in about["made_from"])
        found[path.stem] = {
            "files": sorted(p.name for p in figures_root().glob(f"{path.stem}.*") if p.suffix != ".json"),
            "notebook": known[ending],
            "grid": whole,
            "command": f"python -m oreal_lib report {whole} --only {known[ending]}",
            "runs": len(about["made_from"]),
            "minutes": round(sum(map(minutes, about["made_from"])), 1) if published else None,
            "device": about["device"],
            "commits": [commit[:8] for commit in about["commit"]],
        }
    return found
