"""The road of one number: grid -> papermill -> run folder -> table, and the plain papermill command of the README."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import yaml
from PIL import Image
from trees import voc_tree

from oreal_lib.metrics import aualc
from oreal_lib.storage.paths import home

TINY = {
    "steps": 2,
    "max_epochs": 2,
    "train_images": 8,
    "val_images": 4,
    "full_min_epochs": 4,
    "full_max_epochs": 4,
    "height": 48,
    "width": 64,
    "superpixel_count": 60,
    "query_share": 0.05,
    "data_options": {"scene": "large_tools", "generator_seed": 7, "train": 14, "test": 4},
    "workers": 1,
}
RUNS = [{"supervision": ["full_dominant", "full_masks"]}, {"strategy": "bvsb", "aggregate": ["mean", "max"]}]
REPORTS = ["20_table1_aualc", "21_table3_cost_of_95", "22_table2_dominant_labels", "24_figure4_curves", "25_figure5_mean_vs_max"]
REPORTS += ["26_claims", "27_mechanism", "28_between_mean_and_max", "29_figure1_context"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home of its own, so that nothing is written into the project; its path has a space."""
    place = tmp_path_factory.mktemp("home of a user")
    for name in ("notebooks", "params", "workflow"):
        shutil.copytree(home() / name, place / name)
    (place / "params" / "tiny.yaml").write_text(yaml.safe_dump({"base": "toy", "set": TINY, "runs": RUNS, "reports": REPORTS}))
    toy = yaml.safe_load((place / "params" / "toy.yaml").read_text(encoding="utf-8"))
    (place / "params" / "tiny_base.yaml").write_text(yaml.safe_dump(toy | TINY))
    return place


def python(place, *arguments):
    environment = os.environ | {"OREAL_HOME": str(place), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=600, cwd=place)


