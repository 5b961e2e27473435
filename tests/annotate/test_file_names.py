"""Pictures may have any name that a file can have: whatever is in it, they are cut, clicked on, exported and found again."""

import csv
import json
import os
import unicodedata
from io import StringIO
from pathlib import Path

import pytest
from trees import ODD_NAMES as NAMES
from trees import odd_names_tree, odd_picture

from oreal_lib.__main__ import main
from oreal_lib.annotate.events import read_whole
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.out.predictions import predict_folder
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.masks import import_masks
from oreal_lib.annotate.several.merge import merge
from oreal_lib.config import RunConfig
from oreal_lib.data import open_source
from oreal_lib.models import build_model
from oreal_lib.storage import atomic, checked

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")


@pytest.fixture
def photos(tmp_path):
    return odd_names_tree(tmp_path / "my 'best' \"photos\" $HOME %s\nÜ")


def test_what_an_export_leaves_out_is_told_on_a_line_each(session, photos, capsys):
    for file in (photos / "images").rglob("*.png"):
        odd_picture(99).save(file, compress_level=0)  # of another size in bytes
    (photos / "images" / "fine.png").write_bytes(b"torn\n")
    assert main(["annotate", "export", str(photos)]) == 2  # no picture is left
    assert capsys.readouterr().err.count("\n") == 1
    odd_picture(NAMES.index("plain")).save(photos / "images" / "plain.png")
    assert main(["annotate", "export", str(photos)]) == 1
    assert all(line.startswith("left out: ") for line in capsys.readouterr().err.splitlines())


@pytest.fixture
def session(photos, tmp_path):
    """A session of these pictures with one click each: superpixel 0 is road."""
    with_names = open_session(photos, ["road", "sky"], side=32, superpixel_count=4, workers=1)
    for i in range(len(with_names.pictures)):
        with_names.act("label", i, [0], "road")
    return with_names


def test_clicks_are_found_again(session, photos):
    again = open_session(photos)
    assert {p.name for p in again.pictures} == set(NAMES) and again.board.lost == 0
    assert [labels[0] for labels in map(again.board.labels, range(len(NAMES)))] == [0] * len(NAMES)
    assert {e.image for e in read_whole(again.home / "clicks.jsonl") if e.what == "label"} == set(NAMES)


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
    other = open_session(photos, annotator="ben")
    done = import_masks(other, photos / "masks", 0.51)
    assert done.pictures == len(NAMES) and not done.problems and done.labeled
    other.act("label", 0, [0], "sky")
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
    about = {"classes": ["road", "sky"], "colors": [[0, 0, 0], [9, 9, 9]], "working_side": 32, "config": config.values()}
    checked.write(model / "model.json", about)
    state = build_model("small_unet", 2).state_dict()
    atomic.write_bytes(model / "weights.safetensors", checked.dump_tensors(state))
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
