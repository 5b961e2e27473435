"""What is learned after every click: scikit-learn's fit of what is labeled now, whatever the way there, and back after any kill."""

import csv
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from oreal_lib.annotate import live
from oreal_lib.annotate.board import UNLABELED, Board
from oreal_lib.annotate.events import read_whole
from oreal_lib.annotate.live import NEVER, STRENGTH, Classifier, Learner, classifier_of, probabilities
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.out.predictions import predict_folder
from oreal_lib.annotate.pictures import key
from oreal_lib.annotate.saved import read_session
from oreal_lib.annotate.session import open_session
from oreal_lib.data.spread import means_of
from oreal_lib.storage.progress import lines_to
from oreal_lib.strategies import STRATEGIES
from oreal_lib.types import IGNORE

CLASSES = ["sky", "road", "tree"]
TINY = {"superpixel_method": "grid", "superpixel_count": 12, "query_size": 4, "device": "cpu"}


@pytest.fixture
def folder(tmp_path):
    """Three pictures of 48 x 64 pixels, 12 squares of 16 x 16 each."""
    (tmp_path / "photos").mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def opened(folder, **how):
    with lines_to(lambda line: None):
        return open_session(folder, CLASSES, **(TINY | how))


@pytest.fixture
def session(folder):
    return opened(folder)