@pytest.fixture(scope="module")
def batch(place):
    done = python(place, "-m", "oreal_lib.experiments.batch", "run", "tiny", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def reports(place, batch):
    done = python(place, "-m", "oreal_lib.experiments.batch", "report", "tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def run_folders(place):
    return {json.loads((p / "config.json").read_text())["run_id"]: p for p in (place / "runs").glob("toy-*")}


def test_every_run_leaves_its_record_and_its_executed_notebook(place, batch):
    folders = run_folders(place)
    assert len(folders) == 5  # the grid's 4, and the step with which both of BvSB begin
    for folder in folders.values():
        done = json.loads((folder / "done.json").read_text())
        assert done["versions"]["torch"] and done["device"] and done["seconds"]["train"] > 0
        notebook = nbformat.read(folder / "run.ipynb", as_version=4)
        assert all(c.execution_count for c in notebook.cells if c.cell_type == "code")


def test_the_batch_says_each_step(batch):
    assert "4 runs, 0 finished already, 5 steps to go" in batch.stdout
    assert sum("mIoU" in line for line in batch.stdout.splitlines()) == 5


def test_a_second_batch_has_nothing_to_do(place, batch):
    done = python(place, "-m", "oreal_lib.experiments.batch", "run", "tiny")
    assert done.returncode == 0 and "4 finished already, 0 steps to go" in done.stdout


def test_a_cell_of_the_table_leads_back_to_its_steps(place, reports):
    table = pd.read_csv(place / "figures" / "tiny_table.csv", index_col="column")
    source = json.loads((place / "figures" / "tiny_table.json").read_text())
    folders = {run_id: folder for run_id, folder in run_folders(place).items() if "-random-" not in run_id}
    assert source["made_from"] == sorted(folders)
    steps = {
        run_id: [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
        for run_id, folder in folders.items()
    }
    full = next(s for run_id, s in steps.items() if "full_dominant" in run_id)[0]["miou"]
    for how in ("mean", "max"):
        mine = next(s for run_id, s in steps.items() if f"bvsb-{how}" in run_id)
        expected = aualc([s["clicks"] for s in mine], [s["miou"] for s in mine], full)
        assert table.loc[f"bvsb {how}", "aualc_mean"] == pytest.approx(expected)
        assert f"| BvSB {how} | {expected:.1f} |" in (place / "figures" / "tiny_table.md").read_text(encoding="utf-8")


def test_pictures_are_made(place, reports):
    for name in ("curves", "mean_vs_max", "label_cost", "ranking", "mechanism", "debts", "near_and_inside", "spectrum", "context"):
        assert (place / "figures" / f"tiny_{name}.png").stat().st_size > 10_000, name


def test_a_run_can_be_explored_and_everything_is_there_without_a_widget(place, batch):
    done = python(place, "-m", "papermill", "notebooks/30_explore_a_run.ipynb", "explored.ipynb", "-p", "grid", "tiny")
    assert done.returncode == 0, done.stderr
    outputs = [o for c in nbformat.read(place / "explored.ipynb", as_version=4).cells for o in c.get("outputs", [])]
    shown = [kind for o in outputs for kind in o.get("data", {})]
    assert shown.count("image/png") == 3 and shown.count("application/vnd.jupyter.widget-view+json") == 3
    assert "Nothing is drawn" not in str(outputs)


def test_tables_are_there_for_people_for_programs_and_for_papers(place, reports):
    for name in ("table1", "table3"):
        text = {end: (place / "figures" / f"tiny_{name}.{end}").read_text(encoding="utf-8") for end in ("md", "csv", "tex")}
        assert "not run" in text["md"] and "BvSB" in text["md"] and "\\toprule" in text["tex"] and "run_ids" in text["csv"]
    assert "not run" in (place / "figures" / "tiny_claims.md").read_text(encoding="utf-8")


def test_table_2_says_what_dominant_labels_cost(place, reports):
    text = (place / "figures" / "tiny_table2.md").read_text(encoding="utf-8")
    assert (
        "| toy | small_unet |" in text
        and "| Pascal VOC | ResNet-50 | not run |" in text
        and "| MONARCH | ViT | not public |" in text
    )
    done = next(json.loads((p / "done.json").read_text()) for i, p in run_folders(place).items() if "full_dominant" in i)
    cost = pd.read_csv(place / "figures" / "tiny_table2.csv", index_col="class")
    for name, right, iou in zip(done["classes"], done["labels"]["right"], done["labels"]["iou"], strict=True):
        if right is not None:
            assert cost.loc[name, "right_mean"] == pytest.approx(100 * right) and cost.loc[name, "label_iou_mean"] == pytest.approx(
                100 * iou
            )


VOC = {
    "height": 65,
    "width": 65,
    "weights": "none",
    "superpixel_count": 40,
    "superpixel_levels": 2,
    "query_size": 15,
    "steps": 2,
    "max_epochs": 1,
    "batch_size": 2,
    "eval_batch_size": 2,
    "device": "cpu",
    "workers": 1,
}


@pytest.mark.parametrize("resize", ["square", "crop"])
def test_the_papers_protocol_starts_on_a_voc_tree_with_one_command(place, tmp_path, resize):
    """ResNet-50, native palettes and lists, pictures of two sizes; only sizes and epochs are small."""
    tree = voc_tree(tmp_path, train=4, val=2, size=(60, 80))
    for name in ("2007_000032", "2007_000060"):  # a training and a test image stand upright
        for file in (tree / "JPEGImages" / f"{name}.jpg", tree / "SegmentationClass" / f"{name}.png"):
            with Image.open(file) as picture:
                picture.transpose(Image.Transpose.ROTATE_90).save(file)
    out = tmp_path / "out.ipynb"
    changes = [part for key, value in (VOC | {"resize": resize}).items() for part in ("-p", key, str(value))]
    arguments = ["-f", "params/voc.yaml", "-p", "data_root", str(tmp_path), "-p", "runs_dir", str(tmp_path / "runs"), *changes]
    done = python(place, "-m", "papermill", "notebooks/10_active_learning_run.ipynb", str(out), *arguments)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").glob("*-oreal-*")
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert folder.name.startswith("voc-deeplabv3plus_resnet50.tv_in1k-oreal-max-dominant-s0-")
    assert [s["clicks"] for s in steps] == [15, 30] and len(steps[0]["class_iou"]) == 21 and steps[0]["speed"]["images_per_s"] > 0


def test_plain_papermill_runs_a_notebook_with_a_parameter_file(place, batch):
    done = python(
        place, "-m", "papermill", "notebooks/10_active_learning_run.ipynb", "out.ipynb",
        "-f", "params/tiny_base.yaml", "-p", "strategy", "oreal", "-p", "aggregate", "max", "-p", "steps", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any("oreal-max" in run_id for run_id in run_folders(place))


def test_a_misspelled_parameter_stops_papermill_before_anything_is_trained(place):
    done = python(place, "-m", "papermill", "notebooks/10_active_learning_run.ipynb", "typo.ipynb", "-p", "strateggy", "oreal")
    assert done.returncode != 0 and "unknown parameter 'strateggy' = 'oreal'; did you mean 'strategy'?" in done.stderr


def test_a_failing_run_is_named_with_its_reason_and_the_others_go_on(place):
    broken = {"base": "toy", "set": TINY | {"steps": 30}, "runs": [{"strategy": "random"}, {"supervision": "full_dominant"}]}
    (place / "params" / "broken.yaml").write_text(yaml.safe_dump(broken))
    done = python(place, "-m", "oreal_lib.experiments.batch", "run", "broken", "--jobs", "1")
    assert done.returncode == 1
    assert "30 steps of" in done.stdout and "lower steps or query_size" in done.stdout
    assert "full supervision B" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the workflow's shell lines are POSIX")
def test_snakemake_finds_the_finished_runs_and_makes_what_is_missing(place, reports):
    done = python(
        place,
        "-m",
        "snakemake",
        "-s",
        "workflow/Snakefile",
        "--config",
        "grid=tiny",
        "--cores",
        "1",
        "--",
        str(place / "runs/reports/tiny_24_figure4_curves.done"),
    )
    assert done.returncode == 0, done.stderr
    assert ": run toy-" not in done.stderr, "a finished run was started again"


@pytest.mark.skipif(sys.platform == "win32", reason="the workflow's shell lines are POSIX")
def test_one_snakemake_target_makes_table_4_from_runs_of_both_stages(place, batch):
    """Stage two comes after its stage one, each an execution of its notebook; the runs of dominant labels were there before."""
    weak = {"labeling": "weak", "strategy": "bvsb", "aggregate": "max", "classifier": "cosine", "stage": [1, 2]}
    grid = {"base": "toy", "set": TINY, "runs": [*RUNS, weak], "reports": ["23_table4_weak_labels"]}
    (place / "params" / "tiny_weak.yaml").write_text(yaml.safe_dump(grid))
    done = python(place, "-m", "snakemake", "-s", "workflow/Snakefile", "--config", "grid=tiny_weak", "--cores", "2")
    assert done.returncode == 0, done.stderr
    text = (place / "figures" / "tiny_weak_weak_labels.md").read_text(encoding="utf-8")
    assert "| BvSB | 1 | not run | " in text and "| OREAL | 2 | not run | not run |" in text and "76.5 - 76.6" in text
    one, two = (next((place / "runs").glob(f"*-bvsb-max-{name}-s0-*")) for name in ("weak", "weak2"))
    notebook = nbformat.read(two / "run.ipynb", as_version=4)
    assert all(c.execution_count for c in notebook.cells if c.cell_type == "code")
    steps = [[json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()] for folder in (one, two)]
    assert [s["clicks"] for s in steps[0]] == [s["clicks"] for s in steps[1]] and 0 < steps[1][1]["pseudo"]["inside_accuracy"] <= 1
    assert (two / "pseudo_step2.npz").stat().st_size > 1000
    for name in ("labelings", "pseudo_quality"):
        assert (place / "figures" / f"tiny_weak_{name}.png").stat().st_size > 10_000
