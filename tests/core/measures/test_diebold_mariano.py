"""Diebold-Mariano against hand values, statsmodels' HAC regression and its own size."""

import math

import numpy as np
import pytest
from scipy import stats

from quant_core.errors import DataError
from quant_core.measures.diebold_mariano import diebold_mariano


def test_of_one_session_ahead_by_hand() -> None:
    # d = 1, 2, 0, 1: mean 1, variance 1/2 over n; t = 1 / sqrt(1/8), correction sqrt((4 + 1 - 2) / 4)
    found = diebold_mariano([3.0, 4.0, 1.0, 2.0], [2.0, 2.0, 1.0, 1.0])
    assert (found.mean, found.n) == (1.0, 4)
    assert found.t == pytest.approx(math.sqrt(8.0) * math.sqrt(0.75), abs=1e-12)
    assert found.p == pytest.approx(2 * stats.t.sf(found.t, 3), abs=1e-12)


@pytest.mark.parametrize("horizon", [1, 5, 21])
def test_before_its_correction_it_is_statsmodels_hac(horizon: int) -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(horizon)
    d = np.convolve(rng.standard_normal(320), np.ones(horizon) / horizon, "valid") + 0.03
    n = len(d)
    fit = sm.OLS(d, np.ones(n)).fit(cov_type="HAC", cov_kwds={"maxlags": horizon - 1, "use_correction": False})
    correction = math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    assert diebold_mariano(d, np.zeros(n), horizon).t == pytest.approx(float(fit.tvalues[0]) * correction, rel=1e-9)


def test_it_changes_sign_when_the_two_are_swapped_and_is_silent_about_equal_ones() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 60))
    there, back = diebold_mariano(a, b, 3), diebold_mariano(b, a, 3)
    assert (there.mean, there.t, there.p) == (-back.mean, -back.t, back.p)
    assert math.isnan(diebold_mariano(a, a).t)
    assert math.isnan(diebold_mariano(a[:1], b[:1]).p)
    assert math.isnan(diebold_mariano([], []).p)


def test_equal_forecasts_are_told_apart_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(7)
    p = [diebold_mariano(*rng.standard_normal((2, 250)), 1).p for _ in range(600)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.075


def test_series_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match="equal length"):
        diebold_mariano([1.0], [1.0, 2.0])
