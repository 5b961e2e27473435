"""The road of one number: grid -> Snakemake -> papermill -> run folder -> table -> published record, killed once on its way; and the
plain papermill command of the README."""

import json
import os
import shutil
import subprocess
import sys
import time

import nbformat
import pandas as pd
import psutil
import pytest
import yaml
from PIL import Image
from trees import voc_tree

from oreal_lib.metrics import aualc
from oreal_lib.storage.paths import home

pytestmark = pytest.mark.slow
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


def start(place, *arguments):
    environment = os.environ | {"OREAL_HOME": str(place), "OMP_NUM_THREADS": "1"}
    how = {"env": environment, "cwd": place, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, arguments)], **how)


def python(place, *arguments):
    """What a Python process says, which ends well."""
    process = start(place, *arguments)
    out, error = process.communicate(timeout=900)
    assert process.returncode == 0, out + error
    return out


@pytest.fixture(scope="module")
def killed(place):
    """The run folders there were when the grid and all that it had started was killed -> the contents of the finished ones."""
    process = start(place, "-m", "oreal_lib", "run", "tiny", "--jobs", "2")
    while not any(folder_is_begun(f) for f in (place / "runs").glob("toy-*-bvsb-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    family = psutil.Process(process.pid)
    for member in (family, *family.children(recursive=True)):
        member.kill()
    process.communicate()
    folders = list((place / "runs").glob("toy-*"))
    return {f: {file: file.read_bytes() for file in f.iterdir() if (f / "done.json").exists()} for f in folders}


def folder_is_begun(folder):
    return (folder / "config.json").exists() and not (folder / "done.json").exists()


@pytest.fixture(scope="module")
def said(place, killed):
    """What the same command says that is started again after the kill."""
    return python(place, "-m", "oreal_lib", "run", "tiny", "--jobs", "2")


def run_folders(place):
    return {json.loads((p / "config.json").read_text())["run_id"]: p for p in (place / "runs").glob("toy-*")}


def test_killed_with_all_it_started_it_continues_and_leaves_finished_runs_alone(place, killed, said):
    finished = {folder for folder, files in killed.items() if files}
    assert finished and finished != set(killed), "the kill came too early or too late"
    grid = [folder for folder in finished if "-random-" not in folder.name]  # the shared first step is in no table
    assert f"4 runs, {len(grid)} finished already, " in said and "all 4 runs are finished" in said
    assert "mIoU" in said and "left for all" in said and "work, of all processes together: training" in said
    assert all(file.read_bytes() == data for files in killed.values() for file, data in files.items())
    listed = python(place, "-m", "oreal_lib", "list", "tiny").splitlines()
    assert len(listed) == 5 and all(line.endswith(" finished") for line in listed)


def test_every_run_leaves_its_record_and_its_executed_notebook(place, said):
    folders = run_folders(place)
    assert len(folders) == 5  # the grid's 4, and the step with which both of BvSB begin
    for folder in folders.values():
        done = json.loads((folder / "done.json").read_text())
        assert done["versions"]["torch"] and done["device"] and done["seconds"]["train"] > 0
        notebook = nbformat.read(folder / "run.ipynb", as_version=4)
        assert all(c.execution_count for c in notebook.cells if c.cell_type == "code")


def test_a_cell_of_the_table_leads_back_to_its_steps(place, said):
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


def test_from_published_records_alone_comes_the_same_table(place, said):
    assert len(python(place, "-m", "oreal_lib", "publish", "tiny").splitlines()) == 5
    table = place / "figures" / "tiny_table.csv"
    before = table.read_bytes()
    table.unlink()
    python(place, "-m", "oreal_lib", "report", "tiny", "--only", "20_table1_aualc", "--runs-dir", place / "no runs")
    assert table.read_bytes() == before


def test_pictures_and_tables_are_made(place, said):
    figures = place / "figures"
    for name in ("curves", "mean_vs_max", "label_cost", "ranking", "mechanism", "debts", "near_and_inside", "spectrum", "context"):
        assert (figures / f"tiny_{name}.png").stat().st_size > 10_000, name
    for name in ("table1", "table3"):
        text = {end: (figures / f"tiny_{name}.{end}").read_text(encoding="utf-8") for end in ("md", "csv", "tex")}
        assert "not run" in text["md"] and "BvSB" in text["md"] and "\\toprule" in text["tex"] and "run_ids" in text["csv"]
    assert "not run" in (figures / "tiny_claims.md").read_text(encoding="utf-8")


def test_a_run_can_be_explored_and_everything_is_there_without_a_widget(place, said):
    python(place, "-m", "papermill", "notebooks/30_explore_a_run.ipynb", "explored.ipynb", "-p", "grid", "tiny")
    outputs = [o for c in nbformat.read(place / "explored.ipynb", as_version=4).cells for o in c.get("outputs", [])]
    shown = [kind for o in outputs for kind in o.get("data", {})]
    assert shown.count("image/png") == 3 and shown.count("application/vnd.jupyter.widget-view+json") == 3
    assert "Nothing is drawn" not in str(outputs)


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


def test_the_papers_protocol_starts_on_a_voc_tree_with_one_command(place, tmp_path):
    """ResNet-50, native palettes and lists, pictures of two sizes; only sizes and epochs are small."""
    tree = voc_tree(tmp_path, train=4, val=2, size=(60, 80))
    for name in ("2007_000032", "2007_000060"):  # a training and a test image stand upright
        for file in (tree / "JPEGImages" / f"{name}.jpg", tree / "SegmentationClass" / f"{name}.png"):
            with Image.open(file) as picture:
                picture.transpose(Image.Transpose.ROTATE_90).save(file)
    changes = [part for key, value in VOC.items() for part in ("-p", key, value)]
    arguments = ["-f", "params/voc.yaml", "-p", "data_root", tmp_path, "-p", "runs_dir", tmp_path / "runs", *changes]
    python(place, "-m", "papermill", "notebooks/10_active_learning_run.ipynb", tmp_path / "out.ipynb", *arguments)
    (folder,) = (tmp_path / "runs").glob("*-oreal-*")
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert folder.name.startswith("voc-deeplabv3plus_resnet50.tv_in1k-oreal-max-dominant-s0-")
    assert [s["clicks"] for s in steps] == [15, 30] and len(steps[0]["class_iou"]) == 21 and steps[0]["speed"]["images_per_s"] > 0


def test_plain_papermill_runs_a_notebook_with_a_parameter_file_and_refuses_a_misspelled_parameter(place):
    plain = ["-m", "papermill", "notebooks/10_active_learning_run.ipynb", "out.ipynb", "-f", "params/tiny_base.yaml"]
    python(place, *plain, "-p", "strategy", "oreal", "-p", "aggregate", "max", "-p", "steps", "1", "-p", "runs_dir", "plain")
    assert any("oreal-max" in folder.name for folder in (place / "plain").iterdir())
    misspelled = start(place, *plain, "-p", "strateggy", "oreal")
    assert "unknown parameter 'strateggy' = 'oreal'; did you mean 'strategy'?" in misspelled.communicate()[1]
    assert misspelled.returncode != 0


def test_a_failing_run_is_named_with_its_reason_and_the_others_go_on(place):
    broken = {"base": "toy", "set": TINY | {"steps": 30}, "runs": [{"strategy": "random"}, {"supervision": "full_dominant"}]}
    (place / "params" / "broken.yaml").write_text(yaml.safe_dump(broken))
    process = start(place, "-m", "oreal_lib", "run", "broken", "--jobs", "1")
    out = process.communicate()[0]
    assert process.returncode == 1 and "30 steps of" in out and "lower steps or query_size" in out
    assert "1 runs are not finished; fix that and start the same command again" in out


@pytest.mark.skipif(sys.platform == "win32", reason="the workflow's shell lines are POSIX")
def test_table_4_is_made_from_runs_of_both_stages(place, said):
    """Stage two comes after its stage one, each an execution of its notebook; the runs of dominant labels were there before."""
    weak = {"labeling": "weak", "strategy": "bvsb", "aggregate": "max", "classifier": "cosine", "stage": [1, 2]}
    grid = {"base": "toy", "set": TINY, "runs": [*RUNS, weak], "reports": ["23_table4_weak_labels"]}
    (place / "params" / "tiny_weak.yaml").write_text(yaml.safe_dump(grid))
    assert "6 runs, 4 finished already" in python(place, "-m", "oreal_lib", "run", "tiny_weak", "--jobs", "2")
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
