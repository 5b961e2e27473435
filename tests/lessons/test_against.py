"""You against a strategy: the same rules for both."""

import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from oreal_lib.annotate.serve import serve
from oreal_lib.annotate.session import open_session
from oreal_lib.experiments import run as running
from oreal_lib.lessons import against, race
from oreal_lib.setting import open_setting
from oreal_lib.strategies import STRATEGIES


@pytest.fixture
def begun(tiny_config, tiny, tmp_path):
    """Config, setting and session of the tiny pool: 6 pictures of 16 squares."""
    config = tiny_config()
    setting = open_setting(config, tiny)
    pictures, partition = against.write_pool(setting, tmp_path)
    session = open_session(pictures, list(tiny.classes), partition=partition, side=32)
    yield config, setting, session
    session.close()


def answer(setting, session, ids):
    """Labels pool superpixels as the oracle would, in this order."""
    names = [*session.classes, "void"]
    for k in ids:
        image = int(np.searchsorted(setting.superpixels.offset, k, side="right")) - 1
        true = setting.oracle.answers[k]
        to = names[int(true.argmax())] if true.any() else "void"
        session.act("label", image, [int(k - setting.superpixels.offset[image])], to)


def test_the_pool_keeps_its_pictures_and_superpixels(begun):
    _, setting, session = begun
    for i, picture in enumerate(session.pictures):
        assert (picture.ids() == setting.superpixels.maps[i]).all()
        assert (picture.image() == setting.dataset.images[setting.pool[i]]).all()


def test_clicks_come_in_the_order_of_their_last_label(begun):
    _, _, session = begun
    first, second = session.classes[:2]
    session.act("label", 1, [2], first)
    session.act("label", 0, [3], first)
    session.act("label", 1, [2], second)  # changed one's mind
    session.act("label", 2, [4], "void")
    session.act("label", 3, [5], first)
    session.act("label", 3, [5], "")  # taken back
    ids, codes = against.clicked(session)
    assert ids.tolist() == [3, 16 + 2, 32 + 4] and codes.tolist() == [0, 1, 255]


def test_who_clicks_what_a_strategy_asks_learns_what_it_learns(begun):
    config, setting, session = begun
    asked = []
    choose = race.of_strategy(setting, config.model_copy(update={"strategy": "oreal", "aggregate": "max"}))

    def watched(model, labels, more, step):
        after = choose(model, labels, more, step)
        asked.extend(np.flatnonzero(after.asked_in == step))
        return after

    theirs = race.run(setting, config, watched, (8, 20))
    answer(setting, session, asked)
    assert race.run(setting, config, against.of_person(setting, *against.clicked(session)), (8, 20)) == theirs
    assert against.agrees(setting, session) == 1.0


@pytest.mark.parametrize("strategy", ["random", "oreal"])
def test_a_race_is_run_as_a_run_is(tiny_config, tiny, tmp_path, strategy):
    """So a curve of a run may stand beside one of a race."""
    config = tiny_config(strategy=strategy, aggregate="max")
    steps = list(running.run(config, tmp_path, tiny))
    setting = open_setting(config, tiny)
    assert race.run(setting, config, race.of_strategy(setting, config), (8, 16, 24)) == [s.miou for s in steps]


def test_a_strategy_of_ones_own_races_by_the_same_rules(begun):
    config, setting, _ = begun
    own = {name: (race.of_strategy(setting, config, STRATEGIES[name]), (8, 16)) for name in ("random", "oreal")}
    ours = {
        name: (race.of_strategy(setting, config.model_copy(update={"strategy": name})), (8, 16)) for name in ("random", "oreal")
    }
    frame = race.race(setting, config, own)
    assert frame.equals(race.race(setting, config, ours)) and frame["clicks"].tolist() == [8, 16, 8, 16]


def test_you_take_part_as_far_as_you_have_clicked(begun):
    config, setting, session = begun
    answer(setting, session, range(10))
    frame = race.race(setting, config, against.runners(setting, config, session, (8, 20), others=("random",)))
    assert frame.groupby("who")["clicks"].apply(list).to_dict() == {"random": [8, 20], "you": [8]}
    assert against.agrees(setting, session) == 1.0
    wrong = next(c for c in session.classes if c != session.classes[setting.oracle.answers[0].argmax()])
    session.act("label", 0, [0], wrong)
    assert against.agrees(setting, session) == 0.9


def test_a_split_superpixel_is_no_superpixel_of_the_pool(begun):
    _, _, session = begun
    session.act("split", 0, [0])
    with pytest.raises(ValueError, match="undo the split"):
        against.clicked(session)
    session.act("undo")
    assert len(against.clicked(session)[0]) == 0


def test_the_page_without_a_notebook_is_for_this_computer_and_asks_for_a_token(tmp_path, begun, monkeypatch):
    _, _, session = begun
    called = []
    monkeypatch.setattr("oreal_lib.annotate.serve.signal.signal", lambda *_: None)
    monkeypatch.setattr(
        "oreal_lib.annotate.serve.subprocess.Popen",
        lambda command: called.append(command) or SimpleNamespace(wait=lambda timeout: 0),
    )
    folder = tmp_path / 'it\'s "mine"'
    assert serve(session, folder, 8866, browser=False) == 0
    (command,) = called
    assert {"--Voila.ip=127.0.0.1", "--Voila.auto_token=True", "--Voila.port=8866"} <= set(command) and session.log.closed
    page = (session.home / "label.ipynb").read_text(encoding="utf-8")
    code = "".join(json.loads(page)["cells"][0]["source"])
    assert repr(str(folder)) in code
    compile(code, "page", "exec")


def test_ctrl_c_ends_the_page_even_if_it_alone_has_not_heard_it(begun, tmp_path, monkeypatch):
    _, _, session = begun
    answers, done = [KeyboardInterrupt, subprocess.TimeoutExpired("voila", 10), 0], []

    def wait(timeout):
        done.append(f"waited {timeout}")
        if answers[0] != 0:
            raise answers.pop(0)
        return 0

    child = SimpleNamespace(wait=wait, terminate=lambda: done.append("terminated"))
    monkeypatch.setattr("oreal_lib.annotate.serve.signal.signal", lambda *_: None)
    monkeypatch.setattr("oreal_lib.annotate.serve.subprocess.Popen", lambda command: child)
    with pytest.raises(KeyboardInterrupt):
        serve(session, tmp_path, browser=False)
    assert done == ["waited None", "waited 10.0", "terminated", "waited 10.0"]
