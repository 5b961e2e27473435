"""The pictures of `across`: max - mean of every study, and against what might explain it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..draw import STRATEGY_COLORS, title
from .across import AVERAGE, DATA, name, summary
from .claims import ASKING

AGAINST = {  # what max - mean is drawn against -> axis
    "impurity_max": "pixels that one label gets wrong in what max asks (%)",
    "impurity_gain": "how much more of them than in what mean asks (points)",
    "border_share_gain": "how much more max asks on true borders (points)",
    "budget": "asked per step (% of the superpixels)",
}
MARKS = dict(zip(ASKING, "osD^v", strict=True))


def draw_forest(found: pd.DataFrame, ax: Axes) -> Axes:
    """Max - mean of every study with dominant answers: the average in black, the strategies in their colors beneath it; at the foot the
    random-effects summary over three or more studies of photographs."""
    studies = [s for s in found.index.unique("study") if s.plain]
    for y, study in enumerate(studies):
        for strategy, d in found.loc[study].iterrows():
            whole = strategy == AVERAGE
            color, where = ("black", y) if whole else (STRATEGY_COLORS[strategy], y + 0.14 * (1 + list(ASKING).index(strategy)))
            ax.plot([d["low"], d["high"]], [where] * 2, color=color, lw=2 if whole else 1)
            label = None if name(strategy) in ax.get_legend_handles_labels()[1] else name(strategy)
            ax.plot(d["mean"], where, "D" if whole else "o", color=color, ms=6 if whole else 4, label=label)
    over = summary(found)
    if AVERAGE in over.index and over.loc[AVERAGE, "k"] > 2:  # of two studies the interval says nothing
        d, y = over.loc[AVERAGE], len(studies) + 0.3
        ax.fill([d["low"], d["mean"], d["high"], d["mean"]], [y, y - 0.15, y, y + 0.15], color="black")
        ax.plot([d["predicted_low"], d["predicted_high"]], [y, y], color="black", lw=0.8, ls=":")
        studies = [*studies, "photographs together"]
    ax.axvline(0, color="gray", lw=0.8)
    ax.set_yticks(np.arange(len(studies)) + 0.3, list(map(str, studies)))
    ax.set_xlabel("max - mean, points of AuALC (95 % interval)")
    ax.set_ylim(len(studies), -0.3)
    ax.tick_params(axis="y", length=0)
    return ax


def draw_against(found: pd.DataFrame, what: str, ax: Axes) -> Axes:
    """Max - mean of each study and strategy against one of AGAINST: a color per data set, one of MARKS per strategy, filled with dominant
    answers, open with exact ones."""
    colors = _colors(found)
    for (study, strategy), d in found.iterrows():
        if strategy != AVERAGE and np.isfinite(d[what]):
            face = colors[study.data] if study.plain else "none"
            ax.plot(d[what], d["mean"], MARKS[strategy], mec=colors[study.data], mfc=face, ms=5)
    ax.axhline(0, color="gray", lw=0.8)
    ax.set(xlabel=AGAINST[what], ylabel="max - mean, AuALC")
    if what == "budget":
        ax.set_xscale("log")
        ax.set_xticks(budgets := sorted(set(found["budget"])), [f"{b:g}" for b in budgets])
        ax.minorticks_off()
    return ax


def _colors(found: pd.DataFrame) -> dict[str, str]:
    return {data: f"C{i}" for i, data in enumerate(sorted({s.data for s in found.index.unique("study")}))}


def legend_of_data(found: pd.DataFrame, fig: Figure) -> None:
    """The colors and fillings of `draw_against`, beneath the panels."""
    marks = [Line2D([], [], color=c, marker="o", ls="", label=DATA.get(data, data)) for data, c in _colors(found).items()]
    marks += [
        Line2D([], [], mec="gray", mfc=face, marker="o", ls="", label=text)
        for face, text in (("gray", "dominant answers"), ("none", "exact answers"))
    ]
    marks += [Line2D([], [], color="gray", marker=mark, ls="", label=title(s)) for s, mark in MARKS.items()]
    fig.legend(handles=marks, loc="outside lower center", ncols=5, fontsize="small", frameon=False)
