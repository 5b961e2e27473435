"""The weights that are released measure what their record says, loaded by the line of the model card."""

import re

import numpy as np
import pytest

from oreal_lib.batches import Pairs
from oreal_lib.data.readers import toy
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.metrics import class_iou, miou
from oreal_lib.predict import evaluate
from oreal_lib.storage.paths import home

CARD = (home() / "docs" / "model_card.md").read_text(encoding="utf-8")
FOLDERS = sorted((home() / "docs" / "weights").iterdir())


@pytest.mark.parametrize("path", FOLDERS, ids=lambda path: path.name)
def test_a_released_network_measures_what_its_record_says(path, monkeypatch):
    monkeypatch.chdir(home())
    (code,) = re.findall(r"```python\n(.*?)```", CARD, re.S)
    assert path.name in code
    names = {"image": np.zeros((96, 128, 3), np.uint8)}
    exec(code, names)
    assert names["classes"].shape == (96, 128)

    folder = RunFolder(path)
    about, record = folder.config, folder.steps()[-1]
    source = toy.read(**about["data_options"], height=about["height"], width=about["width"])
    images, truth = zip(*(source.open(item) for item in source.items if item.split == "test"), strict=True)
    whole, _ = evaluate(names["network"], Pairs(np.stack(images), np.stack(truth)), about["eval_batch_size"])
    assert abs(miou(whole) - record.miou) < 1e-3  # another processor adds in another order
    np.testing.assert_allclose(class_iou(whole), record.class_iou, atol=5e-3)


def test_what_is_released_is_small_and_of_drawn_scenes():
    assert sum(f.stat().st_size for path in FOLDERS for f in path.iterdir()) < 5e6
    assert all(RunFolder(path).config["dataset"] == "toy" for path in FOLDERS)
