"""Nothing that is read runs code, and nothing that somebody else wrote makes us write or delete outside of the folder it is for."""

import ast
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from oreal_lib.__main__ import main
from oreal_lib.annotate import board as boards
from oreal_lib.annotate.about import check_annotator, check_classes
from oreal_lib.annotate.events import Event, to_line
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.out.output import begin, end
from oreal_lib.annotate.pictures import key, read_partition
from oreal_lib.annotate.rounds import folder_of, read_view
from oreal_lib.annotate.session import open_session
from oreal_lib.annotate.several.merge import merge
from oreal_lib.annotate.training import load_network
from oreal_lib.batches import Pairs
from oreal_lib.config import RunConfig
from oreal_lib.data import open_source, open_store
from oreal_lib.experiments.batch import notebook
from oreal_lib.experiments.grid import read_grid
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.models.weights import read_state
from oreal_lib.setting import network
from oreal_lib.storage import checked, paths
from oreal_lib.storage.checkpoint import Checkpoint
from oreal_lib.storage.progress import lines_to
from oreal_lib.storage.yaml_file import ConfigError, parse_yaml
from oreal_lib.train import fit

HOME = Path(__file__).resolve().parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows lets few make links")

# ---- what the code says

CODE = [p for folder in ("oreal_lib", "benchmarks", "workflow") for p in sorted((HOME / folder).rglob("*.py"))]
CODE += [p for p in sorted((HOME / "tests").rglob("*.py")) if not p.name.startswith("test_")]


def faults(tree):
    """What a program does that may run what it reads, one line each."""
    modules = {
        alias.asname or alias.name: alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    modules |= {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
    }
    for name, real in modules.items():
        if real.split(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"):
            if real != "pickle.UnpicklingError":  # an error's name
                yield f"imports {real} as {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = ast.unparse(node.func).partition(".")
        called = ".".join(filter(None, (modules.get(first, first), rest)))
        given = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
        shell = any(word.arg == "shell" for word in node.keywords) and given.get("shell", True) is not False
        if called in (
            "eval",
            "exec",
            "compile",
            "__import__",
            "os.system",
            "os.popen",
            "yaml.load",
            "yaml.unsafe_load",
            "yaml.full_load",
        ):
            yield f"calls {called}"
        if called.startswith(("pandas.read_pickle", "pandas.eval", "subprocess.getoutput", "subprocess.getstatusoutput")):
            yield f"calls {called}"
        if shell:
            yield f"calls {called} with a shell"
        if called == "numpy.load" and given.get("allow_pickle") is not False:
            yield "numpy.load without allow_pickle=False"
        if called == "torch.load" and given.get("weights_only") is not True:
            yield "torch.load without weights_only=True"
        filtered = given.get("filter") == "data"
        if called.endswith((".extractall", ".extract", ".unpack_archive")) and first not in ("tag", "m") and not filtered:
            yield f"unpacks by {called} without filter='data'"


@pytest.mark.parametrize("path", CODE, ids=lambda p: p.relative_to(HOME).as_posix())
def test_no_code_of_ours_runs_what_it_reads(path):
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads as f",
        "import joblib.memory",
        "eval(text)",
        "import numpy as np; np.load(file)",
        "import numpy as n; n.load(file, allow_pickle=True)",
        "from numpy import load; load(file)",
        "import torch; torch.load(file, 'cpu')",
        "import torch; torch.load(file, weights_only=flag)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "import subprocess; subprocess.run(line, shell=True)",
        "from subprocess import run; run(line, shell=flag)",
        "import os; os.system(line)",
        "import tarfile; tarfile.open(file).extractall(folder)",
        "import shutil; shutil.unpack_archive(file)",
    ],
)
def test_the_look_at_the_code_sees(code):
    assert len(list(faults(ast.parse(code)))) == 1


def test_the_look_at_the_code_lets_pass():
    code = "import numpy as np, torch, re; np.load(f, allow_pickle=False); torch.load(f, weights_only=True); re.compile(t); model.eval()"
    assert list(faults(ast.parse(code))) == []


# ---- what is read


