"""The explorers as widgets. `explorer.js` draws them and has their controls; what they can show is `data` of `view`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from ..config import WITHOUT_SCORES, RunConfig
from ..draw import hex_palette, title
from ..storage.progress import lines_to
from ..strategies import STRATEGIES
from .figures import sentences
from .question import LADDERS, Question, Run, ladder, open_run, question
from .view import ASKED, SCORE_NAMES, differing, packed, view

HERE = Path(__file__).parent
EXPECTED = (ValueError, OSError, FloatingPointError, RuntimeError)  # what the library says in a sentence
KEPT = 4  # steps whose scores are kept in memory


class Explorer(anywidget.AnyWidget):
    """What `view.debts` or `view.curves` gives, with controls. chosen: name of a control -> its value; those that are not in it are as
    at the start."""

    _esm = (HERE / "explorer.js").read_text(encoding="utf-8")
    _css = (HERE / "explorer.css").read_text(encoding="utf-8")
    data = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)  # by the kernel
    said = traitlets.Dict().tag(sync=True)  # text, wrong: progress, or why nothing can be shown

    def __init__(self, data: dict, **chosen: Any) -> None:
        super().__init__(data=data, chosen=chosen)


class RunExplorer(Explorer):
    """What two strategies A and B would ask of a run's network, image by image and step by step, beside what the run asked.

    run: its config, id or folder, finished or running, or a Run that is open.  device: see `question.question`.
    chosen: step, image, A and how_A, B and how_B, kind (of LADDERS), score, of_class.
    The attributes run and view hold what is shown; the view is that of `view.view`.
    """

    def __init__(
        self, run: Run | RunConfig | Path | str, runs_dir: Path | str | None = None, device: str | None = None, **chosen: Any
    ) -> None:
        super().__init__({**ASKED, "steps": []})
        self.run: Run | None = None
        self.view: dict | None = None
        self._where, self._device, self._wanted = (run, runs_dir), device, chosen
        self._questions: dict[tuple, Question] = {}
        self._quiet = False
        self.observe(lambda _: self._quiet or self._attempt(self._show), "chosen")
        self.on_msg(lambda _, content, buffers: self._attempt({"most": self._most_different, "again": self._look}[content["do"]]))
        self._attempt(self._look)

    def _look(self) -> None:
        """Offer the steps there are now; a running run has more each time."""
        if self.run is None:
            run, runs_dir = self._where
            with lines_to(self._say):
                self.run = run if isinstance(run, Run) else open_run(run, runs_dir)
        queries, there = self.run.folder.queries(), list(self.run.networks())
        classes = self.run.setting.dataset.classes
        about = {"images": len(self.run.setting.pool), "classes": classes, "colors": hex_palette(len(classes))}
        about |= {"strategies": [(name, title(name)) for name in STRATEGIES], "scores": list(SCORE_NAMES.items())}
        about |= {"by_lot": [*WITHOUT_SCORES], "ladders": {kind: ladder(self.run.config.aggregate, kind) for kind in LADDERS}}
        about["steps"] = [(t, f"{t}" if t in queries else f"{t} (the run did not ask)") for t in there]
        if not there:
            raise ValueError(
                "no step can be shown yet: step 1 is random, and its network is not trained or not kept; look again later"
            )
        for key in [k for k, q in self._questions.items() if q.asked is None]:
            del self._questions[key]  # it may have asked by now
        begin, chosen = self.view is None, {**self._start(about["ladders"]), **self._wanted, **self.chosen}
        if chosen.get("step") not in there:
            chosen["step"] = next((t for t in reversed(there) if t in queries), there[-1])
        self.chosen, self.data = chosen, {**ASKED, **about}
        self._most_different() if begin and "image" not in self._wanted else self._show()

    def _start(self, ladders: dict) -> dict:
        """The run's own strategy against one that shows what it does differently."""
        own = self.run.config
        lot = own.strategy in WITHOUT_SCORES
        kind = next((k for k in ladders if own.aggregate in ladders[k]), "top")
        how = own.aggregate if own.aggregate in ladders[kind] else "mean"
        other = {"B": "oreal", "how_B": "max"} if lot else {"B": own.strategy, "how_B": "max" if how == "mean" else "mean"}
        score = "ovr_entropy" if "oreal" in (own.strategy, other["B"]) else "bvsb"
        return {"image": 0, "A": own.strategy, "how_A": how, **other, "kind": kind, "score": score, "of_class": 0}

    def _most_different(self) -> None:
        """Go to the image in which A and B differ in most superpixels; where they are the same, ask most."""
        asked, (a, b) = self._question(), self._sides()
        ids = differing(asked, a, b)
        ids = ids if len(ids) else asked.listed[a].ids
        self.chosen = self.chosen | {"image": int(np.bincount(self.run.setting.superpixels.image[ids]).argmax())}
        self._show()

    def _sides(self) -> list[tuple[str, str]]:
        return [(self.chosen[side], self.chosen[f"how_{side}"]) for side in "AB"]

    def _question(self) -> Question:
        key = self.chosen["step"], ladder(self.run.config.aggregate, self.chosen["kind"])
        if key not in self._questions:
            with lines_to(self._say):
                found = question(self.run, *key, device=self._device)
            self._questions = dict([*self._questions.items(), (key, found)][-KEPT:])
        return self._questions[key]

    def _show(self) -> None:
        """Send what the controls say; the first time for a step takes seconds, then a fraction of one."""
        if self.run is None or not self.data["steps"]:
            return
        c = self.chosen
        self.view = view(self.run, self._question(), c["image"], *self._sides(), c["score"], c["of_class"])
        self.shown = packed(self.view) | {"text": f"{self.view['run_id']}. {sentences(self.view)}".replace("\n", " ")}
        self._say(self.run.missing())

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do it without answering controls meanwhile; what the library refuses is said in the widget."""
        before, self._quiet = self._quiet, True
        try:
            action()
        except EXPECTED as error:
            self.said = {"text": str(error), "wrong": True}
        finally:
            self._quiet = before

    def _say(self, text: str) -> None:
        self.said = {"text": text, "wrong": False}
