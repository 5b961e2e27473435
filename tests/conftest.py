"""The smallest data on which a whole run can be watched: 16 toy scenes of 32x32 pixels in 16 squares each, three steps."""

from pathlib import Path

import pytest

import oreal_lib
from oreal_lib.config import RunConfig
from oreal_lib.data import load_dataset, open_store
from oreal_lib.superpixels import SuperpixelRecipe

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


@pytest.fixture(scope="session")
def tiny_config():
    """A function: the tiny config with some values changed. Its pool is 6 images of 16 superpixels, 8 asked per step."""
    return lambda **changes: RunConfig.from_yaml(TOY, **(TINY | changes))


@pytest.fixture(scope="session")
def tiny_store(tiny_config, tmp_path_factory):
    """The folder of the tiny config's prepared data."""
    config, root = tiny_config(), tmp_path_factory.mktemp("prepared")
    recipe = SuperpixelRecipe(**config.superpixel_recipe)
    load_dataset("toy", height=32, width=32, recipe=recipe, options=config.data_options, store_root=root, workers=1)
    return next(path for path in root.iterdir() if path.is_dir())


@pytest.fixture
def tiny(tiny_store):
    """The tiny config's Dataset."""
    return open_store(tiny_store)
