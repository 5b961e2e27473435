"""Frames by hand: the rows of runs that never ran, as `reports.frames.load` gives them."""

import pandas as pd


def run(column, seed=0, miou=(0.2, 0.3), **values):
    """The rows of one run: 10 clicks for 10 % of the pool in each step, near borders half the mIoU.

    values: further columns or others in place of these; a list has a value for each step, anything else is the same in all.
    """
    strategy, _, how = column.partition(" ")
    steps = range(1, len(miou) + 1)
    row = {
        "run_id": f"{column.replace(' ', '-')}-{seed}",
        "dataset": "toy",
        "model": "net",
        "column": column,
        "supervision": column if column.startswith("full_") else "active",
        "strategy": strategy,
        "aggregate": how,
        "labeling": "dominant",
        "setting": "by hand",
        "warm_start": True,
        "data_options": "{}",
        "device": "abacus",
        "commit": "c0ffee",
        "classes": ("first", "second"),
        "seed": seed,
        "step": list(steps),
        "clicks": [10 * t for t in steps],
        "labeled_fraction": [t / 10 for t in steps],
        "labeled_pixels": [t / 10 for t in steps],
        "miou": list(miou),
        "boundary_miou": [m / 2 for m in miou],
        "inside_miou": list(miou),
        "class_counts": [(5 * t, 5 * t) for t in steps],
        "border_share": 0.5,
        "imbalance": 0.5,
        "epochs": 10,
    }
    return pd.DataFrame([{k: v[i] if isinstance(v, list) else v for k, v in (row | values).items()} for i in range(len(miou))])


def runs(*several):
    """The rows of several runs, one after the other."""
    return pd.concat(several, ignore_index=True)


def asked(column, seed=0, **values):
    """A row of `frames.per_run`."""
    strategy, _, how = column.partition(" ")
    key = {"dataset": "toy", "model": "net", "column": column, "strategy": strategy, "aggregate": how, "seed": seed}
    return key | {"run_id": f"{column.replace(' ', '-')}-{seed}"} | values


def cells(text, start="|"):
    """The cells of the lines of a table in markdown."""
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith(start)]
