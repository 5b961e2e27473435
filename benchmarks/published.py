"""Asking the way published code does it, written from its description in the papers and repositories; no code is copied.

Per image a softmax, the score of every pixel, one-hot vectors of every pixel's class, and a scatter to the superpixels. The scores of
the pool become a list of tuples (score, path, superpixel), which is sorted and walked from the top, past what is labeled, until the
budget is met. OREAL has no published code: here is the formula as printed, with a sort for each class. Where two descriptions differ,
the faster one is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional as F

from oreal_lib.balance import class_debt, shortfall
from oreal_lib.types import Labels, Superpixels

Logits = Callable[[], Iterator[torch.Tensor]]  # one inference pass: (C, H, W) float32 of each image of the pool
Scored = list[tuple[float, str, int]]
SMALL = 1e-8  # keeps a logarithm or a ratio finite


def ask(strategy: str, how: str, logits: Logits, superpixels: Superpixels, labels: Labels, budget: int) -> np.ndarray:
    """(budget,) int64: the superpixels asked, best first; ties by path and number, the last first.

    strategy: one of WAYS.  how: "mean" or "max".
    """
    paths = [f"images/{i:06d}.png" for i in range(len(superpixels.offset) - 1)]
    labeled, image = np.flatnonzero(~labels.unlabeled), superpixels.image
    asked = {(paths[image[i]], int(i - superpixels.offset[image[i]])) for i in labeled.tolist()}
    maps = [torch.from_numpy(np.asarray(m, np.int64)) for m in superpixels.maps]
    pool = list(zip(paths, maps, np.diff(superpixels.offset).tolist(), strict=True))
    query: list[tuple[str, int]] = []
    for scored, wanted in WAYS[strategy](logits, pool, how, labels, budget):
        taken = walked(scored, asked, wanted)
        asked.update(taken)
        query += taken
    start = dict(zip(paths, superpixels.offset.tolist(), strict=False))
    return np.array([start[path] + k for path, k in query], np.int64)


def walked(scored: Scored, asked: set[tuple[str, int]], wanted: int) -> list[tuple[str, int]]:
    """The `wanted` highest of the list that are not asked yet."""
    query: list[tuple[str, int]] = []
    for _, path, k in sorted(scored, reverse=True):
        if len(query) == wanted:
            break
        if (path, k) not in asked:
            query.append((path, k))
    return query


def scattered(score: torch.Tensor, ids: torch.Tensor, n: int, how: str) -> torch.Tensor:
    """(K, n) float32 of pixel scores (K, H, W)."""
    index = ids.to(score.device).flatten().expand(len(score), -1)
    reduce = {"mean": "mean", "max": "amax", "sum": "sum"}[how]
    return score.new_zeros(len(score), n).scatter_reduce(1, index, score.flatten(1), reduce, include_self=False)


def ratio(p: torch.Tensor) -> torch.Tensor:
    """(1, H, W): second best probability over the best."""
    best = p.topk(2, dim=0).values
    return (best[1] / (best[0] + SMALL))[None]


def majority(p: torch.Tensor, ids: torch.Tensor, n: int) -> np.ndarray:
    """(n,) most frequent class by one-hot vectors of all pixels."""
    one_hot = F.one_hot(p.argmax(dim=0), len(p)).permute(2, 0, 1).float()
    return scattered(one_hot, ids, n, "sum").argmax(dim=0).cpu().numpy()


def _images(logits: Logits, pool: list) -> Iterator[tuple[str, torch.Tensor, int, torch.Tensor]]:
    for (path, ids, n), z in zip(pool, logits(), strict=True):
        yield path, ids, n, z.softmax(dim=0)


def _bvsb(logits, pool, how, labels, budget):
    scored = []
    for path, ids, n, p in _images(logits, pool):
        scored += [(s, path, k) for k, s in enumerate(scattered(ratio(p), ids, n, how)[0].tolist())]
    yield scored, budget


def _revisiting_sp(logits, pool, how, labels, budget):
    scored, classes = [], []
    for path, ids, n, p in _images(logits, pool):
        classes += majority(p, ids, n).tolist()
        scored += [(s, path, k) for k, s in enumerate(scattered(ratio(p), ids, n, how)[0].tolist())]
    share = np.bincount(classes, minlength=len(labels.class_counts())) / len(classes)
    most = max(s for s, _, _ in scored)
    yield [(float(np.exp(-share[c])) * (s / most), path, k) for (s, path, k), c in zip(scored, classes, strict=True)], budget


def _pixelbal(logits, pool, how, labels, budget, nu=12.0):
    prior = torch.stack([p.mean(dim=(1, 2)) for _, _, _, p in _images(logits, pool)]).mean(dim=0)  # of images of one size
    weight = (nu * prior + 1) ** -2
    scored = []
    for path, ids, n, p in _images(logits, pool):
        score = ratio(p) * weight[p.argmax(dim=0)]
        scored += [(s, path, k) for k, s in enumerate(scattered(score, ids, n, how)[0].tolist())]
    yield scored, budget


def _cbal(logits, pool, how, labels, budget, lam=1.0):
    owed = shortfall(labels.class_counts(), budget)
    scored = []
    for path, ids, n, p in _images(logits, pool):
        entropy = scattered(-(p * (p + SMALL).log()).sum(dim=0, keepdim=True), ids, n, how)[0].cpu().numpy()
        mean = scattered(p, ids, n, "mean").T.double().cpu().numpy()
        distance = np.abs(mean - owed).sum(axis=1)
        scored += [(s, path, k) for k, s in enumerate((entropy - lam * distance).tolist())]
    yield scored, budget


def _oreal(logits, pool, how, labels, budget):
    by_class: list[Scored] = [[] for _ in labels.class_counts()]
    for path, ids, n, p in _images(logits, pool):
        score = -p * (p + SMALL).log() - (1 - p) * (1 - p + SMALL).log()
        for scored, row in zip(by_class, scattered(score, ids, n, how).tolist(), strict=True):
            scored += [(s, path, k) for k, s in enumerate(row)]
    yield from zip(by_class, class_debt(labels.class_counts(), budget).tolist(), strict=True)


# Each yields, one after the other, a list of scores and how many are to be taken from it.
WAYS = {"bvsb": _bvsb, "revisiting_sp": _revisiting_sp, "pixelbal": _pixelbal, "cbal": _cbal, "oreal": _oreal}
