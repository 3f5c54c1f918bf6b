"""How long a forecast stays useful: rank IC of today's scores against returns over shorter and longer horizons."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.dense import Floats, Integers
from quant_core.errors import DataError
from quant_core.measures.forward_returns import Fill, Growth, check_horizon, growth_of
from quant_core.measures.information_coefficient import rank_ic
from quant_core.measures.newey_west import newey_west_t
from quant_core.schema import ForecastDecay, table_of, validate

HORIZONS = (1, 2, 5, 10, 21, 42, 63)


def ic_decay(
    forecasts: pl.DataFrame, prices: pl.DataFrame, horizons: Sequence[int] = HORIZONS, fill: Fill = "open"
) -> pl.DataFrame:
    """Mean daily rank IC of each model at each horizon, with its Newey-West t.

    Args:
        forecasts: rows (date, ticker, score) and, where several are compared, `model`.
        prices: CleanPrices that reach the longest horizon beyond the last forecast; what is missing has no IC.
        horizons: sessions from fill to fill, each at least 1.
        fill: as in `forward_returns`.
    Returns:
        ForecastDecay, sorted by model and horizon. The days are those that `rank_ic_by_date` would keep; t has
        at least horizon - 1 lags, the overlap of the windows. Null where no day has an IC.
    Raises:
        DataError: no horizon or one below 1, no equity row, or a row off the NSE calendar.
    """
    if not horizons:
        raise DataError("ic_decay: horizons are empty; give at least one number of sessions.")
    for horizon in horizons:
        check_horizon(horizon, fill)
    growth = growth_of(prices, fill)
    models = _score_panels(forecasts, growth)
    rows = []
    for horizon in sorted(set(horizons)):
        forward = growth.forward_return(horizon)
        for model, (scored, score) in models.items():
            ic = rank_ic(score, forward[scored])
            ic = ic[~np.isnan(ic)]
            mean, t = newey_west_t(ic, horizon_sessions=horizon)
            rows.append((model, horizon, mean, t, len(ic)))
    table = table_of(ForecastDecay, rows)
    return validate(table.sort("model", "horizon_sessions"), ForecastDecay, "forecast decay", "report this as a bug.")


def _score_panels(forecasts: pl.DataFrame, growth: Growth) -> dict[str, tuple[Integers, Floats]]:
    """Of each model the D days of `growth` with a score, and the (D, N) scores of its names."""
    named = forecasts if "model" in forecasts.columns else forecasts.with_columns(pl.lit("model").alias("model"))
    inside = pl.col("date").is_in(growth.days.implode()) & pl.col("ticker").is_in(growth.tickers.implode())
    rows = named.filter(pl.col("score").is_finite() & inside)
    panels = {}
    for (model,), part in sorted(rows.partition_by("model", as_dict=True).items()):
        days = part["date"].unique().sort()
        scores = dense.cells(part, days, growth.tickers, f"scores of {model}").floats(part["score"])
        panels[str(model)] = growth.days.search_sorted(days).to_numpy().astype(np.int64), scores
    return panels
