import by_hand
import numpy as np
import pandas as pd
import pytest
from by_hand import cells, runs

from oreal_lib.experiments.grid import read_grid
from oreal_lib.reports import tables_1_and_3
from oreal_lib.reports.tables_1_and_3 import AVERAGE, AVERAGED, GAIN

RESNET = "deeplabv3plus_resnet50.tv_in1k"


def run(column, seed, curve, dataset="voc", model=RESNET):
    where = {"dataset": dataset, "model": model, "setting": f"{dataset} 50%"}
    return by_hand.run(column, seed, curve, **where, epochs=10 + 90 * ("full" in column))


def grid(**where):
    """B is 0.5. AuALC of BvSB: mean 40 and 60, max 60 and 70; of OREAL by max 80, by mean not run."""
    made = [run("full_dominant", 0, [0.5], **where), run("random", 0, [0.3, 0.3], **where)]
    for seed, mean, most in ((0, 0.2, 0.3), (1, 0.3, 0.35)):
        made += [run("bvsb mean", seed, [mean] * 2, **where), run("bvsb max", seed, [most] * 2, **where)]
    return runs(*made, run("oreal max", 0, [0.3, 0.5], **where))


COLUMNS = ["random", "bvsb mean", "bvsb max", "oreal max", "stratified_random", "power_bvsb max"]


def cells_of(frame, *arguments):
    return tables_1_and_3.cells(frame, COLUMNS, *arguments).set_index(["dataset", "model", "strategy", "aggregation"])


def text_of(frame, which="table1", *arguments):
    return tables_1_and_3.markdown(tables_1_and_3.cells(frame, COLUMNS, which, *arguments), frame, which)


def test_a_cell_is_ours_the_papers_and_the_difference():
    table = cells_of(grid()).loc["voc", RESNET]
    row = table.loc["bvsb", "max"]
    assert row[["value", "sd", "n"]].tolist() == pytest.approx([65, 50**0.5, 2])
    assert row["paper"] == 77.0 and row["difference"] == pytest.approx(-12) and np.isnan(row["paper_beside"])
    assert row["run_ids"] == "bvsb-max-0 bvsb-max-1"
    gain = table.loc["bvsb", GAIN]  # 20 and 10: 15 ± 7.07, t(1) = 12.706
    assert gain[["value", "n", "favor", "paper"]].tolist() == pytest.approx([15, 2, 2, 2.3])
    assert (gain["low"], gain["high"]) == (pytest.approx(15 - 12.706 * 5, abs=0.01), pytest.approx(15 + 12.706 * 5, abs=0.01))
    assert table.loc["random", "none"]["difference"] == pytest.approx(60 - 75.1)
    assert table.loc["cbal", "mean"]["n"] == 0 and np.isnan(table.loc["cbal", "mean"]["difference"])


def test_other_data_or_another_network_have_no_difference_but_the_papers_average_beside():
    both = pd.concat([grid(dataset="toy", model="small_unet"), grid(model="small_unet")])
    table = cells_of(both)
    assert table[["paper", "difference"]].isna().all(axis=None)
    for place in (("toy", "small_unet"), ("voc", "small_unet")):
        assert table.loc[(*place, "bvsb", "max"), "paper_beside"] == 72.4  # ResNet-50, average over four data sets
        assert table.loc[(*place, "random", "none"), "paper_beside"] == 69.7
    text = text_of(both)
    assert "difference" not in text and text.count("only signs and orders compare, not numbers") == 2
    assert "| paper, average of 4 data sets, ResNet-50: mean / max |" in text


def test_every_number_stands_in_its_place_and_what_lacks_is_not_run():
    frame = grid()
    text = text_of(frame)
    assert text.startswith("**Pascal VOC, ResNet-50**\n\n*voc 50%; 2 seeds; abacus*\n\n| strategy | mean, ours | mean, paper |")
    rows = {line[0]: line[1:] for line in cells(text)[2:]}
    assert rows["random"] == ["60.0", "75.1", "-15.1", "", "", "", "", "", "", "1"]
    assert rows["BvSB"][:6] == ["50.0 ± 14.1", "74.7", "-24.7", "65.0 ± 7.1", "77.0", "-12.0"]
    assert rows["BvSB"][6:] == ["+15.0 (-48.5 to +78.5)", "2 of 2", "+2.3", "2"]
    assert rows["OREAL"] == ["not run", "73.6", "-", "80.0", "77.2", "+2.8", "-", "", "+3.6", "0, 1"]
    assert rows["random by predicted class*"] == ["not run", "-", "-", "", "", "", "", "", "", "0"]
    assert rows["BvSB with noise*"] == ["-", "-", "-", "not run", "-", "-", "", "", "", "0"]
    assert list(rows)[-1] == "average of the paper's five" and rows[list(rows)[-1]][:2] == ["-", "74.4"]
    assert "*: not in the paper." in text and "The rows have different numbers of seeds" in text


