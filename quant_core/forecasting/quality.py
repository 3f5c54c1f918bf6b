"""How good every model's forecasts were out of sample: their order, their distribution, their directions; over the
model's own horizon and one that all share, by year, liquidity, sector and market regime.

How models compare with one another is in `comparison`. Nothing is fitted here, and nothing is net of costs.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.forecasting.adaptive import adaptive_intervals
from quant_core.forecasting.calibration import VOLATILITY
from quant_core.forecasting.scores import MOMENTUM_COLUMNS, baseline_scores, summary
from quant_core.measures.calibration import (
    central_columns,
    ks_uniform,
    log_loss,
    pit_histogram,
    qlike,
    reliability,
)
from quant_core.measures.crps import crps_from_quantiles
from quant_core.measures.forward_returns import Growth, growth_of
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.quantiles import cdf_at
from quant_core.schema import (
    DISTRIBUTION_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILE_LEVELS,
    ForecastPit,
    ForecastReliability,
    ForecastScorecard,
    table_of,
    validate,
)

#: Sessions that every model is judged over beside its own horizon.
COMMON_HORIZON = 5
SHARES = (50, 80, 90)  # percent, of central intervals
LIQUIDITY, TERCILES = "log_turnover_63d", ("low", "middle", "high")
MOMENTUM = "momentum"
BUG = "report this as a bug."
#: Quantiles of the standard normal at QUANTILE_LEVELS.
NORMAL = np.array([-1.6448536269514722, -1.2815515655446004, -0.6744897501960817, 0.0, 0.6744897501960817,
                   1.2815515655446004, 1.6448536269514722])  # fmt: skip
#: Figures of a row, averaged over rows as they stand.
AVERAGED = (
    "crps", "crps_climatology",
    *(f"{kind}coverage_{share}" for kind in ("", "adaptive_", "regime_") for share in SHARES),
    "qlike", "qlike_trailing", "direction_log_loss", "direction_accuracy", "direction_disagreement",
)  # fmt: skip


class QualityTables(NamedTuple):
    """Of every model, and of momentum where the features have it."""

    scorecard: pl.DataFrame  # ForecastScorecard
    pit: pl.DataFrame  # ForecastPit
    reliability: pl.DataFrame  # ForecastReliability


def forecast_quality(
    forecasts: Mapping[str, pl.LazyFrame], features: pl.LazyFrame, prices: pl.DataFrame,
    sectors: pl.DataFrame | None = None, threshold: float = 0.5, regimes: pl.DataFrame | None = None,
) -> QualityTables:  # fmt: skip
    """Every model judged by what came after its forecasts.

    Args:
        forecasts: Forecasts by model.
        features: Features of the same span; VOLATILITY, LIQUIDITY and a half-year return are used where they are there.
        prices: CleanPrices of the same span.
        sectors: rows (ticker, sector); None for no part by sector.
        threshold: k of a direction: beyond k sigma sqrt(h), sigma being VOLATILITY a session.
        regimes: rows (date, regime), one label a session, known at its close; None for no part by regime and no
            intervals by regime.
    Raises:
        DataError: two labels for a date.
    """
    growth, beside, labels = growth_of(prices), _beside(features, sectors), _labels(regimes)
    rows: list[dict[str, Any]] = []
    pits: list[pl.DataFrame] = [ForecastPit.create_empty()]
    reliabilities: list[pl.DataFrame] = [ForecastReliability.create_empty()]
    own_horizons: set[int] = set()
    for name, table in forecasts.items():
        said = _inside(table.collect(), growth)
        if said.is_empty():
            continue
        own = int(said["horizon_sessions"][0])
        own_horizons.add(own)
        for horizon in sorted({own, COMMON_HORIZON}):
            judged = _judged(said, beside, labels, growth, horizon, threshold, own == horizon)
            rows += [{"model": name, "is_own_horizon": own == horizon, **row} for row in _scored(judged, horizon)]
            if own == horizon:
                pits.append(_pit(judged, name))
                reliabilities += _reliability(judged, name)
    for horizon in sorted({*own_horizons, COMMON_HORIZON}) if own_horizons else ():
        said = _inside(momentum_scores(features), growth)
        judged = _judged(said, beside, labels, growth, horizon, threshold, is_own=False)
        rows += [{"model": MOMENTUM, "is_own_horizon": False, **row} for row in _scored(judged, horizon)]
    return QualityTables(_scorecard(rows), pl.concat(pits), pl.concat(reliabilities))


def momentum_scores(features: pl.LazyFrame) -> pl.DataFrame:
    """The half-year return as scores (date, ticker, model, score); no row where the features have none."""
    there = features.collect_schema().names()
    known = [name for name in MOMENTUM_COLUMNS if name in there]
    if not known:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String, "model": pl.String, "score": pl.Float64})
    return baseline_scores(features.select("date", "ticker", "is_eligible", *known).collect())


def _beside(features: pl.LazyFrame, sectors: pl.DataFrame | None) -> pl.DataFrame:
    """Rows (date, ticker) with `volatility`, `liquidity` and `sector`, null where they are not known."""
    there = features.collect_schema().names()

    def column(name: str, to: str) -> pl.Expr:
        return (pl.col(name) if name in there else pl.lit(None)).cast(pl.Float64).alias(to)

    table = features.filter("is_eligible").select(
        "date", "ticker", column(VOLATILITY, "volatility"), column(LIQUIDITY, "liquidity")
    )
    if sectors is None:
        return table.with_columns(sector=pl.lit(None, pl.String)).collect()
    return table.join(sectors.lazy().select("ticker", "sector"), on="ticker", how="left").collect()


def _labels(regimes: pl.DataFrame | None) -> pl.DataFrame:
    """Rows (date, regime), none without regimes."""
    if regimes is None:
        return pl.DataFrame(schema={"date": pl.Date, "regime": pl.String})
    twice = regimes.filter(pl.col("date").is_duplicated())
    if twice.height:
        raise DataError(
            f"forecast_quality: {twice.sort('date')['date'][0]} has several labels of its regime; give those of one "
            "method."
        )
    return regimes.select("date", "regime")


def _inside(said: pl.DataFrame, growth: Growth) -> pl.DataFrame:
    """Scored rows of days and names that there are prices of."""
    there = pl.col("date").is_in(growth.days.implode()) & pl.col("ticker").is_in(growth.tickers.implode())
    return said.filter(pl.col("score").is_finite() & there)


def _judged(
    said: pl.DataFrame,
    beside: pl.DataFrame,
    labels: pl.DataFrame,
    growth: Growth,
    horizon: int,
    threshold: float,
    is_own: bool,
) -> pl.DataFrame:
    """Rows with a return over the horizon, what stands beside them, and, of the own horizon, each row's figures."""
    cells = dense.cells(said, growth.days, growth.tickers, "forecasts")
    rows = said.with_columns(
        forward_return=cells.at(growth.forward_return(horizon)),
        realized_variance=cells.at(growth.realized_variance(horizon)),
        label_end_date=growth.end_dates(horizon).gather(cells.row),
    )
    rows = rows.join(beside, on=["date", "ticker"], how="left").join(labels, on="date", how="left")
    rows = rows.sort("date", "ticker")
    liquid = (pl.col("liquidity").rank("ordinal") * 3 / pl.col("liquidity").count()).ceil().over("date")
    rows = rows.with_columns(
        year=pl.col("date").dt.year().cast(pl.String),
        liquidity=liquid.replace_strict(dict(zip((1.0, 2.0, 3.0), TERCILES, strict=True)), default=None),
    )
    figures = _figures(rows, horizon, threshold) if is_own else {}
    return rows.with_columns(pl.Series(name, value).fill_nan(None) for name, value in figures.items()).filter(
        pl.col("forward_return").is_not_null()
    )


