"""Target weights of the baselines: who is chosen, when, and the same whether decided by month or at once."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_core import calendar
from quant_core.allocation.baselines import STRATEGIES, AllocationConfig, target_weights
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import Forecasts, TargetWeights, validate
from quant_core.trading.rebalancing import rebalance_dates

TICKERS = [f"S{k:02d}" for k in range(12)]


def make_prices(start=date(2021, 1, 1), end=date(2021, 4, 30), seed=0):
    rng = np.random.default_rng(seed)
    days = calendar.sessions(start, end)
    rows = [(d, t, "equity", bool(rng.random() < 0.85), bool(rng.random() < 0.9)) for d in days for t in TICKERS]
    rows += [(d, "^NSEI", "index", False, False) for d in days]
    schema = {"date": pl.Date, "ticker": pl.String, "instrument": pl.String, "is_member": pl.Boolean,
              "is_tradable": pl.Boolean}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").sort("date", "ticker")


def make_forecasts(prices, models=("boosting", "ridge"), seed=1):
    rng = np.random.default_rng(seed)
    stocks = prices.filter(pl.col("instrument") == "equity").select("date", "ticker")
    tables = [
        stocks.with_columns(
            model=pl.lit(model),
            fold=pl.lit(2021, pl.Int32),
            fit_end=pl.lit(date(2020, 12, 31)),
            horizon_sessions=pl.lit(5, pl.Int32),
            score=pl.Series(np.round(rng.normal(0, 1, len(stocks)), 1)),  # rounded, so that ties occur
        )
        for model in models
    ]
    return validate(pl.concat(tables).sort("date", "ticker", "model"), Forecasts, "test", "fix the test")


PRICES = make_prices()
FORECASTS = make_forecasts(PRICES)


def weights_of(table, strategy, day):
    rows = table.filter((pl.col("strategy") == strategy) & (pl.col("date") == day))
    return dict(zip(rows["ticker"], rows["weight"], strict=True))


@pytest.mark.parametrize("rebalance", ["daily", "weekly", "monthly"])
def test_months_decided_one_by_one_equal_the_whole_range(rebalance):
    config = AllocationConfig(rebalance=rebalance)
    whole = target_weights(PRICES, FORECASTS, config)
    month = pl.col("date").dt.truncate("1mo")
    parts = [
        target_weights(PRICES.filter(month == first), FORECASTS.filter(month == first), config)
        for first in PRICES.select(month).unique().to_series().sort()
    ]
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)
    assert whole["date"].unique().sort().to_list() == rebalance_dates(date(2021, 1, 1), date(2021, 4, 30), rebalance)


def test_top_n_holds_the_best_tradable_members_as_a_plain_sort_finds_them():
    config = AllocationConfig(top_n=4)
    table = target_weights(PRICES, FORECASTS, config)
    for day in rebalance_dates(date(2021, 1, 1), date(2021, 4, 30), "weekly"):
        rows = PRICES.filter(pl.col("date") == day)
        allowed = {r["ticker"] for r in rows.to_dicts() if r["is_member"] and r["is_tradable"]}
        for model in ("boosting", "ridge"):
            scores = FORECASTS.filter((pl.col("date") == day) & (pl.col("model") == model))
            ranked = sorted((-r["score"], r["ticker"]) for r in scores.to_dicts() if r["ticker"] in allowed)
            assert weights_of(table, f"top_n_{model}", day) == {t: 0.2 for _, t in ranked[:4]}


def test_equal_weight_holds_every_tradable_member_and_the_index_book_only_the_index():
    table = target_weights(PRICES, FORECASTS, AllocationConfig())
    day = date(2021, 1, 8)
    members = PRICES.filter((pl.col("date") == day) & pl.col("is_member") & pl.col("is_tradable"))["ticker"].to_list()
    assert weights_of(table, "equal_weight", day) == pytest.approx(dict.fromkeys(members, 1 / len(members)))
    assert weights_of(table, "buy_hold_index", day) == {"^NSEI": 1.0}


def test_equal_weight_of_few_names_stops_at_the_cap_and_of_many_ignores_the_minimum():
    few = target_weights(PRICES, FORECASTS.clear(), AllocationConfig(max_position=0.05, min_position=0.01))
    assert weights_of(few, "equal_weight", date(2021, 1, 8)).keys() != set()
    assert set(weights_of(few, "equal_weight", date(2021, 1, 8)).values()) == {0.05}
    many = target_weights(PRICES, FORECASTS.clear(), AllocationConfig(top_n=1, min_position=0.2))
    held = weights_of(many, "equal_weight", date(2021, 1, 8))
    assert len(held) > 5
    assert sum(held.values()) == pytest.approx(1.0)


def test_without_forecasts_there_is_no_top_n_book():
    for nothing in (FORECASTS.clear(), pl.DataFrame()):
        table = target_weights(PRICES, nothing, AllocationConfig())
        assert table["strategy"].unique().sort().to_list() == ["buy_hold_index", "equal_weight"]


def test_a_date_on_which_nothing_may_be_bought_has_no_rows():
    shut = PRICES.with_columns(is_tradable=pl.col("is_tradable") & (pl.col("date") != date(2021, 1, 8)))
    table = target_weights(shut, FORECASTS, AllocationConfig())
    assert table.filter(pl.col("date") == date(2021, 1, 8))["strategy"].to_list() == ["buy_hold_index"]


def test_missing_scores_are_never_chosen():
    blind = FORECASTS.with_columns(score=pl.when(pl.col("ticker") < "S06").then(float("nan")).otherwise("score"))
    table = target_weights(PRICES, blind, AllocationConfig())
    chosen = table.filter(pl.col("strategy").str.starts_with("top_n"))["ticker"].unique()
    assert len(chosen) > 0
    assert chosen.min() >= "S06"


def test_decisions_do_not_change_when_the_future_does():
    cut = date(2021, 2, 26)
    before = target_weights(PRICES, FORECASTS, AllocationConfig()).filter(pl.col("date") <= cut)
    other = make_prices(seed=9)
    spliced = pl.concat([PRICES.filter(pl.col("date") <= cut), other.filter(pl.col("date") > cut)])
    scores = FORECASTS.with_columns(score=pl.when(pl.col("date") > cut).then(-pl.col("score")).otherwise("score"))
    after = target_weights(spliced, scores, AllocationConfig()).filter(pl.col("date") <= cut)
    assert_frame_equal(after, before, check_exact=True)


def test_a_score_from_a_model_that_saw_its_date_is_refused():
    leaky = FORECASTS.with_columns(fit_end=pl.lit(date(2021, 1, 4)))
    with pytest.raises(LookaheadError, match="fitted up to 2021-01-04"):
        target_weights(PRICES, leaky, AllocationConfig())


@pytest.mark.parametrize(
    "bad",
    [{"top_n": 0}, {"top_n": 60}, {"max_position": 1.5}, {"min_position": 0.3}, {"rebalance": "yearly"},
     {"index_ticker": ""}],
)  # fmt: skip
def test_settings_that_cannot_hold_are_refused(bad):
    with pytest.raises(DataError):
        AllocationConfig(**bad)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_registered_strategy_gives_weights_of_at_most_one_on_decision_dates_only(name):
    day = date(2021, 1, 8)
    prices, scores = PRICES.filter(pl.col("date") == day), FORECASTS.filter(pl.col("date") == day)
    table = STRATEGIES[name](prices, scores, AllocationConfig())
    validate(table, TargetWeights, name, "fix the strategy")
    totals = table.group_by("date", "strategy").agg(pl.col("weight").sum())
    assert totals["date"].unique().to_list() == [day]
    assert totals["weight"].max() <= 1.0 + 1e-12


def test_an_index_row_lost_on_a_decision_date_does_not_turn_the_index_book_into_cash():
    day = date(2021, 1, 8)
    lost = PRICES.filter(~((pl.col("date") == day) & (pl.col("ticker") == "^NSEI")))
    assert weights_of(target_weights(lost, FORECASTS, AllocationConfig()), "buy_hold_index", day) == {"^NSEI": 1.0}
