"""What is told about quality: by hand, and never of a click that was learned from."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from oreal_lib.annotate import quality
from oreal_lib.annotate.beside import _Work
from oreal_lib.annotate.board import UNLABELED
from oreal_lib.annotate.events import Event
from oreal_lib.annotate.quality import Examples, examples, foreseen, marks, rows, told

CLASSES = ("sky", "road")


def agreement(clicked, n_classes):
    *_, found = quality.agreement(clicked, n_classes)
    return found


def label(number, superpixels, to="sky", image="a", **more):
    return Event("label", str(number), image=image, superpixels=tuple(superpixels), to=to, **more)


def test_quality_is_told_after_ten_clicks_and_then_after_a_fifth_more_each_time():
    acts = [label(k, [k]) for k in range(40)]
    assert [n for _, n in marks(acts)] == [10, 12, 15, 18, 21, 25, 30, 36]
    drag = [label(0, range(9)), Event("skip", "1", image="a", superpixels=(9,)), label(2, range(9, 40)), label(3, [40])]
    assert marks(drag) == [(3, 40)]
    assert marks([label(k, [k], how="import") for k in range(40)]) == marks([]) == []


def clicked(pictures, of_class, own=0.0):
    """Clicks of both classes in each picture. of_class: what each class looks like in all pictures; own: in its picture alone."""
    places = [(i, c) for i in range(pictures) for c in (0, 0, 1)]
    means = np.zeros((len(places), 1 + pictures))
    for row, (i, c) in zip(means, places, strict=True):
        row[0], row[1 + i] = of_class * c, own * (2 * c - 1)
    means = means.repeat(100, axis=1)  # against the pull toward zero
    numbers, classes = np.array(places).T
    return Examples(means, classes, numbers, means.mean(axis=0), np.maximum(means.std(axis=0), 1e-6))


def test_clicks_are_foretold_from_other_pictures():
    assert agreement(clicked(6, of_class=1.0), 3) == [[12, 12], [6, 6], [0, 0]]


def test_what_only_neighbors_in_the_same_picture_tell_does_not_count():
    alike = clicked(6, of_class=0.0, own=1.0)
    assert agreement(alike, 2) == [[12, 12], [0, 6]]  # the more frequent class is all that is known
    assert agreement(replace(alike, pictures=np.arange(18)), 2) == [[12, 12], [6, 6]]  # folds of superpixels would look well


def test_with_clicks_in_two_pictures_nothing_is_said_and_one_class_foretells_itself():
    assert agreement(clicked(2, of_class=1.0), 2) == []
    three = clicked(3, of_class=1.0)
    one = Examples(three.means, np.array([0, 0, 0, 0, 0, 0, 0, 0, 1]), three.pictures, three.center, three.scale)
    assert agreement(one, 2)[1] == [0, 1]  # without its picture there is no second class


def test_the_page_gets_the_last_measure_and_a_curve_over_clicks_and_minutes():
    events = [label(k, [k], seconds=6.0) for k in range(13)]
    events.insert(3, Event("undo", "u", seconds=60.0))  # the minutes of what was taken back were spent
    measured = {"9": [[4, 8], [1, 2]], "11": [[9, 10], [0, 2]], "12": [[13, 13], [0, 0]]}  # after 13 clicks: no mark
    acts = [e for e in events if e.what == "label"]
    said = told(acts, events, measured)
    assert said == {"agreement": 0.75, "n": 12, "per_class": [[9, 10], [0, 2]], "curve": [[10, 2.0, 0.5], [12, 2.2, 0.75]]}
    assert told(acts, events, {"9": []}) == {"agreement": None, "n": 0, "per_class": [], "curve": []}
    table = list(rows(acts, events, measured, None, CLASSES))
    assert table == [[2.0, 10, 12.0, 0.5, 10, 0, 0], [2.2, 12, 6.0, 0.75, 12, 0, 0], [2.3, 13, 6.0, 1.0, 13, 0, 0]]


def test_only_the_last_answers_are_looked_back_at(monkeypatch):
    monkeypatch.setattr(quality, "RECENT", 2)
    acts = [label(0, [0, 1], "sky", seen=(1, 1)), label(1, [2, 3], "road", seen=(1, UNLABELED)), label(2, [4], "road", seen=(0,))]
    assert foreseen(acts[:1], CLASSES) == (0, 2) and foreseen(acts[:2], CLASSES) == (1, 2) and foreseen(acts, CLASSES) == (1, 2)


class Learner:
    """Two pictures of three superpixels, whose feature is their number; the second has none yet."""

    def __init__(self):
        pictures = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
        named = SimpleNamespace(codes={name: c for c, name in enumerate(CLASSES)})
        self.board = SimpleNamespace(pictures=pictures, classes=CLASSES, named=named, labels=lambda i: np.zeros(3), acts=[])
        self.classifier = self

    def means(self, i, superpixel):
        return np.array([superpixel]) if i == 0 else None

    def standard(self):
        return np.zeros(1), np.ones(1)


def test_the_last_answer_of_each_superpixel_is_an_example():
    acts = [
        label(0, [0, 1]),
        label(1, [1], "road"),
        label(2, [2], "void"),
        label(3, [0], ""),
        label(4, [7]),
        label(5, [0], image="gone"),
    ]
    found = examples(Learner(), acts)
    assert found.means.tolist() == [[1]] and found.classes.tolist() == [1] and found.pictures.tolist() == [0]
    assert examples(Learner(), [*acts, label(6, [0], image="b")]) is None
    assert examples(Learner(), []) is None


def test_a_click_waits_for_one_fold_at_most_and_the_last_due_measure_comes_first(monkeypatch):
    fitted, said = [], []
    work = _Work.__new__(_Work)
    work.learner, work.measured, work.measuring = Learner(), set(), None
    work.say = lambda kind, **more: said.append((kind, more))
    monkeypatch.setattr(quality, "examples", lambda learner, acts: clicked(6, of_class=1.0) if acts[-1].image == "a" else None)
    monkeypatch.setattr(quality, "classifier_of", lambda *given: fitted.append(given))
    acts = work.learner.board.acts
    acts += [label(k, [k]) for k in range(9)]
    work._due()
    assert work.measuring is None
    acts += [label(k, [k]) for k in range(9, 12)]
    work._due()
    for folds in range(1, quality.FOLDS + 1):
        assert work.measuring
        work._measure()
        assert len(fitted) == folds and not said
    acts.append(label(12, [12]))  # a click between two folds
    work._measure()
    assert said == [("quality", {"act": "11", "per_class": [[12, 12], [0, 6]]})] and work.measured == {"11"}
    work._due()
    assert work.measuring[0] == "9"
    work.measured.add("9")
    work.measuring = None
    acts += [label(k, [k], image="b") for k in range(13, 15)]  # a picture without features
    work._due()
    assert work.measuring is None
