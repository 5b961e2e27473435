"""The model of an export, used on other pictures: what was learned live, or a network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...config import RunConfig
from ...data.files import read_image
from ...data.folders import remark
from ...data.resize import bounded, nearest, resized
from ...storage import checked
from ...storage.progress import log, told
from ...superpixels import SuperpixelRecipe
from ..live import looker
from ..pictures import find_pictures
from ..saved import check_usable
from ..training import classes_and_doubt, load_network, look, read_weights
from .output import class_files, filled, png


@dataclass(frozen=True)
class Predicted:
    """What was written. pictures: how many have a mask.  problems: the others, a sentence each."""

    out: Path
    pictures: int
    problems: tuple[str, ...] = ()


def predict_folder(model: Path | str, pictures: Path | str, out: Path | str, device: str = "auto") -> Predicted:
    """Writes for each picture of a folder masks/<name>.png, class ids at its own size, and uncertainty/<name>.png.

    model: the folder model/ of an export.  uncertainty: gray, 0 sure .. 255 a tie of two classes (BvSB), at the working side.
    Probabilities are computed at the working side of the session (1024 pixels unless changed), so that a large photo needs no more
    memory than there; its classes are enlarged by the nearest pixel, as in `export`. Pictures that cannot be read are named in
    `problems`. ValueError for a model or an `out` that cannot be used, OSError where the disk is full.
    """
    model, out, folder = Path(model).expanduser(), Path(out).expanduser(), Path(pictures).expanduser()
    about = _about(model)
    classes, side = tuple(about["classes"]), about["working_side"]
    found, problems = find_pictures(folder)
    seen_in = _looker(about, model / "weights.safetensors", device)
    palette = np.array(about["colors"], np.uint8).reshape(-1, 3)
    files = class_files(classes, palette)
    names = {name: (f"masks/{name}.png", f"uncertainty/{name}.png") for name in found}
    images = folder / "images" if (folder / "images").is_dir() else folder
    brightest = {}
    everything = [*files, *(name for two in names.values() for name in two)]
    with filled(out, everything, images, f"prediction for {folder.resolve().name}") as write:
        for name, file in told(found.items(), "{done} of {total} pictures are predicted"):
            try:
                image = read_image(file)
            except (ValueError, OSError) as error:
                problems.append(str(error))
                continue
            native = image.shape[:2]
            size = bounded(native, side)
            seen, unsure = classes_and_doubt(seen_in(resized(image, size)))
            for path, data in zip(names[name], (png(nearest(seen, native), palette), png(unsure)), strict=True):
                write(path, data)
            brightest[file] = int(image.max())
        for name, data in files.items():
            write(name, data)
    remark(brightest, brightest.values(), log.info)
    return Predicted(out, len(brightest), tuple(problems))


def _looker(about: dict, weights: Path, device: str) -> Callable[[np.ndarray], torch.Tensor]:
    """What gives (C, H, W) float32 probabilities of an image (H, W, 3) uint8 of the working size."""
    if about.get("live"):
        return looker(read_weights(weights), about["superpixels"] and SuperpixelRecipe(**about["superpixels"]), device)
    config = RunConfig.make(about["config"])
    net = load_network(config, len(about["classes"]), weights, device)
    return lambda image: look(net, image, config.height, image.shape[:2])


def _about(model: Path) -> dict:
    file = model / "model.json"
    if not file.is_file():
        raise ValueError(f"{model} holds no model.json; name the folder model/ of an export made after a training")
    try:
        about = checked.loads(file.read_bytes())
        if not about.get("live"):
            check_usable(RunConfig.make(about["config"]))
        return about
    except (ValueError, KeyError) as error:
        raise ValueError(f"{file} cannot be used ({error}); export the session again") from error
