"""Series behind the figures, on numbers small enough to check by hand."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.report import series
from quant_core.report.series import BENCHMARK_KEY

DAYS = sessions(date(2021, 3, 29), date(2021, 4, 8))  # 30 and 31 March, then April; the 29th and 2 April were holidays


def frame(values: list[float | None], name: str = "own") -> pl.DataFrame:
    return pl.DataFrame({"date": DAYS[: len(values)], name: pl.Series(values, dtype=pl.Float64)})


def test_growth_starts_at_one_and_compounds_from_the_second_row() -> None:
    assert series.growth(frame([0.5, 0.10, -0.20]))["own"].to_list() == pytest.approx([1.0, 1.1, 0.88])


def test_a_late_series_starts_at_one_and_a_gap_counts_as_no_return() -> None:
    daily = pl.concat(
        [
            pl.DataFrame({"date": DAYS[:5], "strategy": "old", "simple_return_1d": [0.0, 0.1, 0.1, 0.1, 0.1]}),
            pl.DataFrame({"date": DAYS[1:3], "strategy": "late", "simple_return_1d": [0.0, 0.2]}),
        ]
    )
    benchmark = pl.DataFrame(
        {"date": [DAYS[0], DAYS[1], DAYS[3]], "simple_return_1d": [0.03, 0.01, 0.02], "series": "^NSEI"}
    )
    made = series.growth(series.wide_returns(daily, benchmark))
    assert made["late"].to_list() == [None, 1.0, pytest.approx(1.2), None, None]
    by_hand = [1.0, 1.01, 1.01, 1.01 * 1.02, None]
    assert made[BENCHMARK_KEY].to_list() == [value if value is None else pytest.approx(value) for value in by_hand]


def test_drawdown_is_the_distance_from_the_highest_value_so_far() -> None:
    made = series.drawdowns(series.growth(frame([0.0, 0.25, -0.20, 0.10, 0.50])))["own"].to_list()
    assert made == pytest.approx([0.0, 0.0, -0.20, -0.12, 0.0])


def test_the_rolling_sharpe_leaves_out_the_opening_row_and_subtracts_each_days_cash() -> None:
    values, cash = [0.0, 0.01, -0.02, 0.03, 0.01], [0.0, 0.001, 0.002, 0.003, 0.004]
    made = series.rolling_sharpe(frame(list(values)), pl.Series(cash), window=3)
    last = np.array(values[2:]) - np.array(cash[2:])
    assert made["own"].to_list()[:2] == [None, None]
    assert made["own"][3] == pytest.approx(last.mean() / last.std(ddof=1) * math.sqrt(252))
    assert series.rolling_sharpe(frame([0.01] * 5), pl.Series([0.0] * 5), window=3)["own"].null_count() == 4


def test_rolling_volatility_is_the_sample_deviation_of_the_window_a_year() -> None:
    made = series.rolling_volatility(frame([9.0, 0.01, -0.02, 0.03]), window=3)["own"].to_list()
    assert made[:2] == [None, None]
    assert made[2] == pytest.approx(np.std([0.01, -0.02, 0.03], ddof=1) * math.sqrt(252))


def test_the_active_return_is_the_difference_of_what_both_earned_over_the_window() -> None:
    wide = frame([0.0, 0.10, 0.20, -0.50]).with_columns(pl.Series(BENCHMARK_KEY, [0.0, 0.05, 0.05, 0.10]))
    made = series.active_return(series.growth(wide), "own", window=2)
    assert made["date"].to_list() == DAYS[2:4]
    assert made["active_return"].to_list() == pytest.approx([1.1 * 1.2 - 1.05**2, 1.2 * 0.5 - 1.05 * 1.1])


def test_calendar_returns_compound_within_the_month_and_the_year() -> None:
    returns = frame([0.1, 0.1, 0.2, -0.5, 0.0])
    months = series.calendar_returns(returns, "own", by_month=True)
    assert months.select("year", "month").rows() == [(2021, 3), (2021, 4)]
    assert months["simple_return"].to_list() == pytest.approx([1.1 * 1.1 - 1, 1.2 * 0.5 - 1])
    years = series.calendar_returns(returns, "own", by_month=False)
    assert years.rows() == [(2021, pytest.approx(1.1 * 1.1 * 1.2 * 0.5 - 1))]


def test_the_worst_drawdowns_have_their_high_low_recovery_and_length() -> None:
    values = [1.0, 2.0, 1.8, 1.0, 2.0, 1.9]  # a fall by half on the 4th session, one by 5 % that is not recovered
    made = series.worst_drawdowns(DAYS[:6], values)
    assert made["depth"].to_list() == pytest.approx([-0.5, -0.05])
    assert made.drop("depth").rows() == [
        (DAYS[1], DAYS[3], DAYS[4], 2, 2),
        (DAYS[4], DAYS[5], None, 1, 1),
    ]
    assert series.worst_drawdowns(DAYS[:6], values, n=1).height == 1
    assert series.worst_drawdowns(DAYS[:3], [1.0, 1.1, 1.1]).is_empty()


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=60))
def test_the_first_of_the_worst_drawdowns_is_the_deepest_point_of_the_drawdown_line(moves: list[float]) -> None:
    days = [date(2020, 1, 1) + timedelta(k) for k in range(len(moves) + 1)]
    table = pl.DataFrame({"date": days, "own": [0.0, *moves]})
    growth = series.growth(table)
    line = series.drawdowns(growth)["own"]
    falls = series.worst_drawdowns(days, growth["own"].to_list(), n=100)
    assert int((line < 0).sum()) == falls["n_sessions"].sum()
    if falls.height:
        assert falls["depth"][0] == pytest.approx(line.min())
        assert (falls["start_date"] < falls["trough_date"]).all()


def test_runs_are_the_unbroken_spells_of_a_label() -> None:
    made = series.runs(DAYS[:5], ["a", "a", "b", "a", "a"])
    assert made.rows() == [("a", DAYS[0], DAYS[1], 2), ("b", DAYS[2], DAYS[2], 1), ("a", DAYS[3], DAYS[4], 2)]


def test_a_histogram_counts_what_lies_beyond_in_its_outer_bins() -> None:
    x, counts = series.histogram(pl.Series([-9.0, -0.5, 0.5, 0.6, 9.0]), -2.0, 2.0, 4)
    assert x == [-1.5, -0.5, 0.5, 1.5]
    assert counts.tolist() == [1, 1, 2, 1]


def test_week_ends_are_the_last_sessions_of_their_weeks_and_the_first_row() -> None:
    days = pl.Series(sessions(date(2021, 3, 24), date(2021, 4, 8)))
    kept = days.filter(series.week_ends(days)).to_list()
    # 26 March was a Friday; 1 April a Thursday before a holiday; 8 April ends the data
    assert kept == [date(2021, 3, 24), date(2021, 3, 26), date(2021, 4, 1), date(2021, 4, 8)]


def test_extras_fill_what_the_metrics_lack_and_order_the_rows() -> None:
    daily = pl.DataFrame(
        {
            "date": [DAYS[0], DAYS[1]] * 2, "strategy": ["a", "a", "b", "b"], "equity_inr": [100.0, 300.0, 1.0, 2.0],
            "cost_inr": [0.0, 4.0, 0.0, 0.0], "n_unfilled": [0, 2, 0, 0],
        }
    )  # fmt: skip
    metrics = pl.DataFrame(
        {"strategy": ["benchmark", "a", "b"], "sharpe_ann": [9.0, 0.1, 0.5], "cost_inr": [None, 7.0, 8.0]}
    )
    made = series.with_extras(metrics, daily, "a")
    assert made["strategy"].to_list() == ["a", "b", "benchmark"]
    own = made.row(0, named=True)
    assert own["cost_inr"] == 7.0  # as given
    assert own["cost_ann"] == pytest.approx(4.0 / 200.0 * 252)
    assert (own["final_equity_inr"], own["n_unfilled"]) == (300.0, 2)
    assert series.with_extras(metrics, daily, "b")["strategy"].to_list() == ["b", "a", "benchmark"]
