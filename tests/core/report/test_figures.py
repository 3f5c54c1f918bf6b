"""What the figures draw, on numbers small enough to check by hand."""

import json
import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.report.figures import (
    BENCHMARK_KEY,
    Figure,
    Line,
    drawdowns,
    equity_figure,
    growth,
    monthly_returns,
    rolling_sharpe,
    wide_returns,
)

DAYS = sessions(date(2021, 3, 29), date(2021, 4, 8))  # 30 and 31 March, then April; the 29th and 2 April were holidays


def frame(values: list[float | None], name: str = "own") -> pl.DataFrame:
    return pl.DataFrame({"date": DAYS[: len(values)], name: pl.Series(values, dtype=pl.Float64)})


def test_growth_starts_at_one_and_compounds_from_the_second_row() -> None:
    assert growth(frame([0.5, 0.10, -0.20]))["own"].to_list() == pytest.approx([1.0, 1.1, 0.88])


def test_a_late_series_starts_at_one_and_a_gap_counts_as_no_return() -> None:
    daily = pl.concat(
        [
            pl.DataFrame({"date": DAYS[:5], "strategy": "old", "simple_return_1d": [0.0, 0.1, 0.1, 0.1, 0.1]}),
            pl.DataFrame({"date": DAYS[1:3], "strategy": "late", "simple_return_1d": [0.0, 0.2]}),
        ]
    )
    benchmark = pl.DataFrame({"date": [DAYS[0], DAYS[1], DAYS[3]], "simple_return_1d": [0.03, 0.01, 0.02]})
    made = growth(wide_returns(daily, benchmark))
    assert made["late"].to_list() == [None, 1.0, pytest.approx(1.2), None, None]
    by_hand = [1.0, 1.01, 1.01, 1.01 * 1.02, None]
    assert made[BENCHMARK_KEY].to_list() == [value if value is None else pytest.approx(value) for value in by_hand]


def test_drawdown_is_the_distance_from_the_highest_value_so_far() -> None:
    made = drawdowns(growth(frame([0.0, 0.25, -0.20, 0.10, 0.50])))["own"].to_list()
    assert made == pytest.approx([0.0, 0.0, -0.20, -0.12, 0.0])


def test_the_rolling_sharpe_leaves_out_the_opening_row_and_subtracts_the_risk_free_rate() -> None:
    values = [0.0, 0.01, -0.02, 0.03, 0.01]
    made = rolling_sharpe(frame(list(values)), risk_free_rate_ann=0.10, window=3)
    rate = 1.10 ** (1 / 252) - 1
    last = np.array(values[2:])
    assert made["own"].to_list()[:2] == [None, None]
    assert made["own"][3] == pytest.approx((last.mean() - rate) / last.std(ddof=1) * math.sqrt(252))
    assert rolling_sharpe(frame([0.01] * 5), 0.0, window=3)["own"].null_count() == 4


def test_monthly_returns_compound_within_the_calendar_month() -> None:
    made = monthly_returns(frame([0.1, 0.1, 0.2, -0.5, 0.0]), "own")
    assert made.select("year", "month").rows() == [(2021, 3), (2021, 4)]
    assert made["simple_return"].to_list() == pytest.approx([1.1 * 1.1 - 1, 1.2 * 0.5 - 1])


def test_the_equity_reading_states_both_end_values() -> None:
    wide = frame([0.0, 0.5]).with_columns(pl.Series(BENCHMARK_KEY, [0.0, -0.1]), pl.Series("rival", [0.0, 0.2]))
    made = equity_figure(growth(wide), "own", "NIFTY 50 TRI")
    assert made.reading == "₹1 in own became ₹1.50, against ₹0.90 in NIFTY 50 TRI."
    assert [(line.name, line.role) for line in made.lines] == [
        ("own", "chosen"),
        ("NIFTY 50 TRI", "benchmark"),
        ("rival", "other"),
    ]
    assert made.x == ["2021-03-30", "2021-03-31"]


def test_figure_data_cannot_close_its_script_element() -> None:
    line = Line("</script><script>alert(1)</script>", "chosen", [1.0, None])
    made = Figure("k", "t", "u", "r", ["2021-03-30", "2021-03-31"], (line,)).json()
    assert "<" not in made
    assert json.loads(made)["lines"][0] == {"name": line.name, "role": "chosen", "y": [1.0, None]}
