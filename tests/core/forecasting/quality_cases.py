"""A small market of random prices, with forecasts of it that know a known share of what is coming."""

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from quant_core.calendar import sessions
from quant_core.forecasting.calibration import VOLATILITY
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.quantiles import cdf_at
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS, CleanPrices, Forecasts

N_TICKERS, DAILY = 24, 0.02
NORMAL = np.array([-1.6448536269514722, -1.2815515655446004, -0.6744897501960817, 0.0, 0.6744897501960817,
                   1.2815515655446004, 1.6448536269514722])  # fmt: skip


class Market(NamedTuple):
    prices: pl.DataFrame
    features: pl.DataFrame
    sectors: pl.DataFrame


def market(n_days: int = 300, seed: int = 1, start: date = date(2019, 7, 1)) -> Market:
    """Independent lognormal days; volatility known, liquidity by ticker, momentum pure noise."""
    rng = np.random.default_rng(seed)
    days, names = sessions(start, date(2023, 12, 31))[:n_days], [f"T{k:02d}" for k in range(N_TICKERS)]
    shape = (n_days, N_TICKERS)
    overnight, intraday = (np.expm1(rng.normal(0.0, DAILY / np.sqrt(2.0), shape)) for _ in range(2))
    total = (1 + overnight) * (1 + intraday) - 1
    keys = {"date": np.repeat(np.array(days, dtype="datetime64[D]"), N_TICKERS), "ticker": names * n_days}
    close = 100.0 * np.cumprod(1 + total, axis=0)
    open_ = close / (1 + intraday)
    prices = pl.DataFrame({
        **keys, "instrument": "equity", "open_inr": open_.ravel(), "high_inr": np.maximum(open_, close).ravel(),
        "low_inr": np.minimum(open_, close).ravel(), "close_inr": close.ravel(), "volume_shares": 100,
        "turnover_inr": 1e6, "overnight_return_1d": overnight.ravel(), "intraday_return_1d": intraday.ravel(),
        "total_return_1d": total.ravel(), "is_member": True, "is_filled": False, "is_tradable": True, "flags": "",
    }).cast({"volume_shares": CleanPrices.columns()["volume_shares"].dtype})  # fmt: skip
    features = pl.DataFrame({
        **keys, "is_eligible": True, VOLATILITY: DAILY * np.sqrt(252),
        "log_turnover_63d": list(range(N_TICKERS)) * n_days,
        "log_return_126d": rng.standard_normal(n_days * N_TICKERS),
    })  # fmt: skip
    sectors = pl.DataFrame({"ticker": names, "sector": ["Banks", "IT"] * (N_TICKERS // 2)})
    return Market(prices, features, sectors)


def forecast(
    of: Market, model: str, horizon: int = 5, skill: float = 0.0, seed: int = 0, width: float | None = None
) -> pl.DataFrame:
    """Forecasts whose score is `skill` x the standardised coming return + noise.

    Args:
        width: None for a model that says a score only; else quantiles, probabilities and a variance of a normal around
            0 with this many times the true standard deviation.
    """
    unit = DAILY * np.sqrt(horizon)
    coming = forward_returns(of.prices, horizon).with_columns(
        pl.col(f"forward_return_{horizon}d").fill_null(0.0) / unit
    )
    noise = np.random.default_rng(seed).standard_normal(coming.height)
    table = coming.select(
        "date", "ticker", model=pl.lit(model), fold=pl.col("date").dt.year().cast(pl.String), fit_end=date(2019, 6, 1),
        horizon_sessions=pl.lit(horizon, pl.Int32),
        score=skill * pl.col(f"forward_return_{horizon}d") + pl.Series(noise),
    )  # fmt: skip
    if width is not None:
        quantiles = np.tile(NORMAL * width * unit, (1, 1))
        up = 1.0 - cdf_at(quantiles, QUANTILE_LEVELS, np.array([0.5 * unit]))[0]
        table = table.with_columns(
            *(pl.lit(value).alias(name) for name, value in zip(QUANTILE_COLUMNS, quantiles[0], strict=True)),
            expected_return=0.0, return_std=width * unit, prob_up=pl.lit(up), prob_down=pl.lit(up),
            expected_variance=width**2 * unit**2,
        )  # fmt: skip
    empty = Forecasts.create_empty()
    return pl.concat([empty, table], how="diagonal_relaxed").select(empty.columns)
