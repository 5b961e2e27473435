import itertools
from dataclasses import replace

import by_hand
import numpy as np
import pandas as pd
import pytest

from oreal_lib.reports import verdicts
from oreal_lib.reports.claims import COLUMNS, UNITS, Claim, claims, evidence, rarest_share

CLAIMS = claims()
RNG = np.random.default_rng(0)
NOISE = (0.00, 0.01, -0.01, 0.02)  # of four seeds, the same for all columns of a seed
EVEN = [(50, 50), (100, 100), (150, 150)]


def run(column, seed, curve, counts=EVEN, border=0.5):
    """The rows of one run; 100 clicks for 2 % of the pool in each step."""
    steps, counts = range(1, len(curve) + 1), counts[: len(curve)]
    share = {"labeled_fraction": [0.02 * t for t in steps], "labeled_pixels": [0.02 * t for t in steps]}
    uneven = [abs(a - b) / (a + b) for a, b in counts]
    told = {"clicks": [100 * t for t in steps], "class_counts": list(counts), "imbalance": uneven, "border_share": border}
    return by_hand.run(column, seed, curve, **share, **told)


def whole(gain, columns=COLUMNS):
    """Every column; max is better than mean by gain (one number, or one per seed), random is worst, B is 0.50 and A 0.51."""
    parts = []
    for seed, (noise, better) in enumerate(zip(NOISE, np.broadcast_to(gain, 4), strict=True)):
        for i, column in enumerate(columns):
            last = 0.3 + noise + 0.001 * i + better * column.endswith("max") - 0.1 * (column == "random")
            parts.append(run(column, seed, [0.1, 0.2, last], border=0.4 + better * column.endswith("max")))
        parts += [run("full_dominant", seed, [0.5]), run("full_masks", seed, [0.51])]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    "gain, expected", [(0.05, "supports"), (-0.05, "contradicts"), ((0.05, -0.05, 0.04, -0.04), "cannot decide")]
)
def test_a_verdict_follows_the_sign_of_the_gain(gain, expected):
    of_max_and_mean = (
        "beats mean per click",
        "beats mean per click: CBAL",
        "beats mean per labeled pixel",
        "asks more at true borders",
    )
    assert set(verdicts.judge(whole(gain), RNG).loc[[f"max {name}" for name in of_max_and_mean], "verdict"]) == {expected}


class Turned(Claim):
    def differences(self, seen):
        return -super().differences(seen)


def test_every_claim_with_a_verdict_turns_when_its_differences_do():
    frame = whole((0.05, 0.06, 0.04, 0.05))
    turned = [Turned(**vars(c)) for c in CLAIMS]
    judged, opposite = (verdicts.judge(frame, RNG, these) for these in (CLAIMS, turned))
    other = {"supports": "contradicts", "contradicts": "supports", "cannot decide": "cannot decide"}
    assert judged["verdict"].map(other).equals(opposite["verdict"])
    assert (judged["t_p"].dropna() == opposite["t_p"].dropna()).all() and (judged["verdict"] != "cannot decide").sum() > 20


def test_the_numbers_of_a_claim_by_hand():
    """BvSB max ends 1.1, 2.1 and 3.1 points of mIoU higher: half of that as area, over full supervision B of 50 points."""
    frame = whole((0.01, 0.02, 0.03, 0.03))
    one = verdicts.judge(frame[frame["seed"] < 3], RNG).loc["max beats mean per click: BvSB"]
    assert one["mean"] == pytest.approx(100 * 2.1 / (2 * 2 * 50))
    assert (one["n"], one["favor"], one["flip_p"]) == (3, 3, 0.25)
    assert one["t_p"] == pytest.approx(verdicts.t_p(pd.Series([1.1, 2.1, 3.1])))
    assert one["half"] == pytest.approx(4.3027 * 0.5 / 3**0.5, abs=1e-3)  # t of 2 degrees of freedom, sd 0.5


def test_a_column_that_is_missing_is_named_and_stops_nothing():
    judged = verdicts.judge(whole(0.05, [c for c in COLUMNS if c != "cbal max"]), RNG)
    assert judged.loc["max beats mean per click", ["verdict", "missing", "n"]].tolist() == ["not run", "CBAL max", 0]
    assert judged.loc["max beats mean per click: BvSB", "verdict"] == "supports"
    assert (judged["verdict"] == "not run").sum() == 5 + 5 + 2 + 1 + 1 + 2  # averages, CBAL, of all eleven, four against CBAL max
    text = verdicts.markdown(judged, whole(0.05))
    assert "| max beats mean per click | not run: CBAL max | - | - |" in text and "Not run: max beats mean per click: CBAL;" in text


def test_only_full_supervision_still_gives_table_2():
    judged = verdicts.judge(whole(0.05, []), RNG)
    assert judged["verdict"].value_counts().to_dict() == {"not run": len(CLAIMS) - 1, "supports": 1}


def test_one_seed_decides_nothing():
    frame = whole(0.05)
    judged = verdicts.judge(frame[frame["seed"] == 0], RNG)
    assert set(judged["verdict"]) == {"cannot decide"} and judged[["low", "t_p", "flip_p", "half"]].isna().all(axis=None)
    assert "No claim has two seeds" in verdicts.markdown(judged, frame)


