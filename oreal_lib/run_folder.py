"""What a run leaves on disk, and how to read it back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from . import atomic
from .types import Query, StepResult


@dataclass(frozen=True)
class RunFolder:
    """`runs/<run_id>/`: config.json, steps.jsonl, queries.npz, weights_step<t>.safetensors, done.json, and while it
    runs checkpoint.pt. Every file is replaced whole, so a kill at any instant leaves the last good state."""

    path: Path

    def steps(self) -> list[StepResult]:
        """The finished steps, in order."""
        file = self.path / "steps.jsonl"
        if not file.exists():
            return []
        try:
            return [step_from_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{file} is damaged ({error}); move the folder {self.path.name} away and start the run again"
            ) from error

    def save_steps(self, steps: list[StepResult]) -> None:
        atomic.write_bytes(self.path / "steps.jsonl", "".join(json.dumps(step_to_json(s)) + "\n" for s in steps).encode())

    def queries(self) -> dict[int, Query]:
        """Step -> what it asked, with acquisition scores."""
        file = self.path / "queries.npz"
        if not file.exists():
            return {}
        with np.load(file, allow_pickle=False) as data:
            arrays = dict(data)
        found = sorted(int(name.removeprefix("ids_")) for name in arrays if name.startswith("ids_"))
        return {t: Query(arrays[f"ids_{t}"], arrays[f"score_{t}"], arrays.get(f"for_class_{t}")) for t in found}

    def save_queries(self, queries: dict[int, Query]) -> None:
        arrays = {f"{name}_{t}": v for t, q in queries.items() for name, v in q._asdict().items() if v is not None}
        buffer = BytesIO()
        np.savez_compressed(buffer, **arrays)
        atomic.write_bytes(self.path / "queries.npz", buffer.getvalue())

    def weights(self, step: int) -> dict[str, torch.Tensor]:
        """The model's state after `step`; an error if it was not kept (see keep_weights)."""
        file = self.path / f"weights_step{step}.safetensors"
        if not file.exists():
            raise FileNotFoundError(f"{file} is not there; run with keep_weights: all to keep the weights of every step")
        try:
            return load_tensors(file.read_bytes())
        except SafetensorError as error:
            raise ValueError(
                f"{file} is damaged ({error}); move the folder {self.path.name} away and start the run again"
            ) from error

    def save_weights(self, step: int, state: dict[str, torch.Tensor]) -> None:
        data = save_tensors({k: v.detach().cpu().contiguous() for k, v in state.items()})
        atomic.write_bytes(self.path / f"weights_step{step}.safetensors", data)

    @property
    def done(self) -> dict | None:
        """What done.json says, or None while the run is unfinished."""
        file = self.path / "done.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def step_to_json(step: StepResult) -> dict:
    """Plain JSON values of a step; an undefined IoU becomes null."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(step).items()}


def step_from_json(line: str) -> StepResult:
    """The StepResult of one line of steps.jsonl; ValueError or TypeError if it is not one."""
    values = json.loads(line)
    return StepResult(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
