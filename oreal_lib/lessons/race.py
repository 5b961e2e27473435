"""Who learns most from as many clicks: the same pictures and network, whoever chooses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import torch
from matplotlib.axes import Axes

from ..config import RunConfig
from ..draw import STRATEGY_COLORS, as_written, title
from ..loop import ask, learn
from ..setting import Setting
from ..storage.devices import choose_device
from ..storage.progress import log
from ..types import Labels

Choose = Callable[[torch.nn.Module, Labels, int, int], Labels]  # network, labels so far, how many more, step -> labels


def of_strategy(setting: Setting, config: RunConfig) -> Choose:
    """What the config's strategy asks, as in a run, answered by the oracle."""

    def choose(model: torch.nn.Module, labels: Labels, more: int, step: int) -> Labels:
        query = ask(config, replace(setting, query_size=more), model, labels, step)
        return setting.oracle.answer(labels, query.ids, step)

    return choose


def run(setting: Setting, config: RunConfig, choose: Choose, clicks: Sequence[int]) -> list[float]:
    """mIoU 0..1 on the test pictures after so many clicks each; the network goes on from its weights, as in a run."""
    model = setting.network(config, config.weights)
    model.to(choose_device(config.device), memory_format=torch.channels_last)
    labels, found = setting.no_labels, []
    for step, (before, after) in enumerate(pairwise([0, *clicks]), 1):
        labels = choose(model, labels, after - before, step)
        found.append(learn(config, setting, model, labels, step).miou)
    return found


def race(setting: Setting, config: RunConfig, runners: Mapping[str, tuple[Choose, Sequence[int]]]) -> pd.DataFrame:
    """Columns who, clicks, miou (%): a row for each training of each runner.

    runners: name -> who chooses, and the numbers of clicks, ascending, after which its network is trained and tested.
    """
    rows = []
    for who, (choose, upto) in runners.items():
        log.info(f"{who}: {len(upto)} trainings")
        found = run(setting, config, choose, upto)
        rows += [{"who": who, "clicks": c, "miou": 100 * m} for c, m in zip(upto, found, strict=True)]
    return pd.DataFrame(rows)


def draw_race(frame: pd.DataFrame, ax: Axes) -> Axes:
    """Learning curves of `race`: the library's strategies in their colors, all others in black."""
    handles = []
    for who, rows in frame.groupby("who", sort=False):
        mine = who not in STRATEGY_COLORS
        color, name = ("black", str(who)) if mine else (STRATEGY_COLORS[who], title(who))
        handles += ax.plot(rows["clicks"], rows["miou"], marker="o", color=color, lw=2.5 if mine else 1.5, label=name)
    ax.set(xlabel="clicks", ylabel="mIoU on the test pictures (%)", xticks=sorted(frame["clicks"].unique()))
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    as_written(ax.legend(handles=handles, frameon=False))
    return ax
