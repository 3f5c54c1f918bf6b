"""Measures of a series of simple daily returns. Significance and many-trials corrections live elsewhere.

Returns are 1-D arrays of simple returns of one session each, fractions (0.01 = 1 %). A year has 252 sessions. A ratio
whose denominator is 0 is NaN. NaN, infinite or missing input raises a DataError: fill or cut before measuring.

Definitions agree with empyrical-reloaded to rounding, except that growth rates here use calendar time (`cagr`, and
`calmar` with it); `information_ratio` is empyrical's excess_sharpe, annualised.
"""

import math
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.errors import DataError

Array = NDArray[np.float64]

DAYS_PER_YEAR = 365.25
FLAT = 1e-12  # a standard deviation below this is rounding of a constant series


def risk_free_1d(risk_free_rate_ann: float) -> float:
    """The constant return per session that compounds to `risk_free_rate_ann` over 252 sessions."""
    return float((1.0 + risk_free_rate_ann) ** (1.0 / SESSIONS_PER_YEAR) - 1.0)


def total_return(returns: ArrayLike) -> float:
    """Compounded return of the whole series."""
    return float(np.prod(1.0 + _clean(returns)) - 1.0)


def cagr(returns: ArrayLike, dates: Sequence[date]) -> float:
    """Compound growth a year, by calendar time: (final / first) ** (365.25 / days) - 1.

    Args:
        returns: (T,) returns.
        dates: T + 1 dates, from the close that the first return starts at to the close of the last; or T dates where
            the first return is 0, the opening row of a backtest. empyrical's annual_return counts sessions instead.
    """
    values = _clean(returns)
    if (len(dates) == len(values) and values[0] != 0.0) or len(dates) not in (len(values), len(values) + 1):
        raise DataError(
            f"cagr: {len(dates)} dates for {len(values)} returns; give T + 1 dates, the first being the close before "
            "the first return, or T dates with a first return of 0."
        )
    days = (dates[-1] - dates[0]).days
    if days <= 0:
        raise DataError(f"cagr: dates run from {dates[0]} to {dates[-1]}; wanted at least one day, ascending.")
    return float(np.prod(1.0 + values) ** (DAYS_PER_YEAR / days) - 1.0)


def volatility_ann(returns: ArrayLike) -> float:
    """Sample standard deviation (ddof 1) x sqrt(252); NaN for fewer than two returns."""
    values = _clean(returns)
    return float(np.std(values, ddof=1) * math.sqrt(SESSIONS_PER_YEAR)) if len(values) > 1 else math.nan


def sharpe(returns: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> float:
    """Mean over sample standard deviation of the excess returns, x sqrt(252) (Sharpe, 1994)."""
    return _mean_over_deviation(_excess(returns, risk_free_rate_1d)) * math.sqrt(SESSIONS_PER_YEAR)


def sortino(returns: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> float:
    """Annual mean excess return over annual downside deviation sqrt(mean(min(excess, 0) ** 2)) of all sessions."""
    excess = _excess(returns, risk_free_rate_1d)
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    return float(excess.mean()) / downside * math.sqrt(SESSIONS_PER_YEAR) if downside > FLAT else math.nan


def drawdown(returns: ArrayLike) -> Array:
    """(T,) equity over its highest value so far, less 1; the start counts as a high."""
    equity = np.cumprod(1.0 + _clean(returns))
    return equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0


def max_drawdown(returns: ArrayLike) -> float:
    """Deepest drawdown, a number <= 0."""
    return float(min(drawdown(returns).min(), 0.0))


def max_drawdown_duration(returns: ArrayLike) -> int:
    """Longest run of sessions below an earlier high, recovered or not."""
    below = drawdown(returns) < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], below, [False]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def calmar(returns: ArrayLike, dates: Sequence[date]) -> float:
    """CAGR over the size of the deepest drawdown; empyrical's uses its own annual return."""
    worst = max_drawdown(returns)
    return cagr(returns, dates) / -worst if worst < 0.0 else math.nan


def annual_turnover(turnover_1d: ArrayLike) -> float:
    """Mean one-way turnover per session x 252."""
    return float(_clean(turnover_1d, "turnover").mean() * SESSIONS_PER_YEAR)


def hit_rate(returns: ArrayLike) -> float:
    """Share of sessions with a return above 0."""
    return float(np.mean(_clean(returns) > 0.0))


def value_at_risk(returns: ArrayLike, tail: float = 0.05) -> float:
    """Historical `tail` quantile of the daily return (a loss is negative), interpolated as in empyrical."""
    return float(np.percentile(_clean(returns), 100.0 * tail))


def conditional_value_at_risk(returns: ArrayLike, tail: float = 0.05) -> float:
    """Mean of the worst int((T - 1) x tail) + 1 daily returns, empyrical's rule."""
    values = np.sort(_clean(returns))
    return float(values[: int((len(values) - 1) * tail) + 1].mean())


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


def summary(
    returns: ArrayLike,
    dates: Sequence[date],
    *,
    risk_free_rate_1d: ArrayLike = 0.0,
    turnover_1d: ArrayLike | None = None,
    benchmark: ArrayLike | None = None,
) -> dict[str, float]:
    """Every measure by name; those that need turnover or a benchmark are there only when it is given.

    Args:
        returns: (T,) returns.
        dates: as in `cagr`.
        risk_free_rate_1d: per session, one number or (T,).
        turnover_1d: (T,) one-way turnover.
        benchmark: (T,) returns of the benchmark on the same sessions.
    """
    measures = {
        "n_sessions": float(len(_clean(returns))),
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
    }
    if turnover_1d is not None:
        measures["turnover_ann"] = annual_turnover(turnover_1d)
    if benchmark is not None:
        measures["beta"] = beta(returns, benchmark, risk_free_rate_1d)
        measures["alpha_ann"] = alpha(returns, benchmark, risk_free_rate_1d)
        measures["tracking_error_ann"] = tracking_error(returns, benchmark)
        measures["information_ratio_ann"] = information_ratio(returns, benchmark)
    return measures


def _clean(values: ArrayLike, what: str = "returns") -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise DataError(f"performance: {what} have shape {array.shape}; wanted a 1-D series with at least one session.")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise DataError(
            f"performance: {what} row {bad[0]} is {array[bad[0]]} ({len(bad)} such rows); "
            "drop the sessions without a value or fill them before measuring."
        )
    return array


def _excess(returns: ArrayLike, risk_free_rate_1d: ArrayLike) -> Array:
    values, rate = _clean(returns), np.asarray(risk_free_rate_1d, dtype=np.float64)
    if rate.ndim != 0 and rate.shape != values.shape:
        raise DataError(f"performance: risk-free rates {rate.shape} for returns {values.shape}; wanted one or as many.")
    return values - _clean(np.broadcast_to(rate, values.shape), "risk-free rates")


def _pair(returns: ArrayLike, benchmark: ArrayLike, risk_free_rate_1d: ArrayLike = 0.0) -> tuple[Array, Array]:
    own, other = _excess(returns, risk_free_rate_1d), _clean(benchmark, "benchmark returns")
    if own.shape != other.shape:
        raise DataError(
            f"performance: {len(own)} returns for {len(other)} benchmark returns; align them by date first."
        )
    return own, _excess(other, risk_free_rate_1d)


def _mean_over_deviation(values: Array) -> float:
    if len(values) < 2:
        return math.nan
    deviation = float(np.std(values, ddof=1))
    return float(values.mean()) / deviation if deviation > FLAT else math.nan
