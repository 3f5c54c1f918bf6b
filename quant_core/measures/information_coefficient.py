"""The information coefficient: how well scores agreed with the returns that followed, a day.

Overlapping horizons make neighbouring days dependent; the t statistic of their mean is Newey-West's (`newey_west`).

Source: Grinold and Kahn, Active Portfolio Management (2000), ch. 6.
"""

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.dense import Flags, Floats
from quant_core.errors import DataError

#: A day with fewer names has no correlation.
MIN_TICKERS = 5
FORWARD_PREFIX = "forward_return_"


def rank_ic(scores: Floats, returns: Floats) -> Floats:
    """Spearman's correlation of each day's scores and returns, average ranks for ties.

    sum (r - m)(s - m) / sqrt(sum (r - m)^2 sum (s - m)^2) over the day's ranks r and s, m = (n + 1) / 2 their mean. The
    sums are of whole quarters, so only the root and the division round.

    Args:
        scores, returns: (D, N); only names with both finite count.
    Returns:
        (D,) NaN for fewer than MIN_TICKERS names, or where all scores or all returns are equal.
    """
    both = np.isfinite(scores) & np.isfinite(returns)
    n = both.sum(axis=1, keepdims=True)
    x, y = (np.where(both, ranks(values, both) - (n + 1) / 2, 0.0) for values in (scores, returns))
    spread = (x * x).sum(axis=1) * (y * y).sum(axis=1)
    is_defined = (n[:, 0] >= MIN_TICKERS) & (spread > 0.0)
    return np.where(is_defined, (x * y).sum(axis=1) / np.sqrt(np.where(is_defined, spread, 1.0)), np.nan)


def ranks(values: Floats, among: Flags) -> Floats:
    """Ranks from 1 within each row (D, N) of the cells `among`, ties sharing their mean; others mean nothing."""
    values = np.where(among, values, np.nan)
    order = np.argsort(values, axis=1)  # NaN come last, and are no ties
    ascending = np.take_along_axis(values, order, axis=1)
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    differs = ascending[:, 1:] != ascending[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), place, 0), axis=1)
    backwards = np.where(np.hstack([differs, edge]), place, values.shape[1])[:, ::-1]
    last = np.minimum.accumulate(backwards, axis=1)[:, ::-1]
    ranked = np.empty(values.shape)
    np.put_along_axis(ranked, order, (first + last) / 2 + 1.0, axis=1)
    return ranked


def rank_ic_by_date(forecasts: pl.DataFrame, forward_returns: pl.DataFrame) -> pl.DataFrame:
    """Spearman and Pearson correlation of scores and forward returns over each day's names.

    Args:
        forecasts: rows (date, ticker, score) and, where several are compared, `model`.
        forward_returns: rows (date, ticker) with one `forward_return_{h}d`.
    Returns:
        ForecastQuality rows. A day with fewer than MIN_TICKERS names or without variance has no correlation and no row.
    """
    pairs = scored_returns(forecasts, forward_returns)
    ranked = [_rank_ics(rows, str(model)) for (model,), rows in pairs.partition_by("model", as_dict=True).items()]
    ic = pairs.group_by("date", "model").agg(ic=pl.corr("score", "forward"), n_tickers=pl.len().cast(pl.Int32))
    empty = pl.DataFrame(schema={"date": pl.Date, "model": pl.String, "rank_ic": pl.Float64})
    found = pl.concat([empty, *ranked]).join(ic, on=["date", "model"]).sort("date", "model")
    return found.select("date", "model", "rank_ic", "ic", "n_tickers")


def scored_returns(forecasts: pl.DataFrame, forward_returns: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, ticker, model, score, forward) where both numbers are known.

    Args:
        forecasts, forward_returns: as in `rank_ic_by_date`.
    """
    columns = [name for name in forward_returns.columns if name.startswith(FORWARD_PREFIX)]
    if len(columns) != 1:
        raise DataError(f"scores: forward return columns are {columns}, wanted exactly one; use forward_returns.")
    scores = forecasts if "model" in forecasts.columns else forecasts.with_columns(pl.lit("model").alias("model"))
    returns = forward_returns.select("date", "ticker", pl.col(columns[0]).alias("forward"))
    pairs = scores.select("date", "ticker", "model", "score").join(returns, on=["date", "ticker"], how="inner")
    return pairs.filter(pl.col("score").is_finite() & pl.col("forward").is_finite())


def _rank_ics(pairs: pl.DataFrame, model: str) -> pl.DataFrame:
    """Rows (date, model, rank_ic) of one model, of the days that have one."""
    days, names = (pairs[key].unique().sort() for key in ("date", "ticker"))
    cells = dense.cells(pairs, days, names, f"scores of {model}")
    found = rank_ic(cells.floats(pairs["score"]), cells.floats(pairs["forward"]))
    daily = pl.DataFrame({"date": days, "rank_ic": found}).filter(pl.col("rank_ic").is_not_nan())
    return daily.select("date", pl.lit(model).alias("model"), "rank_ic")
