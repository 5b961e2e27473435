"""A folder of pictures, whatever is in it, is cut once, and what was cut stays."""

import json
import os
import unicodedata

import numpy as np
import pytest
from generated import every, label_maps, refusal
from hypothesis import strategies as st
from PIL import Image

from oreal_lib.annotate import pictures as module
from oreal_lib.annotate.pictures import find_pictures, from_masks, key, open_pictures, read_partition
from oreal_lib.storage.progress import lines_to
from oreal_lib.superpixels import SuperpixelRecipe, dense

GRID = SuperpixelRecipe("grid", 6)
HALVES = np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0).astype(np.uint8)


def saved(file, array=None, mode=None, **how):
    """A picture file of 4 x 6 pixels (or that array): its columns grow brighter by 40."""
    file.parent.mkdir(parents=True, exist_ok=True)
    array = np.repeat(np.arange(6, dtype=np.uint8) * 40, 3).reshape(1, 6, 3).repeat(4, axis=0) if array is None else array
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(file, **how)
    return file


def opened(folder, recipe=GRID, side=64, partition=None, said=None):
    """The pictures of a folder by name, and the problems."""
    with lines_to((lambda line: None) if said is None else said.append):
        found, problems = open_pictures(folder, folder.parent / f"{folder.name}-store", recipe, side, partition)
    return {picture.name: picture for picture in found}, problems


def test_pictures_of_all_kinds_become_rgb_of_8_bits(tmp_path):
    folder, turned = tmp_path / "photos", Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    saved(folder / "rgb.png")
    saved(folder / "sub" / "grey.tif", mode="L")
    saved(folder / "sub" / "palette.PNG", mode="P")
    saved(folder / "alpha.png", mode="RGBA")
    saved(folder / "deep.png", np.arange(24, dtype=np.uint16).reshape(4, 6) * 2570)
    saved(folder / "turned.jpg", exif=turned)
    saved(folder / "straße 北.png")
    saved(folder / "large.jpeg", np.zeros((100, 50, 3), np.uint8))
    (folder / "notes.txt").write_text("no picture")
    found, problems = opened(folder)
    assert problems == []
    assert {name: (p.native, p.size) for name, p in found.items()} == {
        "alpha": ((4, 6), (4, 6)),
        "deep": ((4, 6), (4, 6)),
        "large": ((100, 50), (64, 32)),
        "rgb": ((4, 6), (4, 6)),
        "straße 北": ((4, 6), (4, 6)),
        "sub/grey": ((4, 6), (4, 6)),
        "sub/palette": ((4, 6), (4, 6)),
        "turned": ((6, 4), (6, 4)),
    }
    for name, p in found.items():
        image, ids = p.image(), p.ids()
        assert image.shape == (*p.size, 3) and image.dtype == np.uint8
        assert ids.shape == p.size and ids.dtype == np.uint16 and p.count == 6 and np.unique(ids).tolist() == list(range(6))
        if name in ("rgb", "alpha", "sub/grey", "straße 北"):
            assert image[0, :, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert found["deep"].image()[3, 5].tolist() == [230] * 3  # 23 * 2570 of 65535


def test_a_hundred_pictures_are_cut_by_several_processes_into_the_same_files(tmp_path):
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    for k in range(100):
        saved(folder / f"{k}.png", rng.integers(0, 255, (4, 6, 3), np.uint8))
    files = {}
    for workers in (1, 2):
        with lines_to(lambda line: None):
            found, problems = open_pictures(folder, store := tmp_path / str(workers), GRID, 64, workers=workers)
        assert len(found) == 100 and problems == []
        files[workers] = {file.name: file.read_bytes() for file in store.iterdir()}
    assert files[1] == files[2] and len(files[1]) == 300


def test_a_damaged_picture_is_named_and_the_others_go_on(tmp_path):
    folder = tmp_path / "photos"
    good = saved(folder / "good.png")
    (folder / "cut.png").write_bytes(good.read_bytes()[:45])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "camera.heic").write_bytes(b"?")
    saved(folder / "good.jpg")
    found, problems = opened(folder)
    assert list(found) == ["good"] and len(problems) == 4
    assert all(
        any(name in problem for problem in problems) for name in ("cut.png", "empty.jpg", "camera.heic", "good.png and good.jpg")
    )


