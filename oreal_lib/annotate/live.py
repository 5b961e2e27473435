"""What is learned after every click: a logistic regression on what a pretrained encoder sees, averaged over each superpixel.

It is fitted from scratch each time, which takes hundredths of a second; so it depends on what is labeled now, and not on the way
there, by undo or otherwise. Because it is linear, it classifies single positions, too, and masks are finer than superpixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from ..aggregate import Regions
from ..config import RunConfig
from ..data.features import Encoder, Features
from ..data.resize import bounded, resized
from ..data.spread import means_of, place_of, spread_over
from ..fast.tiles import softmax_by_class
from ..models import STRIDE, build_model, enlarged
from ..storage.devices import choose_device
from ..storage.progress import lines_to
from ..storage.ragged import Ragged
from ..strategies import STRATEGIES
from ..superpixels import SuperpixelRecipe, superpixels
from ..types import Labels, Query, Superpixels
from .board import Board
from .events import Event
from .named import UNLABELED

ENCODER = "linear_tf_efficientnet_lite0"  # its weights come with a package
SIDE = 768  # pixels, the longer side of what the encoder sees, at most (our choice)
STRENGTH = 0.02  # C of the regression: a strong pull toward zero, for there are more features than clicks (our choice)
MOST_POSITIONS = 32  # pictures whose positions are asked and held in memory, 7 MB each (our choice)
FEW = 8  # pictures that are seen before the first suggestions are spread over them (our choice)
NEVER = -30.0  # bias of a class without a label: no probability to speak of, and still a number


@dataclass(frozen=True)
class Classifier:
    """Linear in features: weight (C, D) and bias (C,), float32, of each class."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> torch.Tensor:
        """(C, n) float32 logits of features (n, D), float16 or float32."""
        return torch.from_numpy(self.weight) @ torch.from_numpy(features).float().T + torch.from_numpy(self.bias)[:, None]

    def state(self) -> dict[str, torch.Tensor]:
        """Its tensors by name, for a file that `looker` reads."""
        return {"weight": torch.from_numpy(self.weight), "bias": torch.from_numpy(self.bias)}


def classifier_of(
    means: np.ndarray, classes: np.ndarray, n_classes: int, center: np.ndarray, scale: np.ndarray
) -> Classifier | None:
    """What is learned from the features means (n, D) of n superpixels and their classes (n,): scikit-learn's fit on
    (means - center) / scale, as a function of what is not standardized. None where fewer than two classes are labeled."""
    present = np.unique(classes)
    if len(present) < 2:
        return None
    head = LogisticRegression(C=STRENGTH, max_iter=1000).fit((means - center) / scale, classes)
    weight, bias = np.zeros((n_classes, means.shape[1]), np.float32), np.full(n_classes, NEVER, np.float32)
    two = len(present) == 2  # scikit-learn has one row for both
    rows, constants = (np.stack([-v[0], v[0]]) / 2 if two else v for v in (head.coef_, head.intercept_))
    weight[present] = rows / scale
    bias[present] = constants - (rows / scale) @ center
    return Classifier(weight, bias)


def network_of(state: dict[str, torch.Tensor]) -> nn.Module:
    """The network that classifies positions: the encoder and an exported `Classifier.state`. See `build_model`."""
    network = build_model(ENCODER, len(state["bias"]), "imagenet")
    network.net.head = nn.Sequential(nn.Conv2d(*state["weight"].shape[::-1], 1))
    network.net.head[0].load_state_dict({"weight": state["weight"][..., None, None], "bias": state["bias"]})
    return network.eval()


def seen_by(encoder: Encoder, image: np.ndarray, folder: Path | None = None) -> np.ndarray:
    """(h, w, D) float16 features of an image (H, W, 3) uint8, reduced to SIDE; from the folder, where they are computed once."""
    small = resized(image, bounded(image.shape[:2], SIDE))
    features = Features(small[None], 1, encoder, folder)
    with lines_to(lambda line: None):  # one picture at a time says nothing
        features.compute(1)
    return np.array(features[0])


