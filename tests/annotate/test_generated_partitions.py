"""Superpixels made elsewhere, as they lie on disk: read as they are, or refused by their name."""

import io

import numpy as np
import pytest
from generated import MAYBE, SEEDS, every, label_maps, refusal
from hypothesis import strategies as st
from PIL import Image
from test_generated_data import broken, quietly

from oreal_lib.annotate.pictures import read_partition
from oreal_lib.superpixels import dense


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("partitions")


@every(ids=label_maps(), kind=st.sampled_from(["npy", "png8", "png16", "rgb", "masks", "tif"]), data=st.data())
def test_a_partition_made_elsewhere_is_read_as_it_is(place, ids, kind, data):
    file = place / f"ids.{'npy' if kind in ('npy', 'masks') else 'tif' if kind == 'tif' else 'png'}"
    if kind == "npy":
        np.save(file, ids.astype(data.draw(st.sampled_from(["int64", "uint16", "uint32", ">i4"]))))
    elif kind == "masks":
        np.save(file, ids[None] == np.arange(int(ids.max()) + 1)[:, None, None])
    elif kind == "rgb":
        Image.fromarray(np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=-1).astype(np.uint8)).save(file)
    else:
        ids = ids % 256 if kind == "png8" else ids
        Image.fromarray(ids.astype(np.uint8 if kind == "png8" else np.uint16)).save(file)
    found = read_partition(file, ids.shape)
    if kind == "masks":  # numbered by size; the partition is the same
        assert len(np.unique(np.stack([found.ravel(), ids.ravel()]), axis=1).T) == ids.max() + 1 == found.max() + 1
    else:
        assert np.array_equal(found, dense(ids))
    assert "they must agree" in refusal(lambda: read_partition(file, (ids.shape[0] + 1, ids.shape[1])))


ARRAYS = st.sampled_from(
    ["int", "float", "bool", "object", "masks", "record", "date", "text", "empty", "scalar", "zip", "huge", "fortran"]
)


@every(what=ARRAYS, data=st.data(), damage=MAYBE)
def test_an_array_file_of_any_kind_is_a_partition_or_refused_by_its_name(place, what, data, damage):
    rng, buffer = np.random.default_rng(data.draw(SEEDS)), io.BytesIO()
    arrays = {
        "int": rng.integers(-2, 9, (3, 4)),
        "float": rng.random((3, 4)),
        "bool": rng.random((3, 4)) < 0.5,
        "object": np.array([[1, "a"]], object),
        "masks": rng.random((2, 3, 4)) < 0.5,
        "record": np.zeros((3, 4), [("a", "i4"), ("b", "f4")]),
        "date": np.zeros((3, 4), "datetime64[D]"),
        "text": np.full((3, 4), "x"),
        "empty": np.zeros((0, 3, 4), bool),
        "scalar": np.array(3),
        "huge": rng.integers(0, 2**62, (3, 4)),
        "fortran": np.asfortranarray(rng.integers(0, 9, (3, 4))),
    }
    if what == "zip":
        np.savez(buffer, a=np.zeros((3, 4), int))
    else:
        np.save(buffer, arrays[what], allow_pickle=True)
    file, found = place / "array.npy", []
    file.write_bytes(broken(data.draw, buffer.getvalue()) if damage else buffer.getvalue())
    said = quietly(lambda: found.append(read_partition(file, (3, 4))))
    assert (said is None or str(file) in said) and (said or found[0].shape == (3, 4))
    if not damage and what in ("float", "bool", "object", "record", "date", "text", "scalar", "zip"):
        assert said
