"""A folder that an export fills: a new export replaces what an earlier one wrote there and touches no other file."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from ...data.files import file_of
from ...storage import atomic, checked
from ...types import IGNORE

LIST = "export.json"  # names every file an export wrote, so that the next one knows what it may replace


@contextlib.contextmanager
def filled(out: Path, files: Iterable[str], pictures: Path, by: str) -> Iterator[Callable[[str, bytes], None]]:
    """Inside, write(name, data) writes one of these files (paths in `out`); at the end, what earlier exports wrote beside them is
    removed. Killed in between, the next one replaces what there is.

    pictures: the folder in which pictures are looked for.  by: who writes, such as "export of ana".  ValueError where `out` is a
    file, lies among the pictures or was written by another one, or where a file of one of these names exists that no export wrote.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, but an export is a folder; name another one (out)")
    if out.resolve().is_relative_to(pictures.resolve()):
        why = f"{out} lies among the pictures in {pictures}, and the masks would be taken for pictures"
        raise ValueError(f"{why}; name a folder outside (out)")
    other, own = _listed(out)
    if other not in ("", by):
        raise ValueError(f"{out} holds the {other}, which the {by} would replace; name another folder (out)")
    for name in files:
        if name not in own and (out / name).exists():
            raise ValueError(f"{out / name} exists already, and no export wrote it; move it away, or name another folder (out)")
    own, written = own.union(files), set()
    checked.write(out / LIST, {"by": by, "whole": False, "files": sorted(own)})

    def write(name: str, data: bytes) -> None:
        atomic.write_bytes(out / name, data)
        written.add(name)

    yield write
    for file in (out / name for name in own - written):
        if file.is_file() and file.resolve().is_relative_to(out.resolve()):  # not so: a list, or a link, from somebody else
            file.unlink()
            with contextlib.suppress(OSError):  # its folder holds something else
                file.parent.rmdir()
    checked.write(out / LIST, {"by": by, "whole": True, "files": sorted(written)})


def _listed(out: Path) -> tuple[str, set[str]]:
    """Who wrote into the folder ("" nobody), and which files."""
    if not (out / LIST).is_file():
        return "", set()
    known = checked.read(out / LIST, f"delete the folder {out} if everything in it was exported, or name another one")
    return known["by"], set(known["files"])


def png(values: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A PNG of (h, w) uint8 values: gray, or class ids with the colors (C, 3) uint8 of `palette` and white void."""
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(np.concatenate([palette, np.full((256 - len(palette), 3), 255, np.uint8)]).tobytes())
    return file_of(image, "PNG")


def class_files(classes: tuple[str, ...], palette: np.ndarray) -> dict[str, bytes]:
    """classes.json with ids and colors (C, 3), and classes.yaml, with which images/ and masks/ are a data set "folder" of this
    library."""
    named = [{"id": c, "name": name, "color": color} for c, (name, color) in enumerate(zip(classes, palette.tolist(), strict=True))]
    about = {"classes": named, "void": {"id": IGNORE, "color": [255, 255, 255]}}
    # Names only: with colors there, masks would be read by color, and beyond 21 classes colors repeat.
    text = yaml.safe_dump({"classes": list(classes), "void": IGNORE}, allow_unicode=True, sort_keys=False)
    return {"classes.json": (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode(), "classes.yaml": text.encode()}
