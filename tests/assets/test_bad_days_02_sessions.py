"""What the checks of clean prices call a lost session, a thin one and an index that went missing."""

from datetime import date

import polars as pl

from quant_core.calendar import sessions
from quant_core.cleaning.coverage import longest_gap, lost_sessions, thin_sessions

INDEX = "^NSEI"
DAYS = sessions(date(2021, 11, 1), date(2021, 11, 12))
MUHURAT = date(2021, 11, 4)


def market(n_stocks: int = 20, **over: object) -> pl.DataFrame:
    names = [f"S{n:02d}" for n in range(n_stocks)]
    rows = [(day, name, "equity", True, False) for day in DAYS for name in names]
    rows += [(day, INDEX, "index", False, False) for day in DAYS]
    schema = ["date", "ticker", "instrument", "is_member", "is_filled"]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(**over).sort("date", "ticker")


def on(day: date) -> pl.Expr:
    return (pl.col("date") == day) & (pl.col("instrument") == "equity")


def test_a_session_that_only_the_index_has_is_lost() -> None:
    assert lost_sessions(market()) == []
    assert lost_sessions(market().filter(~on(MUHURAT))) == [MUHURAT]
    carried = market(is_filled=on(MUHURAT))
    assert lost_sessions(carried) == [MUHURAT]


def test_stocks_that_are_late_today_make_today_a_lost_session() -> None:
    assert lost_sessions(market().filter(~on(DAYS[-1]))) == [DAYS[-1]]


def test_prices_of_names_that_are_no_members_make_no_session() -> None:
    table = market(is_member=(pl.col("instrument") == "equity") & ~on(MUHURAT))
    assert lost_sessions(table) == [MUHURAT]


def test_a_session_with_few_of_the_members_is_thin() -> None:
    assert thin_sessions(market()).is_empty()
    one_late = market(is_filled=on(MUHURAT) & (pl.col("ticker") == "S00"))  # 19 of 20 are 95 %
    assert thin_sessions(one_late).is_empty()
    two_late = market(is_filled=on(MUHURAT) & pl.col("ticker").is_in(["S00", "S01"]))
    assert thin_sessions(two_late).rows() == [(MUHURAT, 20, 18)]


def test_a_gap_of_the_index_is_measured_and_dated() -> None:
    assert longest_gap(market(), INDEX) == (0, None)
    gone = market().filter((pl.col("ticker") != INDEX) | ~pl.col("date").is_in(DAYS[2:5]))
    assert longest_gap(gone, INDEX) == (3, DAYS[2])
    late = market().filter((pl.col("ticker") != INDEX) | (pl.col("date") < DAYS[-2]))
    assert longest_gap(late, INDEX) == (2, DAYS[-2])
    carried = market(is_filled=(pl.col("ticker") == INDEX) & (pl.col("date") >= DAYS[-2]))
    assert longest_gap(carried, INDEX) == (2, DAYS[-2])
