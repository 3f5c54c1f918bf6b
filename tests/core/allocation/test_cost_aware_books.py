"""Books that weigh costs: the closed form, the optimiser against other solvers, no trade that does not pay, the share
of a volatility target."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from allocation_cases import held, loose
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.allocation import AllocationConfig, target_weights
from quant_core.allocation.net_utility import Problem, most_net_utility
from quant_core.allocation.strategies.cost_aware_mean_variance import expected_returns
from quant_core.allocation.strategies.partial_adjustment import trading_rate
from quant_core.allocation.strategy import decision_inputs
from quant_core.allocation.targets import decide
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.schema import CASH

FIRST, LAST = date(2021, 1, 1), date(2021, 3, 31)


def test_the_trading_rate_by_hand() -> None:
    """g = 5, l = 0.2 / 0.02 = 10: a = (sqrt(25 + 200) - 5) / 2 = 5, half the way."""
    assert trading_rate(5.0, 0.02, 0.2) == pytest.approx(0.5)
    assert trading_rate(5.0, 0.02, 1e-9) == pytest.approx(1.0, abs=1e-6)
    assert trading_rate(5.0, 0.02, 1e6) < 1e-3
    assert trading_rate(5.0, 0.02, 0.2, discount=0.02) < 0.5  # the future counts less, so does getting there


def first_trade(covariance: Floats, expected: Floats, aversion: float, cost: float, periods: int) -> Floats:
    """x_1 of least sum_t g / 2 x_t' S x_t - r' x_t + l / 2 dx_t' S dx_t from x_0 = 0, by one linear system."""
    difference = np.eye(periods) - np.eye(periods, k=-1)
    matrix = np.kron(aversion * np.eye(periods) + cost * difference.T @ difference, covariance)
    return np.linalg.solve(matrix, np.tile(expected, periods))[: len(expected)]


def test_partial_adjustment_is_the_best_plan_of_two_assets() -> None:
    covariance, expected = np.array([[0.04, 0.01], [0.01, 0.09]]), np.array([0.02, 0.05])
    aversion, cost = 5.0, 23.0
    aim = np.linalg.solve(aversion * covariance, expected)
    rate = trading_rate(aversion, 0.04, cost * 0.04)
    np.testing.assert_allclose(first_trade(covariance, expected, aversion, cost, 400), rate * aim, rtol=1e-10)


def weights_on(table: pl.DataFrame, day: date) -> dict[str, float]:
    rows = table.filter(pl.col("date") == day, pl.col("ticker") != CASH)
    return dict(zip(rows["ticker"], rows["weight"], strict=True))


def test_a_dear_book_moves_little(prices: pl.DataFrame, forecasts: pl.DataFrame) -> None:
    def turnover(cost: float) -> float:
        config = loose(
            top_n=2, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, book_models=("ridge",),
            strategies=("partial_adjustment",), quadratic_cost=cost, half_life_sessions=3.0, min_position=0.0,
        )  # fmt: skip
        table = held(target_weights(prices, forecasts, config, FIRST, LAST))
        wide = table.pivot(on="ticker", index="date", values="weight").sort("date").fill_null(0.0).drop("date")
        return float(np.abs(np.diff(wide.to_numpy(), axis=0)).sum())

    cheap, usual, dear = turnover(1e-6), turnover(0.05), turnover(5.0)
    assert dear < 0.4 * usual < 0.4 * cheap


def problem(seed: int, n: int = 6, **more: object) -> Problem:
    rng = np.random.default_rng(seed)
    root = rng.normal(0.0, 0.2, (n, 3 * n))
    weights = rng.dirichlet(np.ones(n))
    return replace(
        Problem(
            expected=rng.normal(0.0, 0.1, n), covariance=root @ root.T / n, held=weights, cost=0.02, risk_aversion=4.0,
            cap=np.full(n, max(0.4, weights.max())),
        ),
        **more,
    )  # fmt: skip


def utility(p: Problem, weights: Floats) -> float:
    """a' w - g / 2 w' C w - c sum |w - held|."""
    paid = p.cost * float(np.abs(weights - p.held).sum())
    return float(p.expected @ weights) - p.risk_aversion / 2.0 * float(weights @ p.covariance @ weights) - paid


