"""What is done where nothing is said: every default beside the documented number that it stands for."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quant_core import calendar, folds
from quant_core.features.drift import DriftConfig
from quant_core.forecasting import decay, scores
from quant_core.forecasting.labels import LabelConfig
from quant_core.measures import performance, risk
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.newey_west import newey_west_lags, newey_west_t
from quant_core.trading.weights import make_feasible, project_capped_simplex, top_n_weights

RNG = np.random.default_rng(1)
RETURNS = RNG.normal(0.0, 0.01, 400)


def test_a_label_is_the_rank_over_five_sessions_from_open_to_open_with_five_of_embargo() -> None:
    assert LabelConfig() == LabelConfig(
        horizons_sessions=(1, 5, 21, 63),
        embargo_sessions=5,
        fill="open",
        direction_threshold=0.5,
        volatility_sessions=63,
    )


def test_a_fold_trains_five_years_and_keeps_five_sessions_away() -> None:
    made = folds.fold("2021")
    assert made == folds.fold("2021", 5)
    rows = pl.DataFrame(
        {"date": date(2020, 6, 1), "label_end_date": calendar.sessions(date(2020, 12, 1), made.test_start)}
    )
    assert folds.embargo_start(made) == folds.embargo_start(made, 5)
    assert folds.purge(rows, made).equals(folds.purge(rows, made, 5))
    folds.assert_purged(folds.purge(rows, made, 5), made)
    with pytest.raises(folds.LookaheadError):
        folds.assert_purged(folds.purge(rows, made, 4), made)


def test_weights_are_at_most_a_fifth_at_least_a_fiftieth_and_of_five_names() -> None:
    wishes = RNG.uniform(0.0, 0.4, (20, 8))
    np.testing.assert_array_equal(make_feasible(wishes), make_feasible(wishes, max_position=0.20, min_position=0.02))
    best = top_n_weights(np.arange(8.0))
    np.testing.assert_allclose(best, [0.0] * 3 + [0.2] * 5)
    np.testing.assert_allclose(top_n_weights(np.arange(8.0), 50), [1 / 8] * 8)
    np.testing.assert_allclose(top_n_weights(np.arange(4.0), 2), [0.0, 0.0, 0.2, 0.2])
    np.testing.assert_allclose(make_feasible([0.019, 0.021, 0.5]), [0.0, 0.021, 0.2])
    assert project_capped_simplex(np.ones(4), 1.0).sum() == pytest.approx(1.0)


def test_losses_are_measured_at_a_twentieth_and_ratios_over_no_cash() -> None:
    assert risk.value_at_risk(RETURNS) == np.percentile(RETURNS, 5)
    assert risk.conditional_value_at_risk(RETURNS) == pytest.approx(np.sort(RETURNS)[:20].mean())
    high, low = np.percentile(RETURNS, 95), np.percentile(RETURNS, 5)
    assert risk.tail_ratio(RETURNS) == pytest.approx(abs(high) / abs(low))
    assert performance.sharpe(RETURNS) == performance.sharpe(RETURNS, 0.0)
    assert performance.sortino(RETURNS) == performance.sortino(RETURNS, 0.0)
    assert performance.beta(RETURNS, RETURNS[::-1]) == performance.beta(RETURNS, RETURNS[::-1], 0.0)
    assert performance.alpha(RETURNS, RETURNS[::-1]) == performance.alpha(RETURNS, RETURNS[::-1], 0.0)
    days = [date(2020, 1, 1) + timedelta(days=k) for k in range(len(RETURNS) + 1)]
    assert performance.summary(RETURNS, days)["sharpe_ann"] == performance.sharpe(RETURNS, 0.0)
    assert performance.DAYS_PER_YEAR == 365.25


def test_scores_are_judged_in_fifths_of_days_of_five_names_over_the_stated_horizons() -> None:
    keys = {"date": [date(2021, 3, 1)] * 10, "ticker": [f"T{k}" for k in range(10)]}
    forecasts, forward = (
        pl.DataFrame(keys | {"score": RNG.normal(size=10)}),
        pl.DataFrame(keys | {"forward_return_5d": RNG.normal(size=10)}),
    )
    assert scores.quantile_summary(forecasts, forward).equals(scores.quantile_summary(forecasts, forward, 5))
    assert rank_ic_by_date(forecasts.head(5), forward).height == 1
    assert rank_ic_by_date(forecasts.head(4), forward).height == 0
    assert decay.HORIZONS == (1, 2, 5, 10, 21, 42, 63)
    assert newey_west_lags(400) == newey_west_lags(400, 1)
    assert (
        newey_west_t(RETURNS)
        == newey_west_t(RETURNS, horizon_sessions=1)
        == newey_west_t(RETURNS, newey_west_lags(400, 1))
    )


def test_drift_is_called_at_the_documented_limits() -> None:
    assert DriftConfig() == DriftConfig(largest_psi=1.0, largest_coverage_drop=0.2, largest_share_of_features=0.35)


def test_the_calendar_knows_2000_to_2035_and_is_published_to_2026() -> None:
    assert (date(2000, 1, 1), date(2035, 12, 31)) == (calendar.FIRST_DAY, calendar.LAST_DAY)
    assert date(2026, 12, 31) == calendar.LAST_PUBLISHED_DAY
    assert calendar.SESSIONS_PER_YEAR == 252
    assert calendar.session_number(date(2000, 1, 3)) == 0
    assert calendar.session_number(date(2000, 1, 8)) == calendar.session_number(date(2000, 1, 7))  # a Saturday
    assert calendar.next_session(date(2026, 12, 31)) == date(2027, 1, 1)
    assert calendar.sessions(calendar.LAST_DAY, calendar.LAST_DAY) == [date(2035, 12, 31)]
    with pytest.raises(calendar.DataError, match="no session is known after 2035-12-31"):
        calendar.next_session(calendar.LAST_DAY)
    with pytest.raises(calendar.DataError, match="1999-12-31"):
        calendar.session_number(date(1999, 12, 31))
    for month, day in ((1, 26), (5, 1), (8, 15), (10, 2), (12, 25)):
        for year in (2027, 2030, 2035):
            assert not calendar.is_session(date(year, month, day))
    weekdays = [
        date(2027, 1, 1) + timedelta(days=k) for k in range(365) if (date(2027, 1, 1) + timedelta(days=k)).weekday() < 5
    ]
    fixed = {date(2027, 1, 26), date(2027, 10, 2), date(2027, 5, 1), date(2027, 8, 15), date(2027, 12, 25)}
    assert calendar.sessions(date(2027, 1, 1), date(2027, 12, 31)) == [day for day in weekdays if day not in fixed]
