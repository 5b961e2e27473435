"""From scores to a query, for any table, budget and class counts: the sums, the ranks, the lots, and what is refused."""

import math

import numpy as np
import pytest
import torch
from generated import FLOATS, HOWS, NUMBERS, SEEDS, VALUES, every, pools, refusal, score_tables, some_of
from hypothesis import strategies as st

from oreal_lib import select
from oreal_lib.aggregate import Regions
from oreal_lib.balance import class_debt, shortfall
from oreal_lib.joint import joint_top
from oreal_lib.select import top, top_per_class
from oreal_lib.strategies import STRATEGIES, check
from oreal_lib.types import Labels, Ragged, Superpixels

COUNTS = st.lists(st.integers(0, 60) | st.sampled_from([0, 10**6, 2**48]), min_size=1, max_size=12)
BUDGETS = st.integers(0, 150)


# ---- what each class is owed


@every(counts=COUNTS, budget=BUDGETS)
def test_debts_are_the_budget_spent_click_by_click_on_the_rarest_class(counts, budget):
    debt, level = class_debt(np.array(counts), budget), list(counts)
    for _ in range(budget):
        level[min(range(len(level)), key=lambda c: (level[c], counts[c], c))] += 1
    assert debt.tolist() == [after - before for after, before in zip(level, counts, strict=True)] and debt.dtype == np.int64


@every(counts=COUNTS, budget=BUDGETS | st.sampled_from([2**31, 2**48]))
def test_the_classes_that_are_owed_something_end_level_and_none_above_the_others(counts, budget):
    """OREAL Eq. 3: the lowest count is as high as the budget allows."""
    counts = np.array(counts)
    debt = class_debt(counts, budget)
    after, owed = counts + debt, debt > 0
    assert debt.sum() == budget and (debt >= 0).all()
    if owed.any():
        assert after[owed].max() - after[owed].min() <= 1
        assert (after[~owed] >= after[owed].max() - 1).all()


@every(counts=COUNTS, budget=st.integers(1, 100), data=st.data())
def test_with_a_cap_no_class_is_owed_more_and_nothing_is_lost(counts, budget, data):
    share = data.draw(st.floats(1 / len(counts), 1))
    counts = np.array(counts)
    debt = class_debt(counts, budget, share)
    cap = math.ceil(share * budget)
    assert debt.sum() == budget and (debt >= 0).all() and debt.max() <= cap
    open_ = debt < cap  # those that could take more end level, as far as they are owed anything
    after = (counts + debt)[open_ & (debt > 0)]
    assert not len(after) or after.max() - after.min() <= 1
    assert class_debt(counts, budget, 1.0).tolist() == class_debt(counts, budget).tolist()


@every(counts=COUNTS, budget=BUDGETS)
def test_a_shortfall_is_what_lacks_to_an_equal_share_of_all(counts, budget):
    share = (sum(counts) + budget) // len(counts)
    assert shortfall(np.array(counts), budget).tolist() == [max(0, share - n) for n in counts]


WRONG = NUMBERS.filter(lambda n: not 0 <= n <= 2**48) | FLOATS | st.none() | st.text(max_size=3) | st.booleans()


@every(counts=COUNTS, wrong=WRONG, data=st.data(), debt=st.sampled_from([class_debt, shortfall]))
def test_counts_and_budgets_that_are_none_are_refused(counts, wrong, data, debt):
    where = data.draw(st.integers(0, len(counts)))
    if where == len(counts):
        said = refusal(lambda: debt(np.array(counts), wrong))
        assert said and said.startswith("budget is") and "mend query_size" in said
    elif not isinstance(wrong, bool):  # among numbers, numpy takes it for one
        said = refusal(lambda: debt([*counts[:where], wrong, *counts[where + 1 :]], 3))
        assert said and said.startswith("class counts must be C numbers >= 0, got [") and "whole" in said


@every(counts=COUNTS, budget=BUDGETS, share=FLOATS)
def test_a_cap_out_of_range_is_refused(counts, budget, share):
    said = refusal(lambda: class_debt(counts, budget, share))
    assert (said is None) == (1 / len(counts) <= share <= 1)
    assert said is None or (f"max_share is {share}" in said and "it must be in [1/" in said)


# ---- the highest


