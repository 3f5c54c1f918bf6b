"""The actions list with ends of names, suspensions and reviewed moves; events that lie in a long absence."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.actions import LOOKBACK_DAYS, apply_actions, listed_events, parse_actions, price_factors
from quant_core.market.sources.files import FilesSource

D = date
COLUMNS = ("ticker", "ex_date", "kind", "value", "into")


def listed(*rows: tuple) -> pl.DataFrame:
    """Rows (ticker, ex_date, kind, value, into) as text."""
    table = pl.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows], infer_schema_length=None)
    return parse_actions(table.with_columns(pl.all().cast(pl.String)), "list")


def test_every_kind_of_event_is_read() -> None:
    table = listed(
        ("HDFC", "2023-07-13", "merger", "1.68", "HDFCBANK"),
        ("A", "2021-01-04", "cash_out", "84", ""),
        ("B", "2021-01-04", "write_off", "", ""),
        ("C", "2021-01-04", "write_off", "0", ""),
        ("E", "2021-01-04", "suspension", "", ""),
        ("F", "2021-01-04", "none", "", ""),
    )
    assert table.select("ticker", "kind", "value", "into").rows() == [
        ("A", "cash_out", 84.0, None), ("B", "write_off", None, None), ("C", "write_off", 0.0, None),
        ("E", "suspension", None, None), ("F", "none", None, None), ("HDFC", "merger", 1.68, "HDFCBANK"),
    ]  # fmt: skip
    assert price_factors(table).is_empty()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("A", "2021-01-04", "merger", "1.5", ""), "a merger names no other ticker in the column into"),
        (("A", "2021-01-04", "merger", "1.5", "A"), "a merger names no other ticker in the column into"),
        (("A", "2021-01-04", "merger", "", "B"), "value is no number above 0"),
        (("A", "2021-01-04", "merger", "0", "B"), "value is no number above 0"),
        (("A", "2021-01-04", "cash_out", "", ""), "value is no number above 0"),
        (("A", "2021-01-04", "cash_out", "84", "B"), "into is given, and only a merger has a successor"),
        (("A", "2021-01-04", "write_off", "5", ""), "a write_off's value is not 0"),
        (("A", "2021-01-04", "suspension", "1", ""), "a suspension or none has a value"),
        (("A", "2021-01-04", "none", "0.5", ""), "a suspension or none has a value"),
        (("A", "2021-01-04", "split", "0", ""), "value is no number above 0"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_number(row: tuple, message: str) -> None:
    with pytest.raises(DataError, match=f"list line 2: {message}"):
        listed(row)


def test_what_no_row_carries_is_handed_on_with_its_reach() -> None:
    table = listed(
        ("A", "2021-01-04", "split", "2", ""), ("A", "2021-02-01", "demerger", "", ""),
        ("A", "2021-03-01", "dividend", "5", ""), ("A", "2021-06-01", "merger", "2", "B"),
    )  # fmt: skip
    assert listed_events(table).rows() == [
        ("A", D(2021, 1, 4), "demerger", 0.5, None, LOOKBACK_DAYS),
        ("A", D(2021, 2, 1), "demerger", None, None, LOOKBACK_DAYS),
        ("A", D(2021, 6, 1), "merger", 2.0, "B", None),
    ]


def test_the_files_source_hands_on_the_events_of_the_list_beside_its_prices(tmp_path: Path) -> None:
    (tmp_path / "TCS.csv").write_text("Date,Open,High,Low,Close,Volume\n2021-03-01,1,1,1,1,1\n")
    (tmp_path / "corporate_actions.csv").write_text("ticker,ex_date,kind,value\nTCS,2021-03-05,write_off,\n")
    events = (
        FilesSource(path=str(tmp_path)).listed_events().filter(pl.col("ticker") == "TCS", pl.col("kind") == "write_off")
    )
    assert events.select("ticker", "ex_date", "kind").rows() == [("TCS", D(2021, 3, 5), "write_off")]
    assert FilesSource(path=str(tmp_path), actions="none").listed_events().is_empty()


def bars(*rows: tuple) -> pl.DataFrame:
    """Rows (date, ticker, open, close, previous close, basis)."""
    schema = {
        "date": pl.Date, "ticker": pl.String, "open_inr": pl.Float64, "close_inr": pl.Float64,
        "prev_close_inr": pl.Float64, "basis": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(source=pl.lit("nse"))


def test_an_action_is_measured_against_its_own_tickers_row_before() -> None:
    """The first row of a ticker stands after the last of another by name: it may not see its close or basis."""
    rows = bars(
        (D(2020, 3, 3), "A", 730.0, 724.0, None, "unadjusted"),
        (D(2020, 3, 4), "A", 362.0, 380.0, None, "unadjusted"),
        (D(2020, 3, 4), "B", 95.0, 96.0, None, "unadjusted"),
        (D(2020, 3, 3), "M", 5.0, 5.0, None, "split_adjusted"),
        (D(2020, 3, 4), "N", 50.0, 50.0, None, "unadjusted"),
    )
    demerged = listed(("A", "2020-03-04", "demerger", "", ""), ("B", "2020-03-04", "demerger", "", ""))
    done = apply_actions(rows, demerged)
    # B has no close before its first row, and N's first row joins no other name's level.
    assert done["price_factor"].to_list() == [1.0, 0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("days", "found"), [(40, True), (LOOKBACK_DAYS, True), (LOOKBACK_DAYS + 1, False)])
def test_an_event_finds_its_row_within_the_look_back(days: int, found: bool) -> None:
    ex_date = D(2020, 6, 1)
    rows = bars(
        (D(2020, 5, 29), "A", 100.0, 100.0, None, "unadjusted"),
        (date.fromordinal(ex_date.toordinal() + days), "A", 50.0, 51.0, None, "unadjusted"),
    )
    done = apply_actions(rows, listed(("A", str(ex_date), "split", "2", "")))
    assert done["price_factor"][1] == (0.5 if found else 1.0)
