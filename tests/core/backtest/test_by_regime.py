"""Measures by regime by hand, against plain loops, and without looking ahead."""

import itertools
import math
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.backtest.by_regime import performance_by_regime, regime_transitions
from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.measures import performance as p

DAYS = sessions(date(2021, 3, 1), date(2021, 12, 31))
RATE = 0.0002


def daily_table(returns: list[float], strategy: str = "s", first: int = 0) -> pl.DataFrame:
    """BacktestDaily columns that matter; turnover is a hundredth of the day's number."""
    n = len(returns)
    return pl.DataFrame(
        {
            "date": DAYS[first : first + n],
            "strategy": [strategy] * n,
            "simple_return_1d": returns,
            "turnover_1d": [0.01 * (first + k) for k in range(n)],
        }
    )


def benchmark_table(returns: list[float]) -> pl.DataFrame:
    rate = [0.0] + [RATE] * (len(returns) - 1)
    return pl.DataFrame({"date": DAYS[: len(returns)], "simple_return_1d": returns, "risk_free_return_1d": rate})


def regime_table(labels: list[str | None], first: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {"date": DAYS[first : first + len(labels)], "regime": labels}, schema={"date": pl.Date, "regime": pl.String}
    )


def rows_of(table: pl.DataFrame, strategy: str) -> dict[str, dict[str, float]]:
    return {row["regime"]: row for row in table.filter(pl.col("strategy") == strategy).iter_rows(named=True)}


def test_measures_by_hand() -> None:
    # The label of each session is applied to the next: calm before sessions 1, 2, 4, crisis before 3 and 5.
    returns = [0.0, 0.01, 0.02, -0.10, 0.03, -0.20]
    labels = ["calm", "calm", "crisis", "calm", "crisis", "calm"]
    index = [0.0, 0.01, -0.01, -0.05, 0.02, -0.10]
    table = performance_by_regime(daily_table(returns), benchmark_table(index), regime_table(labels))
    calm, crisis = rows_of(table, "s")["calm"], rows_of(table, "s")["crisis"]
    assert (calm["n_sessions"], crisis["n_sessions"]) == (3, 2)
    assert (calm["session_share"], crisis["session_share"]) == (0.6, 0.4)
    assert calm["return_ann"] == pytest.approx((1.01 * 1.02 * 1.03) ** 84 - 1)
    assert crisis["return_ann"] == pytest.approx((0.9 * 0.8) ** 126 - 1)
    assert crisis["max_drawdown"] == pytest.approx(-0.28)  # -10 % and -20 % one after the other, the +3 % left out
    assert calm["max_drawdown"] == 0.0
    assert (calm["hit_rate"], crisis["hit_rate"]) == (1.0, 0.0)
    assert calm["volatility_ann"] == pytest.approx(0.01 * math.sqrt(252))
    assert calm["sharpe_ann"] == pytest.approx((0.02 - RATE) / 0.01 * math.sqrt(252))
    assert calm["turnover_ann"] == pytest.approx(252 * 0.01 * (1 + 2 + 4) / 3)
    assert crisis["turnover_ann"] == pytest.approx(252 * 0.01 * (3 + 5) / 2)
    market = rows_of(table, "benchmark")
    assert market["crisis"]["max_drawdown"] == pytest.approx(0.95 * 0.9 - 1)
    assert market["calm"]["hit_rate"] == pytest.approx(2 / 3)
    assert market["calm"]["turnover_ann"] is None


def test_a_crash_counts_for_the_regime_known_before_it_not_for_the_label_of_its_own_day() -> None:
    returns = [0.0, 0.0, -0.3, 0.0, 0.0]
    labels = ["calm", "calm", "crisis", "crisis", "crisis"]  # the crash of session 2 turned the label the same evening
    table = performance_by_regime(daily_table(returns), benchmark_table(returns), regime_table(labels))
    for strategy in ("s", "benchmark"):
        assert rows_of(table, strategy)["calm"]["max_drawdown"] == pytest.approx(-0.3)
        assert rows_of(table, strategy)["crisis"]["max_drawdown"] == 0.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=6, max_size=20), st.integers(1, 4))
def test_labels_of_the_last_sessions_and_later_change_nothing_before_them(labels: list[str], cut: int) -> None:
    returns = [0.0] + [0.01 * ((7 * k) % 5 - 2) for k in range(1, len(labels))]
    kept = len(labels) - cut  # sessions 0..kept-1 are judged; labels from kept-1 on may not matter for them
    daily, index = daily_table(returns[:kept]), benchmark_table(returns[:kept])
    changed = [*labels[: kept - 1], *["z"] * (cut + 1)]
    before = performance_by_regime(daily, index, regime_table(labels))
    assert before.equals(performance_by_regime(daily, index, regime_table(changed)))


