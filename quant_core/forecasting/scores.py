"""How well scores agreed with the returns that followed: IC a day, its t statistic, quantile returns, baselines.

How the IC fades over longer horizons is in `decay`.

Overlapping label windows make neighbouring ICs dependent, so every t statistic is Newey-West's. Nothing is fitted here.

Source: Grinold and Kahn, Active Portfolio Management (2000), ch. 6 (information coefficient).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from quant_core.errors import DataError
from quant_core.measures.newey_west import newey_west_lags, newey_west_t
from quant_core.schema import ForecastQuantiles, validate

MIN_TICKERS = 5
MOMENTUM_COLUMNS = ("momentum_126d", "log_return_126d")  # the first that is present is the baseline's score
FORWARD_PREFIX = "forward_return_"


def rank_ic_by_date(forecasts: pl.DataFrame, forward_returns: pl.DataFrame) -> pl.DataFrame:
    """Spearman and Pearson correlation of scores and forward returns over each day's names.

    Args:
        forecasts: rows (date, ticker, score) and, where several are compared, `model`.
        forward_returns: rows (date, ticker) with one `forward_return_{h}d`.
    Returns:
        ForecastQuality rows. A day with fewer than 5 names or without variance has no correlation and no row;
        `undefined_dates` lists those.
    """
    daily = _daily(forecasts, forward_returns)
    return daily.filter(pl.col("reason") == "").select(
        "date", "model", "rank_ic", "ic", pl.col("n_tickers").cast(pl.Int32)
    )


def undefined_dates(forecasts: pl.DataFrame, forward_returns: pl.DataFrame) -> pl.DataFrame:
    """Days that `rank_ic_by_date` leaves out: rows (date, model, n_tickers, reason).

    A day whose returns are not known yet has no pair of score and return and appears in neither.
    """
    daily = _daily(forecasts, forward_returns)
    return daily.filter(pl.col("reason") != "").select("date", "model", pl.col("n_tickers").cast(pl.Int32), "reason")


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


def quantile_returns(forecasts: pl.DataFrame, forward_returns: pl.DataFrame, q: int = 5) -> pl.DataFrame:
    """Mean forward return of each score quantile, a day.

    Returns:
        rows (date, model) with `forward_return_q1` (lowest scores) .. `forward_return_q{q}` and
        `forward_return_spread` (highest less lowest), over the horizon of the input; days with fewer than q names are
        left out. Tied scores share a quantile, so a quantile can be empty (null).
    """
    pairs = _bucketed(forecasts, forward_returns, q)
    means = [
        pl.col("forward").filter(pl.col("bucket") == k).mean().alias(f"{FORWARD_PREFIX}q{k}") for k in range(1, q + 1)
    ]
    spread = (pl.col(f"{FORWARD_PREFIX}q{q}") - pl.col(f"{FORWARD_PREFIX}q1")).alias(f"{FORWARD_PREFIX}spread")
    return pairs.group_by("date", "model", maintain_order=True).agg(means).with_columns(spread).sort("date", "model")


def quantile_summary(forecasts: pl.DataFrame, forward_returns: pl.DataFrame, q: int = 5) -> pl.DataFrame:
    """What the names of each score quantile earned on average, and how fast the quantile changes its names.

    Args:
        forecasts, forward_returns: as in `rank_ic_by_date`; the quantiles are those of `quantile_returns`.
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


def _pairs(forecasts: pl.DataFrame, forward_returns: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, ticker, model, score, forward) where both numbers are known."""
    columns = [name for name in forward_returns.columns if name.startswith(FORWARD_PREFIX)]
    if len(columns) != 1:
        raise DataError(
            f"scores: forward return columns are {columns}, wanted exactly one; use labels.forward_returns."
        )
    scores = forecasts if "model" in forecasts.columns else forecasts.with_columns(pl.lit("model").alias("model"))
    returns = forward_returns.select("date", "ticker", pl.col(columns[0]).alias("forward"))
    pairs = scores.select("date", "ticker", "model", "score").join(returns, on=["date", "ticker"], how="inner")
    return pairs.filter(pl.col("score").is_finite() & pl.col("forward").is_finite())


def _bucketed(forecasts: pl.DataFrame, forward_returns: pl.DataFrame, q: int) -> pl.DataFrame:
    """`_pairs` with `bucket` 1 (lowest scores) .. q, on the days with at least q names; tied scores share one."""
    if q < 2:
        raise DataError(f"scores: q is {q} quantiles, wanted at least 2; correct the setting.")
    pairs = _pairs(forecasts, forward_returns)
    bucket = (pl.col("score").rank("average") * q / pl.len()).ceil().clip(1, q).cast(pl.Int32).over("date", "model")
    return pairs.with_columns(bucket.alias("bucket")).filter(pl.len().over("date", "model") >= q)


def _daily(forecasts: pl.DataFrame, forward_returns: pl.DataFrame) -> pl.DataFrame:
    pairs = _pairs(forecasts, forward_returns)
    ranks = [pl.col(name).rank("average").over("date", "model").alias(f"{name}_rank") for name in ("score", "forward")]
    daily = (
        pairs.with_columns(ranks)
        .group_by("date", "model", maintain_order=True)
        .agg(
            pl.corr("score_rank", "forward_rank").alias("rank_ic"),
            pl.corr("score", "forward").alias("ic"),
            pl.len().alias("n_tickers"),
            (pl.col("score").n_unique() < 2).alias("flat_score"),
            (pl.col("forward").n_unique() < 2).alias("flat_forward"),
        )
    )
    reason = (
        pl.when(pl.col("n_tickers") < MIN_TICKERS).then(pl.lit(f"fewer than {MIN_TICKERS} names"))
        .when(pl.col("flat_score")).then(pl.lit("all scores are equal"))
        .when(pl.col("flat_forward")).then(pl.lit("all returns are equal"))
        .otherwise(pl.lit(""))
    )  # fmt: skip
    return daily.with_columns(reason.alias("reason")).sort("date", "model")
