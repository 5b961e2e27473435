"""MONARCH, the surgical data of the OREAL paper: private. Its owners can run everything on the layout described here.

images/<patient or video>/<frame>.png     any format of `files.IMAGE_SUFFIXES`, any size
masks/<patient or video>/<frame>.png      class indices, or colors that classes.yaml explains
classes.yaml                              see `folder`
test.txt                                  the official test frames; without it whole patients are drawn
"""

from pathlib import Path

from ..source import Source
from .folder import read_as


def read(
    root: str | Path | None = None, *, classes: list | dict | None = None, test_share: float = 0.2, test_by: str = "group"
) -> Source:
    """MONARCH below `root` as a Source: all as in `folder.read`, but test frames are drawn by whole patient or video.

    FileNotFoundError, which says that the data are not public, where they are not there.
    """
    try:
        return read_as("monarch", "MONARCH", root, classes, test_share, test_by)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"MONARCH is private and not public, only its owners have it: {error}") from error
