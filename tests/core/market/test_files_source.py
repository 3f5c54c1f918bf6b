"""Files of every known layout, written here by hand; the originals are read by tests/real_data/test_sources_real.py."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError, UnknownName
from quant_core.market.sources import SOURCES
from quant_core.market.sources.files import FilesSource
from quant_core.schema import RawOhlcv, validate

NOW = datetime(2024, 1, 1, tzinfo=UTC)
ALWAYS = (date(2000, 1, 1), date(2026, 12, 31))
LONG = "date,ticker,open,high,low,close,volume\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def fetch(path: Path, tickers: list[str] | None = None, span: tuple[date, date] = ALWAYS, **settings: object):
    return FilesSource(path=str(path), **settings).fetch(tickers, *span, NOW)


def kinds(result) -> list[str]:
    return [problem.kind for problem in result.problems]


def test_a_long_file_becomes_raw_rows_sorted_by_date_and_ticker(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "p.csv",
        LONG + "2020-01-02,B,10,11,9,10.5,100\n2020-01-01,B,9,10,8,9.5,90\n2020-01-01,A,1,2,0.5,1.5,5\n",
    )
    rows = fetch(path).rows
    validate(rows, RawOhlcv, "test", "")
    assert rows.columns == list(RawOhlcv.column_names())
    assert rows.select(
        "date", "ticker", "symbol", "close_inr", "volume_shares", "basis", "price_factor", "dividend_inr"
    ).rows() == [
        (date(2020, 1, 1), "A", "A", 1.5, 5, "unadjusted", 1.0, 0.0),
        (date(2020, 1, 1), "B", "B", 9.5, 90, "unadjusted", 1.0, 0.0),
        (date(2020, 1, 2), "B", "B", 10.5, 100, "unadjusted", 1.0, 0.0),
    ]


def test_both_ends_of_the_span_are_included(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", LONG + "".join(f"2020-01-0{day},A,1,1,1,{day},1\n" for day in range(1, 6)))
    rows = fetch(path, span=(date(2020, 1, 2), date(2020, 1, 4))).rows
    assert rows["close_inr"].to_list() == [2.0, 3.0, 4.0]


def test_csv_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    text = LONG + "2020-01-01,A,1,2,0.5,1.5,5\n2020-01-02,A,1.5,2,1,2,7\n"
    csv = write(tmp_path, "p.csv", text)
    pl.read_csv(csv, try_parse_dates=True).write_parquet(tmp_path / "q.parquet")
    left, right = fetch(csv).rows, fetch(tmp_path / "q.parquet").rows
    assert left.drop("fetched_at", "source").equals(right.drop("fetched_at", "source"))


def test_one_file_per_ticker_takes_the_ticker_from_the_name(tmp_path: Path) -> None:
    body = "Date,Open,High,Low,Close,Adj Close,Volume\n2020-01-01,10,11,9,10,10,100\n"
    for name in ("TCS.NS.csv", "M&M.NS.csv", "BAJAJ-AUTO.csv", "^NSEI.csv"):
        write(tmp_path, name, body)
    rows = fetch(tmp_path).rows
    assert rows.select("ticker", "instrument").rows() == [
        ("BAJAJ-AUTO", "equity"),
        ("M&M", "equity"),
        ("TCS", "equity"),
        ("^NSEI", "index"),
    ]
    assert fetch(tmp_path, ["TCS"]).rows["ticker"].to_list() == ["TCS"]


def test_a_pattern_cuts_the_ticker_out_of_a_decorated_name(tmp_path: Path) -> None:
    path = write(tmp_path, "yahoo_2020_TCS.NS.csv", "Date,Open,High,Low,Close,Volume\n2020-01-01,1,1,1,1,1\n")
    assert fetch(path, ticker_pattern=r"_(?P<ticker>[A-Z&-]+)(\.NS)?$").rows["ticker"].to_list() == ["TCS"]
    with pytest.raises(DataError, match=r"gives no ticker by ticker_pattern"):
        fetch(path, ticker_pattern=r"^nse_(?P<ticker>.+)$")


def test_bhavcopy_keeps_the_equity_series_and_counts_in_rupees(tmp_path: Path) -> None:
    header = "SYMBOL,SERIES,DATE1,PREV_CLOSE,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,LAST_PRICE,CLOSE_PRICE,AVG_PRICE,"
    header += "TTL_TRD_QNTY,TURNOVER_LACS,NO_OF_TRADES,DELIV_QTY,DELIV_PER\n"
    lines = "TCS, EQ, 23-Mar-2020,1800.0,1700.5,1750,1650, 1700.00,1701.3,1699.0,1000,16.99,50, 400, 40.00\n"
    lines += "XYZ, BE, 23-Mar-2020,10,10,10,10, 10,10,10,5,0.5,1, -, -\n"
    path = write(tmp_path, "sec_bhavdata_full_23032020.csv", header + lines)
    rows = fetch(path, series=("EQ",)).rows
    assert rows.select(
        "date", "ticker", "prev_close_inr", "open_inr", "close_inr", "volume_shares", "turnover_inr", "source"
    ).rows() == [(date(2020, 3, 23), "TCS", 1800.0, 1700.5, 1701.3, 1000, 1_699_000.0, "nse_bhavcopy")]
    assert fetch(path).rows["ticker"].to_list() == ["TCS", "XYZ"]  # trade for trade is the same name


def test_daily_files_outside_the_span_are_not_opened(tmp_path: Path) -> None:
    body = "SYMBOL,SERIES,DATE1,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRICE,TTL_TRD_QNTY\nTCS, EQ, {},1,1,1,1,1\n"
    write(tmp_path, "full_2020-03-23.csv", body.format("23-Mar-2020"))
    write(tmp_path, "full_2020-04-01.csv", body.format("01-Apr-2020"))
    source = FilesSource(path=str(tmp_path))
    march, april = (date(2020, 3, 1), date(2020, 3, 31)), (date(2020, 4, 1), date(2020, 4, 30))
    versions = [source.version(*span, NOW) for span in (march, april)]
    write(tmp_path, "full_2020-04-02.csv", body.format("02-Apr-2020"))
    assert source.version(*march, NOW) == versions[0]
    assert source.version(*april, NOW) != versions[1]
    assert source.fetch(None, *april, NOW).rows["date"].to_list() == [date(2020, 4, 1), date(2020, 4, 2)]


def test_kaggle_turnover_is_in_a_hundred_thousandth_of_a_rupee(tmp_path: Path) -> None:
    text = (
        "Date,Symbol,Series,Prev Close,Open,High,Low,Last,Close,VWAP,"
        "Volume,Turnover,Trades,Deliverable Volume,%Deliverble\n"
        "2012-12-28,INFRATEL,EQ,220.0,200.0,200.85,188.65,191.0,191.65,194.06,"
        "35351056,686009974700000.0,210800,12889842,0.36\n"
    )
    row = fetch(write(tmp_path, "INFRATEL.csv", text)).rows.row(0, named=True)
    assert row["turnover_inr"] == pytest.approx(6_860_099_747.0)
    assert row["turnover_inr"] / row["volume_shares"] == pytest.approx(194.06, abs=0.01)
    assert (row["symbol"], row["ticker"]) == ("INFRATEL", "INDUSTOWER")  # by the shipped list of renames


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("31/01/00\n03/01/00", date(2000, 1, 3)),
        ("31/01/2000\n03/01/2000", date(2000, 1, 3)),
        ("01/31/2000\n03/01/2000", date(2000, 3, 1)),
        ("03-Jan-2000", date(2000, 1, 3)),
        ("2000-01-03", date(2000, 1, 3)),
        ("2000-01-03 00:00:00+05:30", date(2000, 1, 3)),
        ("20000103", date(2000, 1, 3)),
        ("01/13/2000", date(2000, 1, 13)),
    ],
)
def test_the_column_tells_how_its_dates_are_meant(tmp_path: Path, text: str, expected: date) -> None:
    rows = "".join(f"{day},1,1,1,1,1\n" for day in text.split())
    path = write(tmp_path, "A.csv", "Date,Open,High,Low,Close,Volume\n" + rows)
    assert expected in fetch(path).rows["date"].to_list()


def test_an_explicit_date_format_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "A.csv", "Date,Close\n03/01/2000,1\n")
    assert fetch(path, date_format="%m/%d/%Y").rows["date"].to_list() == [date(2000, 3, 1)]


def test_a_yfinance_export_with_actions_keeps_them_on_its_own_basis(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"
    text += (
        "2020-01-01 00:00:00+05:30,10,11,9,10,9.8,100,0.0,0.0\n2020-01-02 00:00:00+05:30,10,11,9,9.8,9.8,100,0.2,2.0\n"
    )
    rows = fetch(write(tmp_path, "TCS.NS.csv", text)).rows
    assert rows.select("dividend_inr", "price_factor", "basis").rows() == [
        (0.0, 1.0, "split_adjusted"),
        (0.2, 1.0, "split_adjusted"),
    ]


def test_a_yfinance_export_without_adjusted_close_is_not_paid_twice(tmp_path: Path) -> None:
    text = (
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
        "2020-01-01,10,11,9,10,100,0.0,0.0\n"
        "2020-01-02,10,11,9,9.8,100,0.2,0.0\n"
    )
    result = fetch(write(tmp_path, "TCS.NS.csv", text))
    assert result.rows["dividend_inr"].to_list() == [0.0, 0.0]
    assert kinds(result) == ["dividend_adjusted"]


def test_a_yfinance_export_with_three_header_lines_is_unrolled(tmp_path: Path) -> None:
    text = (
        "Price,Close,Close,Open,Open,Volume,Volume\nTicker,TCS.NS,INFY.NS,TCS.NS,INFY.NS,TCS.NS,INFY.NS\nDate,,,,,,\n"
    )
    text += "2020-01-01,100,50,99,49,10,5\n2020-01-02,101,51,100,50,11,6\n"
    rows = fetch(write(tmp_path, "two.csv", text)).rows
    assert rows.select("date", "ticker", "open_inr", "close_inr", "volume_shares").rows() == [
        (date(2020, 1, 1), "INFY", 49.0, 50.0, 5),
        (date(2020, 1, 1), "TCS", 99.0, 100.0, 10),
        (date(2020, 1, 2), "INFY", 50.0, 51.0, 6),
        (date(2020, 1, 2), "TCS", 100.0, 101.0, 11),
    ]


def test_the_labs_own_table_comes_back_unchanged(tmp_path: Path) -> None:
    source = SOURCES["simulated"](n_tickers=4, n_sectors=2)
    rows = source.fetch(None, date(2015, 1, 1), date(2016, 12, 31), NOW).rows
    rows.write_parquet(tmp_path / "raw.parquet")
    again = fetch(tmp_path / "raw.parquet", span=(date(2015, 1, 1), date(2016, 12, 31))).rows
    assert again.drop("fetched_at").equals(rows.drop("fetched_at"))


def test_unknown_headers_are_mapped_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "Day;x\n")
    path.write_text("Day,Name,Px,Qty\n2020-01-01,A,5,10\n")
    rows = fetch(path, columns={"date": "Day", "ticker": "Name", "close": "Px", "volume": "Qty"}).rows
    assert rows.select("ticker", "close_inr", "volume_shares", "open_inr").rows() == [("A", 5.0, 10, None)]
    with pytest.raises(DataError, match=r"column 'Price' is not in the file \(found Day, Name, Px, Qty\)"):
        fetch(path, columns={"date": "Day", "close": "Price"})
    with pytest.raises(UnknownName, match="column 'shut'"):
        fetch(path, columns={"shut": "Px"})


def test_defects_are_handed_on(tmp_path: Path) -> None:
    text = LONG + "2020-01-01,A,10,9,11,10,0\n2020-01-01,A,10,9,11,10,0\n2020-01-04,A,10,11,9,,5\n"
    rows = fetch(write(tmp_path, "p.csv", text)).rows
    assert rows.select("date", "high_inr", "low_inr", "close_inr").rows() == [
        (date(2020, 1, 1), 9.0, 11.0, 10.0),
        (date(2020, 1, 1), 9.0, 11.0, 10.0),
        (date(2020, 1, 4), 11.0, 9.0, None),
    ]


def test_what_cannot_be_parsed_is_counted_with_its_first_value(tmp_path: Path) -> None:
    text = LONG + '2020-01-01,A,10,11,9,ten,5\n2020-01-02,A,10,11,9,"1,234.5",5\nsoon,A,1,1,1,1,1\n'
    result = fetch(write(tmp_path, "p.csv", text))
    assert result.rows["close_inr"].to_list() == [None, 1234.5]
    details = [problem.detail for problem in result.problems if problem.kind == "unparsable"]
    assert details == [
        "p.csv line 4: column date: 1 dates cannot be read, first 'soon'; write them as YYYY-MM-DD, or set date_format",
        "p.csv line 2: column close: 1 values are no numbers, first 'ten'; correct them, or leave them empty",
    ]


def test_single_precision_prices_are_rounded_to_paise(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"date": [date(2020, 1, 1)], "symbol": ["A"], "close": [40.049999]}, schema_overrides={"close": pl.Float32}
    )
    frame.write_parquet(tmp_path / "p.parquet")
    assert fetch(tmp_path / "p.parquet").rows["close_inr"].to_list() == [40.05]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Unadjusted rows from October, adjusted ones before and during, an index file, side files and a stranger."""
    days = [date(2019, 9, 30), date(2019, 10, 1), date(2019, 10, 3)]
    raw = pl.DataFrame(
        {
            "date": days[1:],
            "ticker": ["A", "A"],
            "prev_close": [100.0, 102.0],
            "open": [101.0, 51.0],
            "close": [102.0, 52.0],
            "volume": [7, 8],
        }
    )
    raw.write_parquet(tmp_path / "raw.parquet")
    adjusted = pl.DataFrame(
        {
            "date": days * 2,
            "ticker": ["A"] * 3 + ["B"] * 3,
            "open": 50.0,
            "close": [50.0, 51.0, 52.0] * 2,
            "adj_close": [50.0, 51.0, 52.0] * 2,
            "volume": 1,
        }
    )
    adjusted.write_parquet(tmp_path / "adjusted.parquet")
    index = pl.DataFrame(
        {
            "date": [days[1]] * 2,
            "index": ["^NSEI", "NIFTY 50 TRI"],
            "open": [11500.0, None],
            "close": [11400.0, 16000.0],
            "turnover": 1.0,
        }
    )
    index.write_parquet(tmp_path / "index.parquet")
    write(tmp_path, "corporate_actions.csv", "ticker,ex_date,kind,value\nA,2019-10-03,split,2\n")
    write(tmp_path, "notes.csv", "date,remark\n2019-10-01,holiday tomorrow\n")
    return tmp_path


