"""What stands in files of prices and is no share's price, or looks like a name and is none: read right, or named."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.reading.identity import bare_name, exchange_of, exchange_of_name, is_index_file, ticker_in
from quant_core.market.sources import Fetch
from quant_core.market.sources.files import FilesSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = date(2024, 1, 2)
PATTERN = FilesSource(path=".").ticker_pattern


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def fetch(path: Path, **settings: object) -> Fetch:
    return FilesSource(path=str(path), **settings).fetch(None, date(2000, 1, 1), date(2050, 1, 1), NOW)  # type: ignore[arg-type]


def said(found: Fetch) -> list[tuple[str, str]]:
    return [(problem.kind, problem.detail) for problem in found.problems if problem.kind != "no_actions"]


@pytest.mark.parametrize(("written", "name", "exchange"), [
    ("BSE-EQ", "BSE", None), ("NSE:BSE-EQ", "BSE", "NSE"), ("BSE-BE", "BSE", None), ("BSE EQ", "BSE", None),
    ("NSE-TCS-EQ", "TCS", "NSE"), ("BSE-TCS", "TCS", "BSE"), ("TCS-NSE", "TCS", "NSE"), ("tcs_bse", "TCS", "BSE"),
    ("BSE", "BSE", None), ("MCX-EQ", "MCX", None),
])  # fmt: skip
def test_the_exchange_that_is_a_share_itself_keeps_its_name(written: str, name: str, exchange: str | None) -> None:
    assert bare_name(written) == name
    assert exchange_of_name(written) == exchange
    assert pl.select(exchange_of(pl.lit(written))).item() == exchange


@pytest.mark.parametrize("label", ["index", "Index"])
@pytest.mark.parametrize("cells", [
    ("2024-01-02", "2024-01-03"), ("02-Jan-2024", "03-Jan-2024"), ("2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"),
    ("7.5", "8.5"), ("(1)", "(2)"),
])  # fmt: skip
def test_days_in_a_column_index_are_no_index(tmp_path: Path, label: str, cells: tuple[str, str]) -> None:
    text = f"{label},date,close\n{cells[0]},2024-01-02,1\n{cells[1]},2024-01-03,2\n"
    rows = fetch(write(tmp_path, "TCS.csv", text)).rows
    assert rows.select("ticker", "instrument", "close_inr").rows() == [("TCS", "equity", 1.0), ("TCS", "equity", 2.0)]


@pytest.mark.parametrize("index", [[DAY], [True], [datetime(2024, 1, 2)]])
def test_typed_marks_in_a_column_index_are_no_index(tmp_path: Path, index: list[object]) -> None:
    pl.DataFrame({"index": index, "date": [DAY], "close": [1.0]}).write_parquet(tmp_path / "TCS.parquet")
    assert fetch(tmp_path).rows.select("ticker", "instrument").rows() == [("TCS", "equity")]


@pytest.mark.parametrize("word", ["CASH", "Equity Shares", "ETF", "Common", "EQ"])
def test_a_kind_in_the_column_instrument_is_no_ticker(tmp_path: Path, word: str) -> None:
    found = fetch(write(tmp_path, "TCS.csv", f"instrument,date,close\n{word},2024-01-02,1\n"))
    assert found.rows["ticker"].to_list() == ["TCS"]
    assert said(found) == []


@pytest.mark.parametrize("column", ["instrument", "Instrument Type"])
def test_futures_and_options_beside_the_share_are_left_out_and_counted(tmp_path: Path, column: str) -> None:
    rows = "".join(f"{kind},TCS,2024-01-02,{n}\n" for n, kind in enumerate(["FUTSTK", "optstk", "EQ", "CE"], 1))
    found = fetch(write(tmp_path, "x.csv", f"{column},symbol,date,close\n{rows}"))
    assert found.rows["close_inr"].to_list() == [3.0]
    assert said(found) == [(
        "contracts",
        f"x.csv: 3 rows are futures or options (column {column}) and are left out; keep them out of the folder",
    )]  # fmt: skip


def test_where_somebody_has_the_file_from_is_no_exchange(tmp_path: Path) -> None:
    found = fetch(write(tmp_path, "x.csv", "src,symbol,date,close\nkaggle,TCS,2024-01-02,1\n"))
    assert found.rows["ticker"].to_list() == ["TCS"]
    assert said(found) == []


@pytest.mark.parametrize("exchange", ["NSI", "NSE India", "nse_cm", "National Stock Exchange of India Ltd"])
def test_exchanges_by_the_names_that_vendors_give_them(tmp_path: Path, exchange: str) -> None:
    text = f"exchange,symbol,date,close\nBSE Ltd,TCS,2024-01-02,1\n{exchange},TCS,2024-01-02,2\n"
    found = fetch(write(tmp_path, "x.csv", text))
    assert found.rows["close_inr"].to_list() == [2.0]
    assert [kind for kind, _ in said(found)] == ["exchange"]


def test_prices_in_words_are_read(tmp_path: Path) -> None:
    head = "Trade Date,Opening Price,Highest Price,Lowest Price,Closing Price,Traded Volume"
    rows = fetch(write(tmp_path, "TCS.csv", f"{head}\n2024-01-02,2,4,1,3,5\n")).rows
    assert rows.select("open_inr", "high_inr", "low_inr", "close_inr", "volume_shares").row(0) == (
        2.0,
        4.0,
        1.0,
        3.0,
        5,
    )


@pytest.mark.parametrize("column", ["Days Volume", "Total Qty (NSE)", "First Open", "price_high_adj"])
def test_a_column_with_a_word_that_is_meant_is_named(tmp_path: Path, column: str) -> None:
    found = fetch(write(tmp_path, "TCS.csv", f"date,close,{column}\n2024-01-02,3,5\n"))
    assert [kind for kind, _ in said(found)] == ["unread_column"]
    assert column in said(found)[0][1]


@pytest.mark.parametrize(
    "column", ["52W High", "Deliverable Qty", "Open Interest", "% Deli. Qty to Traded Qty", "vol_20_avg"]
)
def test_a_column_of_something_else_is_not(tmp_path: Path, column: str) -> None:
    assert said(fetch(write(tmp_path, "TCS.csv", f"date,close,{column}\n2024-01-02,3,5\n"))) == []


def test_turnover_of_an_index_is_not_judged_by_its_level(tmp_path: Path) -> None:
    """NSE's own history of an index: its shares and rupees are those of its members."""
    write(tmp_path, "NIFTY 50-01-01-2024-to-19-01-2024.csv",
          "Date ,Open ,High ,Low ,Close ,Shares Traded ,Turnover (₹ Cr)\n19-JAN-2024,1,4,1,2,230000000,22000.5\n")  # fmt: skip
    write(tmp_path, "TCS.csv", "date,close\n2024-01-19,1\n")
    assert said(fetch(tmp_path)) == []
    assert is_index_file("nifty_bank.csv.gz")
    assert not is_index_file("NIFTYBEES.csv")


