"""What a grid needs, told from folders made up by hand: seconds, bytes and states are chosen so that the sums can be checked."""

from dataclasses import replace

import pytest

from oreal_lib.config import RunConfig
from oreal_lib.experiments.grid import in_order
from oreal_lib.experiments.plan import STATES, plan, text
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.storage import atomic
from oreal_lib.types import StepResult

STEP = StepResult(
    step=1,
    clicks=8,
    labeled_fraction=0.1,
    labeled_pixels=0.1,
    miou=0.5,
    class_iou=(0.5,),
    boundary_miou=0.4,
    val_miou=0.5,
    class_counts=(8,),
    border_share=None,
    epochs=2,
    seconds={"query": 10.0, "train": 80.0, "test": 10.0},
)
COPIED = replace(STEP, seconds={"query": 0.0}, from_run="another run")
BVSB, OREAL, FULL = (
    RunConfig.from_yaml("toy", steps=3, keep_weights="last", **c)
    for c in ({"strategy": "bvsb"}, {"strategy": "oreal"}, {"supervision": "full_masks"})
)


def folder_of(root, config, steps=(), done=False, weights=0, log=None):
    folder = RunFolder(root / config.run_id)
    folder.save_json("config.json", config.values())
    if steps:
        folder.save_steps([replace(s, step=t + 1) for t, s in enumerate(steps)])
    if done:
        folder.save_json("done.json", {"device": "an abacus", "steps": len(steps)})
    if weights:
        atomic.write_bytes(folder.path / "weights_step3.safetensors", bytes(weights))
    if log is not None:
        (folder.path / "run.log").write_text(log)
    return folder


def only_row(configs, roots):
    (row,) = plan(configs, roots).to_dict("records")
    return row


def test_every_run_is_in_one_state(tmp_path):
    runs, records = tmp_path / "runs", tmp_path / "records"
    five = [BVSB.model_copy(update={"seed": s}) for s in range(5)]
    folder_of(runs, five[0], [COPIED, STEP, STEP], done=True)
    folder_of(records, five[1], [STEP] * 3, done=True)
    folder_of(runs, five[2], [COPIED, STEP], log="still at it: step 3\n")
    folder_of(runs, five[3], log="Traceback:\n  there\noreal_lib.storage.yaml_file.ConfigError: seed is bad\n\n")
    row = only_row(five, [runs, records])
    assert [row[state] for state in STATES] == [1, 1, 1, 1, 1] and row["runs"] == 5
    assert row["steps_to_go"] == 2 + 1 + 2 + 2  # step 1 is of another run
    said = text(plan(five, [runs, records]))
    assert "5 runs, 4 to go: " in said and "record: in figures/runs, enough for" in said


def test_hours_are_the_mean_of_the_steps_a_run_computed_itself(tmp_path):
    folder_of(tmp_path, OREAL, [COPIED, STEP, replace(STEP, seconds={"train": 300.0})], done=True)  # 100 s and 300 s
    row = only_row([BVSB], [tmp_path])
    assert row["hours"] == pytest.approx(2 * 200 / 3600) and row["measured_on"] == "an abacus"
    assert "0.11 hours one at a time (0.06 with 2 at a time)" in text(plan([BVSB], [tmp_path]), jobs=2)


@pytest.mark.parametrize(
    "change", [{"dataset": "voc"}, {"model": "segmenter_small"}, {"max_epochs": 7}, {"height": 96, "width": 96}]
)
def test_other_work_says_nothing_about_hours(tmp_path, change):
    folder_of(tmp_path, OREAL.model_copy(update=change), [STEP] * 3, done=True)
    made = plan([BVSB], [tmp_path])
    assert made["hours"].isna().all() and "?: not measured yet; run one run of that kind first" in text(made)


def test_runs_here_are_a_better_measure_than_records_of_another_machine(tmp_path):
    folder_of(tmp_path / "records", OREAL, [STEP] * 3, done=True)
    assert only_row([BVSB], [tmp_path / "runs", tmp_path / "records"])["hours"] == pytest.approx(2 * 100 / 3600)
    folder_of(tmp_path / "runs", OREAL, [COPIED, replace(STEP, seconds={"train": 9.0})])
    assert only_row([BVSB], [tmp_path / "runs", tmp_path / "records"])["hours"] == pytest.approx(2 * 9 / 3600)


def test_disk_is_that_of_finished_folders_or_else_of_the_networks_weights(tmp_path):
    folder = folder_of(tmp_path, OREAL, [COPIED, STEP, STEP], done=True, weights=2**20).path
    whole = sum(f.stat().st_size for f in folder.iterdir()) / 2**30
    assert only_row([BVSB], [tmp_path])["gib"] == pytest.approx(whole)
    keeps_all = BVSB.model_copy(update={"keep_weights": "all"})
    assert only_row([keeps_all], [tmp_path])["gib"] == pytest.approx(3 * 2**20 / 2**30)
    assert only_row([FULL], [tmp_path])["gib"] == pytest.approx(2**20 / 2**30)
    unknown = BVSB.model_copy(update={"model": "another"})
    assert plan([unknown], [tmp_path])["gib"].isna().all() and "disk: ? GiB" in text(plan([unknown], [tmp_path]))
    assert "GiB and what is not measured (?)" in text(plan([BVSB, unknown], [tmp_path]))


def test_a_shared_first_step_is_a_row_of_its_own(tmp_path):
    made = plan(tuple(in_order([FULL, BVSB, OREAL]).values()), [tmp_path])
    assert made[["kind", "missing", "steps_to_go"]].to_numpy().tolist() == [
        ["full supervision A", 1, 1],
        ["step 1, shared", 1, 1],
        ["active", 2, 4],
    ]
