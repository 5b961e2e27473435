"""What a run looked at when it asked: the data of a picture, recomputed from the run's own weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .config import RunConfig
from .paths import runs_root
from .predict import predict
from .pseudo import neighbors_of, prototypes, pseudo_labels
from .results import title
from .run_folder import RunFolder
from .scores import bvsb
from .setting import network, open_setting
from .stage_two import look
from .types import IGNORE

MARGIN = 2  # pixels of a cutout beyond what it is about


def mean_and_max(configs: Sequence[RunConfig], strategy: str | None = None) -> tuple[RunConfig, RunConfig]:
    """The first two active runs that differ only in asking with mean and with max; of one strategy, if it is named."""
    active = [c for c in configs if c.supervision == "active" and strategy in (None, c.strategy)]
    for a in active:
        for b in active:
            if (a.aggregate, b.aggregate) == ("mean", "max") and a.model_copy(update={"aggregate": "max"}) == b:
                return a, b
    what = strategy or "any strategy"
    raise ValueError(f"the grid has no two runs of {what} that differ only in mean and max; add `aggregate: [mean, max]`")


def selections(a: RunConfig, b: RunConfig, step: int = 2, n_images: int = 3, runs_dir: Path | str | None = None) -> list[dict]:
    """Where two runs of the same seed asked in `step`, on the images in which both asked most (the smaller count decides).

    In step 2 both ask the same model (step 1 is random and the same), so only the strategy and the aggregation differ.
    Returns dictionaries: image (H, W, 3) uint8, truth (H, W) uint8, ids (H, W), asked: two (k,) bool, titles: two,
    uncertainty (H, W) float BvSB of the model of a's step - 1, classes, name.
    """
    folders = [RunFolder(Path(runs_dir or runs_root()) / c.run_id) for c in (a, b)]
    for folder in folders:
        if step not in folder.queries():
            raise FileNotFoundError(f"run {folder.path.name} has no query of step {step} in {folder.path.parent}; run it first")
    setting = open_setting(a, report=lambda text: None)
    model = network(a, len(setting.dataset.classes))
    model.load_state_dict(folders[0].weights(step - 1))
    offset, image_of = setting.superpixels.offset, setting.superpixels.image
    asked = [np.zeros(len(setting.superpixels), bool) for _ in folders]
    for mask, folder in zip(asked, folders, strict=True):
        mask[folder.queries()[step].ids] = True
    counts = [np.bincount(image_of[mask], minlength=len(offset) - 1) for mask in asked]
    order = np.lexsort((-np.maximum(*counts), -np.minimum(*counts)))
    views = []
    for i in order[:n_images]:
        where = int(setting.pool[i])
        image = np.asarray(setting.dataset.images[where])
        p = next(predict(model, image[None]))[: len(setting.dataset.classes)]
        views.append(
            {
                "image": image,
                "truth": np.asarray(setting.dataset.truth[where]),
                "ids": np.asarray(setting.superpixels.maps[i]),
                "asked": [mask[offset[i] : offset[i + 1]] for mask in asked],
                "titles": [title(a.column), title(b.column)],
                "uncertainty": bvsb(p[None])[0, 0].numpy(),
                "classes": setting.dataset.classes,
                "name": setting.dataset.names[where],
            }
        )
    return views


def pseudo_labeled(config: RunConfig, step: int, n: int = 3, runs_dir: Path | str | None = None) -> list[dict]:
    """What stage two made in `step` of `n` of the answers bought so far: those with most classes, the larger of equals, no image
    twice while there are others. Answers of one class come last.

    Returns dictionaries of a cutout around the superpixel and its neighbors: image (h, w, 3) uint8, truth (h, w) uint8, ids
    (h, w); superpixel, its id in `ids`; named (k,) int, the classes of its answer, len(classes) for "undefined"; prototypes
    (k, 2) int, row and column of each class's prototype, recomputed from the network of stage one; pseudo (h, w) uint8, the
    run's pseudo labels in the superpixel and where its answer spread to, elsewhere IGNORE (also where another answer
    prevailed); classes, name (of the image).
    """
    if config.stage != 2:
        raise ValueError(f"stage is {config.stage}, but only a run of stage two has pseudo labels; write stage: 2")
    root = Path(runs_dir or runs_root())
    folder = RunFolder(root / config.run_id)
    stored = folder.pseudo(step)
    if stored is None:
        raise FileNotFoundError(
            f"run {config.run_id} has no pseudo labels of step {step} in {root}; run it first, or if it is finished, move its "
            "folder away and run it again with keep_weights: all"
        )
    setting = open_setting(config, report=lambda text: None)
    superpixels, labels = setting.superpixels, setting.no_labels
    for t, query in folder.queries(finished=step).items():
        labels = setting.oracle.answer(labels, query.ids, t) if t <= step else labels
    outputs = len(setting.dataset.classes) + config.keeps_undefined
    model = network(config, len(setting.dataset.classes))
    model.load_state_dict(RunFolder(root / config.stage_one.run_id).weights(step))
    views = []
    for k in _richest(labels.present.sum(axis=1), superpixels.size, superpixels.image)[:n]:
        i = superpixels.image[k]
        mine = np.s_[superpixels.offset[i] : superpixels.offset[i + 1]]
        ids, k, where = np.asarray(superpixels.maps[i]), k - superpixels.offset[i], int(setting.pool[i])
        image, present = np.asarray(setting.dataset.images[where]), labels.present[mine]
        features, logits, covered = look(model, image, config)
        own, named = np.flatnonzero(ids == k), np.flatnonzero(present[k])
        best = prototypes(logits.float().numpy().reshape(outputs, -1)[:, own], own, named)
        # Which pixels this answer would have labeled alone; other answers may reach the same neighbor, or own it.
        alone = pseudo_labels(features, logits, ids, present, np.arange(len(present)) == k, covered)
        spread = (alone == stored[i]) & ~present.any(axis=1)[ids]
        pseudo = np.where((ids == k) | spread, stored[i], IGNORE)
        around = np.isin(ids, [k, *neighbors_of(ids, len(present))(k)])
        cut = tuple(slice(max(0, at.min() - MARGIN), at.max() + MARGIN + 1) for at in np.nonzero(around))
        views.append(
            {
                "image": image[cut],
                "truth": np.asarray(setting.dataset.truth[where])[cut],
                "ids": ids[cut],
                "superpixel": int(k),
                "named": named,
                "prototypes": np.stack(np.unravel_index(best, ids.shape), axis=1) - [part.start for part in cut],
                "pseudo": pseudo[cut],
                "classes": setting.dataset.classes,
                "name": setting.dataset.names[where],
            }
        )
    return views


def _richest(count: np.ndarray, size: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Superpixels of which classes were named, count (N,) of them: most classes first, then the largest, then the lowest id,
    each image once before any comes twice; those of one class last."""
    order = np.lexsort((-size, -count))
    order = order[count[order] > 0]
    several = count[order] > 1
    turn = pd.DataFrame({"several": several, "image": image[order]}).groupby(["several", "image"]).cumcount()
    return order[np.lexsort((turn, ~several))]
