import json
from pathlib import Path

import numpy as np
import pytest
import torch

from oreal_lib.lessons import contract
from oreal_lib.strategies import STRATEGIES

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
STRATEGY_NAMES = ("bvsb", "revisiting_sp", "pixelbal", "cbal", "oreal")


@pytest.fixture(scope="module")
def programs():
    """The benchmark's modules, found as they are when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import acquisition
        import published

        yield acquisition, published


@pytest.fixture(scope="module")
def results(programs, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    return programs[0].main(["--tiny", "--device", "cpu", "--threads", "1", "--out", str(out)]), out


def as_published(published, strategy, how, seed, passes=None):
    """What the published way asks of a pool of the contract, as a set; `passes` counts how often it looks."""
    p, _, regions = contract.pool(seed)

    def logits():
        if passes is not None:
            passes.append(1)
        return iter(p.log())

    rng = np.random.default_rng(seed)
    ids = published.ask(strategy, how, logits, regions.superpixels, contract.bought(seed), 9, contract.C, rng)
    assert len(ids) == len(set(ids.tolist())) == 9 and contract.bought(seed).unlabeled[ids].all()
    return set(ids.tolist())


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("strategy", STRATEGY_NAMES)
def test_the_published_way_asks_the_same_superpixels_as_ours(programs, strategy, how):
    for seed in range(8):
        ours = STRATEGIES[strategy](contract.pool(seed)[2], contract.bought(seed), 9, how, np.random.default_rng(seed))
        assert as_published(programs[1], strategy, how, seed) == set(ours.ids.tolist())


def test_only_pixelbal_is_published_with_two_inference_passes(programs):
    looked = {}
    for strategy in ("random", *STRATEGY_NAMES):
        passes = []
        as_published(programs[1], strategy, "max", 0, passes)
        looked[strategy] = len(passes)
    assert looked == {"random": 0, "bvsb": 1, "revisiting_sp": 1, "pixelbal": 2, "cbal": 1, "oreal": 1}


def test_the_list_is_walked_from_the_top_past_what_is_labeled_and_ties_go_to_the_last_path(programs):
    scored = [(0.5, "a", 0), (0.9, "a", 1), (0.5, "b", 0), (0.1, "b", 1)]
    assert programs[1].walked(scored, {("a", 1)}, 2) == [("b", 0), ("a", 0)]


def test_scatter_and_one_hot_vectors_do_what_they_say(programs):
    ids = torch.tensor([[0, 0, 1], [0, 1, 1]])
    score = torch.tensor([[[1.0, 2.0, 5.0], [6.0, 7.0, 0.0]]])
    assert programs[1].scattered(score, ids, 2, "mean").tolist() == [[3.0, 4.0]]
    assert programs[1].scattered(score, ids, 2, "max").tolist() == [[6.0, 7.0]]
    p = torch.tensor([[0.9, 0.2, 0.4], [0.8, 0.3, 0.6]])  # of class 0
    assert programs[1].majority(torch.stack([p, 1 - p]), ids, 2).tolist() == [0, 1]


def test_the_tiny_benchmark_measures_every_strategy(results):
    rows = results[0]["rows"]
    assert [(r["strategy"], r["how"]) for r in rows[1:]] == [(s, how) for s in STRATEGY_NAMES for how in ("mean", "max")]
    assert rows[0]["strategy"] == "random" and rows[0]["passes"] == 0 and rows[0]["goals_met"] == {}
    for row in rows[1:]:
        assert (
            row["passes"] == (2 if row["strategy"] == "pixelbal" else 1) and row["goals_met"]["passes"] and row["asked_alike"] == 1
        )
        assert set(row["goals_met"]) == {"passes", "score_over_softmax", "whole_over_forward", "published_over_ours"}
        for s in (*row["seconds_per_image"].values(), row["score_over_softmax"], row["published_over_ours"]):
            assert 0 < s["least"] <= s["median"] <= s["most"] < np.inf
        twice = row["published_over_ours_with_its_passes"]["median"] > row["published_over_ours"]["median"]
        assert twice == (row["published_passes"] == 2) == (row["strategy"] == "pixelbal")


def test_the_file_holds_what_was_returned(results):
    assert json.loads((results[1] / "acquisition_cpu.json").read_text(encoding="utf-8")) == json.loads(json.dumps(results[0]))


def test_a_goal_is_judged_by_the_median_and_only_where_there_is_one(programs):
    row = {"strategy": "bvsb", "passes": 2, "score_over_softmax": {"median": 2.5}, "whole_over_forward": {"median": 1.12}}
    assert programs[0].judged(row, gpu=False) == {"passes": False, "score_over_softmax": True, "whole_over_forward": True}
    assert programs[0].judged(row, gpu=True) == {"passes": False, "whole_over_forward": False}


@pytest.mark.parametrize(
    "wrong", [["--tiny"], ["--sizes", "96"], ["--threads", "0"], ["--repeats", "0"], ["--network-repeats", "-1"]]
)
def test_a_wrong_command_is_refused_before_it_measures(programs, wrong, capsys):
    with pytest.raises(SystemExit):
        programs[0].main(wrong)
    assert wrong[0] in capsys.readouterr().err
