"""That every benchmark runs and writes what it says, not how fast it is."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import __main__ as program
from benchmarks import bench, label, published, settings, training
from benchmarks.acquisition import pool_of
from oreal_lib.batches import Pairs
from oreal_lib.storage.paths import home
from oreal_lib.strategies import STRATEGIES

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    ["acquisition", "selection", *(pytest.param(n, marks=SLOW) for n in ("superpixels", "training", "features", "run", "kernels"))],
)
def test_a_tiny_benchmark_writes_a_row_for_each_pair(name, tmp_path, capsys):
    threads = torch.get_num_threads()
    program.main([name, "--tiny", "--out", str(tmp_path)])
    found = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert found["rows"] and {"device", "versions", "commit", "load_average"} < set(found)
    for row in found["rows"]:
        for side in ("ours", "other", "ratio"):
            assert 0 < row[side]["least"] <= row[side]["median"] <= row[side]["most"] < np.inf
        assert row["against"] and "DIFFERENT" not in row["same"]
    assert torch.get_num_threads() == threads


def test_a_ratio_is_taken_turn_by_turn():
    found = bench.row("what", "plain", ours=[1, 2, 4], other=[3, 2, 40])
    assert found["ratio"] == {"median": 3, "least": 1, "most": 10} and found["n"] == 3
    assert "| what | plain | 2 s | 3 s | 3 (1 to 10) |  | 3 |" in bench.table({"rows": [found]})


def test_both_ways_take_turns_and_the_first_turn_does_not_count():
    order = []
    found = bench.bench("", "", lambda: order.append("ours"), lambda: order.append("other"), 2, lambda a, b: "")
    assert order == ["ours", "other"] * 3 and found["n"] == 2


@pytest.mark.parametrize("strategy", published.WAYS)
def test_the_published_way_asks_what_ours_asks(strategy):
    pool = pool_of(32, 64, 32, 2, 3, "grid")
    for how in ("mean", "max"):
        ours, other = pool.ours(strategy, how), pool.published(strategy, how)
        assert len(other) == len(set(other.tolist())) == pool.budget and pool.labels.unlabeled[other].all()
        assert np.isin(ours, other).mean() >= 0.8  # the small constants in logarithms and ratios decide the rest
    assert set(published.WAYS) < set(STRATEGIES)


def test_the_arrays_hold_what_the_files_decode_to(tmp_path):
    arrays, files = training.write_scenes(tmp_path, 2, 32, 40)
    assert isinstance(files, Pairs) and arrays.images.shape == (2, 32, 40, 3)
    assert np.array_equal(files.images[1], arrays.images[1]) and np.array_equal(files.target[1], arrays.target[1])


@pytest.mark.parametrize("wrong, said", [(["--tiny"], "--out"), (["speed"], "there is no benchmark speed")])
def test_a_wrong_command_is_refused_before_it_measures(wrong, said, capsys):
    with pytest.raises(SystemExit):
        program.main(wrong)
    assert said in capsys.readouterr().err


def test_the_page_of_speed_is_made_from_the_results():
    """After a new measurement: python -m benchmarks --page"""
    assert (home() / "docs" / "speed.md").read_text(encoding="utf-8") == bench.page(program.HEAD, program.SECTIONS)


def test_the_settings_page_is_made_from_its_results():
    found = json.loads((bench.RESULTS / "settings.json").read_text(encoding="utf-8"))
    assert (bench.RESULTS / "settings.md").read_text(encoding="utf-8") == settings.page(found)
    assert list(found["rows"]) == list(settings.CHANGES) and found["seeds"] == list(settings.SEEDS)


def test_the_page_and_the_figure_of_labeling_are_made_from_their_results(tmp_path):
    """After a new measurement: python -m benchmarks.label"""
    found = json.loads((bench.RESULTS / "label.json").read_text(encoding="utf-8"))
    assert (bench.RESULTS / "label.md").read_text(encoding="utf-8") == label.page(found)
    label.draw(found, tmp_path / "label.png")
    assert (tmp_path / "label.png").stat().st_size > 10_000 and (bench.RESULTS / "label.png").exists()


def test_a_scripted_person_takes_two_seconds_a_click_and_waits_for_what_is_computed(monkeypatch):
    monkeypatch.setattr(label, "CLICKS", (2, 3))
    monkeypatch.setattr(label, "worked", iter([0.0, 4.0, 100.0, 101.0, 200.0]).__next__)  # in between it is judged, not waited
    monkeypatch.setattr(label, "quality", lambda session, truth, way: 0.1 * len(session.acts))
    session, asked = SimpleNamespace(acts=[]), iter(range(10))
    session.act = lambda what, i, superpixels, to: session.acts.append((i, *superpixels, to))
    answers = [["sky", "road", "sky", "road"]]
    assert list(label.curve(session, [], answers, lambda session: (0, next(asked)))) == [(0.2, 0.133), (0.3, 0.183)]
    assert session.acts == [(0, 0, "sky"), (0, 1, "road"), (0, 2, "sky")]


def test_a_difference_of_settings_is_taken_seed_by_seed():
    rows = {"a": [[(0.5, 1.0, 3)], [(0.3, 1.0, 3)]], "b": [[(0.6, 2.0, 3)], [(0.3, 4.0, 3)]]}
    assert settings.table(rows).splitlines()[3] == "| b | 0.450 | +0.050 ± 0.050 | 3 |"
