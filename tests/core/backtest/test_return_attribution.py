"""Parts of an active return: they add up every day, by hand where one part is all there is, and a planted signal."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from stage_cases import FREE, NIFTY, TRI, WEEKS, make_prices, make_targets, wild_case

from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.return_attribution import (
    attribution,
    components,
    earned_of,
    followed_model,
    weights_of,
)
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.schema import COMPONENTS, Forecasts

NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
SECTORS = pl.DataFrame({"ticker": NAMES[:-1], "sector": ["X", "X", "X", "Y", "Y", "Y", "Y"]})
PRICES = make_prices(NAMES, seed=9)
COSTLY = BacktestConfig(cost_model="nse_delivery", commission_bps=2.0, risk_free_rate_ann=0.05)


def forecasts(score: np.ndarray | None = None) -> pl.DataFrame:
    """One model's scores of every stock and session; drawn unless given in the order of (date, ticker)."""
    rows = PRICES.filter(pl.col("instrument") == "equity").select("date", "ticker").sort("date", "ticker")
    drawn = np.random.default_rng(0).normal(size=rows.height) if score is None else score
    table = rows.with_columns(
        model=pl.lit("ridge"), fold=pl.lit("2021"), fit_end=pl.lit(date(2020, 12, 31)),
        horizon_sessions=pl.lit(5, pl.Int32), score=pl.Series(drawn),
    )  # fmt: skip
    return pl.concat([Forecasts.create_empty(), table], how="diagonal")


def parts(result: Backtest, prices: pl.DataFrame, name: str, scores: pl.DataFrame | None = None) -> pl.DataFrame:
    earned = earned_of(result.benchmark, prices, forecasts() if scores is None else scores, SECTORS)
    own = pl.col("strategy") == name
    weight = weights_of(earned, result.positions.filter(own))
    return components(earned, result.daily.filter(own), weight, followed_model(name, list(earned.scores)))


def weekly(strategy: str = "mine_ridge") -> pl.DataFrame:
    rng = np.random.default_rng(5)
    rows = [
        (day, strategy, name, 0.3) for day in WEEKS for name in sorted(rng.choice(NAMES, 3, replace=False))
    ]  # fmt: skip
    return make_targets(rows)


@pytest.mark.parametrize("config", [FREE, COSTLY])
def test_the_parts_add_up_to_the_active_return_every_day(config: BacktestConfig) -> None:
    result = simulate(PRICES, weekly(), config)
    days = parts(result, PRICES, "mine_ridge")
    daily = result.daily.join(result.benchmark, on="date", suffix="_b").sort("date")[1:]
    active = (daily["simple_return_1d"] - daily["simple_return_1d_b"]).to_numpy()
    assert days["date"].to_list() == daily["date"].to_list()
    np.testing.assert_allclose(days.select(COMPONENTS).to_numpy().sum(axis=1), active, atol=1e-12)
    np.testing.assert_allclose(days["active"].to_numpy(), active, atol=1e-15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_they_add_up_on_a_wild_market_too(seed: int) -> None:
    case = wild_case(seed)
    result = simulate(case.prices, case.targets, case.config)
    days = parts(result, case.prices, "one", forecasts().clear())
    assert np.isfinite(days.select(COMPONENTS).to_numpy()).all()
    np.testing.assert_allclose(days.select(COMPONENTS).to_numpy().sum(axis=1), days["active"], atol=1e-9)


def test_trading_is_what_fills_earn_until_the_close_and_nothing_else() -> None:
    """Bought or sold for v at the open: v (close / open - 1) of the equity at the close before."""
    result = simulate(PRICES, weekly(), COSTLY)
    days = parts(result, PRICES, "mine_ridge")
    move = PRICES.select("date", "ticker", move=pl.col("close_inr") / pl.col("open_inr") - 1.0)
    signed = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0) * pl.col("value_inr")
    earned = (
        result.trades.join(move, on=["date", "ticker"]).group_by("date").agg(earned=(signed * pl.col("move")).sum())
    )
    last = result.daily.sort("date").select("date", equity=pl.col("equity_inr").shift(1))
    told = days.join(earned, on="date", how="left").join(last, on="date").fill_null(0.0)
    np.testing.assert_allclose(told["trading"], told["earned"] / told["equity"], atol=1e-12)
    costs = result.daily.join(last, on="date")[1:].sort("date")
    np.testing.assert_allclose(days["cost"], -(costs["cost_inr"] / costs["equity"]).to_numpy(), atol=1e-15)