@pytest.mark.parametrize("of_a, expected", [(0.51, "supports"), (0.56, "contradicts")])
def test_a_gap_of_one_point_is_small_and_one_of_six_is_not(of_a, expected):
    parts = [run(c, s, [m + noise]) for s, noise in enumerate(NOISE) for c, m in (("full_masks", of_a), ("full_dominant", 0.5))]
    judged = verdicts.judge(pd.concat(parts), RNG).loc["one label per superpixel costs less than 2.5 points"]
    assert judged["verdict"] == expected and judged["mean"] == pytest.approx(2.5 - 100 * (of_a - 0.5))


NAMED = {c.name: c for c in CLAIMS}


def test_a_run_that_reached_95_percent_beats_one_that_did_not_and_two_that_did_not_say_nothing():
    """B is 0.5, so the line is 0.475: of 6 % of the pool a curve that ends at 0.6 is there after 5 %."""
    there, not_there = [0.1, 0.35, 0.6], [0.1, 0.2, 0.3]
    curves = [(not_there, there), (there, not_there), (not_there, not_there), (there, there), (there, None)]  # by mean, by max
    parts = [run(f"bvsb {how}", s, c) for s, both in enumerate(curves) for how, c in zip(("mean", "max"), both, strict=True) if c]
    parts += [run("full_dominant", s, [0.5]) for s in range(5)]
    claim, seen = NAMED["max reaches 95 % of B sooner: BvSB"], evidence(by_hand.runs(*parts))
    assert claim.differences(seen).fillna(-99).tolist() == pytest.approx([1, -1, -99, 0, -99])
    average = replace(NAMED["max reaches 95 % of B sooner"], pairs=(*claim.pairs, ("bvsb mean", "bvsb max")))
    assert average.measured(seen).endswith("; here 6 pairs of 2 strategies")


def test_a_gain_near_borders_counts_only_above_the_gain_inside():
    """By hand near borders is half of the mIoU, inside all of it: 0.4 more is 0.2 more near and 0.4 more inside."""
    seen = evidence(by_hand.runs(run("bvsb max", 0, [0.2, 0.8]), run("bvsb mean", 0, [0.2, 0.4])))
    assert NAMED["max gains more near borders than inside: BvSB"].differences(seen).tolist() == pytest.approx([-20])


def rivals(**apart):
    """A table of AuALC over three seeds: OREAL max has 70, random 50, others 60, or 70 less the differences given."""
    table = pd.DataFrame(60.0, index=range(3), columns=COLUMNS).assign(**{"oreal max": 70.0, "random": 50.0})
    table = table.assign(**{c.replace("_", " "): 70 - np.array(d) for c, d in apart.items()})
    return pd.concat({"aualc": table}, axis=1, names=["value", "column"])


CLEAR, OPEN, LOST = (9.0, 10.0, 11.0), (-3.0, 1.0, 5.0), (-3.0, -2.0, -4.0)  # 95 %: 10 ± 2.5, 1 ± 9.9, -3 ± 2.5


@pytest.mark.parametrize(
    "apart, expected, rival",
    [
        ({"cbal_max": CLEAR, "bvsb_mean": (4.0, 5.0, 6.0)}, "supports", "BvSB mean"),
        ({"cbal_max": CLEAR, "bvsb_mean": OPEN}, "cannot decide", "BvSB mean"),
        ({"cbal_max": LOST, "bvsb_mean": OPEN}, "contradicts", "CBAL max"),  # although the interval of BvSB mean reaches lower
    ],
)
def test_the_best_of_all_must_beat_every_rival_and_is_refuted_by_one(apart, expected, rival, monkeypatch):
    monkeypatch.setattr(verdicts, "evidence", lambda seen: seen)
    seen = rivals(**apart)
    seen["aualc", "full_dominant"] = 100.0
    row = verdicts.judge(seen, RNG, [NAMED["OREAL max is the best of all eleven"]]).iloc[0]
    assert row["verdict"] == expected and row["measured"].endswith(f"; here OREAL max - {rival}")


def test_a_wide_interval_above_0_is_harder_than_a_narrow_one_that_ends_lower():
    """6 ± 5.0 and 1 ± 0.5: the second reaches lower, but the first has the larger p-value, which Holm's correction needs."""
    seen = rivals(cbal_max=(4.0, 6.0, 8.0), bvsb_mean=(0.8, 1.0, 1.2))
    assert NAMED["OREAL max is the best of all eleven"].measured(seen).endswith("; here OREAL max - CBAL max")


