import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from trees import camvid_tree, cityscapes_tree, folder_tree, saved

from oreal_lib.__main__ import main
from oreal_lib.data.check import check, size_text, summary
from oreal_lib.data.readers import cityscapes, folder
from oreal_lib.data.source import Item, Source
from oreal_lib.superpixels import SuperpixelRecipe

MASKS = {"a": [[0, 0], [1, 255]], "b": [[0, 0], [0, 0]], "test": [[2, 2], [2, 255]]}


def open_by_hand(item):
    """2x2 pictures: a, b and test have masks, "nobody" has none, "torn" cannot be read, "odd" holds a class there is not,
    "dark" is as bright as 12 bits in a file of 16, and "twin" shows what all show for training."""
    if item.name == "torn":
        raise ValueError("the image torn.png is cut off;\ncopy it again")
    mask = [[0, 7], [0, 0]] if item.name == "odd" else MASKS.get(item.name)
    gray = 16 if item.name == "dark" else 90 if item.split == "train" or item.name == "twin" else 91
    return np.full((2, 2, 3), gray, np.uint8), None if mask is None else np.array(mask, np.uint8)


def by_hand(*train, test=("test",), problems=(), name="hand", identity=None):
    items = [Item(n, n, "train") for n in train] + [Item(n, n, "test") for n in test]
    return Source(name, ("tissue", "tool", "thread"), tuple(items), open_by_hand, identity or {}, tuple(problems))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_broken_file_is_a_problem_and_the_others_are_counted(workers):
    found = check(by_hand("a", "torn", "nobody", "b", problems=["masks/x.png has no image"]), workers)
    train, test = found.splits["train"], found.splits["test"]
    assert (train.images, train.labeled, train.unlabeled, train.unreadable) == (4, 2, 1, 1)
    assert train.pixels.tolist() == [6, 1, 0] and train.with_class.tolist() == [2, 1, 0] and train.void_share == 1 / 8
    assert test.pixels.tolist() == [0, 0, 3] and test.with_class.tolist() == [0, 0, 1] and test.void_share == 1 / 4
    assert found.problems == ("masks/x.png has no image", "the image torn.png is cut off; copy it again")
    assert found.sizes == Counter({(2, 2): 4})


def test_a_mask_with_a_class_that_is_none_is_a_problem_with_the_name():
    (problem,) = check(by_hand("a", "odd"), 1).problems
    assert problem == "the mask of odd holds 7 (1 pixels), but classes are 0..2"


def test_what_never_occurs_and_what_nobody_labeled_is_remarked_not_blamed():
    found = check(by_hand("a", "nobody"), 1)
    assert found.problems == ()
    assert found.remarks == (
        "never in train: thread",
        "never in test: tissue, tool",
        "1 of 2 train images have no mask: simulated runs do not ask about them",
    )


@pytest.mark.parametrize(
    "values, colors, problem",
    [
        ([0, 255], "", True),
        ([255, 1], "", True),
        ([0, 255], "colors", False),  # classes.yaml explains black and white
        ([0, 1], "", False),
        ([0, 1, 255], "", False),
    ],
)
def test_binary_masks_whose_255_would_be_void_are_a_problem_with_the_remedy(tmp_path, capsys, values, colors, problem):
    for i in range(3):
        saved(tmp_path / "images", np.zeros((2, 4, 3), np.uint8), f"{i}.png")
        saved(tmp_path / "masks", np.resize(np.array(values, np.uint8), (2, 4)), f"{i}.png")
    (tmp_path / "classes.yaml").write_text("{ground: [0, 0, 0], tool: [255, 255, 255]}" if colors else "[ground, tool]")
    code, said = run(capsys, "check", "folder", "--root", tmp_path, "--workers", 1)
    lacks = {0: "tool, save it as 1", 255: "ground, save it as 0"}[values[0]]
    assert code == problem
    assert (f"255 is read as void; if it means {lacks} or give classes colors in classes.yaml\n1 problem" in said.out) == problem


