import shutil

import by_hand
import numpy as np
import pytest
from by_hand import runs
from matplotlib.figure import Figure

from oreal_lib.experiments import run as loop
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.explore import figures, view
from oreal_lib.explore.widget import Explorer, RunExplorer

SHORT = {"top": ("mean", "top_0.5", "max"), "power": ("mean", "power_2", "max")}


@pytest.fixture(autouse=True)
def ladders(tiny_grid, monkeypatch):
    monkeypatch.setenv("OREAL_HOME", str(tiny_grid.home))
    for module in ("widget", "question"):
        monkeypatch.setattr(f"oreal_lib.explore.{module}.LADDERS", SHORT)


@pytest.fixture
def run(tiny_grid):
    """The folder of the finished run of BvSB by max, which kept all its networks."""
    return tiny_grid.runs_dir / next(c.run_id for c in tiny_grid.configs if c.column == "bvsb max")


def choose(explorer, **values):
    explorer.chosen = explorer.chosen | values


def press(explorer, button):
    explorer._handle_custom_msg({"do": button}, [])


def test_it_opens_with_what_the_run_asked_last(run):
    explorer = RunExplorer(run)
    c, asked = explorer.chosen, RunFolder(run).queries()[3].ids
    assert [t for t, _ in explorer.data["steps"]] == [2, 3, 4] and c["step"] == 3 and explorer.said["text"] == ""
    assert [c[k] for k in ("A", "how_A", "B", "how_B")] == ["bvsb", "max", "bvsb", "mean"]
    offset = explorer.run.setting.superpixels.offset[c["image"]]
    assert [offset + i for i in explorer.shown["sides"][0]["asked"]] == sorted(a for a in asked if offset <= a < offset + 16)
    assert "The run really asked exactly what A asks" in explorer.shown["text"]


def test_what_is_chosen_decides_what_is_shown(run):
    explorer = RunExplorer(run, image=0, kind="power")
    assert explorer.data["ladders"] == SHORT and (explorer.chosen["image"], explorer.chosen["how_A"]) == (0, "max")
    choose(explorer, B="oreal", how_B="power_2", score="ovr_entropy", of_class=1)
    choose(explorer, step=2, image=1)
    v, b = explorer.view, explorer.shown["sides"][1]
    of_b = explorer._question().listed["oreal", "power_2"].ids
    assert b["title"] == "B: OREAL power_2" and b["asked"] == sorted(i - 16 for i in of_b if 16 <= i < 32)
    assert (v["step"], v["name"]) == (2, explorer.run.setting.dataset.names[explorer.run.setting.pool[1]])
    ids, unsure = (np.frombuffer(explorer.shown[name], "<u2").reshape(32, 32) for name in ("ids", "unsure"))
    assert (ids == v["ids"]).all() and np.allclose(unsure * explorer.shown["scale"], v["uncertainty"], atol=1e-4)
    assert explorer.shown["prediction"] == v["prediction"].tobytes() and explorer.shown["asked_in"] == v["asked_in"].tolist()


def test_the_button_finds_the_image_in_which_most_differs(run):
    explorer = RunExplorer(run, B="oreal", image=0)
    press(explorer, "most")
    found, differ = explorer.chosen["image"], []
    for image in range(explorer.data["images"]):
        choose(explorer, image=image)
        differ.append(len(set.symmetric_difference(*(set(side["asked"]) for side in explorer.shown["sides"]))))
    assert differ[found] == max(differ) > 0


def test_a_run_that_goes_on_is_followed(tiny, tiny_config, tmp_path):
    config = tiny_config(strategy="bvsb", aggregate="mean", keep_weights="all", seed=5, steps=2)
    explorer = RunExplorer(config, tmp_path)
    assert "holds no run that has begun" in explorer.said["text"] and explorer.said["wrong"]
    going = loop.run(config, tmp_path, tiny)
    press(explorer, "again")
    assert "holds no run that has begun" in explorer.said["text"] and not explorer.shown
    next(going)
    press(explorer, "again")
    assert [text for _, text in explorer.data["steps"]] == ["2 (the run did not ask)"]
    assert "The run itself did not ask" in explorer.shown["text"]
    list(going)
    press(explorer, "again")
    assert [text for _, text in explorer.data["steps"]] == ["2", "3 (the run did not ask)"]
    assert "The run really asked exactly what A asks" in explorer.shown["text"]


