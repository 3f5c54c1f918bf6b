"""Bring features to a common scale, from trailing rows or from the day's own cross-section only.

Nothing here is fitted: no statistic of the whole sample is ever used. Scalers that are fitted belong to a walk-forward
fold and live with the models.
"""

import numpy as np
from numpy.typing import NDArray

from quant_core.features.shapes import FloatPanel

NORMALIZATIONS = ("rolling_zscore", "winsorized_zscore", "cross_sectional_rank", "none")


def applied(normalization: str, scope: str) -> str:
    """What `normalization` does to a feature of that scope: one series for the whole market cannot be ranked."""
    return "rolling_zscore" if normalization == "cross_sectional_rank" and scope == "market" else normalization


def normalized_name(column: str, normalization: str, zscore_lookback: int) -> str:
    """`{column}_z252`, `{column}_wz252` (winsorised), `{column}_rank`, or the column itself for "none"."""
    suffix = {
        "rolling_zscore": f"_z{zscore_lookback}",
        "winsorized_zscore": f"_wz{zscore_lookback}",
        "cross_sectional_rank": "_rank",
        "none": "",
    }[normalization]
    return column + suffix


def history_sessions(normalization: str, zscore_lookback: int) -> int:
    """Sessions of feature history that a normalised value reads before its own."""
    return {"rolling_zscore": 1, "winsorized_zscore": 2}.get(normalization, 0) * zscore_lookback


def rolling_zscore(values: FloatPanel, lookback_sessions: int, first_session: int) -> FloatPanel:
    """Distance from the ticker's own trailing mean, in trailing standard deviations (ddof 1), today included.

    Args:
        values: (N, T); NaN for no value.
        lookback_sessions: length of the window; at least half of its sessions must have a value.
        first_session: absolute session number of column 0.
    Returns:
        (N, T); NaN where today has no value, too few sessions have one, or the standard deviation is zero (below
        1e-12 of the mean).
    """
    from quant_core.features import kernels

    return kernels.window_zscore(values, lookback_sessions, first_session, -(-lookback_sessions // 2))


def winsorized_zscore(
    values: FloatPanel, lookback_sessions: int, first_session: int, outlier_sigma: float
) -> FloatPanel:
    """Rolling z-score of values that are first cut to the trailing mean +- `outlier_sigma` standard deviations.

    The limits of a day come from the `lookback_sessions` before it, so an outlier neither sets its own limit nor
    inflates the deviation that later days are measured in. Until half of those sessions have a value nothing is cut.

    Source: Tukey (1962), The Future of Data Analysis, winsorising; limits trailing instead of sample quantiles.
    """
    from quant_core.features import kernels

    least = -(-lookback_sessions // 2)
    capped = kernels.cap_outliers(values, lookback_sessions, first_session, least, outlier_sigma)
    return rolling_zscore(capped, lookback_sessions, first_session)


def cross_sectional_rank(
    values: NDArray[np.float64], is_eligible: NDArray[np.bool_], first_row: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rank among the date's eligible rows, scaled to (-0.5, 0.5); ties share their average; 0 is the median.

    Rows that are not eligible get NaN and do not count: a table that also holds later members would otherwise rank
    today's members against tomorrow's winners.

    Args:
        values: long rows sorted by date; NaN for no value.
        first_row: row at which each date begins.
    """
    from quant_core.features import day_kernels

    return day_kernels.rank_rows(values, is_eligible, first_row)
