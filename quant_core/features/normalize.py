"""Bring features to a common scale, from trailing rows or from the day's own cross-section only.

Nothing here is fitted: no statistic of the whole sample is ever used. Scalers that are fitted belong to a walk-forward
fold and live with the models.
"""

import polars as pl

from quant_core.features.panel import FloatPanel

NORMALIZATIONS = ("rolling_zscore", "cross_sectional_rank", "none")


def normalized_name(column: str, normalization: str, zscore_lookback: int) -> str:
    """Name of the normalised column: `{column}_z252`, `{column}_rank`, or the column itself for "none"."""
    suffix = {"rolling_zscore": f"_z{zscore_lookback}", "cross_sectional_rank": "_rank", "none": ""}[normalization]
    return column + suffix


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


def cross_sectional_rank(column: str) -> pl.Expr:
    """Rank among the date's eligible rows, scaled to (-0.5, 0.5); ties share their average; 0 is the median.

    Rows that are not eligible get null and do not count: a table that also holds later members would otherwise rank
    today's members against tomorrow's winners.
    """
    values = pl.when("is_eligible").then(column)
    return (values.rank("average").over("date") - 0.5) / values.count().over("date") - 0.5