def test_half_a_book_in_an_index_that_is_the_benchmark_costs_half_the_benchmark() -> None:
    twin = PRICES.filter(pl.col("ticker") == NIFTY).with_columns(ticker=pl.lit(TRI))
    prices = pl.concat([PRICES.filter(pl.col("ticker") != TRI), twin]).sort("date", "ticker")
    result = simulate(prices, make_targets([(WEEKS[0], "half", NIFTY, 0.5)]), FREE)
    days = parts(result, prices, "half")[1:]  # after the day of the fill
    index = result.benchmark.join(days.select("date"), on="date").sort("date")["simple_return_1d"].to_numpy()
    held = result.positions.sort("date")["weight"].to_numpy()[: len(index)]
    np.testing.assert_allclose(days["cash"], -(1.0 - held) * index, atol=1e-12)
    rest = days.select(name for name in COMPONENTS if name != "cash").to_numpy()
    np.testing.assert_allclose(rest, 0.0, atol=1e-12)


def test_who_knows_the_future_earns_by_signal_and_who_follows_no_model_has_none() -> None:
    rows = PRICES.filter(pl.col("instrument") == "equity").sort("date", "ticker")
    ahead = rows.select(pl.col("total_return_1d").mean().over("ticker")).to_series()  # of the whole test
    scores = forecasts(ahead.to_numpy())
    best = scores.sort("date", "score", descending=[False, True]).group_by("date", maintain_order=True).head(2)
    targets = [(day, name, ticker, 0.5) for day, ticker in best.filter(pl.col("date").is_in(WEEKS)).select(
        "date", "ticker").iter_rows() for name in ("wise_ridge", "wise")]  # fmt: skip
    result = simulate(PRICES, make_targets(targets), FREE)
    told = attribution(result.daily, result.positions, result.benchmark, PRICES, scores, SECTORS)
    wide = told[0].pivot(on="component", index="strategy", values="return_ann").sort("strategy")
    assert wide["signal"][0] == 0.0
    assert wide["signal"][1] > 2.0 * abs(wide["luck"][1])
    assert wide["luck"][0] == pytest.approx(wide["signal"][1] + wide["luck"][1])
    assert told[1]["strategy"].to_list() == ["wise_ridge"]
    assert 0.3 < told[1]["transfer_coefficient"][0] < 1.0


def test_means_a_year_and_their_intervals() -> None:
    result = simulate(PRICES, weekly(), FREE)
    table, _ = attribution(result.daily, result.positions, result.benchmark, PRICES, forecasts(), SECTORS)
    days, rows = parts(result, PRICES, "mine_ridge"), {row["component"]: row for row in table.iter_rows(named=True)}
    for name in (*COMPONENTS, "active"):
        assert rows[name]["return_ann"] == pytest.approx(252 * days[name].mean(), abs=1e-12)
        assert rows[name]["low_ann"] - 1e-12 <= rows[name]["return_ann"] <= rows[name]["high_ann"] + 1e-12
    assert sum(rows[name]["return_ann"] for name in COMPONENTS) == pytest.approx(rows["active"]["return_ann"])


def test_without_a_benchmark_there_is_nothing_to_explain() -> None:
    prices = PRICES.filter(~pl.col("ticker").is_in([NIFTY, TRI]))
    result = simulate(prices, weekly(), FREE)
    found = attribution(result.daily, result.positions, result.benchmark, prices, forecasts(), SECTORS)
    assert [table.height for table in found] == [0, 0]


def test_a_book_follows_the_longest_model_that_its_name_ends_in() -> None:
    models = ["ridge", "ridge_21d", "transformer", "21d"]
    assert followed_model("top_n_ridge_21d", models) == "ridge_21d"
    assert followed_model("buffered_transformer", models) == "transformer"
    assert followed_model("bridge", models) is None
