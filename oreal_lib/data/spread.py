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

MOST_CENTERS = 1000  # clusters of `spread` (our choice)


def superpixel_means(features: Features, superpixels: Superpixels) -> np.ndarray:
    """(N, D) float32: the mean of the standardized features over each superpixel; a pixel has those of the position it lies in."""
    means = np.empty((len(superpixels), len(features.mean)), np.float32)
    for i, seen in enumerate(told(features, "features of superpixels: {done} of {total} images", len(features))):
        ids, mine, (h, w, d) = np.asarray(superpixels.maps[i]), slice(*superpixels.offset[i : i + 2]), seen.shape
        row, column = (np.arange(side) // STRIDE for side in ids.shape)
        place = (ids.ravel(), (row[:, None] * w + column).ravel())
        pixels = sparse.coo_array((np.ones(ids.size, np.float32), place), (mine.stop - mine.start, h * w)).tocsr()
        means[mine] = pixels @ seen.reshape(-1, d).astype(np.float32) / np.maximum(superpixels.size[mine], 1)[:, None]
    return (means - features.mean) / np.maximum(features.std, 1e-6)


def spread(
    features: Features, superpixels: Superpixels, _: Regions, labels: Labels, budget: int, how: str, rng: np.random.Generator
) -> Query:
    """A first query, which knows no class: the superpixel nearest to the center of each k-means cluster of `superpixel_means`, then
    the second nearest of each, and so on. As many clusters as the budget, MOST_CENTERS at most."""
    means, ids = superpixel_means(features, superpixels), np.flatnonzero(labels.unlabeled)
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