def test_a_picture_that_cannot_be_cut_is_named(tmp_path):
    folder = tmp_path / "photos"
    for name, side in (("icon", 8), ("photo", 64)):
        saved(folder / f"{name}.png", np.full((side, side, 3), 90, np.uint8))
    found, problems = opened(folder, SuperpixelRecipe(count=40))
    assert list(found) == ["photo"] and problems[0].startswith("icon cannot be cut: SEEDS cannot cut 8x8 pixels")
    maps = tmp_path / "maps"
    maps.mkdir()
    for name, side in (("icon", 8), ("photo", 32)):
        np.save(maps / f"{name}.npy", np.zeros((side, side), int))
    with lines_to(lambda line: None):
        found, problems = open_pictures(folder, tmp_path / "other", GRID, 64, maps)
    assert [p.name for p in found] == ["icon"] and problems[0].startswith("photo cannot be cut: the label map ")


def test_black_pictures_and_files_that_are_no_pictures_are_told_once(tmp_path):
    folder, said, again = tmp_path / "photos", [], []
    saved(folder / "a.png")
    saved(folder / "deep.png", np.full((4, 6), 4080, np.uint16))  # 12 bits of 16
    saved(folder / "photo.jfif", format="JPEG")
    (folder / "notes.txt").write_text("no picture")
    assert list(opened(folder, said=said)[0]) == ["a", "deep", "photo"]
    assert said[1:] == [
        "the brightest value of 1 images is 16 of 255 (about 4112 of 65535): they look black; scale them",
        "beside the images lie 1 files that are no pictures and are passed over: notes.txt",
    ]
    opened(folder, said=again)
    assert again == []


@pytest.mark.parametrize("content", [{}, {"a.heic": b"x"}, {"a.png": b"x"}])
def test_a_folder_without_a_usable_picture_is_refused_with_the_remedy(tmp_path, content):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with pytest.raises(
        ValueError, match=r"photos (holds no picture|can be used).*put JPEG, PNG or TIFF|no picture in .*repair or replace"
    ):
        opened(folder)
    with pytest.raises(FileNotFoundError, match="name the folder with your pictures"):
        opened(tmp_path / "photo")


