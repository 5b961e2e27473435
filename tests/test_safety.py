"""Nothing that is read runs code, and no file from somebody else makes us write or delete outside the folder it is for.

Ruff's rules S look for code of ours that would run what it reads; archives are in test_readers.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from oreal_lib.annotate.events import Event, to_line
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.pictures import key, read_partition
from oreal_lib.annotate.rounds import folder_of, read_view
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.merge import merge
from oreal_lib.annotate.training import load_network
from oreal_lib.config import RunConfig
from oreal_lib.data import open_source, open_store
from oreal_lib.experiments.batch import notebook
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.models.weights import read_state
from oreal_lib.storage import checked
from oreal_lib.storage.checkpoint import Checkpoint
from oreal_lib.storage.progress import lines_to
from oreal_lib.storage.yaml_file import ConfigError, parse_yaml

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows lets few make links")
KINDS = ["pickle", "torch zip", "torch in a dict", "torch legacy", "npy", "npz", "zip of pickles", "safetensors"]
NAMES = ["..", ".", "../x", "a/b", "a\\b", "/abs", "C:\\x", "con", "CON.txt", "a\0b", "x" * 300, "ü" * 99, "", " ", "a ", "a."]


# ---- what is read


class Bomb:
    """Unpickled, it makes a folder: proof that code has run."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def bombs(tmp_path):
    """Kind -> a file, in a format of numpy or torch, that runs code when it is unpickled."""
    bomb, array, files = Bomb(tmp_path / "it ran"), np.empty(1, object), {}
    array[0] = bomb
    files["pickle"] = pickle.dumps(bomb)
    for kind, value in (("torch zip", bomb), ("torch in a dict", {"net.w": bomb})):
        torch.save(value, buffer := io.BytesIO())
        files[kind] = buffer.getvalue()
    torch.save({"a": bomb}, buffer := io.BytesIO(), _use_new_zipfile_serialization=False)
    files["torch legacy"] = buffer.getvalue()
    np.save(buffer := io.BytesIO(), array, allow_pickle=True)
    files["npy"] = buffer.getvalue()
    names = ("ids_1", "score_1", "predicted", "unsure", "0", "images")
    np.savez(buffer := io.BytesIO(), **dict.fromkeys(names, array))
    files["npz"] = buffer.getvalue()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, files["pickle"])  # without .npy
            archive.writestr(f"{name}.npy", files["pickle"])
    files["zip of pickles"] = buffer.getvalue()
    files["safetensors"] = (8).to_bytes(8, "little") + b"cos\nmkdi" + files["pickle"]
    assert list(files) == KINDS
    yield files
    assert not (tmp_path / "it ran").exists(), "a file ran code when it was read"


def test_the_bombs_are_real(tmp_path):
    """Unpickled they do run code, so the tests below could fail."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "a")))
    torch.save(Bomb(tmp_path / "b"), tmp_path / "b.pt")
    torch.load(tmp_path / "b.pt", weights_only=False)
    array = np.empty(1, object)
    array[0] = Bomb(tmp_path / "c")
    np.save(tmp_path / "c.npy", array, allow_pickle=True)
    np.load(tmp_path / "c.npy", allow_pickle=True)
    assert all((tmp_path / name).is_dir() for name in "abc")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_read_runs_code(bombs, session, tmp_path, kind):
    folder, picture, model = RunFolder(tmp_path / "a run"), session.pictures[0], tmp_path / "model" / "weights.safetensors"
    read = {tmp_path / f"map{suffix}": partial(read_partition, size=(16, 16)) for suffix in (".npy", ".png", ".tif")}
    read |= {tmp_path / f"weights.{suffix}": read_state for suffix in ("pt", "pth", "bin", "safetensors")}
    read = {file: partial(reader, file) for file, reader in read.items()}
    read |= {
        model: lambda: load_network(RunConfig.from_yaml("annotate"), 2, model, "cpu"),
        folder.path / "queries.npz": lambda: folder.queries(1),
        folder.path / "pseudo_step1.npz": lambda: folder.pseudo(1),
        folder.path / "weights_step1.safetensors": lambda: folder.weights(1),
        folder.path / "steps.jsonl": folder.steps,  # looks at done.json first
        folder.path / "config.json": lambda: folder.config,
        folder.path / "done.json": lambda: folder.done,
        picture.store / f"{key(picture.name)}.image.npy": picture.image,
        picture.store / f"{key(picture.name)}.ids.npy": picture.ids,
        folder_of(session.home, 2) / "views" / f"{key(picture.name)}.npz": lambda: read_view(session.home, 2, picture),
    }
    for file in read:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bombs[kind])
    for file, opened in read.items():
        with pytest.raises(ValueError, match=f"{file.stem}|done.json"):
            opened()


@pytest.mark.parametrize("kind", [*KINDS, "a tensor", "a list"])
def test_a_checkpoint_runs_nothing_and_is_passed_over(bombs, tmp_path, kind):
    file, said = tmp_path / "checkpoint.pt", []
    if kind.startswith("a "):
        torch.save(torch.zeros(3) if kind == "a tensor" else [1], file)
    else:
        file.write_bytes(bombs[kind])
    with lines_to(said.append):
        assert Checkpoint(file).load((0, 1)) is None
    assert "cannot be read" in said[0]


@pytest.mark.parametrize("name", ["images", "votes", "pictures"])
def test_a_prepared_store_runs_nothing_even_with_right_checksums(bombs, tiny_store, tmp_path, name):
    store = tmp_path / "store"
    shutil.copytree(tiny_store, store)
    for content in bombs.values():
        (store / f"{name}.npy").write_bytes(content)
        manifest = checked.read(store / "manifest.json", "")
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        checked.write(store / "manifest.json", manifest)
        with pytest.raises(ValueError, match="is not an array of numbers"):
            open_store(store)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.mkdir ['{}']", "a: !!python/name:os.system ''", "!!python/module:os"])
def test_yaml_makes_no_objects(tmp_path, text):
    with pytest.raises(ConfigError, match=r"is not valid YAML .*could not determine a constructor"):
        parse_yaml(text.format(tmp_path / "it ran"), "mine.yaml")
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 1000), }"
    (tmp_path / "map.npy").write_bytes(np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header + b"x")
    with pytest.raises(ValueError, match=r"map.npy is not an array of numbers"):
        read_partition(tmp_path / "map.npy", (16, 16))


# ---- names that lead elsewhere


@pytest.fixture
def session(tmp_path):
    """A session with one picture, one of its superpixels labeled, in a folder of its own inside tmp_path."""
    photos = tmp_path / "deep" / "photos"
    photos.mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(photos / "a.png")
    session = open_session(photos, ["road", "sky"], side=32, superpixel_count=4, workers=1)
    session.act("label", 0, [0], "road")
    yield session
    session.close()


def tree(folder):
    """Every file below a folder with its content, and every folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_an_annotator_has_the_name_of_a_folder_or_is_refused_before_anything_is_written(session, tmp_path):
    photos = tmp_path / "deep" / "photos"
    session.close()
    before = tree(tmp_path)
    for name in NAMES:
        for call in (lambda name=name: open_session(photos, annotator=name), lambda name=name: merge(photos, ["me", "me2"], name)):
            with pytest.raises(ValueError):
                call()
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", [*NAMES, "toy\n", "toy/../.."], ids=ascii)
def test_a_data_set_a_network_and_an_aggregation_are_names_that_are_known(name, tmp_path):
    with pytest.raises((ValueError, KeyError), match=r"choose|but|there is no data set"):
        open_source(name, tmp_path)
    for field in ("dataset", "model", "aggregate", "strategy", "labeling"):
        try:
            run_id = RunConfig.from_yaml("toy", **{field: name}).run_id
        except ConfigError:
            continue
        assert not set("/\\\0\n") & set(run_id) and run_id not in ("", ".", "..") and field in ("dataset", "model")


