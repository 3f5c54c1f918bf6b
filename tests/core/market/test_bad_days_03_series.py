"""A name that moves to a trade-for-trade series is the same name: its rows are read, once a day, and say so."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.market.sources import Fetch
from quant_core.market.sources.files import FilesSource

NOW = datetime(2021, 4, 1, tzinfo=UTC)
HEADER = "SYMBOL,SERIES,DATE1,PREV_CLOSE,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRICE,TTL_TRD_QNTY\n"


def fetch(path: Path, **settings: object) -> Fetch:
    source = FilesSource(path=str(path), **settings)  # type: ignore[arg-type]
    return source.fetch(None, date(2021, 3, 1), date(2021, 3, 31), NOW)


def line(symbol: str, series: str, close: float, day: str = "01-Mar-2021") -> str:
    return f"{symbol}, {series}, {day},{close},{close},{close},{close},{close},10\n"


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    lines = [line("SUZLON", "BE", 10.0), line("SUZLON", "EQ", 10.5), line("RCOM", "BZ", 2.0), line("X", "T", 3.0)]
    lines += [line("BSEX", "E", 4.0), line("BOND", "N5", 1000.0), line("SMALL", "SM", 50.0), line("GOV", "GB", 70.0)]
    path = tmp_path / "sec_bhavdata_full_01032021.csv"
    path.write_text(HEADER + "".join(lines))
    return path


def test_the_series_of_a_share_are_read_and_others_stay_out(one_file: Path) -> None:
    rows = fetch(one_file).rows
    assert dict(rows.select("ticker", "series").iter_rows()) == {
        "SUZLON": "EQ", "RCOM": "BZ", "X": "T", "BSEX": "E",
    }  # fmt: skip


def test_the_ordinary_series_wins_a_day_with_two_and_the_other_is_counted(one_file: Path) -> None:
    done = fetch(one_file)
    assert done.rows.filter(pl.col("ticker") == "SUZLON")["close_inr"].to_list() == [10.5]
    assert [(p.kind, p.detail[:6]) for p in done.problems if p.kind == "series"] == [("series", "1 rows")]
    other = fetch(one_file, series=("BE", "EQ")).rows
    assert other.filter(pl.col("ticker") == "SUZLON")["close_inr"].to_list() == [10.0]


def test_the_ordinary_series_wins_across_files_too(tmp_path: Path) -> None:
    (tmp_path / "a_be.csv").write_text(HEADER + line("SUZLON", "BE", 10.0) + line("SUZLON", "BE", 11.0, "02-Mar-2021"))
    (tmp_path / "b_eq.csv").write_text(HEADER + line("SUZLON", "EQ", 10.5))
    rows = fetch(tmp_path).rows
    assert rows.select("series", "close_inr").rows() == [("EQ", 10.5), ("BE", 11.0)]


def test_two_rows_of_one_series_stay_for_cleaning_to_count(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(HEADER + line("TCS", "EQ", 10.0) * 2 + line("INFY", "BE", 5.0))
    assert fetch(path).rows["ticker"].to_list() == ["INFY", "TCS", "TCS"]


def test_a_file_without_series_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "TCS.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n2021-03-01,1,1,1,1,1\n")
    assert fetch(path).rows["series"].to_list() == [None]
