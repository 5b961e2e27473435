"""You against a strategy: the same pictures, network and number of clicks, and the masks that neither of you has seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..annotate.board import UNLABELED
from ..annotate.out.output import png
from ..annotate.session import Session
from ..config import RunConfig
from ..data.files import read_image
from ..draw import as_written, class_palette, color_mask, draw_image, draw_selection
from ..setting import Setting
from ..storage import atomic
from ..storage.checked import npy, read_npy
from ..storage.ragged import some
from ..types import IGNORE, Labels
from .race import Choose, of_strategy


def write_pool(setting: Setting, folder: Path) -> tuple[Path, Path]:
    """Writes the pool's pictures and superpixels as files, so that a session can open them; (pictures, partition) folders.

    The pictures are named by their position in the pool, so superpixel s of picture i is the pool's offset[i] + s.
    ValueError if the folder holds another pool.
    """
    pictures, partition = Path(folder) / "pictures", Path(folder) / "partition"
    for i, image in enumerate(some(setting.dataset.images, setting.pool)):
        for place, write, read, array in (
            (pictures / f"{i:03d}.png", png, read_image, image),
            (partition / f"{i:03d}.npy", npy, read_npy, setting.superpixels.maps[i]),
        ):
            if not place.exists():
                atomic.write_bytes(place, write(np.asarray(array)))
            elif not np.array_equal(read(place), array):
                raise ValueError(
                    f"{place} is of another pool than that of this setting; name another folder, or move {folder} away"
                )
    return pictures, partition


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
    """What a person clicked, in that order, whatever the network thinks. ids, codes: (k,) of `clicked`."""
    answers = codes[:, None] == np.arange(len(setting.dataset.classes))

    def choose(model: torch.nn.Module, labels: Labels, more: int, step: int) -> Labels:
        mine = slice(labels.clicks, labels.clicks + more)
        return labels.reveal(ids[mine], answers[mine], step)

    return choose


def runners(
    setting: Setting, config: RunConfig, session: Session, clicks: Sequence[int], others: Sequence[str] = ("random", "oreal")
) -> dict[str, tuple[Choose, list[int]]]:
    """Who takes part in `race.race`, by name: the strategies `others`, and "you", as far as you have clicked.

    clicks: after which each is trained and tested.  ValueError if the session has a split superpixel.
    """
    ids, codes = clicked(session)
    found = {name: (of_strategy(setting, config.model_copy(update={"strategy": name})), list(clicks)) for name in others}
    if mine := [c for c in clicks if c <= len(ids)]:
        found["you"] = (of_person(setting, ids, codes), mine)
    return found


def right_share(codes: np.ndarray, answers: np.ndarray) -> float:
    """Share of labels that are what the oracle answers, 0..1; NaN without a label.

    codes: (k,) uint8, a class, IGNORE for void, or UNLABELED, which does not count.  answers: (k, C) bool, no class for void.
    """
    said = codes != UNLABELED
    true = np.where(answers.any(axis=1), answers.argmax(axis=1), IGNORE)
    return float((codes == true)[said].mean()) if said.any() else float("nan")


def agrees(setting: Setting, session: Session) -> float | None:
    """`right_share` of your labels in a session of `write_pool`, 0..1; None before the first."""
    ids, codes = clicked(session)
    return right_share(codes, setting.oracle.answers[ids]) if len(ids) else None


def draw_pool(setting: Setting, session: Session, axes: np.ndarray) -> np.ndarray:
    """The first pictures with a suggestion: above, what is suggested (yellow); below, the truth. axes: (2, k) Axes, returned."""
    suggested = session.query()
    for i, (above, below) in zip(dict.fromkeys(i for i, _ in suggested), axes.T, strict=False):
        asked = np.isin(np.arange(session.pictures[i].count), [s for j, s in suggested if j == i])
        draw_selection(np.asarray(session.pictures[i].image()), session.board.ids(i), asked, above, session.pictures[i].name)
        draw_image(color_mask(setting.dataset.truth[setting.pool[i]], len(session.classes)), below)
    named = zip(session.classes, class_palette(len(session.classes)) / 255, strict=True)
    handles = [axes[1, -1].plot([], [], "s", color=color, label=name)[0] for name, color in named]
    as_written(axes[1, -1].legend(handles=handles, fontsize="small", loc="center left", bbox_to_anchor=(1, 1), frameon=False))
    return axes
