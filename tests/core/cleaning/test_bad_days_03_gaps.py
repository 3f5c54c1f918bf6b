"""Absences keep their profit and loss: the first return back spans from the last close, however long ago that was."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.carry import seen_sessions
from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.cleaning.older_rows import RECENT
from quant_core.cleaning.returns import SEAM_SPAN
from quant_core.market.actions import LOOKBACK_DAYS
from quant_core.market.sources.simulated import SimulatedSource, simulate

DAYS = sessions(date(2020, 1, 1), date(2021, 12, 31))
FIRST, LAST = DAYS[0], DAYS[-1]
QUIET = 30  # sessions before the absence


def back(gap: int, close: float, volume: int = 1000, **over: Any) -> dict[str, Any]:
    return bar(DAYS[QUIET - 1 + gap], close, volume_shares=volume, **over)


def cleaned(*rows: dict[str, Any], reviewed: pl.DataFrame | None = None) -> Cleaned:
    quiet = [bar(day, 100.0) for day in DAYS[:QUIET]]
    other = [bar(day, 50.0, "INFY") for day in DAYS]
    return clean(raw(*quiet, *rows, *other), None, CleaningConfig(), FIRST, LAST, reviewed=reviewed)


def row_back(result: Cleaned, gap: int) -> dict[str, Any]:
    day = DAYS[QUIET - 1 + gap]
    return result.prices.filter(pl.col("ticker") == "TCS", pl.col("date") == day).row(0, named=True)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [2, 5, 6, 39, 40, 41, 42, 59, 60, 61, 200, 400])
def test_the_first_return_back_spans_the_whole_absence_and_says_so(gap: int) -> None:
    row = row_back(cleaned(back(gap, 88.0)), gap)
    assert (row["total_return_1d"], row["flags"], row["is_tradable"]) == (pytest.approx(-0.12), "gap", True)


def test_a_session_later_is_no_gap() -> None:
    assert row_back(cleaned(back(1, 88.0)), 1)["flags"] == ""


def test_a_suspension_of_45_sessions_that_ends_at_half_price_books_its_loss() -> None:
    result = cleaned(back(46, 50.0))
    row = row_back(result, 46)
    assert (row["total_return_1d"], row["flags"]) == (pytest.approx(-0.50), "kept_move|gap")
    assert result.suspects["reason"].to_list() == ["a long absence: a ratio says nothing"]


@pytest.mark.parametrize(
    ("gap", "volume", "expected"),
    [
        (5, 2000, "applied"),  # still an ordinary night's evidence
        (6, 2000, "quarantined"),
        (40, 2000, "quarantined"),
        (40, 1000, "quarantined"),
        (41, 2000, "quarantined"),  # volume moved inversely
        (41, 1000, "kept"),
        (300, 1000, "kept"),
    ],
)
def test_a_ratio_after_an_absence_is_judged_by_its_length_and_volume(gap: int, volume: int, expected: str) -> None:
    result = cleaned(back(gap, 50.5, volume))
    assert result.suspects.select("outcome", "gap_sessions").rows() == [(expected, gap)]
    total = row_back(result, gap)["total_return_1d"]
    wanted = {"applied": pytest.approx(0.01), "quarantined": None, "kept": pytest.approx(-0.495)}[expected]
    assert total == wanted


def test_a_fall_that_trading_explains_over_the_absence_is_kept_and_one_beyond_its_reach_is_not() -> None:
    assert cleaned(back(10, 70.0, 900)).suspects["outcome"].to_list() == ["quarantined"]  # near 2:3
    within = cleaned(back(10, 56.0, 900))
    assert (within.suspects["outcome"].to_list(), row_back(within, 10)["total_return_1d"]) == (
        ["kept"],
        pytest.approx(-0.44),
    )
    beyond = cleaned(back(2, 56.0, 900))
    assert beyond.suspects["outcome"].to_list() == ["quarantined"]


@pytest.mark.parametrize("gap", [1, 30, 70, 250])
def test_a_reviewed_split_reaches_the_first_row_back_however_long_the_absence(gap: int) -> None:
    ex_date = DAYS[QUIET + gap // 2]
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
    line = pl.DataFrame([("TCS", ex_date, "split", 2.0)], schema=schema, orient="row")
    rows = [back(gap, 51.0, 2000), bar(DAYS[QUIET + gap], 52.02)]
    result = cleaned(*rows, reviewed=line)
    assert row_back(result, gap)["total_return_1d"] == pytest.approx(0.02)
    assert row_back(result, gap + 1)["total_return_1d"] == pytest.approx(0.02)


def test_a_listed_split_that_no_raw_row_carries_is_applied_here_and_one_that_a_row_carries_is_not() -> None:
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64, "reach_days": pl.Int32}
    lost, carried = DAYS[QUIET + 20], DAYS[QUIET + 249]
    for ex_date, expected in ((lost, 0.02), (carried, 0.02)):
        line = pl.DataFrame([("TCS", ex_date, "split", 2.0, LOOKBACK_DAYS)], schema=schema, orient="row")
        by_source = 0.5 if ex_date == DAYS[QUIET - 1 + 250] else 1.0
        row = row_back(cleaned(back(250, 51.0, price_factor=by_source), reviewed=line), 250)
        assert row["total_return_1d"] == pytest.approx(expected)


def test_a_split_that_the_list_and_a_reviewed_line_name_in_a_long_absence_counts_once() -> None:
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64, "reach_days": pl.Int32}
    day = DAYS[QUIET + 100]
    both = [("TCS", day, "demerger", 0.5, LOOKBACK_DAYS), ("TCS", day, "split", 2.0, None)]
    lines = pl.DataFrame(both, schema=schema, orient="row")
    row = row_back(cleaned(back(250, 51.0), reviewed=lines), 250)
    assert row["total_return_1d"] == pytest.approx(0.02)


def test_an_index_that_misses_a_session_is_carried_to_the_limit_and_its_next_return_spans() -> None:
    index = {"instrument": "index", "volume_shares": None}
    present = [bar(day, 100.0, "NIFTY 50", **index) for day in DAYS[:10]]
    present.append(bar(DAYS[17], 105.0, "NIFTY 50", **index))
    table = cleaned(*present).prices.filter(pl.col("ticker") == "NIFTY 50")
    carried = table.filter(pl.col("date").is_between(DAYS[10], DAYS[16]))
    assert carried["date"].to_list() == DAYS[10:15]
    assert (carried["is_filled"].all(), carried["flags"].unique().to_list()) == (True, ["filled"])
    assert carried["total_return_1d"].null_count() == 5
    row = table.filter(pl.col("date") == DAYS[17]).row(0, named=True)
    assert (row["total_return_1d"], row["flags"]) == (pytest.approx(0.05), "gap")
    assert table.filter(pl.col("date") > DAYS[17])["date"].to_list() == DAYS[18:23]  # the end of what was seen


def test_a_row_on_another_basis_beyond_what_the_source_joins_is_no_close_to_compare_with() -> None:
    assert timedelta(days=LOOKBACK_DAYS) == SEAM_SPAN
    assert len(sessions(date(2020, 1, 1), date(2020, 1, 1) + SEAM_SPAN)) >= 60
    quiet = [bar(day, 10.0, "OLD", basis="split_adjusted") for day in DAYS[:QUIET]]
    far, near = (bar(DAYS[QUIET + n], 99.0, "OLD", prev_close_inr=90.0, price_factor=f) for n, f in ((90, 1), (9, 9.9)))
    gap_far = cleaned(*quiet, far).prices.filter(pl.col("ticker") == "OLD", pl.col("date") == far["date"])
    assert gap_far["total_return_1d"].to_list() == [pytest.approx(0.10)]  # the exchange's field, not 99 / 10
    gap_near = cleaned(*quiet, near).prices.filter(pl.col("ticker") == "OLD", pl.col("date") == near["date"])
    assert gap_near["total_return_1d"].to_list() == [pytest.approx(0.0)]


def test_trade_to_trade_rows_are_marked_and_tradable() -> None:
    rows = [bar(DAYS[QUIET + n], 101.0 + n, series=s) for n, s in enumerate(["EQ", "BE", "BZ", "T", None])]
    table = cleaned(*rows).prices.filter(pl.col("ticker") == "TCS", pl.col("date") >= DAYS[QUIET])
    flagged = table.filter(~pl.col("is_filled"))
    assert flagged["flags"].to_list() == ["", "trade_to_trade", "trade_to_trade", "trade_to_trade", ""]
    assert flagged["is_tradable"].all()


def test_rows_stored_before_there_was_a_series_are_read() -> None:
    old = raw(*(bar(day, 100.0) for day in DAYS[:3])).drop("series")
    assert clean(old, None, CleaningConfig(), FIRST, DAYS[2]).prices.height == 3


MONTH, MONTH_END = date(2021, 3, 1), date(2021, 3, 31)
CUT = date(2020, 12, 1)


def month_alone(table: pl.DataFrame, reviewed: pl.DataFrame | None = None) -> Cleaned:
    """March 2021 as an asset cleans it: three months before it whole, what is older on demand."""
    near = table.filter(pl.col("date").is_between(CUT, MONTH_END))
    older = table.filter(pl.col("date") < CUT).lazy()
    return clean(near, None, CleaningConfig(), MONTH, MONTH_END, reviewed=reviewed, older=older)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [39, 40, 41, 60, 80, 240])
@pytest.mark.parametrize("close", [88.0, 50.0])
@pytest.mark.parametrize("volume", [1000, 2100])
def test_a_month_has_the_same_rows_whatever_span_was_loaded(gap: int, close: float, volume: int) -> None:
    home = DAYS.index(date(2021, 3, 10))
    quiet = [
        bar(day, 100.0, volume_shares=900 + n) for n, day in enumerate(DAYS[max(home - gap - 40, 0) : home - gap + 1])
    ]
    other = [bar(day, 50.0, "INFY") for day in DAYS]
    table = raw(*quiet, bar(DAYS[home], close, volume_shares=volume), *other).sort("date", "ticker")
    whole = clean(table, None, CleaningConfig(), FIRST, LAST)
    alone = month_alone(table)
    inside = pl.col("date").is_between(MONTH, MONTH_END)
    assert alone.prices.equals(whole.prices.filter(inside))
    assert alone.suspects.equals(whole.suspects.filter(inside))
    assert alone.prices.filter(pl.col("ticker") == "TCS", ~pl.col("is_filled"))["total_return_1d"][0] in (
        None,
        pytest.approx(close / 100 - 1),
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_month_alone_equals_the_month_within_a_range_with_actions_and_series(data: st.DataObject) -> None:
    days = sessions(date(2020, 6, 1), date(2021, 4, 30))
    rows = []
    for ticker in ("AAA", "BBB", "CCC"):
        for day in sorted(data.draw(st.lists(st.sampled_from(days), min_size=1, max_size=60, unique=True))):
            close = data.draw(st.sampled_from([95.0, 100.0, 50.0, 1000.0, 10.0, 67.0, None]))
            volume = data.draw(st.sampled_from([500, 1000, 3000]))
            over = {
                "price_factor": data.draw(st.sampled_from([1.0, 1.0, 1.0, 0.5])),
                "prev_close_inr": data.draw(st.sampled_from([None, 99.0])),
                "series": data.draw(st.sampled_from(["EQ", "BE", None])),
            }
            rows.append(bar(day, close, ticker, volume_shares=volume, **over))
    events = []
    for ticker in ("AAA", "BBB"):
        kind = data.draw(st.sampled_from(["split", "dividend", "none", "suspension"]))
        value = {"split": 2.0, "dividend": 3.0}.get(kind)
        events.append((ticker, data.draw(st.sampled_from(days)), kind, value))
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
    lines = pl.DataFrame(events, schema=schema, orient="row")
    table = raw(*rows).sort("date", "ticker")
    whole = clean(table, None, CleaningConfig(), days[0], days[-1], reviewed=lines)
    alone = month_alone(table, lines)
    inside = pl.col("date").is_between(MONTH, MONTH_END)
    assert alone.prices.equals(whole.prices.filter(inside))
    assert alone.suspects.equals(whole.suspects.filter(inside))


def test_only_names_that_were_away_are_read_from_the_older_rows() -> None:
    asked = []

    def watched(table: pl.DataFrame) -> pl.DataFrame:
        asked.extend(table["ticker"].unique().sort().to_list())
        return table

    stays = [bar(day, 50.0, "INFY") for day in DAYS if day <= MONTH_END]
    away = [bar(DAYS[3], 100.0), bar(date(2021, 3, 10), 90.0)]
    table = raw(*stays, *away).sort("date", "ticker")
    near, older = table.filter(pl.col("date") >= CUT), table.filter(pl.col("date") < CUT)
    lazy = older.lazy().map_batches(watched, predicate_pushdown=True)
    result = clean(near, None, CleaningConfig(), MONTH, MONTH_END, older=lazy)
    assert result.prices.filter(pl.col("ticker") == "TCS")["total_return_1d"][0] == pytest.approx(-0.10)
    assert asked == ["TCS"]
    assert timedelta(days=30) < RECENT < timedelta(days=45)


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    """A simulated market in which names go missing, splits are unlisted and an index loses days."""
    rows = simulate(SimulatedSource(n_tickers=8, missing_rate=0.02), date(2017, 6, 30)).rows
    away = (pl.col("ticker") == "SIM002") & pl.col("date").is_between(date(2016, 3, 1), date(2016, 9, 1))
    lost = (pl.col("instrument") == "index") & (pl.col("date").dt.day() == 11)
    return rows.filter(~away & ~lost).with_columns(price_factor=pl.lit(1.0))


CUTS = (date(2015, 8, 13), date(2016, 2, 29), date(2016, 9, 2), date(2016, 12, 15), date(2017, 4, 28))


@pytest.mark.parametrize("cut", CUTS)
def test_cutting_the_raw_rows_leaves_the_clean_rows_up_to_the_cut_as_they_were(market: pl.DataFrame, cut: date) -> None:
    whole = clean(market, None, CleaningConfig(), date(2015, 1, 1), date(2017, 6, 30))
    before = market.filter(pl.col("date") <= cut)
    short = clean(before, None, CleaningConfig(), date(2015, 1, 1), date(2017, 6, 30))
    upto = pl.col("date") <= cut
    seen = seen_sessions(before.with_columns(flags=pl.lit("")))["date"].max()
    assert seen is not None
    assert short.prices.filter(upto).equals(whole.prices.filter(upto))
    assert short.suspects.equals(whole.suspects.filter(upto))
    assert short.suspects.height + whole.suspects.height > 0
