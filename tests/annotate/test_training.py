"""A round trains in a separate process while clicking goes on, and asks exactly what the strategy says."""

import json
import os
import shutil
import signal
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import taken_over

from oreal_lib.aggregate import Regions
from oreal_lib.annotate import rounds, training
from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.saved import read_board, read_json
from oreal_lib.annotate.session import open_session
from oreal_lib.setting import network
from oreal_lib.storage import atomic, checked
from oreal_lib.storage.progress import lines_to
from oreal_lib.strategies import STRATEGIES

CLASSES = ["sky", "road"]
TINY = {
    "superpixel_method": "grid",
    "superpixel_count": 12,
    "max_epochs": 1,
    "query_size": 4,
    "device": "cpu",
    "height": 32,
    "width": 32,
    "batch_size": 2,
    "checkpoint_seconds": 0.0,
}


def opened(folder, classes=None, **how):
    return open_session(folder, classes, **(TINY | how))


@pytest.fixture
def session(tmp_path):
    """Pictures a and b of 48 x 64 pixels, bright above and dark below, and a thin one; two superpixels of each are labeled."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for name, size in (("a", (48, 64)), ("b", (48, 64)), ("thin", (2, 90))):
        image = rng.integers(0, 80, (*size, 3))
        image[: size[0] // 2] += 150
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{name}.png")
    session = opened(folder, CLASSES)
    for i in range(3):
        session.act("label", i, [0], "sky")
        session.act("label", i, [session.pictures[i].count - 1], "road")
    return session


def folder_of(session):
    return read_json(session.work)["folder"]


@pytest.fixture
def asked_for(monkeypatch):
    """A function: what `session.train()` leaves for its process to do, without the process; few steps, so that it is quick."""
    monkeypatch.setattr(training, "LEAST_STEPS", 12)  # 6 epochs of 2 batches

    def ask(session):
        with monkeypatch.context() as patched:
            patched.setattr(rounds.subprocess, "Popen", lambda *given, **how: None)
            session.train()
        return session.home

    return ask


def carry_out(session, home=None, number=2, said=None):
    home = home or session.home
    with lines_to((lambda line: None) if said is None else said.append):
        training.train_round(home, number, partial(read_board, folder_of(session), home.parent, "me"))
    return rounds.folder_of(home, number)


def copied(session, name):
    """The annotator's folder in a copy of the session's files."""
    shutil.copytree(session.work, session.work.parent / name)
    return session.work.parent / name / "me"


def answers(folder):
    """All that a round has found out, as bytes."""
    files = [folder / "weights.safetensors", folder / "query.json", *sorted((folder / "views").iterdir())]
    return [
        np.load(f)["predicted"].tobytes() + np.load(f)["unsure"].tobytes() if f.suffix == ".npz" else f.read_bytes() for f in files
    ]


def own_answer(session, number, config):
    """What the strategy asks of the board that the round has seen, by the weights it has saved."""
    folder = rounds.folder_of(session.home, number)
    query = json.loads((folder / "query.json").read_text(encoding="utf-8"))
    board, _ = read_board(folder_of(session), session.work, "me", query["log"])
    model = network(config, len(session.classes))
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    regions = Regions(
        lambda: training.probabilities(model, board.pictures, config.height), board.superpixels(), len(session.classes)
    )
    labels, rng = board.as_labels(), np.random.default_rng([config.seed, number])
    found = STRATEGIES[config.strategy](regions, labels, config.query_size, config.aggregate, rng, **config.strategy_options)
    offset = board.superpixels().offset
    image = np.searchsorted(offset, found.ids, side="right") - 1
    return [[board.pictures[i].name, int(k - offset[i])] for i, k in zip(image, found.ids, strict=True)], query["query"]


def wait(session, until, seconds=200):
    limit = time.monotonic() + seconds
    while not until(present := session.training()):
        assert time.monotonic() < limit, present
        time.sleep(0.05)
    return present


@pytest.mark.slow
def test_training_runs_beside_the_clicks_outlives_the_kernel_and_a_kill_and_asks_what_the_strategy_says(session, tmp_path):
    alone = copied(session, "alone")
    assert session.training().state == "none"
    started = session.train()
    process, request = session._process, rounds.read_request(session.home, 2)
    assert started.state == "running" and process.poll() is None  # it came back before the training had ended
    assert session.train().state == "running" and session._process is process  # a second one is not started
    folder = rounds.folder_of(session.home, 2)
    wait(session, lambda p: (folder / "checkpoint.pt").exists() or p.state != "running")
    again = opened(folder_of(session))  # the notebook's cell is run again, or the kernel was
    assert again._process is None and again.training().state == "running" and again.train().state == "running"
    assert again._process is None and 0 < again.training().share < 1
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    died = again.training()
    assert died.state == "failed" and "train again to go on where it was" in died.text
    again.train()  # nothing was clicked since, so it goes on
    assert rounds.read_request(again.home, 2) == request
    again.act("label", 1, [5], "road")  # clicking goes on meanwhile
    clicked = {(0, s) for s in range(1, 8)}
    again.act("label", 0, [s for _, s in clicked], "sky")
    share = [again.training().share]
    wait(again, lambda p: share.append(p.share) or p.state != "running")
    assert again.training().state == "done" and again._process.wait() == 0 and share[-1] == 1 and min(share) >= 0
    assert "continuing after epoch" in (folder / "train.log").read_text(encoding="utf-8")
    assert again.round == 1 and again.refresh() and again.round == 2 and not again.refresh() and again.training().state == "none"
    assert len(again.query()) == 4 and not clicked & set(again.query()) and (1, 5) not in again.query()
    expected, found = own_answer(again, 2, again.config)
    assert expected == found and not (folder / "checkpoint.pt").exists()
    assert again.view(0)[0].shape == (48, 64) and again.view(2)[0].shape == (2, 90)
    assert len(again.predicted(0)) == 12 and again.counters()["foreseen"] == [0, 0]  # before the clicks nothing was predicted
    done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    assert done["labeled"] == 6 and done["epochs"] == 75
    again.close()
    (rounds.folder_of(alone, 2)).mkdir(parents=True)
    shutil.copy(folder / "request.json", rounds.folder_of(alone, 2))
    undisturbed = carry_out(session, alone)
    assert (undisturbed / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


class Killed(BaseException):
    """Nothing in a round catches it, as nothing catches a kill."""


def killed(*given):
    raise Killed


@pytest.fixture
def interrupted(monkeypatch):
    """A function: carries out a session's round 2, with a call of `what` after an epoch."""

    def carry_out_until(session, epoch, what):
        fit = training.fit

        def watched(*given, keep, **how):
            then = keep.then
            keep.then = lambda state: (what() if state["epoch"] == epoch else None, then(state))
            return fit(*given, keep=keep, **how)

        with monkeypatch.context() as patched:
            patched.setattr(training, "fit", watched)
            carry_out(session)

    return carry_out_until


