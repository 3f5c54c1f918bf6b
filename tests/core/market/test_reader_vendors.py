"""What vendors, brokers and browsers make of prices: each read as it was written, or named."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.market.inspection import inspect
from quant_core.market.reading.identity import bare_name, ticker_in
from quant_core.market.sources import Fetch
from quant_core.market.sources.files import FilesSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = sessions(date(2024, 1, 1), date(2024, 1, 24))
BARS = [(day, 100.0 + n, 101.5 + n, 99.25 + n, 100.5 + n, 1000 * (n + 1)) for n, day in enumerate(DAYS)]
HEAD = "date,open,high,low,close,volume"
DEFAULT_PATTERN = FilesSource(path=".").ticker_pattern


def table(form: str = "%Y-%m-%d", head: str = HEAD, before: str = "", shift: timedelta = timedelta(0)) -> str:
    lines = [f"{before}{day + shift:{form}},{','.join(map(str, bar))}" for day, *bar in BARS]
    return "\n".join([head, *lines]) + "\n"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def fetch(path: Path, **settings: object) -> Fetch:
    return FilesSource(path=str(path), **settings).fetch(None, date(2000, 1, 1), date(2050, 1, 1), NOW)  # type: ignore[arg-type]


def bars(found: Fetch) -> list[tuple[object, ...]]:
    return found.rows.select("date", "open_inr", "high_inr", "low_inr", "close_inr", "volume_shares").rows()


def kinds(found: Fetch) -> list[str]:
    return [problem.kind for problem in found.problems if problem.kind != "no_actions"]


def said(found: Fetch) -> str:
    return next(problem.detail for problem in found.problems if problem.kind != "no_actions")


# ---- columns and units -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [
    "time,open,high,low,close,Volume", "Exchange Date,Price Open,Price High,Price Low,Price Close,Volume",
    "Date,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME", "TRADING_DATE,OPEN,HIGH,LOW,CLOSE,NO_OF_SHRS",
])  # fmt: skip
def test_columns_as_vendors_call_them(tmp_path: Path, head: str) -> None:
    found = fetch(write(tmp_path, "A.csv", table(head=head)))
    assert bars(found) == BARS
    assert kinds(found) == []


@pytest.mark.parametrize(("head", "unit"), [
    ("Volume (in lakhs)", 1e5), ("Volume ('000)", 1e3), ("Volume (mn)", 1e6), ("Vol. (Cr)", 1e7),
])  # fmt: skip
def test_a_volume_is_in_the_unit_of_its_header(tmp_path: Path, head: str, unit: float) -> None:
    lines = [f"{day},{close},{volume / unit:.7f}" for day, _, _, _, close, volume in BARS]
    text = "\n".join([f"date,close,{head}", *lines])
    found = fetch(write(tmp_path, "A.csv", text))
    assert found.rows["volume_shares"].to_list() == [volume for *_, volume in BARS]
    typed = pl.DataFrame({"date": DAYS, "close": 1.0, head: [volume / unit for *_, volume in BARS]})
    typed.write_parquet(tmp_path / "B.parquet")
    assert fetch(tmp_path / "B.parquet").rows["volume_shares"].to_list() == [volume for *_, volume in BARS]


@pytest.mark.parametrize(("head", "unit"), [("Turnover (Rs.'000)", 1e3), ("Turnover (₹ Bn)", 1e9)])
def test_a_turnover_in_thousands_or_billions(tmp_path: Path, head: str, unit: float) -> None:
    text = f"date,close,volume,{head}\n2024-01-01,100,5000,{500_000 / unit}\n"
    assert fetch(write(tmp_path, "A.csv", text)).rows["turnover_inr"].to_list() == [500_000.0]


@pytest.mark.parametrize("head", ["Volume (Rs.)", "Volume of trades", "Quantity traded today"])
def test_a_column_that_looks_meant_and_is_not_read_is_named(tmp_path: Path, head: str) -> None:
    found = fetch(write(tmp_path, "A.csv", f"date,close,{head}\n2024-01-01,100,5000\n"))
    assert found.rows["volume_shares"].to_list() == [None]
    line = next(problem.detail for problem in found.problems if problem.kind == "unread_column")
    assert head in line
    assert "columns=" in line


@pytest.mark.parametrize("head", ["close (Rs. Cr)", "Close (lakhs)"])
def test_a_price_in_lakhs_is_no_price(tmp_path: Path, head: str) -> None:
    with pytest.raises(DataError, match="no column for close "):
        fetch(write(tmp_path, "A.csv", f"date,{head}\n2024-01-01,100\n"))


@pytest.mark.parametrize(
    ("column", "other", "kind"), [("currency", "USD", "currency"), ("exchange", "NYSE", "exchange")]
)
def test_rows_of_another_currency_or_exchange_are_left_out_and_counted(
    tmp_path: Path, column: str, other: str, kind: str
) -> None:
    own = {"currency": "INR", "exchange": "National Stock Exchange"}[column]
    text = f"ticker,date,close,{column}\nA,2024-01-01,1,{other}\nA,2024-01-01,83,{own}\nA,2024-01-02,84,\n"
    found = fetch(write(tmp_path, "x.csv", text))
    assert found.rows["close_inr"].to_list() == [83.0, 84.0]
    assert kinds(found) == [kind]
    assert "1 rows are" in found.problems[0].detail


def test_a_number_beyond_every_computer_is_no_number(tmp_path: Path) -> None:
    found = fetch(write(tmp_path, "A.csv", "date,close\n2024-01-01,1e400\n2024-01-02,7\n"))
    assert found.rows["close_inr"].to_list() == [None, 7.0]
    assert kinds(found) == ["unparsable"]


def test_the_same_header_in_other_letters_is_no_second_table(tmp_path: Path) -> None:
    text = f"{HEAD}\n2024-01-01,1,1,1,1,5\n{HEAD.title()}\n2024-01-02,2,2,2,2,5\n"
    assert fetch(write(tmp_path, "A.csv", text)).rows["close_inr"].to_list() == [1.0, 2.0]


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [
    "tcs", "Tcs", "tcs.ns", "nse:tcs", "TCS EQ", "TCS-EQ", "TCS_NS", "TCS IN Equity", "TCS IN", "NSE_EQ|TCS", "TCS.XNSE",
    "NSE-TCS", " TCS ", "TCS\u200b", "\ufeffTCS",
])  # fmt: skip
def test_one_name_however_it_is_written(tmp_path: Path, written: str) -> None:
    text = f"symbol,date,close\nTCS,2024-01-01,1\n{written},2024-01-02,2\n"
    found = fetch(write(tmp_path, "x.csv", text))
    assert found.rows["ticker"].to_list() == ["TCS", "TCS"]
    assert kinds(found) == []
    assert FilesSource(path=str(tmp_path)).fetch([written], DAYS[0], DAYS[-1], NOW).rows.height in (0, 2)
    assert bare_name("tcs.ns") == "TCS"


@pytest.mark.parametrize(("name", "ticker"), [
    ("TCS (1)", "TCS"), ("TCS - Copy", "TCS"), ("TCS_2024-01-01_2024-01-19", "TCS"), ("TCS Historical Data", "TCS"),
    ("NSE_DLY_TCS, 1D", "TCS"), ("Quote-Equity-TCS-EQ-01-01-2024-to-19-01-2024", "TCS"),
    ("NIFTY 50-01-01-2024-to-19-01-2024", "NIFTY 50"), ("BAJAJ-AUTO", "BAJAJ-AUTO"), ("M&M.NS", "M&M"), ("TCS_daily", "TCS_daily"),
])  # fmt: skip
def test_the_ticker_in_a_files_name(name: str, ticker: str) -> None:
    assert ticker_in(name, DEFAULT_PATTERN) == ticker


def test_a_name_that_no_symbol_has_is_said(tmp_path: Path) -> None:
    found = fetch(write(tmp_path, "TCS_daily.csv", table()))
    assert found.rows["ticker"].unique().to_list() == ["TCS_daily"]
    assert kinds(found) == ["odd_name"]
    assert "'TCS_daily'" in said(found)


def test_a_column_instrument_of_names_names_the_rows(tmp_path: Path) -> None:
    text = "Instrument,Date,Price Close\nTCS.NS,2024-01-01,1\nINFY.NS,2024-01-01,2\n"
    assert fetch(write(tmp_path, "x.csv", text)).rows["ticker"].to_list() == ["INFY", "TCS"]


@pytest.mark.parametrize("index", ["SENSEX", "BANKNIFTY", "Nifty Bank", "nifty next 50"])
def test_an_index_among_shares_is_no_share(tmp_path: Path, index: str) -> None:
    found = fetch(write(tmp_path, "x.csv", f"symbol,date,close\nTCS,2024-01-01,1\n{index},2024-01-01,2\n"))
    assert set(found.rows.select("ticker", "instrument").rows()) == {("TCS", "equity"), (index, "index")}


def test_a_float_ticker_in_parquet_is_its_whole_number(tmp_path: Path) -> None:
    pl.DataFrame({"date": DAYS, "ticker": [532540.0] * len(DAYS), "close": 1.0}).write_parquet(tmp_path / "x.parquet")
    assert fetch(tmp_path / "x.parquet").rows["ticker"].unique().to_list() == ["532540"]


def test_other_series_are_said_in_a_run(tmp_path: Path) -> None:
    text = "symbol,series,date,close\nTCS,EQ,2024-01-01,1\nX,SM,2024-01-01,2\nY,GB,2024-01-01,3\nZ,GB,2024-01-01,3\n"
    found = fetch(write(tmp_path, "x.csv", text))
    assert found.rows["ticker"].to_list() == ["TCS"]
    assert kinds(found) == ["other_series"]
    assert "3 rows" in said(found)
    assert "GB 2, SM 1" in said(found)


# ---- days ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "side"), [(-1, "early"), (1, "late")])
@pytest.mark.parametrize("typed", [False, True])
def test_days_that_a_time_zone_moved_are_refused(tmp_path: Path, shift: int, side: str, typed: bool) -> None:
    moved = timedelta(days=shift)
    if typed:
        pl.DataFrame({"date": [day + moved for day in DAYS], "close": 1.0}).write_parquet(tmp_path / "A.parquet")
    else:
        write(tmp_path, "A.csv", table(shift=moved))
    with pytest.raises(DataError, match=f"all are a day {side}"):
        fetch(tmp_path)
    write(tmp_path, "B.csv", table())
    found = fetch(tmp_path)
    assert found.rows["ticker"].unique().to_list() == ["B"]
    assert "shifted_days" in kinds(found)


def test_one_evening_among_days_is_no_day(tmp_path: Path) -> None:
    text = "date,close\n2024-01-01 18:30:00,1\n2024-01-03 15:30:00,2\n"
    found = fetch(write(tmp_path, "A.csv", text))
    assert found.rows["date"].to_list() == [date(2024, 1, 3)]
    assert kinds(found) == ["ambiguous"]
    stamps = [datetime(2024, 1, 1, 18, 30), datetime(2024, 1, 3)]
    pl.DataFrame({"date": stamps, "close": [1.0, 2.0]}).write_parquet(tmp_path / "B.parquet")
    with pytest.raises(DataError, match=r"times of 18:30 without a zone"):
        fetch(tmp_path / "B.parquet")


def test_the_day_in_a_files_name_decides_what_its_only_day_means(tmp_path: Path) -> None:
    head = "Index Name,Index Date,Closing Index Value,Volume,Turnover (Rs. Cr.)\n"
    write(tmp_path, "ind_close_all_02012024.csv", head + "Nifty 50,02-01-2024,21665.8,230,20000\n")
    write(tmp_path, "ind_close_all_05032024.csv", head + "Nifty 50,03-01-2024,21517.35,230,20000\n")
    source = FilesSource(path=str(tmp_path))
    found = source.fetch(["Nifty 50"], DAYS[0], date(2024, 4, 1), NOW)
    assert found.rows.select("date", "close_inr").rows() == [(date(2024, 1, 2), 21665.8)]
    assert kinds(found) == ["ambiguous"]  # the other name says 5 March, which the cell cannot mean


def test_rows_without_a_date_are_counted_in_parquet_too(tmp_path: Path) -> None:
    pl.DataFrame({"date": [DAYS[0], None], "close": [1.0, 2.0]}).write_parquet(tmp_path / "A.parquet")
    found = fetch(tmp_path / "A.parquet")
    assert found.rows.height == 1
    assert kinds(found) == ["undated"]


# ---- several rows a day ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "date,close\n" + "".join(f"{day} {hour}:15,{hour}\n" for day in DAYS[:5] for hour in (9, 10, 11)),
    "company,date,close\n" + "".join(f"{n},{day},{n}\n" for day in DAYS[:5] for n in (1, 2)),
])  # fmt: skip
def test_intraday_bars_and_stocks_that_nothing_tells_apart_are_left_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="most days have several closes for"):
        fetch(write(tmp_path, "prices.csv", text))
    write(tmp_path, "B.csv", table())
    found = fetch(tmp_path)
    assert found.rows["ticker"].unique().to_list() == ["B"]
    assert "many_a_day" in kinds(found)


def test_a_day_that_stands_twice_with_other_values_is_said(tmp_path: Path) -> None:
    found = fetch(write(tmp_path, "A.csv", table() + f"{DAYS[-1]},1,1,1,1,1\n"))
    assert kinds(found) == ["conflict"]
    assert f"first A {DAYS[-1]}" in said(found)
    assert kinds(fetch(write(tmp_path, "A.csv", table() + table().splitlines()[-1]))) == []


@pytest.mark.parametrize("first", [True, False])
def test_a_row_of_zeros_gives_way_to_a_good_one(tmp_path: Path, first: bool) -> None:
    rows = ["2024-01-01,0,0,0,0,0", "2024-01-01,1,2,1,2,5"]
    found = fetch(write(tmp_path, "A.csv", "\n".join([HEAD, *(rows if first else rows[::-1])])))
    assert found.rows["close_inr"].to_list() == [2.0]
    assert kinds(found) == ["empty_row"]


# ---- lists -----------------------------------------------------------------------------------------------------------


ACTIONS = "ticker,ex_date,kind,value\nA,2024-01-08,split,2\n{}\nA,2024-01-10,dividend,1.5\n"


@pytest.mark.parametrize(("line", "said"), [
    ("A,2024-02-31,split,2", "ex_date is no date"), ("A,2024-01-09,split,two", "value is no number"),
    ("A,2024-01-09,bonus,2", "kind is none of"), ("A,2024-01-09,split,2,note,with,commas", "have not the 4 cells"),
    (",2024-01-09,split,2", "ticker is empty"), ("A,,split,2", "ex_date is empty"),
])  # fmt: skip
def test_a_broken_line_of_actions_is_named_and_the_others_are_read(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path, "A.csv", table())
    write(tmp_path, "corporate_actions.csv", ACTIONS.format(line))
    found = fetch(tmp_path)
    acted = found.rows.filter((pl.col("price_factor") != 1.0) | (pl.col("dividend_inr") != 0.0))
    assert acted.select("date", "price_factor", "dividend_inr").rows() == [
        (date(2024, 1, 8), 0.5, 0.0), (date(2024, 1, 10), 1.0, 1.5),
    ]  # fmt: skip
    broken = [problem for problem in found.problems if problem.kind in ("broken_line", "ragged")]
    assert [problem.line for problem in broken] == [3]
    assert said in broken[0].detail
    assert [problem.line for file in inspect(FilesSource(path=str(tmp_path)), NOW).files for problem in file.problems
            ] == [3]  # fmt: skip


def test_a_list_of_which_no_line_can_be_read_stops(tmp_path: Path) -> None:
    write(tmp_path, "A.csv", table())
    write(tmp_path, "corporate_actions.csv", "ticker,ex_date,kind,value\nA,03/04/2024,split,2\nA,05/06/2024,split,2\n")
    with pytest.raises(DataError, match="No other line could be read"):
        fetch(tmp_path)


def test_broken_lines_of_renames_and_sectors_are_named(tmp_path: Path) -> None:
    write(tmp_path, "A.csv", table())
    write(tmp_path, "symbol_changes.csv", "old_symbol,new_symbol,first_new\nA,B,2024-06-03\nC,,2024-06-03\nD,E,soon\n")
    write(tmp_path, "sectors.csv", "ticker,sector\nB,IT\nC,\n")
    found = fetch(tmp_path)
    assert found.rows["ticker"].unique().to_list() == ["B"]
    assert [(one.file, one.line) for one in found.problems if one.kind == "broken_line"] == [
        ("symbol_changes.csv", 3), ("symbol_changes.csv", 4), ("sectors.csv", 3),
    ]  # fmt: skip


def test_a_broken_line_of_members_is_an_error_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "A.csv", table())
    write(tmp_path, "index_membership.csv", "ticker,from_date,to_date\nA,2024-01-01,\nB,2024-13-01,\n")
    with pytest.raises(DataError, match=r"index_membership\.csv line 3"):
        FilesSource(path=str(tmp_path)).membership("nifty50")
