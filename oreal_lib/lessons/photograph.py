"""Lessons 02 and 03: a real photograph, a few labeled rectangles, and a pretrained network's doubts about all other pixels."""

import io
from collections.abc import Mapping

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from skimage import data
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import interpolate

from ..data.features import Encoder, at_positions
from ..draw import draw_image, draw_selection, draw_uncertainty
from ..models import STRIDE
from ..types import IGNORE

Rectangles = Mapping[str, tuple[tuple[int, int, int, int], ...]]  # class -> (top, bottom, left, right) in pixels, each

COFFEE: Rectangles = {  # by hand, our choice; nobody labels the spoon, the handle and the shadow under the cup
    "table": ((20, 120, 480, 590), (290, 370, 15, 85), (5, 40, 160, 205)),
    "saucer": ((150, 220, 110, 160), (180, 260, 425, 455)),
    "cup": ((50, 90, 240, 330), (205, 240, 250, 330)),
    "coffee": ((135, 180, 240, 350),),
}


def coffee() -> tuple[np.ndarray, Rectangles]:
    """A photograph (400, 600, 3) uint8 that lies in the package scikit-image, CC0 by Rachel Michetti, and its labeled rectangles."""
    return data.coffee(), COFFEE


def probabilities(image: np.ndarray, rectangles: Rectangles) -> torch.Tensor:
    """(1, C, H, W) float32: of each pixel of an image (H, W, 3) uint8, by a logistic regression that learns the rectangles' classes.

    It sees the features of a pretrained encoder, one position every 8 pixels; between positions its logits are bilinear.
    ValueError for a class whose rectangles hold no position.
    """
    marked = np.full(image.shape[:2], IGNORE, np.uint8)
    for c, of_class in enumerate(rectangles.values()):
        for top, bottom, left, right in of_class:
            marked[top:bottom, left:right] = c
    seen = Encoder("linear_tf_efficientnet_lite0", "imagenet")(image).astype(np.float32)  # (h, w, 496)
    seen = (seen - seen.mean(axis=(0, 1))) / np.maximum(seen.std(axis=(0, 1)), 1e-6)
    target = at_positions(marked, seen, IGNORE)
    known = target != IGNORE
    if missing := [name for c, name in enumerate(rectangles) if not (target == c).any()]:
        raise ValueError(f"{missing[0]} has no rectangle of {STRIDE} x {STRIDE} pixels in the image; enlarge or add one")
    # a strong pull toward zero (our choice): a few rectangles part so easily that it would be sure everywhere
    head = LogisticRegression(C=0.01, max_iter=1000).fit(seen[known], target[known])
    # as good as logits: what sets them apart is the same for all classes of a position, and the softmax drops it
    logits = head.predict_log_proba(seen.reshape(-1, seen.shape[-1])).reshape(*seen.shape[:2], -1)
    large = interpolate(torch.from_numpy(logits).float().permute(2, 0, 1)[None], scale_factor=STRIDE, mode="bilinear")
    return large[..., : image.shape[0], : image.shape[1]].softmax(dim=1)


def draw_rectangles(image: np.ndarray, rectangles: Rectangles, ax: Axes, text: str = "") -> Axes:
    """An image (H, W, 3) with its labeled rectangles, each with its class."""
    draw_image(image, ax, text).images[-1].set_interpolation("antialiased")
    edge = [patheffects.withStroke(linewidth=1.5, foreground="black")]
    for name, of_class in rectangles.items():
        for top, bottom, left, right in of_class:
            box = Rectangle((left, top), right - left, bottom - top, fill=False, color="white", lw=1, path_effects=edge)
            ax.add_patch(box)
            middle = {"ha": "center", "va": "center", "path_effects": edge}
            ax.text((left + right) / 2, (top + bottom) / 2, name, color="white", fontsize="x-small", **middle)
    return ax


def draw_query(image: np.ndarray, ids: torch.Tensor, score: torch.Tensor, k: int, axes: np.ndarray, how: str) -> np.ndarray:
    """The scores (n,) of the superpixels ids (H, W) int64 of an image (H, W, 3), and the k highest of them, in (2,) Axes."""
    asked = torch.zeros(len(score), dtype=torch.bool)
    asked[score.topk(k).indices] = True
    low, high = float(score.min()), float(score.max())
    draw_uncertainty(score[ids].numpy(), axes[0], f"{how} of each superpixel\ndark {low:.2f}, light {high:.2f}")
    draw_selection(image, ids.numpy(), asked.numpy(), axes[1], f"the {k} highest by {how}", scale=1, gray=True)
    return axes


def jpeg(figure: Figure, quality: int) -> bytes:
    """The bytes of a JPEG file of a figure, which it closes; as PNG a photograph would fill a notebook. quality: 1 to 95, the best."""
    from matplotlib import pyplot  # only a notebook, which has it, comes here

    figure.savefig(file := io.BytesIO(), format="jpeg", bbox_inches="tight", pil_kwargs={"quality": quality, "optimize": True})
    pyplot.close(figure)
    return file.getvalue()
