"""Every name under which a price file may call a column, against the column that it is; no two hold equal numbers."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.market.sources.files import FilesSource

NOW = datetime(2024, 1, 1, tzinfo=UTC)
#: column of the lab -> (value of the row, names it goes by)
COLUMNS = {
    "open_inr": (11.0, ("open_inr", "Open", "OPEN_PRICE", "open price")),
    "high_inr": (14.0, ("high_inr", "High", "HIGH_PRICE", "high price")),
    "low_inr": (10.0, ("low_inr", "Low", "LOW_PRICE", "low price")),
    "close_inr": (12.0, ("close_inr", "Close", "CLOSE_PRICE", "close price")),
    "prev_close_inr": (9.5, ("prev_close_inr", "prev_close", "PrevClose", "Previous Close")),
    "volume_shares": (700.0, ("volume_shares", "Volume", "TTL_TRD_QNTY")),
    "turnover_inr": (8400.0, ("turnover_inr", "turnover")),
}
CASES = [(column, alias) for column, (_, aliases) in COLUMNS.items() for alias in aliases]


def read(folder: Path, columns: dict[str, str], values: dict[str, float]) -> dict[str, object]:
    """The row of a file whose columns are called `columns`."""
    path = folder / "p.csv"
    header, cells = ["Date", "Ticker", *columns.values()], [str(values[name]) for name in columns]
    path.write_text(",".join(header) + "\n" + ",".join(["2020-01-01", "A", *cells]) + "\n")
    found = FilesSource(path=str(path)).fetch(None, date(2020, 1, 1), date(2020, 1, 1), NOW).rows
    return found.row(0, named=True)


@pytest.mark.slow
@pytest.mark.parametrize(("column", "alias"), CASES)
def test_a_column_by_any_of_its_names_is_that_column(tmp_path: Path, column: str, alias: str) -> None:
    plain = {"open_inr": "open", "high_inr": "high", "low_inr": "low", "close_inr": "close"} | {column: alias}
    values = {name: value for name, (value, _) in COLUMNS.items()}
    row = read(tmp_path, plain, values)
    assert {name: row[name] for name in plain} == pytest.approx({name: values[name] for name in plain})
    assert all(row[name] is None for name in COLUMNS if name not in plain)


@pytest.mark.parametrize("day", ["Date", "DATE1", "datetime", "Timestamp", "trade date"])
def test_a_date_by_any_of_its_names_is_the_date(tmp_path: Path, day: str) -> None:
    path = tmp_path / "A.csv"
    path.write_text(f"{day},Close\n2020-01-02,12\n")
    found = FilesSource(path=str(path)).fetch(None, date(2020, 1, 1), date(2020, 1, 31), NOW).rows
    assert found.select("date", "ticker", "close_inr").rows() == [(date(2020, 1, 2), "A", 12.0)]


def test_a_lakh_is_a_hundred_thousand_rupees(tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_text("Date,Close,TURNOVER_LACS\n2020-01-02,12,1.5\n")
    found = FilesSource(path=str(path)).fetch(None, date(2020, 1, 1), date(2020, 1, 31), NOW).rows
    assert isinstance(found, pl.DataFrame)
    assert found["turnover_inr"].to_list() == [150_000.0]