def test_a_round_killed_at_any_time_ends_as_an_undisturbed_one(session, asked_for, interrupted, monkeypatch):
    home, said = asked_for(session), []
    undisturbed = answers(carry_out(session, copied(session, "other")))
    with pytest.raises(Killed):
        interrupted(session, 3, killed)
    assert session.training().state == "failed" and "ended without finishing" in session.training().text
    asked_for(session)
    for name in ("probabilities", "ask", "write_query"):  # looking at the pictures, and asking
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(training, name, killed)
            carry_out(session, home, said=said)
        assert rounds.finished(home) == 1 and not session.refresh()
    torn = [rounds.folder_of(home, 2) / name for name in (".checkpoint.pt.7.tmp", "views/.a.npz.7.tmp")]  # by a kill while it wrote
    for file in torn:
        file.write_bytes(b"half")
    assert answers(carry_out(session, home)) == undisturbed and said[0] == "continuing after epoch 3"
    assert not any(file.exists() for file in torn)
    left = rounds.folder_of(home, 2) / "checkpoint.pt"  # by a kill right after it had finished
    left.write_bytes(b"whole")
    carry_out(session, home)
    assert not left.exists()


def test_a_stopped_training_goes_on_with_the_same_clicks_and_begins_anew_with_others(session, asked_for, interrupted):
    session.config = session.config.model_copy(update={"checkpoint_seconds": 1e9})  # none is due: the stop writes it
    home = asked_for(session)
    undisturbed = answers(carry_out(session, copied(session, "other")))
    interrupted(session, 3, session.stop)
    assert session.training().state == "stopped" and "train again to go on" in session.training().text
    folder, said = rounds.folder_of(home, 2), []
    assert (folder / "checkpoint.pt").exists() and (folder / "stop").exists()
    going_on = copied(session, "going on")
    session.act("label", 0, [6], "sky")
    asked_for(session)
    assert not (folder / "stop").exists() and not (folder / "checkpoint.pt").exists()
    assert answers(carry_out(session, home, said=said))[0] != undisturbed[0] and said == []
    (rounds.folder_of(going_on, 2) / "stop").unlink()
    assert answers(carry_out(session, going_on, said=said))[0] == undisturbed[0] and said == ["continuing after epoch 3"]


