"""Pictures may have any name that a file can have: whatever is in it, they are read, cut, clicked on, exported and found again."""

import csv
import json
import os
import unicodedata
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save

from oreal_lib.__main__ import main
from oreal_lib.annotate.events import read_whole
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.out.output import dumped
from oreal_lib.annotate.out.predictions import predict_folder
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.masks import import_masks
from oreal_lib.annotate.several.merge import merge
from oreal_lib.config import RunConfig
from oreal_lib.data import load_dataset, open_source
from oreal_lib.models import build_model
from oreal_lib.storage import atomic
from oreal_lib.superpixels import SuperpixelRecipe

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")
LONG = "long" * 60 + "xyz12"  # with ".png" a name of 249 bytes; the longest that a file can have is 255
STEMS = [
    "plain",
    "with  two spaces",
    " space first",
    "it's",
    'the "best"',
    "two\nlines",
    "tab\there",
    "-n",
    "--help",
    "100%s of %(name)s",
    "{a} {0}",
    "$HOME `id`",
    "a;b&c|d",
    "#1",
    "[a]*?",
    "a.b.c",
    "dots..inside",
    "back\\slash",
    "Übung",
    "図",
    "🌍",
    "‮right to left",
    "<img src=x onerror=alert(1)>",
    "=1+1",
    "con",
    LONG,
]
NAMES = [*(unicodedata.normalize("NFC", stem) for stem in STEMS), "sub folder/-é", "--sub/Übung"]


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8))


def mask(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 2, (16, 16), np.uint8))


@pytest.fixture
def photos(tmp_path):
    """A folder with images/ and masks/ of these names, in a folder with an odd name itself; "Übung" and the like as NFD on disk."""
    root = tmp_path / "my 'best' \"photos\" $HOME %s\nÜ"
    for seed, name in enumerate(NAMES):
        for folder, image in (("images", picture(seed)), ("masks", mask(seed))):
            on_disk = unicodedata.normalize("NFD" if folder == "images" else "NFC", name)
            file = root / folder / f"{on_disk}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
    (root / "classes.yaml").write_text("[road, sky]\n")
    return root


def test_the_reader_and_the_prepared_data_have_every_picture_with_its_mask(photos, tmp_path):
    source = open_source("folder", photos)
    assert sorted(item.name for item in source.items) == sorted(NAMES) and all(item.mask for item in source.items)
    recipe = SuperpixelRecipe(method="grid", count=4)
    dataset = load_dataset("folder", root=photos, recipe=recipe, store_root=tmp_path / "store", workers=1)
    for i, name in enumerate(dataset.names):
        assert (dataset.images[i] == np.asarray(picture(NAMES.index(name)))).all()
        assert (dataset.truth[i] == np.asarray(mask(NAMES.index(name)))).all()


def test_lists_of_splits_name_what_fits_on_a_line(photos):
    fits = [name for name in NAMES if name.splitlines() == [name] and name == name.strip() and "\\" not in name]
    (photos / "test.txt").write_text("\n".join(unicodedata.normalize("NFD", name) for name in fits[:9]), encoding="utf-8")
    split = {item.name: item.split for item in open_source("folder", photos).items}
    assert {name for name, where in split.items() if where == "test"} == set(fits[:9])


