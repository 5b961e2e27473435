"""Surgical scenes drawn on the spot: no download, the truth of every pixel known, two degrees of difficulty.

`large_tools` is the default. `small_tools` is the negative case: there superpixels are coarse next to the tools, the
dominant label of a superpixel is often wrong at borders, and gains that depend on borders disappear.
"""

from functools import partial

import numpy as np
from scipy import ndimage

from ..folders import one_of
from ..source import Item, Source
from .toy_scene import BLOOD, CLASSES, ORGAN, clip, fractal, frame, mix, relief, sigmoid, suction, thread, tool, vessels

GENERATOR_VERSION = 1  # raise it with any change that moves a pixel

# Pink mesentery, muscle, fat, pale peritoneum, dark serosa; then liver, kidney, bowel, spleen, gall bladder.
TISSUE_RGB = np.float32([(199, 102, 92), (178, 74, 66), (214, 156, 102), (214, 138, 122), (179, 79, 84)]) / 255
ORGAN_RGB = np.float32([(102, 36, 31), (122, 61, 43), (153, 107, 97), (92, 33, 48), (140, 120, 61)]) / 255


# zoom: size of everything on the tissue; smallest and largest sd of the camera's luma noise
SCENES = {"large_tools": (1.5, (0.008, 0.022)), "small_tools": (1.0, (0.015, 0.040))}


def draw_scene(
    rng: np.random.Generator, height: int = 96, width: int = 128, scene: str = "large_tools"
) -> tuple[np.ndarray, np.ndarray]:
    """One picture and its truth: image (height, width, 3) uint8 RGB, truth (height, width) uint8, ids of CLASSES.

    Painted at twice the size; the image is averaged down, the truth is every second pixel, so thin things stay whole.
    scene: a name in SCENES.  height and width: at least 32.
    """
    zoom, noise = SCENES[scene]
    shape, k = (2 * height, 2 * width), height / 128
    z = k * zoom
    color, organ = _background(rng, shape, k)
    truth = np.where(organ, ORGAN, 0).astype(np.uint8)
    below = [clip] * (int(rng.random() < 0.35) + int(rng.random() < 0.12)) + [thread] * int(rng.random() < 0.45)
    above = [tool] * int(rng.choice(3, p=(0.08, 0.60, 0.32))) + [suction] * int(rng.random() < 0.33)
    mirrored = ndimage.gaussian_filter(color, (8 * k, 8 * k, 0), truncate=2.5)
    turn = rng.uniform(0, 2 * np.pi)
    fall = rng.uniform(3, 8) * k * np.array((np.sin(turn), np.cos(turn)))  # where shadows fall, (dy, dx)
    for draw in below + [above[i] for i in rng.permutation(len(above))]:
        color, truth = _lay(rng, color, truth, draw(rng, shape, k, z), mirrored, fall, k, z, bloody=draw in above)
    color = _camera(rng, color, k)
    image = color.reshape(height, 2, width, 2, 3).mean((1, 3))
    grain = rng.normal(0, rng.uniform(*noise), (height, width, 1)) + rng.normal(0, 0.008, (height, width, 3))
    return np.round(255 * np.clip(image + grain, 0, 1)).astype(np.uint8), truth[::2, ::2].copy()


def _background(rng, shape, k):
    """Wet tissue and, in three of five scenes, an organ with a soft edge: color (h, w, 3), organ (h, w) bool."""
    h, _ = shape
    pick = rng.choice(len(TISSUE_RGB), 2, replace=False)
    first, second = TISSUE_RGB[pick] * rng.uniform(0.85, 1.1, (2, 1)).astype(np.float32)
    blend = sigmoid(1.6 * fractal(rng, shape, 3.4))
    color = mix(first, second, blend) * (1 + 0.05 * fractal(rng, shape, 2.6, 4))[..., None]
    height = fractal(rng, shape, 5.0, 1.2)

    red, blue = np.float32((0.30, 0.68, 0.62)), np.float32((0.62, 0.62, 0.30))
    net = vessels(rng, shape, k, rng.integers(2, 6), rng.uniform(1.8, 3.6) * k)
    color = color * (1 - rng.uniform(0.5, 0.95) * net[..., None] * (blue if rng.random() < 0.3 else red))
    fine = vessels(rng, shape, k, rng.integers(4, 9), 1.2 * k)
    color = color * (1 - rng.uniform(0.3, 0.6) * fine[..., None] * red)

    organ = np.zeros(shape, bool)
    if rng.random() < 0.6:
        along, _ = frame(shape, (shape[1] / 2, h / 2), rng.uniform(0, 2 * np.pi))
        edge = 1.3 * along / (h / 2) + 0.38 * fractal(rng, shape, 4.6) - rng.uniform(0.25, 0.75)
        organ, over = edge > 0, sigmoid(edge * rng.uniform(10, 30))
        own = ORGAN_RGB[rng.integers(len(ORGAN_RGB))] * rng.uniform(0.9, 1.1)
        own = mix(own, color, np.full(shape, rng.uniform(0, 0.25), np.float32))
        own = own * (1 + 0.06 * fractal(rng, shape, 2.4, 3) + 0.05 * fractal(rng, shape, 1.2, 20))[..., None]
        contact = np.exp(-(((edge + 0.05) / 0.07) ** 2)) * rng.uniform(0.15, 0.5) * (1 - over)
        color = mix(color * (1 - contact)[..., None], own, over)
        # The rim of the organ curves down towards the tissue under it.
        height = height + over * rng.uniform(0.4, 1.0) * (1 - np.exp(-np.clip(edge, 0, None) / 0.18))

    if rng.random() < 0.45:  # blood that has run over the surface; darker where it is deep
        pool = fractal(rng, shape, 4.2, 1) - rng.uniform(1.2, 1.9)
        color = mix(color, BLOOD * (1.5 - 0.5 * np.clip(pool, 0, 1))[..., None], 0.8 * sigmoid(9 * pool))
    return relief(rng, color, height, k), organ


