"""Measures of a series of simple daily returns, and all of them by name in `summary`.

Losses and moments are in `risk` and `cornish_fisher` and can be had from here; what was held is measured in
`holdings`, closed positions in `trips`. Significance and many-trials corrections live elsewhere.

Returns are 1-D arrays of simple returns of one session each, fractions (0.01 = 1 %). A year has 252 sessions. A ratio
whose denominator is 0 is NaN. NaN, infinite or missing input raises a DataError: fill or cut before measuring.

Definitions agree with empyrical-reloaded to rounding, except that growth rates here use calendar time (`cagr`, and
`calmar` with it); `information_ratio` is empyrical's excess_sharpe, annualised. docs/metrics.md has the whole table.
"""

import math
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import ArrayLike

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.cornish_fisher import conditional_value_at_risk_cornish_fisher, value_at_risk_cornish_fisher
from quant_core.measures.holdings import average_holding_sessions, exposure
from quant_core.measures.risk import (
    FLAT,
    best_return_1d,
    conditional_value_at_risk,
    finite_series,
    kurtosis,
    max_drawdown,
    max_drawdown_duration,
    skewness,
    tail_ratio,
    value_at_risk,
    worst_return_1d,
)
from quant_core.measures.risk import drawdown as drawdown

DAYS_PER_YEAR = 365.25
#: What is measured against a benchmark.
AGAINST = ("beta", "alpha_ann", "tracking_error_ann", "information_ratio_ann", "up_capture", "down_capture")


def total_return(returns: ArrayLike) -> float:
    """Compounded return of the whole series."""
    return float(np.prod(1.0 + finite_series(returns)) - 1.0)


def cagr(returns: ArrayLike, dates: Sequence[date]) -> float:
    """Compound growth a year, by calendar time: (final / first) ** (365.25 / days) - 1.

    Args:
        returns: (T,) returns.
        dates: T + 1 dates, from the close that the first return starts at to the close of the last; or T dates where
            the first return is 0, the opening row of a backtest. empyrical's annual_return counts sessions instead.
    """
    values = finite_series(returns)
    if (len(dates) == len(values) and values[0] != 0.0) or len(dates) not in (len(values), len(values) + 1):
        raise DataError(
            f"cagr: {len(dates)} dates for {len(values)} returns; give T + 1 dates, the first being the close before "
            "the first return, or T dates with a first return of 0."
        )
    days = (dates[-1] - dates[0]).days
    if days <= 0:
        raise DataError(f"cagr: dates run from {dates[0]} to {dates[-1]}; wanted at least one day, ascending.")
    return float(np.prod(1.0 + values) ** (DAYS_PER_YEAR / days) - 1.0)


def growth_ann(returns: ArrayLike) -> float:
    """Compound growth over 252 sessions, however many days they took; empyrical's annual_return."""
    values = finite_series(returns)
    return float(np.prod(1.0 + values) ** (SESSIONS_PER_YEAR / len(values)) - 1.0)


def volatility_ann(returns: ArrayLike) -> float:
    """Sample standard deviation (ddof 1) x sqrt(252); NaN for fewer than two returns."""
    values = finite_series(returns)
    return float(np.std(values, ddof=1) * math.sqrt(SESSIONS_PER_YEAR)) if len(values) > 1 else math.nan