@pytest.fixture
def by_color(monkeypatch):
    """Instead of an encoder's features the mean color of 8 x 8 pixels and its square: they are there at once."""

    def seen(encoder, image, folder=None):
        small = image.reshape(image.shape[0] // 8, 8, image.shape[1] // 8, 8, 3).mean(axis=(1, 3)) / 255
        return np.concatenate([small, small**2], axis=2).astype(np.float16)

    monkeypatch.setattr(live, "seen_by", seen)
    monkeypatch.setattr(live.Encoder, "folder", "features")


def learner_of(session, events=None):
    board = Board(session.pictures, session.classes, session.log.events if events is None else events)
    learner = Learner(board, session.config, session.work)
    for i in learner.unseen(0):
        learner.see(i)
    return learner


def from_scratch(learner, n_classes):
    """(n, C) probabilities of every superpixel by scikit-learn alone, from what the board says now."""
    seen = [learner._features(i) for i in range(3)]
    means = np.concatenate([means_of(f, learner.board.ids(i)).astype(np.float16).astype(float) for i, f in enumerate(seen)])
    standard = (means - means.mean(axis=0)) / means.std(axis=0)
    codes = np.concatenate([learner.board.labels(i) for i in range(3)])
    head = LogisticRegression(C=STRENGTH, max_iter=1000).fit(standard[codes < n_classes], codes[codes < n_classes])
    p = np.zeros((len(means), n_classes))
    p[:, head.classes_] = head.predict_proba(standard)
    return p


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_classifier_is_scikit_learns_fit_whatever_the_order_of_undo_and_redo(session, by_color, n_classes):
    rng, learner = np.random.default_rng(n_classes), learner_of(session)
    compared = 0
    for _ in range(60):
        what = rng.choice(["label", "label", "undo", "redo", "split"], p=[0.4, 0.2, 0.2, 0.15, 0.05])
        name = str(rng.choice([*CLASSES[:n_classes], "void", ""]))
        try:
            session.act(what, int(rng.integers(3)), [int(rng.integers(12))], name)
        except ValueError:  # nothing to undo or redo
            continue
        learner.apply(session.log.events[-1])
        learner.fit()
        labeled = sum(session.board.counts()[:n_classes] > 0)
        assert (learner.classifier is not None) == (labeled > 1)
        if labeled > 1:
            means = np.concatenate([learner._seen[i].means for i in range(3)])
            ours = learner.classifier(means).softmax(dim=0).T.numpy()
            assert np.allclose(ours[:, :n_classes], from_scratch(learner, n_classes), atol=2e-3)
            compared += 1
    assert compared > 20
    again = learner_of(session)
    again.fit()
    assert np.allclose(again.classifier.weight, learner.classifier.weight, atol=1e-6)


def test_what_is_written_is_what_the_standardized_regression_says():
    rng = np.random.default_rng(0)
    means, classes = rng.normal(3, 2, (40, 5)), rng.integers(0, 2, 40) * 2
    found = classifier_of(means, classes, 3, means.mean(axis=0), means.std(axis=0))
    assert found.bias[1] == NEVER and not found.weight[1].any()
    assert classifier_of(means, np.ones(40, int), 3, means.mean(axis=0), means.std(axis=0)) is None


def test_a_mask_is_finer_than_its_superpixels():
    features = np.zeros((1, 4, 1), np.float16)
    features[0, 2:] = 4  # the right half of the picture
    classifier = Classifier(np.array([[-1], [1]], np.float32), np.array([2, -2], np.float32))
    ids = np.zeros((8, 32), np.uint16)
    p = probabilities(classifier, features, ids, means_of(features, ids))
    assert p.shape == (2, 8, 32) and (p.argmax(dim=0)[:, :12] == 0).all() and (p.argmax(dim=0)[:, 20:] == 1).all()


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_asks_what_is_neither_labeled_nor_skipped(session, by_color, monkeypatch, strategy, how):
    monkeypatch.setattr(live, "MOST_POSITIONS", 2)  # of the third picture only the means are asked
    for i, name in enumerate(CLASSES):
        session.act("label", i, [0, 1], name)
    session.act("skip", 2, [5])
    session.choose(strategy, how)
    learner = learner_of(session)
    learner.fit()
    asked = learner.ask(0, np.random.default_rng(0))
    assert len(set(asked)) == 4 and (2, 5) not in asked and all(learner.board.labels(i)[s] == UNLABELED for i, s in asked)


def test_the_first_suggestions_are_one_of_each_look(folder, by_color):
    looks = np.full((3, 3, 4, 3), 90, np.uint8)  # 36 superpixels, most of them gray
    looks[0, 1, 2], looks[1, 0, 3], looks[2, 2, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for i, image in enumerate(looks):
        Image.fromarray(image.repeat(16, axis=0).repeat(16, axis=1)).save(folder / f"{i}.png")
    asked = learner_of(opened(folder)).ask(0, np.random.default_rng(0))
    assert {(0, 6), (1, 3), (2, 8)} < set(asked) and len(set(asked)) == 4


def test_a_class_without_a_label_is_named(session):
    assert session.live_text().startswith("No label yet: sky, road, tree. Click one of each by hand; two classes are needed.")
    session.act("label", 0, [0], "road")
    assert "No label yet: sky, tree. Click one of each by hand; two classes are needed." in session.live_text()
    session.act("label", 0, [1], "sky")
    assert "No label yet: tree. Click one of each by hand. " in session.live_text()
    session.act("label", 0, [2], "tree")
    assert "No label" not in session.live_text()


class Ear:
    """Hears what a session learns."""

    def __init__(self, session):
        self.session, self.heard = session, threading.Event()
        session.learn(0, self)

    def __call__(self, picture):
        self.heard.set()

    def until(self, condition, seconds=90):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.session.live_text() + (self.session.home / "learn.log").read_text()
            self.heard.wait(0.5)
            self.heard.clear()


def test_a_process_beside_learns_after_every_click_and_unlearns_by_undo(session, folder):
    ear = Ear(session)
    first = session.query()
    ear.until(lambda: session.query() != first)  # spread over what the encoder sees
    session.act("label", 0, [0], "sky")
    session.act("label", 0, [5], "road")
    ear.until(lambda: session.learned and session.view(0) is not None)
    assert session.view(0)[0].shape == (48, 64) and session.predicted(0)[[0, 5]].tolist() == [0, 1]
    session.look(2)
    ear.until(lambda: session.view(2) is not None)
    session.act("split", 2, [3])
    session.act("accept", 2, [12], to="road")
    session.act("undo")
    session.act("undo")
    session.act("undo")
    ear.until(lambda: not session.learned)
    assert session.view(0) is None and session.predicted(0) is None
    session.act("redo")
    ear.until(lambda: session.learned and session.view(2) is not None)
    assert session.quality() == {"agreement": None, "n": 0, "per_class": [], "curve": []}
    session.act("label", 2, [4], "sky")
    (seen,) = session.log.events[-1].seen  # what was predicted before the click
    assert session.counters()["foreseen"] == [int(seen == 0), 1]
    for i in range(3):
        session.act("label", i, range(6, 10), CLASSES[i])
    ear.until(lambda: [clicks for clicks, _, _ in session.quality()["curve"]] == [11, 15])
    assert session.quality()["n"] == sum(n for _, n in session.quality()["per_class"]) == 15
    session.set_live(False)
    assert session.view(0) is None and set(session.query()) <= set(first) and not session.learned
    session.close()
    again = opened(folder)
    assert not again.live  # the switch is kept
    again.learn(0, ear)
    assert again._beside is None
    assert opened(folder, live=True).live


def test_a_suggested_piece_is_no_longer_open_once_its_split_is_undone(session):
    board, before = session.board, len(session.board.labels(0))
    session.act("split", 0, [3])
    assert board.is_open(0, before)
    session.act("undo")
    assert not board.is_open(0, before) and board.is_open(0, 3)


def test_a_process_that_dies_is_told_and_no_click_is_refused(session):
    ear = Ear(session)
    session._beside._process.kill()
    ear.until(lambda: "Live learning has stopped (exit code -9" in session.live_text(), 20)
    session.act("label", 0, [0], "sky")
    assert session.board.labels(0)[0] == 0


def click(folder, told):
    """The body of a process: learns and clicks until it is killed."""
    session = opened(Path(folder))
    session.learn(0, lambda picture: None)
    rng = np.random.default_rng()
    for n in range(10**9):
        what = str(rng.choice(["label", "label", "label", "undo", "redo", "split"]))
        try:
            session.act(what, int(rng.integers(3)), [int(rng.integers(12))], CLASSES[n % 3], act_id=f"{os.getpid()}-{n}")
        except ValueError:
            continue
        with open(told, "a") as file:
            file.write(f"{os.getpid()}-{n} {session._beside._process.pid}\n")
        time.sleep(0.05)


@pytest.mark.slow
def test_a_kill_loses_no_click_and_the_prediction_comes_back(folder, tmp_path):
    opened(folder).close()
    told, context = tmp_path / "told", multiprocessing.get_context("spawn")
    for seconds in (1.0, 8.0, 12.0):
        process = context.Process(target=click, args=(str(folder), str(told)))
        process.start()
        end, before = time.monotonic() + 60, told.stat().st_size if told.exists() else 0
        while (not told.exists() or told.stat().st_size == before) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    lines = [line.split() for line in told.read_text().splitlines()]
    session = opened(folder)
    assert {name for name, _ in lines} <= {event.id for event in read_whole(session.log.path)} and len(lines) > 50
    for name, i, s in (("sky", 0, 0), ("road", 1, 1)):
        session.act("label", i, [s], name)
    ear, alone = Ear(session), learner_of(session)
    ear.until(lambda: session.learned and session.view(0) is not None and session._beside.seen == 3)
    alone.fit()
    want = alone.look(0).argmax(dim=0).numpy()
    ear.until(lambda: (session.view(0)[0] == want).mean() > 0.999)
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for _, pid in lines) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}").exists() for _, pid in lines)  # what learned beside the killed ones has ended, too


