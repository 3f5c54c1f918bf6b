"""2021-11-04, an evening session that the stocks' files lost while the index kept it: nobody sells and buys back."""

from datetime import date

import polars as pl
import pytest
from tables import Market

from quant_core.allocation import STRATEGIES, AllocationConfig, target_weights
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.simulate import simulate
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.market.universe import membership

pytestmark = pytest.mark.real_data
LOST = date(2021, 11, 4)  # the last session of its week, as the 5th was a holiday
NEXT = date(2021, 11, 8)
FIRST, LAST = date(2021, 8, 1), date(2022, 1, 31)
STRATEGIES_TESTED = ("equal_weight", "inverse_volatility", "momentum")


def test_the_books_are_kept_through_the_lost_session(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    start = date(2020, 6, 1)
    raw = market.raw.filter(pl.col("date").is_between(date(2020, 3, 1), LAST))
    prices = clean(raw, membership("nifty50"), CleaningConfig(), start, LAST).prices
    prices = prices.filter(~((pl.col("date") == LOST) & (pl.col("instrument") == "equity") & ~pl.col("is_filled")))
    assert prices.filter(pl.col("date") == LOST, pl.col("instrument") == "index", ~pl.col("is_filled")).height > 0
    list(STRATEGIES)
    monkeypatch.setattr(STRATEGIES, "_entries", {name: STRATEGIES[name] for name in STRATEGIES_TESTED})
    table = target_weights(prices, pl.DataFrame(), AllocationConfig(), FIRST, LAST)
    assert LOST not in set(table["date"])
    assert NEXT in set(table["date"])
    daily = simulate(prices, table, BacktestConfig()).daily
    for name in STRATEGIES_TESTED:
        own = daily.filter(pl.col("strategy") == name).sort("date")
        after = own.filter(pl.col("date").is_between(LOST, date(2021, 11, 12)))
        usual = own.filter(pl.col("date") > date(2021, 9, 1), ~pl.col("date").is_in(after["date"].implode()))
        fewest = own.filter(pl.col("date") < LOST)["n_holdings"][-1]
        assert after["n_holdings"].min() >= fewest - 2, name
        assert after["turnover_1d"].max() <= max(usual["turnover_1d"].max(), 0.05), name  # type: ignore[type-var,operator]
        assert after["turnover_1d"].sum() < 0.5, name  # one of the old books turned over twice
