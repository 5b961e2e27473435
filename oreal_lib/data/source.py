"""What a reader hands to the preparation: the list of pictures and how to open one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One picture: its name (unique in its source), its group (sequence, city, patient) and its split."""

    name: str
    group: str
    split: str

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"the split of item {self.name!r} is {self.split!r}, but must be one of {', '.join(SPLITS)}")


@dataclass(frozen=True)
class Source:
    """A data set before preparation.

    `open(item)` returns the pair (image (h, w, 3) uint8 RGB, mask (h, w) uint8 with 255 for void) and can be
    pickled (a `functools.partial` of a module-level function), because worker processes call it.
    `identity` is a JSON-able dictionary of all that decides the content: it is part of the key of the prepared store.
    """

    name: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    open: Callable[[Item], tuple[np.ndarray, np.ndarray]]
    identity: dict

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError(f"the source {self.name!r} has no items, but needs at least one; check where it reads from")
        seen: set[str] = set()
        for item in self.items:
            if item.name in seen:
                raise ValueError(f"the source {self.name!r} has two items named {item.name!r}, but names must be unique")
            seen.add(item.name)
