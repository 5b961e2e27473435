"""What the explorers show, as plain data: one image under two questions, the learning curves of runs, finished or not, and what
`explorer.js` takes for its `data`."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from ..config import WITHOUT_SCORES, RunConfig
from ..data.files import file_of
from ..draw import hex_palette, title
from ..experiments.run_folder import RunFolder, find
from ..predict import predict
from ..reports.figures import FULL, by_column
from ..reports.frames import active, full, load, named
from ..reports.mechanism import SCORE_NAMES, SCORES
from ..storage.devices import MachineFields
from ..storage.paths import runs_root
from ..strategies import choice
from ..types import IGNORE
from .figures import class_names
from .question import LADDERS, Question, Run, config_of

WIDEST = 640  # pixels of a shown picture's longer side
DASHES = {"-": "", "--": "7 4", "-.": "7 3 2 3", ":": "2 3"}  # of a line -> of an SVG
SET = ("dataset", "model", "labeling")  # columns of a frame: runs that share all of them can be in one curve
FIRST = ("random", "bvsb mean", "bvsb max", "oreal mean", "oreal max")  # curves that are drawn at the start
PLAIN = {"image": "the image", "unsure": "pixel uncertainty", "A": "superpixel score"}
ASKED = {  # `data` of what is asked, but for the pictures
    "kind": "asked",
    "kinds": [("top", "most unsure share"), ("power", "power mean"), ("quantile", "quantile")],
    "ladders": LADDERS,
    "under": [
        *({**PLAIN, "A": "score of A", "B": "score of B"}).items(),
        ("prediction", "prediction"),
        ("truth", "truth"),
        ("asked_in", "step in which it was asked"),
    ],
}


@lru_cache(maxsize=1)  # a slider asks many times for one picture
def probabilities(run: Run, asked: Question, image: int) -> torch.Tensor:
    """(C, H, W) float32: what the step's network sees in the pool's image at position `image`."""
    seen = np.asarray(run.setting.inputs[run.setting.pool[image]])
    return next(predict(asked.model, seen[None])).cpu()


def differing(asked: Question, a: tuple[str, str], b: tuple[str, str]) -> np.ndarray:
    """(M,) int64 ids that one of two (strategy, how) asks and the other does not."""
    return np.setxor1d(asked.listed[a].ids, asked.listed[b].ids)


def view(
    run: Run, asked: Question, image: int, a: tuple[str, str], b: tuple[str, str], score: str = "bvsb", of_class: int = 0
) -> dict:
    """What is shown of one image of the pool (by position): two (strategy, how) and what they looked at.

    score: a name in SCORES, of_class the class where it is ovr_entropy.
    Returns image (h, w, 3) uint8, truth and prediction (h, w) uint8, uncertainty (h, w) float32, ids (h, w), all thinned to at most
    WIDEST pixels a side; sides: of A and B {title, score (k,) float32, rank (k,) int 0 = not asked, 1 = first, asked (k,) bool, n
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
        "differ": len(np.setdiff1d(asked.listed[a].ids, asked.listed[b].ids)),
        "run_differ": None if asked.asked is None else len(np.setdiff1d(asked.asked, asked.listed[a].ids)),
        "score_name": SCORE_NAMES[score] + f" of {classes[of_class]}" * (score == "ovr_entropy"),
        "classes": classes,
        "name": setting.dataset.names[where],
        "run_id": run.folder.path.name,
    }


