"""Pictures of the mechanism behind max and mean. `draw_*(..., ax) -> ax`, colors and lines as in `figures`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..aggregate import parse_how
from ..draw import STRATEGY_COLORS, title
from .figures import by_column, draw_band, strategies, without_box
from .mechanism import SCORE_NAMES

STEP_VALUES = {  # of mechanism.by_step -> axis
    "border_share": "asked on a\ntrue border (%)",
    "deviation": "distance from debts\n(dotted: pool empty)",
    "imbalance": "imbalance of\nall labels",
    "size": "size of the asked\n(pool's average = 1)",
    "near": "mIoU near\nborders (%)",
    "inside": "mIoU inside\n(%)",
}
SCORE_LOOKS = {"bvsb": ("#0077bb", "o"), "entropy": ("#ee7733", "s"), "ovr_entropy": ("#cc3311", "^")}  # color, marker
KIND_MARKERS = {"mean": "o", "max": "o", "top": "s", "power": "^", "quantile": "D"}
KIND_NAMES = {"top": "top: the most unsure share", "power": "power mean"}


def panels(table: pd.DataFrame) -> list[str]:
    """The strategies that get a panel each, in the order of the figures: all but random, which every panel shows, unless it is all
    there is."""
    return strategies(table) or ["random"]


def draw_step_value(table: pd.DataFrame, strategy: str, value: str, ax: Axes) -> Axes:
    """One value over the steps for one strategy by max and by mean, random in gray beneath; mean over seeds, the band is one
    standard deviation. Beneath a deviation, dotted: the debts that the pool could not pay.

    table: of `mechanism.by_step`.  value: a key of STEP_VALUES.
    """
    for mine, look in by_column(table[table["strategy"].isin([strategy, "random"])]):
        steps = mine.groupby("step")
        look["label"] = mine["aggregate"].iloc[0] or look["label"]
        mean, floor = steps[value].mean(), steps["unpayable"].mean()
        draw_band(mean.index, mean, steps[value].std(ddof=1), ax, alpha=0.12, lw=1.5, **look)
        if value == "deviation" and mine["strategy"].iloc[0] != "random" and floor.notna().any():
            ax.plot(floor.index, floor, color=look["color"], ls=":", lw=1)
    if value == "size":
        ax.axhline(1, color="black", lw=0.8)
    ax.set_xticks(sorted(table["step"].unique()))
    ax.grid(alpha=0.3)
    return ax


def draw_mechanism(table: pd.DataFrame, values: Sequence[str], axes: np.ndarray) -> np.ndarray:
    """`draw_step_value` in an array (r, c) of Axes, returned: a row for each value, a column for each of `panels`."""
    for row, value in zip(axes, values, strict=True):
        for ax, strategy in zip(row, panels(table), strict=True):
            draw_step_value(table, strategy, value, ax)
            ax.label_outer()
        row[0].set_ylabel(STEP_VALUES[value], fontsize="small")
    for ax, strategy in zip(axes[0], panels(table), strict=True):
        ax.set_title(title(strategy), fontsize="small", color=STRATEGY_COLORS[strategy])
    for ax in axes[-1]:
        ax.set_xlabel("step", fontsize="small")
    return axes


def draw_debts(debts: pd.DataFrame, column: str, axes: np.ndarray) -> np.ndarray:
    """Two heat maps, class by step: what each class was owed (in brackets what the pool still had, where that is less), and what
    came, as means over seeds, in one scale of colors.

    debts: of `mechanism.debts`.  axes: (2,) Axes, returned.
    """
    mine = debts[debts["column"] == column]
    order = list(dict.fromkeys(mine["class"]))
    values = ["owed", "came", "left"]
    cells = mine.pivot_table(index="class", columns="step", values=values, dropna=False).reindex(order)
    numbers = {v: cells[v].map("{:.0f}".format) for v in values}
    numbers["owed"] = numbers["owed"].where(~(cells["left"] < cells["owed"]), numbers["owed"] + " (" + numbers["left"] + ")")
    top = cells[["owed", "came"]].max(axis=None)
    notes = {"owed": "owed (that many are left, if fewer)", "came": "what came"}
    for ax, (value, note) in zip(axes, notes.items(), strict=True):
        look = {"cmap": "Blues", "vmin": 0, "vmax": top, "cbar": False, "linewidths": 0.5}
        sns.heatmap(cells[value], ax=ax, annot=numbers[value], fmt="", annot_kws={"size": 7}, **look)
        ax.set_title(f"{title(column)}: {note}", fontsize="small")
        ax.set_xlabel("step", fontsize="small")
        ax.set_ylabel("")
        ax.tick_params(labelsize="small", length=0, rotation=0)
    axes[1].set_yticks([])
    return axes


def draw_gains(gains: pd.DataFrame, ax: Axes) -> Axes:
    """Max minus mean near borders and inside objects, one line per strategy, with the 95 % interval over seeds.

    gains: of `mechanism.gains`.
    """
    names = [s for s in STRATEGY_COLORS if s in gains.index.get_level_values("strategy")]
    for where, shift, face, label in (("near", -0.14, None, "near borders"), ("inside", 0.14, "white", "inside objects")):
        if where not in gains.index.get_level_values("where"):
            continue
        mine = gains.xs(where, level="where").reindex(names)
        for y, (strategy, d) in enumerate(mine.iterrows()):
            color, half = STRATEGY_COLORS[strategy], np.nan_to_num(d["high"] - d["mean"])
            ax.errorbar(d["mean"], y + shift, xerr=half, fmt="o", color=color, mfc=face or color, ms=6, lw=1.5, capsize=2)
        ax.plot([], [], "o", color="black", mfc=face or "black", label=label)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(names)), [title(s) for s in names])
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="max minus mean, points of mIoU (95 % interval, paired by seed)")
    ax.legend(fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return without_box(ax, "x")


def draw_correlations(summary: pd.DataFrame, ax: Axes, value: str = "with_size") -> Axes:
    """Median rank correlation of each pixel score by aggregation, from mean to max; bars reach from the lowest to the highest
    seed's median. summary: of `mechanism.correlation_summary`.  value: with_size or with_max."""
    hows = list(dict.fromkeys(summary["aggregate"]))
    for shift, (score, (color, marker)) in zip((-0.12, 0.0, 0.12), SCORE_LOOKS.items(), strict=True):
        mine = summary[summary["score"] == score]
        at = mine["aggregate"].map(hows.index) + shift
        middle = mine[f"{value}_median"]
        reach = [middle - mine[f"{value}_low"], mine[f"{value}_high"] - middle]
        look = {"fmt": marker, "color": color, "ms": 6, "lw": 1.2, "capsize": 2, "label": SCORE_NAMES[score]}
        ax.errorbar(at, middle, yerr=np.maximum(reach, 0), **look)
    if value == "with_size":
        ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks(range(len(hows)), [h.replace("_", " ") for h in hows], rotation=30, ha="right")
    about = {"with_size": "superpixel size", "with_max": "acquisition by max"}[value]
    ax.set_ylabel(f"rank correlation with\n{about} (median)")
    ax.legend(fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1)
    return without_box(ax, "y")