def test_sessions_before_the_first_label_and_the_opening_session_are_left_out() -> None:
    returns = [0.0, 0.5, 0.5, 0.01, 0.02]
    table = performance_by_regime(daily_table(returns), benchmark_table(returns), regime_table(["calm"], first=2))
    row = rows_of(table, "s")["calm"]
    assert (row["n_sessions"], row["session_share"]) == (2, 1.0)  # sessions 3 and 4 keep the newest label
    assert row["return_ann"] == pytest.approx((1.01 * 1.02) ** 126 - 1)
    late = performance_by_regime(
        daily_table([0.0, 0.02], first=3), benchmark_table(returns), regime_table(["calm"] * 5)
    )
    assert rows_of(late, "s")["calm"]["n_sessions"] == 1
    assert rows_of(late, "s")["calm"]["sharpe_ann"] is None  # one return has no deviation
    assert rows_of(late, "benchmark")["calm"]["n_sessions"] == 4


def test_no_label_gives_an_empty_table() -> None:
    returns = [0.0, 0.01]
    table = performance_by_regime(daily_table(returns), benchmark_table(returns), regime_table([]))
    assert table.is_empty()
    assert "sharpe_ann" in table.columns
    assert regime_transitions(regime_table([])).is_empty()


RETURNS = st.floats(-0.1, 0.1).map(lambda x: round(x, 4))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(RETURNS, RETURNS, st.sampled_from(["bull", "bear", "flat"])), min_size=3, max_size=40))
def test_every_measure_equals_a_loop_over_sessions(rows: list[tuple[float, float, str]]) -> None:
    own, index, labels = ([row[k] for row in rows] for k in range(3))
    own[0] = index[0] = 0.0
    table = performance_by_regime(daily_table(own), benchmark_table(index), regime_table(labels))
    for strategy, series in (("s", own), ("benchmark", index)):
        groups: dict[str, list[int]] = {}
        for t in range(1, len(series)):
            groups.setdefault(labels[t - 1], []).append(t)
        made = rows_of(table, strategy)
        assert set(made) == set(groups)
        for regime, days in groups.items():
            returns = [series[t] for t in days]
            assert made[regime]["n_sessions"] == len(days)
            assert made[regime]["session_share"] == pytest.approx(len(days) / (len(series) - 1))
            assert made[regime]["hit_rate"] == pytest.approx(sum(r > 0 for r in returns) / len(days))
            assert made[regime]["max_drawdown"] == pytest.approx(p.max_drawdown(returns))
            growth = math.prod(1 + r for r in returns)
            assert made[regime]["return_ann"] == pytest.approx(growth ** (252 / len(days)) - 1, rel=1e-9)
            expected = p.sharpe(returns, RATE)
            assert made[regime]["sharpe_ann"] == (None if math.isnan(expected) else pytest.approx(expected))


def test_transitions_by_hand() -> None:
    labels = ["calm", "calm", "calm", "crisis", "calm", "crisis", "crisis"]
    assert regime_transitions(regime_table(labels)).rows() == [
        ("calm", "calm", 2, 0.5, 2.0),  # runs of 3 and 1
        ("calm", "crisis", 2, 0.5, 2.0),
        ("crisis", "calm", 1, 0.5, 1.5),  # runs of 1 and 2
        ("crisis", "crisis", 1, 0.5, 1.5),
    ]


def test_a_regime_seen_on_the_last_session_only_has_no_probabilities() -> None:
    table = regime_transitions(regime_table(["calm", "calm", "crisis"]))
    assert table.filter(pl.col("regime") == "crisis")["probability"].to_list() == [None, None]
    assert table.filter(pl.col("regime") == "calm")["probability"].to_list() == [0.5, 0.5]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60))
def test_transitions_equal_counting_and_rows_sum_to_one(labels: list[str]) -> None:
    table = regime_transitions(regime_table(labels))
    names = sorted(set(labels))
    assert table.select("regime", "next_regime").rows() == [(a, b) for a in names for b in names]
    for regime, following, n, _, duration in table.iter_rows():
        assert n == sum(pair == (regime, following) for pair in itertools.pairwise(labels))
        runs = [len(run) for run in "".join(x if x == regime else " " for x in labels).split()]
        assert duration == pytest.approx(sum(runs) / len(runs))
    sums = table.drop_nulls("probability").group_by("regime").agg(pl.col("probability").sum())
    assert sums["probability"].to_list() == pytest.approx([1.0] * sums.height)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pl.concat([regime_table(["a", "b"]), regime_table(["c"])]), "2021-03-01 has 2 labels"),
        (regime_table(["a", None, "b"]), "2021-03-02 has no label"),
    ],
)
def test_labels_that_are_missing_or_double_are_refused(labels: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        regime_transitions(labels)
    with pytest.raises(DataError, match=message):
        performance_by_regime(daily_table([0.0, 0.1]), benchmark_table([0.0, 0.1]), labels)


def test_a_benchmark_that_does_not_cover_the_backtest_is_refused() -> None:
    with pytest.raises(DataError, match="no rate for 2021-03-03"):
        performance_by_regime(daily_table([0.0, 0.1, 0.1]), benchmark_table([0.0, 0.1]), regime_table(["a"] * 3))
    with pytest.raises(DataError, match="rename the strategy"):
        performance_by_regime(
            daily_table([0.0, 0.1], "benchmark"), benchmark_table([0.0, 0.1]), regime_table(["a"] * 2)
        )
