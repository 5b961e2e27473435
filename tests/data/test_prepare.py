"""A raw data set becomes arrays once: what is in them, what is said meanwhile, and what a stop or a kill costs."""

import multiprocessing
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny import TINY, taken_over

from oreal_lib.data import prepare as module
from oreal_lib.data.prepare import Cutter, _room, prepare
from oreal_lib.data.source import Item, Source
from oreal_lib.data.store import ARRAYS, content, open_store
from oreal_lib.oracle import class_votes
from oreal_lib.storage.paths import params_root
from oreal_lib.storage.progress import lines_to
from oreal_lib.storage.provenance import versions
from oreal_lib.storage.ragged import Ragged
from oreal_lib.storage.yaml_file import read_yaml
from oreal_lib.superpixels import SuperpixelRecipe, superpixels
from oreal_lib.weak.labels import classes_present

GRID = SuperpixelRecipe(method="grid", count=12)


def draw(height, width, pause, item):
    """The picture of an item: its number everywhere, a class that changes from left to right."""
    time.sleep(pause)
    mask = np.broadcast_to((np.arange(width) * 2 // width).astype(np.uint8), (height, width)).copy()
    mask[0, 0] = 255
    return np.full((height, width, 3), int(item.name), np.uint8), mask


def block(height, width, item):
    """A picture of noise, its mask the class of 4x4 blocks."""
    rng = np.random.default_rng(int(item.name))
    mask = rng.integers(0, 2, (height // 4, width // 4)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    return rng.integers(0, 256, (height, width, 3), np.uint8), mask


def slow_block(height, width, item):
    time.sleep(0.2)
    return block(height, width, item)


def growing(item):
    return draw(24 + int(item.name), 32, 0, item)


def unlabeled(item):
    image, mask = draw(24, 32, 0, item)
    return image, None if item.name in "02" else mask


def small(n=5, height=24, width=32, pause=0.0, opened=None, **identity):
    splits = ["train", "test", "train", "val", "train"] * n
    items = tuple(Item(str(i), f"g{i // 2}", splits[i]) for i in range(n))
    return Source("tiny", ("left", "right"), items, opened or partial(draw, height, width, pause), identity)


NOISE, HALF = small(opened=partial(block, 24, 32)), {"height": 12, "width": 16}


def make(root, source=None, recipe=GRID, workers=1, **size):
    return prepare(source or small(), recipe, store_root=root, workers=workers, **size)


def made(root, *arguments, **named):
    """The data set that was prepared, and the lines that were said meanwhile."""
    lines = []
    with lines_to(lines.append):
        store = make(root, *arguments, **named)
    return open_store(store), lines


def left(root):
    """What lies in a folder of stores apart from locks."""
    return [path for path in root.iterdir() if path.suffix != ".lock"]


def files(root):
    """Of the one store in a folder, every file with its bytes; no other folder is there."""
    (store,) = left(root)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in store.rglob("*")}


# ---- what is in a store


def test_a_store_opens_as_the_data_set_it_was_made_from(tmp_path):
    dataset, lines = made(tmp_path)
    assert dataset.classes == ("left", "right") and dataset.groups == ("g0", "g0", "g1", "g1", "g2")
    assert {k: v.tolist() for k, v in dataset.split.items()} == {"train": [0, 2, 4], "val": [3], "test": [1]}
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4] and dataset.truth[0, 0, 0] == 255
    assert dataset.superpixels.maps.shape == (3, 24, 32) and len(dataset.superpixels) == 36
    assert isinstance(dataset.images, np.memmap) and not dataset.images.flags.writeable
    assert np.array_equal(dataset.superpixels.maps[1], superpixels(np.asarray(dataset.images[2]), GRID))
    assert "preparing tiny: 5 images at native size, grid superpixels" in lines[0] and "prepared tiny: 5 images" in lines[-1]
    assert made(tmp_path)[1] == []  # it is not made again


def test_a_picture_that_cannot_be_cut_is_named_and_black_ones_are_counted(tmp_path):
    with pytest.raises(ValueError, match=r"^0 cannot be cut: SEEDS cannot cut 32x24 pixels into 700 superpixels"):
        make(tmp_path, recipe=SuperpixelRecipe(count=700))
    assert "the brightest value of 5 images is 4 of 255 (about 1028 of 65535): they look black; scale them" in made(tmp_path)[1]


def test_one_class_is_refused_before_anything_is_prepared(tmp_path):
    with pytest.raises(ValueError, match="'left' is the only class, so there is nothing to tell apart; add one"):
        make(tmp_path, replace(small(), classes=("left",)))
    assert not left(tmp_path)


def test_superpixels_are_cut_at_native_size_and_follow_by_the_nearest_pixel(tmp_path):
    recipe = SuperpixelRecipe(method="grid", count=48)
    dataset = open_store(make(tmp_path, NOISE, recipe, **HALF))
    image, mask = block(24, 32, Item("2", "g", "train"))
    cut = superpixels(image, recipe)
    assert np.array_equal(dataset.superpixels.maps[1], cut[1::2, 1::2])  # half the size: the nearest of 2x2 is the lower right
    assert np.array_equal(dataset.votes[48:96], class_votes(mask, cut, 48, 2)) and not dataset.vanished.any()
    assert np.array_equal(dataset.present[48:96], classes_present(mask, cut, 48, 2))
    assert dataset.images.shape == (5, 12, 16, 3) and np.array_equal(dataset.native_truth[2], mask)
    assert np.array_equal(dataset.truth[2], mask[1::2, 1::2])
    working = open_store(make(tmp_path, NOISE, replace(recipe, at="working"), **HALF))
    assert np.array_equal(working.votes[48:96], class_votes(working.truth[2], working.superpixels.maps[1], 48, 2))
    all_seen = open_store(make(tmp_path, NOISE, recipe, trim=0)).present[48:96]
    assert np.array_equal(all_seen[:, :2], class_votes(mask, cut, 48, 2)[:, :2] > 0)


def test_superpixels_that_vanish_are_counted_and_in_nothing_else(tmp_path):
    recipe = SuperpixelRecipe(method="grid", count=24 * 32)  # a superpixel a pixel; one in four has a pixel left
    dataset, lines = made(tmp_path, NOISE, recipe, **HALF)
    assert dataset.vanished.tolist() == [576] * 3 and len(dataset.superpixels) == len(dataset.votes) == 3 * 192
    assert all(np.array_equal(np.unique(ids), np.arange(192)) for ids in dataset.superpixels.maps)
    _, mask = block(24, 32, Item("0", "g", "train"))
    remaining = mask.ravel()[np.arange(24 * 32).reshape(24, 32)[1::2, 1::2].ravel()]  # the class of each one that is left
    assert np.array_equal(dataset.votes[:192].argmax(1), remaining) and (dataset.votes.sum(1) == 1).all()
    assert np.array_equal(dataset.present, dataset.votes > 0)
    assert "1,728 of 2,304 superpixels have no pixel at working size and are never asked" in lines[-1]


def test_pictures_of_many_sizes_keep_them_where_that_is_allowed(tmp_path):
    dataset = open_store(make(tmp_path, small(opened=growing), mixed=True))
    shapes = [(24 + i, 32) for i in range(5)]
    assert isinstance(dataset.images, Ragged) and [image.shape for image in dataset.images] == [(*s, 3) for s in shapes]
    assert [mask.shape for mask in dataset.truth] == shapes and dataset.native_truth is dataset.truth
    for i, which in enumerate((0, 2, 4)):
        image, mask = growing(Item(str(which), "g", "train"))
        assert np.array_equal(dataset.images[which], image) and np.array_equal(dataset.truth[which], mask)
        assert np.array_equal(dataset.superpixels.maps[i], superpixels(image, GRID))
    sizes = [image.shape[0] * 32 for image in dataset.images]
    assert dataset.superpixels.size.sum() == dataset.votes.sum() == sizes[0] + sizes[2] + sizes[4]
    resized = open_store(make(tmp_path, small(opened=growing), height=24, width=32))
    assert resized.truth.shape == (5, 24, 32) and [mask.shape for mask in resized.native_truth] == shapes


def test_a_picture_without_a_mask_is_void_and_said_to_be_unlabeled(tmp_path):
    dataset = open_store(make(tmp_path, small(opened=unlabeled)))
    assert dataset.labeled.tolist() == [False, True, False, True, True]
    assert (dataset.truth[0] == 255).all() and dataset.votes[:12, :2].sum() == 0 and dataset.votes[:12, 2].sum() == 24 * 32


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    one, two = make(tmp_path / "one"), make(tmp_path / "two", workers=2)
    assert {path.name for path in one.iterdir()} == {f"{name}.npy" for name in ARRAYS if name != "native_truth"} | {"manifest.json"}
    assert files(tmp_path / "one") == files(tmp_path / "two") and one.name == two.name


def test_the_key_changes_with_all_that_decides_the_content(tmp_path):
    sources = (small(), small(version=2), small(n=6))
    others = [make(tmp_path, **HALF), make(tmp_path, recipe=SuperpixelRecipe(method="grid", count=6))]
    stores = [*(make(tmp_path, source) for source in sources), *others]
    assert len(set(stores)) == len(stores) and make(tmp_path) == stores[0]


def test_two_callers_at_once_do_the_work_once(tmp_path):
    lines = []
    with ThreadPoolExecutor(2) as pool, lines_to(lines.append):
        calls = [pool.submit(make, tmp_path, small(pause=0.05)) for _ in range(2)]
        assert calls[0].result() == calls[1].result()
    assert sum(line.startswith("preparing") for line in lines) == 1


# ---- stopped and killed


def cut_now(monkeypatch):
    """A list that grows by the first pixel of each picture that is cut in this process."""
    seen = []
    monkeypatch.setattr(module, "superpixels", lambda image, recipe: seen.append(tuple(image[0, 0])) or superpixels(image, recipe))
    return seen


APPEND = "oreal_lib.data.store.NpyFile.append"


class Killed(BaseException):
    """Ends a process on the spot: nothing is tidied up, since the lock does not count as ours any more."""


def at_call(patch, where, call, how):
    """From here on the nth call of a function does `how` before its work."""
    owner, name = where.rsplit(".", 1)
    real, calls = getattr(pkgutil.resolve_name(owner), name), []

    def counted(*given, **named):
        calls.append(1)
        if len(calls) == call:
            how()
        return real(*given, **named)

    patch.setattr(pkgutil.resolve_name(owner), name, counted)


def really_killed(root, where, call):
    at_call(pytest.MonkeyPatch(), where, call, lambda: os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM)))
    make(root, NOISE, **HALF)


