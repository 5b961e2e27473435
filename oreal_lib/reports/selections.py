"""What runs asked, as data recomputed from their own weights and as pictures (OREAL Figures 1, 2 and 5)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from scipy import ndimage
from skimage.segmentation import find_boundaries
from torch import nn

from ..config import WITHOUT_SCORES, RunConfig
from ..draw import color_mask, draw_image, draw_selection, draw_uncertainty, title
from ..experiments.run_folder import RunFolder
from ..experiments.stage_two import look
from ..predict import predict
from ..scores import bvsb, ovr_entropy
from ..setting import Setting, border_share, open_setting
from ..storage.paths import runs_root
from ..types import IGNORE, Labels
from ..weak.pseudo import neighbors_of, prototypes, pseudo_labels
from .frames import named

MARGIN = 2  # pixels of a cutout beyond what it is about
DOT = "#00c8ff"  # not the yellow of the asked


def mean_and_max(configs: Sequence[RunConfig], strategy: str | None = None) -> tuple[RunConfig, RunConfig]:
    """The first two active runs that differ only in asking with mean and with max; of one strategy, if it is named.

    ValueError if there are none.
    """
    for a in configs:
        b = a.model_copy(update={"aggregate": "max"})
        if a.supervision == "active" and strategy in (None, a.strategy) and a.aggregate == "mean" and b in configs:
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


def compare(*configs: RunConfig, step: int = 2, n_images: int = 3, runs_dir: Path | str | None = None) -> list[dict]:
    """Where runs of one seed asked in `step`, on the images in which all asked most (the smallest count decides, then the sum).

    Returns dictionaries: image (H, W, 3) uint8, truth (H, W) uint8, ids (H, W), asked: of each run (k,) bool, titles and asked_by,
    (strategy, aggregation), of the runs, border_share: of each run's whole query, those on a true class border, uncertainty (H, W)
    float BvSB of the network that the first run asked, and one_vs_rest (H, W) float, its one-vs-rest entropy, mean over classes;
    classes, name. FileNotFoundError where a query or that network is not there.
    """
    setting, masks, view_of = _open(configs, step, runs_dir)
    image_of, n = setting.superpixels.image, len(setting.pool)
    counts = np.array([np.bincount(image_of[mask], minlength=n) for mask in masks])
    order = np.lexsort((-counts.sum(axis=0), -counts.min(axis=0)))
    return [view_of(i) for i in order[:n_images]]


def _open(
    configs: Sequence[RunConfig], step: int, runs_dir: Path | str | None
) -> tuple[Setting, list[np.ndarray], Callable[[int], dict]]:
    """The data of some runs, what each asked as a mask (N,) bool, and a function: position of an image in the pool -> the item of
    `compare`."""
    root, first = Path(runs_dir or runs_root()), configs[0]
    folders = [RunFolder(root / c.run_id) for c in configs]
    queries = [folder.queries() for folder in folders]
    for config, query in zip(configs, queries, strict=True):
        if step not in query:
            raise FileNotFoundError(f"run {config.run_id} has no query of step {step} in {root}; run it first")
    if other := [c for c in configs if c.step_one.run_id != first.step_one.run_id]:
        raise ValueError(f"{first.run_id} and {other[0].run_id} begin with different step 1; compare runs of one seed and setting")
    weights = (folders[0].network_before(step) or folders[0]).weights(step - 1)
    setting = open_setting(first)
    data, superpixels = setting.dataset, setting.superpixels
    model = setting.network(first)
    model.load_state_dict(weights)
    asked = [query[step].ids for query in queries]
    masks = [np.isin(np.arange(len(superpixels)), ids) for ids in asked]
    same = {
        "titles": [title(c.column) for c in configs],
        "asked_by": [(named(c)["strategy"], named(c)["aggregate"]) for c in configs],
        "border_share": [border_share(setting, ids, first.border_gap) for ids in asked],
        "classes": data.classes,
    }

    def view_of(i: int) -> dict:
        image, where = np.asarray(data.images[setting.pool[i]]), int(setting.pool[i])
        p = next(predict(model, np.asarray(setting.inputs[where])[None]))[None, : len(data.classes)]
        return same | {
            "image": image,
            "truth": np.asarray(data.truth[where]),
            "ids": np.asarray(superpixels.maps[i]),
            "asked": [mask[superpixels.offset[i] : superpixels.offset[i + 1]] for mask in masks],
            "uncertainty": bvsb(p)[0, 0].numpy(),
            "one_vs_rest": ovr_entropy(p)[0].mean(dim=0).numpy(),
            "name": data.names[where],
        }

    return setting, masks, view_of


def context(mean: RunConfig, maximum: RunConfig, step: int = 2, runs_dir: Path | str | None = None) -> dict:
    """The object around which max asked most more background than mean, as an item of `compare` (OREAL Figures 1 and 2).

    Background: classes with more than an even share of the pool's pixels. An object: connected pixels of other classes, at most
    a quarter of an image. Its context: superpixels labeled background that touch it.
    Besides: window, two slices of half the height and width around that context; context (k,) bool; dots (m, 2) int, row and
    column of the most unsure pixel of each superpixel of the context that max asked.  ValueError where max asked none.
    """
    setting, (by_mean, by_max), view_of = _open((mean, maximum), step, runs_dir)
    offset, votes = setting.superpixels.offset, setting.votes[:, :-1]
    background = votes.sum(axis=0) > votes.sum() / votes.shape[1]
    best, found = 0, None
    for i in np.unique(setting.superpixels.image[by_max]):
        truth, ids = np.asarray(setting.dataset.truth[setting.pool[i]]), np.asarray(setting.superpixels.maps[i])
        mine = np.s_[offset[i] : offset[i + 1]]
        is_background = background[votes[mine].argmax(axis=1)] & votes[mine].any(axis=1)
        for near in _objects(truth, background):
            around = is_background & np.isin(np.arange(len(is_background)), ids[near])
            more = int((around & by_max[mine]).sum()) - int((around & by_mean[mine]).sum())
            if more > best:
                best, found = more, (i, around)
    if found is None:
        raise ValueError(f"{maximum.run_id} asked no more background around any object than mean; show another strategy or seed")
    view, around = view_of(found[0]), found[1]
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
    object_class = np.append(~background, np.zeros(256 - len(background), bool))  # void is not an object
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
    labels = setting.labels_after(folder.queries(finished=step), step)
    model = setting.network(config)
    model.load_state_dict(RunFolder(root / config.stage_one.run_id).weights(step))
    wanted = _richest(labels.present.sum(axis=1), setting.superpixels.size, setting.superpixels.image)[:n]
    return [_cutout(config, setting, labels, model, stored[setting.superpixels.image[k]], k) for k in wanted]


def _cutout(config: RunConfig, setting: Setting, labels: Labels, model: nn.Module, stored: np.ndarray, k: int) -> dict:
    """The item of `pseudo_labeled` of superpixel k of the pool. stored: (H, W) the pseudo labels of its image."""
    i, offset = setting.superpixels.image[k], setting.superpixels.offset
    ids, k, where = np.asarray(setting.superpixels.maps[i]), k - offset[i], int(setting.pool[i])
    image, present = np.asarray(setting.dataset.images[where]), labels.present[offset[i] : offset[i + 1]]
    features, logits, covered = look(model, setting.inputs[where], config)
    own, named = np.flatnonzero(ids == k), np.flatnonzero(present[k])
    best = prototypes(logits.float().numpy().reshape(len(logits), -1)[:, own], own, named)
    # Which pixels this answer would have labeled alone; other answers may reach the same neighbor, or own it.
    alone = pseudo_labels(features, logits, ids, present, np.arange(len(present)) == k, covered)
    spread = (alone == stored) & ~present.any(axis=1)[ids]
    around = np.isin(ids, [k, *neighbors_of(ids, len(present))(k)])
    cut = tuple(slice(max(0, at.min() - MARGIN), at.max() + MARGIN + 1) for at in np.nonzero(around))
    return {
        "image": image[cut],
        "truth": np.asarray(setting.dataset.truth[where])[cut],
        "ids": ids[cut],
        "superpixel": int(k),
        "named": named,
        "prototypes": np.stack(np.unravel_index(best, ids.shape), axis=1) - [part.start for part in cut],
        "pseudo": np.where((ids == k) | spread, stored, IGNORE)[cut],
        "classes": setting.dataset.classes,
        "name": setting.dataset.names[where],
    }


def _richest(count: np.ndarray, size: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Superpixels of which classes were named, count (N,) of them: most classes first, then the largest, then the lowest id,
    each image once before any comes twice; those of one class last."""
    order = np.lexsort((-size, -count))
    order = order[count[order] > 0]
    several = count[order] > 1
    turn = pd.DataFrame({"several": several, "image": image[order]}).groupby(["several", "image"]).cumcount()
    return order[np.lexsort((turn, ~several))]


