"""How good what is learned is, told by the clicks alone, without a test set: two measures, neither of a click that was learned from.

Agreement is cross-validated. Neighbors in one picture are alike, and a classifier that had seen the one would know the other, so
whole pictures are left out: each click is foretold from the clicks in other pictures. Foreseen is what was predicted for a superpixel
before it was clicked, which the log keeps. Suggestions are the hardest questions: both say less than is right over all pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from sklearn.model_selection import GroupKFold

from .events import IMPORTED, Event, clicks
from .live import Learner, classifier_of
from .named import UNLABELED

FIRST, GROWTH = 10, 1.2  # clicks at which quality is told: ten, then a fifth more each time (our choice)
FOLDS = 5  # groups of pictures that are left out in turn (our choice)
LEAST = 3  # pictures with clicks; with fewer nothing is said (our choice)
RECENT = 50  # answers that `foreseen` looks at, for the prediction gets better (our choice)
Measured = Mapping[str, list[list[int]]]  # for ids of acts, what `agreement` says after them
COLUMNS = "minutes clicks seconds_per_click agreement agreement_n foreseen foreseen_n".split()


def marks(acts: Sequence[Event]) -> list[tuple[int, int]]:
    """How many of the acts in force there were when quality is told, and how many clicks; rising."""
    total, due, found = 0, float(FIRST), []
    for k, event in enumerate(acts, 1):
        total += clicks([event])
        if total >= due:
            found.append((k, total))
            while due <= total:
                due = max(due * GROWTH, due + 1)
    return found


@dataclass(frozen=True)
class Examples:
    """What was clicked: features means (n, D) float64 of superpixels, their classes (n,) and pictures (n,); and center and scale (D,)
    of the features of all superpixels."""

    means: np.ndarray
    classes: np.ndarray
    pictures: np.ndarray
    center: np.ndarray
    scale: np.ndarray


def examples(learner: Learner, acts: Sequence[Event]) -> Examples | None:
    """What was clicked by these acts, each superpixel once, as the last one says; one that was split is its largest piece. None where
    a picture has no features yet."""
    board, last = learner.board, {}
    codes = {name: c for name, c in board.named.codes.items() if c < len(board.classes)}
    for event in acts:
        if event.what == "label" and event.how not in IMPORTED:
            last |= dict.fromkeys(((event.image, s) for s in event.superpixels), codes.get(event.to))
    place = {picture.name: i for i, picture in enumerate(board.pictures)}
    known = ((place[name], s, c) for (name, s), c in last.items() if c is not None and name in place)
    places = [(i, s, c) for i, s, c in known if s < len(board.labels(i))]  # those that were lost are not
    pictures, _, classes = np.array(places, np.int64).reshape(-1, 3).T
    means = [learner.means(i, s) for i, s, _ in places]
    if not means or any(mean is None for mean in means):
        return None
    return Examples(np.array(means, np.float64), classes, pictures, *learner.standard())


def agreement(clicked: Examples, n_classes: int) -> Iterator[list[list[int]] | None]:
    """None after each fold, so that more urgent work may come between; at last for each class how many of its clicks are foretold from
    those in other pictures, and how many it has: [] with clicks in fewer than LEAST pictures."""
    if (count := len(np.unique(clicked.pictures))) < LEAST:
        yield []
        return
    classes, right = clicked.classes, np.zeros(len(clicked.classes), bool)
    for known, left_out in GroupKFold(min(FOLDS, count)).split(clicked.means, groups=clicked.pictures):
        learned = classifier_of(clicked.means[known], classes[known], n_classes, clicked.center, clicked.scale)
        if learned is None:  # all have one class
            right[left_out] = classes[left_out] == classes[known[0]]
        else:
            right[left_out] = learned(clicked.means[left_out].astype(np.float32)).argmax(dim=0).numpy() == classes[left_out]
        yield None
    yield [[int(right[classes == c].sum()), int((classes == c).sum())] for c in range(n_classes)]


def foreseen(acts: Sequence[Event], classes: Sequence[str]) -> tuple[int, int]:
    """Of the last RECENT superpixels whose class was predicted before they were clicked, how many were right, and how many there are."""
    before, label = {}, {}
    for event in acts:
        if event.what == "label" and event.how not in IMPORTED:
            places = [(event.image, s) for s in event.superpixels]
            label |= dict.fromkeys(places, event.to)
            before |= {at: c for at, c in zip(places, event.seen, strict=False) if c != UNLABELED}
    right = [label[at] == classes[c] for at, c in before.items() if label[at] in classes][-RECENT:]
    return sum(right), len(right)


def _share(of_classes: list[list[int]]) -> tuple[float | None, int]:
    right, n = np.array(of_classes or [[0, 0]]).sum(axis=0).tolist()
    return round(right / n, 3) if n else None, n


def told(acts: Sequence[Event], events: Sequence[Event], measured: Measured) -> dict:
    """What the page shows, see `widget`. acts: in force.  events: of the log."""
    until = _minutes(events)
    there = [(n, acts[k - 1].id) for k, n in marks(acts) if measured.get(acts[k - 1].id)]
    curve = [[n, until[act], _share(measured[act])[0]] for n, act in there]
    last = measured[there[-1][1]] if there else []
    share, n = _share(last)
    return {"agreement": share, "n": n, "per_class": last, "curve": curve}


def rows(
    acts: Sequence[Event], events: Sequence[Event], measured: Measured, learner: Learner | None, classes: Sequence[str]
) -> Iterator[list]:
    """The rows of quality.csv, of COLUMNS: at each mark and after the last act. Seconds a click are those since the row before.
    learner: measures what is not `measured`; None: nothing does."""
    until, spent, before = _minutes(events), 0.0, 0
    for k, n in sorted({*marks(acts), (len(acts), clicks(acts))} - {(0, 0)}):
        act = acts[k - 1].id
        if act not in measured and learner is not None and (clicked := examples(learner, acts[:k])) is not None:
            *_, per_class = agreement(clicked, len(classes))
            measured = measured | {act: per_class}
        share, of = _share(measured.get(act, []))
        pace = round(60 * (until[act] - spent) / (n - before), 2) if n > before else ""
        yield [until[act], n, pace, "" if share is None else share, of, *foreseen(acts[:k], classes)]
        spent, before = until[act], n


def _minutes(events: Sequence[Event]) -> dict[str, float]:
    """For each act, by its id, the minutes of labeling up to it."""
    total = accumulate(event.seconds for event in events)
    return {event.id: round(seconds / 60, 3) for event, seconds in zip(events, total, strict=True)}
