"""The data behind the selection browser: everything that may be asked in one step of a run, computed once.

Whatever is compared is put to the same network and the same labels, those with which the step began, and to the run's own
generator; so two questions differ only in what the strategies are. Runs are only read, finished or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..aggregate import parse_how
from ..config import WITHOUT_SCORES, RunConfig
from ..experiments.run_folder import RunFolder
from ..fast.remembering import Remembering
from ..loop import put, view_of_pool
from ..metrics import border_superpixels
from ..reports.between import from_mean_to_max
from ..reports.mechanism import SCORES
from ..scores import ovr_doubt, predicted_class, probability
from ..setting import Setting, open_setting
from ..storage.devices import choose_device
from ..storage.paths import runs_root
from ..storage.progress import lines_begin, log, told
from ..strategies import STRATEGIES, choice
from ..types import Labels

LADDERS = {  # from mean to max, along one kind of aggregation
    "top": ("mean", "top_0.5", "top_0.2", "top_0.1", "top_0.05", "top_0.02", "max"),
    "power": ("mean", "power_2", "power_4", "power_8", "power_16", "power_64", "max"),
    "quantile": ("mean", "quantile_0.5", "quantile_0.75", "quantile_0.9", "quantile_0.98", "max"),
}


@dataclass(frozen=True, eq=False)
class Run:
    """A run opened for reading. on_border: (N,) bool, superpixels of the pool that touch a true class border."""

    config: RunConfig
    folder: RunFolder
    setting: Setting
    on_border: np.ndarray

    def networks(self) -> dict[int, RunFolder]:
        """Step -> the folder with the network that is asked in it, for each step from 2 whose network was kept. The last is the
        one after the run's last finished step."""
        steps = range(2, len(self.folder.steps()) + 2)
        return {t: kept for t in steps if (kept := self.folder.network_before(t))}

    def missing(self) -> str:
        """One sentence about the steps that cannot be shown and the remedy; empty where there are none."""
        lost = sorted({*range(2, len(self.folder.steps()) + 2)} - {*self.networks()})
        if not lost:
            return ""
        return (
            f"Step{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))} cannot be shown: the network before was not kept "
            f"(keep_weights: {self.config.keep_weights}); move the folder away and run again with keep_weights: all."
        )


@dataclass(frozen=True, eq=False)
class Listed:
    """What a strategy would ask: ids (n,) int32 in its order.  for_class (n,) int16, or None.  border_share: of the query."""

    ids: np.ndarray
    for_class: np.ndarray | None
    border_share: float


@dataclass(frozen=True, eq=False)
class Question:
    """One step of a run, before anything was asked in it.

    labels: at its start.  model: the network that is asked.  asked: (Q,) ids that the run really asked, or None where it has not
    (yet).  listed: (strategy, how) -> Listed.  scores: (name in SCORES, how) -> (N, K) float16, for colors only: every order was
    made in float32.
    """

    step: int
    labels: Labels
    model: nn.Module
    asked: np.ndarray | None
    listed: dict[tuple[str, str], Listed]
    scores: dict[tuple[str, str], np.ndarray]


def config_of(folder: RunFolder) -> RunConfig:
    """The config of a run; FileNotFoundError where it has not begun."""
    if (about := folder.config) is None:
        raise FileNotFoundError(
            f"{folder.path} holds no run that has begun (no config.json); start it first, or give another folder"
        )
    return RunConfig.make({k: v for k, v in about.items() if k in RunConfig.model_fields})


