"""Max minus mean over many studies: by hand, against formulas, and which runs are one study."""

import json
from dataclasses import replace
from itertools import product

import by_hand
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from oreal_lib.config import RunConfig
from oreal_lib.experiments.run_folder import RunFolder
from oreal_lib.reports import across, across_figures
from oreal_lib.reports.across import ASKING, AVERAGE, PAIR, Study
from oreal_lib.reports.claims import COLUMNS
from oreal_lib.reports.frames import interval
from oreal_lib.reports.verdicts import t_p
from oreal_lib.storage import checked
from oreal_lib.types import StepResult

DOMINANT, EXACT = (Study("street", "net", 400, 0.5, labeling) for labeling in ("dominant", "exact"))


def runs(*rows):
    """Of (study, strategy, how, seed, aualc): a row as of `runs_of`."""
    names = ["study", "strategy", "aggregate", "seed", "aualc"]
    more = {"aualc_per_pixel": 50.0, "border_share": 40.0, "impurity": 10.0}
    frame = pd.DataFrame([dict(zip(names, row, strict=False)) | more | (row[5] if len(row) > 5 else {}) for row in rows])
    return frame.assign(column=[f"{s} {how}".strip() for s, how in zip(frame["strategy"], frame["aggregate"], strict=True)])


def test_gains_pair_by_seed_and_average_the_five_where_a_seed_has_all():
    rows = [
        (DOMINANT, s, how, seed, 10 * seed + i + (how == "max") * (i + seed))
        for i, s in enumerate(ASKING)
        for how, seed in product(("mean", "max"), (1, 2))
    ]
    rows += [(DOMINANT, "oreal", how, 3, 0.0) for how in ("mean", "max")] + [
        (DOMINANT, "bvsb", "max", 4, 99.0),
        (DOMINANT, "random", "", 1, 5.0),
    ]
    rows += [(EXACT, "oreal", how, 1, 7.0, {"border_share": b, "impurity": b / 2}) for how, b in (("mean", 30.0), ("max", 50.0))]
    found = across.gains(runs(*rows))
    for i, s in enumerate(ASKING[:-1]):
        assert found.loc[DOMINANT, s][["n", "mean", "favor"]].tolist() == [2, i + 1.5, 2]
    assert found.loc[DOMINANT, "oreal"]["n"] == 3
    assert found.loc[DOMINANT, AVERAGE][["n", "mean"]].tolist() == [2, 3.5]  # seed 3 lacks four of the five
    assert found.loc[EXACT, "oreal"][["mean", "border_share_gain", "impurity_max", "impurity_gain"]].tolist() == [0, 20, 25, 10]
    single = found["holm"].dropna()  # each p of those that mean something is multiplied by how many are not smaller
    assert list(single.index) == [(DOMINANT, s) for s in ASKING] and found["t_p"].notna().sum() == 6
    assert single.min() == pytest.approx(5 * found.loc[single.index, "t_p"].min())
    assert (EXACT, AVERAGE) not in found.index and "random" not in found.index.get_level_values("strategy")


def test_of_equal_variances_the_summary_is_students_interval_of_the_means():
    mean, k = np.array([-2.0, 0.5, 3.0, 4.5]), 4
    found = across.pooled(mean, [1.0] * k, [5] * k)
    half = stats.t.ppf(0.975, k - 1) * mean.std(ddof=1) / np.sqrt(k)
    assert [found["mean"], found["low"], found["high"]] == pytest.approx([1.5, 1.5 - half, 1.5 + half])
    assert found["tau"] == pytest.approx(np.sqrt(mean.var(ddof=1) - 1 / 5))
    assert found["predicted_low"] < found["low"] and found["predicted_high"] > found["high"]


def test_studies_that_differ_less_than_their_errors_have_no_variance_between_them():
    found = across.pooled([1.0, 1.1, 0.9], [4.0, 4.0, 2.0], [5, 5, 5])
    assert found["tau"] == 0 and found["mean"] == pytest.approx((1.0 + 1.1 + 4 * 0.9) / 6)  # weights are 1 / variance
    assert across.pooled([2.0], [1.0], [5])["mean"] == 2 and np.isnan(across.pooled([2.0], [1.0], [5])["low"])
    assert np.isnan(across.pooled([1.0, 2.0], [1.0, 1.0], [5, 5])["predicted_low"])
    assert across.pooled([], [], [])["k"] == 0


def test_paule_and_mandel_solve_their_equation():
    y, v = np.array([0.0, 3.0, -1.0]), np.array([0.5, 0.2, 1.0])
    tau2 = across.pooled(y, np.sqrt(v * 5), [5] * 3)["tau"] ** 2
    w = 1 / (v + tau2)
    assert (w * (y - (w * y).sum() / w.sum()) ** 2).sum() == pytest.approx(2, rel=1e-6)


