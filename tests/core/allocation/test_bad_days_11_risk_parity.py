"""Risk parity converges on every covariance, says what it gives under a cap, and no answer counts unproven."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize

from quant_core.allocation.cone import equal_risk, excess_variance, least_variance, unequal_risk
from quant_core.allocation.optimise import covariance, optimised, proven, shrunk_covariance
from quant_core.allocation.strategies.equal_risk_contribution import equal_risk_weights
from quant_core.allocation.strategies.min_variance import min_variance_weights
from quant_core.dense import Floats
from quant_core.errors import DataError

SIZES = (2, 3, 10, 50, 100, 300)


def draw(n: int, seed: int, market: float = 0.01) -> Floats:
    """(252, n) returns with one common factor; betas and own volatilities differ."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, market, (252, 1)) * rng.uniform(0.5, 1.5, n)
    return common + rng.normal(0, 0.012, (252, n)) * rng.uniform(0.5, 2.0, n)


def plain(n: int, seed: int) -> Floats:
    return np.cov(draw(n, seed).T) + 1e-6 * np.eye(n)


def nearly_singular(n: int, seed: int) -> Floats:
    """Fewer sessions than names, and two names that are almost one."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((max(n // 2, 2), n))
    returns[:, 1] = returns[:, 0] + 1e-5 * rng.standard_normal(len(returns))
    return returns.T @ returns / len(returns) + 1e-5 * np.eye(n)


def one_name_far_calmer(n: int, seed: int) -> Floats:
    scale = np.ones(n)
    scale[0] = 1e-3
    return plain(n, seed) * np.outer(scale, scale)


def volatilities_from_a_hundredth_to_a_hundred(n: int, seed: int) -> Floats:
    scale = 10.0 ** np.random.default_rng(seed).uniform(-2, 2, n)
    return plain(n, seed) * np.outer(scale, scale)


KINDS = (plain, nearly_singular, one_name_far_calmer, volatilities_from_a_hundredth_to_a_hundred)


def shares(weights: Floats, risk: Floats) -> Floats:
    part = weights * (risk @ weights)
    return part / part.sum()


# ---- the case that took every other strategy down -----------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, 4])
def test_300_names_that_another_solver_gives_up_on_have_equal_risk_contributions(seed: int) -> None:
    returns = draw(300, seed)
    weights = equal_risk_weights(returns, 0.05)
    assert shares(weights, covariance(returns)) == pytest.approx(np.full(300, 1 / 300), abs=1e-10)


# ---- without a cap ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", SIZES)
def test_risk_contributions_are_equal_to_ten_digits(kind: Callable[[int, int], Floats], n: int) -> None:
    for seed in range(2 if n > 100 else 6):
        risk = kind(n, 1000 * n + seed)
        weights = equal_risk(risk, 1.0)
        assert weights.min() > 0.0
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        assert shares(weights, risk) == pytest.approx(np.full(n, 1 / n), abs=1e-10)


def test_closed_forms() -> None:
    """For two names, and where all correlations are the same, risk parity is inverse volatility."""
    volatility = np.array([0.1, 0.2, 0.3, 0.7])
    inverse = 1 / volatility / (1 / volatility).sum()
    for rho in (0.0, 0.5, -0.2, 0.99):
        risk = np.outer(volatility, volatility) * (rho + (1 - rho) * np.eye(4))
        assert equal_risk(risk, 1.0) == pytest.approx(inverse, abs=1e-12)
    two = np.array([[0.04, -0.05], [-0.05, 0.09]])
    assert equal_risk(two, 1.0) == pytest.approx([0.6, 0.4], abs=1e-12)


def test_the_answer_follows_the_names_and_not_their_unit_or_order() -> None:
    risk = plain(12, 5)
    weights, order = equal_risk(risk, 0.1), np.random.default_rng(0).permutation(12)
    assert equal_risk(1e-8 * risk, 0.1) == pytest.approx(weights, abs=1e-12)
    assert equal_risk(risk[np.ix_(order, order)], 0.1) == pytest.approx(weights[order], abs=1e-9)
    scale = np.linspace(0.5, 2, 12)
    leveraged = equal_risk(risk * np.outer(scale, scale), 1.0) * scale
    assert leveraged / leveraged.sum() == pytest.approx(equal_risk(risk, 1.0), abs=1e-12)


# ---- under a cap --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", SIZES)
def test_under_a_cap_the_others_share_what_the_capped_names_do_not_add(
    kind: Callable[[int, int], Floats], n: int
) -> None:
    """w_i (C w)_i = a + b w_i below the cap with b >= 0, less than that at the cap: the conditions, solved by hand."""
    for room in (1.02, 1.5, 3.0) if n <= 100 else (1.5,):
        cap = min(1.0, room / n)
        risk = kind(n, n)
        free, weights = equal_risk(risk, 1.0), equal_risk(risk, cap)
        assert weights.sum() == pytest.approx(1.0, abs=1e-8)
        assert weights.min() > 0.0
        assert weights.max() <= cap
        if free.max() <= cap:
            assert weights.tolist() == free.tolist()
            continue
        share = shares(weights, risk)
        capped = weights > cap - 1e-7
        assert capped.any()
        slope = (share[~capped] - 1 / n).sum() / weights[~capped].sum() if (~capped).any() else 1.0
        assert slope > -1e-9
        assert share[~capped] == pytest.approx(1 / n + slope * weights[~capped], abs=1e-8)
        assert (share[capped] <= 1 / n + slope * cap + 1e-8).all()


def test_of_the_portfolios_within_the_cap_that_are_spread_as_much_none_varies_less() -> None:
    risk, cap = plain(5, 8), 0.23
    weights = equal_risk(risk, cap)
    assert (weights > cap - 1e-9).any()
    assert (weights < cap - 0.01).any()
    found = minimize(
        lambda w: 1e4 * w @ risk @ w, np.full(5, 0.2), bounds=[(0.01, cap)] * 5, method="SLSQP",
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1},
                     {"type": "ineq", "fun": lambda w: np.log(w).sum() - np.log(weights).sum()}],
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert found.success
    assert 1e4 * weights @ risk @ weights == pytest.approx(found.fun, rel=1e-8)
    assert weights == pytest.approx(found.x, abs=1e-4)


def test_a_cap_that_binds_by_hand() -> None:
    """Three uncorrelated names, volatilities 1, 4, 4 and a cap of a half: the calm one is at it, the others alike."""
    risk = np.diag([1.0, 16.0, 16.0])
    assert equal_risk(risk, 1.0) == pytest.approx([2 / 3, 1 / 6, 1 / 6], abs=1e-12)
    assert equal_risk(risk, 0.5) == pytest.approx([0.5, 0.25, 0.25], abs=1e-9)
    assert equal_risk(risk, 0.34) == pytest.approx([0.34, 0.33, 0.33], abs=1e-9)


@pytest.mark.parametrize("weigh", [equal_risk_weights, min_variance_weights])
@pytest.mark.parametrize("spare", [1e-7, 1e-5, 1e-3])
def test_a_cap_with_hardly_any_room_leaves_equal_weights(
    weigh: Callable[[Floats, float], Floats], spare: float
) -> None:
    weights = weigh(draw(5, 3), 0.2 + spare)
    assert weights == pytest.approx(np.full(5, 0.2), abs=5 * spare)
    assert weights.max() <= 0.2 + spare


@pytest.mark.parametrize("cap", [1.0, 0.13, 0.105])
@pytest.mark.parametrize("seed", range(4))
def test_skfolio_agrees_where_it_succeeds(seed: int, cap: float) -> None:
    from skfolio.optimization import RiskBudgeting

    returns = draw(10, 50 + seed)
    theirs = optimised(RiskBudgeting(prior_estimator=shrunk_covariance(), max_weights=cap), returns, cap)
    ours = equal_risk_weights(returns, cap)
    assert ours == pytest.approx(theirs, abs=1e-5)
    risk = covariance(returns)
    assert unequal_risk(ours, risk, cap) <= unequal_risk(theirs, risk, cap) + 1e-12


# ---- minimum variance by the same method --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 12, 60])
@pytest.mark.parametrize("seed", range(3))
def test_the_least_variance_under_a_cap_is_proven_and_what_skfolio_finds(n: int, seed: int) -> None:
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    returns, cap = draw(n, 10 * n + seed), min(1.0, (1.5, 3.0, 1.05)[seed] / n)
    risk = covariance(returns)
    weights = least_variance(risk, cap)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert weights.min() >= 0.0
    assert weights.max() <= cap
    assert excess_variance(weights, risk, cap) < 1e-9
    estimator = MeanRisk(
        objective_function=ObjectiveFunction.MINIMIZE_RISK, prior_estimator=shrunk_covariance(), max_weights=cap,
        solver_params={"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10},
    )  # fmt: skip
    theirs = optimised(estimator, returns, cap)
    assert weights == pytest.approx(theirs, abs=2e-5)
    assert weights @ risk @ weights <= theirs @ risk @ theirs * (1 + 1e-6)


def test_the_excess_of_variance_is_the_duality_gap_by_hand() -> None:
    """C = diag(1, 3) is least at (3/4, 1/4); at (1/2, 1/2) the slope is (1/2, 3/2) and 2 (1 - 1/2) / 1 may be saved."""
    risk = np.diag([1.0, 3.0])
    assert excess_variance(np.array([0.75, 0.25]), risk, 1.0) == pytest.approx(0.0, abs=1e-15)
    assert excess_variance(np.array([0.5, 0.5]), risk, 1.0) == pytest.approx(1.0)
    assert excess_variance(np.array([0.5, 0.5]), risk, 0.5) == pytest.approx(0.0, abs=1e-15)  # nothing else is allowed
    assert excess_variance(np.array([0.5, 0.5]), risk, 0.6) == pytest.approx(2 * (1 - 0.6 * 0.5 - 0.4 * 1.5))


def test_the_miss_of_equal_risk_by_hand() -> None:
    risk = np.diag([1.0, 4.0])
    assert unequal_risk(np.array([2 / 3, 1 / 3]), risk, 1.0) == pytest.approx(0.0, abs=1e-15)
    assert unequal_risk(np.array([0.5, 0.5]), risk, 1.0) == pytest.approx(0.3)  # shares of 0.2 and 0.8
    assert unequal_risk(np.array([0.6, 0.4]), risk, 0.6) == pytest.approx(0.0, abs=1e-15)  # capped, and less than half
    assert unequal_risk(np.array([0.3, 0.7]), risk, 0.7) > 0.5  # at the cap with too much of the risk


# ---- which answer counts ------------------------------------------------------------------------------------------


def test_an_answer_counts_for_what_it_proves_and_the_next_solver_is_asked_otherwise() -> None:
    def broken() -> Floats:
        raise DataError("ended optimal_inaccurate")

    def singular() -> Floats:
        raise np.linalg.LinAlgError("Singular matrix")

    good, poor, close = (np.array([a, 1 - a]) for a in (0.5, 0.6, 0.5 + 1e-6))

    def miss(weights: Floats) -> float:
        return float(abs(weights[0] - 0.5))

    assert proven({"a": broken, "b": singular, "c": lambda: poor, "d": lambda: good}, miss) is good
    assert proven({"a": lambda: close, "b": lambda: good}, miss) is close
    wanted = (
        r"no solver found weights \(a: ended .*inaccurate; b: misses the optimum by 0.1 .* wanted 1e-05\); look for"
    )
    with pytest.raises(DataError, match=wanted):
        proven({"a": broken, "b": lambda: poor}, miss)


@pytest.mark.parametrize(
    ("weigh", "solver"), [(equal_risk_weights, "equal_risk"), (min_variance_weights, "least_variance")]
)
def test_skfolio_is_the_second_solver(
    weigh: Callable[[Floats, float], Floats], solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = draw(8, 1)
    wanted = weigh(returns, 0.2)

    def hopeless(risk: Floats, cap: float) -> Floats:
        raise DataError("gave up")

    monkeypatch.setitem(weigh.__globals__, solver, hopeless)
    assert weigh(returns, 0.2) == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(DataError, match=r"interior point: gave up; skfolio: .* found no weights"):
        weigh(returns, 0.1)  # eight names of a tenth


@pytest.mark.parametrize("weigh", [equal_risk_weights, min_variance_weights])
@pytest.mark.parametrize(
    "returns",
    [
        np.zeros((252, 5)),
        np.where(np.arange(5) == 2, np.nan, draw(5, 0)),
        np.where(np.arange(5) == 2, np.inf, draw(5, 0)),
    ],
)
def test_returns_that_say_nothing_are_an_error(weigh: Callable[[Floats, float], Floats], returns: Floats) -> None:
    with pytest.raises(DataError, match="all 0 or not finite; look for absurd returns"):
        weigh(returns, 0.5)


@pytest.mark.parametrize("solve", [equal_risk, least_variance])
def test_a_cap_without_room_or_a_covariance_that_is_none_is_an_error(solve: Callable[[Floats, float], Floats]) -> None:
    with pytest.raises(DataError, match=r"5 weights of at most 0.2 have no sum of 1"):
        solve(np.eye(5), 0.2)
    for risk in (
        np.diag([1.0, 0.0]),
        np.diag([1.0, -1.0]),
        np.diag([1.0, np.nan]),
        np.array([[1, np.inf], [np.inf, 1]]),
    ):
        with pytest.raises(DataError, match="has a variance of"):
            solve(risk, 1.0)
    with pytest.raises(DataError, match=r"missed|singular"):
        equal_risk(np.array([[1.0, -1.0], [-1.0, 1.0]]), 1.0)  # a portfolio without risk: nothing to share