def sorted_whole(score, debt, among, rng, order):
    """Algorithm 1 with a full sort of every column."""
    ids, taken, parts = rng.permutation(np.flatnonzero(among)), np.zeros(len(among), bool), []
    for c in order:
        ids = ids[~taken[ids]]
        parts.append(ids[np.argsort(-score[ids, c], kind="stable")[: debt[c]]])
        taken[parts[-1]] = True
    return np.concatenate(parts).tolist()


@every(score=score_tables(), data=st.data(), rows=st.sampled_from([1, 5, 1 << 16]))
def test_a_query_is_what_sorting_every_column_gives_ties_and_all(score, data, rows):
    among, seed = some_of(data.draw, len(score)), data.draw(SEEDS)
    k = data.draw(st.integers(1, int(among.sum())))
    rng = np.random.default_rng(seed)
    debt, order = rng.multinomial(k, rng.dirichlet(np.ones(score.shape[1]))), rng.permutation(score.shape[1])
    before, select.ROWS = select.ROWS, rows
    try:
        query = top_per_class(score, debt, among, np.random.default_rng(seed), order)
        single = top(score[:, 0], k, among, np.random.default_rng(seed))
    finally:
        select.ROWS = before
    assert query.ids.tolist() == sorted_whole(score, debt, among, np.random.default_rng(seed), order)
    assert single.ids.tolist() == sorted_whole(score, [k], among, np.random.default_rng(seed), [0])
    assert len(set(query.ids.tolist())) == k == len(query.ids) and among[query.ids].all()
    assert np.bincount(query.for_class, minlength=len(debt)).tolist() == debt.tolist()
    assert (query.score == score[query.ids, query.for_class]).all() and query.ids.dtype == np.int64


@every(data=st.data(), n=st.integers(1, 30), kind=st.sampled_from(["bool", "uint8", "int16", "int64", "float16", "float64"]))
def test_scores_of_any_kind_of_number_rank_as_numbers(data, n, kind):
    score = np.random.default_rng(data.draw(SEEDS)).integers(0, 300, n).astype(kind)
    seed, k = data.draw(SEEDS), data.draw(st.integers(1, n))
    found, expected = (top(s, k, np.ones(n, bool), np.random.default_rng(seed)) for s in (score, score.astype(np.float64)))
    assert found.ids.tolist() == expected.ids.tolist() and found.score.dtype == np.float32


@every(score=score_tables(), data=st.data())
def test_a_nan_that_could_be_asked_is_named_and_one_that_could_not_is_not_looked_at(score, data):
    among = some_of(data.draw, len(score))
    row, column = data.draw(st.integers(0, len(score) - 1)), data.draw(st.integers(0, score.shape[1] - 1))
    score[row, column] = np.nan
    debt = np.zeros(score.shape[1], np.int64)
    debt[data.draw(st.integers(0, len(debt) - 1))] = 1
    said = refusal(lambda: top_per_class(score, debt, among, np.random.default_rng(0)))
    assert (said is not None) == bool(among[row] and debt[column])
    assert said is None or f"superpixel {row}, column {column}, is NaN" in said


@every(score=score_tables(), data=st.data())
def test_a_question_that_does_not_fit_the_table_is_refused(score, data):
    n, c = score.shape
    among, rng = np.ones(n, bool), np.random.default_rng(0)
    k = data.draw(NUMBERS.filter(lambda k: not 1 <= k <= n) | FLOATS | st.none() | st.text(max_size=2) | st.booleans())
    assert "asked for" in refusal(lambda: top(score[:, 0], k, among, rng))
    debt = [data.draw(st.integers(0, 1)) for _ in range(c)]
    debt[0] = data.draw(st.sampled_from([-1, 0.5, float("nan"), n + 1, "x", None]))
    assert refusal(lambda: top_per_class(score, np.array(debt), among, rng))
    assert "debt is" in refusal(lambda: top_per_class(score, np.array([1] * (c + 1)), among, rng))
    order = data.draw(st.lists(st.integers(-1, c), max_size=c + 1).filter(lambda o: sorted(o) != list(range(c))))
    debt = np.eye(c, dtype=int)[0]
    assert "class_order is" in refusal(lambda: top_per_class(score, debt, among, rng, order))
    assert "superpixels; give each" in refusal(lambda: top(score[:, 0], 1, np.ones(n + 1, bool), rng))


