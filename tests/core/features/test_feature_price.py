"""Log return, volatility, momentum and drawdown by hand, and their naive twins."""

import math

import numpy as np
import pytest
from by_hand import column
from naive import full, twin

from quant_core.errors import DataError
from quant_core.features import FEATURES

WINDOWS = (1, 2, 7, 21, 40)


@twin("log_returns", "log_return_{w}d", windows=WINDOWS)
def naive_log_return(own, t, w):
    window = full(own.r, own, t, w)
    return math.nan if window is None else math.fsum(window)


@twin("momentum", "momentum_{w}d", windows=WINDOWS)
def naive_momentum(own, t, w):
    window = full(own.r, own, t, w)
    return math.nan if window is None else math.prod(np.exp(window)) - 1.0


@twin("realized_volatility", "realized_vol_{w}d_ann", windows=WINDOWS[1:])
def naive_volatility(own, t, w):
    window = full(own.r, own, t, w)
    return math.nan if window is None or len(window) < 2 else np.std(window, ddof=1) * math.sqrt(252.0)


@twin("max_drawdown", "max_drawdown_{w}d", windows=WINDOWS)
def naive_drawdown(own, t, w):
    window = full(own.r, own, t, w)
    if window is None:
        return math.nan
    levels = np.concatenate([[1.0], np.exp(np.cumsum(window))])
    return min(levels[j:].min() / levels[j] - 1.0 for j in range(len(levels)))


def test_log_return_is_the_sum_of_log_one_plus_return(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2, 0.05, 0.3]}), "log_return_2d", "log_returns", (2,))
    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([math.log(1.1 * 0.8), math.log(0.8 * 1.05), math.log(1.05 * 1.3)], rel=1e-14)


def test_one_day_log_return_is_null_only_on_the_first_row(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2]}), "log_return_1d", "log_returns", (1,))
    assert found == [None, math.log1p(0.1), math.log1p(-0.2)]


def test_momentum_is_the_compounded_simple_return(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2, 0.05, 0.3]}), "momentum_3d", "momentum", (3,))
    assert found[:3] == [None] * 3
    assert found[3:] == pytest.approx([1.1 * 0.8 * 1.05 - 1, 0.8 * 1.05 * 1.3 - 1], rel=1e-14)


def test_volatility_of_two_returns_is_their_distance_over_root_two_annualised(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2, 0.05]}), "realized_vol_2d_ann", "realized_volatility", (2,))
    distances = [math.log(1.1) - math.log(0.8), math.log(1.05) - math.log(0.8)]
    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([d / math.sqrt(2) * math.sqrt(252) for d in distances], rel=1e-14)


def test_volatility_of_a_steady_return_is_exactly_zero(make_prices) -> None:
    found = column(make_prices({"A": [0.01] * 12}), "realized_vol_5d_ann", "realized_volatility", (5,))
    assert found[5:] == [0.0] * 7


def test_drawdown_is_the_worst_fall_from_a_peak_to_a_later_trough(make_prices) -> None:
    steps = [0.0] * 8 + [0.5, -0.5, 0.2, 0.0, 1.0, -0.3] + [0.0] * 9
    found = column(make_prices({"A": steps}), "max_drawdown_21d", "max_drawdown", (21,))
    assert found[-1] == pytest.approx(-0.5, rel=1e-14)
    assert found[:21] == [None] * 21


def test_the_level_before_the_first_return_counts_as_a_peak(make_prices) -> None:
    steps = [0.0, -0.4, *[0.0] * 20, 0.0]
    found = column(make_prices({"A": steps}), "max_drawdown_21d", "max_drawdown", (21,))
    assert found[21] == pytest.approx(-0.4, rel=1e-14)
    assert found[22] == 0.0  # the fall has left the window


def test_a_rising_index_has_no_drawdown(make_prices) -> None:
    assert column(make_prices({"A": [0.01] * 25}), "max_drawdown_21d", "max_drawdown", (21,))[21:] == [0.0] * 4


def test_a_volatility_of_one_session_is_refused() -> None:
    with pytest.raises(DataError, match="windows \\[1\\] are below 2"):
        FEATURES["realized_volatility"].function(None, [1, 5])  # type: ignore[arg-type]
