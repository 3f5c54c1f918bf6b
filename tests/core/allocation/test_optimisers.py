"""The optimisers against closed forms, another solver and an independent implementation, and which names they see."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
import scipy.cluster.hierarchy as sch
from allocation_cases import held, loose
from scipy.optimize import minimize
from scipy.spatial.distance import squareform
from skfolio.optimization import HierarchicalRiskParity
from sklearn.covariance import LedoitWolf

from quant_core.allocation import STRATEGIES, AllocationConfig
from quant_core.allocation.estimation import monthly_weights, names_with_history
from quant_core.allocation.history import dense_history
from quant_core.allocation.optimise import optimised, shrunk_covariance
from quant_core.allocation.strategies.equal_risk_contribution import equal_risk_weights
from quant_core.allocation.strategies.hierarchical_risk_parity import hierarchical_weights
from quant_core.allocation.strategies.min_variance import min_variance_weights
from quant_core.allocation.strategy import decision_inputs
from quant_core.dense import Floats
from quant_core.errors import DataError

OPTIMISERS = {
    "min_variance": min_variance_weights,
    "equal_risk_contribution": equal_risk_weights,
    "hierarchical_risk_parity": hierarchical_weights,
}
FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)


def draw(n: int, seed: int, market: float = 0.01) -> Floats:
    """(252, n) returns with one common factor; betas and own volatilities differ."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, market, (252, 1)) * rng.uniform(0.5, 1.5, n)
    return common + rng.normal(0, 0.012, (252, n)) * rng.uniform(0.5, 2.0, n)


def covariance(returns: Floats) -> Floats:
    return LedoitWolf().fit(returns).covariance_


def contributions(weights: Floats, returns: Floats) -> Floats:
    part = weights * (covariance(returns) @ weights)
    return part / part.sum()


@pytest.mark.parametrize("seed", range(5))
def test_min_variance_without_binding_limits_is_the_closed_form(seed: int) -> None:
    returns = draw(6, seed, market=0.002)
    raw = np.linalg.solve(covariance(returns), np.ones(6))
    assert raw.min() > 0  # long only without being told
    assert min_variance_weights(returns, 1.0) == pytest.approx(raw / raw.sum(), abs=1e-6)