@pytest.mark.parametrize(
    "ids, remarked",
    [
        ([0, 13, 255], "road never occurs"),
        ([0, 0, 0, 7, 13, 255], "road is rarer than void"),  # 7 is a traffic sign as a train id
        ([7, 7, 11, 0], ""),
        ([0, 0, 7, 26], ""),
    ],
)
def test_train_ids_in_files_of_label_ids_are_remarked(tmp_path, ids, remarked):
    for item in cityscapes.read(cityscapes_tree(tmp_path)).items:
        saved(item.mask.parent, np.resize(np.array(ids, np.uint8), (32, 64)), item.mask.name)
    found = check(cityscapes.read(tmp_path), 1)
    said = [remark for remark in found.remarks if "train ids; if they are, name the files ..._gtFine_labelTrainIds.png" in remark]
    assert len(said) == bool(remarked) and all(remarked in remark for remark in said) and found.problems == ()


def test_a_picture_for_training_and_for_testing_is_remarked():
    found = check(by_hand("a", "b", "torn", test=("test", "twin")), 1)
    assert found.remarks[-1] == "1 val or test images are in train, too, in every pixel (first twin); keep one of each"
    assert not any("in every pixel" in remark for remark in check(by_hand("a", "b", "torn"), 1).remarks)


@pytest.mark.parametrize(
    "palettes, classes, remarked",
    [
        ({"a": "kr", "b": "kg", "c": ""}, "[ground, tool, thread]", True),
        ({"a": "kr", "b": "", "c": "krg"}, "[ground, tool, thread]", False),  # a gray mask has no colors, green is not used
        ({"a": "kr", "b": "kg", "c": ""}, "{ground: [0, 0, 0], tool: [255, 0, 0], thread: [0, 255, 0], clip: [1, 1, 1]}", False),
    ],
)
def test_palettes_that_number_the_colors_of_each_mask_anew_are_remarked(tmp_path, palettes, classes, remarked):
    colors = {"k": (0, 0, 0), "r": (255, 0, 0), "g": (0, 255, 0)}
    for name, palette in palettes.items():
        saved(tmp_path / "images", np.full((2, 2, 3), ord(name), np.uint8), f"{name}.png")
        palette = [colors[letter] for letter in palette] or None
        saved(tmp_path / "masks", np.array([[0, 1], [0, 0]], np.uint8), f"{name}.png", palette=palette)
    (tmp_path / "classes.yaml").write_text(classes)
    found = check(folder.read(tmp_path), 1)
    said = r"^index 1 has the color \[255, 0, 0\] in .*a.png, but \[0, 255, 0\] in .*b.png, .*give them in classes.yaml$"
    assert [remark for remark in found.remarks if re.match(said, remark)] == [r for r in found.remarks if "index" in r]
    assert any("index" in remark for remark in found.remarks) == remarked and not found.problems


def test_pictures_that_look_black_are_counted_with_their_brightest_value():
    assert check(by_hand("a", "dark"), 1).remarks[-1] == (
        "the brightest value of 1 images is 16 of 255 (about 4112 of 65535): they look black; scale them"
    )


def test_one_class_is_remarked_since_no_run_can_tell_it_apart():
    one = replace(by_hand("b", test=()), classes=("tissue",))
    assert check(one, 1).remarks[0] == (
        "'tissue' is the only class, so there is nothing to tell apart; add one, such as 'background'"
    )


def test_a_training_picture_too_small_for_the_superpixels_of_a_run_is_named():
    seeds = [check(by_hand("a", "b"), 1, SuperpixelRecipe(count=count, levels=2)).remarks[-1] for count in (4, 40)]
    assert seeds[0].startswith("2 training images would stop a run with its usual values: a cannot be cut: SEEDS cannot cut 2x2")
    assert "a cannot be cut: 40 superpixels were asked of an image of 2x2 pixels" in seeds[1]
    assert not any("cut" in remark for remark in check(by_hand("a"), 1, SuperpixelRecipe("grid", 4)).remarks)


