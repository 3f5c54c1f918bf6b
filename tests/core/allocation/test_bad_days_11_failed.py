"""One strategy cannot take the others down: a failed decision keeps its book, is counted, and says why."""

from collections.abc import Callable
from datetime import date
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from allocation_cases import weights_of
from polars.testing import assert_frame_equal

from quant_assets.assets.target_weights import strategies_decided
from quant_core.allocation import STRATEGIES, AllocationConfig, DecisionInputs, decide_all, target_weights
from quant_core.allocation.estimation import monthly_weights
from quant_core.allocation.strategies.equal_weight import equal_weight
from quant_core.allocation.strategy import decision_inputs
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.notes import failure_notes
from quant_core.backtest.simulate import simulate
from quant_core.dense import Floats
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import CASH, FAILED

FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)
DAY = date(2021, 1, 8)
Books = Callable[[DecisionInputs], pl.DataFrame]


@pytest.fixture
def beside(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., SimpleNamespace]:
    """What is decided by one strategy called "mine" beside equal weight, and what equal weight alone decides."""

    list(STRATEGIES)  # found and registered before anything is replaced

    def run(mine: Books) -> SimpleNamespace:
        monkeypatch.setattr(STRATEGIES, "_entries", {"equal_weight": equal_weight})
        alone = target_weights(prices, forecasts, short, FIRST, LAST)
        monkeypatch.setattr(STRATEGIES, "_entries", {"mine": mine, "equal_weight": equal_weight})
        decided = decide_all(prices, forecasts, short, FIRST, LAST)
        own = decided.weights.filter(pl.col("strategy") == "mine")
        others = decided.weights.filter(pl.col("strategy") != "mine")
        assert_frame_equal(others, alone, check_exact=True)  # the others go on, to the last bit
        dates = decision_inputs(prices, forecasts, short, FIRST, LAST).decision_dates.to_list()
        return SimpleNamespace(own=own, failures=decided.failures, dates=dates, table=decided.weights, decided=decided)

    return run


def failed_dates(table: pl.DataFrame) -> list[date]:
    return table.filter(pl.col("ticker") == FAILED)["date"].to_list()


def failing_on(bad: list[date], error: Exception) -> Books:
    def mine(inputs: DecisionInputs) -> pl.DataFrame:
        if set(inputs.decision_dates) & set(bad):
            raise error
        return equal_weight(inputs)

    return mine


@pytest.mark.parametrize(
    "error",
    [DataError("no weights"), ValueError("no weights"), ZeroDivisionError("no weights"),
     np.linalg.LinAlgError("no weights"), OverflowError("no weights")],
)  # fmt: skip
def test_a_strategy_that_fails_on_two_dates_decides_on_all_others(beside: Callable, error: Exception) -> None:
    bad = [DAY, date(2021, 3, 5)]
    found = beside(failing_on(bad, error))
    assert failed_dates(found.own) == bad
    assert found.failures.rows() == [(day, "mine", "no weights") for day in bad]
    whole = found.table.filter(pl.col("strategy") == "equal_weight", ~pl.col("date").is_in(bad))
    own = found.own.filter(pl.col("ticker") != FAILED).with_columns(strategy=pl.lit("equal_weight"))
    assert_frame_equal(own, whole, check_exact=True)
    assert found.own.filter(pl.col("date").is_in(bad)).height == 2  # a failure is one row, without cash
    assert found.own.filter(pl.col("ticker") == FAILED)["weight"].null_count() == 2


def test_one_that_always_fails_fails_on_every_date(beside: Callable) -> None:
    def never(inputs: DecisionInputs) -> pl.DataFrame:
        raise DataError("never")

    found = beside(never)
    assert failed_dates(found.own) == found.dates
    assert found.own.height == len(found.dates)


def test_an_error_without_words_is_told_by_its_name(beside: Callable) -> None:
    assert beside(failing_on([DAY], ZeroDivisionError())).failures["reason"].to_list() == ["ZeroDivisionError"]


@pytest.mark.parametrize("error", [TypeError("a bug"), LookaheadError("a leak"), KeyError("a bug"), MemoryError()])
def test_a_bug_and_a_look_ahead_stop_the_run(beside: Callable, error: Exception) -> None:
    with pytest.raises(type(error)):
        beside(failing_on([DAY], error))


def test_an_estimate_that_fails_costs_the_decisions_that_rest_on_it_only(beside: Callable) -> None:
    calls = []

    def hopeless_in_january(returns: Floats, cap: float) -> Floats:
        calls.append(returns)
        if returns[-1, 0] == january:
            raise DataError("found no weights")
        return np.full(returns.shape[1], 1 / returns.shape[1])

    january = None
    beside(lambda inputs: monthly_weights(inputs, hopeless_in_january))
    january = calls[1][-1, 0]  # the second estimate is that of January's end
    found = beside(lambda inputs: monthly_weights(inputs, hopeless_in_january))
    assert failed_dates(found.own) == [day for day in found.dates if date(2021, 1, 29) <= day < date(2021, 2, 26)]
    assert set(found.failures["reason"]) == {
        f"estimate at the close of 2021-01-29 for {calls[1].shape[1]} names: found no weights"
    }


