"""The next results meanwhile. Plain twin: `map`."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..storage.processes import in_order

T, R = TypeVar("T"), TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """work(item) of each item, in order, while `threads` threads compute the next ones; 0: each when it is asked for.

    Threads, not processes: torch releases Python's lock, and what they read need not be copied.
    """
    if not threads:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(lambda item: pool.submit(work, item), items, 2 * threads)
