"""Pictures that may be of different sizes, indexed like one array."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ragged:
    """Pictures stored one by one, perhaps of different sizes, indexed like an array (n, h, w, ...): an integer gives one picture,
    an index array a Ragged. np.asarray stacks pictures of one size. parts: n arrays (h, w, ...)."""

    parts: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.parts)

    def __getitem__(self, index: int | np.ndarray) -> "np.ndarray | Ragged":
        if np.ndim(index):
            return Ragged(tuple(self.parts[i] for i in np.arange(len(self.parts))[index]))
        return self.parts[index]

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> np.ndarray:
        return np.stack(self.parts).astype(dtype or self.parts[0].dtype, copy=False)


Pictures = np.ndarray | Ragged  # (n, h, w, ...): of one size or of several


def some(pictures: Pictures, index: np.ndarray) -> Pictures:
    """The pictures (k, h, w, ...) at positions `index` (k,), of the same dtype. A memory map is not read: a Ragged of views."""
    if isinstance(pictures, np.memmap):
        return Ragged(tuple(pictures[i] for i in index))
    return pictures[index]


def blank(like: Pictures, dtype: type) -> Pictures:
    """Uninitialized pictures (n, h, w) of that dtype, of the sizes of `like` (n, h, w)."""
    if isinstance(like, Ragged):
        return Ragged(tuple(np.empty(part.shape, dtype) for part in like))
    return np.empty(like.shape, dtype)
