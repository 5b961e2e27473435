"""Every picture and every recipe: a dense partition or a refusal, and pieces that are whole."""

import numpy as np
from generated import FLOATS, NUMBERS, SEEDS, every, label_maps, refusal
from hypothesis import strategies as st
from skimage.measure import label

from oreal_lib.annotate.board import pack, split, unpack
from oreal_lib.annotate.pictures import from_masks
from oreal_lib.data.resize import nearest, resized
from oreal_lib.superpixels import SuperpixelRecipe, dense, equalized, keep_largest_pieces, superpixels
from oreal_lib.types import IGNORE
from oreal_lib.weak.pseudo import neighbors_of

SIDES = st.integers(1, 12) | st.integers(1, 40)


@st.composite
def images(draw):
    """(H, W, 3) uint8: of one color, of two halves, noise, a ramp, black with one white pixel."""
    shape, rng = (draw(SIDES), draw(SIDES), 3), np.random.default_rng(draw(SEEDS))
    kind = draw(st.sampled_from(["plain", "halves", "noise", "ramp", "dot"]))
    image = np.zeros(shape, np.uint8)
    if kind == "plain":
        image[:] = rng.integers(0, 256, 3)
    elif kind == "halves":
        image[:, shape[1] // 2 :] = 255
    elif kind == "noise":
        image = rng.integers(0, 256, shape, np.uint8)
    elif kind == "ramp":
        image[:] = (np.arange(shape[1]) * 255 // shape[1])[:, None]
    else:
        image[0, -1] = 255
    return image


RECIPES = st.builds(
    SuperpixelRecipe,
    method=st.sampled_from(["seeds", "slic", "grid"]),
    count=st.integers(1, 12) | st.integers(1, 400),
    levels=st.sampled_from(["auto", 2, 3, 4, 5, 12]),
    prior=st.integers(0, 5),
    bins=st.sampled_from([1, 5, 10]),
    double_step=st.booleans(),
    iterations=st.integers(1, 3),
    equalize=st.sampled_from(["joint", "value", "none"]),
    hue=st.sampled_from(["official", "scaled"]),
    connectivity=st.sampled_from(["official", "largest"]),
    compactness=st.sampled_from([1e-6, 1.0, 10.0, 1e6]),
)


def is_dense(ids):
    return ids.dtype == np.uint16 and np.array_equal(np.unique(ids), np.arange(int(ids.max()) + 1))


@every(image=images(), recipe=RECIPES)
def test_a_picture_is_cut_into_a_dense_partition_the_same_each_time_or_refused(image, recipe):
    found, before = [], image.copy()
    said = refusal(lambda: found.append(superpixels(image, recipe)))
    if said:
        assert str(recipe.count) in said and f"{image.shape[1]}x{image.shape[0]}" in said
        assert recipe.method == "seeds" or recipe.count > image.shape[0] * image.shape[1]
        return
    (ids,) = found
    assert ids.shape == image.shape[:2] and is_dense(ids) and np.array_equal(image, before)
    assert np.array_equal(superpixels(image, recipe), ids)
    if recipe.connectivity == "largest":
        assert label(ids.astype(int) + 1, connectivity=1).max() == ids.max() + 1


@every(
    field=st.sampled_from(list(SuperpixelRecipe.__dataclass_fields__)),
    value=NUMBERS | FLOATS | st.none() | st.text(max_size=3) | st.booleans() | st.sampled_from(["auto", "seeds", "slic", [], {}]),
)
def test_a_recipe_takes_what_it_can_use_and_names_what_it_cannot(field, value):
    said = refusal(lambda: SuperpixelRecipe(**{field: value}))
    if said:
        assert said.startswith(f"superpixel_{field} is ") and "must be" in said
    elif field != "count" or value <= 1600:
        assert superpixels(np.zeros((40, 40, 3), np.uint8), SuperpixelRecipe(**{"count": 4, "method": "grid", field: value})).size


@every(ids=label_maps(), data=st.data(), kind=st.sampled_from(["int64", "uint8", "uint16", "int16", "uint64"]))
def test_any_label_map_becomes_dense_in_the_order_of_its_ids(ids, data, kind):
    rng = np.random.default_rng(data.draw(SEEDS))
    names = np.unique(rng.integers(0, min(np.iinfo(kind).max, 2**62), int(ids.max()) + 1))
    ids = ids % len(names)  # fewer names than ids, where two were drawn alike
    given = names[ids].astype(kind)
    found = dense(given)
    assert is_dense(found) and np.array_equal(found, np.searchsorted(names, given.astype(np.int64)))
    assert np.array_equal(dense(found), found)


@every(ids=label_maps(), data=st.data())
def test_a_label_map_that_is_none_is_refused(ids, data):
    wrong = data.draw(st.sampled_from(["float", "bool", "negative", "deep", "flat", "empty", "complex", "date", "object", "nan"]))
    bent = {
        "float": lambda: ids.astype(float),
        "nan": lambda: np.where(ids == 0, np.nan, ids),
        "bool": lambda: ids > 0,
        "negative": lambda: ids - 1,
        "deep": lambda: ids[None],
        "flat": lambda: ids.ravel(),
        "empty": lambda: ids[:, :0],
        "complex": lambda: ids + 0j,
        "date": lambda: ids.astype("datetime64[s]"),
        "object": lambda: ids.astype(object),
    }[wrong]()
    said = refusal(lambda: dense(bent))
    assert said and said.startswith("the label map")


@every(ids=label_maps(), scattered=st.booleans(), data=st.data())
def test_of_each_superpixel_the_largest_piece_stays_and_the_others_join_a_neighbor(ids, scattered, data):
    if scattered:
        ids = np.random.default_rng(data.draw(SEEDS)).integers(0, 3, ids.shape)
        ids = dense(ids).astype(np.int64)
    found = keep_largest_pieces(ids)
    assert is_dense(found) and found.max() == ids.max()
    pieces = label(ids + 1, connectivity=1)
    for i in range(int(ids.max()) + 1):
        assert label(found == i, connectivity=1).max() == 1
        mine = np.bincount(pieces[ids == i])
        assert (found[pieces == mine.argmax()] == i).all()


@every(image=images())
def test_an_equalized_image_keeps_its_order_and_lies_between_0_and_1(image):
    found = equalized(image)
    assert found.shape == image.shape and found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(found.ravel()[order]) >= 0).all()


@every(image=images(), ids=label_maps(most=12), data=st.data(), pieces=st.integers(1, 6))
def test_a_split_is_of_whole_pieces_that_tile_the_superpixel(image, ids, data, pieces):
    ids = nearest(ids.astype(np.uint16), image.shape[:2])
    superpixel = int(data.draw(st.sampled_from(np.unique(ids).tolist())))
    inside, found = ids == superpixel, []
    said = refusal(lambda: found.append(split(image, ids, superpixel, pieces)))
    assert (said is None) == (inside.sum() > 1)
    if said:
        assert f"superpixel {superpixel} has 1 pixel" in said
        return
    y, x, cut = found[0]
    painted = np.full(ids.shape, IGNORE)
    painted[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    assert ((painted != IGNORE) == inside).all()
    size = np.bincount(cut[cut != IGNORE])
    assert len(size) >= 2 and (size > 0).all() and (np.diff(size) <= 0).all()
    if len(size) < 200:
        assert all(label(cut == i, connectivity=1).max() == 1 for i in range(len(size)))
    again = unpack(pack(y, x, cut))
    assert again[:2] == (y, x) and np.array_equal(again[2], cut)


@every(ids=label_maps(), data=st.data(), k=st.integers(0, 6))
def test_masks_that_overlap_become_a_partition_with_the_smallest_on_top(ids, data, k):
    masks = np.random.default_rng(data.draw(SEEDS)).random((k, *ids.shape)) < 0.4
    found = from_masks(masks)
    assert dense(found).shape == ids.shape
    size = masks.sum(axis=(1, 2))
    for place in np.ndindex(ids.shape):
        mine = np.flatnonzero(masks[:, *place])
        if len(mine):  # all pixels of one number are in the same smallest mask
            smallest = mine[size[mine] == size[mine].min()]
            assert any(masks[i][found == found[place]].all() for i in smallest)
        else:
            assert not masks[:, found == found[place]].any()


@every(ids=label_maps())
def test_neighbors_are_those_that_touch_also_at_a_corner(ids):
    n, (h, w) = int(ids.max()) + 1, ids.shape
    near = [set() for _ in range(n)]
    for y, x in np.ndindex(h, w):
        for v in range(max(0, y - 1), min(h, y + 2)):
            for u in range(max(0, x - 1), min(w, x + 2)):
                near[ids[y, x]].add(int(ids[v, u]))
    found = neighbors_of(ids, n)
    assert [found(i).tolist() for i in range(n)] == [sorted(near[i] - {i}) for i in range(n)]


@every(image=images(), height=SIDES, width=SIDES)
def test_at_another_size_a_picture_has_no_new_extremes_and_a_map_no_new_ids(image, height, width):
    small = resized(image, (height, width))
    assert small.shape == (height, width, 3) and small.min() >= image.min() and small.max() <= image.max()
    ids = nearest(image[..., 0], (height, width))
    assert ids.shape == (height, width) and set(np.unique(ids)) <= set(np.unique(image[..., 0]))
