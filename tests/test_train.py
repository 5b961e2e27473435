import numpy as np
import pytest
import torch
from torch import nn

from oreal_lib import train
from oreal_lib.losses import cross_entropy
from oreal_lib.metrics import class_border, miou
from oreal_lib.train import Pairs, augment, averaged, batches, choose_device, evaluate, fit, predict
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
        config = tiny_config(**{"patience": 9, "learning_rate": 0.02, **changes})
        checkpoint = tmp_path / "checkpoint.pt"
        return fit(model, data or scenes(6), val or scenes(3, 1), config, key, max_epochs, min_epochs, checkpoint, say)

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


# what an epoch is made of


@pytest.mark.parametrize("images, batch_size, iterations", [(7, 3, 9), (5, 8, 4), (6, 2, 3), (1, 4, 2)])
def test_batches_walk_in_rounds_and_none_is_short(images, batch_size, iterations):
    trainable = np.arange(images) * 10 + 3
    got = list(batches(trainable, iterations, batch_size, np.random.default_rng(0)))
    assert [len(b) for b in got] == [batch_size] * iterations
    walk = np.concatenate(got)
    rounds = [walk[i : i + images] for i in range(0, len(walk), images)]
    for one in rounds:  # the last round may be cut
        assert len(set(one)) == len(one) and set(one) <= set(trainable)
    assert images == 1 or any((one[: len(rounds[0])] != rounds[0][: len(one)]).any() for one in rounds[1:]) or len(rounds) == 1


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


# augmentation


