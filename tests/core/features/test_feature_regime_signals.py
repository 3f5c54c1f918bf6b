"""Volatility against its norm, gaps and breadth by hand, and their naive twins."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from by_hand import series, values
from naive import Rows, full, levels, mean_of, std_of, twin

from quant_core.calendar import sessions
from quant_core.features import FEATURES, FeatureConfig, compute_features

NAN = float("nan")
FIRST = date(2015, 1, 1)
STEPS = [0.0, 0.10, -0.20, 0.05, 0.30, -0.10, 0.02, 0.01]


@twin("vol_regime", "vol_ratio_{sixth}d_{w}d", windows=(12, 18))
def naive_volatility_ratio(own, t, w):
    short, long = std_of(own.r, own, t, w // 6), std_of(own.r, own, t, w)
    return short / long if long > 0 else math.nan


def gap(own: Rows) -> np.ndarray:
    return np.where(np.isnan(own.inputs["open_inr"]), np.nan, own.inputs["overnight_return_1d"])


@twin("gap_stats", "gap_1d")
def naive_gap(own, t, w):
    return gap(own)[t]


@twin("gap_stats", "gap_mean_{w}d")
def naive_gap_mean(own, t, w):
    return mean_of(gap(own), own, t, w)


@twin("gap_stats", "gap_std_{w}d")
def naive_gap_deviation(own, t, w):
    return std_of(gap(own), own, t, w)


@twin("gap_stats", "gap_max_abs_{w}d")
def naive_largest_gap(own, t, w):
    window = full(gap(own), own, t, w)
    return math.nan if window is None else float(np.abs(window).max())


def moves(own: Rows, t: int) -> list[float]:
    """One-day returns of the day's members that have one."""
    found = [full(one.r, one, t, 1) for one in own.everyone if one.member[t]]
    return [float(window[0]) for window in found if window is not None and len(window)]


@twin("breadth_indicators", "breadth_1d")
def naive_breadth(own, t, w):
    steps = moves(own, t)
    up, down = (sum(sign * step > 0 for step in steps) for sign in (1, -1))
    return (up - down) / max(up + down, 1) if steps else math.nan


@twin("breadth_indicators", "advancing_share_1d")
def naive_advancing_share(own, t, w):
    return float(np.mean([step > 0 for step in moves(own, t)])) if moves(own, t) else math.nan


@twin("breadth_indicators", "breadth_mean_{w}d", windows=(5,))
def naive_mean_breadth(own, t, w):
    begin = max(t - w - 10, 0)
    daily = np.array([naive_breadth(own, s, 1) for s in range(begin, t + 1)])
    market = Rows(daily, ~np.isnan(daily), lost=own.lost[begin : t + 1])
    return mean_of(daily, market, t - begin, w)


@twin("breadth_above_average", "share_above_average_{w}d", windows=(7,))
def naive_share_above_average(own, t, w):
    paths = [levels(one, t, w) for one in own.everyone if one.member[t]]
    above = [path.mean() < 1.0 - 1e-12 for path in paths if path is not None]
    return float(np.mean(above)) if above else math.nan


def test_vol_ratio_is_short_over_long_volatility(make_prices) -> None:
    found = series(make_prices({"A": STEPS * 3}), "vol_regime", (12,))["vol_ratio_2d_12d"]
    logs = np.log1p(np.array(STEPS * 3))
    assert found[-1] == pytest.approx(np.std(logs[-2:], ddof=1) / np.std(logs[-12:], ddof=1), rel=1e-12)
    assert np.isnan(series(make_prices({"A": [0.01] * 20}), "vol_regime", (12,))["vol_ratio_2d_12d"]).all()
    assert FEATURES["vol_regime"].columns((5,)) == ["vol_ratio_21d_126d"]


