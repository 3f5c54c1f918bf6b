"""How long a forecast stays useful: rank IC of today's scores against returns over shorter and longer horizons.

The return over h sessions is `labels.forward_returns` (a test holds the two together), here on dense arrays for all
horizons in one pass.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.forecasting.labels import Fill, LabelConfig
from quant_core.forecasting.scores import MIN_TICKERS, newey_west_t
from quant_core.schema import EQUITY, IS_QUARANTINED, ForecastDecay, validate

Floats = NDArray[np.float64]

HORIZONS = (1, 2, 5, 10, 21, 42, 63)


def ic_decay(
    forecasts: pl.DataFrame, prices: pl.DataFrame, horizons: Sequence[int] = HORIZONS, fill: Fill = "open"
) -> pl.DataFrame:
    """Mean daily rank IC of each model at each horizon, with its Newey-West t.

    Args:
        forecasts: rows (date, ticker, score) and, where several are compared, `model`.
        prices: CleanPrices that reach the longest horizon beyond the last forecast; what is missing has no IC.
        horizons: sessions from fill to fill, each at least 1.
        fill: as in `labels.forward_returns`.
    Returns:
        ForecastDecay, sorted by model and horizon. The days are those that `scores.rank_ic_by_date` would keep; t has
        at least horizon - 1 lags, the overlap of the windows. Null where no day has an IC.
    Raises:
        DataError: no horizon or one below 1, no equity row, or a row off the NSE calendar.
    """
    if not horizons:
        raise DataError("ic_decay: horizons are empty; give at least one number of sessions.")
    for horizon in horizons:
        LabelConfig(horizons_sessions=(horizon,), fill=fill)  # its own checks
    days, tickers, into, held, out = _panels(prices, fill)
    models = _score_panels(forecasts, days, tickers)
    rows = []
    for horizon, forward in _forward_returns(into, held, out, sorted(set(horizons))):
        for model, (scored, score) in models.items():
            ic = _rank_ics(score, forward[scored])
            mean, t = newey_west_t(ic, horizon_sessions=horizon)
            rows.append((model, horizon, mean, t, len(ic)))
    schema = {name: column.dtype for name, column in ForecastDecay.columns().items()}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.selectors.float().fill_nan(None))
    return validate(table.sort("model", "horizon_sessions"), ForecastDecay, "forecast decay", "report this as a bug.")


def _panels(prices: pl.DataFrame, fill: Fill) -> tuple[pl.DataFrame, pl.DataFrame, Floats, Floats, Floats]:
    """Numbered days and tickers, and (T, N) growth from fill to close on entry, while held, and to the fill on exit.

    Entry and exit are NaN where nothing is filled; a session without a return while held counts as 1, a quarantined one
    leaves nothing known.
    """
    rows = prices.filter(pl.col("instrument") == EQUITY)
    if rows.is_empty():
        raise DataError("ic_decay: prices hold no equity row; materialize clean_prices for the window.")
    span = pl.Series("date", sessions(rows["date"].min(), rows["date"].max()), dtype=pl.Date)  # type: ignore[arg-type]
    days = pl.DataFrame({"date": span}).with_row_index("day")
    tickers = rows.select(pl.col("ticker").unique().sort()).with_row_index("name")
    rows = rows.join(days, on="date", how="left").join(tickers, on="ticker", how="left")
    stray = rows.filter(pl.col("day").is_null())
    if stray.height:
        raise DataError(
            f"ic_decay: {stray['ticker'][0]} {stray['date'][0]} is not an NSE session ({stray.height} such rows); "
            "clean the month again."
        )
    into, out = ("intraday_return_1d", "overnight_return_1d") if fill == "open" else (None, "total_return_1d")
    total, leaving = (1.0 + pl.col("total_return_1d")).fill_null(1.0).fill_nan(1.0), 1.0 + pl.col(out)
    entering = 1.0 + pl.col(into) if into else pl.lit(1.0)
    shape, fills = (len(days), len(tickers)), pl.col("is_tradable")
    return (
        days,
        tickers,
        _scatter(rows, pl.when(fills).then(entering), shape),
        _scatter(rows, pl.when(~IS_QUARANTINED.fill_null(False)).then(total), shape, fill=1.0),
        _scatter(rows, pl.when(fills).then(leaving), shape),
    )


def _scatter(rows: pl.DataFrame, value: pl.Expr, shape: tuple[int, int], fill: float = np.nan) -> Floats:
    """(T, N) from rows with `day` and `name`; `fill` where there is no row, NaN where there is no value."""
    panel = np.full(shape, fill)
    panel[rows["day"].to_numpy(), rows["name"].to_numpy()] = rows.select(value.fill_null(np.nan)).to_series().to_numpy()
    return panel


def _score_panels(
    forecasts: pl.DataFrame, days: pl.DataFrame, tickers: pl.DataFrame
) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    """Of each model the D days with a score, and the (D, N) scores."""
    named = forecasts if "model" in forecasts.columns else forecasts.with_columns(pl.lit("model").alias("model"))
    rows = named.filter(pl.col("score").is_finite()).join(days, on="date").join(tickers, on="ticker")
    panels = {}
    for (model,), part in sorted(rows.partition_by("model", as_dict=True).items()):
        scored, position = np.unique(part["day"].to_numpy(), return_inverse=True)
        part = part.with_columns(pl.Series("day", position))
        panels[str(model)] = scored.astype(np.int64), _scatter(part, pl.col("score"), (len(scored), len(tickers)))
    return panels


def _forward_returns(into: Floats, held: Floats, out: Floats, horizons: Sequence[int]) -> Iterator[tuple[int, Floats]]:
    """(horizon, (T, N) return of a decision at each close), in ascending order; NaN where it cannot be known."""
    n_days = len(into)
    grown = np.full(into.shape, np.nan)  # from the fill of the session after the decision on
    grown[:-1] = into[1:]
    covered = 1
    for horizon in horizons:
        for step in range(covered + 1, horizon + 1):
            grown[: max(n_days - step, 0)] *= held[step:]
        covered = horizon
        forward = np.full(into.shape, np.nan)
        known = max(n_days - 1 - horizon, 0)
        forward[:known] = grown[:known] * out[n_days - known :] - 1.0
        yield horizon, forward


def _rank_ics(score: Floats, forward: Floats) -> Floats:
    """Spearman correlation of each row (D, N), of the rows that have one."""
    both = np.isfinite(score) & np.isfinite(forward)
    n = both.sum(axis=1, keepdims=True)
    ranked = [np.where(both, _ranks(np.where(both, side, np.nan)) - (n + 1) / 2, 0.0) for side in (score, forward)]
    covariance, *variances = ((a * b).sum(axis=1) for a, b in (ranked, [ranked[0]] * 2, [ranked[1]] * 2))
    defined = (n[:, 0] >= MIN_TICKERS) & (variances[0] > 0.0) & (variances[1] > 0.0)
    return np.asarray(covariance[defined] / np.sqrt(variances[0][defined] * variances[1][defined]))


def _ranks(values: Floats) -> Floats:
    """Ranks from 1 within each row, ties sharing their mean; those of NaN mean nothing and come last."""
    order = np.argsort(values, axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    differs = ascending[:, 1:] != ascending[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), place, 0), axis=1)
    backwards = np.where(np.hstack([differs, edge]), place, values.shape[1])[:, ::-1]
    last = np.minimum.accumulate(backwards, axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1.0, axis=1)
    return ranks
