"""What long work says, and where: plain lines now and then, alike in a terminal, a notebook and the log of a batch.

Everything this library says while it works goes to the logger "oreal_lib", which prints it; `lines_to` sends it elsewhere, and
`log.setLevel("WARNING")` silences it. Work of less than five seconds reports no progress.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

FIRST = 5.0  # seconds before the first line, and between two at first;
SHARE = 0.1  # later, this share of the time taken so far,
LONGEST = 30.0  # but at most so many seconds: 1,200 lines in ten hours


def _lines(tell: Callable[[str], None]) -> logging.Handler:
    handler = logging.Handler()
    handler.emit = lambda record: tell(handler.format(record))
    return handler


log = logging.getLogger("oreal_lib")
log.setLevel(logging.INFO)
log.propagate = False  # or a program that configures the root logger would print every line twice
log.handlers = [_lines(lambda line: print(line, flush=True))]


@contextmanager
def lines_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Inside the `with`, each line goes to `tell` and nowhere else: to a widget's message, a file, `lambda line: None`."""
    before, log.handlers = log.handlers, [_lines(tell)]
    try:
        yield
    finally:
        log.handlers = before


@contextmanager
def lines_begin(start: str) -> Iterator[None]:
    """Inside the `with`, each line begins with the text `start`."""

    def begin(record: logging.LogRecord) -> bool:
        record.msg = start + record.msg
        return True

    log.addFilter(begin)
    try:
        yield
    finally:
        log.removeFilter(begin)


class Progress:
    """A piece of work of `total` items. `at` is told how many are done, as often as one likes, and logs a line now and then.

    text: of a line, such as "testing: {done} of {total} images".  before: items that an earlier attempt has done.
    quick: how many of the first say nothing about the pace of the others, so that no time is told until they are done; None for
    `before` and the next one, which is often slow.  left: how the time that is left is told.
    """

    def __init__(
        self, text: str, total: float, *, before: float = 0, quick: float | None = None, left: str = "about {} left"
    ) -> None:
        self.text, self.total, self.before, self.left = text, total, before, left
        self.quick = before + 1 if quick is None else quick
        self.begun = self.measured_from = self.said = time.monotonic()

    def at(self, done: float, text: str | None = None) -> None:
        """So many items are done. text: a whole line instead of the one given at first."""
        now = time.monotonic()
        if done <= self.quick:
            self.measured_from = now
        pause = min(LONGEST, max(FIRST, SHARE * (now - self.begun)))
        if not self.before < done < self.total or now - self.said < pause:
            return
        self.said = now
        line = self.text.format(done=done, total=self.total) if text is None else text
        if done > self.quick:
            each = (now - self.measured_from) / (done - self.quick)
            line += ", " + self.left.format(spoken(each * (self.total - done)))
        log.info(line)


class EpochProgress:
    """Lines about a training, within its epochs, too. Since it may stop early, the time that is left is an upper bound.

    training: what is trained, with its `epoch`, `best_epoch` and `best_miou`.  most: epochs.  An epoch is `iterations` batches of
    `batch_size` images, then `validation` images.
    """

    def __init__(self, training: Any, most: int, iterations: int, batch_size: int, validation: int) -> None:
        self.now, self.most, self.iterations, self.validation = training, most, iterations, validation
        self.share = 1 / (1 + validation / (3 * iterations * batch_size))  # training on an image costs about three passes
        done = training.epoch
        self._progress = Progress("", most, before=done, quick=done + self.share / iterations, left="at most about {} left")

    def training(self, done: int) -> None:
        """So many batches of this epoch are done."""
        self._say(self.share * done / self.iterations, f"{done} of {self.iterations} batches")

    def validating(self, done: int) -> None:
        """So many validation images are done."""
        part = self.share + (1 - self.share) * done / self.validation
        self._say(part, f"{done} of {self.validation} validation images")

    def validated(self, score: float) -> None:
        """The epoch is over, with this mIoU (0..1)."""
        self._say(1.0, f"validation mIoU {score:.3f}")

    def _say(self, part: float, text: str) -> None:
        now = self.now
        best = f", best validation mIoU {now.best_miou:.3f} (epoch {now.best_epoch})" if now.best_epoch else ""
        self._progress.at(now.epoch - 1 + part, f"epoch {now.epoch} of at most {self.most}: {text}{best}")


def told(items: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """The items, one by one, with lines about how many are done. text: see `Progress`.  total: where `len` cannot tell it."""
    progress = Progress(text, len(items) if total is None else total)
    for done, item in enumerate(items, start=1):
        yield item
        progress.at(done)


def spoken(seconds: float) -> str:
    """Seconds in words, with two digits: "0.12 s", "9 s", "4 minutes", "2.1 hours"."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
