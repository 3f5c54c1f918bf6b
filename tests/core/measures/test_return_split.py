"""Parts of returns: by hand, against one regression, and exact for every name."""

import numpy as np
import pytest

from quant_core.measures.return_split import (
    split_returns,
    trailing_beta,
    trailing_volatility,
    transfer_coefficients,
)

T, N = 90, 12
GROUPS = np.arange(N) % 3


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    benchmark = rng.normal(0.0005, 0.01, T)
    returns = (0.5 + np.arange(N) / N) * benchmark[:, None] + rng.normal(0.0, 0.01, (T, N))
    return returns, benchmark, rng.lognormal(15.0, 1.0, (T, N))


def test_one_session_by_hand() -> None:
    """Two sectors of two; nothing is known of betas: 1. b = 1 %, c = 0: left 1, 3, -2, 2 %; k = 1 %, s = 1 and -1 %."""
    returns = np.array([[0.02, 0.04, -0.01, 0.03]])
    flags, groups, traded = np.ones((1, 4), dtype=bool), np.array([0, 0, 1, 1]), np.array([[1.0, 2.0, 5.0, 3.0]])
    found = split_returns(returns, np.array([0.01]), np.zeros(1), flags, groups, traded)
    assert found.beta.tolist() == [[1.0] * 4]
    assert found.common.tolist() == pytest.approx([0.01])
    assert found.sector[0].tolist() == pytest.approx([0.01, 0.01, -0.01, -0.01])
    assert found.size[0].tolist() == pytest.approx([-0.125, 0.125, 0.125, -0.125])  # ranks 1, 2, 4, 3 of 4
    # the rest is -1, 1, -2, 2 %: 0.125 x (1 + 1 - 2 - 2) % / (4 x 0.125^2)
    assert found.size_return.tolist() == pytest.approx([-0.04])
    assert found.rest[0].tolist() == pytest.approx([-0.015, 0.015, -0.015, 0.015])
    x, q = found.by_score(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert x[0].tolist() == pytest.approx([-0.125, 0.125, -0.125, 0.125])  # within sectors; size does not explain it
    assert q.tolist() == pytest.approx([0.12])
    np.testing.assert_allclose(x * q[:, None], found.rest)


def test_the_parts_are_those_of_one_regression() -> None:
    returns, benchmark, traded = drawn()
    flags = np.random.default_rng(2).random((T, N)) < 0.9
    score = np.random.default_rng(1).normal(size=(T, N))
    found = split_returns(returns, benchmark, np.zeros(T), flags, GROUPS, traded)
    x, q = found.by_score(score)
    for t in (0, 70, T - 1):
        own = flags[t]
        left = (returns - found.beta * benchmark[:, None])[t, own]
        dummies = (GROUPS[own][:, None] == np.arange(3)).astype(float)
        design = np.column_stack([dummies, found.size[t, own], x[t, own]])
        residual = left - design @ np.linalg.lstsq(design, left, rcond=None)[0]
        np.testing.assert_allclose((found.rest - x * q[:, None])[t, own], residual, atol=1e-14)


def test_every_name_adds_up_member_or_not() -> None:
    returns, benchmark, traded = drawn()
    flags = np.random.default_rng(3).random((T, N)) < 0.7
    cash = np.full(T, 0.0002)
    found = split_returns(returns, benchmark, cash, flags, GROUPS, traded)
    total = cash[:, None] + found.beta * (benchmark - cash)[:, None] + found.common[:, None] + found.sector
    total += found.size * found.size_return[:, None] + found.rest
    np.testing.assert_allclose(total, returns, atol=1e-15)
    assert (found.size[~flags] == 0.0).all()


def test_betas_and_volatilities_know_the_sessions_before_only() -> None:
    rng = np.random.default_rng(4)
    over = rng.normal(0.0, 0.01, 400)
    excess, known = 1.5 * over[:, None] + rng.normal(0.0, 0.005, (400, 2)), np.ones((400, 2), dtype=bool)
    beta, volatility = trailing_beta(excess, over, known), trailing_volatility(excess, known)
    assert (beta[:63] == 1.0).all()
    assert np.isnan(volatility[:63]).all()
    before = slice(399 - 252, 399)
    assert beta[399, 0] == pytest.approx(np.polyfit(over[before], excess[before, 0], 1)[0])
    assert volatility[399, 1] == pytest.approx(excess[before, 1].std())
    changed = excess.copy()
    changed[300:] = 9.0
    np.testing.assert_array_equal(trailing_beta(changed, over, known)[:301], beta[:301])


def test_transfer_coefficients_by_hand() -> None:
    score = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]] * 3)
    flags, volatility = np.ones((3, 5), dtype=bool), np.full((3, 5), 0.2)
    weights = np.array([[0.1, 0.15, 0.2, 0.25, 0.3], [0.3, 0.25, 0.2, 0.15, 0.1], [0.2] * 5])
    found = transfer_coefficients(weights, score, volatility, flags)
    assert found[:2].tolist() == pytest.approx([1.0, -1.0])
    assert np.isnan(found[2])  # equal weights hold no view
    twice = np.array([[0.4, 0.2, 0.2, 0.2, 0.2]])
    risky = transfer_coefficients(np.array([[0.3, 0.25, 0.2, 0.15, 0.1]]), score[:1], twice, flags[:1])
    active = np.array([0.1, 0.05, 0.0, -0.05, -0.1]) * twice[0]
    assert risky[0] == pytest.approx(np.corrcoef(active, np.arange(5))[0, 1])
    assert np.isnan(transfer_coefficients(weights[:, :4], score[:, :4], volatility[:, :4], flags[:, :4])).all()
