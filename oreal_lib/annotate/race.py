"""You against a strategy: the same pictures, network and number of clicks, and the masks that neither of you has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from PIL import Image

from oreal_lib import atomic
from oreal_lib.aggregate import Regions
from oreal_lib.config import RunConfig
from oreal_lib.data.files import read_image
from oreal_lib.figures import STRATEGY_COLORS, class_palette, color_mask, draw_image, draw_selection
from oreal_lib.metrics import miou
from oreal_lib.names import title
from oreal_lib.predict import choose_device, evaluate, predict
from oreal_lib.setting import Setting, network
from oreal_lib.strategies import STRATEGIES
from oreal_lib.train import fit
from oreal_lib.types import IGNORE, Labels, some

from .board import UNLABELED
from .session import Session

Report = Callable[[str], None]
Choose = Callable[[torch.nn.Module, Labels, int, int], Labels]  # network, labels so far, how many more, step -> labels


def write_pool(setting: Setting, folder: Path) -> tuple[Path, Path]:
    """Writes the pool's pictures and superpixels as files, so that a session can open them; (pictures, partition) folders.

    The pictures are named by their position in the pool, so superpixel s of picture i is the pool's offset[i] + s.
    ValueError if the folder holds another pool.
    """
    pictures, partition = Path(folder) / "pictures", Path(folder) / "partition"
    for i, image in enumerate(some(setting.dataset.images, setting.pool)):
        for place, write, read, array in (
            (pictures / f"{i:03d}.png", _png, read_image, image),
            (partition / f"{i:03d}.npy", _npy, np.load, setting.superpixels.maps[i]),
        ):
            if not place.exists():
                atomic.write_bytes(place, write(np.asarray(array)))
            elif not np.array_equal(read(place), array):
                raise ValueError(
                    f"{place} is of another pool than that of this setting; name another folder, or move {folder} away"
                )
    return pictures, partition


def _png(image: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def clicked(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Pool ids (k,) int64 of the superpixels labeled in a session of `write_pool`, in the order in which they got their present
    label, and the labels (k,) uint8, IGNORE for void. ValueError if one was split: the pool has no such superpixel."""
    board = session.board
    if split := [p.name for i, p in enumerate(board.pictures) if board.is_split(i)]:
        raise ValueError(f"picture {split[0]} has a split superpixel, but the race is run on those of the pool; undo the split")
    offset = np.concatenate([[0], np.cumsum([p.count for p in board.pictures])])
    last: dict[int, None] = {}
    for event in (e for e in board.acts if e.what == "label"):
        for s in event.superpixels:
            last.pop(key := int(offset[board.place(event.image)]) + s, None)
            last[key] = None
    codes = np.concatenate([board.labels(i) for i in range(len(board.pictures))])
    ids = np.array([k for k in last if codes[k] != UNLABELED], np.int64)
    return ids, codes[ids]


def of_person(setting: Setting, ids: np.ndarray, codes: np.ndarray) -> Choose:
    """What a person clicked, in that order, whatever the network thinks."""
    answers = codes[:, None] == np.arange(len(setting.dataset.classes))

    def choose(model: torch.nn.Module, labels: Labels, more: int, step: int) -> Labels:
        mine = slice(labels.clicks, labels.clicks + more)
        return labels.reveal(ids[mine], answers[mine], step)

    return choose


def of_strategy(setting: Setting, config: RunConfig) -> Choose:
    """What the config's strategy asks, answered by the oracle; step 1 is random (OREAL Sec. 4.3)."""
    images = some(setting.dataset.images, setting.pool)

    def choose(model: torch.nn.Module, labels: Labels, more: int, step: int) -> Labels:
        regions = Regions(lambda: predict(model, images, config.eval_batch_size), setting.superpixels, len(setting.dataset.classes))
        name = config.strategy if step > 1 else "random"
        rng = np.random.default_rng([config.seed, step])
        query = STRATEGIES[name](regions, labels, more, config.aggregate, rng, **(config.strategy_options if step > 1 else {}))
        return setting.oracle.answer(labels, query.ids, step)

    return choose