def test_the_time_left_is_measured_on_the_epochs_of_this_attempt(session, asked_for, interrupted, monkeypatch):
    asked_for(session)
    clock, left, write = iter(range(10_000)), [], atomic.write_json
    with pytest.raises(Killed):
        interrupted(session, 5, killed)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(atomic, "write_json", lambda file, value: (left.append(value.get("seconds_left")), write(file, value)))
    carry_out(session)
    left = [seconds for seconds in left if seconds is not None]
    assert left[0] == len(left) - 1  # one look at the clock for each epoch: a second each


def test_a_round_begins_with_the_weights_of_the_one_before_unless_there_are_new_classes(session, asked_for, monkeypatch):
    begins, fit = [], training.fit

    def watched(model, *args, **how):
        begins.append({name: value.clone() for name, value in model.state_dict().items()})
        return fit(model, *args, **how)

    monkeypatch.setattr(training, "fit", watched)
    asked_for(session)
    trained = load_file(carry_out(session) / "weights.safetensors")
    session.refresh()
    asked_for(session)
    carry_out(session, number=3)
    assert all(torch.equal(value, begins[1][name]) for name, value in trained.items())
    session.refresh()
    again = opened(folder_of(session), [*CLASSES, "sea"])
    asked_for(again)
    carry_out(again, number=4)
    assert again.refresh() and again.round == 4


def test_what_stops_a_round_is_told_in_words(session, asked_for, interrupted, capsys):
    def fails():
        raise FloatingPointError("the training loss is nan in epoch 2: lower learning_rate")

    asked_for(session)
    with pytest.raises(SystemExit):
        interrupted(session, 2, fails)
    assert session.training() == rounds.Progress("failed", 0.0, "the training loss is nan in epoch 2: lower learning_rate")
    assert "FloatingPointError" in capsys.readouterr().err
    shutil.move(folder_of(session), session.work.parent / "away")
    asked_for(session)
    with pytest.raises(SystemExit):
        carry_out(session)
    assert session.training().state == "failed" and "photos does not exist" in session.training().text


def test_where_a_round_stands_is_read_from_its_folder(tmp_path):
    folder = rounds.folder_of(tmp_path, 2)
    folder.mkdir(parents=True)
    alive, dead = SimpleNamespace(poll=lambda: None), SimpleNamespace(poll=lambda: -9)
    assert rounds.progress(tmp_path, 2).state == "none"
    (folder / "request.json").write_text("{}")
    assert rounds.progress(tmp_path, 2, alive) == rounds.Progress("running", 0.0, "starting ...")
    (folder / "progress.json").write_text('{"state": "running", "share": 0.5, "text": "training", "seconds_left": 7.5}')
    assert rounds.progress(tmp_path, 2, alive) == rounds.Progress("running", 0.5, "training", 7.5)
    (folder / "train.log").write_bytes(b"first\nKilled \xff: out of memory\n\n")
    said = rounds.progress(tmp_path, 2, dead)
    assert said.state == "failed" and said.share == 0.5 and "out of memory; train again" in said.text
    (folder / "progress.json").write_text('{"state": "runn')  # torn
    assert rounds.progress(tmp_path, 2, alive).state == "running" and rounds.progress(tmp_path, 2).state == "failed"
    (folder / "progress.json").write_text('{"state": "stopped", "share": 0, "text": "x", "seconds_left": null}')
    assert rounds.progress(tmp_path, 2, dead).state == "stopped"
    (folder / "done.json").write_text("{}")
    assert rounds.progress(tmp_path, 2, dead) == rounds.Progress("done", 1.0, "done") and rounds.finished(tmp_path) == 2
    (folder.parent / "007 old").mkdir()
    (folder.parent / "007 old" / "done.json").write_text("{}")
    assert rounds.finished(tmp_path) == 2


def test_training_needs_labels_of_a_class_and_two_classes(session, tmp_path):
    for _ in range(6):
        session.act("undo")
    session.act("label", 0, [0], "void")
    with pytest.raises(ValueError, match="no superpixel has a class yet; label a few of each class"):
        session.train()
    one = opened(folder_of(session), ["tool"], work=tmp_path / "one")
    one.act("label", 0, [0], "tool")
    with pytest.raises(ValueError, match="'tool' is the only class, so there is nothing to tell apart; add one"):
        one.train()
    assert not rounds.folder_of(one.home, 2).exists()


