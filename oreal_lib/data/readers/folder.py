"""Your own pictures: images/, masks/ with the same names if there are any, classes.yaml, and lists of the splits if you like.

classes.yaml is a list of names, or of `{name: ..., color: [r, g, b]}`, or a mapping of names to colors; or
`classes: <one of these>` beside `void: <index or color>`. An index mask holds the positions in that list, 255 is void.
"""

from pathlib import Path

from ...storage.yaml_file import ConfigError, parse_yaml, shown
from ...types import IGNORE
from ..files import read_bytes
from ..folders import below, drawn, find_root, found_source, having, listing, one_of, read_list, tidy
from ..source import Item, Source

Color = tuple[int, int, int]
LIKE_MASKS = ("mask", "masks", "label", "labels", "annotation", "annotations", "gt", "segmentationclass")  # in small letters
LIKE_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")  # likewise


def read(
    root: str | Path | None = None, *, classes: list | dict | None = None, test_share: float = 0.2, test_by: str = "image"
) -> Source:
    """The pictures below `root` as a Source; the folders are checked, no picture is opened yet.

    root: the folder that holds images/; None looks at the environment variable OREAL_DATA. classes: what classes.yaml
    would hold, in its place. group: the first folder below images/, else the image itself.

    test.txt, val.txt and train.txt beside images/ name images of these splits (path from images/, with images/ before it
    or not, suffix or not, any slashes). Images in no list are train; if there is no test.txt, test_share of those with a
    mask (our choice: 0.2) are test instead, single ones or, with test_by "group", whole groups. They are those with the
    lowest hash of their name: it repeats, does not step in time with a video as every k-th would, and pictures added later
    move few of the others.
    With both test.txt and train.txt each image must stand in a list. An image without a mask must stand in train.txt;
    simulated runs pass it over. Without a folder masks/ everything is train: nothing can be answered or evaluated.
    ValueError for a bad option and for classes that are missing or wrong.
    """
    return read_as("folder", "image folder", root, classes, test_share, test_by)


def read_as(name: str, title: str, root: str | Path | None, classes: list | dict | None, test_share: float, test_by: str) -> Source:
    """What `read` returns, under another name; below OREAL_DATA it may lie in a folder of that name.

    ValueError for a test_share out of range.
    """
    one_of("test_by", test_by, ("image", "group"))
    if isinstance(test_share, bool) or not isinstance(test_share, int | float) or not 0 <= test_share < 1:
        raise ValueError(f"test_share is {test_share!r}, but must be a share of the images, 0 or more and below 1; change it")
    root = find_root(root, title, (name, ""), having("images"), "images/")
    names, colors, void = read_classes(root, classes)
    problems: list[str] = []
    images, masks = listing(root, "images", problems, deep=True), {}
    if labeled := (root / "masks").is_dir():
        masks = listing(root, "masks", problems, deep=True)
    elif like := sorted(path.name for path in root.iterdir() if path.is_dir() and path.name.lower() in LIKE_MASKS):
        rule = "masks are read from masks/ only; rename it to masks/, or move it elsewhere"
        problems.append(f"{like[0]}/ looks like the masks, but {rule}")
    for alone in [path for key, path in masks.items() if key not in images] if images else []:
        problems.append(f"{below(root, alone)} has no image of that name in images/; add it, or rename or remove the mask")
    groups = {key: key.split("/")[0] if "/" in key else key for key in images}
    lists = [split for split in ("train", "val", "test") if (root / f"{split}.txt").is_file()]
    listed = _listed(root, lists, images, problems)
    beside = {Path(path.name) for path in root.iterdir() if path.suffix.lower() in (".txt", ".csv")}
    inside = {Path("images", group) for key, group in groups.items() if group != key and not lists}
    if like := sorted(path for path in inside | beside if path.stem.lower() in {*LIKE_SPLITS} - {*lists}):
        rule = "splits are read from train.txt, val.txt and test.txt beside images/ only; list its images there, or rename it"
        problems.append(f"{like[0].as_posix()} looks like a split, but {rule}")
    test = set() if "test" in lists else _drawn(masks, groups, listed, float(test_share), test_by)
    unlisted = [key for key in images if key not in listed] if {"train", "test"} <= {*lists} else []
    if unlisted:
        problems.append(
            f"images in no list: {len(unlisted)} of {len(images)}, though there are train.txt and test.txt; "
            f"write for each a line into one of them: {', '.join(unlisted[:3])}{', ...' if len(unlisted) > 3 else ''}"
        )
    items = []
    for key, path in images.items():
        split = listed.get(key) or ("test" if key in test else "train")
        if key not in masks and split != "train":
            rule = f"{split} needs one; add masks/{key}.png or delete the line"
            problems.append(f"{split}.txt names {key}, but it has no mask, and {rule}")
        elif key not in masks and labeled and listed.get(key) != "train":
            remedy = f"add it, or write the line {key} into train.txt to keep it unlabeled"
            problems.append(f"images/{key} has no mask masks/{key}.png; {remedy}")
        items.append(Item(key, groups[key], split, path, masks.get(key)))
    if lists and masks and test_share and not (test or "test" in lists):
        stand = f"all {test_by}s with a mask stand in {' and '.join(f'{split}.txt' for split in lists)}"
        problems.append(f"there is no test split: {stand}; name some in test.txt{' (or rename val.txt)' * ('val' in lists)}")
    identity = {"void": void, "colors": [[*color, target] for color, target in (colors or {}).items()]}
    return found_source(name, names, root, items, problems, identity, void=void, colors=colors)


