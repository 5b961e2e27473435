"""Training: the loss, averaged weights, early stopping, the checkpoint, and what goes wrong; on pictures of 32 x 32."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from oreal_lib import train
from oreal_lib.batches import Pairs, batches, epoch
from oreal_lib.metrics import miou
from oreal_lib.predict import evaluate
from oreal_lib.storage.checkpoint import Checkpoint
from oreal_lib.storage.devices import half_precision
from oreal_lib.storage.progress import lines_to
from oreal_lib.train import averaged, cross_entropy, fit
from oreal_lib.types import IGNORE


def scenes(n, seed=0, void=0.2):
    """Pictures of 8x8 blocks, dark = class 0, bright = class 1; a share `void` of the pixels has no label."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, (n, 4, 4)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    images = np.where(truth[..., None] == 1, 200, 50) + rng.integers(-30, 30, (n, 32, 32, 3))
    return Pairs(images.astype(np.uint8), np.where(rng.random(truth.shape) < void, IGNORE, truth).astype(np.uint8))


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(4, 2, 1))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def train_it(tiny_config, tmp_path):
    """fit() on small pictures; changes of the config by name."""

    def go(model, data=None, val=None, max_epochs=4, min_epochs=1, key=(0, 1), say=lambda text: None, **changes):
        epochs = {"full_min_epochs": min_epochs, "full_max_epochs": max_epochs, "supervision": "full_masks"}
        config = tiny_config(**{"patience": 9, "learning_rate": 0.02, **changes}).model_copy(update=epochs)
        keep = Checkpoint(tmp_path / "checkpoint.pt", config.checkpoint_seconds)
        with lines_to(say):
            return fit(model, data or scenes(6), val or scenes(3, 1), config, key, keep)

    return go


# the loss


def test_the_loss_is_the_mean_over_labeled_pixels():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(3, (2, 4, 5), dtype=torch.uint8)
    target[0, :2], target[1, :, 1:3] = IGNORE, IGNORE
    terms = [
        -logits[b, :, y, x].softmax(0)[target[b, y, x].long()].log() for b, y, x in np.ndindex(2, 4, 5) if target[b, y, x] != IGNORE
    ]
    assert torch.allclose(cross_entropy(logits, target), torch.stack(terms).mean())


def test_no_label_is_no_loss_and_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8))
    loss.backward()
    assert loss == 0 and not logits.grad.any()


# averaged weights


@pytest.mark.parametrize("warmup", [True, False])
def test_the_average_is_the_recursion_written_out(warmup):
    model, decay = net(), 0.9
    average = averaged(model, decay, warmup)
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    assert same(average.module.state_dict(), expected) and not average.training
    generator = torch.Generator().manual_seed(1)
    for t in range(12):
        for value in model.state_dict().values():
            value.add_(1 if value.dtype == torch.int64 else torch.randn(value.shape, generator=generator))
        average.update_parameters(model)
        a = min(decay, (1 + t) / (10 + t)) if warmup else decay
        now = model.state_dict()
        expected = {k: now[k].clone() if k.endswith("tracked") else a * expected[k] + (1 - a) * now[k] for k in now}
    got = average.module.state_dict()
    assert all(torch.allclose(got[k], expected[k], atol=1e-5) for k in expected) and got["1.num_batches_tracked"] == 12
    assert not torch.allclose(got["1.running_mean"], model[1].running_mean)  # averaged, not copied


# when training stops, and what it returns


@pytest.mark.parametrize(
    "scores, max_epochs, min_epochs, trained, best",
    [
        ([0.1, 0.5, 0.4, 0.4, 0.9], 9, 1, 4, 2),  # patience 2
        ([0.5, 0.5, 0.5, 0.9], 9, 1, 3, 1),  # equal is not better
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4], 9, 6, 6, 2),  # min_epochs
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.6, 0.1, 0.1], 9, 6, 8, 6),
        ([0.1, 0.2, 0.3, 0.4], 3, 1, 3, 3),  # max_epochs
        ([0.3, 0.2, 0.1, 0.1], 3, 5, 3, 1),  # max_epochs also ends what min_epochs would go on with
        ([0.0, 0.0, 0.0], 9, 1, 3, 1),  # even nothing right is better than not tried
    ],
)
def test_training_stops_by_patience_and_returns_the_best_epoch(
    monkeypatch, train_it, scores, max_epochs, min_epochs, trained, best
):
    said, averages = iter(scores), []

    def score(model, *_):
        averages.append({k: v.clone() for k, v in model.state_dict().items()})
        return next(said)

    monkeypatch.setattr(train, "_val_miou", score)
    fitted = train_it(net(), max_epochs=max_epochs, min_epochs=min_epochs, patience=2)
    assert (fitted.epochs, fitted.val_miou) == (trained, scores[best - 1])
    assert same(fitted.state, averages[best - 1])


