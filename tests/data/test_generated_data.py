"""Pictures, masks, folders and prepared data as they lie on disk: whole, of every kind, torn, and changed in any byte."""

import io
import json
import shutil
import warnings

import numpy as np
import pytest
from generated import MAYBE, SEEDS, every, masks, refusal
from hypothesis import strategies as st
from PIL import Image
from trees import saved

from oreal_lib.data.files import read_image, read_mask
from oreal_lib.data.prepare import prepare
from oreal_lib.data.readers import folder as own
from oreal_lib.data.source import Item, Source
from oreal_lib.data.store import open_store
from oreal_lib.oracle import class_votes
from oreal_lib.superpixels import SuperpixelRecipe, superpixels
from oreal_lib.types import IGNORE
from oreal_lib.weak.labels import classes_present

SIDES = st.integers(1, 9) | st.integers(1, 40)
MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "HSV", "F", "I", "I;16"]
FORMATS = ["png", "jpg", "bmp", "tif", "webp", "gif", "ppm"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@st.composite
def pictures(draw):
    """(bytes of a file, suffix, mode): any mode in any format that can hold it, sometimes with EXIF or transparency."""
    rng, size = np.random.default_rng(draw(SEEDS)), (draw(SIDES), draw(SIDES))
    mode, suffix = draw(st.sampled_from(MODES)), draw(st.sampled_from(FORMATS))
    if mode in ("F", "I", "I;16"):
        numbers = rng.normal(0, 1e5, size[::-1]) if mode != "I;16" and draw(MAYBE) else rng.integers(0, 65_536, size[::-1])
        picture = Image.fromarray(numbers.astype({"F": np.float32, "I": np.int32, "I;16": np.uint16}[mode]))
    else:
        picture = Image.frombytes("RGBA", size, rng.bytes(size[0] * size[1] * 4)).convert("RGB" if mode == "LAB" else mode)
    more = {}
    if draw(MAYBE) and suffix in ("jpg", "png", "tif", "webp"):
        tags = Image.Exif()
        tags[0x0112] = draw(st.integers(0, 9))
        more["exif"] = tags.tobytes()
    if mode in ("P", "L") and suffix == "png" and draw(MAYBE):
        more["transparency"] = draw(st.integers(0, 255))
    file = io.BytesIO()
    try:
        picture.save(file, Image.registered_extensions()[f".{suffix}"], **more)
    except (OSError, KeyError, ValueError):  # this format has no such mode
        file = io.BytesIO()
        picture.convert("RGB").save(file, Image.registered_extensions()[f".{suffix}"])
    return file.getvalue(), suffix, mode


def broken(draw, data):
    """The bytes cut off, with some changed, longer, empty, or others altogether."""
    rng, how = (
        np.random.default_rng(draw(SEEDS)),
        draw(st.sampled_from(["cut", "flip", "head", "zeros", "other", "empty", "longer"])),
    )
    data = bytearray(data)
    if how == "cut":
        del data[rng.integers(len(data)) :]
    if how in ("flip", "head"):  # a format's fields stand at its beginning
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(min(len(data), 60) if how == "head" else len(data))] = rng.integers(256)
    if how == "zeros":
        start = rng.integers(len(data))
        data[start : start + 30] = bytes(len(data[start : start + 30]))
    return {"other": rng.bytes(60), "empty": b"", "longer": bytes(data) + rng.bytes(9)}.get(how, bytes(data))


