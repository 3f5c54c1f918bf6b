"""Where the dividends of stocks are not known, strategies and benchmark are compared on price returns alike."""

from datetime import date

import polars as pl

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.simulate import simulate

DAYS = calendar.sessions(date(2021, 1, 1), date(2021, 3, 31))
KNOWN = DAYS[20]
TRI, NIFTY = "NIFTY 50 TRI", "^NSEI"


def prices() -> pl.DataFrame:
    """A stock that stands still, a price index that gains 1 % a session and its total return 1.5 %."""
    daily = {"AAA": 0.0, NIFTY: 0.01, TRI: 0.015}
    rows = [(day, name, 100.0 * (1 + rate) ** n, rate) for name, rate in daily.items() for n, day in enumerate(DAYS)]
    table = pl.DataFrame(rows, schema=["date", "ticker", "close_inr", "total_return_1d"], orient="row")
    stock = pl.col("ticker") == "AAA"
    price, ratio = pl.col("close_inr"), pl.lit(0.0)
    return table.with_columns(
        instrument=pl.when(stock).then(pl.lit("equity")).otherwise(pl.lit("index")),
        open_inr=price, high_inr=price, low_inr=price, volume_shares=pl.lit(1000, pl.Int64),
        turnover_inr=pl.lit(None, pl.Float64), overnight_return_1d="total_return_1d", intraday_return_1d=ratio,
        dividend_return_1d=ratio, is_member=stock, is_filled=pl.lit(False), is_tradable=stock, flags=pl.lit(""),
    ).sort("date", "ticker")  # fmt: skip


def test_after_the_last_known_dividend_the_benchmark_is_the_price_index() -> None:
    targets = pl.DataFrame({"date": [DAYS[0]], "strategy": ["one"], "ticker": ["AAA"], "weight": [1.0]})
    config = BacktestConfig(risk_free_rate_ann=0.0)
    found = simulate(prices(), targets, config, price_returns_after=KNOWN).benchmark
    after = found.filter(pl.col("date") > KNOWN)
    upto = found.filter(pl.col("date") <= KNOWN)[1:]
    assert set(after["series"]) == {NIFTY}
    assert set(upto["series"]) == {TRI}
    assert (after["simple_return_1d"] - 0.01).abs().max() < 1e-12
    assert (upto["simple_return_1d"] - 0.015).abs().max() < 1e-12
    assert set(simulate(prices(), targets, config).benchmark["series"][1:]) == {TRI}
