"""The classes of a session: their names, colors and order, and what was merged into what."""

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..draw import rgb
from ..types import IGNORE
from .events import VOID

UNLABELED = 254  # code of a superpixel nobody has labeled; classes are 0..C-1, void is IGNORE
MOST_CLASSES = 200


@dataclass(frozen=True)
class Named:
    """The classes by code. names: of all there ever were.  colors: "#rrggbb" each.  shown: the codes that can be chosen, in their
    order.  into: code -> the code it was merged into.  was: (name, code) that a class had before it was renamed."""

    names: tuple[str, ...]
    colors: tuple[str, ...]
    shown: tuple[int, ...]
    into: tuple[tuple[int, int], ...] = ()
    was: tuple[tuple[str, int], ...] = ()

    @cached_property
    def codes(self) -> dict[str, int]:
        """Name, also an old one -> the code of its labels."""
        old = {name: dict(self.into).get(c, c) for name, c in self.was}
        return (
            old | {self.names[c]: i for c, i in self.into} | {self.names[c]: c for c in self.shown} | {VOID: IGNORE, "": UNLABELED}
        )

    def palette(self) -> np.ndarray:
        """(C, 3) uint8 RGB."""
        return rgb(self.colors)

    def edited(self, note: str) -> "Named":
        """As an event's note says: {"classes": [[code, name, color], ...] in the order shown, "into": [[code, code], ...] merged}.
        Others stay as they are, at the end."""
        said = json.loads(note)
        names, colors = dict(enumerate(self.names)), dict(enumerate(self.colors))
        for code, name, color in said["classes"]:
            names[code], colors[code] = name, color
        gone = dict(said["into"])
        into = {c: gone.get(i, i) for c, i in self.into} | gone
        order = dict.fromkeys([*(code for code, *_ in said["classes"]), *self.shown])
        was = self.was + tuple((name, c) for c, name in enumerate(self.names) if names[c] != name)
        in_order = (tuple(found[c] for c in range(len(names))) for found in (names, colors))
        return Named(*in_order, tuple(c for c in order if c not in into), tuple(into.items()), was)

    def grown(self, later: "Named") -> "Named":
        """With the classes that were added later: what is once there stays, for others may use it."""
        n = len(self.names)
        more = tuple(range(n, len(later.names)))
        return Named(self.names + later.names[n:], self.colors + later.colors[n:], self.shown + more, self.into, self.was)

    def misfit(self, note: str) -> str:
        """Why the note of an event does not fit these classes, "" if it does."""
        said = json.loads(note)
        codes, into = [code for code, *_ in said["classes"]], dict(said["into"])
        there = {*range(len(self.names)), *codes}
        if len(set(codes)) < len(codes) or there != set(range(len(there))) or len(there) > MOST_CLASSES:
            return f"there can be {MOST_CLASSES} classes, each once; reload the page"
        if bad := [c for c, i in into.items() if c not in there or i not in codes or i in into or c in codes]:
            return f"class {bad[0]} cannot be merged into class {into[bad[0]]}; reload the page"
        return ""

    def changed(self, later: "Named") -> str:
        """In words what was changed on the way to later classes, "" if nothing was."""
        said = [f"{name} added" for name in later.names[len(self.names) :]]
        pairs = list(zip(self.names, later.names, self.colors, later.colors, strict=False))
        said += [f"{old} renamed {new}" for old, new, _, _ in pairs if old != new]
        said += [f"{new} colored anew" for _, new, old, color in pairs if old != color]
        said += [f"{self.names[c]} merged into {later.names[i]}" for c, i in later.into if c in self.shown]
        return ", ".join(said) or "classes put in another order" * (self.shown != later.shown)
