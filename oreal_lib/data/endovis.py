"""EndoVis 2018 robotic scene segmentation (MICCAI challenge): 1280x1024 frames of porcine nephrectomies, 12 classes.

Every folder that holds left_frames/ is a sequence; labels/ beside it holds masks of colors, which labels.json explains.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from .files import open_pair, read_bytes
from .folders import find_root, fingerprint, folders_below, listing, without_partner
from .source import Item, Source

Color = tuple[int, int, int]
OFFICIAL: dict[Color, str] = {  # in the order of their class ids
    (0, 0, 0): "background-tissue",
    (0, 255, 0): "instrument-shaft",
    (0, 255, 255): "instrument-clasper",
    (125, 255, 12): "instrument-wrist",
    (255, 55, 0): "kidney-parenchyma",
    (24, 55, 125): "covered-kidney",
    (187, 155, 25): "thread",
    (0, 255, 125): "clamps",
    (255, 255, 125): "suturing-needle",
    (123, 15, 175): "suction-instrument",
    (124, 155, 5): "small-intestine",
    (12, 255, 141): "ultrasound-probe",
}


def read(root: str | Path | None = None, *, test_sequences: list[str] | None = None) -> Source:
    """EndoVis 2018 below `root` as a Source; the folders are checked, the pictures not yet opened.

    root: any folder above the sequences; None looks at the environment variable OREAL_DATA. test_sequences: their names
    (paths from root, such as "release_1/seq_4"), the others are train; None takes those with a folder that starts with
    "test" in their path. group: the sequence. Colors without a class are told when a mask is opened.
    Raises ValueError for unknown sequences, where none is for testing, and for a broken labels.json.
    """
    # Last of all root itself, because OREAL_DATA may hold other data sets, too.
    places = ("endovis", "endovis2018", "EndoVis2018", "")
    root = find_root(root, "EndoVis 2018", places, lambda folder: any(_sequences(folder)), "sequence folder with left_frames/")
    sequences = {folder.relative_to(root).as_posix(): folder for folder in _sequences(root)}
    test = _test(test_sequences, list(sequences))
    colors = _colors(root, list(sequences.values()))
    problems: list[str] = []
    items = []
    for name in sequences:
        images = listing(root, _below(name, "left_frames"), problems)
        masks = listing(root, _below(name, "labels"), problems)
        if images and masks:
            without_partner(images, masks, root, problems)
        split = "test" if name in test else "train"
        items += [Item(_below(name, k), name if name != "." else "sequence", split, images[k], masks.get(k)) for k in images]
    identity = {
        "reader": "endovis",
        "test_sequences": sorted(test),
        "colors": [list(color) for color in colors],
        "files": fingerprint(root, items),
    }
    opening = partial(open_pair, n_classes=len(colors), colors={color: i for i, color in enumerate(colors)})
    return Source("endovis", tuple(colors.values()), tuple(items), opening, identity, tuple(problems))


def _sequences(root: Path):
    return (folder for folder in folders_below(root) if (folder / "left_frames").is_dir())


def _below(sequence: str, name: str) -> str:
    return name if sequence == "." else f"{sequence}/{name}"


def _test(asked: list[str] | None, sequences: list[str]) -> set[str]:
    """Which sequences are for testing."""
    if asked is None:
        found = {name for name in sequences if any(part.lower().startswith("test") for part in name.split("/"))}
        if not found:
            raise ValueError(
                f"no sequence lies in a folder that starts with 'test', there are {', '.join(sequences)}; "
                "say with test_sequences which of them are for testing"
            )
        return found
    if not isinstance(asked, list | tuple) or not all(isinstance(name, str) for name in asked):
        raise ValueError(f"test_sequences is {asked!r}, but must be a list of names; there are {', '.join(sequences)}")
    if unknown := [name for name in asked if name not in sequences]:
        raise ValueError(f"test_sequences names {', '.join(unknown)}, but there are {', '.join(sequences)}; choose among these")
    return set(asked)


def _colors(root: Path, sequences: list[Path]) -> dict[Color, str]:
    """Color -> class name in the order of the class ids, from the labels.json files if there are any."""
    files = dict.fromkeys([root, *(place for folder in sequences for place in (folder.parent, folder) if folder != root)])
    tables = {folder / "labels.json": None for folder in files if (folder / "labels.json").is_file()}
    if not tables:
        return OFFICIAL
    (first, colors), *others = [(file, _table(file)) for file in tables]
    for file, table in others:
        if table != colors:
            raise ValueError(f"{file} and {first} name different classes, but all sequences need the same; make them equal")
    return OFFICIAL if set(colors) == set(OFFICIAL) else colors


def _table(file: Path) -> dict[Color, str]:
    """Color -> class name by class id. Raises ValueError where the file is no list of name, color and classid."""
    rule = 'a list of {"name": text, "color": [r, g, b], "classid": number}'
    try:
        entries = json.loads(read_bytes(file).decode("utf-8-sig"))
        rows = sorted((entry["classid"], tuple(entry["color"]), entry["name"]) for entry in entries)
        good = all(type(i) is int and isinstance(n, str) and n and len(c) == 3 and set(c) <= {*range(256)} for i, c, n in rows)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is torn or not {rule} ({error!r}); copy it again from the release") from error
    if not good or not rows:
        raise ValueError(f"{file} is not {rule} with values 0..255; copy it again from the release")
    for column, what in enumerate(("classid", "color", "name")):
        if len({row[column] for row in rows}) < len(rows):
            raise ValueError(f"{file} gives one {what} to two classes; copy it again from the release")
    return {color: name for _, color, name in rows}
