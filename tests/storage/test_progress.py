"""Whoever waits is told how far the work is. By a clock of ours: what takes milliseconds here takes minutes in the tests.

WORK has each kind of work that can take more than five seconds, with the lines it says. Fingerprints of data (at most 256 MiB are
read) and report notebooks (tables of runs) take less; CBAL's choice is one call and cannot be divided.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from oreal_lib.annotate import training
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.out.predictions import predict_folder
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.masks import import_masks
from oreal_lib.annotate.several.merge import merge
from oreal_lib.data import open_source, open_store
from oreal_lib.data.check import check
from oreal_lib.data.description import describe
from oreal_lib.data.prepare import prepare
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports import mechanism
from oreal_lib.setting import network
from oreal_lib.storage import atomic, checked, progress
from oreal_lib.storage.progress import LONGEST, Progress, lines_begin, lines_to, log, spoken, told
from oreal_lib.superpixels import SuperpixelRecipe

# words and pace


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def lines_at(clock):
    """A function: [(second, line)] of work whose item i is done at seconds[i]."""

    def lines_at(seconds, total, before=0):
        said, work = [], Progress("{done} of {total} images", total, before=before)
        with lines_to(lambda line: said.append((clock.now, line))):
            for done, clock.now in enumerate(seconds, start=1 + before):
                work.at(done)
        return said

    return lines_at


def test_work_of_five_seconds_says_nothing(lines_at):
    assert lines_at(np.linspace(0.5, 4.99, 9), total=10) == []


@pytest.mark.parametrize(
    "seconds, total, before, place, line",
    [
        (range(1, 10), 10, 0, 0, (5, "5 of 10 images, about 5 s left")),
        ([6, 12, 18], 3, 0, -1, (12, "2 of 3 images, about 6 s left")),  # the end is not progress
        ([60, 61, 62, 63, 64, 65, 66, 67], 10, 0, 0, (60, "1 of 10 images")),  # a slow first item, and then a second each
        ([60, 61, 62, 63, 64, 65, 66, 67], 10, 0, 1, (67, "8 of 10 images, about 2 s left")),
        ([10, 20, 30], 100, 90, 1, (20, "92 of 100 images, about 80 s left")),  # an earlier attempt did 90
    ],
)
def test_a_line_says_how_much_is_done_and_what_is_left(lines_at, seconds, total, before, place, line):
    assert lines_at(seconds, total, before)[place] == line


def test_lines_come_every_five_seconds_at_first_and_in_ten_hours_about_twelve_hundred_times(lines_at):
    seconds = [second for second, _ in lines_at(range(1, 36_001), total=40_000)]
    assert seconds[:4] == [5, 10, 15, 20] and set(np.diff(seconds[-1000:])) == {LONGEST} and 1200 <= len(seconds) < 1250


def test_an_item_can_be_done_in_part(clock):
    said, work = [], Progress("", 10, quick=0.1, left="at most about {} left")
    with lines_to(said.append):
        for clock.now, done in ((1, 0.1), (11, 0.6)):
            work.at(done, f"epoch 1: {done}")
    assert said == ["epoch 1: 0.6, at most about 3 minutes left"]


def test_items_come_through_unchanged_and_their_worker_is_measured(clock):
    said = []
    with lines_to(said.append):
        for item in told(iter("abc"), "{done} of {total} letters", 3):
            clock.now += 7
            assert item == "abc"[int(clock.now) // 7 - 1]
    assert said == ["1 of 3 letters", "2 of 3 letters, about 7 s left"]


def test_lines_begin_as_told_inside_and_go_where_told():
    said = []
    with lines_to(said.append):
        with lines_begin("run 3: "):
            log.info("trained")
        log.info("done")
    assert said == ["run 3: trained", "done"]


@pytest.mark.parametrize(
    "seconds, words", [(0.118, "0.12 s"), (4.93, "4.9 s"), (119, "119 s"), (200, "3 minutes"), (7600, "2.1 hours")]
)
def test_times_in_words(seconds, words):
    assert spoken(seconds) == words


# everything


@pytest.fixture
def slow(monkeypatch):
    """Each look at the clock is seven seconds later than the last: a line for every item."""
    now = iter(range(0, 10**9, 7))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(progress, "SHARE", 0.0)


@pytest.fixture
def photos(tmp_path):
    """Three gray pictures of 32 x 32 pixels."""
    (tmp_path / "photos").mkdir()
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def running(tiny_config, tiny, tmp_path, **_):
    list(run(tiny_config(strategy="bvsb", steps=2, max_epochs=3, void="exclude"), tmp_path, tiny))
    list(run(tiny_config(labeling="weak", classifier="cosine", stage=2, steps=1), tmp_path, tiny))


def reporting(tiny_config, tiny, tmp_path, monkeypatch, **_):
    monkeypatch.setattr("oreal_lib.setting.dataset_of", lambda *a, **k: tiny)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.save_weights(1, network(tiny_config(), len(tiny.classes)).state_dict())
    mechanism.correlations({folder: tiny_config()}, ("mean", "max"), 3)


def preparing(tmp_path, **_):
    toy = open_source("toy", None, 32, 32, {"scene": "large_tools", "generator_seed": 1, "train": 3, "test": 1})
    recipe = SuperpixelRecipe(method="grid", count=16)
    check(toy, 1)
    describe(toy, recipe, 3, np.random.default_rng(0), 1)
    open_store(prepare(toy, recipe, store_root=tmp_path, workers=1))


def labeling(photos, tmp_path, tiny_config, monkeypatch, **_):
    """Everything with which a person begins and ends."""
    monkeypatch.setattr(training, "LEAST_STEPS", 2)
    shape = {"superpixel_method": "grid", "superpixel_count": 4, "workers": 1, "height": 32, "width": 32, "max_epochs": 1}
    for name in ("ana", "ben"):
        session = open_session(photos, ["road", "car"], annotator=name, live=False, device="cpu", **shape)
        session.act("label", 0, [0], to="road")
        session.act("label", 1, [1], to="car")
        board, config = session.board, session.config
        training.pairs(board, 32)
        training.ask(config, board, network(config, 2), 2)
        import_masks(session, export(session).out / "labels")
        session.close()
    merge(photos, ["ana", "ben"], "both")
    config, model = tiny_config(resize="crop"), tmp_path / "model"
    atomic.write_bytes(model / "weights.safetensors", checked.dump_tensors(network(config, 2).state_dict()))
    colors = [[0, 0, 0], [9, 9, 9]]
    checked.write(
        model / "model.json", {"classes": ["road", "car"], "colors": colors, "working_side": 32, "config": config.values()}
    )
    predict_folder(model, photos, tmp_path / "out", "cpu")


LEFT = r", about \S+ \S+ left"
WORK = {  # what takes long -> what it says
    running: [
        r"epoch 1 of at most 3: 1 of 2 batches",
        r"epoch 2 of at most 3: validation mIoU \S+, best validation mIoU \S+ \(epoch \d\), at most about \S+ \S+ left",
        "looking for void: 2 of 6 images" + LEFT,
        r"\[\S+\] step 1: painting the labels: 2 of 6 images" + LEFT,
        r"\[\S+\] step 1: testing: 2 of 4 images" + LEFT,
        r"\[\S+\] step 2: looking at the pool: 5 of 6 images" + LEFT,
        r"\[\S+\] step 2: looking for borders in what was asked: 2 of \d images" + LEFT,
        "pseudo labels: 5 of 6 images" + LEFT,
        "comparing the pseudo labels: 2 of 6 images" + LEFT,
    ],
    reporting: ["run: looking at the pool: 2 of 3 images" + LEFT, "run: ranks of 2 of 3 images" + LEFT],
    preparing: [
        "  2 of 4 images opened" + LEFT,
        "  2 of 3 images cut into superpixels" + LEFT,
        "  2 of 4 images" + LEFT,
        r"  checksums: 0\.0 of 0\.0 GB" + LEFT,
        r"checking the prepared data: 0\.0 of 0\.0 GB" + LEFT,
    ],
    labeling: [
        "2 of 3 pictures are cut" + LEFT,
        "reading 2 of 3 pictures" + LEFT,
        "choosing what to ask: 2 of 3 pictures" + LEFT,
        "2 of 3 pictures are exported" + LEFT,
        "2 of 3 masks are read" + LEFT,
        "2 of 3 pictures are merged" + LEFT,
        "2 of 3 pictures are predicted" + LEFT,
    ],
}


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_work_that_can_take_long_says_how_far_it_is(work, slow, tiny, tiny_config, photos, tmp_path, monkeypatch, capsys):
    said = []
    with lines_to(said.append):
        work(tiny=tiny, tiny_config=tiny_config, photos=photos, tmp_path=tmp_path, monkeypatch=monkeypatch)
    for text in WORK[work]:
        assert any(re.search(text, line) for line in said), (text, said)
    assert capsys.readouterr().out == "", "the lines went elsewhere"
    assert not any("\r" in line or "\n" in line for line in said)
