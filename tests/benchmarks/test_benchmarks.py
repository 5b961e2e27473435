import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def programs():
    """The benchmark's modules, found as they are when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import plain_training
        import training
        import ways

        yield training, plain_training, ways


@pytest.fixture(scope="module")
def results(programs, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    return programs[0].main(["--tiny", "--device", "cpu", "--precision", "float32", "--out", str(out)]), out


def test_the_tiny_benchmark_measures_every_column(results):
    (row,) = results[0]["rows"]
    assert row["model"] == "small_unet" and row["precision"] == "float32" and not row["compile"]
    rates = [row["plain"]["images_per_s"], row["ours"]["images_per_s"], row["ratio"], *row["loading"].values()]
    rates += [row["evaluation"][name] for name in ("plain", "ours", "ratio")]
    for s in rates:
        assert 0 < s["least"] <= s["median"] <= s["most"] < np.inf
    assert list(row["loading"]) == ["decode_per_epoch", "loaders_0", "loaders_1", "loaders_2", "loaders_4"]
    for s in (row["plain"]["on_data"], row["ours"]["on_data"], row["ours"]["on_data_after_first_batch"]):
        assert 0 <= s["least"] <= s["most"] < 1
    assert "goal_met" not in row  # the goal is of a GPU


def test_both_ways_see_the_same_batches_and_learn_the_same(results):
    (row,) = results[0]["rows"]
    plain, ours = row["loss"]["plain"], row["loss"]["other"]
    assert len(plain) == len(ours) == 1 + 2 * 3 and plain[0] == pytest.approx(ours[0], rel=1e-5)
    assert row["loss"]["mean_difference"] <= row["loss"]["largest_difference"] < 2e-3
    assert len(set(plain)) == len(plain) and plain[-1] < plain[0]
    assert row["evaluation"]["pixels_that_differ"] < 1e-3


def test_the_files_hold_what_was_returned(results):
    assert json.loads((results[1] / "training_cpu.json").read_text(encoding="utf-8")) == results[0]
    with Image.open(results[1] / "training_cpu.png") as picture:
        assert picture.width > 300


def test_the_arrays_hold_what_the_files_decode_to(programs, tmp_path):
    pairs, files = programs[1].write_scenes(tmp_path / "scenes", 2, 32, 40, seed=3)
    assert pairs.images.shape == (2, 32, 40, 3) and pairs.target.shape == (2, 32, 40) and len(files) == 2
    assert np.array_equal(files.images[1], pairs.images[1]) and np.array_equal(files.target[1], pairs.target[1])


def test_threads_and_tf32_are_as_before_afterwards(programs):
    def now():
        return torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = now()
    for tf32, inside in ((False, (1, "highest", False)), (True, (1, "high", True))):
        with programs[2].machine(torch.device("cuda"), 1, tf32):
            assert now() == inside
        assert now() == before


@pytest.mark.parametrize("wrong", [["--tiny"], ["--size", "96"], ["--steps", "0"], ["--batch", "0"]])
def test_a_wrong_command_is_refused_before_it_measures(programs, wrong, capsys):
    with pytest.raises(SystemExit):
        programs[0].main(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_a_run_computed_again_is_the_same_and_another_seed_is_not(tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import determinism
    rows = determinism.main(["--tiny", "--out", str(tmp_path)])["rows"]
    assert [row["run"] for row in rows] == ["bvsb max"]
    for row in rows:
        assert row["again"] == {"identical": True, "only_one_asked": 0.0, "last_miou": 0.0, "mean_miou": 0.0}
        assert not row["seed"]["identical"] and 0 < row["seed"]["only_one_asked"] <= 100
    assert "| bvsb max | again, the same | yes | 0 | 0 | 0 |" in (tmp_path / "determinism_cpu.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "determinism_cpu.json").read_text(encoding="utf-8"))["rows"] == rows
