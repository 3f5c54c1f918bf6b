"""Unlisted splits, unit slips and rebased indices, on prices that fit on paper."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.cleaning.suspects import SPLITS

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(START, END)


def cleaned(*rows: dict[str, Any], suspected: str = "judge") -> Cleaned:
    return clean(raw(*rows), None, CleaningConfig(suspected_actions=suspected), START, END)


def quiet(n: int, price: float = 100.0, **over: Any) -> list[dict[str, Any]]:
    return [bar(day, price, **({"volume_shares": 1000 + number} | over)) for number, day in enumerate(DAYS[:n])]


def at(result: Cleaned, day: date) -> dict[str, Any]:
    return result.prices.filter(pl.col("date") == day).row(0, named=True)


HALVED = bar(DAYS[5], 51.0, open_inr=50.5, low_inr=50.5, volume_shares=2004)


def test_an_unlisted_split_is_applied_and_its_evidence_listed() -> None:
    result = cleaned(*quiet(5), HALVED)
    found = result.suspects.row(0, named=True)
    assert (found["date"], found["ticker"], found["outcome"], found["ratio"]) == (DAYS[5], "TCS", "applied", 0.5)
    assert (found["open_ratio"], found["close_ratio"], found["gap_sessions"]) == (0.505, 0.51, 1)
    assert found["volume_ratio"] == pytest.approx(2.0)
    assert found["reason"] == "open and close at a simple ratio"
    row = at(result, DAYS[5])
    assert (row["flags"], row["total_return_1d"]) == ("applied_action", pytest.approx(0.02))
    assert ("applied_action", "TCS", 1) in result.quality.rows()


def test_nothing_is_applied_without_review_where_the_setting_says_so() -> None:
    row = at(cleaned(*quiet(5), HALVED, suspected="quarantine"), DAYS[5])
    assert (row["flags"], row["total_return_1d"], row["is_tradable"]) == ("quarantined", None, False)
    ignored = cleaned(*quiet(5), HALVED, suspected="off")
    assert ignored.suspects.is_empty()
    assert (at(ignored, DAYS[5])["flags"], at(ignored, DAYS[5])["total_return_1d"]) == ("", pytest.approx(-0.49))


def test_a_listed_split_is_not_suspected() -> None:
    assert cleaned(*quiet(5), HALVED | {"price_factor": 0.5}).suspects.is_empty()


def test_a_special_dividend_is_not_suspected() -> None:
    assert cleaned(*quiet(5), bar(DAYS[5], 51.0, dividend_inr=49.0)).suspects.is_empty()


@pytest.mark.parametrize(
    ("open_", "close"),
    [(90.0, 44.0), (98.7, 73.4), (100.7, 71.8), (80.0, 80.8), (79.1, 96.6), (105.0, 144.7)],
    ids=["yesbank_2020", "infy_2003", "adanient_2023", "yesbank_offer_2020", "bpcl_2004", "indusindbk_2020"],
)
def test_a_crash_that_trades_its_way_down_stays(open_: float, close: float) -> None:
    low, high = min(open_, close), max(open_, close)
    fallen = bar(DAYS[5], close, open_inr=open_, low_inr=low, high_inr=high, volume_shares=20_000)
    result = cleaned(*quiet(5), fallen)
    assert set(result.suspects["outcome"]) <= {"kept"}
    assert at(result, DAYS[5])["flags"] in ("", "kept_move")
    assert at(result, DAYS[5])["total_return_1d"] == pytest.approx(close / 100 - 1)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    ratio=st.sampled_from([(after, before) for after, before in SPLITS if before < 10]),
    night=st.floats(-0.025, 0.025),
    day=st.floats(-0.02, 0.02),
)
def test_every_simple_ratio_is_found_under_an_ordinary_move(ratio: tuple[int, int], night: float, day: float) -> None:
    """Applied with its own ratio, or quarantined where a neighbour is as near; never kept, never another ratio.

    4:5 and 5:6 are 4 % apart: under a move of more than half of that either may be read for the other.
    """
    factor = ratio[0] / ratio[1]
    open_ = 1000.0 * factor * (1 + night)
    close = open_ * (1 + day)
    extremes = {"low_inr": 0.99 * min(open_, close), "high_inr": 1.01 * max(open_, close)}
    rows = [*quiet(5, 1000.0), bar(DAYS[5], close, open_inr=open_, volume_shares=int(1000 / factor), **extremes)]
    found = cleaned(*rows).suspects
    assert found["outcome"].to_list() in (["applied"], ["quarantined"])
    own = {factor} if factor < 0.79 else {4 / 5, 5 / 6}
    assert found["outcome"][0] == "quarantined" or found["ratio"][0] in own
    if abs(night) < 0.01 and abs(day) < 0.01:
        assert found.select("outcome", "ratio").row(0) == ("applied", factor)


def test_a_shallow_ratio_needs_ordinary_volume() -> None:
    ordinary, thin = (cleaned(*quiet(5), bar(DAYS[5], 67.0, volume_shares=n)).suspects for n in (1500, 100))
    assert ordinary.select("ratio", "outcome").row(0) == (2 / 3, "applied")
    assert thin.select("ratio", "outcome").row(0) == (2 / 3, "quarantined")


def test_a_tick_of_a_penny_stock_is_no_action() -> None:
    assert cleaned(*quiet(5, 0.10), bar(DAYS[5], 0.05, volume_shares=5000)).suspects.is_empty()


@pytest.mark.parametrize("scale", [10.0, 100.0, 1e6, 0.01])
def test_a_price_in_another_unit_for_a_day_is_not_used(scale: float) -> None:
    result = cleaned(*quiet(5), bar(DAYS[5], 102.0 * scale), bar(DAYS[6], 103.0))
    assert at(result, DAYS[5])["is_filled"]
    assert at(result, DAYS[6])["total_return_1d"] == pytest.approx(0.03)
    assert result.quality.filter(pl.col("kind") == "unit_jump").rows() == [("unit_jump", "TCS", 1)]


@pytest.mark.parametrize("scale", [10.0, 0.1, 0.01])
def test_a_price_in_another_unit_from_a_day_on_is_bridged(scale: float) -> None:
    result = cleaned(*quiet(5), *(bar(day, 102.0 * scale, volume_shares=900 + day.day) for day in DAYS[5:9]))
    assert at(result, DAYS[5])["is_filled"]
    bridged = at(result, DAYS[6])
    assert (bridged["flags"], bridged["total_return_1d"]) == ("unit_jump|gap", pytest.approx(0.02))
    assert at(result, DAYS[7])["total_return_1d"] == pytest.approx(0.0)


def test_a_tenfold_split_shows_in_the_volume_and_is_suspected_instead() -> None:
    split = bar(DAYS[5], 10.2, volume_shares=12_000)
    result = cleaned(*quiet(5), split, bar(DAYS[6], 10.3, volume_shares=9_000))
    assert result.suspects["ratio"].to_list() == [0.1]
    assert result.quality.filter(pl.col("kind") == "unit_jump").is_empty()
    agreed = bar(DAYS[5], 10.2, turnover_inr=10.1 * 1000)
    assert cleaned(*quiet(5), agreed).suspects["ratio"].to_list() == [0.1]


def test_a_listed_tenfold_split_is_no_unit_jump() -> None:
    result = cleaned(*quiet(5), bar(DAYS[5], 10.2, price_factor=0.1))
    assert at(result, DAYS[5])["total_return_1d"] == pytest.approx(0.02)
    assert result.quality.is_empty()


def test_a_rebased_index_is_bridged_at_once() -> None:
    index = {"instrument": "index", "ticker": "NIFTY IT", "volume_shares": None}
    result = cleaned(*quiet(5, 21264.15, **index), bar(DAYS[5], 2011.25, **index))
    row = at(result, DAYS[5])
    assert row["flags"] == "rebased"
    assert row["total_return_1d"] == pytest.approx(10 * 2011.25 / 21264.15 - 1)


def test_what_follows_never_changes_a_flag() -> None:
    rows = [*quiet(5), HALVED, bar(DAYS[6], 520.0), bar(DAYS[7], 52.0), bar(DAYS[8], 51.0)]
    whole = cleaned(*rows).prices
    for n in range(6, len(rows)):
        assert cleaned(*rows[:n]).prices.equals(whole.filter(pl.col("date") <= rows[n - 1]["date"]))