def in_a_process(root, where, call):
    child = multiprocessing.get_context("spawn").Process(target=really_killed, args=(root, where, call))
    child.start()
    child.join()
    assert child.exitcode not in (0, 1), where


def raised(root, where, call):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("oreal_lib.storage.lock.Lock.is_ours", False)
        patch.setattr("oreal_lib.storage.lock.Lock.check", lambda self: None)
        at_call(patch, where, call, Mock(side_effect=Killed))
        make(root, NOISE, **HALF)
    for file in root.glob(".*.lock"):
        file.unlink()


@pytest.mark.parametrize("end", [raised, pytest.param(in_a_process, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_costs_no_second_cut_and_no_byte(tmp_path, monkeypatch, end):
    """One folder is killed again and again, each time later; after each kill a copy of it is finished."""
    make(tmp_path / "undisturbed", NOISE, **HALF)
    whole = files(tmp_path / "undisturbed")
    killed, seen = tmp_path / "killed", cut_now(monkeypatch)
    for where, call, to_cut in [
        ("oreal_lib.data.prepare.os.replace", 1, 3),  # the first map lies there under the name that does not count yet
        (APPEND, 11, 2),  # in the arrays of the second picture, which is of the test
        ("oreal_lib.data.prepare.zlib.compress", 2, 1),  # the maps of pictures 0 and 2 are there, that of 4 is lost
        ("oreal_lib.data.prepare.flush_folder", 1, 0),  # the store is there, only the maps are not gone yet
    ]:
        end(killed, where, call)
        copy = tmp_path / f"{where}.{call}"
        shutil.copytree(killed, copy)
        seen.clear()
        make(copy, NOISE, **HALF)
        assert len(seen) == len(set(seen)) == to_cut, where
        assert files(copy) == whole, where


def interrupted(item):
    if item.name == "4":
        raise KeyboardInterrupt
    return block(24, 32, item)


@pytest.fixture
def stopped(tmp_path):
    """A root in which an attempt was stopped by Ctrl-C at picture 4, after pictures 0 and 2 were cut; and the kept maps."""
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "stopped", small(opened=interrupted), **HALF)
    (cut,) = left(tmp_path / "stopped")
    assert cut.suffix == ".cut"  # the arrays, which are large, are gone
    return tmp_path / "stopped", sorted(cut.iterdir())


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm, again",
    [
        (lambda path: None, 1),
        (flip_a_byte, 2),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), 2),
    ],
    ids=["whole", "changed", "torn"],
)
def test_only_a_whole_map_is_taken(stopped, harm, again, tmp_path, monkeypatch):
    root, maps = stopped
    seen = cut_now(monkeypatch)
    harm(maps[0])
    make(root, NOISE, **HALF)
    assert len(seen) == again
    make(tmp_path / "undisturbed", NOISE, **HALF)
    assert files(root) == files(tmp_path / "undisturbed")


