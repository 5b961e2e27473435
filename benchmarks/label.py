"""Labeling photographs, by a scripted person: OREAL_DATA=DIR python -m benchmarks.label

The person labels 30 photographs of CamVid, always the first suggestion, by the class that most of its pixels have (void where they have
none), at 2 seconds a click, and waits for every answer. What is predicted, with the clicks over it, is compared with all pixels. Against
learning live: the rounds of a small U-Net that the button trains, and a random forest on hand-made features (skimage's
`multiscale_basic_features`, averaged over superpixels), asked at random, or so at first and then by its own margin.

It takes hours, so it is no part of `python -m benchmarks`. Each way and seed is written when it is done, and not measured again.
--scale measures the waits with many pictures instead. Writes results/label.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.events import VOID
from oreal_lib.annotate.live import Learner
from oreal_lib.annotate.session import Session, open_session
from oreal_lib.data import Source, open_source
from oreal_lib.metrics import confusion, miou
from oreal_lib.oracle import class_votes
from oreal_lib.storage import atomic, provenance
from oreal_lib.storage.progress import lines_to

from .bench import RESULTS

PICTURES, CLICKS = 30, (20, 30, 40, 50, 70, 100, 140, 200)
MOST_ROUNDS = 100  # clicks: a round takes a minute
SECONDS = 2.0  # a click
LIVE = ("random mean", "bvsb mean", "bvsb max", "oreal mean", "oreal max", "expected_wrong mean", "power_bvsb mean", "cbal mean")
FORESTS = ("forest by its margin", "forest at random")
ROUNDS = "rounds"
WAYS = ("bvsb mean", "oreal max", "random mean", *FORESTS, ROUNDS)


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
    """What the page does after a click, without the page."""

    def __init__(self, session: Session, question: str, seed: int) -> None:
        strategy, aggregate = question.split()
        session.choose(strategy, aggregate)
        self.learner, self.seed = Learner(session.board, session.config, session.work / "pictures"), seed
        self.waiting: list[tuple[int, int]] = []
        for i in self.learner.unseen(0):
            self.learner.see(i)

    def __call__(self, session: Session) -> tuple[int, int]:
        """What to label next, from what is learned now."""
        near = self.waiting[0][0] if self.waiting else 0
        self.learner.fit()
        if self.learner.classifier is not None:
            self.learner.look(near)
        self.waiting = [(i, s) for i, s in self.waiting if session.board.labels(i)[s] == UNLABELED]
        if not self.waiting or self.learner.classifier is not None:
            self.waiting = self.learner.ask(near, np.random.default_rng([self.seed, len(session.log.events)]))
        return self.waiting[0]

    def predict(self, i: int) -> np.ndarray:
        """(H, W) uint8 classes of a picture."""
        return self.learner.look(i).argmax(dim=0).numpy().astype(np.uint8)


class Rounds:
    """What the page does where it is not live: when all suggestions are answered, a process trains and asks again."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __call__(self, session: Session) -> tuple[int, int]:
        """What to label next, after a training where nothing is left to ask."""
        if not session.query():
            session.train()
            session._process.wait()
            if not session.refresh():
                raise RuntimeError(session.training().text)
        return session.query()[0]

    def predict(self, i: int) -> np.ndarray:
        """(H, W) uint8 classes of a picture."""
        view = self.session.view(i)
        return np.zeros(self.session.pictures[i].size, np.uint8) if view is None else view[0]


def quality(session: Session, truth: list[np.ndarray], way: Forest | Live | Rounds) -> float:
    """mIoU (0..1) over all pixels: what is clicked, elsewhere what is predicted."""
    total = 0
    for i, mask in enumerate(truth):
        codes = session.board.labels(i)[session.board.ids(i)]
        seen = np.where(codes < len(session.classes), codes, way.predict(i)).astype(np.int64)
        total = total + confusion(torch.from_numpy(seen), torch.from_numpy(mask), len(session.classes))
    return miou(np.asarray(total))


def worked() -> float:
    """Seconds that processors have worked for this process and those it has started and waited for."""
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def curve(
    session: Session, truth: list[np.ndarray], answers: list[list[str]], way: Forest | Live | Rounds
) -> Iterator[tuple[float, float]]:
    """After each number of CLICKS the mIoU and the minutes: of clicking, and what processors worked meanwhile."""
    waited, began = 0.0, worked()
    i, s = way(session)
    for n in range(1, (MOST_ROUNDS if isinstance(way, Rounds) else CLICKS[-1]) + 1):
        session.act("label", i, [s], answers[i][s])
        i, s = way(session)
        if n in CLICKS:
            waited += worked() - began
            yield round(quality(session, truth, way), 4), round((SECONDS * n + waited) / 60, 3)
            began = worked()


