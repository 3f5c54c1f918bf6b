"""The two tables of docs/market-data.md hold on the private price files."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from tables import (
    REAL_CRASHES,
    Market,
    agreement_table,
    crash_table,
    detection_table,
    disagreement_table,
    equal_weight_cagr,
)

from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.market.universe import membership

pytestmark = pytest.mark.real_data


def shares(table: pl.DataFrame) -> dict[str, float]:
    return dict(table.select("what", "share").iter_rows())


def test_returns_agree_with_the_adjusted_reference(both_sources: pl.DataFrame) -> None:
    table = agreement_table(both_sources)
    print(table, disagreement_table(both_sources))
    assert table["ticker_days"][0] > 230_000
    found = shares(table)
    assert found["all ticker-days, same dividend formula"] >= 0.995
    assert found["all ticker-days, returns as the lab reports them"] >= 0.9949
    assert found["without wrong vendor closes"] >= 0.999
    assert found["since 2010"] >= 0.998


def test_no_class_of_disagreement_is_left_unnamed(both_sources: pl.DataFrame) -> None:
    reasons = dict(disagreement_table(both_sources).iter_rows())
    assert reasons["an ex-date where the vendor's factor differs"] <= 5
    assert reasons["a step in the vendor's level without an action"] <= 10
    assert reasons["same price move, another dividend"] <= 100


def test_a_wrong_factor_of_ours_would_not_be_called_a_wrong_vendor_close(both_sources: pl.DataFrame) -> None:
    """A factor error is a step between the levels of both sides, never a close that both sides contradict."""
    events = both_sources.filter(pl.col("price_factor") != 1.0, pl.col("date") >= pl.date(2003, 1, 1))
    assert events.height > 80
    assert events.filter("vendor_close_wrong", pl.col("gap") > 5e-4).height <= 3


def test_withheld_actions_are_applied_and_no_real_move_is_touched(
    real_data_dir: Path, market_without_actions: Market
) -> None:
    table = detection_table(real_data_dir, market_without_actions.cleaned.suspects)
    print(table)
    found = {row["what"]: row for row in table.to_dicts()}
    early, late = (found[f"split or bonus, factor 0.5 or less, {part}"] for part in ("to 2016", "from 2017"))
    assert early["events"] + late["events"] == 77
    for part in (early, late):  # tolerances were chosen on the first
        assert part["right_ratio"] >= 0.95 * part["events"]
        assert part["right_ratio"] == part["applied"]
        assert part["applied"] + part["quarantined"] == part["events"]
    shallow = found["split or bonus, factor 0.6 to 0.75"]
    assert (shallow["events"], shallow["right_ratio"], shallow["quarantined"]) == (20, 19, 1)
    assert found["real move"]["events"] == 38
    assert found["real move"]["applied"] + found["real move"]["quarantined"] == 0
    assert found["demerger"]["applied"] == 0
    assert found["other move above 20 %"]["quarantined"] == 0
    assert found["not in the list"]["applied"] + found["not in the list"]["quarantined"] == 0


@pytest.mark.parametrize("start", [date(2005, 1, 3), date(2010, 1, 4), date(2015, 1, 1)])
def test_equal_weight_grows_as_with_the_list(market: Market, market_without_actions: Market, start: date) -> None:
    members = membership("nifty50")
    listed, withheld = (equal_weight_cagr(m.prices, members, start) for m in (market, market_without_actions))
    print(f"price return from {start}: listed {listed:.3%}, withheld {withheld:.3%}")
    assert abs(listed - withheld) < 0.003


@pytest.mark.parametrize("with_actions", [True, False])
def test_real_crashes_stay(request: pytest.FixtureRequest, with_actions: bool) -> None:
    market = request.getfixturevalue("market" if with_actions else "market_without_actions")
    table = crash_table(market.prices)
    moves = {(row["ticker"], row["date"]): round(row["total_return_1d"], 3) for row in table.to_dicts()}
    assert moves == dict(zip(REAL_CRASHES, (-0.265, -0.561, 0.447, -0.282), strict=True))
    assert table["flags"].unique().to_list() == ["kept_move"]


def test_listed_actions_leave_nothing_to_suspect(market: Market) -> None:
    """Real moves are kept; two names of 2021 and 2022 came back from another series near a ratio of their old price."""
    outcomes = market.cleaned.suspects.filter(pl.col("outcome") != "kept").select("ticker", "date", "outcome")
    assert outcomes.rows() == [
        ("RELCAPITAL", date(2021, 2, 2), "quarantined"),
        ("RELCAPITAL", date(2022, 1, 4), "quarantined"),
    ]


@pytest.mark.parametrize(("year", "month"), [(2001, 7), (2004, 5), (2005, 9), (2011, 8), (2019, 10), (2022, 8)])
def test_a_month_cleaned_alone_equals_the_month_within_the_range(
    market_without_actions: Market, year: int, month: int
) -> None:
    raw, whole = market_without_actions
    start = date(year, month, 1)
    before, end = (pl.select(pl.lit(start).dt.offset_by(span)).item() for span in ("-3mo", "1mo"))
    near = raw.filter((pl.col("date") >= before) & (pl.col("date") < end))
    older = raw.lazy().filter(pl.col("date") < before)
    alone = clean(near, None, CleaningConfig(), start, end - timedelta(days=1), older=older)
    inside = (pl.col("date") >= start) & (pl.col("date") < end)
    assert alone.prices.equals(whole.prices.filter(inside))
    assert alone.suspects.equals(whole.suspects.filter(inside))
