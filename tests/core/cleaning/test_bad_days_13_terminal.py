"""The end of a name whose price moved: what a holder gets is over its last value, not over any other."""

from datetime import date

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(START, END)


def lines(*rows: tuple) -> pl.DataFrame:
    """Rows (ticker, ex_date, kind, value, into)."""
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64, "into": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def cleaned(*reviewed: tuple, back: int | None = None) -> pl.DataFrame:
    """TCS at 100, 110 and 120, then nothing (or 125 from session `back` on); INFY trades on at 50, 51, 52 ..."""
    own = [bar(day, price) for day, price in zip(DAYS, (100.0, 110.0, 120.0), strict=False)]
    own += [] if back is None else [bar(day, 125.0, volume_shares=900 + n) for n, day in enumerate(DAYS) if n >= back]
    other = [bar(day, 50.0 + n, "INFY") for n, day in enumerate(DAYS)]
    found = clean(raw(*own, *other), None, CleaningConfig(), START, END, reviewed=lines(*reviewed)).prices
    return found.filter(pl.col("ticker") == "TCS")


@pytest.mark.parametrize(
    ("kind", "value", "into", "factor"),
    [("cash_out", 126.0, None, 1.05), ("write_off", None, None, 0.0), ("merger", 2.0, "INFY", 110.0 / 120.0)],
)
def test_what_is_received_is_over_the_last_value(
    kind: str, value: float | None, into: str | None, factor: float
) -> None:
    """The end lies on the sixth session; two shares of INFY at its open of 55 are 110."""
    last = cleaned(("TCS", DAYS[5], kind, value, into)).tail(1).row(0, named=True)
    assert (last["date"], last["close_inr"], last["terminal_into"]) == (DAYS[5], 120.0, into)
    assert last["terminal_factor"] == pytest.approx(factor)
    assert (last["is_filled"], last["is_tradable"], last["total_return_1d"]) == (True, False, None)


def test_of_two_suspensions_in_one_absence_the_earlier_counts() -> None:
    both = [("TCS", day, "suspension", None, None) for day in (DAYS[9], DAYS[6])]
    table = cleaned(*both, back=15).filter("is_filled")
    suspended = table.filter(pl.col("flags").str.contains("suspended"))
    assert suspended["date"].to_list() == DAYS[6:15]
    assert table["date"].to_list() == DAYS[3:15]
