"""Prediction and evaluation, against plain loops."""

import numpy as np
import pytest
import torch
from test_train import net, scenes
from torch import nn

from oreal_lib.batches import Pairs
from oreal_lib.metrics import class_border
from oreal_lib.predict import evaluate, predict
from oreal_lib.storage.devices import choose_device
from oreal_lib.storage.ragged import Ragged
from oreal_lib.types import IGNORE


def test_the_confusion_is_the_one_of_a_plain_loop():
    model, pairs = net().eval(), scenes(5, 3)
    whole, band = evaluate(model, pairs, 2, border=2)
    expected = np.zeros((2, 2, 2), int)
    for image, truth in zip(pairs.images, pairs.target, strict=True):
        with torch.no_grad():
            guess = model(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])[0].argmax(0)
        near = class_border(truth, 2)
        for y, x in np.ndindex(32, 32):
            if truth[y, x] != IGNORE:
                expected[0, truth[y, x], guess[y, x]] += 1
                expected[1, truth[y, x], guess[y, x]] += near[y, x]
    assert (whole == expected[0]).all() and (band == expected[1]).all() and evaluate(model, pairs, 5)[1] is None


def test_predictions_are_probabilities_in_order_whatever_the_batch():
    model, images = net(), scenes(5).images
    one, many = (list(predict(model, images, size)) for size in (1, 4))
    assert len(one) == len(many) == 5 and not model.training
    for a, b in zip(one, many, strict=True):
        assert a.shape == (2, 32, 32) and torch.allclose(a, b, atol=1e-6) and torch.allclose(a.sum(0), torch.ones(32, 32))


# the device


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "meta", "cuda:99", "cuda", "mps"])
def test_an_unknown_or_absent_device_is_told_with_the_remedy(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: name == "cuda:99")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device is {name!r}.*write .*auto"):
        choose_device(name)


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch):
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto").type == kind
    assert choose_device("cpu").type == "cpu"


# pictures whose size is not that of their masks


class Same(nn.Module):
    """Logits that are the picture's first two channels; needs a parameter to say where it lives."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x[:, :2] * self.weight


def test_logits_are_brought_to_the_size_of_the_mask():
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[:, :, :2, 0], image[:, :, 2:, 1] = 255, 255  # class 0 left, class 1 right
    truth = np.zeros((1, 8, 12), np.uint8)
    truth[:, :, 6:] = 1
    truth[0, 0, 0] = IGNORE
    assert evaluate(Same(), Pairs(image, truth))[0].tolist() == [[47, 0], [0, 48]]


def test_images_of_many_sizes_are_predicted_in_order():
    sizes = [(4, 6), (4, 6), (5, 3), (4, 6), (7, 7)]
    images = Ragged(tuple(np.full((*s, 3), 50 * i, np.uint8) for i, s in enumerate(sizes)))
    maps = list(predict(Same(), images, batch_size=4))
    assert [tuple(p.shape[1:]) for p in maps] == sizes
    pairs = Pairs(images, Ragged(tuple(np.zeros(s, np.uint8) for s in sizes)))
    assert evaluate(Same(), pairs, 4)[0].sum() == sum(h * w for h, w in sizes)
