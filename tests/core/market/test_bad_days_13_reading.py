"""Reading files: every spelling of nothing, dates in every form, units, names of files and where side files lie."""

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.reading.columns import recognise
from quant_core.market.reading.dates import read_dates
from quant_core.market.reading.numbers import read_numbers
from quant_core.market.reading.opened import is_multi_header, open_file
from quant_core.market.reading.opening import stamp, stem_of
from quant_core.market.reading.prices import scan
from quant_core.market.reading.values import Grammar
from quant_core.market.sources._folder import side_file
from quant_core.market.sources.files import FilesSource


def read(path: Path, date_format: str | None = None, **renamed: str) -> tuple[pl.DataFrame, list[str]]:
    table, problems = scan(open_file(stamp(path), "auto", renamed, "auto"), Grammar(date_format))
    return table.collect(), [problem.detail for problem in problems]


def written_beside(written: str) -> list[str]:
    """Another cell of the column that shows the order of a date of figures."""
    orders = {"04/03/2021": "31/12/2020", "04-03-2021": "31-12-2020", "04/03/21": "31/12/00"}
    return [orders[written]] if written in orders else []


def text(folder: Path, *lines: str, name: str = "A.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("nothing", ["", "-", "--", "NA", "n/a", "NaN", "null", "None", " - ", "nan"])
def test_what_stands_for_nothing_is_null_and_no_problem(tmp_path: Path, nothing: str) -> None:
    table, problems = read(text(tmp_path, "Date,Close,Volume", f"2020-01-01,{nothing},5", "2020-01-02,2,6"))
    assert table["close_inr"].to_list() == [None, 2.0]
    assert problems == []


def test_infinite_numbers_are_null_and_commas_are_no_decimals(tmp_path: Path) -> None:
    table, _ = read(text(tmp_path, "Date,Open,Close,Volume", '2020-01-01,inf,"1,02,345.5","1,000"'))
    assert table.select("open_inr", "close_inr", "volume_shares").rows() == [(None, 102345.5, 1000)]
    pl.DataFrame({"date": [date(2020, 1, 1)], "open": [float("-inf")], "close": [1.5]}).write_parquet(tmp_path / "A.pq")
    assert read(tmp_path / "A.pq")[0].select("open_inr", "close_inr").rows() == [(None, 1.5)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2021-03-04", date(2021, 3, 4)), ("04-Mar-2021", date(2021, 3, 4)), ("04-March-2021", date(2021, 3, 4)),
        ("04/03/2021", date(2021, 3, 4)), ("04-03-2021", date(2021, 3, 4)), ("03/14/2021", date(2021, 3, 14)),
        ("20210304", date(2021, 3, 4)), ("04-Mar-21", date(2021, 3, 4)), ("04/03/21", date(2021, 3, 4)),
        ("03/14/21", date(2021, 3, 14)), ("2021-03-04T15:30:00", date(2021, 3, 4)),
        ("2021-03-04 09:15", date(2021, 3, 4)),
    ],
)  # fmt: skip
def test_a_date_is_read_in_every_form(written: str, expected: date) -> None:
    assert read_dates(pl.Series([*written_beside(written), written])).values.to_list()[-1] == expected


def test_one_order_is_chosen_for_the_whole_column_by_what_has_one_meaning() -> None:
    """The second is impossible as day/month, so the first is 4 March; in the second column nothing tells."""
    found = read_dates(pl.Series(["03/04/2021", "03/14/2021"]))
    assert (found.values.to_list(), found.order) == ([date(2021, 3, 4), date(2021, 3, 14)], "mdy")
    undecided = read_dates(pl.Series(["03/04/2021", "05/05/2021", "soon", None, "n/a"]))
    assert undecided.values.to_list() == [None, date(2021, 5, 5), None, None, None]
    assert undecided.is_bad.to_list() == [True, False, True, False, False]
    assert undecided.is_ambiguous
    assert not read_dates(pl.Series(["soon"])).is_ambiguous
    assert read_dates(pl.Series(["1.2.2021"]), "%d.%m.%Y").values.to_list() == [date(2021, 2, 1)]
    assert read_dates(pl.Series(["31-01-1899", "31-01-1900"])).values.to_list() == [None, date(1900, 1, 31)]


def test_parquet_dates_of_every_type_are_days_in_india(tmp_path: Path) -> None:
    evening = datetime(2020, 1, 1, 20, 0)
    forms = {
        "naive": (pl.Series([evening]), date(2020, 1, 1)),
        "zoned": (pl.Series([evening]).dt.replace_time_zone("UTC"), date(2020, 1, 2)),
        "text": (pl.Series(["2020-01-01 00:00:00+05:30"]), date(2020, 1, 1)),
        "day": (pl.Series([date(2020, 1, 1)]), date(2020, 1, 1)),
    }
    for name, (values, expected) in forms.items():
        path = tmp_path / f"{name}.parquet"
        pl.DataFrame({"date": values, "close": [1.0]}).write_parquet(path)
        assert read(path)[0]["date"].to_list() == [expected], name
    pl.DataFrame({"date": [20200101], "close": [1.0]}).write_parquet(tmp_path / "A.parquet")
    assert read(tmp_path / "A.parquet")[0]["date"].to_list() == [date(2020, 1, 1)]
    pl.DataFrame({"date": [True], "close": [1.0]}).write_parquet(tmp_path / "A.parquet")
    assert "the date column is Boolean; wanted Date" in read(tmp_path / "A.parquet")[1][0]


