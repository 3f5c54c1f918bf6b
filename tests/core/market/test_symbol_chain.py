"""Symbols of a day chain to one continuous ticker, and only for the days to which a rename applies."""

from datetime import date

import polars as pl

from quant_core.market.symbols import chain, final_names, read_symbol_changes, shipped_names, symbols_of

CHANGES = pl.DataFrame(
    [
        ("SESAGOA", "SSLT", date(2013, 10, 4)),
        ("SSLT", "VEDL", date(2015, 5, 7)),
        ("OLD", "NEW", date(2010, 1, 4)),
    ],
    schema={"old_symbol": pl.String, "new_symbol": pl.String, "first_new": pl.Date},
    orient="row",
)


def tickers(*rows: tuple[date, str]) -> list[str]:
    table = pl.DataFrame(rows, schema={"date": pl.Date, "symbol": pl.String}, orient="row")
    return chain(table, final_names(CHANGES)).to_list()


def test_two_renames_lead_to_the_last_name() -> None:
    assert (
        tickers((date(2012, 1, 2), "SESAGOA"), (date(2014, 1, 2), "SSLT"), (date(2016, 1, 4), "VEDL")) == ["VEDL"] * 3
    )


def test_the_last_day_of_the_old_name_is_the_day_before_the_first_of_the_new() -> None:
    assert tickers((date(2010, 1, 3), "OLD"), (date(2010, 1, 4), "OLD")) == ["NEW", "OLD"]


def test_a_symbol_given_away_later_is_another_company() -> None:
    assert tickers((date(2016, 1, 4), "SSLT")) == ["SSLT"]


def test_order_and_strangers_are_kept() -> None:
    assert tickers((date(2014, 1, 2), "TCS"), (date(2012, 1, 2), "SESAGOA"), (date(2013, 1, 2), "INFY")) == [
        "TCS",
        "VEDL",
        "INFY",
    ]


def test_a_ticker_knows_the_symbols_it_had() -> None:
    assert symbols_of(["VEDL", "TCS"], final_names(CHANGES)) == ["SESAGOA", "SSLT", "TCS", "VEDL"]


def test_a_cycle_of_renames_ends() -> None:
    there_and_back = pl.DataFrame(
        [("A", "B", date(2010, 1, 4)), ("B", "A", date(2012, 1, 2))],
        schema={"old_symbol": pl.String, "new_symbol": pl.String, "first_new": pl.Date},
        orient="row",
    )
    table = pl.DataFrame({"date": [date(2009, 1, 1), date(2011, 1, 3)], "symbol": ["A", "B"]})
    assert chain(table, final_names(there_and_back)).to_list() == ["A", "A"]


def test_the_shipped_list_reads_and_names_bharti_infratel() -> None:
    assert read_symbol_changes().height == 257
    assert shipped_names().filter(pl.col("symbol") == "INFRATEL").rows() == [
        ("INFRATEL", date(2020, 12, 17), "INDUSTOWER")
    ]
