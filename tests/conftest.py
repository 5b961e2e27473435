"""The smallest data on which a whole run can be watched: 16 toy scenes of 32x32 pixels in 16 squares each, three steps."""

import pytest
from tiny import TINY, TOY

from oreal_lib.config import RunConfig
from oreal_lib.data import load_dataset, open_store
from oreal_lib.superpixels import SuperpixelRecipe


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