def test_single_precision_is_rounded_for_rupees_and_not_for_shares(tmp_path: Path) -> None:
    types = {"close": pl.Float32, "volume": pl.Float32, "price_factor": pl.Float32}
    row = {"date": [date(2020, 1, 1)], "close": [40.049999], "volume": [1234.0], "price_factor": [0.125]}
    pl.DataFrame(row, schema_overrides=types).write_parquet(tmp_path / "A.parquet")
    found = read(tmp_path / "A.parquet")[0].select("close_inr", "volume_shares", "price_factor")
    assert found.rows() == [(40.05, 1234, 0.125)]


def test_a_compressed_file_and_a_byte_order_mark_are_read_as_the_plain_file(tmp_path: Path) -> None:
    body = "Date,Close\n2020-01-01,1.5\n"
    (tmp_path / "A.csv.gz").write_bytes(gzip.compress(body.encode()))
    (tmp_path / "B.csv").write_bytes(b"\xef\xbb\xbf" + body.encode())
    for name in ("A.csv.gz", "B.csv"):
        assert read(tmp_path / name)[0]["close_inr"].to_list() == [1.5], name


def test_yfinances_three_header_lines_are_told_by_the_first_two() -> None:
    assert is_multi_header(["Price,Close\n", "Ticker,TCS.NS\n", "Date,\n"])
    assert not is_multi_header(["Price,Close\n", "2020-01-01,5\n", "2020-01-02,5\n"])
    assert not is_multi_header(["Date,Close\n", "Ticker,TCS.NS\n", "Date,\n"])
    assert is_multi_header(["Price,Close\n", "Ticker,TCS.NS\n"])  # without rows; `open_file` says so


@pytest.mark.parametrize("name", ["TCS.csv", "TCS.CSV", "TCS.csv.gz", "TCS.txt", "TCS.parquet", "TCS.pq", "TCS"])
def test_a_ticker_is_a_files_name_without_its_kind(name: str) -> None:
    assert stem_of(name) == "TCS"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("SYMBOL,SERIES,DATE1,CLOSE_PRICE,TURNOVER_LACS", ("nse_bhavcopy", "unadjusted", 1e5, False, False)),
        ("Date,Symbol,Prev Close,Close,Turnover", ("kaggle_nse", "unadjusted", 1e-5, False, False)),
        ("Date,Symbol,prev_close,Close,Turnover", ("long", "unadjusted", 1.0, False, False)),
        ("Date,Close,Adj Close,Volume", ("yfinance", "split_adjusted", 1.0, False, False)),
        ("Date,Close,Volume,Dividends,Stock Splits", ("yfinance", "split_adjusted", 1.0, True, True)),
        ("Date,Close,Adj Close,Volume,Dividends,Stock Splits", ("yfinance", "split_adjusted", 1.0, True, False)),
        ("Date,Close,Volume,Dividends", ("long", "unadjusted", 1.0, True, False)),
        ("date,ticker,close_inr,turnover_inr,dividend_inr", ("lab", "unadjusted", 1.0, True, False)),
        ("date,ticker,close,adj_close", ("long", "split_adjusted", 1.0, False, False)),
        ("date,ticker,close,turnover_lacs", ("long", "unadjusted", 1e5, False, False)),
    ],
)
def test_a_layout_is_told_by_its_header(header: str, expected: tuple) -> None:
    found = recognise(header.split(","), "test", "auto", {}, "auto")
    assert (
        found.format, found.basis, found.turnover_scale, found.has_actions, found.dividend_adjusted
    ) == expected  # fmt: skip


def test_a_stated_format_basis_or_column_wins_over_the_guess() -> None:
    header = ["Date", "Close", "Adj Close", "Last"]
    assert recognise(header, "test", "long", {}, "unadjusted").basis == "unadjusted"
    assert recognise(header, "test", "long", {}, "auto").basis == "split_adjusted"
    assert recognise(header, "test", "auto", {"close": "Last"}, "auto").column("close_inr") == "Last"
    assert recognise(["close", "close_inr", "date"], "test", "auto", {}, "auto").column("close_inr") == "close_inr"
    with pytest.raises(DataError, match=r"2 columns are called close \(Close, CLOSE\)"):
        recognise(["Close", "CLOSE", "date"], "test", "auto", {}, "auto")


