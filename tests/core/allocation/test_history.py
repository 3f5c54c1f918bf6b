"""The dense history: windows counted in sessions of the calendar, whatever is loaded."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.allocation import AllocationConfig, DecisionInputs
from quant_core.allocation.history import dense_history
from quant_core.allocation.strategy import decision_inputs, first_known_day
from quant_core.errors import DataError
from quant_core.trading.rebalancing import rebalance_dates

FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)


def test_cells_hold_the_rows_of_their_date_and_ticker_and_nan_elsewhere(prices: pl.DataFrame) -> None:
    history = dense_history(prices, date(2020, 10, 1), date(2020, 10, 30))
    days = calendar.sessions(date(2020, 10, 1), date(2020, 10, 30))
    assert history.tickers.to_list() == [f"S{k:02d}" for k in range(12)]
    assert history.eligible.shape == (len(days), 12)
    rows = {(row["date"], row["ticker"]): row for row in prices.to_dicts()}
    for t, day in enumerate(days):
        for n, ticker in enumerate(history.tickers):
            row = rows.get((day, ticker))
            known = row is not None and row["total_return_1d"] is not None
            assert np.isfinite(history.total_return_1d[t, n]) == known
            assert bool(history.eligible[t, n]) == (row is not None and row["is_member"] and row["is_tradable"])
            if known:
                assert history.total_return_1d[t, n] == row["total_return_1d"]
                assert history.turnover_inr[t, n] == row["close_inr"] * row["volume_shares"]
    assert np.isnan(history.turnover_inr[0, 10])  # S10 is listed on the 5th


def test_a_window_ends_on_its_day_and_counts_sessions_without_data(prices: pl.DataFrame) -> None:
    lost = prices.filter(pl.col("date") != date(2021, 1, 6))
    history = dense_history(lost, date(2020, 12, 1), date(2021, 1, 29))
    past = history.until(date(2021, 1, 8), 4)  # 5, 6, 7, 8 January
    assert past.first_session == calendar.session_number(date(2021, 1, 5))
    assert np.isnan(past.total_return_1d[1]).all()
    assert not past.eligible[1].any()
    whole = dense_history(prices, date(2021, 1, 8), date(2021, 1, 8))
    assert np.array_equal(past.total_return_1d[-1], whole.total_return_1d[0], equal_nan=True)


def test_more_history_than_is_loaded_and_days_after_it_are_refused(prices: pl.DataFrame) -> None:
    history = dense_history(prices, date(2021, 1, 1), date(2021, 1, 29))
    assert len(history.until(date(2021, 1, 8), 6).eligible) == 6
    with pytest.raises(DataError, match="asks for 7 sessions up to 2021-01-08, the history has 20 rows, 6 of them"):
        history.until(date(2021, 1, 8), 7)
    with pytest.raises(DataError, match="2021-02-01"):
        history.until(date(2021, 2, 1), 1)


def test_a_row_on_a_day_that_is_no_session_is_refused(prices: pl.DataFrame) -> None:
    sunday = prices.with_columns(
        date=pl.when(pl.col("date") == date(2021, 1, 8)).then(date(2021, 1, 10)).otherwise("date")
    )
    with pytest.raises(DataError, match="2021-01-10, which is no NSE session"):
        dense_history(sunday, date(2021, 1, 1), date(2021, 1, 29))


def test_history_before_the_calendar_is_shorter_rather_than_an_error(prices: pl.DataFrame) -> None:
    first = calendar.sessions(calendar.FIRST_DAY, date(2000, 1, 31))[0]
    history = dense_history(prices, first, date(2000, 3, 31))
    assert len(history.until(first, 252).eligible) == 1
    assert first_known_day(date(2000, 1, 14), AllocationConfig()) == first


def test_inputs_hold_a_full_history_before_the_estimate_and_nothing_after_the_last_decision(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    inputs = decision_inputs(prices, forecasts, short, date(2021, 2, 8), date(2021, 3, 17))
    assert inputs.decision_dates.to_list() == [date(2021, 2, day) for day in (12, 19, 26)] + [
        date(2021, 3, 5),
        date(2021, 3, 12),
    ]
    oldest = calendar.sessions(date(2020, 7, 1), date(2021, 1, 29))[-60]
    assert inputs.history.first_session == calendar.session_number(oldest)
    assert (inputs.prices["date"].min(), inputs.prices["date"].max()) == (date(2020, 7, 1), date(2021, 3, 12))
    assert set(inputs.forecasts["date"]) == set(inputs.decision_dates)
    path = rebalance_dates(date(2020, 7, 1), date(2021, 3, 12), "weekly")  # from the first row of the year before
    assert inputs.path_dates.to_list() == path
    assert set(inputs.daily_forecasts["date"]) == set(calendar.sessions(date(2020, 7, 1), path[-1]))
    assert len(inputs.history.until(date(2021, 1, 29), 60).eligible) == 60


def test_a_date_without_prices_decides_nothing_and_the_next_session_does(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    lost = prices.filter(pl.col("date") != date(2021, 2, 12))
    inputs: DecisionInputs = decision_inputs(lost, forecasts, short, date(2021, 2, 8), date(2021, 2, 28))
    assert inputs.decision_dates.to_list() == [date(2021, 2, 15), date(2021, 2, 19), date(2021, 2, 26)]
