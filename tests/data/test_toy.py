import pickle

import numpy as np
import pytest

from oreal_lib.data.readers.toy import CLASSES, GENERATOR_VERSION, SCENES, draw_scene, read

SHAPE = (48, 64)


def truths(scene, n=40):
    return np.stack([draw_scene(np.random.default_rng([1, i]), *SHAPE, scene)[1] for i in range(n)])


@pytest.fixture(scope="module")
def large():
    return truths("large_tools")


@pytest.fixture(scope="module")
def small():
    return truths("small_tools")


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("shape", [(96, 128), (33, 47)])
def test_a_scene_is_a_picture_with_a_class_for_every_pixel(scene, shape):
    image, truth = draw_scene(np.random.default_rng(0), *shape, scene)
    assert (image.shape, image.dtype) == ((*shape, 3), np.uint8)
    assert (truth.shape, truth.dtype) == (shape, np.uint8)
    assert truth.max() < len(CLASSES)
    assert 30 < image.mean() < 200 and image.std() > 10


def test_the_same_generator_draws_the_same_bytes():
    first, again, other = (draw_scene(np.random.default_rng([5, i]), *SHAPE) for i in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_forty_scenes_show_every_class(large, small):
    assert set(np.unique(large)) == set(np.unique(small)) == set(range(len(CLASSES)))


def test_rare_classes_are_rare_but_present(large):
    least = (0.50, 0.08, 0.08, 0.015, 0.015, 0.005, 0.001, 0.003)
    most = (0.75, 0.25, 0.19, 0.05, 0.05, 0.03, 0.01, 0.02)
    share = np.bincount(large.ravel(), minlength=len(CLASSES)) / large.size
    assert (share > least).all() and (share < most).all(), dict(zip(CLASSES, share, strict=True))


def test_small_tools_cover_fewer_pixels(large, small):
    for name in ("shaft", "wrist", "jaw", "suction", "clip"):
        assert np.sum(small == CLASSES.index(name)) < 0.9 * np.sum(large == CLASSES.index(name)), name


def test_image_3_does_not_depend_on_how_many_are_asked_for():
    few, many = (read(train=n, test=0, height=48, width=64) for n in (5, 10))
    assert few.items == many.items[:5]
    for a, b in zip(few.open(few.items[3]), many.open(many.items[3]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_source_lists_train_then_test_and_travels_to_other_processes():
    source = read(train=2, test=1, height=48, width=64, scene="small_tools", generator_seed=7)
    assert [item.split for item in source.items] == ["train", "train", "test"]
    assert source.identity["generator_version"] == GENERATOR_VERSION and source.identity["generator_seed"] == 7
    image, truth = pickle.loads(pickle.dumps(source.open))(source.items[2])
    expected = draw_scene(np.random.default_rng([7, 2]), 48, 64, "small_tools")
    assert np.array_equal(image, expected[0]) and np.array_equal(truth, expected[1])


@pytest.mark.parametrize(
    "option",
    [
        {"scene": "huge"},
        {"scene": 3},
        {"height": 31},
        {"width": 64.0},
        {"train": -1},
        {"test": True},
        {"generator_seed": "7"},
        {"train": 0, "test": 0},
    ],
)
def test_a_bad_option_is_named_with_its_value(option):
    with pytest.raises(ValueError, match=rf"^{next(iter(option))} .*; (choose|change|ask)"):
        read(**option)
