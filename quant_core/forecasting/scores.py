"""Forecast quality over a span: headline of the daily ICs, what score quantiles earned, baselines.

The IC of a day is `measures.information_coefficient`; how it fades over longer horizons is in `decay`. Overlapping
label windows make neighbouring ICs dependent, so every t statistic is Newey-West's. Nothing is fitted here.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from quant_core.errors import DataError
from quant_core.measures.information_coefficient import scored_returns
from quant_core.measures.newey_west import newey_west_lags, newey_west_t
from quant_core.schema import ForecastQuantiles, validate

MOMENTUM_COLUMNS = ("momentum_126d", "log_return_126d")  # the first that is present is the baseline's score


def summary(quality: pl.DataFrame, horizon: int) -> dict[str, Any]:
    """Headline forecast quality of one model.

    Args:
        quality: ForecastQuality rows of one model.
        horizon: sessions of the label.
    Returns:
        `model`, `n_dates`, `mean_rank_ic`, `mean_ic`, `icir` (mean over standard deviation of the daily rank IC, not
        annualised), `nw_t` (of the mean rank IC) with `nw_lags`, `hit_rate` (share of days with a rank IC above 0).
    """
    models = quality["model"].unique().to_list()
    if len(models) > 1:
        raise DataError(f"summary: quality holds models {sorted(models)}, wanted one; use summaries.")
    rank_ic = quality.sort("date")["rank_ic"]
    n = len(rank_ic)
    mean, t = newey_west_t(rank_ic, horizon_sessions=horizon)
    spread = float(np.std(rank_ic.to_numpy(), ddof=1)) if n > 1 else math.nan
    return {
        "model": models[0] if models else "",
        "n_dates": n,
        "mean_rank_ic": mean,
        "mean_ic": float(np.mean(quality["ic"].to_numpy())) if n else math.nan,
        "icir": mean / spread if spread > 0 else math.nan,
        "nw_t": t,
        "nw_lags": min(newey_west_lags(n, horizon), n - 1) if n else 0,
        "hit_rate": float(np.mean(rank_ic.to_numpy() > 0)) if n else math.nan,
        "horizon_sessions": horizon,
    }


def summaries(quality: pl.DataFrame, horizon: int) -> list[dict[str, Any]]:
    """`summary` of every model in `quality`, by name."""
    return [summary(rows, horizon) for _, rows in sorted(quality.partition_by("model", as_dict=True).items())]


def quantile_summary(forecasts: pl.DataFrame, forward_returns: pl.DataFrame, q: int = 5) -> pl.DataFrame:
    """What the names of each score quantile earned on average, and how fast the quantile changes its names.

    Args:
        forecasts, forward_returns: as in `rank_ic_by_date`.
        q: quantiles of a day's scores, 1 the lowest; days with fewer names are left out. Tied scores share one, so one
            can be empty.
    Returns:
        ForecastQuantiles. Means are over days, each day counting the same; the excess is over the mean of all of the
        model's names that day. `turnover_1d` is the share of the quantile's names that it did not hold on the model's
        day before, over days from the second on; it leaves out days on which the quantile is empty.
    """
    pairs = _bucketed(forecasts, forward_returns, q)
    if pairs.is_empty():
        return ForecastQuantiles.create_empty()
    day = pl.col("date").rank("dense").over("model").cast(pl.Int32)
    pairs = pairs.with_columns(
        day.alias("day"), (pl.col("forward") - pl.col("forward").mean().over("date", "model")).alias("excess")
    ).sort("model", "ticker", "day")
    before = [pl.col(name).shift(1).over("model", "ticker") for name in ("day", "bucket")]
    stayed = (pl.col("day") - before[0] == 1) & (pl.col("bucket") == before[1])
    daily = (
        pairs.with_columns((~stayed.fill_null(False)).alias("is_new"))
        .group_by("model", "bucket", "day", maintain_order=True)
        .agg(pl.col("forward", "excess", "is_new").mean())
        .sort("model", "bucket", "day")  # the order of a sum is part of its last digit
    )
    table = daily.group_by("model", "bucket", maintain_order=True).agg(
        pl.col("forward").mean().alias("mean_forward_return"),
        pl.col("excess").mean().alias("mean_excess_return"),
        pl.col("is_new").filter(pl.col("day") > 1).mean().alias("turnover_1d"),
        pl.len().cast(pl.Int32).alias("n_dates"),
    )
    table = table.rename({"bucket": "quantile"}).sort("model", "quantile")
    return validate(table, ForecastQuantiles, "forecast quantiles", "report this as a bug.")


def baseline_scores(features: pl.DataFrame, names: Sequence[str] = ("momentum",)) -> pl.DataFrame:
    """Scores that need no fit, for the eligible rows: rows (date, ticker, model, score).

    Args:
        names: "momentum" (the half-year return) and "zero" (no opinion: its IC is undefined on every day).
    """
    column = next((name for name in MOMENTUM_COLUMNS if name in features.columns), None)
    rows = features.filter(pl.col("is_eligible")) if "is_eligible" in features.columns else features
    parts = []
    for name in names:
        if name == "zero":
            score = pl.lit(0.0)
        elif name != "momentum":
            raise DataError(f"baseline_scores: {name!r} is no baseline; wanted 'momentum' or 'zero'.")
        elif column is None:
            raise DataError(f"baseline_scores: none of {MOMENTUM_COLUMNS} is a feature; enable one in the profile.")
        else:
            score = pl.col(column).cast(pl.Float64)
        parts.append(rows.select("date", "ticker", pl.lit(name).alias("model"), score.alias("score")))
    return pl.concat(parts).filter(pl.col("score").is_finite()).sort("date", "ticker", "model")


def _bucketed(forecasts: pl.DataFrame, forward_returns: pl.DataFrame, q: int) -> pl.DataFrame:
    """`scored_returns` with `bucket` 1 (lowest scores) .. q, on days with at least q names; tied scores share one."""
    if q < 2:
        raise DataError(f"scores: q is {q} quantiles, wanted at least 2; correct the setting.")
    pairs = scored_returns(forecasts, forward_returns)
    bucket = (pl.col("score").rank("average") * q / pl.len()).ceil().clip(1, q).cast(pl.Int32).over("date", "model")
    return pairs.with_columns(bucket.alias("bucket")).filter(pl.len().over("date", "model") >= q)
