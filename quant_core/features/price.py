"""Features of one ticker's own total returns: log return, volatility, momentum, drawdown.

All are computed from `total_return_1d`, which is split and dividend aware and never changes once its day is over;
adjusted price levels are never read. The return on the first session after a gap spans the gap. When a window may be
used is defined once, in `panel.py`. Cross-asset and regime signals, liquidity and ranges have files of their own.
"""

from collections.abc import Sequence

import numpy as np

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.features import feature, require_windows
from quant_core.features.panel import Panel
from quant_core.features.shapes import FloatPanel


@feature("log_returns", columns=("log_return_{w}d",), default=True, place=10)
def log_returns(panel: Panel, windows: Sequence[int] = (1, 5, 21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Sum of daily log total returns over each window.

    ln(1 + r_1) + ln(1 + r_2) + .. + ln(1 + r_w).

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `log_return_{w}d` a window: log points (0.1 = about +10 %); null in each ticker's first w rows.
    Raises:
        DataError: a window below 1.
    """
    require_windows("log_returns", windows, at_least=1)
    return {f"log_return_{w}d": panel.log_return(w) for w in windows}


@feature("realized_volatility", columns=("realized_vol_{w}d_ann",), shortest_window=2, default=True, place=20)
def realized_volatility(panel: Panel, windows: Sequence[int] = (5, 21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Trailing standard deviation (ddof 1) of daily log returns, annualised.

    std(ln(1 + r)) x sqrt(252).

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, today included; each at least 2.
    Returns:
        one column `realized_vol_{w}d_ann` a window: a fraction (0.2 = 20 % a year); null in each ticker's first w rows.
    Raises:
        DataError: a window below 2.
    Source: Hull, Options, Futures and Other Derivatives, historical volatility; 252 sessions a year.
    """
    from quant_core.features import kernels

    require_windows("realized_volatility", windows, at_least=2)
    columns = {}
    for w in windows:
        daily = kernels.window_std(panel.log_return_1d, w, panel.first_session, panel.full(w))
        columns[f"realized_vol_{w}d_ann"] = daily * np.sqrt(SESSIONS_PER_YEAR)
    return columns


@feature("momentum", columns=("momentum_{w}d",), shortest_window=2, default=True, place=30)
def momentum(panel: Panel, windows: Sequence[int] = (5, 21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Simple total return over each window, with no month skipped.

    (1 + r_1) (1 + r_2) .. (1 + r_w) - 1.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, today included; each at least 1 (a window of 1 would repeat the one-day return).
    Returns:
        one column `momentum_{w}d` a window: a fraction (0.1 = +10 %); null in each ticker's first w rows.
    Raises:
        DataError: a window below 1.
    """
    from quant_core.features import kernels

    require_windows("momentum", windows, at_least=1)
    return {f"momentum_{w}d": kernels.expm1_panel(panel.log_return(w)) for w in windows}


@feature("max_drawdown", columns=("max_drawdown_{w}d",), shortest_window=21, default=True, place=40)
def max_drawdown(panel: Panel, windows: Sequence[int] = (21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Worst peak-to-trough fall of the total-return index inside each window.

    The index is rebuilt from the window's own returns and has w + 1 levels: the one before the first return counts as
    a possible peak. Not `price / rolling maximum` and its rolling minimum, which reaches 2 w sessions back.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `max_drawdown_{w}d` a window: a fraction in (-1, 0], 0 if the index never fell; null in each
        ticker's first w rows.
    Raises:
        DataError: a window below 1.
    """
    from quant_core.features import level_kernels

    require_windows("max_drawdown", windows, at_least=1)
    return {
        f"max_drawdown_{w}d": level_kernels.window_max_drawdown(
            panel.log_return_1d, w, panel.first_session, panel.full(w)
        )
        for w in windows
    }
