"""One image or one mask from disk: what real files hold, and what is said about those that cannot be used."""

import base64

import cv2
import numpy as np
import pytest
from PIL import Image
from trees import saved

from oreal_lib.data.files import only_void, open_pair, read_image, read_mask
from oreal_lib.data.resize import bounded, nearest, resized
from oreal_lib.data.source import Item

COLORS = {(0, 0, 0): 0, (255, 0, 0): 1, (9, 9, 9): 255}


# [[0, 2], [1, 11]] as a gray PNG of 4 bits per pixel, which Pillow reads but does not write
FOUR_BITS = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACBAAAAACSLb/5AAAADElEQVR4nGNgYpAGAAAlAB6yksfOAAAAAElFTkSuQmCC"


def test_an_image_stands_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[0, 0] = 255
    turned = read_image(saved(tmp_path, picture, exif=exif))
    assert turned.shape == (4, 2, 3) and turned[0, 1].tolist() == [255] * 3


def test_an_image_whose_exif_is_damaged_is_named(tmp_path):
    path = saved(tmp_path, np.zeros((2, 4, 3), np.uint8), "a.webp", exif=b"MM\0*" + bytes(8))
    path.write_bytes(path.read_bytes().replace(b"MM\0*", bytes(4)))
    with pytest.raises(ValueError, match=r"a.webp is cannot be told, its EXIF is damaged .SyntaxError: .*; save it again, turned"):
        read_image(path)


@pytest.mark.parametrize(
    "values, palette, rgb",
    [
        (np.array([[0, 9]], np.uint8), None, [[0] * 3, [9] * 3]),
        (np.array([[0, 257, 32_896, 65_535]], np.uint16), None, [[0] * 3, [1] * 3, [128] * 3, [255] * 3]),  # scaled, not clipped
        (np.array([[0, 1]], np.uint8), [(10, 20, 30), (40, 50, 60)], [[10, 20, 30], [40, 50, 60]]),
        (np.array([[0, 9, 255]], np.int32), None, [[0] * 3, [9] * 3, [255] * 3]),  # 8 bits in 32, as numpy's default writes them
        (np.array([[0, 257, 32_896]], np.int32), None, [[0] * 3, [1] * 3, [128] * 3]),  # 16 bits in 32
        (np.array([[0, 255]], np.uint16), None, [[0] * 3, [1] * 3]),  # 16 bits stay 16 bits, however dark
        (np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], np.uint8), None, [[200, 100, 50], [0, 0, 0]]),  # transparent: black
    ],
)
def test_every_image_becomes_rgb_of_8_bits(tmp_path, values, palette, rgb):
    name = "a.tif" if values.dtype == np.int32 else "a.png"
    image = read_image(saved(tmp_path, values, name, palette=palette))
    assert image[0].tolist() == rgb and image.dtype == np.uint8


def test_a_broken_file_is_named_with_the_remedy(tmp_path):
    whole = saved(tmp_path, np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    cv2.imwrite(str(tmp_path / "bands.tif"), np.zeros((4, 4, 3), np.float32))
    for name in ("phone.jpg", "bands.tif"):
        with pytest.raises(
            ValueError, match=rf"{name} is .*file\); copy .*HEIC by another name or a TIFF of many bands, save it as"
        ):
            read_image(tmp_path / name)
    for name in ("cut.png", "text.jpg"):
        with pytest.raises(ValueError, match=rf"{name} is not an image or is cut off.*download it again"):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"gone.png does not exist"):
        read_mask(tmp_path / "gone.png", 3)


def test_a_mask_is_read_by_index_never_by_color(tmp_path):
    mask = np.array([[0, 2], [1, 255]], np.uint8)
    assert read_mask(saved(tmp_path, mask, palette=[(200, 200, 200)] * 256), 3).tolist() == mask.tolist()
    assert read_mask(saved(tmp_path, mask.astype(np.uint16)), 3).tolist() == mask.tolist()
    (tmp_path / "gray.png").write_bytes(base64.b64decode(FOUR_BITS))
    assert read_mask(tmp_path / "gray.png", 12).tolist() == [[0, 2], [1, 11]]


