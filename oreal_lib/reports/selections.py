"""What a run looked at when it asked: the data of a picture, recomputed from the run's own weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from torch import nn

from ..config import WITHOUT_SCORES, RunConfig
from ..draw import title
from ..experiments.run_folder import RunFolder
from ..experiments.stage_two import look
from ..predict import predict
from ..scores import bvsb, ovr_entropy
from ..setting import Setting, border_share, network, open_setting
from ..storage.paths import runs_root
from ..types import IGNORE
from ..weak.pseudo import neighbors_of, prototypes, pseudo_labels

MARGIN = 2  # pixels of a cutout beyond what it is about


def mean_and_max(configs: Sequence[RunConfig], strategy: str | None = None) -> tuple[RunConfig, RunConfig]:
    """The first two active runs that differ only in asking with mean and with max; of one strategy, if it is named.

    ValueError if there are none.
    """
    active = [c for c in configs if c.supervision == "active" and strategy in (None, c.strategy)]
    for a in active:
        for b in active:
            if (a.aggregate, b.aggregate) == ("mean", "max") and a.model_copy(update={"aggregate": "max"}) == b:
                return a, b
    what = strategy or "any strategy"
    raise ValueError(f"the grid has no two runs of {what} that differ only in mean and max; add `aggregate: [mean, max]`")


def rivals(configs: Sequence[RunConfig]) -> dict[str, list[RunConfig]]:
    """Model -> the active runs of its first seed that ask by mean or by max. Step 1 is theirs in common, so in step 2 all of
    them ask the same network."""
    found: dict[str, list[RunConfig]] = {}
    for config in configs:
        if config.supervision == "active" and config.strategy not in WITHOUT_SCORES and config.aggregate in ("mean", "max"):
            mine = found.setdefault(config.model, [])
            if not mine or mine[0].step_one.run_id == config.step_one.run_id:
                mine.append(config)
    return found


def selections(*configs: RunConfig, step: int = 2, n_images: int = 3, runs_dir: Path | str | None = None) -> list[dict]:
    """Where runs of one seed asked in `step`, on the images in which all asked most (the smallest count decides, then the sum).

    Returns dictionaries: image (H, W, 3) uint8, truth (H, W) uint8, ids (H, W), asked: of each run (k,) bool, titles and columns
    of the runs, border_share: of each run's whole query, those on a true class border, uncertainty (H, W) float BvSB of the
    network that the first run asked, and one_vs_rest (H, W) float, its one-vs-rest entropy, mean over classes;
    classes, name. FileNotFoundError where a query or that network is not there.
    """
    asked = _open(configs, step, Path(runs_dir or runs_root()))
    image_of, n = asked.setting.superpixels.image, len(asked.setting.pool)
    counts = np.array([np.bincount(image_of[mask], minlength=n) for mask in asked.masks])
    order = np.lexsort((-counts.sum(axis=0), -counts.min(axis=0)))
    return [_view(configs, asked, i) for i in order[:n_images]]


@dataclass(frozen=True)
class _Asked:
    """What some runs asked: masks, of each run (N,) bool; border_share, of each; and the network that the first one asked."""

    setting: Setting
    model: nn.Module
    masks: list[np.ndarray]
    border_share: list[float]


def _open(configs: Sequence[RunConfig], step: int, root: Path) -> _Asked:
    first = configs[0]
    queries = [RunFolder(root / c.run_id).queries() for c in configs]
    for config, query in zip(configs, queries, strict=True):
        if step not in query:
            raise FileNotFoundError(f"run {config.run_id} has no query of step {step} in {root}; run it first")
    if other := [c for c in configs if c.step_one.run_id != first.step_one.run_id]:
        raise ValueError(f"{first.run_id} and {other[0].run_id} begin with different step 1; compare runs of one seed and setting")
    folder = RunFolder(root / first.run_id)
    if step == 2 and not (folder.path / "weights_step1.safetensors").exists():
        folder = RunFolder(root / first.step_one.run_id)  # has them whatever keep_weights says
    weights = folder.weights(step - 1)
    setting = open_setting(first)
    model = network(first, len(setting.dataset.classes))
    model.load_state_dict(weights)
    ids = [query[step].ids for query in queries]
    masks = [np.isin(np.arange(len(setting.superpixels)), asked) for asked in ids]
    return _Asked(setting, model, masks, [border_share(setting, asked, first.border_gap) for asked in ids])


def _view(configs: Sequence[RunConfig], asked: _Asked, i: int) -> dict:
    """The item of `selections` for the image at position i of the pool."""
    data, superpixels, where = asked.setting.dataset, asked.setting.superpixels, int(asked.setting.pool[i])
    image = np.asarray(data.images[where])
    p = next(predict(asked.model, image[None]))[None, : len(data.classes)]
    return {
        "image": image,
        "truth": np.asarray(data.truth[where]),
        "ids": np.asarray(superpixels.maps[i]),
        "asked": [mask[superpixels.offset[i] : superpixels.offset[i + 1]] for mask in asked.masks],
        "titles": [title(c.column) for c in configs],
        "columns": [c.column for c in configs],
        "border_share": asked.border_share,
        "uncertainty": bvsb(p)[0, 0].numpy(),
        "one_vs_rest": ovr_entropy(p)[0].mean(dim=0).numpy(),
        "classes": data.classes,
        "name": data.names[where],
    }


def context(mean: RunConfig, maximum: RunConfig, step: int = 2, runs_dir: Path | str | None = None) -> dict:
    """The object around which max asked most more background than mean, as an item of `selections` (OREAL Figures 1 and 2).

    Background: classes with more than an even share of the pool's pixels. An object: connected pixels of other classes, at most
    a quarter of an image. Its context: superpixels labeled background that touch it.
    Besides: window, two slices of half the height and width around that context; context (k,) bool; dots (m, 2) int, row and
    column of the most unsure pixel of each superpixel of the context that max asked.  ValueError where max asked none.
    """
    asked = _open((mean, maximum), step, Path(runs_dir or runs_root()))
    setting, offset = asked.setting, asked.setting.superpixels.offset
    votes = setting.votes[:, :-1]
    background = votes.sum(axis=0) > votes.sum() / votes.shape[1]
    best, found = 0, None
    for i in np.flatnonzero(np.bincount(setting.superpixels.image[asked.masks[1]], minlength=len(setting.pool))):
        truth, ids = np.asarray(setting.dataset.truth[setting.pool[i]]), np.asarray(setting.superpixels.maps[i])
        mine = np.s_[offset[i] : offset[i + 1]]
        is_background = background[votes[mine].argmax(axis=1)] & votes[mine].any(axis=1)
        for near in _objects(truth, background):
            around = is_background & np.isin(np.arange(len(is_background)), ids[near])
            more = int((around & asked.masks[1][mine]).sum()) - int((around & asked.masks[0][mine]).sum())
            if more > best:
                best, found = more, (i, around)
    if found is None:
        raise ValueError(f"{maximum.run_id} asked no more background around any object than mean; show another strategy or seed")
    view, around = _view((mean, maximum), asked, found[0]), found[1]
    ids, gained = view["ids"], np.flatnonzero(around & view["asked"][1])
    unsure = [np.where(ids == k, view["uncertainty"], -1).argmax() for k in gained]
    middle = np.argwhere(np.isin(ids, gained)).mean(axis=0)
    return view | {
        "window": tuple(_half(n, at) for n, at in zip(ids.shape, middle, strict=True)),
        "context": around,
        "dots": np.stack(np.unravel_index(unsure, ids.shape), axis=1),
    }


def _objects(truth: np.ndarray, background: np.ndarray) -> Iterator[np.ndarray]:
    """Masks (H, W) of connected pixels that are of no class of `background` (C,) bool, each with the pixels next to it."""
    object_class = np.append(~background, np.zeros(256 - len(background), bool))  # void is no object
    parts, n = ndimage.label(object_class[truth])
    for k in range(1, n + 1):
        part = parts == k
        if part.mean() <= 0.25:
            yield ndimage.binary_dilation(part)


def _half(n: int, middle: float) -> slice:
    """Half of n pixels around `middle`, within 0..n."""
    start = int(np.clip(round(middle - n / 4), 0, n - n // 2))
    return slice(start, start + n // 2)


def pseudo_labeled(config: RunConfig, step: int, n: int = 3, runs_dir: Path | str | None = None) -> list[dict]:
    """What stage two made in `step` of `n` of the answers bought so far: those with most classes, the larger of equals, no image
    twice while there are others. Answers of one class come last.

    Returns dictionaries of a cutout around the superpixel and its neighbors: image (h, w, 3) uint8, truth (h, w) uint8, ids
    (h, w); superpixel, its id in `ids`; named (k,) int, the classes of its answer, len(classes) for "undefined"; prototypes
    (k, 2) int, row and column of each class's prototype, recomputed from the network of stage one; pseudo (h, w) uint8, the
    run's pseudo labels in the superpixel and where its answer spread to, elsewhere IGNORE (also where another answer
    prevailed); classes, name (of the image).
    ValueError for a run of another stage, FileNotFoundError if it has no pseudo labels of that step.
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
    setting = open_setting(config)
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
