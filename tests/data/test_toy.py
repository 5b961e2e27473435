import pickle

import numpy as np
import pytest

from oreal_lib.data.readers.toy import CLASSES, GENERATOR_VERSION, SCENES, draw_scene, read

SHAPE = (48, 64)


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


@pytest.mark.slow
def test_forty_scenes_show_every_class_the_rare_ones_rarely_and_small_tools_cover_less():
    rngs = [[np.random.default_rng([1, i]) for i in range(40)] for _ in SCENES]
    large, small = (np.stack([draw_scene(rng, *SHAPE, s)[1] for rng in r]) for r, s in zip(rngs, SCENES, strict=True))
    large, small = (np.bincount(truths.ravel(), minlength=len(CLASSES)) / truths.size for truths in (large, small))
    least = (0.50, 0.08, 0.08, 0.015, 0.015, 0.005, 0.001, 0.003)
    most = (0.75, 0.25, 0.19, 0.05, 0.05, 0.03, 0.01, 0.02)
    assert (large > least).all() and (large < most).all() and (small > 0).all(), dict(zip(CLASSES, large, strict=True))
    tools = [CLASSES.index(name) for name in ("shaft", "wrist", "jaw", "suction", "clip")]
    assert (small[tools] < 0.9 * large[tools]).all()


def test_a_source_travels_to_other_processes_and_image_3_is_the_same_however_many_are_asked_for():
    few, many = (read(train=n, test=2, height=48, width=64, scene="small_tools", generator_seed=7) for n in (2, 9))
    assert [item.split for item in few.items] == ["train", "train", "test", "test"]
    assert few.identity["generator_version"] == GENERATOR_VERSION and few.identity["generator_seed"] == 7
    expected = draw_scene(np.random.default_rng([7, 3]), *SHAPE, "small_tools")
    for source in (few, many):
        assert all(
            np.array_equal(a, b) for a, b in zip(pickle.loads(pickle.dumps(source.open))(source.items[3]), expected, strict=True)
        )


@pytest.mark.parametrize(
    "option",
    [{"scene": "huge"}, {"scene": 3}, {"height": 31}, {"width": 64.0}, {"train": -1}, {"test": True}, {"train": 0, "test": 0}],
)
def test_a_bad_option_is_named_with_its_value(option):
    with pytest.raises(ValueError, match=rf"^{next(iter(option))} .*; (choose|change|ask)"):
        read(**option)