def test_a_bmp_whose_gray_palette_is_misread_is_refused(tmp_path):
    ids = np.array([[0, 1, 1, 0]] * 2, np.uint8)
    black_white = saved(tmp_path, ids, "a.bmp", palette=[(0, 0, 0), (255, 255, 255)])  # 8 bits, taken for 1 bit
    for read in (read_image, lambda path: read_mask(path, 2)):
        with pytest.raises(ValueError, match=r"a.bmp is a BMP of 8 bits with a gray palette, which is misread; save it as PNG"):
            read(black_white)
    for array, palette in ((ids, None), (ids.astype(bool), None), (ids, [(0, 0, 0), (255, 0, 0)]), (ids, [(255,) * 3, (0,) * 3])):
        assert np.array_equal(read_mask(saved(tmp_path, array, "a.bmp", palette=palette), 2), ids)


def test_gray_colors_make_index_0_void(tmp_path):
    colors = {(0, 0, 0): 255, (1, 1, 1): 0, (2, 2, 2): 1}
    assert read_mask(saved(tmp_path, np.array([[0, 1, 2]], np.uint8)), 2, colors=colors).tolist() == [[255, 0, 1]]


def test_void_and_remapped_values_become_255(tmp_path):
    path = saved(tmp_path, np.array([[0, 1, 7, 9]], np.uint8))
    assert read_mask(path, 3, void=9, remap={7: 2}).tolist() == [[0, 1, 2, 255]]
    with pytest.raises(ValueError, match=r"not classes: 255 \(1 pixel\); allowed are 0..2, 9; correct the mask, or, for data"):
        read_mask(saved(tmp_path, np.array([[0, 255]], np.uint8)), 3, void=9)


@pytest.mark.parametrize(
    "values, message",
    [
        (np.array([[0, 3, 3, 77]], np.uint8), r"a.png holds values .*: 3 \(2 pixels\), 77 \(1 pixel\); allowed are 0..2, 255"),
        (np.array([[0, 70_000]], np.int32), r"70000 \(1 pixel\)"),
        (np.array([[-5, 2**30]], np.int32), r"-5 \(1 pixel\), 1073741824 \(1 pixel\)"),
        (np.arange(40, dtype=np.uint8)[None], r"12 \(1 pixel\) and 27 more"),
        (np.zeros((2, 3), np.uint8), "is a JPEG, which blurs class indices; save masks as PNG"),
        (np.zeros((2, 2, 3), np.uint8), "holds colors.*its color in classes.yaml.*or translate each color"),
    ],
)
def test_values_that_are_not_classes_are_listed_with_their_pixels(tmp_path, values, message):
    suffix = "tif" if values.dtype == np.int32 else "jpg" if "JPEG" in message else "png"
    with pytest.raises(ValueError, match=message):
        read_mask(saved(tmp_path, values, f"a.{suffix}"), 3)


def test_colors_are_translated_whatever_the_file_is(tmp_path):
    rgb = np.array([[[0, 0, 0], [255, 0, 0], [9, 9, 9]]], np.uint8)
    rgba = np.concatenate([rgb, np.full((1, 3, 1), 255, np.uint8)], axis=2)
    palette = saved(tmp_path, np.array([[2, 0, 1]], np.uint8), "p.png", [(255, 0, 0), (9, 9, 9), (0, 0, 0)])
    for path in (saved(tmp_path, rgb), saved(tmp_path, rgba, "b.png"), palette):
        assert read_mask(path, 2, colors=COLORS).tolist() == [[0, 1, 255]]
    for kind in (np.uint8, np.uint16):  # gray files hold indices all the same
        assert read_mask(saved(tmp_path, np.array([[1, 0, 255]], kind)), 2, colors=COLORS).tolist() == [[1, 0, 255]]
    rgba[0, 0, 3] = 7
    with pytest.raises(ValueError, match=r"b.png is transparent at 1 pixels"):
        read_mask(saved(tmp_path, rgba, "b.png"), 2, colors=COLORS)


BLACK_AND_WHITE = {(255, 255, 255): 0, (0, 0, 0): 1}  # the other way round than as indices
# [[255, 0]] and [[1, 0]] of one bit, as gray of 16 bits, with alpha, as a palette ...
SHOWN = {
    "1": Image.fromarray(np.array([[True, False]])),
    "L": Image.fromarray(np.array([[255, 0]], np.uint8)),
    "LA": Image.fromarray(np.array([[255, 0]], np.uint8)).convert("LA"),
    "I;16": Image.fromarray(np.array([[65_535, 0]], np.uint16)),
    "I;16 of 8 bits": Image.fromarray(np.array([[255, 0]], np.uint16)),
    "I": Image.fromarray(np.array([[65_535, 0]], np.int32)),
    "RGB": Image.fromarray(np.array([[[255] * 3, [0] * 3]], np.uint8)),
    "RGBA": Image.fromarray(np.array([[[255] * 4, [0, 0, 0, 255]]], np.uint8)),
    "P": Image.fromarray(np.array([[255, 0]], np.uint8)).convert("P"),
}


