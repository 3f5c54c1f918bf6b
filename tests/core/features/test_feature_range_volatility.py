"""Parkinson, Garman-Klass and Yang-Zhang volatility by hand, and their naive twins."""

import math

import numpy as np
import pytest
from by_hand import series
from naive import Rows, full, log, mean_of, twin

STEPS = [0.0, 0.10, -0.20, 0.05, 0.30, -0.10, 0.02, 0.01]


def squared_range(own: Rows) -> np.ndarray:
    return log(own.inputs["high_inr"] / own.inputs["low_inr"]) ** 2


@twin("parkinson_volatility", "parkinson_vol_{w}d_ann")
def naive_parkinson(own, t, w):
    return math.sqrt(252 * mean_of(squared_range(own) / (4 * math.log(2)), own, t, w))


@twin("garman_klass_volatility", "garman_klass_vol_{w}d_ann")
def naive_garman_klass(own, t, w):
    moved = log(own.inputs["close_inr"] / own.inputs["open_inr"]) ** 2
    return math.sqrt(252 * mean_of(0.5 * squared_range(own) - (2 * math.log(2) - 1) * moved, own, t, w))


@twin("yang_zhang_volatility", "yang_zhang_vol_{w}d_ann")
def naive_yang_zhang(own, t, w):
    o, h, low, c = (log(own.inputs[name]) for name in ("open_inr", "high_inr", "low_inr", "close_inr"))
    inside = (h - o) * (h - c) + (low - o) * (low - c)
    days = np.column_stack([np.log1p(own.inputs["overnight_return_1d"]), c - o, inside])
    days[np.isnan(days).any(axis=1)] = np.nan
    if full(days[:, 0], own, t, w) is None:
        return math.nan
    kept = days[t - w + 1 : t + 1]
    kept = kept[~np.isnan(kept[:, 0])]
    n = len(kept)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    variance = np.var(kept[:, 0], ddof=1) + k * np.var(kept[:, 1], ddof=1) + (1 - k) * kept[:, 2].mean()
    return math.sqrt(252 * variance)


BARS = {
    "open_inr": [100.0, 102.0, 99.0, 101.0],
    "high_inr": [103.0, 104.0, 102.0, 105.0],
    "low_inr": [99.0, 98.0, 97.0, 100.0],
    "close_inr": [102.0, 99.0, 101.0, 104.0],
    "overnight_return_1d": [None, 0.0, 0.01, -0.02],
}


def test_parkinson_volatility_by_hand(make_prices) -> None:
    found = series(make_prices({"A": STEPS[:4]}, **BARS), "parkinson_volatility", (2,))["parkinson_vol_2d_ann"]
    ranges = [math.log(102 / 97) ** 2, math.log(105 / 100) ** 2]
    assert found[3] == pytest.approx(math.sqrt(252 * sum(ranges) / 2 / (4 * math.log(2))), rel=1e-13)
    assert np.isnan(found[:2]).all()


def test_garman_klass_volatility_by_hand(make_prices) -> None:
    found = series(make_prices({"A": STEPS[:4]}, **BARS), "garman_klass_volatility", (2,))["garman_klass_vol_2d_ann"]
    days = [
        0.5 * math.log(high / low) ** 2 - (2 * math.log(2) - 1) * math.log(close / opened) ** 2
        for opened, high, low, close in ((99, 102, 97, 101), (101, 105, 100, 104))
    ]
    assert found[3] == pytest.approx(math.sqrt(252 * sum(days) / 2), rel=1e-13)


def test_yang_zhang_volatility_by_hand(make_prices) -> None:
    found = series(make_prices({"A": STEPS[:4]}, **BARS), "yang_zhang_volatility", (3,))["yang_zhang_vol_3d_ann"]
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
        (found,) = series(prices, name, (3,)).values()
        assert list(found[3:]) == [0.0] * 3


def test_range_volatility_does_not_see_a_split(make_prices) -> None:
    split = np.where(np.arange(4) < 2, 1.0, 0.2)
    halved = {name: list(np.array(BARS[name]) * split) for name in list(BARS)[:4]}
    for name in ("parkinson_volatility", "garman_klass_volatility", "yang_zhang_volatility"):
        (before,) = series(make_prices({"A": STEPS[:4]}, **BARS), name, (3,)).values()
        bars = halved | {"overnight_return_1d": BARS["overnight_return_1d"]}
        (after,) = series(make_prices({"A": STEPS[:4]}, **bars), name, (3,)).values()
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
        (found,) = series(prices, name, (240,)).values()
        assert found[-1] == pytest.approx(0.01 * math.sqrt(252), rel=0.1), name
