"""One-day channels by hand, and their naive twins."""

import math

import numpy as np
import pytest
from by_hand import series
from naive import Rows, full, twin
from test_feature_liquidity import traded

from quant_core.features import FeatureConfig, feature_columns

MOST = 8.0


def usual(own: Rows, t: int, w: int) -> float:
    """Standard deviation of the returns of w sessions; NaN where there is none or it is 0."""
    window = full(own.r, own, t, w)
    deviation = math.nan if window is None else float(np.std(window, ddof=1))
    return deviation if deviation > 0 else math.nan


def cut(value: float) -> float:
    return float(np.clip(value, -MOST, MOST))


def log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan


@twin("daily_channels", "channel_return_1d", windows=(21,))
def naive_return(own, t, w):
    return cut(own.r[t] / usual(own, t, w))


@twin("daily_channels", "channel_gap_1d", windows=(21,))
def naive_gap(own, t, w):
    return cut(log(1 + own.inputs["overnight_return_1d"][t]) / usual(own, t, w))


@twin("daily_channels", "channel_intraday_1d", windows=(21,))
def naive_intraday(own, t, w):
    return cut((log(own.inputs["close_inr"][t]) - log(own.inputs["open_inr"][t])) / usual(own, t, w))


@twin("daily_channels", "channel_range_1d", windows=(21,))
def naive_range(own, t, w):
    return cut((log(own.inputs["high_inr"][t]) - log(own.inputs["low_inr"][t])) / usual(own, t, w) - 1)


@twin("daily_channels", "channel_turnover_1d", windows=(21,))
def naive_turnover(own, t, w):
    before = full(traded(own), own, t, w, until=t - 1)
    if before is None or not math.fsum(before) > 0:
        return math.nan
    return cut(log(traded(own)[t] / (math.fsum(before) / len(before))) / 2)


@twin("daily_channels", "channel_volatility_1d", windows=(21,))
def naive_volatility(own, t, w):
    return cut(log(usual(own, t, w // 3) / usual(own, t, w)))


@twin("daily_channels", "channel_market_1d", windows=(21,))
def naive_market(own, t, w):
    return cut(own.index.r[t] / usual(own.index, t, w)) + 0.0 * usual(own, t, w)


@twin("daily_channels", "channel_excess_1d", windows=(21,))
def naive_excess(own, t, w):
    return cut((own.r[t] - own.index.r[t]) / usual(own, t, w))


@twin("sector_code", "static_sector_code", windows=(1,))
def naive_sector(own, t, w):
    return own.sector - 1.0 if own.priced[t] and own.sector > 0 else math.nan


def test_a_move_is_counted_in_usual_days_and_cut(make_prices) -> None:
    steps = [0.01, -0.01] * 40
    calm = series(make_prices({"A": [*steps, 0.02]}), "daily_channels", (63,))["channel_return_1d"]
    window = np.log1p([*steps, 0.02][-63:])
    assert calm[80] == pytest.approx(math.log(1.02) / np.std(window, ddof=1), rel=1e-12)
    assert np.isnan(calm[:63]).all()
    shock = series(make_prices({"A": [0.0001, -0.0001] * 40 + [0.30]}), "daily_channels", (63,))["channel_return_1d"]
    assert 7.5 < shock[80] <= MOST  # one day among 63 is at most sqrt(62) of their standard deviations


def test_channels_have_no_normalised_twin() -> None:
    for how in ("rolling_zscore", "cross_sectional_rank", "none"):
        columns = feature_columns(FeatureConfig(names=("log_returns", "daily_channels"), normalization=how))
        assert len(columns) == len(set(columns))
        assert [name for name in columns if name.startswith("channel_")] == [
            name for name in columns if "channel" in name and name.endswith("_1d")
        ]
        assert sum(name.startswith("channel_") for name in columns) == 8
