"""What the checks and the asset pages count, on tables of a few rows: each rule at its edge, one row at a time."""

from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from quant_assets.checks.judgements import sample_prices
from quant_assets.pages.metadata import SPARKS, markdown_table, sparkline, table_metadata
from quant_assets.partitions import month_span
from quant_core.calendar import sessions
from quant_core.cleaning.coverage import defect_counts, member_coverage
from quant_core.cleaning.quality import contradictory_rows
from quant_core.forecasting.evaluate import evaluate_forecasts
from quant_core.report.notes import coverage_notes

DAYS = sessions(date(2021, 3, 1), date(2021, 3, 12))
SOUND: dict[str, Any] = {
    "open_inr": 101.0, "high_inr": 103.0, "low_inr": 99.0, "close_inr": 100.0, "total_return_1d": 0.01,
    "is_filled": False, "is_tradable": True,
}  # fmt: skip
CARRIED = SOUND | {"total_return_1d": None, "is_filled": True, "is_tradable": False}


@pytest.mark.parametrize(
    ("row", "is_bad"),
    [
        (SOUND, False),
        (CARRIED, False),
        (SOUND | {"close_inr": 0.0, "low_inr": 0.0}, True),
        (SOUND | {"high_inr": 101.0}, False),
        (SOUND | {"high_inr": 100.9}, True),
        (SOUND | {"low_inr": 100.0}, False),
        (SOUND | {"low_inr": 100.1}, True),
        (SOUND | {"open_inr": None, "high_inr": 100.0, "low_inr": 100.0}, False),
        (SOUND | {"open_inr": 98.0}, True),
        (CARRIED | {"is_tradable": True}, True),
        (CARRIED | {"total_return_1d": 0.0}, True),
        (SOUND | {"total_return_1d": -1.0}, True),
        (SOUND | {"total_return_1d": -0.999}, False),
        (SOUND | {"total_return_1d": float("inf")}, True),
        (SOUND | {"total_return_1d": None}, False),
        (SOUND | {"is_tradable": False}, False),
    ],
)
def test_a_clean_row_contradicts_itself_by_any_one_of_the_rules(row: dict[str, Any], is_bad: bool) -> None:
    table = pl.DataFrame([row], schema_overrides={"total_return_1d": pl.Float64, "open_inr": pl.Float64})
    assert contradictory_rows(table).height == int(is_bad)


def prices(*rows: tuple[date, str, bool, bool, str]) -> pl.DataFrame:
    """Rows (date, ticker, is_member, is_filled, flags) of stocks."""
    names = ("date", "ticker", "is_member", "is_filled", "flags")
    return pl.DataFrame(rows, schema=list(names), orient="row").with_columns(instrument=pl.lit("equity"))


def test_a_member_is_counted_on_the_days_of_its_interval_and_priced_on_its_own_rows() -> None:
    """A is a member of four of five sessions and carried on two of them; B of all and complete; C of two, absent."""
    table = prices(
        *((day, "A", day < DAYS[4], day in DAYS[1:3], "") for day in DAYS[:5]),
        *((day, "B", True, False, "") for day in DAYS[:5]),
    )
    members = pl.DataFrame(
        {"ticker": ["A", "B", "C"], "from_date": [DAYS[0], DAYS[0], DAYS[2]], "to_date": [DAYS[4], None, DAYS[4]]}
    )
    found = member_coverage(table, members)
    assert found.rows() == [("C", 2, 0), ("A", 4, 2)]
    assert coverage_notes(found) == [
        "Members without any price: C; no strategy could hold them.",
        "1 members lack 2 of their sessions in all (suspensions and vendor gaps).",
    ]
    assert coverage_notes(found.clear()) == []


def test_defects_are_counted_of_members_by_kind_with_their_share() -> None:
    table = prices(
        (DAYS[0], "A", True, False, "stale|bad_bar"),
        (DAYS[0], "B", True, False, "stale"),
        (DAYS[0], "C", False, False, "stale"),
        (DAYS[1], "A", True, True, "filled"),
        (DAYS[1], "C", False, False, ""),
        (DAYS[2], "A", True, False, ""),
    )
    assert defect_counts(table).select("defect", "n_rows", "n_tickers", "share_of_rows").rows() == [
        ("stale", 2, 2, 0.5),
        ("bad_bar", 1, 1, 0.25),
        ("filled", 1, 1, 0.25),
    ]
    assert defect_counts(table.filter(pl.col("date") == DAYS[2])).is_empty()
    assert defect_counts(table.clear()).is_empty()