def test_what_was_cut_stays_even_if_the_method_would_now_cut_otherwise(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    saved(folder / "b.png")
    (before,) = opened(folder)[0].values()
    ids = before.ids()
    monkeypatch.setattr(module, "superpixels", lambda image, recipe: np.zeros(image.shape[:2], np.uint16))
    saved(folder / "a.png")  # comes before it
    said = []
    found, problems = opened(folder, SuperpixelRecipe("grid", 2), 32, said=said)
    assert list(found) == ["a", "b"] and problems == [] and said == ["cutting 1 picture into superpixels ..."]
    assert found["b"] == before and (found["b"].ids() == ids).all() and found["a"].count == 1


def test_a_killed_cutting_goes_on_where_it_was(tmp_path, monkeypatch):
    folder, real, cut = tmp_path / "photos", module.superpixels, []
    for name in "abc":
        saved(folder / f"{name}.png")

    def dies(image, recipe):
        cut.append(image)
        if len(cut) == 2:
            raise KeyboardInterrupt
        return real(image, recipe)

    monkeypatch.setattr(module, "superpixels", dies)
    with pytest.raises(KeyboardInterrupt):
        opened(folder)
    assert list(opened(folder)[0]) == ["a", "b", "c"] and len(cut) == 4  # a once, b twice, c once


def test_a_changed_picture_is_left_out_with_a_sentence_and_comes_back_with_its_old_content(tmp_path):
    folder = tmp_path / "photos"
    saved(folder / "a.png")
    saved(folder / "b.png")
    old = (folder / "b.png").read_bytes()
    opened(folder)
    os.utime(folder / "a.png", ns=(10**9, 10**9))  # copied elsewhere: another time, the same content
    saved(folder / "b.png", np.full((4, 6, 3), 9, np.uint8))
    found, (problem,) = opened(folder)
    noted = json.loads((found["a"].store / f"{key('a')}.json").read_text(encoding="utf-8"))
    assert noted["stat"][1] == 10**9  # so its content is looked at once, not each time
    assert (
        list(found) == ["a"]
        and "b.png was changed after its superpixels were cut" in problem
        and "put the old file back" in problem
    )
    (folder / "b.png").write_bytes(old)
    assert list(opened(folder)[0]) == ["a", "b"]
    (folder / "b.png").unlink()
    assert list(opened(folder)[0]) == ["a"]


@pytest.mark.parametrize("part", ["ids.npy", "image.npy", "json"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "changed"])
def test_a_damaged_working_copy_is_named(tmp_path, part, how):
    folder = tmp_path / "photos"
    saved(folder / "a.png")
    opened(folder)
    file = tmp_path / "photos-store" / f"{key('a')}.{part}"
    data = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut": data[:-3], "changed": data[:-4] + b"\1\7\1\7"}[how])
    if (part, how) == ("json", "gone"):  # it was never cut, so it is cut now
        assert opened(folder)[0]["a"].ids().max() == 5
    else:
        with pytest.raises(ValueError, match=rf"{file.name} is damaged \(.*put back a copy of it"):
            picture = opened(folder)[0]["a"]
            picture.ids(), picture.image()


@pytest.mark.parametrize("size", [(3000, 20), (1, 500), (2, 2), (1, 1)])
@pytest.mark.parametrize("method", ["grid", "seeds", "slic"])
def test_extreme_pictures_are_cut_or_left_out_with_a_sentence(tmp_path, size, method):
    folder = tmp_path / "photos"
    saved(folder / "extreme.png", np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    saved(folder / "usual.png", np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8))
    found, problems = opened(folder, SuperpixelRecipe(method, 24, levels="auto"), 1024)
    assert "usual" in found and len(found) + len(problems) == 2
    for picture in found.values():
        ids = picture.ids()
        assert (
            ids.shape == picture.size and np.bincount(ids.ravel(), minlength=picture.count).all() and ids.max() == picture.count - 1
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("partitions")


@every(ids=label_maps(), kind=st.sampled_from(["npy", "png8", "palette", "png16", "rgb", "rgba", "masks", "tif"]), data=st.data())
def test_a_partition_made_elsewhere_is_read_as_it_is(place, ids, kind, data):
    file = place / f"ids.{'npy' if kind in ('npy', 'masks') else 'tif' if kind == 'tif' else 'png'}"
    if kind == "npy":
        np.save(file, ids.astype(data.draw(st.sampled_from(["int64", "uint16", "uint32", ">i4"]))))
    elif kind == "masks":
        np.save(file, ids[None] == np.arange(int(ids.max()) + 1)[:, None, None])
    elif kind in ("rgb", "rgba"):
        bands = [ids >> 16, ids >> 8 & 255, ids & 255, np.full_like(ids, 255)]
        Image.fromarray(np.stack(bands[: len(kind)], axis=-1).astype(np.uint8)).save(file)
    else:
        ids = ids % 256 if kind in ("png8", "palette") else ids
        picture = Image.fromarray(ids.astype({"png16": np.uint16, "tif": np.int32}.get(kind, np.uint8)))
        if kind == "palette":  # of one color: what counts are the ids
            picture.putpalette([9, 9, 9] * 256)
        picture.save(file)
    found = read_partition(file, ids.shape)
    if kind == "masks":  # numbered by size; the partition is the same
        assert len(np.unique(np.stack([found.ravel(), ids.ravel()]), axis=1).T) == ids.max() + 1 == found.max() + 1
    else:
        assert np.array_equal(found, dense(ids)) and found.dtype == np.uint16
    assert "they must agree" in refusal(lambda: read_partition(file, (ids.shape[0] + 1, ids.shape[1])))


def test_of_masks_that_overlap_the_smallest_lies_on_top_and_what_is_free_falls_into_connected_pieces():
    masks = np.zeros((3, 3, 6), bool)
    masks[0, :, 1:4] = True  # 9 pixels
    masks[1, 1, 3:5] = True  # 2 pixels, one of them on the first
    masks[2, 1, 2] = True
    ids = from_masks(masks)
    assert ids.tolist() == [
        [4, 1, 1, 1, 5, 5],
        [4, 1, 3, 2, 2, 5],
        [4, 1, 1, 1, 5, 5],
    ]
    assert (from_masks(np.zeros((0, 2, 2), bool)) == 1).all()


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("a.npy", np.zeros((6, 4), int), r"a.npy is \(6, 4\), but its picture is \(4, 6\)"),
        ("a.npy", np.zeros((2, 6, 4), bool), r"a.npy is \(6, 4\), but its picture is \(4, 6\)"),
        ("a.npy", np.zeros((4, 6)), "a.npy: the label map is float64"),
        ("a.npy", np.zeros((4, 6), bool), "a.npy: the label map is bool"),
        ("a.npy", HALVES.astype(int) - 1, "a.npy: the label map holds the negative id -1"),
        ("a.npy", np.array([[None] * 6] * 4), "a.npy is not an array of numbers"),
        ("a.npy", b"nonsense", "a.npy is not an array of numbers"),
        ("a.png", b"nonsense", "label map .*a.png is not an image or is cut off"),
        ("a.tif", HALVES.astype(np.float32), "label map .*a.tif holds floating-point numbers.*; save it as PNG"),
        ("a.png", np.zeros((4, 7), np.uint8), r"a.png is \(4, 7\), but its picture is \(4, 6\)"),
    ],
)
def test_a_label_map_that_does_not_fit_is_named_and_the_others_go_on(tmp_path, name, content, why):
    for picture in "ab":
        saved(tmp_path / "photos" / f"{picture}.png")
    saved(tmp_path / "maps" / "b.png", HALVES)
    file = tmp_path / "maps" / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif name.endswith(".npy"):
        np.save(file, content)
    else:
        saved(file, content)
    with pytest.raises(ValueError, match=why):
        read_partition(file, (4, 6))
    found, (problem,) = opened(tmp_path / "photos", partition=tmp_path / "maps")
    assert list(found) == ["b"] and name in problem