def test_adjusted_rows_fill_only_what_lies_before_the_unadjusted_ones(mixed: Path) -> None:
    result = fetch(mixed, ["A", "B"])
    assert result.rows.select("date", "ticker", "close_inr", "basis", "price_factor").rows() == [
        (date(2019, 9, 30), "A", 50.0, "split_adjusted", 1.0),
        (date(2019, 9, 30), "B", 50.0, "split_adjusted", 1.0),
        (date(2019, 10, 1), "A", 102.0, "unadjusted", 2.0),  # 50 adjusted is 100 unadjusted
        (date(2019, 10, 1), "B", 51.0, "split_adjusted", 1.0),
        (date(2019, 10, 3), "A", 52.0, "unadjusted", 0.5),  # the split
        (date(2019, 10, 3), "B", 52.0, "split_adjusted", 1.0),
    ]
    [note] = [problem.detail for problem in result.problems if problem.kind == "filled"]
    assert note == "adjusted.parquet filled 4 split-adjusted rows before the first unadjusted row of A, B"


def test_the_first_unadjusted_day_is_known_even_when_only_a_later_month_is_asked_for(mixed: Path) -> None:
    rows = fetch(mixed, ["A"], (date(2019, 9, 1), date(2019, 9, 30))).rows
    assert rows.select("date", "basis").rows() == [(date(2019, 9, 30), "split_adjusted")]
    later = fetch(mixed, ["A"], (date(2019, 10, 1), date(2019, 10, 31))).rows
    whole = fetch(mixed, ["A"]).rows
    assert later.equals(whole.filter(pl.col("date") >= date(2019, 10, 1)))


