"""What `acquisition.py` measured, as a table and held against the goals."""

from __future__ import annotations

from collections.abc import Callable

from training_report import lines, shown

GOALS = {  # name of a ratio -> at most or at least, how much on a CPU, how much on a GPU
    "passes": ("at most", 2, 2),  # PixelBal looks twice
    "score_over_softmax": ("at most", 2.5, None),
    "whole_over_forward": ("at most", 1.15, 1.10),
    "published_over_ours": ("at least", 4, None),
}


def judged(row: dict, gpu: bool) -> dict[str, bool]:
    """Goal -> whether the row's median meets it, for the goals that the row has a number for."""
    met = {}
    for name, (side, *values) in GOALS.items():
        goal, found = values[gpu], row.get(name)
        if goal is not None and found is not None and row["strategy"] != "random":
            found = found["median"] if isinstance(found, dict) else found
            met[name] = bool(found <= goal if side == "at most" else found >= goal)
    return met


def table(rows: list[dict]) -> str:
    """One line for each strategy; medians, in brackets the least and the most of the repeats."""

    def seconds(name: str) -> Callable[[dict], str]:
        return lambda r: f"{r['seconds_per_image'][name]['median']:.3g}" if name in r["seconds_per_image"] else "-"

    def times(name: str) -> Callable[[dict], str]:
        return lambda r: shown(r.get(name))

    return lines(
        rows,
        {
            "strategy": lambda r: f"{r['strategy']} {r['how']}",
            "passes": lambda r: f"{r['passes']} ({r['published_passes']} published)",
            "softmax s": seconds("softmax"),
            "bare softmax s": seconds("bare_softmax"),
            "score s": seconds("score"),
            "whole s": seconds("whole"),
            "published s": seconds("published"),
            "score / softmax": times("score_over_softmax"),
            "published / whole": times("published_over_ours"),
            "with its passes": times("published_over_ours_with_its_passes"),
            "forward s": seconds("forward"),
            "forward and whole s": seconds("forward_and_whole"),
            "/ forward": times("whole_over_forward"),
            "alike": lambda r: f"{100 * r['asked_alike']:.1f} %" if "asked_alike" in r else "-",
        },
    )


def verdicts(rows: list[dict], gpu: bool) -> str:
    """A line for each goal: met by all rows, or not met by which."""
    found = []
    for name, (side, *values) in GOALS.items():
        if judgments := {_name(row): row["goals_met"][name] for row in rows if name in row["goals_met"]}:
            failed = [which for which, met in judgments.items() if not met]
            met = (
                f"met by all {len(judgments)}"
                if not failed
                else f"NOT met by {len(failed)} of {len(judgments)}: {', '.join(failed)}"
            )
            found.append(f"{name.replace('_', ' ')} {side} {values[gpu]}: {met}")
    return "\n".join(found)


def _name(row: dict) -> str:
    return f"{row['strategy']} {row['how']} ({row['height']} x {row['width']}, {row['threads']})"