def draw_mean_vs_max(view: dict, axes: np.ndarray) -> np.ndarray:
    """The idea of OREAL's Figure 2 in (2, 2) Axes, returned: selections by mean and by max, beneath them uncertainty and truth.

    view: an item of `compare` of two runs.
    """
    for asked, by, ax in zip(view["asked"], view["titles"], axes[0], strict=True):
        draw_selection(view["image"], view["ids"], asked, ax, f"{by}: {asked.sum()} asked")
    draw_uncertainty(view["uncertainty"], axes[1, 0], "pixel uncertainty (BvSB)")
    draw_image(color_mask(view["truth"], len(view["classes"])), axes[1, 1], "truth")
    return axes


def draw_selections(view: dict, axes: np.ndarray) -> np.ndarray:
    """What each strategy asked in one image, by mean above and by max beneath (OREAL Figure 5), in (2, 2 + strategies) axes; the
    first two columns are image, truth and pixel uncertainty.

    view: an item of `compare`, of runs that asked by mean or max.
    """
    scale = 3 if view["ids"].shape[1] < 256 else None  # photographs are large enough
    draw_image(view["image"], axes[0, 0], "image")
    draw_image(color_mask(view["truth"], len(view["classes"])), axes[1, 0], "truth")
    draw_uncertainty(view["uncertainty"], axes[0, 1], "pixel uncertainty\n(BvSB)")
    draw_uncertainty(view["one_vs_rest"], axes[1, 1], "one-vs-rest entropy\n(mean over classes)")
    for j, strategy in enumerate(dict.fromkeys(strategy for strategy, _ in view["asked_by"]), start=2):
        for how, ax in zip(("mean", "max"), axes[:, j], strict=True):
            if (strategy, how) not in view["asked_by"]:
                ax.set_axis_off()  # not a run of the grid
                continue
            k = view["asked_by"].index((strategy, how))
            text = f"{view['titles'][k]}: {view['asked'][k].sum()} asked\n{100 * view['border_share'][k]:.0f} % of query on borders"
            draw_selection(view["image"], view["ids"], view["asked"][k], ax, text, scale=scale, gray=True)
    return axes


