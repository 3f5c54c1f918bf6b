"""Momentum without its last month, reversal, the 52-week high and averages by hand, and their naive twins."""

import math

import numpy as np
import pytest
from by_hand import series
from naive import levels, sum_of, twin

from quant_core.features import FEATURES

STEPS = [0.0, 0.10, -0.20, 0.05, 0.30, -0.10, 0.02, 0.01]


@twin("momentum_12_1", "momentum_{w}d_skip_21d", windows=(24, 30))
def naive_momentum(own, t, w):
    return math.expm1(sum_of(own.r, own, t, w) - sum_of(own.r, own, t, 21))


@twin("short_term_reversal", "reversal_{w}d")
def naive_reversal(own, t, w):
    return -math.expm1(sum_of(own.r, own, t, w))


@twin("distance_to_52w_high", "distance_to_high_{w}d")
def naive_distance_to_high(own, t, w):
    path = levels(own, t, w)
    return math.nan if path is None else 1.0 / path.max() - 1.0


@twin("distance_to_average", "distance_to_average_{w}d")
def naive_distance_to_average(own, t, w):
    path = levels(own, t, w)
    return math.nan if path is None else 1.0 / path.mean() - 1.0


def test_momentum_12_1_is_the_year_without_its_last_month(make_prices) -> None:
    steps = [0.001 * (k % 9 - 4) for k in range(60)]
    found = series(make_prices({"A": steps}), "momentum_12_1", (40,))["momentum_40d_skip_21d"]
    assert found[-1] == pytest.approx(np.prod(1.0 + np.array(steps[20:39])) - 1.0, rel=1e-12)
    assert np.isnan(found[:40]).all()
    assert FEATURES["momentum_12_1"].columns((5,)) == ["momentum_252d_skip_21d"]


def test_reversal_is_momentum_with_its_sign_turned(make_prices) -> None:
    found = series(make_prices({"A": STEPS}), "short_term_reversal", (2,))["reversal_2d"]
    assert found[2:5] == pytest.approx([1 - 1.1 * 0.8, 1 - 0.8 * 1.05, 1 - 1.05 * 1.3], rel=1e-14)


def test_distance_to_the_high_compares_todays_close_with_the_windows_closes(make_prices) -> None:
    found = series(make_prices({"A": STEPS}), "distance_to_52w_high", (3,))["distance_to_high_3d"]
    assert np.isnan(found[:3]).all()
    # The closes of three sessions have two returns between them: the close before them is no candidate.
    assert found[3:] == pytest.approx([0.8 * 1.05 - 1, 0.0, -0.1, 0.9 * 1.02 - 1, 0.0], rel=1e-13, abs=1e-15)


def test_distance_to_the_average_divides_by_the_mean_of_the_windows_closes(make_prices) -> None:
    found = series(make_prices({"A": STEPS}), "distance_to_average", (3,))["distance_to_average_3d"]
    levels = np.cumprod(1.0 + np.array(STEPS))
    wanted = [levels[t] / levels[t - 2 : t + 1].mean() - 1.0 for t in range(3, 8)]
    assert found[3:] == pytest.approx(wanted, rel=1e-12)
