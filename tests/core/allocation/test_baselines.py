"""Target weights of the classic baselines: who is chosen, when, and how much of it, by hand or by a plain sort."""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest
from allocation_cases import held, kept_of, loose, weights_of
from hypothesis import given
from hypothesis import strategies as st

from quant_core import calendar
from quant_core.allocation import AllocationConfig, target_weights
from quant_core.allocation.strategies.inverse_volatility import inverse_volatility_weights
from quant_core.errors import DataError, LookaheadError
from quant_core.trading.rebalancing import rebalance_dates

FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)
DAY = date(2021, 1, 8)


def may_buy(prices: pl.DataFrame, day: date) -> set[str]:
    rows = prices.filter(pl.col("date") == day).to_dicts()
    return {r["ticker"] for r in rows if r["is_member"] and r["is_tradable"]}


def test_top_n_holds_the_best_tradable_members_as_a_plain_sort_finds_them(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    table = target_weights(prices, forecasts, loose(top_n=4), FIRST, LAST)
    for day in rebalance_dates(FIRST, LAST, "weekly"):
        allowed = may_buy(prices, day)
        for model in ("boosting", "ridge"):
            scores = forecasts.filter((pl.col("date") == day) & (pl.col("model") == model))
            ranked = sorted((-r["score"], r["ticker"]) for r in scores.to_dicts() if r["ticker"] in allowed)
            assert weights_of(table, f"top_n_{model}", day) == {t: 0.2 for _, t in ranked[:4]}


def test_equal_weight_holds_every_tradable_member_and_the_index_book_only_the_index(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    table = target_weights(prices, forecasts, loose(), FIRST, LAST)
    members = may_buy(prices, DAY)
    assert weights_of(table, "equal_weight", DAY) == pytest.approx(dict.fromkeys(members, 1 / len(members)))
    assert weights_of(table, "buy_hold_index", DAY) == {"^NSEI": 1.0}


def test_equal_weight_of_few_names_stops_at_the_cap_and_of_many_ignores_the_minimum(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    capped = loose(max_position=0.05, min_position=0.01)
    few = target_weights(prices, forecasts.clear(), capped, FIRST, LAST)
    assert weights_of(few, "equal_weight", DAY).keys() == may_buy(prices, DAY)
    assert set(weights_of(few, "equal_weight", DAY).values()) == {0.05}
    many = target_weights(prices, forecasts.clear(), loose(top_n=1, min_position=0.2), FIRST, LAST)
    spread = weights_of(many, "equal_weight", DAY)
    assert len(spread) > 5
    assert sum(spread.values()) == pytest.approx(1.0)


def test_without_forecasts_there_is_no_top_n_book(prices: pl.DataFrame, forecasts: pl.DataFrame) -> None:
    for nothing in (forecasts.clear(), pl.DataFrame()):
        names = target_weights(prices, nothing, loose(), FIRST, LAST)["strategy"].unique()
        assert "equal_weight" in names
        assert not any(name.startswith("top_n") for name in names)


def test_missing_scores_are_never_chosen(prices: pl.DataFrame, forecasts: pl.DataFrame) -> None:
    for missing in (float("nan"), None):
        blind = forecasts.with_columns(score=pl.when(pl.col("ticker") < "S06").then(missing).otherwise("score"))
        table = target_weights(prices, blind, loose(), FIRST, LAST)
        own = table.filter(pl.col("strategy").str.starts_with("top_n"))
        chosen = held(own)["ticker"].unique()
        assert len(chosen) > 3
        assert chosen.min() >= "S06"
        for day in own["date"].unique():  # but kept where they are held
            assert kept_of(table, "top_n_ridge", day) >= {name for name in may_buy(prices, day) if name < "S06"}


def test_a_score_from_a_model_that_saw_its_date_is_refused(prices: pl.DataFrame, forecasts: pl.DataFrame) -> None:
    leaky = forecasts.with_columns(fit_end=pl.lit(date(2021, 1, 4)))
    with pytest.raises(LookaheadError, match="fitted up to 2021-01-04"):
        target_weights(prices, leaky, loose(), FIRST, LAST)


def test_the_index_book_survives_a_lost_row_and_ends_after_21_sessions_without_a_price(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    is_index = pl.col("ticker") == "^NSEI"
    lost = prices.filter(~((pl.col("date") == DAY) & is_index))
    assert weights_of(target_weights(lost, forecasts, short, FIRST, LAST), "buy_hold_index", DAY) == {"^NSEI": 1.0}
    carried = prices.with_columns(
        is_filled=pl.when(is_index & (pl.col("date") > DAY)).then(True).otherwise("is_filled")
    )
    daily = loose(rebalance="daily")
    table = target_weights(carried, forecasts, daily, FIRST, LAST).filter(pl.col("strategy") == "buy_hold_index")
    assert table["date"].max() == calendar.sessions(DAY, LAST)[20]


@pytest.mark.parametrize("skipped", [0, 5])
def test_momentum_is_a_plain_sort_of_the_growth_of_one_rupee(
    skipped: int, prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    config = loose(top_n=3, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=skipped)
    table = target_weights(prices, forecasts, config, FIRST, LAST)
    for day in rebalance_dates(FIRST, LAST, "weekly"):
        window = calendar.sessions(date(2020, 7, 1), day)[-60:][: 60 - skipped]
        growth = {}
        for ticker in may_buy(prices, day):
            rows = prices.filter((pl.col("ticker") == ticker) & pl.col("date").is_in(window)).to_dicts()
            returns = [row["total_return_1d"] for row in rows if row["total_return_1d"] is not None]
            if len(returns) >= 0.8 * len(window):
                growth[ticker] = np.prod([1 + value for value in returns])
        best = sorted(growth, key=lambda name: -growth[name])[:3]
        assert weights_of(table, "momentum", day) == dict.fromkeys(best, 0.2)


def test_a_name_listed_less_than_80_percent_of_the_window_ago_has_no_momentum(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    config = loose(top_n=12, min_position=0.0, lookback_sessions=60, momentum_sessions=60,
                              momentum_skip_sessions=0, rebalance="daily")  # fmt: skip
    wild = prices.with_columns(is_member=True, is_tradable=pl.lit(True))
    table = target_weights(wild, forecasts, config, date(2020, 11, 1), LAST)
    own = held(table).filter((pl.col("strategy") == "momentum") & (pl.col("ticker") == "S10"))
    listed = wild.filter((pl.col("ticker") == "S10") & pl.col("total_return_1d").is_not_null())["date"]
    assert own["date"].min() == listed[47]  # the 48th return of 60


def test_inverse_volatility_by_hand() -> None:
    spread = np.array([1.0, 2.0, 4.0])
    returns = np.array([-0.01, 0.0, 0.01])[:, None] * spread  # standard deviations 1, 2 and 4 %
    assert inverse_volatility_weights(returns, 1.0) == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-15)
    # The first is cut to 0.5, its excess goes to the others two to one.
    assert inverse_volatility_weights(returns, 0.5) == pytest.approx([0.5, 1 / 3, 1 / 6], abs=1e-15)
    # With 0.4 the second would reach 0.4 exactly; with 0.38 it is cut, too.
    assert inverse_volatility_weights(returns, 0.38) == pytest.approx([0.38, 0.38, 0.24], abs=1e-15)


@given(
    st.lists(st.floats(0.001, 0.2), min_size=2, max_size=40),
    st.floats(0.0, 1.0),
)
def test_capped_inverse_volatilities_sum_to_one_and_keep_their_ratios_below_the_cap(
    spread: list[float], slack: float
) -> None:
    risk = np.array(spread)
    cap = 1 / len(risk) + 1e-6 + slack * (1 - 1 / len(risk) - 1e-6)
    weights = inverse_volatility_weights(np.array([-1.0, 0.0, 1.0])[:, None] * risk, cap)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert (weights <= cap).all()
    below = weights < cap - 1e-12
    scaled = weights[below] * risk[below]
    assert scaled == pytest.approx(np.full(below.sum(), scaled.mean() if below.any() else 0.0), rel=1e-9)
    assert (weights[~below] * risk[~below] <= (scaled.mean() if below.any() else np.inf) * (1 + 1e-9)).all()


def test_inverse_volatility_estimates_at_the_month_end_and_holds_to_the_next(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    calm = prices.with_columns(is_member=pl.col("instrument") == "equity", is_tradable=~pl.col("is_filled"))
    shut = (pl.col("ticker") == "S03") & (pl.col("date") == date(2021, 2, 12))
    table = target_weights(calm.with_columns(is_tradable=pl.col("is_tradable") & ~shut), forecasts, short, FIRST, LAST)
    window = calendar.sessions(date(2020, 7, 1), date(2021, 1, 29))[-60:]
    rows = calm.filter(pl.col("date").is_in(window) & (pl.col("instrument") == "equity"))
    names = may_buy(calm, date(2021, 1, 29))
    risk = {
        name: np.std((*returns, *[0.0] * (60 - len(returns))), ddof=1)
        for name in names
        if len(returns := rows.filter(pl.col("ticker") == name)["total_return_1d"].drop_nulls().to_list()) >= 48
    }
    assert len(risk) >= 10
    total = sum(1 / value for value in risk.values())
    for day in (date(2021, 1, 29), date(2021, 2, 5), date(2021, 2, 12), date(2021, 2, 19)):
        own = weights_of(table, "inverse_volatility", day)
        wanted = {name: 1 / value / total for name, value in risk.items() if name in may_buy(calm, day)}
        wanted.pop("S03") if day == date(2021, 2, 12) else None
        assert own == pytest.approx(wanted, rel=1e-12)
    assert "S03" in kept_of(table, "inverse_volatility", date(2021, 2, 12))
    assert weights_of(table, "inverse_volatility", date(2021, 2, 26)) != own


def test_a_month_end_session_lost_from_the_data_uses_the_names_of_the_session_before(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    lost = prices.filter(pl.col("date") != date(2021, 1, 29))
    table = target_weights(lost, forecasts, short, FIRST, LAST)
    assert set(table["date"]).isdisjoint({date(2021, 1, 29)})
    assert set(weights_of(table, "inverse_volatility", date(2021, 2, 5))) <= may_buy(prices, date(2021, 1, 28))
    assert sum(weights_of(table, "inverse_volatility", date(2021, 2, 5)).values()) > 0.5


def test_without_enough_history_there_is_no_estimate_and_no_momentum(market: Callable[..., pl.DataFrame]) -> None:
    young = market(start=date(2021, 1, 1))
    config = loose(lookback_sessions=60, momentum_sessions=60)
    first = target_weights(young, pl.DataFrame(), config).group_by("strategy").agg(pl.col("date").min())
    starts = dict(first.iter_rows())
    assert starts["equal_weight"] == date(2021, 1, 1)
    for name in ("min_variance", "hierarchical_risk_parity", "equal_risk_contribution", "inverse_volatility"):
        assert starts[name] == date(2021, 4, 1)  # March ends with the first 48 returns of 60; this is the date after
    assert starts["momentum"] < date(2021, 3, 31)


@pytest.mark.parametrize(
    "bad",
    [{"top_n": 0}, {"top_n": 60}, {"max_position": 1.5}, {"min_position": 0.3}, {"rebalance": "yearly"},
     {"index_ticker": ""}, {"lookback_sessions": 59}, {"momentum_skip_sessions": 252}, {"momentum_skip_sessions": -1},
     {"momentum_sessions": 0}, {"optimiser_names": 0}],
)  # fmt: skip
def test_settings_that_cannot_hold_are_refused(bad: dict) -> None:
    with pytest.raises(DataError):
        loose(**bad)


def test_the_longer_of_the_two_windows_is_the_history_to_load() -> None:
    assert loose(lookback_sessions=60).history_sessions == 252
    assert loose(lookback_sessions=300).history_sessions == 300


def test_no_decision_dates_or_no_prices_give_an_empty_table(prices: pl.DataFrame, forecasts: pl.DataFrame) -> None:
    for table in (
        target_weights(prices.clear(), forecasts, loose()),
        target_weights(prices, forecasts, loose(), date(2021, 1, 9), date(2021, 1, 10)),
        target_weights(prices, forecasts, loose(), date(2022, 1, 1), date(2022, 3, 1)),
    ):
        assert table.is_empty()
        assert table.columns == ["date", "strategy", "ticker", "weight"]