def test_the_summary_leaves_out_exact_answers_other_superpixels_single_seeds_and_drawn_scenes():
    finer = replace(DOMINANT, count=800, resized=True)
    assert str(finer) == f"{DOMINANT}, 800 superpixels"
    toy, other = Study("toy (large_tools)", "net", 100, 2.0, "dominant"), Study("field", "net", 400, 2.0, "dominant")
    rows = [
        (study, "oreal", how, seed, seed * (how == "max") * sign)
        for study, sign in ((DOMINANT, 1), (EXACT, 9), (finer, 7), (toy, 5))
        for how, seed in product(("mean", "max"), (1, 2))
    ]
    rows += [(other, "oreal", how, 1, 3.0) for how in ("mean", "max")]
    found = across.gains(runs(*rows))
    assert across.summary(found).loc["oreal", "k"] == 1


def test_answers_pairs_exact_with_dominant_by_strategy_and_seed():
    rows = [
        (study, s, how, seed, (how == "max") * gain * seed)
        for study, s, gain in ((DOMINANT, "bvsb", -1), (EXACT, "bvsb", 2), (DOMINANT, "oreal", 1), (EXACT, "oreal", 2))
        for how, seed in product(("mean", "max"), (1, 2))
    ]
    found = across.answers(runs(*rows))
    means = {s: [found.loc[(DOMINANT, s), c]["mean"] for c in ("dominant", "exact", "difference")] for s in (PAIR, "bvsb", "oreal")}
    assert (DOMINANT, AVERAGE) not in found.index and means == {PAIR: [0, 3, 3], "bvsb": [-1.5, 3, 4.5], "oreal": [1.5, 3, 1.5]}
    assert across.answers(runs(*[row for row in rows if row[0] == DOMINANT])).empty
    text = across.markdown(across.gains(runs(*rows)), found)
    assert "street, 0.5 % a step, exact answers | OREAL" in text and "| OREAL | +1.5" in text


def test_what_is_beyond_the_paper_is_compared_with_the_best_column_of_the_set_it_was_chosen_on():
    camvid, dropped = Study("camvid", "net", 400, 0.5, "dominant"), Study("camvid", "net", 400, 0.5, "dominant", dropped=True)
    rows = [(camvid, "random", "", seed, 1.0) for seed in (1, 2)]
    rows += [
        (camvid, s, how, seed, 2.0 + (s == "cbal" and how == "mean") * seed)
        for s in ASKING
        for how in ("mean", "max")
        for seed in (1, 2)
    ]
    rows += [(study, "apart", "max", seed, 10.0) for study in (camvid, DOMINANT) for seed in (1, 2, 3)]
    rows += [(dropped, "bvsb", "max", seed, 5.0 * seed) for seed in (1, 2)]
    rows += [
        (DOMINANT, "cbal", "mean", 2, 7.0),
        (DOMINANT, "bvsb", "max", 2, 8.0),
        (replace(camvid, labeling="exact"), "apart", "max", 1, 0.0),
    ]
    best, found = across.against_best(runs(*rows))
    assert best == "cbal mean"  # 3 and 4
    gains = {
        (str(study), c): [(d[k]["mean"], d[k]["n"]) for k in ("chosen", "here", "all_labels")] for (study, c), d in found.iterrows()
    }
    nothing = (pytest.approx(np.nan, nan_ok=True), 0)
    assert gains == {
        ("CamVid, 0.5 % a step", "apart max"): [(6.5, 2), (6.5, 2), nothing],
        ("CamVid, 0.5 % a step, contradicted labels left out", "bvsb max"): [(4.0, 2), (4.0, 2), (5.5, 2)],
        ("street, 0.5 % a step", "apart max"): [(3.0, 1), (2.0, 1), nothing],
    }
    assert "| minus CBAL mean (95 %) |" in across.against_best_text(best, found)
    assert {study.dropped for study in across.gains(runs(*rows)).index.unique("study")} == {False}  # by max alone there is no gain
    assert across.against_best(runs(*rows[2:]))[0] == ""  # no random: the eleven are not whole