def test_damaged_files_of_a_round_are_named_with_the_remedy(session, asked_for):
    asked_for(session)
    folder = carry_out(session)
    session.refresh()
    (view,) = [f for f in (folder / "views").iterdir() if f.name == f"{rounds.key('a')}.npz"]
    view.write_bytes(view.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"npz is damaged .*move the folder .*002 away and train again"):
        session.predicted(0)
    (folder / "query.json").write_text('{"query": [')
    with pytest.raises(ValueError, match=r"query\.json is damaged .*move the folder .*002 away and train again"):
        opened(folder_of(session))
    folder.rename(folder.with_name("002-damaged"))
    again = opened(folder_of(session))
    assert again.round == 1 and len(again.query()) > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_every_strategy_can_order_a_round(session, strategy, aggregate):
    session.choose(strategy, aggregate)
    config = session.config
    model = network(config, 2).eval()
    query = training.ask(config, session.board, model, 2)
    assert len(set(query.ids.tolist())) == 4 and session.board.as_labels().unlabeled[query.ids].all()
    training.write_query(session.home, 2, session.board, query, 7)
    written = rounds.read_query(session.home, 2)
    assert written["log"] == 7 and len(written["query"]) == 4 and set(written["for_class"] or CLASSES) <= set(CLASSES)


@pytest.mark.parametrize("how", [("best", "mean"), ("bvsb", "vote"), ("bvsb", "most")])
def test_a_strategy_that_does_not_exist_is_refused_and_the_old_one_stays(session, how):
    before = session.config
    with pytest.raises(ValueError, match="choose"):
        session.choose(*how)
    assert session.config is before


def test_a_query_takes_what_is_left_and_then_nothing(session):
    model = network(session.config, 2).eval()
    for i, picture in enumerate(session.pictures):
        session.act("label", i, range(picture.count), "sky")
    session.act("label", 1, [3, 4], "")
    assert sorted(training.ask(session.config, session.board, model, 2).ids.tolist()) == [15, 16]
    session.act("label", 1, [3, 4], "void")
    assert training.ask(session.config, session.board, model, 2) is None
    training.write_query(session.home, 2, session.board, None, 9)
    assert rounds.read_query(session.home, 2) == {"query": [], "score": [], "for_class": None, "log": 9}
    assert training.ask(session.config, session.board, None, 1) is None


def test_the_first_query_is_drawn_by_lot(session):
    configs = [session.config.model_copy(update={"seed": seed}) for seed in (0, 0, 1)]
    by_lot = [training.ask(config, session.board, None, 1).ids.tolist() for config in configs]
    assert by_lot[0] == by_lot[1] != by_lot[2]


def test_what_is_painted_is_what_is_trained_on(session):
    pairs = training.pairs(session.board, 32)
    assert [np.asarray(x).shape for x in pairs.images] == [(24, 32, 3), (24, 32, 3), (1, 32, 3)]
    assert pairs.target[0][0, 0] == 0 and pairs.target[0][-1, -1] == 1 and (pairs.target[0] != 255).mean() == 2 / 12
    whole = training.pairs(session.board, 90)
    assert whole.target[2].shape == (2, 90) and (np.asarray(whole.target[0]) == session.board.paint(0)).all()


def test_new_pictures_have_no_view_until_the_next_round(session, asked_for):
    asked_for(session)
    carry_out(session)
    shutil.copy(f"{folder_of(session)}/a.png", f"{folder_of(session)}/0.png")
    again = opened(folder_of(session))
    assert again.view(0) is None and again.predicted(0) is None and again.view(1)[0].dtype == np.uint8
    assert (again.board.labels(0) == UNLABELED).all()


def test_pictures_that_a_training_finds_and_the_session_does_not_know_are_not_suggested(session):
    folder = rounds.folder_of(session.home, 2)
    training.write_query(session.home, 2, session.board, None, 1)
    values = rounds.read_query(session.home, 2) | {"query": [["later", 0], ["a", 3], ["a", 99]], "score": [1.0, 0.5, 0.2]}
    checked.write(folder / "query.json", values)
    (folder / "done.json").write_text("{}")
    assert session.refresh() and session.query() == [(0, 3)] and session.counters()["asked"] == 1


def test_a_round_that_was_taken_over_writes_nothing_more(session, asked_for, monkeypatch):
    home = asked_for(session)
    folder, real = rounds.folder_of(home, 2), training.fit

    def sleeps(*given, **how):
        fitted = real(*given, **how)
        taken_over(folder / ".lock")
        return fitted

    monkeypatch.setattr(training, "fit", sleeps)
    with pytest.raises(SystemExit):
        carry_out(session, home)
    assert not (folder / "weights.safetensors").exists() and not (folder / "done.json").exists()
