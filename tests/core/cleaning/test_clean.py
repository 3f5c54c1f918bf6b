"""Cleaning by hand: returns across splits, dividends and gaps, flags for everything that was wrong."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.errors import DataError

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(START, END)


def cleaned(
    *rows: dict[str, Any], config: CleaningConfig | None = None, members: pl.DataFrame | None = None
) -> pl.DataFrame:
    return clean(raw(*rows), members, config or CleaningConfig(), START, END).prices


def row_of(table: pl.DataFrame, day: date) -> dict[str, Any]:
    return table.filter(pl.col("date") == day).row(0, named=True)


def test_the_return_has_an_overnight_and_an_intraday_part() -> None:
    table = cleaned(bar(DAYS[0], 100.0), bar(DAYS[1], 110.0, open_inr=105.0, high_inr=112.0, low_inr=104.0))
    row = row_of(table, DAYS[1])
    assert row["overnight_return_1d"] == pytest.approx(0.05)
    assert row["intraday_return_1d"] == pytest.approx(110 / 105 - 1)
    assert row["total_return_1d"] == pytest.approx(0.10)


def test_a_split_and_a_dividend_are_not_losses() -> None:
    split = bar(DAYS[1], 20.4, open_inr=20.2, price_factor=0.2)  # 5-for-1: 100 becomes 20
    dividend = bar(DAYS[2], 18.4, open_inr=18.4, dividend_inr=2.0)
    table = cleaned(bar(DAYS[0], 100.0), split, dividend)
    assert row_of(table, DAYS[1])["total_return_1d"] == pytest.approx(0.02)
    assert row_of(table, DAYS[2])["total_return_1d"] == pytest.approx(0.0)


def test_the_return_after_a_gap_spans_it_and_the_gap_is_carried_untradable_without_return() -> None:
    other = [bar(day, 50.0, "INFY") for day in DAYS]
    table = cleaned(bar(DAYS[0], 100.0), bar(DAYS[3], 90.0), *other).filter(pl.col("ticker") == "TCS")
    carried = table.filter("is_filled")
    assert carried["date"].to_list()[:2] == DAYS[1:3]
    assert carried["close_inr"].to_list()[:2] == [100.0, 100.0]
    assert carried["total_return_1d"].null_count() == carried.height
    assert not carried["is_tradable"].any()
    assert row_of(table, DAYS[3])["total_return_1d"] == pytest.approx(-0.10)


def test_prices_are_carried_no_further_than_the_limit() -> None:
    other = [bar(day, 50.0, "INFY") for day in DAYS]
    table = cleaned(bar(DAYS[0], 100.0), *other, config=CleaningConfig(ffill_limit=2)).filter(pl.col("ticker") == "TCS")
    assert table["date"].to_list() == DAYS[:3]


def test_exact_duplicates_off_calendar_rows_and_missing_closes_are_counted_not_used() -> None:
    sunday = date(2021, 3, 7)
    result = clean(
        raw(bar(DAYS[0], 100.0), bar(DAYS[0], 100.0), bar(sunday, 1.0), bar(DAYS[5], None), bar(DAYS[6], 0.0)),
        None,
        CleaningConfig(),
        START,
        END,
    )
    assert result.prices.filter(~pl.col("is_filled")).height == 1
    counts = {row["kind"]: row["n_rows"] for row in result.quality.to_dicts()}
    assert (counts["repeat"], counts["off_calendar"], counts["no_close"]) == (1, 1, 2)


def test_a_split_on_a_row_without_a_close_arrives_with_the_next_sound_row() -> None:
    table = cleaned(bar(DAYS[0], 100.0), bar(DAYS[1], None, price_factor=0.5), bar(DAYS[2], 51.0))
    assert row_of(table, DAYS[2])["total_return_1d"] == pytest.approx(0.02)


BAD_BAR = bar(DAYS[1], 100.0, high_inr=90.0)


def test_a_bar_that_contradicts_itself_is_widened_dropped_or_refused_as_configured() -> None:
    repaired = row_of(cleaned(bar(DAYS[0], 100.0), BAD_BAR), DAYS[1])
    assert (repaired["high_inr"], repaired["flags"]) == (100.0, "bad_bar")
    dropped = cleaned(bar(DAYS[0], 100.0), BAD_BAR, bar(DAYS[2], 100.0), config=CleaningConfig(on_bad_bar="drop"))
    assert row_of(dropped, DAYS[1])["is_filled"]
    with pytest.raises(DataError, match=r"TCS 2021-03-02: .*high 90.0.*on_bad_bar"):
        cleaned(BAD_BAR, config=CleaningConfig(on_bad_bar="raise"))


def test_a_row_without_volume_or_open_cannot_be_traded() -> None:
    table = cleaned(bar(DAYS[0], 100.0), bar(DAYS[1], 101.0, volume_shares=0), bar(DAYS[2], 102.0, open_inr=None))
    assert table.filter(~pl.col("is_filled"))["is_tradable"].to_list() == [True, False, False]
    assert row_of(table, DAYS[1])["flags"] == "zero_volume"


def test_the_exchanges_previous_close_stands_in_where_no_row_came_before_unless_it_is_absurd() -> None:
    first, absurd = (cleaned(bar(DAYS[0], 99.0, prev_close_inr=stated)) for stated in (90.0, 500.0))
    assert row_of(first, DAYS[0])["total_return_1d"] == pytest.approx(0.10)
    assert row_of(absurd, DAYS[0])["total_return_1d"] is None
    long_ago = DAYS[0] - timedelta(days=80)
    back = row_of(cleaned(bar(long_ago, 70.0), bar(DAYS[0], 99.0, prev_close_inr=90.0)), DAYS[0])
    assert back["total_return_1d"] == pytest.approx(99 / 70 - 1)  # from the last close that a holder was valued at


def test_a_change_of_basis_is_bridged_by_the_price_factor() -> None:
    table = cleaned(
        bar(DAYS[0], 10.0, basis="split_adjusted"), bar(DAYS[1], 101.0, price_factor=10.0), bar(DAYS[2], 102.01)
    )
    assert [row_of(table, day)["total_return_1d"] for day in DAYS[1:3]] == pytest.approx([0.01, 0.01])


def test_an_index_without_opens_has_its_whole_return_in_the_session() -> None:
    index = dict(instrument="index", open_inr=None, high_inr=None, low_inr=None, volume_shares=None)
    table = cleaned(bar(DAYS[0], 100.0, "TRI", **index), bar(DAYS[1], 101.0, "TRI", **index))
    row = row_of(table, DAYS[1])
    assert (row["overnight_return_1d"], row["intraday_return_1d"]) == (0.0, pytest.approx(0.01))
    assert row["is_tradable"]
    assert not row["is_member"]


def test_membership_is_dated_and_its_end_is_exclusive() -> None:
    members = pl.DataFrame({"ticker": ["TCS"], "from_date": [DAYS[1]], "to_date": [DAYS[3]]})
    table = cleaned(*(bar(day, 100.0 + n) for n, day in enumerate(DAYS[:5])), members=members)
    assert table.filter(~pl.col("is_filled"))["is_member"].to_list() == [False, True, True, False, False]


def test_a_month_that_has_not_traded_yet_gives_an_empty_table() -> None:
    result = clean(raw(), None, CleaningConfig(), START, END)
    assert result.prices.is_empty()
    assert result.quality.is_empty()


@pytest.mark.parametrize("bad", [{"ffill_limit": -1}, {"ffill_limit": 99}, {"on_bad_bar": "ignore"}])
def test_a_setting_outside_its_range_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(bad))):
        CleaningConfig(**bad)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_month_cleaned_alone_equals_the_month_within_a_range(data: st.DataObject) -> None:
    days = sessions(date(2020, 10, 1), date(2021, 4, 30))
    rows = []
    for ticker in ("AAA", "BBB", "CCC"):
        kept = data.draw(st.lists(st.sampled_from(days), min_size=1, max_size=len(days), unique=True))
        for day in sorted(kept):
            price = data.draw(st.sampled_from([95.0, 100.0, 105.0, 50.0, 1000.0, 10.0]))
            rows.append(
                bar(
                    day,
                    price,
                    ticker,
                    price_factor=data.draw(st.sampled_from([1.0, 1.0, 0.5])),
                    volume_shares=data.draw(st.sampled_from([1000, 5000])),
                    prev_close_inr=data.draw(st.sampled_from([None, 99.0])),
                )
            )
    table = raw(*rows).sort("date", "ticker")
    whole = clean(table, None, CleaningConfig(), date(2020, 10, 1), date(2021, 4, 30)).prices
    near, older = table.filter(pl.col("date") >= date(2020, 12, 1)), table.filter(pl.col("date") < date(2020, 12, 1))
    near = near.filter(pl.col("date") <= END)
    march = clean(near, None, CleaningConfig(), START, END, older=older.lazy()).prices
    assert march.equals(whole.filter(pl.col("date").is_between(START, END)))