def impossible(weight: float | None, ticker: str | None = "S04") -> Books:
    """Equal weight but on DAY."""

    def mine(inputs: DecisionInputs) -> pl.DataFrame:
        sound = equal_weight(inputs).filter(pl.col("date") != DAY)
        book = pl.DataFrame(
            {"date": [DAY] * 2, "ticker": [ticker, "S05"], "weight": [weight] * 2},
            schema={"date": pl.Date, "ticker": pl.String, "weight": pl.Float64},
        )
        return pl.concat([sound.select(book.columns), book.filter(pl.lit(DAY in set(inputs.decision_dates)))])

    return mine


@pytest.mark.parametrize(
    ("mine", "reason"),
    [
        (impossible(0.21), "gives S04 a weight of 0.21, above max_position"),
        (impossible(float("nan")), "gives S04 a weight of nan; wanted 0 to 1"),
        (impossible(-0.1), "gives S04 a weight of -0.1; wanted 0 to 1"),
        (impossible(float("inf")), "gives S04 a weight of inf; wanted 0 to 1"),
        (impossible(0.1, "S05"), "names S05 twice"),
        (impossible(0.1, "NOWHERE"), "holds NOWHERE, which has no prices"),
        (impossible(0.1, None), "holds None, which has no prices"),
    ],
)
def test_weights_that_no_account_could_hold_fail_on_their_date_only(mine: Books, reason: str, beside: Callable) -> None:
    found = beside(mine)
    assert found.failures.rows() == [(DAY, "mine", reason)]
    assert failed_dates(found.own) == [DAY]


def test_weights_of_more_than_everything_fail_on_their_date_only(beside: Callable) -> None:
    def mine(inputs: DecisionInputs) -> pl.DataFrame:
        on_day = pl.when(pl.col("date") == DAY).then(0.2).otherwise("weight")
        return equal_weight(inputs).with_columns(weight=on_day)

    (failure,) = beside(mine).failures.rows()
    assert failure[0] == DAY
    assert failure[2].startswith("weights of 2021-01-08 sum to ")


def test_a_decision_on_a_date_that_is_none_fails_on_all(beside: Callable) -> None:
    stray = date(2021, 1, 7)

    def mine(inputs: DecisionInputs) -> pl.DataFrame:
        return pl.concat([equal_weight(inputs), equal_weight(inputs).with_columns(date=pl.lit(stray)).head(1)])

    found = beside(mine)
    assert failed_dates(found.own) == found.dates
    assert set(found.failures["reason"]) == {"decides on 2021-01-07, which is none of inputs.decision_dates"}


def test_a_null_weight_of_the_strategy_itself_keeps_the_name(beside: Callable) -> None:
    found = beside(impossible(None))
    assert found.failures.is_empty()
    day = found.own.filter(pl.col("date") == DAY)
    assert {"S04", "S05"} <= set(day.filter(pl.col("weight").is_null())["ticker"])
    assert day.filter(pl.col("ticker") == CASH)["weight"].to_list() == [1.0]


def full(prices: pl.DataFrame) -> pl.DataFrame:
    """The small market with the columns that a backtest reads."""
    return prices.with_columns(
        open_inr="close_inr", high_inr=pl.col("close_inr") * 1.01, low_inr=pl.col("close_inr") * 0.99,
        overnight_return_1d="total_return_1d", intraday_return_1d=pl.lit(0.0), dividend_return_1d=pl.lit(0.0),
        flags=pl.lit(""),
    )  # fmt: skip


def test_a_failed_decision_keeps_the_book_and_is_counted(beside: Callable, prices: pl.DataFrame) -> None:
    bad = [DAY, date(2021, 3, 5)]
    found = beside(failing_on(bad, DataError("no weights")))
    result = simulate(full(prices), found.table, BacktestConfig(delisted_after_sessions=0))
    assert result.failures.rows() == [("mine", day) for day in bad]
    assert set(result.trades.filter(pl.col("strategy") == "mine")["decision_date"].drop_nulls()).isdisjoint(bad)
    (note,) = failure_notes(result.failures)
    assert "mine could not decide on 2 dates from 2021-01-08 to 2021-03-05" in note
    check = strategies_decided(found.decided.failures)
    assert not check.passed
    assert check.severity.value == "WARN"
    shown = check.metadata["failures"].value
    assert all(word in shown for word in ("mine", "no weights", "2021-01-08", "2021-03-05"))


def test_a_strategy_that_never_decided_has_no_book_and_the_others_have_theirs(
    beside: Callable, prices: pl.DataFrame
) -> None:
    dates = beside(equal_weight).dates
    found = beside(failing_on(dates, DataError("never")))
    result = simulate(full(prices), found.table, BacktestConfig(delisted_after_sessions=0))
    assert result.daily["strategy"].unique().to_list() == ["equal_weight"]
    assert result.failures.height == len(dates)
    with pytest.raises(DataError, match="every strategy failed on every date"):
        simulate(full(prices), found.own, BacktestConfig())


def test_months_alone_fail_on_the_same_dates(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STRATEGIES, "_entries", {"mine": failing_on([DAY, date(2021, 2, 5)], DataError("no"))})
    whole = target_weights(prices, forecasts, short, FIRST, LAST)
    february = target_weights(prices, forecasts, short, date(2021, 2, 1), date(2021, 2, 28))
    assert_frame_equal(february, whole.filter(pl.col("date").dt.month() == 2), check_exact=True)
    assert weights_of(whole, "mine", date(2021, 2, 12)) != {}
