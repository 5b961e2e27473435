"""CBAL's joint choice against the mixed-integer program it replaces."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from oreal_lib.joint import joint_top
from oreal_lib.lessons.contract import C, bought, judge, pool
from oreal_lib.strategies import STRATEGIES


def cost(uncertainty, p, wanted, lam, ids):
    return -uncertainty[ids].sum() + lam * np.abs(p[ids].sum(axis=0) - wanted).sum()


def optimum(uncertainty, p, wanted, lam, k):
    """The least cost of any k, by a solver: z says who is asked, t_c >= |sum of p_c - wanted_c|."""
    n, c = p.shape
    one, none = np.eye(c), np.zeros(c)
    rules = [
        LinearConstraint(np.concatenate([np.ones(n), none])[None], k, k),
        LinearConstraint(np.hstack([p.T, -one]), -np.inf, wanted),
        LinearConstraint(np.hstack([-p.T, -one]), -np.inf, -wanted),
    ]
    whole, bounds = np.concatenate([np.ones(n), none]), Bounds(0, np.concatenate([np.ones(n), none + np.inf]))
    options = {"mip_rel_gap": 1e-3}
    return milp(
        np.concatenate([-uncertainty, none + lam]), constraints=rules, integrality=whole, bounds=bounds, options=options
    ).fun


def drawn(seed, n, c, k, sharp=1.5):
    """sharp: how sure the predictions are."""
    rng = np.random.default_rng(seed)
    z = sharp * rng.normal(size=(n, c)) + np.linspace(3, -3, c)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    return -(p * np.log(np.maximum(p, 1e-30))).sum(axis=1), p, np.floor(rng.dirichlet(np.ones(c)) * k)


@pytest.mark.parametrize("lam", [0.6, 2.0])
@pytest.mark.parametrize(
    "seed, n, c, k, sharp, near",
    [
        (0, 400, 5, 40, 1.5, 0.02),
        (1, 1000, 10, 100, 1.5, 0.02),
        (2, 600, 19, 60, 1.5, 0.02),
        (3, 200, 4, 20, 8, 0.1),
        (1, 400, 8, 40, 8, 0.1),
    ],
)
def test_the_joint_choice_is_near_the_optimum_and_never_worse_than_one_by_one(seed, n, c, k, sharp, near, lam):
    uncertainty, p, wanted = drawn(seed, n, c, k, sharp)
    query = joint_top(uncertainty, p, wanted, k, np.ones(n, bool), np.random.default_rng(0), lam)
    best = optimum(uncertainty.astype(float), p.astype(float), wanted, lam, k)
    found = cost(uncertainty, p, wanted, lam, query.ids)
    one_by_one = np.argsort(-(uncertainty + 2 * lam * p[:, wanted >= 1].sum(axis=1)))[:k]
    assert best - 2e-3 * abs(best) <= found <= best + near * abs(best) + 1e-3
    assert found <= cost(uncertainty, p, wanted, lam, one_by_one) + 1e-3
    assert len(set(query.ids.tolist())) == k and (np.diff(query.score) <= 0).all()


def test_without_a_weight_on_balance_it_is_the_most_unsure():
    uncertainty, p, wanted = drawn(3, 200, 4, 20)
    among = np.arange(200) % 3 > 0
    query = joint_top(uncertainty, p, wanted, 20, among, np.random.default_rng(0), lam=0)
    assert query.ids.tolist() == sorted(np.flatnonzero(among), key=lambda i: -uncertainty[i])[:20]


def test_cbal_by_batch_comes_nearer_to_what_is_short_than_one_by_one():
    for seed in range(4):
        _, _, regions = pool(seed)
        labels = bought(seed)
        far = {}
        for mode in ("independent", "batch"):
            query = STRATEGIES["cbal"](regions, labels, 9, "mean", np.random.default_rng(0), mode=mode, lam=2.0)
            p = regions(lambda p: p, "mean")[query.ids].sum(axis=0)
            counts = labels.class_counts()
            far[mode] = np.abs(p - np.maximum(0, (counts.sum() + 9) // C - counts)).sum()
        assert far["batch"] <= far["independent"] + 1e-6


@pytest.mark.parametrize("how", ["mean", "max"])
def test_cbal_by_batch_keeps_the_contract(how):
    assert judge(partial(STRATEGIES["cbal"], mode="batch"), how) == []
