"""Labels in COCO's format: for each picture and class one region, as run lengths that go down the columns."""

import json
from collections.abc import Iterator

import numpy as np

from ...types import IGNORE


def regions(labels: np.ndarray) -> Iterator[dict]:
    """One annotation for each class in labels (h, w) uint8, without ids: category_id, area, bbox [x, y, w, h], segmentation, iscrowd.

    category_id: the class in the mask plus 1, because for many readers of COCO (datumaro, CVAT) 0 means "no class".
    segmentation: uncompressed RLE {"size": [h, w], "counts": [...]}, first the pixels outside. Void is not a class.
    """
    height, width = labels.shape
    line = labels.ravel(order="F")
    starts = np.concatenate([[0], 1 + np.flatnonzero(line[1:] != line[:-1])])
    values = line[starts]
    for c in np.unique(values):
        if c == IGNORE:
            continue
        turns = starts[np.flatnonzero(np.diff(values == c, prepend=False))]  # where the class begins, ends, begins ...
        counts = np.diff(turns, prepend=0, append=line.size)
        rows, columns = (np.flatnonzero((labels == c).any(axis=axis)) for axis in (1, 0))
        box = (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        about = {"category_id": int(c) + 1, "iscrowd": 1, "area": int(counts[1::2].sum()), "bbox": [int(v) for v in box]}
        yield about | {"segmentation": {"size": [height, width], "counts": counts.tolist()}}


class Coco:
    """Collects pictures one by one. Categories, images and annotations count from 1; class_id of a category is its class in the masks."""

    def __init__(self, classes: tuple[str, ...], palette: np.ndarray) -> None:
        """palette: (C, 3) uint8 RGB."""
        colors = palette.tolist()
        self.categories = [
            {"id": c + 1, "class_id": c, "name": name, "supercategory": "", "color": colors[c]} for c, name in enumerate(classes)
        ]
        self._images: list[str] = []  # as text: the numbers of many large pictures would fill the memory as Python objects
        self._annotations: list[str] = []

    def add(self, file_name: str, labels: np.ndarray) -> None:
        """A picture with its labels (h, w) uint8, at full size."""
        height, width = labels.shape
        number = len(self._images) + 1
        self._images.append(_text({"id": number, "file_name": file_name, "height": height, "width": width}))
        for region in regions(labels):
            self._annotations.append(_text({"id": len(self._annotations) + 1, "image_id": number} | region))

    def file(self) -> bytes:
        """The content of a COCO file."""
        parts = (",\n".join(self._images), ",\n".join(self._annotations), _text(self.categories))
        return '{{"images": [\n{}\n],\n"annotations": [\n{}\n],\n"categories": {}}}\n'.format(*parts).encode()


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))  # ASCII only: pycocotools reads in the encoding of the system
