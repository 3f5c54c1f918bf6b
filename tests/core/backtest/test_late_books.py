"""A book that held nothing at first is said to be late."""

from datetime import date, timedelta

import polars as pl

from quant_core.backtest.notes import LATE_DAYS, late_notes

FIRST = date(2020, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(120)]
DAILY = pl.concat([pl.DataFrame({"date": DAYS, "strategy": name}) for name in ("early", "late", "never")])


def held(strategy: str, day: date) -> pl.DataFrame:
    return pl.DataFrame({"date": [day, DAYS[-1]], "strategy": strategy})


def test_only_what_begins_late_is_told():
    late = FIRST + timedelta(days=LATE_DAYS + 1)
    positions = pl.concat([held("early", FIRST + timedelta(days=LATE_DAYS)), held("late", late)])
    first, second = late_notes(positions, DAILY)
    assert first.startswith(f"LATE: late held nothing until {late} (the test begins on {FIRST})")
    assert second.startswith(f"LATE: never held nothing until {DAYS[-1]}")