def read_classes(root: Path, given: list | dict | None = None) -> tuple[tuple[str, ...], dict[Color, int] | None, int]:
    """Class names, color -> class id or 255 (None where no class has a color), and the index that means void.

    given: the content of classes.yaml, in its place. ValueError where it is missing, torn, or contradicts itself.
    """
    file = root / "classes.yaml"
    where, content = "the option classes", given
    if given is None:
        if not file.is_file():
            raise ValueError(f"the classes are not named; write {file} with a list of names, or give the option classes")
        try:
            where, content = str(file), parse_yaml(read_bytes(file), file.name)
        except ConfigError as error:
            raise ValueError(f"{file} is not YAML ({error}); write a list of names") from error
    elif file.is_file():
        raise ValueError(f"the classes are named by the option classes and by {file}, but one must decide; drop one of them")
    void: object = IGNORE
    if isinstance(content, dict):
        void = content.get("void", IGNORE)
        others = {key: value for key, value in content.items() if key != "void"}
        content = others.pop("classes", others)
        if content is not others and others:
            raise ValueError(f"{where} holds {shown(next(iter(others)))} beside classes, but only void may stand there; remove it")
    rows = [{"name": key, "color": value} for key, value in content.items()] if isinstance(content, dict) else content
    if not isinstance(rows, list) or not 1 <= len(rows) <= IGNORE:
        rule = f"a list of 1 to {IGNORE} names (with colors if you like); write that"
        raise ValueError(f"{where} is {shown(rows)}, but must be {rule}")
    rows = [row if isinstance(row, dict) else {"name": row} for row in rows]
    for row in rows:
        if not {"name"} <= set(row) <= {"name", "color"} or not isinstance(row["name"], str) or not row["name"].strip():
            rule = "a class is a name (text, so quote numbers, yes and no) with a color or not; its place in the list is its id"
            raise ValueError(f"{where} has {shown(row)}, but {rule}")
    names = tuple(row["name"].strip() for row in rows)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{where} names {twice[0]!r} twice, but names must differ; rename one")
    if 0 < sum("color" in row for row in rows) < len(rows):
        raise ValueError(f"{where} gives colors to some classes only, but to all or none is the rule; add the missing ones")
    colors: dict[Color, int] = {}
    for i, color in enumerate(_color(row["color"], where) for row in rows if "color" in row):
        if colors.setdefault(color, i) != i:
            raise ValueError(f"{where} gives the color {list(color)} to {names[colors[color]]} and {names[i]}; change one")
    if type(void) is int:
        if void < len(names) or void > 65_535:
            remedy = "change it, or give colors, such as [0, 0, 0] to void and [1, 1, 1] to the first class"
            raise ValueError(f"{where} makes {shown(void)} void, but it must be above the classes' 0..{len(names) - 1}; {remedy}")
        return names, colors or None, void
    if not colors or (color := _color(void, where)) in colors:
        rule = "that must be an index, or a color where all classes have other ones"
        raise ValueError(f"{where} makes {shown(void)} void, but {rule}; change it")
    return names, colors | {color: IGNORE}, IGNORE


def _color(value: object, where: str) -> Color:
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in value):
        rule = "a color is a list of three numbers 0..255; write [r, g, b], or a list of names without colors"
        raise ValueError(f"{where} has {shown(value)} for a color, but {rule}")
    return tuple(value)


def _listed(root: Path, lists: list[str], images: dict[str, Path], problems: list[str]) -> dict[str, str]:
    """Image -> split, as the text files say."""
    by_file = {tidy(below(root / "images", path)): key for key, path in images.items()}
    listed: dict[str, str] = {}
    for split in lists:
        for line in read_list(root, f"{split}.txt", problems):
            name = line.replace("\\", "/")
            names = (name, name.removeprefix("images/"))  # images/ may hold a folder images/, whose names come first
            key = next((n if n in images else by_file[n] for n in names if n in images or n in by_file), None)
            if key is None:
                problems.append(f"{split}.txt names {line}, but there is no such file in images/; add it or delete the line")
            elif (other := listed.setdefault(key, split)) != split:
                problems.append(f"{split}.txt names {line}, but so does {other}.txt; no image may be in two splits, delete one")
    return listed


def _drawn(masks: dict, groups: dict[str, str], listed: dict[str, str], share: float, by: str) -> set[str]:
    """The images that are for testing, see `read`."""
    free = [key for key in groups if key in masks and key not in listed]
    taken = {groups[key] for key in listed}  # a group that a list has put elsewhere stays whole
    units: dict[str, list[str]] = {}
    for key in free:
        if by == "image" or groups[key] not in taken:
            units.setdefault(key if by == "image" else groups[key], []).append(key)
    wanted = round(share * len(free)) or int(share > 0)
    if wanted and free and len(units) < 2 and not taken:
        raise ValueError(
            f"test_share is {share}, but there is only one {by}, {next(iter(units))}, and train needs one, too; "
            "set test_share to 0, write a test.txt" + (", or use test_by 'image'" if by == "group" else ", or add images")
        )
    return drawn(units, wanted, len(groups))