def test_a_report_is_a_notebook_of_ours(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    for place in (tmp_path / "x.ipynb", tmp_path / "notebooks" / "fine.ipynb", tmp_path / "abs.ipynb"):
        place.write_text("{}")
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    assert notebook("fine") == tmp_path / "notebooks" / "fine.ipynb"
    for report in (*NAMES, str(tmp_path / "abs"), "../x", *(f"fine/../{name}" for name in NAMES)):
        with pytest.raises(ConfigError, match=r"no notebook .*; there are: fine"):
            notebook(report)


# ---- files of others


def test_a_list_of_an_export_that_somebody_wrote_deletes_nothing_outside(session, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    (tmp_path / "deep" / "empty").mkdir()
    up = "../" * 4
    names = [f"{up}mine.txt", str(mine), f"masks/../{up}mine.txt", "", ".", "..", "masks", "masks/..", f"{up}deep/empty/x", "a\0b"]
    out = export(session).out
    listed = checked.read(out / "export.json", "")
    checked.write(out / "export.json", listed | {"files": listed["files"] + names})
    assert (out / f"{up}mine.txt").resolve() == mine
    export(session)
    assert mine.read_text() == "precious" and (tmp_path / "deep" / "empty").is_dir() and (out / "masks" / "a.png").is_file()
    assert not set(names) & set(json.loads((out / "export.json").read_text())["files"])


@POSIX
def test_a_link_in_place_of_an_exported_file_is_replaced_not_followed(session, tmp_path):
    theirs = tmp_path / "theirs.png"
    theirs.write_text("precious")
    file = export(session).out / "masks" / "a.png"
    file.unlink()
    file.symlink_to(theirs)
    export(session)
    assert theirs.read_text() == "precious" and not file.is_symlink()


def test_a_session_that_names_another_folder_is_about_the_folder_it_is_opened_with(session, tmp_path):
    session.close()
    file = session.work / "session.json"
    checked.write(file, checked.read(file, "") | {"folder": "/etc"})
    again = open_session(tmp_path / "deep" / "photos", side=32, superpixel_count=4, workers=1)
    again.close()
    assert again.pictures[0].file == tmp_path / "deep" / "photos" / "a.png"


def test_a_log_that_names_pictures_elsewhere_writes_nothing_there(session, tmp_path):
    """As a colleague's log might, brought here to be merged."""
    session.close()
    names = ["../../x", "/abs", "a\0b", "", "a/../../../x"]
    events = [Event("label", f"id{i}", "2026-01-01T00:00:00.000Z", name, (0,), "road", "click") for i, name in enumerate(names)]
    log = session.work / "ben" / "clicks.jsonl"
    log.parent.mkdir()
    log.write_bytes(b"".join(map(to_line, events)))
    before = set(tree(tmp_path))
    done = merge(tmp_path / "deep" / "photos", ["me", "ben"], "both")
    assert done.labeled == 1 and done.lost == len(names)
    assert {tuple(path.split("/")[:3]) for path in set(tree(tmp_path)) - before} == {("deep", "photos-labels", "both")}
