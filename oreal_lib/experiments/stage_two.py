"""Stage two (MulActSeg): from the classes named in superpixels, the network of stage one makes labels of pixels, from which a new
network learns."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import loop
from ..config import RunConfig
from ..predict import device_of, to_input
from ..setting import Setting
from ..storage.checkpoint import Checkpoint
from ..storage.progress import told
from ..storage.ragged import Pictures, Ragged
from ..types import IGNORE, Labels, Query, StepResult
from ..weak.pseudo import pooled, pseudo_labels, quality
from .run_folder import RunFolder


def check_networks(first: RunFolder) -> None:
    """FileNotFoundError if stage one has not kept the network of each step that it finished."""
    for step in range(1, len(first.steps()) + 1):
        if not (file := first.path / f"weights_step{step}.safetensors").exists():
            raise FileNotFoundError(
                f"stage two needs the network of every step of stage one, but {file} is not there (keep_weights: last?); move the "
                f"folder {first.path.name} away and start again: stage one is then trained anew and keeps them"
            )


class StageTwo:
    """A step of stage two, in the two halves of `loop`: it asks what stage one asked, and learns from the pseudo labels that stage
    one's network makes of the answers."""

    def __init__(self, folder: RunFolder, first: RunFolder, queries: Mapping[int, Query]) -> None:
        """folder, first: of the runs of stage two and one.  queries: those of stage two so far.

        ValueError where stage one, computed again, has asked something else.
        """
        self.folder, self.first, self.queries = folder, first, first.queries(finished=max(queries, default=0))
        if changed := [t for t, query in queries.items() if not np.array_equal(query.ids, self.queries[t].ids)]:
            raise ValueError(
                f"{first.path} asked something else in step {changed[0]} when this stage two was begun; it was computed again since "
                "then: move the folder of stage two away and start it again"
            )

    def ask(self, config: RunConfig, setting: Setting, model: nn.Module, labels: Labels, step: int) -> Query:
        """What stage one asked in `step`."""
        return self.queries[step]

    def learn(
        self, config: RunConfig, setting: Setting, model: nn.Module, labels: Labels, step: int, keep: Checkpoint | None = None
    ) -> StepResult:
        """As `loop.learn`, from pseudo labels; the record says how right these are (shares 0..1 of `quality_of`)."""
        began, maps = time.monotonic(), self.folder.pseudo(step)
        if maps is None:
            before = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(self.first.weights(step))
            made = pseudo_labels_of(model, setting, labels, config)
            maps = Ragged(tuple(told(made, "pseudo labels: {done} of {total} images", len(setting.pool))))
            model.load_state_dict(before)
            self.folder.save_pseudo(step, maps)
        found = quality_of(maps, setting, labels)
        seconds = {"pseudo": time.monotonic() - began}
        own = config.model_copy(update={"learning_rate": config.stage_two_learning_rate or config.learning_rate})
        train = setting.painted(maps)
        result = loop.learn(own, setting, model, labels, step, train, keep)
        return replace(result, pseudo=found, seconds=result.seconds | seconds)


@torch.no_grad()
def look(model: nn.Module, image: np.ndarray, config: RunConfig) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
    """Features, logits and the size that the features cover, as `pseudo.pseudo_labels` wants them, of one image (H, W, 3).

    The features are (D, h, w), the logits (C', H, W), both float32.
    Averages over `pseudo_scales` and mirror images where the config has several (MulActSeg on VOC); the features then cover
    the image at its own size. Cosine logits lose their temperature (as there: prototypes are chosen at temperature 1).
    """
    model.eval()
    x = to_input(image[None], device_of(model))
    temperature = config.temperature if config.classifier == "cosine" else 1.0
    if config.pseudo_scales == [1.0] and not config.pseudo_flip:
        features, logits, covered = model.features_and_logits(x)
        return features[0], logits[0] * temperature, covered
    views = list(itertools.product(config.pseudo_scales, (False, True) if config.pseudo_flip else (False,)))
    total = [0, 0]
    for scale, flip in views:
        size = [max(1, round(side * scale)) for side in x.shape[-2:]]
        view = F.interpolate(x.flip(-1) if flip else x, size, mode="bilinear", align_corners=False)
        features, logits, covered = model.features_and_logits(view)
        features = F.interpolate(features, covered, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
        for i, part in enumerate((features, logits)):
            part = F.interpolate(part, x.shape[-2:], mode="bilinear", align_corners=False)[0]
            total[i] = total[i] + (part.flip(-1) if flip else part) / len(views)
    return F.normalize(total[0], dim=0), total[1] * temperature, tuple(x.shape[-2:])


def pseudo_labels_of(model: nn.Module, setting: Setting, labels: Labels, config: RunConfig) -> Iterator[np.ndarray]:
    """(H, W) uint8 pseudo labels of each image of the pool, in order, by the model that learned from these labels; IGNORE
    everywhere in an image without answers."""
    for i, ids in enumerate(setting.superpixels.maps):
        present = _of_image(setting, labels.present, i)
        if present.any():
            features, logits, covered = look(model, setting.inputs[setting.pool[i]], config)
            yield pseudo_labels(features, logits, ids, present, _of_image(setting, labels.asked_in, i) > 0, covered)
        else:
            yield np.full(ids.shape, IGNORE, np.uint8)


def quality_of(pseudo: Pictures, setting: Setting, labels: Labels) -> dict[str, float | None]:
    """`pseudo.quality` of the pool's pseudo labels (n_images, H, W) as a whole, at working size: shares 0..1 and counts of pixels.

    None where it is undefined.
    """
    images = []
    for i, ids in enumerate(told(setting.superpixels.maps, "comparing the pseudo labels: {done} of {total} images")):
        named = _of_image(setting, labels.present, i).sum(axis=1)
        images.append(quality(np.asarray(pseudo[i]), np.asarray(setting.dataset.truth[setting.pool[i]]), ids, named))
    return {name: None if np.isnan(value) else value for name, value in pooled(images).items()}


def _of_image(setting: Setting, values: np.ndarray, i: int) -> np.ndarray:
    """The rows of values (N, ...) that are of the superpixels of image i."""
    return values[setting.superpixels.offset[i] : setting.superpixels.offset[i + 1]]
