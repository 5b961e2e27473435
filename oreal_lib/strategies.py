"""The six strategies of the paper: score x aggregation x balance x selection, one sentence each.

A strategy is `strategy(regions, labels, budget, how, rng) -> Query`: it sees the model's predictions and the labels
that were bought, nothing else. `how` is the aggregation ("mean", "max", or what lies between: see `aggregate.parse_how`).
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from .aggregate import Regions, parse_how
from .balance import class_debt, shortfall
from .beyond import BEYOND
from .scores import bvsb, bvsb_margin, entropy, ovr_doubt, ovr_entropy, ovr_entropy_of, predicted_class, probability, weighted_bvsb
from .select import check_budget, top, top_per_class
from .types import Labels, Query, Superpixels

Strategy = Callable[..., Query]


def choice(option: str, name: str, known: dict[str, Any]) -> Any:
    """The value of that name; ValueError with the names there are (our choice)."""
    if name not in known:
        raise ValueError(f"{option} is {name!r}; choose one of {', '.join(known)}")
    return known[name]


def random(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """Uniformly, without replacement, from what is unlabeled; the score is the random number drawn (OREAL Table 1, "random")."""
    return top(rng.random(len(labels.asked_in)), budget, labels.unlabeled, rng)


def bvsb_top(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator, form: str = "ratio") -> Query:
    """Best versus second best: the most ambiguous superpixels (Joshi et al. 2009; OREAL Table 1, "BvSB").

    form: "ratio" p2 / p1, as in the baselines' code, or "margin" 1 - (p1 - p2).
    """
    return top(regions(choice("form", form, {"ratio": bvsb, "margin": bvsb_margin}), how)[:, 0], budget, labels.unlabeled, rng)


def revisiting_sp(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """BvSB, weighted by exp(-share of superpixels predicted as the same class) (Cai et al. 2021).

    The share counts every superpixel of the pool, labeled ones included.
    """
    ratio, voted = regions.together((bvsb, how), (predicted_class, "vote"))
    share = np.bincount(voted[:, 0], minlength=regions.n_classes) / len(voted)
    return top(np.exp(-share)[voted[:, 0]] * ratio[:, 0], budget, labels.unlabeled, rng)


def pixelbal(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator, nu: float = 12.0) -> Query:
    """BvSB per pixel, weighted by (nu p_c + 1)^-2 of its predicted class before aggregation (Hwang et al. 2023).

    p_c: mean probability of class c over all pixels of the pool, which needs an inference pass of its own. nu: 6 on Cityscapes, 12 on VOC.
    """
    size = regions.superpixels.size  # superpixels tile every image
    prior = (size / size.sum()) @ regions(probability, "mean").astype(np.float64)
    weight = torch.from_numpy((nu * prior + 1) ** -2)
    return top(regions(partial(weighted_bvsb, weight=weight), how)[:, 0], budget, labels.unlabeled, rng)


def cbal(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator, lam: float = 1.0) -> Query:
    """Entropy plus the probability of being of a class that is still short (Bengar et al. 2021, as OREAL Sec. 2.3 tells it).

    s(K) = H(K) + 2 lam * sum of p_c(K) over the classes with a shortfall: the L1 distance to the shortfall, constants dropped.
    p(K) is always the mean; `how` aggregates the entropy H.
    """
    uncertainty, p = regions.together((entropy, how), (probability, "mean"))
    short = np.flatnonzero(shortfall(labels.class_counts(), budget))
    return top(uncertainty[:, 0] + 2 * lam * p[:, short].sum(axis=1), budget, labels.unlabeled, rng)


def oreal(
    regions: Regions,
    labels: Labels,
    budget: int,
    how: str,
    rng: np.random.Generator,
    class_order: str = "index",
    max_share: float | None = None,
) -> Query:
    """One-vs-rest entropy, asked class by class in proportion to what each class is owed (OREAL Sec. 3.5).

    class_order: "index" (the paper: "for each class c iteratively") or "rarest_first", which does not depend on numbering.
    """
    check_budget(budget, labels.unlabeled)
    counts = labels.class_counts()
    debt = class_debt(counts, budget, max_share)
    orders = {"index": np.arange(len(counts)), "rarest_first": np.argsort(counts, kind="stable")}
    order = choice("class_order", class_order, orders)
    if parse_how(how)[0] not in ("max", "quantile"):
        return top_per_class(regions(ovr_entropy, how), debt, labels.unlabeled, rng, order)
    # one pixel decides, and its doubt ranks as its entropy does, but without ties where entropies are rounded
    query = top_per_class(regions(ovr_doubt, how), debt, labels.unlabeled, rng, order)
    return query._replace(score=ovr_entropy_of(torch.from_numpy(query.score)).numpy())


STRATEGIES: dict[str, Strategy] = {
    "random": random,  # the order is that of tables and figures; those that are not in the paper stand last
    "bvsb": bvsb_top,
    "revisiting_sp": revisiting_sp,
    "pixelbal": pixelbal,
    "cbal": cbal,
    "oreal": oreal,
    **BEYOND,
}


def check(name: str, how: str, options: dict, n_classes: int = 256) -> None:
    """Ask the strategy one question about a pool of two superpixels; ValueError now for options it would refuse later (our choice).

    n_classes: C, or more than there can be while the data set is not known yet.
    """
    known = list(inspect.signature(STRATEGIES[name]).parameters)[5:]
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"strategy {name} has no option {option!r}; it knows: {', '.join(known) or 'none'}")
        if option in ("nu", "lam", "temperature", "gamma", "queries") and (
            type(value) not in (int, float) or not 0 <= value <= 1_000_000
        ):
            raise ValueError(f"strategy {name}: {option} is {value!r}, but must be a number from 0 to 1,000,000; change it")
    pool = Superpixels.from_maps(np.array([[[0, 1]]], np.uint16))
    regions = Regions(lambda: iter([torch.full((n_classes, 1, 2), 1 / n_classes)]), pool, n_classes)
    try:
        STRATEGIES[name](regions, Labels.none(2, n_classes), 1, how, np.random.default_rng(0), **options)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"strategy {name} refuses its options {options}: {error}") from None
