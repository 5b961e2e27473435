"""What a run leaves on disk, how to read it back, and the small record of it that is published with the tables."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from ..config import RunConfig
from ..storage import atomic, checked
from ..storage.checkpoint import Checkpoint
from ..storage.lock import Lock
from ..storage.paths import figures_root, runs_root
from ..storage.ragged import Pictures, Ragged
from ..types import Query, StepResult
from .grid import in_order

RECORD = ("config.json", "steps.jsonl", "done.json")  # the small part that a table needs; the last says that it is whole
MEANS = ("miou", "boundary_miou", "inside_miou", "val_miou", "impurity")  # NaN where undefined: a test set without borders


@dataclass(frozen=True)
class RunFolder:
    """`runs/<run_id>/`: config.json, steps.jsonl, queries.npz, weights_step<t>.safetensors, in stage two pseudo_step<t>.npz,
    done.json, and while it runs checkpoint.pt. Every file is replaced whole, so a kill at any instant leaves the last good
    state, and carries a checksum, so a damaged one is named and never taken for a result.

    lock: of the process that computes the run; nothing is written once it is lost."""

    path: Path
    lock: Lock | None = None

    def steps(self) -> list[StepResult]:
        """The finished steps, in order; ValueError if the file is damaged."""
        file, done = self.path / "steps.jsonl", self.done
        if not file.exists() and done is None:
            return []
        with checked.reading(file, self._remedy):
            steps = [step_from_json(line) for line in (file.read_bytes() if file.exists() else b"").splitlines()]
            if [s.step for s in steps] != list(range(1, len(steps) + 1)):
                raise ValueError(f"its lines are of the steps {[s.step for s in steps]}")
            if done is not None and done.get("steps") != len(steps):
                raise ValueError(f"it has {len(steps)} steps, but done.json says {done.get('steps')}")
        return steps

    def save_steps(self, steps: list[StepResult]) -> None:
        """Replace steps.jsonl."""
        self._write("steps.jsonl", "".join(checked.dumps(step_to_json(s)) + "\n" for s in steps).encode())

    def queries(self, finished: int = 0) -> dict[int, Query]:
        """Step -> what it asked, with acquisition scores; ValueError if a step up to `finished` is not among them."""
        file = self.path / "queries.npz"
        if not file.exists() and not finished:
            return {}
        with checked.reading(file, self._remedy):
            arrays = checked.load_arrays(file.read_bytes() if file.exists() else b"")
            found = sorted(int(name.removeprefix("ids_")) for name in arrays if name.startswith("ids_"))
            if missing := set(range(1, finished + 1)).difference(found):
                raise ValueError(f"the query of step {min(missing)} is not in it")
            return {t: Query(arrays[f"ids_{t}"], arrays[f"score_{t}"], arrays.get(f"for_class_{t}")) for t in found}

    def save_queries(self, queries: dict[int, Query]) -> None:
        """Replace queries.npz. queries: step -> what it asked."""
        arrays = {f"{name}_{t}": v for t, q in queries.items() for name, v in q._asdict().items() if v is not None}
        self._write("queries.npz", checked.dump_arrays(arrays))

    def weights(self, step: int) -> dict[str, torch.Tensor]:
        """The model's state after `step`, on the CPU; FileNotFoundError if it was not kept (see keep_weights), ValueError if the
        file is damaged."""
        file = self.path / f"weights_step{step}.safetensors"
        if not file.exists():
            if self.lock is not None:
                self.lock.check()  # with its drive pulled out nothing is there, and moving the folder away is no remedy
            raise FileNotFoundError(
                f"{file} is not there; run with keep_weights: all to keep the weights of every step. "
                f"If an unfinished run misses it, move the folder {self.path.name} away and start the run again"
            )
        return checked.read(file, self._remedy, checked.load_tensors)

    def network_before(self, step: int) -> "RunFolder | None":
        """The folder that keeps the network which `step` (2 or later) asked, as its `weights(step - 1)`; None where none does.

        That of step 1 may lie beside this folder: the run of one step that all strategies of a seed begin with keeps its network
        whatever keep_weights says.
        """
        folders = [self]
        if step == 2 and (about := self.config) is not None:
            first = RunConfig.make({k: v for k, v in about.items() if k in RunConfig.model_fields}).step_one
            folders += [RunFolder(self.path.parent / first.run_id)] if first else []
        kept = (f for f in folders if (f.path / f"weights_step{step - 1}.safetensors").is_file())
        return next(kept, None)

    def save_weights(self, step: int, state: dict[str, torch.Tensor]) -> None:
        """Keep the model's state (name -> tensor) after `step`."""
        self._write(f"weights_step{step}.safetensors", checked.dump_tensors(state))

    def pseudo(self, step: int) -> Pictures | None:
        """The pseudo labels (n_images, H, W) uint8 of `step` for the images of the pool, or None where there are none yet.

        ValueError if the file is damaged.
        """
        file = self.path / f"pseudo_step{step}.npz"
        if not file.exists():
            return None
        arrays = checked.read(file, "delete it and start the run again: it is made again", checked.load_arrays)
        return Ragged(tuple(arrays[str(i)] for i in range(len(arrays))))

    def save_pseudo(self, step: int, maps: Pictures) -> None:
        """Keep the pseudo labels (n_images, H, W) uint8 of `step`."""
        self._write(f"pseudo_step{step}.npz", checked.dump_arrays({str(i): labels for i, labels in enumerate(maps)}))

    @property
    def done(self) -> dict | None:
        """The content of done.json; None while the run is unfinished."""
        return self._json("done.json")

    @property
    def config(self) -> dict | None:
        """The content of config.json, the parameters and inputs of the run; None before it has begun."""
        return self._json("config.json")

    def _json(self, name: str) -> dict | None:
        file = self.path / name
        return checked.read(file, "delete it and start the run again: no step is repeated") if file.exists() else None

    def save_json(self, name: str, values: dict) -> None:
        """Write config.json or done.json."""
        self._write(name, (checked.dumps(values, indent=1) + "\n").encode())

    def _write(self, name: str, data: bytes) -> None:
        if self.lock is not None:
            self.lock.check()
        atomic.write_bytes(self.path / name, data)

    def checkpoint(self, seconds: float) -> Checkpoint:
        """The checkpoint of the step in training, written at most once in that many seconds."""
        return Checkpoint(self.path / "checkpoint.pt", seconds, partial(self._write, "checkpoint.pt"))

    def tidy(self, finished: int, keep_weights: str) -> None:
        """Delete weights and pseudo labels that need not be kept after `finished` steps, and half-written files of killed processes.

        Only for the process that holds the run's lock. keep_weights: "all", or "last" for those of the last step only.
        """
        names = ("weights_step{}.safetensors", "pseudo_step{}.npz")
        old = [self.path / n.format(t) for t in range(1, finished) for n in names] if keep_weights == "last" else []
        for file in [*self.path.glob(".*.tmp"), *old]:
            file.unlink(missing_ok=True)

    @property
    def _remedy(self) -> str:
        return f"move the folder {self.path.name} away and start the run again"