ALWAYS = (date(2000, 1, 1), date(2026, 12, 31))
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_a_folder_is_sorted_into_stocks_indices_side_files_and_strangers(tmp_path: Path) -> None:
    text(tmp_path, "date,close", "2020-01-01,1", name="TCS.csv")
    text(tmp_path, "date,index,close", "2020-01-01,NIFTY 50,1", name="indices.csv")
    text(tmp_path, "ticker,ex_date,kind,value", name="corporate_actions.csv")
    text(tmp_path, "old_symbol,new_symbol,first_new", name="symbol_changes.csv")
    text(tmp_path, "date,close", "2020-01-01,1", name=".hidden.csv")
    text(tmp_path, "read me", name="notes.md")
    text(tmp_path, "ticker,ex_date,kind,value", name="mine.csv")
    names = ["TCS", "NIFTY 50", "hidden", ".hidden", "mine"]

    def found(**settings: str) -> tuple[list[tuple], list[str]]:
        fetch = FilesSource(path=str(tmp_path), **settings).fetch(names, *ALWAYS, NOW)
        ignored = [problem.detail.split(":")[0] for problem in fetch.problems if problem.kind == "ignored_file"]
        return fetch.rows.select("ticker", "instrument").sort("ticker").rows(), ignored

    both = [("NIFTY 50", "index"), ("TCS", "equity")]
    assert found(actions="mine.csv") == (both, ["notes.md"])
    assert found() == (both, ["mine.csv", "notes.md"])
    assert found(pattern="T*.csv") == (both[1:], [])


@pytest.mark.parametrize(
    ("name", "is_of_a_day"),
    [
        ("full_2020-03-23.csv", True), ("sec_bhavdata_full_23032020.csv", True), ("full_20032020.csv", True),
        ("cm20200323bhav.csv", True), ("full_23-03-2020.csv", True), ("full_2020-13-23.csv", False),
        ("full.csv", False), ("full_120200323.csv", False),
    ],
)  # fmt: skip
def test_a_daily_file_changes_its_own_month_only(tmp_path: Path, name: str, is_of_a_day: bool) -> None:
    """Its day is in its name, year or day first; a file without a day may hold any month."""
    header = "SYMBOL,SERIES,DATE1,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRICE,TTL_TRD_QNTY"
    text(tmp_path, header, "TCS, EQ, 03-Feb-2020,1,1,1,1,1", name="full_2020-02-03.csv")
    source = FilesSource(path=str(tmp_path), symbol_changes="none", actions="none")
    february, march = (date(2020, 2, 1), date(2020, 2, 29)), (date(2020, 3, 1), date(2020, 3, 31))
    before = [source.version(*month, NOW) for month in (february, march)]
    text(tmp_path, header, "TCS, EQ, 20-Mar-2020,1,1,1,1,1", name=name)
    after = [source.version(*month, NOW) for month in (february, march)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [is_of_a_day, False]


def test_a_side_file_is_looked_for_beside_the_prices_then_one_folder_above_where_asked(tmp_path: Path) -> None:
    prices = tmp_path / "prices"
    prices.mkdir()
    file = text(prices, "date,close", "2020-01-01,1")
    above = text(tmp_path, "x", name="corporate_actions.csv")

    def found(path: Path, setting: str = "auto", look_up: bool = True) -> str | None:
        side = side_file(path, "corporate_actions.csv", setting, look_up=look_up)
        return None if side is None else side.path

    assert found(prices) == found(file) == str(above)
    assert found(prices, look_up=False) is None
    assert found(prices, "none") is None
    beside = text(prices, "x", name="corporate_actions.csv")
    assert found(prices) == found(file) == str(beside)
    text(prices, "x", name="other.csv")
    assert found(file, "other.csv") == str(prices / "other.csv")
    assert found(file, str(above)) == str(above)
    with pytest.raises(DataError, match=r"is set to 'absent\.csv'"):
        found(prices, "absent.csv")


def test_a_stamp_is_of_the_size_and_the_moment_of_the_last_change(tmp_path: Path) -> None:
    path = text(tmp_path, "date,close", "2020-01-01,1")
    found = stamp(path)
    assert (found.name, found.size, found.is_text) == ("A.csv", path.stat().st_size, True)
    assert found.changed_at.tzinfo is UTC
    assert abs(found.changed_at.timestamp() - path.stat().st_mtime) < 1e-5


def test_blank_lines_are_no_rows_and_lines_beyond_the_header_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a header and no rows"):
        read(text(tmp_path, "Date,Close", "", "   "))
    table, problems = read(text(tmp_path, "Date,Close", "2020-01-01,1.5,late,2", "2020-01-02,2.5"))
    assert table["close_inr"].to_list() == [2.5]
    assert problems == [
        "A.csv line 2: 1 lines (2) have not the 2 cells of the header and are left out, first '2020-01-01,1.5,late,2'; "
        "quote cells that hold the delimiter, write numbers without thousands separators, complete cut lines"
    ]


def test_reading_a_column_of_thousands_both_ways_leaves_each_reading_alone() -> None:
    """No cell proves a decimal sign: 1.000 is one or a thousand, and stays undecided."""
    found = read_numbers(pl.Series(["1.000", "2.500"]))
    assert (found.by_point.to_list(), found.by_comma.to_list(), found.shown) == ([1.0, 2.5], [1000.0, 2500.0], set())
    assert found.decided(None)[1].to_list() == [True, True]
    assert found.decided("comma")[0].to_list() == [1000.0, 2500.0]
