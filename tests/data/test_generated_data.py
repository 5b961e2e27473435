"""Pictures, masks, folders and prepared data as they lie on disk: whole, of every kind, torn, and changed in any byte."""

import io
import json
import shutil

import numpy as np
import pytest
from generated import MAYBE, SEEDS, every, refusal
from hypothesis import strategies as st
from PIL import Image
from test_prepare import make

from oreal_lib.data.files import read_image, read_mask
from oreal_lib.data.readers import folder as own
from oreal_lib.data.store import open_store
from oreal_lib.types import IGNORE

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
    rng, data = np.random.default_rng(draw(SEEDS)), bytearray(data)
    how = draw(st.sampled_from(["cut", "flip", "head", "other", "empty", "longer"]))
    if how == "cut":
        del data[rng.integers(len(data)) :]
    if how in ("flip", "head"):  # a format's fields stand at its beginning
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(min(len(data), 60) if how == "head" else len(data))] = rng.integers(256)
    return {"other": rng.bytes(60), "empty": b"", "longer": bytes(data) + rng.bytes(9)}.get(how, bytes(data))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it repairs
@every(picture=pictures(), data=st.data(), c=st.integers(1, 5), void=st.sampled_from([0, 7, 255, 65_535]), colors=MAYBE)
def test_a_file_whole_or_damaged_is_a_picture_a_mask_or_refused_by_its_name(place, picture, data, c, void, colors):
    content, suffix, mode = picture
    whole, damaged, found = place / f"any.{suffix}", place / f"damaged.{suffix}", []
    whole.write_bytes(content)
    said = refusal(lambda: found.append(read_image(whole)))
    if said:
        assert str(whole) in said and mode in ("F", "I")
    else:
        with Image.open(whole) as opened:
            assert found[0].shape in ((*opened.size, 3), (*opened.size[::-1], 3)) and found[0].dtype == np.uint8
    damaged.write_bytes(broken(data.draw, content))
    table = {(0, 0, 0): 0, (255, 255, 255): IGNORE} if colors else None
    for read in (read_image, lambda path: read_mask(path, c, void, None, table)):
        found = []
        said = refusal(lambda read=read, found=found: found.append(read(damaged)))
        assert str(damaged) in said if said else found[0].dtype == np.uint8


# ---- folders and prepared data


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5).filter(lambda n: n.strip("."))
KNOWN = ["a", "a.png", "b", "images/a.png", "c/d", "", "  a ", "x", "\ufeff", "é", "\x0c", "a\\b"]
LINES = st.lists(st.sampled_from(KNOWN) | NAMES, max_size=5)


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


@pytest.fixture(scope="module")
def store(place):
    folder = make(place)
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
            assert said and str(folder / name) in said and "run again, it will be prepared again" in said
        else:
            assert said or json.loads(files[name]) == json.loads(content.decode())
    finally:
        (folder / name).write_bytes(files[name])