def draw_context(view: dict, axes: np.ndarray) -> np.ndarray:
    """Why max asks around an object and mean does not (OREAL Figures 1 and 2), in Axes (5,): the image and where the others
    look, truth, uncertainty within superpixels, mean's and max's query. Dots: the pixels for which max asked background.

    view: of `context`.
    """
    window, ids, dots = view["window"], view["ids"][view["window"]], view["dots"]
    image, unsure = view["image"][window], view["uncertainty"]
    context = np.isin(view["ids"], view["ids"][tuple(dots.T)])
    draw_image(view["image"], axes[0], "image, and what is enlarged")
    corner = [part.start - 0.5 for part in window[::-1]]
    axes[0].add_patch(Rectangle(corner, *ids.shape[::-1], fill=False, color="red", lw=2))
    draw_image(color_mask(view["truth"][window], len(view["classes"])), axes[1], "truth")
    text = f"uncertainty (BvSB): {unsure[tuple(dots.T)].mean():.2f} at the dots,\n{unsure[context].mean():.2f} on average over their superpixels"
    scale = -(-400 // max(ids.shape))
    borders = find_boundaries(ids.repeat(scale, axis=0).repeat(scale, axis=1), mode="thick")
    draw_uncertainty(np.where(borders, np.nan, unsure[window].repeat(scale, axis=0).repeat(scale, axis=1)), axes[2], text)
    axes[2].set_facecolor("white")
    for k, ax in enumerate(axes[3:]):
        count = (view["asked"][k] & view["context"]).sum()
        text = f"{view['titles'][k]}: asked {count} superpixel{'s' if count != 1 else ''}\nof background at the object's border"
        draw_selection(image, ids, view["asked"][k], ax, text, scale=scale)
    inside = [(y, x) for y, x in dots - [part.start for part in window] if 0 <= y < ids.shape[0] and 0 <= x < ids.shape[1]]
    for ax in (axes[2], axes[4]):
        for y, x in inside:
            ax.plot(scale * (x + 0.5) - 0.5, scale * (y + 0.5) - 0.5, "o", ms=6, color=DOT, mec="black")
    return axes
