"""Adaptive intervals: the recursion by hand, the coverage that they are for, and no look at what has not ended."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.causality import assert_causal
from quant_core.errors import DataError
from quant_core.forecasting.adaptive import adaptive_intervals
from quant_core.measures.calibration import coverage
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS

NORMAL = (-1.6448536269514722, -1.2815515655446004, -0.6744897501960817, 0.0, 0.6744897501960817, 1.2815515655446004,
          1.6448536269514722)  # fmt: skip
HORIZON = 2


def series(returns: np.ndarray, names: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Standard normal forecasts of `names` names a date, and these returns (dates x names)."""
    days = sessions(date(2020, 1, 1), date(2024, 12, 31))
    dates = np.repeat(np.array(days[: len(returns)], dtype="datetime64[D]"), names)
    keys = pl.DataFrame({"date": dates, "ticker": [f"T{k}" for k in range(names)] * len(returns)})
    ends = dict(zip(days, days[1 + HORIZON :], strict=False))
    outcomes = keys.with_columns(
        label_end_date=pl.col("date").replace_strict(ends, return_dtype=pl.Date),
        forward_return=pl.Series(returns.ravel()),
    )
    said = keys.with_columns(pl.lit(value).alias(name) for name, value in zip(QUANTILE_COLUMNS, NORMAL, strict=True))
    return said, outcomes


def test_alpha_follows_the_misses_of_what_has_ended_by_hand() -> None:
    returns = np.array([[9.0, 0.0], [9.0, 9.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    made = adaptive_intervals(*series(returns, 2), level=0.9, rate=0.1)
    alpha = made.filter(pl.col("ticker") == "T0")["miss_share"].to_list()
    # a label of day t ends on day t + 3: the half missed on day 0 counts from day 3, all missed on day 1 from day 4
    assert alpha == pytest.approx([0.1, 0.1, 0.1, 0.1 + 0.1 * (0.1 - 0.5), 0.06 + 0.1 * (0.1 - 1.0), -0.03 + 0.01])
    assert made["interval_low"][0] == pytest.approx(NORMAL[0])
    widths = (made["interval_high"] - made["interval_low"])[::2]
    assert widths[4] > widths[3] > widths[2] == widths[0]


def test_it_covers_where_the_world_became_wilder_and_a_fixed_interval_does_not() -> None:
    rng = np.random.default_rng(2)
    returns = rng.standard_normal((1000, 10)) * np.where(np.arange(1000) < 300, 1.0, 1.8)[:, None]
    said, outcomes = series(returns, 10)
    late = np.arange(1000).repeat(10) > 450
    earned = returns.ravel()[late]
    fixed = coverage(*(said[name].to_numpy()[late] for name in ("return_q05", "return_q95")), earned)
    made = adaptive_intervals(said, outcomes, level=0.9, rate=0.02)
    moved = coverage(*(made[name].to_numpy()[late] for name in ("interval_low", "interval_high")), earned)
    assert fixed < 0.70
    assert 0.88 < moved < 0.92


def test_an_interval_uses_no_outcome_whose_label_has_not_ended() -> None:
    said, outcomes = series(np.random.default_rng(1).standard_normal((60, 4)) * 2, 4)
    cut = outcomes["date"].unique().sort()[30]
    known_later = pl.col("label_end_date") > cut

    def step(table: pl.DataFrame) -> pl.DataFrame:
        """Outcomes laid out by the day on which they are known."""
        return adaptive_intervals(said, table.with_columns(date="decided").drop("decided"), rate=0.1)

    by_end = outcomes.with_columns(decided="date", date="label_end_date")
    assert_causal(step, by_end, cut, how="truncate")
    changed = outcomes.with_columns(forward_return=pl.when(known_later).then(99.0).otherwise("forward_return"))
    before = pl.col("date") <= cut
    whole, other = (adaptive_intervals(said, table, rate=0.1) for table in (outcomes, changed))
    assert whole.filter(before).equals(other.filter(before))
    assert not whole.equals(other)
    early = outcomes.with_columns(label_end_date="date")  # a planted leak: known when it is decided

    def leaky(table: pl.DataFrame) -> pl.DataFrame:
        return adaptive_intervals(said, table, rate=0.1)

    seen = early.with_columns(forward_return=pl.when(pl.col("date") == cut).then(99.0).otherwise("forward_return"))
    assert not leaky(early).filter(pl.col("date") > cut).equals(leaky(seen).filter(pl.col("date") > cut))


def test_what_is_unknown_moves_nothing() -> None:
    said, outcomes = series(np.full((8, 2), 9.0), 2)
    unknown = outcomes.with_columns(forward_return=pl.lit(None, pl.Float64))
    assert adaptive_intervals(said, unknown, rate=0.5)["miss_share"].unique().to_list() == [pytest.approx(0.1)]
    endless = outcomes.with_columns(label_end_date=pl.lit(None, pl.Date))
    assert adaptive_intervals(said, endless, rate=0.5)["miss_share"].unique().len() == 1
    assert adaptive_intervals(said.clear(), outcomes).is_empty()
    with pytest.raises(DataError, match="level 1"):
        adaptive_intervals(said, outcomes, level=1.0)


assert len(QUANTILE_LEVELS) == len(NORMAL)
