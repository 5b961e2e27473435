"""Names of classes, pictures and strategies are shown as they are, on every kind of figure, whatever is in them."""

import warnings
from functools import partial
from io import BytesIO
from types import SimpleNamespace

import by_hand
import numpy as np
import pandas as pd
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from oreal_lib import draw
from oreal_lib.annotate.out.overlay import with_legend
from oreal_lib.data.description import describe, draw_description
from oreal_lib.data.source import Item, Source
from oreal_lib.explore import figures as explore
from oreal_lib.lessons import against, debts, race
from oreal_lib.reports import figures as reports
from oreal_lib.reports import table
from oreal_lib.storage.progress import lines_to
from oreal_lib.superpixels import SuperpixelRecipe

NAMES = ("cash$$", "a$b$", "$", "\\alpha", "_x^2")
IDS = np.repeat([[0, 1, 2, 3, 4]], 4, axis=0).repeat(4, axis=1)
IMAGE = np.full((*IDS.shape, 3), 100, np.uint8)
TRUTH = IDS.astype(np.uint8)


def page(axes):
    figure = axes[0].figure
    items = tuple(Item(name, name, "train") for name in NAMES[:4])
    source = Source("hand", NAMES, items, lambda item: (IMAGE, TRUTH), {})
    recipe = SuperpixelRecipe(method="grid", count=5)
    draw_description(describe(source, recipe, 4, np.random.default_rng(0), workers=1), figure)


def browser(axes):
    side = {"title": "$$ max", "asked": np.ones(5, bool), "rank": np.arange(5), "score": np.ones(5), "n": 5, "border_share": 0.5}
    view = {"image": IMAGE, "ids": IDS, "truth": TRUTH, "prediction": TRUTH, "uncertainty": np.ones(IDS.shape), "classes": NAMES}
    view |= {"sides": [side | {"for_class": np.arange(5)}] * 2, "step": 2, "labeled": 0, "pool": 5, "differ": 0, "name": "a$b$"}
    explore.draw_selection_browser(view | {"run_asked": None, "score_name": "BvSB", "asked_in": np.zeros(5)}, axes[:6])


def iou(axes, drawn):
    told = {"class_iou": [[0.5] * 5], "classes": [NAMES], "labeled_fraction": [0.1], "labeled_pixels": [0.1]}
    frame = by_hand.run("oreal max", 0, [0.5], dataset="hand", **told)
    drawn(frame, axes)


def pseudo(axes):
    view = {"image": IMAGE, "truth": TRUTH, "ids": IDS, "superpixel": 0, "named": np.arange(5), "prototypes": np.zeros((5, 2), int)}
    reports.draw_pseudo_labels(view | {"pseudo": TRUTH, "classes": NAMES, "name": "a$b$"}, axes[:4])


def pool(axes):
    picture = SimpleNamespace(count=5, image=lambda: IMAGE, name="a$b$")
    session = SimpleNamespace(query=lambda: [(0, 1)], pictures=[picture], board=SimpleNamespace(ids=lambda i: IDS), classes=NAMES)
    setting = SimpleNamespace(dataset=SimpleNamespace(truth=[TRUTH]), pool=[0])
    against.draw_pool(setting, session, axes[:4].reshape(2, 2))