def test_the_check_names_every_broken_picture_on_a_line_of_its_own(photos, capsys):
    assert main(["data", "check", "folder", "--root", str(photos), "--workers", "1"]) == 0
    assert f"{len(NAMES)} images" in capsys.readouterr().out
    for file in (photos / "images").rglob("*.png"):
        file.write_bytes(b"torn")
    (photos / "images" / "more\nlines.gif").touch()
    assert main(["data", "check", "folder", "--root", str(photos), "--workers", "1", "--problems", "99"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem: ")]
    assert len(lines) == len(NAMES) + 1 and sum("is no image or is cut off" in line for line in lines) == len(NAMES)
    assert "problem: images/more lines.gif is of a format that is not read; save it as PNG, or move it elsewhere" in lines


def test_what_an_export_leaves_out_is_told_on_a_line_each(session, photos, capsys):
    session.close()
    for file in (photos / "images").rglob("*.png"):
        picture(99).save(file, compress_level=0)  # of another size in bytes
    (photos / "images" / "fine.png").write_bytes(b"torn\n")
    assert main(["annotate", "export", str(photos)]) == 2  # no picture is left
    assert capsys.readouterr().err.count("\n") == 1
    picture(NAMES.index("plain")).save(photos / "images" / "plain.png")
    assert main(["annotate", "export", str(photos)]) == 1
    assert all(line.startswith("left out: ") for line in capsys.readouterr().err.splitlines())


def test_a_name_that_is_no_utf8_is_a_problem_and_no_crash(photos, capsys):
    try:
        picture(0).save(os.fsencode(photos) + b"/images/\xff.png", "PNG")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert main(["data", "check", "folder", "--root", str(photos), "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert r"problem: 'images/\udcff.png' is no name in UTF-8; give that file another one" in out and "\n1 problem\n" in out


def test_two_ways_to_write_one_name_are_told_and_not_mixed_up(tmp_path, capsys):
    for form in ("NFC", "NFD"):
        file = tmp_path / "images" / f"{unicodedata.normalize(form, 'Übung')}.png"
        file.parent.mkdir(exist_ok=True)
        picture(0).save(file)
    if len(list((tmp_path / "images").iterdir())) < 2:
        pytest.skip("to this file system they are one file")
    (tmp_path / "classes.yaml").write_text("[road, sky]\n")
    assert main(["data", "check", "folder", "--root", str(tmp_path), "--workers", "1"]) == 1
    assert "have one name without suffix; keep one of them" in capsys.readouterr().out


@pytest.fixture
def session(photos, tmp_path):
    """A session of these pictures with one click each: superpixel 0 is road."""
    with_names = open_session(photos, ["road", "sky"], side=32, superpixel_count=4, workers=1)
    for i in range(len(with_names.pictures)):
        with_names.act("label", i, [0], "road")
    yield with_names
    with_names.close()


def test_clicks_are_found_again(session, photos):
    session.close()
    again = open_session(photos)
    assert {p.name for p in again.pictures} == set(NAMES) and again.board.lost == 0
    assert [labels[0] for labels in map(again.board.labels, range(len(NAMES)))] == [0] * len(NAMES)
    assert {e.image for e in read_whole(again.home / "clicks.jsonl") if e.what == "label"} == set(NAMES)
    again.close()


def test_an_export_has_a_file_for_each_and_is_a_data_set(session, photos):
    done = export(session)
    assert done.pictures == len(NAMES) and not done.problems
    for kind, suffix in (("masks", "png"), ("labels", "png"), ("overlays", "jpg")):
        there = {p.relative_to(done.out / kind).as_posix() for p in (done.out / kind).rglob("*") if p.is_file()}
        assert there == {f"{name}.{suffix}" for name in NAMES}
    rows = list(csv.reader(StringIO((done.out / "clicks.csv").read_text(encoding="utf-8"))))
    assert {row[2] for row in rows[1:]} == set(NAMES) and len(rows) == 1 + len(NAMES)
    files = {image["file_name"] for image in json.loads((done.out / "coco.json").read_text())["images"]}
    assert {unicodedata.normalize("NFC", file) for file in files} == {f"{name}.png" for name in NAMES}
    assert all((photos / "images" / file).is_file() for file in files)
    os.symlink(photos / "images", done.out / "images")
    assert {item.name for item in open_source("folder", done.out).items if item.mask} == set(NAMES)
    assert export(session).pictures == len(NAMES)  # and is replaced as a whole


def test_masks_find_their_pictures_and_logs_are_merged(session, photos, capsys):
    session.close()
    other = open_session(photos, annotator="ben")
    done = import_masks(other, photos / "masks", 0.51)
    assert done.pictures == len(NAMES) and not done.problems and done.labeled
    other.act("label", 0, [0], "sky")
    other.close()
    both = merge(photos, ["me", "ben"], "both")
    assert both.lost == 0 and session.pictures[0].name in {c.picture for c in both.conflicts}
    rows = list(csv.DictReader(StringIO((both.log.with_name("conflicts.csv")).read_text(encoding="utf-8"))))
    assert {row["picture"] for row in rows} == {c.picture for c in both.conflicts}
    for command in (["status", str(photos)], ["export", str(photos), "--annotator", "both"]):
        assert main(["annotate", *command]) == 0, capsys.readouterr().err
    with_problem = ["import", str(photos), str(photos / "nowhere"), "--annotator", "me"]
    assert main(["annotate", *with_problem]) == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_network_looks_at_every_picture(session, photos, tmp_path):
    config = RunConfig.from_yaml("annotate", model="small_unet", weights="none", device="cpu")
    model = tmp_path / 'model of "mine" %s'
    about = {"classes": ["road", "sky"], "working_side": 32, "config": config.values()}
    atomic.write_bytes(model / "model.json", dumped(about))
    state = {k: v.contiguous() for k, v in build_model("small_unet", 2).state_dict().items()}
    atomic.write_bytes(model / "weights.safetensors", save(state))
    done = predict_folder(model, photos, tmp_path / "out")
    assert done.pictures == len(NAMES) and not done.problems
    assert {p.relative_to(tmp_path / "out/masks").as_posix() for p in (tmp_path / "out/masks").rglob("*.png")} == {
        f"{name}.png" for name in NAMES
    }


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "x" * 199, "-", "a\nb", " "])
def test_a_file_of_the_longest_name_is_written_whole_and_leaves_nothing_beside(tmp_path, name):
    atomic.write_bytes(tmp_path / name, b"hi")
    atomic.write_bytes(tmp_path / name, b"again")
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"again"


def test_a_name_too_long_for_the_disk_is_one_sentence(tmp_path):
    with pytest.raises(OSError, match=r"could not write 2 bytes to .*: .*; what is finished is kept|could not write 2 bytes"):
        atomic.write_bytes(tmp_path / ("x" * 256), b"hi")
    assert not list(Path(tmp_path).iterdir())
