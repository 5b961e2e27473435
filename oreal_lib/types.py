"""The few values everything else passes around. All are frozen; letters are fixed across the library:

N superpixels in the pool, C classes, H x W pixels, B batch, K score channels, Q query size, T steps.
Pixels are torch, superpixels are numpy.
"""

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from .storage.ragged import Pictures, some

MOST_STEPS = 32_767  # of a run: what int16 holds
IGNORE = 255  # void: a pixel without a class, in every mask and every training target


@dataclass(frozen=True)
class Superpixels:
    """A partition of every image of the pool. Global id = offset[image] + local id.

    maps: (n_images, H, W) unsigned integers, local ids 0..k_i-1 (may be a memory map, or Ragged).
    offset: (n_images + 1,) int64, offset[-1] = N.
    size: (N,) int32 > 0, pixels of each superpixel.
    """

    maps: Pictures
    offset: np.ndarray
    size: np.ndarray

    @classmethod
    def from_maps(cls, maps: Pictures) -> "Superpixels":
        """The superpixels of (n_images, H, W) dense local id maps (0..k-1), counted. ValueError if an id is empty."""
        sizes = [np.bincount(np.asarray(ids).ravel().astype(np.int64)) for ids in maps]
        for i, size in enumerate(sizes):
            if not size.all():
                raise ValueError(
                    f"id {size.argmin()} of image {i} is empty, but ids are 0..k-1; relabel the map by superpixels.dense"
                )
        offset = np.concatenate([[0], np.cumsum([len(s) for s in sizes])]).astype(np.int64)
        return cls(maps, offset, np.concatenate([*sizes, []]).astype(np.int32))

    def __len__(self) -> int:
        return int(self.offset[-1])

    @property
    def image(self) -> np.ndarray:
        """(N,) int64: the image, by position in `maps`, that each superpixel lies in."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    def subset(self, images: np.ndarray) -> "Superpixels":
        """The superpixels of the images at the positions `images` (k,), renumbered in the order given."""
        offset = np.concatenate([[0], np.cumsum(np.diff(self.offset)[images])]).astype(np.int64)
        return Superpixels(some(self.maps, images), offset, self.size[self.ids(images)])

    def ids(self, images: np.ndarray) -> np.ndarray:
        """(k,) int64: the global ids of all superpixels of the images at positions `images` (m,), in the order given."""
        return np.concatenate([[], *(np.arange(self.offset[i], self.offset[i + 1]) for i in images)]).astype(np.int64)


@dataclass(frozen=True)
class Dataset:
    """Images, masks and superpixels at working size, usually memory maps of a prepared store.

    images: (n, H, W, 3) uint8 RGB.  truth: (n, H, W) uint8, class id or IGNORE; only oracle and metrics open it.
    native_truth: (n, h, w) uint8, the masks at their native sizes (`truth` itself where these are the working size).
    labeled: (n,) bool, False for an image without a mask (its truth is IGNORE everywhere).
    classes: C names.  names: n file stems.  groups: n names of the sequence (or the image itself) each image is from.
    split: "train", "val" (may be empty: drawn per run), "test" -> (k,) int64 positions in `images`.
    superpixels: of the images split["train"], in that order.  votes: (N, C + 1) pixels of each class in each of these
    superpixels where they were cut, void last.  present: (N, C + 1) bool, the classes that an annotator sees in each, void
    last (`weak.labels.classes_present`).  vanished: (len(split["train"]),) how many superpixels of each image
    were cut but have no pixel left at working size; they are in no other field.
    """

    name: str
    classes: tuple[str, ...]
    images: Pictures
    truth: Pictures
    native_truth: Pictures
    labeled: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    split: dict[str, np.ndarray]
    superpixels: Superpixels
    votes: np.ndarray
    present: np.ndarray
    vanished: np.ndarray


class Query(NamedTuple):
    """What a strategy asks: Q distinct superpixels in the order taken.

    ids: (Q,) int64 global ids.  score: (Q,) float32 acquisition score, higher means "ask me".
    for_class: (Q,) int16 class on whose behalf each was asked, or None where the strategy does not ask by class.
    """

    ids: np.ndarray
    score: np.ndarray
    for_class: np.ndarray | None = None


@dataclass(frozen=True)
class Labels:
    """What was bought so far: the only labels a strategy or the training ever sees.

    present: (N, C) bool, classes the oracle named (one for dominant labels, none for void); (N, C + 1) if `undefined`, the
    last column then for "there is void in it".  asked_in: (N,) int16, step of the query (1..T), 0 = never asked.
    clicks: total cost so far.
    """

    present: np.ndarray
    asked_in: np.ndarray
    clicks: int = 0
    undefined: bool = False

    @classmethod
    def none(cls, n: int, n_classes: int, undefined: bool = False) -> "Labels":
        """Nothing asked yet, for n superpixels and n_classes classes. undefined: void is an answer, too."""
        return cls(np.zeros((n, n_classes + undefined), bool), np.zeros(n, np.int16), undefined=undefined)

    @property
    def unlabeled(self) -> np.ndarray:
        """(N,) bool: never asked. A superpixel answered "void" was asked: it left the unlabeled set."""
        return self.asked_in == 0

    def class_counts(self) -> np.ndarray:
        """(C,) int64: bought superpixels that hold each class. Void is not a class and is not counted."""
        count = self.present.sum(axis=0, dtype=np.int64)
        return count[:-1] if self.undefined else count

    def reveal(self, ids: np.ndarray, answers: np.ndarray, step: int, clicks: int | None = None) -> "Labels":
        """A new value with the answers (k, C), rows of `present`, to `ids` (k,) bought in `step`: a click each, or `clicks`.

        ValueError if an id occurs twice, was asked before or does not exist, or if step < 1.
        """
        ids = np.asarray(ids, dtype=np.int64)
        if len(np.unique(ids)) != len(ids) or not np.isin(ids, np.flatnonzero(self.unlabeled)).all():
            raise ValueError(
                "a query names a superpixel twice, or one that was asked before or is not there; ask unlabeled ids once"
            )
        if not 1 <= step <= MOST_STEPS:
            raise ValueError(f"step is {step}, but steps count from 1 to {MOST_STEPS:,}; 0 means 'never asked'")
        present, asked_in = self.present.copy(), self.asked_in.copy()
        present[ids], asked_in[ids] = answers, step
        return replace(self, present=present, asked_in=asked_in, clicks=self.clicks + (len(ids) if clicks is None else clicks))


@dataclass(frozen=True)
class StepResult:
    """One line of `steps.jsonl`. Fractions are of the pool; mIoU and IoU are 0..1, None for a class not in the test set."""

    step: int
    clicks: int
    labeled_fraction: float  # superpixels asked / superpixels in the pool
    labeled_pixels: float  # pixels asked / pixels in the pool: max buys more pixels per click than mean
    miou: float
    class_iou: tuple[float | None, ...]
    boundary_miou: float  # mIoU in a band around true class borders; not boundary IoU (Cheng et al. 2021)
    val_miou: float
    class_counts: tuple[int, ...]  # bought superpixels per class, void left out
    border_share: float | None  # share of this step's query at a true class border; None without a query
    epochs: int
    seconds: dict[str, float]  # by phase: query, train, test
    speed: dict[str, float] = field(default_factory=dict)  # training: images_per_s, waiting (share), peak_memory_mib
    pseudo: dict[str, float | None] = field(default_factory=dict)  # of stage two: see `stage_two.quality_of`
    inside_miou: float = math.nan  # of the pixels that boundary_miou leaves out; NaN in records older than the field
    impurity: float = math.nan  # of this step's query, see `oracle.impurity`; NaN without one, and in records older than the field
    from_run: str = ""  # the run that computed this step, if another did: step 1 is the same for all strategies