COST = {f"{k}_{of}": [50.0] * 5 for k in ("share", "label_iou", "A", "B") for of in ("mean", "sd")}
WHO = pd.DataFrame({"who": NAMES, "clicks": range(5), "miou": 50})
KINDS = {  # -> names that it shows
    "image": (lambda axes: [draw.draw_image(IMAGE, ax, name) for ax, name in zip(axes, NAMES, strict=False)], NAMES),
    "uncertainty": (lambda axes: [draw.draw_uncertainty(TRUTH, ax, name) for ax, name in zip(axes, NAMES, strict=False)], NAMES),
    "truth": (lambda axes: draw.draw_truth(TRUTH, NAMES, axes[0]), NAMES),
    "description": (page, [f"{c} {name}" for c, name in enumerate(NAMES)]),
    "browser": (browser, NAMES),
    "class debt": (lambda axes: explore.draw_class_debt([0, 1, 2, 3, 4], 3, NAMES, axes[0]), NAMES),
    "curves": (partial(iou, drawn=lambda frame, axes: explore.draw_curve_explorer(frame, axes[:2], 1)), NAMES),
    "class IoU": (partial(iou, drawn=lambda frame, axes: explore.draw_class_iou(frame, 1, axes[0])), NAMES),
    "label cost": (
        lambda axes: reports.draw_label_cost(pd.DataFrame(COST, NAMES), axes[0]),
        [f"{name} (50.0 % of pixels)" for name in NAMES],
    ),
    "pseudo labels": (pseudo, NAMES),
    "came as": (lambda axes: debts.draw_came_as(np.ones((5, 6), int), NAMES, axes[0], "$$"), NAMES),
    "counts": (lambda axes: debts.draw_counts([[1, 2, 3, 4, 5]], ["a run"], NAMES, axes[:1]), NAMES),
    "pool": (pool, NAMES),
    "race": (lambda axes: race.draw_race(WHO, axes[0]), NAMES),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dollar_begins_no_formula(kind):
    drawn, names = KINDS[kind]
    figure = Figure(figsize=(12, 8))
    drawn(figure.subplots(2, 4).ravel())
    figure.savefig(BytesIO(), format="png")
    shown = {text.get_text(): text for text in figure.findobj(Text)}
    assert set(names) <= set(shown)
    assert not [said for said, text in shown.items() if "$" in said and "mathdefault" not in said and text.get_parse_math()]


def test_a_formula_of_your_own_stays_one():
    ax = Figure().subplots()
    ax.set_xlabel("$x^2$")
    draw.draw_image(IMAGE, ax, "cash$$")
    assert ax.xaxis.label.get_parse_math()


def test_letters_that_the_font_lacks_come_from_one_that_has_them():
    font = draw.font_for("Ⓐ road")  # matplotlib brings a font with this letter
    assert font.name != "DejaVu Sans" and font_manager.get_font(font.fname).get_char_index(ord("Ⓐ"))
    assert draw.font_for("Käfer: größe \n ж").name == "DejaVu Sans"
    ax = Figure().subplots()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "Glyph 9398 missing from font"
        draw.draw_truth(TRUTH, ("Ⓐ", "b", "c", "d", "e"), ax)
        ax.figure.savefig(BytesIO(), format="png")
    here, there = (with_legend(IMAGE, (name,), [0], "") for name in ("Ⓐ", "\ue999"))
    assert here.tobytes() != there.tobytes()


def test_letters_that_no_font_has_are_named_once_and_the_class_id_stands_beside_them(monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [draw.font_for("")])  # nothing else is installed
    lines, name = [], "\u9053\u8def"
    draw.font_for.cache_clear()
    draw._say_boxes.cache_clear()
    with lines_to(lines.append):
        for text in (name, name[:1], name):
            draw.draw_truth(TRUTH[:, :1], (text,), Figure().subplots())
    assert lines == ["no installed font has CJK letters, so pictures show boxes in names; install one, such as a Noto font"]
    legends = [with_legend(IMAGE, (name, name), [c], "") for c in (0, 1)]
    draw.font_for.cache_clear()
    below = [np.asarray(legend)[IMAGE.shape[0] :, 20:] for legend in legends]  # without the square in the color of the class
    assert (below[0] != below[1]).any()


def test_a_table_shows_names_as_code_where_markdown_would_read_them():
    assert [table.literal(name) for name in ("road", "traffic light", "道路")] == ["road", "traffic light", "道路"]
    assert [table.literal(name) for name in ("cash$$", "a|b", "a`b", "*x*")] == ["`cash$$`", r"`a\|b`", "``a`b``", "`*x*`"]
