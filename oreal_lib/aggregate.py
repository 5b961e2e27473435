"""From pixels to superpixels: the paper's question is which aggregation to use (OREAL Sec. 3.2: mean or max).

`by_superpixel` handles one image; `Regions` is the only loop over the pool.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .fast.tiles import in_tiles, power_sums
from .types import Superpixels

PixelScore = Callable[[torch.Tensor], torch.Tensor]
LIMITS = {"top": (0, 1), "quantile": (0, 1), "power": (1, 256)}


def parse_how(how: str) -> tuple[str, float | None]:
    """("mean", None), ("max", None), ("sum", None), ("vote", None), ("top", share), ("quantile", q) or ("power", p) of an aggregation's name.

    "top_0.25": mean of the most unsure quarter of the pixels, at least one (top_1 is the mean).
    "quantile_0.9": the 90 % quantile, lower of the two neighbors (quantile_1 is the maximum, quantile_0 the minimum).
    "power_8": (mean of s^8)^(1/8) of scores >= 0 (power_1 is the mean, growing powers approach the maximum).
    "sum": over the pixels, which prefers large superpixels. What lies between mean and max, and sum, are not in the paper. ValueError for another name or a number out of range.
    """
    if how in ("mean", "max", "sum", "vote"):
        return how, None
    if found := re.fullmatch(r"(top|quantile|power)_([0-9]+(?:\.[0-9]+)?)", str(how)):
        kind, value = found[1], float(found[2])
        low, high = LIMITS[kind]
        if low <= value <= high and not (kind == "top" and value == 0):
            return kind, value
    raise ValueError(
        f"aggregate is {how!r}; choose mean, max, sum, top_<share in (0, 1]>, quantile_<q in [0, 1]> or power_<p in 1..256>"
    )


def by_superpixel(score: torch.Tensor, ids: torch.Tensor, n: int, how: str) -> torch.Tensor:
    """Pixel scores of one image, aggregated over its superpixels: (n, K) float32, or int64 for "vote".

    score: (K, H, W) float32, or int64 class ids for "vote" (most frequent class, lowest id on a tie).  ids: (H, W) int64 in 0..n-1.
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
    if kind == "max":
        out = _largest(flat, ids, n)
    elif kind in ("top", "quantile"):
        out = torch.stack([_ranked(row, ids, size, kind, value) for row in flat])
    else:
        out = _power_mean(flat, ids, size, value or 1.0).mul_(size if kind == "sum" else 1).float()
    return torch.where(size > 0, out, -torch.inf).T.contiguous()


def _largest(flat: torch.Tensor, ids: torch.Tensor, n: int) -> torch.Tensor:
    """(K, n) the largest score of each superpixel; -inf where one is empty."""
    return flat.new_full((len(flat), n), -torch.inf).scatter_reduce_(1, ids.expand(len(flat), -1), flat, "amax")


def _power_mean(flat: torch.Tensor, ids: torch.Tensor, size: torch.Tensor, power: float) -> torch.Tensor:
    """(K, n) float64: (mean of score^power)^(1/power) of each superpixel; anything where one is empty."""
    total = power_sums(flat, ids, len(size), power) / size
    # 0.05^256 is 0 even in float64, and a little more has few digits: of such scores none would be the larger
    lost = (size > 0) & ((total < torch.finfo(torch.float64).tiny) | total.isinf())
    out = total.pow_(1 / power)
    if power > 1 and lost.any():  # then in parts of the largest score, whose power is 1
        largest = _largest(flat, ids, len(size))
        share = (power_sums(flat / largest[:, ids], ids, len(size), power) / size).pow_(1 / power)
        out = torch.where(lost & (largest > 0), share * largest, out)
    return out