def test_a_price_that_did_not_move_is_not_above_its_average(make_prices) -> None:
    for first in sessions(date(2012, 1, 1), date(2012, 1, 12)):  # wherever a block of the running mean begins
        prices = make_prices({"A": [0.0, 0.001, *[0.0] * 18]}, first=first)
        assert not series(prices, "breadth_above_average", (7,))["share_above_average_7d"][7:].any()


def test_gaps_are_overnight_returns_with_their_mean_spread_and_largest_size(make_prices) -> None:
    gaps = [None, 0.01, -0.04, 0.02, 0.03]
    found = series(make_prices({"A": STEPS[:5]}, overnight_return_1d=gaps), "gap_stats", (3,))
    assert list(found["gap_1d"][1:]) == gaps[1:]
    assert found["gap_mean_3d"][3:] == pytest.approx([-0.01 / 3, 0.01 / 3])
    assert found["gap_std_3d"][4] == pytest.approx(np.std([-0.04, 0.02, 0.03], ddof=1), rel=1e-12)
    assert list(found["gap_max_abs_3d"][3:]) == [0.04, 0.04]
    assert np.isnan(found["gap_mean_3d"][:3]).all()


def test_a_row_without_an_opening_price_has_no_gap(make_prices) -> None:
    prices = make_prices({"A": STEPS[:3]}, open_inr=[99.0, None, 98.0], overnight_return_1d=[None, 0.0, 0.01])
    assert np.isnan(series(prices, "gap_stats", (2,))["gap_1d"][:2]).all()


def test_breadth_counts_advances_less_declines_among_the_members_of_the_day(make_prices) -> None:
    steps = {
        "A": [0.0, 0.1, 0.1, 0.0],
        "B": [0.0, 0.2, -0.1, 0.0],
        "C": [0.0, -0.1, 0.1, None],
        "D": [0.0, 0.0, 0.3, 0.0],
    }
    prices = make_prices({**steps, "E": [0.0, 0.5, 0.5, 0.5]}).with_columns(is_member=pl.col("ticker") != "E")
    found = values(prices, "breadth_indicators", (2,))
    assert np.isnan(found["breadth_1d"][0, 0])
    assert list(found["breadth_1d"][0, 1:]) == pytest.approx([1 / 3, 2 / 4, 0.0])
    assert list(found["advancing_share_1d"][0, 1:]) == pytest.approx([2 / 4, 3 / 4, 0.0])
    assert found["breadth_mean_2d"][0, 3] == pytest.approx(0.25)


def test_breadth_is_null_on_a_day_without_members(make_prices) -> None:
    days = sessions(FIRST, date(2015, 2, 1))
    prices = make_prices({"A": [0.0, 0.1, 0.1]}).with_columns(is_member=pl.col("date") != days[2])
    found = values(prices, "breadth_indicators", (1,))["breadth_1d"][0]
    assert np.isnan(found[2])
    assert found[1] == 1.0


def test_the_share_above_the_average_counts_members_with_a_full_window(make_prices) -> None:
    prices = make_prices({"A": [0.01] * 9, "B": [-0.01] * 9, "C": [NAN] * 6 + [0.01] * 3, "D": [0.01] * 9})
    prices = prices.with_columns(is_member=pl.col("ticker") != "D")
    found = values(prices, "breadth_above_average", (5,))["share_above_average_5d"]
    assert np.isnan(found[0, :5]).all()
    assert list(found[0, 5:]) == [0.5] * 4


def test_market_wide_columns_are_the_same_for_every_ticker_and_null_on_filled_rows(make_prices) -> None:
    prices = make_prices({"A": [0.01] * 30, "B": [-0.01] * 29 + [None]})
    config = FeatureConfig(names=("breadth_indicators",), normalization="none")
    table = compute_features(prices, config, FIRST, date(2015, 12, 31))
    assert table["breadth_1d"][-2:].to_list() == [1.0, None]
    assert table["breadth_1d"][-4:-2].to_list() == [0.0, 0.0]
