"""Files as people have them, one by one: each is read right, or what is wrong is named with its line."""

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.sources import Fetch
from quant_core.market.sources.files import FilesSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALWAYS = (date(1990, 1, 1), date(2026, 12, 31))
LONG = "date,ticker,open,high,low,close,volume\n"
BARS = ("ticker", "date", "open_inr", "high_inr", "low_inr", "close_inr", "volume_shares", "turnover_inr")


def fetch(path: Path, tickers: list[str] | None = None, **settings: object) -> Fetch:
    return FilesSource(path=str(path), actions="none", **settings).fetch(tickers, *ALWAYS, NOW)  # type: ignore[arg-type]


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def kinds(found: Fetch) -> list[str]:
    return [problem.kind for problem in found.problems]


def one(found: Fetch, kind: str) -> tuple[int, str]:
    """Line and cell of the only problem of a kind."""
    [problem] = [problem for problem in found.problems if problem.kind == kind]
    assert problem.file
    assert problem.remedy
    return problem.line, problem.cell


# ---- exchange formats ------------------------------------------------------------------------------------------------

OLD = (
    "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n"
    "TCS,EQ,3800,3850.5,3790,3810.25,3811,3795,1000,3812000,05-JUL-2024,50,INE467B01029,\n"
    "TCS,N1,100,100,100,100,100,100,5,500,05-JUL-2024,1,INE467B08018,\n"
)
UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,"
    "TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4\n"
    "2024-07-08,2024-07-08,CM,NSE,STK,11536,INE467B01029,TCS,EQ,,,,,TATA,3815,3900,3805,3890.1,3889,3810.25,,"
    "3890.1,,,2000,7760000.5,60,F1,1,,,,,\n"
)


def test_the_exchanges_old_and_new_daily_files_are_one_history(tmp_path: Path) -> None:
    write(tmp_path, "cm05JUL2024bhav.csv", OLD)
    write(tmp_path, "BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv", UDIFF)
    found = fetch(tmp_path)
    assert found.rows.select(*BARS, "prev_close_inr", "series", "source").rows() == [
        ("TCS", date(2024, 7, 5), 3800.0, 3850.5, 3790.0, 3810.25, 1000, 3812000.0, 3795.0, "EQ", "nse_cm_bhavcopy"),
        ("TCS", date(2024, 7, 8), 3815.0, 3900.0, 3805.0, 3890.1, 2000, 7760000.5, 3810.25, "EQ", "nse_udiff"),
    ]
    assert kinds(found) == ["other_series"]
    july = FilesSource(path=str(tmp_path))
    assert july.version(date(2024, 7, 1), date(2024, 7, 5), NOW).startswith("1 files")  # a day's file is of its day


def test_futures_and_options_are_no_shares(tmp_path: Path) -> None:
    contract = UDIFF.splitlines()[1].replace(",CM,", ",FO,").replace(",STK,", ",STF,").replace("3890.1", "9999")
    found = fetch(write(tmp_path, "udiff.csv", UDIFF + contract + "\n"))
    assert found.rows["close_inr"].to_list() == [3890.1]
    assert "contracts" in kinds(found)
    old = "INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP,OPEN,HIGH,LOW,CLOSE,TIMESTAMP\n"
    old += "FUTSTK,TCS,25-JUL-2024,0,XX,1,1,1,1,05-JUL-2024\n"
    with pytest.raises(DataError, match=r"fo\.csv: prices of futures or options \(column expiry_dt\), wanted shares"):
        fetch(write(tmp_path, "fo.csv", old))


