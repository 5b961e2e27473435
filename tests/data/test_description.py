from collections import Counter

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from oreal_lib.__main__ import main
from oreal_lib.data.description import _spread, describe, description_text, draw_description
from oreal_lib.data.source import Item, Source
from oreal_lib.superpixels import SuperpixelRecipe

HALVES = SuperpixelRecipe(method="grid", count=2)


SIZES = {"wide": (20, 60), "high": (48, 24), "nobody": (30, 30), "also nobody": (30, 30), "void": (30, 30)}


def open_by_hand(item):
    """Left third of class 0, else class 1, the last row void; of class 2 nothing."""
    if item.name == "torn":
        raise ValueError("torn.png is cut off")
    height, width = SIZES[item.name]
    mask = np.ones((height, width), np.uint8)
    mask[:, : width // 3], mask[-1] = 0, 255
    if item.name == "void":
        mask[:] = 255
    image = np.full((height, width, 3), 90, np.uint8)
    return image, None if "nobody" in item.name else mask


def by_hand(*names, split="train"):
    classes = ("tissue", "tool", "thread")
    return Source("hand", classes, tuple(Item(n, n, split) for n in names), open_by_hand, {})


def told(source, n=4, recipe=HALVES):
    return describe(source, recipe, n, np.random.default_rng(0), workers=1)


def test_the_description_counts_what_it_opened():
    d = told(by_hand("wide", "torn", "high"))
    assert d.sizes == Counter({(60, 20): 1, (24, 48): 1}) and (d.drawn.labeled, d.drawn.unreadable, len(d.votes)) == (2, 1, 2)
    assert {sample.name for sample in d.samples} == {"wide", "high"}
    text = description_text(d)
    assert "0 problems in the folders, 1 drawn images could not be opened; `python -m oreal_lib data check hand`" in text
    np.testing.assert_allclose(d.frequency, [1 / 3, 2 / 3, 0])
    assert d.drawn.void_share == pytest.approx((60 + 24) / (1200 + 1152)) and d.drawn.with_class.tolist() == [2, 2, 0]
    # wide is halved left and right: 20 of the 30 left columns are tissue. high is halved above and below: tool wins both.
    np.testing.assert_allclose(d.accuracy, [19 * 20 / (19 * 20 + 47 * 8), (19 * 30 + 47 * 16) / (19 * 40 + 47 * 16), np.nan])
    assert "median 2 per image, 588 pixels each" in text and text.splitlines()[-1].split() == ["2", "thread", "0.00", "0", "-"]


def test_samples_come_from_as_many_groups_as_there_are():
    pool = [Item(f"{group}{i}", group, "train") for group in "abc" for i in range(5)]
    assert [item.name for item in _spread(pool)][:7] == ["a0", "b0", "c0", "a1", "b1", "c1", "a2"] and len(_spread(pool)) == 15


def test_without_masks_the_page_says_so():
    d = told(by_hand("nobody", "also nobody"))
    assert d.drawn.labeled == len(d.votes) == 0 and np.isnan([*d.frequency, *d.accuracy, d.drawn.void_share]).all()
    page = draw_description(d, Figure())
    assert [t.get_text() for ax in page.axes for t in ax.texts] == ["no mask"] * 2
    assert "nothing can be simulated or measured" in description_text(d) and "dominant label right" not in description_text(d)


def test_a_mask_of_void_alone_has_no_frequencies_but_a_page():
    d = told(by_hand("void"))
    assert d.drawn.labeled == d.drawn.void_share == 1 and np.isnan(d.frequency).all() and np.isnan(d.accuracy).all()
    bars = draw_description(d, Figure()).axes[3]
    assert [t.get_text() for t in bars.texts] == ["never"] * 3


def test_the_page_shows_each_sample_three_times_and_all_classes():
    page = draw_description(told(by_hand("wide", "high", "nobody")), Figure())
    pictures, bars = page.axes[:9], page.axes[9]
    assert all(len(ax.images) == 1 for ax in pictures) and len(page.axes) == 11
    assert [ax.get_title() for ax in pictures].count("2 superpixels") == 3
    assert [label.get_text() for label in bars.get_yticklabels()] == ["1 tool", "0 tissue", "2 thread"]
    assert "never" in [t.get_text() for t in bars.texts]


def test_what_cannot_be_described_is_told_with_the_remedy():
    for source in (by_hand("torn"), by_hand("wide", split="test")):
        with pytest.raises(ValueError, match=r"`python -m oreal_lib data check`"):
            told(source)
    with pytest.raises(ValueError, match=r"wide cannot be cut: .*5000 superpixels were asked"):
        told(by_hand("wide"), recipe=SuperpixelRecipe(method="grid", count=5000))
    with pytest.raises(ValueError, match=r"n_images is 0"):
        told(by_hand("wide"), 0)


def test_the_command_writes_the_page_and_prints_its_path(tmp_path, capsys):
    out = tmp_path / "pages" / "toy.png"
    asked = ["describe", "toy", "--set", "train=3", "test=1", "--superpixels", "60", "--workers", "1", "--out", str(out)]
    assert main(["data", *asked]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == str(out) and "3 train, 1 test images" in said and "60 asked" in said
    assert imread(out).shape[1] > 1000