def redrawn(item):
    image, mask = block(24, 32, item)
    return 255 - image, mask


@pytest.mark.parametrize("source, found", [(small(opened=redrawn), versions()), (NOISE, {"opencv": "another"})])
def test_a_picture_that_changed_or_another_version_is_cut_again(stopped, monkeypatch, source, found):
    seen = cut_now(monkeypatch)
    monkeypatch.setattr(module, "versions", lambda: found)
    make(stopped[0], source, **HALF)
    assert len(seen) == 3


@pytest.mark.parametrize("error, maps", [(RuntimeError, 2), (MemoryError, 2), (ValueError, 0), (OSError, 0)])
def test_a_dead_worker_leaves_the_maps_and_an_error_of_the_data_or_the_disk_does_not(tmp_path, error, maps):
    def failing(item):
        if item.name == "4":
            raise error("no more")
        return block(24, 32, item)

    with pytest.raises(error, match="no more"):
        make(tmp_path, small(opened=failing))
    assert len(list(tmp_path.glob(".*.cut/*"))) == maps and len(left(tmp_path)) == (maps > 0)


def test_a_map_that_cannot_be_kept_does_not_stop_the_work(tmp_path, monkeypatch):
    make(tmp_path / "undisturbed")
    monkeypatch.setattr(module.zlib, "compress", Mock(side_effect=OSError(28, "No space left on device")))
    make(tmp_path / "full")
    assert files(tmp_path / "full") == files(tmp_path / "undisturbed")


