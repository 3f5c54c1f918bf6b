"""Measures against numbers by hand, against empyrical and against quantstats."""

import math
import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_core import schema
from quant_core.errors import DataError
from quant_core.measures import performance as p
from quant_core.measures.trips import trip_summary

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical
    import quantstats.stats

RNG = np.random.default_rng(8)
SERIES = {
    "noise": RNG.normal(0.0004, 0.012, 700),
    "falling": RNG.normal(-0.002, 0.01, 253),
    "fat tails": RNG.standard_t(3, 1000) * 0.01,
    "short": RNG.normal(0.0, 0.01, 5),
}
BENCHMARK = {name: 0.6 * r + RNG.normal(0.0002, 0.008, len(r)) for name, r in SERIES.items()}
RISK_FREE = 1.06 ** (1 / 252) - 1

SAME = {
    "total_return": (p.total_return, lambda r: empyrical.cum_returns_final(r)),
    "volatility": (p.volatility_ann, lambda r: empyrical.annual_volatility(r)),
    "sharpe": (lambda r: p.sharpe(r, RISK_FREE), lambda r: empyrical.sharpe_ratio(r, RISK_FREE)),
    "sortino": (lambda r: p.sortino(r, RISK_FREE), lambda r: empyrical.sortino_ratio(r, RISK_FREE)),
    "max_drawdown": (p.max_drawdown, empyrical.max_drawdown),
    "value_at_risk": (p.value_at_risk, empyrical.value_at_risk),
    "cvar": (p.conditional_value_at_risk, empyrical.conditional_value_at_risk),
    "growth_ann": (p.growth_ann, empyrical.annual_return),
    "tail_ratio": (p.tail_ratio, empyrical.tail_ratio),
}
SAME_WITH_BENCHMARK = {
    "beta": (p.beta, lambda r, b: empyrical.beta(r, b)),
    "beta on excess": (lambda r, b: p.beta(r, b, RISK_FREE), lambda r, b: empyrical.beta(r, b, RISK_FREE)),
    "alpha": (lambda r, b: p.alpha(r, b, RISK_FREE), lambda r, b: empyrical.alpha(r, b, RISK_FREE)),
    "information ratio": (p.information_ratio, lambda r, b: empyrical.excess_sharpe(r, b) * math.sqrt(252)),
    "tracking error": (p.tracking_error, lambda r, b: empyrical.annual_volatility(r - b)),
    "up capture": (p.up_capture, empyrical.up_capture),
    "down capture": (p.down_capture, empyrical.down_capture),
}
stats = quantstats.stats
SAME_AS_QUANTSTATS = {
    "total_return": (p.total_return, stats.comp),
    "growth_ann": (p.growth_ann, stats.cagr),
    "volatility": (p.volatility_ann, stats.volatility),
    "sharpe": (lambda r: p.sharpe(r, RISK_FREE), lambda r: stats.sharpe(r, rf=0.06)),
    "sortino": (lambda r: p.sortino(r, RISK_FREE), lambda r: stats.sortino(r, rf=0.06)),
    "max_drawdown": (p.max_drawdown, stats.max_drawdown),
    "hit_rate": (p.hit_rate, stats.win_rate),
    "profit_factor": (p.profit_factor, stats.profit_factor),
    "tail_ratio": (p.tail_ratio, stats.tail_ratio),
    "skewness": (p.skewness, stats.skew),
    "kurtosis": (p.kurtosis, stats.kurtosis),
    "best_return_1d": (p.best_return_1d, stats.best),
    "worst_return_1d": (p.worst_return_1d, stats.worst),
    "max_drawdown_sessions": (
        lambda r: float(p.max_drawdown_duration(r)),
        lambda r: float(stats.drawdown_details(stats.to_drawdown_series(r))["days"].max()),
    ),
}
SAME_AS_QUANTSTATS_WITH_BENCHMARK = {
    "beta": (p.beta, lambda r, b: stats.greeks(r, b)["beta"]),
    "information ratio": (p.information_ratio, lambda r, b: stats.information_ratio(r, b) * math.sqrt(252)),
}


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("measure", SAME)
def test_a_measure_equals_empyrical(measure, series):
    ours, theirs = SAME[measure]
    assert ours(SERIES[series]) == pytest.approx(theirs(SERIES[series]), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("measure", SAME_WITH_BENCHMARK)
def test_a_measure_against_a_benchmark_equals_empyrical(measure, series):
    ours, theirs = SAME_WITH_BENCHMARK[measure]
    r, b = SERIES[series], BENCHMARK[series]
    assert ours(r, b) == pytest.approx(theirs(r, b), rel=1e-10, abs=1e-12, nan_ok=True)  # "short" has no down day


def daily_series(values):
    return pd.Series(values, index=pd.date_range("2019-01-01", periods=len(values), freq="D"))


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("measure", SAME_AS_QUANTSTATS)
def test_a_measure_equals_quantstats(measure, series):
    ours, theirs = SAME_AS_QUANTSTATS[measure]
    expected = theirs(daily_series(SERIES[series]))
    assert ours(SERIES[series]) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("measure", SAME_AS_QUANTSTATS_WITH_BENCHMARK)
def test_a_measure_against_a_benchmark_equals_quantstats(measure, series):
    ours, theirs = SAME_AS_QUANTSTATS_WITH_BENCHMARK[measure]
    r, b = SERIES[series], BENCHMARK[series]
    assert ours(r, b) == pytest.approx(theirs(daily_series(r), daily_series(b)), rel=1e-10, abs=1e-12)


def test_a_rate_that_changes_by_session_is_subtracted_session_by_session():
    returns, rate = np.array([0.02, -0.01, 0.03]), np.array([0.01, 0.0, -0.01])  # excess 1, -1, 4 %
    assert p.sharpe(returns, rate) == pytest.approx((0.04 / 3) / math.sqrt(19e-4 / 3) * math.sqrt(252))
    assert p.sortino(returns, rate) == pytest.approx((0.04 / 3) / math.sqrt(1e-4 / 3) * math.sqrt(252))


def test_cagr_and_calmar_equal_empyrical_where_252_sessions_take_a_year():
    returns = SERIES["noise"][:504]
    dates = [date(2019, 1, 1) + timedelta(days=k) for k in range(504)] + [date(2019, 1, 1) + timedelta(days=730.5)]
    stretched = [date(2000, 1, 1) + timedelta(days=4 * k) for k in range(505)]  # 2016 days = 4 x 504
    years = 2016 / 365.25
    assert p.cagr(returns, stretched) == pytest.approx((1 + p.total_return(returns)) ** (1 / years) - 1, rel=1e-12)
    theirs = empyrical.annual_return(returns)
    ours = (1 + p.cagr(returns, dates)) ** (730 / 365.25 / 2) - 1  # 730 whole days instead of 730.5
    assert ours == pytest.approx(theirs, rel=1e-10)
    assert p.calmar(returns, stretched) == pytest.approx(
        p.cagr(returns, stretched) / -empyrical.max_drawdown(returns), rel=1e-10
    )


def test_cagr_counts_days_from_the_close_before_the_first_return():
    assert p.cagr([0.1], [date(2020, 1, 1), date(2021, 1, 1)]) == pytest.approx(1.1 ** (365.25 / 366) - 1)
    opening_row = p.cagr([0.0, 0.1], [date(2020, 1, 1), date(2021, 1, 1)])
    assert opening_row == pytest.approx(1.1 ** (365.25 / 366) - 1)
    with pytest.raises(DataError, match="T \\+ 1 dates"):
        p.cagr([0.1, 0.1], [date(2020, 1, 1), date(2021, 1, 1)])
    with pytest.raises(DataError, match="ascending"):
        p.cagr([0.1], [date(2020, 1, 1), date(2020, 1, 1)])


def test_drawdowns_by_hand():
    returns = [0.10, -0.50, 0.20, 1.00, -0.25, 0.0]
    np.testing.assert_allclose(p.drawdown(returns), [0.0, -0.5, -0.4, 0.0, -0.25, -0.25])
    assert p.max_drawdown(returns) == pytest.approx(-0.5)
    assert p.max_drawdown_duration(returns) == 2
    assert p.max_drawdown_duration([-0.1, -0.1, 0.01]) == 3  # the start is a high
    assert p.max_drawdown([0.1, 0.2]) == 0.0
    assert p.max_drawdown_duration([0.1, 0.2]) == 0


def test_small_measures_by_hand():
    assert p.hit_rate([0.1, 0.0, -0.1, 0.2]) == 0.5
    assert p.annual_turnover([0.01, 0.03]) == pytest.approx(0.02 * 252)
    assert p.conditional_value_at_risk([-0.3] + [0.0] * 30) == pytest.approx(-0.15)  # the worst two of 31


def test_captures_by_hand():
    returns, benchmark = [0.02, -0.01, 0.005, 0.01], [0.01, -0.02, 0.01, 0.0]
    up = (1.02 * 1.005) ** (252 / 2) - 1
    assert p.up_capture(returns, benchmark) == pytest.approx(up / (1.01**252 - 1), rel=1e-12)
    assert p.down_capture(returns, benchmark) == pytest.approx((0.99**252 - 1) / (0.98**252 - 1), rel=1e-12)
    assert p.up_capture(benchmark, benchmark) == 1.0
    assert math.isnan(p.down_capture([0.01], [0.01]))
    assert math.isnan(p.up_capture([0.01], [0.0]))


def test_the_profit_factor_by_hand_and_without_a_loss():
    assert p.profit_factor([0.03, -0.01, 0.0, 0.01, -0.01]) == pytest.approx(2.0)
    assert math.isnan(p.profit_factor([0.01, 0.0]))


def test_a_ratio_without_a_denominator_is_nan():
    flat = np.full(50, RISK_FREE)
    assert math.isnan(p.sharpe(flat, RISK_FREE))
    assert math.isnan(p.sortino(flat, RISK_FREE))
    assert math.isnan(p.beta(SERIES["short"], np.full(5, 0.001)))
    assert math.isnan(p.information_ratio(SERIES["short"], SERIES["short"]))
    assert math.isnan(p.volatility_ann([0.01]))
    assert math.isnan(p.sharpe([0.01]))
    assert math.isnan(p.calmar([0.01], [date(2020, 1, 1), date(2020, 1, 2)]))


@pytest.mark.parametrize("bad", [[], [0.1, math.nan], [[0.1]], [math.inf]])
@pytest.mark.parametrize("measure", [p.total_return, p.volatility_ann, p.sharpe, p.max_drawdown, p.hit_rate])
def test_missing_or_infinite_returns_are_refused(measure, bad):
    with pytest.raises(DataError, match="performance: returns"):
        measure(bad)


def test_series_that_do_not_line_up_are_refused():
    with pytest.raises(DataError, match="align"):
        p.beta([0.1, 0.2], [0.1])
    with pytest.raises(DataError, match="risk-free"):
        p.sharpe([0.1, 0.2], [0.1])


def test_the_summary_names_units_and_repeats_the_single_measures():
    r, b = SERIES["noise"], BENCHMARK["noise"]
    dates = [date(2019, 1, 1) + timedelta(days=k) for k in range(len(r) + 1)]
    invested = np.full(len(r), 0.8)
    result = p.summary(
        r, dates, risk_free_rate_1d=RISK_FREE, turnover_1d=np.abs(r), invested_share=invested, benchmark=b
    )
    assert result["sharpe_ann"] == p.sharpe(r, RISK_FREE)
    assert result["cagr"] == p.cagr(r, dates)
    assert result["turnover_ann"] == p.annual_turnover(np.abs(r))
    assert result["information_ratio_ann"] == p.information_ratio(r, b)
    assert result["alpha_ann"] == p.alpha(r, b, RISK_FREE)
    assert result["cvar_95_1d"] == p.conditional_value_at_risk(r)
    assert result["cvar_95_1d_cornish_fisher"] == p.conditional_value_at_risk_cornish_fisher(r)
    assert result["var_95_1d_cornish_fisher"] == p.value_at_risk_cornish_fisher(r)
    assert result["skewness"] == p.skewness(r)
    assert result["kurtosis"] == p.kurtosis(r)
    assert result["profit_factor"] == p.profit_factor(r)
    assert result["down_capture"] == p.down_capture(r, b)
    assert result["exposure"] == pytest.approx(0.8)
    assert result["holding_sessions"] == pytest.approx(0.8 / np.abs(r).mean())


def test_what_was_not_given_is_not_in_the_summary():
    r, b = SERIES["noise"], BENCHMARK["noise"]
    dates = [date(2019, 1, 1) + timedelta(days=k) for k in range(len(r) + 1)]
    bare = set(p.summary(r, dates))
    assert set(p.summary(r, dates, turnover_1d=np.abs(r))) - bare == {"turnover_ann", "holding_sessions"}
    assert set(p.summary(r, dates, invested_share=np.ones(len(r)))) - bare == {"exposure"}
    assert set(p.summary(r, dates, benchmark=b)) - bare == {
        "beta", "alpha_ann", "tracking_error_ann", "information_ratio_ann", "up_capture", "down_capture"
    }  # fmt: skip


def test_every_measure_that_is_reported_is_explained_in_the_docs():
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    r = SERIES["noise"]
    dates = [date(2019, 1, 1) + timedelta(days=k) for k in range(len(r) + 1)]
    given = {"turnover_1d": np.abs(r), "invested_share": np.ones(len(r)), "benchmark": BENCHMARK["noise"]}
    keys = {"strategy", "ticker", "model", "regime", "quantile", "date", "entry_date", "exit_date"}
    counts = {"n_sessions", "n_trips", "n_dates", "n_tickers", "n_trials", "bought_inr"}
    tables = (schema.Significance, schema.RoundTrips, schema.ForecastDecay, schema.ForecastQuantiles)
    reported = {name for table in tables for name in table.column_names()}
    reported |= set(p.summary(r, dates, **given)) | set(trip_summary(schema.RoundTrips.create_empty()).columns)
    missing = {name for name in reported - keys - counts if f"`{name}`" not in page}
    assert missing == set()