@pytest.mark.parametrize(
    ("label", "written", "said"),
    [
        ("Turnover", "3812000", []), ("Turnover ₹", "3812000", []), ("Turnover in Rs.", "38,12,000.00", []),
        ("Turnover in Lacs", "38.12", []), ("TURNOVER_LACS", "38.12", []), ("Turnover (₹ Cr)", "0.3812", []),
        ("Turnover", "38.12", ["turnover_unit"]), ("Turnover", "381200000000", ["turnover_unit"]),
    ],
)  # fmt: skip
def test_turnover_is_in_rupees_by_its_name_or_by_its_rows(
    tmp_path: Path, label: str, written: str, said: list[str]
) -> None:
    """The exchange's history of one security gives rupees under the name under which others give other units."""
    header = '"Symbol","Series","Date","Prev Close","Open Price","High Price","Low Price","Close Price",'
    header += f'"Total Traded Quantity","{label}"\n'
    row = f'"TCS","EQ","05-Jul-2024","3,795.00","3,800.00","3,850.50","3,790.00","3,810.25","1,000","{written}"\n'
    found = fetch(write(tmp_path, "TCS.csv", header + row))
    assert found.rows.select(BARS).rows() == [
        ("TCS", date(2024, 7, 5), 3800.0, 3850.5, 3790.0, 3810.25, 1000, 3812000.0)
    ]
    assert kinds(found) == said


def test_a_header_that_states_a_unit_which_the_rows_contradict_is_named(tmp_path: Path) -> None:
    text = "date,close,volume,turnover_lacs\n2024-07-05,100,1000,100000\n"
    assert kinds(fetch(write(tmp_path, "A.csv", text))) == ["turnover_unit"]


# ---- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["index", "Unnamed: 0", ""])
@pytest.mark.parametrize("name", ["", "ticker", "symbol"])
def test_row_numbers_that_a_program_left_are_no_names(tmp_path: Path, label: str, name: str) -> None:
    header = f"{label},date,{name + ',' if name else ''}open,close\n"
    rows = "".join(f"{n},2024-07-0{n + 1},{'TCS,' if name else ''}10,{n}.5\n" for n in range(3))
    found = fetch(write(tmp_path, "TCS.csv", header + rows))
    assert found.rows.select("ticker", "instrument", "close_inr").rows() == [
        ("TCS", "equity", 0.5), ("TCS", "equity", 1.5), ("TCS", "equity", 2.5),
    ]  # fmt: skip


def test_row_numbers_in_parquet_are_no_names_either(tmp_path: Path) -> None:
    days = [date(2024, 7, 1), date(2024, 7, 2)]
    pl.DataFrame({"index": [0, 1], "date": days, "close": [1.5, 2.5]}).write_parquet(tmp_path / "TCS.parquet")
    assert fetch(tmp_path).rows["ticker"].unique().to_list() == ["TCS"]
    pl.DataFrame({"index": ["NIFTY 50"], "date": days[:1], "close": [1.5]}).write_parquet(tmp_path / "TCS.parquet")
    assert fetch(tmp_path, ["NIFTY 50"]).rows["instrument"].to_list() == ["index"]


def test_two_columns_for_one_thing_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, "A.csv", "Date,Close,CLOSE\n2024-07-01,1.5,2.5\n")
    with pytest.raises(DataError, match=r"2 columns are called close \(Close, CLOSE\), wanted one"):
        fetch(path)
    assert fetch(path, columns={"close": "CLOSE"}).rows["close_inr"].to_list() == [2.5]


# ---- layout ----------------------------------------------------------------------------------------------------------


def test_unquoted_thousands_are_refused_with_the_line(tmp_path: Path) -> None:
    text = (
        LONG + "2024-07-01,TCS,3,800.00,3,850.00,3,790.00,3,810.00,1000\n2024-07-02,TCS,999.5,999.9,999.1,999.2,500\n"
    )
    found = fetch(write(tmp_path, "p.csv", text))
    assert found.rows.select("date", "close_inr").rows() == [(date(2024, 7, 2), 999.2)]
    assert one(found, "ragged")[0] == 2


