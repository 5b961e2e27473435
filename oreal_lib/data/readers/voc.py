"""Pascal VOC 2012 segmentation: 1464 training and 1449 validation photos, 21 classes with the background.

`VOCdevkit/VOC2012` with JPEGImages/, SegmentationClass/ (palette PNGs, 255 = border or difficult), ImageSets/Segmentation/.
The official validation list is the test split, as in the paper's protocol; validation is drawn from train for each run.
"""

import tarfile
from pathlib import Path, PureWindowsPath

from ..folders import find_root, found_source, having, listing, one_of, read_list
from ..source import Item, Source

CLASSES = tuple(
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor".split()
)
LISTS = "ImageSets/Segmentation"
PLACES = ("", "VOC2012", "VOCdevkit/VOC2012", "VOCtrainval_11-May-2012/VOCdevkit/VOC2012", "VOC2012_train_val")
PLACES += tuple(f"voc/{place}".rstrip("/") for place in PLACES)
AUG_MASKS = "SegmentationClassAug"
AUG_LISTS = (  # where published code puts the list of the augmented training set, the most usual place first
    f"{LISTS}/trainaug.txt",
    f"{LISTS}/train_aug.txt",
    "ImageSets/SegmentationAug/train_aug.txt",
    "trainaug.txt",
    "train_aug.txt",
    "list/train_aug.txt",
)


def read(root: str | Path | None = None, *, train: str = "train") -> Source:
    """VOC 2012 below `root` as a Source: train.txt is the split train, val.txt the split test; nothing is opened yet.

    root: VOC2012, VOCdevkit or their parent; None looks at the environment variable OREAL_DATA. train: "train", or
    "trainaug" for the first of AUG_LISTS that is there, with the masks of SegmentationClassAug/ (of SegmentationClass/ for
    names that have none there). group: the image itself. Photos and masks in no list are passed over: the official tree
    has many.
    """
    one_of("train", train, ("train", "trainaug"))
    looked_for = f"JPEGImages/, SegmentationClass/ and {LISTS}/"
    root = find_root(root, "Pascal VOC 2012", PLACES, having("JPEGImages", "SegmentationClass", LISTS), looked_for)
    problems: list[str] = []
    images = listing(root, "JPEGImages", problems)
    official = listing(root, "SegmentationClass", problems)
    masks = {"test": official, "train": official}
    train_list = f"{LISTS}/train.txt"
    if train == "trainaug":
        train_list = _aug_list(root, problems)
        if (root / AUG_MASKS).is_dir():
            masks["train"] = official | listing(root, AUG_MASKS, problems)
        else:
            problems.append(_not_official(f"{AUG_MASKS}/"))
    items: dict[str, Item] = {}
    for file, split in ((train_list, "train"), (f"{LISTS}/val.txt", "test")):
        if not (root / file).is_file():
            missing = f"{file} is missing; copy it from the data set's archive"
            problems.append(_not_official(file) if file in AUG_LISTS else missing)
            continue
        for name in map(_name, read_list(root, file, problems)):
            mask = masks[split].get(name)
            if name in items:
                where = f"in {file} and in {train_list}" if items[name].split != split else f"twice in {file}"
                problems.append(f"{name} stands {where}, but no image may be in two splits or twice in one; delete one line")
            elif name not in images:
                problems.append(f"{file} names {name}, but there is no JPEGImages/{name}.jpg; add it or delete the line")
            else:
                items[name] = Item(name, name, split, images[name], mask)
                if mask is None:
                    problems.append(f"JPEGImages/{images[name].name} has no mask SegmentationClass/{name}.png; add it or unlist it")
    return found_source("voc", CLASSES, root, items.values(), problems, {"train": train})


def download(root: str | Path) -> Path:
    """The folder `root` for `read`, after fetching VOC 2012 (2 GB) with torchvision, which checks it, and unpacking it there.

    ConnectionError where it cannot be fetched, OSError where it cannot be written, ValueError for a damaged archive or one
    that would write outside of root.
    """
    from urllib.error import URLError

    from torchvision.datasets.utils import download_url
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    root, about = Path(root).expanduser(), DATASET_YEAR_DICT["2012"]
    archive = root / about["filename"]
    by_hand = f"or unpack VOCtrainval_11-May-2012.tar from the PASCAL VOC page into {root} by hand"
    try:
        download_url(about["url"], str(root), about["filename"], about["md5"])
        with tarfile.open(archive) as opened:
            opened.extractall(root, filter="data")
    except (tarfile.TarError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{archive} is damaged or unsafe ({reason}); delete it and download it again, {by_hand}") from error
    except (URLError, ConnectionError, TimeoutError, RuntimeError) as error:
        raise ConnectionError(f"VOC 2012 could not be downloaded ({error}); try again with a network, {by_hand}") from error
    except OSError as error:
        raise OSError(f"VOC 2012 could not be written to {root} ({error}); free 5 GB there or choose another folder") from error
    return root


def _aug_list(root: Path, problems: list[str]) -> str:
    """Which list names the augmented training images. Several that do not agree are a problem."""
    found = [file for file in AUG_LISTS if (root / file).is_file()] or [AUG_LISTS[0]]
    for other in found[1:]:
        if {*map(_name, read_list(root, other, []))} != {*map(_name, read_list(root, found[0], []))}:
            problems.append(f"{other} and {found[0]} name different images, but one list counts; keep one of them")
    return found[0]


def _not_official(what: str) -> str:
    return (
        f"{what} is missing, and is not part of the official archive (it comes from SBD, see docs/data_cards.md); "
        "put it there by hand, or use train: train"
    )


def _name(line: str) -> str:
    """The name in the first column of a line; some lists write /JPEGImages/<name>.jpg /SegmentationClassAug/<name>.png."""
    return PureWindowsPath(line.split()[0]).stem  # both kinds of slashes
