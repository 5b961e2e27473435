import pytest
from by_hand import cells

from oreal_lib.reports import table

NAN = float("nan")


def test_numbers_stand_to_the_right_and_empty_parts_leave_no_gap():
    text = table.markdown(["strategy", "unit", "n"], [["BvSB", "%", "5"]], left=(0, 1))
    assert text == "| strategy | unit | n |\n|---|---|---:|\n| BvSB | % | 5 |" and cells(text)[2] == ["BvSB", "%", "5"]
    assert table.paragraphs("a", "", "b") == "a\n\nb\n"


@pytest.mark.parametrize("mean, sd, text", [(63.25, 0.44, "63.2 ± 0.4"), (63.25, NAN, "63.2"), (NAN, NAN, "-")])
def test_a_spread_is_told_where_there_is_one(mean, sd, text):
    assert table.with_sd(mean, sd) == text


@pytest.mark.parametrize(
    "n, short, words", [(2, "+1.5 ± 0.5 (-3.0 to +6.0)", "95 % interval -3.00 to +6.00"), (1, "+1.5", "one seed")]
)
def test_an_interval_needs_two_seeds(n, short, words):
    d = {"n": n, "mean": 1.5, "sd": 0.5, "low": -3.0, "high": 6.0, "favor": n}
    assert table.with_interval(d, sd=True) == short and table.with_interval(d | {"n": 0}) == "-"
    assert table.in_words(d, "max better", 2).startswith(f"+1.50 (n = {n}, max better in {n}, {words}")
