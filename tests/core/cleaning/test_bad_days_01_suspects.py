"""An unlisted corporate action never enters a return silently: applied, quarantined or kept, by stated evidence."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.errors import DataError

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(START, END)
DAY, NEXT = DAYS[5], DAYS[6]


def moved(open_: float, close: float, volume: int, day: date = DAY, **over: Any) -> dict[str, Any]:
    """A bar with a little room around open and close, after quiet days at 100."""
    room = {"low_inr": 0.99 * min(open_, close), "high_inr": 1.01 * max(open_, close)}
    return bar(day, close, open_inr=open_, volume_shares=volume, **(room | over))


def cleaned(*rows: dict[str, Any], reviewed: pl.DataFrame | None = None, **config: Any) -> Cleaned:
    quiet = [bar(day, 100.0) for day in DAYS[:5]]
    return clean(raw(*quiet, *rows), None, CleaningConfig(**config), START, END, reviewed=reviewed)


def outcome(result: Cleaned) -> list[str]:
    return result.suspects["outcome"].to_list()


def at(result: Cleaned, day: date = DAY) -> dict[str, Any]:
    return result.prices.filter(pl.col("date") == day, pl.col("ticker") == "TCS").row(0, named=True)


def line(kind: str, value: float | None = None, day: date = DAY, ticker: str = "TCS") -> pl.DataFrame:
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
    return pl.DataFrame([(ticker, day, kind, value)], schema=schema, orient="row")


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 0.8])
def test_an_exact_ratio_on_open_and_close_is_applied(ratio: float) -> None:
    row = moved(101 * ratio, 102 * ratio, int(1000 / ratio))
    result = cleaned(row)
    assert (outcome(result), result.suspects["ratio"].to_list()) == (["applied"], [pytest.approx(ratio)])
    found = at(result)
    assert (found["flags"], found["is_tradable"]) == ("applied_action", True)
    assert found["total_return_1d"] == pytest.approx(0.02)
    assert found["overnight_return_1d"] == pytest.approx(0.01)


#: (open, close, shares traded) over 100 and 1000 before.
UNCLEAR = {
    "a demerger flat at an odd price": (63.0, 63.5, 4000),
    "tatachem 2020, 8 % from 2:5": (43.5, 43.5, 6300),
    "reliance 2006, opened at 0.62 and closed at 0.75": (62.5, 74.7, 11500),
    "nmdc 2022, opened at 0.71 and closed at 0.80": (70.55, 79.77, 5000),
    "half way between 3:5 and 2:3": (63.3, 63.2, 1700),
    "a consolidation of odd terms": (160.0, 162.0, 700),
    "4:5 on a volume between a bonus and news": (80.3, 80.6, 3500),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_quarantined_and_the_next_return_starts_from_its_close(case: str) -> None:
    open_, close, volume = UNCLEAR[case]
    result = cleaned(moved(open_, close, volume), bar(NEXT, 1.01 * close))
    assert outcome(result) == ["quarantined"]
    row = at(result)
    assert (row["flags"], row["is_tradable"], row["close_inr"]) == ("quarantined", False, close)
    returns = ("overnight_return_1d", "intraday_return_1d", "total_return_1d", "dividend_return_1d")
    assert [row[name] for name in returns] == [None] * 4
    after = at(result, NEXT)
    assert (after["flags"], after["total_return_1d"], after["is_tradable"]) == ("", pytest.approx(0.01), True)
    assert ("quarantined", "TCS", 1) in result.quality.rows()


REAL = {
    "yesbank 2020-03, fell by trading": (90.0, 44.0, 9000),
    "a rise by trading": (105.0, 144.7, 3000),
    "yesbank 2020-07, 4:5 on 23 times the volume": (80.0, 80.8, 23_000),
    "one odd print at the open": (62.0, 97.0, 1000),
}


@pytest.mark.parametrize("case", REAL)
def test_a_real_move_is_kept_as_it_is(case: str) -> None:
    open_, close, volume = REAL[case]
    result = cleaned(moved(open_, close, volume))
    assert outcome(result) == ["kept"]
    assert (at(result)["flags"], at(result)["total_return_1d"]) == ("kept_move", pytest.approx(close / 100 - 1))


def test_a_price_locked_at_its_band_is_kept_on_little_volume_and_quarantined_on_a_bonus_days() -> None:
    locked = bar(DAY, 80.0, volume_shares=30)
    assert outcome(cleaned(locked)) == ["kept"]
    assert outcome(cleaned(locked | {"volume_shares": 1250})) == ["quarantined"]


def test_the_same_jump_is_the_indices_where_they_fell_too() -> None:
    index = {"instrument": "index", "volume_shares": None}
    levels = [bar(day, 100.0, "NIFTY 50", **index) for day in DAYS[:5]]
    fall = moved(66.7, 67.0, 1500)
    crash = [*levels, bar(DAY, 75.0, "NIFTY 50", **index), bar(DAY, 250.0, "INDIA VIX", **index)]
    assert outcome(cleaned(fall, *crash)) == ["kept"]
    calm = [*levels, bar(DAY, 99.0, "NIFTY 50", **index)]
    result = cleaned(fall, *calm)
    assert outcome(result) == ["applied"]
    assert result.suspects["index_return_1d"].to_list() == [pytest.approx(-0.01)]


def test_a_previous_close_that_the_exchange_adjusted_states_the_factor_also_of_a_demerger() -> None:
    result = cleaned(moved(64.0, 65.0, 1500, prev_close_inr=63.0))
    assert (outcome(result), result.suspects["ratio"].to_list()) == (["applied"], [pytest.approx(0.63)])
    assert at(result)["total_return_1d"] == pytest.approx(65 / 63 - 1)
    inside = cleaned(moved(91.5, 91.0, 1000, prev_close_inr=100 * 10 / 11))  # a bonus of 1 for 10
    assert at(inside)["total_return_1d"] == pytest.approx(0.91 * 11 / 10 - 1)


def test_a_previous_close_that_the_open_contradicts_is_a_defect_and_one_that_repeats_the_close_says_nothing() -> None:
    wrong = cleaned(moved(99.0, 101.0, 1000, prev_close_inr=157.0))  # EICHERMOT 2001-07-02
    assert (outcome(wrong), at(wrong)["total_return_1d"]) == ([], pytest.approx(0.01))
    plain = cleaned(moved(50.5, 51.0, 2000, prev_close_inr=100.0))
    assert plain.suspects["reason"].to_list() == ["open and close at a simple ratio"]


def test_a_listed_action_leaves_nothing_and_a_bonus_missing_beside_it_is_found() -> None:
    assert outcome(cleaned(moved(50.5, 51.0, 2000, price_factor=0.5))) == []
    both = cleaned(moved(10.1, 10.2, 10_000, price_factor=0.2))  # BAJFINANCE 2016: 5-for-1 listed, 1:1 bonus not
    assert both.suspects["ratio"].to_list() == [0.5]
    assert at(both)["total_return_1d"] == pytest.approx(0.02)


def test_volume_inverse_to_the_ratio_stands_for_the_last_percents_of_exactness() -> None:
    off = {volume: outcome(cleaned(moved(52.1, 52.2, volume))) for volume in (300, 2000)}
    assert off == {300: ["quarantined"], 2000: ["applied"]}


def test_a_reviewed_line_resolves_a_quarantined_row_or_keeps_it() -> None:
    jump = moved(63.0, 63.5, 4000)
    accepted = cleaned(jump, reviewed=line("demerger", 0.62))
    assert (outcome(accepted), at(accepted)["flags"]) == ([], "")
    assert at(accepted)["total_return_1d"] == pytest.approx(63.5 / 62 - 1)
    priced = cleaned(jump, reviewed=line("demerger"))  # the market's own price of what was handed out
    assert at(priced)["overnight_return_1d"] == pytest.approx(0.0)
    kept = cleaned(jump, reviewed=line("none"))
    assert (outcome(kept), at(kept)["total_return_1d"]) == (["kept"], pytest.approx(-0.365))
    split = cleaned(moved(52.1, 52.2, 300), reviewed=line("split", 2.0))
    assert at(split)["total_return_1d"] == pytest.approx(0.044)


def test_a_reviewed_line_that_the_source_lists_too_counts_once() -> None:
    row = moved(50.5, 51.0, 2000, price_factor=0.5)
    assert at(cleaned(row, reviewed=line("split_or_bonus_confirmed", 0.5)))["total_return_1d"] == pytest.approx(0.02)


def test_a_reviewed_dividend_is_paid_once_and_only_to_its_own_ticker() -> None:
    other = line("dividend", 7.0, ticker="INFY")
    lines = pl.concat([line("dividend", 5.0), other])
    paid = at(cleaned(bar(DAY, 95.0), reviewed=lines))
    assert (paid["total_return_1d"], paid["dividend_return_1d"]) == (pytest.approx(0.0), pytest.approx(0.05))
    twice = at(cleaned(bar(DAY, 95.0, dividend_inr=5.0), reviewed=lines))
    assert twice["total_return_1d"] == pytest.approx(0.0)


def test_an_unknown_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r'suspected_actions: \'apply\' is unknown; choose "judge", "quarantine"'):
        CleaningConfig(suspected_actions="apply")


def test_a_split_and_a_bonus_on_two_rows_that_cannot_be_used_both_arrive() -> None:
    lost = [bar(DAYS[5], None, price_factor=0.5), bar(DAYS[6], None, price_factor=0.2, dividend_inr=1.0)]
    row = at(cleaned(*lost, bar(DAYS[7], 10.0)), DAYS[7])
    assert row["total_return_1d"] == pytest.approx((10.0 + 1.0) / (100 * 0.5 * 0.2) - 1)
