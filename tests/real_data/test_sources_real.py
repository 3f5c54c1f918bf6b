"""The sources on official prices: what each original file gives, and which factors stand on which rows."""

import hashlib
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.action_list import known_actions
from quant_core.market.actions import price_factors, read_actions, with_known_actions
from quant_core.market.sources import Fetch, _names
from quant_core.market.sources.files import FilesSource
from quant_core.market.symbols import shipped_changes

pytestmark = pytest.mark.real_data

NOW = datetime(2024, 1, 1, tzinfo=UTC)
#: Cuts the ticker out of the decorated names of the samples.
SAMPLE_NAME = r"(?P<ticker>[A-Z&-]+)(\.NS)?$"
NEVER_PRICED = {"CAIRN", "RANBAXY", "TATAMTRDVR"}
MEMBER_ROWS = 170_111  # of 2010 to 2023


@pytest.fixture(scope="module")
def nifty(real_data_dir: Path) -> Fetch:
    return FilesSource(path=str(real_data_dir)).fetch(None, date(2000, 1, 1), date(2023, 12, 31), NOW)


@pytest.fixture(scope="module")
def returns(nifty: Fetch) -> pl.DataFrame:
    """Stock rows, duplicates dropped, with the one-day total return."""
    rows = (
        nifty.rows.filter(pl.col("instrument") == "equity")
        .unique(["date", "ticker"], keep="first")
        .sort("ticker", "date")
    )
    rows = rows.with_columns(
        previous_day=pl.col("date").shift(1).over("ticker"), previous_basis=pl.col("basis").shift(1).over("ticker")
    )
    level = pl.col("close_inr").shift(1).over("ticker") * pl.col("price_factor")
    return rows.with_columns(total=(pl.col("close_inr") + pl.col("dividend_inr")) / level - 1.0)


def sample(real_data_dir: Path, name: str) -> Fetch:
    path = real_data_dir / "raw_samples" / name
    return FilesSource(path=str(path), ticker_pattern=SAMPLE_NAME).fetch(
        None, date(1990, 1, 1), date(2024, 12, 31), NOW
    )


@pytest.mark.parametrize(
    ("name", "n_rows", "first", "last", "tickers_", "basis"),
    [
        ("kaggle_nse_INFRATEL.csv", 1689, date(2012, 12, 28), date(2019, 10, 31), ["INDUSTOWER"], "unadjusted"),
        ("kaggle_nse_slim_dmy_DRREDDY.csv", 5306, date(2000, 1, 3), date(2021, 4, 30), ["DRREDDY"], "unadjusted"),
        ("yahoo_2020_UNITECH.NS.csv", 4402, date(2002, 7, 1), date(2020, 3, 3), ["UNITECH"], "split_adjusted"),
        ("yahoo_2024_LTIM.csv", 1839, date(2016, 7, 21), date(2023, 12, 29), ["LTIM"], "split_adjusted"),
        ("yahoo_actions_YESBANK.NS.csv", 4000, date(2005, 7, 12), date(2021, 10, 11), ["YESBANK"], "split_adjusted"),
    ],
)
def test_a_sample_file_of_one_ticker_reads(
    real_data_dir: Path, name: str, n_rows: int, first: date, last: date, tickers_: list[str], basis: str
) -> None:
    rows = sample(real_data_dir, name).rows
    found = (
        rows.height,
        rows["date"].min(),
        rows["date"].max(),
        rows["ticker"].unique().to_list(),
        rows["basis"].unique().to_list(),
    )
    assert found == (n_rows, first, last, tickers_, [basis])


