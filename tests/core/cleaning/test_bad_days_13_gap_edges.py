"""The first return back spans an absence of any length that is short of a delisting; no length cuts it off."""

from datetime import date

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(date(2020, 12, 1), END)


@pytest.mark.parametrize("missing", [1, 5, 6, 38, 39, 40, 41, 59])
def test_the_first_return_back_spans_every_absence(missing: int) -> None:
    """100 before, 91 at the open and 90 at the close on return, while another name trades every session."""
    back = DAYS[-2]
    last = DAYS[-2 - missing - 1]
    assert len(sessions(last, back)) == missing + 2
    table = raw(
        *(bar(day, 50.0, "INFY") for day in DAYS),
        *(bar(day, 100.0) for day in DAYS if day <= last),
        bar(back, 90.0, open_inr=91.0, high_inr=91.0, low_inr=90.0),
        bar(DAYS[-1], 90.9),
    )
    prices = clean(table, None, CleaningConfig(), START, END).prices.filter(pl.col("ticker") == "TCS")
    row = prices.filter(date=back).row(0, named=True)
    assert row["total_return_1d"] == pytest.approx(-0.10)
    assert row["overnight_return_1d"] == pytest.approx(-0.09)
    assert row["is_tradable"]
    assert prices.filter(date=DAYS[-1])["total_return_1d"].to_list() == [pytest.approx(0.01)]
