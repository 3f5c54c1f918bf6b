"""Every defect that the provenance of the private price files names, on the rows that show it.

One has no test: deliverable above volume (100 rows), because deliverable quantities are not in the raw table.
"""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from tables import REAL_CRASHES, Market

from quant_core.calendar import is_session, sessions
from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.market.sources.files import FilesSource
from quant_core.market.universe import membership, nifty50_facts, universe

pytestmark = pytest.mark.real_data

NOW = datetime(2024, 1, 1, tzinfo=UTC)
LOST_SESSIONS = (date(2021, 11, 4), date(2022, 8, 8))
CLOSED_DAYS = (date(2008, 11, 27), date(2009, 4, 30), date(2009, 10, 13), date(2014, 4, 24), date(2014, 10, 15))
STALE_DAYS = (date(2007, 12, 18), date(2008, 11, 20), date(2015, 8, 12))
#: Sessions away, by ticker.
LEFT_FOR_ANOTHER_SERIES = {
    "RELINFRA": 268,
    "RPOWER": 237,
    "RCOM": 249,
    "RELCAPITAL": 160,
    "JPASSOCIAT": 67,
    "SUZLON": 59,
}


@pytest.fixture(scope="module")
def vendor(real_data_dir: Path) -> tuple[pl.DataFrame, Cleaned]:
    """Yahoo's file alone."""
    path = str(real_data_dir / "nifty50_yahoo_adjusted.parquet")
    raw = FilesSource(path=path, actions="none").fetch(None, date(2000, 1, 1), date(2023, 12, 29), NOW).rows
    return raw, clean(raw, None, CleaningConfig(), date(2000, 1, 1), date(2023, 12, 29))


def of(table: pl.DataFrame, ticker: str, start: date, end: date | None = None) -> pl.DataFrame:
    return table.filter(pl.col("ticker") == ticker, pl.col("date").is_between(start, end or start)).sort("date")