def _figures(rows: pl.DataFrame, horizon: int, threshold: float) -> dict[str, Floats]:
    """(R,) of each row: scores of its distribution, NaN where the model says none."""
    value = {name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in (
        *DISTRIBUTION_COLUMNS, "forward_return", "realized_variance", "volatility"
    )}  # fmt: skip
    earned, unit = value["forward_return"], value["volatility"] * math.sqrt(horizon / SESSIONS_PER_YEAR)
    quantiles = np.stack([value[name] for name in QUANTILE_COLUMNS], axis=1)
    crps = crps_from_quantiles(quantiles, QUANTILE_LEVELS, earned)
    climatology = crps_from_quantiles(NORMAL * unit[:, None], QUANTILE_LEVELS, earned)
    both = ~(np.isnan(crps) | np.isnan(climatology))
    found = {
        "crps": np.where(both, crps, np.nan),
        "crps_climatology": np.where(both, climatology, np.nan),
        "pit": cdf_at(quantiles, QUANTILE_LEVELS, earned),
        "qlike": qlike(value["expected_variance"], value["realized_variance"]),
    }
    regimes = dict(rows.select("date", "regime").drop_nulls().unique().iter_rows())
    for share in SHARES:
        low, high = central_columns(QUANTILE_LEVELS, share / 100)
        found[f"coverage_{share}"] = _is_inside(quantiles[:, low], quantiles[:, high], earned)
        found[f"adaptive_coverage_{share}"] = _moved_inside(rows, share, earned, None)
        of_regime = _moved_inside(rows, share, earned, regimes) if regimes else np.full(len(earned), np.nan)
        found[f"regime_coverage_{share}"] = of_regime
    trailing = qlike(unit**2, value["realized_variance"])
    found["qlike_trailing"] = np.where(np.isnan(found["qlike"]), np.nan, trailing)
    return found | _direction_figures(value, quantiles, unit, threshold)