@pytest.mark.parametrize("void", [255, None])
@pytest.mark.parametrize("mode", SHOWN)
def test_a_gray_or_1_bit_file_shows_colors_like_any_other(tmp_path, mode, void):
    SHOWN[mode].save(tmp_path / "a.tif" if mode == "I" else tmp_path / "a.png")
    (path,) = tmp_path.iterdir()
    assert read_mask(path, 2, void, colors=BLACK_AND_WHITE).tolist() == [[0, 1]]


def test_without_colors_a_mask_of_any_gray_kind_holds_indices(tmp_path):
    picture = Image.fromarray(np.array([[1, 0]], np.uint8))
    transparent = Image.merge("LA", [picture, Image.fromarray(np.array([[255, 9]], np.uint8))])
    for suffix, mode, kind in (("png", "1", SHOWN["1"]), ("png", "LA", picture.convert("LA")), ("tif", "1", SHOWN["1"])):
        kind.save(tmp_path / f"{mode}.{suffix}")
        assert read_mask(tmp_path / f"{mode}.{suffix}", 2).tolist() == [[1, 0]]
    transparent.save(tmp_path / "t.png")
    with pytest.raises(ValueError, match=r"t.png is transparent at 1 pixels"):
        read_mask(tmp_path / "t.png", 2)
    for mode in ("F", "CMYK", "LAB"):
        Image.new(mode, (2, 1)).save(tmp_path / "a.tif")
        with pytest.raises(
            ValueError, match=r"a.tif holds (floating-point|colors that are not RGB .mode).*save it as PNG with whole"
        ):
            read_mask(tmp_path / "a.tif", 2, colors=COLORS)


def test_grays_that_are_not_all_colors_are_indices_unless_a_value_means_two_things_or_only_colors_count(tmp_path):
    gray = saved(tmp_path, np.array([[0, 1, 1, 255]], np.uint8))
    assert read_mask(gray, 2, colors={(0, 0, 0): 0, (9, 9, 9): 1}).tolist() == [[0, 1, 1, 255]]
    said = (
        r"other classes as grays than as indices: 0 \(1 pixel\), 255 \(1 pixel\); allowed are 0..1, 255, or grays of classes.yaml"
    )
    with pytest.raises(ValueError, match=said):
        read_mask(gray, 2, colors=BLACK_AND_WHITE)
    with pytest.raises(ValueError, match=r"not classes: 1 \(2 pixels\); allowed are grays with a class; correct"):
        read_mask(gray, 2, None, colors=BLACK_AND_WHITE)
    with pytest.raises(ValueError, match=r"not classes: 17 \(1 pixel\); allowed are 0..1, 255, or grays"):  # smooth edges
        read_mask(saved(tmp_path, np.array([[0, 17, 255]], np.uint8)), 2, colors=BLACK_AND_WHITE)


TURNED = [
    [[0, 1, 2], [3, 4, 5]],
    [[2, 1, 0], [5, 4, 3]],
    [[5, 4, 3], [2, 1, 0]],
    [[3, 4, 5], [0, 1, 2]],
    [[0, 3], [1, 4], [2, 5]],
    [[3, 0], [4, 1], [5, 2]],
    [[5, 2], [4, 1], [3, 0]],
    [[2, 5], [1, 4], [0, 3]],
]


