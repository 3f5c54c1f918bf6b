"""Labels over several days: each day is ranked by itself, whatever the other days hold."""

from datetime import date

import polars as pl
import pytest

from quant_core.forecasting.labels import LabelConfig, labels

MONDAY, TUESDAY = date(2021, 3, 1), date(2021, 3, 2)


def two_days() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Monday 1, 2, 3 %, Tuesday 20, 10 %: over both days together Tuesday's names would stand above all of Monday's."""
    keys = {"date": [MONDAY] * 3 + [TUESDAY] * 2, "ticker": ["A", "B", "C", "A", "B"]}
    forward = pl.DataFrame(
        keys | {"label_end_date": [date(2021, 3, 9)] * 5, "forward_return_5d": [0.01, 0.02, 0.03, 0.20, 0.10]}
    )
    return forward, pl.DataFrame(keys | {"is_eligible": True})


def test_the_rank_of_a_day_knows_no_other_day() -> None:
    made = labels(*two_days(), LabelConfig())
    assert made["label"].to_list() == pytest.approx([-1 / 3, 0.0, 1 / 3, 0.25, -0.25])


def test_the_zscore_of_a_day_knows_no_other_day() -> None:
    made = labels(*two_days(), LabelConfig(kind="zscore"))
    wide = 1.5**0.5  # one step over the population deviation of three equal steps, sqrt(2 / 3) steps
    assert made["label"].to_list() == pytest.approx([-wide, 0.0, wide, 1.0, -1.0])


def test_a_day_of_equal_returns_among_others_is_flat_and_not_the_window() -> None:
    forward, eligible = two_days()
    flat = forward.with_columns(
        forward_return_5d=pl.when(pl.col("date") == TUESDAY).then(0.2).otherwise("forward_return_5d")
    )
    made = labels(flat, eligible, LabelConfig(kind="zscore"))
    assert made.filter(pl.col("date") == TUESDAY)["label"].to_list() == [0.0, 0.0]
    assert made.filter(pl.col("date") == MONDAY)["label"].to_list() == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5])