class Bomb:
    """Unpickled, it makes a folder: proof that code has run."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def bombs(tmp_path):
    """A function: files that run code when somebody unpickles them, by kind, in the formats that numpy and torch read."""
    mark = tmp_path / "it ran"

    def made():
        bomb, files = Bomb(mark), {"pickle": pickle.dumps(Bomb(mark))}
        for kind, value in (("torch zip", bomb), ("torch in a dict", {"net.w": bomb})):
            torch.save(value, buffer := io.BytesIO())
            files[kind] = buffer.getvalue()
        torch.save({"a": bomb}, buffer := io.BytesIO(), _use_new_zipfile_serialization=False)
        files["torch legacy"] = buffer.getvalue()
        array = np.empty(1, object)
        array[0] = bomb
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
        return files

    made.mark = mark
    yield made
    assert not mark.exists(), "a file ran code when it was read"


def test_the_bombs_are_real(tmp_path):
    """What this file proves is worth something only if these files do run code in the hands of who unpickles them."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "a")))
    torch.save(Bomb(tmp_path / "b"), tmp_path / "b.pt")
    torch.load(tmp_path / "b.pt", weights_only=False)
    array = np.empty(1, object)
    array[0] = Bomb(tmp_path / "c")
    np.save(tmp_path / "c.npy", array, allow_pickle=True)
    np.load(tmp_path / "c.npy", allow_pickle=True)
    assert all((tmp_path / name).is_dir() for name in "abc")


KINDS = ["pickle", "torch zip", "torch in a dict", "torch legacy", "npy", "npz", "zip of pickles", "safetensors"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_weights_runs_nothing(bombs, tmp_path, kind):
    for suffix in ("pt", "pth", "bin", "safetensors"):
        file = tmp_path / f"weights.{suffix}"
        file.write_bytes(bombs()[kind])
        with pytest.raises(ValueError, match=r"weights.* must be a .safetensors file or come from|does not hold tensors by name"):
            read_state(file)
        with pytest.raises(ValueError, match=r"is damaged .*; take the weights and the model.json of one round"):
            load_network(RunConfig.from_yaml("annotate"), 2, file, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_folder_runs_nothing(bombs, tmp_path, kind):
    folder = RunFolder(tmp_path / "a run")
    folder.path.mkdir()
    for name in ("queries.npz", "pseudo_step1.npz", "weights_step1.safetensors", "steps.jsonl", "config.json", "done.json"):
        (folder.path / name).write_bytes(bombs()[kind])
    for read in (
        lambda: folder.queries(1),
        lambda: folder.pseudo(1),
        lambda: folder.weights(1),
        folder.steps,
        lambda: folder.config,
        lambda: folder.done,
    ):
        with pytest.raises(ValueError, match=r"is damaged"):
            read()


@pytest.mark.parametrize("kind", [*KINDS, "a tensor", "a list"])
def test_a_checkpoint_runs_nothing_and_is_passed_over(bombs, tmp_path, tiny, tiny_config, kind):
    file, told = tmp_path / "checkpoint.pt", []
    if kind.startswith("a "):
        torch.save(torch.zeros(3) if kind == "a tensor" else [1], file)
    else:
        file.write_bytes(bombs()[kind])
    config = tiny_config(max_epochs=1)
    pairs = Pairs(tiny.images[:4], tiny.truth[:4])
    with lines_to(told.append):
        fit(network(config, len(tiny.classes)), pairs, pairs, config, key=(0, 1), keep=Checkpoint(file))
    assert any("cannot be read" in text for text in told)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_map_and_what_a_session_keeps_run_nothing(bombs, session, kind):
    for suffix in (".npy", ".png", ".tif"):
        file = session.work / f"map{suffix}"
        file.write_bytes(bombs()[kind])
        with pytest.raises(ValueError, match=r"map"):
            read_partition(file, (16, 16))
    picture = session.pictures[0]
    for part, read in (("image", picture.image), ("ids", picture.ids)):
        (picture.store / f"{key(picture.name)}.{part}.npy").write_bytes(bombs()[kind])
        with pytest.raises(ValueError, match=r"is damaged"):
            read()
    view = folder_of(session.home, 2) / "views" / f"{key(picture.name)}.npz"
    view.parent.mkdir(parents=True)
    view.write_bytes(bombs()[kind])
    with pytest.raises(ValueError, match=r"is damaged"):
        read_view(session.home, 2, picture)


@pytest.mark.parametrize("name", ["images", "votes", "pictures"])
def test_a_prepared_store_runs_nothing_even_with_right_checksums(bombs, tiny_store, tmp_path, name):
    store = tmp_path / "store"
    shutil.copytree(tiny_store, store)
    for kind in KINDS:
        content = bombs()[kind]
        (store / f"{name}.npy").write_bytes(content)
        manifest = json.loads((store / "manifest.json").read_text())
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        checked.write(store / "manifest.json", {k: v for k, v in manifest.items() if k != "check"})
        with pytest.raises(ValueError, match="is not an array of numbers"):
            open_store(store)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.mkdir ['{}']", "a: !!python/name:os.system ''", "!!python/module:os"])
def test_yaml_makes_no_objects(bombs, tmp_path, text):
    text = text.format(bombs.mark)
    with pytest.raises(ConfigError, match=r"is not valid YAML .*could not determine a constructor"):
        parse_yaml(text, "mine.yaml")
    (tmp_path / "images").mkdir()
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"is no YAML"):
        open_source("folder", tmp_path)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 1000), }"
    (tmp_path / "map.npy").write_bytes(np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header + b"x")
    with pytest.raises(ValueError, match=r"map.npy is not an array of numbers"):
        read_partition(tmp_path / "map.npy", (16, 16))
    text = boards.pack(0, 0, np.zeros((8, 8), np.uint8)).replace("0,0,8,8", "0,0,99999,99999")
    with pytest.raises(ValueError, match=r"pieces of a split cannot be read"):
        boards.unpack(text)


