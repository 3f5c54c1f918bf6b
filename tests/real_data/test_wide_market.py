"""The full market, 2,346 symbols in one file: speed, and months that do not depend on what else is loaded."""

import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.cleaning.most_traded import LiquidityRule
from quant_core.market.sources.files import FilesSource

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

NOW = datetime(2024, 1, 1, tzinfo=UTC)
FIRST, LAST = date(2019, 10, 1), date(2023, 12, 29)
RULE = LiquidityRule(top_n=500)


@pytest.fixture(scope="module")
def source(real_data_dir: Path) -> FilesSource:
    return FilesSource(path=str(real_data_dir / "wide"))


@pytest.fixture(scope="module")
def whole(source: FilesSource) -> tuple[pl.DataFrame, Cleaned, float]:
    """Raw rows, the cleaned range and the seconds that both took."""
    begun = time.perf_counter()
    raw = source.fetch(None, FIRST, LAST, NOW).rows
    result = clean(raw, None, CleaningConfig(), FIRST, LAST, liquidity=RULE)
    return raw, result, time.perf_counter() - begun


def test_the_whole_market_is_read_and_cleaned_in_a_minute(whole: tuple[pl.DataFrame, Cleaned, float]) -> None:
    raw, result, seconds = whole
    assert raw.height == 1_669_039
    assert result.prices.filter(~pl.col("is_filled")).height > 1_669_000
    assert seconds < 60


@pytest.mark.parametrize(("start", "end"), [(date(2020, 3, 1), date(2020, 3, 31)), (date(2023, 12, 1), LAST)])
def test_a_month_alone_is_the_same_and_takes_a_second(
    source: FilesSource, whole: tuple[pl.DataFrame, Cleaned, float], start: date, end: date
) -> None:
    raw, result, _ = whole
    before = pl.select(pl.lit(start).dt.offset_by("-3mo")).item()
    near = raw.filter(pl.col("date").is_between(before, end))
    begun = time.perf_counter()
    month = source.fetch(None, start, end, NOW).rows
    older = raw.lazy().filter(pl.col("date") < before)
    alone = clean(near, None, CleaningConfig(), start, end, liquidity=RULE, older=older)
    assert time.perf_counter() - begun < 5  # a quarter of that on an idle machine
    assert month.equals(raw.filter(pl.col("date").is_between(start, end)))
    assert alone.prices.equals(result.prices.filter(pl.col("date").is_between(start, end)))
    assert alone.suspects.equals(result.suspects.filter(pl.col("date").is_between(start, end)))


def test_five_hundred_liquid_companies_are_members_of_a_month(whole: tuple[pl.DataFrame, Cleaned, float]) -> None:
    prices = whole[1].prices
    first = prices.filter(pl.col("date") < date(2019, 11, 1))
    assert not first["is_member"].any()  # no month behind it
    june = prices.filter(pl.col("is_member"), pl.col("date").dt.truncate("1mo") == date(2022, 6, 1))
    assert 490 <= june["ticker"].n_unique() <= 500  # a few left the series before June
    assert {"RELIANCE", "ADANIENT", "YESBANK"} <= set(june["ticker"])
    assert not set(june["ticker"]) & {"NIFTYBEES", "LIQUIDBEES", "GOLDBEES"}


def test_unlisted_splits_of_the_whole_market_are_judged(whole: tuple[pl.DataFrame, Cleaned, float]) -> None:
    suspects = whole[1].suspects
    outcomes = dict(suspects.group_by("outcome").len().iter_rows())
    assert outcomes["applied"] > 200
    assert outcomes["quarantined"] < 300  # most of them come back from a series that this file lacks
    applied = suspects.filter(pl.col("outcome") == "applied")
    found = set(applied.select("ticker", "date", "ratio").iter_rows())
    known = {
        ("EICHERMOT", date(2020, 8, 24), 0.1),
        ("IRCTC", date(2021, 10, 28), 0.2),
        ("IOC", date(2022, 6, 30), 2 / 3),
        ("PFC", date(2023, 9, 21), 0.8),
    }
    assert known <= found
    yesbank = suspects.filter(pl.col("ticker") == "YESBANK")
    assert yesbank.filter(pl.col("date") == date(2020, 7, 23))["outcome"].to_list() == ["kept"]
    assert set(yesbank["outcome"]) == {"kept"}
    stated = suspects.filter(pl.col("ticker") == "SETFGOLD", pl.col("date") == date(2022, 1, 6))
    assert stated["reason"].to_list() == ["the exchange's previous close states the base"]
    members = whole[1].prices.filter("is_member", pl.col("flags").str.contains("quarantined"))
    assert members.height < 40
