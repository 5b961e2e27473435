"""What runs that other processes compute are doing, read from their folders and told in lines."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..config import RunConfig
from ..draw import title
from ..storage.progress import spoken
from .run_folder import RunFolder

PATIENCE = 60.0  # seconds of silence, after which it is told where every run stands
PAPERMILL = r"(Executing|Ending) Cell|(Input|Output) Notebook|Executing notebook|Passed unknown parameter|\[IPKernelApp\]"
ERROR = re.compile(r"[\w.]*(Error|Exception|Timeout|Killed|Died)\w*(:|$)")
COLOR = r"\x1b\[[0-9;]*m"  # of a stack trace


def last_words(log: Path) -> str:
    """The last line a failed process wrote: for papermill, the error and its message."""
    return (_lines(log) or ["it wrote nothing"])[-1].strip()


def _lines(log: Path) -> list[str]:
    """The lines of a log, without colors and empty lines; none where there is no log."""
    text = re.sub(COLOR, "", log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else ""
    return [line for line in text.splitlines() if line.strip()]


def standing(folder: Path) -> str:
    """The last thing that a run said, without its name; "starting" before it has said anything."""
    own = [line for line in _lines(folder / "run.log") if not re.match(PAPERMILL, line)]
    return own[-1].removeprefix(f"[{folder.name}]").strip() if own else "starting"


def failed(folder: Path) -> bool:
    """Whether the last thing that an unfinished run said is an error. A KeyboardInterrupt is not: somebody stopped the run."""
    return not (folder / "done.json").is_file() and ERROR.match(last_words(folder / "run.log")) is not None


def name_of(config: RunConfig) -> str:
    """A run as readers know it, in columns: "OREAL max                            seed 0"."""
    weak = f", {config.labeling} labels, stage {config.stage}" if config.labeling == "weak" or config.stage == 2 else ""
    return f"{title(config.column) + weak:36s} seed {config.seed}"


def steps_left(config: RunConfig, finished: int) -> int:
    """Steps that the run itself still has to compute, when so many are finished."""
    return config.rounds - max(finished, int(config.step_one is not None))


class Watch:
    """Runs and reports, watched by looking into their folders.  `look` returns what is new since the last call.

    runs: each with those it begins with.  reports: the files that appear with each finished report.
    clock: seconds that only grow.
    """

    def __init__(
        self, runs: Sequence[RunConfig], runs_dir: Path, reports: Sequence[Path] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.runs_dir, self.clock = runs_dir, clock
        self.runs = {c.run_id: c for c in runs if RunFolder(runs_dir / c.run_id).done is None}
        self.steps = {i: len(RunFolder(runs_dir / i).steps()) for i in self.runs}
        self.said = {i: standing(runs_dir / i) for i in self.runs}
        self.awaited = list(reports)
        self.started: set[str] = set()
        self.begun = self.heard = clock()
        self.work = self._work_left()

    def look(self) -> list[str]:
        """A line for each run that started or failed, each finished step, and each report; after PATIENCE without any, one for each
        run that has said something."""
        lines: list[str] = []
        for run_id in list(self.runs):
            with suppress(OSError, ValueError):  # a file that is about to be replaced, or damaged: its own run says so
                lines += self._look_at(run_id)
        made = [file for file in self.awaited if file.exists()]
        self.awaited = [file for file in self.awaited if file not in made]
        lines += [f"made {file.stem}" for file in made]
        if not lines and self.clock() - self.heard >= PATIENCE:
            lines = [f"{name_of(self.runs[i])} {standing(self.runs_dir / i)}" for i in sorted(self.started)]
        if lines:
            self.heard = self.clock()
        return [f"[{self.clock() - self.begun:5.0f} s] {line}" for line in lines]

    def _look_at(self, run_id: str) -> Iterator[str]:
        config, folder, before = self.runs[run_id], RunFolder(self.runs_dir / run_id), self.said[run_id]
        done = folder.done is not None  # before its steps are read, so that the last one is not missed
        self.said[run_id] = now = standing(folder.path)
        if now != before and run_id not in self.started:
            self.started.add(run_id)
            yield f"{name_of(config)} started"
        new = folder.steps()[self.steps[run_id] :]
        self.steps[run_id] += len(new)
        for step in new:
            if not step.from_run:  # else it was told when that run computed it
                text = f"step {step.step}: mIoU {100 * step.miou:.1f} % ({step.epochs} epochs)"
                left = self._work_left()
                seconds = (self.clock() - self.begun) * left / max(self.work - left, 1e-9)
                yield f"{name_of(config)} {text}; about {spoken(seconds)} left for all"
        if done:
            del self.runs[run_id]
            self.started.discard(run_id)
        elif now != before and failed(folder.path):
            self.started.discard(run_id)
            yield f"FAILED {run_id}: {now} (all of it: {folder.path / 'run.log'})"

    def _work_left(self) -> float:
        """Of all runs, in epochs at most."""
        return sum(c.epochs[1] * steps_left(c, self.steps[i]) for i, c in self.runs.items())


@contextmanager
def told_while(look: Callable[[], Sequence[str]], seconds: float = 1.0) -> Iterator[None]:
    """Inside the `with`, another thread prints every so many seconds what `look` returns."""
    ended = threading.Event()

    def go() -> None:
        last = False
        while not last:
            last = ended.wait(seconds)
            for line in look():
                print(line, flush=True)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
