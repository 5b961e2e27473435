import matplotlib.pyplot as plt
import pandas as pd
import pytest
from by_hand import asked

from oreal_lib.experiments.grid import read_grid
from oreal_lib.reports import between
from oreal_lib.reports import mechanism_figures as draw


def runs_of(values, seeds=(0, 1)):
    """Rows of `frames.per_run`. values: column -> (border share, AuALC) of seed 0; seed 1 is 2 better in AuALC."""
    rows = [(c, s, {"border_share": b, "aualc": a + 2 * s, "aualc_per_pixel": a}) for c, (b, a) in values.items() for s in seeds]
    return pd.DataFrame([asked(c, s, labeled_pixels=12.0, **more) for c, s, more in rows])


VALUES = {
    "random": (40, 70),
    "bvsb max": (80, 78),
    "bvsb power_8": (70, 75),
    "bvsb top_0.1": (75, 79),
    "bvsb mean": (50, 72),
    "oreal max": (90, 80),
}


def test_aggregations_stand_in_order_from_mean_to_max():
    hows = ["max", "top_0.1", "quantile_0.9", "power_16", "top_0.5", "mean", "power_8", "max"]
    assert between.from_mean_to_max(hows) == ["mean", "top_0.5", "top_0.1", "power_8", "power_16", "quantile_0.9", "max"]


def test_a_point_is_a_mean_over_seeds_and_its_gain_is_paired():
    points = between.points(runs_of(VALUES))
    assert points.index.tolist() == [("bvsb", how) for how in ("mean", "top_0.1", "power_8", "max")]  # oreal has no mean
    top = points.loc[("bvsb", "top_0.1")]
    assert (top["aualc_mean"], top["border_share_mean"], top["n"]) == (80, 75, 2)
    assert top["aualc_sd"] == pytest.approx(2**0.5)
    assert top.filter(like="gain_").drop(["gain_n", "gain_sd"]).tolist() == [7, 7, 7, 2]  # seeds differ, their gains do not
    assert points.loc[("bvsb", "mean"), "gain_mean"] == 0
    text = between.markdown(points)
    assert "| BvSB top_0.1 | 75.0 ± 0.0 | 80.0 ± 1.4 | 79.0 ± 0.0 | 12.0 ± 0.0 | +7.0 (+7.0 to +7.0) | 2 |" in text
    assert "| BvSB mean | 50.0 ± 0.0 | 73.0 ± 1.4 | 72.0 ± 0.0 | 12.0 ± 0.0 | - | 2 |" in text


def test_one_seed_has_no_interval_and_an_aggregation_without_a_partner_no_gain():
    runs = pd.concat(
        [runs_of({"bvsb mean": (50, 72), "bvsb max": (80, 78)}, seeds=(0,)), runs_of({"bvsb top_0.1": (75, 79)}, (1,))]
    )
    text = between.markdown(between.points(runs))
    assert "| BvSB max | 80.0 | 78.0 | 78.0 | 12.0 | +6.0 | 1 |" in text
    assert "| BvSB top_0.1 | 75.0 | 81.0 | 79.0 | 12.0 | - | 1 |" in text


def test_without_anything_between_there_is_nothing_to_show():
    with pytest.raises(ValueError, match=r"no strategy was run by mean and by another aggregation; add `aggregate"):
        between.points(runs_of({"random": (40, 70), "bvsb mean": (50, 72)}))


def test_agreement_ranks_borders_against_aualc_within_a_seed():
    agreement = between.agreement(runs_of(VALUES))
    # by border share: mean, power_8, top_0.1, max; by AuALC: mean, power_8, max, top_0.1: d = 0, 0, 1, 1, so 1 - 6 * 2 / (4 * 15)
    assert agreement["correlation"].tolist() == pytest.approx([0.8, 0.8]) and agreement.index.tolist() == [("bvsb", 0), ("bvsb", 1)]
    assert "- BvSB: +0.80, +0.80 (4 aggregations)" in between.agreement_text(agreement)
    assert between.agreement_text(between.agreement(runs_of({"bvsb mean": (1, 2), "bvsb max": (3, 4)}))) == ""


def test_the_curve_runs_along_the_border_share():
    points = between.points(runs_of(VALUES))
    ax = draw.draw_spectrum(points, plt.figure().subplots(), pd.Series({"border_share_mean": 40, "aualc_mean": 71}))
    curve = next(line for line in ax.lines if line.get_label() == "BvSB")
    assert curve.get_xdata().tolist() == [50, 70, 75, 80] and curve.get_ydata().tolist() == [73, 76, 80, 79]
    ax = draw.draw_spectrum_gains(points, plt.figure().subplots())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["BvSB top 0.1", "BvSB power 8", "BvSB max"]
    plt.close("all")


def test_its_ends_are_runs_of_table_1():
    table1 = {c.run_id for c in read_grid("table1@toy").configs}
    shared = {c.column for c in read_grid("spectrum@toy").configs if c.run_id in table1}
    assert shared == {"full_dominant", "random", "bvsb mean", "bvsb max", "oreal mean", "oreal max"}
