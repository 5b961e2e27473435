"""From pixels to superpixels, for every prediction that can be made: the contract, a loop of a few lines, and what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch
from generated import HOWS, SEEDS, every, label_maps, pools, probabilities, refusal
from hypothesis import strategies as st

from oreal_lib import scores
from oreal_lib.aggregate import Regions, Remembering, by_label, by_superpixel, parse_how
from oreal_lib.types import Ragged, Superpixels

RANGES = {  # score -> its largest value for C classes
    scores.entropy: math.log,
    scores.bvsb: lambda c: 1,
    scores.bvsb_margin: lambda c: 1,
    scores.ovr_entropy: lambda c: math.log(2),
    scores.ovr_doubt: lambda c: 0.5,
    scores.probability: lambda c: 1,
}
SCORES = st.sampled_from(list(RANGES))
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
REAL_HOWS = st.sampled_from(HOWS)


def brute(values, how):
    """An aggregation of the scores (P,) of one superpixel, as a sentence says it."""
    kind, value = parse_how(how)
    v = np.sort(values.astype(float))
    if kind == "top":
        return v[-max(1, math.ceil(round(value * len(v), 6))) :].mean()
    if kind == "quantile":
        return v[math.floor((len(v) - 1) * value + 1e-9)]
    if kind == "power":
        return v[-1] * ((v / (v[-1] or 1)) ** value).mean() ** (1 / value)
    return v.max() if kind == "max" else v.mean()


@every(data=st.data(), shape=SHAPES, c=st.integers(2, 6), score=SCORES)
def test_a_score_stays_in_its_range_and_does_not_depend_on_the_numbers_of_the_classes(data, shape, c, score):
    p = data.draw(probabilities(shape, c))
    s = score(p[None])[0]
    assert s.shape in ((1, *shape), (c, *shape)) and s.dtype == torch.float32
    assert s.min() >= -1e-6 and s.max() <= RANGES[score](c) * (1 + 1e-5)
    order = torch.from_numpy(np.random.default_rng(data.draw(SEEDS)).permutation(c))
    other = score(p[order][None])[0]
    torch.testing.assert_close(other, s[order] if len(s) == c > 1 else s, rtol=1e-5, atol=1e-6)


@every(data=st.data(), c=st.integers(2, 6), score=SCORES, tile=st.sampled_from([64, 128, 192]))
def test_computed_in_tiles_or_at_once_a_score_has_the_same_bits(data, c, score, tile):
    p = data.draw(probabilities((17, 19), c))[None]
    whole, before = score(p), scores.TILE
    scores.TILE = tile
    try:
        assert torch.equal(score(p), whole)
    finally:
        scores.TILE = before


@every(data=st.data(), ids=label_maps(), how=REAL_HOWS, k=st.integers(1, 3), scale=st.sampled_from([1.0, 1e-7, 5.5, 1e-40, 1e30]))
def test_an_aggregation_is_what_a_loop_over_superpixels_finds(data, ids, how, k, scale):
    rng, n = np.random.default_rng(data.draw(SEEDS)), int(ids.max()) + 1
    score = (rng.random((k, *ids.shape)) * rng.choice([0, 1], (k, *ids.shape), p=[0.2, 0.8]) * scale).astype(np.float32)
    found = by_superpixel(torch.from_numpy(score), torch.from_numpy(ids), n, how).numpy()
    slow = [[brute(channel[ids == i], how) for channel in score] for i in range(n)]
    np.testing.assert_allclose(found, slow, rtol=1e-5, atol=1e-44)
    assert found.shape == (n, k) and found.dtype == np.float32


@every(data=st.data(), ids=label_maps())
def test_the_spectrum_is_in_order_from_the_minimum_over_the_mean_to_the_maximum(data, ids):
    score = torch.from_numpy(np.random.default_rng(data.draw(SEEDS)).random((1, *ids.shape), np.float32))
    ids, n = torch.from_numpy(ids), int(ids.max()) + 1
    rows = [by_superpixel(score, ids, n, how) for how in ("quantile_0", "mean", "power_2", "power_64", "power_256", "max")]
    tops = [by_superpixel(score, ids, n, how) for how in ("mean", "top_0.5", "top_0.1", "quantile_1")]
    for ladder in (rows, tops):
        assert all((low <= high * (1 + 1e-6)).all() for low, high in itertools.pairwise(ladder))


@every(data=st.data(), ids=label_maps(), how=REAL_HOWS)
def test_other_numbers_of_the_superpixels_and_another_order_of_the_pixels_change_nothing(data, ids, how):
    rng, n = np.random.default_rng(data.draw(SEEDS)), int(ids.max()) + 1
    score, renamed, moved = rng.random((2, ids.size), np.float32), rng.permutation(n), rng.permutation(ids.size)
    plain = by_superpixel(torch.from_numpy(score), torch.from_numpy(ids.ravel()), n, how)
    other = by_superpixel(torch.from_numpy(score[:, moved]), torch.from_numpy(renamed[ids.ravel()][moved]), n, how)
    torch.testing.assert_close(other[renamed], plain, rtol=1e-6, atol=0)


@every(data=st.data(), ids=label_maps(), c=st.integers(1, 6), spare=st.integers(0, 2))
def test_a_vote_is_the_most_frequent_class_and_the_lowest_of_equals(data, ids, c, spare):
    classes, n = np.random.default_rng(data.draw(SEEDS)).integers(0, c, (1, *ids.shape)), int(ids.max()) + 1
    found = by_superpixel(torch.from_numpy(classes), torch.from_numpy(ids), n + spare, "vote")[:, 0].tolist()
    assert found == [int(np.bincount(classes[0][ids == i], minlength=c).argmax()) for i in range(n)] + [0] * spare


@every(data=st.data(), ids=label_maps(), how=st.sampled_from(["mean", "max", "power_3", "power_256"]), c=st.integers(1, 4))
def test_taken_apart_by_label_each_part_is_the_aggregation_with_zero_elsewhere(data, ids, how, c):
    rng, n = np.random.default_rng(data.draw(SEEDS)), int(ids.max()) + 1
    score, labels = torch.from_numpy(rng.random((1, *ids.shape), np.float32)), torch.from_numpy(rng.integers(0, c, (1, *ids.shape)))
    ids = torch.from_numpy(ids)
    found = by_label(score, labels, ids, n, c, how)
    for column in range(c):
        alone = by_superpixel(torch.where(labels == column, score, 0.0), ids, n, how)[:, 0]
        torch.testing.assert_close(found[:, column], alone, rtol=1e-5, atol=0)


def regions_of(maps, predictions, kind=Regions, named=False):
    flat = tuple(m.astype(np.uint16) for m in maps)
    c = len(predictions[0])
    said = {"names": [f"p/{i}" for i in range(len(maps))], "classes": [f"k{i}" for i in range(c)]} if named else {}
    return kind(lambda: iter(predictions), Superpixels.from_maps(Ragged(flat)), c, **said)


@every(pool=pools(), data=st.data(), kind=st.sampled_from([Regions, Remembering]), how=REAL_HOWS, named=st.booleans())
def test_a_prediction_that_is_no_number_is_named_with_image_and_class(pool, data, kind, how, named):
    maps, predictions = pool
    image, rng = data.draw(st.integers(0, len(maps) - 1)), np.random.default_rng(data.draw(SEEDS))
    broken = predictions[image].clone()
    place = tuple(int(rng.integers(n)) for n in broken.shape)
    broken[place] = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    regions = regions_of(maps, [*predictions[:image], broken, *predictions[image + 1 :]], kind, named)
    said = f"image {image} (p/{image}), class {place[0]} (k{place[0]}):" if named else f"image {image}, class {place[0]}:"
    with pytest.raises(FloatingPointError) as error:
        regions.together((scores.bvsb, how), (scores.predicted_class, "vote"))
    assert said in str(error.value)


@every(pool=pools(), data=st.data(), kind=st.sampled_from([Regions, Remembering]), how=REAL_HOWS)
def test_a_score_that_is_nan_somewhere_is_named_by_every_aggregation(pool, data, kind, how):
    maps, predictions = pool
    c, rng = len(predictions[0]), np.random.default_rng(data.draw(SEEDS))
    image = data.draw(st.integers(0, len(maps) - 1))
    place = tuple(int(rng.integers(n)) for n in predictions[image].shape)
    seen = []

    def unknown(p):
        score = p.clone()
        seen.append(1)
        if len(seen) == image + 1:
            score[0][place] = torch.nan
        return score

    where = rf"pool image {image} \(p/{image}\), superpixel {maps[image][place[1:]]}, class {place[0]} \(k{place[0]}\), though"
    assert c > 1
    with pytest.raises(FloatingPointError, match=f"the score unknown is NaN for {where}"):
        regions_of(maps, predictions, kind, named=True)(unknown, how)


@every(pool=pools(classes=(1, 4)), score=SCORES, how=REAL_HOWS, data=st.data())
def test_no_prediction_of_any_kind_gives_a_score_that_is_nan(pool, score, how, data):
    """Predictions that are no softmax, too: below 0, above 1, all 0."""
    maps, predictions = pool
    factor = data.draw(st.sampled_from([1.0, -1.0, 0.0, 3.0, 1e-44, 1e30]))
    regions = regions_of(maps, [p * factor for p in predictions])
    found = []
    said = refusal(lambda: found.append(regions(score, how)))
    assert (said is None) == bool(found)
    if found:
        assert not np.isnan(found[0]).any() and found[0].shape[0] == sum(int(m.max()) + 1 for m in maps)
    elif "BvSB compares two classes, but there is 1" not in said:
        assert "pool image" in said and score.__name__ in said


@every(pool=pools(), data=st.data())
def test_predictions_of_another_shape_or_number_are_refused(pool, data):
    maps, predictions = pool
    wrong = data.draw(st.sampled_from(["class", "row", "fewer", "more", "flat"]))
    p = predictions[-1]
    bent = {"class": torch.cat([p, p[:1]]), "row": torch.cat([p, p[:, :1]], 1), "flat": p[0]}
    last = {"fewer": [], "more": [p, p]}.get(wrong) if wrong in ("fewer", "more") else [bent[wrong]]
    regions = regions_of(maps, predictions)
    asked = Regions(lambda: iter([*predictions[:-1], *last]), regions.superpixels, regions.n_classes)
    said = refusal(lambda: asked(scores.bvsb, "max"))
    assert said and ("the model predict" in said)


@every(how=st.text(max_size=12) | st.from_regex(r"(top|quantile|power)_[-+0-9.e_٣]{1,9}", fullmatch=True))
def test_the_name_of_an_aggregation_is_understood_or_refused_with_the_choices(how):
    found = []
    said = refusal(lambda: found.append(parse_how(how)))
    if said:
        assert repr(how) in said and "choose mean, max, top_" in said
    else:
        kind, value = found[0]
        assert how.isascii() and (how == kind if value is None else how.startswith(f"{kind}_"))
        low, high = {"top": (0, 1), "quantile": (0, 1), "power": (1, 256)}.get(kind, (0, 1))
        assert low <= (value or low) <= high and (kind, value) != ("top", 0)