def finished(config, folder, miou, impurity):
    """The record of a run that never ran."""
    path = folder / config.run_id
    path.mkdir()
    steps = [
        StepResult(
            t,
            10 * t,
            t / 10,
            t / 10,
            m,
            (m, m),
            m / 2,
            m,
            (5 * t, 5 * t),
            0.5,
            3,
            {"query": 0.0, "train": 0.0, "test": 0.0},
            impurity=impurity,
        )
        for t, m in enumerate(miou, 1)
    ]
    done = {
        "run_id": config.run_id,
        "steps": len(steps),
        "device": "abacus",
        "precision": "float32",
        "commit": "c0ffee",
        "classes": ["a", "b"],
        "labels": {},
    }
    checked.write(path / "config.json", config.values())
    RunFolder(path).save_steps(steps)
    checked.write(
        path / "done.json", done | {"pool": {"superpixels": 1000, "query_size": round(1000 * (config.query_share or 0.02))}}
    )


def test_runs_are_one_study_if_only_strategy_and_seed_differ(tmp_path):
    configs = [
        RunConfig.from_yaml("toy", strategy="oreal", aggregate=how, query_share=share, seed=seed, steps=2, labeling=labeling)
        for how, share, seed, labeling in product(("mean", "max"), (0.01, 0.02), (0, 1), ("dominant", "exact"))
    ]
    b = RunConfig.from_yaml("toy", supervision="full_dominant")
    with pytest.raises(FileNotFoundError, match="no study has both finished runs and full supervision B"):
        across.studies([*configs, b], tmp_path)
    for c in configs:
        finished(c, tmp_path, (0.2, 0.4 if c.aggregate == "max" else 0.3), 0.1 if c.aggregate == "max" else 0.05)
    finished(b, tmp_path, [0.5], np.nan)
    frames = across.studies([*configs, b], tmp_path)
    table, frame = across.runs_of(frames), pd.concat(frames.values())
    assert sorted(map(str, table["study"].unique())) == [
        f"drawn scenes, {share} % a step{how}" for share in (1, 2) for how in ("", ", exact answers")
    ]
    found = across.gains(table)
    assert found["mean"].tolist() == pytest.approx([10.0] * 4) and found["impurity_gain"].tolist() == pytest.approx([5.0] * 4)
    assert found["budget"].tolist() == [1, 1, 2, 2] and frame["run_id"].nunique() == 17
    csv = across.to_csv(found).splitlines()
    assert csv[0].startswith("data,model,count,labeling,dropped,resized,strategy,n,mean") and len(csv) == 5


def test_the_pictures_show_every_study_and_every_point():
    rows = [
        (study, s, how, seed, (how == "max") * seed, {"impurity": 10.0 + seed})
        for study in (DOMINANT, EXACT)
        for s in ASKING
        for how, seed in product(("mean", "max"), (1, 2))
    ]
    found = across.gains(runs(*rows))
    fig = Figure()
    ax = across_figures.draw_forest(found, fig.subplots())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["street, 0.5 % a step"] and len(ax.lines) == 6 * 2 + 1
    for what in across_figures.AGAINST:
        points = across_figures.draw_against(found, what, Figure().subplots()).lines[:-1]
        assert len(points) == 10 and [p.get_markerfacecolor() for p in points].count("none") == 5
    across_figures.legend_of_data(found, fig)
    assert json.dumps([t.get_text() for t in fig.legends[0].get_texts()])


def test_the_four_planned_tests_are_corrected_for_four():
    level = {"random": 0.20, "oreal max": 0.40}
    rows = [by_hand.run("full_dominant", s, [0.5], clicks=[100]) for s in range(4)]
    for column, s in product(COLUMNS, range(4)):
        gain = level.get(column, 0.30) + 0.02 * column.endswith("max") + 0.001 * ((7 * s + len(column)) % 5)
        rows.append(by_hand.run(column, s, [0.1, gain, gain], border_share=0.5 + 0.1 * column.endswith("max") + 0.01 * s))
    change = np.array([0.5, -0.2, 0.9, 0.4])
    found = across.planned(
        by_hand.runs(*rows), pd.Series({"difference": interval(pd.Series(change)) | {"t_p": t_p(pd.Series(change))}})
    )
    assert found["verdict"].tolist()[:3] == ["supports"] * 3 and found["verdict"].iloc[3] == "cannot decide"
    assert found["t_p"].iloc[3] == pytest.approx(stats.ttest_1samp(change, 0).pvalue)
    assert found["holm"].iloc[3] == found["t_p"].iloc[3] and found["holm"].max() <= 1  # the largest p is corrected for one test
    assert found["holm"].min() == pytest.approx(4 * found["t_p"].min())
    assert found["holm"].isna().tolist() == [False] * 4 + [True] * 2  # those beside the four are not corrected for
    assert found["verdict"].iloc[5] == "contradicts"  # OREAL by mean is below itself by max
    text = across.planned_text(found)
    assert (
        "| H1 max beats mean per click | supports | +" in text
        and "| H4 exact answers lift max - mean | cannot decide | +0.4" in text
    )