def test_a_kept_map_takes_no_more_than_the_room_counted(tmp_path):
    image, _ = block(120, 160, Item("1", "g", "train"))  # noise: no border is smooth
    cutter = Cutter(tmp_path, SuperpixelRecipe(count=600, levels=2), {})
    ids = cutter(image)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= module.MAP_ROOM * 120 * 160
    again = cutter(image)
    assert again.dtype == np.uint16 and np.array_equal(ids, again)
    file.write_bytes(zlib.compress(bytes(8) + ids.tobytes()))  # as an older version kept it
    assert np.array_equal(ids, cutter(image)) and len(zlib.decompress(file.read_bytes())) == ids.nbytes


def test_who_was_taken_over_while_it_slept_leaves_the_work_of_the_other_alone(tmp_path, monkeypatch):
    """A laptop sleeps in the middle; another machine takes over, and is at work in the same folder when it wakes up."""
    root = tmp_path / "shared"

    def sleep():
        taken_over(*root.glob(".*.lock"))
        (unfinished,) = root.glob(".*.unfinished")
        (unfinished / "images.npy").unlink()  # as the other clears the folder, to start over
        (unfinished / "images.npy").write_bytes(b"the other's")

    at_call(monkeypatch, APPEND, 8, sleep)  # the second picture is half written
    with pytest.raises(OSError, match=r"may not be written any more: process \d+ on node7 has taken over"):
        make(root)
    (unfinished,) = root.glob(".*.unfinished")
    assert (unfinished / "images.npy").read_bytes() == b"the other's" and not (unfinished / "manifest.json").exists()


# ---- what is said


def clocks(monkeypatch, waiting):
    """Seconds that pass at each look of the progress lines."""
    waited = iter(range(0, 10_000, waiting)).__next__
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=waited))
    monkeypatch.setattr("oreal_lib.storage.progress.time", SimpleNamespace(monotonic=waited))


