"""Pictures of what mean and max asked (OREAL Figures 1, 2 and 5). `draw_*(view, axes) -> axes`, of views made by `views`."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle
from skimage.segmentation import find_boundaries

from ..draw import color_mask, draw_image, draw_selection, draw_uncertainty, title

DOT = "#00c8ff"  # not the yellow of the asked


def draw_mean_vs_max(view: dict, axes: np.ndarray) -> np.ndarray:
    """The idea of OREAL's Figure 2 in (2, 2) Axes, returned: selections by mean and by max, beneath them uncertainty and truth.

    view: an item of `views.selections` of two runs.
    """
    draw_selection(view["image"], view["ids"], view["asked"][0], axes[0, 0], f"{view['titles'][0]}: {view['asked'][0].sum()} asked")
    draw_selection(view["image"], view["ids"], view["asked"][1], axes[0, 1], f"{view['titles'][1]}: {view['asked'][1].sum()} asked")
    draw_uncertainty(view["uncertainty"], axes[1, 0], "pixel uncertainty (BvSB)")
    draw_image(color_mask(view["truth"], len(view["classes"])), axes[1, 1], "truth")
    return axes


def draw_selections(view: dict, axes: np.ndarray) -> np.ndarray:
    """What each strategy asked in one image, by mean above and by max beneath (OREAL Figure 5), in (2, 2 + strategies) axes; the
    first two columns are image, truth and pixel uncertainty.

    view: an item of `views.selections`; its columns name a strategy and mean or max.
    """
    draw_image(view["image"], axes[0, 0], "image")
    draw_image(color_mask(view["truth"], len(view["classes"])), axes[1, 0], "truth")
    draw_uncertainty(view["uncertainty"], axes[0, 1], "pixel uncertainty\n(BvSB)")
    draw_uncertainty(view["one_vs_rest"], axes[1, 1], "one-vs-rest entropy\n(mean over classes)")
    for j, strategy in enumerate(dict.fromkeys(c.split()[0] for c in view["columns"]), start=2):
        for how, ax in zip(("mean", "max"), axes[:, j], strict=True):
            if f"{strategy} {how}" not in view["columns"]:
                ax.set_axis_off()  # not a run of the grid
                continue
            k = view["columns"].index(f"{strategy} {how}")
            text = f"{title(strategy)} {how}: {view['asked'][k].sum()} asked\n{100 * view['border_share'][k]:.0f} % of query on borders"
            draw_selection(view["image"], view["ids"], view["asked"][k], ax, text, scale=3, gray=True)
    return axes


def draw_context(view: dict, axes: np.ndarray) -> np.ndarray:
    """Why max asks around an object and mean does not (OREAL Figures 1 and 2), in Axes (5,): the image and where the others
    look, truth, uncertainty within superpixels, mean's and max's query. Dots: the pixels for which max asked background.

    view: of `views.context`.
    """
    window, ids, dots = view["window"], view["ids"][view["window"]], view["dots"]
    image, unsure = view["image"][window], view["uncertainty"]
    context = np.isin(view["ids"], view["ids"][tuple(dots.T)])
    draw_image(view["image"], axes[0], "image, and what is enlarged")
    corner = [part.start - 0.5 for part in window[::-1]]
    axes[0].add_patch(Rectangle(corner, *ids.shape[::-1], fill=False, color="red", lw=2))
    draw_image(color_mask(view["truth"][window], len(view["classes"])), axes[1], "truth")
    text = f"uncertainty (BvSB): {unsure[tuple(dots.T)].mean():.2f} at the dots,\n{unsure[context].mean():.2f} on average over their superpixels"
    scale = -(-400 // max(ids.shape))
    borders = find_boundaries(ids.repeat(scale, axis=0).repeat(scale, axis=1), mode="thick")
    draw_uncertainty(np.where(borders, np.nan, unsure[window].repeat(scale, axis=0).repeat(scale, axis=1)), axes[2], text)
    axes[2].set_facecolor("white")
    for k, ax in enumerate(axes[3:]):
        count = (view["asked"][k] & view["context"]).sum()
        text = f"{view['titles'][k]}: asked {count} superpixel{'s' if count != 1 else ''}\nof background at the object's border"
        draw_selection(image, ids, view["asked"][k], ax, text, scale=scale)
    inside = [(y, x) for y, x in dots - [part.start for part in window] if 0 <= y < ids.shape[0] and 0 <= x < ids.shape[1]]
    for ax in (axes[2], axes[4]):
        for y, x in inside:
            ax.plot(scale * (x + 0.5) - 0.5, scale * (y + 0.5) - 0.5, "o", ms=6, color=DOT, mec="black")
    return axes
