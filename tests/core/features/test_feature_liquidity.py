"""Turnover, abnormal turnover, price impact and the day's average price by hand, and their naive twins."""

import math

import numpy as np
import polars as pl
import pytest
from by_hand import series
from naive import Rows, full, log, mean_of, twin

from quant_core.features import FeatureConfig, compute_features

STEPS = [0.0, 0.10, -0.20, 0.05, 0.30, -0.10, 0.02, 0.01]


def traded(own: Rows) -> np.ndarray:
    """Rupees traded: the source's figure, or close x volume."""
    made = own.inputs["close_inr"] * own.inputs["volume_shares"]
    return np.where(np.isnan(own.inputs["turnover_inr"]), made, own.inputs["turnover_inr"])


@twin("volume_shock", "volume_shock_{w}d")
def naive_shock(own, t, w):
    usual = full(traded(own), own, t, w, until=t - 1)
    if usual is None or not traded(own)[t] > 0 or not math.fsum(usual) > 0:
        return math.nan
    return math.log(traded(own)[t] / (math.fsum(usual) / len(usual)))


@twin("turnover", "log_turnover_{w}d")
def naive_turnover(own, t, w):
    return float(log(mean_of(traded(own), own, t, w)))


@twin("amihud_illiquidity", "amihud_{w}d_per_crore")
def naive_impact(own, t, w):
    crores = np.where(traded(own) > 0, traded(own), np.nan) / 1e7
    return mean_of(np.abs(own.inputs["total_return_1d"]) / crores, own, t, w)


@twin("vwap_gap", "vwap_gap_1d", windows=(1,))
def naive_vwap_gap(own, t, w):
    day = {name: values[t] for name, values in own.inputs.items()}
    if not day["volume_shares"] > 0 or math.isnan(day["turnover_inr"]):
        return math.nan
    average = day["turnover_inr"] / day["volume_shares"]
    return day["close_inr"] / average - 1 if 0.995 * day["low_inr"] <= average <= 1.005 * day["high_inr"] else math.nan


def test_volume_shock_is_todays_rupees_over_the_mean_of_the_days_before(make_prices) -> None:
    traded = [1e6, 2e6, 3e6, 4e6, 0.0, 8e6]
    found = series(make_prices({"A": STEPS[:6]}, turnover_inr=traded), "volume_shock", (2,))["volume_shock_2d"]
    assert np.isnan(found[:3]).all()
    assert found[3] == pytest.approx(math.log(4e6 / 2.5e6), rel=1e-14)
    assert np.isnan(found[4])  # nothing traded today
    assert found[5] == pytest.approx(math.log(8e6 / 2e6), rel=1e-14)  # but the idle day counts in the mean


def test_a_split_changes_no_liquidity_feature(make_prices) -> None:
    price = np.linspace(100.0, 110.0, 80)
    shares = np.linspace(1000, 5000, 80).astype(int)
    split = np.where(np.arange(80) < 50, 1, 10)
    tables = []
    for factor in (np.ones(80, dtype=int), split):
        prices = make_prices(
            {"A": [0.01] * 80},
            close_inr=list(price / factor),
            volume_shares=[int(v) for v in shares * factor],
            turnover_inr=[None] * 80,
        )
        config = FeatureConfig(names=("volume_shock", "turnover", "amihud_illiquidity"), normalization="none")
        tables.append(compute_features(prices, config, prices["date"].min(), prices["date"].max()))
    plain, splitting = (table.select(pl.col(pl.Float64)).fill_null(0.0).to_numpy() for table in tables)
    assert np.abs(plain[-1]).min() > 0
    np.testing.assert_allclose(splitting, plain, rtol=1e-12, atol=1e-14)


def test_log_turnover_is_the_log_of_the_mean_rupees_traded(make_prices) -> None:
    prices = make_prices({"A": STEPS[:4]}, turnover_inr=[1e6, None, 3e6, 2e6], close_inr=[100.0, 50.0, 60.0, 70.0])
    found = series(prices, "turnover", (2,))["log_turnover_2d"]
    assert found[2:] == pytest.approx([math.log((1000 * 50.0 + 3e6) / 2), math.log(2.5e6)], rel=1e-14)
    assert np.isnan(found[:2]).all()


def test_amihud_is_the_mean_absolute_return_per_crore(make_prices) -> None:
    prices = make_prices({"A": STEPS[:4]}, turnover_inr=[1e7, 1e7, 4e7, 2e7])
    found = series(prices, "amihud_illiquidity", (2,))["amihud_2d_per_crore"]
    assert found[2:] == pytest.approx([(0.1 + 0.05) / 2, (0.05 + 0.025) / 2], rel=1e-12)
    idle = make_prices({"A": STEPS[:4]}, turnover_inr=[1e7, 0.0, 4e7, 2e7])
    assert np.isnan(series(idle, "amihud_illiquidity", (2,))["amihud_2d_per_crore"][2])


def test_vwap_gap_is_the_close_over_turnover_per_share(make_prices) -> None:
    bar = {"close_inr": [100.0] * 4, "high_inr": [110.0] * 4, "low_inr": [90.0] * 4}
    prices = make_prices({"A": STEPS[:4]}, **bar, turnover_inr=[105e3, None, 1.05, 95e3])
    found = series(prices, "vwap_gap", (1,))["vwap_gap_1d"]
    assert found[[0, 3]] == pytest.approx([100 / 105 - 1, 100 / 95 - 1], rel=1e-14)
    assert np.isnan(found[1:3]).all()  # no turnover; turnover in lakhs, far outside the day's range
