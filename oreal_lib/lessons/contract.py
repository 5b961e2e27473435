"""What every strategy must keep, ours and yours: the judge of `tests/paper/test_strategies.py` and of lesson 07.

Each clause is a sentence and a function that puts questions about pools of 5 images of 11 superpixels to a strategy and returns
what is broken, or None.
"""

import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from ..aggregate import Regions
from ..strategies import Strategy
from ..types import Labels, Query, Superpixels

C, IMAGES, H, W, K = 4, 5, 12, 10, 11
SEEDS = (0, 1, 2, 3, 6, 7)  # of pools whose class counts all differ, so that no order of classes is a tie
Ask = Callable[[Regions, Labels, int, np.random.Generator], Query]


def pool(
    seed: int, classes: Sequence[int] = range(C), images: Sequence[int] = range(IMAGES)
) -> tuple[torch.Tensor, np.ndarray, Regions]:
    """A pool drawn from a seed, with its classes and its images in the order given.

    Returns probabilities (5, C, H, W) float32, id maps (5, H, W) uint16, and the Regions of both. Each superpixel leans to a
    class, so that votes have no ties.
    """
    rng = np.random.default_rng(seed)
    maps = np.stack([rng.permutation(np.arange(H * W) % K).reshape(H, W) for _ in range(IMAGES)]).astype(np.uint16)
    logits = rng.normal(size=(IMAGES, C, H, W)) + np.arange(C)[:, None, None] * 0.3
    for image, ids in zip(logits, maps, strict=True):
        image += 3 * rng.permutation(np.eye(C)[np.arange(K) % C])[ids].transpose(2, 0, 1)
    p = torch.from_numpy(logits).softmax(dim=1).float()[list(images)][:, list(classes)]
    maps = maps[list(images)]
    return p, maps, Regions(lambda: iter(p), Superpixels.from_maps(maps), C)


def bought(seed: int, classes: Sequence[int] = range(C)) -> Labels:
    """15 of the pool's 55 superpixels, unevenly spread over the classes, in the order given; one answer is void."""
    rng, n = np.random.default_rng(seed), IMAGES * K
    ids = rng.permutation(n)[:15]
    answers = np.eye(C, dtype=bool)[rng.choice(C, 15, p=[0.7, 0.15, 0.1, 0.05])]
    answers[0] = False
    return Labels.none(n, C).reveal(ids, answers[:, list(classes)], step=1)


def judge(strategy: Strategy, how: str = "max", clauses: Iterable[str] | None = None) -> list[str]:
    """What `strategy(regions, labels, budget, how, rng)` breaks: a sentence for each clause, none if it keeps the contract.

    how: the aggregation it is asked with.  clauses: keys of CLAUSES, or None for all; a strategy that draws by lot need not keep
    NOT_BY_LOT.  Never raises, whatever a strategy does.
    """
    found = []
    for name in CLAUSES if clauses is None else clauses:
        try:
            broken = CLAUSES[name](lambda regions, labels, budget, rng: strategy(regions, labels, budget, how, rng))
        except Exception as error:
            broken = f"it stops with {type(error).__name__}: {error}"
        if broken:
            found.append(f"{name}: {broken}")
    return found


def _query(ask: Ask, regions: Regions, labels: Labels, budget: int = 9, seed: int = 0) -> Query:
    found = ask(regions, labels, budget, np.random.default_rng(seed))
    if not isinstance(found, Query):
        raise TypeError(f"it returns {type(found).__name__}, but a strategy returns a Query, such as select.top makes")
    return found


