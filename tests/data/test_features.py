import shutil

import numpy as np
import pytest
import torch

from oreal_lib.data import features as module
from oreal_lib.data import spread as spreading
from oreal_lib.data.features import Encoder, Features, at_positions, packed
from oreal_lib.data.spread import spread, superpixel_means
from oreal_lib.models import build_model
from oreal_lib.storage.ragged import Ragged
from oreal_lib.types import IGNORE, Labels, Superpixels

LINEAR = "linear_tf_efficientnet_lite0"


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 72, 3), dtype=np.uint8)


@pytest.fixture
def kept(images, tmp_path):
    """Features of the images, computed and kept below tmp_path."""
    found = Features(images, 3, Encoder(LINEAR, "imagenet"), tmp_path / "kept")
    found.compute(workers=1)
    return found


@pytest.fixture
def encoded(monkeypatch):
    """The images that were encoded, one after another."""
    seen, encode = [], Encoder.__call__
    monkeypatch.setattr(Encoder, "__call__", lambda self, image: seen.append(np.array(image)) or encode(self, image))
    return seen


def test_features_are_those_of_the_network_and_the_head_gives_its_logits(kept, images):
    statistics = kept.statistics()
    flat = np.concatenate([f.reshape(-1, f.shape[-1]) for f in kept]).astype(np.float64)
    assert np.allclose(statistics["mean"], flat.mean(axis=0), atol=1e-4) and np.allclose(
        statistics["std"], flat.std(axis=0), rtol=1e-3
    )
    whole = build_model(LINEAR, 4, "imagenet").eval()
    head = Features(kept.images, 3, kept.encoder, kept.folder, **statistics).head(4, "linear", 0.1).eval()
    whole.net.head.load_state_dict(head.head.state_dict())
    with torch.inference_mode():
        x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        seen = torch.from_numpy(np.stack(list(kept))).permute(0, 3, 1, 2).float()
        assert seen.shape == (3, 24 + 40 + 112 + 320, 8, 12)  # padded to 64 x 96
        assert torch.allclose(seen, whole.net.features(whole.padded(x)), rtol=1e-3, atol=1e-2)
        ours, logits = head(seen), whole(x)
        assert ours.shape == (3, 4, 40, 72) and torch.allclose(ours, logits, atol=2e-2)
        of_whole, of_head = whole.features_and_logits(x), head.features_and_logits(seen)
        assert torch.allclose(of_head[0], of_whole[0], atol=1e-2) and of_head[2] == of_whole[2] == (64, 96)
        head.train()
        assert head(seen).shape == (3, 4, 8, 12) and not head.head[0].training