def test_a_shifted_line_of_the_right_length_is_refused_in_a_file_with_lines_too_long(tmp_path: Path) -> None:
    """Line 3 lacks its volume and has one comma too many: seven cells, each in the place of another."""
    text = LONG + "2024-07-01,TCS,3,800.00,3,850.00,3,790.00,3,810.00,1000\n2024-07-02,TCS,1,000.00,999.9,999.1,999.5\n"
    found = FilesSource(path=str(write(tmp_path, "p.csv", text + "2024-07-03,TCS,900.5,901.5,899.5,900.5,7\n")))
    rows = found.fetch(None, *ALWAYS, NOW)
    assert rows.rows["date"].to_list() == [date(2024, 7, 3)]
    assert sorted(problem.line for problem in rows.problems if problem.kind == "ragged") == [2, 3]


def test_a_name_with_an_unquoted_comma_is_refused_with_the_line(tmp_path: Path) -> None:
    text = "symbol,name,date,open,close\nINFY,Infosys, Ltd,2024-07-01,1500,1510\n"
    text += "TCS,Tata Consultancy,2024-07-01,3800,3810\n"
    found = fetch(write(tmp_path, "p.csv", text))
    assert found.rows.select("ticker", "close_inr").rows() == [("TCS", 3810.0)]
    assert one(found, "ragged") == (2, "INFY,Infosys, Ltd,2024-07-01,1500,1510")


def test_a_download_that_was_cut_loses_its_last_line_by_name(tmp_path: Path) -> None:
    found = fetch(write(tmp_path, "p.csv", LONG + "2024-07-01,A,1,1,1,1,5\n2024-07-02,A,1,1,1"))
    assert found.rows.height == 1
    assert one(found, "ragged") == (3, "2024-07-02,A,1,1,1")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_every_layout_is_read(tmp_path: Path, delimiter: str, ending: str, encoding: str) -> None:
    lines = [
        "Häuser & Söhne, prices", "# downloaded today", "", "date,ticker,close,volume", "", "2024-07-01,M&M,10.5,7",
        "# a remark", "2024-07-02,M&M,11.5,8", "date,ticker,close,volume", "2024-07-03,M&M,12.5,9", ",,,", "",
    ]  # fmt: skip
    text = ending.join([lines[0], *(line.replace(",", delimiter) for line in lines[1:])])
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    found = fetch(tmp_path)
    assert found.rows.select("ticker", "close_inr", "volume_shares").rows() == [
        ("M&M", 10.5, 7), ("M&M", 11.5, 8), ("M&M", 12.5, 9),
    ]  # fmt: skip
    assert kinds(found) == []


def test_a_second_table_in_the_file_is_not_read_as_the_first(tmp_path: Path) -> None:
    text = "date,ticker,open,close\n2024-07-01,A,1,2\n\nclose,open,ticker,date\n3,4,A,2024-07-02\n"
    found = fetch(write(tmp_path, "p.csv", text))
    assert found.rows["close_inr"].to_list() == [2.0]
    assert one(found, "second_table")[0] == 4


def test_quotes_in_every_place(tmp_path: Path) -> None:
    """Blanks before a quote, a quoted line end, a doubled quote and one that means inches."""
    text = (
        'date, ticker, note, close\n2024-07-01, "A", "two\nlines", "1,234.50"\n2024-07-02,A,5" pipe,2.5\n'
        '2024-07-03,A,"he said ""no""",3.5\n'
    )
    found = fetch(write(tmp_path, "p.csv", text))
    assert found.rows["close_inr"].to_list() == [1234.5, 2.5, 3.5]
    assert kinds(found) == []
    bad = fetch(write(tmp_path, "p.csv", text + "2024-07-04,A,x,tenfold\n"))
    assert one(bad, "unparsable") == (6, "tenfold")  # the line in the file, not the number of the row


def test_an_archive_under_the_name_of_a_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "A.csv").write_bytes(gzip.compress(b"date,close\n2024-07-01,1\n"))
    with pytest.raises(DataError, match=r"A\.csv: a gzip archive, wanted text"):
        fetch(tmp_path)