def test_the_share_of_the_class_that_lacks_most_is_of_what_could_be_bought():
    """Of the second class the pool has 80: an equal share after 100 and 200 labels is 50 and 100, so 50 and 80 could be bought."""
    counts = {"oreal max": [(90, 10), (140, 60), (224, 76)], "random": [(90, 10), (180, 20), (260, 40)]}
    frame = pd.concat(
        [*(run(c, 0, [0.1, 0.2, 0.3], counts=n) for c, n in counts.items()), run("full_dominant", 0, [0.5], [(900, 80)])]
    )
    paid = frame[frame["column"] == "oreal max"]
    assert rarest_share(frame)[: len(paid)].tolist() == pytest.approx([20, 75, 95])
    assert rarest_share(paid).isna().all()  # without B nobody knows what the pool has
    seen = evidence(frame.reset_index(drop=True))
    assert NAMED["later steps make up for what the class debts missed"].differences(seen).tolist() == pytest.approx([20 - 25])
    gains = NAMED["the class that lacks most gains from the first step to the last"]
    assert gains.differences(seen).tolist() == pytest.approx([75])
    assert "full_dominant" in gains.columns and "nothing" not in gains.columns
    # step 2 owes (10, 90) and gets (50, 50): 40 of 100 astray; step 3 owes (10, 90) and gets (84, 16): 74 of 100
    assert seen.loc[0, ("deviation", "oreal max")] == pytest.approx(57)


def test_runs_that_a_claim_cannot_tell_apart_are_refused():
    frame = whole(0.05)
    with pytest.raises(ValueError, match=r"of toy, net; toy, other, but claims are judged for one"):
        evidence(pd.concat([frame, frame.assign(model="other")]))
    with pytest.raises(ValueError, match=r"2 runs have column full_masks, seed 0 .*make one grid"):
        evidence(pd.concat([frame, run("full_masks", 0, [0.6]).assign(run_id="twin")]))


@pytest.mark.parametrize("d, p", [([1, 2, 3], 2 / 8), ([3, 1, -1], 6 / 8), ([1, 1, 1, 1, 1], 2 / 32), ([0, 0], 1), ([1, -1], 1)])
def test_sign_flip_p_by_hand(d, p):
    assert verdicts.sign_flip_p(d, RNG) == pytest.approx(p)


def test_sign_flip_p_is_the_share_of_all_signs_that_are_as_extreme():
    d = np.random.default_rng(1).normal(0.5, 1, 7)
    means = [np.mean(d * signs) for signs in itertools.product([1, -1], repeat=7)]
    assert verdicts.sign_flip_p(d, RNG) == pytest.approx(np.mean(np.abs(means) >= abs(d.mean()) - 1e-12))


def test_with_many_seeds_the_sign_flip_p_is_drawn():
    assert verdicts.sign_flip_p(np.ones(20), np.random.default_rng(0)) == pytest.approx(2 / 100_001)


def test_t_test_by_hand():
    """Mean 2, standard error 1/sqrt(3), 2 degrees of freedom: t = 3.464, p = 1 - t/sqrt(t^2 + 2)."""
    assert verdicts.t_p(pd.Series([1.0, 2.0, 3.0])) == pytest.approx(1 - (12 / 14) ** 0.5)


def test_holm_by_hand():
    assert verdicts.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert verdicts.holm([0.5, np.nan, 0.6]).tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize("n, p, seeds", [(5, "0.0625", "6"), (3, "0.25", "6")])
def test_what_few_seeds_cannot_show_is_said(n, p, seeds):
    said = verdicts.limits(pd.DataFrame({"n": [n, 0]}))
    assert f"with n = {n} its smallest two-sided p is {p}, so it can decide nothing at 5 % (that takes {seeds} seeds" in said


def test_the_tally_counts_before_and_after_the_correction_and_the_papers_claims_apart():
    said = ["supports", "supports", "contradicts", "cannot decide", "not run"]
    judged = pd.DataFrame({"verdict": said, "n": [5, 5, 5, 5, 0], "t_p": [0.001, 0.03, 0.04, 0.5, np.nan]}, list("abcde"))
    judged = judged.assign(t_holm=verdicts.holm(judged["t_p"]), flip_holm=[0.25, 0.25, 0.25, 0.5, np.nan], ours=False)
    assert verdicts.tally(judged) == (
        "Of 5 central claims of the paper our runs support 2, contradict 1 and cannot decide 1 (1 was not run). After Holm's "
        "correction for 4 tests (t-test) they support 1, contradict 0 and cannot decide 3 (1 was not run) of the paper's; it leaves "
        "open: b; c. Sign flips can decide nothing with n = 5."
    )
    judged = judged.assign(n=10, flip_holm=[0.01, 0.04, 0.06, 0.5, np.nan], ours=[True, False, False, False, False])
    said = verdicts.tally(judged)
    assert said.startswith("Of 4 central claims of the paper our runs support 1, ") and "Of 1 of our own they support 1, " in said
    assert said.endswith("Sign flips, so corrected, support 1, contradict 0 and cannot decide 2 (1 was not run).")


def test_claims_say_what_the_paper_has_and_two_are_ours():
    assert len({c.name for c in CLAIMS}) == len(CLAIMS)
    assert all(c.paper and c.sentence and c.value in UNITS for c in CLAIMS)
    assert {c.name for c in CLAIMS if c.central and c.ours} == {"max beats mean per labeled pixel", "every strategy beats random"}
    assert [c.sentence.startswith('"') for c in CLAIMS] == [not c.ours for c in CLAIMS]
