import shutil

import by_hand
import numpy as np
import pytest
from by_hand import runs
from matplotlib.figure import Figure

from oreal_lib.experiments import run as loop
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.explore import figures
from oreal_lib.explore.browser import ClassDebtExplorer, CurveExplorer, SelectionBrowser

SHORT = {"top": ("mean", "top_0.5", "max"), "power": ("mean", "power_2", "max")}


@pytest.fixture(autouse=True)
def ladders(tiny_grid, monkeypatch):
    monkeypatch.setenv("OREAL_HOME", str(tiny_grid.home))
    for module in ("browser", "question"):
        monkeypatch.setattr(f"oreal_lib.explore.{module}.LADDERS", SHORT)


@pytest.fixture
def run(tiny_grid):
    """The folder of the finished run of BvSB by max, which kept all its networks."""
    return tiny_grid.runs_dir / next(c.run_id for c in tiny_grid.configs if c.column == "bvsb max")


def test_the_browser_opens_with_what_the_run_asked_last(run):
    browser = SelectionBrowser(run)
    c, asked = browser.controls, RunFolder(run).queries()[3].ids
    assert [t for _, t in c["step"].options] == [2, 3, 4] and c["step"].value == 3 and browser.message.value == ""
    assert (c["A"].value, c["how A"].value, c["B"].value, c["how B"].value) == ("bvsb", "max", "bvsb", "mean")
    offset = browser.run.setting.superpixels.offset[c["image"].value]
    assert (offset + np.flatnonzero(browser.view["sides"][0]["asked"])).tolist() == sorted(
        a for a in asked if offset <= a < offset + 16
    )
    assert "The run really asked exactly what A asks" in browser.text.value


def test_every_control_changes_the_data_and_the_picture(run):
    browser = SelectionBrowser(run)
    c, seen = browser.controls, [browser.picture.value]
    c["image"].value = 0
    changes = [("B", "oreal"), ("how B", "top_0.5"), ("score", "ovr_entropy"), ("of_class", 1), ("base", "score")]
    changes += [("base", "rank"), ("base", "asked_in"), ("borders", True), ("step", 2), ("image", 1)]
    for name, value in changes:
        c[name].value = value
        assert browser.message.value == "" and browser.picture.value not in seen, name
        seen.append(browser.picture.value)
    view, asked = browser.view, browser._question()
    of_b = asked.listed["oreal", "top_0.5"].query
    assert np.flatnonzero(view["sides"][1]["asked"]).tolist() == sorted(i - 16 for i in of_b if 16 <= i < 32)
    assert (view["step"], view["name"]) == (2, browser.run.setting.dataset.names[browser.run.setting.pool[1]])


def test_the_kind_of_aggregation_changes_the_sliders_and_a_strategy_by_lot_has_none(run):
    browser = SelectionBrowser(run)
    c = browser.controls
    c["how B"].value = "top_0.5"
    c["kind"].value = "power"
    assert c["how A"].options == ("mean", "power_2", "max") and (c["how A"].value, c["how B"].value) == ("max", "max")
    c["how B"].value = "power_2"
    assert browser.view["sides"][1]["title"] == "BvSB power_2"
    c["B"].value = "random"
    assert c["how B"].disabled and not c["how A"].disabled and browser.view["sides"][1]["title"] == "random"
    assert c["of_class"].disabled and browser.message.value == ""


def test_the_button_finds_the_image_in_which_most_differs(run):
    browser = SelectionBrowser(run)
    c = browser.controls
    c["B"].value = "oreal"
    c["most"].click()
    found, differ = c["image"].value, []
    for image in range(c["image"].max + 1):
        c["image"].value = image
        differ.append(sum(a != b for a, b in zip(*(s["asked"] for s in browser.view["sides"]), strict=True)))
    assert differ[found] == max(differ) > 0


def test_a_run_that_goes_on_is_followed(tiny, tiny_config, tmp_path):
    config = tiny_config(strategy="bvsb", aggregate="mean", keep_weights="all", seed=5, steps=2)
    browser = SelectionBrowser(config, tmp_path)
    assert "holds no run that has begun" in browser.message.value and 'role="alert"' in browser.message.value
    going = loop.run(config, tmp_path, tiny)
    browser.controls["most"].click()
    browser.controls["again"].click()
    assert "holds no run that has begun" in browser.message.value and browser.picture.value == b""
    next(going)
    browser.controls["again"].click()
    assert [text for text, _ in browser.controls["step"].options] == ["2 (the run did not ask)"]
    assert "The run itself did not ask" in browser.text.value
    list(going)
    browser.controls["again"].click()
    assert [text for text, _ in browser.controls["step"].options] == ["2", "3 (the run did not ask)"]
    assert "The run really asked exactly what A asks" in browser.text.value