def waits(session: Session, answers: list[list[str]], clicks: int) -> dict[str, Any]:
    """Seconds from a click to the new prediction of the picture in sight, by the process beside the session; its memory at most."""
    new, found = threading.Event(), []
    session.learn(0, lambda picture: picture is not None and new.set())
    while session._beside.seen < len(session.pictures):
        time.sleep(0.1)
    time.sleep(5)
    for _ in range(clicks):
        i, s = session.query()[0]
        session.look(i)
        time.sleep(SECONDS)
        new.clear()
        began = time.perf_counter()
        session.act("label", i, [s], answers[i][s])
        if not new.wait(30):
            raise RuntimeError("no prediction after 30 seconds")
        found.append(time.perf_counter() - began)
    most = Path(f"/proc/{session._beside._process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    p50, p95 = (round(float(np.quantile(found, q)), 3) for q in (0.5, 0.95))
    return {"n": clicks, "p50": p50, "p95": p95, "GiB": round(int(most) / 2**20, 2)}


def opening(photos: Path, classes: list[str]) -> tuple[float, float]:
    """Seconds that it takes to open a folder, and the memory of this process at most, in GiB."""
    began = time.perf_counter()
    with lines_to(lambda line: None):
        open_session(photos, classes, device="cpu").close()
    return round(time.perf_counter() - began, 1), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def copies(source: Source, folder: Path, count: int) -> list[np.ndarray]:
    """Writes so many pictures, each shifted by some columns so that none is like another, and returns their masks in that order."""
    folder.mkdir()
    items, masks = [item for item in source.items if item.split == "train"], []
    for k in range(count):
        image, mask = (np.roll(a, 7 * (k // len(items)), axis=1) for a in source.open(items[k % len(items)]))
        Image.fromarray(image).save(folder / f"{k:04d}.png", compress_level=1)
        masks.append(mask)
    return masks


def many(
    folder: Path, counts: tuple[int, ...] = (30, 300), labeled: tuple[int, ...] = (100, 1000), most: int = 1000
) -> dict[str, Any]:
    """The waits with so many pictures and superpixels labeled before, and how long most pictures take to open."""
    source, rng = open_source("camvid"), np.random.default_rng(0)
    found: dict[str, Any] = {"waits": {}}
    for count, before in zip(counts, labeled, strict=True):
        truth = copies(source, photos := folder / str(count), count)
        session = open_session(photos, list(source.classes), live=True, device="cpu")
        answers = answers_of(session, truth)
        places = rng.permutation([(i, s) for i, picture in enumerate(session.pictures) for s in range(picture.count)])
        for i, s in places[:before].tolist():
            session.act("label", i, [s], answers[i][s])
        found["waits"][str(count)] = {"labeled": before} | waits(session, answers, 60)
        session.close()
    copies(source, photos := folder / "most", most)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        (first, _), (again, memory) = (pool.submit(opening, photos, list(source.classes)).result() for _ in range(2))
    found["opening"] = {"pictures": most, "first": first, "again": again, "GiB": memory, "cores": os.cpu_count()}
    return found


def answers_of(session: Session, truth: list[np.ndarray]) -> list[list[str]]:
    """The name of the class that most pixels of each superpixel have, void where they have none."""
    names, votes = (*session.classes, VOID), []
    for i, (picture, mask) in enumerate(zip(session.pictures, truth, strict=True)):
        if picture.native != mask.shape or picture.native != picture.size:
            raise ValueError("the pictures are not those of the masks, or not shown at full size; take those of CamVid, 480 x 360")
        votes.append(class_votes(mask, session.board.ids(i), picture.count, len(session.classes)).argmax(axis=1))
    return [[names[c] for c in of_picture] for of_picture in votes]


def hand_made(session: Session) -> list[np.ndarray]:
    """(k, D) float32 hand-made features of the superpixels of each picture."""
    found = []
    for i, picture in enumerate(session.pictures):
        pixels = multiscale_basic_features(picture.image(), sigma_max=16, channel_axis=-1).astype(np.float32)
        ids = session.board.ids(i).ravel()
        sums = [np.bincount(ids, values) for values in pixels.reshape(ids.size, -1).T]
        found.append((np.stack(sums, axis=1) / np.bincount(ids)[:, None]).astype(np.float32))
    return found


def measure(folder: Path, wanted: list[tuple[str, int]]) -> Iterator[tuple[str, int, dict[str, list[float]]]]:
    """The curve of each way and seed."""
    source = open_source("camvid")
    train = [item for item in source.items if item.split == "train"]
    chosen = sorted((train[k] for k in np.linspace(0, len(train) - 1, PICTURES).round().astype(int)), key=lambda item: item.name)
    (folder / "photos").mkdir()
    for item in chosen:
        (folder / "photos" / item.image.name).symlink_to(item.image.resolve())
    truth, by_hand = [source.open(item)[1] for item in chosen], []
    for way, seed in wanted:
        how = {"annotator": f"{way.replace(' ', '_')}-{seed}", "live": way != ROUNDS, "device": "cpu", "seed": seed}
        session = open_session(folder / "photos", list(source.classes), **how)
        if way in FORESTS:
            by_hand = by_hand or hand_made(session)
            asks = Forest(session, by_hand, way == FORESTS[1], seed)
        else:
            asks = Rounds(session) if way == ROUNDS else Live(session, way, seed)
        mious, minutes = zip(*curve(session, truth, answers_of(session, truth), asks), strict=True)
        session.close()
        yield way, seed, {"miou": list(mious), "minutes": list(minutes)}


def page(found: dict[str, Any]) -> str:
    """What was found as Markdown."""
    versions, many = found["versions"], found.get("many", {})
    lines = [
        f"*{found['pictures']} photographs of CamVid, 11 classes; a scripted person, {SECONDS:g} s a click; mIoU over all pixels, the mean "
        "of the seeds and, in brackets, the least and the most; minutes: of clicking, and what a processor works between the clicks; "
        f"{found['device']}, torch {versions['torch']}, commit {found['commit'][:7]}*\n",
        "| | " + " | ".join(f"{n} clicks" for n in found["clicks"]) + f" | minutes for {MOST_ROUNDS} | seeds |",
        "|---|" + "---:|" * (len(found["clicks"]) + 2),
    ]
    for way, seeds in found["ways"].items():
        values = np.array([one["miou"] for one in seeds.values()])
        cells = [f"{v.mean():.3f}" + f" ({v.min():.3f} to {v.max():.3f})" * (len(v) > 1) for v in values.T]
        cells += ["-"] * (len(found["clicks"]) - len(cells))
        minutes = np.mean([one["minutes"][found["clicks"].index(MOST_ROUNDS)] for one in seeds.values()])
        lines.append(f"| {name_of(way)} | {' | '.join(cells)} | {minutes:.1f} | {len(seeds)} |")
    lines += ["", "![mIoU over clicks and over minutes](label.png)"]
    if many:
        lines += [
            "",
            "| from a click to the new prediction | median | 95 % below | n | memory of the process beside |",
            "|---|" + "---:|" * 4,
        ]
        for count, w in many["waits"].items():
            lines.append(
                f"| {count} pictures, {w['labeled']:,} clicks before | {w['p50']} s | {w['p95']} s | {w['n']} | {w['GiB']} GiB |"
            )
        o = many["opening"]
        lines += [
            "",
            f"Opening {o['pictures']:,} pictures takes {o['first']} s the first time, when they are cut on {o['cores']} cores, then {o['again']} s, and {o['GiB']} GiB.",
        ]
    return "\n".join(lines) + "\n"


def name_of(way: str) -> str:
    """A way in words."""
    live = {"random mean": "live, at random", "bvsb mean": "live, BvSB by mean", "oreal max": "live, OREAL by max"}
    return "rounds of a small U-Net" if way == ROUNDS else way if way in FORESTS else live.get(way, f"live, {way}")


def draw(found: dict[str, Any], file: Path) -> None:
    """The curves over clicks and over minutes, the mean of the seeds and their range."""
    figure, (over_clicks, over_minutes) = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for k, (way, seeds) in enumerate(found["ways"].items()):
        values = np.array([one["miou"] for one in seeds.values()])
        clicks = found["clicks"][: values.shape[1]]
        style = {"color": f"C{k}", "linestyle": "-" if way not in (*FORESTS, ROUNDS) else "--", "marker": "o", "markersize": 3}
        over_clicks.plot(clicks, values.mean(axis=0), label=name_of(way), **style)
        over_clicks.fill_between(clicks, values.min(axis=0), values.max(axis=0), color=f"C{k}", alpha=0.15, linewidth=0)
        over_minutes.plot(np.mean([one["minutes"] for one in seeds.values()], axis=0), values.mean(axis=0), **style)
    over_clicks.set(xlabel="clicks", ylabel="mIoU over all pixels", ylim=(0, None))
    over_minutes.set(xlabel=f"minutes: {SECONDS:g} s a click, and the waits", xscale="log")
    over_minutes.set_xticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    over_minutes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    for ax in (over_clicks, over_minutes):
        ax.grid(alpha=0.3)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label", description=__doc__)
    parser.add_argument(
        "--ways", nargs="*", default=WAYS, choices=(*LIVE, *FORESTS, ROUNDS), metavar="WAY", help="none: page, figure"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", action="store_true", help="measure waits and opening with many pictures instead")
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder for label.json, .md and .png")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    file = given.out / "label.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"ways": {}}
    here = provenance.device_name(torch.device("cpu"))
    about = {
        "device": "; ".join(sorted({*found.get("device", here).split("; "), here})),  # seeds may come from several machines
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }

    def write() -> None:
        found.update(about, pictures=PICTURES, clicks=list(CLICKS))
        atomic.write_json(file, found)

    with tempfile.TemporaryDirectory() as folder, lines_to(lambda line: None):
        if given.scale:
            found["many"] = many(Path(folder))
            write()
        pairs = [(way, seed) for seed in range(given.seeds) for way in given.ways if str(seed) not in found["ways"].get(way, {})]
        for way, seed, one in measure(Path(folder), pairs) if pairs and not given.scale else ():
            found["ways"].setdefault(way, {})[str(seed)] = one
            print(f"{way}, seed {seed}: {one}", flush=True)
            write()
    atomic.write_bytes(file.with_suffix(".md"), page(found).encode())
    draw(found, file.with_suffix(".png"))


if __name__ == "__main__":
    main()
