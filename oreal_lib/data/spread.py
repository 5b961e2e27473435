"""A first query that knows no class: superpixels spread over the features of a frozen encoder."""

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans

from ..aggregate import Regions
from ..models import STRIDE
from ..select import top
from ..storage.progress import told
from ..types import Labels, Query, Superpixels
from .features import Features
from .resize import Size

MOST_CENTERS = 1000  # clusters of `spread` (our choice)


def place_of(features: np.ndarray, ids: np.ndarray, size: Size | None = None) -> np.ndarray:
    """(H, W) int64: the position of features (h, w, D), counted row by row, that each pixel of a map ids (H, W) lies in.

    size: (height, width) of the image that they were computed of, where it is not that of the map.
    """
    row, column = (np.arange(n) * side // n // STRIDE for n, side in zip(ids.shape, size or ids.shape, strict=True))
    return row[:, None] * features.shape[1] + column


def means_of(features: np.ndarray, ids: np.ndarray, size: Size | None = None) -> np.ndarray:
    """(k, D) float32: the mean of features (h, w, D) over each superpixel of ids (H, W), 0..k-1, none empty. size: of `place_of`."""
    counts = np.bincount(ids.ravel())
    where = (ids.ravel(), place_of(features, ids, size).ravel())
    shape = (len(counts), features.shape[0] * features.shape[1])
    pixels = sparse.coo_array((np.ones(ids.size, np.float32), where), shape).tocsr()
    return pixels @ features.reshape(shape[1], -1).astype(np.float32) / counts[:, None]


def superpixel_means(features: Features, superpixels: Superpixels) -> np.ndarray:
    """(N, D) float32: the mean of the standardized features over each superpixel."""
    means = np.empty((len(superpixels), len(features.mean)), np.float32)
    for i, seen in enumerate(told(features, "features of superpixels: {done} of {total} images", len(features))):
        means[slice(*superpixels.offset[i : i + 2])] = means_of(seen, np.asarray(superpixels.maps[i]))
    return (means - features.mean) / np.maximum(features.std, 1e-6)


def spread(
    features: Features, superpixels: Superpixels, _: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator
) -> Query:
    """A first query, which knows no class: `spread_over` the `superpixel_means`."""
    return spread_over(superpixel_means(features, superpixels), labels, budget, rng)


def spread_over(means: np.ndarray, labels: Labels, budget: int, rng: np.random.Generator) -> Query:
    """Of unlabeled superpixels with features means (N, D), standardized, the nearest to the center of each k-means cluster, then
    the second nearest of each, and so on. As many clusters as the budget, MOST_CENTERS at most."""
    ids = np.flatnonzero(labels.unlabeled)
    sample = means[rng.choice(ids, min(len(ids), 50 * MOST_CENTERS), replace=False)]
    k_means = MiniBatchKMeans(min(budget, MOST_CENTERS, len(sample)), n_init=1, random_state=int(rng.integers(2**31))).fit(sample)
    parts = np.array_split(ids, -(-len(ids) // 10_000))
    nearest = [(away.argmin(axis=1), away.min(axis=1)) for away in (k_means.transform(means[part]) for part in parts)]
    own, distance = (np.concatenate(part) for part in zip(*nearest, strict=True))
    order = np.lexsort((distance, own))
    rank = np.arange(len(ids)) - np.searchsorted(own[order], own[order])  # in its cluster
    scores = np.full(len(means), -np.inf)
    scores[ids[order]] = -rank
    return top(scores, budget, labels.unlabeled, rng)