@pytest.mark.parametrize(("n", "cap"), [(8, 0.2), (12, 0.3), (20, 0.2), (50, 0.1)])
def test_min_variance_under_limits_is_what_another_solver_finds(n: int, cap: float) -> None:
    returns = draw(n, n, market=0.015)
    risk = covariance(returns) * 1e4
    found = minimize(
        lambda w: w @ risk @ w, np.full(n, 1 / n), jac=lambda w: 2 * risk @ w, bounds=[(0, cap)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}, method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    weights = min_variance_weights(returns, cap)
    assert found.success
    assert (found.x > cap - 1e-6).any()
    assert (found.x < 1e-6).any()
    assert weights == pytest.approx(found.x, abs=1e-5)
    assert weights @ risk @ weights <= found.fun * (1 + 1e-8)


@pytest.mark.parametrize("n", [2, 5, 12, 50])
@pytest.mark.parametrize("seed", range(3))
def test_equal_risk_contributions_are_equal_to_a_millionth(n: int, seed: int) -> None:
    returns = draw(n, 100 * n + seed)
    weights = equal_risk_weights(returns, 1.0)
    assert contributions(weights, returns) == pytest.approx(np.full(n, 1 / n), abs=1.2e-6 if n == 2 else 1e-6)


def test_equal_risk_of_two_names_is_inverse_volatility_of_the_shrunk_covariance() -> None:
    returns = draw(2, 4)
    inverse = 1 / np.sqrt(np.diag(covariance(returns)))
    assert equal_risk_weights(returns, 1.0) == pytest.approx(inverse / inverse.sum(), abs=1e-6)


def test_under_a_binding_cap_risk_contributions_meet_the_optimality_condition_of_the_capped_problem() -> None:
    """min w'Cw with sum(log w) >= 0 and w <= cap x sum(w): w_i (Cw)_i = a + b w_i for names below the cap, b >= 0."""
    returns = draw(6, 8)
    free = equal_risk_weights(returns, 1.0)
    cap = float(np.sort(free)[-2:].mean())
    capped = equal_risk_weights(returns, cap)
    part = contributions(capped, returns)
    below = free < cap
    assert below.sum() == 5
    assert capped[~below] == pytest.approx(cap, abs=1e-7)
    slope, start = np.polyfit(capped[below], part[below], 1)
    assert slope > 0
    assert part[below] == pytest.approx(start + slope * capped[below], abs=1e-6)
    assert part[~below][0] < part[below].min()


def hrp_by_hand(returns: Floats) -> Floats:
    """Lopez de Prado (2016), with Ward linkage on sqrt((1 - rho) / 2) and optimal leaf order."""
    risk = covariance(returns)
    distance = squareform(np.sqrt(np.clip((1 - np.corrcoef(returns.T)) / 2, 0, None)), checks=False)
    order = sch.leaves_list(sch.optimal_leaf_ordering(sch.linkage(distance, "ward"), distance))
    weights = np.ones(len(order))

    def cluster_variance(names: Floats) -> float:
        block = risk[np.ix_(names, names)]
        inverse = 1 / np.diag(block)
        inverse /= inverse.sum()
        return float(inverse @ block @ inverse)

    clusters = [order]
    while clusters:
        names = clusters.pop()
        if len(names) < 2:
            continue
        left, right = names[: len(names) // 2], names[len(names) // 2 :]
        share = 1 - cluster_variance(left) / (cluster_variance(left) + cluster_variance(right))
        weights[left] *= share
        weights[right] *= 1 - share
        clusters += [left, right]
    return weights


@pytest.mark.parametrize("n", [2, 3, 7, 25, 60])
def test_hierarchical_risk_parity_is_the_published_algorithm(n: int) -> None:
    returns = draw(n, n)
    assert hierarchical_weights(returns, 1.0) == pytest.approx(hrp_by_hand(returns), abs=1e-12)


@pytest.mark.parametrize("cap", [0.08, 1.0])
def test_hierarchical_risk_parity_has_the_bits_of_the_package_that_it_shortens(cap: float) -> None:
    returns = draw(30, 4)
    whole = HierarchicalRiskParity(prior_estimator=shrunk_covariance(), max_weights=cap)
    assert (hierarchical_weights(returns, cap) == optimised(whole, returns, cap)).all()


def test_hierarchical_risk_parity_of_two_blocks_gives_each_block_what_its_risk_allows() -> None:
    rng = np.random.default_rng(0)
    block = rng.normal(0, 0.01, (252, 2)) @ np.array([[1, 1, 0, 0], [0, 0, 2, 2]])
    weights = hierarchical_weights(block + rng.normal(0, 0.001, (252, 4)), 1.0)
    # Uncorrelated blocks with volatilities of one to two: variances one to four.
    assert weights[:2].sum() == pytest.approx(0.8, abs=0.05)
    assert weights[0] == pytest.approx(weights[1], rel=0.05)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
@pytest.mark.parametrize("cap", [0.051, 0.08, 1.0])
def test_weights_are_within_the_cap_whatever_the_unit_of_the_returns(name: str, cap: float) -> None:
    returns = draw(20, 3)
    weights = OPTIMISERS[name](returns, cap)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    assert weights.sum() <= 1.0 + 1e-12
    assert weights.min() >= 0.0
    assert weights.max() <= cap
    assert not ((weights > 0) & (weights < 1e-6)).any()
    assert OPTIMISERS[name](returns * 1e-4, cap) == pytest.approx(weights, abs=1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_an_impossible_cap_is_an_error_that_says_what_to_look_at(name: str) -> None:
    with pytest.raises(DataError, match=r"cap|weights|solver|budget|infeasible") as caught:
        OPTIMISERS[name](draw(5, 1), 0.1)
    assert "look for absurd returns" in str(caught.value)


def test_an_inaccurate_solution_of_the_second_solver_counts_only_where_the_duality_gap_proves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from skfolio.optimization import MeanRisk

    def hopeless(risk: Floats, cap: float) -> Floats:
        raise DataError("gave up")

    def fit(self: MeanRisk, returns: Floats) -> MeanRisk:
        self.problem_ = type("Problem", (), {"status": status})
        self.weights_ = given
        return self

    returns = draw(4, 0)
    best = min_variance_weights(returns, 1.0)
    monkeypatch.setattr(MeanRisk, "fit", fit)
    monkeypatch.setitem(min_variance_weights.__globals__, "least_variance", hopeless)
    given, status = best, "optimal_inaccurate"
    assert min_variance_weights(returns, 1.0).tolist() == best.tolist()
    given, status = np.full(4, 0.25), "optimal"
    with pytest.raises(DataError, match=r"gave up; skfolio: misses the optimum by .* of the variance"):
        min_variance_weights(returns, 1.0)


@pytest.mark.parametrize("given", [[0.5, 0.5, 0.5, 0.0], [0.9, 0.1, 0.0, 0.0], [1.1, -0.1, 0.0, 0.0], [np.nan] * 4])
def test_weights_outside_the_limits_are_refused_rather_than_mended(
    given: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HierarchicalRiskParity, "fit", lambda self, returns: self)
    monkeypatch.setattr(HierarchicalRiskParity, "weights_", np.array(given), raising=False)
    with pytest.raises(DataError, match=r"HierarchicalRiskParity gave weights of .* wanted 0 to 0.8 with sum 1"):
        hierarchical_weights(draw(4, 0), 0.8)


@pytest.mark.parametrize("most", [1, 4, 6])
def test_an_optimiser_chooses_from_the_most_traded_names_by_median_turnover(
    most: int, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    inputs = decision_inputs(prices, forecasts, replace(short, rebalance="monthly"), FIRST, LAST)
    table = monthly_weights(inputs, lambda returns, cap: np.full(returns.shape[1], 1 / returns.shape[1]), most)
    for day in inputs.decision_dates:
        window = prices.filter(pl.col("date") <= day)["date"].unique().sort()[-60:]
        rows = prices.filter(pl.col("date").is_in(window.implode()) & (pl.col("instrument") == "equity"))
        turnover = {}
        for (name,), own in rows.partition_by("ticker", as_dict=True).items():
            today = own.filter((pl.col("date") == day) & pl.col("is_member") & pl.col("is_tradable"))
            if today.height and own["total_return_1d"].drop_nulls().len() >= 48:
                values = (own["close_inr"] * own["volume_shares"]).to_list()
                turnover[name] = np.median(values + [0.0] * (60 - len(values)))
        wanted = sorted(sorted(turnover, key=lambda name: -turnover[name])[:most])
        assert len(wanted) == most
        chosen = held(table).filter(pl.col("date") == day)
        assert chosen["ticker"].to_list() == wanted


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_holds_the_most_traded_names_only(
    name: str, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    config = replace(short, optimiser_names=4, max_position=0.3, rebalance="monthly")
    inputs = decision_inputs(prices, forecasts, config, FIRST, LAST)
    allowed = held(monthly_weights(inputs, lambda returns, cap: np.full(4, 0.25), 4))
    own = held(STRATEGIES[name](inputs))
    assert own.join(allowed, on=["date", "ticker"], how="anti").is_empty()
    assert own.height == allowed.height == 16 or name == "min_variance"


def test_a_name_with_exactly_80_percent_of_its_returns_is_estimated_and_one_with_less_is_not(
    prices: pl.DataFrame,
) -> None:
    past = dense_history(prices, FIRST, LAST).until(date(2021, 3, 31), 60)
    returns = np.where(np.isfinite(past.total_return_1d), past.total_return_1d, 0.01)
    returns[0, :] = 0.02  # moved
    returns[1:13, 3] = np.nan  # 12 of 60 missing
    returns[1:14, 4] = np.nan
    full = replace(past, total_return_1d=returns, eligible=np.ones_like(past.eligible))
    assert names_with_history(full, 60).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]


def test_turnover_of_the_source_goes_before_close_times_shares(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    told = prices.with_columns(
        turnover_inr=pl.when(pl.col("ticker") == "S00").then(1e12).otherwise("turnover_inr"),
        is_member=pl.col("instrument") == "equity",
        is_tradable=~pl.col("is_filled"),
    )
    inputs = decision_inputs(told, forecasts, replace(short, rebalance="monthly"), FIRST, LAST)
    own = held(monthly_weights(inputs, lambda returns, cap: np.ones(1), 1))
    assert set(own["ticker"]) == {"S00"}
    assert set(own["weight"]) == {0.2}


def test_a_name_that_never_moved_and_a_missing_return_do_not_break_an_estimate(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    seen: list[Floats] = []

    def look(returns: Floats, cap: float) -> Floats:
        seen.append(returns)
        return np.full(returns.shape[1], 1 / returns.shape[1])

    flat = prices.with_columns(
        total_return_1d=pl.when(pl.col("ticker") == "S02").then(0.0).otherwise("total_return_1d")
    )
    table = monthly_weights(decision_inputs(flat, forecasts, short, FIRST, LAST), look)
    assert "S02" not in set(held(table)["ticker"])
    assert all(returns.shape[0] == 60 and np.isfinite(returns).all() for returns in seen)
    assert any((returns == 0.0).any() for returns in seen)


def test_the_size_of_an_optimisers_problem_does_not_grow_with_the_universe(
    market: Callable[..., pl.DataFrame],
) -> None:
    shapes = []
    stocks = [market(seed=k).filter(pl.col("instrument") == "equity") for k in range(42)]
    wide = pl.concat(
        [rows.with_columns(ticker=pl.format("{}_{}", pl.lit(k), "ticker")) for k, rows in enumerate(stocks)]
    )
    config = loose(lookback_sessions=60, momentum_sessions=60, rebalance="monthly")
    inputs = decision_inputs(wide, pl.DataFrame(schema={"date": pl.Date}), config, FIRST, LAST)

    def look(returns: Floats, cap: float) -> Floats:
        shapes.append(returns.shape)
        return np.full(returns.shape[1], 1 / returns.shape[1])

    monthly_weights(inputs, look, config.optimiser_names)
    assert shapes == [(60, 100)] * 4
