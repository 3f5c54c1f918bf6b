"""Forecasts judged by what came after them, every model beside the momentum baseline."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import polars as pl

from quant_core.forecasting.decay import ic_decay
from quant_core.forecasting.scores import MOMENTUM_COLUMNS, baseline_scores, quantile_summary
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.information_coefficient import rank_ic_by_date

#: Sessions ahead that prices alone are judged over, where no model made a forecast.
NO_HORIZON = 5


@dataclass(frozen=True)
class ForecastEvaluationConfig:
    """How far an evaluation goes.

    Args:
        until: last day that is judged; null for the last price. `quant run --to` sets it for a fold that ends later.
    """

    until: date | None = None


class ForecastEvaluation(NamedTuple):
    """Of every model and of momentum: `quality` and `quantiles` over the models' longest horizon."""

    quality: pl.DataFrame  # ForecastQuality
    decay: pl.DataFrame  # ForecastDecay
    quantiles: pl.DataFrame  # ForecastQuantiles


def evaluate_forecasts(forecasts: pl.DataFrame, features: pl.LazyFrame, prices: pl.DataFrame) -> ForecastEvaluation:
    """Daily IC, its decay over horizons, and what the score quantiles earned.

    Args:
        forecasts: Forecasts of any number of models.
        features: Features of the same span; without the half-year return there is no momentum beside the models.
        prices: CleanPrices of the same span.
    """
    columns = ["date", "ticker", "model", "score"]
    horizon, scores = NO_HORIZON, forecasts.select(columns)
    if forecasts.height:
        horizon = int(forecasts["horizon_sessions"].max())  # type: ignore[arg-type]
        momentum = [name for name in features.collect_schema().names() if name in MOMENTUM_COLUMNS]
        if momentum:
            table = features.select("date", "ticker", "is_eligible", *momentum).collect()
            scores = pl.concat([scores, baseline_scores(table).select(columns)])
    forward = forward_returns(prices, horizon)
    return ForecastEvaluation(
        rank_ic_by_date(scores, forward), ic_decay(scores, prices), quantile_summary(scores, forward)
    )
