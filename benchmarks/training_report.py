"""What `training.py` measured, as numbers with their spread, a table and a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, least and most, to four digits."""
    return {name: float(f"{f(values):.4g}") for name, f in (("median", np.median), ("least", np.min), ("most", np.max))}


def compared(plain: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Two loss curves (steps,): how far they are apart relative to the plain one, and the curves."""
    apart = np.abs(other - plain) / plain
    return {
        "largest_difference": float(f"{apart.max():.3g}"),
        "mean_difference": float(f"{apart.mean():.3g}"),
        "plain": [float(f"{v:.6g}") for v in plain],
        "other": [float(f"{v:.6g}") for v in other],
    }


def title(row: dict) -> str:
    """Which row it is."""
    return row["model"] + (" compiled" if row["compile"] else "")


def table(rows: list[dict]) -> str:
    """Three tables: training, evaluation, data. Medians; in brackets the least and the most of the repeats."""
    sections: dict[str, dict[str, Callable[[dict], str]]] = {
        "training": {
            "model": title,
            "size": lambda r: f"{r['batch']} x {r['height']} x {r['width']}",
            "precision": lambda r: r["precision"],
            "plain images/s": lambda r: f"{r['plain']['images_per_s']['median']:.1f}",
            "ours images/s": lambda r: f"{r['ours']['images_per_s']['median']:.1f}",
            "ratio": lambda r: shown(r["ratio"]),
            "ratio of CPU time": lambda r: shown(r["ratio_of_cpu_time"]),
            "plain: on data": lambda r: _percent(r["plain"]["on_data"]),
            "ours: waiting": lambda r: _percent(r["ours"]["on_data"]),
        },
        "loss, relative difference of each step": {
            "model": title,
            "ours from plain: largest": lambda r: f"{r['loss']['largest_difference']:.1e}",
            "mean": lambda r: f"{r['loss']['mean_difference']:.1e}",
            "plain from itself moved by a rounding: largest": lambda r: f"{r['rounding']['largest_difference']:.1e}",
            "mean ": lambda r: f"{r['rounding']['mean_difference']:.1e}",
        },
        "evaluation": {
            "model": title,
            "plain images/s": lambda r: f"{r['evaluation']['plain']['median']:.1f}",
            "ours images/s": lambda r: f"{r['evaluation']['ours']['median']:.1f}",
            "ratio": lambda r: shown(r["evaluation"]["ratio"]),
            "pixels that differ": lambda r: f"{r['evaluation']['pixels_that_differ']:.1e}",
        },
        "data alone, images/s; memory at the highest, MiB": {
            "model": title,
            **{name: lambda r, n=name: f"{r['loading'][n]['median']:.0f}" for name in rows[0]["loading"]},
            "plain, ours": lambda r: f"{r['plain']['peak_memory_mib']}, {r['ours']['peak_memory_mib']}",
            "process": lambda r: f"{r['process_peak_memory_mib']}",
        },
    }
    return "\n".join(f"\n{name}\n{lines(rows, columns)}" for name, columns in sections.items())


def lines(rows: list[dict], columns: dict[str, Callable[[dict], str]]) -> str:
    cells = [list(columns), *([show(row) for show in columns.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def shown(s: dict | None) -> str:
    return "-" if s is None else f"{s['median']:.2f} ({s['least']:.2f}-{s['most']:.2f})"


def _percent(s: dict) -> str:
    return f"{100 * s['median']:.1f} %"


def draw_losses(rows: list[dict], path: Path) -> None:
    """The loss curves laid on each other, one panel for each row; below, how far they are apart."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 4.5 * len(rows), 4.8), layout="constrained")
    axes = figure.subplots(2, len(rows), squeeze=False, sharex="col", height_ratios=(3, 2))
    for (above, below), row in zip(axes.T, rows, strict=True):
        plain, ours = (np.array(row["loss"][name]) for name in ("plain", "other"))
        steps = np.arange(1, len(plain) + 1)
        above.plot(steps, plain, color="0.7", linewidth=5, label="plain")
        above.plot(steps, ours, color="tab:red", linewidth=1.2, label="ours")
        above.set_title(f"{title(row)}\n{row['ratio']['median']:.2f} x the images/s of the plain way", fontsize="medium")
        above.legend(frameon=False)
        moved = np.array(row["rounding"]["other"])
        for other, color, label in ((moved, "0.7", "plain, moved by a rounding"), (ours, "tab:red", "ours")):
            # six digits are kept: below 1e-6 nothing is known
            below.semilogy(steps, np.maximum(np.abs(other - plain) / plain, 1e-6), color=color, linewidth=1.2, label=label)
        below.legend(frameon=False, fontsize="small")
        below.set_xlabel("training step")
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("difference from plain,\nrelative")
    figure.savefig(path, dpi=110)