def official(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.filter(pl.col("basis") == "unadjusted", pl.col("instrument") == "equity")


def count(cleaned: Cleaned, kind: str) -> int:
    return int(cleaned.quality.filter(pl.col("kind") == kind)["n_rows"].sum())


def test_147_exact_duplicates_are_counted_and_used_once(market: Market) -> None:
    assert (market.count("repeat"), market.count("conflict")) == (147, 0)
    for day in (date(2011, 5, 6), date(2011, 8, 9), date(2011, 10, 24)):
        twice = official(market.raw).filter(pl.col("date") == day).group_by("ticker").len().filter(pl.col("len") == 2)
        assert twice.height == 49
        once = market.prices.filter(pl.col("date") == day).join(twice, on="ticker")
        assert once["ticker"].is_unique().all()
        assert once.filter("is_filled").height == 0


@pytest.mark.parametrize("day", LOST_SESSIONS)
def test_a_session_that_the_files_lack_is_carried_untradable(market: Market, day: date) -> None:
    assert is_session(day)
    assert official(market.raw).filter(pl.col("date") == day).height == 0
    carried = market.prices.filter(pl.col("date") == day, pl.col("instrument") == "equity")
    assert carried.height > 80
    assert carried["is_filled"].all()
    assert not carried["is_tradable"].any()
    assert carried["total_return_1d"].null_count() == carried.height


@pytest.mark.parametrize("day", LOST_SESSIONS)
def test_the_return_after_a_lost_session_spans_it(market: Market, day: date) -> None:
    after = of(market.prices.filter(~pl.col("is_filled")), "TCS", day, date(day.year, day.month, 28)).row(0, named=True)
    before = of(official(market.raw), "TCS", date(day.year, day.month, 1), day)["close_inr"][-1]
    assert after["total_return_1d"] == pytest.approx(after["close_inr"] / before - 1)
    stated = of(market.raw, "TCS", after["date"])["prev_close_inr"][0]
    assert stated != before  # the exchange's field knows the close that the files lack


def test_previous_close_is_never_adjusted_and_the_factor_comes_from_the_list(market: Market) -> None:
    rows = official(market.raw).unique(["date", "ticker"], keep="first").sort("ticker", "date")
    rows = rows.with_columns(before=pl.col("close_inr").shift(1).over("ticker"))
    events = rows.filter(pl.col("price_factor") <= 0.75).drop_nulls("before")
    assert events.height >= 97
    assert (events["prev_close_inr"] / events["before"] - 1).abs().max() < 1e-9
    after = market.prices.join(events.select("ticker", "date"), on=["ticker", "date"])
    assert after["total_return_1d"].abs().max() < 0.2


@pytest.mark.parametrize("ticker", ["GAIL", "INDUSINDBK", "KOTAKBANK", "SHREECEM"])
def test_321_sessions_in_another_series_are_a_gap_of_five_carried_rows(market: Market, ticker: str) -> None:
    first, last = date(2000, 3, 22), date(2001, 6, 29)
    assert len(sessions(first, last)) == 321
    assert of(official(market.raw), ticker, first, last).height == 0
    gap = of(market.prices, ticker, first, last)
    assert gap.height == 5
    assert gap["is_filled"].all()
    back = of(market.prices, ticker, date(2001, 7, 2)).row(0, named=True)
    stated = of(market.raw, ticker, date(2001, 7, 2)).row(0, named=True)
    before = of(official(market.raw), ticker, date(2000, 1, 3), date(2000, 3, 21)).row(-1, named=True)
    held = before["close_inr"] * stated["price_factor"]
    # a holder was last valued at the close of 16 months ago: that is what the first return back spans from
    assert back["total_return_1d"] == pytest.approx(stated["close_inr"] / held - 1, abs=1e-4)
    assert "gap" in back["flags"].split("|")


def test_71_lost_days_of_one_stock_are_carried_up_to_five_in_a_row(market: Market) -> None:
    held = set(of(official(market.raw), "BAJFINANCE", date(2000, 1, 3), date(2009, 12, 31))["date"])
    lost = [day for day in sessions(date(2000, 1, 3), date(2009, 12, 31)) if day not in held]
    assert len(lost) == 71
    rows = of(market.prices, "BAJFINANCE", lost[0], lost[-1]).filter(pl.col("date").is_in(lost))
    assert rows.height == 62  # the other nine lie beyond the fifth session of a longer gap
    assert rows["is_filled"].all()
    for ticker in ("BAJFINANCE", "BAJAJFINSV", "BRITANNIA"):
        assert of(market.prices, ticker, date(2009, 5, 18))["is_filled"].to_list() == [True]


@pytest.mark.parametrize(("ticker", "lost"), LEFT_FOR_ANOTHER_SERIES.items())
def test_a_stock_that_leaves_for_another_series_is_carried_five_sessions_a_spell(
    market: Market, ticker: str, lost: int
) -> None:
    held = of(official(market.raw), ticker, date(2019, 10, 1), date(2023, 12, 29))["date"]
    last = held.max()
    away = [day for day in sessions(date(2019, 10, 1), last) if day not in set(held)]
    assert len(away) == lost
    filled = of(market.prices, ticker, date(2019, 10, 1), last).filter("is_filled")
    assert 0 < filled.height < 0.5 * lost
    assert not filled["is_tradable"].any()


@pytest.mark.parametrize(("ticker", "last"), [("UNITECH", date(2019, 11, 20)), ("SUZLON", date(2023, 10, 9))])
def test_a_stock_that_leaves_for_good_ends_after_five_carried_rows(market: Market, ticker: str, last: date) -> None:
    tail = market.prices.filter(pl.col("ticker") == ticker, pl.col("date") > last)
    assert tail.height == 5
    assert tail["is_filled"].all()


def test_names_without_older_official_rows_take_the_vendors(market: Market) -> None:
    firsts = official(market.raw).group_by("ticker").agg(first=pl.col("date").min())
    late = firsts.filter(pl.col("first") == date(2019, 10, 1))["ticker"].to_list()
    assert len(late) >= 38
    older = market.prices.filter(pl.col("ticker").is_in(late), pl.col("date") < date(2019, 10, 1))
    assert older["ticker"].n_unique() == len(late)
    assert not set(market.raw["ticker"]) & {"CAIRN", "RANBAXY"}  # no prices anywhere


def test_vendor_rows_before_a_listing_are_left_out(real_data_dir: Path, market: Market) -> None:
    source = FilesSource(path=str(real_data_dir))
    problems = source.fetch(["TCS", "NESTLEIND"], date(2000, 1, 1), date(2011, 1, 1), NOW).problems
    early = {problem.ticker: int(problem.detail.split()[0]) for problem in problems if problem.kind == "before_listing"}
    assert early == {"TCS": 531, "NESTLEIND": 1863}
    firsts = dict(market.prices.group_by("ticker").agg(pl.col("date").min()).iter_rows())
    assert firsts["TCS"] == date(2004, 8, 25)
    assert firsts["ULTRACEMCO"] == date(2004, 8, 24)
    assert firsts["NESTLEIND"] == date(2010, 1, 8)
    assert firsts["BAJAJ-AUTO"] == firsts["BAJAJFINSV"] == date(2008, 5, 26)
    assert firsts["LT"] == date(2004, 6, 23)


def test_vendor_rows_without_volume_are_flagged_and_untradable(vendor: tuple[pl.DataFrame, Cleaned]) -> None:
    raw, cleaned = vendor
    empty = raw.filter(pl.col("volume_shares") == 0)
    assert empty.height > 2600
    assert count(cleaned, "zero_volume") >= empty.height
    kept = cleaned.prices.filter(~pl.col("is_filled")).join(empty.select("date", "ticker"), on=["date", "ticker"])
    assert kept.height > 600
    assert not kept["is_tradable"].any()


def test_vendor_bars_that_contradict_themselves_are_widened(vendor: tuple[pl.DataFrame, Cleaned]) -> None:
    raw, cleaned = vendor
    prices = ("open_inr", "low_inr", "close_inr")
    wrong = raw.filter(
        (pl.col("high_inr") < pl.max_horizontal(prices))
        | (pl.col("low_inr") > pl.min_horizontal("open_inr", "close_inr"))
    )
    assert wrong.height > 0
    assert count(cleaned, "bad_bar") == wrong.height
    fixed = cleaned.prices.filter(pl.col("flags").str.contains("bad_bar"))
    assert (fixed["high_inr"] >= fixed.select(pl.max_horizontal(prices)).to_series()).all()
    assert (fixed["low_inr"] <= fixed.select(pl.min_horizontal("open_inr", "close_inr")).to_series()).all()


def test_vendor_rows_without_close_are_carried(vendor: tuple[pl.DataFrame, Cleaned]) -> None:
    raw, cleaned = vendor
    missing = raw.filter(pl.col("close_inr").is_null())
    assert count(cleaned, "no_close") == missing.height > 1900
    there = cleaned.prices.join(missing.select("date", "ticker"), on=["date", "ticker"])
    assert there["is_filled"].all()


def test_vendor_rows_on_closed_days_are_not_used(vendor: tuple[pl.DataFrame, Cleaned]) -> None:
    raw, cleaned = vendor
    for day in CLOSED_DAYS:
        assert not is_session(day)
        assert raw.filter(pl.col("date") == day).height > 50
        assert cleaned.prices.filter(pl.col("date") == day).height == 0
    closed = raw.filter(~pl.col("date").is_in(sessions(date(2000, 1, 1), date(2023, 12, 29))))
    assert count(cleaned, "off_calendar") == closed.height > 3000


@pytest.mark.parametrize("day", STALE_DAYS)
def test_vendor_closes_that_repeat_the_day_before_cannot_be_traded(
    vendor: tuple[pl.DataFrame, Cleaned], day: date
) -> None:
    raw, cleaned = vendor
    rows = raw.sort("ticker", "date").with_columns(before=pl.col("close_inr").shift(1).over("ticker"))
    stale = rows.filter(pl.col("date") == day, pl.col("close_inr") == pl.col("before"))
    assert stale.height >= 4
    kept = cleaned.prices.filter(pl.col("date") == day).join(stale.select("ticker"), on="ticker")
    assert kept.height == stale.height
    assert not kept["is_tradable"].any()
    assert kept["flags"].str.contains("zero_volume|stale").all()


def test_a_bar_equal_to_the_one_before_is_called_stale(vendor: tuple[pl.DataFrame, Cleaned]) -> None:
    assert count(vendor[1], "stale") == 600


@pytest.mark.parametrize(
    ("ticker", "wrong", "right", "factor"),
    [
        ("LT", date(2006, 9, 27), date(2006, 9, 28), 0.5),
        ("CIPLA", date(2004, 5, 11), date(2004, 5, 12), 0.2),
        ("DRREDDY", date(2001, 10, 10), date(2001, 10, 15), 0.5),
    ],
)
def test_a_split_that_the_vendor_books_on_the_wrong_day_is_on_the_right_one(
    market: Market, ticker: str, wrong: date, right: date, factor: float
) -> None:
    assert of(market.raw, ticker, wrong)["price_factor"].to_list() == [1.0]
    assert of(market.raw, ticker, right)["price_factor"].to_list() == [factor]
    week = of(market.prices, ticker, wrong, right)
    assert week["total_return_1d"].abs().max() < 0.06


def test_axisbank_is_the_exchanges_and_not_the_vendors_contradicting_one(
    market: Market, both_sources: pl.DataFrame
) -> None:
    assert of(market.raw, "AXISBANK", date(2000, 1, 3), date(2023, 12, 29))["basis"].unique().to_list() == [
        "unadjusted"
    ]
    wrong = both_sources.filter(pl.col("ticker") == "AXISBANK", pl.col("gap") > 5e-4)
    assert wrong.height > 500
    assert wrong.filter(pl.col("date") < date(2003, 1, 1)).height / wrong.height > 0.9


def test_special_sessions_that_the_vendor_lacks_are_there(market: Market, vendor: tuple[pl.DataFrame, Cleaned]) -> None:
    for day in (date(2020, 2, 1), date(2023, 11, 12)):
        assert vendor[0].filter(pl.col("date") == day).height == 0
        assert of(market.prices, "TCS", day)["is_filled"].to_list() == [False]


def test_the_rebased_nifty_it_is_bridged(market: Market) -> None:
    row = of(market.prices, "NIFTY IT", date(2004, 5, 28)).row(0, named=True)
    before = of(market.prices, "NIFTY IT", date(2004, 5, 27))["close_inr"][0]
    assert row["close_inr"] / before - 1 == pytest.approx(-0.905, abs=1e-3)
    assert row["flags"] == "rebased"
    assert row["total_return_1d"] == pytest.approx(-0.054, abs=1e-3)
    assert market.count("rebased") == 1


def test_index_opens_of_zero_become_null_and_the_close_gives_the_return(market: Market) -> None:
    zero = market.raw.filter(pl.col("ticker") == "NIFTY IT", pl.col("open_inr") == 0)
    assert zero.height == 911
    rows = of(market.prices, "NIFTY IT", date(2000, 1, 3), date(2003, 8, 22)).join(zero.select("date"), on="date")
    assert rows.height == 911
    assert rows["open_inr"].null_count() == 911
    assert rows["total_return_1d"].null_count() == 1
    assert rows["flags"].str.contains("bad_open").all()


@pytest.mark.parametrize("index", ["NIFTY BANK", "NIFTY AUTO", "NIFTY PHARMA"])
def test_early_index_rows_without_opens_still_have_returns(market: Market, index: str) -> None:
    rows = market.prices.filter(pl.col("ticker") == index, pl.col("open_inr").is_null()).sort("date")
    assert rows.height > 1000
    assert rows["total_return_1d"].null_count() <= 1


def test_india_vix_is_an_index_that_starts_in_2009(market: Market, real_data_dir: Path) -> None:
    vix = market.prices.filter(pl.col("ticker") == "INDIA VIX")
    assert vix["date"].min() == date(2009, 3, 2)
    assert vix["instrument"].unique().to_list() == ["index"]
    assert vix["close_inr"].min() > 0
    assert not vix["is_member"].any()
    asked = FilesSource(path=str(real_data_dir)).fetch(["INDIA VIX"], date(2020, 3, 1), date(2020, 3, 31), NOW).rows
    assert asked["ticker"].unique().to_list() == ["INDIA VIX"]
    assert asked["close_inr"].max() > 70


def test_membership_is_complete_only_from_2014() -> None:
    companies = set(nifty50_facts().filter(pl.col("kind") == "company")["ticker"])
    days = [date(2005, 1, 3), date(2008, 10, 1), date(2011, 6, 1), date(2014, 3, 28), date(2023, 12, 29)]
    stays = {day: pl.col("to_date").is_null() | (pl.col("to_date") > day) for day in (*days, date(2026, 9, 30))}
    members = membership("nifty50").filter(pl.col("ticker").is_in(companies))
    counts = {day: members.filter(pl.col("from_date") <= day, stay)["ticker"].n_unique() for day, stay in stays.items()}
    assert list(counts.values())[-3:] == [50, 50, 50]
    assert all(counts[day] < 50 for day in counts if day < date(2014, 3, 27))
    assert universe("nifty50").complete_from == date(2014, 3, 27)


def test_no_crash_is_taken_for_an_action_or_a_unit_error(market_without_actions: Market) -> None:
    rows = market_without_actions.prices.join(
        pl.DataFrame(REAL_CRASHES, schema={"ticker": pl.String, "date": pl.Date}, orient="row"), on=["ticker", "date"]
    )
    assert rows["flags"].to_list() == ["kept_move"] * 4
    assert market_without_actions.count("unit_jump") == 0