def probabilities(classifier: Classifier, features: np.ndarray, ids: np.ndarray, means: np.ndarray) -> torch.Tensor:
    """(C, H, W) float32 of the pixels of a picture: the mean of two logits, of each position and of each superpixel.

    features: (h, w, D) of `seen_by`.  ids: (H, W) superpixels.  means: (k, D) their features.
    """
    h, w, d = features.shape
    covered = [round(n * STRIDE * side / s) for n, side, s in zip((h, w), ids.shape, bounded(ids.shape, SIDE), strict=True)]
    (z,) = enlarged(classifier(features.reshape(-1, d)).reshape(1, -1, h, w), covered, ids.shape)
    of_superpixels = classifier(means).index_select(1, torch.from_numpy(ids.ravel().astype(np.int64)))
    return softmax_by_class(of_superpixels.reshape(z.shape).add_(z).mul_(0.5))


def looker(state: dict[str, torch.Tensor], recipe: SuperpixelRecipe | None, device: str) -> Callable[[np.ndarray], torch.Tensor]:
    """What gives (C, H, W) float32 probabilities of an image (H, W, 3) uint8 of the working size: an exported `Classifier.state`.

    recipe: how superpixels are cut; None where they were made elsewhere: then positions alone count.
    """
    classifier = Classifier(state["weight"].numpy(), state["bias"].numpy())
    encoder = Encoder(ENCODER, "imagenet", choose_device(device).type)

    def look(image: np.ndarray) -> torch.Tensor:
        features, size = seen_by(encoder, image), bounded(image.shape[:2], SIDE)
        if recipe is None:
            return probabilities(
                classifier, features, place_of(features, image[..., 0], size), features.reshape(-1, features.shape[-1])
            )
        ids = superpixels(image, recipe)
        return probabilities(classifier, features, ids, means_of(features, ids, size).astype(np.float16))

    return look


@dataclass(frozen=True)
class _Seen:
    """What is kept of a picture. means: (k, D) float16.  sums: (2, D) of the means and their squares.
    ids, place: (m,) a superpixel and the position it lies in, of pixels on a grid of these; at least one of each superpixel."""

    means: np.ndarray
    sums: np.ndarray
    ids: np.ndarray
    place: np.ndarray


