"""From pixels to superpixels: the paper's question is which aggregation to use (OREAL Sec. 3.2: mean or max).

`by_superpixel` handles one image; `Regions` is the only loop over the pool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from .scores import TILE
from .types import Superpixels

PixelScore = Callable[[torch.Tensor], torch.Tensor]


def parse_how(how: str) -> tuple[str, float | None]:
    """("mean", None), ("max", None), ("vote", None), ("top", share), ("quantile", q) or ("power", p) of an aggregation's name.

    "top_0.25": mean of the most unsure quarter of the pixels, at least one (top_1 is the mean).
    "quantile_0.9": the 90 % quantile, lower of the two neighbors (quantile_1 is the maximum, quantile_0 the minimum).
    "power_8": (mean of s^8)^(1/8) of scores >= 0 (power_1 is the mean, growing powers approach the maximum).
    What lies between mean and max is our choice, not in the paper. ValueError for another name or a number out of range.
    """
    if how in ("mean", "max", "vote"):
        return how, None
    found = re.fullmatch(r"(top|quantile|power)_([0-9]+(?:\.[0-9]+)?)", str(how))  # \d would take the digits of any script
    limits = {"top": (0.0, 1.0), "quantile": (0.0, 1.0), "power": (1.0, 256.0)}
    if found:
        kind, value = found[1], float(found[2])
        low, high = limits[kind]
        if low <= value <= high and not (kind == "top" and value == 0):
            return kind, value
    raise ValueError(
        f"aggregate is {how!r}; choose mean, max, top_<share in (0, 1]>, quantile_<q in [0, 1]> or power_<p in 1..256>"
    )


def by_superpixel(score: torch.Tensor, ids: torch.Tensor, n: int, how: str) -> torch.Tensor:
    """Aggregate pixel scores of one image over its superpixels.

    score: (K, H, W) float32, or int64 class ids for "vote".  ids: (H, W) int64 in 0..n-1.
    Returns (n, K), float32, or int64 for "vote" (most frequent class, lowest id on a tie).
    An id without a pixel gets -inf (or class 0 for "vote"): it is never a candidate. A NaN in a superpixel makes NaN of it.
    ValueError for class ids that are not voted on, or a vote on anything else.
    """
    kind, value = parse_how(how)
    if (kind == "vote") == score.is_floating_point():
        raise ValueError(
            f"aggregate is {how!r}, but the pixels hold {str(score.dtype).removeprefix('torch.')}; "
            "class ids (int64) can only be counted, by vote, and scores (float32) by any other aggregation"
        )
    flat, ids = score.flatten(1), ids.flatten()
    if kind == "vote":
        n_classes = int(flat.max()) + 1
        votes = [torch.bincount(ids * n_classes + row, minlength=n * n_classes) for row in flat]
        return torch.stack([v.view(n, n_classes).argmax(dim=1) for v in votes], dim=1)
    size = torch.bincount(ids, minlength=n)
    if kind == "top":
        # ceil: top_1 is every pixel, top_<tiny> is the maximum; in float32, 25 pixels times 0.6 would be 16
        take = (size.double() * value - 1e-9).ceil().clamp(min=1).long()
        out = torch.stack([_mean_of_top(row, ids, size, take) for row in flat])
    elif kind == "quantile":
        rank = ((size.double() - 1) * value + 1e-9).floor().clamp(min=0).long()
        out = torch.stack([_ordered(row, ids, size, rank) for row in flat])
    elif kind == "max":
        out = _largest(flat, ids, n, -torch.inf)
    else:
        out = _power_mean(flat, ids, size, value or 1.0).float()
    return torch.where(size > 0, out, -torch.inf).T.contiguous()


def separable(how: str) -> bool:
    """Whether `by_label` knows this aggregation: mean, max and power_<p>."""
    return parse_how(how)[0] in ("mean", "max", "power")


def by_label(score: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor, n: int, n_labels: int, how: str) -> torch.Tensor:
    """(n, L) float32: what each label adds to its superpixel, so that labels can be weighed when all images have been seen.

    Column l is `by_superpixel` of the score with 0 in place of every pixel of another label; in rows without a pixel, -inf.
    score: (1, H, W) float32 >= 0.  labels, ids: (1, H, W) and (H, W) int64 in 0..L-1 and 0..n-1.
    ValueError for an aggregation that is not `separable`, or a label out of range. Our way to ask PixelBal's question in one pass.
    """
    kind, value = parse_how(how)
    if not separable(how):
        raise ValueError(f"aggregate is {how!r}, but only mean, max and power_<p> can be taken apart by label")
    if int(labels.max()) >= n_labels:
        raise ValueError(f"a pixel has label {int(labels.max())}, but there are {n_labels} labels, 0 to {n_labels - 1}")
    flat, ids = score.flatten(1), ids.flatten()
    cell, size = ids * n_labels + labels.flatten(), torch.bincount(ids, minlength=n)[:, None]
    if kind == "max":
        out = _largest(flat, cell, n * n_labels, 0.0).view(n, n_labels)
    else:
        out = _power_mean(flat, cell, size.expand(n, n_labels).flatten(), value or 1.0).float().view(n, n_labels)
    return torch.where(size > 0, out, -torch.inf)


def _largest(flat: torch.Tensor, place: torch.Tensor, n: int, least: float) -> torch.Tensor:
    """(K, n) the largest of the scores (K, H*W) at each place (H*W,), `least` where there are none."""
    return flat.new_full((len(flat), n), least).scatter_reduce_(1, place.expand(len(flat), -1), flat, "amax")


def _power_mean(flat: torch.Tensor, place: torch.Tensor, whole: torch.Tensor, power: float) -> torch.Tensor:
    """(K, n) float64: the sum of the scores' powers at each place (H*W,), in parts of `whole` (n,), to the 1/power."""
    total = _sum_of_powers(flat, place, len(whole), power) / whole
    # 0.05^256 is 0 even in float64, and a little more has few digits: of such scores none would be the larger
    lost = (total < torch.finfo(torch.float64).tiny) | total.isinf()
    out = total.pow_(1 / power)
    if power > 1 and (lost & (torch.bincount(place, minlength=len(whole)) > 0)).any():
        largest = _largest(flat, place, len(whole), 0.0)
        share = (_sum_of_powers(flat / largest[:, place], place, len(whole), power) / whole).pow_(1 / power)
        out = torch.where(lost & (largest > 0), share * largest, out)
    return out


