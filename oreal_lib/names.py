"""What strategies are called where people read: in tables, legends and logs."""

from __future__ import annotations

STRATEGY_NAMES = {  # all there are, in the order of tables and figures; a config takes no other
    "random": "random",
    "bvsb": "BvSB",
    "revisiting_sp": "Revisiting SP",
    "pixelbal": "PixelBal",
    "cbal": "CBAL",
    "oreal": "OREAL",
    "stratified_random": "random by predicted class*",  # *: not in the paper
    "power_bvsb": "BvSB with noise*",
}

NAMES = STRATEGY_NAMES | {
    "full_masks": "full supervision A (true masks)",
    "full_dominant": "full supervision B (dominant labels)",
}


def title(column: str) -> str:
    """A column's name as readers know it: "oreal max" -> "OREAL max"."""
    first, _, rest = column.partition(" ")
    return f"{NAMES.get(first, first)} {rest}".strip()