def by_cvxpy(p: Problem) -> Floats:
    import cvxpy as cp

    w = cp.Variable(len(p.expected))
    risk = cp.quad_form(w, cp.psd_wrap(p.covariance)) - (0.0 if p.hedged is None else 2.0 * p.hedged @ w)
    trade = cp.norm1(w - p.held)
    rules = [w >= 0.0, w <= p.cap, cp.sum(w) == p.total]
    rules += [] if p.most_turnover is None else [trade <= 2.0 * p.most_turnover]
    rules += [] if p.most_beta is None else [p.beta @ w <= p.most_beta]
    rules += [] if p.least_beta is None else [p.beta @ w >= p.least_beta]
    if p.sector is not None and p.most_sector is not None:
        rules += [cp.sum(w[p.sector == s]) <= most for s, most in enumerate(p.most_sector)]
    if p.joint is not None:
        difference = cp.hstack([w, np.array([-1.0])])
        rules += [cp.quad_form(difference, cp.psd_wrap(p.joint)) <= p.most_tracking_error**2]
    goal = p.expected @ w - p.risk_aversion / 2.0 * risk - p.cost * trade
    exact = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
    cp.Problem(cp.Maximize(goal), rules).solve(solver="CLARABEL", **exact)
    return np.asarray(w.value)


def by_scipy(p: Problem) -> Floats:
    """A smooth programme over weights, purchases and sales, by sequential quadratic programming."""
    from scipy.optimize import minimize

    n = len(p.held)
    start = np.concatenate([p.held, np.zeros(2 * n)])

    def loss(x: Floats) -> float:
        w = x[:n]
        return float(p.risk_aversion / 2.0 * w @ p.covariance @ w - p.expected @ w + p.cost * x[n:].sum())

    def slope(x: Floats) -> Floats:
        return np.concatenate([p.risk_aversion * p.covariance @ x[:n] - p.expected, np.full(2 * n, p.cost)])

    rules = [
        {"type": "eq", "fun": lambda x: x[:n].sum() - p.total},
        {"type": "eq", "fun": lambda x: x[:n] - p.held - x[n : 2 * n] + x[2 * n :]},
    ]
    bounds = [(0.0, cap) for cap in p.cap] + [(0.0, None)] * (2 * n)
    told = {"ftol": 1e-14, "maxiter": 500}
    return minimize(loss, start, jac=slope, bounds=bounds, constraints=rules, method="SLSQP", options=told).x[:n]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_optimiser_equals_a_sequential_programme(seed: int) -> None:
    p = problem(seed)
    np.testing.assert_allclose(most_net_utility(p), by_scipy(p), atol=1e-6)


@pytest.mark.parametrize(
    "more",
    [{}, {"most_turnover": 0.1}, {"hedged": np.linspace(0.02, 0.06, 6)},
     {"beta": np.linspace(0.5, 1.5, 6), "most_beta": 0.9}, {"beta": np.linspace(0.5, 1.5, 6), "least_beta": 1.1},
     {"total": 0.8}],
)  # fmt: skip
def test_the_optimiser_equals_another_modeller_under_every_bound(more: dict) -> None:
    for seed in (0, 1):
        p = problem(seed, **more)
        found = most_net_utility(p)
        np.testing.assert_allclose(found, by_cvxpy(p), atol=1e-6)
        assert found.sum() == pytest.approx(p.total, abs=1e-8)
        if p.most_turnover is not None:
            assert np.abs(found - p.held).sum() / 2.0 == pytest.approx(0.1, abs=1e-8)  # it binds
        if p.beta is not None:
            assert p.beta @ found == pytest.approx(p.most_beta or p.least_beta, abs=1e-8)


def with_benchmark(p: Problem, weights: Floats) -> Floats:
    """(N + 1, N + 1) covariance of the names and of a benchmark that holds `weights`, with a little of its own."""
    move = p.covariance @ weights
    return np.block([[p.covariance, move[:, None]], [move[None], np.array([[weights @ move + 1e-4]])]])