def _sum_of_powers(flat: torch.Tensor, place: torch.Tensor, n: int, power: float) -> torch.Tensor:
    """(K, n) float64, the sum of the scores' powers at each place (H*W,)."""
    # float64: a sum of thousands of float32 must not depend on the order of the pixels in any digit that ranks
    total = flat.new_zeros((len(flat), n), dtype=torch.float64)
    for start in range(0, flat.shape[1], TILE):  # what is made float64 stays in the cache
        part = flat[:, start : start + TILE].double()
        total.index_add_(1, place[start : start + TILE], part if power == 1 else part.pow_(power))
    return total


def _sorted(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(H*W,) scores ordered by superpixel, ascending inside each; (n,) position at which each superpixel starts."""
    by_score = torch.argsort(row, stable=True)
    order = by_score[torch.argsort(ids[by_score], stable=True)]
    return row[order], size.cumsum(0) - size


def _ordered(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
    """(n,) the rank-th smallest score of each superpixel; anything where a superpixel is empty."""
    values, start = _sorted(row, ids, size)
    found, largest = (values[(start + place).clamp(0, len(values) - 1)] for place in (rank, size - 1))
    return torch.where(largest.isnan(), largest, found)  # NaN is sorted last, where a quantile would overlook it


def _mean_of_top(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor, take: torch.Tensor) -> torch.Tensor:
    """(n,) mean of the `take` largest scores of each superpixel."""
    values, start = _sorted(row, ids, size)
    owner = torch.repeat_interleave(torch.arange(len(size), device=row.device), size)
    place = torch.arange(len(values), device=row.device) - start[owner]
    kept = torch.where(place >= (size - take)[owner], values.double(), 0.0)
    return (torch.zeros(len(size), dtype=torch.float64, device=row.device).index_add_(0, owner, kept) / take).float()


@dataclass(frozen=True)
class Regions:
    """What a strategy may look at: the model's view of the pool, one inference pass per question.

    predict: () -> iterator over the pool's images, in order, of probabilities (C, H, W) float32, softmax over C.
    superpixels: the pool's.  n_classes: C.  names, classes: of the pool's images and of the C classes, for errors only; maybe empty.
    """

    predict: Callable[[], Iterator[torch.Tensor]]
    superpixels: Superpixels
    n_classes: int
    names: Sequence[str] = field(default=(), kw_only=True)
    classes: Sequence[str] = field(default=(), kw_only=True)

    def __call__(self, pixel_score: PixelScore, how: str) -> np.ndarray:
        """(N, K) float32 (int64 for "vote"): one pixel score, aggregated over every superpixel of the pool."""
        return self.together((pixel_score, how))[0]

    def together(self, *questions: tuple) -> list[np.ndarray]:
        """The answers to several questions from one inference pass, one array each.

        A question is (pixel score, aggregation): (N, K) float32, int64 for "vote". Or it has a third part, a pixel score that gives
        each pixel a class, such as `scores.predicted_class`: (N, C) float32 of `by_label`.
        ValueError if the model predicts more or fewer images than the pool has, or one of another shape. FloatingPointError if it
        predicts NaN or infinity, or if a score of finite predictions is NaN, with the image and the class.
        """
        for _, how, *_ in questions:
            parse_how(how)
        offset = self.superpixels.offset
        tables: list[np.ndarray | None] = [None] * len(questions)
        images = 0
        for image, p in enumerate(self.predict()):
            images += 1
            if images >= len(offset):
                continue  # more than the pool has: only counted
            mine = slice(int(offset[image]), int(offset[image + 1]))
            ids = torch.from_numpy(np.asarray(self.superpixels.maps[image], dtype=np.int64)).to(p.device)
            self._refuse_unfit(p, ids, image)
            for i, question in enumerate(questions):
                rows = self._answer(question, p, ids, mine.stop - mine.start).cpu().numpy()
                self._refuse_nan(rows, image, question[0])
                if tables[i] is None:  # filled in place: two copies of a table would not fit where one does
                    tables[i] = np.empty((int(offset[-1]), rows.shape[1]), rows.dtype)
                tables[i][mine] = rows
        if images != len(offset) - 1:
            raise ValueError(f"the model predicted {images} images, but the pool has {len(offset) - 1}")
        return tables

    def _answer(self, question: tuple, p: torch.Tensor, ids: torch.Tensor, n: int) -> torch.Tensor:
        """A question about one image of n superpixels."""
        pixel_score, how, *label = question
        score = pixel_score(p[None])[0]
        if not label:
            return by_superpixel(score, ids, n, how)
        return by_label(score, label[0](p[None])[0], ids, n, self.n_classes, how)

    def _refuse_unfit(self, p: torch.Tensor, ids: torch.Tensor, image: int) -> None:
        if p.shape != (self.n_classes, *ids.shape):
            raise ValueError(
                f"the model predicts {tuple(p.shape)} for {self._image(image)}, but its {self.n_classes} classes and its superpixels "
                f"need {(self.n_classes, *ids.shape)}; take the model, the classes and the superpixels of one run"
            )
        if torch.isfinite(p.sum()):  # twenty times as fast as to look at each, and finite only if all are
            return
        bad = [c for c in range(len(p)) if not torch.isfinite(p[c]).all()]
        if bad:
            raise FloatingPointError(
                f"the model predicts NaN or infinity for {self._image(image)}, {self._class(bad[0])}: "
                "the training has diverged; lower learning_rate and run again"
            )

    def _refuse_nan(self, rows: np.ndarray, image: int, score: PixelScore) -> None:
        """Of scores (n, K): a score of NaN has no rank, and here it is known where it comes from."""
        if not (unknown := np.isnan(rows)).any():
            return
        row, column = np.argwhere(unknown)[0].tolist()
        of_class = f", {self._class(column)}," if rows.shape[1] == self.n_classes > 1 else ""
        raise FloatingPointError(
            f"the score {_name(score)} is NaN for {self._image(image)}, superpixel {row}{of_class or ','} though every probability "
            "there is finite, so it has no rank; mend that pixel score, or the numbers it was given"
        )

    def _image(self, image: int) -> str:
        return f"pool image {image}" + (f" ({self.names[image]})" if image < len(self.names) else "")

    def _class(self, c: int) -> str:
        return f"class {c}" + (f" ({self.classes[c]})" if c < len(self.classes) else "")


def _name(score: PixelScore) -> str:
    return getattr(getattr(score, "func", score), "__name__", "given")


@dataclass(frozen=True)
class Remembering(Regions):
    """Regions that answer a question they were asked before without another look at the pool.

    hows: aggregations; the first question about a pixel score with one of them is answered for all of these in the same pass.
    """

    hows: tuple[str, ...] = ()
    known: dict = field(default_factory=dict)

    def together(self, *questions: tuple) -> list[np.ndarray]:
        """As of `Regions`, one array each, (N, K) float32, int64 for "vote"; only what was never asked costs a pass."""
        wanted = {}
        for score, how, *label in questions:
            if (how, *map(_key, (score, *label))) not in self.known:
                hows = self.hows if how in self.hows and len(questions) == 1 else (how,)
                alike = [h for h in hows if not label or separable(h)]
                wanted |= {(h, *map(_key, (score, *label))): (score, h, *label) for h in alike}
        if wanted:
            self.known.update(zip(wanted, super().together(*wanted.values()), strict=True))
        return [self.known[how, *map(_key, (score, *label))] for score, how, *label in questions]


def _key(score: PixelScore) -> object:
    """Equal for pixel scores that are the same function of a pixel, also where a strategy made one of numbers."""
    if isinstance(score, partial):
        return score.func, tuple((k, np.asarray(v).tobytes()) for k, v in sorted(score.keywords.items()))
    return score
