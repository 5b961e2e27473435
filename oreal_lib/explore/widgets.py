"""What all explorers are made of: a box of controls and one picture, drawn by the library and sent as PNG.

So they look alike in JupyterLab, VS Code and Voila, and on a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO

import ipywidgets as widgets
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

EXPECTED = (ValueError, OSError, FloatingPointError, RuntimeError)  # what the library says in a sentence


class Explorer(widgets.VBox):
    """Controls above a picture and what it says in words.

    controls: name -> ipywidget; setting a value draws anew.  picture: the PNG.  text: the picture in words.  message: progress, or
    why nothing can be shown.  note: what is missing.
    """

    def __init__(self, controls: dict[str, widgets.Widget], rows: Sequence[Sequence[str]]) -> None:
        self.controls = controls
        self.picture = widgets.Image(
            format="png", layout={"max_width": "100%", "object_fit": "contain", "align_self": "flex-start"}
        )
        self.text, self.message, self.note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._quiet = False
        for control in controls.values():
            control.style.description_width = "initial"
            if not isinstance(control, widgets.Button):
                control.observe(self._changed, "value")
        boxes = [widgets.HBox([controls[name] for name in row], layout={"flex_flow": "row wrap"}) for row in rows]
        super().__init__([*boxes, self.message, self.picture, self.text, self.note])

    def _changed(self, change: dict) -> None:
        if not self._quiet:
            self.attempt(lambda: (self.follow(change["owner"]), self.draw()))

    def follow(self, owner: widgets.Widget) -> None:
        """Bring the other controls into line with the one that was moved."""

    def draw(self) -> None:
        """Draw what the controls say."""

    def attempt(self, action: Callable[[], None]) -> None:
        """Do it without answering controls meanwhile; what the library refuses is said in the widget."""
        before, self._quiet = self._quiet, True
        try:
            action()
        except EXPECTED as error:
            self.say(str(error), wrong=True)
        finally:
            self._quiet = before

    def say(self, text: str, wrong: bool = False) -> None:
        """Show a sentence above the picture; an empty one clears it."""
        style = "border-left:4px solid #cc3311;padding:2px 8px" if wrong else "padding:2px 8px"
        self.message.value = f'<div role="{"alert" if wrong else "status"}" style="{style}">{escape(text)}</div>' if text else ""

    def show(self, picture: bytes, text: str) -> None:
        """A PNG, and the same in words."""
        self.picture.value = picture
        self.text.value = f'<div style="line-height:1.4">{escape(text)}</div>'
        self.say("")


def png(figure: Figure) -> bytes:
    """A figure as PNG: drawn once (`savefig` draws twice) and packed lightly, for pictures that change while a slider moves."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _packed(canvas)


def _packed(canvas: FigureCanvasAgg) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


class Tiles:
    """Pictures in rows and columns of which single ones are drawn anew: a slider seldom changes all.

    axes: (rows, columns), each in the middle of its tile, with room for a title of two lines.
    """

    def __init__(self, rows: int, columns: int, size: tuple[float, float], dpi: int = 80) -> None:
        self.figure = Figure(figsize=size, dpi=dpi)
        room = 0.45 / size[1]  # inches for the title
        places = [(c / columns + 0.004, 1 - (r + 1) / rows + 0.006) for r in range(rows) for c in range(columns)]
        box = (1 / columns - 0.008, 1 / rows - room - 0.012)
        self.axes = np.array([self.figure.add_axes((*place, *box)) for place in places]).reshape(rows, columns)
        self._canvas = FigureCanvasAgg(self.figure)
        self._canvas.draw()

    def png(self, draw: Callable[[list[int]], object], which: list[int]) -> bytes:
        """The tiles `which` (numbered row by row) emptied, then drawn by `draw(which)`, with the others as they were, as PNG."""
        rows, columns = self.axes.shape
        pixels = np.asarray(self._canvas.buffer_rgba())
        height, width = pixels.shape[:2]
        for i in which:
            _wipe(self.axes.flat[i])
        with rc_context({"axes.titley": 1.0}):  # fixed: to look for room above each picture takes a tenth of the time
            draw(which)
        for i in which:
            (r, c), n = divmod(i, columns), (rows, columns)
            pixels[r * height // n[0] : (r + 1) * height // n[0], c * width // n[1] : (c + 1) * width // n[1]] = 255
            self.axes.flat[i].draw(self._canvas.get_renderer())
        return _packed(self._canvas)


def _wipe(ax: Axes) -> None:
    """Take away what is drawn in an axes of pictures; its place and limits stay, which saves time."""
    for artist in [*ax.images, *ax.texts, *filter(None, [ax.get_legend()])]:
        artist.remove()
    ax.set_xticks([])
    ax.set_yticks([])
