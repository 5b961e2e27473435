"""Whatever is read back is what was written, or an error that names the file: flipped bits, cuts, lost blocks, in every file we read.

OREAL_EXAMPLES: how many times each file is damaged (25), OREAL_SEED: another lot. `make torture` damages each some thousand times.
"""

import os
import random
import shutil

import numpy as np
import pytest
import torch
from kills import CLASSES, photos, run_config, train_round

from oreal_lib.annotate import rounds, training
from oreal_lib.annotate.events import Log
from oreal_lib.annotate.out import output, predictions
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.pictures import open_pictures
from oreal_lib.annotate.saved import read_json, read_session, recipe_of, work_folder
from oreal_lib.config import RunConfig
from oreal_lib.data import open_store
from oreal_lib.experiments.run import run
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.models import build_model
from oreal_lib.storage.checkpoint import Checkpoint
from oreal_lib.storage.progress import lines_to

EXAMPLES, SEED = int(os.environ.get("OREAL_EXAMPLES") or 25), os.environ.get("OREAL_SEED", "0")
KEY = (0, 1)  # of the training whose checkpoint is damaged


def damaged(data, lot):
    """The bytes with something wrong: most often one bit, else a part lost, zeroed, doubled, or exchanged with another."""
    data, kind = bytearray(data), lot.choice(["bit"] * 6 + ["cut", "zeros", "doubled", "exchanged", "noise"])
    a, b = sorted((lot.randrange(len(data)), lot.randrange(len(data))))
    if kind == "bit":
        data[a] ^= 1 << lot.randrange(8)
    elif kind == "cut":
        del data[a:]
    elif kind == "zeros":  # what a file system leaves where a block was not written
        data[a : a + 512] = bytes(len(data[a : a + 512]))
    elif kind == "doubled":
        data[b:b] = data[a:b]
    elif kind == "exchanged":
        data[a], data[b] = data[b], data[a]
    else:
        data[a : a + 4] = lot.randbytes(4)
    return bytes(data)


@pytest.fixture(scope="module")
def place(tiny_store, tmp_path_factory):
    """Everything that is read back: finished runs of both stages, a checkpoint, a store, a session with a trained round, its export."""
    place = tmp_path_factory.mktemp("whole")
    config = run_config(0, 2)
    list(run(config, place / "runs", open_store(tiny_store)))
    (place / "runs" / config.run_id).rename(place / "run")
    model = build_model("small_unet", 8)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    Checkpoint(place / "checkpoint.pt").after_epoch(
        {"key": list(KEY), "epoch": 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    )
    shutil.copytree(tiny_store, place / "store")
    before = training.LEAST_STEPS
    train_round(str(place))
    training.LEAST_STEPS = before
    export(read_session(photos(place), "me"), place / "export")
    return place


def plain(value):
    """A value as what `==` compares bit for bit."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.reshape(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return repr(value)


def checkpoint(file):
    said = []
    with lines_to(said.append):
        state = Checkpoint(file).load(KEY)
    if state is None:
        raise ValueError(said[0] if said else f"{file}: the checkpoint of another training")
    return state


def log(file):
    """Opened as a session does: what is wrong with it is told, nothing is left out in silence."""
    opened = Log(file)
    opened.close()
    if opened.problems:
        raise ValueError(f"{file}: {opened.problems[0]}")
    return opened.events


def picture(place):
    home = work_folder(place / "photos")
    about = read_json(home)
    return open_pictures(place / "photos", home / "pictures", recipe_of(about), about["side"], cut=False)[0][0]


def entry(place):
    p = picture(place)
    return [p.name, p.native, p.size, p.count, p.check, p.image_check]


def request(place):
    """Of a request that cannot be read the next training starts over."""
    found = rounds.read_request(me(place), 2)
    if not found:
        raise ValueError(f"{rounds.folder_of(me(place), 2) / 'request.json'} is taken for none")
    return found


def me(place):
    return work_folder(place / "photos") / "me"


def store(place):
    dataset = open_store(place / "store")
    parts = ("classes", "names", "groups", "images", "truth", "votes", "present", "labeled", "vanished")
    return {part: getattr(dataset, part) for part in parts} | {"split": dataset.split, "maps": list(dataset.superpixels.maps)}


READ = {  # a file -> how it is read
    "run/config.json": lambda p: RunFolder(p / "run").config,
    "run/done.json": lambda p: RunFolder(p / "run").done,
    "run/steps.jsonl": lambda p: RunFolder(p / "run").steps(),
    "run/queries.npz": lambda p: RunFolder(p / "run").queries(finished=3),
    "run/weights_step3.safetensors": lambda p: RunFolder(p / "run").weights(3),
    "run/pseudo_step3.npz": lambda p: list(RunFolder(p / "run").pseudo(3)),
    "checkpoint.pt": lambda p: checkpoint(p / "checkpoint.pt"),
    "store/manifest.json": store,
    **{f"store/{name}.npy": store for name in ("images", "truth", "superpixels", "votes", "present", "pictures")},
    "photos-labels/session.json": lambda p: read_json(work_folder(p / "photos")),
    "photos-labels/pictures/*.json": entry,
    "photos-labels/pictures/*.ids.npy": lambda p: picture(p).ids(),
    "photos-labels/pictures/*.image.npy": lambda p: picture(p).image(),
    "photos-labels/me/clicks.jsonl": lambda p: log(me(p) / "clicks.jsonl"),
    "photos-labels/me/rounds/002/request.json": request,
    "photos-labels/me/rounds/002/query.json": lambda p: rounds.read_query(me(p), 2),
    "photos-labels/me/rounds/002/weights.safetensors": lambda p: training.read_weights(
        rounds.folder_of(me(p), 2) / "weights.safetensors"
    ),
    "photos-labels/me/rounds/002/views/*.npz": lambda p: rounds.read_view(me(p), 2, picture(p)),
    "export/export.json": lambda p: [output._listed(p / "export")[0], sorted(output._listed(p / "export")[1])],
    "export/model/model.json": lambda p: predictions._about(p / "export" / "model"),
    "export/model/weights.safetensors": lambda p: training.load_network(
        RunConfig.make(predictions._about(p / "export" / "model")["config"]),
        len(CLASSES),
        p / "export" / "model" / "weights.safetensors",
        "cpu",
    ).state_dict(),
}


@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_named_or_was_read_whole(place, name, record_property):
    looked_at = rounds.key(picture(place).name) if "*" in name else ""
    file = next(f for f in place.glob(name) if f.name.startswith(looked_at))
    data, wanted = file.read_bytes(), plain(READ[name](place))
    found_out = 0
    try:
        for i in range(EXAMPLES):
            file.write_bytes(bad := damaged(data, random.Random(f"{SEED} {name} {i}")))
            try:
                got = plain(READ[name](place))
            except (ValueError, OSError) as error:
                found_out += 1
                assert file.name in str(error) and len(str(error)) > len(str(file)), error
                continue
            finally:
                for left in [*file.parent.glob(f"{file.name}.torn*"), *file.parent.glob(f"{file.name}.damaged*")]:
                    left.unlink()
            shorter = name.endswith("clicks.jsonl") and data.startswith(bad) and bad.endswith(b"\n")  # which nothing can tell
            assert shorter or got == wanted, (i, bad[:80])
    finally:
        file.write_bytes(data)
    assert found_out > EXAMPLES / 4  # most damage matters
    record_property("cases", EXAMPLES)
