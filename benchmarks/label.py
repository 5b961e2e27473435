"""Labeling photographs live, by a scripted person: OREAL_DATA=DIR python -m benchmarks.label

The person labels 30 photographs of CamVid, always the first suggestion, by the class that most of its pixels have (void where they have
none). What is predicted, with the clicks over it, is compared with all pixels. The alternative is a random forest on hand-made features
(skimage's `multiscale_basic_features`, averaged over superpixels), asked at random, or so at first and then by its own margin. Writes results/label.json; ways that are measured
later are added to what is there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.events import VOID
from oreal_lib.annotate.live import Learner
from oreal_lib.annotate.session import Session, open_session
from oreal_lib.data import open_source
from oreal_lib.metrics import confusion, miou
from oreal_lib.oracle import class_votes
from oreal_lib.storage import atomic, provenance
from oreal_lib.storage.progress import lines_to

from .bench import RESULTS

PICTURES, CLICKS = 30, (20, 50, 100, 200)
LIVE = ("random mean", "bvsb mean", "bvsb max", "oreal mean", "oreal max", "expected_wrong mean", "power_bvsb mean", "cbal mean")
FORESTS = ("forest by its margin", "forest at random")
Ask = Callable[[Session], tuple[int, int]]
Predict = Callable[[int], np.ndarray]


class Forest:
    """A random forest on hand-made features of superpixels. `at_random`: how it asks."""

    def __init__(self, session: Session, features: list[np.ndarray], at_random: bool, seed: int) -> None:
        self.session, self.features, self.at_random, self.rng = session, features, at_random, np.random.default_rng(seed)
        self.fitted_to = 0

    def __call__(self, session: Session) -> tuple[int, int]:
        """What to label next, from what is labeled now."""
        labels = [session.board.labels(i) for i in range(len(session.pictures))]
        codes = np.concatenate(labels)
        score = self.rng.random(len(codes))
        if not self.at_random and (codes != UNLABELED).sum() >= CLICKS[0]:
            sure = np.sort(self.learned().predict_proba(np.concatenate(self.features)), axis=1)
            score = sure[:, -2] - sure[:, -1]
        best = int(np.where(codes == UNLABELED, score, -np.inf).argmax())
        starts = np.cumsum([0, *map(len, labels)])
        i = int(np.searchsorted(starts, best, side="right")) - 1
        return i, best - int(starts[i])

    def learned(self) -> RandomForestClassifier:
        """What is learned from what is labeled now."""
        codes = np.concatenate([self.session.board.labels(i) for i in range(len(self.session.pictures))])
        known = codes < len(self.session.classes)
        if known.sum() != self.fitted_to:
            self.fitted_to = known.sum()
            self.forest = RandomForestClassifier(100, random_state=0).fit(np.concatenate(self.features)[known], codes[known])
        return self.forest

    def predict(self, i: int) -> np.ndarray:
        """(H, W) uint8 classes of a picture."""
        return self.learned().predict(self.features[i]).astype(np.uint8)[self.session.board.ids(i)]


class Live:
    """What the page does after a click, without the page. seconds: of each click, until the picture in sight is predicted."""

    def __init__(self, session: Session, question: str, seed: int) -> None:
        strategy, aggregate = question.split()
        session.choose(strategy, aggregate)
        self.learner, self.seed, self.seconds = Learner(session.board, session.config, session.work / "pictures"), seed, []
        self.waiting: list[tuple[int, int]] = []
        for i in self.learner.unseen(0):
            self.learner.see(i)

    def __call__(self, session: Session) -> tuple[int, int]:
        """What to label next, from what is learned now."""
        began, near = time.perf_counter(), self.waiting[0][0] if self.waiting else 0
        self.learner.fit()
        if self.learner.classifier is not None:
            self.learner.look(near)
            self.seconds.append(time.perf_counter() - began)
        self.waiting = [(i, s) for i, s in self.waiting if session.board.labels(i)[s] == UNLABELED]
        if not self.waiting or self.learner.classifier is not None:
            self.waiting = self.learner.ask(near, np.random.default_rng([self.seed, len(session.log.events)]))
        return self.waiting[0]

    def predict(self, i: int) -> np.ndarray:
        """(H, W) uint8 classes of a picture."""
        return self.learner.look(i).argmax(dim=0).numpy().astype(np.uint8)


def quality(session: Session, truth: list[np.ndarray], predict: Predict) -> float:
    """mIoU (0..1) over all pixels: what is clicked, elsewhere what is predicted."""
    total = 0
    for i, mask in enumerate(truth):
        codes = session.board.labels(i)[session.board.ids(i)]
        seen = np.where(codes < len(session.classes), codes, predict(i)).astype(np.int64)
        total = total + confusion(torch.from_numpy(seen), torch.from_numpy(mask), len(session.classes))
    return miou(np.asarray(total))


def curve(
    session: Session, truth: list[np.ndarray], answers: list[list[str]], way: Ask, clicks: tuple[int, ...]
) -> Iterator[float]:
    """The mIoU after so many clicks."""
    for n in range(1, clicks[-1] + 1):
        i, s = way(session)
        session.act("label", i, [s], answers[i][s])
        if n in clicks:
            way(session)  # learns from the last click
            yield round(quality(session, truth, way.predict), 4)


def waits(session: Session, answers: list[list[str]], clicks: int) -> list[float]:
    """Seconds from a click to the new prediction of the picture in sight, by the process beside the session."""
    seen, new, found = [], threading.Event(), []
    session.learn(0, lambda picture: picture is not None and (seen.append(picture), new.set()))
    while session._beside.seen < len(session.pictures):
        time.sleep(0.1)
    for _ in range(clicks):
        i, s = session.query()[0]
        session.look(i)
        time.sleep(0.5)
        new.clear()
        began = time.perf_counter()
        session.act("label", i, [s], answers[i][s])
        if new.wait(5):
            found.append(time.perf_counter() - began)
    return found


def measure(folder: Path, seeds: int, pictures: int, clicks: tuple[int, ...], ways: tuple[str, ...]) -> dict[str, Any]:
    """The curves of all ways, a list for each seed, and the waits."""
    source = open_source("camvid")
    train = [item for item in source.items if item.split == "train"]
    chosen = [train[k] for k in np.linspace(0, len(train) - 1, pictures).round().astype(int)]
    (folder / "photos").mkdir()
    for item in chosen:
        (folder / "photos" / item.image.name).symlink_to(item.image.resolve())
    truth = [source.open(item)[1] for item in sorted(chosen, key=lambda item: item.name)]

    def begin(name: str) -> Session:
        return open_session(folder / "photos", list(source.classes), annotator=name, live=True, device="cpu")

    first = begin("first")
    if [p.native for p in first.pictures] != [mask.shape for mask in truth] or any(p.native != p.size for p in first.pictures):
        raise ValueError("the pictures are not those of the masks, or not shown at full size; take those of CamVid, 480 x 360")
    answers, by_hand = [], []
    for i, (picture, mask) in enumerate(zip(first.pictures, truth, strict=True)):
        votes = class_votes(mask, first.board.ids(i), picture.count, len(source.classes))
        answers.append([(*source.classes, VOID)[c] for c in votes.argmax(axis=1)])
        if any(way in FORESTS for way in ways):
            hand_made = multiscale_basic_features(picture.image(), sigma_max=16, channel_axis=-1).astype(np.float32)
            ids = first.board.ids(i).ravel()
            sums = [np.bincount(ids, values) for values in hand_made.reshape(ids.size, -1).T]
            by_hand.append((np.stack(sums, axis=1) / np.bincount(ids)[:, None]).astype(np.float32))
    found: dict[str, Any] = {"miou": {}}
    for way in ways:
        for seed in range(seeds):
            session = begin(f"{way.replace(' ', '_')}-{seed}")
            asks = Forest(session, by_hand, way == FORESTS[1], seed) if way in FORESTS else Live(session, way, seed)
            began = time.perf_counter()
            miou_at = list(curve(session, truth, answers, asks, clicks))
            found["miou"].setdefault(way, []).append(miou_at)
            print(f"{way}, seed {seed}: {miou_at} ({time.perf_counter() - began:.0f} s)", flush=True)
            session.close()
    seconds = waits(begin("waits"), answers, min(60, clicks[-1]))
    found["seconds"] = {
        "n": len(seconds),
        "p50": round(float(np.median(seconds)), 3),
        "p95": round(float(np.quantile(seconds, 0.95)), 3),
    }
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label", description=__doc__)
    parser.add_argument("--ways", nargs="+", default=LIVE + FORESTS, choices=LIVE + FORESTS, metavar="WAY")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder for label.json")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    about = {
        "device": provenance.device_name(torch.device("cpu")),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "pictures": PICTURES,
        "clicks": CLICKS,
    }
    file = given.out / "label.json"
    before = json.loads(file.read_text(encoding="utf-8"))["miou"] if file.exists() else {}
    with tempfile.TemporaryDirectory() as folder, lines_to(lambda line: None):
        found = measure(Path(folder), given.seeds, PICTURES, CLICKS, tuple(given.ways))
    atomic.write_json(file, about | found | {"miou": before | found["miou"]})


if __name__ == "__main__":
    main()