def test_an_export_takes_what_was_learned_and_its_model_predicts_the_same_on_new_pictures(session, folder, tmp_path):
    for i, name in enumerate(CLASSES[:2]):
        session.act("label", i, [0, 5], name)
    learner = learner_of(session)
    learner.fit()
    with lines_to(lambda line: None):
        done = export(read_session(folder))
        again = predict_folder(done.out / "model", folder, tmp_path / "new", "cpu")
    assert done.live and done.predicted == again.pictures == 3
    with open(done.out / "quality.csv", encoding="utf-8") as file:
        (told,) = csv.DictReader(file)
    assert (told["clicks"], told["agreement"], told["agreement_n"]) == ("4", "", "0")  # two pictures are too few
    for i in range(3):
        want = learner.look(i).argmax(dim=0).numpy()
        new, mask = (np.asarray(Image.open(out / "masks" / f"{i}.png")) for out in (again.out, done.out))
        assert (new == want).mean() > 0.999
        clicked = session.board.paint(i)
        assert (mask == np.where(clicked == IGNORE, new, clicked)).all()
    session_of = onnxruntime.InferenceSession(done.out / "model/model.onnx")
    (p,) = session_of.run(None, {"image": session.pictures[0].image()})
    positions = live.looker(learner.classifier.state(), None, "cpu")(session.pictures[0].image()).numpy()
    assert p.shape == (3, 48, 64) and p[2].max() < 1e-6 and np.allclose(p.sum(axis=0), 1, atol=1e-5)
    assert (p.argmax(axis=0) == positions.argmax(axis=0)).mean() > 0.9  # in between it is smoother
    damaged = session.pictures[2].store / f"{key('2')}.image.npy"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with lines_to(lambda line: None):
        done = export(session)
    assert done.live and done.pictures == 2 and "2 is left out" in done.problems[0]
    session.set_live(False)
    assert not export(session).live