def _direction_figures(
    value: Mapping[str, Floats], quantiles: Floats, unit: Floats, threshold: float
) -> dict[str, Floats]:
    """`direction_class` 0 down, 1 flat, 2 up, and how the probabilities did; NaN where nothing was said."""
    earned, down, up = value["forward_return"], value["prob_down"], value["prob_up"]
    limit = threshold * unit
    known = ~(np.isnan(earned) | np.isnan(limit) | np.isnan(down) | np.isnan(up))
    way = np.where(known, 1.0 + (earned > limit) - (earned < -limit), np.nan)
    said = np.stack([down, 1.0 - down - up, up], axis=1)
    likeliest = np.argmax(np.where(np.isnan(said), -1.0, said), axis=1)
    return {
        "direction_class": way,
        "direction_log_loss": log_loss(said, way),
        "direction_accuracy": np.where(known, likeliest == way, np.nan),
        "direction_disagreement": np.abs(up - (1.0 - cdf_at(quantiles, QUANTILE_LEVELS, limit))),
    }


def _moved_inside(rows: pl.DataFrame, share: int, earned: Floats, groups: Mapping[date, str] | None) -> Floats:
    """(R,) whether the adaptive interval of each row holds its return."""
    moved = rows.select("date", "ticker").join(
        adaptive_intervals(rows, rows, share / 100, groups=groups), on=["date", "ticker"], how="left",
        maintain_order="left",
    )  # fmt: skip
    low, high = (moved[name].fill_null(np.nan).to_numpy() for name in ("interval_low", "interval_high"))
    return _is_inside(low, high, earned)


def _is_inside(low: Floats, high: Floats, earned: Floats) -> Floats:
    known = ~(np.isnan(low) | np.isnan(high) | np.isnan(earned))
    return np.where(known, (low <= earned) & (earned <= high), np.nan)


def _scored(judged: pl.DataFrame, horizon: int) -> Iterator[dict[str, Any]]:
    """A scorecard's rows of one model and horizon, but for the model."""
    for part in ("all", "year", "liquidity", "sector", "regime"):
        value = pl.lit("all") if part == "all" else pl.col(part)
        rows = judged.with_columns(model=value).drop_nulls("model")
        daily = rank_ic_by_date(rows, rows.select("date", "ticker", pl.col("forward_return").alias("forward_return_d")))
        ics = {str(name): table for (name,), table in daily.partition_by("model", as_dict=True).items()}
        for (name,), table in sorted(rows.partition_by("model", as_dict=True).items()):
            order = summary(ics.get(str(name), daily.clear()), horizon)
            told = {key: order[key] for key in ("n_dates", "mean_rank_ic", "mean_ic", "icir", "nw_t", "hit_rate")}
            yield {"horizon_sessions": horizon, "part": part, "value": str(name), "n_rows": table.height, **told,
                   **_averages(table)}  # fmt: skip


def _averages(rows: pl.DataFrame) -> dict[str, float | None]:
    """What a group's rows say of distributions; nothing where they have none."""
    if "pit" not in rows.columns:
        return {}
    mean: dict[str, Any] = rows.select(pl.col(AVERAGED).mean()).row(0, named=True)
    pit, way = rows["pit"].fill_null(np.nan).to_numpy(), rows["direction_class"].drop_nulls().to_numpy()
    shares = np.bincount(way.astype(np.int64), minlength=3) / max(len(way), 1)
    base = -float(sum(share * math.log(share) for share in shares if share > 0.0))
    own, reference = mean["crps"], mean["crps_climatology"]
    return mean | {
        "pit_ks": ks_uniform(pit),
        "crps_skill": None if not reference else 1.0 - own / reference,
        "base_log_loss": base if len(way) else None,
        "base_accuracy": float(shares.max()) if len(way) else None,
    }


def _pit(judged: pl.DataFrame, model: str) -> pl.DataFrame:
    shares = pit_histogram(judged["pit"].fill_null(np.nan).to_numpy())
    if np.isnan(shares).all():
        return ForecastPit.create_empty()
    table = pl.DataFrame({"bin": range(1, len(shares) + 1), "share": shares}, schema_overrides={"bin": pl.Int32})
    return table.select(pl.lit(model).alias("model"), "bin", "share")


def _reliability(judged: pl.DataFrame, model: str) -> Iterator[pl.DataFrame]:
    known = judged.drop_nulls("direction_class")
    for direction, column, way in (("down", "prob_down", 0.0), ("up", "prob_up", 2.0)):
        happened = (known["direction_class"] == way).to_numpy()
        table = reliability(known[column].to_numpy(), happened)
        keyed = table.with_columns(model=pl.lit(model), direction=pl.lit(direction))
        yield keyed.select(ForecastReliability.column_names())


def _scorecard(rows: list[dict[str, Any]]) -> pl.DataFrame:
    keys = ("model", "horizon_sessions", "part", "value")
    return validate(table_of(ForecastScorecard, rows).sort(keys), ForecastScorecard, "forecast scorecard", BUG)