def picture(seed=0):
    """x whose first channel says the class, 0.2 + 0.2 c, in 8x8 blocks; y that class."""
    y = torch.randint(3, (6, 4, 5), generator=torch.Generator().manual_seed(seed)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    return (0.2 + 0.2 * y[:, None].float()).repeat(1, 3, 1, 1), y.to(torch.uint8)


PLAIN = {"augment_gain": 0.0, "augment_brightness": 0.0}


def test_image_and_target_flip_together(tiny_config):
    x, y = picture()
    for share_h, share_v, dims in [(1.0, 0.0, (-1,)), (0.0, 1.0, (-2,)), (1.0, 1.0, (-2, -1)), (0.0, 0.0, ())]:
        config = tiny_config(**PLAIN, augment_hflip=share_h, augment_vflip=share_v)
        fx, fy = augment(x, y, config, np.random.default_rng(0))
        assert torch.allclose(fx, x.flip(dims)) and torch.equal(fy, y.flip(dims))
    fx, fy = augment(x, y, tiny_config(**PLAIN), np.random.default_rng(0))
    flipped = [not torch.equal(a, b) for a, b in zip(fy, y, strict=True)]
    assert any(flipped) and not all(flipped)  # drawn per image
    assert torch.allclose(fx[:, 0], 0.2 + 0.2 * fy)


@pytest.mark.parametrize("low, high", [(0.4, 0.9), (1.1, 2.5), (0.5, 2.0)])
def test_scaling_keeps_shapes_and_what_a_pixel_is(tiny_config, low, high):
    x, y = picture()
    config = tiny_config(**PLAIN, augment_scale_min=low, augment_scale_max=high)
    sx, sy = augment(x, y, config, np.random.default_rng(1))
    assert sx.shape == x.shape and sy.shape == y.shape and sy.dtype == torch.uint8
    assert set(sy.unique().tolist()) <= {0, 1, 2, IGNORE}
    assert ((sy == IGNORE).any() and torch.allclose(sx.movedim(1, -1)[sy == IGNORE], torch.tensor(0.5))) == (low < 1)
    high, low = nn.MaxPool2d(5, 1, 2), sy.float()  # inside: 5x5 pixels of one class, so that no mixed color counts
    flat = (high(low) == -high(-low)) & (sy != IGNORE)
    flat[:, [0, 1, -2, -1]] = flat[:, :, [0, 1, -2, -1]] = False
    assert flat.sum() > 300 and torch.allclose(sx[:, 0][flat], 0.2 + 0.2 * sy[flat].float(), atol=1e-3)


def test_a_scaled_target_lies_where_its_image_does(tiny_config):
    column = torch.arange(40, dtype=torch.uint8).expand(6, 40, 40)
    for scale in (0.75, 1.3, 1.9):  # factors at which a nearest pixel exists without a tie
        config = tiny_config(**PLAIN, augment_hflip=0.0, augment_vflip=0.0, augment_scale_min=scale, augment_scale_max=scale)
        x, y = augment(column[:, None].repeat(1, 3, 1, 1) / 64, column, config, np.random.default_rng(0))
        assert abs((64 * x[:, 0] - y)[y != IGNORE].mean()) < 0.2  # pixels of the picture as it came


def test_the_same_generator_gives_the_same_augmentation(tiny_config):
    x, y = picture()
    config = tiny_config(augment_scale_min=0.5, augment_scale_max=2.0)
    (ax, ay), (bx, by), (cx, _) = (augment(x, y, config, np.random.default_rng(s)) for s in (3, 3, 4))
    assert torch.equal(ax, bx) and torch.equal(ay, by) and not torch.equal(ax, cx)
    assert torch.equal(x, picture()[0]) and torch.equal(y, picture()[1])  # what came in is not written


def test_color_changes_are_one_per_image_and_channel(tiny_config):
    x, y = picture()
    config = tiny_config(augment_hflip=0.0, augment_vflip=0.0, augment_gain=0.3, augment_brightness=0.1)
    cx, cy = augment(x, y, config, np.random.default_rng(0))
    assert torch.equal(cy, y)
    for b, c in np.ndindex(6, 3):
        gain, shift = np.polyfit(x[b, c].ravel() - 0.5, cx[b, c].ravel() - 0.5, 1)
        assert 0.7 <= gain <= 1.3 and abs(shift) <= 0.1001
        assert torch.allclose(cx[b, c], gain * (x[b, c] - 0.5) + 0.5 + shift, atol=1e-5)


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


@pytest.mark.parametrize("stop_in", [1, 2, 5, 6])
def test_a_stopped_training_continues_to_the_same_end(monkeypatch, train_it, stop_in):
    undisturbed = train_it(net(), max_epochs=6, checkpoint_seconds=60.0)
    epoch, texts = train._train_epoch, []

    def stop(*args):
        if args[7][-1] == stop_in:
            raise Stop
        epoch(*args)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(train, "_train_epoch", stop)
        train_it(net(), max_epochs=6)
    fitted = train_it(net(), max_epochs=6, say=texts.append)
    assert texts == ([f"continuing after epoch {stop_in - 1}"] if stop_in > 1 else [])
    assert same(fitted.state, undisturbed.state) and (fitted.epochs, fitted.val_miou) == (6, undisturbed.val_miou)


def test_the_checkpoint_of_another_training_is_not_used(train_it):
    train_it(net(), key=(0, 1))
    texts = []
    fitted = train_it(net(), key=(0, 2), say=texts.append)
    assert texts == [] and same(fitted.state, train_it(net(), key=(0, 2)).state)


@pytest.mark.parametrize("damage", ["empty", "half", "tail", "noise", "text", "flipped"])
def test_a_torn_checkpoint_costs_time_and_nothing_else(train_it, tmp_path, damage):
    undisturbed, file, texts = train_it(net()), tmp_path / "checkpoint.pt", []
    data = file.read_bytes()
    noise = np.random.default_rng(0).bytes(len(data))
    flipped = data[: len(data) // 2] + bytes(255 - b for b in data[len(data) // 2 :][:64]) + data[len(data) // 2 + 64 :]
    torn = {"empty": b"", "half": data[: len(data) // 2], "tail": data[:-1], "noise": noise, "text": b"hello", "flipped": flipped}
    file.write_bytes(torn[damage])
    fitted = train_it(net(), say=texts.append)
    assert len(texts) == 1 and texts[0].startswith("checkpoint.pt cannot be read")
    assert same(fitted.state, undisturbed.state) and fitted.val_miou == undisturbed.val_miou


def test_every_epoch_draws_anew(monkeypatch, train_it):
    order = []
    monkeypatch.setattr(train, "batches", lambda *a: order.append(np.concatenate(list(batches(*a)))) or batches(*a))
    train_it(net(), scenes(12), max_epochs=3)
    assert [sorted(o) for o in order] == [list(range(12))] * 3 and len({tuple(o) for o in order}) == 3


# pictures without labels


def test_nothing_to_train_on_leaves_the_weights_as_they_are(train_it):
    model, texts, void = net(), [], np.full((6, 32, 32), IGNORE, np.uint8)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fitted = train_it(model, Pairs(scenes(6).images, void), say=texts.append)
    assert fitted.epochs == 0 and same(fitted.state, before) and same(model.state_dict(), before)
    assert fitted.val_miou == miou(evaluate(model, scenes(3, 1), 4)[0])
    assert texts == ["nothing to train on: every answer so far is void; the weights stay as they are"]


def test_a_picture_without_labels_is_never_trained_on_but_lengthens_the_epoch(monkeypatch, train_it):
    data, used, fits = scenes(9), [], []
    data.target[[0, 4, 8]] = IGNORE
    for garbage in (0, 255):
        data.images[[0, 4, 8]] = garbage
        fits.append(train_it(net(), data, checkpoint_seconds=60.0))
    assert same(fits[0].state, fits[1].state)
    monkeypatch.setattr(train, "batches", lambda *a: used.extend(batches(*a)) or iter(used))
    train_it(net(), data, max_epochs=1)
    assert [len(index) for index in used] == [4, 4, 4]  # 9 pictures, 4 at a time, though 6 have labels
    assert set(np.concatenate(used)) == {1, 2, 3, 5, 6, 7}


# training that goes wrong


def test_diverged_training_is_an_error_that_names_the_learning_rate(train_it):
    with pytest.raises(FloatingPointError, match=r"training loss is nan in epoch 1: lower learning_rate \(1e\+30\)"):
        train_it(net(), learning_rate=1e30)


def test_a_model_that_diverged_in_its_last_iteration_gets_no_score(train_it):
    with pytest.raises(FloatingPointError, match="training has diverged; lower learning_rate"):
        train_it(net(), scenes(4), max_epochs=1, learning_rate=1e30)  # one iteration: its loss is still finite


# looking


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
