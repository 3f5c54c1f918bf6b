"""Dated membership: intervals and the shipped facts."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError, UnknownName
from quant_core.market.universe import (
    EVERY_TICKER,
    UNIVERSES,
    check_intervals,
    membership,
    nifty50_facts,
    sector_of,
    tickers,
    universe,
)

SCHEMA = {"ticker": pl.String, "from_date": pl.Date, "to_date": pl.Date}


def members_on(name: str | list[str], day: date) -> list[str]:
    stays = pl.col("to_date").is_null() | (pl.col("to_date") > day)
    return sorted(membership(name).filter((pl.col("from_date") <= day) & stays)["ticker"])


def intervals(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_the_nifty_has_fifty_companies_since_it_is_known_completely() -> None:
    companies = nifty50_facts().filter(pl.col("kind") == "company")  # JIOFIN was a placeholder before it was a member
    assert universe("nifty50").complete_from == date(2014, 3, 27)
    for year in range(2014, 2027):
        for month in (4, 9, 12):
            day = date(year, month, 1)
            inside = (pl.col("from_date") <= day) & (pl.col("to_date").is_null() | (pl.col("to_date") > day))
            assert companies.filter(inside)["ticker"].n_unique() == 50, day


def test_known_changes_of_the_nifty_happen_on_their_day() -> None:
    assert "YESBANK" in members_on("nifty50", date(2020, 3, 18))
    assert "YESBANK" not in members_on("nifty50", date(2020, 3, 19))
    assert "SHREECEM" in members_on("nifty50", date(2020, 3, 19))


def test_bharti_infratel_is_under_its_later_name() -> None:
    assert "INDUSTOWER" in members_on("nifty50", date(2018, 1, 1))
    assert "INFRATEL" not in tickers("nifty50")


def test_an_unknown_start_is_filled_and_says_so() -> None:
    facts = nifty50_facts().filter(pl.col("from_quality") == "unknown_start")
    assert facts.select("ticker", "from_date").rows() == [("CAIRN", date(2005, 1, 1)), ("RANBAXY", date(2005, 1, 1))]


def test_todays_list_is_labelled_as_survivors_only() -> None:
    assert universe("nifty500").survivors_only
    assert not universe("nifty50").survivors_only
    assert len(tickers("nifty500")) == 500
    assert universe(["TCS"]).survivors_only


@pytest.mark.parametrize("name", ["all", "indian_market", "simulated"])
def test_a_universe_without_a_list_takes_every_stock(name: str) -> None:
    assert tickers(name) is None
    assert members_on(name, date(2020, 1, 1)) == [EVERY_TICKER]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", date(2020, 1, 2), date(2020, 1, 2))], r"A from 2020-01-02 to 2020-01-02 is empty"),
        ([("A", date(2020, 1, 1), None), ("A", date(2021, 1, 1), None)], r"A from 2021-01-01 overlaps"),
        (
            [("A", date(2020, 1, 1), date(2020, 6, 1)), ("A", date(2020, 5, 31), None)],
            r"A from 2020-05-31 overlaps the interval that ends 2020-06-01",
        ),
        ([("A", None, None)], "lacks a ticker or a from_date"),
        ([], "no members"),
    ],
)
def test_a_broken_interval_is_named(rows: list[tuple], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_intervals(intervals(*rows), "test")


def test_adjoining_intervals_are_fine() -> None:
    rows = [("A", date(2020, 6, 1), None), ("A", date(2020, 1, 1), date(2020, 6, 1))]
    assert check_intervals(intervals(*rows), "test")["from_date"].to_list() == [date(2020, 1, 1), date(2020, 6, 1)]


def test_a_list_of_tickers_is_a_universe() -> None:
    assert tickers(["TCS", "INFY", "TCS"]) == ["INFY", "TCS"]
    assert members_on(["TCS"], date(2012, 1, 1)) == ["TCS"]


def test_a_file_of_tickers_is_a_universe(tmp_path: Path) -> None:
    plain, dated = tmp_path / "plain.csv", tmp_path / "dated.csv"
    plain.write_text("ticker\nTCS\nINFY\n")
    dated.write_text("ticker,from_date,to_date\nTCS,2010-01-01,2012-01-01\nINFY,2010-01-01,\n")
    assert tickers(str(plain)) == ["INFY", "TCS"]
    assert members_on(str(dated), date(2013, 1, 1)) == ["INFY"]
    assert (universe(str(plain)).survivors_only, universe(str(dated)).survivors_only) == (True, False)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("ticker,from_date\nTCS,2.1.2020\n")
    with pytest.raises(
        DataError, match=r"mine.csv line 2: from_date is no YYYY-MM-DD and could be two days, '2.1.2020'"
    ):
        membership(str(path))
    path.write_text("name\nTCS\n")
    with pytest.raises(DataError, match="no column ticker"):
        membership(str(path))
    with pytest.raises(DataError, match=r"absent.csv: cannot be read"):
        membership(str(tmp_path / "absent.csv"))


def test_an_unknown_universe_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"nifty_50.*nifty500"):
        membership("nifty_50")
    assert set(UNIVERSES) == {"nifty50", "nifty500", "all", "indian_market", "simulated"}


def test_every_member_has_one_sector_and_a_named_source() -> None:
    sectors = sector_of()
    assert sectors["ticker"].is_unique().all()
    assert sectors.null_count().row(0) == (0, 0, 0)
    listed = set(sectors["ticker"])
    assert set(tickers("nifty50")) <= listed
    assert set(tickers("nifty500")) <= listed
    assert dict(sectors.select("ticker", "sector").iter_rows())["TCS"] == "Information Technology"