# ---- names

NAMES = [
    "..",
    ".",
    "../x",
    "a/b",
    "a\\b",
    "/abs",
    "C:\\x",
    "con",
    "CON.txt",
    "nul",
    "com1",
    "lpt9.a",
    "a\0b",
    "x" * 300,
    "ü" * 99,
    "",
    " ",
    "a ",
    "a.",
]


@pytest.fixture
def session(tmp_path):
    """A session with one picture, in a folder of its own inside tmp_path."""
    photos = tmp_path / "deep" / "photos"
    photos.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(photos / "a.png")
    with open_quietly(photos, ["road", "sky"]) as session:
        yield session


class open_quietly:
    """`open_session`, closed at the end."""

    def __init__(self, *arguments, **options):
        self.session = open_session(*arguments, side=32, superpixel_count=4, workers=1, **options)

    def __enter__(self):
        return self.session

    def __exit__(self, *_):
        self.session.close()


def tree(folder):
    """Every file below a folder with its content, and every folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_an_annotator_whose_name_is_no_folder_s_is_refused_before_anything_is_written(session, tmp_path, name, capsys):
    photos = tmp_path / "deep" / "photos"
    session.act("label", 0, [0], "road")
    session.close()
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=r"is the name of a folder: .*; change it"):
        open_session(photos, annotator=name)
    with pytest.raises(ValueError, match=r"is the name of a folder: .*; change it"):
        check_annotator(name)
    with pytest.raises(ValueError):
        merge(photos, ["me", "me2"], name)
    with pytest.raises(ValueError, match=r"there is no annotator|needs two or more"):
        merge(photos, ["me", name], "both")
    for command in (["export", str(photos)], ["train", str(photos), "--round", "2"], ["import", str(photos), str(photos)]):
        assert main(["annotate", *command, f"--annotator={name}"]) == 2
        assert capsys.readouterr().err.startswith("error:")
    assert tree(tmp_path) == before


def test_a_round_of_a_folder_elsewhere_is_not_carried_out(session, tmp_path, capsys):
    elsewhere = folder_of(tmp_path / "deep" / "x", 2)
    elsewhere.mkdir(parents=True)
    (elsewhere / "request.json").write_text(json.dumps({"config": RunConfig.from_yaml("annotate").values(), "log": 0}))
    before = tree(tmp_path)
    assert main(["annotate", "train", str(tmp_path / "deep" / "photos"), "--annotator=../x", "--round", "2"]) == 2
    assert "annotator is '../x', but is the name of a folder" in capsys.readouterr().err and tree(tmp_path) == before


@pytest.mark.parametrize("name", ["me", "Übung", "a.b-c_d", "図", "x" * 100])
def test_an_annotator_may_have_any_name_that_a_folder_can_have(name):
    check_annotator(name)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_class_may_have_any_name_since_no_file_has_it(session, tmp_path, name):
    """But for those that are no line of text."""
    photos, work = tmp_path / "deep" / "photos", tmp_path / "deep" / "again"
    try:
        check_classes([name])
    except ValueError as error:
        assert "must be one line of text" in str(error)
        return
    with open_quietly(photos, [name, "sky"], work=work) as other:
        other.act("label", 0, [0], name)
        before = set(tree(tmp_path))
        export(other)
        assert {p for p in set(tree(tmp_path)) - before} == {p for p in tree(tmp_path) if p.startswith("deep/again/export")}
        assert json.loads((work / "export" / "me" / "classes.json").read_text(encoding="utf-8"))["classes"][0]["name"] == name


@pytest.mark.parametrize("name", [*NAMES, "toy\n", "toy/../.."], ids=ascii)
def test_a_data_set_a_network_and_an_aggregation_are_names_that_are_known(name, tmp_path):
    with pytest.raises((ValueError, KeyError), match=r"choose|but|there is no data set"):
        open_source(name, tmp_path)
    for field in ("dataset", "model", "aggregate", "strategy", "labeling"):
        try:
            config = RunConfig.from_yaml("toy", **{field: name})
        except ConfigError:
            continue
        parts = Path(config.run_id).parts
        assert parts == (config.run_id,) and not {"/", "\\", "\0", "\n"} & set(config.run_id) and field in ("dataset", "model")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("con",)], ids=ascii)
def test_a_report_is_a_notebook_of_ours(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    for place in (tmp_path / "x.ipynb", tmp_path / "notebooks" / "fine.ipynb", tmp_path / "abs.ipynb"):
        place.write_text("{}")
    (tmp_path / "params").symlink_to(HOME / "params") if os.name != "nt" else None
    monkeypatch.setenv("OREAL_HOME", str(tmp_path))
    assert notebook("fine") == tmp_path / "notebooks" / "fine.ipynb"
    for report in (name, str(tmp_path / "abs"), "../x", f"fine/../{name}"):
        with pytest.raises(ConfigError, match=r"no notebook .*; there are: fine"):
            notebook(report)
        grid = tmp_path / "mine.yaml"
        grid.write_text(
            json.dumps({"base": str(HOME / "params" / "toy.yaml"), "runs": [{"strategy": "random"}], "reports": [report]})
        )
        assert main(["report", str(grid), "--runs-dir", str(tmp_path / "runs")]) == 2
        assert "no notebook" in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_grid_s_name_is_that_of_its_file(name, tmp_path):
    try:
        (tmp_path / f"{name}.yaml").write_text("{base: toy, runs: [{strategy: random}]}")
        grid = read_grid(tmp_path / f"{name}.yaml")
    except (OSError, ValueError) as error:
        assert isinstance(error, ConfigError | OSError) or "null" in str(error)
        return
    assert (paths.figures_root() / f"{grid.name}_table.md").resolve().parent == paths.figures_root()


# ---- files of others


def exported(session, **changes):
    """An export of the session, in whose list of files something is changed."""
    session.act("label", 0, [0], "road")
    out = export(session).out
    listed = json.loads((out / "export.json").read_text())
    listed.pop("check", None)
    listed["files"] += changes.get("files", [])
    (out / "export.json").write_text(json.dumps(listed))
    return out


def test_a_list_of_an_export_that_somebody_wrote_deletes_nothing_outside(session, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    (tmp_path / "deep" / "empty").mkdir()
    up = "../" * 4
    names = [f"{up}mine.txt", str(mine), f"masks/../{up}mine.txt", "", ".", "..", "masks", "masks/..", f"{up}deep/empty/x", "a\0b"]
    out = exported(session, files=names)
    assert (out / f"{up}mine.txt").resolve() == mine
    export(session)
    assert mine.read_text() == "precious" and (tmp_path / "deep" / "empty").is_dir() and (out / "masks" / "a.png").is_file()
    assert not set(names) & set(json.loads((out / "export.json").read_text())["files"])


@POSIX
def test_a_link_inside_an_export_leads_nothing_out(session, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "a.png").write_text("precious")
    (theirs / "b.png").write_text("precious, too")
    out = exported(session, files=["masks/b.png"])
    before = tree(theirs)
    (out / "masks" / "a.png").unlink()
    (out / "masks").rmdir()
    (out / "masks").symlink_to(theirs)
    with pytest.raises(ValueError, match=r"masks is a link that leads out of .*; remove it, or name another folder"):
        export(session)
    end(out, [], "export of me")  # nor is anything deleted behind it
    assert tree(theirs) == before
    (out / "masks").unlink()
    export(session)
    file = out / "masks" / "a.png"
    file.unlink()
    file.symlink_to(theirs / "a.png")
    export(session)  # a link in place of a file is replaced, not followed
    assert tree(theirs) == before and not file.is_symlink()


@pytest.mark.parametrize("name", ["../x.png", "masks/../../x.png", "/abs.png"])
def test_no_export_writes_a_name_that_leads_out(tmp_path, name):
    with pytest.raises(ValueError, match=r"would be written outside"):
        begin(tmp_path / "out", [name], tmp_path / "pictures", "me")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"classes": "road"}, "must be a list of names"),
        ({"classes": {"road": 1}}, "must be a list of names"),
        ({"classes": [1, 2]}, "one line of text"),
        ({"classes": []}, "must be 1 to"),
        ({"working_side": "1024"}, "side is '1024'"),
        ({"working_side": 10**9}, "side is 1000000000"),
        ({"working_side": None}, "side is None"),
        ({"config": {}}, "parameters are missing"),
        ({"config": {"height": None, "width": None}}, "height is null|crop"),
        ({"config": {"model": "../x"}}, "a name has only letters"),
        ({"config": {"query_size": None, "query_share": 0.1}}, "query_share is given"),
    ],
)
def test_a_model_of_somebody_is_refused_where_it_cannot_be_one(tmp_path, session, changes, why, capsys):
    config = RunConfig.from_yaml("annotate").values()
    about = {
        "classes": ["road", "sky"],
        "working_side": 64,
        "config": config,
        "round": 2,
        "side": 64,
        "colors": [],
        "annotator": "me",
    }
    about |= {"versions": {}}
    model, out = tmp_path / "model", tmp_path / "out"
    model.mkdir()
    given = about | changes
    if isinstance(changes.get("config"), dict) and changes["config"]:
        given["config"] = config | changes["config"]
    (model / "model.json").write_text(json.dumps(given))
    assert main(["annotate", "predict", str(model), str(tmp_path / "deep" / "photos"), str(out)]) == 2
    said = capsys.readouterr().err
    assert "model.json cannot be used" in said and "export the session again" in said and not out.exists()
    assert re.search(why, said)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": "ab"},
        {"classes": [1]},
        {"classes": ["void"]},
        {"side": "big"},
        {"side": 10**9},
        {"session": 3},
        {"partition": [1]},
        {"superpixels": {"x": 1}},
    ],
    ids=str,
)
def test_a_session_of_somebody_is_refused_where_it_cannot_be_one(session, tmp_path, changes):
    session.close()
    file = session.work / "session.json"
    about = json.loads(file.read_text())
    about.pop("check", None)
    file.write_text(json.dumps(about | changes))
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=r"session.json is damaged .*; put back a copy of it"):
        open_session(tmp_path / "deep" / "photos")
    assert tree(tmp_path) == before


def test_a_session_that_names_another_folder_is_about_the_folder_it_is_opened_with(session, tmp_path):
    session.close()
    file = session.work / "session.json"
    about = json.loads(file.read_text())
    about.pop("check", None)
    file.write_text(json.dumps(about | {"folder": "/etc"}))
    with open_quietly(tmp_path / "deep" / "photos") as again:
        assert again.pictures[0].file == tmp_path / "deep" / "photos" / "a.png"
        assert json.loads(file.read_text())["folder"] == str(tmp_path / "deep" / "photos")


def test_a_log_that_names_pictures_elsewhere_writes_nothing_there(session, tmp_path):
    """As a colleague's log might, brought here to be merged."""
    session.act("label", 0, [0], "road")
    session.close()
    names = ["../../x", "/abs", "a\0b", "", "a/../../../x"]
    events = [Event("label", f"id{i}", "2026-01-01T00:00:00.000Z", name, (0,), "road", "click") for i, name in enumerate(names)]
    log = session.work / "ben" / "clicks.jsonl"
    log.parent.mkdir()
    log.write_bytes(b"".join(map(to_line, events)))
    before = set(tree(tmp_path))
    done = merge(tmp_path / "deep" / "photos", ["me", "ben"], "both")
    assert done.labeled == 1 and done.lost == len(names)
    assert {Path(p).parts[:3] for p in set(tree(tmp_path)) - before} == {("deep", "photos-labels", "both")}


def test_weights_in_safetensors_are_read(tmp_path):
    """The door for what is fine is open."""
    save_file({"net.w": torch.ones(2)}, tmp_path / "w.safetensors")
    torch.save({"net.w": torch.ones(2)}, tmp_path / "w.pth")
    assert all(read_state(tmp_path / name)["net.w"].tolist() == [1, 1] for name in ("w.safetensors", "w.pth"))
