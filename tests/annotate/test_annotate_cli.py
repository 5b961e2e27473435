"""`python -m oreal_lib annotate ...`, as a shell sees it: output, errors, exit codes."""

import numpy as np
import pytest
from PIL import Image

from oreal_lib.__main__ import main
from oreal_lib.annotate import rounds, training
from oreal_lib.annotate.saved import read_json, read_session, status
from oreal_lib.annotate.session import open_session
from oreal_lib.storage import checked

SIX = {"superpixel_method": "grid", "superpixel_count": 6, "workers": 1, "live": False}


@pytest.fixture
def folder(tmp_path):
    """a and b, 40x60 (high x wide), cut into 2 x 3 squares of 20 pixels; ana holds her session open, ben has closed his."""
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("a", "b")):
        image = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / "photos" / f"{name}.png")
    folder = tmp_path / "photos"
    ana = open_session(folder, ["road", "car"], annotator="ana", **SIX)
    ana.act("label", 0, [0, 1], to="car", seconds=90)
    ben = open_session(folder, annotator="ben", **SIX)
    ben.act("label", 0, [1, 2], to="road")
    return folder


def test_status_is_one_table_while_a_session_is_open(folder, capsys):
    assert main(["annotate", "status", str(folder)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["ana", "ben"],
        ["pictures", "2", "2"],
        ["superpixels", "12", "12"],
        ["labeled", "2", "2"],
        ["clicks", "2", "2"],
        ["minutes", "1.0", "0.0"],
        ["round", "1", "1"],
        ["road", "0", "2"],
        ["car", "2", "0"],
        ["void", "0", "0"],
    ]


def test_status_shows_a_class_that_one_annotator_has_renamed(folder):
    open_session(folder, annotator="ben", **SIX).act("classes", classes=[[0, "street", None]])
    rows = [line.split() for line in status(folder).splitlines()]
    assert ["road", "0", "-"] in rows and ["street", "-", "2"] in rows


def test_a_merge_says_how_many_conflicts_there_are_and_where(folder, capsys):
    assert main(["annotate", "merge", str(folder), "ana", "ben", "--into", "both", "--take", "ben"]) == 0
    out = capsys.readouterr().out
    assert "both: 3 labeled superpixels, conflicts: 1 (settled: 1)" in out and "conflicts.csv" in out


def test_masks_are_imported_and_one_that_does_not_fit_gives_exit_code_1(folder, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "masks" / "a.png")
    assert main(["annotate", "import", str(folder), str(tmp_path / "masks"), "--annotator", "ben"]) == 0
    assert "4 superpixels labeled from 1 masks" in capsys.readouterr().out
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "masks" / "b.png")
    assert main(["annotate", "import", str(folder), str(tmp_path / "masks"), "--annotator", "ben", "--overwrite"]) == 1
    assert "b.png is 6x4 pixels, but its picture is 60x40" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["export", "{folder}", "--annotator", "zoe"], "there is no annotator 'zoe'; choose one of ana, ben"),
        (["export", "{folder}", "--annotator", "ana", "--out", "{folder}/a.png"], "is a file, but an export is a folder"),
        (["export", "{folder}", "--annotator", "ana", "--out", "{folder}/out"], "lies among the pictures"),
        (["status", "{folder}", "--work", "{folder}/none"], "begin one with open_session"),
        (["import", "{folder}/none", "{folder}"], "begin one with open_session"),
        (["import", "{folder}", "{folder}/none", "--annotator", "ben"], "name the folder with the masks"),
        (["merge", "{folder}", "ana", "ben", "--into", "ben"], "ben has a log already"),
        (["predict", "{folder}", "{folder}", "{folder}/out"], "holds no model.json"),
    ],
)
def test_what_cannot_work_is_one_line_on_stderr_and_exit_code_2(folder, capsys, arguments, message):
    assert main(["annotate", *[argument.format(folder=folder) for argument in arguments]]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and said.count("\n") == 1


def test_train_carries_out_the_request_of_a_session_and_its_network_is_exported(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LEAST_STEPS", 2)
    home = folder.parent / "photos-labels" / "ben"
    with_few_steps = open_session(folder, annotator="ben", height=32, width=32, max_epochs=1, patience=1, **SIX)
    config = with_few_steps.config.values() | {"device": "cpu"}
    with_few_steps.close()
    (home / "rounds" / "002").mkdir()
    checked.write(home / "rounds" / "002" / "request.json", {"config": config, "log": 2, "round": 2})
    assert main(["annotate", "train", str(folder), "--annotator", "ben", "--round", "2"]) == 0
    assert rounds.finished(home) == 2
    assert main(["annotate", "export", str(folder), "--annotator", "ben", "--out", str(tmp_path / "out")]) == 0
    assert (
        main(["annotate", "predict", str(tmp_path / "out" / "model"), str(folder), str(tmp_path / "new"), "--device", "cpu"]) == 0
    )
    exported, new = (np.asarray(Image.open(tmp_path / where / "masks" / "b.png")) for where in ("out", "new"))
    assert (exported == new).all()  # ben has clicked nothing in b: both are what the network sees


@pytest.mark.parametrize("given", ["road;sky;other", "road sky other", "road; sky ;other"])
def test_classes_that_are_not_split_by_commas_are_asked_about(folder, tmp_path, capsys, given):
    (tmp_path / "new").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "new" / "a.png")
    assert main(["annotate", "serve", str(tmp_path / "new"), "--classes", given]) == 2
    assert 'did you mean "road,sky,other"?' in capsys.readouterr().err
    assert not (tmp_path / "new-labels").exists()


def test_a_folder_that_is_a_file_or_holds_labels_is_refused_with_the_folder_that_was_meant(folder, tmp_path, capsys):
    assert main(["annotate", "serve", str(folder / "a.png"), "--classes", "road,sky"]) == 2
    assert f"is a file; name the folder it lies in, {folder}" in capsys.readouterr().err
    for wrong in (tmp_path, tmp_path / "photos-labels"):
        assert main(["annotate", "serve", str(wrong), "--classes", "road,sky"]) == 2
        assert f"holds the labels of a session ({tmp_path / 'photos-labels'})" in (said := capsys.readouterr().err)
        assert f"name {folder}" in said


def test_serve_takes_the_side_and_superpixels_of_a_new_session(tmp_path, capsys, monkeypatch):
    (tmp_path / "new").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)).save(tmp_path / "new" / "a.png")
    monkeypatch.setattr("oreal_lib.annotate.commands.serve", lambda session, *_: session.close() or 0)
    command = ["annotate", "serve", str(tmp_path / "new"), "--classes", "road,sky", "--work", str(tmp_path / "elsewhere")]
    assert main([*command, "--side", "150", "--superpixels", "40"]) == 0
    about = read_json(tmp_path / "elsewhere")
    assert (about["side"], about["superpixels"]["count"]) == (150, 40)
    assert main([*command, "--superpixels", "90"]) == 2
    assert "superpixels is 90, but the session was begun with 40" in capsys.readouterr().err
    assert main([*command, "--superpixels", str(tmp_path / "maps")]) == 2
    assert "partition is" in capsys.readouterr().err


def test_masks_are_imported_where_there_is_no_session_yet(tmp_path, capsys):
    for name in ("new", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "new" / "a.png")
    Image.fromarray(np.ones((40, 60), np.uint8)).save(tmp_path / "masks" / "a.png")
    command = ["annotate", "import", str(tmp_path / "new"), str(tmp_path / "masks")]
    assert main(command) == 2
    assert main([*command, "--classes", "road,sky"]) == 0
    board = read_session(tmp_path / "new").board
    assert board.counts().tolist() == [0, board.total, 0]
