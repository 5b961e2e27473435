"""How the cost of asking grows: with the images of a pool, with the classes, with the superpixels of an image.

    python benchmarks/growth.py                         # a few minutes

Each strategy is called whole, with the softmax, and with the logits lying ready in place of a network; below it the selection alone.
The cost of each pixel (or each superpixel, for the selection) should stay what it is. All points take turns in one process;
lines and ratios are of the fastest of the repeats, the shade reaches to their median.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asking import ASKED, BOUGHT, RESULTS, Pool, header, picture, pool_of, slug, some_labels
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from training_report import lines, spread
from ways import machine, timed

from oreal_lib.aggregate import Regions
from oreal_lib.balance import class_debt
from oreal_lib.draw import STRATEGY_COLORS
from oreal_lib.select import top, top_per_class
from oreal_lib.storage import atomic
from oreal_lib.strategies import STRATEGIES

NAMES = {"images": "images in the pool", "classes": "classes", "superpixels": "superpixels in an image"}
COLORS = STRATEGY_COLORS | {"softmax": "0.6", "select.top_per_class": STRATEGY_COLORS["oreal"]}
ASKING = (("oreal", "max"), ("bvsb", "mean"), ("pixelbal", "max"))
POOLS = 100  # the selection chooses from so many such pools together: what it costs beside each superpixel would hide how it grows
SEED = 41
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Axis:
    """One panel: what grows, its values, and what stays: images, classes, superpixels asked, height and width of an image."""

    grows: str  # images, classes or superpixels
    values: tuple[int, ...]
    images: int
    classes: int
    superpixels: int
    height: int
    width: int

    def at(self, value: int) -> Axis:
        """The same with one value of what grows."""
        return replace(self, **{self.grows: value})


AXES = (
    Axis("images", (1, 4, 16, 64), 1, 19, 128, 128, 256),
    Axis("classes", (2, 8, 19, 50, 150), 1, 19, 2048, 512, 1024),
    Axis("superpixels", (64, 256, 1024, 2048, 8192), 1, 19, 2048, 512, 1024),
)
TINY = (
    Axis("images", (1, 2), 1, 3, 16, 32, 32),
    Axis("classes", (2, 4), 1, 3, 16, 32, 32),
    Axis("superpixels", (16, 64), 1, 3, 16, 32, 32),
)


def drawn(axis: Axis, method: str) -> Pool:
    """The pool of an axis at one value."""
    image, ids = picture(axis.height, axis.width, axis.superpixels, SEED, method)
    return pool_of(image, ids, axis.images, axis.classes, SEED, CPU)


def asking(strategy: str, how: str, pool: Pool) -> Callable[[], Any]:
    """A whole call of a strategy, without a network."""

    def call() -> Any:
        regions = Regions(pool.predict, pool.superpixels, pool.n_classes)
        return STRATEGIES[strategy](regions, pool.labels, pool.budget, how, np.random.default_rng(SEED))

    return call


def selecting(n: int, classes: int) -> dict[str, Callable[[], Any]]:
    """The selections from scores of n superpixels that lie ready."""
    rng = np.random.default_rng(SEED)
    score, labels = rng.random((n, classes), np.float32), some_labels(n, classes, round(BOUGHT * n), 1, rng)
    one, among, budget = np.ascontiguousarray(score[:, 0]), labels.unlabeled, max(1, round(ASKED * n))
    debt = class_debt(labels.class_counts(), budget)
    return {
        "select.top": lambda: top(one, budget, among, np.random.default_rng(SEED)),
        "select.top_per_class": lambda: top_per_class(score, debt, among, np.random.default_rng(SEED)),
    }


def measure(axis: Axis, method: str, repeats: int) -> list[dict]:
    """Rows of one axis: nanoseconds per pixel (of asking) or per superpixel (of selecting), and per class."""
    work: list[tuple[dict, Callable[[], Any], int]] = []
    for value in axis.values:
        pool = drawn(axis.at(value), method)
        n, pixels = len(pool.superpixels), pool.images[..., 0].size
        about = {"grows": axis.grows, "value": n // len(pool.images) if axis.grows == "superpixels" else value}
        about |= {"pixels": pixels, "superpixels": n, "classes": pool.n_classes}
        work.append((about | {"what": "softmax alone"}, lambda pool=pool: [None for _ in pool.predict()], pixels))
        work += [(about | {"what": f"{s} {how}"}, asking(s, how, pool), pixels) for s, how in ASKING]
        about["superpixels"] = POOLS * n
        work += [(about | {"what": what}, call, POOLS * n) for what, call in selecting(POOLS * n, pool.n_classes).items()]
    seconds = np.array([[timed(call, CPU)[0] for _, call, _ in work] for _ in range(repeats + 1)])[1:]
    rows = []
    for (about, _, parts), column in zip(work, seconds.T, strict=True):
        ns = 1e9 * column / parts
        rows.append(about | {"seconds": spread(column), "ns": spread(ns), "ns_per_class": spread(ns / about["classes"])})
    return rows


def unit(row: dict) -> str:
    """The name of the row's number that should stay flat: by class where classes grow and all of them are looked at."""
    return "ns_per_class" if row["grows"] == "classes" and row["what"] != "select.top" else "ns"