def _side(asked: Question, which: tuple[str, str], score: str, channel: int, mine: slice) -> dict:
    listed, (name, how) = asked.listed[which], which
    here = np.flatnonzero((listed.ids >= mine.start) & (listed.ids < mine.stop))
    local, n = listed.ids[here] - mine.start, mine.stop - mine.start
    rank, for_class = np.zeros(n, int), None
    rank[local] = here + 1
    if listed.for_class is not None:
        for_class = np.full(n, -1)
        for_class[local] = listed.for_class[here]
    return {
        "title": title(name if name in WITHOUT_SCORES else f"{name} {how}"),
        "score": asked.scores[score, how][mine, channel].astype(np.float32),
        "rank": rank,
        "asked": rank > 0,
        "n": len(listed.ids),
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


def beside(run: Run) -> list[RunConfig]:
    """The configs of the runs in a run's folder of runs that differ from it in what asks and in the seed only; itself among them."""
    apart = {*MachineFields.model_fields, "supervision", "strategy", "aggregate", "strategy_options", "click_cut", "seed"}
    there = [config_of(RunFolder(file.parent)) for file in sorted(run.folder.path.parent.glob("*/config.json"))]
    return [c for c in there if c.model_dump(exclude=apart) == run.config.model_dump(exclude=apart)]


def debts(counts: Sequence, budget: int, names: Sequence[str]) -> dict:
    """`data` of OREAL Eq. 3 as water filling: a slider for the budget and for each of the C classes.

    counts: (C,) labeled superpixels, or (T, C) with a row after each step, such as `[s.class_counts for s in
    RunFolder(path).steps()]`, which a step slider sets.
    """
    rows = np.atleast_2d(np.asarray(counts, np.int64)).tolist()
    return {"kind": "debts", "names": list(names), "colors": hex_palette(len(names)), "rows": rows, "budget": int(budget)}


def learning_curves(frame: pd.DataFrame) -> dict:
    """`data` of learning curves, in percent, a set for each data set, model and labeling. frame: of `frames.load` or `curves`."""
    sets = []
    for where, asking in active(frame).groupby(list(SET), sort=False):
        same = frame[(frame[list(SET[:2])] == list(where[:2])).all(axis=1)]
        known = {name: mine for which, (_, name) in FULL.items() if len(mine := full(same, which))}
        several = frame[frame["dataset"] == where[0]][list(SET)].nunique() > 1
        sets.append(
            {
                "name": ", ".join([where[0], *(value for key, value in zip(SET, where, strict=True) if several[key])]),
                "classes": class_names(asking),
                "columns": [_column(runs, look) for runs, look in by_column(asking)],
                "full": {
                    name: {"miou": _percent(runs["miou"].mean()), "class_iou": _percent(_iou(runs).mean())}
                    for name, runs in known.items()
                },
            }
        )
    there = [column["column"] for one in sets for column in one["columns"]]
    return {"kind": "curves", "sets": sets, "columns": [c for c in FIRST if c in there] or there}


def _column(runs: pd.DataFrame, look: dict[str, str]) -> dict:
    """A curve: its name, its looks, and for each of its runs a value after each step."""
    each = [run.sort_values("step") for _, run in runs.groupby("run_id", sort=False)]
    shares = ("labeled_pixels", "labeled_fraction", "miou")
    about = {"column": runs["column"].iloc[0], "title": look["label"], "color": look["color"], "dash": DASHES[look["ls"]]}
    return about | {
        "runs": [
            {"clicks": run["clicks"].tolist(), "class_iou": _percent(_iou(run))} | {key: _percent(run[key]) for key in shares}
            for run in each
        ]
    }


def _iou(rows: pd.DataFrame) -> pd.DataFrame:
    """(n, C) of each class; NaN where it is not known."""
    return pd.DataFrame(np.array(rows["class_iou"].tolist(), float))


def _percent(share: float | Sequence[float]) -> float | list | None:
    """Rounded, as JSON has it: what is not known is None."""
    values = np.round(100 * np.array(share, float), 3)
    return np.where(np.isnan(values), None, values).tolist()


def picture(image: np.ndarray, ids: np.ndarray, uncertainty: np.ndarray) -> dict:
    """An image (rows, columns, 3) uint8 of any size as a JPEG, its superpixels (H, W) and their pixels' uncertainty (H, W) >= 0 as uint16,
    in units of `scale`; count: of the superpixels."""
    scale = float(uncertainty.max()) / 65_535 or 1.0
    size = {"width": ids.shape[1], "height": ids.shape[0], "count": int(ids.max()) + 1, "scale": scale}
    bits = {"ids": ids, "unsure": np.round(uncertainty / scale)}
    return (
        size
        | {"image": file_of(Image.fromarray(image), "JPEG", quality=85, subsampling=0)}
        | {name: np.asarray(v).astype("<u2").tobytes() for name, v in bits.items()}
    )


def packed(view: dict) -> dict:
    """A `view` as `explorer.js` takes it: arrays of pixels as bytes, numbers of superpixels as lists."""
    sides = [
        {
            "title": f"{letter}: {side['title']}",
            "score": np.where(np.isfinite(side["score"]), side["score"], None).tolist(),
            "rank": side["rank"].tolist(),
            "asked": np.flatnonzero(side["asked"]).tolist(),
            "more": f", {100 * side['border_share']:.0f} % of its query on true borders",
        }
        for letter, side in zip("AB", view["sides"], strict=True)
    ]
    masks = {name: view[name].astype(np.uint8).tobytes() for name in ("prediction", "truth")}
    about = {"name": view["name"], "asked_in": view["asked_in"].tolist(), "sides": sides}
    return picture(view["image"], view["ids"], view["uncertainty"]) | masks | about
