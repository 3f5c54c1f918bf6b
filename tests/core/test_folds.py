"""Fold bounds, purge and embargo on real NSE sessions around New Year 2020 and 2021."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.errors import DataError, LookaheadError
from quant_core.folds import assert_purged, embargo_start, fold, purge

# The last sessions of 2020: 24 December (Thursday), 28, 29, 30, 31; Christmas was a holiday.
LAST_SIX = [date(2020, 12, 23), date(2020, 12, 24), *(date(2020, 12, day) for day in (28, 29, 30, 31))]


def rows(ends: Sequence[date | None], day: date = date(2020, 6, 1)) -> pl.DataFrame:
    dates = [day] * len(ends)
    return pl.DataFrame({"date": dates, "ticker": "TCS", "label_end_date": pl.Series(ends, dtype=pl.Date)})


def test_a_fold_trains_on_the_five_years_before_its_test_year() -> None:
    made = fold("2021")
    assert (made.train_start, made.train_end) == (date(2016, 1, 1), date(2020, 12, 31))
    assert (made.test_start, made.test_end) == (date(2021, 1, 1), date(2021, 12, 31))
    assert fold("2021", train_years=3).train_start == date(2018, 1, 1)


@pytest.mark.parametrize(("embargo", "expected"), [(0, date(2021, 1, 1)), (1, LAST_SIX[-1]), (5, LAST_SIX[1])])
def test_the_embargo_counts_sessions_back_from_the_fold(embargo: int, expected: date) -> None:
    assert embargo_start(fold("2021"), embargo) == expected


def test_only_label_windows_that_end_before_the_embargo_survive_the_purge() -> None:
    ends = [*LAST_SIX, date(2021, 1, 1), date(2021, 1, 4)]
    assert purge(rows(ends), fold("2021"), 5)["label_end_date"].to_list() == [date(2020, 12, 23)]
    assert purge(rows(ends), fold("2021"), 0)["label_end_date"].to_list() == LAST_SIX


def test_rows_before_the_training_span_or_without_a_known_window_end_are_left_out() -> None:
    old = rows([date(2016, 1, 8)], day=date(2015, 12, 31))
    first = rows([date(2016, 1, 8)], day=date(2016, 1, 1))
    assert purge(old, fold("2021")).is_empty()
    assert purge(first, fold("2021")).height == 1
    assert purge(rows([None]), fold("2021")).is_empty()


def test_a_window_that_reaches_into_the_embargo_is_named() -> None:
    assert_purged(rows([date(2020, 12, 23)]), fold("2021"), 5)
    with pytest.raises(
        LookaheadError, match=r"1 training rows .* 2020-12-24 .*TCS 2020-06-01 2020-12-24.*folds\.purge"
    ):
        assert_purged(rows([date(2020, 12, 23), date(2020, 12, 24)]), fold("2021"), 5)
    with pytest.raises(LookaheadError):
        assert_purged(rows([None]), fold("2021"), 5)


@settings(max_examples=40, deadline=None)
@given(year=st.integers(2006, 2026), embargo=st.integers(0, 60))
def test_exactly_the_embargo_sessions_lie_between_the_last_window_and_the_fold(year: int, embargo: int) -> None:
    made = fold(str(year))
    days = sessions(date(year - 1, 1, 1), date(year, 1, 31))
    last = purge(rows(list(days), day=date(year - 1, 1, 1)), made, embargo)["label_end_date"].max()
    assert isinstance(last, date)
    assert sum(last < day < made.test_start for day in days) == embargo


def test_a_negative_embargo_and_an_empty_training_span_are_refused() -> None:
    with pytest.raises(DataError, match="embargo_sessions is -1"):
        embargo_start(fold("2021"), -1)
    with pytest.raises(DataError, match="train_years is 0"):
        fold("2021", train_years=0)


def test_a_quarter_is_trained_on_the_years_before_its_first_day() -> None:
    made = fold("2021-07", train_years=2)
    assert (made.train_start, made.train_end) == (date(2019, 7, 1), date(2021, 6, 30))
    assert (made.test_start, made.test_end) == (date(2021, 7, 1), date(2021, 9, 30))
    assert fold("2021-10").test_end == date(2021, 12, 31)
    assert fold("2021-01").train_end == date(2020, 12, 31)


def test_quarters_share_the_year_between_them_without_a_gap() -> None:
    quarters = [fold(f"2020-{month}") for month in ("01", "04", "07", "10")]
    assert (quarters[0].test_start, quarters[-1].test_end) == (fold("2020").test_start, fold("2020").test_end)
    assert all(b.test_start - a.test_end == timedelta(days=1) for a, b in pairwise(quarters))


@pytest.mark.parametrize("name", ["2021-02", "21", "2021-Q3", "2021-13", "", "2021-07-01"])
def test_a_name_that_is_no_fold_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="wanted a year YYYY, or a quarter's first month"):
        fold(name)