# ---- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stamps",
    [
        ["2024-01-01 18:30:00+00:00", "2024-01-02 18:30:00+00:00"],
        ["2024-01-01T18:30:00Z", "2024-01-02T18:30:00Z"],
        ["2024-01-02 00:00:00+05:30", "2024-01-03 00:00:00+05:30"],
    ],
)
def test_a_stamp_with_a_zone_is_the_day_in_india_in_csv_and_parquet(tmp_path: Path, stamps: list[str]) -> None:
    expected = [date(2024, 1, 2), date(2024, 1, 3)]
    write(tmp_path, "A.csv", "Date,Close\n" + "".join(f"{stamp},1\n" for stamp in stamps))
    assert fetch(tmp_path / "A.csv").rows["date"].to_list() == expected
    pl.DataFrame({"Date": stamps, "Close": ["1", "1"]}).write_parquet(tmp_path / "B.parquet")
    assert fetch(tmp_path / "B.parquet").rows["date"].to_list() == expected


def test_a_date_of_two_meanings_is_decided_by_its_column_or_refused(tmp_path: Path) -> None:
    def days(*written: str, **settings: str) -> Fetch:
        return fetch(write(tmp_path, "A.csv", "Date,Close\n" + "".join(f"{day},1\n" for day in written)), **settings)

    assert days("03/04/2020", "13/04/2020").rows["date"].to_list() == [date(2020, 4, 3), date(2020, 4, 13)]
    assert days("03/04/2020", "03/13/2020").rows["date"].to_list() == [date(2020, 3, 4), date(2020, 3, 13)]
    assert days("04/04/2020", "05/05/2020").rows["date"].to_list() == [date(2020, 4, 4), date(2020, 5, 5)]
    with pytest.raises(
        DataError, match=r"A\.csv line 2: column Date: 1 dates could be two dates or none, first '03/04/2020'; write"
    ):
        days("03/04/2020")
    assert days("03/04/2020", date_format="%m/%d/%Y").rows["date"].to_list() == [date(2020, 3, 4)]
    both = days("03/04/2020", "13/04/2020", "04/13/2020")
    assert both.rows["date"].to_list() == [date(2020, 4, 13)] * 2  # what has one meaning is read, and both are left
    assert one(both, "ambiguous") == (2, "03/04/2020")


def test_evening_times_without_a_zone_are_refused(tmp_path: Path) -> None:
    text = "Date,Close\n2024-01-01 18:30:00,1\n2024-01-02 18:30:00,1\n"
    with pytest.raises(DataError, match="could be two dates"):
        fetch(write(tmp_path, "A.csv", text))
    stamps = [datetime(2024, 1, 1, 18, 30), datetime(2024, 1, 2, 18, 30)]
    pl.DataFrame({"date": stamps, "close": [1.0, 2.0]}).write_parquet(tmp_path / "B.parquet")
    with pytest.raises(DataError, match=r"times of 18:30 without a zone"):
        fetch(tmp_path / "B.parquet")


# ---- identity --------------------------------------------------------------------------------------------------------


def test_the_national_exchange_wins_whatever_the_file_is_called(tmp_path: Path) -> None:
    body = "Date,Open,High,Low,Close,Volume\n2024-07-01,{0},{0},{0},{0},5\n"
    write(tmp_path, "RELIANCE.BO.csv", body.format(99) + "2024-07-02,98,98,98,98,5\n")
    write(tmp_path, "RELIANCE.NS.csv", body.format(100))
    write(tmp_path, "ONLYBSE.BO.csv", body.format(7))
    found = fetch(tmp_path)
    assert found.rows.select("ticker", "close_inr").rows() == [("ONLYBSE", 7.0), ("RELIANCE", 100.0)]
    [said] = [problem.detail for problem in found.problems if problem.kind == "exchange"]
    assert said == "2 rows of BSE are left out for NSE's of the same ticker: RELIANCE"
    later = FilesSource(path=str(tmp_path), actions="none").fetch(None, date(2024, 7, 2), date(2024, 7, 31), NOW)
    assert later.rows.is_empty()  # a month alone is the month of the whole