def test_indices_come_by_name_without_volume(mixed: Path) -> None:
    rows = fetch(mixed, ["^NSEI", "NIFTY 50 TRI"]).rows
    assert rows.select("ticker", "instrument", "open_inr", "close_inr", "turnover_inr", "volume_shares").rows() == [
        ("NIFTY 50 TRI", "index", None, 16000.0, None, None),
        ("^NSEI", "index", 11500.0, 11400.0, None, None),
    ]


def test_a_file_that_is_no_price_table_is_ignored_with_the_reason(mixed: Path) -> None:
    ignored = [problem.detail for problem in fetch(mixed).problems if problem.kind == "ignored_file"]
    assert len(ignored) == 1
    assert ignored[0].startswith("notes.csv: no price table: no column for close (found date, remark)")


def test_overlapping_files_of_one_basis_are_not_counted_twice(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", LONG + "2020-01-01,A,1,1,1,1,1\n2020-01-01,A,1,1,1,1,1\n")
    write(tmp_path, "b.csv", LONG + "2020-01-01,A,2,2,2,2,2\n2020-01-02,A,3,3,3,3,3\n")
    result = fetch(tmp_path)
    assert result.rows["close_inr"].to_list() == [1.0, 1.0, 3.0]  # a file's own duplicates stay
    assert [problem.detail for problem in result.problems if problem.kind == "overlap"] == [
        "1 rows are in more than one file; the first file by name is used"
    ]


def test_missing_actions_are_said(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", LONG + "2020-01-01,A,1,1,1,1,1\n")
    assert kinds(fetch(path)) == ["no_actions"]
    assert kinds(fetch(path, actions="none")) == []


def test_side_files_can_lie_elsewhere(tmp_path: Path) -> None:
    prices = tmp_path / "prices"
    prices.mkdir()
    path = write(prices, "p.csv", "date,symbol,close\n2020-01-01,OLD,100\n2020-01-02,OLD,50\n2020-01-03,NEW,51\n")
    actions = write(tmp_path, "mine.csv", "ticker,ex_date,kind,value\nNEW,2020-01-02,split,2\n")
    write(tmp_path, "symbol_changes.csv", "old_symbol,new_symbol,first_new\nOLD,NEW,2020-01-03\n")
    rows = fetch(path, ["NEW"], actions=str(actions)).rows
    assert rows.select("symbol", "ticker", "price_factor").rows() == [
        ("OLD", "NEW", 1.0),
        ("OLD", "NEW", 0.5),
        ("NEW", "NEW", 1.0),
    ]
    assert fetch(path, symbol_changes="none", actions="none").rows["ticker"].to_list() == ["OLD", "OLD", "NEW"]
    with pytest.raises(DataError, match=r"corporate_actions.csv is set to 'absent.csv'"):
        fetch(path, actions="absent.csv")


def test_requested_names_without_rows_are_listed(mixed: Path) -> None:
    result = fetch(mixed, ["A", "ZZZ"])
    assert [problem.ticker for problem in result.problems if problem.kind == "no_rows"] == ["ZZZ"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("A.csv", "\n", r"A.csv: the file is empty \(1 bytes\)"),
        ("A.csv", "", r"A.csv: the file is empty \(0 bytes\)"),
        (
            "A.csv",
            "404 Not Found: Timestamp data missing.",
            r"no table: the first line is '404 Not Found: Timestamp data missing.'",
        ),
        ("A.csv", "Date,Open,Close\n", r"A.csv: a header and no rows"),
        ("A.csv", "Price,Close\nTicker,TCS.NS\nDate,\n", r"A.csv: three yfinance header lines and no rows"),
        ("A.csv", "name,sector\nTCS,IT\n", r"no column for date, close \(found name, sector\)"),
        ("A.parquet", "no parquet", r"A.parquet: no readable Parquet file"),
        ("A.xlsx", "x", r"A.xlsx: no price file; wanted one of .csv"),
    ],
)
def test_a_named_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fetch(write(tmp_path, name, text))


def test_unreadable_files_among_good_ones_do_not_stop_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "A.csv", "Date,Close\n2020-01-01,1\n")
    write(tmp_path, "B.csv", "404 Not Found")
    result = fetch(tmp_path)
    assert result.rows["ticker"].to_list() == ["A"]
    assert [problem.detail.split(":")[0] for problem in result.problems if problem.kind == "ignored_file"] == ["B.csv"]