def sharpe(returns: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> float:
    """Mean over sample standard deviation of the excess returns, x sqrt(252) (Sharpe, 1994)."""
    return _mean_over_deviation(_excess(returns, risk_free_rate_1d)) * math.sqrt(SESSIONS_PER_YEAR)


def sortino(returns: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> float:
    """Annual mean excess return over annual downside deviation sqrt(mean(min(excess, 0) ** 2)) of all sessions."""
    excess = _excess(returns, risk_free_rate_1d)
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    return float(excess.mean()) / downside * math.sqrt(SESSIONS_PER_YEAR) if downside > FLAT else math.nan


def calmar(returns: ArrayLike, dates: Sequence[date]) -> float:
    """CAGR over the size of the deepest drawdown; empyrical's uses its own annual return."""
    worst = max_drawdown(returns)
    return cagr(returns, dates) / -worst if worst < 0.0 else math.nan


def annual_turnover(turnover_1d: ArrayLike) -> float:
    """Mean one-way turnover per session x 252."""
    return float(finite_series(turnover_1d, "turnover").mean() * SESSIONS_PER_YEAR)


def hit_rate(returns: ArrayLike) -> float:
    """Share of sessions with a return above 0."""
    return float(np.mean(finite_series(returns) > 0.0))


def profit_factor(returns: ArrayLike) -> float:
    """Sum of the gains over the sum of the losses of the sessions; NaN without a loss. Of closed positions: `trips`."""
    values = finite_series(returns)
    losses = -float(values[values < 0.0].sum())
    return float(values[values > 0.0].sum()) / losses if losses > FLAT else math.nan


def beta(returns: ArrayLike, benchmark: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> float:
    """Slope of the excess returns on the benchmark's."""
    own, other = _pair(returns, benchmark, risk_free_rate_1d)
    centred = other - other.mean()
    variance = float(centred @ centred)
    return float(centred @ (own - own.mean())) / variance if variance > len(own) * FLAT**2 else math.nan


def alpha(returns: ArrayLike, benchmark: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> float:
    """Mean daily excess return not explained by beta, compounded over 252 sessions (Jensen, 1968)."""
    own, other = _pair(returns, benchmark, risk_free_rate_1d)
    daily = own.mean() - beta(returns, benchmark, risk_free_rate_1d) * other.mean()
    return float((1.0 + daily) ** SESSIONS_PER_YEAR - 1.0)


def tracking_error(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """Sample standard deviation of the active return x sqrt(252)."""
    own, other = _pair(returns, benchmark)
    return volatility_ann(own - other)


def information_ratio(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """Mean over sample standard deviation of the active return, x sqrt(252)."""
    own, other = _pair(returns, benchmark)
    return _mean_over_deviation(own - other) * math.sqrt(SESSIONS_PER_YEAR)


def up_capture(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """`growth_ann` over the benchmark's, of the sessions on which the benchmark rose; NaN where it never did.

    Both are compounded to a year of rising sessions only, as empyrical does, so that a beta of 2 captures more than 2.
    """
    own, other = _pair(returns, benchmark)
    return _capture(own[other > 0.0], other[other > 0.0])


def down_capture(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """The same of the sessions on which the benchmark fell; below 1 is a smaller loss."""
    own, other = _pair(returns, benchmark)
    return _capture(own[other < 0.0], other[other < 0.0])


def summary(
    returns: ArrayLike,
    dates: Sequence[date],
    *,
    risk_free_rate_1d: ArrayLike = 0.0,
    turnover_1d: ArrayLike | None = None,
    invested_share: ArrayLike | None = None,
    benchmark: ArrayLike | None = None,
) -> dict[str, float]:
    """Every measure by name; those that need turnover, the invested share or a benchmark only when it is given.

    Args:
        returns: (T,) returns.
        dates: as in `cagr`.
        risk_free_rate_1d: per session, one number or (T,).
        turnover_1d: (T,) one-way turnover.
        invested_share: (T,) holdings over equity after the close; without it a holding period assumes no cash.
        benchmark: (T,) returns of the benchmark on the same sessions.
    """
    measures = {
        "n_sessions": float(len(finite_series(returns))),
        "total_return": total_return(returns),
        "cagr": cagr(returns, dates),
        "volatility_ann": volatility_ann(returns),
        "sharpe_ann": sharpe(returns, risk_free_rate_1d),
        "sortino_ann": sortino(returns, risk_free_rate_1d),
        "max_drawdown": max_drawdown(returns),
        "max_drawdown_sessions": float(max_drawdown_duration(returns)),
        "calmar": calmar(returns, dates),
        "hit_rate": hit_rate(returns),
        "var_95_1d": value_at_risk(returns),
        "cvar_95_1d": conditional_value_at_risk(returns),
        "var_95_1d_cornish_fisher": value_at_risk_cornish_fisher(returns),
        "cvar_95_1d_cornish_fisher": conditional_value_at_risk_cornish_fisher(returns),
        "tail_ratio": tail_ratio(returns),
        "skewness": skewness(returns),
        "kurtosis": kurtosis(returns),
        "best_return_1d": best_return_1d(returns),
        "worst_return_1d": worst_return_1d(returns),
        "profit_factor": profit_factor(returns),
    }
    if turnover_1d is not None:
        held = 1.0 if invested_share is None else invested_share
        measures["turnover_ann"] = annual_turnover(turnover_1d)
        measures["holding_sessions"] = average_holding_sessions(turnover_1d, held)
    if invested_share is not None:
        measures["exposure"] = exposure(invested_share)
    if benchmark is not None:
        measures |= against(returns, benchmark, risk_free_rate_1d)
    return measures


def against(returns: ArrayLike, benchmark: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> dict[str, float]:
    """Every measure against a benchmark by name; NaN where there are fewer than two sessions of both.

    Args:
        returns, benchmark: (T,) returns of the same sessions.
    """
    if np.size(returns) < 2:
        return dict.fromkeys(AGAINST, math.nan)
    return {
        "beta": beta(returns, benchmark, risk_free_rate_1d),
        "alpha_ann": alpha(returns, benchmark, risk_free_rate_1d),
        "tracking_error_ann": tracking_error(returns, benchmark),
        "information_ratio_ann": information_ratio(returns, benchmark),
        "up_capture": up_capture(returns, benchmark),
        "down_capture": down_capture(returns, benchmark),
    }


def _capture(own: Floats, other: Floats) -> float:
    return growth_ann(own) / growth_ann(other) if len(other) else math.nan


def _excess(returns: ArrayLike, risk_free_rate_1d: ArrayLike) -> Floats:
    values, rate = finite_series(returns), np.asarray(risk_free_rate_1d, dtype=np.float64)
    if rate.ndim != 0 and rate.shape != values.shape:
        raise DataError(f"performance: risk-free rates {rate.shape} for returns {values.shape}; wanted one or as many.")
    return values - finite_series(np.broadcast_to(rate, values.shape), "risk-free rates")


def _pair(returns: ArrayLike, benchmark: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> tuple[Floats, Floats]:
    own, other = _excess(returns, risk_free_rate_1d), finite_series(benchmark, "benchmark returns")
    if own.shape != other.shape:
        raise DataError(
            f"performance: {len(own)} returns for {len(other)} benchmark returns; align them by date first."
        )
    return own, _excess(other, risk_free_rate_1d)


def _mean_over_deviation(values: Floats) -> float:
    if len(values) < 2:
        return math.nan
    deviation = float(np.std(values, ddof=1))
    return float(values.mean()) / deviation if deviation > FLAT else math.nan
