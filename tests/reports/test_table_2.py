import numpy as np
import pytest
from by_hand import cells, run, runs

from oreal_lib.reports import table_2

LABELS = {"pixels": [75, 25, 0], "right": [0.9, 0.4, None], "iou": [0.8, 0.3, None], "leak": [0.2, 0.6, None]}


@pytest.fixture
def frame():
    """Three seeds of A and two of B: A - B is 10 and 20 points."""
    told = {"model": "small_unet", "classes": [("tissue", "tool", "needle")], "labels": [LABELS]}
    scores = [("full_masks", (0.6, 0.8, 0.9)), ("full_dominant", (0.5, 0.6))]
    return runs(*(run(w, seed, [m], class_iou=[(m, 0.1, None)], **told) for w, of in scores for seed, m in enumerate(of)))


def test_the_gap_is_paired_by_seed(frame):
    (row,) = table_2.table2(frame).to_dict("records")
    assert (row["A_mean"], row["B_mean"]) == (pytest.approx(70), pytest.approx(55))  # of the two seeds that both have
    assert row["mean"] == pytest.approx(15) and row["n"] == 2 and row["favor"] == 2 and row["low"] < 0 < 15 < row["high"]


def test_every_printed_number_stands_beside_ours_and_private_data_is_called_so(frame):
    text = table_2.table2_markdown(table_2.table2(frame), frame)
    lines = cells(text)[2:]
    assert len(lines) == 1 + 12 and lines[0][:3] == ["toy", "small_unet", "70.0 ± 14.1"] and lines[0][-2:] == ["-", "-"]
    assert ["Pascal VOC", "ResNet-50", "not run", "not run", "-", "0", "57.5", "57.5"] in lines
    assert {line[2] for line in lines if line[0] == "MONARCH"} == {"not public"}


def test_our_run_takes_the_papers_row_of_its_backbone(frame):
    ours = frame.assign(dataset="voc", model="deeplabv3plus_resnet101.tv_in1k")
    text = table_2.table2_markdown(table_2.table2(ours), ours)
    assert text.count("Pascal VOC") == 3 and "54.4 | 53.9 |\n" in text
    assert "| ResNet-101 | not run | not run | - | 0 | 54.4" not in text
    assert table_2.backbone("segmenter_small") == "vit" and table_2.backbone("small_unet") is None
    assert table_2.backbone("deeplabv3plus_resnet50d") is None  # another network


def test_settings_are_not_passed_off_as_seeds(frame):
    again = frame[frame["seed"] == 0].assign(run_id="another setting")
    with pytest.raises(ValueError, match=r"2 runs have supervision full_masks, seed 0.*one grid for each setting"):
        table_2.table2(runs(frame, again))


def test_without_a_seed_in_common_each_network_stands_for_itself(frame):
    apart = frame[(frame["column"] == "full_masks") == (frame["seed"] > 0)]
    text = table_2.table2_markdown(table_2.table2(apart), apart)
    assert "| 85.0 ± 7.1 | 50.0 | - | 2 A, 1 B |" in text


def test_classes_are_compared_from_the_records(frame):
    table = table_2.by_class(frame)
    assert list(table.index) == ["tissue", "tool", "needle"] and table["share_mean"].tolist() == [75, 25, 0]
    assert table.loc["tissue", ["right_mean", "label_iou_mean", "leak_mean", "B_mean"]].tolist() == pytest.approx([90, 80, 20, 55])
    assert table.loc["tool", "A_mean"] == pytest.approx(10) and np.isnan(table.loc["needle", "A_mean"])
    total = table_2.overall(frame)
    assert total["right_mean"] == pytest.approx(0.75 * 90 + 0.25 * 40) and total["right_n"] == 2
    text = table_2.by_class_markdown(table, frame)
    assert "| needle | 0.0 ± 0.0 | - | - | - | - | - |" in text and "right for 77.5 ± 0.0 % of the pool's pixels" in text


def test_labels_are_those_of_full_supervision_b(frame):
    with pytest.raises(ValueError, match="no run of full supervision B is finished"):
        table_2.by_class(frame[frame["column"] == "full_masks"])