@pytest.mark.parametrize(
    "suffix, how", [("png", {}), ("tif", {}), ("tif", {"compression": "tiff_lzw"}), ("webp", {"lossless": True})]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_and_an_image_stand_as_their_own_exif_says(tmp_path, suffix, how, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    colors = np.repeat(mask[..., None], 3, axis=2)
    for values in (mask, mask.astype(np.uint16), colors) if suffix != "webp" else (colors,):
        path = saved(tmp_path, values, f"a.{suffix}", exif=exif, **how)
        assert read_mask(path, 6, colors={(v, v, v): v for v in range(6)}).tolist() == TURNED[orientation - 1]
        if values.dtype == np.uint8:
            assert read_image(path)[..., 0].tolist() == TURNED[orientation - 1]


def test_a_mask_without_a_tag_beside_an_image_that_is_turned_is_as_it_was_saved(tmp_path):
    exif, mask = Image.Exif(), np.array([[0, 1, 2]], np.uint8)
    exif[0x0112] = 6
    image = saved(tmp_path, np.zeros((3, 1, 3), np.uint8), "i.jpg", exif=exif)
    (tmp_path / "masks").mkdir()
    item = Item("i", "i", "train", image, saved(tmp_path / "masks", mask.T, "i.png"))  # no tag: stands as it was saved
    with pytest.raises(
        ValueError, match=r"i.jpg is 3x1 pixels, but its mask .*i.png is 1x3.*turn only one of them.*turn the mask's"
    ):
        open_pair(item, n_classes=3)
    item = Item("i", "i", "train", image, saved(tmp_path / "masks", mask, "i.png"))
    assert open_pair(item, n_classes=3)[1].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    "name, how, said",
    [
        ("a.jpg", {}, "is a JPEG, which blurs"),
        ("a.png", {"format": "JPEG"}, "is a JPEG, which blurs"),
        ("a.png", {"format": "JPEG2000"}, "is a JPEG2000, which blurs"),
        ("a.tif", {"compression": "jpeg"}, "is a TIFF with lossy compression, which blurs"),
        ("a.webp", {"quality": 100}, "is a WEBP with lossy compression, which blurs"),
        ("a.webp", {"quality": 100, "exif": Image.Exif()}, "is a WEBP with lossy compression, which blurs"),
        ("a.jpg", {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (16, 16))]}, "holds 2 pages"),
        ("a.tif", {"save_all": True, "append_images": [Image.new("RGB", (16, 16))]}, "holds 2 pages, but one must say it all"),
        ("a.png", {"save_all": True, "append_images": [Image.new("RGB", (16, 16), "red")]}, "holds 2 pages"),
    ],
)
def test_lossy_masks_and_masks_of_several_pages_are_refused(tmp_path, name, how, said):
    with pytest.raises(ValueError, match=rf"the mask .*{name} {said}.* as PNG"):
        read_mask(saved(tmp_path, np.zeros((16, 16, 3), np.uint8), name, **how), 2, colors=COLORS)


def test_lossless_masks_are_read_and_a_smaller_copy_in_a_tiff_is_no_page(tmp_path):
    colors = np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8)
    for name, how in (("a.webp", {"lossless": True}), ("a.tif", {"compression": "tiff_lzw"}), ("a.bmp", {})):
        assert read_mask(saved(tmp_path, colors, name, **how), 2, colors=COLORS).tolist() == [[0, 1]]
    overview = Image.fromarray(colors[:, :1])
    overview.encoderinfo = {"tiffinfo": {254: 1}}
    path = saved(tmp_path, colors, "a.tif", save_all=True, append_images=[overview])
    assert read_mask(path, 2, colors=COLORS).tolist() == [[0, 1]]


def test_masks_of_one_class_and_void_are_told_from_all_others():
    said = "the masks hold only ground and void, tool never: 255 is read as void; if it means tool, save it as 1 or give classes colors"
    assert only_void(("ground", "tool"), np.array([9, 0, 3])).startswith(said)
    assert "only tool and void, ground and 1 other classes never" in only_void(("ground", "tool", "clip"), np.array([0, 9, 0, 3]))
    for pixels in ([9, 1, 3], [9, 0, 0], [0, 0, 3], [9, 1, 0]):
        assert only_void(("ground", "tool"), np.array(pixels)) is None
    assert only_void(("ground",), np.array([9, 3])) is None
    assert only_void(("ground", "tool", "clip"), np.array([9, 1, 0, 3])) is None


def test_colors_that_are_not_classes_are_listed_the_most_frequent_first(tmp_path):
    picture = np.zeros((2, 12, 3), np.uint8)
    picture[0, :, 1] = np.arange(12)
    picture[1, 1:4] = (1, 2, 3)
    listed = r"a.png holds colors that are not classes: \(1, 2, 3\) \(3 pixels\), \(0, 1, 0\) \(1 pixel\).* and 2 more;.*smoothing"
    with pytest.raises(ValueError, match=listed) as error:
        read_mask(saved(tmp_path, picture), 1, colors={(0, 0, 0): 0})
    assert str(error.value).count(" pixel") == 10


def test_masks_take_the_nearest_pixel_and_images_the_mean():
    ids = np.arange(16, dtype=np.uint16).reshape(4, 4)
    assert nearest(ids, (2, 2)).tolist() == [[5, 7], [13, 15]]  # the nearest of 2x2 is the lower right
    image = np.repeat(np.array([[0, 100], [200, 100]], np.uint8)[..., None], 3, axis=2)
    assert resized(image, (1, 1)).tolist() == [[[100] * 3]]
    assert [bounded(size, 100) for size in ((50, 60), (300, 200), (1000, 1))] == [(50, 60), (100, 67), (100, 1)]