def test_what_cannot_be_shown_is_said_in_the_widget(run, tmp_path):
    run = shutil.copytree(run, tmp_path / run.name)
    browser, weights = SelectionBrowser(run), run / "weights_step3.safetensors"
    weights.rename(tmp_path / "moved")
    browser.controls["step"].value = 4
    assert "the steps that can be shown are: 2, 3. Step 4 cannot be shown" in browser.message.value
    browser.controls["again"].click()
    assert [t for _, t in browser.controls["step"].options] == [2, 3] and "keep_weights: all" in browser.note.value
    assert browser.message.value == "" and browser.view["step"] == 3
    (tmp_path / "moved").rename(weights)
    browser.controls["again"].click()
    assert [t for _, t in browser.controls["step"].options] == [2, 3, 4] and browser.note.value == ""


VIEW = {
    "image": np.full((4, 6, 3), 100, np.uint8),
    "ids": np.repeat([[0, 0, 1, 1, 2, 2]], 4, axis=0),
    "asked_in": np.array([1, 0, 3]),
    "step": 3,
}
SIDE = {"asked": np.array([False, True, False]), "rank": np.array([0, 1, 2]), "score": np.array([0.0, 0.5, -np.inf]), "n": 1}


@pytest.mark.parametrize("base, numbers", [("image", []), ("score", []), ("rank", ["1"]), ("asked_in", ["1", "3"])])
def test_yellow_is_around_what_is_asked_and_nowhere_else(base, numbers):
    ax = Figure().subplots()
    figures.draw_asked(VIEW, SIDE, ax, base=base)
    top = np.asarray(ax.images[-1].get_array())
    scale = top.shape[1] // 6
    yellow = (top[..., :3] == (255, 224, 0)).all(axis=-1)
    assert yellow[:, 2 * scale].all() and yellow[:, 4 * scale - 1].all() and not yellow[:, 3 * scale].any()
    assert not yellow[:, : 2 * scale].any() and not yellow[:, 4 * scale :].any()
    assert [t.get_text() for t in ax.texts] == numbers
    with pytest.raises(ValueError, match="base is 'truth'; choose one of image, score, rank, asked_in"):
        figures.draw_asked(VIEW, SIDE, ax, base="truth")


def test_debts_are_poured_on_the_bars_up_to_the_water_level():
    ax = Figure().subplots()
    figures.draw_class_debt([0, 5, 5, 100], 12, ["sky", "road", "car", "sea"], ax)
    counts, water = ax.containers
    assert [b.get_height() for b in counts] == [0, 5, 5, 100] and [b.get_height() for b in water] == [8, 2, 2, 0]
    assert [b.get_y() for b in water] == [0, 5, 5, 100] and [t.get_text() for t in ax.texts] == ["+8", "+2", "+2", "0"]
    assert "water level 7" in [t.get_text() for t in ax.get_legend().get_texts()]  # 12 + 0 + 5 + 5 = 3 x 7, and one click is left


def test_the_debt_explorer_follows_its_sliders_and_the_steps_of_a_run():
    explorer = ClassDebtExplorer([[0, 5, 5, 100], [8, 7, 7, 100]], 12, ["sky", "<b>", "car", "sea"])
    c, before = explorer.controls, explorer.picture.value
    assert explorer.debt.tolist() == [8, 2, 2, 0] and "sky 8, &lt;b&gt; 2, car 2" in explorer.text.value
    c["budget"].value = 3
    assert explorer.debt.tolist() == [3, 0, 0, 0] and explorer.picture.value != before
    c["step"].value = 2
    assert [c[f"class {k}"].value for k in range(4)] == [8, 7, 7, 100] and explorer.debt.tolist() == [0, 2, 1, 0]
    c["class 3"].value = 0
    assert explorer.debt.tolist() == [0, 0, 0, 3]
    assert "step" not in ClassDebtExplorer([3, 3, 3], 2).controls


