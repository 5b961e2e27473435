"""A prepared store that was changed, torn or taken apart is named, and never becomes data."""

import numpy as np
import pytest
from test_prepare import flip_a_byte, make

from oreal_lib.data.store import FORMAT, Hashing, NpyFile, open_store
from oreal_lib.storage import checked


@pytest.mark.parametrize(
    "harm, message",
    [
        (lambda s: flip_a_byte(s / "votes.npy"), r"votes.npy was changed"),
        (lambda s: (s / "images.npy").write_bytes((s / "images.npy").read_bytes()[:-9]), r"images.npy has \d+ bytes, but"),
        (lambda s: (s / "superpixels.npy").unlink(), "superpixels.npy is missing"),
        (lambda s: (s / "manifest.json").unlink(), "manifest.json is missing.*not a prepared store"),
        (lambda s: (s / "manifest.json").write_text('{"key": "ab'), "manifest.json is damaged"),
        (lambda s: of_format(s, 99), "store format 99, but this version of the library reads"),
    ],
)
def test_a_harmed_store_is_named_with_the_remedy(tmp_path, harm, message):
    store = make(tmp_path)
    harm(store)
    with pytest.raises(ValueError, match=message) as error:
        open_store(store)
    assert f"delete the folder {store}" in str(error.value)


def of_format(store, number):
    manifest = checked.read(store / "manifest.json", "")
    assert manifest["about"]["format"] == FORMAT
    checked.write(store / "manifest.json", manifest | {"about": manifest["about"] | {"format": number}})


@pytest.mark.parametrize("columns, shape", [(None, (6,)), (3, (2, 3))])
def test_an_array_written_in_parts_is_what_numpy_reads(tmp_path, columns, shape):
    with NpyFile(tmp_path / "a.npy", np.uint16) as file:
        for part in ([[1, 2], [3, 4]], None, [5, 6]):
            file.append(None if part is None else np.array(part, np.uint16))
        written = file.finish(columns, Hashing("", 0))
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.uint16 and np.array_equal(found, np.arange(1, 7).reshape(shape))
    assert written["bytes"] == (tmp_path / "a.npy").stat().st_size == 128 + 12
