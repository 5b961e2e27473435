"""A class on one machine: memory and start-up of kernels that each hold a lesson, against a kernel alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import nbformat
import psutil
from jupyter_client.manager import run_kernel

from oreal_lib.storage.paths import home

from .bench import row

IMPORTS = "import torch, matplotlib.pyplot, oreal_lib.loop, oreal_lib.lessons.check, oreal_lib.explore.widget"


def do(client: Any, code: str) -> None:
    """Runs code in a kernel; RuntimeError with what it raised."""
    reply = client.execute_interactive(code, output_hook=lambda message: None, allow_stdin=False)["content"]
    if reply["status"] != "ok":
        raise RuntimeError(f"{reply['ename']}: {reply['evalue']}; the lesson needs `python -m oreal_lib run lessons` first")


def held(n: int, cells: list[str]) -> tuple[list[float], list[float]]:
    """Of n kernels started at once: the seconds until each has imported the library, and, when all have run the cells and are kept, the
    memory of each in MiB, where pages that several share count in parts (PSS)."""
    with ExitStack() as stack, ThreadPoolExecutor(n) as pool:
        began = time.perf_counter()

        def begin(_: int) -> tuple[Any, float]:
            client = stack.enter_context(run_kernel(kernel_name="python3"))
            do(client, IMPORTS)
            return client, time.perf_counter() - began

        clients, seconds = zip(*pool.map(begin, range(n)), strict=True)
        for code in cells:
            list(pool.map(lambda client: do(client, code), clients))  # noqa: B023
        mine = [p for p in psutil.Process().children(recursive=True) if "ipykernel_launcher" in " ".join(p.cmdline())]
        return list(seconds), [p.memory_full_info().pss / 2**20 for p in mine]


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """The rows of the table."""
    lesson = nbformat.read(home() / "notebooks" / "03_mean_or_max.ipynb", as_version=4)
    cells, n = [cell.source for cell in lesson.cells if cell.cell_type == "code"], 8
    if tiny:
        cells, n = ["import torch; kept = torch.zeros(1000)"], 2
    start, memory = held(1, cells)
    starts, memories = held(n, cells)
    yield row(f"MiB of a kernel that holds lesson 03, one of {n}", "a kernel alone", memories, memory * n, unit="MiB")
    yield row(f"start and imports, {n} at once", "a kernel alone", starts, start * n)
