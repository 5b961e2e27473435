"""What the explorers show, as plain data: one image under two questions, and the learning curves of runs, finished or not."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..config import WITHOUT_SCORES, RunConfig
from ..draw import title
from ..experiments.run_folder import RunFolder, find
from ..predict import predict
from ..reports.frames import load, named
from ..reports.mechanism import SCORE_NAMES, SCORES
from ..storage.paths import runs_root
from ..strategies import choice
from ..types import IGNORE
from .question import Question, Run

WIDEST = 640  # pixels of a shown picture's longer side


@lru_cache(maxsize=1)  # a slider asks many times for one picture
def probabilities(run: Run, asked: Question, image: int) -> torch.Tensor:
    """(C, H, W) float32: what the step's network sees in the pool's image at position `image`."""
    seen = np.asarray(run.setting.inputs[run.setting.pool[image]])
    return next(predict(asked.model, seen[None])).cpu()


def differing(asked: Question, a: tuple[str, str], b: tuple[str, str]) -> np.ndarray:
    """(M,) int64 ids that one of two (strategy, how) asks and the other does not."""
    return np.setxor1d(asked.listed[a].query, asked.listed[b].query)


def view(
    run: Run, asked: Question, image: int, a: tuple[str, str], b: tuple[str, str], score: str = "bvsb", of_class: int = 0
) -> dict:
    """What is shown of one image of the pool (by position): two (strategy, how) and what they looked at.

    score: a name in SCORES, of_class the class where it is ovr_entropy.
    Returns image (h, w, 3) uint8, truth and prediction (h, w) uint8, uncertainty (h, w) float32, ids (h, w), all thinned to at most
    WIDEST pixels a side; sides: of A and B {title, score (k,) float32, rank (k,) int 0 = not listed, 1 = first, asked (k,) bool, n
    (of the query), border_share, for_class (k,) int or None, -1 = not asked}; asked_in (k,) int step, that of the run's query in
    this step included; run_asked (k,) bool or None; step, labeled (before the step), pool (N), differ (of A's query, not in B's),
    run_differ (the run's query, not in A's) or None, score_name, classes, name, run_id.
    ValueError for an image or a class that is not there.
    """
    setting, offset = run.setting, run.setting.superpixels.offset
    if not 0 <= image < len(setting.pool):
        raise ValueError(f"image is {image}, but the pool has the images 0 to {len(setting.pool) - 1}; choose one of these")
    classes, where, mine = setting.dataset.classes, int(setting.pool[image]), slice(int(offset[image]), int(offset[image + 1]))
    choice("score", score, SCORES)
    if not 0 <= of_class < len(classes):
        raise ValueError(f"of_class is {of_class}, but the classes are 0 to {len(classes) - 1}; choose one of these")
    channel = of_class if score == "ovr_entropy" else 0
    p = probabilities(run, asked, image)
    predicted = p.argmax(dim=0).numpy()
    ids = np.asarray(setting.superpixels.maps[image])
    thin = (slice(None, None, -(-max(ids.shape) // WIDEST)),) * 2
    asked_in, run_asked = asked.labels.asked_in[mine].astype(int), None
    if asked.asked is not None:
        run_asked = np.isin(np.arange(mine.start, mine.stop), asked.asked)
        asked_in = np.where(run_asked, asked.step, asked_in)
    return {
        "image": np.asarray(setting.dataset.images[where])[thin],
        "truth": np.asarray(setting.dataset.truth[where])[thin],
        "prediction": np.where(predicted < len(classes), predicted, IGNORE).astype(np.uint8)[thin],
        "uncertainty": SCORES[score](p[None])[0, channel].numpy()[thin],
        "ids": ids[thin],
        "sides": [_side(asked, side, score, channel, mine) for side in (a, b)],
        "asked_in": asked_in,
        "run_asked": run_asked,
        "step": asked.step,
        "labeled": int((~asked.labels.unlabeled).sum()),
        "pool": len(setting.superpixels),
        "differ": len(np.setdiff1d(asked.listed[a].query, asked.listed[b].query)),
        "run_differ": None if asked.asked is None else len(np.setdiff1d(asked.asked, asked.listed[a].query)),
        "score_name": score_name(score, classes[of_class]),
        "classes": classes,
        "name": setting.dataset.names[where],
        "run_id": run.folder.path.name,
    }


def score_name(score: str, class_name: str = "one class") -> str:
    """A pixel score as readers know it."""
    return SCORE_NAMES[score] + f" of {class_name}" * (score == "ovr_entropy")


def _side(asked: Question, which: tuple[str, str], score: str, channel: int, mine: slice) -> dict:
    listed, (name, how) = asked.listed[which], which
    here = np.flatnonzero((listed.ids >= mine.start) & (listed.ids < mine.stop))
    local, n = listed.ids[here] - mine.start, mine.stop - mine.start
    rank, for_class = np.zeros(n, int), None
    rank[local] = here + 1
    if listed.for_class is not None:
        first = here < listed.n
        for_class = np.full(n, -1)
        for_class[local[first]] = listed.for_class[here[first]]
    return {
        "title": title(name if name in WITHOUT_SCORES else f"{name} {how}"),
        "score": asked.scores[score, how][mine, channel].astype(np.float32),
        "rank": rank,
        "asked": (rank > 0) & (rank <= listed.n),
        "n": listed.n,
        "border_share": listed.border_share,
        "for_class": for_class,
    }


def curves(configs: Sequence[RunConfig], runs_dir: Path | str | None = None) -> pd.DataFrame:
    """`frames.load`, and after it the finished steps of runs that are not finished, in the columns a curve needs.

    FileNotFoundError if no run has finished a step.
    """
    root = Path(runs_dir or runs_root())
    finished = [c for c in configs if find(c, runs_dir)]
    rows = [load(finished, runs_dir)] if finished else []
    for config in configs:
        if config not in finished and (steps := RunFolder(root / config.run_id).steps()):
            rows.append(pd.DataFrame([named(config) | vars(step) | {"classes": None} for step in steps]))
    if not rows:
        raise FileNotFoundError(
            f"none of the {len(configs)} runs has finished a step; start them with `python -m oreal_lib run <grid>`"
        )
    return pd.concat(rows, ignore_index=True)
