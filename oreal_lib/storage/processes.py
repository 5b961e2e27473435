"""Work on many pictures at once, in processes; and notebooks in a kernel of this Python."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool


def kernel_of_this_python() -> dict[str, str]:
    """The environment variable with which Jupyter's kernel "python3" is this Python, whatever JUPYTER_PATH or the user's folder has
    under that name, such as the Python of a cluster: the one that was installed with it comes first."""
    own = os.path.join(sys.prefix, "share", "jupyter")
    return {"JUPYTER_PATH": os.pathsep.join(filter(None, [own, os.environ.get("JUPYTER_PATH")]))}


def refuse_unguarded() -> None:
    """RuntimeError in a worker process that is still starting: it reads the script that started it, and would wait forever for
    what its parent holds."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself knows it
        raise RuntimeError(
            "a worker process reads the script that started it, and this script does everything again; "
            "put its code below `if __name__ == '__main__':`"
        )


def processes(workers: int | None, n: int) -> int:
    """How many processes shall work on n items: as many as asked for, None for one per core, at least one, never more than items."""
    return max(1, min(workers or os.cpu_count() or 1, n, 61))  # Windows cannot wait for more than 61 processes


def in_order(submit: Callable, items: Iterable, most: int) -> Iterator:
    """The result of the future submit(item) of each item, in order, while at most `most` of them wait."""
    waiting: deque = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def parallel(work: Callable, items: Sequence, workers: int) -> Iterator:
    """work(item) of each item in order, from `workers` processes that run at most a few items ahead.

    Ctrl-C is for this process, which lets the others end what they have begun. RuntimeError if a process dies.
    """
    if workers == 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            yield from in_order(lambda item: _submit(pool, work, item), items, 3 * workers)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process died: out of memory, or the calling script lacks `if __name__ == '__main__':` "
                "around its code; fix that, or prepare with workers=1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, work: Callable, item: object) -> Future:
    """A process that this starts never hears Ctrl-C, not even while it starts, when it would answer with a stack trace."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where `_start_worker` must do
        return pool.submit(work, item)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Deaf to Ctrl-C, one OpenCV thread per process; and a worker whose parent was killed ends, too, instead of waiting forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
