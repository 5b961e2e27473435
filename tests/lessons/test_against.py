"""You against a strategy: the same rules for both."""

import numpy as np
import pytest

from oreal_lib.annotate.session import open_session
from oreal_lib.experiments import run as running
from oreal_lib.lessons import against, race
from oreal_lib.setting import open_setting


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
