"""The summary of a strategy: every measure under its name, against cash where it is one over cash."""

from datetime import date, timedelta

import numpy as np
import pytest

from quant_core.measures import performance as p

RNG = np.random.default_rng(13)
RETURNS, BENCHMARK = RNG.normal(0.0006, 0.011, 300), RNG.normal(0.0004, 0.009, 300)
DATES = [date(2019, 1, 1) + timedelta(days=k) for k in range(301)]
CASH = np.linspace(0.0001, 0.0004, 300)  # a rate that changes, so neither 0 nor its mean does as well
TURNOVER, INVESTED = np.abs(RNG.normal(0.02, 0.01, 300)), RNG.uniform(0.5, 1.0, 300)


def test_the_sortino_ratio_of_the_summary_is_over_cash() -> None:
    excess = RETURNS - CASH
    by_hand = excess.mean() / np.sqrt(np.mean(np.where(excess < 0.0, excess, 0.0) ** 2)) * np.sqrt(252)
    found = p.summary(RETURNS, DATES, risk_free_rate_1d=CASH)
    assert found["sortino_ann"] == pytest.approx(by_hand, rel=1e-12)
    assert found["sortino_ann"] != pytest.approx(p.sortino(RETURNS), rel=1e-3)


def test_every_measure_of_the_summary_is_the_measure_of_its_name() -> None:
    """Each name maps to another number, so two swapped measures, or one without cash, cannot pass."""
    expected = {
        "n_sessions": 300.0,
        "total_return": p.total_return(RETURNS),
        "cagr": p.cagr(RETURNS, DATES),
        "volatility_ann": p.volatility_ann(RETURNS),
        "sharpe_ann": p.sharpe(RETURNS, CASH),
        "sortino_ann": p.sortino(RETURNS, CASH),
        "max_drawdown": p.max_drawdown(RETURNS),
        "max_drawdown_sessions": float(p.max_drawdown_duration(RETURNS)),
        "calmar": p.calmar(RETURNS, DATES),
        "hit_rate": p.hit_rate(RETURNS),
        "var_95_1d": p.value_at_risk(RETURNS),
        "cvar_95_1d": p.conditional_value_at_risk(RETURNS),
        "var_95_1d_cornish_fisher": p.value_at_risk_cornish_fisher(RETURNS),
        "cvar_95_1d_cornish_fisher": p.conditional_value_at_risk_cornish_fisher(RETURNS),
        "tail_ratio": p.tail_ratio(RETURNS),
        "skewness": p.skewness(RETURNS),
        "kurtosis": p.kurtosis(RETURNS),
        "best_return_1d": RETURNS.max(),
        "worst_return_1d": RETURNS.min(),
        "profit_factor": p.profit_factor(RETURNS),
        "turnover_ann": p.annual_turnover(TURNOVER),
        "holding_sessions": p.average_holding_sessions(TURNOVER, INVESTED),
        "exposure": INVESTED.mean(),
        "beta": p.beta(RETURNS, BENCHMARK, CASH),
        "alpha_ann": p.alpha(RETURNS, BENCHMARK, CASH),
        "tracking_error_ann": p.tracking_error(RETURNS, BENCHMARK),
        "information_ratio_ann": p.information_ratio(RETURNS, BENCHMARK),
        "up_capture": p.up_capture(RETURNS, BENCHMARK),
        "down_capture": p.down_capture(RETURNS, BENCHMARK),
    }
    found = p.summary(
        RETURNS,
        DATES,
        risk_free_rate_1d=CASH,
        turnover_1d=TURNOVER,
        invested_share=INVESTED,
        benchmark=BENCHMARK,
    )
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert set(found) >= set(expected)
    assert len(set(found.values())) == len(found)