class Learner:
    """A board, and what is learned from it. `see` comes first, for each picture; the board's changes come by `apply`.

    folder: where features are kept.
    """

    def __init__(self, board: Board, config: RunConfig, folder: Path) -> None:
        self.board, self.config = board, config
        device = choose_device(config.device).type
        self.encoder = Encoder(ENCODER, "imagenet", device, config.precision == "bfloat16")
        self.folder = folder / self.encoder.folder
        self.classifier: Classifier | None = None
        self._seen: dict[int, _Seen] = {}
        self._positions: dict[int, np.ndarray] = {}  # the last one used comes last

    def apply(self, event: Event) -> None:
        """Carries out an event that is on disk."""
        for change in self.board.apply(event):
            if change.split and self._seen.pop(change.picture, None):
                self.see(change.picture)

    def unseen(self, near: int) -> list[int]:
        """The pictures without features, the nearest to `near` first."""
        return sorted(set(range(len(self.board.pictures))) - set(self._seen), key=lambda i: (abs(i - near), i))

    def see(self, i: int) -> None:
        """Looks at a picture: its features are read, or computed and kept."""
        ids, features = self.board.ids(i), self._features(i)
        size = bounded(ids.shape, SIDE)
        means = means_of(features, ids, size)
        where = place_of(features, ids, size)
        one = tuple(slice(STRIDE // 2, None, STRIDE) for _ in range(2))
        lost = np.setdiff1d(np.arange(len(means)), ids[one])
        first = np.unique(ids, return_index=True)[1][lost]
        grid = np.concatenate([ids[one].ravel(), lost]).astype(np.int64), np.concatenate([where[one].ravel(), where.ravel()[first]])
        sums = np.stack([means.sum(axis=0), (means**2).sum(axis=0)]).astype(np.float64)
        self._seen[i] = _Seen(means.astype(np.float16), sums, *grid)

    def _features(self, i: int) -> np.ndarray:
        found = self._positions.pop(i, None)
        self._positions[i] = seen_by(self.encoder, self.board.pictures[i].image(), self.folder) if found is None else found
        while len(self._positions) > MOST_POSITIONS:
            del self._positions[next(iter(self._positions))]
        return self._positions[i]

    def means(self, i: int, superpixel: int) -> np.ndarray | None:
        """(D,) float16 features of a superpixel; None where its picture has none yet."""
        return self._seen[i].means[superpixel] if i in self._seen else None

    def standard(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (D,) float64 of the features of all superpixels seen."""
        n = sum(len(seen.means) for seen in self._seen.values())
        mean, square = sum(self._seen[i].sums for i in sorted(self._seen)) / n
        return mean, np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1e-6)

    def fit(self) -> None:
        """Learns from all labels there are now."""
        self.classifier, means, classes = None, [], []
        for i in sorted(self._seen):
            codes = self.board.labels(i)
            known = codes < len(self.board.classes)
            means.append(self._seen[i].means[known])
            classes.append(codes[known])
        if means:
            self.classifier = classifier_of(
                np.concatenate(means).astype(np.float64), np.concatenate(classes), len(self.board.classes), *self.standard()
            )

    def look(self, i: int) -> torch.Tensor:
        """(C, H, W) float32 probabilities of a picture at its working size."""
        if i not in self._seen:
            self.see(i)
        return probabilities(self.classifier, self._features(i), self.board.ids(i), self._seen[i].means)

    def ask(self, near: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """What to label next, best first: (picture, superpixel), none skipped before.

        By the config's strategy, from positions of the picture `near` and of others by lot, MOST_POSITIONS in all, and the means of
        the rest; before anything is learned, spread over the features of what was seen.
        """
        pool = sorted(self._seen)
        codes = np.concatenate([self.board.labels(i) for i in pool])
        asked = codes != UNLABELED
        offset = dict(zip(pool, np.cumsum([0, *(len(self._seen[i].means) for i in pool)]), strict=False))
        asked[[offset[i] + s for i, s in self.board.skips() if i in offset]] = True
        labels = Labels(codes[:, None] == np.arange(len(self.board.classes)), asked.astype(np.int16), int(asked.sum()))
        budget = min(self.config.query_size, int(labels.unlabeled.sum()))
        query = self._query(pool, near, labels, budget, rng) if budget else Query(np.zeros(0, np.int64), np.zeros(0))
        starts, ids = np.array([offset[i] for i in pool]), query.ids
        if query.for_class is not None:  # the first of each class first, and of the class that is owed most
            rank = [int((query.for_class[:k] == c).sum()) for k, c in enumerate(query.for_class)]
            ids = ids[np.lexsort((-np.bincount(query.for_class)[query.for_class], rank))]
        image = np.searchsorted(starts, ids, side="right") - 1
        return [(pool[i], int(k - starts[i])) for i, k in zip(image, ids, strict=True)]

    def _query(self, pool: list[int], near: int, labels: Labels, budget: int, rng: np.random.Generator) -> Query:
        if self.classifier is None:
            mean, scale = self.standard()
            standard = [((self._seen[i].means - mean) / scale).astype(np.float32) for i in pool]
            return spread_over(np.concatenate(standard), labels, budget, rng)
        others = rng.permutation([i for i in pool if i != near])
        fine = {near, *others[: MOST_POSITIONS - 1].tolist()}
        grids = {i: self._seen[i].ids if i in fine else np.arange(len(self._seen[i].means)) for i in pool}

        def predict() -> Iterator[torch.Tensor]:
            for i, ids in grids.items():
                z = self.classifier(self._seen[i].means)[:, ids]
                if i in fine:
                    features = self._features(i)
                    z = (z + self.classifier(features.reshape(-1, features.shape[-1]))[:, self._seen[i].place]) / 2
                yield softmax_by_class(z[:, None])

        maps = Superpixels.from_maps(Ragged(tuple(ids[None] for ids in grids.values())))
        names = [self.board.pictures[i].name for i in pool]
        regions = Regions(predict, maps, len(self.board.classes), names=names, classes=self.board.classes)
        config = self.config
        return STRATEGIES[config.strategy](regions, labels, budget, config.aggregate, rng, **config.strategy_options)
