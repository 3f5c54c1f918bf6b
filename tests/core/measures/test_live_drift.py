"""The test of a live account against its backtest: by hand, its size and power, and Holm's steps."""

import math

import numpy as np
import pytest

from quant_core.errors import DataError
from quant_core.measures.live_drift import FEWEST_COMPARED, holm, live_drift
from quant_core.measures.newey_west import newey_west_t


def test_the_statistic_is_newey_and_wests_and_its_p_the_normal_two_sided_one() -> None:
    differences = np.random.default_rng(0).normal(1e-4, 1e-3, 60)
    found = live_drift(differences, seed=1)
    mean, t = newey_west_t(differences)
    assert (found.mean, found.hac_t) == (mean, t)
    assert found.p_value == pytest.approx(2.0 * (1.0 - 0.5 * (1.0 + math.erf(abs(t) / math.sqrt(2.0)))))
    assert found.interval.low < found.mean < found.interval.high
    assert found.largest == np.abs(differences).max()
    assert live_drift(differences, seed=1) == found


def test_too_few_days_equal_accounts_and_a_constant_gap() -> None:
    few = live_drift(np.full(FEWEST_COMPARED - 1, 1e-3), seed=1)
    assert math.isnan(few.p_value)
    assert few.n_sessions == FEWEST_COMPARED - 1
    assert live_drift([], seed=1).n_sessions == 0
    assert live_drift(np.full(30, 1e-15), seed=1).p_value == 1.0
    assert live_drift(np.full(30, -1e-4), seed=1).p_value == 0.0
    with pytest.raises(DataError, match="is nan"):
        live_drift([0.0, math.nan], seed=1)


def test_it_rejects_a_true_equality_about_as_often_as_it_says_and_finds_a_drift() -> None:
    rng = np.random.default_rng(5)
    draws = rng.normal(0.0, 1e-3, (400, 120))
    false = np.mean([live_p(row) < 0.05 for row in draws])
    assert 0.03 < false < 0.10  # of 400; HAC over-rejects a little in small samples
    found = np.mean([live_p(row - 5e-4) < 0.05 for row in draws[:100]])
    assert found > 0.95


def live_p(row: np.ndarray) -> float:
    _, t = newey_west_t(row)
    return math.erfc(abs(t) / math.sqrt(2.0))


def test_holm_by_hand() -> None:
    # 0.01 x 3, 0.02 x 2, 0.5 x 1; none may be below the one before it.
    assert holm([0.5, 0.01, math.nan, 0.02]) == pytest.approx([0.5, 0.03, math.nan, 0.04], nan_ok=True)
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])
    assert holm([]) == []
