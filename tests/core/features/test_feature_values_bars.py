"""Hand-computed numbers for trend, gaps, liquidity and range volatility; what a split does to them."""

import math

import numpy as np
import polars as pl
import pytest

from quant_core.features import FEATURES, FeatureConfig, compute_features
from quant_core.features.panel import build_panel

NAN = float("nan")
STEPS = [0.0, 0.10, -0.20, 0.05, 0.30, -0.10, 0.02, 0.01]


def values(prices: pl.DataFrame, name: str, windows: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The feature's columns of the first ticker, called with windows of any length; NaN for no value."""
    entry = FEATURES[name]
    panel = build_panel(prices, entry.reads)
    return {column: found[0] for column, found in entry.function(panel, windows).items()}


def test_momentum_12_1_is_the_year_without_its_last_month(make_prices) -> None:
    steps = [0.001 * (k % 9 - 4) for k in range(60)]
    found = values(make_prices({"A": steps}), "momentum_12_1", (40,))["momentum_40d_skip_21d"]
    assert found[-1] == pytest.approx(np.prod(1.0 + np.array(steps[20:39])) - 1.0, rel=1e-12)
    assert np.isnan(found[:40]).all()
    assert FEATURES["momentum_12_1"].columns((5,)) == ["momentum_252d_skip_21d"]


def test_reversal_is_momentum_with_its_sign_turned(make_prices) -> None:
    found = values(make_prices({"A": STEPS}), "short_term_reversal", (2,))["reversal_2d"]
    assert found[2:5] == pytest.approx([1 - 1.1 * 0.8, 1 - 0.8 * 1.05, 1 - 1.05 * 1.3], rel=1e-14)


def test_distance_to_the_high_compares_todays_close_with_the_windows_closes(make_prices) -> None:
    found = values(make_prices({"A": STEPS}), "distance_to_52w_high", (3,))["distance_to_high_3d"]
    assert np.isnan(found[:3]).all()
    # The closes of three sessions have two returns between them: the close before them is no candidate.
    assert found[3:] == pytest.approx([0.8 * 1.05 - 1, 0.0, -0.1, 0.9 * 1.02 - 1, 0.0], rel=1e-13, abs=1e-15)


def test_distance_to_the_average_divides_by_the_mean_of_the_windows_closes(make_prices) -> None:
    found = values(make_prices({"A": STEPS}), "distance_to_average", (3,))["distance_to_average_3d"]
    levels = np.cumprod(1.0 + np.array(STEPS))
    wanted = [levels[t] / levels[t - 2 : t + 1].mean() - 1.0 for t in range(3, 8)]
    assert found[3:] == pytest.approx(wanted, rel=1e-12)


def test_vol_ratio_is_short_over_long_volatility(make_prices) -> None:
    found = values(make_prices({"A": STEPS * 3}), "vol_regime", (12,))["vol_ratio_2d_12d"]
    logs = np.log1p(np.array(STEPS * 3))
    assert found[-1] == pytest.approx(np.std(logs[-2:], ddof=1) / np.std(logs[-12:], ddof=1), rel=1e-12)
    assert np.isnan(values(make_prices({"A": [0.01] * 20}), "vol_regime", (12,))["vol_ratio_2d_12d"]).all()
    assert FEATURES["vol_regime"].columns((5,)) == ["vol_ratio_21d_126d"]


def test_gaps_are_overnight_returns_with_their_mean_spread_and_largest_size(make_prices) -> None:
    gaps = [None, 0.01, -0.04, 0.02, 0.03]
    found = values(make_prices({"A": STEPS[:5]}, overnight_return_1d=gaps), "gap_stats", (3,))
    assert list(found["gap_1d"][1:]) == gaps[1:]
    assert found["gap_mean_3d"][3:] == pytest.approx([-0.01 / 3, 0.01 / 3])
    assert found["gap_std_3d"][4] == pytest.approx(np.std([-0.04, 0.02, 0.03], ddof=1), rel=1e-12)
    assert list(found["gap_max_abs_3d"][3:]) == [0.04, 0.04]
    assert np.isnan(found["gap_mean_3d"][:3]).all()


def test_a_row_without_an_opening_price_has_no_gap(make_prices) -> None:
    prices = make_prices({"A": STEPS[:3]}, open_inr=[99.0, None, 98.0], overnight_return_1d=[None, 0.0, 0.01])
    assert np.isnan(values(prices, "gap_stats", (2,))["gap_1d"][:2]).all()


def test_volume_shock_is_todays_rupees_over_the_mean_of_the_days_before(make_prices) -> None:
    traded = [1e6, 2e6, 3e6, 4e6, 0.0, 8e6]
    found = values(make_prices({"A": STEPS[:6]}, turnover_inr=traded), "volume_shock", (2,))["volume_shock_2d"]
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
    found = values(prices, "turnover", (2,))["log_turnover_2d"]
    assert found[2:] == pytest.approx([math.log((1000 * 50.0 + 3e6) / 2), math.log(2.5e6)], rel=1e-14)
    assert np.isnan(found[:2]).all()


def test_amihud_is_the_mean_absolute_return_per_crore(make_prices) -> None:
    prices = make_prices({"A": STEPS[:4]}, turnover_inr=[1e7, 1e7, 4e7, 2e7])
    found = values(prices, "amihud_illiquidity", (2,))["amihud_2d_per_crore"]
    assert found[2:] == pytest.approx([(0.1 + 0.05) / 2, (0.05 + 0.025) / 2], rel=1e-12)
    idle = make_prices({"A": STEPS[:4]}, turnover_inr=[1e7, 0.0, 4e7, 2e7])
    assert np.isnan(values(idle, "amihud_illiquidity", (2,))["amihud_2d_per_crore"][2])


def test_vwap_gap_is_the_close_over_turnover_per_share(make_prices) -> None:
    bar = {"close_inr": [100.0] * 4, "high_inr": [110.0] * 4, "low_inr": [90.0] * 4}
    prices = make_prices({"A": STEPS[:4]}, **bar, turnover_inr=[105e3, None, 1.05, 95e3])
    found = values(prices, "vwap_gap", (1,))["vwap_gap_1d"]
    assert found[[0, 3]] == pytest.approx([100 / 105 - 1, 100 / 95 - 1], rel=1e-14)
    assert np.isnan(found[1:3]).all()  # no turnover; turnover in lakhs, far outside the day's range


BARS = {
    "open_inr": [100.0, 102.0, 99.0, 101.0],
    "high_inr": [103.0, 104.0, 102.0, 105.0],
    "low_inr": [99.0, 98.0, 97.0, 100.0],
    "close_inr": [102.0, 99.0, 101.0, 104.0],
    "overnight_return_1d": [None, 0.0, 0.01, -0.02],
}


def test_parkinson_volatility_by_hand(make_prices) -> None:
    found = values(make_prices({"A": STEPS[:4]}, **BARS), "parkinson_volatility", (2,))["parkinson_vol_2d_ann"]
    ranges = [math.log(102 / 97) ** 2, math.log(105 / 100) ** 2]
    assert found[3] == pytest.approx(math.sqrt(252 * sum(ranges) / 2 / (4 * math.log(2))), rel=1e-13)
    assert np.isnan(found[:2]).all()


def test_garman_klass_volatility_by_hand(make_prices) -> None:
    found = values(make_prices({"A": STEPS[:4]}, **BARS), "garman_klass_volatility", (2,))["garman_klass_vol_2d_ann"]
    days = [
        0.5 * math.log(high / low) ** 2 - (2 * math.log(2) - 1) * math.log(close / opened) ** 2
        for opened, high, low, close in ((99, 102, 97, 101), (101, 105, 100, 104))
    ]
    assert found[3] == pytest.approx(math.sqrt(252 * sum(days) / 2), rel=1e-13)


def test_yang_zhang_volatility_by_hand(make_prices) -> None:
    found = values(make_prices({"A": STEPS[:4]}, **BARS), "yang_zhang_volatility", (3,))["yang_zhang_vol_3d_ann"]
    bars = [(102, 104, 98, 99), (99, 102, 97, 101), (101, 105, 100, 104)]
    gaps = np.log1p([0.0, 0.01, -0.02])
    moves = np.log([close / opened for opened, _, _, close in bars])
    inside = [
        math.log(high / close) * math.log(high / opened) + math.log(low / close) * math.log(low / opened)
        for opened, high, low, close in bars
    ]
    k = 0.34 / (1.34 + 4 / 2)
    variance = np.var(gaps, ddof=1) + k * np.var(moves, ddof=1) + (1 - k) * np.mean(inside)
    assert found[3] == pytest.approx(math.sqrt(252 * variance), rel=1e-12)
    assert np.isnan(found[:3]).all()


def test_range_volatilities_of_a_price_that_never_moves_are_zero(make_prices) -> None:
    flat = {name: [100.0] * 6 for name in ("open_inr", "high_inr", "low_inr", "close_inr")}
    prices = make_prices({"A": [0.0] * 6}, **flat, overnight_return_1d=[None] + [0.0] * 5)
    for name in ("parkinson_volatility", "garman_klass_volatility", "yang_zhang_volatility"):
        (found,) = values(prices, name, (3,)).values()
        assert list(found[3:]) == [0.0] * 3


def test_range_volatility_does_not_see_a_split(make_prices) -> None:
    split = np.where(np.arange(4) < 2, 1.0, 0.2)
    halved = {name: list(np.array(BARS[name]) * split) for name in list(BARS)[:4]}
    for name in ("parkinson_volatility", "garman_klass_volatility", "yang_zhang_volatility"):
        (before,) = values(make_prices({"A": STEPS[:4]}, **BARS), name, (3,)).values()
        bars = halved | {"overnight_return_1d": BARS["overnight_return_1d"]}
        (after,) = values(make_prices({"A": STEPS[:4]}, **bars), name, (3,)).values()
        assert after[3] == pytest.approx(before[3], rel=1e-12)


def test_a_simulated_random_walk_gives_all_volatility_estimators_the_same_answer(make_prices) -> None:
    random = np.random.default_rng(3)
    ticks = random.normal(0.0, 0.01 / math.sqrt(400), (252, 400)).cumsum(axis=1)
    starts = np.concatenate([[0.0], ticks[:, -1].cumsum()[:-1]])
    path = np.exp(starts[:, None] + np.hstack([np.zeros((252, 1)), ticks])) * 100.0
    bars = {
        "open_inr": path[:, 0].tolist(),
        "high_inr": path.max(axis=1).tolist(),
        "low_inr": path.min(axis=1).tolist(),
        "close_inr": path[:, -1].tolist(),
    }
    prices = make_prices({"A": np.expm1(ticks[:, -1]).tolist()}, **bars, overnight_return_1d=[None] + [0.0] * 251)
    for name in ("parkinson_volatility", "garman_klass_volatility", "yang_zhang_volatility", "realized_volatility"):
        (found,) = values(prices, name, (240,)).values()
        assert found[-1] == pytest.approx(0.01 * math.sqrt(252), rel=0.1), name
