"""The values of the smallest run that can be watched; `conftest.py` makes configs and data of them."""

import re
from pathlib import Path

import oreal_lib

TOY = Path(oreal_lib.__file__).resolve().parent.parent / "params" / "toy.yaml"
TINY = {
    "data_options": {"scene": "large_tools", "generator_seed": 41, "train": 12, "test": 4},
    "height": 32,
    "width": 32,
    "superpixel_method": "grid",
    "superpixel_count": 16,
    "train_images": 6,
    "val_images": 3,
    "query_share": None,
    "query_size": 8,
    "steps": 3,
    "max_epochs": 2,
    "full_min_epochs": 1,
    "full_max_epochs": 2,
    "batch_size": 4,
    "device": "cpu",
    "workers": 1,
    "keep_weights": "last",
    "checkpoint_seconds": 0.0,  # every epoch
}


def taken_over(lock):
    """As if another machine had taken a lock over while this one slept. lock: its file."""
    lock.write_text(re.sub("host=.*", "host=node7", re.sub("token=.*", "token=0", lock.read_text())))