def test_a_label_map_stands_as_its_own_exif_says_and_is_never_blurred_or_one_page_of_several(tmp_path):
    exif, ids = Image.Exif(), np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif[0x0112] = 3  # turn by 180 degrees
    for suffix, how in (("png", {}), ("tif", {}), ("webp", {"lossless": True})):
        array = ids if suffix != "webp" else np.repeat(ids[..., None], 3, axis=2)
        file = saved(tmp_path / f"a.{suffix}", array, exif=exif, **how)
        assert np.array_equal(read_partition(file, (4, 6)), ids[::-1, ::-1])
    with pytest.raises(ValueError, match=r"label map .*a.png is a JPEG, which blurs"):
        read_partition(saved(tmp_path / "a.png", ids, format="JPEG"), (4, 6))
    with pytest.raises(ValueError, match=r"label map .*a.tif holds 2 pages.*save the right one as PNG"):
        read_partition(saved(tmp_path / "a.tif", ids, save_all=True, append_images=[Image.fromarray(ids)]), (4, 6))


def test_a_missing_label_map_is_named_with_the_remedy(tmp_path):
    for name in ("a", "sub/b"):
        saved(tmp_path / "photos" / f"{name}.png")
    saved(tmp_path / "maps" / "a.png", HALVES)
    with pytest.raises(ValueError, match=r"no label map for 1 of 2 pictures, the first is sub/b; put sub/b\.png"):
        opened(tmp_path / "photos", partition=tmp_path / "maps")


def test_a_label_map_is_found_whatever_way_its_name_is_written(tmp_path):
    saved(tmp_path / "photos" / "sub" / unicodedata.normalize("NFC", "Übung.jpg"))
    saved(tmp_path / "photos" / "b.jpg")
    saved(tmp_path / "maps" / "sub" / unicodedata.normalize("NFD", "Übung.PNG"), HALVES)  # as a Mac writes it
    with (tmp_path / "maps" / "b.NPY").open("wb") as file:
        np.save(file, HALVES)
    saved(tmp_path / "maps" / "b.png", HALVES * 0)  # of two, the .npy counts
    found, problems = opened(tmp_path / "photos", partition=tmp_path / "maps")
    assert [picture.count for picture in found.values()] == [2, 2] and not problems


def test_thumbnails_of_a_system_are_no_pictures(tmp_path):
    saved(tmp_path / "photos" / "a.jpg")
    for system in ("@eaDir/a.jpg", "#recycle", "$RECYCLE.BIN", ".@__thumb", "__MACOSX"):
        saved(tmp_path / "photos" / system / "b.jpg")
    found, problems = opened(tmp_path / "photos")
    assert list(found) == ["a"] and not problems


def test_a_label_map_comes_to_working_size_without_ids_that_vanish(tmp_path):
    saved(tmp_path / "photos" / "a.png", np.zeros((200, 300, 3), np.uint8))
    ids = np.zeros((200, 300), np.uint16)
    ids[:, 150:], ids[77, 77] = 7, 9  # a pixel that is gone at a third of the size
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "a.npy", ids)
    picture = opened(tmp_path / "photos", side=100, partition=tmp_path / "maps")[0]["a"]
    assert picture.size == (67, 100) and picture.count == len(np.unique(picture.ids())) and picture.ids()[0, -1] == 1
    assert json.loads((picture.store / f"{key('a')}.json").read_text())["superpixels"] == "a.npy"


def test_a_heic_is_read_where_pillow_heif_is_there_and_else_named_with_the_remedy(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif").register_heif_opener()
    folder = tmp_path / "photos"
    saved(folder / "phone.heic", np.full((48, 64, 3), 90, np.uint8), format="HEIF")
    saved(folder / "other.png")
    found, problems = opened(folder)
    assert list(found) == ["other", "phone"] and problems == [] and abs(int(found["phone"].image().mean()) - 90) < 6
    monkeypatch.setattr("oreal_lib.data.folders.reads_heic", lambda: False)
    assert "phone.heic is a HEIC; `pip install pillow-heif` in this environment" in find_pictures(folder)[1][0]