def test_what_is_there_is_not_computed_again(kept, images, encoded, capsys):
    kept.compute(workers=1)
    assert encoded == []
    first = next(kept.folder.glob("*.npy"))
    first.write_bytes(first.read_bytes()[:-9] + b"x" * 9)  # as after a power cut
    kept.compute(workers=1)
    assert len(encoded) == 1
    more = np.concatenate([images, images[:1] // 2])
    added = Features(more, 4, kept.encoder, kept.folder)
    added.compute(workers=1)
    assert len(encoded) == 2 and np.array_equal(encoded[1], more[3])
    assert all(np.array_equal(a, b) for a, b in zip(added, kept, strict=False))
    assert "1 of 4 images, 0.0 GB in" in capsys.readouterr().out


def test_a_kill_loses_the_pictures_in_work_only(images, tmp_path, encoded, monkeypatch):
    found, write = Features(images, 3, Encoder(LINEAR, "imagenet"), tmp_path), module.os.replace

    def killed(*names):
        if len(encoded) == 2:
            raise KeyboardInterrupt
        write(*names)

    monkeypatch.setattr(module.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        found.compute(workers=1)
    monkeypatch.setattr(module.os, "replace", write)
    found.compute(workers=1)
    assert len(encoded) == 4 and len([*tmp_path.glob("*.npy*")]) == len([*tmp_path.glob("*.npy")]) == 3


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one_and_of_none(kept, images, tmp_path):
    other = Features(images, 3, kept.encoder, tmp_path / "other")
    other.compute(workers=2)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        looked = list(Features(images, 3, kept.encoder, None))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for a, b, c in zip(kept, other, looked, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


def test_a_full_disk_is_told_before_the_work(images, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 5, 5))
    with pytest.raises(OSError, match=r"286,\d\d\d bytes are needed, but only 5 are free; free some space"):
        Features(images, 3, Encoder(LINEAR, "imagenet"), tmp_path).compute(workers=1)


def test_encoders_have_folders_of_their_own(tmp_path):
    torch.save(build_model(LINEAR, 2).net.backbone.state_dict(), tmp_path / "random.pth")
    shipped = Encoder(LINEAR, "imagenet")
    others = [Encoder(LINEAR, "imagenet", half=True), Encoder(LINEAR, str(tmp_path / "random.pth"))]
    assert len({encoder.folder for encoder in (shipped, *others)}) == 3
    assert Encoder("mlp_tf_efficientnet_lite0", "imagenet").folder == shipped.folder  # the same encoder below another head


def test_mirror_images_follow_with_mirrored_maps(images):
    both = Features(Ragged((*images, *images[:, :, ::-1])), 3, Encoder(LINEAR, "imagenet"), None)
    maps = np.arange(2 * 40 * 72).reshape(2, 40, 72)
    seen, mirrored = both.with_mirrors(np.array([2, 0]), maps)
    assert [
        np.array_equal(a, b)
        for a, b in zip(seen.images, [images[2], images[0], images[2, :, ::-1], images[0, :, ::-1]], strict=True)
    ]
    assert np.array_equal(np.asarray(mirrored), np.concatenate([maps, maps[:, :, ::-1]]))
    alone, same = Features(images, 3, both.encoder, None).with_mirrors(np.array([1]), maps[:1])
    assert len(alone) == 1 and np.array_equal(alone.images[0], images[1]) and np.array_equal(same, maps[:1])


class Table(list):
    """Features (h, w, D) that stand in a list."""

    mean, std = np.zeros(2, np.float32), np.ones(2, np.float32)


def numbered(n, h, w):
    """n pictures of h x w positions with the channels (picture, position)."""
    return Table(np.stack([np.full((h, w), i), np.arange(h * w).reshape(h, w)], axis=2).astype(np.float16) for i in range(n))


def test_a_position_has_the_label_in_its_middle():
    target = np.arange(20 * 12).reshape(20, 12)
    small = at_positions(target, np.zeros((3, 4, 1)), 255)
    assert small.tolist() == [[target[4, 4], 255, 255, 255], [target[12, 4], 255, 255, 255], [255] * 4]


@pytest.mark.parametrize("most, left", [(10**6, 12), (8, 8)])
def test_packing_keeps_each_labeled_position_with_its_label(monkeypatch, most, left):
    monkeypatch.setattr(module, "MOST_PACKED", most)
    rng = np.random.default_rng(0)
    target = np.full((5, 16, 24), IGNORE, np.uint8)
    small = target[:, 4::8, 4::8]  # (5, 2, 3)
    small[...] = np.where(rng.random(small.shape) < 0.7, rng.integers(0, 9, small.shape), IGNORE)
    small[3] = IGNORE
    small[0, 0] = [IGNORE, 5, IGNORE]
    wanted = {(i, j, int(v)) for i, picture in enumerate(small) for j, v in enumerate(picture.ravel()) if v != IGNORE}
    assert len(wanted) == 12
    x, y = packed(numbered(5, 2, 3), target)
    assert x.dtype == np.float16 and x.shape == (len(y), 2, 3, 2) and y.shape[1:] == (2, 3)
    found = [(*x[at].astype(int).tolist(), int(y[at])) for at in zip(*np.nonzero(y != IGNORE), strict=True)]
    assert {*found} <= wanted and len({*found}) == len(found) and abs(len(found) - left) <= 1
    if left == 12:
        assert len(y) == 2 and all(len({*part[p != IGNORE, 0]}) > 1 for part, p in zip(x, y, strict=True))  # of several pictures


def test_without_a_label_there_is_one_empty_picture():
    x, y = packed(numbered(2, 2, 3), np.full((2, 16, 24), IGNORE, np.uint8))
    assert x.shape == (1, 2, 3, 2) and (y == IGNORE).all()


def test_means_of_superpixels_are_those_of_their_pixels():
    rng = np.random.default_rng(1)
    seen = Table(rng.normal(size=(2, 3, 4, 2)).astype(np.float16))
    seen.mean, seen.std = np.array([0.5, -1], np.float32), np.array([2, 0.5], np.float32)
    maps = np.stack([np.add.outer(np.arange(20) // 5, np.arange(30) // 10 * 4), rng.integers(0, 7, (20, 30))]).astype(np.uint16)
    superpixels = Superpixels.from_maps(maps)
    means = superpixel_means(seen, superpixels)
    for i, features in enumerate(seen):
        large = features.astype(np.float32).repeat(8, axis=0).repeat(8, axis=1)[:20, :30]
        for k in range(maps[i].max() + 1):
            expected = (large[maps[i] == k].mean(axis=0) - seen.mean) / seen.std
            assert np.allclose(means[superpixels.offset[i] + k], expected, atol=1e-5)


def test_a_spread_query_begins_with_the_middle_of_each_cloud(monkeypatch):
    rng = np.random.default_rng(2)
    centers = np.array([[0, 0], [50, 0], [0, 50], [50, 50]])
    means = np.concatenate([center + rng.normal(size=(20, 2)) for center in centers]).astype(np.float32)
    monkeypatch.setattr(spreading, "superpixel_means", lambda features, superpixels: means)
    labels = Labels.none(80, 3).reveal(np.array([7]), np.eye(3, dtype=bool)[:1], 1)
    query = spread(None, None, None, labels, 12, "mean", np.random.default_rng(0))
    four = spread(None, None, None, labels, 4, "mean", np.random.default_rng(0))
    assert sorted(four.ids // 20) == [0, 1, 2, 3] and 7 not in query.ids and len({*query.ids}) == 12
    for k in four.ids:  # nearer to the middle of its cloud than the half of it
        mine = np.arange(k // 20 * 20, k // 20 * 20 + 20)
        away = np.linalg.norm(means[mine] - means[mine].mean(axis=0), axis=1)
        assert away[k % 20] < np.median(away)


def test_exchanged_files_and_files_of_other_weights_are_noticed(kept, tmp_path):
    a, b = sorted(kept.folder.glob("*.npy"))[:2]
    a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
    a.write_bytes(b_bytes)
    b.write_bytes(a_bytes)
    assert len(kept._missing()) == 2
    whole = build_model(LINEAR, 7, "imagenet")  # a whole model of another number of classes: only its backbone counts
    torch.save(whole.state_dict(), tmp_path / "x.pth")
    same = Encoder(LINEAR, str(tmp_path / "x.pth"), changed=1)(kept.images[0])
    assert np.array_equal(same, kept.encoder(kept.images[0]))
    torch.save(build_model(LINEAR, 7).state_dict(), tmp_path / "x.pth")
    assert not np.array_equal(Encoder(LINEAR, str(tmp_path / "x.pth"), changed=2)(kept.images[0]), same)