def test_paths_that_lead_nowhere_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        fetch(tmp_path / "absent")
    write(tmp_path, "A.csv", "Date,Close\n2020-01-01,1\n")
    with pytest.raises(DataError, match=r"no file in .* matches '\*.parquet' \(1 files there\)"):
        fetch(tmp_path, pattern="*.parquet")
    for name in ("A.csv", "B.csv"):
        write(tmp_path, name, "x,y\n1,2\n")
    with pytest.raises(DataError, match="none of 2 files has prices"):
        fetch(tmp_path)


def test_settings_are_checked() -> None:
    with pytest.raises(TypeError, match="folder"):
        SOURCES["files"](folder="x")
    with pytest.raises(DataError, match="basis 'raw'"):
        FilesSource(path="x", basis="raw")


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "A.csv", "Date,Close\n2020-01-01,1\n")
    with pytest.raises(UnknownName, match="file format 'excel'"):
        fetch(path, format="excel")


def test_the_version_changes_with_the_file_and_only_then(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", LONG + "2020-01-01,A,1,1,1,1,1\n")
    source = FilesSource(path=str(path))
    first = source.version(*ALWAYS, NOW)
    assert source.version(*ALWAYS, datetime(2030, 1, 1, tzinfo=UTC)) == first
    path.write_text(LONG + "2020-01-01,A,1,1,1,2,1\n")
    os.utime(path, ns=(1, 1))
    second = source.version(*ALWAYS, NOW)
    assert second != first
    assert source.fetch(None, *ALWAYS, NOW).rows["close_inr"].to_list() == [2.0]
    write(tmp_path, "corporate_actions.csv", "ticker,ex_date,kind,value\n")
    assert source.version(*ALWAYS, NOW) != second


def test_a_new_daily_file_of_the_indices_changes_the_version_of_its_own_day_only(tmp_path: Path) -> None:
    header = "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value\n"
    write(tmp_path, "ind_close_all_01012020.csv", header + "Nifty 50,01-01-2020,1,1,1,1\n")
    source, first, second = FilesSource(path=str(tmp_path)), date(2020, 1, 1), date(2020, 1, 2)
    before = [source.version(day, day, NOW) for day in (first, second)]
    write(tmp_path, "ind_close_all_02012020.csv", header + "Nifty 50,02-01-2020,1,1,1,1\n")
    after = [source.version(day, day, NOW) for day in (first, second)]
    assert [now == then for now, then in zip(after, before, strict=True)] == [True, False]
    assert source.fetch(["Nifty 50"], first, second, NOW).rows.height == 2


def test_fetched_at_is_the_files_time_not_the_clock(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", LONG + "2020-01-01,A,1,1,1,1,1\n")
    os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    assert fetch(path).rows["fetched_at"].to_list() == [datetime(2020, 9, 13, 12, 26, 40, 123456, tzinfo=UTC)]


@pytest.mark.parametrize("name", ["INDIA VIX", "INDIAVIX", "NIFTY 50", "^INDIAVIX"])
def test_a_file_named_after_an_index_is_no_share(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, f"{name}.csv", "date,open,high,low,close\n2020-03-24,70,86,68,83\n")
    assert fetch(path, [name]).rows.select("ticker", "instrument").row(0) == (name, "index")


def test_a_fund_on_an_index_is_a_share(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", LONG + "2020-01-01,NIFTYBEES,1,2,0.5,1.5,5\n")
    assert fetch(path).rows["instrument"].to_list() == ["equity"]


def test_adjusted_rows_before_a_known_listing_are_left_out_and_said(tmp_path: Path) -> None:
    text = "date,ticker,open,high,low,close,volume,adj_close\n"
    days = "".join(f"2004-08-{day},TCS,1,1,1,1,5,1\n" for day in (23, 24, 25, 26))
    found = fetch(write(tmp_path, "p.csv", text + days))
    assert found.rows["date"].to_list() == [date(2004, 8, 25), date(2004, 8, 26)]
    assert [problem.detail for problem in found.problems if problem.kind == "before_listing"] == [
        "2 rows before the first session of TCS on NSE are left out"
    ]
