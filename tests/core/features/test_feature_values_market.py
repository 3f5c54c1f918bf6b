"""Hand-computed numbers for the features that compare a ticker with the market, its sector or the day's members."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from statsmodels.api import OLS, add_constant
from statsmodels.regression.rolling import RollingOLS

from quant_core.calendar import sessions
from quant_core.features import FEATURES, FeatureConfig, compute_features
from quant_core.features.panel import Panel, build_panel

NAN = float("nan")
FIRST = date(2015, 1, 1)
STEPS = [0.0, 0.02, -0.01, 0.03, 0.0, -0.02, 0.01, 0.04, -0.03, 0.02]
MARKET = [0.0, 0.01, 0.00, 0.02, -0.01, -0.01, 0.02, 0.01, -0.02, 0.01]


def values(prices: pl.DataFrame, name: str, windows: tuple[int, ...], sectors: pl.DataFrame | None = None) -> dict:
    """The feature's columns over the whole table, called with windows of any length; NaN for no value."""
    index = prices.filter(pl.col("instrument") == "index")
    entry = FEATURES[name]
    rows = prices.filter(pl.col("instrument") == "equity")
    panel = build_panel(rows, entry.reads, index=index, sectors=sectors, min_history_sessions=2)
    return entry.function(panel, windows)


def logs(steps: list[float]) -> np.ndarray:
    return np.log1p(np.array(steps))


def test_beta_correlation_and_residual_of_five_days_by_hand(make_prices) -> None:
    prices = make_prices({"A": STEPS, "^NSEI": MARKET})
    y, x = logs(STEPS)[-5:], logs(MARKET)[-5:]
    sxy, sxx, syy = ((a - a.mean()) @ (b - b.mean()) for a, b in ((x, y), (x, x), (y, y)))
    wanted = {
        "rolling_beta": sxy / sxx,
        "rolling_correlation": sxy / math.sqrt(sxx * syy),
        "idiosyncratic_volatility": math.sqrt((syy - sxy**2 / sxx) / 3) * math.sqrt(252),
    }
    for name, number in wanted.items():
        (found,) = values(prices, name, (5,)).values()
        assert found[0, -1] == pytest.approx(number, rel=1e-12)
        assert np.isnan(found[0, :5]).all()
        assert not np.isnan(found[0, 5:]).any()


def test_a_ticker_that_doubles_every_move_of_the_market_has_beta_two_and_no_residual(make_prices) -> None:
    prices = make_prices({"A": list(np.expm1(2.0 * logs(MARKET))), "^NSEI": MARKET})
    assert values(prices, "rolling_beta", (5,))["market_beta_5d"][0, -1] == pytest.approx(2.0, rel=1e-12)
    assert values(prices, "rolling_correlation", (5,))["market_correlation_5d"][0, -1] == pytest.approx(1.0, rel=1e-12)
    assert values(prices, "idiosyncratic_volatility", (5,))["idiosyncratic_vol_5d_ann"][0, -1] < 1e-8


