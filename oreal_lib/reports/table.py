"""How a number is written, and a table of numbers in markdown: every report writes them in this one way."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

NOT_RUN = "not run"
SEEDS_DIFFER = "The rows have different numbers of seeds, so their means are not comparable; finish the runs."
NO_REFERENCE = "Full supervision B was not run, so there is no value (-); add `- {supervision: full_dominant}` to the grid."


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """A table; the columns at the positions `left` are aligned to the left, the others, which hold numbers, to the right."""
    rule = "".join("|---" if i in left else "|---:" for i in range(len(heads))) + "|"
    head, *body = ["| " + " | ".join(row) + " |" for row in (heads, *rows)]
    return "\n".join([head, rule, *body])


def literal(name: str) -> str:
    """A name from outside for a cell: as code where markdown or a formula would change it, such as "cash$$"."""
    tick = "``" if "`" in name else "`"
    return f"{tick}{name.replace('|', chr(92) + '|')}{tick}" if re.search(r"[$*`|\\<>\[\]~^&]|\b_|_\b", name) else name


def paragraphs(*parts: str) -> str:
    """The parts that are not empty, with an empty line between them and a line break at the end."""
    return "\n\n".join(part for part in parts if part) + "\n"


def with_sd(mean: float, sd: float, digits: int = 1) -> str:
    """ "63.2 ± 0.4", "63.2" where there is no spread, "-" where there is no value."""
    if np.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if np.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def spread(row: Mapping, name: str, digits: int = 1) -> str:
    """The same of a row that has <name>_mean and <name>_sd, as of `frames.spread`."""
    return with_sd(row[f"{name}_mean"], row[f"{name}_sd"], digits)


def number(value: float, sign: str = "") -> str:
    """ "63.2", or "-" where there is no value; sign: "+" to write that of a difference."""
    return "-" if np.isnan(value) else f"{value:{sign}.1f}"


def with_interval(d: Mapping, sd: bool = False) -> str:
    """A result of `frames.interval`: "+1.2 (-0.3 to +2.7)", without the interval for one seed, "-" for none.

    sd: also the standard deviation, "+1.2 ± 0.4 (-0.3 to +2.7)".
    """
    if not d["n"]:
        return "-"
    spread = (f" ± {d['sd']:.1f}" if sd else "") + f" ({d['low']:+.1f} to {d['high']:+.1f})"
    return f"{d['mean']:+.1f}" + (spread if d["n"] > 1 else "")


def in_words(d: Mapping, favor: str = "above 0", digits: int = 1) -> str:
    """The same in words: "+1.2 (n = 5, above 0 in 4, 95 % interval -0.3 to +2.7)". favor: what its `favor` counts."""
    sure = f"95 % interval {d['low']:+.{digits}f} to {d['high']:+.{digits}f}" if d["n"] > 1 else "one seed: no spread, no evidence"
    return f"{d['mean']:+.{digits}f} (n = {int(d['n'])}, {favor} in {int(d['favor'])}, {sure})"