@pytest.mark.parametrize(
    ("name", "day", "n_rows"),
    [
        ("nse_sec_bhavdata_full_2020-03-23.csv", date(2020, 3, 23), 1478),
        ("nse_sec_bhavdata_full_2022-10-24.csv", date(2022, 10, 24), 1733),
        ("nse_sec_bhavdata_full_2023-11-12.csv", date(2023, 11, 12), 1744),
    ],
)
def test_a_daily_exchange_file_reads(real_data_dir: Path, name: str, day: date, n_rows: int) -> None:
    rows = sample(real_data_dir, name).rows
    assert rows["date"].unique().to_list() == [day]
    assert rows.height == n_rows
    assert rows.null_count().row(0, named=True)["close_inr"] == 0
    average = rows["turnover_inr"] / rows["volume_shares"]
    within = average.is_between(rows["low_inr"] * 0.98, rows["high_inr"] * 1.02)
    assert within.filter(rows["turnover_inr"] > 1e6).mean() > 0.999  # the file rounds turnover to 1,000 rupees


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty_file_axis.csv", r"the file is empty \(1 bytes\)"),
        ("yahoo_404_BAFNAPH.NS.csv", r"first line is '404 Not Found: Timestamp data missing.'"),
        ("yahoo_multiheader_NIFTY50.csv", r"three yfinance header lines and no rows"),
    ],
)
def test_a_broken_sample_says_why(real_data_dir: Path, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        sample(real_data_dir, name)


#: The rows of each sample that reads, but for when it was written: a change of the reader that changes a value is seen.
DIGESTS = {
    "kaggle_nse_INFRATEL.csv": "4954a92e3c97",
    "kaggle_nse_slim_dmy_DRREDDY.csv": "0e0ae44c16be",
    "nse_sec_bhavdata_full_2020-03-23.csv": "cba74cd31990",
    "nse_sec_bhavdata_full_2022-10-24.csv": "072b3047a1d5",
    "nse_sec_bhavdata_full_2023-11-12.csv": "99af91b3e010",
    "yahoo_2020_UNITECH.NS.csv": "0327476e3bd7",
    "yahoo_2024_LTIM.csv": "bed767b4acd9",
    "yahoo_actions_YESBANK.NS.csv": "b3295ce3958b",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_rows_of_a_sample_stay_what_they_were(real_data_dir: Path, name: str) -> None:
    text = sample(real_data_dir, name).rows.drop("fetched_at").write_csv()
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == DIGESTS[name]


def test_every_sample_is_covered_above(real_data_dir: Path) -> None:
    names = {path.name for path in (real_data_dir / "raw_samples").iterdir()}
    assert len(names) == len(DIGESTS) + 3


def test_kaggle_and_exchange_turnover_agree_with_price_times_volume(nifty: Fetch) -> None:
    rows = nifty.rows.filter((pl.col("turnover_inr") > 0) & (pl.col("volume_shares") > 0))
    average = rows["turnover_inr"] / rows["volume_shares"]
    assert average.is_between(rows["low_inr"] * 0.99, rows["high_inr"] * 1.01).mean() > 0.999


def test_adjusted_rows_fill_the_names_that_lack_official_history(nifty: Fetch, returns: pl.DataFrame) -> None:
    filled = nifty.rows.filter((pl.col("basis") == "split_adjusted") & (pl.col("date") >= date(2010, 1, 1)))
    late = filled.filter(pl.col("date") == date(2019, 9, 30))["ticker"].n_unique()
    assert late == 38  # 39 names less JIOFIN, which came in 2023
    firsts = returns.filter(pl.col("basis") == "unadjusted").group_by("ticker").agg(first=pl.col("date").min())
    assert filled.join(firsts, on="ticker").filter(pl.col("date") >= pl.col("first")).height == 0
    assert {problem.kind for problem in nifty.problems} == {"ignored_file", "filled", "before_listing", "actions_end"}


def test_the_dated_index_is_nearly_complete(nifty: Fetch, real_data_dir: Path) -> None:
    own = FilesSource(path=str(real_data_dir)).membership("nifty50")  # names of 2023, as the folder's list has them
    rows = nifty.rows.select("date", "ticker").unique().join(own, on="ticker")
    left = pl.col("date") >= pl.col("to_date")
    members = rows.filter(pl.col("date") >= pl.col("from_date"), ~left.fill_null(False))
    daily = members.filter(pl.col("date") >= date(2014, 4, 1)).group_by("date").len()
    usual = daily.filter(pl.col("len") >= 49)
    assert usual.height / daily.height > 0.99
    assert set(own["ticker"]) - set(nifty.rows["ticker"]) == NEVER_PRICED
    assert members.filter(pl.col("date") == date(2023, 12, 29))["ticker"].n_unique() == 50


#: Renamed after the prices end: members until then under the first name, in today's lists under the second.
RENAMED_SINCE = {"MCDOWELL-N": "UNITDSPR", "IBULHSGFIN": "SAMMAANCAP", "TATAMOTORS": "TMPV", "LTIM": "LTM"}


@pytest.mark.parametrize("own_names", [True, False])
@pytest.mark.parametrize("own_members", [True, False])
def test_every_member_is_found_whichever_list_is_older(
    nifty: Fetch, real_data_dir: Path, tmp_path: Path, own_names: bool, own_members: bool
) -> None:
    """The folder's lists of 2023 and the shipped ones of 2026, mixed both ways: the same rows are members."""
    wanted = {"symbol_changes.csv": own_names, "index_membership.csv": own_members}
    for file in (*real_data_dir.glob("*.parquet"), *real_data_dir.glob("*.csv")):
        if wanted.get(file.name, True):
            (tmp_path / file.name).symlink_to(file)
    source = FilesSource(path=str(tmp_path))
    span = (date(2010, 1, 1), date(2023, 12, 29))
    rows = nifty.rows if own_names else source.fetch(None, date(2000, 1, 1), date(2023, 12, 31), NOW).rows
    here, there = (set(RENAMED_SINCE), set(RENAMED_SINCE.values())) if own_names else (
        set(RENAMED_SINCE.values()), set(RENAMED_SINCE),
    )  # fmt: skip
    members = source.membership("nifty50")
    assert here <= set(members["ticker"])
    assert not there & set(members["ticker"])
    inside = rows.select("date", "ticker").unique().join(members, on="ticker").filter(
        pl.col("date").is_between(*span), pl.col("date") >= pl.col("from_date"),
        ~(pl.col("date") >= pl.col("to_date")).fill_null(False),
    )  # fmt: skip
    assert inside.height == MEMBER_ROWS
    assert inside.filter(pl.col("ticker").is_in(sorted(here)))["ticker"].n_unique() == 4


def test_renames_that_no_list_knows_are_found_in_the_whole_market(
    real_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """132 of the 133 whose both names trade in the ordinary series are found, none is invented."""
    monkeypatch.setattr(_names, "shipped_changes", lambda: shipped_changes().clear())
    empty = tmp_path / "symbol_changes.csv"
    empty.write_text("old_symbol,new_symbol,first_new\nXXX,YYY,2001-01-02\n")
    source = FilesSource(path=str(real_data_dir / "wide"), symbol_changes=str(empty), series=("EQ",))
    found = source.fetch(["NONE"], date(2019, 10, 1), date(2023, 12, 31), NOW).problems
    pairs = {
        (problem.ticker, problem.detail.split()[0]): problem.detail for problem in found if problem.kind == "renamed"
    }
    listed = set(shipped_changes().select("old_symbol", "new_symbol").rows())
    assert set(pairs) <= listed
    assert len(pairs) == 132


def test_confirmed_splits_and_bonuses_leave_no_jump(returns: pl.DataFrame, real_data_dir: Path) -> None:
    listed = read_actions(real_data_dir / "corporate_actions.csv")
    confirmed = listed.filter(pl.col("kind").str.starts_with("split_or_bonus"))
    corrected = confirmed.join(known_actions(), on=["ticker", "ex_date"], how="semi")
    assert (confirmed.height, corrected.height) == (107, 8)
    wanted = confirmed.join(corrected, on=["ticker", "ex_date"], how="anti")
    wanted = wanted.select("ticker", date="ex_date", factor="value")
    days = returns.filter(pl.col("basis") == "unadjusted").join(wanted, on=["ticker", "date"])
    assert days.height == wanted.height
    assert (days["price_factor"] / days["factor"] - 1.0).abs().max() < 1e-9
    assert days["total"].abs().max() < 0.14


def test_three_listed_bonuses_of_bajaj_finance_were_none(returns: pl.DataFrame) -> None:
    """The vendor's close was off by 1.1 on these days; the exchange's price went on as if nothing had happened."""
    days = [date(2004, 4, 30), date(2004, 6, 14), date(2006, 5, 25)]
    rows = returns.filter(pl.col("ticker") == "BAJFINANCE", pl.col("date").is_in(days)).sort("date")
    assert rows["price_factor"].to_list() == [1.0] * 3
    assert [round(value, 3) for value in rows["total"]] == [0.017, 0.004, 0.111]


def test_every_factor_on_official_rows_is_explained(returns: pl.DataFrame, real_data_dir: Path) -> None:
    listed = with_known_actions(read_actions(real_data_dir / "corporate_actions.csv"))
    events = price_factors(listed).rename({"ex_date": "date"}).drop("price_factor")
    moved = returns.filter((pl.col("price_factor") != 1.0) & (pl.col("previous_basis") == "unadjusted"))
    assert moved.join(events, on=["ticker", "date"], how="anti").height == 0


def test_where_bases_meet_in_2019_the_levels_are_already_equal(returns: pl.DataFrame) -> None:
    seam = returns.filter((pl.col("date") == date(2019, 10, 1)) & (pl.col("previous_basis") == "split_adjusted"))
    assert seam.height == 38
    assert (seam["price_factor"] - 1.0).abs().max() < 1e-3
    assert seam["total"].abs().max() < 0.17  # RPOWER at two rupees


def test_months_one_by_one_equal_the_whole(nifty: Fetch, real_data_dir: Path) -> None:
    source = FilesSource(path=str(real_data_dir))
    for year, month, last in ((2005, 3, 31), (2017, 7, 31), (2019, 10, 31), (2023, 7, 31)):
        start, end = date(year, month, 1), date(year, month, last)
        whole = nifty.rows.filter(pl.col("date").is_between(start, end))
        assert source.fetch(None, start, end, NOW).rows.equals(whole)


def test_index_series_keep_their_meaning(nifty: Fetch) -> None:
    day = nifty.rows.filter(pl.col("date") == date(2016, 7, 8))
    closes = dict(day.filter(pl.col("instrument") == "index").select("ticker", "close_inr").iter_rows())
    assert closes["NIFTY 50 TRI"] == 11172.39
    assert closes["NIFTY 50"] == pytest.approx(8323.2, abs=0.01)
    assert closes["^NSEI"] == pytest.approx(closes["NIFTY 50"], rel=1e-3)


def test_the_whole_market_chains_symbols_and_rounds_prices(real_data_dir: Path) -> None:
    source = FilesSource(path=str(real_data_dir / "wide"))
    rows = source.fetch(["INDUSTOWER", "TATACONSUM", "LTIM"], date(2019, 10, 1), date(2023, 12, 31), NOW).rows
    symbols = [
        rows.filter(pl.col("date") == day)["symbol"].sort().to_list() for day in (date(2020, 2, 26), date(2022, 12, 5))
    ]
    assert symbols == [["INFRATEL", "LTI", "TATAGLOBAL"], ["INDUSTOWER", "LTIM", "TATACONSUM"]]
    assert rows.group_by("ticker").len()["len"].to_list() == [1053] * 3
    assert (rows["close_inr"] - rows["close_inr"].round(2)).abs().max() == 0.0


def test_reading_is_fast(real_data_dir: Path) -> None:
    """Generous bounds, several times what an idle machine needs."""
    source = FilesSource(path=str(real_data_dir))
    source.fetch(["TCS"], date(2010, 1, 1), date(2010, 1, 31), NOW)
    begun = time.perf_counter()
    source.fetch(None, date(2010, 1, 1), date(2023, 12, 31), NOW)
    assert time.perf_counter() - begun < 6.0
    begun = time.perf_counter()
    source.fetch(None, date(2015, 3, 1), date(2015, 3, 31), NOW)
    assert time.perf_counter() - begun < 1.0