def _distinct_unlabeled(ask: Ask) -> str | None:
    regions, labels = pool(0)[2], bought(0)
    for budget in (1, 9, 40):  # 40 is everything that is left
        ids, score, for_class = _query(ask, regions, labels, budget)
        if not isinstance(ids, np.ndarray):
            return f"the ids are a {type(ids).__name__}, but must be a numpy array"
        if len(ids) != budget:
            return f"asked for {budget} superpixels, it names {len(ids)}"
        if ids.dtype != np.int64 or len(set(ids.tolist())) != budget:
            return "a superpixel is named twice" if ids.dtype == np.int64 else f"the ids are {ids.dtype}, but must be int64"
        if not labels.unlabeled[ids].all():
            return "it names superpixels that are labeled already; choose among labels.unlabeled"
        if np.shape(score) != (budget,) or not np.isfinite(score).all() or np.asarray(score).dtype != np.float32:
            return "the scores must be finite float32 numbers, one for each superpixel"
        if for_class is not None and np.shape(for_class) != (budget,):
            return "for_class must name a class for each superpixel, or be None"
    return None


def _refuses_more(ask: Ask) -> str | None:
    try:
        _query(ask, pool(0)[2], bought(0), 41)
    except ValueError:
        return None
    return "41 superpixels were wanted where 40 are unlabeled, and it says nothing; select.check_budget does"


def _repeats(ask: Ask) -> str | None:
    regions, labels = pool(1)[2], bought(1)
    np.random.random()  # noqa: NPY002  so that a strategy is noticed which seeds the global generator anew
    before = _global_chance()
    first, second = _query(ask, regions, labels, seed=3), _query(ask, regions, labels, seed=3)
    if before != _global_chance():
        return "it draws from a global generator; take all chance from rng"
    if not (np.array_equal(first.ids, second.ids) and np.array_equal(first.score, second.score)):
        return "asked twice with the same generator, it names other superpixels; take all chance from rng"
    return None


def _global_chance() -> tuple:
    _, key, position, *_ = np.random.get_state()  # noqa: NPY002
    return position, key.tolist(), torch.random.get_rng_state().tolist(), random.getstate()


def _changes_nothing(ask: Ask) -> str | None:
    p, maps, regions = pool(1)
    labels = bought(1)
    mine = p, maps, labels.present, labels.asked_in, regions.superpixels.size
    before = [np.asarray(a).copy() for a in mine]
    _query(ask, regions, labels)
    return None if all(map(np.array_equal, before, mine)) else "it changes what it was given; work on copies"


def _in_order(ask: Ask, said: str, classes: Sequence[int] = range(C), images: Sequence[int] = range(IMAGES)) -> str | None:
    """What is said where the strategy asks others with the classes or the images in the order given."""
    moved = (np.array(images)[:, None] * K + np.arange(K)).ravel()  # new position -> old global id
    for seed in SEEDS:
        plain, labels = _query(ask, pool(seed)[2], bought(seed)), bought(seed, classes)
        labels = Labels(labels.present[moved], labels.asked_in[moved], labels.clicks)
        again = _query(ask, pool(seed, classes, images)[2], labels)
        if sorted(moved[again.ids]) != sorted(plain.ids):
            return said
    return None


def _ties_by_lot(ask: Ask) -> str | None:
    p, _, regions = pool(5)
    alike = Regions(lambda: iter(torch.full_like(p, 1 / C)), regions.superpixels, C)
    first, second = _query(ask, alike, bought(5), seed=0), _query(ask, alike, bought(5), seed=1)
    if sorted(first.ids) == sorted(second.ids):
        return "where all superpixels are alike it always asks the same ones; let rng decide, as select.top does"
    return None


CLAUSES: dict[str, Callable[[Ask], str | None]] = {
    "exactly Q distinct unlabeled superpixels": _distinct_unlabeled,
    "more than is left is refused": _refuses_more,
    "the same generator gives the same query": _repeats,
    "what it is given stays as it was": _changes_nothing,
    "the order of the images changes nothing": lambda ask: _in_order(
        ask,
        "with the images in another order it asks others; a score may not depend on where a file stands in a list",
        images=[3, 0, 4, 1, 2],
    ),
    "the numbering of the classes changes nothing": lambda ask: _in_order(
        ask,
        "with the classes numbered in another way it asks others; a query may not depend on a class's number",
        classes=[2, 0, 3, 1],
    ),
    "ties fall by the generator": _ties_by_lot,
}
NOT_BY_LOT = ("the order of the images changes nothing", "the numbering of the classes changes nothing")
