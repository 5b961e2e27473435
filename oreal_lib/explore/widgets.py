"""What all explorers are made of: a box of controls and one picture, drawn by the library and sent as PNG.

So they look alike in JupyterLab, VS Code and Voila, and on a page.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import BytesIO
from types import MappingProxyType

import ipywidgets as widgets
import numpy as np
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


def dropdown(description: str, names: Mapping = MappingProxyType({}), width: str = "300px") -> widgets.Dropdown:
    """A menu of the keys of `names`, which reads their values."""
    return widgets.Dropdown(description=description, options=[(said, key) for key, said in names.items()], layout={"width": width})


def png(figure: Figure) -> bytes:
    """A figure as PNG: drawn once (`savefig` draws twice) and packed lightly, for pictures that change while a slider moves."""
    canvas, buffer = FigureCanvasAgg(figure), BytesIO()
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, "png", compress_level=1)
    return buffer.getvalue()