def test_the_certificate_samples_the_longest_lived_stocks_and_the_index_up_to_the_day() -> None:
    names = [f"S{k}" for k in range(10)]
    rows = [(day, name) for k, name in enumerate(names) for day in DAYS[: 1 + (k + 1) // 2]]
    stocks = pl.DataFrame(rows, schema=["date", "ticker"], orient="row").with_columns(instrument=pl.lit("equity"))
    index = stocks.filter(ticker="S9").with_columns(ticker=pl.lit("NIFTY"), instrument=pl.lit("index"))
    table = pl.concat([stocks, index, index.with_columns(ticker=pl.lit("OTHER"))]).reverse()
    found = sample_prices(table.lazy(), DAYS[3], "NIFTY")
    assert found["date"].max() == DAYS[3]
    assert found["ticker"].unique().sort().to_list() == ["NIFTY", "S1", *(f"S{k}" for k in range(3, 10))]
    assert found.equals(found.sort("date", "ticker"))


def test_the_quality_of_forecasts_is_of_the_models_own_horizon_with_momentum_beside_it() -> None:
    days, names = DAYS[:6], [f"S{k}" for k in range(6)]
    drift = {name: 0.001 * k for k, name in enumerate(names)}
    table = pl.DataFrame(
        [(day, name, drift[name]) for day in days for name in names], schema=["date", "ticker", "r"], orient="row"
    )
    market = table.select(
        "date", "ticker", instrument=pl.lit("equity"), is_tradable=True, overnight_return_1d=pl.lit(0.0),
        intraday_return_1d="r", total_return_1d="r", flags=pl.lit(""),
    )  # fmt: skip
    keys = table.filter(pl.col("date") == days[0])
    scores = keys.select("date", "ticker", model=pl.lit("m"), horizon_sessions=pl.lit(2, pl.Int32), score="r")
    features = keys.select("date", "ticker", is_eligible=True, log_return_126d=-pl.col("r"))
    quality, decay, quantiles = evaluate_forecasts(scores, features.lazy(), market)
    assert dict(quality.select("model", "rank_ic").iter_rows()) == pytest.approx({"m": 1.0, "momentum": -1.0})
    assert decay["model"].unique().sort().to_list() == ["m", "momentum"]
    best = quantiles.filter((pl.col("model") == "m") & (pl.col("quantile") == 5))
    assert best["mean_forward_return"].to_list() == pytest.approx([1.0045**2 - 1.0], abs=1e-6)


@pytest.mark.parametrize(
    ("first", "after", "last"),
    [
        (datetime(2020, 2, 1), datetime(2020, 3, 1), date(2020, 2, 29)),
        (datetime(2020, 12, 1), datetime(2021, 1, 1), date(2020, 12, 31)),
        (datetime(2020, 1, 1), datetime(2021, 1, 1), date(2020, 12, 31)),
    ],
)
def test_a_span_ends_on_the_last_day_before_the_next_partition(first: datetime, after: datetime, last: date) -> None:
    context: Any = SimpleNamespace(partition_time_window=SimpleNamespace(start=first, end=after))
    assert month_span(context) == (first.date(), last)


def test_a_table_is_shown_by_its_first_rows_and_says_how_many_more_there_are() -> None:
    table = pl.DataFrame({"name": ["a|b", None, "c"], "x": [0.123456, 1234567.0, None]})
    assert markdown_table(table, 2).value == (
        "| name | x |\n|---|---|\n| a\\|b | 0.1235 |\n|  | 1.235e+06 |\n\n1 more rows"
    )
    assert "more rows" not in markdown_table(table, 3).value


def test_a_sparkline_runs_from_the_lowest_to_the_highest() -> None:
    assert sparkline([0.0, 7.0, 3.0]) == SPARKS[0] + SPARKS[7] + SPARKS[3]
    assert sparkline([2.0, 2.0]) == SPARKS[0] * 2
    assert sparkline([]) == ""


def test_the_metadata_of_a_table_counts_and_shows_its_newest_rows() -> None:
    table = pl.DataFrame({"date": DAYS[:3] * 2, "ticker": ["A"] * 3 + ["B"] * 3}).sort("date", "ticker")
    found = table_metadata(table, extra=1)
    assert (found["dagster/row_count"], found["tickers"], found["sessions"], found["extra"]) == (6, 2, 3, 1)
    assert (found["first_date"], found["last_date"]) == (str(DAYS[0]), str(DAYS[2]))
    assert found["preview"].value.splitlines()[2] == f"| {DAYS[2]} | A |"
    assert table_metadata(table.clear())["dagster/row_count"] == 0
