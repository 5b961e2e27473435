"""What a reader returns: the list of pictures and how to open one."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..types import IGNORE

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One picture: its name (unique in its source), its group (sequence, city, patient), its split, and its files.

    mask is None where nobody has labeled the picture; both are None where it is drawn, not read.
    ValueError for a split that is not in SPLITS.
    """

    name: str
    group: str
    split: str
    image: Path | None = None
    mask: Path | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"the split of item {self.name!r} is {self.split!r}, but must be one of {', '.join(SPLITS)}")


@dataclass(frozen=True)
class Source:
    """A data set before preparation.

    `open(item)` returns the pair (image (h, w, 3) uint8 RGB, mask (h, w) uint8 with 255 for void, or None without a mask)
    and can be pickled (a `functools.partial` of a module-level function), because worker processes call it.
    `identity` is a JSON-able dictionary of all that decides the content: it is part of the key of the prepared store.
    `problems`: one line for each fault found in the folders without opening a picture; with any, nothing is prepared.
    ValueError if it has neither items nor problems, or two items of one name.
    """

    name: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    open: Callable[[Item], tuple[np.ndarray, np.ndarray | None]]
    identity: dict
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.items and not self.problems:
            raise ValueError(f"the source {self.name!r} has no items, but needs at least one; check where it reads from")
        if twice := [name for name, n in Counter(item.name for item in self.items).items() if n > 1]:
            raise ValueError(f"the source {self.name!r} has two items named {twice[0]!r}, but names must be unique")


def open_item(opening: Callable, n_classes: int, item: Item) -> tuple[np.ndarray, np.ndarray | None]:
    """Image (H, W, 3) and mask (H, W), both uint8, as `opening`, the `open` of a source, returns them.

    ValueError where they are not what a source promises.
    """
    image, mask = opening(item)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"the image of {item.name} was read as {image.dtype} {image.shape}, but must be uint8 (h, w, 3)")
    if mask is not None and (mask.shape != image.shape[:2] or mask.dtype != np.uint8):
        raise ValueError(f"the mask of {item.name} was read as {mask.dtype} {mask.shape}, but must be uint8 {image.shape[:2]}")
    if mask is not None and (wrong := mask[(mask >= n_classes) & (mask != IGNORE)]).size:
        pixels = np.count_nonzero(mask == wrong[0])
        raise ValueError(f"the mask of {item.name} holds {wrong[0]} ({pixels} pixels), but classes are 0..{n_classes - 1}")
    return image, mask


@contextmanager
def cutting(name: str) -> Iterator[None]:
    """Inside, the ValueError of what cuts a picture into superpixels begins with the picture's name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name} cannot be cut: {error}") from error


def check_classes(classes: Sequence[str]) -> None:
    """ValueError if there is only one class: nothing can be asked or measured then."""
    if len(classes) < 2:
        raise ValueError(f"{classes[0]!r} is the only class, so there is nothing to tell apart; add one, such as 'background'")
