"""Renames that the rows show, at the edges of what counts as the same price, and one symbol looked up by itself."""

from datetime import date

import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.market.symbols import chain, continued, final_names, lookup, name_on

DAYS = pl.Series(sessions(date(2022, 3, 1), date(2022, 3, 31)), dtype=pl.Date)
HOPS = [("OLD", "NEW", date(2005, 1, 3)), ("NEW", "LAST", date(2010, 1, 4)), ("OLD", "OTHER", date(2015, 1, 5))]
SPAN = ("ticker", "first_day", "first_prev_close_inr", "first_volume", "last_day", "last_close_inr", "last_volume")
TYPES = dict(zip(SPAN, (pl.String, pl.Date, pl.Float64, pl.Int64, pl.Date, pl.Float64, pl.Int64), strict=True))


def test_a_symbol_by_itself_has_the_name_that_it_has_among_rows() -> None:
    changes = pl.DataFrame(HOPS, schema=["old_symbol", "new_symbol", "first_new"], orient="row")
    finals = final_names(changes)
    names = lookup(finals.reverse())
    days = [date(2000, 1, 3), *(date(day.year, day.month, d) for _, _, day in HOPS for d in (day.day - 1, day.day))]
    rows = pl.DataFrame(
        [(day, symbol) for day in days for symbol in ("OLD", "NEW", "LAST", "TCS")],
        schema=["date", "symbol"],
        orient="row",
    )
    assert [name_on(symbol, day, names) for day, symbol in rows.iter_rows()] == chain(rows, finals).to_list()


def found(*spans: tuple, days: pl.Series = DAYS) -> list[tuple[str, str, date]]:
    table = continued(pl.DataFrame(spans, schema=TYPES, orient="row"), days)
    return table.select("old", "new", "first_new").rows()


def ends(ticker: str = "A", price: float = 100.0, volume: int = 1000, last: int = 9) -> tuple:
    return (ticker, DAYS[0], None, 5, DAYS[last], price, volume)


def begins(ticker: str = "B", price: float = 100.0, volume: int = 1000, first: int = 10) -> tuple:
    return (ticker, DAYS[first], price, volume, DAYS[-1], 500.0, 5)


MET = [("A", "B", DAYS[10])]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ends(), begins(), MET),
        (ends(), begins(first=9), []),
        (ends(), begins(first=11), []),
        (ends(price=100.0), begins(price=100.004), MET),
        (ends(price=100.0), begins(price=99.996), MET),
        (ends(price=100.0), begins(price=100.006), []),
        (ends(price=100.0), begins(price=99.994), []),
        (ends(price=10.0, volume=1), begins(price=10.0, volume=10**6), MET),
        (ends(price=9.95, volume=1), begins(price=9.95, volume=10**6), []),
        (ends(price=5.0, volume=100), begins(price=5.0, volume=2000), MET),
        (ends(price=5.0, volume=100), begins(price=5.0, volume=2001), []),
        (ends(price=5.0, volume=2000), begins(price=5.0, volume=100), MET),
        (ends(price=5.0, volume=2001), begins(price=5.0, volume=100), []),
    ],
)
def test_a_name_goes_on_where_the_next_session_begins_at_its_last_close(old: tuple, new: tuple, expected: list) -> None:
    assert found(old, new) == expected


def test_two_that_end_or_begin_at_one_price_are_nobodys_and_other_prices_are_apart() -> None:
    assert found(ends("A"), ends("C"), begins()) == []
    assert found(ends("A"), begins("B"), begins("D")) == []
    assert found(ends("A"), ends("C", price=200.0), begins("B"), begins("D", price=200.0)) == [
        ("A", "B", DAYS[10]), ("C", "D", DAYS[10])
    ]  # fmt: skip
    assert found(ends("A"), ends("C", last=14), begins("B"), begins("D", first=15)) == [
        ("A", "B", DAYS[10]), ("C", "D", DAYS[15])
    ]  # fmt: skip


def test_what_begins_with_the_data_or_ends_with_it_is_no_rename() -> None:
    first = ("A", DAYS[0], 100.0, 1000, DAYS[0], 100.0, 1000)
    assert found(first, begins(first=1)) == [("A", "B", DAYS[1])]
    assert found(first, begins(first=0)) == []
    assert found(ends(last=len(DAYS) - 1), begins(first=0)) == []
    assert found(ends(), begins(), days=DAYS.head(1)) == []