def test_a_column_of_exchanges_is_read(tmp_path: Path) -> None:
    text = "date,symbol,exchange,close\n2024-07-01,A,BSE,99\n2024-07-01,A,NSE,100\n2024-07-01,B,BSE,5\n"
    found = fetch(write(tmp_path, "p.csv", text))
    assert found.rows.select("ticker", "close_inr").rows() == [("A", 100.0), ("B", 5.0)]
    assert kinds(found) == ["exchange"]


IDENTIFIERS = [
    "NA",
    "NAN",
    "NULL",
    "TRUE",
    "1E5",
    "20MICRONS",
    "3MINDIA",
    "007",
    "NONE",
    "INF",
    "M&M",
    "BAJAJ-AUTO",
    "-",
]


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_a_name_is_a_name_whatever_it_looks_like(tmp_path: Path, name: str) -> None:
    write(tmp_path, "p.csv", LONG + f"2024-07-01,{name},1,1,1,1,5\n")
    assert fetch(tmp_path).rows["ticker"].to_list() == [name]
    alone = write(tmp_path, f"{name}.csv", "Date,Close\n2024-07-01,1\n")
    assert fetch(alone).rows["ticker"].to_list() == [name]


@pytest.mark.parametrize("name", ["TCS.NS", "NSE:TCS", "TCS-EQ", "TCS.BO", "tcs.ns".upper(), " TCS "])
def test_a_name_loses_what_vendors_put_around_it(tmp_path: Path, name: str) -> None:
    write(tmp_path, "p.csv", LONG + f"2024-07-01,{name},1,1,1,1,5\n")
    assert fetch(tmp_path).rows.select("ticker", "symbol").rows() == [("TCS", "TCS")]
    assert fetch(tmp_path, [name]).rows.height == 1


@pytest.mark.parametrize("name", ["../../etc/passwd", "A/B", '"A\nB"', "", "X" * 80])
def test_what_can_be_no_name_is_left_out_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, "p.csv", LONG + f"2024-07-01,{name},1,1,1,1,5\n2024-07-01,TCS,1,1,1,1,5\n")
    found = fetch(tmp_path)
    assert found.rows["ticker"].to_list() == ["TCS"]
    assert kinds(found) == ["no_name"]


# ---- duplicates, cells -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("files", [1, 2])
def test_a_good_row_wins_over_an_empty_one_of_its_day(tmp_path: Path, order: int, files: int) -> None:
    rows = ["2024-07-01,A,,,,,\n", "2024-07-01,A,1,2,1,2,5\n"][::order]
    if files == 1:
        write(tmp_path, "p.csv", LONG + "".join(rows))
    else:
        for name, row in zip("pq", rows, strict=True):
            write(tmp_path, f"{name}.csv", LONG + row)
    found = fetch(tmp_path)
    assert found.rows.select(BARS[:-1]).rows() == [("A", date(2024, 7, 1), 1.0, 2.0, 1.0, 2.0, 5)]
    [said] = [problem.detail for problem in found.problems if problem.kind == "empty_row"]
    assert said.startswith("1 rows without a close are left out")


def test_numbers_in_every_grammar(tmp_path: Path) -> None:
    rows = [
        ("1,23,456.50", 123456.5), ("(12.5)", -12.5), ("₹ 7.25", 7.25), ("Rs.5/-", 5.0), ("−3", -3.0),
        ("12.5%", 0.125), ("1.5e3", 1500.0), ("1\u00a0234.5", 1234.5),
    ]  # fmt: skip
    text = "date,close\n" + "".join(f'2024-07-0{n + 1},"{written}"\n' for n, (written, _) in enumerate(rows))
    found = fetch(write(tmp_path, "A.csv", text))
    assert found.rows["close_inr"].to_list() == [value for _, value in rows]
    assert kinds(found) == []


