"""A seeded ReportInput of several strategies on real NSE sessions."""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.report.render import ReportInput
from quant_core.trading.performance import summary

STRATEGIES = ("ridge_top_n", "momentum_top_n", "equal_weight", "min_variance")
CAPITAL_INR = 1e7


@pytest.fixture(scope="session")
def make_report_input() -> Callable[..., ReportInput]:
    """Build an input: make_report_input(start, end, seed)."""
    return build


def build(start: date = date(2015, 1, 1), end: date = date(2016, 12, 31), seed: int = 7) -> ReportInput:
    """Strategies that share a market factor with the benchmark."""
    rng = np.random.default_rng(seed)
    days = sessions(start, end)
    market = np.concatenate([[0.0], rng.normal(0.0005, 0.0105, len(days) - 1)])
    daily = pl.concat([_daily(name, days, market, rng) for name in STRATEGIES])
    benchmark = pl.DataFrame({"date": days, "simple_return_1d": market, "series": "NIFTY 50 TRI"})
    rows = [_measures(name, daily, market) for name in STRATEGIES]
    rows.append({"strategy": "benchmark", **summary(market, days, risk_free_rate_1d=0.00025)})
    quality = pl.concat([_quality(model, mean, days, rng) for model, mean in (("ridge", 0.02), ("momentum", 0.008))])
    return ReportInput(
        title="NIFTY 50 walk-forward backtest",
        profile="nifty50",
        strategy="ridge_top_n",
        start=start,
        end=end,
        daily=daily.sort("date", "strategy"),
        positions=_positions(days[-1], rng),
        benchmark=benchmark,
        metrics=pl.DataFrame(rows),
        quality=quality,
        quality_summary=[
            {
                "model": "ridge",
                "n_dates": len(days),
                "mean_rank_ic": 0.0212,
                "icir": 0.14,
                "nw_t": 2.61,
                "hit_rate": 0.56,
            },
            {
                "model": "momentum",
                "n_dates": len(days),
                "mean_rank_ic": 0.0079,
                "icir": 0.05,
                "nw_t": 0.92,
                "hit_rate": 0.52,
            },
        ],
        notes=["Universe: dated index membership; 3 former members have no prices.", "Trials counted: 12."],
        provenance={"Source": "simulated, seed 7", "Code version": "0.1.0", "Data hash": "3f2a" * 16},
        risk_free_rate_ann=0.065,
    )


def _daily(name: str, days: list[date], market: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    returns = 0.9 * market + np.concatenate([[0.0], rng.normal(0.0002, 0.004, len(days) - 1)])
    equity = CAPITAL_INR * np.cumprod(1.0 + returns)
    turnover = np.where(np.arange(len(days)) % 5 == 1, rng.uniform(0.05, 0.2, len(days)), 0.0)
    frame = pl.DataFrame({"date": days, "equity_inr": equity, "simple_return_1d": returns, "turnover_1d": turnover})
    return frame.select(
        "date",
        pl.lit(name).alias("strategy"),
        "equity_inr",
        (pl.col("equity_inr") * 0.01).alias("cash_inr"),
        "simple_return_1d",
        "turnover_1d",
        (pl.col("turnover_1d") * pl.col("equity_inr") * 0.004).alias("cost_inr"),
        pl.lit(15, pl.Int32).alias("n_holdings"),
        pl.lit(4, pl.Int32).alias("n_fills"),
        pl.lit(0, pl.Int32).alias("n_unfilled"),
    )


def _measures(name: str, daily: pl.DataFrame, market: np.ndarray) -> dict[str, object]:
    own = daily.filter(pl.col("strategy") == name)
    measured = summary(
        own["simple_return_1d"].to_numpy(),
        own["date"].to_list(),
        risk_free_rate_1d=0.00025,
        turnover_1d=own["turnover_1d"].to_numpy(),
        benchmark=market,
    )
    return {"strategy": name, **measured}


def _quality(model: str, mean: float, days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    rank_ic = rng.normal(mean, 0.15, len(days)).clip(-1, 1)
    return pl.DataFrame({"date": days, "model": model, "rank_ic": rank_ic, "ic": rank_ic * 0.9, "n_tickers": 50})


def _positions(day: date, rng: np.random.Generator) -> pl.DataFrame:
    weights = rng.dirichlet(np.full(15, 8.0)) * 0.99
    tickers = [f"TICKER{k:02d}" for k in range(15)]
    return pl.DataFrame({"date": day, "strategy": "ridge_top_n", "ticker": tickers, "weight": weights})