def test_the_debt_explorer_says_what_is_wrong():
    wrong = ClassDebtExplorer([[1, 2], [3, -1]], 3), ClassDebtExplorer([1, 2], -3), ClassDebtExplorer([1, 2], 3, ["sky"])
    counts, budget, names = (explorer.message.value for explorer in wrong)
    assert "class counts are [3, -1], but must be C whole numbers &gt;= 0" in counts
    assert "budget is -3, but must be a whole number &gt;= 0" in budget and "there are 1 names for 2 classes" in names


def rows(column, seed, iou, **more):
    told = {"dataset": "hand", "class_iou": list(iou), "labeled_fraction": [t / 20 for t in range(1, len(iou) + 1)]}
    return by_hand.run(column, seed, [np.mean(v) for v in iou], **told | {"classes": [["sky", "road"]] * len(iou)} | more)


FRAME = runs(
    rows("oreal max", 0, [(0.2, 0.4), (0.4, 0.8)]),
    rows("oreal max", 1, [(0.4, 0.6), (0.6, 0.8)]),
    rows("bvsb mean", 0, [(0.1, 0.3)], classes=None),
    rows("full_dominant", 0, [(0.9, 0.7)]),
)


def test_bars_are_the_mean_over_seeds_of_each_class():
    ax = Figure().subplots()
    figures.draw_class_iou(FRAME, 1, ax)
    bars = {b.get_label(): [round(p.get_width()) for p in b] for b in ax.containers if hasattr(b, "patches") and b.patches}
    assert bars == {"BvSB mean": [10, 30], "OREAL max": [30, 50]}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["sky", "road"]
    assert np.allclose(ax.lines[-1].get_xdata(), [90, 70])
    with pytest.raises(ValueError, match="step is 9, but no run shown has finished it; choose an earlier step"):
        figures.draw_class_iou(FRAME, 9, ax)


def test_curves_are_of_the_class_chosen():
    axes = Figure().subplots(1, 2)
    figures.draw_curve_explorer(FRAME, axes, 1, "labeled_pixels", of_class=1)
    curve = {line.get_label(): line for line in axes[0].lines}
    assert np.allclose(curve["OREAL max"].get_xydata(), [(10, 50), (20, 80)]) and axes[0].get_ylabel().startswith("IoU of road")
    for wrong, text in (({"x": "epochs"}, "x is 'epochs'; choose one of clicks"), ({"of_class": 2}, "the classes are 0 to 1")):
        with pytest.raises(ValueError, match=text):
            figures.draw_curve_explorer(FRAME, axes, 1, **wrong)


def test_the_curve_explorer_draws_the_runs_chosen_and_says_their_numbers():
    explorer = CurveExplorer(FRAME)
    c, before = explorer.controls, explorer.picture.value
    assert c["step"].value == 2 and "OREAL max 60.0 ± 7.1 (n = 2)" not in explorer.text.value
    assert "OREAL max 65.0 ± 7.1 (n = 2)" in explorer.text.value and "BvSB mean not there yet" in explorer.text.value
    c["step"].value = 1
    assert "BvSB mean 20.0 (n = 1)" in explorer.text.value and explorer.picture.value != before
    c["strategies"].value = ("oreal",)
    assert set(explorer.shown["column"]) == {"oreal max", "full_dominant"}
    c["aggregations"].value = ()
    assert "no run of these strategies and aggregations was made; choose more" in explorer.message.value
    c["aggregations"].value = ("max",)
    assert explorer.message.value == "" and [text for text, _ in c["of_class"].options] == ["all classes (mIoU)", "sky", "road"]


def test_runs_of_two_data_sets_are_never_in_one_curve():
    other = rows("oreal max", 0, [(0.7, 0.7, 0.7)], dataset="other", classes=[["a", "b", "c"]])
    explorer = CurveExplorer(runs(FRAME, other))
    assert set(explorer.shown["dataset"]) == {"hand"}
    explorer.controls["of_class"].value = 1
    explorer.controls["dataset"].value = "other"
    assert "choose an earlier step" in explorer.message.value and explorer.controls["of_class"].index == 0
    explorer.controls["step"].value = 1
    assert set(explorer.shown["dataset"]) == {"other"} and explorer.message.value == ""


def test_classes_without_names_are_numbered():
    assert figures.class_names(FRAME[FRAME["column"] == "bvsb mean"]) == ["class 0", "class 1"]


def test_nothing_finished_is_no_traceback():
    assert "no run has finished a step" in CurveExplorer(FRAME[:0]).message.value
    assert "no run of these strategies" in CurveExplorer(FRAME[FRAME["column"] == "full_dominant"]).message.value
