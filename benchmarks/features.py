"""Features of a frozen encoder against timm's bare forward pass, and asking against a look at the features."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage
import timm
import torch

from oreal_lib.aggregate import Regions
from oreal_lib.data.features import Encoder, Features
from oreal_lib.models.backbone import shipped_weights
from oreal_lib.models.weights import as_timm_features
from oreal_lib.predict import predict
from oreal_lib.storage.progress import lines_to
from oreal_lib.strategies import STRATEGIES
from oreal_lib.superpixels import SuperpixelRecipe, superpixels
from oreal_lib.types import Labels, Superpixels

from .bench import alike, bench

MODEL, NAME = "mlp_tf_efficientnet_lite0", "tf_efficientnet_lite0"
N_CLASSES = 11


def photographs(n: int, size: tuple[int, int]) -> np.ndarray:
    """(n, H, W, 3) uint8: pictures that ship with scikit-image, shifted, at one size."""
    sources = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()]
    return np.stack([np.roll(cv2.resize(sources[i % 4], size[::-1]), 37 * i, axis=1) for i in range(n)])


def bare(layout: torch.memory_format) -> torch.nn.Module:
    """The encoder as timm has it."""
    net = timm.create_model(NAME, features_only=True, out_indices=(-4, -3, -2, -1)).eval()
    net.load_state_dict(as_timm_features(shipped_weights(NAME), net))
    return net.to(memory_format=layout)


def passes(net: torch.nn.Module, layout: torch.memory_format, images: np.ndarray, half: bool) -> list[torch.Tensor]:
    """The last level of each image, one after another."""
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=layout)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        return [net(one[None])[-1].float() for one in x]


def kept(images: np.ndarray, half: bool, workers: int = 1) -> None:
    """Computes features and writes them, as a run does."""
    with tempfile.TemporaryDirectory() as folder, lines_to(lambda line: None):
        Features(images, len(images), Encoder(MODEL, "imagenet", half=half), Path(folder) / "kept").compute(workers)


def off(a: list[torch.Tensor], b: list[torch.Tensor]) -> str:
    """How far two results differ, in words."""
    a, b = torch.cat(a), torch.cat(b)
    return f"{100 * (a - b).abs().mean() / b.abs().mean():.1f} % apart"


def unlike(a: Any, b: Any) -> str:
    """Of two things that are not the same on purpose."""
    return ""


def encoding(images: np.ndarray, turns: int) -> Iterator[dict[str, Any]]:
    """What computing features adds to the network, and which way of running the network is fast."""
    last, first = torch.channels_last, torch.contiguous_format
    ours, contiguous = bare(last), bare(first)
    alone: Callable = partial(passes, ours, last, images)
    for half, name in ((False, "float32"), (True, "bfloat16")):
        rows = (f"features in {name}, checked and kept", f"timm's forward pass, {name}")
        yield bench(*rows, partial(kept, images, half), partial(alone, half), turns, unlike)
    yield bench(
        "features by two processes, with their start",
        "by one",
        partial(kept, images, False, 2),
        partial(kept, images, False),
        turns,
        unlike,
    )
    yield bench(
        "forward pass, channels last",
        "contiguous",
        partial(alone, False),
        partial(passes, contiguous, first, images, False),
        turns,
        off,
    )
    yield bench("forward pass, bfloat16", "float32", partial(alone, True), partial(alone, False), turns, off)


def asking(images: np.ndarray, count: int, turns: int) -> Iterator[dict[str, Any]]:
    """What a question adds to a look at the features; and what bfloat16 changes in it."""
    maps = np.stack([superpixels(image, SuperpixelRecipe(count=count)) for image in images])
    cut = Superpixels.from_maps(maps)
    labels, budget = Labels.none(len(cut), N_CLASSES), len(cut) // 20
    with tempfile.TemporaryDirectory() as folder, lines_to(lambda line: None):
        seen = {}
        for half in (False, True):
            features = Features(images, len(images), Encoder(MODEL, "imagenet", half=half), Path(folder) / str(half))
            features.compute(1)
            seen[half] = replace(features, **features.statistics())
        torch.manual_seed(0)
        model = seen[False].head(N_CLASSES, "linear", 0.1).to(memory_format=torch.channels_last)

        def look(half: bool = False) -> Iterator[torch.Tensor]:
            return predict(model, seen[half], 1)

        def ask(strategy: str, how: str, half: bool = False) -> np.ndarray:
            regions = Regions(partial(look, half), cut, N_CLASSES)
            return STRATEGIES[strategy](regions, labels, budget, how, np.random.default_rng(0)).ids

        for strategy, how in (("bvsb", "mean"), ("oreal", "max")):
            yield bench(
                f"asking, {strategy} {how}",
                "a look at the features",
                partial(ask, strategy, how),
                lambda: sum(1 for _ in look()),
                turns,
                unlike,
            )
        halves = partial(ask, "oreal", "max", True), partial(ask, "oreal", "max")
        yield bench("asking, oreal max, features in bfloat16", "in float32", *halves, turns, alike)


def rows(tiny: bool) -> Iterator[dict[str, Any]]:
    """Pictures of CamVid's size and number of superpixels."""
    images = photographs(2, (64, 96)) if tiny else photographs(32, (360, 480))
    yield from encoding(images, 1 if tiny else 5)
    yield from asking(images, 24 if tiny else 400, 1 if tiny else 5)
