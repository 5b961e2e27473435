"""Data sets, for anyone who runs experiments on them or adds one: `load_dataset(name, root=...)` is where to start.

`readers/` has one file for each data set, which says what pictures there are (`source.Source`); `check` and `description` look
at them before anything is trained (`python -m oreal_lib data check NAME`); `prepare` turns them once into arrays on disk, which
`store.open_store` opens; `split.draw_split` draws what a run may use. To add a data set of your own see docs/extending.md.
"""

import inspect
from pathlib import Path

from ..config import RunConfig
from ..storage.paths import prepared_root
from ..storage.ragged import Ragged
from ..superpixels import SuperpixelRecipe
from ..types import Dataset
from ..weak.labels import TRIM
from . import prepare
from .readers import camvid, cityscapes, endovis, folder, labelmefacade, monarch, toy, voc
from .source import Item, Source
from .split import draw_split
from .store import open_store

__all__ = ["READERS", "Item", "Source", "dataset_of", "draw_split", "load_dataset", "open_source", "open_store"]

READERS = {  # read(root, **options) -> Source
    "toy": toy.read,
    "camvid": camvid.read,
    "labelmefacade": labelmefacade.read,
    "voc": voc.read,
    "cityscapes": cityscapes.read,
    "endovis": endovis.read,
    "monarch": monarch.read,
    "folder": folder.read,
}

TOY_SIZE = (96, 128)
TOY_RECIPE = SuperpixelRecipe(count=200, levels=2, prior=2, bins=5, double_step=False, equalize="value")


def open_source(
    name: str,
    root: str | Path | None = None,
    height: int | None = None,
    width: int | None = None,
    options: dict | None = None,
    strict: bool = True,
) -> Source:
    """A data set by name as its reader finds it: options and folders are checked, no picture is opened yet.

    strict: ValueError with the first ten problems where something is wrong with the folders; else they are in the Source.
    KeyError for an unknown data set, ValueError for an option it does not have.
    """
    if name not in READERS:
        raise KeyError(f"there is no data set {name!r}; choose one of {', '.join(READERS)}")
    keywords = inspect.signature(READERS[name]).parameters
    known = ", ".join(key for key in keywords if key not in ("root", "height", "width")) or "nothing"
    if not isinstance(options or {}, dict):
        raise ValueError(f"options is {options!r}, but must be a dictionary of {known}")
    options = dict(options or {})
    if unknown := [key for key in options if key not in known.split(", ")]:
        raise ValueError(f"{name} has no option {', '.join(map(repr, unknown))}; it knows {known}")
    if "height" in keywords:  # drawn at working size, nothing to resize
        options |= dict(zip(("height", "width"), (height, width) if height or width else TOY_SIZE, strict=True))
    source = READERS[name](root, **options)
    if strict and (problems := source.problems):
        where = f" --root {root}" if root is not None else ""
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ValueError(
            f"{name} cannot be used: {len(problems)} problem{'s' * (len(problems) > 1)}: {'; '.join(problems[:10])}{more}. "
            f"`python -m oreal_lib data check {name}{where}` finds all, inside the pictures too"
        )
    return source


def load_dataset(
    name: str,
    *,
    root: str | Path | None = None,
    height: int | None = None,
    width: int | None = None,
    resize: str = "square",
    recipe: SuperpixelRecipe | None = None,
    options: dict | None = None,
    trim: int = TRIM,
    store_root: str | Path | None = None,
    workers: int | None = None,
) -> Dataset:
    """A data set by name, read and prepared unless it is already, then opened as memory maps.

    root: folder of the raw data.  height, width: working size, None and None for the native one (toy: 96x128).
    resize: "square" stretches every picture to the working size; "crop" keeps native sizes, the training then crops.
    recipe: superpixels; None takes those of the toy, else the official SEEDS.  options: keywords of the reader.
    trim: pixels at a superpixel's border that an annotator who names classes overlooks, see `weak.labels.near_border`.
    store_root: where prepared data lies, None for `paths.prepared_root()`.
    """
    source = open_source(name, root, height, width, options)
    if name == "toy":
        height, width = (height, width) if height or width else TOY_SIZE
        recipe = recipe or TOY_RECIPE
    elif resize == "crop":
        height = width = None
    how = {"height": height, "width": width, "mixed": resize == "crop", "trim": trim, "workers": workers}
    return open_store(prepare.prepare(source, recipe or SuperpixelRecipe(), store_root=store_root or prepared_root(), **how))


def dataset_of(config: RunConfig) -> Dataset:
    """The data set that a run's config describes, see `load_dataset`; ValueError if its pictures need a size and have none."""
    same = {name: getattr(config, name) for name in ("height", "width", "resize", "workers")}
    same |= {"root": config.data_root, "options": config.data_options, "trim": config.label_trim}
    dataset = load_dataset(config.dataset, recipe=SuperpixelRecipe(**config.superpixel_recipe), **same)
    if config.resize == "square" and isinstance(dataset.images, Ragged):
        raise ValueError(
            f"the images of {dataset.name} are of different sizes, but resize is 'square' and height and width are null; "
            "give a height and width, or resize: crop"
        )
    return dataset