def quietly(call):
    """Pillow warns of what it repairs; only what is said in the end counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return refusal(call)


@every(picture=pictures(), data=st.data(), c=st.integers(1, 5), void=st.sampled_from([0, 7, 255, 65_535]), colors=MAYBE)
def test_a_file_whole_or_damaged_is_a_picture_a_mask_or_refused_by_its_name(place, picture, data, c, void, colors):
    content, suffix, mode = picture
    whole, damaged, found = place / f"any.{suffix}", place / f"damaged.{suffix}", []
    whole.write_bytes(content)
    said = quietly(lambda: found.append(read_image(whole)))
    if said:
        assert str(whole) in said and mode in ("F", "I")
    else:
        with Image.open(whole) as opened:
            assert found[0].shape in ((*opened.size, 3), (*opened.size[::-1], 3)) and found[0].dtype == np.uint8
    damaged.write_bytes(broken(data.draw, content))
    table = {(0, 0, 0): 0, (255, 255, 255): IGNORE} if colors else None
    for read in (read_image, lambda path: read_mask(path, c, void, None, table)):
        found = []
        said = quietly(lambda read=read, found=found: found.append(read(damaged)))
        assert str(damaged) in said if said else found[0].dtype == np.uint8


@every(shape=st.tuples(SIDES, SIDES), c=st.integers(1, 6), data=st.data(), kind=st.sampled_from(["L", "P", "16"]))
def test_a_mask_is_read_as_it_was_written_and_any_other_value_is_named_with_its_pixels(place, shape, c, data, kind):
    mask = data.draw(masks(shape, c))
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)) if kind == "P" else None
    written = mask.astype(np.uint16) if kind == "16" else mask
    file = saved(place, written, "mask.png", palette)
    assert np.array_equal(read_mask(file, c), mask)
    wrong, written = data.draw(st.integers(c, 254)), written.copy()
    spot = tuple(data.draw(st.integers(0, side - 1)) for side in shape)
    written[spot] = wrong
    said = refusal(lambda: read_mask(saved(place, written, "mask.png", palette), c))
    assert f"holds values that are not classes: {wrong} (1 pixel); allowed are 0..{c - 1}, 255" in said
    assert read_mask(file, c, remap={wrong: 0})[spot] == 0


@every(shape=st.tuples(SIDES, SIDES), c=st.integers(1, 5), data=st.data(), mode=st.sampled_from(["RGB", "RGBA", "P"]))
def test_a_mask_of_colors_is_read_by_its_table_and_any_other_color_is_named(place, shape, c, data, mode):
    mask, file, rng = data.draw(masks(shape, c)), place / "colors.png", np.random.default_rng(data.draw(SEEDS))
    colors = {
        tuple(map(int, color)): i if i < c else IGNORE for i, color in enumerate(rng.permutation(256)[: 3 * (c + 1)].reshape(-1, 3))
    }
    table = np.zeros((256, 3), np.uint8)
    for color, target in colors.items():
        table[target] = color
    painted = Image.fromarray(table[mask])
    painted = painted.quantize(256) if mode == "P" else painted.convert(mode)
    painted.save(file)
    assert np.array_equal(read_mask(file, c, colors=colors), mask)
    known = dict(list(colors.items())[1:])
    said = refusal(lambda: read_mask(file, c, colors=known))
    assert (said is None) == (not (mask == 0).any())
    assert said is None or f"({(mask == 0).sum()} pixel" in said


# ---- folders and prepared data


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5).filter(
    lambda n: n not in (".", "..")
)
LINES = st.lists(
    st.sampled_from(["a", "a.png", "b", "images/a.png", "c/d", "", "  a ", "x", "\ufeff", "é", "\x0c", "a\\b"]) | NAMES, max_size=5
)


@every(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    lists=st.dictionaries(st.sampled_from(["train", "val", "test"]), LINES | st.binary(max_size=6), max_size=3),
    with_masks=st.sampled_from([0, 1, 4]),
    share=st.sampled_from([0, 0.2, 0.5, 0.99, 1.0, -1, float("nan"), True, "x", None]),
    by=st.sampled_from(["image", "group", "x", None]),
)
def test_a_folder_of_any_names_and_lists_is_split_or_its_problems_are_told(place, names, lists, with_masks, share, by):
    root, found = place / "own", []
    shutil.rmtree(root, ignore_errors=True)
    for sub, some in (("images", names), ("masks", names[:with_masks])):
        for name in some:
            (root / sub).mkdir(parents=True, exist_ok=True)
            (root / sub / f"{name}.png").write_bytes(b"")
    (root / "classes.yaml").write_text("[sky, road]")
    for split, lines in lists.items():
        (root / f"{split}.txt").write_bytes(lines if isinstance(lines, bytes) else "\n".join(lines).encode())
    said = refusal(lambda: found.append(own.read(root, test_share=share, test_by=by)))
    if said:
        assert "test_" in said or "images" in said or "items" in said
        return
    (source,) = found
    assert len({item.name for item in source.items}) == len(source.items) <= len(names)
    assert source.problems or all(item.mask or item.split == "train" for item in source.items)


@st.composite
def sources(draw):
    """(name -> (split, image, mask or None), classes): up to 4 tiny pictures, of one size or of several."""
    c, several, rng = draw(st.integers(1, 4)), draw(MAYBE), np.random.default_rng(draw(SEEDS))
    shape, given = (draw(st.integers(2, 8)), draw(st.integers(2, 8))), {}
    for i in range(draw(st.integers(1, 4))):
        size = (draw(st.integers(2, 8)), draw(st.integers(2, 8))) if several else shape
        mask = draw(masks(size, c)) if draw(st.integers(0, 4)) else None
        given[f"p{i}"] = (
            draw(st.sampled_from(["train", "train", "val", "test"])),
            rng.integers(0, 256, (*size, 3), np.uint8),
            mask,
        )
    return given, c


def source_of(given, c):
    items = tuple(Item(name, name, split) for name, (split, *_) in given.items())
    return Source("own", tuple(f"k{i}" for i in range(c)), items, lambda item: given[item.name][1:], {"n": len(items)})


GRID = SuperpixelRecipe("grid", 4, at="working")


@every(drawn=sources(), mixed=MAYBE)
def test_what_was_prepared_is_what_was_given_cut_and_counted(place, drawn, mixed):
    given, c = drawn
    root, found = place / "store", []
    shutil.rmtree(root, ignore_errors=True)
    how = {"mixed": mixed, "store_root": root, "workers": 1}
    said = refusal(lambda: found.append(prepare(source_of(given, c), GRID, **how)))
    train = [name for name, (split, *_) in given.items() if split == "train"]
    sizes = {image.shape for _, image, _ in given.values()}
    assert (said is None) == bool(train and (mixed or len(sizes) == 1))
    if said:
        assert "no training images" in said or "pixels, but the first image is" in said
        assert not [p for p in root.glob("*") if not p.name.endswith(".lock")]
        return
    data = open_store(found[0])
    assert data.names == tuple(given) and data.classes == tuple(f"k{i}" for i in range(c))
    for i, (_, image, mask) in enumerate(given.values()):
        assert np.array_equal(data.images[i], image) and data.labeled[i] == (mask is not None)
        assert np.array_equal(data.truth[i], np.full(image.shape[:2], IGNORE) if mask is None else mask)
    pairs = [(superpixels(given[name][1], GRID), data.truth[i]) for i, name in enumerate(given) if name in train]
    assert [np.array_equal(a, b) for a, (b, _) in zip(data.superpixels.maps, pairs, strict=True)] == [True] * len(train)
    assert np.array_equal(data.votes, np.concatenate([class_votes(t, m, int(m.max()) + 1, c) for m, t in pairs]))
    assert np.array_equal(data.present, np.concatenate([classes_present(t, m, int(m.max()) + 1, c) for m, t in pairs]))


@pytest.fixture(scope="module")
def store(place):
    given = {
        "a": ("train", np.zeros((6, 5, 3), np.uint8), np.zeros((6, 5), np.uint8)),
        "b": ("test", np.ones((6, 5, 3), np.uint8), None),
    }
    folder = prepare(source_of(given, 2), GRID, store_root=place / "torn", workers=1)
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


@every(data=st.data())
def test_any_changed_byte_of_a_store_is_named_or_changes_nothing(store, data):
    folder, files = store
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    if data.draw(MAYBE):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    try:
        said = refusal(lambda: open_store(folder))
        if name != "manifest.json":
            assert said and str(folder / name) in said and "run again, it will be prepared anew" in said
        else:
            assert said or json.loads(files[name]) == json.loads(content.decode())
    finally:
        (folder / name).write_bytes(files[name])