def test_without_training_images_there_is_nothing_to_buy():
    assert "hand has no training images" in check(by_hand(), 1).problems[0]
    assert "no training images" in check(by_hand(test=(), problems=["images/ is missing"]), 1).problems[1]


def test_other_counts_than_the_published_ones_are_a_remark():
    assert check(by_hand("a", name="voc"), 1).remarks[:2] == (
        "train has 1 images, officially 1464",
        "test has 1 images, officially 1449",
    )
    assert "officially 10582" in check(by_hand("a", name="voc", identity={"train": "trainaug"}), 1).remarks[0]
    assert not any("val" in remark for remark in check(by_hand("a", name="camvid"), 1).remarks), "its val is not always a split"


def test_the_summary_is_a_table_and_the_first_problems():
    text = summary(check(by_hand("a", "b", problems=[f"file {i}" for i in range(5)]), 1), most=2)
    lines = text.splitlines()
    assert lines[0] == "hand: 3 images, 3 classes"
    assert [line.split() for line in lines if line.startswith("0 tissue")] == [["0", "tissue", "85.71", "2", "0.00", "0"]]
    assert lines[-4:] == ["problem: file 0", "problem: file 1", "and 3 more (--problems 5 shows all)", "5 problems"]


def test_only_the_most_common_sizes_are_listed():
    assert size_text(Counter({(2, 3): 1, (5, 4): 7, (6, 6): 2}), most=2) == "5x4 (7), 6x6 (2) and 1 more"


def run(capsys, *arguments):
    code = main(["data", *map(str, arguments)])
    return code, capsys.readouterr()


def test_the_exit_code_tells_problems_from_no_data(tmp_path, capsys):
    checked = ("check", "camvid", "--root", camvid_tree(tmp_path), "--workers", 1)
    code, said = run(capsys, *checked)
    assert code == 0 and said.out.endswith("0 problems\n") and "train       3          3" in said.out
    (tmp_path / "trainannot" / "0016E5_00007.png").write_bytes(b"torn")
    (tmp_path / "test" / "more.png").write_bytes((tmp_path / "test" / "0001TP_006690.png").read_bytes())
    code, said = run(capsys, *checked)
    assert code == 1 and "problem: test/more.png has no mask" in said.out and "0016E5_00007.png is not an image" in said.out
    code, said = run(capsys, *checked, "--problems", 1)
    assert code == 1 and said.out.count("problem: ") == 1 and "and 1 more" in said.out
    code, said = run(capsys, "check", "camvid", "--root", tmp_path / "nowhere")
    assert code == 2 and said.err.startswith("error: the CamVid folder") and said.err.count("\n") == 1


def test_the_command_knows_the_superpixels_that_a_run_takes_and_names_what_is_passed_over(tmp_path, capsys):
    root = folder_tree(tmp_path)
    for place in ("images", "masks"):
        file = root / place / "p1" / "frame_000.png"
        with Image.open(file) as picture:
            picture.crop((0, 0, 6, 6)).save(file)
    (root / "images" / "p1" / "notes.txt").write_text("seen on Monday")
    code, said = run(capsys, "check", "folder", "--root", root, "--workers", 1)
    assert code == 0 and "p1/frame_000 cannot be cut: 200 superpixels were asked of an image of 6x6 pixels" in said.out
    assert "beside the images lie 1 files that are no pictures and are passed over: notes.txt" in said.out


def test_options_of_the_reader_are_read_as_yaml_and_unknown_ones_named(capsys):
    code, said = run(capsys, "check", "toy", "--set", "train=3", "test=1", "--workers", 1)
    assert code == 0 and said.out.startswith("toy: 4 images, 8 classes")
    for asked, message in [
        (["camvod"], "there is no data set 'camvod'; choose one of toy, "),
        (["camvid", "--set", "vol=official"], "camvid has no option 'vol'; it knows val"),
        (["camvid", "--set", "val"], "write KEY=VALUE"),
    ]:
        code, said = run(capsys, "check", *asked)
        assert code == 2 and said.err.startswith("error: ") and message in said.err