def _lay(rng, color, truth, part, mirrored, fall, k, z, bloody):
    """Color and truth with a part on top: its shadow, what it mirrors of the tissue, the blood on it."""
    on = part.label > 0
    paint = part.color * (0.80 + 0.45 * mirrored.mean(-1, keepdims=True)) + 0.10 * mirrored
    if bloody:
        y, x = np.ogrid[: on.shape[0], : on.shape[1]]
        near = np.exp(-np.hypot(x - part.tip[0], y - part.tip[1]) / (70 * z))
        stain = 5 * (fractal(rng, on.shape, 2.8) + 1.3 * near - rng.uniform(1.8, 2.7))
        paint = mix(paint, BLOOD, 0.7 * sigmoid(stain))
    reach = int(9 * k) + 1
    dark = np.pad(on.astype(np.float32), reach, mode="edge")  # a tube that leaves the picture keeps its shadow
    dy, dx = np.round(reach - fall).astype(int)
    dark = ndimage.gaussian_filter(dark[dy : dy + on.shape[0], dx : dx + on.shape[1]], 5 * k, truncate=2.5)
    edge = ndimage.gaussian_filter(on.astype(np.float32), rng.uniform(0.8, 1.9) * k)
    return mix(color * (1 - 0.6 * dark * (1 - on))[..., None], paint, edge), np.where(on, part.label, truth)


def _camera(rng, color, k):
    """The scene (h, w, 3) through an endoscope: fall-off, smoke, white balance, focus, gamma."""
    h, w = color.shape[:2]
    y, x = np.ogrid[:h, :w]
    cy, cx = (0.5 + rng.uniform(-0.12, 0.12, 2)) * (h, w)
    r = np.hypot((y - cy) / (h / 2), (x - cx) / (w / 2)).astype(np.float32) / np.sqrt(2)
    color = color * (1.18 - rng.uniform(0.45, 0.85) * r * r)[..., None]
    if rng.random() < 0.25:
        haze = rng.uniform(0.08, 0.3) * sigmoid(1.5 * fractal(rng, (h, w), 3.6))
        color = mix(color, np.float32((0.72, 0.70, 0.70)), haze)
    color = color * rng.normal(1, 0.03, 3).astype(np.float32)
    blur = rng.uniform(0.5, 1.3) * k
    return np.clip(ndimage.gaussian_filter(color, (blur, blur, 0)), 0, None) ** rng.uniform(0.85, 1.1)


def read(
    root: object = None,
    *,
    scene: str = "large_tools",
    generator_seed: int = 41,
    train: int = 200,
    test: int = 100,
    height: int = 96,
    width: int = 128,
) -> Source:
    """The toy data as a Source: `train` images, then `test` ones; image i is from default_rng([generator_seed, i]).

    So image 3 is the same whether 5 or 500 are asked for. `root` is there because every reader has one; it is not read.
    ValueError with the value, the rule and the remedy for a bad option.
    """
    options = {"generator_seed": generator_seed, "train": train, "test": test, "height": height, "width": width}
    for name, value in options.items():
        least = 32 if name in ("height", "width") else 0
        if type(value) is not int or value < least:
            raise ValueError(f"{name} is {value!r}, but it must be a whole number >= {least}; change it")
    one_of("scene", scene, tuple(SCENES))
    if train + test == 0:
        raise ValueError("train and test are both 0, but a data set needs an image; ask for at least one")
    names = [f"scene_{i:05d}" for i in range(train + test)]
    items = tuple(Item(name, name, "train" if i < train else "test") for i, name in enumerate(names))
    identity = {"recipe": "toy", "generator_version": GENERATOR_VERSION, "scene": scene, **options}
    return Source("toy", CLASSES, items, partial(_open, generator_seed, height, width, scene), identity)


def _open(seed: int, height: int, width: int, scene: str, item: Item) -> tuple[np.ndarray, np.ndarray]:
    index = int(item.name.rpartition("_")[2])
    return draw_scene(np.random.default_rng([seed, index]), height, width, scene)
