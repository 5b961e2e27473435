"""What runs that other processes compute have said last, and when it is time to pass it on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from ..config import RunConfig
from ..draw import title

PATIENCE = 60.0  # seconds without a word, after which it is said where the running runs stand
PAPERMILL = (
    r"(Executing|Ending) Cell|(Input|Output) Notebook|Executing notebook|Passed unknown parameter|\[IPKernelApp\]"  # its own lines
)
COLOR = r"\x1b\[[0-9;]*m"  # of a stack trace


def last_words(log: Path) -> str:
    """The last line a failed process wrote: for papermill, the error and its message."""
    if not log.is_file():
        return "its log is gone: was the folder deleted? Start the same command again"
    lines = _lines(log)
    return lines[-1].strip() if lines else "it wrote nothing"


def _lines(log: Path) -> list[str]:
    """What a log says, without colors and empty lines."""
    text = re.sub(COLOR, "", log.read_text(encoding="utf-8", errors="replace"))
    return [line for line in text.splitlines() if line.strip()]


def standing(folder: Path) -> str:
    """The last thing that a run said, without its name; "starting" before it has said anything."""
    log = folder / "run.log"
    own = [line for line in (_lines(log) if log.is_file() else []) if not re.match(PAPERMILL, line)]
    return own[-1].removeprefix(f"[{folder.name}]").strip() if own else "starting"


def name_of(config: RunConfig) -> str:
    """A run as readers know it, in columns: "OREAL max                            seed 0"."""
    weak = f", {config.labeling} labels, stage {config.stage}" if config.labeling == "weak" or config.stage == 2 else ""
    return f"{title(config.column) + weak:36s} seed {config.seed}"


class Quiet:
    """How long nobody has said anything.  clock: seconds that only grow, None for the system's."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or time.monotonic
        self.heard()

    def heard(self) -> None:
        """Somebody has said something."""
        self.last = self.clock()

    def too_long(self) -> bool:
        """Whether it was quiet for PATIENCE; then it is time to say something, and counted as done."""
        if self.clock() - self.last < PATIENCE:
            return False
        self.heard()
        return True