def test_the_average_asks_all_five_strategies_once_per_seed():
    """Mean: 20 for all; max: 20 to 60, on average 40. Seed 1 lacks OREAL, so it is not averaged; random is never."""
    made = [run("full_dominant", 0, [0.5]), run("random", 0, [0.5, 0.5])]
    for i, strategy in enumerate(AVERAGED):
        for seed in (0, 1) if strategy != "oreal" else (0,):
            made += [run(f"{strategy} mean", seed, [0.1] * 2), run(f"{strategy} max", seed, [0.1 + 0.05 * i] * 2)]
    table = cells_of(runs(*made)).loc["voc", RESNET].loc[AVERAGE]
    assert table["value"].to_dict() == pytest.approx({"mean": 20, "max": 40, GAIN: 20}) and table["n"].tolist() == [1, 1, 1]
    assert table.loc["mean", "paper"] == pytest.approx((74.7 + 75.9 + 74.5 + 73.1 + 73.6) / 5)
    assert table.loc["max", "run_ids"].split() == sorted(f"{s}-max-0" for s in AVERAGED)


def test_the_mean_of_those_that_reach_95_percent_is_not_printed():
    """95 % of B is 0.475. BvSB by mean reaches it in one seed of two; by max at 20 % and at 15 % of the pool, OREAL at 20 and 18 %."""
    frame = runs(
        run("full_dominant", 0, [0.5]),
        *(run("bvsb mean", seed, curve) for seed, curve in enumerate(([0.1, 0.475], [0.1, 0.2]))),
        *(run("bvsb max", seed, curve) for seed, curve in enumerate(([0.1, 0.475], [0.4, 0.55]))),
        *(run("oreal mean", 0, [0.1, 0.475]), run("oreal max", 0, [0.075, 0.575])),
    )
    table = cells_of(frame, "table3").loc["voc", RESNET]
    assert np.isnan(table.loc["bvsb", "mean"]["value"]) and table.loc["bvsb", "mean"]["reached"] == 1
    assert table.loc["bvsb", "max"][["value", "reached", "paper", "difference"]].tolist() == pytest.approx([17.5, 2, 17.4, 0.1])
    assert table.loc["bvsb", GAIN]["n"] == 0  # the seed without a number may be the worst
    assert table.loc["oreal", GAIN][["value", "n", "favor"]].tolist() == pytest.approx([-2, 1, 1])  # less is better
    rows = {line[0]: line for line in cells(text_of(frame, "table3"))}
    assert rows["BvSB"][1:5] == ["1 of 2 reached", "25.0", "-", "17.5 ± 3.5 (2 of 2 reached)"]


def test_without_full_supervision_nothing_is_said_to_have_failed():
    frame = grid().query("column != 'full_dominant'")
    text = text_of(frame, "table3")
    assert "0 of" not in text and "Full supervision B was not run" in text


def test_table_3_has_two_networks_and_table_1_three():
    assert tables_1_and_3.printed("table3", "voc", "resnet101")["oreal", "max"] == 12.3
    assert tables_1_and_3.printed("table3", "voc", "vit") == tables_1_and_3.printed("table3", "endovis", "resnet50") == {}
    assert tables_1_and_3.printed("table1", "monarch", "vit")["bvsb", "max"] == 72.1
    assert tables_1_and_3.printed("table1", "toy", "vit") == tables_1_and_3.printed("table1", "voc", None) == {}


def test_a_network_of_the_grid_without_a_run_still_has_the_papers_numbers():
    frame, networks = grid(), [("voc", RESNET), ("voc", "segmenter_small")]
    empty = text_of(frame, "table1", networks).partition("**Pascal VOC, ViT**")[2]
    assert empty.startswith("\n\n*not run*\n") and "| OREAL | not run | 73.2 | - | not run | 76.5 |" in empty


def test_latex_is_escaped_and_says_the_same():
    frame = grid()
    text = tables_1_and_3.latex(tables_1_and_3.cells(frame, COLUMNS), frame)
    (row,) = cells(text, "BvSB &")
    assert row[0] == (
        r"BvSB & 50.0 $\pm$ 14.1 & 74.7 & $-$24.7 & 65.0 $\pm$ 7.1 & 77.0 & $-$12.0 & +15.0 ($-$48.5 to +78.5) & 2 of 2 & +2.3 & 2 \\"
    )
    assert r"max $-$ mean (95 \% interval)" in text and r"\toprule" in text and "% voc 50%; 2 seeds; abacus\n" in text
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert not [line for line in body if "±" in line or "%" in line.replace(r"\%", "")]


def test_table_3_needs_no_run_that_table_1_has_not():
    three, one = ({c.run_id for c in read_grid(f"{name}@voc").configs} for name in ("table3", "table1"))
    assert three < one and len(three) == 3 * 3 * 12
