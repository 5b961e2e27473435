import struct

import numpy as np
import pytest
import torch

from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RECORD, RunFolder, publish, step_from_json, step_to_json
from oreal_lib.storage import checked
from oreal_lib.types import StepResult


def test_pseudo_labels_that_the_archive_s_list_leaves_out_are_missed(tmp_path):
    """The list at the end of a zip file has no checksum: a shorter one would give fewer pictures."""
    folder = RunFolder(tmp_path)
    folder.save_pseudo(1, [np.full((2, 3), i, np.uint8) for i in range(3)])
    file = tmp_path / "pseudo_step1.npz"
    data = file.read_bytes()
    last, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    begin = int.from_bytes(data[end + 16 : end + 20], "little")
    short = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, last - begin, begin, 0)
    file.write_bytes(data[:last] + short)
    with pytest.raises(ValueError, match=r"pseudo_step1.npz is damaged .*its list of arrays is torn.*it is made again"):
        folder.pseudo(1)
    assert folder.pseudo(2) is None


def test_an_undefined_iou_is_null_on_disk():
    nan = float("nan")
    step = StepResult(1, 8, 0.1, 0.1, 0.5, (0.5, None), nan, 0.4, (1, 7), None, 2, {"train": 1.0})
    line = checked.dumps(step_to_json(step))
    assert '"boundary_miou":null' in line and str(step_from_json(line)) == str(step)


def test_the_network_before_step_2_may_lie_beside_and_the_others_not(tmp_path, tiny_config):
    config, kept = tiny_config(strategy="oreal"), {"w": torch.zeros(1)}
    folder, first = (RunFolder(tmp_path / c.run_id) for c in (config, config.step_one))
    assert folder.network_before(2) is None
    folder.save_json("config.json", config.values() | {"run_id": config.run_id})
    first.save_weights(1, kept)
    assert folder.network_before(2) == first and folder.network_before(3) is None
    folder.save_weights(1, kept)
    folder.save_weights(2, kept)
    assert folder.network_before(2) == folder.network_before(3) == folder


def test_a_published_record_does_not_say_where_the_data_lay(tiny_config, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("OREAL_HOME", str(tmp_path / "home"))
    config = tiny_config(supervision="full_masks", data_root=str(tmp_path / "somewhere"))
    list(run(config, tmp_path / "runs", tiny))
    (target,) = publish([config], tmp_path / "runs")
    assert {p.name for p in target.iterdir()} == set(RECORD)
    ours, theirs = RunFolder(tmp_path / "runs" / config.run_id), RunFolder(target)
    assert ours.config["data_root"] and theirs.config == ours.config | {"data_root": None}
    assert theirs.steps() == ours.steps() and theirs.done == ours.done
    assert str(tmp_path).encode() not in b"".join(p.read_bytes() for p in target.iterdir())
