"""Volatility from the day's open, high, low and close: several times as efficient as from closes alone.

Prices are compared within one day only, or through `overnight_return_1d`, so they are always on one basis. A day counts
when its bar is complete; the first two ignore what happens overnight, Yang-Zhang adds it.
"""

import math
from collections.abc import Sequence

import numpy as np

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.features import feature, require_windows
from quant_core.features.panel import Panel
from quant_core.features.shapes import FloatPanel

BAR = ("open_inr", "high_inr", "low_inr", "close_inr")
#: Garman & Klass (1980), the weight of the squared open-to-close return.
GARMAN_KLASS_WEIGHT = 2.0 * math.log(2.0) - 1.0
#: Yang & Zhang (2000), equation 7: k = 0.34 / (1.34 + (n + 1) / (n - 1)) for n days.
YANG_ZHANG_ALPHA = 1.34


@feature(
    "parkinson_volatility",
    columns=("parkinson_vol_{w}d_ann",),
    shortest_window=21,
    longest_window=63,
    reads=("high_inr", "low_inr"),
    default=True,
    place=220,
)
def parkinson_volatility(panel: Panel, windows: Sequence[int] = (21, 63)) -> dict[str, FloatPanel]:
    """Volatility from the day's high and low, annualised; overnight moves are not in it.

    sqrt(252 x mean(ln(high / low)^2 / (4 ln 2))).

    Args:
        panel: reads `high_inr`, `low_inr`.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `parkinson_vol_{w}d_ann` a window: a fraction a year; null in each ticker's first w rows.
    Raises:
        DataError: a window below 1.
    Source: Parkinson (1980), The Extreme Value Method for Estimating the Variance of the Rate of Return.
    """
    require_windows("parkinson_volatility", windows, at_least=1)
    spread = log_ratio(panel, "high_inr", "low_inr")
    daily = spread * spread / (4.0 * math.log(2.0))
    return {f"parkinson_vol_{w}d_ann": _annualised_root(panel, daily, w) for w in windows}


@feature(
    "garman_klass_volatility",
    columns=("garman_klass_vol_{w}d_ann",),
    shortest_window=21,
    longest_window=63,
    reads=BAR,
    default=True,
    place=230,
)
def garman_klass_volatility(panel: Panel, windows: Sequence[int] = (21, 63)) -> dict[str, FloatPanel]:
    """Volatility from the day's open, high, low and close, annualised; overnight moves are not in it.

    sqrt(252 x mean(0.5 ln(high / low)^2 - (2 ln 2 - 1) ln(close / open)^2)).

    Args:
        panel: reads the day's bar.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `garman_klass_vol_{w}d_ann` a window: a fraction a year; null in each ticker's first w rows.
    Raises:
        DataError: a window below 1.
    Source: Garman & Klass (1980), On the Estimation of Security Price Volatilities from Historical Data.
    """
    require_windows("garman_klass_volatility", windows, at_least=1)
    spread, intraday = log_ratio(panel, "high_inr", "low_inr"), log_ratio(panel, "close_inr", "open_inr")
    daily = 0.5 * spread * spread - GARMAN_KLASS_WEIGHT * intraday * intraday
    return {f"garman_klass_vol_{w}d_ann": _annualised_root(panel, daily, w) for w in windows}


@feature(
    "yang_zhang_volatility",
    columns=("yang_zhang_vol_{w}d_ann",),
    shortest_window=21,
    longest_window=63,
    reads=("overnight_return_1d", *BAR),
    default=True,
    place=240,
)
def yang_zhang_volatility(panel: Panel, windows: Sequence[int] = (21, 63)) -> dict[str, FloatPanel]:
    """Volatility from overnight gaps, open to close and the day's range together, annualised; free of drift.

    sqrt(252 x (var(overnight) + k var(open to close) + (1 - k) mean(RS))) of log returns, where
    RS = ln(high / open) ln(high / close) + ln(low / open) ln(low / close) (Rogers-Satchell) and
    k = 0.34 / (1.34 + (n + 1) / (n - 1)) for n days.

    Args:
        panel: reads `overnight_return_1d` and the day's bar.
        windows: sessions, today included; each at least 2.
    Returns:
        one column `yang_zhang_vol_{w}d_ann` a window: a fraction a year; null in each ticker's first w rows.
    Raises:
        DataError: a window below 2.
    Source: Yang & Zhang (2000), Drift-Independent Volatility Estimation Based on High, Low, Open, and Close Prices.
    """
    from quant_core.features import kernels

    require_windows("yang_zhang_volatility", windows, at_least=2)
    overnight = kernels.log1p_panel(panel.inputs["overnight_return_1d"])
    intraday = log_ratio(panel, "close_inr", "open_inr")
    up, down = log_ratio(panel, "high_inr", "open_inr"), log_ratio(panel, "low_inr", "open_inr")
    rogers_satchell = up * (up - intraday) + down * (down - intraday)
    complete = ~np.isnan(overnight + rogers_satchell)
    overnight, intraday, rogers_satchell = (
        np.where(complete, values, np.nan) for values in (overnight, intraday, rogers_satchell)
    )
    columns = {}
    for w in windows:
        full, first = panel.full_of(overnight, w), panel.first_session
        days = kernels.window_sum(complete.astype(np.float64), w, first, full)
        k = (YANG_ZHANG_ALPHA - 1.0) / (YANG_ZHANG_ALPHA + (days + 1.0) / (days - 1.0))
        gaps, moves = (kernels.window_std(values, w, first, full) for values in (overnight, intraday))
        inside = np.maximum(kernels.window_mean(rogers_satchell, w, first, full), 0.0)
        variance = gaps * gaps + k * moves * moves + (1.0 - k) * inside
        columns[f"yang_zhang_vol_{w}d_ann"] = np.sqrt(variance * SESSIONS_PER_YEAR)
    return columns


def log_ratio(panel: Panel, above: str, below: str) -> FloatPanel:
    """(N, T) log of one price of the day over another; NaN where either is missing or not above zero."""
    from quant_core.features import kernels

    return kernels.log_panel(panel.inputs[above]) - kernels.log_panel(panel.inputs[below])


def _annualised_root(panel: Panel, daily_variance: FloatPanel, window_sessions: int) -> FloatPanel:
    """Root of the window's mean daily variance, a year's worth."""
    from quant_core.features import kernels

    full = panel.full_of(daily_variance, window_sessions)
    mean = kernels.window_mean(daily_variance, window_sessions, panel.first_session, full)
    return np.sqrt(np.maximum(mean, 0.0) * SESSIONS_PER_YEAR)
