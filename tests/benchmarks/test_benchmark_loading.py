import json
from pathlib import Path

import numpy as np
import pytest

from oreal_lib.data.store import open_store

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def program():
    """The benchmark's module, found as it is when it is started from the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import loading

        yield loading


@pytest.fixture(scope="module")
def results(program, tmp_path_factory):
    """What the tiny benchmark returned, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("results")
    return program.main(["--tiny", "--out", str(out)]), out


def test_loading_is_set_against_compute(results):
    share = results[0]["share"]
    assert (share["model"], share["height"], share["width"], share["batch"]) == ("small_unet", 64, 64, 2)
    for s in (share["loading_ms_per_step"], share["compute_ms_per_step"], *share["images_per_s"].values()):
        assert 0 < s["least"] <= s["median"] <= s["most"]
    assert list(share["images_per_s"]) == ["0", "2"] and 0 < share["waiting_in_training"]["median"] < 1
    assert share["goal_met"] == (share["loading_to_compute"]["median"] <= 0.05)


def test_memory_is_told_for_each_number_of_loaders_where_the_system_tells_it(program, results):
    memory = results[0]["memory"]
    if not program.STATUS.is_file():
        assert memory is None
        return
    assert list(memory["mib_by_loaders"]) == ["0", "2"] and memory["pictures"] == 8
    for m in memory["mib_by_loaders"].values():
        assert 0 < m["RssAnon before"] <= m["RssAnon"] < m["VmHWM"] and m["RssFile"] > 0


def test_the_file_holds_what_was_returned(results):
    assert json.loads((results[1] / "loading_cpu.json").read_text(encoding="utf-8")) == results[0]


def test_the_store_of_random_bytes_is_a_store(program, tmp_path):
    dataset = open_store(program.write_store(tmp_path, 3, 30, 40))
    assert dataset.images.shape == (3, 30, 40, 3) and isinstance(dataset.images, np.memmap)
    assert dataset.truth.max() < len(dataset.classes) and len(np.unique(dataset.images)) == 256
    assert dataset.superpixels.maps.shape == (3, 30, 40) and len(dataset.superpixels) == len(dataset.votes) == 3 * 150


def test_loading_reads_views_of_the_mapped_store(program, tmp_path):
    pairs = program.pairs_of(program.write_store(tmp_path, 3, 30, 40))
    assert all(isinstance(image, np.memmap) and not image.flags.owndata for image in pairs.images)


@pytest.mark.parametrize("wrong", [["--tiny"], ["--steps", "0"], ["--batches", "-1"]])
def test_a_wrong_command_is_refused_before_it_measures(program, wrong, capsys):
    with pytest.raises(SystemExit):
        program.main(wrong)
    assert wrong[0] in capsys.readouterr().err
