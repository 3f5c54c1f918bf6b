"""Lists beside the prices: names with an exchange around them, every layout, and lines that are refused by number."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from quant_core.errors import DataError
from quant_core.market.action_list import read_actions
from quant_core.market.lists import stated_end
from quant_core.market.sources.files import FilesSource
from quant_core.market.symbols import read_symbol_changes
from quant_core.market.universe import membership, read_intervals

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRICES = "date,ticker,open,close\n2024-07-01,AAA,100,100\n2024-07-02,AAA,50,50\n"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["AAA", "AAA.NS", "AAA.BO", "NSE:AAA", " AAA "])
def test_a_split_finds_its_stock_whatever_stands_around_the_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, "prices.csv", PRICES)
    write(tmp_path, "corporate_actions.csv", f"ticker,ex_date,kind,value\n{name},2024-07-02,split,2\n")
    rows = FilesSource(path=str(tmp_path)).fetch(None, date(2024, 7, 1), date(2024, 7, 31), NOW).rows
    assert rows["price_factor"].to_list() == [1.0, 0.5]


def test_the_same_action_under_two_names_counts_once(tmp_path: Path) -> None:
    kind = "split_or_bonus_confirmed"
    text = f"ticker,ex_date,kind,value\nAAA.NS,2024-07-02,{kind},0.5\nAAA.BO,02-Jul-2024,{kind},0.50\n"
    assert read_actions(write(tmp_path, "corporate_actions.csv", text)).select("ticker", "value").rows() == [
        ("AAA", 0.5)
    ]


def test_members_sectors_and_renames_lose_the_exchange_too(tmp_path: Path) -> None:
    path = write(
        tmp_path, "members.csv", "Symbol;From Date;To Date\nAAA.NS;01-Apr-2024;\nNA.NS;31/12/2023;30/06/2024\n"
    )
    assert membership(str(path)).rows() == [
        ("AAA", date(2024, 4, 1), None), ("NA", date(2023, 12, 31), date(2024, 6, 30)),
    ]  # fmt: skip
    assert membership(["TCS.NS", "TCS", "INFY.BO"])["ticker"].to_list() == ["INFY", "TCS"]
    renames = write(tmp_path, "renames.csv", "old_symbol,new_symbol,first_new\nOLD.NS,NEW.NS,2024-07-01\n")
    assert read_symbol_changes(renames).rows() == [("OLD", "NEW", date(2024, 7, 1))]
    write(tmp_path, "prices.csv", PRICES)
    write(tmp_path, "sectors.csv", "Ticker\tSector\nAAA.NS\tMining\n")
    assert dict(FilesSource(path=str(tmp_path), pattern="prices.csv").sectors().iter_rows())["AAA"] == "Mining"


def test_an_amount_in_every_grammar(tmp_path: Path) -> None:
    text = 'ticker,ex_date,kind,value\nA,2024-07-02,dividend,"₹ 1,234.50"\nB,2024-07-02,split,1.125\n'
    assert read_actions(write(tmp_path, "a.csv", text))["value"].to_list() == [1234.5, 1.125]
    with pytest.raises(
        DataError, match=r"actions file a\.csv line 2: value is no number that has one meaning, '1,234'"
    ):
        read_actions(write(tmp_path, "a.csv", 'ticker,ex_date,kind,value\nA,2024-07-02,dividend,"1,234"\n'))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("# mine\n\nticker,ex_date,kind,value\nA,soon,split,2\n", r"line 4: ex_date is no YYYY-MM-DD, 'soon'"),
        ("ticker,ex_date,kind,value\nA,,split,2\n", "line 2: ex_date is empty"),
        ("ticker,ex_date,kind,value\nA,2024-07-02,split,2,x\n", "line 2: 1 lines .2. have not the 4 cells"),
        ("ticker,ex_date,kind,value\n../A,2024-07-02,split,2\n", "line 2: ticker is empty or no name"),
        ("", "the file is empty"),
    ],
)  # fmt: skip
def test_a_line_that_is_wrong_is_named_by_its_number(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_actions(write(tmp_path, "corporate_actions.csv", lines))


def test_a_member_without_a_name_and_an_end_in_words_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"members line 3: \('', .* has no name|members line 3: \(None"):
        read_intervals(write(tmp_path, "m.csv", "ticker,from_date\nA,2024-07-02\n,2024-07-02\n"), "members")
    path = write(tmp_path, "m.csv", "ticker,known_until\nA,30-Jun-2024\n")
    assert stated_end(path, (), "members") == date(2024, 6, 30)
