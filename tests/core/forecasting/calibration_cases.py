"""Simulated forecasts and what followed them: a validation slice, and days out of sample."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from scipy import stats

from quant_core.calendar import sessions
from quant_core.forecasting.calibration import VOLATILITY
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS, TrainingLabels

HORIZON = 5
N_TICKERS = 40


@dataclass(frozen=True)
class Slice:
    """`said` as a model says it, labels and volatility of the same rows."""

    said: pl.DataFrame
    labels: pl.DataFrame
    volatility: pl.DataFrame


def simulated(seed: int, n_days: int, *, distribution: bool, start: date = date(2019, 1, 1)) -> Slice:
    """Fat-tailed returns of 1 % to 3 % a day that follow a signal.

    The score is the signal; with `distribution` a model also says quantiles half as wide as they are, a mean that is
    too large, probabilities that are too sure and a variance of a third.
    """
    rng = np.random.default_rng(seed)
    days = sessions(start, date(2024, 12, 31))
    n = n_days * N_TICKERS
    signal = rng.standard_normal(n)
    sigma = rng.uniform(0.01, 0.03, n)
    unit = sigma * np.sqrt(HORIZON)
    y = 0.1 + 0.2 * signal + rng.standard_t(4, n) / np.sqrt(2.0)
    returns = y * unit
    keys = pl.DataFrame({"date": np.repeat(np.array(days[:n_days], dtype="datetime64[D]"), N_TICKERS)}).with_columns(
        ticker=pl.Series([f"T{k:02d}" for k in range(N_TICKERS)] * n_days)
    )
    ends = dict(zip(days, days[1 + HORIZON :], strict=False))
    value = pl.col("forward_return")
    table = keys.with_columns(forward_return=pl.Series(returns)).with_columns(
        horizon_sessions=pl.lit(HORIZON, pl.Int32),
        label_end_date=pl.col("date").replace_strict(ends, return_dtype=pl.Date),
        rank_label=((value.rank("average") - 0.5) / pl.len() - 0.5).over("date"),
        zscore_label=pl.lit(0.0),
        direction=pl.Series((y > 0.5).astype(np.int8) - (y < -0.5).astype(np.int8)),
        realized_variance=pl.Series(1.5 * unit**2 * rng.chisquare(HORIZON, n) / HORIZON),
    )
    labels = table.select(TrainingLabels.column_names())
    said = keys.with_columns(score=pl.Series(signal))
    if distribution:
        said = said.with_columns(**_too_sure(signal, unit))
    volatility = keys.with_columns(pl.Series(VOLATILITY, sigma * np.sqrt(252)))
    return Slice(said, labels, volatility)


def _too_sure(signal: np.ndarray, unit: np.ndarray) -> dict[str, pl.Series]:
    mean = 0.6 * signal
    up, down = stats.norm.sf(0.5, mean, 0.3), stats.norm.cdf(-0.5, mean, 0.3)
    quantiles = {
        name: (mean + 0.5 * stats.norm.ppf(level)) * unit
        for name, level in zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True)
    }
    columns = {
        "expected_return": mean * unit, "return_std": 0.5 * unit, **quantiles, "prob_down": down, "prob_up": up,
        "expected_variance": unit**2 / 2,
    }  # fmt: skip
    return {name: pl.Series(value) for name, value in columns.items()}
