"""What a run looked at when it asked: the data of a picture, recomputed from the run's own weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .config import RunConfig
from .models import build_model
from .paths import runs_root
from .predict import predict
from .results import title
from .run_folder import RunFolder
from .scores import bvsb
from .setting import open_setting


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
    model = build_model(a.model, len(setting.dataset.classes), "none")
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
        p = next(predict(model, image[None]))
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