def find_run(configs: Sequence[RunConfig], run: Path | str | None = None, runs_dir: Path | str | None = None) -> Path:
    """The folder of a run, given by its folder or its id; None: of the first of the configs that asks by score and has begun, else of
    the newest such run in runs_dir, whoever made it."""
    root = Path(runs_dir or runs_root())
    if run is not None:
        return Path(run) if Path(run).is_dir() else root / run
    newest = sorted(root.glob("*/config.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    there = {file.parent.name: config_of(RunFolder(file.parent)) for file in newest}
    asking = [name for name, c in there.items() if c.supervision == "active" and c.stage == 1 and c.strategy not in WITHOUT_SCORES]
    return root / next((name for name in [*(c.run_id for c in configs), *asking] if name in asking), configs[0].run_id)


def open_run(run: RunConfig | Path | str, runs_dir: Path | str | None = None) -> Run:
    """A run by its config, its id or its folder, with its data opened; nothing is computed or written.

    FileNotFoundError where it has not begun, ValueError where it asks nothing (full supervision, stage two).
    """
    root = Path(runs_dir or runs_root())
    path = root / run.run_id if isinstance(run, RunConfig) else find_run((), run, root)
    folder = RunFolder(path)
    config = config_of(folder)
    if config.supervision != "active":
        raise ValueError(f"supervision of {path.name} is {config.supervision!r}, which asks nothing; give a run of a strategy")
    if config.stage == 2:
        raise ValueError(f"{path.name} is of stage 2, whose queries are those of stage 1; give {config.stage_one.run_id}")
    setting = open_setting(config)
    counts = np.diff(setting.superpixels.offset)
    pairs = list(zip(setting.pool, counts, strict=True))
    touched = [
        border_superpixels(np.asarray(setting.dataset.truth[where]), setting.superpixels.maps[i], int(n), config.border_gap)
        for i, (where, n) in enumerate(told(pairs, "looking for borders: {done} of {total} images"))
    ]
    return Run(config, folder, setting, np.concatenate(touched))


def ladder(how: str, kind: str | None = None) -> tuple[str, ...]:
    """The aggregations from mean to max of one kind (a key of LADDERS; by default that of `how`), with `how` in its place."""
    own = parse_how(how)[0]
    kind = kind or (own if own in LADDERS else "top")
    steps = choice("kind", kind, LADDERS)
    return tuple(from_mean_to_max([*steps, how])) if own == kind else steps


def question(run: Run, step: int, hows: Sequence[str] = LADDERS["top"], device: str | None = None) -> Question:
    """What each of STRATEGIES would ask in `step` by each aggregation, and the superpixels' scores, in two passes over the pool.

    device: of the network, by default the run's. Only on the run's device, with its number of threads (set meanwhile), are ties
    and roundings the run's own.
    Costs 4 bytes of memory x superpixels x aggregations x (classes + 3), half of it kept, and 1.1 s per aggregation for 80 images
    of 96 x 128 and 8 classes on one CPU core: for a large pool give fewer aggregations. Pixels are kept of no image.
    ValueError for a step that cannot be shown.
    """
    networks = run.networks()
    if step not in networks:
        there = ", ".join(map(str, networks)) or "none yet"
        raise ValueError(f"step is {step}, but the steps that can be shown are: {there}. {run.missing()}".strip())
    config, setting, queries = run.config, run.setting, run.folder.queries(finished=step - 1)
    labels = setting.labels_after(queries, step - 1)
    model = setting.network(config)
    model.load_state_dict(networks[step].weights(step - 1))
    model.to(choose_device(device or config.device), memory_format=torch.channels_last)  # as in the run: to the last bit
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)  # bits on CPU depend on it
    try:
        with lines_begin(f"step {step}: "):
            log.info(f"{len(setting.pool)} images, {len(hows)} aggregations")
            regions = Remembering(view_of_pool(setting, model, config), tuple(hows))
            regions.together(  # one look for all that is known beforehand; PixelBal needs a second
                (probability, "mean"),
                (predicted_class, "vote"),
                *((score, how) for score in SCORES.values() for how in hows),
                *((ovr_doubt, how) for how in hows if parse_how(how)[0] in ("max", "quantile")),
            )
            listed = {}
            for name, how in told([(name, how) for name in STRATEGIES for how in hows], "choosing: {done} of {total} queries"):
                same = name in WITHOUT_SCORES and how != hows[0]
                listed[name, how] = listed[name, hows[0]] if same else _list(run, labels, regions, name, how, step)
    finally:
        torch.set_num_threads(threads)
    scores = {(name, how): regions(score, how).astype(np.float16) for name, score in SCORES.items() for how in hows}
    return Question(step, labels, model, queries[step].ids if step in queries else None, listed, scores)


def _list(run: Run, labels: Labels, regions: Remembering, name: str, how: str, step: int) -> Listed:
    """The query of a strategy, by the run's own options where the strategy is the run's own."""
    options = run.config.strategy_options if name == run.config.strategy else {}
    config = run.config.model_copy(update={"strategy": name, "aggregate": how, "strategy_options": options})
    query = put(config, run.setting, labels, regions, step, np.random.default_rng([config.seed, step]))
    return Listed(query.ids, query.for_class, float(run.on_border[query.ids].mean()))