def test_what_is_left_is_told_meanwhile(tmp_path, monkeypatch):
    clocks(monkeypatch, 3)
    done = [line.strip() for line in made(tmp_path)[1] if "of 5 images, " in line]
    assert done == ["2 of 5 images, about 9 s left", "4 of 5 images, about 3 s left"]


def test_what_is_left_is_told_from_what_is_left_to_cut(stopped, monkeypatch):
    clocks(monkeypatch, 6)
    assert [line for line in made(stopped[0], NOISE, **HALF)[1] if "images" in line][1:-1] == [
        "  2 of 3 training images were cut by an attempt that was stopped",
        "  1 of 5 images",
        "  2 of 5 images",  # pictures 0 to 2 tell nothing about the others
        "  3 of 5 images",
        "  4 of 5 images, about 6 s left",
    ]


# ---- what is refused


def test_the_room_of_the_kept_maps_is_counted():
    about = content(small(), GRID, 12, 16, 3)  # 5 pictures, 3 of them cut, at 24x32 pixels
    assert _room(about, (24, 32), 0) == (5 * 4 + 3 * 2) * 12 * 16 + 3 * 12 * 3 * 5 + 2**20 + 5 * 24 * 32 + 3 * 24 * 32
    assert _room(about, (24, 32), 2) == _room(about, (24, 32), 0) - 2 * 24 * 32
    working = content(small(), replace(GRID, at="working"), 12, 16, 3)
    assert _room(about, (24, 32), 0) - _room(working, (24, 32), 0) == 3 * (24 * 32 - 12 * 16)


def test_too_little_room_and_a_place_that_cannot_be_written_are_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"[\d,]+ bytes are needed.*only 1,000 bytes are free; free some space"):
        make(tmp_path)
    assert left(tmp_path) == []
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written to .*file.*choose another store_root"):
        make(tmp_path / "file")


def test_a_disk_that_fills_up_on_the_way_leaves_no_half_store(tmp_path, monkeypatch):
    at_call(monkeypatch, APPEND, 7, Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"bytes are needed.*No space left on device; free some space"):
        make(tmp_path)
    assert left(tmp_path) == []


def broken(item):
    if item.name == "3":
        raise ValueError("the image 3.png is cut off")
    return draw(24, 32, 0, item)


def wrong_class(item):
    image, mask = draw(24, 32, 0, item)
    return image, np.where(mask < 255, mask + 5, mask)


@pytest.mark.parametrize(
    "opened, workers, message",
    [
        (broken, 1, "3.png is cut off; `python -m oreal_lib data check` lists all"),
        pytest.param(broken, 2, "3.png is cut off", marks=pytest.mark.slow),
        (growing, 1, "1 is 32x25 pixels, but the first image is 32x24; give a working height and width"),
        (wrong_class, 1, r"mask of 0 holds 5 \(383 pixels\), but classes are 0..1"),
    ],
)
def test_unfit_pictures_stop_the_work_and_leave_nothing(tmp_path, opened, workers, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, small(opened=opened), workers=workers)
    assert left(tmp_path) == []


def test_wrong_arguments_are_refused(tmp_path):
    untrained = Source("tiny", ("a",), (Item("0", "0", "test"),), broken, {})
    with pytest.raises(ValueError, match="no training images"):
        make(tmp_path, untrained)


RUN = "from oreal_lib.experiments.run import run\nfrom oreal_lib.config import RunConfig\nlist(run(RunConfig.from_yaml('tiny.yaml')))\n"
LABEL = "from oreal_lib.annotate.session import open_session\nopen_session('photos', ['a', 'b'], superpixel_method='grid', live=False, workers=2)\n"


@pytest.mark.slow
@pytest.mark.parametrize("script", [RUN, LABEL])
def test_a_script_that_its_own_workers_would_run_again_stops_with_the_remedy(script, tmp_path):
    """Without `if __name__ == "__main__":` each worker reads the script, and would wait for what its parent holds."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(read_yaml("toy") | TINY | {"workers": 2}))
    (tmp_path / "params").symlink_to(params_root())
    (tmp_path / "photos").mkdir()
    for k in range(100):
        Image.new("RGB", (64, 48)).save(tmp_path / "photos" / f"{k}.png")
    (tmp_path / "script.py").write_text(script)
    environment = os.environ | {"OREAL_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "put its code below `if __name__ == '__main__':`" in done.stderr
