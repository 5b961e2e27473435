"""Strategies that are not in the paper: two baselines, three from later work, two of our own. Each is one sentence, as in `strategies`."""

import heapq

import numpy as np
import torch
from torch.nn import functional as F

from ..aggregate import PixelScore, Regions, parse_how
from ..balance import class_debt
from ..scores import bvsb, class_entropy, doubt, entropy, ovr_doubt, ovr_entropy, predicted_class
from ..select import check_budget, top, top_per_class
from ..types import Labels, Query, Superpixels


def stratified_random(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """At random, but equally many of each predicted class, as far as there are.

    A stronger random baseline, as later work asks for (nnActive, TMLR 2025): random alone hardly ever meets a rare class. The
    score is minus the number of superpixels of the same predicted class that are asked before.
    """
    voted = regions(predicted_class, "vote")[:, 0]
    lot = rng.permutation(np.flatnonzero(labels.unlabeled))
    score = np.full(len(voted), -np.inf)
    for c in np.unique(voted[lot]):
        mine = lot[voted[lot] == c]
        score[mine] = -np.arange(len(mine))
    return top(score, budget, labels.unlabeled, rng)


def power_bvsb(
    regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator, temperature: float = 1.0
) -> Query:
    """BvSB times noise, so that a query is not all of one kind: the top of ln BvSB + Gumbel noise.

    Power acquisition (Kirsch et al., TMLR 2023). The noise falls as temperature / steps bought so far, our choice; with weak
    labels a step that asks in rounds counts once it has bought. temperature 0 is BvSB; the score is that noisy logarithm.
    """
    noise = temperature / max(1, labels.asked_in.max())
    return top(_noisy_log(regions(bvsb, how), noise, rng)[:, 0], budget, labels.unlabeled, rng)


def _noisy_log(score: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """ln of scores >= 0, (N, K) float32, plus Gumbel noise of that scale."""
    return np.log(np.maximum(score.astype(np.float64), np.finfo(np.float32).tiny)) + rng.gumbel(size=score.shape) * noise


def clasp_pe(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator, queries: int = 5) -> Query:
    """The entropy's part of each class for 66 % of the budget, in equal parts, the whole entropy for the rest, with falling noise
    (ClaSP PE, nnActive, TMLR 2026, by the mean).

    queries: those that ask by score, after the random one; the scale of the Gumbel noise on ln score falls from 1 to 1/100 over them.
    """
    score = np.hstack(regions.together((class_entropy, how), (entropy, how)))  # (N, C + 1)
    by_class, n_classes = int(0.66 * budget), score.shape[1] - 1
    part = np.append(np.full(n_classes, by_class // n_classes), budget - by_class)
    part[rng.permutation(n_classes)[: by_class % n_classes]] += 1
    asked = min(max(1, int(labels.asked_in.max())), queries)
    noise = 100.0 ** -((asked - 1) / max(1, queries - 1))
    return top_per_class(_noisy_log(score, noise, rng), part, labels.unlabeled, rng)._replace(for_class=None)


def expected_wrong(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """The pixels that are expected to be wrong, 1 - p of the predicted class, times the adaptive weight of the voted class: by `sum`
    what a correction is expected to gain (A2LC, AAAI 2026, where labels are corrected).

    The weight is (n_min / n_c)^(D^3), n_c the pixels of unlabeled superpixels voted as c, D their KL divergence from equal parts.
    """
    wrong, voted = regions.together((doubt, how), (predicted_class, "vote"))
    n = np.bincount(voted[labels.unlabeled, 0], regions.superpixels.size[labels.unlabeled], regions.n_classes)
    share = n[n > 0] / n.sum()
    skew = float((share * np.log(share * len(share))).sum())
    weight = np.where(n > 0, (n[n > 0].min(initial=np.inf) / np.maximum(n, 1)) ** skew**3, 0)
    return top(weight[voted[:, 0]] * wrong[:, 0], budget, labels.unlabeled, rng)


def apart(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator, gamma: float = 0.5) -> Query:
    """BvSB, but a superpixel that is taken multiplies the score of those that touch it by gamma (after Cai et al., TIP 2021).

    gamma: 0 to 1, our choice; 1 is BvSB.
    """
    return _greedy(regions(bvsb, how)[:, 0], neighbors(regions.superpixels), gamma, budget, labels.unlabeled, rng)


def neighbors(superpixels: Superpixels) -> list[np.ndarray]:
    """For each of the N superpixels the (k,) int64 global ids of those that share an edge with it."""
    pairs = []
    for ids, first in zip(superpixels.maps, superpixels.offset, strict=False):
        ids = np.asarray(ids, np.int64) + first
        for a, b in ((ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])):
            touching = np.stack([a[a != b], b[a != b]])
            pairs.append(np.unique(np.hstack([touching, touching[::-1]]), axis=1))
    one, other = np.unique(np.hstack(pairs), axis=1)
    return np.split(other, np.searchsorted(one, np.arange(1, len(superpixels))))


def _greedy(score: np.ndarray, near: list[np.ndarray], gamma: float, k: int, among: np.ndarray, rng: np.random.Generator) -> Query:
    """The k best one after another, each of which lowers its neighbors; ties at random."""
    check_budget(k, among)
    now, lot, taken = score.astype(np.float64), rng.permutation(len(score)), []
    heap = [(-now[i], lot[i], i) for i in np.flatnonzero(among)]
    heapq.heapify(heap)
    while len(taken) < k:
        worse, tie, i = heapq.heappop(heap)
        if -worse != now[i]:  # it was lowered since
            heapq.heappush(heap, (-now[i], tie, i))
            continue
        taken.append(i)
        now[near[i]] *= gamma
    return Query(np.array(taken), now[taken].astype(np.float32))


def pure_bvsb(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """BvSB times the predicted purity: what max finds, but less of what one label would get wrong (ours, see docs/plan.md, H4)."""
    return top(_pure(regions, bvsb, how)[:, 0], budget, labels.unlabeled, rng)


def pure_oreal(regions: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator) -> Query:
    """OREAL, its scores times the predicted purity (ours, see docs/plan.md, H4)."""
    check_budget(budget, labels.unlabeled)
    score = _pure(regions, ovr_doubt if parse_how(how)[0] in ("max", "quantile") else ovr_entropy, how)
    return top_per_class(score, class_debt(labels.class_counts(), budget), labels.unlabeled, rng)


def _pure(regions: Regions, pixel_score: PixelScore, how: str) -> np.ndarray:
    """(N, K) scores times the share of each superpixel's pixels that are predicted as its most frequent class."""
    score, shares = regions.together((pixel_score, how), (_one_hot, "mean"))
    return score * shares.max(axis=1, keepdims=True)


def _one_hot(p: torch.Tensor) -> torch.Tensor:
    return F.one_hot(predicted_class(p)[:, 0], p.shape[1]).movedim(-1, 1).float()


BEYOND = {f.__name__: f for f in (stratified_random, power_bvsb, clasp_pe, expected_wrong, apart, pure_bvsb, pure_oreal)}
