"""Finished runs: where they lie, and the small record of each that is published with the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..config import RunConfig
from ..storage import atomic
from ..storage.paths import figures_root, runs_root
from .grid import in_order
from .run_folder import RunFolder

RECORD = ("config.json", "steps.jsonl", "done.json")  # the small part of a run folder that a table needs; the last says it is whole


def find(config: RunConfig, runs_dir: Path | str | None = None) -> RunFolder | None:
    """The finished run of a config: in `runs/`, else its published record in `figures/runs/`, else None."""
    for root in (Path(runs_dir or runs_root()), figures_root() / "runs"):
        folder = RunFolder(root / config.run_id)
        if folder.done is not None:
            return folder
    return None


def unfinished(configs: Iterable[RunConfig], runs_dir: Path) -> list[RunConfig]:
    """What is still to be computed for these runs, each after what it needs; a finished run needs nothing any more."""

    def to_do(config: RunConfig) -> bool:
        return RunFolder(runs_dir / config.run_id).done is None

    return [c for c in in_order(filter(to_do, configs)).values() if to_do(c)]


def publish(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> list[Path]:
    """Copy the record of each finished run to `figures/runs/`, from where tables can be made without the runs."""
    written = []
    for config in configs:
        source = RunFolder(Path(runs_dir or runs_root()) / config.run_id)
        if source.done is None or not source.steps():  # they are read, so that nothing damaged is published
            continue
        target = figures_root() / "runs" / config.run_id
        target.mkdir(parents=True, exist_ok=True)
        for name in RECORD:
            atomic.write_bytes(target / name, (source.path / name).read_bytes())
        written.append(target)
    return written