def test_sector_bounds_and_a_tracking_error_equal_another_modeller_and_bind() -> None:
    for seed in (0, 1, 2):
        p = problem(seed, sector=np.array([0, 0, 0, 1, 1, 2]), most_sector=np.array([0.35, 0.5, 1.0]))
        found = most_net_utility(p)
        np.testing.assert_allclose(found, by_cvxpy(p), atol=1e-6)
        assert found[:3].sum() <= 0.35 + 1e-8
        free = problem(seed)
        joint = with_benchmark(free, np.full(6, 1 / 6))
        far = np.append(most_net_utility(free), -1.0)
        bound = 0.6 * float(far @ joint @ far) ** 0.5
        near = replace(free, joint=joint, most_tracking_error=bound)
        found = np.append(most_net_utility(near), -1.0)
        np.testing.assert_allclose(found[:6], by_cvxpy(near), atol=1e-6)
        assert float(found @ joint @ found) ** 0.5 == pytest.approx(bound, abs=1e-7)


@pytest.mark.parametrize(
    ("more", "named"),
    [({"sector": np.zeros(6, dtype=np.int64), "most_sector": np.array([0.5])}, "most_sector rules them out"),
     ({"beta": np.ones(6), "least_beta": 1.2}, "least_beta rules them out"),
     ({"beta": np.ones(6), "most_beta": 0.8, "most_turnover": 0.9}, "most_beta rules them out"),
     ({"most_tracking_error": 1e-6}, "most_tracking_error rules them out"),
     ({"total": 0.9, "cap": np.full(6, 0.1)}, "keep all the bounds \\("),
     ({"sector": np.array([0, 0, 0, 0, 1, 1]), "most_sector": np.array([0.05, 1.0]), "most_turnover": 0.01},
      "max_turnover or most_sector rules them out")],
)  # fmt: skip
def test_a_bound_that_cannot_be_kept_is_named(more: dict, named: str) -> None:
    p = problem(0, **more)
    if "most_tracking_error" in more:
        p = replace(p, joint=with_benchmark(p, np.full(6, 1 / 6)))
    with pytest.raises(DataError, match=named):
        most_net_utility(p)


@pytest.mark.slow
def test_the_optimised_book_keeps_its_sector_and_its_tracking_error(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    sectors = pl.DataFrame({"ticker": [f"S{k:02d}" for k in range(12)], "sector": ["X", "Y", "Z"] * 4})
    config = loose(
        lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, book_models=("ridge",), optimiser_names=9,
        strategies=("cost_aware_mean_variance",), information_coefficient=0.3, max_turnover=1.0, max_position=0.4,
    )  # fmt: skip
    bounded = replace(config, most_sector=0.4)
    first, last = date(2021, 1, 1), date(2021, 1, 31)
    free, bound = (
        target_weights(prices, forecasts, one, first, last, sectors=sectors) for one in (config, bounded)
    )  # fmt: skip

    def largest(table: pl.DataFrame) -> float:
        named = held(table).join(sectors, on="ticker").group_by("date", "sector").agg(pl.col("weight").sum())
        return float(named["weight"].max())  # type: ignore[arg-type]

    assert largest(free) > 0.6
    assert largest(bound) <= 0.4 + 1e-6
    with pytest.raises(DataError, match="most_sector bounds sectors, and there is no list of them"):
        decide("cost_aware_mean_variance", decision_inputs(prices, forecasts, bounded, last, date(2021, 2, 5)))
    tracking = replace(config, most_tracking_error=1e-6)
    with pytest.raises(DataError, match="most_tracking_error rules them out"):
        decide("cost_aware_mean_variance", decision_inputs(prices, forecasts, tracking, last, date(2021, 2, 5)))


def test_the_optimiser_equals_skfolio_where_costs_are_over_the_holding_period() -> None:
    """skfolio charges sum c |w - previous| against the expected return of one period of its returns."""
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    rng = np.random.default_rng(3)
    returns = rng.normal(0.0005, 0.01, (300, 5)) + rng.normal(0.0, 0.01, (300, 1))
    rate, holding, aversion = 0.002, 20.0, 4.0
    previous = np.array([0.3, 0.3, 0.2, 0.1, 0.1])
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY, risk_aversion=aversion, max_weights=0.5,
        transaction_costs=rate / holding, previous_weights=previous,
        solver_params={"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
    )  # fmt: skip
    theirs = model.fit(returns).weights_
    ours = most_net_utility(
        Problem(
            expected=returns.mean(axis=0), covariance=np.cov(returns.T), held=previous, cost=rate / holding,
            risk_aversion=2.0 * aversion, cap=np.full(5, 0.5),  # its utility is without the half
        )
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert (np.abs(ours - previous) > 1e-3).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.3))
def test_nothing_is_traded_where_costs_exceed_the_gain(seed: int, cost: float) -> None:
    p = problem(seed, cost=cost)
    found = most_net_utility(p)
    assert utility(p, found) >= utility(p, p.held) - 1e-9  # to stay is always allowed
    marginal = p.expected - p.risk_aversion * p.covariance @ p.held
    if np.ptp(marginal) < 2.0 * cost:  # no exchange of one name for another pays for a purchase and a sale
        np.testing.assert_allclose(found, p.held, atol=1e-6)