def regressions(panel: Panel, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Beta, correlation and annualised residual volatility of a panel."""
    names = ("rolling_beta", "rolling_correlation", "idiosyncratic_volatility")
    beta, correlation, residual = (next(iter(FEATURES[n].function(panel, (window,)).values())) for n in names)
    return beta, correlation, residual


def panel_of(prices: pl.DataFrame) -> Panel:
    index = prices.filter(pl.col("instrument") == "index")
    return build_panel(prices.filter(pl.col("instrument") == "equity"), (), index=index)


@pytest.mark.parametrize("window", [63, 126, 252])
def test_beta_equals_the_rolling_regression_of_statsmodels(make_prices, window: int) -> None:
    steps = np.random.default_rng(window).normal(0.0005, 0.02, (3, 420))
    panel = panel_of(make_prices({"A": steps[0] + 0.8 * steps[2], "B": steps[1], "^NSEI": steps[2]}))
    found = regressions(panel, window)
    x = np.column_stack([np.ones(419), panel.index_log_return_1d[0, 1:]])
    for n in range(2):
        fit = RollingOLS(panel.log_return_1d[n, 1:], x, window=window).fit()
        wanted = fit.params[:, 1], np.sqrt(fit.rsquared) * np.sign(fit.params[:, 1]), np.sqrt(fit.mse_resid * 252)
        for ours, theirs in zip(found, wanted, strict=True):
            assert np.isnan(ours[n, :window]).all()
            np.testing.assert_allclose(ours[n, window:], theirs[window - 1 :], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("window", [63, 126, 252])
def test_beta_with_gaps_equals_the_regression_of_statsmodels_on_the_same_observations(
    make_random_prices, window: int
) -> None:
    # RollingOLS(missing="skip") is no reference here: it differs from OLS on the very rows of its window.
    panel = panel_of(make_random_prices(n_tickers=4, n_sessions=420, seed=11, gap_share=0.02))
    found = regressions(panel, window)
    observed = panel.keep("paired", 1, lambda: pytest.fail("the features keep their observations"))
    assert np.isnan(observed[:, 300:]).sum() > 10
    compared = 0
    for n in range(4):
        for t in np.flatnonzero(~np.isnan(found[0][n]))[::9]:
            rows = np.arange(t - window + 1, t + 1)
            rows = rows[~np.isnan(observed[n, rows])]
            fit = OLS(observed[n, rows], add_constant(panel.index_log_return_1d[0, rows])).fit()
            wanted = fit.params[1], math.sqrt(fit.rsquared) * np.sign(fit.params[1]), math.sqrt(fit.mse_resid * 252)
            assert [ours[n, t] for ours in found] == pytest.approx(wanted, rel=1e-9)
            compared += 1
    assert compared > 10


def test_a_return_over_a_gap_of_one_side_only_is_no_observation(make_prices) -> None:
    gap = [*STEPS[:4], None, *STEPS[5:]]
    found = values(make_prices({"A": gap * 3, "^NSEI": MARKET * 3}), "rolling_beta", (20,))["market_beta_20d"]
    assert np.isnan(found[0, -1])  # two days each lose the gap and the return after it: 16 of 20
    hole = [*MARKET[:4], NAN, *MARKET[5:]]
    prices = make_prices({"A": gap + STEPS * 2, "^NSEI": hole + MARKET * 2})
    found = values(prices, "rolling_beta", (28,))["market_beta_28d"]
    y, x = (
        np.delete(logs([0.0 if v is None or v != v else v for v in s])[-28:], 2)
        for s in (gap + STEPS * 2, hole + MARKET * 2)
    )
    assert found[0, -1] == pytest.approx(
        np.polyfit(x, y, 1)[0], rel=1e-10
    )  # both lack the day: both spans are two days


def test_relative_strength_is_the_difference_of_log_returns(make_prices) -> None:
    found = values(make_prices({"A": STEPS, "^NSEI": MARKET}), "relative_strength", (4,))["relative_strength_4d"]
    assert found[0, -1] == pytest.approx(logs(STEPS)[-4:].sum() - logs(MARKET)[-4:].sum(), rel=1e-12)
    assert np.isnan(found[0, :4]).all()


def test_without_index_rows_what_is_measured_against_the_index_is_null_and_the_rest_is_not(make_prices) -> None:
    steps = STEPS * 30
    names = ("rolling_beta", "rolling_correlation", "idiosyncratic_volatility", "relative_strength", "momentum")
    config = FeatureConfig(names=names, normalization="none", windows=(63,))
    for prices in (make_prices({"A": steps}), make_prices({"A": steps, "NIFTY": steps})):
        table = compute_features(prices, config, FIRST, date(2017, 1, 1)).filter(pl.col("ticker") == "A")
        assert [table[c].count() for c in table.columns[3:]] == [0, 0, 0, 0, 300 - 63]
    named = FeatureConfig(names=names, normalization="none", windows=(63,), index_ticker="^X")
    prices = make_prices({"A": steps, "^NSEI": MARKET * 30}).with_columns(pl.col("ticker").replace("^NSEI", "^X"))
    assert compute_features(prices, named, FIRST, date(2017, 1, 1))["market_beta_63d"].count() == 300 - 63


def test_ranks_are_shares_of_the_days_eligible_members_that_are_beaten(make_prices) -> None:
    moves = {"A": 0.01, "B": 0.03, "C": 0.03, "D": -0.02, "E": 0.02}
    prices = make_prices({ticker: [0.0, *[step] * 5] for ticker, step in moves.items()})
    prices = prices.with_columns(is_member=pl.col("ticker") != "E")
    found = values(prices, "cross_sectional_rank", (1,))["rank_return_1d"]
    assert found[:, -1] == pytest.approx([1.5 / 4, 3 / 4, 3 / 4, 0.5 / 4, 2 / 4])  # E is placed among the four members
    assert np.isnan(found[:, :2]).all()  # nobody has two sessions of history yet


def test_sector_relative_momentum_is_the_distance_from_the_mean_of_the_sectors_members(make_prices) -> None:
    moves = {"A": 0.01, "B": 0.03, "C": 0.02, "D": -0.02, "E": 0.05, "F": 0.5}
    prices = make_prices({ticker: [0.0, *[step] * 5] for ticker, step in moves.items()})
    prices = prices.with_columns(is_member=pl.col("ticker") != "F")
    sectors = pl.DataFrame({"ticker": ["A", "B", "C", "D", "F"], "sector": ["Banks"] * 3 + ["Steel", "Banks"]})
    found = values(prices, "sector_relative_momentum", (1,), sectors)["sector_relative_momentum_1d"][:, -1]
    everyone = (0.01 + 0.03 + 0.02 - 0.02 + 0.05) / 5
    assert found[:3] == pytest.approx([-0.01, 0.01, 0.0], abs=1e-14)
    assert found[3:5] == pytest.approx([-0.02 - everyone, 0.05 - everyone], abs=1e-14)  # a lone steel maker; no sector
    assert found[5] == pytest.approx(0.5 - 0.02, abs=1e-14)  # not a member: measured, but not counted
    universe = values(prices, "sector_relative_momentum", (1,))["sector_relative_momentum_1d"][:5, -1]
    assert universe == pytest.approx([step - everyone for step in list(moves.values())[:5]], abs=1e-14)


def test_sector_relative_volatility_of_a_calm_ticker_among_wild_ones_is_negative(make_prices) -> None:
    prices = make_prices({"A": [0.0, *[0.01] * 6], **{t: [0.0, *[0.05, -0.05] * 3] for t in "BCD"}})
    found = values(prices, "sector_relative_volatility", (4,))["sector_relative_vol_4d_ann"][:, -1]
    wild = np.std(np.log1p([0.05, -0.05, 0.05, -0.05]), ddof=1) * math.sqrt(252)
    assert found == pytest.approx([-0.75 * wild, *[0.25 * wild] * 3], rel=1e-12)


def test_breadth_counts_advances_less_declines_among_the_members_of_the_day(make_prices) -> None:
    steps = {
        "A": [0.0, 0.1, 0.1, 0.0],
        "B": [0.0, 0.2, -0.1, 0.0],
        "C": [0.0, -0.1, 0.1, None],
        "D": [0.0, 0.0, 0.3, 0.0],
    }
    prices = make_prices({**steps, "E": [0.0, 0.5, 0.5, 0.5]}).with_columns(is_member=pl.col("ticker") != "E")
    found = values(prices, "breadth_indicators", (2,))
    assert np.isnan(found["breadth_1d"][0, 0])
    assert list(found["breadth_1d"][0, 1:]) == pytest.approx([1 / 3, 2 / 4, 0.0])
    assert list(found["advancing_share_1d"][0, 1:]) == pytest.approx([2 / 4, 3 / 4, 0.0])
    assert found["breadth_mean_2d"][0, 3] == pytest.approx(0.25)


def test_breadth_is_null_on_a_day_without_members(make_prices) -> None:
    days = sessions(FIRST, date(2015, 2, 1))
    prices = make_prices({"A": [0.0, 0.1, 0.1]}).with_columns(is_member=pl.col("date") != days[2])
    found = values(prices, "breadth_indicators", (1,))["breadth_1d"][0]
    assert np.isnan(found[2])
    assert found[1] == 1.0


def test_the_share_above_the_average_counts_members_with_a_full_window(make_prices) -> None:
    prices = make_prices({"A": [0.01] * 9, "B": [-0.01] * 9, "C": [NAN] * 6 + [0.01] * 3, "D": [0.01] * 9})
    prices = prices.with_columns(is_member=pl.col("ticker") != "D")
    found = values(prices, "breadth_above_average", (5,))["share_above_average_5d"]
    assert np.isnan(found[0, :5]).all()
    assert list(found[0, 5:]) == [0.5] * 4


def test_market_wide_columns_are_the_same_for_every_ticker_and_null_on_filled_rows(make_prices) -> None:
    prices = make_prices({"A": [0.01] * 30, "B": [-0.01] * 29 + [None]})
    config = FeatureConfig(names=("breadth_indicators",), normalization="none")
    table = compute_features(prices, config, FIRST, date(2015, 12, 31))
    assert table["breadth_1d"][-2:].to_list() == [1.0, None]
    assert table["breadth_1d"][-4:-2].to_list() == [0.0, 0.0]
