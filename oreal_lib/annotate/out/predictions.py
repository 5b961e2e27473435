"""The network of an export, used on other pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ...config import RunConfig
from ...data.files import read_image
from ...data.resize import bounded, nearest, resized
from ...scores import bvsb
from ...storage import atomic, checked
from ...storage.progress import told
from ..about import check_classes, check_side, check_usable
from ..pictures import find_pictures
from ..training import load_network, look
from .output import begin, class_files, end, png

BEFORE = "classes colors round side working_side annotator versions config".split()  # keys of model.json, before it had a checksum


@dataclass(frozen=True)
class Predicted:
    """What was written. pictures: how many have a mask.  problems: the others, a sentence each."""

    out: Path
    pictures: int
    problems: tuple[str, ...] = ()


def predict_folder(model: Path | str, pictures: Path | str, out: Path | str, device: str = "auto") -> Predicted:
    """Writes for each picture of a folder masks/<name>.png, class ids at its own size, and uncertainty/<name>.png.

    model: the folder model/ of an export.  uncertainty: grey, 0 sure .. 255 a tie of two classes (BvSB), at the working side.
    Probabilities are made at the working side of the session (1024 pixels unless changed), so that a large photo needs no more
    memory than there; its classes are brought up by the nearest pixel, as in `export`. Pictures that cannot be read are named in
    `problems`, the others go on. ValueError for a model or an `out` that cannot be used, OSError where the disk is full.
    """
    model, out = Path(model).expanduser(), Path(out).expanduser()
    about, config = _about(model)
    classes, side = tuple(about["classes"]), about["working_side"]
    folder = Path(pictures).expanduser()
    found, problems = find_pictures(folder)
    net = load_network(config, len(classes), model / "weights.safetensors", device)
    files = class_files(classes)
    kinds = ("masks", "uncertainty")
    by = f"prediction for {folder.resolve().name}"
    begin(out, [*files, *(f"{kind}/{name}.png" for name in found for kind in kinds)], _top(folder), by)
    written: list[str] = []
    for name, file in told(found.items(), "{done} of {total} pictures are predicted"):
        try:
            image = read_image(file)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        native = image.shape[:2]
        size = bounded(native, side)
        image = image if size == native else resized(image, size)
        p = look(net, image, config.height, size)
        unsure = (255 * bvsb(p[None])[0, 0]).round().to(torch.uint8).cpu().numpy()
        seen = p.argmax(dim=0).to(torch.uint8).cpu().numpy()
        mask = seen if size == native else nearest(seen, native)
        for kind, data in zip(kinds, (png(mask, len(classes)), png(unsure)), strict=True):
            atomic.write_bytes(out / f"{kind}/{name}.png", data)
            written.append(f"{kind}/{name}.png")
    for name, data in files.items():
        atomic.write_bytes(out / name, data)
    end(out, [*written, *files], by)
    return Predicted(out, len(written) // 2, tuple(problems))


def _top(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder


def _about(model: Path) -> tuple[dict, RunConfig]:
    file = model / "model.json"
    if not file.is_file():
        raise ValueError(f"{model} holds no model.json; name the folder model/ of an export made after a training")
    try:
        about = checked.loads(file.read_bytes(), BEFORE)
        if missing := {"classes", "working_side", "config"} - set(about):
            raise ValueError(f"{min(missing)} is missing")
        check_classes(about["classes"])
        check_side(about["working_side"])
        config = RunConfig.make(about["config"])
        check_usable(config)
        if config.height is None:
            raise ValueError("the config's height is null, which the longer side of a picture is brought to")
        return about, config
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} cannot be used ({error}); export the session again") from error