def test_what_cannot_be_shown_is_said_in_the_widget(run, tmp_path):
    run = shutil.copytree(run, tmp_path / run.name)
    explorer, weights = RunExplorer(run), run / "weights_step3.safetensors"
    weights.rename(tmp_path / "moved")
    choose(explorer, step=4)
    assert "the steps that can be shown are: 2, 3. Step 4 cannot be shown" in explorer.said["text"] and explorer.said["wrong"]
    press(explorer, "again")
    assert [t for t, _ in explorer.data["steps"]] == [2, 3] and "keep_weights: all" in explorer.said["text"]
    assert not explorer.said["wrong"] and explorer.view["step"] == 3
    (tmp_path / "moved").rename(weights)
    press(explorer, "again")
    assert [t for t, _ in explorer.data["steps"]] == [2, 3, 4] and explorer.said["text"] == ""


def test_debts_are_poured_on_the_bars_up_to_the_water_level():
    ax = Figure().subplots()
    figures.draw_class_debt([0, 5, 5, 100], 12, ["sky", "road", "car", "sea"], ax)
    counts, water = ax.containers
    assert [b.get_height() for b in counts] == [0, 5, 5, 100] and [b.get_height() for b in water] == [8, 2, 2, 0]
    assert [b.get_y() for b in water] == [0, 5, 5, 100] and [t.get_text() for t in ax.texts] == ["+8", "+2", "+2", "0"]
    assert "water level 7" in [t.get_text() for t in ax.get_legend().get_texts()]  # 12 + 0 + 5 + 5 = 3 x 7, and one click is left


def test_the_debts_of_a_run_are_data_for_a_widget():
    data = Explorer(view.debts([(0, 5), (8, 7)], 12, ("sky", "road")), budget=3).data
    assert data == {
        "kind": "debts",
        "names": ["sky", "road"],
        "colors": ("#4477aa", "#ee6677"),
        "rows": [[0, 5], [8, 7]],
        "budget": 12,
    }


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


def test_curves_are_data_for_a_widget_and_what_is_not_known_is_none():
    (one,) = view.learning_curves(runs(FRAME, rows("bvsb max", 0, [(np.nan, 0.3)])))["sets"]
    assert one["name"] == "hand" and one["classes"] == ["sky", "road"]
    assert one["full"] == {"all dominant labels (B)": {"miou": 80, "class_iou": [90, 70]}}
    curve = {c["column"]: c for c in one["columns"]}
    assert list(curve) == ["bvsb max", "bvsb mean", "oreal max"] and curve["bvsb mean"]["title"] == "BvSB mean"
    assert [run["miou"] for run in curve["oreal max"]["runs"]] == [[30, 60], [50, 70]]
    assert curve["oreal max"]["runs"][1]["class_iou"] == [[40, 60], [60, 80]] and curve["bvsb mean"]["dash"] == "7 4"
    assert curve["oreal max"]["runs"][0] | {"class_iou": 0} == {
        "clicks": [10, 20],
        "class_iou": 0,
        "labeled_pixels": [10, 20],
        "labeled_fraction": [5, 10],
        "miou": [30, 60],
    }
    assert curve["bvsb max"]["runs"][0]["class_iou"] == [[None, 30]]


def test_runs_of_two_data_sets_are_never_in_one_curve():
    other = rows("oreal max", 0, [(0.7, 0.7, 0.7)], dataset="other", classes=[["a", "b", "c"]])
    sets = view.learning_curves(runs(FRAME, other))["sets"]
    assert [(one["name"], len(one["classes"]), len(one["columns"])) for one in sets] == [("hand", 2, 2), ("other", 3, 1)]


def test_classes_without_names_are_numbered():
    assert figures.class_names(FRAME[FRAME["column"] == "bvsb mean"]) == ["class 0", "class 1"]
