"""Mergers, cash-outs, write-offs and suspensions: the last row of a name says what a holder gets."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.errors import DataError

DAYS = sessions(date(2021, 1, 1), date(2021, 12, 31))
START, END = date(2021, 3, 1), date(2021, 4, 30)
BEGIN = DAYS.index(date(2021, 3, 1))
LAST_TRADE, EX_DATE = DAYS[BEGIN + 4], DAYS[BEGIN + 7]


def lines(*rows: tuple) -> pl.DataFrame:
    """Rows (ticker, ex_date, kind, value, into)."""
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64, "into": pl.String}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def market(*more: dict[str, Any], last: date = LAST_TRADE) -> pl.DataFrame:
    """DEAD trades at 80 until its last day; HDFCBANK opens at 1000 and closes at 1010 throughout."""
    dead = [bar(day, 80.0, "DEAD", volume_shares=900 + n) for n, day in enumerate(DAYS) if day <= last]
    bank = [bar(day, 1010.0, "BANK", open_inr=1000.0, low_inr=1000.0) for day in DAYS if day <= END]
    return raw(*dead, *bank, *more)


def cleaned(*events: tuple, table: pl.DataFrame | None = None, **config: Any) -> Cleaned:
    rows = market() if table is None else table
    return clean(rows, None, CleaningConfig(**config), START, END, reviewed=lines(*events))


def of(result: Cleaned, ticker: str = "DEAD") -> pl.DataFrame:
    return result.prices.filter(pl.col("ticker") == ticker)


MERGER = ("DEAD", EX_DATE, "merger", 0.084, "BANK")


def test_a_merger_hands_over_shares_at_their_open_of_the_first_session() -> None:
    table = of(cleaned(MERGER))
    last = table.row(-1, named=True)
    assert (last["date"], last["flags"], last["terminal_into"]) == (EX_DATE, "filled|terminal", "BANK")
    assert last["terminal_factor"] == pytest.approx(0.084 * 1000 / 80)
    assert (last["close_inr"], last["is_filled"], last["is_tradable"]) == (80.0, True, False)
    assert last["total_return_1d"] is None
    assert table.filter(pl.col("terminal_factor").is_not_null()).height == 1
    assert table["date"].to_list() == DAYS[BEGIN : BEGIN + 8]  # nothing is carried beyond the end


def test_without_an_open_the_successors_close_counts() -> None:
    rows = [bar(EX_DATE, 990.0, "NEWCO", open_inr=None)]
    result = cleaned(("DEAD", EX_DATE, "merger", 0.1, "NEWCO"), table=market(*rows))
    assert of(result)["terminal_factor"][-1] == pytest.approx(0.1 * 990 / 80)


@pytest.mark.parametrize(
    ("kind", "value", "expected"), [("cash_out", 84.0, 1.05), ("write_off", None, 0.0), ("write_off", 0.0, 0.0)]
)
def test_cash_and_nothing(kind: str, value: float | None, expected: float) -> None:
    result = cleaned(("DEAD", EX_DATE, kind, value, None))
    last = of(result).row(-1, named=True)
    assert (last["date"], last["terminal_factor"], last["terminal_into"]) == (EX_DATE, pytest.approx(expected), None)
    assert ("terminal", "DEAD", 1) in result.quality.rows()


def test_an_end_on_a_closed_day_is_dated_on_the_next_session() -> None:
    saturday = date(2021, 3, 13)
    result = cleaned(("DEAD", saturday, "cash_out", 80.0, None))
    assert of(result)["date"].max() == date(2021, 3, 15)


def test_an_end_long_after_the_last_trade_keeps_its_value_and_one_not_yet_seen_waits() -> None:
    late = DAYS[BEGIN + 35]
    table = of(cleaned(("DEAD", late, "write_off", None, None)))
    assert table["date"].to_list() == [*DAYS[BEGIN : BEGIN + 10], late]  # five carried, then the end
    future = of(cleaned(("DEAD", date(2021, 5, 31), "write_off", None, None)))
    assert future["terminal_factor"].null_count() == future.height


def test_a_split_during_the_absence_counts_before_the_end() -> None:
    split = ("DEAD", DAYS[BEGIN + 6], "split", 2.0, None)
    last = of(cleaned(split, ("DEAD", EX_DATE, "cash_out", 42.0, None))).row(-1, named=True)
    assert last["terminal_factor"] == pytest.approx(42 / 40)


def test_contradictions_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=rf"DEAD merger of {EX_DATE}: NOBODY has no row on {EX_DATE}.*cash_out"):
        cleaned(("DEAD", EX_DATE, "merger", 1.0, "NOBODY"))
    with pytest.raises(DataError, match=r"BANK write_off of .*: the name still trades on 2021-04-30, after its end"):
        cleaned(("BANK", EX_DATE, "write_off", None, None))


def test_an_end_that_two_lists_name_happens_once() -> None:
    twice = of(cleaned(("DEAD", EX_DATE, "cash_out", 84.0, None), ("DEAD", EX_DATE, "cash_out", 84.0, None)))
    assert twice["terminal_factor"].drop_nulls().to_list() == [pytest.approx(1.05)]


def test_an_event_of_a_name_without_prices_is_nobodys() -> None:
    assert of(cleaned(("OTHER", EX_DATE, "write_off", None, None)), "OTHER").is_empty()


def test_a_suspension_is_carried_on_every_session_until_it_trades_again() -> None:
    resumes = DAYS[BEGIN + 30]
    table = of(cleaned(("DEAD", EX_DATE, "suspension", None, None), table=market(bar(resumes, 72.0, "DEAD"))))
    held = table.filter(pl.col("flags").str.contains("suspended"))
    assert held["date"].to_list() == DAYS[BEGIN + 7 : BEGIN + 30]
    assert held["flags"].unique().to_list() == ["filled|suspended"]
    assert (held["is_filled"].all(), held["is_tradable"].any(), held["close_inr"].unique().to_list()) == (
        True,
        False,
        [80.0],
    )
    row = table.filter(pl.col("date") == resumes).row(0, named=True)
    assert row["is_tradable"]
    assert table.filter(pl.col("date") > resumes)["flags"].unique().to_list() == ["filled"]  # five, and no more
    assert table.filter(pl.col("date") > resumes).height == 5


def test_a_suspension_ends_with_the_name() -> None:
    end = DAYS[BEGIN + 25]
    table = of(cleaned(("DEAD", EX_DATE, "suspension", None, None), ("DEAD", end, "write_off", None, None)))
    assert table.filter(pl.col("flags").str.contains("suspended"))["date"].to_list() == DAYS[BEGIN + 7 : BEGIN + 25]
    assert table.row(-1, named=True)["date"] == end


def test_a_suspension_on_a_day_that_trades_is_over() -> None:
    table = of(cleaned(("DEAD", LAST_TRADE, "suspension", None, None)))
    assert table.filter(pl.col("flags").str.contains("suspended")).is_empty()


def test_a_month_of_a_long_suspension_reads_the_last_price_from_the_older_rows() -> None:
    last = DAYS[10]
    events = [("DEAD", DAYS[12], "suspension", None, None), ("DEAD", date(2021, 11, 15), "cash_out", 88.0, None)]
    rows = [bar(day, 80.0, "DEAD") for day in DAYS if day <= last] + [bar(day, 50.0, "BANK") for day in DAYS]
    table = raw(*rows).sort("date", "ticker")
    cut, start, end = date(2021, 8, 1), date(2021, 11, 1), date(2021, 11, 30)
    whole = clean(table, None, CleaningConfig(), DAYS[0], DAYS[-1], reviewed=lines(*events)).prices
    near, older = table.filter(pl.col("date").is_between(cut, end)), table.filter(pl.col("date") < cut).lazy()
    alone = clean(near, None, CleaningConfig(), start, end, reviewed=lines(*events), older=older).prices
    assert alone.equals(whole.filter(pl.col("date").is_between(start, end)))
    assert of_prices(alone)["terminal_factor"].to_list()[-1] == pytest.approx(1.1)
    assert of_prices(alone).height == len(sessions(start, date(2021, 11, 15)))


def of_prices(prices: pl.DataFrame) -> pl.DataFrame:
    return prices.filter(pl.col("ticker") == "DEAD")