def test_bounds_that_exclude_each_other_are_an_error() -> None:
    with pytest.raises(DataError, match="no weights of 6 names keep all the bounds"):
        most_net_utility(problem(0, beta=np.full(6, 1.0), least_beta=1.2))


def test_expected_returns_by_hand() -> None:
    """IC 0.05, volatility 0.2 and 0.4, z = +-1, 63 sessions: four horizons a year, so 2 x IC x volatility x z."""
    found = expected_returns(np.array([0.3, -0.1]), np.array([0.2, 0.4]), 0.05, 63)
    assert found.tolist() == pytest.approx([0.02, -0.04])
    assert expected_returns(np.array([0.1, 0.1]), np.array([0.2, 0.4]), 0.05, 63).tolist() == [0.0, 0.0]


@pytest.fixture(scope="module")
def decided(prices: pl.DataFrame, forecasts: pl.DataFrame) -> Callable[..., pl.DataFrame]:
    def decide(strategy: str, last: date = LAST, **more: object) -> pl.DataFrame:
        config = loose(
            top_n=3, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, book_models=("ridge",),
            strategies=(strategy,), **more,
        )  # fmt: skip
        return target_weights(prices, forecasts, config, FIRST, last)

    return decide


def test_the_mean_variance_book_keeps_everything_where_trading_is_dear(decided: Callable[..., pl.DataFrame]) -> None:
    dear = held(decided("cost_aware_mean_variance", trade_cost_bps=5000.0, max_position=1.0))
    cheap = held(decided("cost_aware_mean_variance", trade_cost_bps=0.0, max_position=1.0))
    assert dear.height < 0.3 * cheap.height  # rows of names that are not kept


def test_a_benchmark_relative_book_has_more_beta_and_bounds_hold(decided: Callable[..., pl.DataFrame]) -> None:
    soon = date(2021, 1, 15)
    own = decided("cost_aware_mean_variance", soon)
    relative = decided("cost_aware_mean_variance", soon, is_benchmark_relative=True)
    bounded = decided("cost_aware_mean_variance", soon, least_beta=1.0)
    assert not own.equals(relative)
    assert not own.equals(bounded)
    assert held(bounded).group_by("date").agg(pl.col("weight").sum())["weight"].max() <= 1.0 + 1e-9


def test_a_volatility_target_holds_cash_for_the_rest(decided: Callable[..., pl.DataFrame]) -> None:
    whole = decided("volatility_targeted", target_volatility=10.0)
    plain = decided("buffered")
    assert whole.select("date", "ticker").equals(plain.select("date", "ticker"))
    stocks = held(whole).join(held(plain), on=["date", "ticker"], suffix="_plain")
    assert (stocks["weight"] - stocks["weight_plain"]).abs().mean() < 0.02  # cash between purchases
    calm = decided("volatility_targeted", target_volatility=0.05, exposure_band=0.0)
    invested = held(calm).group_by("date").agg(pl.col("weight").sum()).sort("date")
    assert (invested["weight"] < 0.7).all()
    assert invested.height > 10


def test_the_exposure_by_hand() -> None:
    from types import SimpleNamespace

    from quant_core.allocation.strategies.volatility_targeted import exposure

    returns = np.tile([[0.01, 0.5], [-0.01, 0.5]], (30, 1))  # a daily standard deviation of 0.01 sqrt(60 / 59)
    past = SimpleNamespace(total_return_1d=returns)
    now = SimpleNamespace(past=lambda sessions: past, inputs=SimpleNamespace(config=AllocationConfig()))
    share = exposure(now, np.array([1.0, 0.0]))  # type: ignore[arg-type]
    assert share == pytest.approx(0.15 / (0.01 * (60 / 59 * 252) ** 0.5))
    assert exposure(now, np.array([0.1, 0.0])) == 1.0  # type: ignore[arg-type]