def draw_spectrum(points: pd.DataFrame, ax: Axes, reference: pd.Series | None = None) -> Axes:
    """AuALC over the share of asked superpixels that lie on true borders: a curve per strategy through its aggregations in the
    order of that share, mean over seeds, bars one standard deviation both ways.

    points: of `between.points`.  reference: border_share_mean and aualc_mean of random, a gray cross.
    """
    for strategy in points.index.unique("strategy"):
        color, mine = STRATEGY_COLORS[strategy], points.xs(strategy).sort_values("border_share_mean")
        ax.plot(mine["border_share_mean"], mine["aualc_mean"], color=color, lw=1.5, zorder=1, label=title(strategy))
        for how, p in mine.iterrows():
            look = {"fmt": KIND_MARKERS[parse_how(how)[0]], "color": color, "ms": 7, "elinewidth": 0.6}
            look["mfc"] = "white" if how == "mean" else color
            sd = np.nan_to_num(p[["border_share_sd", "aualc_sd"]].astype(float))
            ax.errorbar(p["border_share_mean"], p["aualc_mean"], xerr=sd[0], yerr=sd[1], **look)
    if reference is not None:
        ax.plot(reference["border_share_mean"], reference["aualc_mean"], "X", color=STRATEGY_COLORS["random"], ms=8, label="random")
    for kind, marker in KIND_MARKERS.items():
        face = "white" if kind == "mean" else "black"
        ax.plot([], [], ls="", color="black", marker=marker, mfc=face, label=KIND_NAMES.get(kind, kind))
    ax.set(xlabel="asked superpixels on a true class border (%)", ylabel="AuALC (%)")
    ax.legend(fontsize="x-small", frameon=False, loc="upper left")
    return without_box(ax)


def draw_spectrum_gains(points: pd.DataFrame, ax: Axes) -> Axes:
    """AuALC above that of mean, paired by seed, with its 95 % interval, a line per aggregation. points: of `between.points`."""
    shown = points[points.index.get_level_values("aggregate") != "mean"]
    for y, ((strategy, how), p) in enumerate(shown.iterrows()):
        look = {"fmt": KIND_MARKERS[parse_how(how)[0]], "color": STRATEGY_COLORS[strategy], "capsize": 2, "ms": 6}
        ax.errorbar(p["gain_mean"], y, xerr=np.nan_to_num(p["gain_high"] - p["gain_mean"]), **look)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(shown)), [title(f"{s} {h}").replace("_", " ") for s, h in shown.index], fontsize="small")
    ax.invert_yaxis()
    ax.set_xlabel("AuALC above mean's, points (95 % interval)")
    return without_box(ax, "x")
