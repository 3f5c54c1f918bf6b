"""Signs that the market or a ticker is changing its behaviour: volatility against its norm, gaps, breadth.

Breadth is one series a day, the same for every ticker. It counts the members of that very day, so today's list is never
applied to the past. Abnormal volume is in `liquidity.py`.
"""

from collections.abc import Sequence

import numpy as np

from quant_core.features import feature, require_windows
from quant_core.features.panel import ANCHOR_REACH_SESSIONS, Panel, needed
from quant_core.features.shapes import FloatPanel
from quant_core.features.trend import distance_from_mean

#: The long window of a volatility ratio, in units of the short one.
LONG_OVER_SHORT = 6
#: A close that is nearer to its average is at it: what rounding leaves of a price that did not move.
ROUNDING = 1e-12


@feature("vol_regime", columns=("vol_ratio_21d_126d",), fixed_windows=(126,), default=True, place=150)
def vol_regime(panel: Panel, windows: Sequence[int] = (126,)) -> dict[str, FloatPanel]:
    """Volatility of the last month over that of the last half year.

    Args:
        panel: reads `total_return_1d`.
        windows: sessions of the long volatility; the short one is a sixth of it.
    Returns:
        one column `vol_ratio_{w/6}d_{w}d` a window: dimensionless, 1 is the norm, above 1.5 a turn to high volatility;
        null where either window is not full or the long volatility is zero.
    Raises:
        DataError: a window below 12.
    """
    from quant_core.features import kernels

    require_windows("vol_regime", windows, at_least=2 * LONG_OVER_SHORT)
    columns = {}
    for w in windows:
        short, long = (
            kernels.window_std(panel.log_return_1d, span, panel.first_session, panel.full(span))
            for span in (w // LONG_OVER_SHORT, w)
        )
        ratio = np.full(short.shape, np.nan)
        columns[f"vol_ratio_{w // LONG_OVER_SHORT}d_{w}d"] = np.divide(short, long, out=ratio, where=long > 0.0)
    return columns


@feature(
    "gap_stats",
    columns=("gap_1d", "gap_mean_{w}d", "gap_std_{w}d", "gap_max_abs_{w}d"),
    fixed_windows=(21,),
    reads=("overnight_return_1d", "open_inr"),
    default=True,
    place=170,
)
def gap_stats(panel: Panel, windows: Sequence[int] = (21,)) -> dict[str, FloatPanel]:
    """Overnight gap, previous close to open on the same basis, and its trailing mean, spread and largest size.

    Args:
        panel: reads `overnight_return_1d` (split and dividend aware) where there is an opening price.
        windows: sessions, today included; each at least 2.
    Returns:
        `gap_1d`, today's gap, and a window's `gap_mean_{w}d`, `gap_std_{w}d` (ddof 1), `gap_max_abs_{w}d`: simple
        returns as fractions (0.01 = opened 1 % up); the window's are null in each ticker's first w rows.
    Raises:
        DataError: a window below 2.
    """
    from quant_core.features import kernels

    require_windows("gap_stats", windows, at_least=2)
    gap = np.where(np.isnan(panel.inputs["open_inr"]), np.nan, panel.inputs["overnight_return_1d"])
    columns, size, first = {"gap_1d": gap}, np.abs(gap), panel.first_session
    for w in windows:
        full = panel.full_of(gap, w)
        columns[f"gap_mean_{w}d"] = kernels.window_mean(gap, w, first, full)
        columns[f"gap_std_{w}d"] = kernels.window_std(gap, w, first, full)
        columns[f"gap_max_abs_{w}d"] = kernels.window_max(size, w, first, full)
    return columns


@feature(
    "breadth_indicators",
    columns=("breadth_1d", "advancing_share_1d", "breadth_mean_{w}d"),
    fixed_windows=(5, 21),
    scope="market",
    default=True,
    place=180,
)
def breadth_indicators(panel: Panel, windows: Sequence[int] = (5, 21)) -> dict[str, FloatPanel]:
    """Advances against declines among the members of the day, and the trailing mean.

    Args:
        panel: reads `total_return_1d` of the day's members.
        windows: sessions, today included; each at least 1.
    Returns:
        market-wide series. `breadth_1d` = (A - D) / (A + D) and its mean `breadth_mean_{w}d`: in [-1, 1], 0 where
        nothing moved; `advancing_share_1d` = A / members with a return: in [0, 1]. Null on a day on which no member has
        a return.
    Raises:
        DataError: a window below 1.
    Source: Zweig (1986), Winning on Wall Street; A counts total returns above zero, D below.
    """
    from quant_core.features import day_kernels

    require_windows("breadth_indicators", windows, at_least=1)
    up, down, flat = day_kernels.count_signs(panel.log_return(1), panel.member)
    counted, moved = up + down + flat, up + down
    breadth, share = np.full((1, len(up)), np.nan), np.full((1, len(up)), np.nan)
    np.divide(up - down, np.maximum(moved, 1), out=breadth[0], where=counted > 0)
    np.divide(up, counted, out=share[0], where=counted > 0)
    columns = {"breadth_1d": breadth, "advancing_share_1d": share}
    return columns | {f"breadth_mean_{w}d": _mean_of_series(panel, breadth, w) for w in windows}


@feature(
    "breadth_above_average",
    columns=("share_above_average_{w}d",),
    fixed_windows=(50, 200),
    scope="market",
    default=True,
    place=190,
)
def breadth_above_average(panel: Panel, windows: Sequence[int] = (50, 200)) -> dict[str, FloatPanel]:
    """Share of the day's members whose total-return index is above its 50- or 200-session average.

    Args:
        panel: reads `total_return_1d` of the day's members.
        windows: sessions of the average, today included; each at least 2.
    Returns:
        one market-wide series `share_above_average_{w}d` a window: in [0, 1], of the members with a full window; null
        on a day without any.
    Raises:
        DataError: a window below 2.
    """
    from quant_core.features import day_kernels

    require_windows("breadth_above_average", windows, at_least=2)
    columns = {}
    for w in windows:
        distance = distance_from_mean(panel, w)
        distance[np.abs(distance) < ROUNDING] = 0.0
        above, below, level = day_kernels.count_signs(distance, panel.member)
        counted = above + below + level
        share = np.full((1, len(above)), np.nan)
        np.divide(above, counted, out=share[0], where=counted > 0)
        columns[f"share_above_average_{w}d"] = share
    return columns


def _mean_of_series(panel: Panel, series: FloatPanel, window_sessions: int) -> FloatPanel:
    """Trailing mean of a (1, T) series, by the window rule."""
    from quant_core.features import kernels

    need, present = needed(window_sessions), ~np.isnan(series)
    full = kernels.full_windows(panel.lost_given(series), present, window_sessions, need, ANCHOR_REACH_SESSIONS)
    return kernels.window_mean(series, window_sessions, panel.first_session, full)