def test_the_returned_weights_have_the_returned_miou_and_learn(train_it):
    model, val = net(), scenes(3, 1)
    before = miou(evaluate(model, val, 4)[0])
    fitted = train_it(model, val=val, max_epochs=30)
    model.load_state_dict(fitted.state)
    assert miou(evaluate(model, val, 2)[0]) == fitted.val_miou > max(0.95, before)


@pytest.mark.parametrize("optimizer, decays", [("adam", False), ("adamw", True)])
def test_the_optimizer_is_the_one_named(tiny_config, optimizer, decays):
    """AdamW shrinks a weight that has no gradient; Adam leaves it alone but for the decay in its gradient's direction."""
    model = net()
    made = train.equip(model, tiny_config(optimizer=optimizer, weight_decay=0.1, learning_rate=0.01))[1]
    weight = model[0].weight.detach().clone()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    made.step()
    shrunk = torch.allclose(model[0].weight, weight * (1 - 0.01 * 0.1), rtol=1e-6, atol=0)
    assert shrunk == decays


def test_the_rate_falls_as_a_power_to_its_floor():
    rates = [train.learning_rate(0.1, p / 10, "poly") for p in range(10)]
    assert rates == [pytest.approx(0.1 * (1 - p / 10) ** 0.9) for p in range(10)] and rates[0] == 0.1
    assert train.learning_rate(0.1, 0.999999, "poly") == 1e-6 and train.learning_rate(0.1, 0.9, "constant") == 0.1


def test_every_step_has_its_rate_and_the_backbone_learns_slower(monkeypatch, tiny_config):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(self.backbone(x))

    model, seen = nn.Module(), []
    model.net = Net()
    model.forward = model.net.forward
    config = tiny_config(
        model="deeplabv3plus_resnet18", head_factor=10.0, schedule="poly", learning_rate=0.001, patience=9, max_epochs=3
    )
    step = torch.optim.Adam.step

    def noting(self, *args, **kwargs):
        seen.append([(g["lr"], sum(p.numel() for p in g["params"])) for g in self.param_groups])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noting)
    fit(model, scenes(6), scenes(3, 1), config, (0, 1))
    poly = [0.001 * (1 - i / 6) ** 0.9 for i in range(6)]  # two steps an epoch
    assert [[rate for rate, _ in groups] for groups in seen] == [pytest.approx([rate, 10 * rate]) for rate in poly]
    assert [size for _, size in seen[0]] == [16, 10]  # backbone, head


def test_training_is_a_function_of_its_arguments(train_it, tmp_path):
    torch.manual_seed(1)
    first = train_it(net(), checkpoint_seconds=60.0)
    outside = torch.manual_seed(2).get_state()
    model = net()
    torch.manual_seed(2)
    again = train_it(model, checkpoint_seconds=60.0)
    assert same(first.state, again.state) and first.val_miou == again.val_miou  # dropout included
    assert torch.equal(torch.get_rng_state(), outside)  # and the caller's generator is left alone
    assert not same(first.state, train_it(net(), key=(0, 2), checkpoint_seconds=60.0).state)
    assert not (tmp_path / "checkpoint.pt").exists()