def step_to_json(step: StepResult) -> dict:
    """Plain JSON values of a step; an undefined IoU becomes null."""
    return asdict(step) | {k: None for k in MEANS if math.isnan(getattr(step, k))}


def step_from_json(line: bytes) -> StepResult:
    """The StepResult of one line of steps.jsonl; ValueError or TypeError if it is not one."""
    values = checked.loads(line)
    undefined = {k: math.nan for k in MEANS if values.get(k, 0) is None}
    return StepResult(**{k: tuple(v) if isinstance(v, list) else v for k, v in (values | undefined).items()})


def find(config: RunConfig, runs_dir: Path | str | None = None) -> RunFolder | None:
    """The finished run of a config: in `runs/`, else its published record in `figures/runs/`, else None."""
    folders = (RunFolder(root / config.run_id) for root in (Path(runs_dir or runs_root()), figures_root() / "runs"))
    return next((folder for folder in folders if folder.done is not None), None)


def unfinished(configs: Iterable[RunConfig], runs_dir: Path) -> list[RunConfig]:
    """The runs that are still to be computed for these, each after those it needs; a finished run needs nothing."""

    def to_do(config: RunConfig) -> bool:
        return RunFolder(runs_dir / config.run_id).done is None

    return [c for c in in_order(filter(to_do, configs)).values() if to_do(c)]


def publish(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> list[Path]:
    """Copy the record of each finished run to `figures/runs/`, from where tables can be made without the runs; where the data lay on
    the machine that computed it stays behind."""
    written = []
    for config in configs:
        source = RunFolder(Path(runs_dir or runs_root()) / config.run_id)
        if source.done is None or not source.steps():  # they are read, so that nothing damaged is published
            continue
        target = figures_root() / "runs" / config.run_id
        target.mkdir(parents=True, exist_ok=True)
        RunFolder(target).save_json("config.json", source.config | {"data_root": None})
        for name in RECORD[1:]:
            atomic.write_bytes(target / name, (source.path / name).read_bytes())
        written.append(target)
    return written
