import numpy as np
import pandas as pd
import pytest
from by_hand import asked
from matplotlib.figure import Figure

from oreal_lib.draw import STRATEGY_COLORS
from oreal_lib.reports.ranking import draw_ranking, markdown, rank_columns


def runs(**columns):
    """Rows of `frames.per_run`: AuALC of each column in seed 0, 1, ...; None where a seed is missing."""
    return pd.DataFrame(
        asked(column.replace("_", " "), seed, aualc=area)
        for column, areas in columns.items()
        for seed, area in enumerate(areas)
        if area is not None
    )


def ranked(frame):
    return rank_columns(frame, list(dict.fromkeys(frame["column"])), np.random.default_rng(0))


def test_ranks_are_within_a_seed_and_ties_share():
    ranking = ranked(runs(random=[70, 60, 50], oreal_max=[80, 60, 90], cbal_max=[75, 70, 80]))
    assert ranking.table["rank"].to_dict() == pytest.approx({"cbal max": 5 / 3, "oreal max": 4.5 / 3, "random": 8.5 / 3})
    assert list(ranking.table.index) == ["oreal max", "cbal max", "random"] and ranking.seeds == (0, 1, 2)


def test_two_seeds_that_disagree_leave_everything_open():
    """Ranks (1, 2) and (2, 1): a draw of two seeds gives a mean rank of 1, 1.5 or 2 with 1/4, 1/2, 1/4."""
    table = ranked(runs(oreal_max=[80, 70], bvsb_max=[70, 80])).table
    assert table["rank"].tolist() == [1.5, 1.5] and table["low"].tolist() == [1, 1] and table["high"].tolist() == [2, 2]
    assert table["first"].tolist() == pytest.approx([0.5, 0.5], abs=0.02) and table["first"].sum() == pytest.approx(1)


def test_a_column_first_in_every_seed_is_first_in_every_draw():
    """All seeds agree: chi-square = n (k - 1) = 6 with 2 degrees of freedom, p = exp(-3), Kendall's W = 1."""
    ranking = ranked(runs(oreal_max=[90, 80, 70], bvsb_max=[80, 70, 60], random=[70, 60, 50]))
    assert ranking.table.loc["oreal max", ["low", "high", "first"]].tolist() == [1, 1, 1]
    assert ranking.friedman_p == pytest.approx(np.exp(-3)) and ranking.agreement == pytest.approx(1)


def test_a_column_that_misses_a_seed_is_left_out_and_named():
    ranking = ranked(runs(oreal_max=[90, 80], cbal_max=[99, None], random=[70, 60]))
    assert ranking.left_out == ("cbal max",) and list(ranking.table.index) == ["oreal max", "random"]
    assert ranking.table["rank"].tolist() == [1, 2]  # as if it had not been run at all
    assert "Left out, because a seed is missing: CBAL max." in markdown(ranking)
    assert np.isnan(ranking.friedman_p)  # two columns are too few for the test


def test_one_seed_is_an_order_without_evidence():
    ranking = ranked(runs(oreal_max=[90], random=[70]))
    assert ranking.table[["low", "high", "first"]].isna().all(axis=None)
    assert "| OREAL max | 1.0 | - | - | 90.0 |" in markdown(ranking) and "no evidence" in markdown(ranking)


def test_without_a_value_there_is_nothing_to_rank():
    ranking = ranked(runs(oreal_max=[np.nan], random=[np.nan]))
    assert ranking.table.empty and markdown(ranking) == "Nothing to rank. Left out, because a seed is missing: OREAL max, random.\n"
    assert not draw_ranking(ranking, Figure().subplots()).get_yticklabels()


def test_equal_columns_differ_in_nothing():
    ranking = ranked(runs(a=[70, 60], b=[70, 60], c=[70, 60]))
    assert ranking.table["rank"].tolist() == [2, 2, 2] and np.isnan(ranking.friedman_p)
    assert ranking.table["first"].tolist() == pytest.approx([1 / 3] * 3)


def test_the_best_is_on_top_in_its_color_and_mean_is_hollow():
    ax = draw_ranking(ranked(runs(random=[70, 60], oreal_mean=[90, 80], oreal_max=[95, 85])), Figure().subplots())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["OREAL max", "OREAL mean", "random"] and ax.yaxis_inverted()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [d.get_xdata()[0] for d in dots] == [1, 2, 3]
    assert [d.get_markerfacecolor() for d in dots] == [STRATEGY_COLORS["oreal"], "white", STRATEGY_COLORS["random"]]
