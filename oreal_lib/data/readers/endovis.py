"""EndoVis 2018 robotic scene segmentation (MICCAI challenge): 1280x1024 frames of porcine nephrectomies, 12 classes.

Every folder that holds left_frames/ is a sequence; labels/ beside it holds masks of colors, which labels.json explains.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from ..files import read_bytes
from ..folders import below, find_root, folders_below, found_source, listing, without_partner
from ..source import Item, Source

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
ALIASES = {"background": "background-tissue", "intestine": "small-intestine", "small-intestines": "small-intestine"}
REPAIR = re.compile(r"(?P<sequence>seq_\d+)_(?P<frame>frame\d+)")


def read(root: str | Path | None = None, *, test_sequences: list[str] | None = None) -> Source:
    """EndoVis 2018 below `root` as a Source; the folders are checked, the pictures not yet opened.

    root: any folder above the sequences; None looks at the environment variable OREAL_DATA. test_sequences: their names
    (paths from root, such as "release_1/seq_4"), the others are train; None takes those with a folder that starts with
    "test" in their path. group: the sequence. A mask in a folder repairs/ takes the place of the one it corrects. Colors
    without a class are reported when a mask is opened.
    ValueError for unknown sequences, where none is for testing, and for a broken labels.json.
    """
    # root itself comes last, because OREAL_DATA may hold other data sets, too.
    places = ("endovis", "endovis2018", "EndoVis2018", "")
    root = find_root(root, "EndoVis 2018", places, lambda folder: any(_sequences(folder)), "sequence folder with left_frames/")
    sequences = {below(root, folder): folder for folder in _sequences(root)}
    test = _test(test_sequences, list(sequences))
    problems: list[str] = []
    colors = _colors(root, list(sequences.values()), problems)
    repairs = _repairs(root, sequences, problems)
    left_out, items = [], []
    for name, folder in sequences.items():
        images = listing(root, _inside(name, "left_frames"), problems)
        if masks := listing(root, _inside(name, "labels"), problems):
            masks |= repairs[name]
        unlabeled = [frame for frame in images if masks and frame not in masks]
        if name in test and folder.name == "seq_3" and len(unlabeled) == 1:  # the challenge gave it out with 250 frames, 249 masks
            del images[unlabeled[0]]
            left_out.append(_inside(name, unlabeled[0]))
        without_partner(images, masks, root, problems)
        split = "test" if name in test else "train"
        items += [Item(_inside(name, k), name if name != "." else "sequence", split, images[k], masks.get(k)) for k in images]
    identity = {
        "test_sequences": sorted(test),
        "colors": sorted([*color, i] for color, i in colors.items()),
        "repairs": sorted(_inside(name, frame) for name, frames in repairs.items() for frame in frames),
        "left_out": left_out,
    }
    return found_source("endovis", tuple(OFFICIAL.values()), root, items, problems, identity, void=None, colors=colors)


def _sequences(root: Path) -> Iterator[Path]:
    return (folder for folder in folders_below(root) if (folder / "left_frames").is_dir())


def _inside(sequence: str, name: str) -> str:
    return name if sequence == "." else f"{sequence}/{name}"


def _in_test_folder(sequence: str) -> bool:
    return any(part.lower().startswith("test") for part in sequence.split("/"))


def _test(asked: list[str] | None, sequences: list[str]) -> set[str]:
    """Which sequences are for testing."""
    known = f"there are {', '.join(sequences)}"
    if asked is None:
        asked = list(filter(_in_test_folder, sequences))
        if not asked:
            rule = "say with test_sequences which of them are for testing"
            raise ValueError(f"no sequence lies in a folder that starts with 'test', {known}; {rule}")
    if not isinstance(asked, list | tuple) or not all(isinstance(name, str) for name in asked):
        raise ValueError(f"test_sequences is {asked!r}, but must be a list of names; {known}")
    if unknown := [name for name in asked if name not in sequences]:
        raise ValueError(f"test_sequences names {', '.join(unknown)}, but {known}; choose among these")
    return set(asked)


def _colors(root: Path, sequences: list[Path], problems: list[str]) -> dict[Color, int]:
    """Color -> class id: the official table and what the labels.json files add to it.

    Each release lists only some classes. A color means one class in all files. A class beyond the 12 is a problem, because the number
    of classes decides what a step asks and what the mean IoU is over.
    """
    names, places, ids = dict(OFFICIAL), dict.fromkeys(OFFICIAL, "the challenge's table"), [*OFFICIAL.values()]
    for file in _label_files(root, sequences):
        shown = below(root, file)
        for color, name in _entries(file):
            if names.setdefault(color, name) != name:
                where = f"{places[color]} it is {names[color]}"
                problems.append(f"{shown} says that {color} is {name}, but in {where}; one color is one class, correct one of them")
            places.setdefault(color, shown)
    for color, name in sorted(names.items()):
        if name not in ids:
            problems.append(f"{places[color]} lists {name} {color}, but the challenge has 12 classes without it; delete the entry")
    return {color: ids.index(name) for color, name in names.items() if name in ids}


def _label_files(root: Path, sequences: list[Path]) -> list[Path]:
    """The labels.json that counts for each sequence, which is the nearest: in its folder or in one above it, up to root."""
    found = {}
    for folder in sequences:
        above = [folder, *folder.parents]
        nearest = [place / "labels.json" for place in above[: above.index(root) + 1] if (place / "labels.json").is_file()]
        found |= dict.fromkeys(nearest[:1])
    return list(found)


def _entries(file: Path) -> list[tuple[Color, str]]:
    """Color and class name of each entry, known aliases resolved; a fourth number is how opaque to draw it, not a color.

    ValueError where the file is not what `rule` says. Its class ids are not used: each release has its own.
    """
    rule = '[{"name": text, "color": [r, g, b] or [r, g, b, a]}, ...], or {"classes": such a list}, with values 0..255'
    try:
        entries = json.loads(read_bytes(file).decode("utf-8-sig"))
        rows = [(entry["color"], entry["name"]) for entry in (entries["classes"] if isinstance(entries, dict) else entries)]
        names = ["-".join(re.split(r"[\s_-]+", name.strip().lower())) for _, name in rows]
        fine = all(len(color) in (3, 4) and all(type(v) is int and 0 <= v <= 255 for v in color) for color, _ in rows)
        if not rows or not fine or not all(names):
            raise ValueError("an entry is missing or wrong")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is torn or not {rule} ({error!r}); copy it again from the release") from error
    return [(tuple(color[:3]), ALIASES.get(name, name)) for (color, _), name in zip(rows, names, strict=True)]


def _repairs(root: Path, sequences: dict[str, Path], problems: list[str]) -> dict[str, dict[str, Path]]:
    """Sequence -> frame -> corrected mask, from the folders repairs/ below root: repairs/seq_1_frame042.png is of seq_1.

    They belong to training sequences; the test data has a seq_1 of its own.
    """
    found: dict[str, dict[str, Path]] = {name: {} for name in sequences}
    tops: list[Path] = []  # not the repairs/repairs/ in them
    for folder in folders_below(root):
        if folder != root and folder.name.lower() == "repairs" and not set(tops) & set(folder.parents):
            tops.append(folder)
    for path in (path for top in tops for path in listing(root, below(root, top), problems, deep=True).values()):
        match = REPAIR.fullmatch(path.stem)
        if not match:
            problems.append(f"{below(root, path)} is not named like seq_1_frame042.png; rename it or move it elsewhere")
            continue
        fits = [name for name, folder in sequences.items() if folder.name == match["sequence"] and not _in_test_folder(name)]
        if len(fits) != 1:
            rule = f"must belong to one training sequence {match['sequence']}, but {' and '.join(fits) or 'none is there'}"
            problems.append(f"{below(root, path)} {rule}; remove what is not meant")
        elif (first := found[fits[0]].setdefault(match["frame"], path)) != path:
            problems.append(f"{below(root, path)} corrects what {below(root, first)} does; keep one of them")
    return found
