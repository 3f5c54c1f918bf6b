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


def days_of(said: pl.DataFrame) -> list[date]:
    return said["date"].unique().sort().to_list()


def test_a_group_begins_where_its_first_dates_would_have_been_held_and_moves_on_alone_by_hand() -> None:
    returns = np.zeros((9, 2))
    returns[1], returns[3], returns[5] = (NORMAL[0], NORMAL[1]), (NORMAL[5], NORMAL[4]), (0.0, 9.0)
    said, outcomes = series(returns, 2)
    days = days_of(said)
    groups = {day: "storm" if k in (1, 3, 5, 7, 8) else "calm" for k, day in enumerate(days) if k != 6}
    made = adaptive_intervals(said, outcomes, level=0.5, rate=0.1, groups=groups, fewest_dates=2)
    alpha = made.filter(pl.col("ticker") == "T0")["miss_share"].to_list()
    # all dates: those before 5 end on 3 to 7; of two names date 1 misses both, date 3 one (the other is just held)
    pooled = [0.5, 0.5, 0.5, 0.55, 0.5, 0.55]
    # the storm's dates 1 and 3 end on 4 and 6. Intervals that just hold their returns miss 0.1, 0.2, 0.2, 0.5 by
    # the quantiles 5, 10, 90 and 75 %: the middle of these is 0.2. Date 5 misses one name of two and moves nothing
    assert alpha[:6] == pytest.approx(pooled)
    assert alpha[7:] == pytest.approx([0.2, 0.2 + 0.1 * (0.5 - 0.5)])
    without = adaptive_intervals(said, outcomes, level=0.5, rate=0.1).filter(pl.col("ticker") == "T0")["miss_share"]
    assert without[:6].to_list() == pytest.approx(pooled)
    assert alpha[6] == without[6]  # no group: the pooled one


def test_groups_change_nothing_where_none_has_enough_dates() -> None:
    said, outcomes = series(np.random.default_rng(4).standard_normal((120, 5)) * 1.5, 5)
    pooled = adaptive_intervals(said, outcomes, rate=0.05)
    many = {day: f"{day:%Y-%m}" for day in days_of(said)}
    assert adaptive_intervals(said, outcomes, rate=0.05, groups=many, fewest_dates=24).equals(pooled)
    assert not adaptive_intervals(said, outcomes, rate=0.05, groups=many, fewest_dates=5).equals(pooled)


def test_an_interval_of_a_group_holds_in_each_regime_where_a_pooled_one_does_not() -> None:
    rng = np.random.default_rng(6)
    states = np.repeat(rng.integers(0, 3, 60), 20)  # spells of twenty sessions
    scale = np.array([0.7, 1.0, 1.8])[states]
    said, outcomes = series(rng.standard_normal((1200, 10)) * scale[:, None], 10)
    days = days_of(said)
    regimes = {day: str(state) for day, state in zip(days, states, strict=True)}
    pooled = adaptive_intervals(said, outcomes)
    own = adaptive_intervals(said, outcomes, groups=regimes)
    of_rows = states.repeat(10)

    def held(made: pl.DataFrame, state: int) -> float:
        low, high = (made[name].to_numpy()[of_rows == state] for name in ("interval_low", "interval_high"))
        return coverage(low, high, outcomes["forward_return"].to_numpy()[of_rows == state])

    assert [0.87 < held(own, state) < 0.93 for state in range(3)] == [True] * 3
    assert held(pooled, 0) > 0.93
    assert held(pooled, 2) < 0.87


def test_a_group_uses_no_outcome_whose_label_has_not_ended() -> None:
    said, outcomes = series(np.random.default_rng(1).standard_normal((80, 4)) * 2, 4)
    days = days_of(said)
    groups = {day: "ab"[k // 7 % 2] for k, day in enumerate(days)}
    cut = days[50]
    later = outcomes.with_columns(
        forward_return=pl.when(pl.col("label_end_date") > cut).then(99.0).otherwise("forward_return")
    )
    after = {day: group if day <= cut else "c" for day, group in groups.items()}
    whole, other = (
        adaptive_intervals(said, table, rate=0.1, groups=of, fewest_dates=5)
        for table, of in ((outcomes, groups), (later, after))
    )
    before = pl.col("date") <= cut
    assert whole.filter(before).equals(other.filter(before))
    assert not whole.equals(other)


assert len(QUANTILE_LEVELS) == len(NORMAL)
