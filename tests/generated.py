"""Generated values of every kind that the library may be given, good and bad, and what counts as a refusal.

Hypothesis draws sizes, kinds and a seed, and shrinks them; what fills an array is drawn by numpy from that seed, which is fast.
"""

import functools
import os
import re
from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
import torch
from hypothesis import strategies as st

import oreal_lib
from oreal_lib.storage.yaml_file import ConfigError
from oreal_lib.types import IGNORE

PACKAGE = Path(oreal_lib.__file__).parent
OURS = {ValueError, FloatingPointError, OSError, FileNotFoundError, ConfigError}
HELD: Counter[str] = Counter()  # test -> cases that held

SEEDS = st.integers(0, 2**32 - 1)
MAYBE = st.booleans()
HOWS = ("mean", "max", "top_0.3", "top_1", "quantile_0", "quantile_0.5", "quantile_1", "power_1", "power_2", "power_256")


def every(**strategies):
    """The test, for every value of the strategies: hypothesis' `given`, which counts the cases that held. See tests/conftest.py."""

    def decorate(test):
        @functools.wraps(test)
        def counted(*args, **kwargs):
            test(*args, **kwargs)
            HELD[test.__name__] += 1

        by_hypothesis = hypothesis.given(**strategies)(counted)
        return hypothesis.seed(int(os.environ["OREAL_SEED"]))(by_hypothesis) if os.environ.get("OREAL_EXAMPLES") else by_hypothesis

    return decorate


def refusal(call):
    """What the library says when it refuses a call, or None if it accepts it; AssertionError for any other exception.

    A refusal is one of OURS, raised by a line of the library, in one line that says more than a value.
    """
    try:
        call()
    except Exception as error:
        place = error.__traceback__
        while place.tb_next:
            place = place.tb_next
        file = Path(place.tb_frame.f_code.co_filename)
        assert type(error) in OURS, f"{type(error).__name__} is not an error of this library: {error}"
        assert PACKAGE in file.parents, f"raised by {file}: {error!r}"
        text = str(error)
        assert len(text) < 5000 and len(text.splitlines()) == 1 and re.search(r"; |, but |: | must ", text), text
        return text
    return None


# ---- pictures and superpixels


@st.composite
def label_maps(draw, most=12, large=24):
    """(H, W) int64 partitions, ids 0..k-1: one superpixel, every pixel its own, rectangles, or scattered in pieces."""
    side = st.integers(1, most) | st.integers(1, large)
    h, w, kind = draw(side), draw(side), draw(st.sampled_from(["one", "each", "blocks", "scattered", "stripes"]))
    if kind == "one":
        return np.zeros((h, w), np.int64)
    if kind == "each":
        return np.arange(h * w).reshape(h, w)
    if kind == "stripes":
        return np.arange(h)[:, None] * np.ones((1, w), np.int64)
    if kind == "blocks":
        rows, columns = draw(st.integers(1, h)), draw(st.integers(1, w))
        return (np.arange(h) * rows // h)[:, None] * columns + np.arange(w) * columns // w
    k = draw(st.integers(1, h * w))
    return np.random.default_rng(draw(SEEDS)).permutation(np.arange(h * w) % k).reshape(h, w)


@st.composite
def masks(draw, shape, n_classes, void=True):
    """(H, W) uint8 class ids and IGNORE: of one class, without one of the classes, void all over, or anything."""
    rng, kind = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(["any", "one", "lacking", "void", "halves"]))
    if kind == "void" and void:
        return np.full(shape, IGNORE, np.uint8)
    if kind == "one":
        return np.full(shape, rng.integers(n_classes), np.uint8)
    mask = rng.integers(0, max(1, n_classes - (kind == "lacking")), shape).astype(np.uint8)
    if kind == "halves":
        mask[: shape[0] // 2] = 0
    if void:
        mask[rng.random(shape) < rng.choice([0, 0.1, 0.6])] = IGNORE
    return mask


@st.composite
def probabilities(draw, shape, n_classes):
    """(C, H, W) float32, a softmax over C or nearly: soft, sure, exactly 0 and 1, uniform, of one class, lacking a class, tiny."""
    rng = np.random.default_rng(draw(SEEDS))
    kind = draw(st.sampled_from(["soft", "sure", "exact", "uniform", "one", "lacking", "tiny", "alike"]))
    logits = torch.from_numpy(rng.normal(size=(n_classes, *shape)).astype(np.float32))
    if kind in ("exact", "one"):
        winner = rng.integers(0, n_classes, shape) if kind == "exact" else np.full(shape, rng.integers(n_classes))
        return torch.from_numpy((np.arange(n_classes)[:, None, None] == winner).astype(np.float32))
    if kind == "uniform":
        return torch.full((n_classes, *shape), 1 / n_classes)
    if kind == "lacking" and n_classes > 1:
        logits[rng.integers(n_classes)] = -torch.inf
    if kind == "alike":
        logits = logits[:, :1, :1].expand(logits.shape)
    return (logits * {"sure": 30.0, "tiny": 95.0}.get(kind, 1.0)).softmax(dim=0)


@st.composite
def pools(draw, images=(1, 4), classes=(2, 5)):
    """A pool as (maps, probabilities): `images` label maps, small, and what a model says of each; all with as many classes."""
    c = draw(st.integers(*classes))
    maps = draw(st.lists(label_maps(5, 8), min_size=images[0], max_size=images[1]))
    return maps, [draw(probabilities(m.shape, c)) for m in maps]


def some_of(draw, n):
    """(n,) bool mask with at least one True."""
    among = np.random.default_rng(draw(SEEDS)).random(n) < draw(st.sampled_from([0.2, 0.7, 1.0]))
    among[draw(st.integers(0, n - 1))] = True
    return among


# ---- what people write

NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 10, 255, 256, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400]) | st.integers()
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e-400, 1e308, float("nan"), float("inf"), float("-inf")])
WORDS = st.sampled_from(
    ["", "toy", "oreal", "mean", "max", "null", "1e-4", "nan", "1e999", "~", "é", "a\nb", "x" * 300, "../x", "\x00"]
)
LEAVES = st.none() | MAYBE | NUMBERS | FLOATS | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | NUMBERS | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
