"""Long rows to arrays, by hand and there and back."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_core.dense import cells
from quant_core.errors import DataError

DAYS = pl.Series([date(2021, 3, 1), date(2021, 3, 2), date(2021, 3, 4)])
ROWS = pl.DataFrame(
    {
        "date": [date(2021, 3, 4), date(2021, 3, 1), date(2021, 3, 4)],
        "ticker": ["INFY", "TCS", "TCS"],
        "value": [3, 1, None],
        "is_open": [True, None, False],
    }
)


def test_each_row_finds_its_cell_by_hand() -> None:
    found = cells(ROWS, DAYS, pl.Series(["TCS", "INFY", "WIPRO"]), "prices")
    nan = np.nan
    np.testing.assert_array_equal(found.floats(ROWS["value"]), [[1, nan, nan], [nan, nan, nan], [nan, 3, nan]])
    np.testing.assert_array_equal(found.floats(ROWS["value"], empty=0.0), [[1, 0, 0], [0, 0, 0], [nan, 3, 0]])
    assert found.flags(ROWS["is_open"]).tolist() == [[False] * 3, [False] * 3, [False, True, False]]
    assert found.present().tolist() == [[True, False, False], [False] * 3, [True, True, False]]


@given(st.data(), st.integers(1, 6), st.integers(1, 5))
def test_the_way_there_and_back_changes_nothing(data: st.DataObject, n_days: int, n_names: int) -> None:
    spots = st.tuples(st.integers(0, n_days - 1), st.integers(0, n_names - 1))
    kept = data.draw(st.lists(spots, unique=True))
    days = pl.Series([date(2021, 3, 1 + k) for k in range(n_days)], dtype=pl.Date)
    names = pl.Series([f"T{k}" for k in data.draw(st.permutations(range(n_names)))])
    rows = pl.DataFrame(
        {"date": [days[d] for d, _ in kept], "ticker": [names[n] for _, n in kept], "value": range(len(kept))},
        schema={"date": pl.Date, "ticker": pl.String, "value": pl.Float64},
    )
    found = cells(rows, days, names, "prices")
    assert found.floats(rows["value"])[found.row, found.column].tolist() == rows["value"].to_list()
    assert int(found.present().sum()) == len(kept)


def test_a_row_on_no_day_and_a_row_that_repeats_are_refused() -> None:
    names = pl.Series(["INFY", "TCS"])
    for missing in range(len(DAYS)):
        if DAYS[missing] in ROWS["date"]:
            left = DAYS.filter(pl.int_range(3, eager=True) != missing)
            with pytest.raises(DataError, match=f"prices: .* has a row on {DAYS[missing]}, which is no NSE session"):
                cells(ROWS, left, names, "prices")
    with pytest.raises(DataError, match="prices: TCS 2021-03-01 repeats"):
        cells(pl.concat([ROWS, ROWS.slice(1, 1)]), DAYS, names, "prices")
