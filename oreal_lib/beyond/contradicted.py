"""Labels that a first training contradicts: where a superpixel holds two classes, its one label is wrong for the pixels of the other."""

from collections.abc import Iterable

import numpy as np
import torch

from ..storage.ragged import Pictures
from ..types import IGNORE


def believed(seen: Iterable[torch.Tensor], target: Pictures, share: float) -> list[np.ndarray]:
    """The targets (n, H, W) uint8, IGNORE where a label's probability is below `share` of that of the first choice (ours, see
    docs/plan.md, H6).

    seen: n probabilities (C, H, W).
    """
    kept = []
    for p, labels in zip(seen, target, strict=True):
        label = torch.from_numpy(np.array(labels)).long().to(p.device)
        own = p.gather(0, label.where(label != IGNORE, 0)[None])[0]
        kept.append(label.where(own >= share * p.amax(dim=0), IGNORE).to(torch.uint8).cpu().numpy())
    return kept
