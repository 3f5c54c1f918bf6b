"""Where a ticker stands against its own past: momentum without the last month, reversal, the 52-week high, averages.

All come from `total_return_1d`; index levels are rebuilt inside each window, so splits, dividends and the history that
happens to be loaded change nothing.
"""

from collections.abc import Sequence

import numpy as np

from quant_core.features import feature, require_windows
from quant_core.features.panel import Panel
from quant_core.features.shapes import FloatPanel

#: Momentum leaves out the last month, which tends to revert (Jegadeesh 1990).
SKIPPED_SESSIONS = 21


@feature(
    "momentum_12_1",
    columns=(f"momentum_{{w}}d_skip_{SKIPPED_SESSIONS}d",),
    fixed_windows=(252,),
    default=True,
    place=50,
)
def momentum_12_1(panel: Panel, windows: Sequence[int] = (252,)) -> dict[str, FloatPanel]:
    """Simple total return over a year without its last month.

    exp(log return of 252 sessions - log return of the last 21) - 1.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, the skipped ones included; each above 21.
    Returns:
        one column `momentum_{w}d_skip_21d` a window: a fraction; null where the window or its last 21 sessions are not
        full.
    Raises:
        DataError: a window of 21 sessions or less.
    Source: Jegadeesh & Titman (1993), Returns to Buying Winners and Selling Losers.
    """
    from quant_core.features import kernels

    require_windows("momentum_12_1", windows, at_least=SKIPPED_SESSIONS + 1)
    last = panel.log_return(SKIPPED_SESSIONS)
    return {f"momentum_{w}d_skip_{SKIPPED_SESSIONS}d": kernels.expm1_panel(panel.log_return(w) - last) for w in windows}


@feature("short_term_reversal", columns=("reversal_{w}d",), fixed_windows=(5, 21))
def short_term_reversal(panel: Panel, windows: Sequence[int] = (5, 21)) -> dict[str, FloatPanel]:
    """Minus the simple total return of the last week or month: high for recent losers.

    It is momentum with its sign turned, so it adds nothing to a model that reads momentum; for rankings and screens.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `reversal_{w}d` a window: a fraction; null in each ticker's first w rows.
    Raises:
        DataError: a window below 1.
    Source: Jegadeesh (1990), Evidence of Predictable Behavior of Security Returns.
    """
    from quant_core.features import kernels

    require_windows("short_term_reversal", windows, at_least=1)
    return {f"reversal_{w}d": np.negative(kernels.expm1_panel(panel.log_return(w))) for w in windows}


@feature("distance_to_52w_high", columns=("distance_to_high_{w}d",), fixed_windows=(252,), default=True, place=60)
def distance_to_52w_high(panel: Panel, windows: Sequence[int] = (252,)) -> dict[str, FloatPanel]:
    """Today's total-return index over its highest close of the last 252 sessions, minus 1.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions whose closes are compared, today's included; each at least 2.
    Returns:
        one column `distance_to_high_{w}d` a window: a fraction in (-1, 0], 0 on the day of a high; null in each
        ticker's first w rows.
    Raises:
        DataError: a window below 2.
    Source: George & Hwang (2004), The 52-Week High and Momentum Investing, with closes instead of intraday highs.
    """
    from quant_core.features import level_kernels

    require_windows("distance_to_52w_high", windows, at_least=2)
    steps, first = panel.log_return_1d, panel.first_session
    return {f"distance_to_high_{w}d": level_kernels.distance_to_high(steps, w, first, panel.full(w)) for w in windows}


@feature("distance_to_average", columns=("distance_to_average_{w}d",), fixed_windows=(50, 200), default=True, place=70)
def distance_to_average(panel: Panel, windows: Sequence[int] = (50, 200)) -> dict[str, FloatPanel]:
    """Today's total-return index over the mean of its last 50 or 200 closes, minus 1.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions whose closes are averaged, today's included; each at least 2.
    Returns:
        one column `distance_to_average_{w}d` a window: a fraction, above 0 while the index is above its average; null
        in each ticker's first w rows.
    Raises:
        DataError: a window below 2.
    Source: Brock, Lakonishok & LeBaron (1992), Simple Technical Trading Rules.
    """
    require_windows("distance_to_average", windows, at_least=2)
    return {f"distance_to_average_{w}d": distance_from_mean(panel, w) for w in windows}


def distance_from_mean(panel: Panel, window_sessions: int) -> FloatPanel:
    """(N, T) today's total-return index over the mean of the window's closes, minus 1."""
    from quant_core.features import level_kernels

    full = panel.full(window_sessions)
    return level_kernels.distance_to_mean(panel.log_return_1d, window_sessions, panel.first_session, full)
