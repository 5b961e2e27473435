from functools import partial

import numpy as np
import torch

from oreal_lib.aggregate import Regions
from oreal_lib.fast.remembering import Remembering
from oreal_lib.scores import bvsb, predicted_class, weighted_bvsb
from oreal_lib.types import Superpixels

HOWS = ("mean", "top_0.5", "max")
P = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(2)).softmax(dim=0)


def counted():
    """Regions of one image of two superpixels, and a list with an entry for each pass."""
    passes = []

    def predict():
        passes.append(1)
        yield P

    return Regions(predict, Superpixels.from_maps(np.array([[[0, 0, 0, 1], [0, 0, 0, 1]]], np.uint16)), 3), passes


def test_a_question_asked_before_costs_no_second_look_and_gets_the_same_answer():
    (plain, _), (asked, passes) = counted(), counted()
    regions = Remembering(asked)
    for _ in range(2):
        for score, how in [(bvsb, "max"), (bvsb, "mean"), (predicted_class, "vote")]:
            assert np.array_equal(regions(score, how), plain(score, how))
        both = regions.together((bvsb, "mean"), (predicted_class, "vote"))
        assert all(map(np.array_equal, both, plain.together((bvsb, "mean"), (predicted_class, "vote"))))
    assert len(passes) == 3


def test_one_look_answers_for_all_aggregations_and_the_same_weight_is_the_same_score():
    (plain, _), (asked, passes) = counted(), counted()
    regions = Remembering(asked, HOWS)
    weighted = [partial(weighted_bvsb, weight=torch.tensor([w, 1.0, 1.0])) for w in (0.5, 0.5, 0.25)]
    for score, expected in zip([bvsb, *weighted], (1, 2, 2, 3), strict=True):
        assert all(np.array_equal(regions(score, how), plain(score, how)) for how in HOWS)
        assert len(passes) == expected


def test_scores_that_differ_in_a_positional_argument_are_two_scores():
    def powered(exponent, p):
        return p[:, :1] ** exponent

    regions = Remembering(counted()[0])
    assert not np.array_equal(regions(partial(powered, 2.0), "max"), regions(partial(powered, 5.0), "max"))