def test_a_decimal_comma_is_read_where_the_file_shows_one(tmp_path: Path) -> None:
    text = "date;open;close;volume\n2024-07-01;1.234;1.234,50;12.345\n2024-07-02;12,5;13,5;1.000\n"
    found = fetch(write(tmp_path, "A.csv", text))
    assert found.rows.select("open_inr", "close_inr", "volume_shares").rows() == [
        (1234.0, 1234.5, 12345),
        (12.5, 13.5, 1000),
    ]
    assert kinds(found) == []


def test_a_number_of_two_meanings_is_refused_until_it_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "A.csv", 'date,close\n2024-07-01,"1,234"\n')
    found = fetch(path)
    assert found.rows["close_inr"].to_list() == [None]
    assert one(found, "ambiguous") == (2, "1,234")
    assert fetch(path, decimal="point").rows["close_inr"].to_list() == [1234.0]
    assert fetch(path, decimal="comma").rows["close_inr"].to_list() == [1.234]
    with pytest.raises(DataError, match=r"decimal 'dot' is none of auto, point, comma"):
        fetch(path, decimal="dot")


def test_text_in_parquet_goes_through_the_same_grammar(tmp_path: Path) -> None:
    table = {
        "date": ["03/04/2024", "13/04/2024"],
        "ticker": ["NA", "TCS.NS"],
        "close": ["1,234.50", "n/a"],
        "volume": [5, 6],
    }
    pl.DataFrame(table).write_parquet(tmp_path / "p.parquet")
    found = fetch(tmp_path)
    assert found.rows.select("date", "ticker", "close_inr", "volume_shares").rows() == [
        (date(2024, 4, 3), "NA", 1234.5, 5), (date(2024, 4, 13), "TCS", None, 6),
    ]  # fmt: skip
    pl.DataFrame({"date": [20240403, 45293], "close": ["1.5", "ten"]}).write_parquet(tmp_path / "p.parquet")
    found = fetch(tmp_path)
    assert found.rows.select("date", "close_inr").sort("date").rows() == [
        (date(2024, 1, 2), None),
        (date(2024, 4, 3), 1.5),
    ]
    assert one(found, "unparsable") == (2, "ten")


def test_typed_numbers_that_are_none_are_named(tmp_path: Path) -> None:
    days = [date(2024, 7, 1), date(2024, 7, 2)]
    pl.DataFrame({"date": days, "close": [float("inf"), 2.0], "volume": [1.0, 2.5]}).write_parquet(
        tmp_path / "A.parquet"
    )
    found = fetch(tmp_path)
    assert found.rows.select("close_inr", "volume_shares").rows() == [(None, 1), (2.0, None)]
    assert kinds(found) == ["unparsable"]
    pl.DataFrame({"date": days, "close": [True, False]}).write_parquet(tmp_path / "A.parquet")
    with pytest.raises(DataError, match="column close is Boolean; wanted numbers"):
        fetch(tmp_path)


def test_a_folder_of_which_nothing_is_read_is_an_error_with_the_first_reasons(tmp_path: Path) -> None:
    for name in "AB":
        write(tmp_path, f"{name}.csv", "Date,Close\nsoon,1\n")
    with pytest.raises(
        DataError, match=r"files: no row could be read in .*A\.csv line 2: column Date: 1 dates cannot be"
    ):
        fetch(tmp_path)
    for name in "AB":
        write(tmp_path, f"{name}.csv", "Date,Series,Close\n2024-07-01,GB,1\n")
    with pytest.raises(DataError, match=r"series that are not asked for \("):
        fetch(tmp_path)
