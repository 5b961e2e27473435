"""Widgets bound to the pictures of `figures`, which draw on a page whatever is shown here.

Each has `controls`, by name, for mouse, keyboard and code; a picture; and the same in words. Where something cannot be shown it
says the library's own sentence.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..balance import class_debt
from ..config import WITHOUT_SCORES, RunConfig
from ..draw import title
from ..reports.frames import active
from ..reports.mechanism import SCORES
from ..reports.table import with_sd
from ..storage.progress import lines_to
from ..strategies import STRATEGIES
from .figures import ABSCISSAS, BASES, class_names, draw_class_debt, draw_curve_explorer, draw_selection_browser, sentences
from .question import LADDERS, Question, Run, ladder, open_run, question
from .view import differing, score_name, view
from .widgets import Explorer, dropdown, png

KINDS = {"top": "mean of the most unsure share", "power": "power mean", "quantile": "quantile"}
ROOM = {"left": 0.004, "right": 0.996, "bottom": 0.006, "top": 0.93, "wspace": 0.03, "hspace": 0.17}  # computing it takes time
KEPT = 4  # steps whose scores are kept in memory


class SelectionBrowser(Explorer):
    """What two strategies would ask of a run's network, image by image and step by step, beside what the run asked.

    run: its config, id or folder, finished or running, or a Run that is open.  device: see `question.question`.
    The attributes run and view hold what is shown; the view is that of `view.view`.
    """

    def __init__(self, run: Run | RunConfig | Path | str, runs_dir: Path | str | None = None, device: str | None = None) -> None:
        strategies, wide = {name: title(name) for name in STRATEGIES}, "430px"
        controls: dict[str, widgets.Widget] = {
            "step": dropdown("step"),
            "image": widgets.IntSlider(description="image", max=0),
            "most": widgets.Button(description="where A and B differ most", layout={"width": "auto"}),
            "again": widgets.Button(description="look for new steps", layout={"width": "auto"}),
            "kind": dropdown("between mean and max:", KINDS, wide),
            "score": dropdown("pixel score", {score: score_name(score) for score in SCORES}, "340px"),
            "of_class": dropdown("class"),
            "base": dropdown("under A and B", BASES, wide),
            "borders": widgets.Checkbox(description="borders of all superpixels", indent=False),
        }
        for side in "AB":
            controls[side], look = dropdown(f"strategy {side}", strategies), {"layout": {"width": wide}}
            controls[f"how {side}"] = widgets.SelectionSlider(description=f"aggregation {side}", options=LADDERS["top"], **look)
        rows = [
            ("step", "image", "most", "again"),
            ("A", "how A"),
            ("B", "how B"),
            ("kind", "score", "of_class"),
            ("base", "borders"),
        ]
        super().__init__(controls, rows)
        self.run: Run | None = None
        self.view: dict | None = None
        self._device, self._questions = device, {}
        self._figure = Figure(figsize=(11, 6.3), dpi=80)
        controls["most"].on_click(lambda _: self.attempt(self._most_different))
        controls["again"].on_click(lambda _: self.attempt(self._read_again))
        self._where = run, runs_dir
        self.attempt(self._open)

    def _open(self) -> None:
        run, runs_dir = self._where
        with lines_to(self.say):
            self.run, c = run if isinstance(run, Run) else open_run(run, runs_dir), self.controls
        own = self.run.config
        c["image"].max = len(self.run.setting.pool) - 1
        c["of_class"].options = [(name, i) for i, name in enumerate(self.run.setting.dataset.classes)]
        c["of_class"].value = 0
        lot = own.strategy in WITHOUT_SCORES
        c["kind"].value = next((k for k, v in LADDERS.items() if own.aggregate in ladder(own.aggregate, k)), "top")
        self.follow(c["kind"])
        c["A"].value, c["how A"].value = own.strategy, own.aggregate if own.aggregate in c["how A"].options else "mean"
        c["B"].value = "oreal" if lot else own.strategy
        c["how B"].value = "max" if lot or own.aggregate == "mean" else "mean"
        c["score"].value = "ovr_entropy" if "oreal" in (own.strategy, c["B"].value) else "bvsb"
        self.follow(c["A"])
        self._read_again()
        if self.view is not None:
            self._most_different()

    def _read_again(self) -> None:
        """Offer the steps there are now; a running run has more each time."""
        if self.run is None:  # it had not begun
            self._open()
            return
        step, queries = self.controls["step"], self.run.folder.queries()
        before, there = step.value, list(self.run.networks())
        step.options = [(f"{t}" if t in queries else f"{t} (the run did not ask)", t) for t in there]
        self.note.value = escape(self.run.missing())
        if not there:
            raise ValueError(
                "no step can be shown yet: step 1 is random, and its network is not trained or not kept; look again later"
            )
        step.value = before if before in there else next((t for t in reversed(there) if t in queries), there[-1])
        for key in [k for k, q in self._questions.items() if q.asked is None]:
            del self._questions[key]  # it may have asked by now
        self.draw()

    def _most_different(self) -> None:
        """Go to the image in which A and B differ in most superpixels; where they are the same, ask most."""
        if self.view is None:
            return
        c, asked = self.controls, self._question()
        ids = differing(asked, self._side("A"), self._side("B"))
        ids = ids if len(ids) else asked.listed[self._side("A")].query
        c["image"].value = int(np.bincount(self.run.setting.superpixels.image[ids]).argmax())
        self.draw()

    def follow(self, owner: widgets.Widget) -> None:
        """The sliders get the aggregations of the kind chosen; what changes nothing is switched off."""
        c = self.controls
        if owner is c["kind"] and self.run is not None:
            steps = ladder(self.run.config.aggregate, c["kind"].value)
            for how in (c["how A"], c["how B"]):
                value = how.value if how.value in steps else "max"
                how.options, how.value = steps, value
        for side in "AB":
            c[f"how {side}"].disabled = c[side].value in WITHOUT_SCORES
        c["of_class"].disabled = c["score"].value != "ovr_entropy"

    def _side(self, side: str) -> tuple[str, str]:
        return self.controls[side].value, self.controls[f"how {side}"].value

    def _question(self) -> Question:
        key = self.controls["step"].value, self.controls["how A"].options
        if key not in self._questions:
            with lines_to(self.say):
                found = question(self.run, *key, device=self._device)
            self._questions = dict([*self._questions.items(), (key, found)][-KEPT:])
        return self._questions[key]

    def draw(self) -> None:
        """Draw what the controls say; the first time for a step takes seconds, then a fraction of one."""
        if self.run is None or self.controls["step"].value is None:
            return
        c, asked = self.controls, self._question()
        of = self._side("A"), self._side("B"), c["score"].value, c["of_class"].value
        self.view = view(self.run, asked, c["image"].value, *of)
        self._figure.clear()
        draw_selection_browser(self.view, self._figure.subplots(2, 3, gridspec_kw=ROOM), c["base"].value, c["borders"].value)
        count = "; ".join(f"{x} asks {s['asked'].sum()} here" for x, s in zip("AB", self.view["sides"], strict=True))
        said = f"{self.view['run_id']}, {self.view['name']}: {count}. {sentences(self.view)}"
        self.show(png(self._figure), said.replace("\n", " "))


class ClassDebtExplorer(Explorer):
    """OREAL Eq. 3 as water filling, with a slider for the budget and for what each class has.

    counts: (C,) labeled superpixels, or (T, C) with a row after each step, such as `[s.class_counts for s in
    RunFolder(path).steps()]`, which a step slider sets.  names: C class names.  The attribute debt (C,) is that drawn.
    """

    def __init__(self, counts: Sequence, budget: int, names: Sequence[str] | None = None) -> None:
        self._rows = np.atleast_2d(np.asarray(counts, dtype=np.int64))
        n, most = self._rows.shape[-1], int(max(self._rows.max(initial=0), budget, 10))
        self.names, self.debt = list(names or (f"class {c}" for c in range(n))), None
        self._figure = Figure(figsize=(max(6, 0.7 * n), 4), dpi=80, layout="constrained")
        self._ax = self._figure.subplots()
        try:
            for row in self._rows:
                draw_class_debt(row, budget, self.names, self._ax)
        except ValueError as error:  # no slider could stand for it
            super().__init__({}, [])
            self.say(str(error), wrong=True)
            return
        controls: dict[str, widgets.Widget] = {"budget": widgets.IntSlider(budget, 0, 2 * most, description="budget")}
        if len(self._rows) > 1:
            controls["step"] = widgets.IntSlider(1, 1, len(self._rows), description="after step")
        first, of_class = [*controls], [f"class {c}" for c in range(n)]
        for key, name, count in zip(of_class, self.names, self._rows[0], strict=True):
            controls[key] = widgets.IntSlider(int(count), 0, 2 * most, description=str(name))
        super().__init__(controls, [first, *(of_class[i : i + 3] for i in range(0, n, 3))])
        self.attempt(self.draw)

    def follow(self, owner: widgets.Widget) -> None:
        """Another step: its counts."""
        if owner is self.controls.get("step"):
            for c, count in enumerate(self._rows[owner.value - 1]):
                self.controls[f"class {c}"].value = int(count)

    def draw(self) -> None:
        """Draw the debts of the counts and the budget that the sliders say."""
        counts = [slider.value for name, slider in self.controls.items() if name.startswith("class ")]
        self._ax.cla()
        budget = self.controls["budget"].value
        draw_class_debt(counts, budget, self.names, self._ax)
        self.debt = class_debt(counts, budget)
        owed = ", ".join(f"{name} {d}" for name, d in zip(self.names, self.debt, strict=True) if d)
        self.show(png(self._figure), f"Of {budget} clicks, owed to: {owed or 'none'}.")


class CurveExplorer(Explorer):
    """Learning curves of the strategies and aggregations chosen, and the IoU of each class in a step.

    frame: of `frames.load`; with runs that are not finished, of `view.curves`.  The attribute shown holds the rows that are drawn.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        if frame.empty:
            super().__init__({}, [])
            self.say("no run has finished a step; look again later, or load other runs", wrong=True)
            return
        self._frame, asking = frame, active(frame)
        self.shown = asking
        several = [k for k in ("dataset", "model", "labeling") if k in frame and frame[k].nunique() > 1]
        controls: dict[str, widgets.Widget] = {k: dropdown(k, {v: v for v in frame[k].unique()}) for k in several}
        names, hows = [s for s in STRATEGIES if s in set(asking["strategy"])], sorted(set(asking["aggregate"]) - {""})
        named = [(title(s), s) for s in names]
        steps = sorted(asking["step"].unique().tolist()) or [1]
        many = {"rows": 6, "layout": {"width": "290px"}}
        controls |= {
            "strategies": widgets.SelectMultiple(description="strategies", options=named, value=names, **many),
            "aggregations": widgets.SelectMultiple(description="aggregations", options=hows, value=hows, **many),
            "x": dropdown("over", ABSCISSAS),
            "of_class": dropdown("IoU of"),
            "step": widgets.SelectionSlider(description="step", options=steps, value=steps[-1]),
        }
        super().__init__(controls, [several, ("strategies", "aggregations"), ("x", "of_class", "step")])
        self._figure = Figure(figsize=(11, 4.8), dpi=80, layout="constrained")
        self._axes = self._figure.subplots(1, 2)
        self.attempt(lambda: self.follow(controls["step"]))
        self.attempt(self.draw)

    def follow(self, owner: widgets.Widget) -> None:
        """The classes of the data set chosen."""
        of_class, names = self.controls["of_class"], class_names(self._network())
        options = (("all classes (mIoU)", None), *((name, c) for c, name in enumerate(names)))
        if of_class.options != options:
            of_class.options, of_class.index = options, 0
            self._figure.set_layout_engine("constrained")

    def _network(self) -> pd.DataFrame:
        mine = self._frame
        for key in ("dataset", "model", "labeling"):
            if key in self.controls:
                mine = mine[(mine[key] == self.controls[key].value) | ((mine["supervision"] != "active") & (key == "labeling"))]
        if mine.empty:
            raise ValueError("no run has this data set, model and labeling; choose others")
        return mine

    def draw(self) -> None:
        """Draw the curves and bars of what is chosen; ValueError if there is no such run."""
        c, mine = self.controls, self._network()
        chosen = mine["strategy"].isin(c["strategies"].value) & mine["aggregate"].isin([*c["aggregations"].value, ""])
        self.shown, step = mine[chosen | (mine["supervision"] != "active")], c["step"].value
        asking = active(self.shown)
        if asking.empty:
            raise ValueError("no run of these strategies and aggregations was made; choose more")
        for ax in self._axes:
            ax.cla()
        draw_curve_explorer(self.shown, self._axes, step, c["x"].value, c["of_class"].value)
        said, now = [], asking[asking["step"] == step]
        for column in asking["column"].unique():
            miou = 100 * now.loc[now["column"] == column, "miou"]
            value = f"{with_sd(miou.mean(), miou.std(ddof=1))} (n = {len(miou)})" if len(miou) else "not there yet"
            said.append(f"{title(column)} {value}")
        picture = png(self._figure)
        self._figure.set_layout_engine("none")  # found once for a data set: that halves the time
        self.show(picture, f"mIoU after step {step}, in percent: {'; '.join(said)}.")
