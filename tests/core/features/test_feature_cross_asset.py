"""Correlation, beta, residual volatility and strength against the index by hand, and their naive twins."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from by_hand import values
from naive import Rows, full, sum_of, twin
from statsmodels.api import OLS, add_constant
from statsmodels.regression.rolling import RollingOLS

from quant_core.features import FEATURES, FeatureConfig, compute_features
from quant_core.features.panel import Panel, build_panel

NAN = float("nan")
FIRST = date(2015, 1, 1)


def span(priced: np.ndarray, t: int) -> int:
    """Sessions since the row before, if that was within ten."""
    before = np.flatnonzero(priced[:t])
    return t - int(before[-1]) if len(before) and t - before[-1] <= 10 else 0


def observed(own: Rows) -> np.ndarray:
    """Returns on sessions where ticker and index have one over the same span."""
    spans = [[span(side.priced, t) for t in range(len(own.r))] for side in (own, own.index)]
    same = [
        own.priced[t] and own.index.priced[t] and mine == other > 0
        for t, (mine, other) in enumerate(zip(*spans, strict=True))
    ]
    return np.where(np.array(same) & ~np.isnan(own.index.r), own.r, np.nan)


def regression(own: Rows, t: int, w: int) -> tuple[float, float, float]:
    """Slope, correlation and annualised residual deviation."""
    steps = own.once("observed", observed)
    y = full(steps, own, t, w)
    if y is None or len(y) < 3:
        return math.nan, math.nan, math.nan
    x = own.index.r[t - w + 1 : t + 1][~np.isnan(steps[t - w + 1 : t + 1])]
    dx, dy = x - x.mean(), y - y.mean()
    slope = dx @ dy / (dx @ dx)
    residual = dy - slope * dx
    flat = dy @ dy <= len(y) * (1e-12 * y.mean()) ** 2
    correlation = math.nan if flat else slope * math.sqrt((dx @ dx) / (dy @ dy))
    return slope, correlation, math.sqrt(residual @ residual / (len(y) - 2) * 252)


@twin("rolling_beta", "market_beta_{w}d")
def naive_beta(own, t, w):
    return regression(own, t, w)[0]


@twin("rolling_correlation", "market_correlation_{w}d")
def naive_correlation(own, t, w):
    return regression(own, t, w)[1]


@twin("idiosyncratic_volatility", "idiosyncratic_vol_{w}d_ann")
def naive_residual_volatility(own, t, w):
    return regression(own, t, w)[2]


def carried(index: Rows) -> np.ndarray:
    """(2, T) the index's returns and where it has a level, if a session lost within five of its last is unchanged."""
    recent = np.array([index.priced[max(s - 5, 0) : s].any() for s in range(len(index.r))])
    return np.array([np.where(np.isnan(index.r) & recent, 0.0, index.r), index.priced | recent])


@twin("relative_strength", "relative_strength_{w}d")
def naive_relative_strength(own, t, w):
    returns, priced = own.index.once("carried", carried)
    begin = t - w + 1
    if begin < 1 or not priced[max(begin - 5, 0) : begin].any():
        return math.nan
    return sum_of(own.r, own, t, w) - sum_of(returns, Rows(returns, priced == 1), t, w)


STEPS = [0.0, 0.02, -0.01, 0.03, 0.0, -0.02, 0.01, 0.04, -0.03, 0.02]


MARKET = [0.0, 0.01, 0.00, 0.02, -0.01, -0.01, 0.02, 0.01, -0.02, 0.01]


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