@pytest.mark.parametrize("name", ["Nifty_Bank", "NIFTY-IT", "NIFTY50", "S&P BSE SENSEX", "BSE SENSEX", "CNX_NIFTY"])
def test_an_index_file_whatever_divides_its_words(tmp_path: Path, name: str) -> None:
    found = fetch(write(tmp_path, f"{name}.csv", "date,close\n2024-01-02,1\n"))
    assert found.rows["instrument"].to_list() == ["index"]
    assert said(found) == []


@pytest.mark.parametrize("name", ["TCS_20240101_20240119", "TCS-20240119", "TCS 01-Jan-2024 to 19-Jan-2024"])
def test_days_in_a_files_name_are_no_part_of_the_ticker(name: str) -> None:
    assert ticker_in(name, PATTERN) == "TCS"


def test_single_precision_beside_dates_in_text_is_rounded_to_paise(tmp_path: Path) -> None:
    prices = pl.Series([100.1], dtype=pl.Float32)
    pl.DataFrame({"date": ["2024-01-02"], "close": prices, "volume": [5]}).write_parquet(tmp_path / "T.parquet")
    assert fetch(tmp_path).rows.select("close_inr", "volume_shares").row(0) == (100.1, 5)


def test_an_infinite_number_beside_dates_in_text_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"date": ["2024-01-02", "2024-01-03"], "close": [1.0, float("inf")]}).write_parquet(
        tmp_path / "T.parquet"
    )
    found = fetch(tmp_path)
    assert found.rows["close_inr"].to_list() == [1.0, None]
    assert said(found) == [
        ("unparsable", "T.parquet: column close_inr: 1 numbers are infinite, left empty; correct them")
    ]


def test_series_that_are_there_are_said_where_none_is_asked_for(tmp_path: Path) -> None:
    text = "symbol,series,date,close\nTCS,A,2024-01-02,1\nINFY,A,2024-01-02,1\n"
    with pytest.raises(DataError, match=r"2 rows of the files are of series that are not asked for \(A 2\); add them"):
        fetch(write(tmp_path, "x.csv", text))


def test_a_dividend_in_percent_is_no_amount(tmp_path: Path) -> None:
    """500 % of a face value of 1 is 5 rupees, of one of 10 it is 50."""
    write(tmp_path, "A.csv", "date,close\n2024-01-01,100\n2024-01-02,100\n2024-01-03,100\n")
    lines = "A,2024-01-02,dividend,500%\nA,2024-01-03,DIVIDEND,5\n"
    write(tmp_path, "corporate_actions.csv", f"ticker,ex_date,kind,value\n{lines}")
    found = fetch(tmp_path)
    assert found.rows["dividend_inr"].to_list() == [0.0, 0.0, 5.0]
    broken = [problem for problem in found.problems if problem.kind == "broken_line"]
    assert [problem.line for problem in broken] == [2]
    assert "value is a percentage" in broken[0].detail


@pytest.mark.parametrize("form", ["%Q", "%d/%m/%", "dd/mm/yyyy", ""])
def test_a_date_format_that_is_none_is_refused_at_once(form: str) -> None:
    with pytest.raises(DataError, match=r"files: date_format .*%d/%m/%Y"):
        FilesSource(path=".", date_format=form)