def _ranked(row: torch.Tensor, ids: torch.Tensor, size: torch.Tensor, kind: str, value: float) -> torch.Tensor:
    """(n,) the mean of the top share, or the quantile, of each superpixel's scores; anything where one is empty."""
    by_score = torch.argsort(row, stable=True)
    order = by_score[torch.argsort(ids[by_score], stable=True)]
    values, owner, first = row[order], ids[order], size.cumsum(0) - size  # by superpixel, each ascending from `first` on
    if kind == "quantile":
        rank = ((size.double() - 1) * value + 1e-9).floor().clamp(min=0).long()
        found, largest = (values[(first + place).clamp(0, len(values) - 1)] for place in (rank, size - 1))
        return torch.where(largest.isnan(), largest, found)  # NaN is sorted last, where a quantile would overlook it
    # at least one pixel; in float64, because in float32 25 pixels times 0.6 would be 15.000001, rounded up to 16
    take = (size.double() * value - 1e-9).ceil().clamp(min=1).long()
    place = torch.arange(len(values), device=row.device) - first[owner]
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

    def together(self, *questions: tuple[PixelScore, str]) -> list[np.ndarray]:
        """The answers to several questions (pixel score, aggregation) from one inference pass: (N, K) float32 each, int64 for "vote".

        ValueError if the model predicts more or fewer images than the pool has, or one of another shape. FloatingPointError if it
        predicts NaN or infinity, or if a score of finite predictions is NaN, with the image and the class.
        """
        for _, how in questions:
            parse_how(how)  # refused before the pool is looked at
        offset = self.superpixels.offset.tolist()
        tables: list[np.ndarray | None] = [None] * len(questions)
        for image, (p, ids) in enumerate(zip(self.predict(), self.superpixels.maps, strict=True)):
            mine = slice(offset[image], offset[image + 1])
            ids = torch.from_numpy(np.asarray(ids, dtype=np.int64)).to(p.device)
            self._refuse_unfit(p, ids, image)
            for i, (score, how) in enumerate(questions):
                rows = by_superpixel(in_tiles(score, p[None])[0], ids, mine.stop - mine.start, how).cpu().numpy()
                self._refuse_nan(rows, image, score)
                if tables[i] is None:  # filled in place: two copies of a table would not fit where one does
                    tables[i] = np.empty((offset[-1], rows.shape[1]), rows.dtype)
                tables[i][mine] = rows
        return tables

    def _refuse_unfit(self, p: torch.Tensor, ids: torch.Tensor, image: int) -> None:
        """Probabilities of another shape than the image's, or not finite."""
        if p.shape != (self.n_classes, *ids.shape):
            raise ValueError(
                f"the model predicts {tuple(p.shape)} for {self._where(image)}, but its classes and superpixels need "
                f"{(self.n_classes, *ids.shape)}; take the model, the classes and the superpixels of one run"
            )
        if torch.isfinite(p.sum()):  # twenty times as fast as to look at each, and finite only if all are
            return
        if bad := [c for c in range(len(p)) if not torch.isfinite(p[c]).all()]:
            raise FloatingPointError(
                f"the model predicts NaN or infinity for {self._where(image)}, {self._class(bad[0])}: "
                "the training has diverged; lower learning_rate and run again"
            )

    def _refuse_nan(self, rows: np.ndarray, image: int, score: PixelScore) -> None:
        """Scores (n, K) that are NaN, which have no rank."""
        if not (unknown := np.isnan(rows)).any():
            return
        row, column = np.argwhere(unknown)[0].tolist()
        of_class = f", {self._class(column)}" if rows.shape[1] == self.n_classes > 1 else ""
        name = getattr(getattr(score, "func", score), "__name__", "given")
        raise FloatingPointError(
            f"the score {name} is NaN for {self._where(image)}, superpixel {row}{of_class}, though every probability there is "
            "finite; correct that pixel score"
        )

    def _where(self, image: int) -> str:
        return f"pool image {image}" + (f" ({self.names[image]})" if image < len(self.names) else "")

    def _class(self, c: int) -> str:
        return f"class {c}" + (f" ({self.classes[c]})" if c < len(self.classes) else "")