class Stop(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.mark.parametrize("stop_in", [1, 2, 6])
def test_a_stopped_training_continues_to_the_same_end(monkeypatch, train_it, stop_in):
    undisturbed = train_it(net(), max_epochs=6, checkpoint_seconds=60.0)
    one_epoch, texts = train._train_epoch, []

    def stop(*args):
        if args[0].epoch == stop_in:
            raise Stop
        return one_epoch(*args)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(train, "_train_epoch", stop)
        train_it(net(), max_epochs=6)
    fitted = train_it(net(), max_epochs=6, say=texts.append)
    assert texts == ([f"continuing after epoch {stop_in - 1}"] if stop_in > 1 else [])
    assert fitted.speed["images_per_s"] > 0 and 0 <= fitted.speed["waiting"] <= 1
    assert same(fitted.state, undisturbed.state) and (fitted.epochs, fitted.val_miou) == (6, undisturbed.val_miou)


def test_a_torn_checkpoint_costs_time_and_nothing_else(train_it, tmp_path):
    undisturbed, file, texts = train_it(net()), tmp_path / "checkpoint.pt", []
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    fitted = train_it(net(), say=texts.append)
    assert len(texts) == 1 and texts[0].startswith("checkpoint.pt cannot be read")
    assert same(fitted.state, undisturbed.state) and fitted.val_miou == undisturbed.val_miou


def watched(order):
    """batches() that notes which images it takes."""

    def go(pairs, trainable, iterations, config, rng, device):
        order.extend(d.index for draws in epoch(trainable, iterations, config, copy.deepcopy(rng)) for d in draws)
        return batches(pairs, trainable, iterations, config, rng, device)

    return go


def test_every_epoch_draws_anew(monkeypatch, train_it):
    order = []
    monkeypatch.setattr(train, "batches", watched(order))
    train_it(net(), scenes(12), max_epochs=3)
    walks = [tuple(order[i : i + 12]) for i in (0, 12, 24)]
    assert len(order) == 36 and [sorted(walk) for walk in walks] == [list(range(12))] * 3 and len(set(walks)) == 3


# pictures without labels


def test_nothing_to_train_on_leaves_the_weights_as_they_are(train_it):
    model, texts, void = net(), [], np.full((6, 32, 32), IGNORE, np.uint8)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fitted = train_it(model, Pairs(scenes(6).images, void), say=texts.append)
    assert fitted.epochs == 0 and same(fitted.state, before) and same(model.state_dict(), before)
    assert fitted.val_miou == miou(evaluate(model, scenes(3, 1), 4)[0])
    assert texts == [
        "nothing to train on: every answer so far is void, or lies between the positions of features; the weights stay as they are"
    ]


def test_a_picture_without_labels_is_never_trained_on_but_lengthens_the_epoch(monkeypatch, train_it):
    data, used, fits = scenes(9), [], []
    data.target[[0, 4, 8]] = IGNORE
    for garbage in (0, 255):
        data.images[[0, 4, 8]] = garbage
        fits.append(train_it(net(), data, checkpoint_seconds=60.0))
    assert same(fits[0].state, fits[1].state)
    monkeypatch.setattr(train, "batches", watched(used))
    train_it(net(), data, max_epochs=1)
    assert len(used) == 12  # 9 pictures, 4 at a time, though 6 have labels
    assert set(used) == {1, 2, 3, 5, 6, 7}


# how it is computed


def test_bfloat16_learns_the_same_thing_nearly(train_it):
    full, half = (train_it(net(), max_epochs=30, precision=p, checkpoint_seconds=60.0) for p in ("float32", "bfloat16"))
    assert not same(full.state, half.state) and all(v.dtype != torch.bfloat16 for v in half.state.values())
    assert half.val_miou > 0.95 and abs(full.val_miou - half.val_miou) < 0.05


def test_only_the_training_pass_is_compiled(monkeypatch, train_it):
    plain, passes = train_it(net(), max_epochs=2, checkpoint_seconds=60.0), []
    monkeypatch.setattr(torch, "compile", lambda model: lambda x: passes.append(len(x)) or model(x))
    compiled = train_it(net(), max_epochs=2, compile=True, checkpoint_seconds=60.0)
    assert same(plain.state, compiled.state) and passes == [4, 4] * 2  # 6 images, 4 at a time, 2 epochs


def test_auto_is_full_precision_on_a_cpu():
    assert not half_precision("auto", torch.device("cpu")) and half_precision("bfloat16", torch.device("cpu"))


# training that goes wrong


def test_diverged_training_is_an_error_that_names_the_learning_rate(train_it):
    with pytest.raises(FloatingPointError, match=r"training loss is nan in epoch 1: lower learning_rate \(1e\+30\)"):
        train_it(net(), learning_rate=1e30)


def test_a_model_that_diverged_in_its_last_iteration_gets_no_score(train_it):
    with pytest.raises(FloatingPointError, match="training has diverged; lower learning_rate"):
        train_it(net(), scenes(4), max_epochs=1, learning_rate=1e30)  # one iteration: its loss is still finite


# what is kept


def test_a_stop_writes_the_last_epoch_though_none_was_due_and_a_full_disk_does_not_hide_it(tmp_path):
    file, said = tmp_path / "checkpoint.pt", []

    def full(data):
        raise OSError("the disk is full")

    for write, kept in ((None, 3.0), (full, 3.0)):
        with lines_to(said.append), pytest.raises(KeyboardInterrupt), Checkpoint(file, 1e9, write) as keep:
            weights = torch.zeros(2)
            for _ in range(3):
                weights += 1
                keep.after_epoch({"key": [0], "weights": weights})
            weights += 1  # in the middle of the next epoch
            raise KeyboardInterrupt
        assert Checkpoint(file).load((0,))["weights"].tolist() == [kept] * 2 and Checkpoint(file).load((1,)) is None
    assert said == ["the last epochs could not be kept: the disk is full"]