def flatness(rows: list[dict]) -> dict[str, dict[str, float]]:
    """What grows -> what is done -> its cost at the largest value over that at the smallest, by the fastest of the repeats."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        mine = [r for r in rows if (r["grows"], r["what"]) == (row["grows"], row["what"])]
        first, last = (r[unit(r)]["least"] for r in (mine[0], mine[-1]))
        found.setdefault(row["grows"], {})[row["what"]] = float(f"{last / first:.3g}")
    return found


def draw(rows: list[dict], path: Path) -> None:
    """Three panels of asking, and below each the selection alone."""
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    axes = figure.subplots(2, 3, sharex="col", height_ratios=(3, 2))
    for column, (grows, times) in zip(axes.T, flatness(rows).items(), strict=True):
        mine = [r for r in rows if r["grows"] == grows]
        values = sorted({r["value"] for r in mine})
        per_class = " and class" if grows == "classes" else ""
        for ax, asks in zip(column, (True, False), strict=True):
            _draw_lines([r for r in mine if r["what"].startswith("select.") != asks], ax)
        asked = [times[f"{s} {how}"] for s, how in ASKING]
        column[0].set_title(
            f"{values[-1] // values[0]} times the {NAMES[grows]}:\n"
            f"a pixel costs {min(asked):.2g} to {max(asked):.2g} times as much{per_class and ' per class'}",
            fontsize="medium",
        )
        column[0].set_ylabel(f"asking: ns per pixel{per_class}")
        column[1].set_ylabel(f"selecting, {POOLS} such pools:\nns per superpixel{per_class}")
        column[1].set_xlabel(NAMES[grows])
        column[1].set_xticks(values, [str(v) for v in values])
        column[1].minorticks_off()
    figure.savefig(path, dpi=110)


def _draw_lines(rows: list[dict], ax: Axes) -> None:
    for what in dict.fromkeys(r["what"] for r in rows):
        mine = [r for r in rows if r["what"] == what]
        values = [r["value"] for r in mine]
        low, middle = ([r[unit(r)][k] for r in mine] for k in ("least", "median"))  # a busy machine only ever adds
        color = COLORS.get(what.split()[0], "black")
        label = what + (" (not per class)" if unit(mine[0]) == "ns" and mine[0]["grows"] == "classes" else "")
        ax.plot(values, low, "o-", ms=4, color=color, label=label)
        ax.fill_between(values, low, middle, color=color, alpha=0.15, lw=0)
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small")


def table(rows: list[dict]) -> str:
    """A line for each point; medians, in brackets the least and the most of the repeats."""

    def shown(name: str) -> Callable[[dict], str]:
        return lambda r: "{median:.3g} ({least:.3g}-{most:.3g})".format(**r[name])

    return lines(
        rows,
        {
            "grows": lambda r: f"{r['grows']} {r['value']}",
            "what": lambda r: r["what"],
            "of": lambda r: "superpixel" if r["what"].startswith("select.") else "pixel",
            "ns": shown("ns"),
            "ns per class": shown("ns_per_class"),
            "s": shown("seconds"),
        },
    )


def run(axes: tuple[Axis, ...], method: str, repeats: int, out: Path) -> dict:
    """Measure all axes; `out` holds the results so far after each, and the figure at the end."""
    began, path = time.monotonic(), out / f"growth_{slug(CPU)}.json"
    with machine(CPU, 1, tf32=False), torch.no_grad():
        results = header(CPU) | {"axes": [asdict(axis) for axis in axes], "method": method, "repeats": repeats, "rows": []}
        print(f"{results['device']}; torch {results['versions']['torch']}; load average {results['load_average']}", flush=True)
        for axis in axes:
            results["rows"] += measure(axis, method, repeats)
            results["seconds"] = round(time.monotonic() - began, 1)
            atomic.write_json(path, results)
            print(f"{axis.grows}: done after {results['seconds']} s", flush=True)
    results["last_over_first"] = flatness(results["rows"])
    atomic.write_json(path, results)
    draw(results["rows"], path.with_suffix(".png"))
    print(f"\n{table(results['rows'])}\n\ncost at the largest value over that at the smallest (1: flat), fastest repeats")
    for grows, found in results["last_over_first"].items():
        print(f"{grows}: " + ", ".join(f"{what} {times}" for what, times in found.items()))
    print(f"written: {path.name}, {path.with_suffix('.png').name}")
    return results


def main(argv: list[str] | None = None) -> dict:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it works; measures nothing; needs --out")
    parser.add_argument("--method", choices=("grid", "seeds"), default="grid", help="how the images are cut")
    parser.add_argument("--repeats", type=int, help="of every point; 5 if not given")
    parser.add_argument("--out", type=Path, help="a folder; benchmarks/results if not given")
    given = parser.parse_args(argv)
    if given.tiny and given.out is None:
        parser.error("--tiny measures nothing that should stand in benchmarks/results; give another folder by --out")
    if given.repeats is not None and given.repeats < 1:
        parser.error(f"--repeats is {given.repeats}, but at least 1 is needed; raise it")
    repeats = given.repeats or (2 if given.tiny else 5)
    return run(TINY if given.tiny else AXES, given.method, repeats, given.out or RESULTS)


if __name__ == "__main__":
    main()
