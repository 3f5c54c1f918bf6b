"""Every name is reached by its rule; statistics by hand; the order of states."""

import math

import numpy as np
import pytest

from quant_core.regimes.naming import (
    BAR,
    CRISIS_VOLATILITY,
    StateStatistics,
    Usual,
    name_of,
    names_of,
    order_of,
    statistics,
)
from quant_core.schema import REGIME_NAMES

USUAL = Usual(volatility_ann=0.16, drawdown=-0.08)


def state(return_ann: float, volatility_ann: float, drawdown: float = -0.05, error: float = 0.01) -> StateStatistics:
    return StateStatistics(0.25, return_ann, error, volatility_ann, drawdown)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (state(0.25, 0.11), "Low-Vol Bull"),
        (state(0.20, 0.20), "High-Vol Bull"),
        (state(-0.20, 0.20), "Bear"),
        (state(-0.60, 0.45, -0.25), "Crisis"),
        (state(0.30, 0.45, -0.25), "High-Vol Bull"),  # a rebound
        (state(0.02, 0.45, -0.25), "Crisis"),
        (state(0.02, 0.15), "Transition"),
        (state(0.20, 0.45, -0.02), "High-Vol Bull"),  # wild, but near its high
        (state(0.20, 0.20, error=0.3), "Transition"),  # a return that its own error swallows
    ],
)
def test_each_rule(found: StateStatistics, wanted: str):
    assert name_of(found, USUAL) == wanted


def test_every_name_is_reached():
    reached = {name_of(state(r, v, d), USUAL) for r in (-0.3, 0.0, 0.3) for v in (0.1, 0.2, 0.5) for d in (-0.01, -0.3)}
    assert reached == set(REGIME_NAMES)


def test_thresholds_are_those_that_are_stated():
    above = CRISIS_VOLATILITY * USUAL.volatility_ann
    assert name_of(state(-0.3, above, -0.2), USUAL) == "Crisis"
    assert name_of(state(-0.3, above * 0.999, -0.2), USUAL) == "Bear"
    assert name_of(state(BAR, 0.1), USUAL) == "Transition"
    assert name_of(state(BAR * 1.001, 0.1), USUAL) == "Low-Vol Bull"


@pytest.mark.parametrize(
    ("before", "found", "wanted"),
    [
        ("Low-Vol Bull", state(0.01, 0.11), "Low-Vol Bull"),  # kept down to nothing
        ("Low-Vol Bull", state(-0.01, 0.11), "Transition"),
        ("Low-Vol Bull", state(0.2, 0.20), "Low-Vol Bull"),  # a quarter above the usual volatility
        ("Low-Vol Bull", state(0.2, 0.22), "High-Vol Bull"),
        ("High-Vol Bull", state(0.2, 0.13), "High-Vol Bull"),
        ("High-Vol Bull", state(0.2, 0.10), "Low-Vol Bull"),
        ("Bear", state(-0.01, 0.2), "Bear"),
        ("Bear", state(0.07, 0.2), "Transition"),  # the other side begins two bars away
        ("Bear", state(0.11, 0.2), "High-Vol Bull"),
        ("Crisis", state(-0.3, 0.21, -0.2), "Crisis"),
        ("Crisis", state(-0.3, 0.19, -0.2), "Bear"),
        ("Crisis", state(0.08, 0.4, -0.2), "Crisis"),
        ("Transition", state(0.08, 0.1), "Low-Vol Bull"),
    ],
)
def test_a_name_is_kept_near_a_threshold(before: str, found: StateStatistics, wanted: str):
    assert name_of(found, USUAL, before=before) == wanted


def test_names_are_looked_at_year_by_year():
    calm, wild = np.array([0.002, -0.001] * 126), np.array([0.03, -0.035] * 126)
    returns = np.concatenate([calm, wild, calm])
    weights = np.stack([np.abs(returns) < 0.01, np.abs(returns) > 0.01], axis=1).astype(float)
    drawdowns = np.where(np.abs(returns) > 0.01, -0.3, -0.01)
    volatilities = np.log(np.where(np.abs(returns) > 0.01, 0.5, 0.03))
    found = names_of(weights, returns, drawdowns, volatilities, [252, 504, 756], has_noise=False)
    assert found == ["Low-Vol Bull", "Crisis"]
    assert names_of(weights, returns, drawdowns, volatilities, [252], has_noise=False) == ["Low-Vol Bull", "Transition"]
    assert names_of(weights, returns, drawdowns, volatilities, [252, 756], has_noise=True)[1] == "Transition"


def test_noise_is_a_transition_whatever_it_looks_like():
    assert name_of(state(-0.6, 0.45, -0.25), USUAL, is_noise=True) == "Transition"


def test_statistics_by_hand():
    returns, drawdowns = np.array([0.01, -0.02, 0.03, np.nan]), np.array([0.0, -0.02, 0.0, np.nan])
    weights = np.array([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0], [0.5, 0.5]])
    first, second = statistics(weights, returns, drawdowns)
    mean = (0.01 - 0.02 * 0.25) / 1.25
    spread = math.sqrt(((0.01 - mean) ** 2 + 0.25 * (-0.02 - mean) ** 2) / 1.25 * 252)
    assert first.share == pytest.approx(1.25 / 3)
    assert first.return_ann == pytest.approx(mean * 252)
    assert first.volatility_ann == pytest.approx(spread)
    assert first.return_error == pytest.approx(spread / math.sqrt(1.25 / 252))
    assert first.drawdown == pytest.approx(-0.02 * 0.25 / 1.25)
    assert second.share == pytest.approx(1.75 / 3)


def test_a_state_that_never_was_has_no_name_but_transition():
    empty = statistics(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0.01, 0.02]), np.zeros(2))[1]
    assert empty.share == 0.0
    assert name_of(empty, USUAL) == "Transition"


def test_states_stand_by_volatility_then_return_and_noise_last():
    found = [state(0.1, 0.3), state(0.1, 0.2), state(-0.1, 0.2), state(0.0, 0.1)]
    assert order_of(found, has_noise=False) == [3, 2, 1, 0]
    assert order_of(found, has_noise=True) == [2, 1, 0, 3]