def run(setting: Setting, config: RunConfig, choose: Choose, clicks: Sequence[int], report: Report = print) -> list[float]:
    """mIoU 0..1 on the test pictures after so many clicks each; the network goes on from its weights, as in a run."""
    device = choose_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = network(config, len(setting.dataset.classes), config.weights).to(device)
    labels, found = setting.no_labels, []
    for step, (before, after) in enumerate(pairwise([0, *clicks]), 1):
        labels = choose(model, labels, after - before, step)
        fit(model, setting.bought(labels), setting.pairs(setting.val), config, key=(config.seed, step), report=report)
        found.append(miou(evaluate(model, setting.pairs(setting.dataset.split["test"]), config.eval_batch_size)[0]))
    return found


def race(
    setting: Setting,
    config: RunConfig,
    session: Session,
    clicks: Sequence[int],
    others: Sequence[str] = ("random", "oreal"),
    report: Report = print,
) -> pd.DataFrame:
    """Who learns most from as many clicks: columns who, clicks, miou (%). You take part as far as you have clicked.

    others: strategies, answered by the oracle with the config's aggregation.
    """
    ids, codes = clicked(session)
    if (there := sum(p.count for p in session.pictures)) != len(setting.superpixels):
        raise ValueError(
            f"the session has {there} superpixels, but the pool {len(setting.superpixels)}; open the one of `write_pool`"
        )
    runners = {name: (of_strategy(setting, config.model_copy(update={"strategy": name})), list(clicks)) for name in others}
    if mine := [c for c in clicks if c <= len(ids)]:
        runners["you"] = (of_person(setting, ids, codes), mine)
    rows = []
    for who, (choose, upto) in runners.items():
        report(f"{who}: {len(upto)} trainings")
        rows += [
            {"who": who, "clicks": c, "miou": 100 * m}
            for c, m in zip(upto, run(setting, config, choose, upto, report), strict=True)
        ]
    return pd.DataFrame(rows)


def agrees(setting: Setting, session: Session) -> float | None:
    """Share of your answers that are the dominant label of the truth, 0..1; None before the first."""
    ids, codes = clicked(session)
    answers = setting.oracle.answers[ids]
    dominant = np.where(answers.any(axis=1), answers.argmax(axis=1), IGNORE)
    return float((dominant == codes).mean()) if len(ids) else None


def draw_pool(setting: Setting, session: Session, axes: np.ndarray) -> np.ndarray:
    """The first pictures with a suggestion: above, what is suggested (yellow); below, the truth. axes: (2, k)."""
    suggested = session.query()
    for i, (above, below) in zip(dict.fromkeys(i for i, _ in suggested), axes.T, strict=False):
        asked = np.isin(np.arange(session.pictures[i].count), [s for j, s in suggested if j == i])
        draw_selection(np.asarray(session.pictures[i].image()), session.board.ids(i), asked, above, session.pictures[i].name)
        draw_image(color_mask(setting.dataset.truth[setting.pool[i]], len(session.classes)), below)
    colors = class_palette(len(session.classes)) / 255
    handles = [
        Line2D([], [], ls="", marker="s", color=color, label=name) for name, color in zip(session.classes, colors, strict=True)
    ]
    axes[1, -1].legend(handles=handles, fontsize="small", loc="center left", bbox_to_anchor=(1, 1), frameon=False)
    return axes


def draw_race(frame: pd.DataFrame, ax: Axes) -> Axes:
    """Learning curves of `race`; yours in black."""
    for who, rows in frame.groupby("who", sort=False):
        mine = who == "you"
        color, name = ("black", "you") if mine else (STRATEGY_COLORS[who], title(who))
        ax.plot(rows["clicks"], rows["miou"], marker="o", color=color, lw=2.5 if mine else 1.5, label=name)
    ax.set_xlabel("clicks")
    ax.set_ylabel("mIoU on the test pictures (%)")
    ax.set_xticks(sorted(frame["clicks"].unique()))
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax
