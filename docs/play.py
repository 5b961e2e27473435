"""What the explorers on pages of the site show: made in seconds from drawn scenes, a picture of scikit-image, and published records."""

import base64
import json
from functools import cache
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from oreal_lib import explore
from oreal_lib.data.readers.toy import draw_scene
from oreal_lib.data.readers.toy_scene import CLASSES
from oreal_lib.experiments.grid import read_grid
from oreal_lib.explore import view
from oreal_lib.lessons import photograph
from oreal_lib.reports.frames import load
from oreal_lib.scores import bvsb
from oreal_lib.superpixels import SuperpixelRecipe, superpixels

LADDERS = {  # spaced so that what is also asked by the mean falls about evenly on these pictures
    "top": ["mean", *(f"top_{share}" for share in (0.85, 0.6, 0.4, 0.2, 0.1, 0.02, 0.015, 0.01, 0.008, 0.005)), "max"],
    "power": ["mean", *(f"power_{p}" for p in (2, 4, 6, 10, 64, 96, 128, 160, 192, 256)), "max"],
    "quantile": ["mean", *(f"quantile_{q}" for q in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.985, 0.99, 0.995)), "max"],
}
SCENES = (2, 5)  # seeds, our choice: several tools, and an organ
GRIDS = ("table1@toy", "table1@camvid", "table1@labelmefacade")
RECIPE = SuperpixelRecipe(count=300, levels="auto", connectivity="largest")


def pictures() -> dict:
    """What mean, max and all between ask of two drawn scenes and of a photograph, by a regression on a few labeled rectangles."""
    coffee, rectangles = photograph.coffee()
    shown = [_picture("a cup of coffee", coffee, rectangles, " Photograph: Rachel Michetti, CC0, scikit-image.")]
    for seed in SCENES:
        rng = np.random.default_rng([seed, 7])
        image, truth = draw_scene(rng, 288, 384)
        shown.append(_picture(f"drawn scene {seed}", image, _rectangles(truth, rng)))
    under = list(view.PLAIN.items())
    return {**view.ASKED, "ladders": LADDERS, "under": under, "pictures": shown}


def _picture(name: str, image: np.ndarray, rectangles: photograph.Rectangles, credit: str = "") -> dict:
    """An image, with its superpixels and uncertainty at every second pixel."""
    unsure, ids = bvsb(photograph.probabilities(image, rectangles))[0, 0].numpy(), superpixels(image, RECIPE)
    about = f"Labeled before: a few rectangles of {', '.join(rectangles)}.{credit}"
    return {"name": name, "about": about, **view.picture(image, ids[::2, ::2], unsure[::2, ::2])}


def _rectangles(truth: np.ndarray, rng: np.random.Generator) -> photograph.Rectangles:
    """Up to three squares of 16 x 16 pixels of each class that fills them."""
    found: dict[str, list] = {}
    for y, x in 8 * rng.permutation(np.argwhere(truth[:-8:8, :-8:8] >= 0)):
        if len(here := np.unique(truth[y : y + 16, x : x + 16])) == 1 and len(mine := found.setdefault(CLASSES[here[0]], [])) < 3:
            mine.append((y, y + 16, x, x + 16))
    return found


def debts() -> dict:
    """What OREAL's labels were after each step of a published run, and what Eq. 3 asks for next."""
    config = next(c for c in read_grid(GRIDS[0]).configs if c.column == "oreal max" and c.seed == 0)
    frame = load([config])
    budget = frame["clicks"].iloc[0]
    return view.debts(frame["class_counts"].tolist(), budget, frame["classes"].iloc[0])


def curves() -> dict:
    """The runs of Table 1, whose records come with the repository."""
    return view.learning_curves(load([c for grid in GRIDS for c in read_grid(grid).configs]))


MADE = {"mean_or_max": cache(pictures), "debts": cache(debts), "curves": cache(curves)}


class Explorer(SphinxDirective):
    """An explorer on a page: its data, and the module that draws it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        about = json.dumps(MADE[self.arguments[0]](), default=lambda v: base64.b64encode(v).decode()).replace("</", r"<\/")
        files = [Path(explore.__file__).with_name(f"explorer.{kind}") for kind in ("js", "css")]
        code, style = (file.read_text(encoding="utf-8") for file in files)
        for file in (*files, Path(__file__)):
            self.env.note_dependency(str(file))
        begin = 'page(document.getElementById("explorer"), JSON.parse(document.getElementById("data").textContent));'
        html = f'<style>{style}</style><div id="explorer"></div><script type="application/json" id="data">{about}</script>'
        return [nodes.raw("", f'{html}<script type="module">{code}{begin}</script>', format="html")]