@every(data=st.data(), n=st.integers(1, 25), c=st.integers(1, 4), lam=st.sampled_from([0.0, 0.1, 1.0, 1000.0]))
def test_a_query_chosen_as_a_whole_is_no_worse_than_the_highest_alone(data, n, c, lam):
    rng = np.random.default_rng(data.draw(SEEDS))
    unsure, p = rng.random(n).astype(np.float32), rng.dirichlet(np.ones(c) * rng.choice([0.05, 1]), n).astype(np.float32)
    among = some_of(data.draw, n)
    k = data.draw(st.integers(1, int(among.sum())))
    wanted = rng.integers(0, 2 * k + 1, c)

    def cost(ids):
        return lam * np.abs(p[ids].astype(float).sum(axis=0) - wanted).sum() - unsure[ids].astype(float).sum()

    query = joint_top(unsure, p, wanted, k, among, np.random.default_rng(1), lam)
    alone = top(unsure + 2 * lam * p[:, wanted >= 1].sum(axis=1), k, among, np.random.default_rng(1))
    assert len(set(query.ids.tolist())) == k and among[query.ids].all()
    assert cost(query.ids) <= cost(alone.ids) + 1e-4 * max(1, lam) * k
    if k == among.sum() or lam == 0:
        assert sorted(query.ids) == sorted(top(unsure, k, among, np.random.default_rng(1)).ids)


# ---- strategies


@every(pool=pools(), data=st.data(), name=st.sampled_from(list(STRATEGIES)), how=st.sampled_from(HOWS))
def test_every_strategy_asks_so_many_distinct_unlabeled_superpixels_of_any_pool(pool, data, name, how):
    maps, predictions = pool
    superpixels = Superpixels.from_maps(Ragged(tuple(m.astype(np.uint16) for m in maps)))
    c, n, rng = len(predictions[0]), len(superpixels), np.random.default_rng(data.draw(SEEDS))
    regions, seed = Regions(lambda: iter(predictions), superpixels, c), data.draw(SEEDS)
    bought = rng.permutation(n)[: data.draw(st.integers(0, n - 1))]
    answers = rng.random((len(bought), c)) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    void = data.draw(st.booleans())  # the last output, where it is an answer, too
    labels = Labels.none(n, c - void, void).reveal(bought, answers, 1)
    budget = data.draw(st.integers(1, n - len(bought)))
    query = STRATEGIES[name](regions, labels, budget, how, np.random.default_rng(seed))
    assert query.ids.dtype == np.int64 and len(set(query.ids.tolist())) == budget == len(query.ids)
    assert labels.unlabeled[query.ids].all()
    assert query.score.dtype == np.float32 and query.score.shape == (budget,) and np.isfinite(query.score).all()
    if query.for_class is not None:
        owed = np.append(class_debt(labels.class_counts(), budget), [0] * void)
        assert np.bincount(query.for_class, minlength=c).tolist() == owed.tolist()
    else:
        assert (np.diff(query.score) <= 0).all()
    again = STRATEGIES[name](regions, labels, budget, how, np.random.default_rng(seed))
    assert again.ids.tolist() == query.ids.tolist()
    with pytest.raises(ValueError, match=f"asked for {n - len(bought) + 1} superpixels, but only {n - len(bought)}"):
        STRATEGIES[name](regions, labels, n - len(bought) + 1, how, np.random.default_rng(seed))


OPTIONS = ("nu", "lam", "mode", "form", "max_share", "class_order", "temperature", "x")
GOOD = ["index", "rarest_first", "batch", "independent", "ratio", "margin", None]


@every(
    name=st.sampled_from(list(STRATEGIES)),
    how=st.sampled_from([*HOWS, "median", "power_0"]),
    options=st.dictionaries(st.sampled_from(OPTIONS), st.sampled_from(GOOD) | FLOATS | VALUES, max_size=2),
    c=st.sampled_from([1, 2, 3, 256]),
)
def test_options_are_refused_before_the_first_step_or_work_in_every_later_one(name, how, options, c):
    said = refusal(lambda: check(name, how, options, c))
    if said is None:
        rng = np.random.default_rng(0)
        superpixels = Superpixels.from_maps(np.arange(12, dtype=np.uint16).reshape(1, 3, 4))
        p = torch.from_numpy(rng.dirichlet(np.ones(c) / 9, 12).T.astype(np.float32).reshape(c, 3, 4).copy())
        labels = Labels.none(12, c).reveal(np.array([3]), np.eye(c, dtype=bool)[:1], 1)
        query = STRATEGIES[name](Regions(lambda: iter([p]), superpixels, c), labels, 5, how, rng, **options)
        assert len(set(query.ids.tolist())) == 5 and np.isfinite(query.score).all()
