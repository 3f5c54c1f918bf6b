"""What holds for every registered strategy: no look ahead, no memory of what else is loaded, weights that fit."""

from collections.abc import Callable
from datetime import date
from typing import get_args

import polars as pl
import pytest
from allocation_cases import held, loose
from polars.testing import assert_frame_equal

from quant_assets.partitions import path_lookback
from quant_core.allocation import STRATEGIES, AllocationConfig, DecisionInputs, target_weights
from quant_core.allocation.strategy import decision_inputs
from quant_core.allocation.targets import decide
from quant_core.errors import LookaheadError
from quant_core.schema import CASH, TargetWeights, validate
from quant_core.trading.rebalancing import Rebalance, rebalance_dates

FIRST, LAST = date(2020, 12, 1), date(2021, 4, 30)
MONTH = pl.col("date").dt.truncate("1mo")
#: Books of the index alone.
OF_THE_INDEX = ("buy_hold_index", "regime_gated")
#: Books a model; those that trade towards a wish by and by, and keep what is near it.
SPARING = ("buffered", "cost_aware_mean_variance", "partial_adjustment", "volatility_targeted")
A_MODEL_EACH = ("top_n", *SPARING)


@pytest.fixture(scope="module")
def whole(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> pl.DataFrame:  # fmt: skip
    return target_weights(prices, forecasts, short, FIRST, LAST, regimes, regime_books)


def test_every_strategy_decides_in_the_small_market(whole: pl.DataFrame) -> None:
    models = {f"{name}_{model}" for name in A_MODEL_EACH for model in ("boosting", "ridge")}
    assert set(whole["strategy"]) == (set(STRATEGIES) - set(A_MODEL_EACH)) | models


@pytest.mark.slow
@pytest.mark.parametrize("cut", [date(2021, 1, 29), date(2021, 3, 12)])
@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_no_decision_changes_when_what_follows_it_does(
    name: str, cut: date, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig,
    regimes: pl.DataFrame, certificate: Callable[..., None],
) -> None:  # fmt: skip
    certificate(name, prices, forecasts, short, cut, regimes)


def full_sample_volatility(inputs: DecisionInputs) -> pl.DataFrame:
    risk = inputs.prices.group_by("ticker").agg(weight=pl.col("total_return_1d").std())
    return inputs.eligible.join(risk, on="ticker")


def late_momentum(inputs: DecisionInputs) -> pl.DataFrame:
    past = inputs.prices.sort("date").with_columns(
        pl.col("total_return_1d").fill_null(0.0).rolling_sum(60).shift(-3).over("ticker").alias("gain")
    )
    best = past.join(inputs.eligible, on=["date", "ticker"]).sort("gain", nulls_last=False).group_by("date").tail(3)
    return best.select("date", "ticker", weight=pl.lit(0.2))


def next_score(inputs: DecisionInputs) -> pl.DataFrame:
    later = inputs.forecasts.sort("date").with_columns(pl.col("score").shift(-1).over("ticker", "model"))
    best = later.filter(pl.col("model") == "ridge").sort("score").group_by("date").last()
    return best.select("date", "ticker", weight=pl.lit(0.2))


def next_month_end(inputs: DecisionInputs) -> pl.DataFrame:
    calm = inputs.prices.filter(pl.col("instrument") == "equity").group_by("ticker", MONTH.alias("month"))
    best = calm.agg(pl.col("total_return_1d").std()).sort("total_return_1d").group_by("month").first()
    days = pl.DataFrame({"date": inputs.decision_dates}).with_columns(MONTH.alias("month"))
    return days.join(best, on="month").select("date", "ticker", weight=pl.lit(0.2))


def next_regime(inputs: DecisionInputs) -> pl.DataFrame:
    later = inputs.regimes.select("date", weight=pl.col("prob_crisis").shift(-1).fill_null(0.0))
    days = pl.DataFrame({"date": inputs.decision_dates}).join(later, on="date")
    return days.select("date", "weight", ticker=pl.lit("^NSEI"))


@pytest.mark.parametrize("leak", [full_sample_volatility, late_momentum, next_score, next_month_end, next_regime])
def test_a_strategy_that_looks_ahead_is_caught(
    leak: Callable[[DecisionInputs], pl.DataFrame], prices: pl.DataFrame, forecasts: pl.DataFrame,
    short: AllocationConfig, regimes: pl.DataFrame, certificate: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(STRATEGIES, "_entries", {"leak": leak})
    with pytest.raises(LookaheadError):
        certificate("leak", prices, forecasts, short, date(2021, 3, 12), regimes)


@pytest.mark.slow
@pytest.mark.parametrize("rebalance", get_args(Rebalance))
def test_months_decided_one_by_one_equal_the_whole_range(
    rebalance: Rebalance, prices: pl.DataFrame, forecasts: pl.DataFrame, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    config = loose(
        top_n=3, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, optimiser_names=9,
        rebalance=rebalance,
    )  # fmt: skip
    whole = target_weights(prices, forecasts, config, FIRST, LAST, regimes, regime_books)
    parts = []
    for first in prices.filter(pl.col("date") >= FIRST).select(MONTH).unique().to_series().sort():
        last = pl.Series([first]).dt.month_end()[0]
        oldest = pl.Series([first]).dt.offset_by(f"{path_lookback(60).start_offset}mo")[0]
        loaded = prices.filter(pl.col("date").is_between(oldest, last))
        quarter_before = pl.Series([first]).dt.offset_by("-3mo")[0]
        labels = regimes.filter(pl.col("date").is_between(quarter_before, last))
        books = regime_books.filter(pl.col("fold").is_in(labels["fold"].unique().implode()))
        scored_from = pl.Series([first]).dt.offset_by(f"{path_lookback(0).start_offset}mo")[0]
        scores = forecasts.filter(pl.col("date").is_between(scored_from, last))
        parts.append(target_weights(loaded, scores, config, first, last, labels, books))
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)
    assert whole["date"].unique().sort().to_list() == rebalance_dates(FIRST, LAST, rebalance)


def test_deciding_twice_gives_the_same_bits(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, whole: pl.DataFrame,
    regimes: pl.DataFrame, regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    shuffled, labels = (table.sample(fraction=1.0, shuffle=True, seed=3) for table in (prices, regimes))
    again = target_weights(shuffled, forecasts, short, FIRST, LAST, labels, regime_books)
    assert_frame_equal(again, whole, check_exact=True)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_weights_keep_their_limits_and_go_to_names_that_may_be_bought(
    name: str, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    inputs = decision_inputs(prices, forecasts, short, FIRST, LAST, regimes, regime_books)
    table = validate(decide(name, inputs).sort("date", "strategy", "ticker"), TargetWeights, name, "fix the strategy")
    totals = table.group_by("date", "strategy").agg(pl.col("weight").sum())
    assert set(totals["date"]) <= set(inputs.decision_dates)
    assert totals["weight"].to_list() == pytest.approx([1.0] * len(totals), abs=1e-12)  # with its row for cash
    stocks = held(table).filter(pl.col("ticker") != "^NSEI")
    assert stocks.is_empty() == (name in OF_THE_INDEX)
    assert stocks.join(inputs.eligible, on=["date", "ticker"], how="anti").is_empty()
    assert (stocks["weight"] <= short.max_position).all()


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - set(OF_THE_INDEX)))
@pytest.mark.parametrize("members", [["S04"], ["S04", "S07"]])
def test_a_universe_of_one_or_two_names_is_held_up_to_the_cap(
    name: str, members: list[str], prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig,
    regimes: pl.DataFrame, regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    few = prices.with_columns(
        is_member=pl.col("ticker").is_in(members), is_tradable=pl.lit(True), is_filled=pl.lit(False)
    )
    books = regime_books.filter(pl.col("strategy") != CASH)  # a Bear is answered by equal weight, too
    inputs = decision_inputs(few, forecasts.filter(pl.col("model") == "ridge"), short, FIRST, LAST, regimes, books)
    whole = decide(name, inputs)
    table = held(whole)
    assert sorted(set(table["ticker"])) == members
    if name in SPARING:
        assert (table["weight"] <= 0.2).all()
        assert set(whole.filter(pl.col("weight").is_null())["ticker"]) <= set(members)
        assert sorted(set(whole["date"])) == inputs.decision_dates.to_list()
        return
    assert table.height == len(members) * len(inputs.decision_dates)
    assert table["weight"].to_list() == [0.2] * table.height


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_market_that_is_shut_on_every_decision_date_sells_nothing(
    name: str, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    shut = prices.with_columns(is_tradable=pl.lit(False))
    books = regime_books.filter(pl.col("strategy") != CASH)
    table = decide(name, decision_inputs(shut, forecasts, short, FIRST, LAST, regimes, books))
    assert held(table)["ticker"].unique().to_list() == (["^NSEI"] if name in OF_THE_INDEX else [])
    assert name in OF_THE_INDEX or table.is_empty()


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_the_first_docstring_line_is_a_sentence_for_the_list_of_strategies(name: str) -> None:
    line = (STRATEGIES[name].__doc__ or "").split("\n")[0]
    assert 30 < len(line) <= 120
    assert line.endswith(".")
