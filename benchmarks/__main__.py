"""python -m benchmarks [NAME ...]: measures and writes benchmarks/results/NAME.json and docs/speed.md."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from oreal_lib.storage import atomic
from oreal_lib.storage.paths import home

from .bench import RESULTS, measure, page

HEAD = """# How fast, and against what

Each row measures ours and a named alternative in turns, in one process, so the ratio can be trusted more than the seconds: medians, in
brackets the least and the most of n turns. A fast path never gives other results than the plain one: the tests compare them. One thread,
no GPU. `python -m benchmarks NAME` repeats a table; `--tiny --out DIR` runs in seconds, to see that it works.
"""
SECTIONS = {
    "acquisition": """Asking

A pool of pictures of 1024 x 2048 pixels with 2,048 superpixels and 19 classes, as in Cityscapes; the logits lie ready. The alternative is
the published way, written by us from its description: one-hot vectors, a scatter, a list of tuples that is sorted. For OREAL by max it
ranks entropies that float32 rounds into ties.""",
    "selection": """Choosing from a million

100,000 of 1,000,000 superpixels, 19 classes, from tables that lie in memory. The alternative sorts a Python list of (score, path,
superpixel), as published code does.""",
    "superpixels": """Cutting superpixels

Pictures of 1024 x 2048 pixels with 2,048 superpixels. SEEDS itself takes nearly all the time.""",
    "training": """Training

The alternative is what a tutorial would write: every picture decoded from its file in every epoch, float32, default memory layout, a
confusion matrix per batch. Both see the same pictures.""",
    "features": """A frozen encoder

32 photographs of 480 x 360 pixels with 400 superpixels, as in CamVid. Computing features is timm's forward pass, the levels brought to one
size, and a file for each picture; ours pads the 360 rows to 384, timm's alone does not. A look at the features is what prediction costs.
With features in bfloat16 some superpixels of a query are others, so float32 is the default.""",
    "run": """A whole run

A run, step by step, against its network alone: as many forward and backward passes of the same size as the run made. What the run adds is
loading, optimizer, averaged weights, validation, asking, test and files. CamVid has a frozen encoder, whose features lie ready; what is
left of its network is so small that most of a run is the rest: enlarging what it says to the size of the pictures, scores, metrics.""",
    "kernels": """A class on one machine

Kernels that were started at once, have run every cell of lesson 03 and are kept, as students' are. Pages that several share (the code of
torch and the library) count in parts.""",
    "widget": """The labeling page

A picture of 1024 x 2048 pixels and 2,048 superpixels, in a headless Chromium.""",
}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SECTIONS)}; all if none is given")
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; its numbers mean nothing; needs --out")
    parser.add_argument("--page", action="store_true", help="only write docs/speed.md anew, from the results")
    parser.add_argument("--out", type=Path, default=None, help="a folder for the results; benchmarks/results if not given")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(SECTIONS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that belongs in benchmarks/results; give another folder with --out")
    for name in () if given.page else given.names or SECTIONS:
        measure(name, import_module(f".{name}", __package__).rows(given.tiny), given.out or RESULTS)
    if given.out is None:
        atomic.write_bytes(home() / "docs" / "speed.md", page(HEAD, SECTIONS).encode())


if __name__ == "__main__":
    main()
